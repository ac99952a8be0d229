use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use crate::acquire::Acquire;
use crate::disposition::DiscardReason;
use crate::sa::SaId;

/// What whoever manages keys has to know (RFC 2367 3.1.6, 3.1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum Event {
    /// An SA is needed.
    Acquire(Acquire),
    /// The soft limit of an SA is reached: another one is due. The new inbound SA is installed before the peer can send by it, the new outbound
    /// one when the peer has it; the old ones stay until their hard limits.
    SoftExpired(SaId),
    /// The hard limit of an SA is reached: it is gone.
    HardExpired(SaId),
    /// The numbers of an SA are nearly used up: another one is due (RFC 4303 3.3.3).
    SequenceLow(SaId),
    /// An authentic packet of an SA in UDP came from another address or port than before (RFC 3947 5.4): the SA that
    /// answers should be moved there.
    NatMapping {
        /// The SA it came by.
        sa: SaId,
        /// Where it came from.
        source: IpAddr,
        /// From which port.
        port: u16,
    },
}

/// An event that the RFCs ask to log, with what they ask to log about it (RFC 2402 4, 2406 4, 4301 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// When.
    pub at: Duration,
    /// What.
    pub reason: DiscardReason,
    /// Source address of the packet.
    pub source: Option<IpAddr>,
    /// Destination address of the packet.
    pub destination: Option<IpAddr>,
    /// The flow label of an IPv6 packet.
    pub flow_label: u32,
    /// The SPI or CPI, where there was one to see.
    pub spi: Option<u32>,
    /// The sequence number on the wire, where there was one to see.
    pub sequence: Option<u32>,
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.at.as_secs(), self.at.subsec_millis())?;
        if let (Some(source), Some(destination)) = (self.source, self.destination) {
            write!(f, " {source} > {destination}")?;
        }
        if let Some(spi) = self.spi {
            write!(f, " spi {spi:#010x}")?;
        }
        if let Some(sequence) = self.sequence {
            write!(f, " seq {sequence}")?;
        }
        if self.flow_label != 0 {
            write!(f, " flow {:#07x}", self.flow_label)?;
        }
        write!(f, ": {}", self.reason)
    }
}
