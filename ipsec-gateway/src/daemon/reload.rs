//! Replacement of the configuration while the daemon runs. Everything is read and checked first; an error leaves the
//! running configuration in effect.

use std::collections::{HashMap, HashSet};

use ipsec_crypto::HashFunction;
use ipsec_engine::{PolicyId, SaBackend};
use ipsec_packet::Instant;
use ipsec_sa::{SaId, SaParams, TransformParams};

use super::{Daemon, addresses_of, clamped_to, limits_packets};
use crate::access::Access;
use crate::config::Config;
use crate::databases::Databases;
use crate::gif::Gifs;
use crate::host::missing_keys;
use crate::key_exchange::KeyExchange;
use crate::policy::{KeyedPolicy, PolicyTable};
use crate::privileged::message::Which;
use crate::psk::PskFile;
use crate::spd::SpdChange;
use crate::{log, policy, sockets};

impl Daemon {
    /// Reads the configuration again. SAs with peers and of policies that have not changed remain. Returns what has
    /// changed.
    ///
    /// # Errors
    /// All errors of the files, or the reason why a change needs a restart. The former configuration is in effect.
    pub(super) fn reload(&mut self, now: Instant) -> Result<Vec<String>, String> {
        if self.stop.is_some() {
            return Err("the daemon stops: the configuration is not read".to_owned());
        }
        let (path, files) = self.privileges.read()?;
        let config = Config::read(&*files, &path)?;
        self.ike.config().check_changes(&config)?;
        // An engine without SAs shows whether the running one takes the policies and SAs.
        let mut trial = policy::engine_for(&config.limits);
        let keyed = policy::load(&config, &mut trial, now)?;
        let mut keys = PskFile::read_optional(&files, config.keys.as_deref())?;
        for warning in missing_keys(&config, &mut keys) {
            log::warning(warning);
        }
        let mut next = KeyExchange::new(&*files, config, keyed)?;
        let gone = next.keep_ids(self.ike.exchange());
        let access = Access::read(&files, &next)?;
        let opened = sockets::open_missing(&self.privileges, &next.config, (&self.udp, &self.raw))?;
        let outdated = self.ike.generated().outdated(&next, &trial.policies().collect::<Vec<_>>(), &self.plane.engine);
        self.ike.generated().copy_to(&mut trial, &outdated)?;
        if let Err(e) = self.privileges.protect(Which::Next, &trial) {
            // The rules of the SPD that remains in effect.
            self.replace_protection(now).unwrap_or_else(log::error);
            return Err(e);
        }
        drop(trial);
        // Nothing is refused from here on.
        self.ike.forget_generated(now, &outdated, &mut self.plane.engine);
        let policies: Vec<_> = next.config.configuration.policies.iter().map(policy::bound).collect();
        let change = SpdChange::between(&self.plane.engine, &policies, |id| self.ike.generated().contains(id));
        let mut replaced: HashSet<PolicyId> = change.removed().iter().copied().collect();
        let former = (self.plane.engine.policies().count(), self.ike.exchange().ids().len());
        // The delete payloads leave in the ISAKMP SAs, and by the sockets, of the former configuration.
        self.ike.delete_replaced(now, (&gone, &replaced), &mut self.plane.engine);
        self.ike.drive(now, &mut self.plane, self.udp.as_slice(), &self.raw);
        let mut problems = Vec::new();
        problems.extend(change.apply(&mut self.plane.engine).err());
        let sas = ManualSas::between(self.ike.config(), &next.config, &self.plane.engine);
        self.ike.forget_keys(&sas.ids_of_added(&next.config));
        sas.apply(now, &next.config, &mut self.databases(now), &mut problems);
        // The warnings are those of the trial.
        next.policies = policy::keyed_policies(&next.config, &self.plane.engine).policies.into_iter().collect();
        let changed = changed_policies(self.ike.exchange(), (&next.policies, &next));
        self.ike.delete_replaced(now, (&[], &changed), &mut self.plane.engine);
        self.ike.drive(now, &mut self.plane, self.udp.as_slice(), &self.raw);
        replaced.extend(changed);
        replaced.iter().for_each(|policy| self.plane.drop_waiting(*policy));
        if let Some(kernel) = self.plane.engine.kernel_mut() {
            kernel.set_locals(&next.config.locals);
        }
        sockets::replace(&next.config, opened, (&mut self.udp, &mut self.raw));
        // Scripts of peers that no longer exist.
        self.run_scripts();
        problems.extend(self.privileges.adopt().err());
        self.ike.replace(next, keys, access, &gone);
        let addresses = self.ike.own_addresses().chain(addresses_of(self.ike.config())).collect();
        self.plane.set_addresses(addresses);
        self.plane.set_gifs(Gifs::new(&self.ike.config().configuration));
        self.plane.clamped_to = clamped_to(self.ike.config());
        self.plane.limits_packets = limits_packets(self.ike.config());
        self.change_addresses();
        // The numbers in the comments of the rules are those of the running engine.
        problems.extend(self.replace_protection(now).err());
        let mut done = vec![
            format!("configuration {} was read", path.display()),
            format!("{} of {} policies and their SAs are unchanged", former.0.saturating_sub(replaced.len()), former.0),
            format!("{} of {} peers and their SAs are unchanged", former.1.saturating_sub(gone.len()), former.1),
        ];
        problems.iter().for_each(log::error);
        done.append(&mut problems);
        Ok(done)
    }
}

/// Returns the policies of a configuration that the next one negotiates otherwise, or not at all.
pub(super) fn changed_policies(
    running: &KeyExchange,
    (policies, next): (&PolicyTable, &KeyExchange),
) -> HashSet<PolicyId> {
    let is_same = |own: &&KeyedPolicy| {
        policies.get(own.id.get()).is_some_and(|other| {
            let with_peer = KeyedPolicy { peer: other.peer, ..(*own).clone() };
            with_peer == *other && running.id(own.peer) == next.id(other.peer)
        })
    };
    running.policies.iter().filter(|own| !is_same(own)).map(|own| own.id).collect()
}

/// Changes of the SAs with manual keys.
struct ManualSas {
    removed: Vec<(SaId, std::net::IpAddr)>,
    /// Places in the next configuration of the SAs that are added.
    added: Vec<usize>,
}

impl ManualSas {
    /// Compares the SAs of two configurations. An SA that both have keeps its sequence number and window, unless it was
    /// removed meanwhile.
    fn between(running: &Config, next: &Config, engine: &Databases) -> Self {
        let former: HashMap<SaId, &SaParams> =
            running.configuration.sas.iter().map(|sa| (sa.params.id, &sa.params)).collect();
        let is_kept = |sa: &SaParams| {
            former.get(&sa.id).is_some_and(|own| is_same(own, sa)) && engine.sa(&sa.id, sa.source).is_some()
        };
        let sas = next.configuration.sas.iter().map(|sa| &sa.params).enumerate();
        let (kept, added): (Vec<_>, Vec<_>) = sas.partition(|(_, sa)| is_kept(sa));
        let kept: HashSet<SaId> = kept.into_iter().map(|(_, sa)| sa.id).collect();
        let removed = former.values().filter(|sa| !kept.contains(&sa.id)).map(|sa| (sa.id, sa.source)).collect();
        Self { removed, added: added.into_iter().map(|(index, _)| index).collect() }
    }

    /// Returns the identifiers of the SAs that are added.
    fn ids_of_added(&self, next: &Config) -> Vec<SaId> {
        self.added.iter().filter_map(|index| Some(next.configuration.sas.get(*index)?.params.id)).collect()
    }

    fn apply(self, now: Instant, next: &Config, engine: &mut impl SaBackend, problems: &mut Vec<String>) {
        for (id, source) in self.removed {
            // An SA that no longer exists needs no removal.
            let _ = engine.delete(&id, source);
        }
        for sa in self.added.into_iter().filter_map(|index| next.configuration.sas.get(index)) {
            if let Err(e) = engine.add(&sa.params, now) {
                problems.push(format!("SA {}: {e}", sa.params.id));
            }
        }
    }
}

/// Returns whether two SAs have the same parameters and keys.
fn is_same(a: &SaParams, b: &SaParams) -> bool {
    let equal = |a: &[u8], b: &[u8]| {
        let expected = HashFunction::Sha2_256.digest(&[a]);
        HashFunction::Sha2_256.digest(&[b]).verify(expected.expose()).is_ok()
    };
    let is_same_transform = match (&a.transform, &b.transform) {
        (TransformParams::Esp(a), TransformParams::Esp(b)) => {
            (a.cipher, a.integrity) == (b.cipher, b.integrity)
                && equal(a.cipher_key.expose(), b.cipher_key.expose())
                && equal(a.integrity_key.expose(), b.integrity_key.expose())
        }
        (TransformParams::Ah { integrity: a, key }, TransformParams::Ah { integrity: b, key: other }) => {
            a == b && equal(key.expose(), other.expose())
        }
        (TransformParams::Ipcomp { algorithm: a, spi }, TransformParams::Ipcomp { algorithm: b, spi: other }) => {
            (a, spi) == (b, other)
        }
        _ => false,
    };
    is_same_transform
        && (a.id, a.source, a.mode, a.reqid) == (b.id, b.source, b.mode, b.reqid)
        && (a.sequence, a.last_sequence, a.window, a.padding) == (b.sequence, b.last_sequence, b.window, b.padding)
        && (a.encap, a.repair, a.lifetimes) == (b.encap, b.repair, b.lifetimes)
        && a.max_packet == b.max_packet
        && (a.tunnel, a.beet) == (b.tunnel, b.beet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;
    use crate::policy::new_engine;

    const GATEWAY: &str = "policies \"p\"; keys \"k\"; local 192.0.2.1; wan wan; tun ipsec0;";

    #[test]
    fn statements_that_need_a_restart_are_reported() {
        let with = |text: &str| config(text, "").unwrap();
        let running = with(GATEWAY);
        assert_eq!(running.check_changes(&with(&format!("{GATEWAY} wan eth1; local 192.0.2.9;"))), Ok(()));
        let statements = "mark 7; control off; limit sas 100; state \"s\"; user a;";
        let next = with(&format!("{} {statements}", GATEWAY.replace("ipsec0", "ipsec1")));
        let error = running.check_changes(&next).unwrap_err();
        let names = "`tun`, `mark`, `limit`, `control`, `state`, `user`";
        let expected = format!("changed statements: {names}; a change of these requires a restart of the daemon");
        assert_eq!(error, expected);
    }

    #[test]
    fn manual_sas_are_replaced_if_they_have_changed() {
        let sa = |spi: u32, key: &str| {
            format!(
                "add 192.0.2.1 198.51.100.1 esp {spi} -m tunnel -E aes-cbc 0x{} -A hmac-sha1 0x{};",
                key.repeat(16),
                "11".repeat(20)
            )
        };
        let former = config(GATEWAY, &[sa(1001, "aa"), sa(1002, "bb"), sa(1003, "cc")].concat()).unwrap();
        let next = config(GATEWAY, &[sa(1002, "bc"), sa(1001, "aa"), sa(1004, "dd")].concat()).unwrap();
        let mut engine = new_engine();
        policy::load(&former, &mut engine, Instant::ZERO).unwrap();
        let change = ManualSas::between(&former, &next, &engine);
        let mut removed: Vec<_> = change.removed.iter().map(|(id, _)| id.spi).collect();
        removed.sort_unstable();
        assert_eq!((removed, &change.added), (vec![1002, 1003], &vec![0, 2]));
        let mut problems = Vec::new();
        change.apply(Instant::ZERO, &next, &mut *engine, &mut problems);
        let mut spis: Vec<_> = engine.sas().map(|sa| sa.key.spi).collect();
        spis.sort_unstable();
        assert_eq!((spis, problems), (vec![1001, 1002, 1004], Vec::new()));
    }
}
