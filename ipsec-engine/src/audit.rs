use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use crate::acquire::Acquire;
use crate::disposition::DiscardReason;
use crate::sa::SaId;

/// Event for the key management daemon (RFC 2367 sections 3.1.6 and 3.1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum Event {
    /// A policy needs an SA that does not exist.
    Acquire(Acquire),
    /// The soft limit of an SA was reached: the SA is to be rekeyed. The new inbound SA is installed before the peer
    /// can use it, and the new outbound SA when the peer has its inbound SA; the old SAs stay until their hard
    /// limits.
    SoftExpired(SaId),
    /// The hard limit of an SA was reached: the SA is removed.
    HardExpired(SaId),
    /// The sequence numbers of an SA are nearly exhausted: the SA is to be rekeyed (RFC 4303 section 3.3.3).
    SequenceLow(SaId),
    /// An authentic packet of an SA with UDP encapsulation was received from another address or port than before (RFC
    /// 3947 section 5.4). The outbound SA should be moved there.
    NatMapping {
        /// Inbound SA of the packet.
        sa: SaId,
        /// New address of the peer.
        source: IpAddr,
        /// New UDP port of the peer.
        port: u16,
    },
}

/// Audit event with the fields that the RFCs ask to log (RFC 2402 section 4, RFC 2406 section 4, RFC 4301 section
/// 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// Time at which the packet was processed.
    pub at: Duration,
    /// Reason why the packet was discarded.
    pub reason: DiscardReason,
    /// Source address of the packet.
    pub source: Option<IpAddr>,
    /// Destination address of the packet.
    pub destination: Option<IpAddr>,
    /// The flow label of an IPv6 packet.
    pub flow_label: u32,
    /// SPI or CPI, if the packet has one.
    pub spi: Option<u32>,
    /// Low 32 bits of the sequence number, if the packet has one.
    pub sequence: Option<u32>,
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.at.as_secs(), self.at.subsec_millis())?;
        if let (Some(source), Some(destination)) = (self.source, self.destination) {
            write!(f, " {source} > {destination}")?;
        }
        if let Some(spi) = self.spi {
            write!(f, ", SPI {spi:#010x}")?;
        }
        if let Some(sequence) = self.sequence {
            write!(f, ", sequence number {sequence}")?;
        }
        if self.flow_label != 0 {
            write!(f, ", flow label {:#07x}", self.flow_label)?;
        }
        write!(f, ": {}", self.reason)
    }
}
