use ike_codec::{Proposal, ProtocolId};

use super::Refusal;

/// SPI of an SA of ESP or AH, or CPI of IPComp, with the octets that it has on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Spi {
    value: u32,
    octets: [u8; 4],
    len: u8,
}

/// Lowest SPI that is not reserved (RFC 4303 section 2.1), and lowest CPI that is negotiated (RFC 3173 section 3.3).
const FIRST: u32 = 256;
/// CPIs of the well-known algorithms, and those that are negotiated (RFC 3173 section 3.3).
const WELL_KNOWN_CPIS: core::ops::RangeInclusive<u32> = 1..=63;
const CPIS: core::ops::RangeInclusive<u32> = FIRST..=61_439;

impl Spi {
    /// SPI of phase 1, which has no octets.
    pub const NONE: Self = Self { value: 0, octets: [0; 4], len: 0 };

    /// Creates an SPI of this host. Returns `None` if the protocol does not permit it. A CPI has two octets.
    pub fn of_host(protocol: ProtocolId, value: u32) -> Option<Self> {
        let [a, b, c, d] = value.to_be_bytes();
        match protocol {
            ProtocolId::IPCOMP if CPIS.contains(&value) => Some(Self { value, octets: [c, d, 0, 0], len: 2 }),
            ProtocolId::IPCOMP => None,
            _ => (value >= FIRST).then_some(Self { value, octets: [a, b, c, d], len: 4 }),
        }
    }

    /// Returns the SPI that the peer has chosen in a proposal: four octets, or for IPComp two or four.
    pub fn of_peer(proposal: &Proposal<'_>) -> Result<Self, Refusal> {
        //= RFC 2408 5.5/5
        //# MUST: receiving: a proposal with an invalid SPI is discarded
        let (octets, len, value) = match *proposal.spi {
            [a, b, c, d] => ([a, b, c, d], 4, u32::from_be_bytes([a, b, c, d])),
            [c, d] if proposal.protocol == ProtocolId::IPCOMP => ([c, d, 0, 0], 2, u32::from_be_bytes([0, 0, c, d])),
            _ => return Err(Refusal::Spi),
        };
        let is_valid = match proposal.protocol {
            ProtocolId::IPCOMP => WELL_KNOWN_CPIS.contains(&value) || CPIS.contains(&value),
            _ => value >= FIRST,
        };
        if is_valid { Ok(Self { value, octets, len }) } else { Err(Refusal::Spi) }
    }

    /// Returns the SPI or CPI as a number.
    pub const fn value(&self) -> u32 {
        self.value
    }

    /// Returns the octets on the wire.
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..usize::from(self.len)).unwrap_or_default()
    }
}
