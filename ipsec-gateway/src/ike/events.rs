//! Events of the negotiator: SAs that are installed and removed, peers that move, and assigned addresses.

use std::fmt;
use std::net::IpAddr;

use ike_codec::ExchangeKind;
use ike_v1::{
    ClientConfig, Event, IpsecSaId, IsakmpSaId, NatSituation, Path, PeerId, Phase1Choice, Refusal, Role, hash_number,
};
use ipsec_engine::{Direction, PolicyId, SaBackend, SaChange, SaId};
use ipsec_packet::Instant;

use super::control::cookies_of;
use super::{FAILURE_INTERVAL, Ike, InstalledSa};
use crate::databases::Databases;
use crate::host::show;
use crate::log::{self, EventKind, Level};
use crate::plane::{PacketSink, Plane};

impl Ike {
    /// Handles an event of the negotiator.
    pub(super) fn handle_event(&mut self, now: Instant, event: Event, plane: &mut Plane, wire: &impl PacketSink) {
        match event {
            Event::Phase1Begun { peer, role, exchange, path } => self.phase_1_begun(now, (peer, role), exchange, &path),
            Event::Phase1Up { peer, sa, role, path, choice, nat } => {
                self.phase_1_up(peer, sa, role, (&path, &nat), &choice);
                if let Some(configured) = self.exchange.peer(peer) {
                    self.hooks.established((sa, path), (peer, configured));
                }
            }
            Event::PeerMoved { sa, peer, from, to, .. } => self.follow(now, (sa, peer), &from, &to, &mut plane.engine),
            // The configuration was replaced during the negotiation.
            Event::InboundReady(negotiated) if self.policy(negotiated.policy).is_none() => {
                self.negotiator.install_failed(negotiated.sa);
            }
            Event::OutboundReady(negotiated) if self.policy(negotiated.policy).is_none() => {
                self.delete_pair(now, negotiated.sa, &mut plane.engine);
            }
            Event::InboundReady(negotiated) => {
                if self.install_generated(&negotiated, &mut plane.engine)
                    && self.install(now, &negotiated, &mut plane.engine)
                {
                    if self.access.has_pool(negotiated.peer) {
                        plane.bind(negotiated.params.id, negotiated.selector.destination);
                    }
                    self.negotiator.installed(now, negotiated.sa);
                } else {
                    self.negotiator.install_failed(negotiated.sa);
                    self.remove_generated(now, plane);
                }
            }
            Event::OutboundReady(mut negotiated) => {
                negotiated.params.max_packet = self.max_packet(&negotiated);
                let policy = PolicyId::new(negotiated.policy);
                if !self.install(now, &negotiated, &mut plane.engine) {
                    // The negotiation is complete: the peer has its SAs, and receives a delete payload for them.
                    self.delete_pair(now, negotiated.sa, &mut plane.engine);
                    self.initiated.remove(&negotiated.sa);
                    self.failed.insert(policy, now);
                    plane.drop_waiting(policy);
                } else if self.is_complete(&negotiated) {
                    // The peer may have negotiated the SAs that this host has requested.
                    self.initiated.retain(|_, initiated| *initiated != policy);
                    self.renewals.remove(&policy);
                    self.failed.remove(&policy);
                    if let Err(e) = plane.send_waiting(now, policy, wire) {
                        log::warning(format_args!("the packet that waited for the SA was not sent: {e}"));
                    }
                    self.note_sent(now);
                }
            }
            Event::IpsecSaGone { sa, peer, direction, protocol, why, .. } => {
                let is_it = |(id, installed): (&SaId, &InstalledSa)| {
                    let is_it = installed.pair == sa && (id.direction, id.protocol) == (direction, protocol);
                    is_it.then_some((*id, installed.source))
                };
                if let Some((id, source)) = self.installed.iter().find_map(is_it) {
                    self.installed.remove(&id);
                    self.shown_keys.remove(&id);
                    plane.engine.remove(&id, source);
                    let event = log::Event::of_sa(EventKind::SaDown, self.exchange.name(peer), id);
                    log::event(event, format_args!("SA {id} was removed: {why}"));
                }
                self.remove_generated(now, plane);
                self.access.release_unused(|address| plane.is_bound_to(address));
            }
            Event::LoggedIn { peer, sa } => {
                let name = self.exchange.name(peer);
                let event = log::Event::of_sa(EventKind::LoggedIn, name, sa);
                match self.access.user(sa) {
                    Some(user) => {
                        let user = user.escape_ascii();
                        log::event(event, format_args!("peer {name} is authenticated as user `{user}` ({sa})"));
                    }
                    None => {
                        log::event(event, format_args!("peer {name} has authenticated the user of this host ({sa})"))
                    }
                }
                if let Some(peer) = self.exchange.peer(peer) {
                    self.hooks.logged_in(sa, peer);
                }
            }
            Event::Leased { peer, sa, config } => {
                let config = self.leased(peer, sa, &config);
                if let Some(peer) = self.exchange.peer(peer) {
                    self.hooks.leased(sa, peer, &config);
                }
            }
            Event::Phase1Gone { peer, sa, why } => self.phase_1_gone(peer, sa, plane, format_args!("{why}")),
            Event::Redirected { peer, sa, server } => {
                self.phase_1_gone(peer, sa, plane, format_args!("redirected to {}", show(server)));
            }
            Event::PeerDead { peer, sa, path } => {
                let (name, remote) = (self.exchange.name(peer), show(path.remote));
                let event = log::Event::of_sa(EventKind::Phase1Dead, name, sa);
                log::event(event, format_args!("{name} ({remote}) has not answered dead peer detection in {sa}"));
                if let Some(peer) = self.exchange.peer(peer) {
                    self.hooks.dead(sa, peer);
                }
            }
            Event::UnknownSa { path } => {
                log::info(format_args!("message of an unknown ISAKMP SA from {}", show(path.remote)));
                // Phase 1 with INITIAL-CONTACT removes the SAs that the peer still has.
                self.handle_unknown_spi(now, path.remote.ip(), &mut plane.engine);
            }
            Event::Failed(failure) => {
                let name = failure.peer.map_or("unknown", |peer| self.exchange.name(peer));
                let limiter = self.limiters.of(&self.exchange, failure.path.remote.ip());
                let event = log::Event::of_peer(EventKind::Failed, name);
                let (reason, text) = (failure.reason.counter().name(), format_args!("peer {name}: {failure}"));
                limiter.write_event(now, reason, Level::Error, text, Some(event));
                if let Some(policy) = failure.sa.and_then(|sa| self.initiated.remove(&sa)) {
                    // An SA that is still in use is to be renewed before its end.
                    let is_in_use = |(id, sa): (&SaId, &InstalledSa)| {
                        id.direction == Direction::Outbound && sa.policy == policy.get()
                    };
                    if let Some(peer) = failure.peer.filter(|_| self.installed.iter().any(is_in_use)) {
                        self.renewals.insert(policy, (peer, now + FAILURE_INTERVAL));
                    }
                    // Without its ISAKMP SA the negotiation may begin again at once, in another one.
                    if !matches!(failure.reason, Refusal::Expired | Refusal::Deleted) {
                        self.failed.insert(policy, now);
                    }
                    plane.drop_waiting(policy);
                }
            }
            other => log::warning(format_args!("unknown event: {other:?}")),
        }
    }

    /// Sends the packets of the outbound SAs of a pair to another address and port of the peer.
    fn follow(
        &mut self,
        now: Instant,
        (pair, peer): (IpsecSaId, PeerId),
        from: &Path,
        to: &Path,
        engine: &mut Databases,
    ) {
        let (name, old, new) = (self.exchange.name(peer), show(from.remote), show(to.remote));
        let event = log::Event::of_peer(EventKind::PeerMoved, name);
        log::event(event, format_args!("address of {name} has changed from {old} to {new}"));
        let change = SaChange { lifetimes: None, peer: Some((to.remote.ip(), to.remote.port())) };
        let of_pair: Vec<_> =
            self.installed.iter().filter(|(_, sa)| sa.pair == pair).map(|(id, sa)| (*id, *sa)).collect();
        for (id, mut installed) in of_pair {
            match SaBackend::update(engine, &id, installed.source, &change, now) {
                Ok(moved) => {
                    if id.direction == Direction::Inbound {
                        installed.source = to.remote.ip();
                    }
                    self.installed.remove(&id);
                    self.installed.insert(moved, installed);
                    if let Some(keys) = self.shown_keys.remove(&id) {
                        self.shown_keys.insert(moved, keys);
                    }
                }
                Err(e) => log::warning(format_args!("peer address of SA {id} was not updated: {e}")),
            }
        }
    }

    /// Reports the beginning of phase 1. The first message of an initiator is not authentic.
    fn phase_1_begun(&mut self, now: Instant, (peer, role): (PeerId, Role), exchange: ExchangeKind, path: &Path) {
        let (local, remote) = (show(path.local), show(path.remote));
        let text = format!(
            "phase 1 with {} ({remote}) has begun as {role}: {exchange}, local address {local}",
            self.exchange.name(peer)
        );
        match role {
            Role::Initiator => log::info(format_args!("{text}")),
            Role::Responder => {
                let limiter = self.limiters.of(&self.exchange, path.remote.ip());
                limiter.write(now, "phase 1 has begun", Level::Info, format_args!("{text}"));
            }
        }
    }

    fn phase_1_up(
        &mut self,
        peer: PeerId,
        sa: IsakmpSaId,
        role: Role,
        (path, nat): (&Path, &NatSituation),
        choice: &Phase1Choice,
    ) {
        let (name, remote) = (self.exchange.name(peer), show(path.remote));
        let (cipher, bits) = (choice.cipher, choice.cipher_key * 8);
        let hash = hash_number(choice.hash).map(|hash| hash.to_string()).unwrap_or_default();
        let (group, method) = (choice.group, choice.auth_method);
        let suite = format_args!("{cipher} {bits}, {hash}, {group}, {method}");
        let view = self.negotiator.sas().find(|view| view.id() == sa);
        let cookies = view.as_ref().map(|view| cookies_of(view.cookies())).unwrap_or_default();
        let ends = format_args!("local address {}, cookies {cookies}", show(path.local));
        let text = format_args!("phase 1 with {name} ({remote}) is established as {role} ({sa}): {suite}, {ends}");
        log::event(log::Event::of_sa(EventKind::Phase1Up, name, sa), text);
        if nat.in_udp().is_some() {
            let end = match (nat.detection.here, nat.detection.there) {
                (true, true) => "both ends are",
                (true, false) => "this host is",
                _ => "the peer is",
            };
            log::info(format_args!("{end} behind a NAT: ESP with {name} is sent in UDP"));
        }
        let Some(tables) = &mut self.tables else { return };
        let view = self.negotiator.sas().find(|view| view.id() == sa);
        let added = view.map(|view| tables.add_isakmp(&view.cookies().initiator, view.expose_encryption_key()));
        if let Some(Err(e)) = added {
            log::warning(format_args!("the key of the ISAKMP SA was not exported: {e}"));
        }
    }

    fn phase_1_gone(&mut self, peer: PeerId, sa: IsakmpSaId, plane: &Plane, why: fmt::Arguments<'_>) {
        self.access.release(sa, |address| plane.is_bound_to(address));
        self.hooks.removed(sa, self.exchange.peer(peer));
        let name = self.exchange.name(peer);
        let event = log::Event::of_sa(EventKind::Phase1Down, name, sa);
        log::event(event, format_args!("phase 1 with {name} has ended ({sa}): {why}"));
    }

    /// Records the configuration that a server has assigned to this host, and returns the part that is used. Its
    /// policies are those of the files, for the assigned address where they cover it.
    fn leased(&mut self, peer: PeerId, sa: IsakmpSaId, config: &ClientConfig) -> ClientConfig {
        let (name, mut config) = (self.exchange.name(peer), *config);
        let is_used = |address: IpAddr| {
            let is_end = self.exchange.config.is_end(address);
            if is_end {
                log::error(format_args!(
                    "{name} has assigned {address}, which is an address of this host or of a peer"
                ));
            }
            !is_end
        };
        config.address = config.address.filter(|address| is_used(IpAddr::V4(*address)));
        config.address_v6 = config.address_v6.filter(|address| is_used(IpAddr::V6(*address)));
        let addresses = [config.address.map(IpAddr::V4), config.address_v6.map(IpAddr::V6)];
        for address in addresses.into_iter().flatten() {
            let event = log::Event::of_sa(EventKind::Leased, name, sa);
            log::event(event, format_args!("{name} has assigned the address {address} to this host ({sa})"));
            let mut policies = self.exchange.policies_with(peer);
            if !policies.any(|policy| policy.selector.source.contains(address)) {
                log::warning(format_args!("no policy with {name} covers the assigned address {address}"));
            }
        }
        self.access.own.assign(peer, &config);
        config
    }
}

#[cfg(test)]
mod tests;
