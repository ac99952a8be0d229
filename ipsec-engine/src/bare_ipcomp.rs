//! Admission of IPComp outside ESP and AH, before it is decompressed (RFC 3173 2).

use core::net::IpAddr;

use ipsec_packet::{Detail, Flow, IpProto, Match};

use crate::algorithms::Algorithms;
use crate::discard::DiscardReason;
use crate::engine::Engine;
use crate::policy_check::{AppliedSa, SecPath};
use crate::policy_set::Rule;
use crate::table::SlotNumber;
use ipsec_sa::{Action, Mode, PolicyDirection, Protocol};

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Checks that the policies may admit IPComp that is not inside ESP or AH. Such a packet needs no key, and its
    /// decompression costs much more than this check.
    pub(crate) fn check_bare_ipcomp(
        &self,
        sec_path: &SecPath,
        at: SlotNumber,
        next: IpProto,
        ends: (IpAddr, IpAddr),
    ) -> Result<(), DiscardReason> {
        let Some(sa) = self.sad.get(at).and_then(|slot| slot.sa.as_ref()) else { return Err(DiscardReason::NoSa) };
        let came = AppliedSa {
            protocol: Protocol::Ipcomp,
            mode: Mode::Transport,
            source: if sa.source.is_unspecified() { ends.0 } else { sa.source },
            destination: sa.destination,
            reqid: sa.reqid,
        };
        // The mode of an SA without a mode is known after decompression only.
        let is_ip = matches!(next, IpProto::IPV4 | IpProto::IPV6);
        let tunnel = (sa.mode == Mode::Tunnel || sa.mode == Mode::Any && is_ip)
            .then_some(AppliedSa { mode: Mode::Tunnel, ..came });
        let transport = (sa.mode != Mode::Tunnel).then_some(came);
        // In transport mode the addresses are known, and the protocol if it follows directly. Headers after other
        // headers are still compressed.
        let (protocol, detail) = match next {
            next if next.has_ports() || matches!(next, IpProto::ICMP | IpProto::ICMPV6) => (next, Detail::Opaque),
            _ => (IpProto::FRAGMENT, Detail::Opaque),
        };
        let flow = Flow { source: ends.0, destination: ends.1, protocol, detail };
        let might_protect = |rule: &Rule| match &rule.policy.action {
            Action::Protect(bundle) => {
                let is_inside = bundle.iter().any(|template| template.mode != Mode::Transport);
                let by = |came: &AppliedSa| {
                    sec_path.may_satisfy(came, rule.id, bundle, |template| self.is_optional(template))
                };
                (is_inside || rule.policy.selector.matches(&flow) != Match::No)
                    && (tunnel.as_ref().is_some_and(by) || transport.as_ref().is_some_and(by))
            }
            _ => false,
        };
        if self.spd.policies().inbound_rules().any(might_protect) {
            return Ok(());
        }
        if transport.is_none() || !sec_path.is_without_tunnel() {
            return Err(DiscardReason::SaMismatch);
        }
        // The first policy that may match decides, if it matches with certainty or permits the packet.
        let mut silent = true;
        for direction in [PolicyDirection::In, PolicyDirection::Forward] {
            let decides = |rule: &&Rule| {
                let certain = rule.policy.selector.matches(&flow);
                certain == Match::Yes || certain == Match::Unknown && rule.policy.action == Action::Bypass
            };
            match self.spd.policies().rules_of(direction).find(decides).map(|rule| &rule.policy.action) {
                None => {}
                Some(Action::Discard) => return Err(DiscardReason::Policy),
                Some(Action::Protect(_)) => return Err(DiscardReason::SaMismatch),
                Some(Action::Bypass) => silent = false,
            }
        }
        if silent { self.unmatched() } else { Ok(()) }
    }
}
