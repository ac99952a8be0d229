use core::fmt;

use ah_core::{SignError, VerifyError};
use esp_core::{OpenError, SealError};
use ipcomp_core::DecompressError;
use ipsec_packet::{BeetError, Fault, IpError, ReplayError, TunnelError, UdpError};

use crate::counters::Counter;
use crate::policy_check::MAX_HEADERS;

/// Reason why a packet is discarded (RFC 4301 sections 5.1.1 and 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiscardReason {
    /// The IP header or an extension header is malformed.
    Malformed(IpError),
    /// The packet is a fragment of an IPsec packet (RFC 4303 section 3.4.1), or a fragment that transport mode cannot
    /// protect.
    Fragment,
    /// The packet matches a DISCARD policy.
    Policy,
    /// The packet matches no policy.
    NoPolicy,
    /// The packet is a fragment without ports, which may match a PROTECT policy for certain ports.
    Opaque,
    /// No SA exists for the SPI, destination and protocol.
    NoSa,
    /// The SA is larval: its keys are still being negotiated.
    Larval,
    /// The hard limit of the SA was reached.
    Expired,
    /// The outer source address does not match the SA.
    SourceMismatch,
    /// The SA has UDP encapsulation and the packet does not, or the reverse.
    Encapsulation,
    /// A cleartext packet matches a PROTECT policy.
    Cleartext,
    /// The SAs of the packet do not match the policy (RFC 4301 section 5.2).
    SaMismatch,
    /// The packet has more nested IPsec headers than are decapsulated.
    TooManyHeaders,
    /// Inbound ESP processing failed.
    Open(OpenError),
    /// Inbound AH processing failed.
    Verify(VerifyError),
    /// Inbound IPComp processing failed.
    Ipcomp(DecompressError<BadPayload>),
    /// The packet inside a tunnel is malformed or not acceptable.
    Tunnel(TunnelError),
    /// The packet inside a BEET tunnel is malformed or not acceptable.
    Beet(BeetError),
    /// The UDP header around ESP is malformed.
    Udp(UdpError),
    /// The packet is a dummy packet (RFC 4303 section 2.6), which is authentic and discarded.
    Dummy,
    /// The packet is a NAT-keepalive packet (RFC 3948 section 2.3).
    KeepAlive,
    /// Outbound ESP processing failed.
    Seal(SealError),
    /// Outbound AH processing failed.
    Sign(SignError),
    /// The packet exceeds the MTU of the tunnel and must not be fragmented: see [`ipsec_packet::too_big_reply`].
    TooBig {
        /// Largest packet that fits, in octets.
        mtu: u16,
    },
}

/// Error of a compressed payload that is malformed, or larger than the buffer (RFC 2394 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPayload;

impl fmt::Display for BadPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("compressed payload malformed or too large")
    }
}

impl core::error::Error for BadPayload {}

macro_rules! from {
    ($($error:ty => $variant:ident),*) => {
        $(impl From<$error> for DiscardReason {
            fn from(e: $error) -> Self {
                Self::$variant(e)
            }
        })*
    };
}

from!(OpenError => Open, VerifyError => Verify, TunnelError => Tunnel, BeetError => Beet, UdpError => Udp,
    SealError => Seal, SignError => Sign);

impl From<IpError> for DiscardReason {
    fn from(e: IpError) -> Self {
        match e {
            IpError::Fragment => Self::Fragment,
            e => Self::Malformed(e),
        }
    }
}

impl DiscardReason {
    /// Returns the counter of this reason.
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
            Self::Open(OpenError::InvalidPadLength { .. } | OpenError::InvalidPadding) => Counter::EspPadding,
            Self::Open(_) => Counter::Internal,
            Self::Verify(VerifyError::Replayed(why)) => replayed(*why, Counter::AhDuplicate, Counter::AhTooOld),
            Self::Verify(VerifyError::IcvMismatch) => Counter::AhIcvMismatch,
            Self::Verify(VerifyError::TooShort | VerifyError::LengthMismatch { .. }) => Counter::AhLength,
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

    /// Returns whether the RFCs specify an audit event (RFC 2401 5.2, 2402 3.4, 2406 3.4, 4301 5.2, 4302 4, 4303 4).
    //= RFC 4303 3.4.2/2, 4/6
    //# SHOULD: a packet without a valid SA is logged with SPI, time, addresses, number and flow label
    //# SHOULD: a replay: logged with SPI, time, addresses, number and flow label
    pub const fn is_auditable(&self) -> bool {
        //= RFC 4302 3.4.4/2
        //# SHOULD: it is logged with SPI, time, addresses and flow label
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
            Self::Fragment => f.write_str("IPsec processes whole packets only: packet is a fragment"),
            Self::Policy => f.write_str("packet matches a DISCARD policy"),
            Self::NoPolicy => f.write_str("no policy"),
            Self::Opaque => f.write_str("fragment without the ports that a policy selects"),
            Self::NoSa => f.write_str("no SA"),
            Self::Larval => f.write_str("SA is larval"),
            Self::Expired => f.write_str("SA expired"),
            Self::SourceMismatch => f.write_str("outer source address does not match the SA"),
            Self::Encapsulation => f.write_str("UDP encapsulation does not match the SA"),
            Self::Cleartext => f.write_str("cleartext packet matches a PROTECT policy"),
            Self::SaMismatch => f.write_str("SA does not match the policy"),
            Self::TooManyHeaders => write!(f, "too many IPsec headers: expected at most {MAX_HEADERS}"),
            Self::Open(e) => e.fmt(f),
            Self::Verify(e) => e.fmt(f),
            Self::Ipcomp(e) => e.fmt(f),
            Self::Tunnel(e) => e.fmt(f),
            Self::Beet(e) => e.fmt(f),
            Self::Udp(e) => e.fmt(f),
            Self::Dummy => f.write_str("dummy"),
            Self::KeepAlive => f.write_str("NAT-keepalive"),
            Self::Seal(e) => e.fmt(f),
            Self::Sign(e) => e.fmt(f),
            Self::TooBig { mtu } => write!(f, "packet too big: MTU {mtu}"),
        }
    }
}

impl DiscardReason {
    /// Returns whether the peer, the caller or the library has caused the error. A policy of the configuration that
    /// discards a packet is not a fault of the caller: the engine performed what was requested.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Malformed(e) => e.fault(),
            Self::Open(e) => e.fault(),
            Self::Verify(e) => e.fault(),
            Self::Tunnel(e) => e.fault(),
            Self::Beet(e) => e.fault(),
            Self::Udp(e) => e.fault(),
            Self::Seal(e) => e.fault(),
            Self::Sign(e) => e.fault(),
            Self::Ipcomp(DecompressError::NoSpace(_)) | Self::TooBig { .. } => Fault::Caller,
            Self::Ipcomp(_)
            | Self::Fragment
            | Self::Policy
            | Self::NoPolicy
            | Self::Opaque
            | Self::NoSa
            | Self::Larval
            | Self::Expired
            | Self::SourceMismatch
            | Self::Encapsulation
            | Self::Cleartext
            | Self::SaMismatch
            | Self::TooManyHeaders
            | Self::Dummy
            | Self::KeepAlive => Fault::Peer,
        }
    }
}

impl core::error::Error for DiscardReason {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(e) => Some(e),
            Self::Open(e) => Some(e),
            Self::Verify(e) => Some(e),
            Self::Ipcomp(e) => Some(e),
            Self::Tunnel(e) => Some(e),
            Self::Beet(e) => Some(e),
            Self::Udp(e) => Some(e),
            Self::Seal(e) => Some(e),
            Self::Sign(e) => Some(e),
            _ => None,
        }
    }
}
