//! Policies and manual SAs of setkey.conf, and the peers with which the SAs of a policy are negotiated.

mod table;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ike_codec::ProtocolId;
use ike_v1::{Phase2Choice, Phase2Suite};
use ipcomp_core::{Deflate, Inflate};
use ipsec_config::{ConfiguredSa, Negotiation};
use ipsec_engine::{
    Action, Bundle, Capacity, HeapEngine, Mode, PolicyDirection, PolicyId, PolicyParams, Protocol, Settings, Template,
};
use ipsec_packet::{Instant, Selector};
use ipsec_sa::{Level, SaBackend, SaParams, TransformParams};
use rand::RngExt;

use crate::config::{Backend, Config, Limits};
use crate::databases::Databases;
use crate::kernel::{self, Kernel, PfkeySocket};
use crate::log;

pub use table::PolicyTable;

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
    /// Address of this host in the outer or, in transport mode, the only IP header; `None` if the policy has none.
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

/// Creates an engine with the limits of a configuration.
pub fn engine_for(limits: &Limits) -> Box<Databases> {
    let limit = |own: Option<u32>, default: usize| own.and_then(|own| usize::try_from(own).ok()).unwrap_or(default);
    engine_with(Capacity {
        sas: limit(limits.sas, CAPACITY.sas),
        policies: limit(limits.policies, CAPACITY.policies),
        flows: limit(limits.flows, CAPACITY.flows),
    })
}

/// Creates the databases of a configuration: an engine, which the kernel follows with the back end `pfkey`. `open`
/// opens the socket of the kernel.
///
/// # Errors
/// The message of the kernel.
pub fn databases_for(
    config: &Config,
    open: impl FnOnce() -> Result<PfkeySocket, String>,
) -> Result<Box<Databases>, String> {
    let mut databases = engine_for(&config.limits);
    if config.backend == Backend::Pfkey {
        databases.attach(Kernel::of_socket(open()?, &config.locals)?);
    }
    Ok(databases)
}

/// Returns the largest number of policies.
pub fn max_policies(limits: &Limits) -> usize {
    limits.policies.and_then(|own| usize::try_from(own).ok()).unwrap_or(CAPACITY.policies)
}

/// Creates an engine like [`new_engine`] with another capacity.
pub fn engine_with(capacity: Capacity) -> Box<Databases> {
    let (compressor, decompressor) = (Some(Deflate::new()), Some(Inflate::new()));
    let mut engine = HeapEngine::with_capacity(Settings::STRICT, capacity, compressor, decompressor);
    engine.set_hash_key(rand::rng().random());
    engine.settings_mut().acquire_interval = ACQUIRE_INTERVAL;
    Box::new(Databases::new(engine))
}

/// Adds the SAs and policies of the configuration to an engine. Warnings are logged. Returns the policies whose SAs are
/// negotiated.
///
/// # Errors
/// The message about an SA or a policy that the gateway cannot have.
pub fn load(config: &Config, engine: &mut Databases, now: Instant) -> Result<Vec<KeyedPolicy>, String> {
    let (policies, warnings) = apply(config, engine, now)?;
    for warning in warnings {
        log::warning(warning);
    }
    if config.backend == Backend::Userspace && is_wan_missing(config, engine) {
        log::warning(
            "gateway.conf has no `wan` statement: packets that arrive from the unprotected side with addresses of the \
             protected networks are not dropped, and enter the tunnels",
        );
    }
    Ok(policies)
}

/// Removes the policies of all directions from the SPD.
pub fn unload(databases: &mut Databases) {
    let policies: Vec<_> = databases.policies().map(|(id, _)| id).collect();
    policies.iter().for_each(|id| _ = databases.remove_policy(*id));
}

/// Adds the SAs and policies of a configuration to an engine. Returns the policies whose SAs are negotiated, and
/// warnings.
fn apply(config: &Config, engine: &mut Databases, now: Instant) -> Result<(Vec<KeyedPolicy>, Vec<String>), String> {
    let configuration = &config.configuration;
    for ConfiguredSa { params, .. } in &configuration.sas {
        check_manual_sa(params)?;
        engine.add(params, now).map_err(|e| format!("SA {}: {e}", params.id))?;
    }
    for policy in &configuration.policies {
        engine.add_policy(bound(policy)).map_err(|e| format!("policy {}: {e}", show(&policy.params.selector)))?;
    }
    let KeyedPolicies { policies, warnings, errors } = keyed_policies(config, engine);
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    check_local_addresses(config, &policies)?;
    if config.backend == Backend::Pfkey {
        check_kernel_algorithms(&policies)?;
    }
    Ok((policies, warnings))
}

/// Refuses proposals that a peer and the kernel would use differently.
fn check_kernel_algorithms(policies: &[KeyedPolicy]) -> Result<(), String> {
    let is_refused = |choice: &Phase2Choice| match choice.suite {
        Phase2Suite::Keyed { integrity, .. } => kernel::is_truncated(integrity),
        _ => false,
    };
    let has_refused =
        |policy: &&KeyedPolicy| policy.templates.iter().any(|template| template.proposals.iter().any(is_refused));
    match policies.iter().find(has_refused) {
        Some(policy) => Err(format!("policy {} ({}): {}", policy.id, show(&policy.selector), kernel::TRUNCATION)),
        None => Ok(()),
    }
}

/// Refuses a manual SA whose keys or algorithms the gateway does not use.
///
/// # Errors
/// The message with the identifier of the SA.
pub fn check_manual_sa(params: &SaParams) -> Result<(), String> {
    if params.transform.has_sequence_nonce() && params.id.direction == ipsec_engine::Direction::Outbound {
        return Err(format!(
            "SA {}: the algorithm must not be used with static keys: its nonce is the sequence number, which a missing or \
             older state file repeats",
            params.id
        ));
    }
    if matches!(params.transform, TransformParams::EspWithoutIntegrity(_)) {
        return Err(format!("SA {}: ESP without integrity is not used", params.id));
    }
    Ok(())
}

/// Policies whose SAs are negotiated, and messages about others.
#[derive(Debug, Default)]
pub struct KeyedPolicies {
    /// Policies in the order of the configuration.
    pub policies: Vec<KeyedPolicy>,
    /// Messages about policies for which only manual SAs are used, and about those that several clients share.
    pub warnings: Vec<String>,
    /// Messages about policies whose local tunnel endpoint the configuration does not contain.
    pub errors: Vec<String>,
}

/// Returns the policies of a configuration whose SAs are negotiated, with their numbers in an engine that has them.
pub fn keyed_policies(config: &Config, engine: &Databases) -> KeyedPolicies {
    let mut keyed = KeyedPolicies::default();
    // Policies for received packets, by their addresses.
    let mut inbound: HashMap<_, Vec<_>> = HashMap::new();
    for (id, policy) in engine.policies().filter(|(_, policy)| policy.direction != PolicyDirection::Out) {
        inbound.entry((policy.selector.source, policy.selector.destination)).or_default().push((id, policy));
    }
    for negotiation in config.configuration.negotiations() {
        let policy = bound(negotiation.policy);
        let Some(id) = engine.find_policy(policy.direction, &policy.selector) else { continue };
        let Action::Protect(bundle) = policy.action else { continue };
        let reversed = (policy.selector.destination, policy.selector.source);
        let counterparts = inbound.get(&reversed).map_or(&[][..], Vec::as_slice);
        let inbound_reqid =
            |protocol| counterparts.iter().find_map(|(id, policy)| reqid(*id, policy, protocol)).unwrap_or_default();
        match keyed_policy(config, id, &negotiation, &bundle, inbound_reqid) {
            Ok(Ok(own)) => {
                if is_for_several(config, own.peer, &policy) {
                    keyed.warnings.push(format!(
                        "policy {id} ({}): one client at a time, as the newest SAs of a policy are used for all its \
                         packets; `generate_policy` has policies for each client",
                        show(&policy.selector)
                    ));
                }
                keyed.policies.push(own);
            }
            Ok(Err(why)) => keyed.warnings.push(format!(
                "policy {id} ({}): SAs are not negotiated, only manual SAs are used: {why}",
                show(&policy.selector)
            )),
            Err(e) => keyed.errors.push(e),
        }
    }
    keyed
}

/// Returns whether several clients of a peer may negotiate tunnels for parts of a policy.
fn is_for_several(config: &Config, peer: usize, policy: &PolicyParams) -> bool {
    let Action::Protect(bundle) = &policy.action else { return false };
    let mut tunnels = bundle.iter().filter(|template| template.mode == Mode::Tunnel);
    let has_address = config.peers().get(peer).is_none_or(|peer| peer.config.address.is_some());
    let is_host = policy.selector.destination.first() == policy.selector.destination.last();
    !has_address && !is_host && tunnels.any(|template| template.ends.is_none_or(|ends| ends.destination.0.is_none()))
}

/// Returns the parameters of a policy for the engine. One that has parameters of phase 2 of its own, as a rule of
/// ipsec.conf(5), has SAs of its own as well: their peer expects no packets of other rules in them.
pub fn bound(policy: &ipsec_config::ConfiguredPolicy) -> PolicyParams {
    let mut params = policy.params;
    if let (Action::Protect(bundle), Some(_)) = (params.action, policy.phase_2) {
        let unique = bundle.iter().try_fold(Bundle::default(), |all, template| {
            let level = if template.level == Level::Require { Level::Unique } else { template.level };
            all.with(Template { level, ..*template })
        });
        params.action = unique.map_or(params.action, Action::Protect);
    }
    params
}

/// Returns whether packets from the unprotected side can enter a tunnel because no interface of it is configured.
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
///
/// # Errors
/// The message with the peer, the policies and the addresses.
pub fn check_local_addresses(config: &Config, policies: &[KeyedPolicy]) -> Result<(), String> {
    let mut named: HashMap<usize, (PolicyId, IpAddr)> = HashMap::new();
    for (policy, got) in policies.iter().filter_map(|policy| Some((policy, policy.local?))) {
        let (first, expected) = *named.entry(policy.peer).or_insert((policy.id, got));
        if got != expected {
            let (id, peer) = (policy.id, config.peers().get(policy.peer));
            let name = peer.map_or("unknown", |peer| peer.config.name.as_str());
            return Err(format!(
                "policy {id}: local address mismatch: got {got}, expected {expected} as in policy {first} of peer {name}"
            ));
        }
    }
    Ok(())
}

/// Returns the request ID that a policy requires for SAs of a protocol, if any.
pub fn reqid(id: PolicyId, policy: &PolicyParams, protocol: Protocol) -> Option<u32> {
    let Action::Protect(bundle) = policy.action else { return None };
    let template = bundle.iter().find(|template| template.protocol == protocol);
    template.map(|template| id.reqid(template)).filter(|reqid| *reqid != 0)
}

/// Returns the policy with its peer, or the reason why its SAs are not negotiated.
///
/// # Errors
/// The message about a local tunnel endpoint that the configuration does not contain.
pub fn keyed_policy(
    config: &Config,
    id: PolicyId,
    negotiation: &Negotiation<'_>,
    bundle: &Bundle,
    inbound_reqid: impl Fn(Protocol) -> u32,
) -> Result<Result<KeyedPolicy, String>, String> {
    let Some(template) = bundle.iter().next() else { return Ok(Err("the policy has no templates".to_owned())) };
    if let Some(local) = template.ends.and_then(|ends| ends.source.0)
        && !config.local_addresses().contains(&local)
    {
        return Err(format!("policy {id}: local tunnel endpoint {local} is not a `local` address of gateway.conf"));
    }
    if let Some(why) = obstacle(template, &negotiation.selector) {
        return Ok(Err(why));
    }
    let Some((peer, found)) = negotiation.peer else {
        return Ok(Err(match negotiation.address {
            Some(remote) => format!("no peer has the address {remote}"),
            None => "no peer has the address `any`".to_owned(),
        }));
    };
    let templates =
        bundle.iter().zip(&negotiation.templates).enumerate().map(|(position, (template, (_, transforms)))| {
            if position > 0 && template.mode != Mode::Transport {
                return Err(format!("template {} is in {} mode, expected transport", position + 1, template.mode));
            }
            if transforms.is_empty() {
                return Err(format!(
                    "peer {} has no transform of `{}` for the policy",
                    found.config.name, template.protocol
                ));
            }
            let protocol = protocol_id(template.protocol);
            let (reqid, inbound_reqid) = (id.reqid(template), inbound_reqid(template.protocol));
            Ok(KeyedTemplate { protocol, mode: template.mode, reqid, inbound_reqid, proposals: transforms.clone() })
        });
    let checked = templates.collect::<Result<Vec<_>, String>>().and_then(|templates| {
        let local = local_address(config, template, &negotiation.selector).or(found.local);
        check_bundle(&templates).map(|()| KeyedPolicy { id, selector: negotiation.selector, peer, local, templates })
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
    let is_duplicate = |(at, template): &(usize, &KeyedTemplate)| {
        templates[..*at].iter().any(|other| other.protocol == template.protocol)
    };
    match templates.iter().enumerate().find(is_duplicate) {
        Some((_, template)) => Err(format!("duplicate protocol {}", template.protocol)),
        None => Ok(()),
    }
}

/// Returns the number of a protocol in proposals.
pub const fn protocol_id(protocol: Protocol) -> ProtocolId {
    match protocol {
        Protocol::Esp => ProtocolId::ESP,
        Protocol::Ah => ProtocolId::AH,
        Protocol::Ipcomp => ProtocolId::IPCOMP,
    }
}

/// Returns the reason why the SAs of a template cannot be negotiated.
fn obstacle(template: &Template, selector: &Selector) -> Option<String> {
    match template.mode {
        Mode::Tunnel => None,
        Mode::Transport => {
            let destination = selector.destination;
            let is_host = destination.first() == destination.last();
            (!is_host).then(|| format!("destination of a transport-mode policy is {destination}, expected one host"))
        }
        mode => Some(format!("mode is {mode}, expected tunnel or transport")),
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

/// Returns the addresses of a selector for messages.
pub fn show(selector: &Selector) -> String {
    format!("{} {}", selector.source, selector.destination)
}

#[cfg(test)]
mod tests;
