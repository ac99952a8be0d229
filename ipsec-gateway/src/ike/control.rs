//! Requests of the operator about SAs: status, initiation, deletion, renewal, and replacement of the configuration.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ike_v1::{Cookies, IpsecSaId, IsakmpSaView, PeerId, Target, hash_number};
use ipsec_engine::{Direction, PolicyId, SaBackend, SaId};
use ipsec_packet::Instant;

use super::{Admission, Ike, InstalledSa};
use crate::access::Access;
use crate::config::Config;
use crate::control::protocol::{CounterEntry, IsakmpEntry, KeyRows, PeerEntry, parse_spi};
use crate::databases::Databases;
use crate::generated::Generated;
use crate::host::show;
use crate::key_exchange::KeyExchange;
use crate::key_tables::isakmp_row;
use crate::log;
use crate::policy::PolicyTable;
use crate::psk::PskFile;
use crate::shown_keys::ShownKeys;

/// Peer or SA with a name that a client has sent.
enum Meaning {
    Peer(PeerId),
    /// Negotiated SAs of one pair.
    Pair(IpsecSaId, InstalledSa),
    /// SA with manual keys.
    Manual(SaId, IpAddr),
}

impl Ike {
    /// Returns the configuration that is in effect.
    pub fn config(&self) -> &Config {
        &self.exchange.config
    }

    /// Returns the state of all peers.
    pub fn peers(&self, now: Instant) -> Vec<PeerEntry> {
        let outbound = self.installed.iter().filter(|(id, _)| id.direction == Direction::Outbound);
        let established: HashSet<u32> = outbound.map(|(_, sa)| sa.policy).collect();
        let initiated: HashSet<PolicyId> = self.initiated.values().copied().collect();
        let mut policies: HashMap<usize, [usize; 3]> = HashMap::new();
        for policy in self.exchange.policies.iter().chain(self.generated.installed()) {
            let [all, up, begun] = policies.entry(policy.peer).or_default();
            *all += 1;
            *up += usize::from(established.contains(&policy.id.get()));
            *begun += usize::from(initiated.contains(&policy.id));
        }
        let mut isakmp: HashMap<PeerId, Vec<IsakmpEntry>> = HashMap::new();
        for view in self.negotiator.sas() {
            isakmp.entry(view.peer()).or_default().push(isakmp_entry(now, &view));
        }
        let peers = self.exchange.config.peers().iter().zip(self.exchange.ids()).enumerate();
        let entry = |(index, (peer, id)): (usize, (&ipsec_config::ConfiguredPeer, &PeerId))| {
            let [policies, established, negotiating] = policies.get(&index).copied().unwrap_or_default();
            PeerEntry {
                name: peer.config.name.clone(),
                address: peer.config.address.map(show),
                isakmp_sas: isakmp.remove(id).unwrap_or_default(),
                policies,
                established,
                negotiating,
            }
        };
        peers.map(entry).collect()
    }

    /// Returns the peer and the number of the policy of a negotiated SA.
    pub fn negotiated(&self, sa: &SaId) -> Option<(String, u32)> {
        self.installed.get(sa).map(|own| (self.exchange.name(own.peer).to_owned(), own.policy))
    }

    /// Returns the keys of an SA, if the configuration allows that.
    pub fn shown_keys(&self, sa: &SaId) -> Option<ShownKeys> {
        if !self.config().exports_keys {
            return None;
        }
        let manual = || self.config().configuration.sas.iter().find(|own| own.params.id == *sa);
        match self.shown_keys.get(sa) {
            Some(keys) => Some(keys.clone()),
            None => manual().map(|own| ShownKeys::of(&own.params)),
        }
    }

    /// Takes the keys of SAs with manual keys that were added, for clients of the control socket. Those of SAs that are
    /// no longer in the SAD are removed.
    pub fn show_keys(&mut self, added: impl Iterator<Item = (SaId, ShownKeys)>, engine: &Databases) {
        if !self.config().exports_keys {
            return;
        }
        self.shown_keys.extend(added);
        let known: HashSet<SaId> = engine.sas().map(|sa| sa.key).collect();
        self.shown_keys.retain(|id, _| known.contains(id));
    }

    /// Removes the keys of SAs that have those of the configuration again.
    pub fn forget_keys(&mut self, sas: &[SaId]) {
        self.shown_keys.retain(|id, _| !sas.contains(id));
    }

    /// Returns the counters of key exchange.
    pub fn counters(&self) -> Vec<CounterEntry> {
        let entry = |(counter, value): (ike_v1::Counter, u32)| CounterEntry {
            part: "ike".to_owned(),
            direction: None,
            name: counter.name().to_owned(),
            value: value.into(),
        };
        self.negotiator.counters().iter().map(entry).collect()
    }

    /// Returns the keys of all SAs for Wireshark.
    ///
    /// # Errors
    /// The message about the statement that is missing in the configuration.
    pub fn export_keys(&self) -> Result<KeyRows, String> {
        if !self.config().exports_keys {
            return Err("keys are not exported: gateway.conf has no statement `export_keys on;`".to_owned());
        }
        let isakmp = |view: IsakmpSaView<'_>| {
            isakmp_row(&view.cookies().initiator, view.expose_encryption_key()).trim_end().to_owned()
        };
        let negotiated =
            self.shown_keys.values().filter_map(|keys| keys.row.as_ref().map(|row| row.trim_end().to_owned()));
        // One that a statement has added again has other keys than those of the configuration.
        let is_former = |id: &SaId| self.shown_keys.contains_key(id);
        let configured = self.config().configuration.sas.iter().filter(|sa| !is_former(&sa.params.id));
        let manual = configured.filter_map(|sa| ShownKeys::of(&sa.params).row);
        let mut esp_sa: Vec<_> = negotiated.chain(manual.map(|row| row.trim_end().to_owned())).collect();
        esp_sa.sort_unstable();
        esp_sa.dedup();
        Ok(KeyRows { ikev1_decryption_table: self.negotiator.sas().map(isakmp).collect(), esp_sa })
    }

    /// Negotiates SAs for the policies with a peer that have none. Returns a line for each negotiation that was begun.
    ///
    /// # Errors
    /// The reason why no negotiation can begin.
    pub fn initiate_with(&mut self, now: Instant, name: &str, engine: &mut Databases) -> Result<Vec<String>, String> {
        self.check_admission()?;
        let peer = self.exchange.named(name).ok_or_else(|| self.no_peer(name))?;
        if !self.exchange.peer(peer).is_some_and(|peer| peer.config.initiates) {
            return Err(format!("peer {name} initiates phase 1, and this host does not"));
        }
        let has_sa: HashSet<u32> = self.outbound().map(|(_, sa)| sa.policy).collect();
        let of_peer: Vec<PolicyId> = self.exchange.policies_with(peer).map(|policy| policy.id).collect();
        if of_peer.is_empty() {
            return Err(format!("peer {name}: no policy negotiates SAs with the peer"));
        }
        let missing: Vec<PolicyId> = of_peer.into_iter().filter(|policy| !has_sa.contains(&policy.get())).collect();
        if missing.is_empty() {
            return Ok(vec![format!("peer {name}: all policies have SAs")]);
        }
        self.begin(now, missing.into_iter().map(|policy| (peer, policy, None)), engine)
    }

    /// Negotiates new SAs for the policies that have some: of all peers, of one, or of the pair with an SPI.
    ///
    /// # Errors
    /// The reason why no negotiation can begin.
    pub fn rekey(&mut self, now: Instant, what: Option<&str>, engine: &mut Databases) -> Result<Vec<String>, String> {
        self.check_admission()?;
        let meaning = what.map(|what| self.meaning(what, engine)).transpose()?;
        let is_meant = |sa: &InstalledSa| match &meaning {
            None => true,
            Some(Meaning::Peer(peer)) => sa.peer == *peer,
            Some(Meaning::Pair(_, pair)) => sa.policy == pair.policy,
            Some(Meaning::Manual(..)) => false,
        };
        if let Some(Meaning::Manual(id, _)) = &meaning {
            return Err(format!("SA {id} has manual keys, which are not negotiated"));
        }
        let pairs = self.outbound().filter(|(_, sa)| is_meant(sa));
        let mut pairs: Vec<_> = pairs.map(|(_, sa)| (sa.peer, PolicyId::new(sa.policy), Some(sa.pair))).collect();
        pairs.sort_unstable_by_key(|(_, policy, _)| *policy);
        pairs.dedup_by_key(|(peer, policy, pair)| (*policy, pair.filter(|_| self.exchange.path(*peer).is_none())));
        if pairs.is_empty() {
            return Err("no SAs were negotiated".to_owned());
        }
        self.begin(now, pairs.into_iter(), engine)
    }

    /// Deletes the SAs with a peer or with an SPI, and notifies the peer. Returns a line for each deletion.
    ///
    /// # Errors
    /// The message about a name that is unknown or ambiguous.
    pub fn delete_named(&mut self, now: Instant, what: &str, engine: &mut Databases) -> Result<Vec<String>, String> {
        let done = match self.meaning(what, engine)? {
            Meaning::Peer(peer) => {
                let sas = self.installed.values().filter(|sa| sa.peer == peer).count();
                let isakmp = self.negotiator.sas().filter(|view| view.peer() == peer).count();
                self.with_host(now, engine, |negotiator, host| negotiator.delete(now, Target::Peer(peer), host));
                format!("peer {what}: deleted {sas} IPsec SAs and {isakmp} ISAKMP SAs")
            }
            Meaning::Pair(pair, InstalledSa { peer, .. }) => {
                let sas = self.installed.values().filter(|sa| sa.pair == pair).count();
                self.delete_pair(now, pair, engine);
                format!("SPI {what}: deleted {sas} IPsec SAs with peer {}", self.exchange.name(peer))
            }
            Meaning::Manual(id, source) => {
                SaBackend::delete(engine, &id, source).map_err(|e| e.to_string())?;
                format!("deleted SA {id}")
            }
        };
        Ok(vec![done])
    }

    /// Deletes the pairs with an SA that is no longer in the engine, because a statement has removed it. The peers are
    /// notified.
    pub fn delete_incomplete(&mut self, now: Instant, engine: &mut Databases) {
        let is_missing = |(id, sa): &(&SaId, &InstalledSa)| engine.sa(id, sa.source).is_none();
        let pairs: HashSet<_> = self.installed.iter().filter(is_missing).map(|(_, sa)| sa.pair).collect();
        for pair in pairs {
            self.delete_pair(now, pair, engine);
        }
    }

    /// Deletes the SAs of peers that a new configuration does not have, and those of policies that it does not have or
    /// negotiates otherwise. It is called with the former configuration in effect.
    pub fn delete_replaced(
        &mut self,
        now: Instant,
        (peers, policies): (&[PeerId], &HashSet<PolicyId>),
        engine: &mut Databases,
    ) {
        for peer in peers {
            self.with_host(now, engine, |negotiator, host| negotiator.delete(now, Target::Peer(*peer), host));
        }
        let of_policies = self.installed.values().filter(|sa| policies.contains(&PolicyId::new(sa.policy)));
        let begun = self.initiated.iter().filter(|(_, policy)| policies.contains(policy)).map(|(pair, _)| *pair);
        let pairs: HashSet<_> = of_policies.map(|sa| sa.pair).chain(begun).collect();
        for pair in pairs {
            self.delete_pair(now, pair, engine);
        }
    }

    /// Replaces the configuration. `gone` are the peers that it does not have.
    pub fn replace(&mut self, exchange: KeyExchange, keys: PskFile, mut access: Access, gone: &[PeerId]) {
        if !exchange.config.exports_keys {
            self.shown_keys.clear();
        }
        self.exchange = exchange;
        self.start_due = super::start::first_check(&self.exchange);
        self.generated.follow(&self.exchange);
        self.keys = keys;
        access.keep(std::mem::take(&mut self.access));
        self.access = access;
        self.access.own.forget(gone);
        self.unknown_spi.retain(|peer, _| !gone.contains(peer));
        self.renewals.retain(|_, (peer, _)| !gone.contains(peer));
        self.failed.clear();
    }

    /// Returns the generated policies.
    pub const fn generated(&self) -> &Generated {
        &self.generated
    }

    /// Removes generated policies, and deletes their SAs.
    pub fn forget_generated(&mut self, now: Instant, policies: &[PolicyId], engine: &mut Databases) {
        self.delete_replaced(now, (&[], &policies.iter().copied().collect()), engine);
        for id in policies {
            log::info(format_args!(
                "policy {id}, which was generated for an initiator, does not remain in the configuration"
            ));
        }
        self.generated.forget(policies, engine);
    }

    /// Returns the configuration of key exchange.
    pub const fn exchange(&self) -> &KeyExchange {
        &self.exchange
    }

    /// Replaces the policies whose SAs are negotiated, after a change of the SPD.
    pub fn set_policies(&mut self, policies: PolicyTable) {
        self.exchange.policies = policies;
    }

    /// Returns the configuration, whose policies follow the SPD.
    pub const fn config_mut(&mut self) -> &mut Config {
        &mut self.exchange.config
    }

    pub(super) fn outbound(&self) -> impl Iterator<Item = (&SaId, &InstalledSa)> {
        self.installed.iter().filter(|(id, _)| id.direction == Direction::Outbound)
    }

    fn check_admission(&self) -> Result<(), String> {
        match self.admission {
            Admission::Open => Ok(()),
            Admission::Closed => Err("the daemon stops: no negotiation begins".to_owned()),
        }
    }

    fn no_peer(&self, name: &str) -> String {
        let names: Vec<_> =
            self.exchange.config.peers().iter().take(20).map(|peer| peer.config.name.as_str()).collect();
        let more = if self.exchange.config.peers().len() > names.len() { " and others" } else { "" };
        format!("unknown peer: got `{name}`, expected one of {}{more}", names.join(", "))
    }

    /// Begins negotiations for policies, or of the successors of pairs, after a request. A failure shortly before does
    /// not delay them.
    fn begin(
        &mut self,
        now: Instant,
        policies: impl Iterator<Item = (PeerId, PolicyId, Option<IpsecSaId>)>,
        engine: &mut Databases,
    ) -> Result<Vec<String>, String> {
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        for (peer, policy, former) in policies {
            self.failed.remove(&policy);
            self.renewals.remove(&policy);
            let (name, number) = (self.exchange.name(peer).to_owned(), policy.get());
            let begun = self.with_host(now, engine, |negotiator, host| match former {
                Some(pair) => negotiator.renew_pair(now, pair, host),
                None => negotiator.initiate(now, peer, number, host),
            });
            match begun {
                Ok(sa) => {
                    self.initiated.insert(sa, policy);
                    done.push(format!("policy {number}: a negotiation with {name} has begun"));
                }
                Err(why) => refused.push(format!("policy {number}: negotiation with {name} was not started: {why}")),
            }
        }
        if done.is_empty() { Err(refused.join("\n")) } else { Ok(done.into_iter().chain(refused).collect()) }
    }

    /// Finds the peer with a name, or the SA with an SPI.
    fn meaning(&self, what: &str, engine: &Databases) -> Result<Meaning, String> {
        if let Some(peer) = self.exchange.named(what) {
            return Ok(Meaning::Peer(peer));
        }
        let Some(spi) = parse_spi(what) else { return Err(format!("{}, or an SPI", self.no_peer(what))) };
        let mut found: Option<(SaId, Meaning)> = None;
        for sa in engine.sas().filter(|sa| sa.key.spi == spi) {
            let meaning = match self.installed.get(&sa.key) {
                Some(installed) => Meaning::Pair(installed.pair, *installed),
                None => Meaning::Manual(sa.key, sa.source),
            };
            match (&found, &meaning) {
                (Some((_, Meaning::Pair(first, _))), Meaning::Pair(second, _)) if first == second => {}
                (Some((first, _)), _) => {
                    let text = format!("ambiguous SPI: {what} is that of SA {first} and of SA {}", sa.key);
                    return Err(text);
                }
                (None, _) => found = Some((sa.key, meaning)),
            }
        }
        found.map(|(_, meaning)| meaning).ok_or_else(|| format!("no SA has the SPI {what}"))
    }
}

/// Returns the cookies of an ISAKMP SA in hexadecimal digits, those of the initiator first.
pub(super) fn cookies_of(cookies: Cookies) -> String {
    let cookie = |octets: &[u8]| crate::key_tables::hex(octets).as_str().to_owned();
    format!("{}:{}", cookie(&cookies.initiator), cookie(&cookies.responder))
}

fn isakmp_entry(now: Instant, view: &IsakmpSaView<'_>) -> IsakmpEntry {
    let (path, cookies, choice) = (view.path(), view.cookies(), view.choice());
    let hash = hash_number(choice.hash).map(|hash| hash.to_string()).unwrap_or_default();
    let (cipher, bits, group, method) = (choice.cipher, choice.cipher_key * 8, choice.group, choice.auth_method);
    IsakmpEntry {
        local: show(path.local),
        remote: show(path.remote),
        role: view.role().to_string(),
        cookies: cookies_of(cookies),
        algorithms: format!("{cipher} {bits}, {hash}, {group}, {method}"),
        in_udp: view.nat().in_udp().is_some(),
        age: now.saturating_duration_since(view.established()).as_secs(),
        expires_in: view.expires().saturating_duration_since(now).as_secs(),
    }
}

#[cfg(test)]
mod tests;
