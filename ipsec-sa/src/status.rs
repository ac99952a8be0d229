use core::net::IpAddr;

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::Seq;

use crate::words::words;
use crate::{CompressionAlgorithm, Lifetimes, Mode, SaId, TransformParams, UdpEncap, Usage};

/// State of an SA, in the terms of KAME (RFC 2367 section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SaState {
    /// The SPI is reserved and keys are being negotiated.
    Larval,
    /// The SA is in use.
    Mature,
    /// The SA is in use and its soft limit is reached: it is to be rekeyed.
    Dying,
    /// The hard limit is reached and the SA is no longer used.
    Dead,
}

words! { SaState { Larval = "larval", Mature = "mature", Dying = "dying", Dead = "dead", } }

/// Algorithms of an SA, without keys (RFC 4301 section 4.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SaAlgorithms {
    /// Cipher or AEAD of ESP.
    pub cipher: Option<CipherAlgorithm>,
    /// Integrity algorithm of ESP or AH; `None` with an AEAD, for encryption without integrity, and for IPComp.
    pub integrity: Option<IntegrityAlgorithm>,
    /// Compression algorithm of IPComp.
    pub compression: Option<CompressionAlgorithm>,
}

impl From<&TransformParams> for SaAlgorithms {
    fn from(params: &TransformParams) -> Self {
        let named = |integrity| (integrity != IntegrityAlgorithm::None).then_some(integrity);
        match params {
            TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys) => {
                Self { cipher: Some(keys.cipher), integrity: named(keys.integrity), compression: None }
            }
            TransformParams::Ah { integrity, .. } => Self { integrity: Some(*integrity), ..Self::default() },
            TransformParams::Ipcomp { algorithm, .. } => Self { compression: Some(*algorithm), ..Self::default() },
        }
    }
}

/// Status of an SA (SADB_GET, SADB_DUMP; RFC 2367 sections 3.1.5 and 3.1.10), without its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaStatus {
    /// Identifier of the SA.
    pub id: SaId,
    /// Source address of the packets of the SA.
    pub source: IpAddr,
    /// State of the SA: larval, mature, dying or dead.
    pub state: SaState,
    /// Mode of the SA; any while it is larval.
    pub mode: Mode,
    /// Request ID of the SA; 0 for none.
    pub reqid: u32,
    /// SPI by which the SA is managed: that of `id`, except for IPComp with a well-known CPI.
    pub managed_spi: u32,
    /// Algorithms of the SA; none while it is larval.
    pub algorithms: SaAlgorithms,
    /// UDP encapsulation of the SA.
    pub encap: Option<UdpEncap>,
    /// Last sequence number that was sent, or the highest that was received; `None` for IPComp.
    pub sequence: Option<Seq>,
    /// Size of the anti-replay window of an inbound SA in packets; 0 without one.
    pub window: u32,
    /// Soft and hard limits of the SA.
    pub lifetimes: Lifetimes,
    /// Packets and octets that the SA has processed, and when.
    pub usage: Usage,
}
