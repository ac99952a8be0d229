//! Replacement of the SPD by the policies of another configuration. Policies that both have keep their numbers, and
//! with them their SAs, where the order of the SPD allows it.

use std::collections::{HashMap, HashSet};

use ipsec_engine::{PolicyDirection, PolicyId, PolicyParams};
use ipsec_packet::{AddressRange, Selector};
use ipsec_sa::Priority;

use crate::databases::Databases;

/// Largest number of comparisons of selectors. Beyond it, a policy after a new one is treated as overlapping it.
const MAX_COMPARISONS: usize = 1 << 22;

/// Change of the SPD.
#[derive(Debug, Default)]
pub struct SpdChange {
    /// Policies that are removed.
    removed: Vec<PolicyId>,
    /// Policies that are added, in order.
    added: Vec<PolicyParams>,
}

impl SpdChange {
    /// Compares the SPD with the policies of a configuration, in their order.
    ///
    /// The engine adds a policy after the others of its priority. A policy therefore keeps its place only if no policy
    /// with which it may share packets has to be added before it; otherwise it is removed and added again.
    /// Policies that `is_kept` selects are none of the configuration, and remain.
    pub fn between(engine: &Databases, policies: &[PolicyParams], is_kept: impl Fn(PolicyId) -> bool) -> Self {
        let known = engine.policies().enumerate().map(|(position, (id, policy))| (id, (position, *policy)));
        let known: HashMap<PolicyId, (usize, PolicyParams)> = known.filter(|(id, _)| !is_kept(*id)).collect();
        let mut kept = HashSet::new();
        let mut added: Vec<PolicyParams> = Vec::new();
        let mut queues: HashMap<(PolicyDirection, Priority), Queue> = HashMap::new();
        let mut comparisons = 0_usize;
        for policy in policies {
            let queue = queues.entry((policy.direction, policy.priority)).or_default();
            let former = engine.find_policy(policy.direction, &policy.selector);
            let former = former.and_then(|id| Some((id, known.get(&id)?))).filter(|(_, (_, own))| own == policy);
            comparisons = comparisons.saturating_add(queue.added.len());
            let is_behind = || {
                comparisons > MAX_COMPARISONS && !queue.added.is_empty()
                    || queue.added.iter().any(|other| overlap(other, &policy.selector))
            };
            match former {
                Some((id, (position, _))) if queue.last.is_none_or(|last| last < *position) && !is_behind() => {
                    queue.last = Some(*position);
                    kept.insert(id);
                }
                _ => {
                    queue.added.push(policy.selector);
                    added.push(*policy);
                }
            }
        }
        Self { removed: known.into_keys().filter(|id| !kept.contains(id)).collect(), added }
    }

    /// Returns the policies that are removed.
    pub fn removed(&self) -> &[PolicyId] {
        &self.removed
    }

    /// Replaces the policies of the databases that differ.
    ///
    /// # Errors
    /// The message about the last policy that is refused; what it was to replace remains. The others are added.
    pub fn apply(self, databases: &mut Databases) -> Result<(), String> {
        match databases.replace_policies(self.removed, self.added).pop() {
            Some((selector, e)) => Err(format!("policy {}: {e}", crate::policy::show(&selector))),
            None => Ok(()),
        }
    }
}

/// Policies of one direction and priority, in the order of the configuration.
#[derive(Default)]
struct Queue {
    /// Position in the SPD of the last policy that is kept.
    last: Option<usize>,
    /// Selectors of the policies that are added.
    added: Vec<Selector>,
}

/// Returns whether a packet may match both selectors. Protocols and ports are not compared.
pub fn overlap(a: &Selector, b: &Selector) -> bool {
    let share = |a: &AddressRange, b: &AddressRange| {
        a.first().is_ipv4() == b.first().is_ipv4() && a.first() <= b.last() && b.first() <= a.last()
    };
    share(&a.source, &b.source) && share(&a.destination, &b.destination)
}

#[cfg(test)]
mod tests {
    use ipsec_packet::Instant;

    use super::*;
    use crate::policy::new_engine;

    /// Returns a policy for outbound packets to 10.N.0.0/16, or to 10.N.M.0/24.
    fn policy(network: &str, action: &str) -> String {
        format!("spdadd 10.1.0.0/16 10.{network} any -P out {action};")
    }

    fn engine(text: &str) -> Box<Databases> {
        let mut engine = new_engine();
        ipsec_config::setkey::apply(&mut *engine, text.as_bytes(), &[], Instant::ZERO).unwrap();
        engine
    }

    fn entries(engine: &Databases) -> Vec<(u32, String)> {
        engine.policies().map(|(id, policy)| (id.get(), policy.selector.destination.to_string())).collect()
    }

    /// Replaces the policies of a text by those of another one. Returns the numbers and destinations of the SPD.
    fn replaced(from: &str, to: &str) -> Vec<(u32, String)> {
        let (mut engine, wanted) = (engine(from), engine(to));
        let policies: Vec<_> = wanted.policies().map(|(_, policy)| *policy).collect();
        let first = entries(&engine).first().map_or(0, |(id, _)| *id);
        SpdChange::between(&engine, &policies, |_| false).apply(&mut engine).unwrap();
        let after = entries(&engine);
        after.into_iter().map(|(id, destination)| (id - first, destination)).collect()
    }

    fn expected(entries: &[(u32, &str)]) -> Vec<(u32, String)> {
        entries.iter().map(|(id, destination)| (*id, format!("10.{destination}"))).collect()
    }

    #[test]
    fn unchanged_policies_keep_their_numbers() {
        let [two, three, four] = ["2.0.0/16", "3.0.0/16", "4.0.0/16"].map(|network| policy(network, "none"));
        let all = format!("{two}{three}{four}");
        assert_eq!(replaced(&all, &all), expected(&[(0, "2.0.0/16"), (1, "3.0.0/16"), (2, "4.0.0/16")]));
        assert_eq!(replaced(&all, &format!("{two}{four}")), expected(&[(0, "2.0.0/16"), (2, "4.0.0/16")]));
        // A new policy that shares no packets may be after them.
        assert_eq!(
            replaced(&format!("{two}{four}"), &all),
            expected(&[(0, "2.0.0/16"), (1, "4.0.0/16"), (2, "3.0.0/16")])
        );
        assert_eq!(replaced(&all, ""), []);
    }

    #[test]
    fn changed_policy_has_another_number() {
        let (two, three) = (policy("2.0.0/16", "none"), policy("3.0.0/16", "none"));
        let other = policy("2.0.0/16", "discard");
        let got = replaced(&format!("{two}{three}"), &format!("{other}{three}"));
        assert_eq!(got, expected(&[(1, "3.0.0/16"), (2, "2.0.0/16")]));
    }

    #[test]
    fn order_of_policies_that_share_packets_is_that_of_the_configuration() {
        let (all, part, other) = (policy("0.0.0/8", "discard"), policy("2.0.0/16", "none"), policy("3.0.0/16", "none"));
        let got = replaced(&format!("{all}{other}"), &format!("{part}{all}{other}"));
        assert_eq!(got, expected(&[(2, "2.0.0/16"), (3, "0.0.0/8"), (4, "3.0.0/16")]), "all are after the new one");
        let got = replaced(&format!("{all}{part}"), &format!("{part}{all}"));
        assert_eq!(got, expected(&[(1, "2.0.0/16"), (2, "0.0.0/8")]), "their order has changed");
        let got = replaced(&all, &format!("{all}{part}"));
        assert_eq!(got, expected(&[(0, "0.0.0/8"), (1, "2.0.0/16")]));
    }
}
