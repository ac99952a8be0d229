//! Policies that are generated for the selectors of an initiator: `generate_policy` of racoon.conf(5).
//!
//! A pair of policies, for outbound and for inbound packets, has the mode and the protocols of the first proposal. It
//! is added to the SPD when its first inbound SA is installed, and removed with its last SA. Both policies require SAs
//! of their own: those of another selector, or of another client behind the same NAT, do not match.

use std::time::Duration;

use ike_codec::{EncapsulationMode, ProtocolId};
use ike_v1::{PeerId, PolicyRequest};
use ipsec_config::{ConfiguredPolicy, Span};
use ipsec_engine::{
    Action, Bundle, Mode, PolicyDirection, PolicyId, PolicyParams, Protocol, Template, TunnelEndpoints,
};
use ipsec_packet::{AddressRange, Instant, Selector, Upper};
use ipsec_sa::{Level, Priority};

use crate::config::Config;
use crate::databases::Databases;
use crate::key_exchange::KeyExchange;
use crate::policy::{self, KeyedPolicy, show};
use crate::spd::overlap;

/// Largest number of pairs of policies: that of the pairs of SAs of the negotiator.
const MAX_PAIRS: usize = 128;
/// Largest number of pairs of policies of one client.
const MAX_PAIRS_OF_CLIENT: usize = 32;
/// Time for which a policy waits for its first SA: no exchange takes longer, see [`crate::ike`].
const MAX_WAIT: Duration = Duration::from_secs(600);

/// Client for which policies are generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Configuration of the client.
    pub peer: PeerId,
    /// Digest of its identity in phase 1.
    pub identity: u64,
    /// Name of its user; empty without one.
    pub user: Vec<u8>,
}

/// Pair of policies that was generated for a client.
#[derive(Debug)]
struct Pair {
    owner: Owner,
    keyed: KeyedPolicy,
    outbound: PolicyParams,
    inbound: (PolicyId, PolicyParams),
    /// Set if the policies are in the SPD.
    is_installed: bool,
    /// Time at which the pair was generated, or removed from the SPD.
    since: Instant,
}

/// Change of the SPD, after which firewall rules and routes are updated.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Policies that were added to the SPD.
    pub added: Vec<PolicyParams>,
    /// Set if policies were removed from it.
    pub has_removed: bool,
}

/// Policies of all clients.
#[derive(Debug, Default)]
pub struct Generated {
    pairs: Vec<Pair>,
    changes: Changes,
}

/// Reason why no policy is generated.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// The selectors or proposals exceed the bounds of the configuration.
    Bounds(String),
    /// Packets of the selectors belong to another policy.
    Taken(String),
}

impl Generated {
    /// Returns the policy for outbound packets with this number.
    pub fn policy(&self, number: u32) -> Option<&KeyedPolicy> {
        self.pairs.iter().map(|pair| &pair.keyed).find(|keyed| keyed.id.get() == number)
    }

    /// Iterates over the policies for outbound packets that are in the SPD.
    pub fn installed(&self) -> impl Iterator<Item = &KeyedPolicy> {
        self.pairs.iter().filter(|pair| pair.is_installed).map(|pair| &pair.keyed)
    }

    /// Returns whether a policy of the SPD is one of these, in either direction.
    pub fn contains(&self, id: PolicyId) -> bool {
        self.pairs.iter().any(|pair| pair.keyed.id == id || pair.inbound.0 == id)
    }

    /// Returns the number of the policy for the selectors that a client proposes: the one that it has, or a new one.
    /// The remote selector has been found to be one that the client may have.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn find_or_generate(
        &mut self,
        now: Instant,
        (exchange, owner): (&KeyExchange, Owner),
        request: &PolicyRequest<'_>,
        engine: &mut Databases,
    ) -> Result<u32, Refused> {
        let selector = request.selector;
        self.pairs.retain(|pair| pair.is_installed || now.saturating_duration_since(pair.since) < MAX_WAIT);
        let bounds = |text: &str| Refused::Bounds(text.to_owned());
        let bundle = bundle(request)?;
        if let Some(own) = self.pairs.iter().position(|pair| pair.owner == owner && pair.outbound.selector == selector)
        {
            let pair = &self.pairs[own];
            if pair.outbound.action == Action::Protect(bundle) {
                return Ok(pair.keyed.id.get());
            }
            if pair.is_installed {
                return Err(bounds("mode, protocols and local address differ from those of the SAs that are in use"));
            }
            // A former attempt had other proposals, and no SA.
            self.pairs.swap_remove(own);
        }
        let index = exchange.index(owner.peer).ok_or_else(|| bounds("the peer is not configured"))?;
        let configured = engine.policies().filter(|(id, _)| !self.contains(*id));
        if let Some(text) = conflict(configured, (exchange, index), &selector) {
            return Err(Refused::Taken(text));
        }
        let mut others = self.pairs.iter().filter(|pair| pair.owner != owner);
        if let Some(other) = others.find(|pair| overlap(&pair.outbound.selector, &selector)) {
            let (id, name) = (other.keyed.id, exchange.name(other.owner.peer));
            return Err(Refused::Taken(format!(
                "policy {id} ({}) of a client of {name}",
                show(&other.outbound.selector)
            )));
        }
        let of_client = self.pairs.iter().filter(|pair| pair.owner == owner).count();
        for (count, limit) in [(self.pairs.len(), MAX_PAIRS), (of_client, MAX_PAIRS_OF_CLIENT)] {
            if count >= limit {
                return Err(Refused::Bounds(format!("limit of generated policies reached: {count} pairs exist")));
            }
        }
        let inverted = inverted(&selector).ok_or_else(|| bounds("the protocol has no ports"))?;
        let mut id = || engine.reserve_policy_id().map_err(|e| Refused::Bounds(e.to_string()));
        let (outbound_id, inbound_id) = (id()?, id()?);
        let params = |direction, selector, bundle| PolicyParams {
            direction,
            selector,
            priority: Priority::DEFAULT,
            action: Action::Protect(bundle),
        };
        let outbound = params(PolicyDirection::Out, selector, bundle);
        let inbound = params(PolicyDirection::In, inverted, mirrored(&bundle));
        let keyed = keyed(&exchange.config, index, (outbound_id, &outbound), (inbound_id, &inbound));
        let keyed = keyed.map_err(Refused::Bounds)?;
        let inbound = (inbound_id, inbound);
        self.pairs.push(Pair { owner, keyed, outbound, inbound, is_installed: false, since: now });
        Ok(outbound_id.get())
    }

    /// Adds the policies with this number to the SPD, if they are not in it. Returns the outbound policy if
    /// they have been added.
    ///
    /// # Errors
    /// The message of the engine.
    pub fn install(&mut self, number: u32, engine: &mut Databases) -> Result<Option<&KeyedPolicy>, String> {
        let found = self.pairs.iter_mut().find(|pair| pair.keyed.id.get() == number && !pair.is_installed);
        let Some(pair) = found else { return Ok(None) };
        let (id, (inbound_id, inbound)) = (pair.keyed.id, pair.inbound);
        engine.add_reserved_policy(id, pair.outbound).map_err(|e| format!("policy {id}: {e}"))?;
        if let Err(e) = engine.add_reserved_policy(inbound_id, inbound) {
            engine.remove_policy(id);
            return Err(format!("policy {inbound_id}: {e}"));
        }
        pair.is_installed = true;
        self.changes.added.push(pair.outbound);
        Ok(Some(&pair.keyed))
    }

    /// Removes the policies with this number from the SPD after their last SA. Returns the outbound policy if they were
    /// in it. A negotiation that is in progress may install them again.
    pub fn remove(&mut self, now: Instant, id: PolicyId, engine: &mut Databases) -> Option<&KeyedPolicy> {
        let pair = self.pairs.iter_mut().find(|pair| pair.keyed.id == id && pair.is_installed)?;
        engine.remove_policy(pair.keyed.id);
        engine.remove_policy(pair.inbound.0);
        (pair.is_installed, pair.since) = (false, now);
        self.changes.has_removed = true;
        Some(&pair.keyed)
    }

    /// Removes policies, also from the SPD.
    pub fn forget(&mut self, policies: &[PolicyId], engine: &mut Databases) {
        for pair in self.pairs.extract_if(.., |pair| policies.contains(&pair.keyed.id)) {
            engine.remove_policy(pair.keyed.id);
            engine.remove_policy(pair.inbound.0);
            self.changes.has_removed |= pair.is_installed;
        }
    }

    /// Returns the policies that do not remain with a configuration: their peer has changed, another one has policies
    /// for the same packets, a policy has their selector, their parameters of phase 2 differ, or the SPD no longer has
    /// them. `policies` is the SPD with the policies of that configuration.
    pub fn outdated(
        &self,
        next: &KeyExchange,
        policies: &[(PolicyId, &PolicyParams)],
        engine: &Databases,
    ) -> Vec<PolicyId> {
        let is_in =
            |id: PolicyId, policy: &PolicyParams| engine.find_policy(policy.direction, &policy.selector) == Some(id);
        // A configuration that is not yet in effect has numbers of its own.
        let is_configured = |(id, policy): &(PolicyId, &PolicyParams)| {
            !self
                .pairs
                .iter()
                .any(|pair| pair.keyed.id == *id && pair.outbound == **policy || pair.inbound == (*id, **policy))
        };
        let remains = |pair: &Pair| {
            let Some(index) = next.index(pair.owner.peer) else { return false };
            let (outbound, inbound) = ((pair.keyed.id, &pair.outbound), (pair.inbound.0, &pair.inbound.1));
            let configured = policies.iter().copied().filter(is_configured);
            let is_same = keyed(&next.config, index, outbound, inbound)
                .is_ok_and(|keyed| KeyedPolicy { peer: pair.keyed.peer, ..keyed } == pair.keyed);
            let is_complete = !pair.is_installed || is_in(outbound.0, outbound.1) && is_in(inbound.0, inbound.1);
            // A policy of the configuration with the same selector is the one that its author wants.
            let is_replaced = configured.clone().any(|(_, own)| {
                [&pair.outbound, &pair.inbound.1]
                    .iter()
                    .any(|policy| (policy.direction, policy.selector) == (own.direction, own.selector))
            });
            let is_free = || conflict(configured, (next, index), &pair.outbound.selector).is_none();
            is_same && is_complete && !is_replaced && is_free()
        };
        self.pairs.iter().filter(|pair| !remains(pair)).map(|pair| pair.keyed.id).collect()
    }

    /// Adds the policies that are in the SPD to another one, except those of `outdated`, and those that it has.
    ///
    /// # Errors
    /// The message about a policy that the other SPD does not take.
    pub fn copy_to(&self, other: &mut Databases, outdated: &[PolicyId]) -> Result<(), String> {
        let kept = self.pairs.iter().filter(|pair| pair.is_installed && !outdated.contains(&pair.keyed.id));
        for policy in kept.flat_map(|pair| [pair.outbound, pair.inbound.1]) {
            if other.find_policy(policy.direction, &policy.selector).is_some() {
                continue;
            }
            other.add_policy(policy).map_err(|e| format!("generated policy {}: {e}", show(&policy.selector)))?;
        }
        Ok(())
    }

    /// Records the places of the peers in a configuration that replaces another one.
    pub fn follow(&mut self, exchange: &KeyExchange) {
        for pair in &mut self.pairs {
            if let Some(index) = exchange.index(pair.owner.peer) {
                pair.keyed.peer = index;
            }
        }
    }

    /// Returns the changes of the SPD since the last call.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }
}

/// Returns whether a client may have policies for these addresses: they are its own address, the one that is assigned
/// to it, or within a range of the configuration, and not all addresses.
pub fn is_within_bounds(
    (exchange, peer): (&KeyExchange, PeerId),
    request: &PolicyRequest<'_>,
    has_lease: impl Fn(&AddressRange) -> bool,
) -> bool {
    let range = request.selector.destination;
    let configuration = &exchange.config.configuration;
    let is_configured =
        || exchange.index(peer).and_then(|index| configuration.phase_2_containing(index, &request.selector)).is_some();
    let is_own = range.first() == range.last() && exchange.config.local_addresses().contains(&range.first());
    !matches!(range.prefix_length(), Some(0))
        && !is_own
        && (range == AddressRange::host(request.path.remote.ip()) || has_lease(&range) || is_configured())
}

/// Returns the policy of another peer, or one with manually keyed SAs, that has packets of a selector. Policies of
/// the peer itself precede the generated one.
fn conflict<'p>(
    mut configured: impl Iterator<Item = (PolicyId, &'p PolicyParams)>,
    (exchange, index): (&KeyExchange, usize),
    selector: &Selector,
) -> Option<String> {
    let is_other = |id: PolicyId| exchange.policy(id.get()).is_none_or(|keyed| keyed.peer != index);
    let (id, other) = configured.find(|(id, other)| {
        other.direction == PolicyDirection::Out
            && matches!(other.action, Action::Protect(_))
            && overlap(&other.selector, selector)
            && is_other(*id)
    })?;
    let peer = exchange.policy(id.get()).and_then(|keyed| exchange.config.peers().get(keyed.peer));
    let of = peer.map_or("with manually keyed SAs".to_owned(), |peer| format!("of peer {}", peer.config.name));
    Some(format!("policy {id} ({}) {of}", show(&other.selector)))
}

/// Returns the policy with its transforms, or the reason why there are none.
fn keyed(
    config: &Config,
    index: usize,
    (id, outbound): (PolicyId, &PolicyParams),
    (inbound_id, inbound): (PolicyId, &PolicyParams),
) -> Result<KeyedPolicy, String> {
    let mut policy = ConfiguredPolicy::new(Span::default(), *outbound);
    policy.peer = Some(index);
    policy.phase_2 = config.configuration.phase_2_containing(index, &outbound.selector);
    let (Action::Protect(bundle), Some(negotiation)) = (outbound.action, config.configuration.negotiation_for(&policy))
    else {
        return Err("the policy does not protect".to_owned());
    };
    let inbound_reqid = |protocol| policy::reqid(inbound_id, inbound, protocol).unwrap_or_default();
    policy::keyed_policy(config, id, &negotiation, &bundle, inbound_reqid)?
}

/// Returns the templates for the first proposal of a client: compression, encryption and authentication in this order,
/// of which only the first may be in tunnel mode.
fn bundle(request: &PolicyRequest<'_>) -> Result<Bundle, Refused> {
    let mut proposed: Vec<_> = request.bundle().collect();
    let rank = |protocol: ProtocolId| [ProtocolId::IPCOMP, ProtocolId::ESP].iter().position(|own| *own == protocol);
    proposed.sort_by_key(|(protocol, _)| rank(*protocol).unwrap_or(usize::MAX));
    let is_tunnel = |mode: Option<EncapsulationMode>| match mode {
        Some(EncapsulationMode::TUNNEL | EncapsulationMode::UDP_TUNNEL | EncapsulationMode::UDP_TUNNEL_DRAFT) => {
            Ok(true)
        }
        Some(
            EncapsulationMode::TRANSPORT | EncapsulationMode::UDP_TRANSPORT | EncapsulationMode::UDP_TRANSPORT_DRAFT,
        ) => Ok(false),
        None => {
            let text = "the first proposal has no encapsulation mode, expected tunnel or transport";
            Err(Refused::Bounds(text.to_owned()))
        }
        Some(other) => Err(Refused::Bounds(format!(
            "encapsulation mode of the first proposal: got {other}, expected tunnel or transport"
        ))),
    };
    let modes = proposed.iter().map(|(_, mode)| is_tunnel(*mode)).collect::<Result<Vec<_>, _>>()?;
    let has_tunnel = modes.contains(&true);
    let mut bundle = Bundle::default();
    for (position, (number, _)) in proposed.iter().enumerate() {
        let protocol = match *number {
            ProtocolId::ESP => Protocol::Esp,
            ProtocolId::AH => Protocol::Ah,
            ProtocolId::IPCOMP => Protocol::Ipcomp,
            other => {
                let text = format!("protocol of the first proposal: got {other}, expected ESP, AH or IPComp");
                return Err(Refused::Bounds(text));
            }
        };
        let is_tunnel = has_tunnel && position == 0;
        let mode = if is_tunnel { Mode::Tunnel } else { Mode::Transport };
        // The client may move to another address. Its SAs are found by their request ID.
        let ends = is_tunnel
            .then(|| TunnelEndpoints { source: (Some(request.path.local.ip()), None), destination: (None, None) });
        let template = Template { protocol, mode, ends, level: Level::Unique };
        bundle = bundle.with(template).ok_or_else(|| Refused::Bounds("too many protocols".to_owned()))?;
    }
    Ok(bundle)
}

/// Returns the templates for packets of the other direction.
fn mirrored(bundle: &Bundle) -> Bundle {
    let templates = bundle.iter().map(|template| Template {
        ends: template.ends.map(|ends| TunnelEndpoints { source: ends.destination, destination: ends.source }),
        ..*template
    });
    templates.fold(Bundle::default(), |all, template| all.with(template).unwrap_or(all))
}

/// Returns the selector of packets of the other direction.
fn inverted(selector: &Selector) -> Option<Selector> {
    let upper = match selector.upper {
        Upper::Any => Upper::Any,
        Upper::Protocol(protocol) => Upper::Protocol(protocol),
        Upper::Ports(protocol, source, destination) => Upper::Ports(protocol, destination, source),
        Upper::Icmp(..) => return None,
    };
    Some(Selector { source: selector.destination, destination: selector.source, upper })
}

#[cfg(test)]
mod tests;
