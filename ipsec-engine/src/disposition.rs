use core::fmt;

use ah_core::{SignError, VerifyError};
use esp_core::{OpenError, SealError};
use ipcomp_core::DecompressError;
use ipsec_packet::{BeetError, IpError, ReplayError, TunnelError, UdpError};

use crate::acquire::Acquire;
use crate::counters::Counter;

/// What is to be done with a packet (RFC 4301 5.1, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum Disposition {
    /// It passes as it is: a policy says so, or none speaks of it and the engine lets those pass.
    Bypass,
    /// It was protected: what is in the buffer goes to the wire.
    Send,
    /// It was opened: what is in the buffer goes on to where it is addressed.
    Deliver,
    /// It is protected by a policy, but there is no SA: unchanged, to be kept or dropped until there is one.
    Pending(Acquire),
    /// It goes no further.
    Discard(DiscardReason),
}

impl Disposition {
    /// Why the packet goes no further, if it does not.
    pub const fn reason(&self) -> Option<&DiscardReason> {
        match self {
            Self::Discard(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Why a packet goes no further (RFC 4301 5.1.1, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiscardReason {
    /// Its IP header or an extension header does not hold together.
    Malformed(IpError),
    /// A fragment of an IPsec packet (RFC 4303 3.4.1), or one that is to be protected in transport mode: only whole packets
    /// are.
    Fragment,
    /// A policy discards it.
    Policy,
    /// No policy speaks of it.
    NoPolicy,
    /// A later fragment, which may be one that a policy for certain ports protects.
    Opaque,
    /// No SA has its SPI.
    NoSa,
    /// The keys of its SA are still being negotiated.
    Larval,
    /// The hard limit of its SA is reached.
    Expired,
    /// It does not come from the other end of its SA.
    SourceMismatch,
    /// Its SA has UDP around ESP and the packet has not, or the reverse.
    Encapsulation,
    /// It came in clear, and a policy protects such packets.
    Cleartext,
    /// It came through other SAs than a policy asks for (RFC 4301 5.2).
    SaMismatch,
    /// More headers than are taken off one packet.
    TooManyHeaders,
    /// ESP, on the way in.
    Open(OpenError),
    /// AH, on the way in.
    Verify(VerifyError),
    /// IPComp, on the way in.
    Ipcomp(DecompressError<BadPayload>),
    /// The packet inside a tunnel.
    Tunnel(TunnelError),
    /// The packet inside a BEET tunnel.
    Beet(BeetError),
    /// The UDP header around ESP.
    Udp(UdpError),
    /// A dummy (RFC 4303 2.6): authentic, and nothing to deliver.
    Dummy,
    /// A NAT keep-alive (RFC 3948 2.3): nothing to deliver.
    KeepAlive,
    /// ESP, on the way out.
    Seal(SealError),
    /// AH, on the way out.
    Sign(SignError),
    /// It does not fit through the tunnel and may not be fragmented: see [`ipsec_packet::too_big_answer`].
    TooBig {
        /// Octets that fit.
        mtu: u16,
    },
}

/// A compressed payload that is malformed, or larger than the room for it (RFC 2394 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPayload;

impl fmt::Display for BadPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("compressed payload malformed or too large")
    }
}

macro_rules! from {
    ($($error:ty => $variant:ident),*) => {
        $(impl From<$error> for DiscardReason {
            fn from(e: $error) -> Self {
                Self::$variant(e)
            }
        })*
    };
}

from!(OpenError => Open, VerifyError => Verify, TunnelError => Tunnel, BeetError => Beet, UdpError => Udp, SealError => Seal,
    SignError => Sign);

impl From<IpError> for DiscardReason {
    fn from(e: IpError) -> Self {
        match e {
            IpError::Fragment => Self::Fragment,
            e => Self::Malformed(e),
        }
    }
}

impl DiscardReason {
    /// What counts it.
    pub const fn counter(&self) -> Counter {
        match self {
            Self::Malformed(IpError::NoSpace(_)) => Counter::NoSpace,
            Self::Malformed(IpError::TooLong(_)) => Counter::TooLong,
            Self::Malformed(IpError::RouteNotFinished { .. } | IpError::Option { .. })
            | Self::Verify(VerifyError::Ip(IpError::RouteNotFinished { .. } | IpError::Option { .. })) => {
                Counter::PrecedingHeaders
            }
            Self::Malformed(_) => Counter::Malformed,
            Self::Fragment => Counter::Fragment,
            Self::Policy => Counter::Policy,
            Self::NoPolicy => Counter::NoPolicy,
            Self::Opaque => Counter::Opaque,
            Self::NoSa => Counter::NoSa,
            Self::Larval => Counter::Larval,
            Self::Expired => Counter::Expired,
            Self::SourceMismatch => Counter::SourceMismatch,
            Self::Encapsulation => Counter::Encapsulation,
            Self::Cleartext => Counter::Cleartext,
            Self::SaMismatch => Counter::SaMismatch,
            Self::TooManyHeaders => Counter::TooManyHeaders,
            Self::Open(OpenError::TooShort) => Counter::EspRunt,
            Self::Open(OpenError::Unaligned) => Counter::EspUnaligned,
            Self::Open(OpenError::Replayed(why)) => replayed(*why, Counter::EspDuplicate, Counter::EspTooOld),
            Self::Open(OpenError::IcvMismatch) => Counter::EspIcvMismatch,
            Self::Open(OpenError::BadPadLength { .. } | OpenError::BadPadding) => Counter::EspPadding,
            Self::Open(_) => Counter::Internal,
            Self::Verify(VerifyError::Replayed(why)) => replayed(*why, Counter::AhDuplicate, Counter::AhTooOld),
            Self::Verify(VerifyError::IcvMismatch) => Counter::AhIcvMismatch,
            Self::Verify(VerifyError::TooShort | VerifyError::Length { .. }) => Counter::AhLength,
            Self::Verify(VerifyError::Ip(_) | VerifyError::Mutable(_)) => Counter::AhHeaders,
            Self::Verify(_) => Counter::Internal,
            Self::Ipcomp(DecompressError::NoSpace(_)) => Counter::NoSpace,
            Self::Ipcomp(_) => Counter::Ipcomp,
            Self::Tunnel(_) | Self::Beet(_) => Counter::Inner,
            Self::Udp(UdpError::NoSpace(_)) => Counter::NoSpace,
            Self::Udp(_) => Counter::Udp,
            Self::Dummy => Counter::Dummy,
            Self::KeepAlive => Counter::KeepAlive,
            Self::Seal(SealError::SequenceExhausted) | Self::Sign(SignError::SequenceExhausted) => {
                Counter::SequenceExhausted
            }
            Self::Seal(SealError::NoSpace(_)) | Self::Sign(SignError::Ip(IpError::NoSpace(_))) => Counter::NoSpace,
            Self::Seal(SealError::TooLong(_)) | Self::Sign(SignError::Ip(IpError::TooLong(_))) => Counter::TooLong,
            Self::Sign(SignError::Ip(_) | SignError::Mutable(_)) => Counter::AhHeaders,
            Self::Seal(_) | Self::Sign(_) => Counter::Internal,
            Self::TooBig { .. } => Counter::TooBig,
        }
    }

    /// Whether the RFCs ask to log it (RFC 2401 5.2, 2402 3.4, 2406 3.4, 4301 5.2, 4302 4, 4303 4).
    //= RFC 4303 3.4.2/2, 4/6
    pub const fn is_auditable(&self) -> bool {
        //= RFC 4302 3.4.4/2
        matches!(
            self.counter(),
            Counter::NoSa
                | Counter::Larval
                | Counter::Expired
                | Counter::Fragment
                | Counter::PrecedingHeaders
                | Counter::EspDuplicate
                | Counter::EspTooOld
                | Counter::EspIcvMismatch
                | Counter::EspRunt
                | Counter::EspUnaligned
                | Counter::EspPadding
                | Counter::AhDuplicate
                | Counter::AhTooOld
                | Counter::AhIcvMismatch
                | Counter::AhLength
                | Counter::SequenceExhausted
                | Counter::Cleartext
                | Counter::SaMismatch
                | Counter::SourceMismatch
                | Counter::NoPolicy
                | Counter::Inner
        )
    }
}

const fn replayed(why: ReplayError, duplicate: Counter, too_old: Counter) -> Counter {
    match why {
        ReplayError::Duplicate => duplicate,
        _ => too_old,
    }
}

impl fmt::Display for DiscardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(e) => e.fmt(f),
            Self::Fragment => f.write_str("fragment where only whole packets are processed"),
            Self::Policy => f.write_str("discarded by policy"),
            Self::NoPolicy => f.write_str("no policy for it"),
            Self::Opaque => f.write_str("fragment without the ports that a policy asks for"),
            Self::NoSa => f.write_str("no such sa"),
            Self::Larval => f.write_str("sa without keys yet"),
            Self::Expired => f.write_str("sa expired"),
            Self::SourceMismatch => f.write_str("not from the other end of its sa"),
            Self::Encapsulation => f.write_str("udp encapsulation is not as its sa has it"),
            Self::Cleartext => f.write_str("in clear, where a policy asks for protection"),
            Self::SaMismatch => f.write_str("through other sas than a policy asks for"),
            Self::TooManyHeaders => f.write_str("too many headers"),
            Self::Open(e) => e.fmt(f),
            Self::Verify(e) => e.fmt(f),
            Self::Ipcomp(e) => e.fmt(f),
            Self::Tunnel(e) => e.fmt(f),
            Self::Beet(e) => e.fmt(f),
            Self::Udp(e) => e.fmt(f),
            Self::Dummy => f.write_str("dummy"),
            Self::KeepAlive => f.write_str("nat keep-alive"),
            Self::Seal(e) => e.fmt(f),
            Self::Sign(e) => e.fmt(f),
            Self::TooBig { mtu } => write!(f, "too big: {mtu} octets fit"),
        }
    }
}

impl core::error::Error for DiscardReason {}
