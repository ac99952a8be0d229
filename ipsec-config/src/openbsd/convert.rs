//! Conversion of rules to the common configuration.

use std::borrow::ToOwned;
use std::collections::{HashMap, HashSet};
use std::format;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::string::ToString;
use std::time::Duration;
use std::vec::Vec;

use ike_codec::{AuthMethod, ExchangeKind, IdKind, Lifetimes};
use ike_v1::{
    DeadPeerDetection, Identity, LocalIdentity, NatUse, PeerConfig, PeerDefaults, Phase1Choice, ProposalCheck,
};
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm};
use ipsec_packet::{AddressRange, IpProto, PortRange, Selector, Upper};
use ipsec_sa::{
    Action, Bundle, Level, Mode, PolicyDirection, PolicyParams, Priority, Protocol, Template, TunnelEndpoints,
};

use zeroize::Zeroizing;

use super::manual;
use super::names::{LIFETIMES, Release};
use super::syntax::{Flow, FlowKind, Hosts, Ike, IkeMode, ManualSa, Network, Rule, RuleKind, SaType};
use crate::configuration::IKE_PORT;
use crate::{Configuration, ConfiguredKey, ConfiguredPeer, ConfiguredPolicy, Diagnostics, Phase2Config, Span};

/// Directory of certificates and keys of isakmpd(8).
const DIRECTORY: &str = "/etc/isakmpd";

pub(super) struct Converter<'c> {
    pub release: Release,
    pub configuration: &'c mut Configuration,
    pub diagnostics: &'c mut Diagnostics,
    /// Indices of the peers by their addresses.
    peers: HashMap<Option<SocketAddr>, usize>,
    /// Pre-shared keys by the indices of the peers.
    keys: HashMap<usize, Zeroizing<Vec<u8>>>,
    /// Hosts between which manual SAs are in transport mode.
    transport: HashSet<(IpAddr, IpAddr)>,
}

/// Addresses and ports of both sides in one of the combinations of a rule.
#[derive(Clone, Copy)]
struct Pair {
    selector: Selector,
    negotiated: Option<Selector>,
    source: Network,
    destination: Network,
}

impl<'c> Converter<'c> {
    pub fn new(release: Release, configuration: &'c mut Configuration, diagnostics: &'c mut Diagnostics) -> Self {
        let (peers, keys, transport) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { release, configuration, diagnostics, peers, keys, transport }
    }

    pub fn add(&mut self, rules: &[Rule]) {
        for (index, peer) in self.configuration.peers.iter().enumerate() {
            self.peers.entry(peer.config.address).or_insert(index);
        }
        self.keys = self.configuration.keys.iter().map(|key| (key.peer, key.key.clone())).collect();
        for rule in rules {
            if let RuleKind::Sa(ManualSa { is_tunnel: false, source, destination, .. }) = rule.kind {
                self.transport.extend([(source, destination), (destination, source)]);
            }
        }
        for Rule { span, kind } in rules {
            match kind {
                RuleKind::Ike(ike) => self.ike(*span, ike),
                RuleKind::Flow(flow) => self.flow(*span, flow),
                RuleKind::Sa(sa) => {
                    let mut manual = manual::Manual {
                        release: self.release,
                        configuration: &mut *self.configuration,
                        diagnostics: &mut *self.diagnostics,
                    };
                    manual.add(*span, sa);
                }
            }
        }
    }

    /// Returns all combinations of sources and destinations of one address family.
    fn pairs(&mut self, span: Span, hosts: &Hosts) -> Vec<Pair> {
        let mut pairs = Vec::new();
        let both = |list: &[Network]| list.iter().flat_map(Network::families).collect::<Vec<_>>();
        // `any` to `any` is for both address families.
        let is_any = |list: &[Network]| list.iter().any(|network| network.is_any);
        let (sources, destinations) = match is_any(&hosts.sources) && is_any(&hosts.destinations) {
            true => (both(&hosts.sources), both(&hosts.destinations)),
            false => (hosts.sources.clone(), hosts.destinations.clone()),
        };
        for source in &sources {
            for destination in &destinations {
                let (source, destination) = (of_family(source, destination), of_family(destination, source));
                if source.address.is_ipv4() != destination.address.is_ipv4() {
                    continue;
                }
                let upper = upper(hosts.protocol, hosts.source_port, hosts.destination_port);
                let ranges = (range(source.address, source.length), range(destination.address, destination.length));
                let (Some(from), Some(to)) = ranges else { continue };
                let selector = Selector { source: from, destination: to, upper };
                let negotiated = source.negotiated.and_then(|(address, length)| range(address, length));
                let negotiated = negotiated.map(|from| Selector { source: from, ..selector });
                pairs.push(Pair { selector, negotiated, source, destination });
            }
        }
        if pairs.is_empty() {
            self.diagnostics.error(span, "expected addresses of one family after `from` and `to`");
        }
        pairs
    }

    fn ike(&mut self, span: Span, ike: &Ike) {
        let pairs = self.pairs(span, &ike.hosts);
        let phase_2 = self.configuration.phase_2.len();
        let transforms = self.phase_2(span, ike);
        self.configuration.phase_2.push(transforms);
        for pair in pairs {
            let address = match ike.peers.peer {
                Some(address) => address,
                None => pair.destination.is_host().then_some(pair.destination.address),
            };
            let local = ike.peers.local.or(pair.source.is_host().then_some(pair.source.address));
            let peer = self.peer(span, ike, address, local);
            let protocol = if ike.protocol == SaType::Ah { Protocol::Ah } else { Protocol::Esp };
            let out = template(protocol, ike.is_tunnel, local, address, Level::Require);
            let back = template(protocol, ike.is_tunnel, address, local, Level::Require);
            self.policies(span, &pair, Some((out, back)), |policy| {
                (policy.peer, policy.phase_2) = (Some(peer), Some(phase_2));
            });
        }
    }

    /// Adds the policies of both directions. Without templates the action is BYPASS.
    fn policies(
        &mut self,
        span: Span,
        pair: &Pair,
        templates: Option<(Template, Template)>,
        mut set: impl FnMut(&mut ConfiguredPolicy),
    ) {
        for direction in [PolicyDirection::Out, PolicyDirection::In] {
            let action = match templates {
                None => Action::Bypass,
                Some((out, back)) => protect(if direction == PolicyDirection::Out { out } else { back }),
            };
            let mut policy = ConfiguredPolicy::new(span, params(pair, direction, action));
            if direction == PolicyDirection::Out {
                policy.negotiated = pair.negotiated;
            }
            set(&mut policy);
            self.configuration.policies.push(policy);
        }
    }

    fn flow(&mut self, span: Span, flow: &Flow) {
        let protocol = match flow.protocol {
            SaType::Esp => Protocol::Esp,
            SaType::Ah => Protocol::Ah,
            SaType::Ipcomp => Protocol::Ipcomp,
            SaType::Ipip | SaType::TcpMd5 => {
                let text = "`flow ipip` is not implemented: use gif(4) and a policy for protocol `ipencap`; the rule is skipped";
                return self.diagnostics.warning(span, text);
            }
        };
        for pair in self.pairs(span, &flow.hosts) {
            // `flow in from A to B` names the source of the packets that arrive.
            let is_inbound = flow.direction == Some(PolicyDirection::In);
            let theirs = if is_inbound { pair.source } else { pair.destination };
            let needs_peer = !matches!(flow.kind, FlowKind::Bypass | FlowKind::Deny);
            if needs_peer && flow.peers.peer.is_none() && !theirs.is_host() {
                let text =
                    format!("expected `peer` and its address: {}/{} is not a host", theirs.address, theirs.length);
                self.diagnostics.error(theirs.span, text);
                return;
            }
            let address = flow.peers.peer.unwrap_or(theirs.is_host().then_some(theirs.address));
            let level = match flow.kind {
                FlowKind::Use | FlowKind::Acquire => Level::Use,
                _ => Level::Require,
            };
            let local = flow.peers.local;
            // A flow has no mode of its own: that of its SAs, which are in tunnel mode unless a rule says otherwise.
            let ends = (pair.source.address, pair.destination.address);
            let is_tunnel = !self.transport.contains(&ends);
            let out = template(protocol, is_tunnel, local, address, level);
            let back = template(protocol, is_tunnel, address, local, level);
            for direction in [PolicyDirection::Out, PolicyDirection::In] {
                if flow.direction.is_some_and(|only| only != direction) {
                    continue;
                }
                let is_out = direction == PolicyDirection::Out;
                let action = match flow.kind {
                    FlowKind::Bypass => Action::Bypass,
                    FlowKind::Deny => Action::Discard,
                    _ => protect(if is_out { out } else { back }),
                };
                let policy = match flow.direction {
                    Some(PolicyDirection::In) => {
                        PolicyParams { selector: pair.selector, ..params(&pair, PolicyDirection::In, action) }
                    }
                    _ => params(&pair, direction, action),
                };
                self.configuration.policies.push(ConfiguredPolicy::new(span, policy));
            }
        }
    }

    /// Returns the index of the peer with an address, which is added if it is new.
    fn peer(&mut self, span: Span, ike: &Ike, address: Option<IpAddr>, local: Option<IpAddr>) -> usize {
        let mut peer = self.new_peer(span, ike, address, local);
        peer.local = local;
        let index = *self.peers.entry(peer.config.address).or_insert(self.configuration.peers.len());
        let key = ike.key.as_ref().map(|(key, _)| key);
        match self.configuration.peers.get_mut(index) {
            Some(other) => {
                let method = |config: &PeerConfig| config.proposals.first().map(|proposal| proposal.auth_method);
                let differs = (&other.config.exchanges, &other.config.local_identity)
                    != (&peer.config.exchanges, &peer.config.local_identity)
                    || other.config.remote_identity != peer.config.remote_identity
                    || method(&other.config) != method(&peer.config)
                    || self.keys.get(&index) != key;
                if differs {
                    let text = "an earlier rule for the same peer has other parameters of phase 1, which are used";
                    self.diagnostics.warning(span, text);
                } else {
                    // ipsecctl(8) adds the transforms of each rule.
                    for proposal in peer.config.proposals {
                        if !other.config.proposals.contains(&proposal) {
                            other.config.proposals.push(proposal);
                        }
                    }
                }
                // One rule that starts is enough.
                other.starts |= peer.starts;
                other.config.initiates |= peer.config.initiates;
            }
            None => {
                self.configuration.peers.push(peer);
                if let Some((key, span)) = &ike.key {
                    self.keys.insert(index, key.clone());
                    self.configuration.keys.push(ConfiguredKey { span: *span, peer: index, key: key.clone() });
                }
            }
        }
        index
    }

    fn new_peer(&mut self, span: Span, ike: &Ike, address: Option<IpAddr>, local: Option<IpAddr>) -> ConfiguredPeer {
        let (cipher, octets) = ike.phase_1.cipher.unwrap_or((CipherAlgorithm::AesCbc, 16));
        let hash = ike.phase_1.auth.and_then(|(_, hash)| hash).unwrap_or(HashFunction::Sha1);
        let group = ike.phase_1.group.flatten().unwrap_or(self.release.group());
        if ike.phase_1.group == Some(None) {
            self.diagnostics
                .error(span, "expected a Diffie-Hellman group of phase 1: `group none` is valid after `quick` only");
        }
        let is_aead = ike.phase_2.cipher.and_then(|(cipher, _)| cipher.row()).is_some_and(|row| row.icv > 0);
        if is_aead && ike.phase_2.auth.is_some() {
            self.diagnostics.error(span, "the cipher of phase 2 provides integrity: expected no `auth` after `quick`");
        }
        let is_phase_1 = ike_v1::encryption_number(cipher).is_some();
        if !is_phase_1 {
            self.diagnostics.error(span, format!("{cipher} is not a cipher of phase 1"));
        }
        let method = if ike.key.is_some() { AuthMethod::PRE_SHARED_KEY } else { AuthMethod::RSA_SIGNATURE };
        let lifetimes =
            Lifetimes { seconds: Some(ike.phase_1.lifetime.unwrap_or(LIFETIMES.0)), ..Lifetimes::default() };
        let choice = Phase1Choice::new(cipher, hash, method, group).with_cipher_key(octets).with_lifetimes(lifetimes);
        let exchange = if ike.is_aggressive { ExchangeKind::AGGRESSIVE } else { ExchangeKind::MAIN };
        let name = address.map_or("any".to_owned(), |address| address.to_string());
        let detection = DeadPeerDetection::after(Duration::from_secs(5));
        let config = PeerConfig {
            proposals: std::vec![choice],
            exchanges: std::vec![exchange],
            local_identity: ike
                .srcid
                .as_ref()
                .map_or(LocalIdentity::Address, |(id, _)| LocalIdentity::Given(identity(id))),
            remote_identity: ike.dstid.as_ref().map(|(id, _)| identity(id)),
            // isakmpd(8) accepts every lifetime in a range.
            check: ProposalCheck::Obey,
            nat_traversal: NatUse::On,
            // isakmpd(8) does not send fragments.
            fragment_size: 0,
            dead_peer_detection: (ike.mode == IkeMode::Dynamic).then_some(detection),
            initiates: ike.mode != IkeMode::Passive && address.is_some(),
            defaults: PeerDefaults { sha2_256_at_96: self.release.cuts_sha2_256(), ..PeerDefaults::RFC },
            ..PeerConfig::new(name, address.map(|address| SocketAddr::new(address, IKE_PORT)))
        };
        let mut peer = ConfiguredPeer::new(span, config);
        peer.starts = ike.mode != IkeMode::Passive && address.is_some();
        peer.phase_1_id = 0;
        if ike.key.is_none() {
            Self::certificates(ike, local, &mut peer);
        }
        peer
    }

    /// Adds the files in which isakmpd(8) searches certificates and keys.
    fn certificates(ike: &Ike, local: Option<IpAddr>, peer: &mut ConfiguredPeer) {
        let own = ike.srcid.as_ref().map(|(id, _)| id.clone()).or(local.map(|local| local.to_string()));
        let own = own.unwrap_or_else(|| "local".to_owned());
        let certificate = format!("{DIRECTORY}/certs/{own}.crt");
        let key = format!("{DIRECTORY}/private/local.key");
        peer.files.own.push((certificate, key.clone()));
        peer.files.own_key = Some(key);
        peer.files.directory = Some(format!("{DIRECTORY}/ca"));
        peer.files.crl_directory = Some(format!("{DIRECTORY}/crls"));
        peer.files.public_key_directory = Some(format!("{DIRECTORY}/pubkeys"));
    }

    fn phase_2(&mut self, span: Span, ike: &Ike) -> Phase2Config {
        let phase = &ike.phase_2;
        let integrity = phase.auth.and_then(|(integrity, _)| integrity);
        if phase.has_compression {
            self.diagnostics.warning(span, "`comp` has no effect: IPComp is not negotiated by isakmpd(8)");
        }
        let (cipher, octets) = phase.cipher.unwrap_or((CipherAlgorithm::AesCbc, 16));
        Phase2Config {
            ciphers: std::vec![(cipher, octets)],
            integrity: std::vec![integrity.unwrap_or(IntegrityAlgorithm::HmacSha2_256_128)],
            group: phase.group.unwrap_or(Some(self.release.group())),
            lifetimes: Lifetimes { seconds: Some(phase.lifetime.unwrap_or(LIFETIMES.1)), ..Lifetimes::default() },
            ..Phase2Config::new(span)
        }
    }
}

/// Returns the identity of a text: an address, `user@domain`, or a domain name.
pub(super) fn identity(text: &str) -> Identity {
    match text.parse::<IpAddr>() {
        Ok(address) => Identity::address(address),
        Err(_) if text.contains('@') => Identity::text(IdKind::USER_FQDN, text),
        Err(_) => Identity::text(IdKind::FQDN, text),
    }
}

/// Returns a network; `any` is that of the address family of the other side.
fn of_family(network: &Network, other: &Network) -> Network {
    match (network.is_any, other.address) {
        (true, _) if other.is_any => *network,
        (true, IpAddr::V6(_)) => Network { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), ..*network },
        (true, IpAddr::V4(_)) => Network { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), ..*network },
        (false, _) => *network,
    }
}

fn range(address: IpAddr, length: u8) -> Option<AddressRange> {
    AddressRange::prefix(address, length)
}

fn upper(protocol: u8, source: u16, destination: u16) -> Upper {
    let ports = |port: u16| if port == 0 { PortRange::ANY } else { PortRange::one(port) };
    let wanted = (protocol != 0).then_some(IpProto(protocol));
    match (wanted, source, destination) {
        (None, 0, 0) => Upper::Any,
        (Some(protocol), 0, 0) => Upper::Protocol(protocol),
        (protocol, source, destination) => Upper::Ports(protocol, ports(source), ports(destination)),
    }
}

fn params(pair: &Pair, direction: PolicyDirection, action: Action) -> PolicyParams {
    let Selector { source, destination, upper } = pair.selector;
    let selector = match direction {
        PolicyDirection::Out => pair.selector,
        _ => {
            let upper = match upper {
                Upper::Ports(protocol, from, to) => Upper::Ports(protocol, to, from),
                other => other,
            };
            Selector { source: destination, destination: source, upper }
        }
    };
    PolicyParams { selector, direction, priority: Priority::DEFAULT, action }
}

fn template(
    protocol: Protocol,
    is_tunnel: bool,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    level: Level,
) -> Template {
    let ends = TunnelEndpoints { source: (source, None), destination: (destination, None) };
    let (mode, ends) = if is_tunnel { (Mode::Tunnel, Some(ends)) } else { (Mode::Transport, None) };
    // Endpoints that are both unknown are none.
    let ends = ends.filter(|ends| ends.source.0.is_some() || ends.destination.0.is_some());
    Template { protocol, mode, ends, level }
}

fn protect(template: Template) -> Action {
    Bundle::default().with(template).map_or(Action::Discard, Action::Protect)
}
