//! How large a packet may be, and what is said about larger ones (RFC 4301 8.2).

use core::time::Duration;

use ipsec_packet::{Flow, Ip, TooBig};

use crate::algorithms::Algorithms;
use crate::disposition::DiscardReason;
use crate::encapsulate::SizePlan;
use crate::engine::Engine;
use crate::policy::{Action, Bundle, PolicyDirection, Protocol};
use crate::sa::{Direction, Sa, SaId};
use crate::spd::{Chosen, Rule, Verdict};

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Refuses what does not fit through the tunnel and may not be fragmented. Says whether what an IPv4 tunnel carries has
    /// to be fragmented on the way, which its DF must not forbid then. TFC padding yields to the MTU first (RFC 4303 2.7).
    pub(crate) fn check_size(
        &self,
        now: Duration,
        bundle: &Bundle,
        chosen: &Chosen,
        plan: &mut SizePlan,
        packet: &[u8],
    ) -> Result<bool, DiscardReason> {
        let mtu = self.mtu(now, bundle, chosen);
        let Some(mtu) = mtu.filter(|&mtu| plan.length > mtu.into()) else { return Ok(false) };
        if let Some(shorter) = self.with_less_tfc(bundle, chosen, mtu, packet) {
            *plan = shorter;
            return Ok(false);
        }
        *plan = self.plan(bundle, chosen, packet, 0)?;
        let (fragment, may_pass, least) = match Ip::parse(packet)? {
            // What may be fragmented inside may be outside, whatever the tunnel says about DF: nobody else could help.
            Ip::V4(ip) => (true, !ip.header().dont_fragment(), 68),
            // Nobody has to make smaller packets than any IPv6 link carries (RFC 8200 5): the outer one is fragmented
            // (RFC 4213 3.2.1).
            Ip::V6(ip) => (true, ip.packet().len() <= 1280, 1280),
        };
        match may_pass {
            true => Ok(fragment),
            //= RFC 4303 3.3.4/1
            false => Err(DiscardReason::TooBig { mtu: self.largest_inner(bundle, chosen, mtu, packet).max(least) }),
        }
    }

    /// The plan with the most TFC padding that fits; `None` when the packet does not fit without any.
    fn with_less_tfc(&self, bundle: &Bundle, chosen: &Chosen, mtu: u16, packet: &[u8]) -> Option<SizePlan> {
        let fits =
            |max_tfc| self.plan(bundle, chosen, packet, max_tfc).ok().filter(|plan| plan.length <= usize::from(mtu));
        let mut best = fits(0)?;
        // More padding makes no packet shorter: the largest that fits is found by halving.
        let (mut most, mut step) = (0usize, 1usize << 15);
        while step > 0 {
            if let Some(plan) = fits(most.saturating_add(step)) {
                (best, most) = (plan, most.saturating_add(step));
            }
            step >>= 1;
        }
        Some(best)
    }

    /// Octets that the path carries, as far as it is known.
    fn mtu(&self, now: Duration, bundle: &Bundle, chosen: &Chosen) -> Option<u16> {
        let life = self.settings.path_mtu_lifetime;
        let paths = self.through(bundle, chosen).filter_map(|(sa, _)| sa.path_mtu(now, life));
        paths.chain(self.settings.link_mtu).min()
    }

    /// The largest packet whose protected form has at most `mtu` octets: padding makes the sizes go in steps, so they are
    /// tried from above, and never more than a few.
    fn largest_inner(&self, bundle: &Bundle, chosen: &Chosen, mtu: u16, packet: &[u8]) -> u16 {
        let sealed = |inner: usize| {
            let mut plan = SizePlan::of(packet).ok()?.with_max_tfc(0);
            plan.length = inner;
            self.through(bundle, chosen).try_for_each(|(sa, mode)| plan.through(sa, mode, packet)).ok()?;
            Some(plan.length)
        };
        let mut inner = usize::from(mtu);
        for _ in 0..64 {
            match sealed(inner) {
                Some(length) => match length.checked_sub(mtu.into()) {
                    None | Some(0) => break,
                    Some(over) => inner = inner.saturating_sub(over.min(inner)),
                },
                // Longer than IP packets get.
                None => inner = inner.saturating_sub(512),
            }
        }
        // What was taken off may have been padding: up to a block and its trailer more may fit.
        let best = (inner..=inner.saturating_add(300)).take_while(|&inner| inner <= mtu.into());
        let best = best.filter(|&inner| sealed(inner).is_some_and(|length| length <= mtu.into())).last();
        best.and_then(|inner| u16::try_from(inner).ok()).unwrap_or(0)
    }

    /// Octets of the largest packet that leaves through a policy in one piece: `None` for a policy that protects nothing,
    /// or without an SA for it by now, or without a limit (RFC 4301 8.2.1).
    ///
    /// `like` is a packet that the policy is for: in transport mode its headers count.
    pub fn policy_mtu(&mut self, now: Duration, like: &[u8]) -> Option<u16> {
        let flow = Flow::read(like).ok()?;
        let (Verdict::Rule(at), _) = self.spd.lookup(PolicyDirection::Out, &flow) else { return None };
        let &Rule { id, policy, .. } = self.spd.rule(at)?;
        let Action::Ipsec(bundle) = policy.action else { return None };
        let chosen = self.choose(now, id, &bundle, &flow).ok()?;
        let mtu = self.mtu(now, &bundle, &chosen)?;
        Some(self.largest_inner(&bundle, &chosen, mtu, like))
    }

    /// Takes in a router's report that a packet of one of our SAs was too big, and says whether it lowered the MTU of one. It is not
    /// authentic (RFC 4301 6.1.1, 8.2.1): the packet it quotes must be one that an SA has sent, by addresses, SPI and sequence number
    /// as far as they are quoted, of ESP in UDP by the ports otherwise. It only ever lowers an MTU, not below
    /// [`Settings::min_path_mtu`](crate::Settings::least_path_mtu), and for
    /// [`Settings::path_mtu_lifetime`](crate::Settings::path_mtu_life). Whether reports are taken in at all is the caller's choice.
    pub fn path_mtu_report(&mut self, now: Duration, report: &TooBig) -> bool {
        let protocol = if report.protocol == ipsec_packet::IpProto::ESP { Protocol::Esp } else { Protocol::Ah };
        let Some(spi) = report.spi else {
            // Those with these ports, of which only one sends to one peer as a rule.
            let mut lowered = false;
            for at in (0..).take(SAS) {
                lowered |= self.lower_path_mtu(now, at, report);
            }
            return lowered;
        };
        let key = SaId { direction: Direction::Outbound, destination: report.destination, protocol, spi: spi.get() };
        self.sad.find(&key, report.source).is_some_and(|at| self.lower_path_mtu(now, at, report))
    }

    fn lower_path_mtu(&mut self, now: Duration, at: u16, report: &TooBig) -> bool {
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

/// Whether a report is about a packet that an SA has sent.
fn is_about<A: Algorithms>(sa: &Sa<A>, report: &TooBig) -> bool {
    let key = sa.key();
    // One that was not used yet has sent nothing; of extended numbers, half of 2^32 before the last.
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
