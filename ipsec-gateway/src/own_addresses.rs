//! Addresses that servers have assigned to this host (draft-dukes-ike-mode-cfg-02).

use std::net::IpAddr;

use ike_v1::{ClientConfig, PeerId};
use ipsec_packet::{AddressRange, Selector};

/// Addresses of this host by the servers that have assigned them. They are kept when the ISAKMP SA ends: its IPsec SAs
/// may exist longer, and a server assigns the same address again.
#[derive(Default)]
pub struct OwnAddresses {
    assigned: Vec<(PeerId, IpAddr)>,
    changes: Vec<AddressChange>,
}

/// Change of the addresses of this host in the protected network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressChange {
    /// The address is assigned to this host.
    Added(IpAddr),
    /// The address was replaced by another one.
    Removed(IpAddr),
}

impl OwnAddresses {
    /// Records the addresses in the configuration of a server.
    pub fn assign(&mut self, peer: PeerId, config: &ClientConfig) {
        let addresses = [config.address.map(IpAddr::V4), config.address_v6.map(IpAddr::V6)];
        for address in addresses.into_iter().flatten() {
            let is_of_family = |(own, other): &(PeerId, IpAddr)| *own == peer && other.is_ipv4() == address.is_ipv4();
            let former = self.assigned.iter().position(is_of_family).map(|index| self.assigned.swap_remove(index).1);
            self.assigned.push((peer, address));
            if former == Some(address) {
                continue;
            }
            let is_used = |former: &IpAddr| self.assigned.iter().any(|(_, other)| other == former);
            if let Some(former) = former.filter(|former| !is_used(former)) {
                self.changes.push(AddressChange::Removed(former));
            }
            self.changes.push(AddressChange::Added(address));
        }
    }

    /// Returns the selector of a policy with a server: for the assigned address, if the policy covers it.
    pub fn narrow(&self, peer: PeerId, selector: Selector) -> Selector {
        let of_peer = self.assigned.iter().filter(|(own, _)| *own == peer);
        let covered = of_peer.map(|(_, address)| *address).find(|address| selector.source.contains(*address));
        covered.map_or(selector, |address| Selector { source: AddressRange::host(address), ..selector })
    }

    /// Removes the addresses that these servers have assigned.
    pub fn forget(&mut self, peers: &[PeerId]) {
        let (gone, kept) = std::mem::take(&mut self.assigned).into_iter().partition(|(peer, _)| peers.contains(peer));
        self.assigned = kept;
        let gone: Vec<(PeerId, IpAddr)> = gone;
        let is_used = |address: &IpAddr| self.assigned.iter().any(|(_, other)| other == address);
        let unused = gone.into_iter().map(|(_, address)| address).filter(|address| !is_used(address));
        self.changes.extend(unused.map(AddressChange::Removed));
    }

    /// Returns the changes since the last call.
    pub fn take_changes(&mut self) -> Vec<AddressChange> {
        std::mem::take(&mut self.changes)
    }

    /// Iterates over all addresses.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.assigned.iter().map(|(_, address)| *address)
    }
}

#[cfg(test)]
mod tests {
    use ipsec_packet::Upper;

    use super::*;

    fn config(v4: &str, v6: Option<&str>) -> ClientConfig {
        let mut config = ClientConfig::default();
        config.address = Some(v4.parse().unwrap());
        config.address_v6 = v6.map(|v6| v6.parse().unwrap());
        config
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_change_with_the_configuration() {
        let mut own = OwnAddresses::default();
        own.assign(PeerId(0), &config("10.99.0.1", Some("2001:db8::1")));
        let added = [AddressChange::Added(ip("10.99.0.1")), AddressChange::Added(ip("2001:db8::1"))];
        assert_eq!(own.take_changes(), added);
        own.assign(PeerId(0), &config("10.99.0.1", None));
        assert_eq!(own.take_changes(), [], "the same address again");
        own.assign(PeerId(1), &config("10.99.0.1", None));
        own.take_changes();
        own.assign(PeerId(0), &config("10.99.0.2", None));
        assert_eq!(own.take_changes(), [AddressChange::Added(ip("10.99.0.2"))], "another server has the former one");
        own.assign(PeerId(1), &config("10.99.0.3", None));
        let changes = [AddressChange::Removed(ip("10.99.0.1")), AddressChange::Added(ip("10.99.0.3"))];
        assert_eq!((own.take_changes(), own.all().count()), (changes.to_vec(), 3));
    }

    #[test]
    fn policies_are_for_the_assigned_address() {
        let mut own = OwnAddresses::default();
        let prefix = |text, length| AddressRange::prefix(ip(text), length).unwrap();
        let selector = |source| Selector { source, destination: prefix("10.2.0.0", 16), upper: Upper::Any };
        assert_eq!(own.narrow(PeerId(0), selector(AddressRange::ANY_V4)), selector(AddressRange::ANY_V4));
        own.assign(PeerId(0), &config("10.99.0.1", Some("2001:db8::1")));
        let narrowed = selector(AddressRange::host(ip("10.99.0.1")));
        assert_eq!(own.narrow(PeerId(0), selector(AddressRange::ANY_V4)), narrowed);
        assert_eq!(own.narrow(PeerId(0), selector(prefix("10.99.0.0", 24))), narrowed);
        for (peer, source) in [(0, prefix("10.98.0.0", 24)), (1, AddressRange::ANY_V4)] {
            assert_eq!(own.narrow(PeerId(peer), selector(source)), selector(source));
        }
    }
}
