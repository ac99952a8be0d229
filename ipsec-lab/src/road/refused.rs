use std::fmt;

use ah_core::{SignError, VerifyError};
use esp_core::{OpenError, SealError};
use ipcomp_core::{DecompressError, InflateError};
use ipsec_packet::{BeetError, IpError, Replay, TunnelError, UdpError};

/// Why a packet was not sent or not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The IP header or what surrounds it.
    Ip(IpError),
    /// The tunnel.
    Tunnel(TunnelError),
    /// BEET mode.
    Beet(BeetError),
    /// UDP encapsulation.
    Udp(UdpError),
    /// ESP, on the way out.
    Seal(SealError),
    /// ESP, on the way in.
    Open(OpenError),
    /// AH, on the way out.
    Sign(SignError),
    /// AH, on the way in.
    Verify(VerifyError),
    /// IPComp, on the way in.
    Decompress(DecompressError<InflateError>),
}

impl Refused {
    /// The name of its counter.
    pub fn counter(&self) -> &'static str {
        match self {
            Self::Open(OpenError::Forged) => "icv does not hold",
            Self::Open(OpenError::Replayed(Replay::Duplicate)) => "replayed: seen before",
            Self::Open(OpenError::Replayed(Replay::TooOld)) => "replayed: below the window",
            Self::Open(OpenError::Replayed(_)) => "replayed: number zero",
            Self::Open(OpenError::TooShort) => "esp too short",
            Self::Open(OpenError::Unaligned) => "esp not whole blocks",
            Self::Open(OpenError::WrongSpi { .. }) => "no such spi",
            Self::Open(_) => "esp padding",
            Self::Verify(VerifyError::Forged) => "ah icv does not hold",
            Self::Verify(VerifyError::Replayed(_)) => "ah replayed",
            Self::Verify(VerifyError::WrongSpi { .. }) => "no such spi",
            Self::Verify(VerifyError::TooShort | VerifyError::Length { .. }) => "ah length",
            Self::Verify(VerifyError::Ip(IpError::Fragment)) => "fragment",
            Self::Verify(_) => "ah, ip header",
            Self::Ip(IpError::Length { .. }) => "ip length field",
            Self::Ip(IpError::Fragment) => "fragment",
            Self::Ip(IpError::TooShort(_)) => "ip header cut off",
            Self::Ip(_) => "ip header",
            Self::Tunnel(_) => "tunnel",
            Self::Beet(_) => "beet",
            Self::Udp(_) => "udp header",
            Self::Decompress(_) => "ipcomp",
            Self::Seal(_) | Self::Sign(_) => "not sealed",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(e) => e.fmt(f),
            Self::Tunnel(e) => e.fmt(f),
            Self::Beet(e) => e.fmt(f),
            Self::Udp(e) => e.fmt(f),
            Self::Seal(e) => e.fmt(f),
            Self::Open(e) => e.fmt(f),
            Self::Sign(e) => e.fmt(f),
            Self::Verify(e) => e.fmt(f),
            Self::Decompress(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

macro_rules! from {
    ($($error:ident => $variant:ident,)*) => {$(
        impl From<$error> for Refused {
            fn from(e: $error) -> Self {
                Self::$variant(e)
            }
        }
    )*};
}
type DecompressPayload = DecompressError<InflateError>;

from! { IpError => Ip, TunnelError => Tunnel, BeetError => Beet, UdpError => Udp, SealError => Seal, OpenError => Open, SignError => Sign, VerifyError => Verify, DecompressPayload => Decompress, }
