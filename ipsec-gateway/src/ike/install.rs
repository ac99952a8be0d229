//! Negotiated SAs and generated policies in the databases.

use ike_v1::NegotiatedSa;
use ipsec_engine::{Direction, PolicyId, SaBackend, SaId};
use ipsec_packet::Instant;
use ipsec_sa::{SaAlgorithms, SaParams};

use super::{Ike, InstalledSa};
use crate::databases::Databases;
use crate::log::{self, EventKind};
use crate::plane::Plane;
use crate::policy::{self, KeyedPolicy};
use crate::shown_keys::ShownKeys;

impl Ike {
    /// Returns the largest size of the packets of an outbound SA in UDP, `esp_frag` of racoon.conf(5).
    pub(super) fn max_packet(&self, negotiated: &NegotiatedSa) -> Option<u16> {
        negotiated.params.encap?;
        self.exchange.peer(negotiated.peer)?.esp_fragment_size
    }

    /// Installs an SA. Returns whether the engine has accepted it.
    pub(super) fn install(&mut self, now: Instant, negotiated: &NegotiatedSa, engine: &mut Databases) -> bool {
        let NegotiatedSa { sa: pair, peer, policy, selector, params } = negotiated;
        if let Err(e) = engine.add(params, now) {
            log::error(format_args!("SA {params} was not installed: {e}"));
            return false;
        }
        let (source, peer, policy) = (params.source, *peer, *policy);
        let is_complete = params.id.direction == Direction::Outbound;
        if is_complete {
            self.installed.values_mut().filter(|other| other.pair == *pair).for_each(|other| other.is_complete = true);
        }
        let local_port = params.encap.map(|encap| match params.id.direction {
            Direction::Inbound => encap.ports.destination,
            Direction::Outbound => encap.ports.source,
        });
        let installed =
            InstalledSa { pair: *pair, source, peer, policy, is_complete, heard: None, packets: 0, local_port };
        self.installed.insert(params.id, installed);
        if self.exchange.config.exports_keys {
            self.shown_keys.insert(params.id, ShownKeys::of(params));
        }
        let event = log::Event::of_sa(EventKind::SaUp, self.exchange.name(peer), params.id);
        let text = format_args!("SA established: {params}, policy {policy} ({})", policy::show(selector));
        log::event(event, format_args!("{text}: {}", properties(params)));
        if let Some(Err(e)) = self.tables.as_mut().map(|tables| tables.add_esp(params)) {
            log::warning(format_args!("the keys of the SA were not exported: {e}"));
        }
        true
    }

    /// Returns whether the outbound SAs of all protocols of a policy are installed.
    pub(super) fn is_complete(&self, negotiated: &NegotiatedSa) -> bool {
        let is_it = |(id, installed): &(&SaId, &InstalledSa)| {
            installed.pair == negotiated.sa && id.direction == Direction::Outbound
        };
        let count = self.installed.iter().filter(is_it).count();
        self.policy(negotiated.policy).is_some_and(|policy| policy.templates.len() == count)
    }

    /// Returns the outbound policy with a number, which is one of the configuration or was generated.
    pub(super) fn policy(&self, number: u32) -> Option<&KeyedPolicy> {
        self.exchange.policy(number).or_else(|| self.generated.policy(number))
    }

    /// Adds the policies that were generated for the initiator of an SA to the SPD. Returns whether the SA has its
    /// policy.
    pub(super) fn install_generated(&mut self, negotiated: &NegotiatedSa, engine: &mut Databases) -> bool {
        let name = self.exchange.name(negotiated.peer);
        match self.generated.install(negotiated.policy, engine) {
            Ok(None) => true,
            Ok(Some(policy)) => {
                let (id, selector) = (policy.id, policy::show(&policy.selector));
                log::info(format_args!("policy {id} ({selector}) was generated for {name}"));
                true
            }
            Err(e) => {
                log::error(format_args!("peer {name}: no policy was generated: {e}"));
                false
            }
        }
    }

    /// Removes generated policies whose last SAs no longer exist.
    pub(super) fn remove_generated(&mut self, now: Instant, plane: &mut Plane) {
        let has_sa = |id: PolicyId| self.installed.values().any(|sa| sa.policy == id.get());
        let unused: Vec<_> = self.generated.installed().map(|policy| policy.id).filter(|id| !has_sa(*id)).collect();
        for id in unused {
            if let Some(policy) = self.generated.remove(now, id, &mut plane.engine) {
                let selector = policy::show(&policy.selector);
                log::info(format_args!("policy {id} ({selector}), which was generated for an initiator, was removed"));
            }
            plane.drop_waiting(id);
        }
    }
}

/// Returns the algorithms of an SA and its lifetimes.
fn properties(params: &SaParams) -> String {
    let SaAlgorithms { cipher, integrity, compression } = params.algorithms();
    let names = [cipher.map(|own| own.to_string()), integrity.map(|own| own.to_string())];
    let mut parts: Vec<_> = names.into_iter().flatten().chain(compression.map(|own| own.to_string())).collect();
    let hard = &params.lifetimes.hard;
    parts.extend(hard.age.map(|age| format!("{} s", age.as_secs())));
    parts.extend(hard.octets.map(|octets| format!("{octets} octets")));
    parts.join(", ")
}
