//! How large a packet may be, and what is said about larger ones (RFC 4301 8.2).

use core::time::Duration;

use ipsec_packet::{Flow, Ip, TooBig};

use crate::algorithms::Algorithms;
use crate::disposition::Reason;
use crate::engine::Engine;
use crate::policy::{Action, Bundle, Direction, Protocol};
use crate::protect::Plan;
use crate::sa::{SaKey, Way};
use crate::spd::{Chosen, Rule, Verdict};

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Refuses what does not fit through the tunnel and may not be fragmented. Says whether what an IPv4 tunnel carries has
    /// to be fragmented on the way, which its DF must not forbid then.
    pub(crate) fn check_size(
        &self,
        now: Duration,
        bundle: &Bundle,
        chosen: &Chosen,
        sealed: usize,
        packet: &[u8],
    ) -> Result<bool, Reason> {
        let mtu = self.mtu(now, bundle, chosen);
        let Some(mtu) = mtu.filter(|&mtu| sealed > mtu.into()) else { return Ok(false) };
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
            false => Err(Reason::TooBig { mtu: self.largest_inner(bundle, chosen, mtu, packet).max(least) }),
        }
    }

    /// Octets that the path carries, as far as it is known.
    fn mtu(&self, now: Duration, bundle: &Bundle, chosen: &Chosen) -> Option<u16> {
        let life = self.settings.path_mtu_life;
        let paths = self.through(bundle, chosen).filter_map(|(sa, _)| sa.path_mtu(now, life));
        paths.chain(self.settings.link_mtu).min()
    }

    /// The largest packet whose protected form has at most `mtu` octets: padding makes the sizes go in steps, so they are
    /// tried from above, and never more than a few.
    fn largest_inner(&self, bundle: &Bundle, chosen: &Chosen, mtu: u16, packet: &[u8]) -> u16 {
        let sealed = |inner: usize| {
            let mut plan = Plan::of(packet).ok()?;
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
        let (Verdict::Rule(at), _) = self.spd.lookup(Direction::Out, &flow) else { return None };
        let &Rule { id, policy, .. } = self.spd.rule(at)?;
        let Action::Ipsec(bundle) = policy.action else { return None };
        let chosen = self.choose(now, id, &bundle, &flow).ok()?;
        let mtu = self.mtu(now, &bundle, &chosen)?;
        Some(self.largest_inner(&bundle, &chosen, mtu, like))
    }

    /// Takes in a router's report that a packet of one of our SAs was too big. It is not authentic (RFC 4301 8.2.1), so it
    /// only ever lowers the MTU of an SA, not below what every link carries (1280 octets for IPv6, 576 for IPv4), and for
    /// [`Settings::path_mtu_life`](crate::Settings::path_mtu_life). Says whether it did.
    pub fn path_mtu_report(&mut self, now: Duration, report: &TooBig) -> bool {
        let protocol = if report.protocol == ipsec_packet::IpProto::ESP { Protocol::Esp } else { Protocol::Ah };
        let key = SaKey { way: Way::Out, destination: report.destination, protocol, spi: report.spi.get() };
        let Some(at) = self.sad.find(&key, report.source) else { return false };
        let life = self.settings.path_mtu_life;
        let sa = self.sad.get_mut(at).and_then(|slot| slot.sa.as_mut());
        let Some(sa) = sa.filter(|sa| sa.source == report.source) else { return false };
        let least = if report.destination.is_ipv4() { 576 } else { 1280 };
        let told = report.mtu.max(least);
        let lower = sa.path_mtu(now, life).is_none_or(|known| told < known);
        if lower {
            sa.path_mtu = Some((told, now.saturating_add(self.settings.path_mtu_life)));
        }
        lower
    }
}
