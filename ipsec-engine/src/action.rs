use crate::discard::DiscardReason;
use ipsec_sa::{Acquire, SaId};

/// Result of outbound processing (RFC 4301 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum OutboundAction {
    /// The packet was protected; the contents of the buffer are to be sent.
    Send,
    /// The packet is to be sent unmodified: it matches a BYPASS policy, or no policy and the engine is configured to
    /// bypass.
    Bypass,
    /// The packet matches a PROTECT policy and no SA exists. It is unmodified; the caller queues or drops it.
    Acquire(Acquire),
    /// The packet must be discarded.
    Discard(DiscardReason),
}

impl OutboundAction {
    /// Returns the reason why the packet is discarded, if it is.
    pub const fn reason(&self) -> Option<&DiscardReason> {
        match self {
            Self::Discard(reason) => Some(reason),
            Self::Send | Self::Bypass | Self::Acquire(_) => None,
        }
    }
}

/// Result of inbound processing (RFC 4301 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum InboundAction {
    /// The packet was decapsulated; the contents of the buffer are to be delivered or forwarded.
    Deliver {
        /// SA of the innermost ESP or AH header, which has authenticated the packet that is delivered: its peer is
        /// alive, and has installed its half of this SA. Where headers are nested, the peers of the other SAs are
        /// alive as well; [`Usage::last`](crate::Usage::last) of each SA has the time.
        ///
        /// It is an IPComp SA only if the packet had neither ESP nor AH. Such a packet does not authenticate its
        /// sender.
        sa: SaId,
    },
    /// The packet is to be delivered or forwarded unmodified: it matches a BYPASS policy, or no policy and the engine
    /// is configured to bypass.
    Bypass,
    /// The packet must be discarded.
    Discard(DiscardReason),
}

impl InboundAction {
    /// Returns the reason why the packet is discarded, if it is.
    pub const fn reason(&self) -> Option<&DiscardReason> {
        match self {
            Self::Discard(reason) => Some(reason),
            Self::Deliver { .. } | Self::Bypass => None,
        }
    }
}
