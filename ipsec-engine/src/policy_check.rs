//! Whether a packet came the way a policy asks for.

use core::net::IpAddr;

use heapless::Vec;

use crate::policy::{Bundle, MAX_TRANSFORMS, Mode, PolicyId, Protocol, Template};

/// Headers that are taken off one packet at most.
pub(crate) const MAX_HEADERS: usize = 8;

/// An SA that a packet came through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppliedSa {
    pub(crate) protocol: Protocol,
    /// As it was used: transport, tunnel or BEET.
    pub(crate) mode: Mode,
    /// The ends of the SA.
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) reqid: u32,
}

/// The SAs that a packet came through, from the outside.
#[derive(Debug)]
pub(crate) struct SecPath {
    applied: Vec<AppliedSa, MAX_HEADERS>,
    /// `outer_matched[n]`: the first n of them are what policies ask for between the gateways on the way; the rest is the matter
    /// of the policy for what is inside.
    outer_matched: [bool; MAX_HEADERS + 1],
}

impl SecPath {
    pub(crate) const fn new() -> Self {
        let mut outer_matched = [false; MAX_HEADERS + 1];
        let [first, ..] = &mut outer_matched;
        *first = true;
        Self { applied: Vec::new(), outer_matched }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.applied.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.applied.is_full()
    }

    /// Whether ESP or AH is among them.
    pub(crate) fn is_authentic(&self) -> bool {
        self.applied.iter().any(|applied| applied.protocol != Protocol::Ipcomp)
    }

    /// One more; of too many nothing is kept, see [`is_full`](Self::is_full).
    pub(crate) fn push(&mut self, applied: AppliedSa) {
        let _ = self.applied.push(applied);
    }

    /// What is left to the policy of the packet inside: each way to divide the SAs.
    fn remaining(&self) -> impl Iterator<Item = &[AppliedSa]> {
        self.outer_matched
            .iter()
            .enumerate()
            .filter(|(_, outer_matched)| **outer_matched)
            .filter_map(|(n, _)| self.applied.get(n..))
    }

    /// Whether the SAs are those that a policy asks for.
    pub(crate) fn satisfies(&self, id: PolicyId, bundle: &Bundle, is_optional: impl Fn(&Template) -> bool) -> bool {
        self.remaining().any(|applied| admits(id, bundle, applied, &is_optional))
    }

    /// Whether a policy may still turn out to be content once `next`, and what is inside it, was opened.
    pub(crate) fn may_satisfy(
        &self,
        next: &AppliedSa,
        id: PolicyId,
        bundle: &Bundle,
        is_optional: impl Fn(&Template) -> bool,
    ) -> bool {
        self.remaining().any(|applied| begins(id, bundle, applied.iter().chain([next]), &is_optional))
    }

    /// Whether no tunnel is left to the policy of the packet inside.
    pub(crate) fn is_without_tunnel(&self) -> bool {
        self.remaining().any(|applied| applied.iter().all(|applied| applied.mode == Mode::Transport))
    }

    /// The policy for what was opened so far is content with it.
    pub(crate) fn match_outer_policy(
        &mut self,
        id: PolicyId,
        bundle: &Bundle,
        is_optional: impl Fn(&Template) -> bool,
    ) {
        if self.satisfies(id, bundle, is_optional)
            && let Some(outer_matched) = self.outer_matched.get_mut(self.applied.len())
        {
            *outer_matched = true;
        }
    }
}

/// Whether a packet that came through these SAs, told from the outside, has what a bundle asks for: each transform in its
/// order, but for those that are optional, and nothing else.
fn admits(id: PolicyId, bundle: &Bundle, applied: &[AppliedSa], is_optional: impl Fn(&Template) -> bool) -> bool {
    // `reached[n]`: the transforms so far can account for the n innermost SAs.
    let mut reached = [false; MAX_TRANSFORMS + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for template in bundle.iter() {
        let optional = may_be_absent(template, &is_optional);
        let mut next = [false; MAX_TRANSFORMS + 1];
        for (n, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
            let by_this =
                applied.iter().rev().nth(n).is_some_and(|applied| satisfies(applied, template, id.reqid(template)));
            if let (true, Some(slot)) = (by_this, next.get_mut(n.saturating_add(1))) {
                *slot = true;
            }
            if let (true, Some(slot)) = (optional, next.get_mut(n)) {
                *slot = true;
            }
        }
        reached = next;
    }
    reached.get(applied.len()) == Some(&true)
}

/// Whether these SAs, told from the outside, are what the outermost transforms of a bundle ask for; the others are still to come.
fn begins<'c>(
    id: PolicyId,
    bundle: &Bundle,
    applied: impl Iterator<Item = &'c AppliedSa>,
    is_optional: &impl Fn(&Template) -> bool,
) -> bool {
    // `reached[n]`: all but the n innermost transforms can account for the SAs so far.
    let transforms = bundle.iter().count();
    let mut reached = [false; MAX_TRANSFORMS + 1];
    if let Some(all) = reached.get_mut(transforms) {
        *all = true;
    }
    for applied in applied {
        let mut next = [false; MAX_TRANSFORMS + 1];
        // From the outside: transforms that may be absent are passed over.
        for n in (0..transforms).rev() {
            let Some(template) = bundle.iter().nth(n) else { break };
            if reached.get(n.saturating_add(1)) != Some(&true) {
                continue;
            }
            if let (true, Some(slot)) = (satisfies(applied, template, id.reqid(template)), next.get_mut(n)) {
                *slot = true;
            }
            if let (true, Some(slot)) = (may_be_absent(template, is_optional), reached.get_mut(n)) {
                *slot = true;
            }
        }
        reached = next;
    }
    reached.contains(&true)
}

/// Whether a packet may come without this transform.
fn may_be_absent(template: &Template, is_optional: &impl Fn(&Template) -> bool) -> bool {
    // What is not worth compressing is sent as it is.
    //= RFC 3173 2/2
    is_optional(template) || template.protocol == Protocol::Ipcomp && template.mode != Mode::Tunnel
}

fn satisfies(applied: &AppliedSa, template: &Template, reqid: u32) -> bool {
    let ends = match (&template.ends, applied.mode) {
        (Some(ends), _) => ends.matches(applied.source, applied.destination),
        // Its ends are those of the packet, which the SA has been compared with.
        (None, mode) => mode == Mode::Transport,
    };
    applied.protocol == template.protocol
        && (template.mode == Mode::Any || template.mode == applied.mode)
        && ends
        && (reqid == 0 || applied.reqid == reqid)
}
