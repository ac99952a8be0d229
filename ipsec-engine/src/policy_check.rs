//! Whether a packet came the way a policy asks for.

use core::net::IpAddr;

use heapless::Vec;

use crate::policy::{Bundle, MAX_TRANSFORMS, Mode, PolicyId, Protocol, Template};

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

/// The SAs that a packet came through, from the outside.
#[derive(Debug)]
pub(crate) struct History {
    came: Vec<Came, MAX_HEADERS>,
    /// `settled[n]`: the first n of them are what policies ask for between the gateways on the way; the rest is the matter
    /// of the policy for what is inside.
    settled: [bool; MAX_HEADERS + 1],
}

impl History {
    pub(crate) const fn new() -> Self {
        let mut settled = [false; MAX_HEADERS + 1];
        let [first, ..] = &mut settled;
        *first = true;
        Self { came: Vec::new(), settled }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.came.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.came.is_full()
    }

    /// Whether ESP or AH is among them.
    pub(crate) fn is_authentic(&self) -> bool {
        self.came.iter().any(|came| came.protocol != Protocol::Ipcomp)
    }

    /// One more; of too many nothing is kept, see [`is_full`](Self::is_full).
    pub(crate) fn push(&mut self, came: Came) {
        let _ = self.came.push(came);
    }

    /// What is left to the policy of the packet inside: each way to divide the SAs.
    fn rests(&self) -> impl Iterator<Item = &[Came]> {
        self.settled.iter().enumerate().filter(|(_, settled)| **settled).filter_map(|(n, _)| self.came.get(n..))
    }

    /// Whether the SAs are those that a policy asks for.
    pub(crate) fn is_by(&self, id: PolicyId, bundle: &Bundle, is_optional: impl Fn(&Template) -> bool) -> bool {
        self.rests().any(|came| admits(id, bundle, came, &is_optional))
    }

    /// Whether a policy may still turn out to be content once `next`, and what is inside it, was opened.
    pub(crate) fn may_be_by(
        &self,
        next: &Came,
        id: PolicyId,
        bundle: &Bundle,
        is_optional: impl Fn(&Template) -> bool,
    ) -> bool {
        self.rests().any(|came| begins(id, bundle, came.iter().chain([next]), &is_optional))
    }

    /// Whether no tunnel is left to the policy of the packet inside.
    pub(crate) fn is_without_tunnel(&self) -> bool {
        self.rests().any(|came| came.iter().all(|came| came.mode == Mode::Transport))
    }

    /// The policy for what was opened so far is content with it.
    pub(crate) fn settle(&mut self, id: PolicyId, bundle: &Bundle, is_optional: impl Fn(&Template) -> bool) {
        if self.is_by(id, bundle, is_optional)
            && let Some(settled) = self.settled.get_mut(self.came.len())
        {
            *settled = true;
        }
    }
}

/// Whether a packet that came through these SAs, told from the outside, has what a bundle asks for: each transform in its
/// order, but for those that are optional, and nothing else.
fn admits(id: PolicyId, bundle: &Bundle, came: &[Came], is_optional: impl Fn(&Template) -> bool) -> bool {
    // `reached[n]`: the transforms so far can account for the n innermost SAs.
    let mut reached = [false; MAX_TRANSFORMS + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for request in bundle.iter() {
        let optional = may_be_absent(request, &is_optional);
        let mut next = [false; MAX_TRANSFORMS + 1];
        for (n, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
            let by_this = came.iter().rev().nth(n).is_some_and(|came| is_by(came, request, id.request_id(request)));
            if let (true, Some(slot)) = (by_this, next.get_mut(n.saturating_add(1))) {
                *slot = true;
            }
            if let (true, Some(slot)) = (optional, next.get_mut(n)) {
                *slot = true;
            }
        }
        reached = next;
    }
    reached.get(came.len()) == Some(&true)
}

/// Whether these SAs, told from the outside, are what the outermost transforms of a bundle ask for; the others are still to come.
fn begins<'c>(
    id: PolicyId,
    bundle: &Bundle,
    came: impl Iterator<Item = &'c Came>,
    is_optional: &impl Fn(&Template) -> bool,
) -> bool {
    // `reached[n]`: all but the n innermost transforms can account for the SAs so far.
    let transforms = bundle.iter().count();
    let mut reached = [false; MAX_TRANSFORMS + 1];
    if let Some(all) = reached.get_mut(transforms) {
        *all = true;
    }
    for came in came {
        let mut next = [false; MAX_TRANSFORMS + 1];
        // From the outside: transforms that may be absent are passed over.
        for n in (0..transforms).rev() {
            let Some(request) = bundle.iter().nth(n) else { break };
            if reached.get(n.saturating_add(1)) != Some(&true) {
                continue;
            }
            if let (true, Some(slot)) = (is_by(came, request, id.request_id(request)), next.get_mut(n)) {
                *slot = true;
            }
            if let (true, Some(slot)) = (may_be_absent(request, is_optional), reached.get_mut(n)) {
                *slot = true;
            }
        }
        reached = next;
    }
    reached.contains(&true)
}

/// Whether a packet may come without this transform.
fn may_be_absent(request: &Template, is_optional: &impl Fn(&Template) -> bool) -> bool {
    // What is not worth compressing is sent as it is.
    //= RFC 3173 2/2
    is_optional(request) || request.protocol == Protocol::Ipcomp && request.mode != Mode::Tunnel
}

fn is_by(came: &Came, request: &Template, request_id: u32) -> bool {
    let ends = match (&request.ends, came.mode) {
        (Some(ends), _) => ends.name(came.source, came.destination),
        // Its ends are those of the packet, which the SA has been compared with.
        (None, mode) => mode == Mode::Transport,
    };
    came.protocol == request.protocol
        && (request.mode == Mode::Any || request.mode == came.mode)
        && ends
        && (request_id == 0 || came.request_id == request_id)
}
