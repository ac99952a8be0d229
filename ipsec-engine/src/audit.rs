use core::fmt;
use core::net::IpAddr;

use ipsec_packet::Instant;

use crate::discard::DiscardReason;

/// Audit event with the fields that the RFCs specify (RFC 2402 section 4, RFC 2406 section 4, RFC 4301 section
/// 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// Time at which the packet was processed.
    pub at: Instant,
    /// Reason why the packet was discarded.
    pub reason: DiscardReason,
    /// Source address of the packet.
    pub source: Option<IpAddr>,
    /// Destination address of the packet.
    pub destination: Option<IpAddr>,
    /// Flow label of an IPv6 packet.
    pub flow_label: u32,
    /// SPI or CPI, if the packet has one.
    pub spi: Option<u32>,
    /// Low 32 bits of the sequence number, if the packet has one.
    pub sequence: Option<u32>,
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at)?;
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
