use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use ipsec_packet::Flow;

use crate::disposition::Reason;
use crate::policy::{PolicyId, Request};
use crate::sa::SaKey;

/// An SA that is needed and not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquire {
    /// The policy that asks for it.
    pub policy: PolicyId,
    /// Which of its transforms has none.
    pub request: Request,
    /// Where the packets of the SA would come from; `None` where key exchange has to find out.
    pub source: Option<IpAddr>,
    /// Where they would go.
    pub destination: Option<IpAddr>,
    /// The request number that the SA must have; 0 for any.
    pub request_id: u32,
    /// The packet that asked.
    pub flow: Flow,
}

/// What whoever manages keys has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum Event {
    /// An SA is needed.
    Acquire(Acquire),
    /// The soft limit of an SA is reached: another one is due.
    SoftExpired(SaKey),
    /// The hard limit of an SA is reached: it is gone.
    HardExpired(SaKey),
    /// The numbers of an SA are nearly used up: another one is due (RFC 4303 3.3.3).
    SequenceNearEnd(SaKey),
    /// An authentic packet of an SA in UDP came from another address or port than before (RFC 3947 5.4): the SA that
    /// answers should be moved there.
    Moved {
        /// The SA it came by.
        sa: SaKey,
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
    pub reason: Reason,
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
