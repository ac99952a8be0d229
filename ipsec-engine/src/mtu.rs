//! Path MTU of outbound SAs, and packets that exceed it (RFC 4301 section 8.2).

use core::net::IpAddr;

use ipsec_packet::{Detail, Flow, Instant, ParsedIp, TooBig};

use crate::algorithms::Algorithms;
use crate::discard::DiscardReason;
use crate::encapsulate::{Inner, SizePlan};
use crate::engine::Engine;
use crate::policy_set::{Rule, Verdict};
use crate::sa::Sa;
use crate::sad_index::Wanted;
use crate::spd::Chosen;
use crate::table::SlotNumber;
use ipsec_sa::{Action, Direction, Mode, PolicyDirection, Protocol, SaId};

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Refuses a packet that exceeds the MTU of the tunnel and must not be fragmented. Returns whether the packet of
    /// an IPv4 tunnel has to be fragmented on its way, so that its DF bit must be clear. TFC padding is reduced
    /// before (RFC 4303 section 2.7).
    pub(crate) fn check_size(
        &self,
        now: Instant,
        chosen: &Chosen,
        plan: &mut SizePlan,
        inner: Inner<'_>,
    ) -> Result<bool, DiscardReason> {
        let mtu = self.mtu(now, chosen);
        let Some(mtu) = mtu.filter(|&mtu| plan.length > mtu.into()) else { return Ok(false) };
        if let Some(shorter) = self.with_less_tfc(chosen, mtu, inner) {
            *plan = shorter;
            return Ok(false);
        }
        *plan = self.plan(chosen, inner, 0)?;
        let (may_pass, least) = match inner.ip.version() {
            // A packet that may be fragmented inside the tunnel may be fragmented outside, regardless of the DF rule of
            // the tunnel is: the sender cannot help.
            4 => (!inner.ip.dont_fragment(), 68),
            // No sender has to make packets smaller than the minimum MTU of IPv6 (RFC 8200 section 5): the outer
            // packet is fragmented (RFC 4213 section 3.2.1).
            _ => (inner.ip.len() <= 1280, 1280),
        };
        match may_pass {
            true => Ok(true),
            //= RFC 4303 3.3.4/1
            //# MUST: ICMP pmtu messages can be generated
            false => Err(DiscardReason::TooBig { mtu: self.largest_inner(chosen, mtu, inner).max(least) }),
        }
    }

    /// Returns the plan with the most TFC padding that fits; `None` if the packet does not fit without padding.
    fn with_less_tfc(&self, chosen: &Chosen, mtu: u16, inner: Inner<'_>) -> Option<SizePlan> {
        let fits = |max_tfc| self.plan(chosen, inner, max_tfc).ok().filter(|plan| plan.length <= usize::from(mtu));
        let mut best = fits(0)?;
        // The length does not decrease with padding, so the largest padding that fits is found by bisection.
        let (mut most, mut step) = (0usize, 1usize << 15);
        while step > 0 {
            if let Some(plan) = fits(most.saturating_add(step)) {
                (best, most) = (plan, most.saturating_add(step));
            }
            step >>= 1;
        }
        Some(best)
    }

    /// Returns the path MTU of the SAs, if it is known.
    fn mtu(&self, now: Instant, chosen: &Chosen) -> Option<u16> {
        let life = self.settings.path_mtu_lifetime;
        let paths = self.through(chosen).flat_map(|(sa, _)| [sa.path_mtu(now, life), sa.max_packet]);
        paths.flatten().chain(self.settings.link_mtu).min()
    }

    /// Returns the length of the largest packet whose protected form has at most `mtu` octets. Padding makes the
    /// lengths grow in steps, so a few are tried from above.
    fn largest_inner(&self, chosen: &Chosen, mtu: u16, like: Inner<'_>) -> u16 {
        let sealed = |inner: usize| {
            let mut plan = SizePlan::of(like.ip).with_max_tfc(0);
            plan.length = inner;
            self.through(chosen).try_for_each(|(sa, mode)| plan.through(sa, mode, like)).ok()?;
            Some(plan.length)
        };
        let mut inner = usize::from(mtu);
        for _ in 0..64 {
            match sealed(inner) {
                Some(length) => match length.checked_sub(mtu.into()) {
                    None | Some(0) => break,
                    Some(over) => inner = inner.saturating_sub(over.min(inner)),
                },
                // The protected packet would exceed 65,535 octets.
                None => inner = inner.saturating_sub(512),
            }
        }
        // The excess may have been padding: a packet that is longer by up to a block and its trailer may fit.
        let best = (inner..=inner.saturating_add(300)).take_while(|&inner| inner <= mtu.into());
        let best = best.filter(|&inner| sealed(inner).is_some_and(|length| length <= mtu.into())).last();
        best.and_then(|inner| u16::try_from(inner).ok()).unwrap_or(0)
    }

    /// Returns the length of the largest packet that a policy sends in one piece, in octets; `None` if the policy
    /// protects nothing, has no SA yet, or has no limit (RFC 4301 section 8.2.1).
    ///
    /// `like` is a packet that the policy selects; in transport mode its headers count.
    pub fn policy_mtu(&mut self, like: &[u8], now: Instant) -> Option<u16> {
        self.policy_mtu_over(like, now, |_, _| None)
    }

    /// Returns the same as [`policy_mtu`](Self::policy_mtu), where `route_mtu` returns the MTU of the route from the
    /// source to the destination address of the outermost header, if it is known.
    pub fn policy_mtu_over(
        &mut self,
        like: &[u8],
        now: Instant,
        route_mtu: impl FnOnce(IpAddr, IpAddr) -> Option<u16>,
    ) -> Option<u16> {
        self.policy_mtu_of(Inner { ip: &ParsedIp::read(like).ok()?, packet: like }, now, route_mtu)
    }

    /// Returns the same as [`policy_mtu_over`](Self::policy_mtu_over) for headers that were read.
    pub(crate) fn policy_mtu_of(
        &mut self,
        like: Inner<'_>,
        now: Instant,
        route_mtu: impl FnOnce(IpAddr, IpAddr) -> Option<u16>,
    ) -> Option<u16> {
        let flow = like.ip.flow().ok()?;
        let lookup = self.spd.lookup(None, PolicyDirection::Out, &flow);
        let Verdict::Rule(at) = lookup.verdict else { return None };
        let &Rule { id, policy, .. } = self.spd.policies().rule(at)?;
        let Action::Protect(bundle) = policy.action else { return None };
        let chosen = self.choose(now, (id, &bundle), (&flow, lookup)).ok()?;
        let ends = self.through(&chosen).last().map(|(sa, _)| (sa.source, sa.destination));
        let of_route = ends.and_then(|(source, destination)| route_mtu(source, destination));
        let mtu = self.mtu(now, &chosen).into_iter().chain(of_route).min()?;
        Some(self.largest_inner(&chosen, mtu, like))
    }

    /// Returns the largest length in octets of the fragments into which an IPv4 packet is divided before it enters a
    /// tunnel, because an SA limits the size of its packets ([`Sa::with_max_packet`]). The packets of the SA are then
    /// not fragmented, as some NATs require.
    ///
    /// `None` if no SA has a limit, the packet fits or must not be fragmented, is a fragment itself, or is protected in
    /// transport mode, or if its fragments, which have no ports, are not those of its policy.
    pub fn fragment_size(&mut self, packet: &[u8], now: Instant) -> Option<u16> {
        let ip = ParsedIp::read(packet).ok()?;
        if ip.version() != 4 || ip.dont_fragment() || ip.is_fragment() {
            return None;
        }
        let flow = ip.flow().ok()?;
        let lookup = self.spd.lookup(None, PolicyDirection::Out, &flow);
        let Verdict::Rule(at) = lookup.verdict else { return None };
        let &Rule { id, policy, .. } = self.spd.policies().rule(at)?;
        let Action::Protect(bundle) = policy.action else { return None };
        let chosen = self.choose(now, (id, &bundle), (&flow, lookup)).ok()?;
        let limit = self.through(&chosen).filter_map(|(sa, _)| sa.max_packet).min()?;
        let is_tunnel = self.through(&chosen).any(|(_, mode)| mode == Mode::Tunnel);
        let size = self.largest_inner(&chosen, limit, Inner { ip: &ip, packet });
        let later = Flow { detail: Detail::Opaque, ..flow };
        let of_later = self.spd.lookup(None, PolicyDirection::Out, &later).verdict;
        let is_same = matches!(of_later, Verdict::Rule(other) if other == at);
        (is_tunnel && is_same && ip.len() > size.into()).then_some(size)
    }

    /// Applies an ICMP report that a packet of an SA was too big. Returns whether it lowered the path MTU of an SA.
    ///
    /// A report is not authentic (RFC 4301 sections 6.1.1 and 8.2.1). It must quote a packet that an SA has sent:
    /// addresses, SPI and sequence number are compared as far as they are quoted, and the ports of ESP in UDP
    /// otherwise. A report only lowers an MTU, not below
    /// [`Settings::min_path_mtu`](crate::Settings::min_path_mtu), and for
    /// [`Settings::path_mtu_lifetime`](crate::Settings::path_mtu_lifetime). Whether reports are applied at all is the
    /// decision of the caller.
    pub fn path_mtu_report(&mut self, report: &TooBig, now: Instant) -> bool {
        let protocol = if report.protocol == ipsec_packet::IpProto::ESP { Protocol::Esp } else { Protocol::Ah };
        let Some(spi) = report.spi else {
            // These are the SAs with the quoted ports; as a rule only one of them sends to a peer.
            let mut lowered = false;
            let wanted = Wanted::new(protocol, Some(report.destination), 0);
            let mut behind = None;
            while let Some(at) = self.sad.next_wanted(&wanted, behind) {
                lowered |= self.lower_path_mtu(now, at, report);
                behind = Some(at);
            }
            return lowered;
        };
        let peer_port = report.ports.map(|ports| ports.destination);
        let key = SaId { peer_port, ..SaId::outbound(report.destination, protocol, spi.get()) };
        self.sad.find(&key, report.source).is_some_and(|at| self.lower_path_mtu(now, at, report))
    }

    fn lower_path_mtu(&mut self, now: Instant, at: SlotNumber, report: &TooBig) -> bool {
        let life = self.settings.path_mtu_lifetime;
        let [least_v4, least_v6] = self.settings.min_path_mtu;
        let Some(sa) = self.sad.get_mut(at).and_then(|slot| slot.sa.as_mut()) else { return false };
        if !is_about(sa, report) {
            return false;
        }
        let least = if report.destination.is_ipv4() { least_v4 } else { least_v6 };
        let told = report.mtu.max(least);
        let lower = sa.path_mtu(now, life).is_none_or(|known| told < known);
        if lower {
            sa.path_mtu = Some((told, now.saturating_add(life)));
        }
        lower
    }
}

/// Returns whether a report quotes a packet that an SA has sent.
fn is_about<A: Algorithms>(sa: &Sa<A>, report: &TooBig) -> bool {
    let key = sa.key();
    // An SA that was not used has not sent packets. With extended sequence numbers, half of 2^32 before the last one
    // counts as sent.
    let is_sent = |sequence: u32| {
        let last = sa.transform().sequence().map_or(0, ipsec_packet::Seq::get);
        let age = u32::from_be_bytes(ipsec_packet::Seq::new(last).low()).wrapping_sub(sequence);
        u64::from(age) < last && age < 1 << 31
    };
    key.direction == Direction::Outbound
        && (sa.source, sa.destination) == (report.source, report.destination)
        && sa.encap.map(|encap| encap.ports) == report.ports
        && report.sequence.is_none_or(is_sent)
}
