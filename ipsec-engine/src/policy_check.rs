//! Comparison of the SAs that a packet was received on with the templates of a policy (RFC 4301 section 5.2).

use core::net::IpAddr;

use heapless::Vec;
use ipsec_sa::{Bundle, MAX_TRANSFORMS, Mode, PolicyId, Protocol, Template};

/// Largest number of IPsec headers that are removed from one packet.
pub(crate) const MAX_HEADERS: usize = 8;

/// SA that was applied to a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppliedSa {
    pub(crate) protocol: Protocol,
    /// Mode in which the SA was used: transport, tunnel or BEET.
    pub(crate) mode: Mode,
    /// Source address of the SA.
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) reqid: u32,
}

/// SAs that were applied to a packet, the outermost first.
#[derive(Debug)]
pub(crate) struct SecPath {
    applied: Vec<AppliedSa, MAX_HEADERS>,
    /// `outer_matched[n]`: policies for the addresses of the security gateways have matched the first n SAs; the
    /// policy of the inner packet has to match the others.
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

    /// Returns whether ESP or AH was applied.
    pub(crate) fn is_authentic(&self) -> bool {
        self.applied.iter().any(|applied| applied.protocol != Protocol::Ipcomp)
    }

    /// Records one more SA. A full path is not changed, see [`is_full`](Self::is_full).
    pub(crate) fn push(&mut self, applied: AppliedSa) {
        let _ = self.applied.push(applied);
    }

    /// Iterates over the SAs that the policy of the inner packet has to match: one slice for each way to divide the
    /// path.
    fn remaining(&self) -> impl Iterator<Item = &[AppliedSa]> {
        self.outer_matched
            .iter()
            .enumerate()
            .filter(|(_, outer_matched)| **outer_matched)
            .filter_map(|(n, _)| self.applied.get(n..))
    }

    /// Returns whether the SAs match the templates of a policy.
    pub(crate) fn satisfies(&self, id: PolicyId, bundle: &Bundle, is_optional: impl Fn(&Template) -> bool) -> bool {
        self.remaining().any(|applied| matches_bundle(id, bundle, applied, &is_optional))
    }

    /// Returns whether a policy may still match once `next` and the packet inside it are decapsulated.
    pub(crate) fn may_satisfy(
        &self,
        next: &AppliedSa,
        id: PolicyId,
        bundle: &Bundle,
        is_optional: impl Fn(&Template) -> bool,
    ) -> bool {
        self.remaining().any(|applied| matches_outermost(id, bundle, applied.iter().chain([next]), &is_optional))
    }

    /// Returns whether the policy of the inner packet has to match no tunnel.
    pub(crate) fn is_without_tunnel(&self) -> bool {
        self.remaining().any(|applied| applied.iter().all(|applied| applied.mode == Mode::Transport))
    }

    /// Records that the policy of the packet that was decapsulated so far matches the SAs so far.
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

/// Returns whether these SAs, the outermost first, match a bundle: each template in its order, except for those that
/// are optional, and no other SA.
fn matches_bundle(
    id: PolicyId,
    bundle: &Bundle,
    applied: &[AppliedSa],
    is_optional: impl Fn(&Template) -> bool,
) -> bool {
    // `reached[n]`: the templates so far can match the n innermost SAs.
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

/// Returns whether these SAs, the outermost first, match the outermost templates of a bundle; the other templates are
/// still to be matched.
fn matches_outermost<'c>(
    id: PolicyId,
    bundle: &Bundle,
    applied: impl Iterator<Item = &'c AppliedSa>,
    is_optional: &impl Fn(&Template) -> bool,
) -> bool {
    // `reached[n]`: all but the n innermost templates can match the SAs so far.
    let transforms = bundle.iter().count();
    let mut reached = [false; MAX_TRANSFORMS + 1];
    if let Some(all) = reached.get_mut(transforms) {
        *all = true;
    }
    for applied in applied {
        let mut next = [false; MAX_TRANSFORMS + 1];
        // The outermost template comes first. Templates that may be absent are skipped.
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

/// Returns whether a packet may lack the header of this template.
fn may_be_absent(template: &Template, is_optional: &impl Fn(&Template) -> bool) -> bool {
    // A payload that compression does not make smaller is sent uncompressed.
    //= RFC 3173 2/2
    //# MUST: inbound processing takes compressed and uncompressed datagrams
    is_optional(template) || template.protocol == Protocol::Ipcomp && template.mode != Mode::Tunnel
}

fn satisfies(applied: &AppliedSa, template: &Template, reqid: u32) -> bool {
    let ends = match (&template.ends, applied.mode) {
        (Some(ends), _) => ends.matches(applied.source, applied.destination),
        // A template without endpoints has the addresses of the packet, with which the SA was compared.
        (None, mode) => mode == Mode::Transport,
    };
    applied.protocol == template.protocol
        && (template.mode == Mode::Any || template.mode == applied.mode)
        && ends
        && (reqid == 0 || applied.reqid == reqid)
}
