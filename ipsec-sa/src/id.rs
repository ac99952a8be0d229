use core::fmt;
use core::net::IpAddr;

use crate::Protocol;
use crate::words::words;

/// Direction of an SA (RFC 4301 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The SA decapsulates received packets.
    Inbound,
    /// The SA protects packets that are sent.
    Outbound,
}

words! { Direction { Inbound = "in", Outbound = "out", } }

impl Direction {
    /// Returns the other direction.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Inbound => Self::Outbound,
            Self::Outbound => Self::Inbound,
        }
    }
}

/// Identifier of an SA (RFC 4301 section 4.1). It is unique per direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SaId {
    /// Direction of the SA: outbound SAs seal, inbound SAs open.
    pub direction: Direction,
    /// Destination address of the packets of the SA.
    pub destination: IpAddr,
    /// Security protocol: ESP, AH or IPComp.
    pub protocol: Protocol,
    /// SPI, or the CPI of IPComp.
    pub spi: u32,
    /// UDP port of the peer, for an outbound SA in UDP only: two peers behind one NAT have one address and may choose
    /// the same SPI (RFC 3948 section 5.1).
    pub peer_port: Option<u16>,
}

impl SaId {
    /// Identifies an inbound SA.
    pub const fn inbound(destination: IpAddr, protocol: Protocol, spi: u32) -> Self {
        Self { direction: Direction::Inbound, destination, protocol, spi, peer_port: None }
    }

    /// Identifies an outbound SA without UDP encapsulation.
    pub const fn outbound(destination: IpAddr, protocol: Protocol, spi: u32) -> Self {
        Self { direction: Direction::Outbound, destination, protocol, spi, peer_port: None }
    }

    /// Identifies an outbound SA whose packets are sent to this UDP port of the peer (RFC 3948).
    #[must_use]
    pub const fn with_peer_port(self, port: u16) -> Self {
        Self { peer_port: Some(port), ..self }
    }

    /// Returns whether the SA is an inbound one of IPComp.
    pub fn is_ipcomp_in(&self) -> bool {
        (self.direction, self.protocol) == (Direction::Inbound, Protocol::Ipcomp)
    }
}

impl fmt::Display for SaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.destination)?;
        if let Some(port) = self.peer_port {
            write!(f, "[{port}]")?;
        }
        write!(f, " {:#010x} {}", self.spi, self.direction)
    }
}
