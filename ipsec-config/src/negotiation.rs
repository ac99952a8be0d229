//! Peer and parameters of phase 2 of each policy whose SAs are negotiated.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::vec::Vec;

use ike_codec::ProtocolId;
use ike_v1::Phase2Choice;
use ipsec_packet::{PortRange, Selector, Upper};
use ipsec_sa::{Action, Bundle, Mode, PolicyDirection, Protocol, Template};

use crate::configuration::IKE_PORT;
use crate::{ClientNetwork, Configuration, ConfiguredPeer, ConfiguredPolicy, Phase2Config};

/// Policy for outbound packets with the peer and the parameters of its SAs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Negotiation<'c> {
    /// Index of the policy.
    pub index: usize,
    /// Policy for outbound packets.
    pub policy: &'c ConfiguredPolicy,
    /// Selector in the identities of quick mode.
    pub selector: Selector,
    /// Address of the peer; `None` if it is known only when the peer initiates.
    pub address: Option<IpAddr>,
    /// Index and configuration of the peer; `None` if there is none with the address.
    pub peer: Option<(usize, &'c ConfiguredPeer)>,
    /// Parameters of phase 2; `None` if none match.
    pub phase_2: Option<&'c Phase2Config>,
    /// Templates in the order in which they are applied, with their transforms in order of preference.
    pub templates: Vec<(Template, Vec<Phase2Choice>)>,
}

impl Configuration {
    /// Iterates over the policies for outbound packets that are protected.
    pub fn negotiations(&self) -> impl Iterator<Item = Negotiation<'_>> {
        let index = Index::of(self);
        self.policies.iter().enumerate().filter_map(move |(at, policy)| match &policy.params.action {
            Action::Protect(bundle) if policy.params.direction == PolicyDirection::Out => {
                Some(self.negotiation(at, policy, bundle, &index))
            }
            _ => None,
        })
    }

    fn negotiation<'c>(
        &'c self,
        at: usize,
        policy: &'c ConfiguredPolicy,
        bundle: &Bundle,
        index: &Index,
    ) -> Negotiation<'c> {
        let selector = policy.negotiated.unwrap_or(policy.params.selector);
        let address = bundle.iter().next().and_then(|template| peer_address(template, &selector));
        let peer = policy.peer.or_else(|| index.peer(address)).and_then(|index| Some((index, self.peers.get(index)?)));
        let phase_2 = match policy.phase_2 {
            Some(index) => self.phase_2.get(index),
            None => index.phase_2(self, &selector, peer),
        };
        let templates = bundle
            .iter()
            .map(|template| {
                let defaults = peer.map_or(ike_v1::PeerDefaults::RFC, |(_, peer)| peer.config.defaults);
                let transforms =
                    phase_2.map(|own| own.transforms(protocol_id(template.protocol), template.mode, &defaults));
                (*template, transforms.unwrap_or_default())
            })
            .collect();
        Negotiation { index: at, policy, selector, address, peer, phase_2, templates }
    }

    /// Returns the parameters of the SAs of a policy for outbound packets that is none of this configuration; `None` if
    /// it does not protect.
    pub fn negotiation_for<'c>(&'c self, policy: &'c ConfiguredPolicy) -> Option<Negotiation<'c>> {
        match &policy.params.action {
            Action::Protect(bundle) => Some(self.negotiation(self.policies.len(), policy, bundle, &Index::of(self))),
            _ => None,
        }
    }

    /// Returns the first parameters of phase 2 that name addresses of the peer which contain those of a selector, as an
    /// index. Parameters for any address of the peer are none of them.
    pub fn phase_2_containing(&self, peer: usize, selector: &Selector) -> Option<usize> {
        let configured = self.peers.get(peer)?;
        let (local, remote) = ClientNetwork::of(selector);
        self.phase_2.iter().position(|own| {
            own.remote.is_some_and(|own| own.contains(&remote))
                && own.local.is_none_or(|own| own.contains(&local))
                && own.peer.is_none_or(|own| own == peer)
                && own.is_for(configured)
        })
    }

    /// Finds the peer with an address, or the first one at any address.
    pub fn find_peer(&self, address: Option<IpAddr>) -> Option<(usize, &ConfiguredPeer)> {
        let with = |wanted: Option<IpAddr>| {
            self.peers.iter().enumerate().find(|(_, peer)| peer.config.address.map(|own| own.ip()) == wanted)
        };
        address.and_then(|address| with(Some(address))).or_else(|| with(None))
    }
}

/// Local and remote client identity; `None` for any.
type Clients = (Option<ClientNetwork>, Option<ClientNetwork>);

/// Peers by their addresses, and parameters of phase 2 by the client identities, and the number and index of the peer.
struct Index {
    peers: HashMap<Option<IpAddr>, usize>,
    phase_2: HashMap<(Clients, u64, Option<usize>), Vec<usize>>,
    /// Parameters of phase 2 for policies without a peer.
    without_peer: HashMap<Clients, usize>,
}

impl Index {
    fn of(configuration: &Configuration) -> Self {
        let mut peers = HashMap::new();
        for (index, peer) in configuration.peers.iter().enumerate() {
            peers.entry(peer.config.address.map(|address| address.ip())).or_insert(index);
        }
        let mut phase_2: HashMap<_, Vec<usize>> = HashMap::new();
        let mut without_peer = HashMap::new();
        for (index, own) in configuration.phase_2.iter().enumerate() {
            let clients = (own.local, own.remote);
            phase_2.entry((clients, own.phase_1_id, own.peer)).or_default().push(index);
            if own.peer.is_none() {
                without_peer.entry(clients).or_insert(index);
            }
        }
        Self { peers, phase_2, without_peer }
    }

    /// Returns the first peer with an address, or the first one at any address.
    fn peer(&self, address: Option<IpAddr>) -> Option<usize> {
        address.and_then(|address| self.peers.get(&Some(address))).or_else(|| self.peers.get(&None)).copied()
    }

    /// Returns the first parameters of phase 2 for a selector with a peer.
    fn phase_2<'c>(
        &self,
        configuration: &'c Configuration,
        selector: &Selector,
        peer: Option<(usize, &ConfiguredPeer)>,
    ) -> Option<&'c Phase2Config> {
        let (local, remote) = ClientNetwork::of(selector);
        let names = [(Some(local), Some(remote)), (Some(local), None), (None, Some(remote)), (None, None)];
        let index = match peer {
            None => names.iter().filter_map(|name| self.without_peer.get(name)).min().copied(),
            Some((at, peer)) => {
                let owners = |name, id| [None, Some(at)].map(|owner| (name, id, owner));
                let ids = |name| [0, peer.phase_1_id].into_iter().flat_map(move |id| owners(name, id));
                let keys = names.into_iter().flat_map(ids);
                let is_for = |index: &usize| configuration.phase_2.get(*index).is_some_and(|own| own.is_for(peer));
                let first = |key| self.phase_2.get(&key)?.iter().copied().find(is_for);
                keys.filter_map(first).min()
            }
        };
        configuration.phase_2.get(index?)
    }
}

/// Returns the address of the peer of a template.
fn peer_address(template: &Template, selector: &Selector) -> Option<IpAddr> {
    let destination = selector.destination;
    match template.ends.and_then(|ends| ends.destination.0) {
        Some(address) => Some(address),
        None if template.mode == Mode::Tunnel => None,
        None => (destination.first() == destination.last()).then_some(destination.first()),
    }
}

/// Returns the number of a protocol in proposals.
const fn protocol_id(protocol: Protocol) -> ProtocolId {
    match protocol {
        Protocol::Esp => ProtocolId::ESP,
        Protocol::Ah => ProtocolId::AH,
        Protocol::Ipcomp => ProtocolId::IPCOMP,
    }
}

impl Phase2Config {
    /// Returns whether the parameters are for a peer.
    fn is_for(&self, peer: &ConfiguredPeer) -> bool {
        let identities = || peer.config.remote_identity.iter().chain(&peer.other_identities);
        (self.phase_1_id == 0 || self.phase_1_id == peer.phase_1_id)
            && self.from.as_ref().is_none_or(|from| identities().any(|own| own == from))
    }
}

impl ClientNetwork {
    /// Returns whether all packets with another identity have this one as well.
    pub fn contains(&self, other: &Self) -> bool {
        let ((first, last), (other_first, other_last)) = (self.addresses, other.addresses);
        first.is_ipv4() == other_first.is_ipv4()
            && first <= other_first
            && other_last <= last
            && (self.protocol == 0 || self.protocol == other.protocol)
            && (self.port == 0 || self.port == other.port)
    }

    /// Returns the identities of quick mode for a selector: that of this host and that of the peer.
    pub fn of(selector: &Selector) -> (Self, Self) {
        let single = |ports: PortRange| if ports == PortRange::ANY { 0 } else { ports.first };
        let (protocol, local, remote) = match selector.upper {
            Upper::Any => (0, 0, 0),
            Upper::Protocol(protocol) => (protocol.0, 0, 0),
            Upper::Ports(protocol, local, remote) => (protocol.map_or(0, |own| own.0), single(local), single(remote)),
            Upper::Icmp(protocol, ..) => (protocol.0, 0, 0),
        };
        let network =
            |range: ipsec_packet::AddressRange, port| Self { addresses: (range.first(), range.last()), port, protocol };
        (network(selector.source, local), network(selector.destination, remote))
    }
}

impl Configuration {
    /// Adds a peer for each address of a policy whose peer is one at any address that this host may initiate to:
    /// `remote anonymous` of racoon.conf(5). The peer at any address remains for other initiators.
    pub fn add_peers_of_policies(&mut self) {
        let added = self.peers_of_policies();
        let indexes: HashSet<usize> = added.iter().map(|(_, index)| *index).collect();
        let mut parameters: HashMap<usize, Vec<Phase2Config>> = HashMap::new();
        for own in &self.phase_2 {
            if let Some(index) = own.peer.filter(|index| indexes.contains(index)) {
                parameters.entry(index).or_default().push(own.clone());
            }
        }
        for (peer, index) in added {
            let own = parameters.get(&index).into_iter().flatten().cloned();
            self.phase_2.extend(own.map(|phase_2| Phase2Config { peer: Some(self.peers.len()), ..phase_2 }));
            self.peers.push(peer);
        }
        for peer in &mut self.peers {
            peer.config.initiates &= peer.config.address.is_some();
        }
    }

    /// Returns a peer for each address of a policy whose peer is one at any address that this host may initiate to,
    /// with the index of the peer whose configuration it has.
    pub(crate) fn peers_of_policies(&self) -> Vec<(ConfiguredPeer, usize)> {
        let mut added = Vec::new();
        let mut known = HashSet::new();
        for negotiation in self.negotiations() {
            if let (Some((index, peer)), Some(address)) = (negotiation.peer, negotiation.address)
                && peer.config.address.is_none()
                && peer.config.initiates
                && known.insert(address)
            {
                let mut peer = peer.clone();
                peer.config.name = std::format!("{} at {address}", peer.config.name);
                peer.config.address = Some(SocketAddr::new(address, IKE_PORT));
                added.push((peer, index));
            }
        }
        added
    }
}
