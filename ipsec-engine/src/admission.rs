//! Whether a packet came the way a policy asks for.

use core::net::IpAddr;

use crate::engine::request_id;
use crate::policy::{Bundle, MAX_TRANSFORMS, Mode, PolicyId, Protocol, Request};

/// Headers that are taken off one packet at most.
pub(crate) const MAX_HEADERS: usize = 8;

/// An SA that a packet came through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    pub(crate) protocol: Protocol,
    /// As it was used: transport, tunnel or BEET.
    pub(crate) mode: Mode,
    /// The ends of the SA.
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) request_id: u32,
}

/// Whether a packet that came through these SAs, told from the outside, has what a bundle asks for: each transform in its
/// order, but for those that are optional, and nothing else.
pub(crate) fn admits(id: PolicyId, bundle: &Bundle, came: &[Came], is_optional: impl Fn(&Request) -> bool) -> bool {
    // `reached[n]`: the transforms so far can account for the n innermost SAs.
    let mut reached = [false; MAX_TRANSFORMS + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for request in bundle.iter() {
        // What is not worth compressing is sent as it is.
        let optional = is_optional(request) || request.protocol == Protocol::Ipcomp && request.mode != Mode::Tunnel;
        let mut next = [false; MAX_TRANSFORMS + 1];
        for (n, so_far) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
            let by_this = came.iter().rev().nth(n).is_some_and(|came| is_by(came, request, request_id(id, request)));
            if let (true, Some(slot)) = (by_this, next.get_mut(n.saturating_add(1))) {
                *slot = *so_far;
            }
            if let (true, Some(slot)) = (optional, next.get_mut(n)) {
                *slot = true;
            }
        }
        reached = next;
    }
    reached.get(came.len()) == Some(&true)
}

fn is_by(came: &Came, request: &Request, request_id: u32) -> bool {
    let named = |end: Option<IpAddr>, own| end.is_none_or(|end| end == own);
    let ends = request
        .ends
        .is_none_or(|ends| named(ends.source.0, came.source) && named(ends.destination.0, came.destination));
    came.protocol == request.protocol
        && (request.mode == Mode::Any || request.mode == came.mode)
        && ends
        && (request_id == 0 || came.request_id == request_id)
}
