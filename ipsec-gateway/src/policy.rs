//! Policies and manual SAs of setkey.conf, and the peers with which the SAs of a policy are negotiated.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use ike_codec::ProtocolId;
use ike_v1::Phase2Choice;
use ipcomp_core::{Deflate, Inflate};
use ipsec_config::setkey;
use ipsec_engine::{
    Action, AnyAlgorithms, Bundle, Capacity, HeapEngine, Mode, PolicyDirection, PolicyId, PolicyParams, Protocol,
    Settings, Template,
};
use ipsec_packet::{Instant, Selector};
use rand::RngExt;
use zeroize::Zeroizing;

use crate::config::{Config, PeerConfig};
use crate::log;

/// Engine of the gateway.
pub type Databases = HeapEngine<AnyAlgorithms>;

/// Largest numbers of SAs, policies and cached flows. Their memory grows with use; that of the flows is half a
/// megabyte.
const CAPACITY: Capacity = Capacity { sas: 1 << 17, policies: 1 << 17, flows: 1 << 12 };

/// Outbound policy whose SAs are negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedPolicy {
    /// Number of the policy in the SPD.
    pub id: PolicyId,
    /// Selector of outbound packets.
    pub selector: Selector,
    /// Index of the peer in the configuration.
    pub peer: usize,
    /// Address of this host in the outer or, in transport mode, the only IP header; `None` if the policy names none.
    pub local: Option<IpAddr>,
    /// Protocols in the order in which they are applied.
    pub templates: Vec<KeyedTemplate>,
}

/// Protocol of a policy whose SAs are negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedTemplate {
    /// ESP, AH or IPComp.
    pub protocol: ProtocolId,
    /// Tunnel or transport mode.
    pub mode: Mode,
    /// Request ID of its SAs; 0 for none.
    pub reqid: u32,
    /// Request ID that the policy for the other direction requires of inbound SAs; 0 for none.
    pub inbound_reqid: u32,
    /// Transforms of phase 2 in order of preference.
    pub proposals: Vec<Phase2Choice>,
}

/// Interval after which a policy repeats an acquire. It also delays the first one after the SAs of a policy were
/// deleted. Repeated acquires join a negotiation that is in progress.
const ACQUIRE_INTERVAL: Duration = Duration::from_secs(1);

/// Creates an engine without SAs and policies. A packet that matches no policy is discarded.
pub fn new_engine() -> Box<Databases> {
    engine_with(CAPACITY)
}

/// Creates an engine like [`new_engine`] with another capacity.
pub fn engine_with(capacity: Capacity) -> Box<Databases> {
    let (compressor, decompressor) = (Some(Deflate::new()), Some(Inflate::new()));
    let mut engine = Box::new(HeapEngine::with_capacity(Settings::STRICT, capacity, compressor, decompressor));
    engine.set_hash_key(rand::rng().random());
    engine.settings_mut().acquire_interval = ACQUIRE_INTERVAL;
    engine
}

/// Reads the file of the policies and applies it to an engine. Warnings are logged.
///
/// # Errors
/// The message of the file system, of the parser, or of the engine, with the name of the file.
pub fn load(config: &Config, engine: &mut Databases, now: Instant) -> Result<Vec<KeyedPolicy>, String> {
    let name = config.policies.display();
    let text = Zeroizing::new(fs::read(&config.policies).map_err(|e| format!("{name}: {e}"))?);
    let mode = fs::metadata(&config.policies).map_or(0, |metadata| metadata.mode() & 0o7777);
    let (policies, warnings) = apply(config, &text, engine, now).map_err(|e| format!("{name}: {e}"))?;
    for warning in warnings {
        log::warning(format_args!("{name}: {warning}"));
    }
    if is_wan_missing(config, engine) {
        log::warning(
            "gateway.conf has no `wan` statement: packets that arrive from the unprotected side with addresses of the \
             protected networks are not dropped, and enter the tunnels",
        );
    }
    if mode & 0o077 != 0 && engine.sas().next().is_some() {
        log::warning(format_args!("{name}: the file contains keys: mode is {mode:04o}, expected 0600"));
    }
    Ok(policies)
}

/// Applies a text to an engine. Returns the policies whose SAs are negotiated, and warnings.
fn apply(
    config: &Config,
    text: &[u8],
    engine: &mut Databases,
    now: Instant,
) -> Result<(Vec<KeyedPolicy>, Vec<String>), String> {
    let loaded = setkey::apply(engine, text, &config.local_addresses(), now).map_err(|e| e.to_string())?;
    let mut warnings: Vec<_> = loaded.warnings.iter().map(|(at, warning)| format!("{at}: {warning}")).collect();
    let mut keyed = Vec::new();
    for (id, policy) in engine.policies() {
        let PolicyParams { direction: PolicyDirection::Out, action: Action::Protect(bundle), .. } = policy else {
            continue;
        };
        let counterparts: Vec<_> = engine.policies().filter(|(_, other)| is_counterpart(other, policy)).collect();
        if counterparts.is_empty() {
            let selector = show(&policy.selector);
            warnings.push(format!("policy {id} ({selector}): no policy for the packets in the other direction"));
        }
        let inbound_reqid =
            |protocol| counterparts.iter().find_map(|(id, policy)| reqid(*id, policy, protocol)).unwrap_or_default();
        match keyed_policy(config, id, policy, bundle, inbound_reqid)? {
            Ok(policy) => keyed.push(policy),
            Err(why) => warnings.push(format!(
                "policy {id} ({}): SAs are not negotiated, only manual SAs are used: {why}",
                show(&policy.selector)
            )),
        }
    }
    check_local_addresses(config, &keyed)?;
    Ok((keyed, warnings))
}

/// Returns whether packets from the unprotected side can enter a tunnel because no interface is known as one of it.
fn is_wan_missing(config: &Config, engine: &Databases) -> bool {
    let is_tunnel = |policy: &PolicyParams| match policy.action {
        Action::Protect(bundle) => bundle.iter().any(|template| template.mode == Mode::Tunnel),
        _ => false,
    };
    config.wan.is_empty()
        && engine.policies().any(|(_, policy)| policy.direction == PolicyDirection::Out && is_tunnel(policy))
}

/// Refuses policies of one peer with different local addresses: phase 1 has one path for each peer, whose addresses are
/// those of the SAs.
fn check_local_addresses(config: &Config, policies: &[KeyedPolicy]) -> Result<(), String> {
    for (peer, PeerConfig { name, .. }) in config.peers.iter().enumerate() {
        let mut named =
            policies.iter().filter(|policy| policy.peer == peer).filter_map(|row| Some((row.id, row.local?)));
        let Some((first, expected)) = named.next() else { continue };
        if let Some((id, got)) = named.find(|(_, local)| *local != expected) {
            return Err(format!(
                "policy {id}: local address mismatch: got {got}, expected {expected} as in policy {first} of peer {name}"
            ));
        }
    }
    Ok(())
}

/// Returns whether a policy is for received packets with the addresses of an outbound policy.
fn is_counterpart(policy: &PolicyParams, outbound: &PolicyParams) -> bool {
    let ends = (policy.selector.source, policy.selector.destination);
    policy.direction != PolicyDirection::Out && ends == (outbound.selector.destination, outbound.selector.source)
}

/// Returns the request ID that a policy requires of the SA of a protocol, if it requires one.
fn reqid(id: PolicyId, policy: &PolicyParams, protocol: Protocol) -> Option<u32> {
    let Action::Protect(bundle) = policy.action else { return None };
    let template = bundle.iter().find(|template| template.protocol == protocol);
    template.map(|template| id.reqid(template)).filter(|reqid| *reqid != 0)
}

/// Returns the policy with its peer, or the reason why its SAs are not negotiated.
///
/// # Errors
/// The message about a local tunnel endpoint that the configuration does not contain.
fn keyed_policy(
    config: &Config,
    id: PolicyId,
    policy: &PolicyParams,
    bundle: &Bundle,
    inbound_reqid: impl Fn(Protocol) -> u32,
) -> Result<Result<KeyedPolicy, String>, String> {
    let Some(template) = bundle.iter().next() else { return Ok(Err("the policy has no templates".to_owned())) };
    if let Some(local) = template.ends.and_then(|ends| ends.source.0)
        && !config.local_addresses().contains(&local)
    {
        return Err(format!("policy {id}: local tunnel endpoint {local} is not a `local` address of gateway.conf"));
    }
    let remote = match remote_address(template, &policy.selector) {
        Ok(remote) => remote,
        Err(why) => return Ok(Err(why)),
    };
    let Some((peer, found)) = find_peer(config, remote) else {
        return Ok(Err(match remote {
            Some(remote) => format!("no peer has the address {remote}"),
            None => "no peer has the address `any`".to_owned(),
        }));
    };
    let templates = bundle.iter().enumerate().map(|(position, template)| {
        if position > 0 && template.mode != Mode::Transport {
            return Err(format!("template {} is in {} mode, expected transport", position + 1, template.mode));
        }
        let protocol = protocol_id(template.protocol);
        let proposals: Vec<_> =
            found.transforms.iter().filter(|transform| transform.protocol == protocol).copied().collect();
        if proposals.is_empty() {
            return Err(format!("peer {} has no `{}` statement", found.name, template.protocol));
        }
        let (reqid, inbound_reqid) = (id.reqid(template), inbound_reqid(template.protocol));
        Ok(KeyedTemplate { protocol, mode: template.mode, reqid, inbound_reqid, proposals })
    });
    let checked = templates.collect::<Result<Vec<_>, String>>().and_then(|templates| {
        let local = local_address(config, template, &policy.selector);
        check_bundle(&templates).map(|()| KeyedPolicy { id, selector: policy.selector, peer, local, templates })
    });
    Ok(checked)
}

/// Refuses bundles that one quick mode cannot negotiate: a protocol twice, and keyed protocols whose first groups
/// differ (RFC 2409 section 5.5).
fn check_bundle(templates: &[KeyedTemplate]) -> Result<(), String> {
    let mut keyed = templates.iter().filter(|template| template.protocol != ProtocolId::IPCOMP);
    let group = |template: &KeyedTemplate| template.proposals.first().and_then(|first| first.group);
    let first = keyed.next().map(group);
    if keyed.any(|template| !template.proposals.iter().any(|transform| Some(transform.group) == first)) {
        return Err("the groups of `esp` and `ah` differ".to_owned());
    }
    let is_twice = |(at, template): (usize, &KeyedTemplate)| {
        templates[..at].iter().any(|other| other.protocol == template.protocol)
    };
    if templates.iter().enumerate().any(is_twice) {
        return Err("a protocol occurs twice".to_owned());
    }
    Ok(())
}

/// Returns the number of a protocol in proposals.
pub const fn protocol_id(protocol: Protocol) -> ProtocolId {
    match protocol {
        Protocol::Esp => ProtocolId::ESP,
        Protocol::Ah => ProtocolId::AH,
        Protocol::Ipcomp => ProtocolId::IPCOMP,
    }
}

/// Returns the address of the peer of a template; `None` if it is known only when the peer initiates.
fn remote_address(template: &Template, selector: &Selector) -> Result<Option<IpAddr>, String> {
    match template.mode {
        Mode::Tunnel => Ok(template.ends.and_then(|ends| ends.destination.0)),
        Mode::Transport => {
            let destination = selector.destination;
            let is_host = destination.first() == destination.last();
            is_host
                .then(|| Some(destination.first()))
                .ok_or(format!("destination of a transport-mode policy is {destination}, expected one host"))
        }
        mode => Err(format!("mode is {mode}, expected tunnel or transport")),
    }
}

/// Returns the address of this host that a template names.
fn local_address(config: &Config, template: &Template, selector: &Selector) -> Option<IpAddr> {
    match template.mode {
        Mode::Tunnel => template.ends.and_then(|ends| ends.source.0),
        _ => config.local_addresses().into_iter().find(|local| {
            let source = selector.source;
            source.first() == *local && source.last() == *local
        }),
    }
}

/// Finds the peer with an address, or the peer at any address. Returns its index, too.
pub fn find_peer(config: &Config, address: Option<IpAddr>) -> Option<(usize, &PeerConfig)> {
    let with = |wanted: Option<IpAddr>| {
        config.peers.iter().enumerate().find(|(_, peer)| peer.address.map(|address| address.ip()) == wanted)
    };
    with(address).or_else(|| with(None))
}

/// Returns the addresses of a selector for messages.
pub fn show(selector: &Selector) -> String {
    format!("{} {}", selector.source, selector.destination)
}

#[cfg(test)]
mod tests;
