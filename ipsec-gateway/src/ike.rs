//! Key exchange: the negotiator with its SAs, events of the engine, and the messages between them and the sockets.

mod activity;
mod control;
mod events;
mod install;
mod start;
mod trace;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ike_v1::{IpsecSaId, Negotiator, Path, PeerId, Refusal, Settings, Target, Transmit};
use ipsec_config::Timing;
use ipsec_engine::{Acquire, Direction, Expiry, PolicyId, SaEvent, SaId};
use ipsec_packet::Instant;
use rand::RngExt;

use activity::SentReports;

use crate::access::Access;
use crate::config::Limits;
use crate::databases::Databases;
use crate::generated::{Changes, Generated};
use crate::hooks::{Call, Hooks};
use crate::host::{Admission, GatewayHost, show};
use crate::key_exchange::KeyExchange;
use crate::key_tables::KeyTables;
use crate::log::{self, EventKind, Level, Limiter};
use crate::own_addresses::AddressChange;
use crate::plane::{PacketSink, Plane};
use crate::psk::PskFile;
use crate::shown_keys::ShownKeys;
use crate::udp::DatagramSink;

/// Negotiator of the gateway: the numbers of ISAKMP SAs, exchanges and pairs of IPsec SAs, and the longest message.
type GatewayNegotiator = Negotiator<64, 64, 128, 6144>;

/// Shortest time between two negotiations with one peer because of an unknown SPI.
const UNKNOWN_SPI_INTERVAL: Duration = Duration::from_secs(10);

/// Time after a failed negotiation before the same policy starts another one.
const FAILURE_INTERVAL: Duration = Duration::from_secs(10);
/// Shortest time limit of an exchange: a configuration of racoon has it for each message.
const SHORTEST_EXCHANGE: Duration = Duration::from_secs(30);
/// Interval of NAT-keepalive packets that disables them.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// Negotiator with its configuration, and the SAs that it has installed.
pub struct Ike {
    negotiator: Box<GatewayNegotiator>,
    exchange: KeyExchange,
    keys: PskFile,
    access: Access,
    tables: Option<KeyTables>,
    admission: Admission,
    installed: HashMap<SaId, InstalledSa>,
    /// Policies that were generated for initiators.
    generated: Generated,
    /// Policies of the negotiations that this host has initiated.
    initiated: HashMap<IpsecSaId, PolicyId>,
    /// Times of the last failed negotiations, by policy.
    failed: HashMap<PolicyId, Instant>,
    /// Renewals that have failed, and the times of the next attempts.
    renewals: HashMap<PolicyId, (PeerId, Instant)>,
    /// Time of the last packet with an unknown SPI that has started a negotiation, by peer.
    unknown_spi: HashMap<PeerId, Instant>,
    /// Keys of the negotiated SAs, if the configuration allows to show them.
    shown_keys: HashMap<SaId, ShownKeys>,
    /// Scripts for events of phase 1.
    hooks: Hooks,
    sent: SentReports,
    /// Time of the next query of the kernel about the packets of SAs, with the back end `pfkey`.
    usage_due: Option<Instant>,
    /// Time of the next check of the peers with which this host starts negotiations.
    start_due: Option<Instant>,
    limiters: Limiters,
    message: Box<[u8; 65_535]>,
}

/// Limits for log lines that unauthenticated messages can cause. Messages from addresses that are not those of peers do
/// not use up the limit of the peers.
#[derive(Default)]
struct Limiters {
    peers: Limiter,
    others: Limiter,
}

impl Limiters {
    /// Returns the limit for log lines about messages of an address.
    fn of(&mut self, exchange: &KeyExchange, address: IpAddr) -> &mut Limiter {
        if exchange.peer_at(address).is_some() { &mut self.peers } else { &mut self.others }
    }
}

/// SA that was negotiated and installed.
#[derive(Clone, Copy)]
struct InstalledSa {
    pair: IpsecSaId,
    source: IpAddr,
    peer: PeerId,
    policy: u32,
    /// Set if the outbound SA of the pair was installed.
    is_complete: bool,
    /// Time at which an authentic packet was last reported.
    heard: Option<Instant>,
    /// Number of packets that the kernel has reported, with the back end `pfkey`.
    packets: u32,
    /// UDP port of this host, if ESP is sent in UDP.
    local_port: Option<u16>,
}

impl Ike {
    /// Creates the negotiator of a configuration.
    pub fn new(exchange: KeyExchange, keys: PskFile, access: Access, tables: Option<KeyTables>) -> Self {
        let start_due = start::first_check(&exchange);
        Self {
            negotiator: Box::new(GatewayNegotiator::new(
                settings(&exchange.config.configuration.timing, &exchange.config.limits),
                rand::rng().random(),
            )),
            exchange,
            keys,
            access,
            tables,
            admission: Admission::Open,
            installed: HashMap::new(),
            generated: Generated::default(),
            initiated: HashMap::new(),
            failed: HashMap::new(),
            renewals: HashMap::new(),
            unknown_spi: HashMap::new(),
            shown_keys: HashMap::new(),
            hooks: Hooks::default(),
            sent: SentReports::default(),
            usage_due: None,
            start_due,
            limiters: Limiters::default(),
            message: Box::new([0; 65_535]),
        }
    }

    /// Processes a datagram of IKE as the socket has received it.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], engine: &mut Databases) {
        trace::received(&path, datagram);
        let counters = trace::counters(&self.negotiator);
        self.with_host(now, engine, |negotiator, host| negotiator.handle_datagram(now, path, datagram, host));
        trace::counted(counters, &self.negotiator);
    }

    /// Processes the timers that are due: retransmissions, expired SAs, and reports of packets that were sent.
    pub fn handle_timeout(&mut self, now: Instant, engine: &mut Databases) {
        self.report_sent(now, engine);
        if self.negotiator.poll_timeout().is_some_and(|due| due <= now) {
            self.with_host(now, engine, |negotiator, host| negotiator.handle_timeout(now, host));
        }
        if self.access.due().is_some_and(|due| due <= now) {
            self.with_host(now, engine, |negotiator, host| negotiator.resume(now, host));
        }
        self.start_negotiations(now, engine);
        let is_due = |(policy, (peer, due)): (&PolicyId, &(PeerId, Instant))| (*due <= now).then_some((*policy, *peer));
        let due: Vec<_> = self.renewals.iter().filter_map(is_due).collect();
        for (policy, peer) in due {
            self.renewals.remove(&policy);
            self.initiate(now, peer, policy, engine);
        }
    }

    /// Returns the time of the next call of [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        let renewals = self.renewals.values().map(|(_, due)| *due);
        let own = [self.negotiator.poll_timeout(), self.sent.due(), self.access.due(), self.usage_due, self.start_due];
        renewals.chain(own.into_iter().flatten()).min()
    }

    /// Deletes all SAs and notifies the peers. No negotiation begins afterwards: its SAs would exist at the peer only.
    pub fn stop(&mut self, now: Instant, engine: &mut Databases) {
        self.admission = Admission::Closed;
        self.with_host(now, engine, |negotiator, host| negotiator.delete(now, Target::All, host));
    }

    /// Deletes the SAs of a pair and notifies the peer.
    fn delete_pair(&mut self, now: Instant, pair: IpsecSaId, engine: &mut Databases) {
        self.with_host(now, engine, |negotiator, host| negotiator.delete(now, Target::IpsecSa(pair), host));
    }

    /// Returns whether all datagrams have been sent.
    pub fn is_idle(&self) -> bool {
        self.negotiator.is_idle()
    }

    /// Processes an event of the engine.
    pub fn handle_sa_event(&mut self, now: Instant, event: &SaEvent, engine: &mut Databases) {
        match event {
            SaEvent::Acquire(acquire) => self.acquire(now, acquire, engine),
            SaEvent::Expire(sa, Expiry::Soft) | SaEvent::SequenceLow(sa) => {
                log::event(
                    self.event_of(EventKind::SaSoftExpired, sa),
                    format_args!("soft lifetime of SA {sa} has ended"),
                );
                // An outbound SA whose successor is in use no longer exists.
                let outbound = self.installed.get(sa).filter(|_| sa.direction == Direction::Outbound);
                if let Some(&InstalledSa { peer, policy, pair, .. }) = outbound {
                    self.renew(now, (peer, PolicyId::new(policy), pair), engine);
                }
            }
            SaEvent::Expire(sa, Expiry::Hard) => {
                log::event(self.event_of(EventKind::SaExpired, sa), format_args!("SA {sa} has expired"));
                self.shown_keys.remove(sa);
                // The peer may count octets otherwise. It is notified, and the SA of the other direction is removed.
                if let Some(InstalledSa { pair, .. }) = self.installed.remove(sa) {
                    self.delete_pair(now, pair, engine);
                }
            }
            SaEvent::NatMapping { sa, source, port } => {
                log::info(format_args!("packets of SA {sa} have a new source address: {source}[{port}]"));
                let installed = self.installed.get(sa).copied();
                let found = installed.and_then(|installed| Some((installed.pair, self.local_of(*sa, installed.pair)?)));
                if let Some((pair, local)) = found {
                    self.negotiator.moved(pair, Path { local, remote: SocketAddr::new(*source, *port) });
                }
            }
            _ => {}
        }
    }

    /// Returns an event about an SA, with its peer if it was negotiated.
    fn event_of(&self, kind: EventKind, sa: &SaId) -> log::Event {
        let peer = self.installed.get(sa).map(|own| self.exchange.name(own.peer).to_owned());
        log::Event { event: kind, peer, sa: Some(sa.to_string()) }
    }

    fn acquire(&mut self, now: Instant, acquire: &Acquire, engine: &mut Databases) {
        if self.admission == Admission::Closed {
            return;
        }
        let number = acquire.policy.get();
        // Its initiator is about to install its SAs; the packet waits for them.
        if self.generated.contains(acquire.policy) {
            return;
        }
        let Some(policy) = self.exchange.policy(number) else {
            let text = format_args!("no SA for policy {number}, and none is negotiated: {}", acquire.flow);
            return self.limiters.peers.write(now, "policy without negotiation", Level::Warning, text);
        };
        let Some(peer) = self.exchange.id(policy.peer) else { return };
        if !self.exchange.peer(peer).is_some_and(|peer| peer.config.initiates) {
            let name = self.exchange.name(peer);
            let text = format_args!("no SA for policy {number}: peer {name} has not initiated phase 1");
            return self.limiters.peers.write(now, "peer that has to initiate", Level::Warning, text);
        }
        let failed = self.failed.get(&acquire.policy);
        if failed.is_some_and(|failed| now.saturating_duration_since(*failed) < FAILURE_INTERVAL) {
            return;
        }
        if !self.initiated.values().any(|policy| *policy == acquire.policy) {
            let name = self.exchange.name(peer);
            let event = log::Event::of_peer(EventKind::Acquire, name);
            log::event(event, format_args!("policy {number} needs an SA with peer {name}: {}", acquire.flow));
        }
        self.initiate(now, peer, acquire.policy, engine);
    }

    /// Negotiates SAs with a peer that uses an SA which this host does not have, probably because it was started again.
    ///
    /// The packet is not authentic. It therefore starts a negotiation for one policy without an outbound SA, and only
    /// once in a while. INITIAL-CONTACT then tells the peer that its other SAs do not exist either.
    pub fn handle_unknown_spi(&mut self, now: Instant, source: IpAddr, engine: &mut Databases) {
        if self.admission == Admission::Closed {
            return;
        }
        let Some(peer) = self.exchange.peer_at(source) else { return };
        if self.exchange.path(peer).is_none() {
            return;
        }
        let last = self.unknown_spi.get(&peer);
        if last.is_some_and(|last| now.saturating_duration_since(*last) < UNKNOWN_SPI_INTERVAL) {
            return;
        }
        self.unknown_spi.insert(peer, now);
        let has_sa = |policy: PolicyId| {
            let is_it =
                |(id, sa): (&SaId, &InstalledSa)| id.direction == Direction::Outbound && sa.policy == policy.get();
            self.installed.iter().any(is_it)
        };
        let missing = self.exchange.policies_with(peer).map(|policy| policy.id).find(|policy| !has_sa(*policy));
        if let Some(policy) = missing {
            log::info(format_args!(
                "{} uses an SA that does not exist: a new one is negotiated",
                self.exchange.name(peer)
            ));
            self.initiate(now, peer, policy, engine);
        }
    }

    /// Begins a negotiation. Returns whether it has begun; the reason is in the log.
    fn initiate(&mut self, now: Instant, peer: PeerId, policy: PolicyId, engine: &mut Databases) -> bool {
        // A generated policy is that of one client of its peer, which may have others: only its pairs tell which.
        if self.admission == Admission::Closed || self.generated.contains(policy) {
            return false;
        }
        let number = policy.get();
        let initiated = self.with_host(now, engine, |negotiator, host| negotiator.initiate(now, peer, number, host));
        self.has_begun((peer, policy), initiated)
    }

    /// Begins the negotiation of the successor of a pair. A client without an ISAKMP SA renews its pairs itself.
    fn renew(&mut self, now: Instant, (peer, policy, pair): (PeerId, PolicyId, IpsecSaId), engine: &mut Databases) {
        if self.admission == Admission::Closed {
            return;
        }
        let renewed = self.with_host(now, engine, |negotiator, host| negotiator.renew_pair(now, pair, host));
        if renewed != Err(Refusal::Passive) {
            self.has_begun((peer, policy), renewed);
        }
    }

    /// Records a negotiation that has begun. Otherwise the reason is in the log.
    fn has_begun(&mut self, (peer, policy): (PeerId, PolicyId), begun: Result<IpsecSaId, Refusal>) -> bool {
        match begun {
            Ok(sa) => {
                // No event follows for a pair of SAs that is complete.
                if !self.installed.values().any(|own| own.pair == sa && own.is_complete) {
                    self.initiated.insert(sa, policy);
                }
                true
            }
            Err(why) => {
                log::warning(format_args!("negotiation with {} was not started: {why}", self.exchange.name(peer)));
                false
            }
        }
    }

    /// Handles the events of the negotiator and sends its messages, until there are none.
    pub fn drive(
        &mut self,
        now: Instant,
        plane: &mut Plane,
        sockets: &(impl DatagramSink + ?Sized),
        wire: &impl PacketSink,
    ) {
        loop {
            while let Some(event) = self.negotiator.poll_event() {
                self.handle_event(now, event, plane, wire);
            }
            let mut is_done = true;
            while let Some(Transmit { path, datagram }) = self.negotiator.poll_transmit(now, &mut self.message[..]) {
                is_done = false;
                trace::sent(&path, datagram);
                if let Err(e) = sockets.send(&path, datagram) {
                    let (local, remote) = (show(path.local), show(path.remote));
                    let text = format_args!("IKE message from {local} to {remote} was not sent: {e}");
                    let limiter = self.limiters.of(&self.exchange, path.remote.ip());
                    limiter.write(now, "IKE message not sent", Level::Warning, text);
                }
            }
            if is_done {
                return;
            }
        }
    }

    /// Returns the local address and port of a pair in UDP.
    fn local_of(&self, id: SaId, pair: IpsecSaId) -> Option<SocketAddr> {
        let is_of_pair = |(_, installed): &(&SaId, &InstalledSa)| installed.pair == pair;
        let local = self.installed.iter().filter(is_of_pair).find_map(|(_, installed)| installed.local_port)?;
        Some(SocketAddr::new(id.destination, local))
    }

    /// Returns the calls of scripts, with the places of their peers in the configuration.
    pub fn take_script_calls(&mut self) -> Vec<(usize, Call)> {
        let calls = self.hooks.take_calls().into_iter();
        calls.filter_map(|call| Some((self.exchange.index(call.peer)?, call))).collect()
    }

    /// Returns the changes of the addresses that servers have assigned to this host.
    pub fn take_address_changes(&mut self) -> Vec<AddressChange> {
        self.access.own.take_changes()
    }

    /// Iterates over the addresses that servers have assigned to this host.
    pub fn own_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.access.own.all()
    }

    /// Returns the changes of the SPD by generated policies since the last call.
    pub fn take_policy_changes(&mut self) -> Changes {
        self.generated.take_changes()
    }

    fn with_host<T>(
        &mut self,
        now: Instant,
        engine: &mut Databases,
        call: impl FnOnce(&mut GatewayNegotiator, &mut GatewayHost<'_>) -> T,
    ) -> T {
        let (exchange, keys, access, admission) = (&self.exchange, &mut self.keys, &mut self.access, self.admission);
        let (limiter, generated, hooks) = (&mut self.limiters.peers, &mut self.generated, &mut self.hooks);
        let mut host = GatewayHost { exchange, keys, access, engine, generated, hooks, admission, limiter, now };
        call(&mut self.negotiator, &mut host)
    }
}

/// Returns the parameters of the negotiator with the times of the configuration: the interval of retransmissions is
/// constant, as with racoon, if there is one.
fn settings(timing: &Timing, limits: &Limits) -> Settings {
    let default = Settings::DAEMON;
    let longest = [timing.phase_1, timing.phase_2].into_iter().flatten().max();
    Settings {
        first_wait: timing.interval.unwrap_or(default.first_wait),
        longest_wait: timing.interval.unwrap_or(default.longest_wait),
        sends: timing.transmissions.unwrap_or(default.sends),
        exchange_lifetime: longest.map_or(default.exchange_lifetime, |limit| limit.max(SHORTEST_EXCHANGE)),
        half_open_per_source: limits.half_open.unwrap_or(default.half_open_per_source),
        keep_alive: if timing.keep_alive.is_zero() { NEVER } else { timing.keep_alive },
        ..default
    }
}

#[cfg(test)]
pub(crate) mod tests;
