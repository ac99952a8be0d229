//! Configuration of key exchange: the peers with their identifiers in the negotiator, and the address, the identity and
//! the certificates of this host for each.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use ike_v1::{Identity, LocalIdentity, Path, PeerId};
use ipsec_config::{ConfiguredPeer, Files};

use crate::config::Config;
use crate::credentials::Credentials;
use crate::policy::{KeyedPolicy, PolicyTable};

/// Configuration of key exchange. It is replaced as a whole.
pub struct KeyExchange {
    /// Configuration of the gateway.
    pub config: Config,
    /// Policies whose SAs are negotiated.
    pub policies: PolicyTable,
    /// Identifiers of the peers in the negotiator, in the order of the configuration.
    ids: Vec<PeerId>,
    /// Places of the peers in the configuration, by their identifiers.
    indexes: HashMap<PeerId, usize>,
    /// Places of the peers in the configuration, by their addresses.
    by_address: HashMap<IpAddr, usize>,
    /// Number of the next identifier.
    next_id: u16,
    /// Address and port of this host for each peer; `None` for a peer at any address whose policies name none.
    locals: Vec<Option<SocketAddr>>,
    /// Identity of this host for each peer.
    identities: Vec<Identity>,
    /// Certificates for each peer.
    credentials: Vec<Credentials>,
}

impl KeyExchange {
    /// Determines the address and the identity of this host for each peer. The address is that of the policies or, if
    /// they name none, the first one of the address family; the identity is the configured one, or the address.
    ///
    /// # Errors
    /// The message about a peer for whose address family this host has no address, or about a file of certificates.
    pub fn new(files: &dyn Files, config: Config, policies: Vec<KeyedPolicy>) -> Result<Self, String> {
        let policies: PolicyTable = policies.into_iter().collect();
        let mut locals = Vec::new();
        let (mut identities, mut credentials) = (Vec::new(), Vec::new());
        for (index, configured) in config.peers().iter().enumerate() {
            let peer = &configured.config;
            let named = policies.with_peer(index).find_map(|policy| policy.local);
            let of_policies = named.and_then(|named| config.locals.iter().copied().find(|own| own.ip() == named));
            let local = of_policies.or_else(|| config.local_for(peer.address?.ip()));
            let missing = || format!("peer {}: no `local` address has the address family of the peer", peer.name);
            let first = config.locals.first().copied().filter(|_| peer.address.is_none());
            let address = local.or(first).ok_or_else(missing)?.ip();
            let expected = peer.remote_identity.as_ref().map(Identity::payload);
            let own = Credentials::load(files, &configured.files, expected.as_ref())?;
            identities.push(match &peer.local_identity {
                LocalIdentity::CertificateSubject => {
                    let missing = || {
                        let problem = "subjects of the certificates of this host are empty or differ";
                        format!("peer {}: local identity `asn1dn`: {problem}, expected one subject", peer.name)
                    };
                    let subject = own.subject().ok_or_else(missing)?;
                    Identity { kind: subject.kind, data: subject.data.to_vec() }
                }
                LocalIdentity::Given(identity) => identity.clone(),
                LocalIdentity::Address => Identity::address(address),
            });
            credentials.push(own);
            locals.push(local);
        }
        let count = u16::try_from(config.peers().len());
        let count = count.map_err(|_| format!("got {} peers, expected at most 65535", config.peers().len()))?;
        let ids: Vec<_> = (0..count).map(PeerId).collect();
        let indexes = ids.iter().copied().zip(0..).collect();
        let mut by_address = HashMap::new();
        for (index, peer) in config.peers().iter().enumerate() {
            if let Some(address) = peer.config.address {
                by_address.entry(address.ip()).or_insert(index);
            }
        }
        Ok(Self { config, policies, ids, indexes, by_address, next_id: count, locals, identities, credentials })
    }

    /// Gives the peers that a former configuration has as well, with the same statements, address of this host and
    /// identity, the identifiers that they have in it, and all others new ones. Returns the identifiers of the former
    /// configuration that no longer exist.
    pub fn keep_ids(&mut self, former: &Self) -> Vec<PeerId> {
        let names = former.config.peers().iter().map(|peer| peer.config.name.as_str());
        let by_name: HashMap<_, _> = names.zip(0..).collect();
        let is_same = |own: usize, other: usize| {
            let peers = self.config.peers().get(own).zip(former.config.peers().get(other));
            peers.is_some_and(|(own, other)| own.is_same(other))
                && self.locals.get(own) == former.locals.get(other)
                && self.identities.get(own) == former.identities.get(other)
        };
        let kept: Vec<Option<PeerId>> = (0..self.ids.len())
            .map(|index| {
                let other = *by_name.get(self.config.peers().get(index)?.config.name.as_str())?;
                former.ids.get(other).copied().filter(|_| is_same(index, other))
            })
            .collect();
        let mut used: HashSet<_> = former.ids.iter().copied().collect();
        self.next_id = former.next_id;
        self.ids.clear();
        for kept in &kept {
            let id = kept.unwrap_or_else(|| {
                // Of 65,536 numbers, both configurations together may use almost all: the search ends with the last.
                for _ in 0..=u16::MAX {
                    let id = PeerId(self.next_id);
                    self.next_id = self.next_id.wrapping_add(1);
                    if used.insert(id) {
                        return id;
                    }
                }
                PeerId(self.next_id)
            });
            self.ids.push(id);
        }
        self.indexes = self.ids.iter().copied().zip(0..).collect();
        former.ids.iter().copied().filter(|id| !self.indexes.contains_key(id)).collect()
    }

    /// Returns the identifiers of the peers in the order of the configuration.
    pub fn ids(&self) -> &[PeerId] {
        &self.ids
    }

    /// Returns the identifier of the peer at a place in the configuration.
    pub fn id(&self, index: usize) -> Option<PeerId> {
        self.ids.get(index).copied()
    }

    /// Returns the place of a peer in the configuration.
    pub fn index(&self, peer: PeerId) -> Option<usize> {
        self.indexes.get(&peer).copied()
    }

    /// Returns the identifier of the peer with a name.
    pub fn named(&self, name: &str) -> Option<PeerId> {
        self.id(self.config.peers().iter().position(|peer| peer.config.name == name)?)
    }

    /// Iterates over the policies with a peer.
    pub fn policies_with(&self, peer: PeerId) -> impl Iterator<Item = &KeyedPolicy> {
        self.index(peer).into_iter().flat_map(|index| self.policies.with_peer(index))
    }

    /// Returns the configuration of a peer.
    pub fn peer(&self, peer: PeerId) -> Option<&ConfiguredPeer> {
        self.config.peers().get(self.index(peer)?)
    }

    /// Returns the name of a peer for messages.
    pub fn name(&self, peer: PeerId) -> &str {
        self.peer(peer).map_or("unknown", |peer| peer.config.name.as_str())
    }

    /// Returns the peer with an address.
    pub fn peer_at(&self, address: IpAddr) -> Option<PeerId> {
        self.id(*self.by_address.get(&address)?)
    }

    /// Returns the peer with an address, or else the first one at any address.
    pub fn find_peer(&self, address: IpAddr) -> Option<PeerId> {
        let any = || self.id(self.config.peers().iter().position(|peer| peer.config.address.is_none())?);
        self.peer_at(address).or_else(any)
    }

    /// Returns the policy with this number in the SPD.
    pub fn policy(&self, number: u32) -> Option<&KeyedPolicy> {
        self.policies.get(number)
    }

    /// Returns addresses and ports for phase 1 as initiator.
    pub fn path(&self, peer: PeerId) -> Option<Path> {
        let config = self.peer(peer).map(|peer| &peer.config).filter(|config| config.initiates)?;
        Some(Path { local: self.local(peer)?, remote: config.address? })
    }

    /// Returns the certificates for a peer.
    pub fn credentials(&self, peer: PeerId) -> Option<&Credentials> {
        self.credentials.get(self.index(peer)?)
    }

    /// Returns the address and port of this host for a peer; `None` if every local address is one for the peer.
    pub fn local(&self, peer: PeerId) -> Option<SocketAddr> {
        self.locals.get(self.index(peer)?).copied().flatten()
    }

    /// Returns the identity of this host for a peer.
    pub fn identity(&self, peer: PeerId) -> Option<&Identity> {
        self.identities.get(self.index(peer)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    const PEER: &str = "{ proposal aes128 sha1 modp2048; esp aes128-sha1; }";

    fn exchange(peers: &[(&str, &str)], locals: &str) -> KeyExchange {
        let peers = peers.iter().map(|(name, address)| format!("peer {name} address {address} {PEER}"));
        let peers: String = peers.collect();
        let text = format!("policies \"p\"; keys \"k\"; {locals} wan wan; tun ipsec0; {peers}");
        KeyExchange::new(&ipsec_config::SystemFiles, config(&text, "").unwrap(), Vec::new()).unwrap()
    }

    #[test]
    fn unchanged_peers_keep_their_identifiers() {
        let local = "local 192.0.2.1;";
        let former = exchange(&[("a", "192.0.2.10"), ("b", "192.0.2.11"), ("c", "192.0.2.12")], local);
        let mut next = exchange(&[("d", "192.0.2.13"), ("c", "192.0.2.12"), ("a", "192.0.2.99")], local);
        let gone = next.keep_ids(&former);
        assert_eq!(next.ids(), [PeerId(3), PeerId(2), PeerId(4)], "a has another address");
        assert_eq!(gone, [PeerId(0), PeerId(1)]);
        assert_eq!((next.index(PeerId(2)), next.named("c"), next.name(PeerId(2))), (Some(1), Some(PeerId(2)), "c"));
        assert_eq!((next.index(PeerId(0)), next.peer(PeerId(0)).is_none()), (None, true));
        // An identifier is not used again, although its peer has returned.
        let mut last = exchange(&[("a", "192.0.2.10"), ("c", "192.0.2.12")], local);
        assert_eq!(last.keep_ids(&next), [PeerId(3), PeerId(4)]);
        assert_eq!(last.ids(), [PeerId(5), PeerId(2)]);
    }

    #[test]
    fn peer_with_another_local_address_has_changed() {
        let peers = [("a", "192.0.2.10")];
        let former = exchange(&peers, "local 192.0.2.1;");
        let mut next = exchange(&peers, "local 192.0.2.1; local 192.0.2.2;");
        assert_eq!(next.keep_ids(&former), []);
        let mut next = exchange(&peers, "local 192.0.2.2;");
        assert_eq!(next.keep_ids(&former), [PeerId(0)]);
    }

    #[test]
    fn identifiers_that_both_configurations_use_are_skipped() {
        let peers = [("a", "192.0.2.10"), ("b", "192.0.2.11")];
        let local = "local 192.0.2.1;";
        let mut former = exchange(&peers, local);
        former.next_id = u16::MAX;
        let mut next = exchange(&[("a", "192.0.2.10"), ("c", "192.0.2.12"), ("d", "192.0.2.13")], local);
        next.keep_ids(&former);
        assert_eq!(next.ids(), [PeerId(0), PeerId(u16::MAX), PeerId(2)]);
    }
}
