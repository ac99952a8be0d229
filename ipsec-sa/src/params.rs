use core::fmt;
use core::net::IpAddr;

use ipsec_crypto::{IntegrityAlgorithm, Secret, SuiteKeys};
use ipsec_packet::{Beet, ChecksumRepair, Marker, Ports, Seq, SeqWidth, TunnelRules, UDP_HEADER, WindowSize};

use crate::words::words;
use crate::{Lifetimes, Mode, SaAlgorithms, SaId};

/// Parameters of one SA (RFC 4301 section 4.4.2.1; SADB_ADD, RFC 2367 section 3.1.3): configuration, PF_KEY and quick
/// mode produce them, and every back end consumes them. The keys are wiped on drop.
#[derive(Debug)]
pub struct SaParams {
    /// Identifier of the SA.
    pub id: SaId,
    /// Source address of the packets of the SA. The unspecified address as source of an inbound SA matches any source.
    pub source: IpAddr,
    /// Mode of the SA.
    pub mode: Mode,
    /// Algorithms with their keys.
    pub transform: TransformParams,
    /// Width of the sequence numbers.
    pub sequence: SeqWidth,
    /// Last sequence number that was sent with these keys; `None` for new keys. Keys whose nonce contains the sequence
    /// number must not be used again without it (RFC 3686 section 7, RFC 4106 section 9).
    pub last_sequence: Option<Seq>,
    /// Size of the anti-replay window of an inbound SA; 0 for none (RFC 4303 section 3.4.3).
    pub window: WindowSize,
    /// Check of the ESP padding of received packets.
    pub padding: PaddingCheck,
    /// UDP encapsulation (RFC 3948).
    pub encap: Option<UdpEncap>,
    /// Repair of checksums in transport mode behind a NAT (RFC 3948 section 3.1.2).
    pub repair: ChecksumRepair,
    /// Largest size in octets of the IP packets that an outbound SA sends, as an MTU of the path that does not expire:
    /// `-natt_mtu` of FreeBSD and `-esp_frag` of NetBSD. `None` for no limit.
    pub max_packet: Option<u16>,
    /// Soft and hard limits.
    pub lifetimes: Lifetimes,
    /// Request ID, `unique:` in setkey(8); 0 for none.
    pub reqid: u32,
    /// Rules of the outer header of a tunnel (RFC 4301 section 5.1.2).
    pub tunnel: TunnelRules,
    /// Inner addresses of BEET mode.
    pub beet: Option<Beet>,
}

impl SaParams {
    /// Creates parameters of an SA without a mode, with a window of 64 packets and without limits.
    pub fn new(id: SaId, source: IpAddr, transform: TransformParams) -> Self {
        Self {
            id,
            source,
            mode: Mode::Any,
            transform,
            sequence: SeqWidth::Bits32,
            last_sequence: None,
            window: WindowSize::packets(64),
            padding: PaddingCheck::Sequence,
            encap: None,
            repair: ChecksumRepair::Recompute,
            max_packet: None,
            lifetimes: Lifetimes::default(),
            reqid: 0,
            tunnel: TunnelRules::DEFAULT,
            beet: None,
        }
    }

    /// Returns the algorithms without their keys.
    pub fn algorithms(&self) -> SaAlgorithms {
        SaAlgorithms::from(&self.transform)
    }

    /// Returns the SPI by which the SA is managed: that of its identifier, except for IPComp with a well-known CPI.
    pub const fn managed_spi(&self) -> u32 {
        match self.transform {
            TransformParams::Ipcomp { spi, .. } => spi,
            _ => self.id.spi,
        }
    }
}

/// Prints the identifier, source and mode.
impl fmt::Display for SaParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}, {}", self.id, self.source, self.mode)
    }
}

/// Algorithms of an SA with their keys (RFC 4301 section 4.4.2.1).
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum TransformParams {
    /// ESP with an AEAD, or with a cipher and an integrity algorithm (RFC 4303 section 3.2).
    Esp(SuiteKeys),
    /// ESP with a cipher only, which an attacker can modify unnoticed (RFC 4303 section 1).
    EspWithoutIntegrity(SuiteKeys),
    /// AH (RFC 4302 section 3.2).
    Ah {
        /// Integrity algorithm of the SA.
        integrity: IntegrityAlgorithm,
        /// Key of the algorithm; for AES-GMAC with its salt.
        key: Secret<256>,
    },
    /// IPComp (RFC 3173). The CPI on the wire is the SPI of the identifier.
    Ipcomp {
        /// Compression algorithm of the association.
        algorithm: CompressionAlgorithm,
        /// SPI by which the SA is managed (PF_KEY, setkey(8)). It differs from the CPI if that is a well-known one.
        spi: u32,
    },
}

impl TransformParams {
    /// Returns whether the nonce of the algorithm contains the sequence number: with the same keys no number may be
    /// used twice (RFC 3686 section 7, RFC 4106 section 9, RFC 4543 section 9).
    pub fn has_sequence_nonce(&self) -> bool {
        match self {
            Self::Esp(keys) | Self::EspWithoutIntegrity(keys) => keys.cipher.row().is_some_and(|row| row.salt > 0),
            Self::Ah { integrity, .. } => *integrity == IntegrityAlgorithm::AesGmac,
            Self::Ipcomp { .. } => false,
        }
    }
}

/// Compression algorithm of IPComp (RFC 3173 section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompressionAlgorithm {
    /// IPCOMP_OUI, a vendor's own algorithm.
    Oui,
    /// DEFLATE in IPComp (RFC 2394).
    Deflate,
    /// LZS in IPComp (RFC 2395).
    Lzs,
}

words! { CompressionAlgorithm { Oui = "oui", Deflate = "deflate", Lzs = "lzs", } }

/// Check of the ESP padding of received packets (RFC 4303 section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PaddingCheck {
    /// The padding must be 1, 2, 3 and so on.
    #[default]
    Sequence,
    /// The padding may have any value.
    LengthOnly,
}

/// UDP encapsulation of ESP (RFC 3948), with the ports of the packets of the SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpEncap {
    /// Ports of the packets of the SA. Those of the peer of an inbound SA are the last known ones.
    pub ports: Ports,
    /// Framing of RFC 3948 or of the drafts before it.
    pub marker: Marker,
}

impl UdpEncap {
    /// Returns the number of octets between the IP header and ESP.
    pub const fn overhead(self) -> usize {
        UDP_HEADER.saturating_add(self.marker.esp_offset())
    }
}
