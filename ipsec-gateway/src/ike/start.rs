//! Negotiations that begin without a packet: rules `active` of ipsec.conf(5), `Connections` of isakmpd.conf(5), and
//! `start on` of gateway.conf.

use std::collections::HashSet;
use std::time::Duration;

use ike_v1::PeerId;
use ipsec_engine::PolicyId;
use ipsec_packet::Instant;

use super::Ike;
use crate::databases::Databases;
use crate::key_exchange::KeyExchange;

/// Interval after which missing SAs are negotiated again: `Check-interval` of isakmpd.conf(5).
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Returns the time of the first check: at once, if this host starts negotiations with a peer.
pub(super) fn first_check(exchange: &KeyExchange) -> Option<Instant> {
    exchange.config.peers().iter().any(|peer| peer.starts).then_some(Instant::ZERO)
}

impl Ike {
    /// Negotiates the missing SAs of the policies with the peers with which this host starts negotiations.
    pub(super) fn start_negotiations(&mut self, now: Instant, engine: &mut Databases) {
        if self.start_due.is_none_or(|due| due > now) {
            return;
        }
        self.start_due = Some(now + CHECK_INTERVAL);
        let has_sa: HashSet<u32> = self.outbound().map(|(_, sa)| sa.policy).collect();
        let is_begun: HashSet<PolicyId> = self.initiated.values().copied().collect();
        let is_missing = |policy: PolicyId| !has_sa.contains(&policy.get()) && !is_begun.contains(&policy);
        let starts = |index: usize| self.exchange.config.peers().get(index).is_some_and(|peer| peer.starts);
        let policies = self.exchange.policies.iter().filter(|policy| starts(policy.peer) && is_missing(policy.id));
        let missing: Vec<(PeerId, PolicyId)> =
            policies.filter_map(|policy| Some((self.exchange.id(policy.peer)?, policy.id))).collect();
        for (peer, policy) in missing {
            // If one is not begun, the negotiator has no place for others either. They are begun by a later check.
            if !self.initiate(now, peer, policy, engine) {
                return;
            }
        }
    }
}
