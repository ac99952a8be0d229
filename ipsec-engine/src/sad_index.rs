//! Order of the SAs besides their slots: by identifier, by peer and request ID, by deadline, and by pending events. In
//! fixed memory only the identifiers are indexed, and other look-ups search all SAs; with the feature `alloc`,
//! every look-up has an index.

#[cfg(not(feature = "alloc"))]
mod fixed;
#[cfg(feature = "alloc")]
mod heap;

use core::net::IpAddr;
use core::time::Duration;

use ipsec_packet::Instant;
use ipsec_sa::{Direction, Protocol, SaId};

use crate::hash_index::{address, hash};
use crate::spd::Chosen;
#[cfg(not(feature = "alloc"))]
pub(crate) use fixed::SadIndex;
#[cfg(feature = "alloc")]
pub(crate) use heap::SadIndex;

/// State of the SAs that a choice depends on.
#[cfg(not(feature = "alloc"))]
type Stamp = u32;
#[cfg(feature = "alloc")]
type Stamp = u64;

/// SAs that were chosen for a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownChoice {
    pub(crate) chosen: Chosen,
    /// Indices of the stamps on which the choice depends.
    #[cfg(feature = "alloc")]
    depends: heap::Depends,
    /// State of the SAs at the time of the choice.
    stamp: Stamp,
}

/// Properties of an SA by which it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Linked {
    pub(crate) id: SaId,
    pub(crate) source: IpAddr,
    pub(crate) reqid: u32,
    /// UDP port at which the peer of an inbound SA sends ESP.
    pub(crate) local_port: Option<u16>,
}

#[cfg(feature = "alloc")]
impl Linked {
    /// Returns the destination of an inbound SA, without UDP port and with the one that it has.
    fn local(&self) -> impl Iterator<Item = (IpAddr, Option<u16>)> + use<> {
        let (destination, port) = (self.id.destination, self.local_port);
        core::iter::once((destination, None)).chain(port.map(|port| (destination, Some(port))))
    }
}

/// Properties that the SA of a template has. A linear search does not need them, as the SA itself is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    #[cfg(feature = "alloc")]
    by: heap::By,
    #[cfg(feature = "alloc")]
    hash: u64,
}

impl Wanted {
    /// Returns the properties of an SA with this protocol, this destination, `None` for any, and this request ID, 0 for
    /// any.
    #[cfg(feature = "alloc")]
    pub(crate) fn new(protocol: Protocol, destination: Option<IpAddr>, reqid: u32) -> Self {
        Self { by: heap::By::of(destination, reqid), hash: heap::outbound(protocol, destination, reqid) }
    }

    #[cfg(not(feature = "alloc"))]
    pub(crate) const fn new(_: Protocol, _: Option<IpAddr>, _: u32) -> Self {
        Self {}
    }
}

/// Time at which the state of an SA changes without a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Never,
    At(Instant),
    /// The SA is larval since this time.
    Larval(Instant),
}

impl Due {
    /// Returns whether the time is reached. A clock that was set back does not extend the lifetime of a larval SA.
    fn is_over(self, now: Instant, larval_lifetime: Duration) -> bool {
        match self {
            Self::Never => false,
            Self::At(due) => due <= now,
            Self::Larval(added) => {
                added.saturating_add(larval_lifetime) <= now || now.saturating_add(larval_lifetime) <= added
            }
        }
    }

    fn time(self, larval_lifetime: Duration) -> Option<Instant> {
        match self {
            Self::Never => None,
            Self::At(due) => Some(due),
            Self::Larval(added) => Some(added.saturating_add(larval_lifetime)),
        }
    }
}

fn hash_of_id(id: &SaId) -> u64 {
    let [high, low] = address(id.destination);
    let kind = match id.direction {
        Direction::Inbound => number(id.protocol),
        Direction::Outbound => number(id.protocol) | 4,
    };
    hash([high, low, u64::from(id.spi) << 3 | kind])
}

const fn number(protocol: Protocol) -> u64 {
    match protocol {
        Protocol::Esp => 0,
        Protocol::Ah => 1,
        Protocol::Ipcomp => 2,
    }
}
