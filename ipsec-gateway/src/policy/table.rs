//! Policies whose SAs are negotiated, by their numbers and by their peers.

use std::collections::HashMap;

use super::KeyedPolicy;

/// Policies whose SAs are negotiated, in the order of the SPD.
#[derive(Default)]
pub struct PolicyTable {
    all: Vec<KeyedPolicy>,
    /// Places by the numbers in the SPD.
    by_number: HashMap<u32, usize>,
    /// Places by the index of the peer in the configuration.
    by_peer: HashMap<usize, Vec<usize>>,
}

impl PolicyTable {
    /// Iterates over all policies.
    pub fn iter(&self) -> impl Iterator<Item = &KeyedPolicy> {
        self.all.iter()
    }

    /// Returns the policy with a number in the SPD.
    pub fn get(&self, number: u32) -> Option<&KeyedPolicy> {
        self.all.get(*self.by_number.get(&number)?)
    }

    /// Iterates over the policies with the peer at an index of the configuration.
    pub fn with_peer(&self, index: usize) -> impl Iterator<Item = &KeyedPolicy> + Clone {
        let places = self.by_peer.get(&index).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.all.get(*place))
    }
}

impl FromIterator<KeyedPolicy> for PolicyTable {
    fn from_iter<I: IntoIterator<Item = KeyedPolicy>>(policies: I) -> Self {
        let mut table = Self::default();
        for policy in policies {
            let place = table.all.len();
            table.by_number.entry(policy.id.get()).or_insert(place);
            table.by_peer.entry(policy.peer).or_default().push(place);
            table.all.push(policy);
        }
        table
    }
}
