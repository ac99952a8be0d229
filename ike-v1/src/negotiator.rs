//! Negotiation of ISAKMP SAs and IPsec SAs (RFC 2408, RFC 2409), without I/O.

mod aggressive;
mod base;
mod census;
mod changeover;
mod choose;
mod client_config;
mod counters;
mod dpd;
mod event;
mod exchange;
mod features;
mod fragments;
mod host;
mod identity;
mod inbound;
mod informational;
mod ipsec_sa;
mod isakmp_sa;
mod key_exchange;
mod keyed_digest;
mod lease;
mod lifecycle;
mod limits;
mod main_mode;
mod message;
mod mode_config;
mod natt;
mod offer;
mod outbound;
mod path;
mod peer;
mod phase_1;
mod phase_2;
mod proof;
mod quick;
mod refusal;
mod retry;
mod scratch;
mod selectors;
mod settings;
mod slots;
mod spi;
mod stage;
mod step;
mod suspend;
mod tables;
mod timer;
mod transaction;
mod vendor;
mod xauth;

pub use client_config::{ClientConfig, ClientNetwork, ClientNetworkV6, ShortText};
pub use counters::{Counter, Counters};
pub use dpd::DeadPeerDetection;
pub use event::{Event, Failure, Gone, IpsecSaId, IsakmpSaId, NegotiatedSa, Phase, Role};
pub use host::{Host, PeerHint, PolicyRefusal, PolicyRequest, PreSharedKey, Refused};
pub use isakmp_sa::IsakmpSaView;
pub use mode_config::{ConfigRequest, ModeConfig};
pub use natt::NatSituation;
pub use outbound::Transmit;
pub use path::SpiPair;
pub use peer::{IpsecPolicy, IpsecTemplate, MAX_BUNDLE, Path, Peer, PeerId, ProposalCheck};
pub use proof::{CertificateRefusal, CertificateRequests, SignedIdentity};
pub use refusal::{Difference, Mismatch, Parameter, Refusal, Table};
pub use settings::Settings;
pub use xauth::{Credentials, MAX_CREDENTIAL, XauthAnswer, XauthRequest, XauthRole};

use core::fmt;

use changeover::PAUSE;
use ike_codec::Cookie;
use ipsec_packet::Instant;
use zeroize::Zeroize;

use exchange::{Exchange, Output};
use features::{NAT_TRAVERSAL, PHASE_1_EVENTS, XAUTH};
use informational::{ClearRefusal, new_message_id};
use ipsec_sa::{IpsecSlot, Negotiation};
use isakmp_sa::{IsakmpSa, PendingDelete};
use limits::Bucket;
use slots::Slots;
use spi::Spi;
use stage::Stage;

/// Number of failures that can be pending as events, besides those of negotiations that the caller initiated.
const FAILURES: usize = 8;

/// IKEv1 negotiator for one set of local addresses: main, aggressive and base mode, quick mode for ESP, AH and IPComp,
/// informational and transaction exchanges, in both roles (RFC 2408, RFC 2409).
///
/// The negotiator does no I/O, reads no clock and, without the feature `alloc`, does not allocate. It has space for
/// `SAS` ISAKMP SAs, `EXCHANGES` exchanges in progress with a buffer of `BUFFER` octets each, and `IPSEC_SAS` pairs of
/// IPsec SAs. A buffer holds the SA payload of the initiator, the private value, both public values, the nonces, and
/// the last two messages: 1,536 octets for groups of 2048 bits. With the feature `alloc` they are on the heap, each in
/// memory of its own, and the tables grow to these limits.
///
/// The caller passes datagrams, requests and the time in, and then fetches in this order: events until there is none,
/// then datagrams until there is none, then events again, as sending a message may be what completes an SA.
///
/// ```text
/// handle_datagram, handle_timeout, initiate, installed, heard_from, sent_in, delete
///     -> poll_event (install SAs, call `installed`) -> poll_transmit (send) -> poll_event -> poll_timeout (wait)
/// ```
#[derive(Debug)]
//= RFC 2409 5/1, 5/2, 5/3
//# MUST: main mode is implemented
//# SHOULD: aggressive mode is implemented
//# MUST: quick mode is implemented
//= RFC 2408 1.4.2/1, 1.6.2/1
//# MUST: the key management protocol establishes security associations
//# MUST: an authenticated key exchange is supported
pub struct Negotiator<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize> {
    settings: Settings,
    secret: DigestKey,
    isakmp: Slots<IsakmpSa, SAS>,
    exchanges: Slots<Exchange<BUFFER>, EXCHANGES>,
    pairs: Slots<IpsecSlot, IPSEC_SAS>,
    failures: [Option<Failure>; FAILURES],
    counters: Counters,
    generation: u32,
    /// Address of a message of an unknown SA, to be reported.
    unknown: Option<Path>,
    unknown_reported: Option<Instant>,
    /// ISAKMP SA that was replaced because its table was full, to be reported.
    superseded: Option<(PeerId, IsakmpSaId)>,
    clear_refusal: Option<ClearRefusal>,
    /// Bound on the key exchanges of a responder.
    key_exchanges: Bucket,
    /// Bound on the key exchanges of a responder of aggressive mode.
    unproven_key_exchanges: Bucket,
    /// Bound on the signatures of initiators that are verified.
    verifications: Bucket,
    /// Initiator cookies of the ISAKMP SAs that ended last.
    ended: [Cookie; 8],
    /// Initiator cookies that were refused last.
    refused: [Cookie; 8],
    has_events: bool,
    has_output: bool,
    has_wanted: bool,
}

/// SAs to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One pair of IPsec SAs.
    IpsecSa(IpsecSaId),
    /// One ISAKMP SA. Its IPsec SAs continue to exist.
    IsakmpSa(IsakmpSaId),
    /// All SAs with a peer.
    Peer(PeerId),
    /// All SAs of the negotiator.
    All,
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Creates a negotiator without SAs. `secret` is random, and is the key of the digests by which a repeated message
    /// is recognised.
    pub const fn new(settings: Settings, secret: [u8; 16]) -> Self {
        Self {
            settings,
            secret: DigestKey(secret),
            isakmp: Slots::new(),
            exchanges: Slots::new(),
            pairs: Slots::new(),
            failures: [const { None }; FAILURES],
            counters: Counters::new(),
            generation: 0,
            unknown: None,
            unknown_reported: None,
            superseded: None,
            clear_refusal: None,
            key_exchanges: Bucket::full(settings.key_exchanges_per_second),
            unproven_key_exchanges: Bucket::full(settings.unproven_key_exchanges_per_second),
            verifications: Bucket::full(settings.verifications_per_second),
            ended: [[0; 8]; 8],
            refused: [[0; 8]; 8],
            has_events: false,
            has_output: false,
            has_wanted: false,
        }
    }

    /// Negotiates a pair of IPsec SAs for a policy, and an ISAKMP SA first if there is none. While the negotiation is
    /// in progress, further requests for the same policy return the same identifier. For five seconds after the peer
    /// has negotiated a pair of the policy, the identifier of that pair is returned. A request waits up to ten seconds
    /// for a negotiation of the peer; if that succeeds, its events are the answer, and there is none for the
    /// identifier. A pair whose negotiation crosses one of the peer may be redundant, and then has no outbound SA.
    ///
    /// The pair replaces an older one of the policy without loss: the outbound SA is announced, and the older
    /// one removed, once the peer has shown that it has the new one, or when the older one ends.
    ///
    /// # Errors
    /// [`Refusal`] if the peer or the policy does not exist, the peer has no address, or the table is full.
    pub fn initiate(
        &mut self,
        now: Instant,
        peer: PeerId,
        policy: u32,
        host: &mut dyn Host,
    ) -> Result<IpsecSaId, Refusal> {
        if let Some(pair) = self.pairs.values().find(|pair| pair.is_pending(peer, policy)) {
            return Ok(IpsecSaId(pair.id));
        }
        let path = host.peer(peer).ok_or(Refusal::Superseded)?.path.ok_or(Refusal::Passive)?;
        let selector = host.policy(policy).ok_or(Refusal::NoPolicy)?.selector;
        let recently = Instant::from_start(now.since_start().saturating_sub(PAUSE));
        let of_peer = self.pair_of_peer(now, recently, (peer, policy, None), &selector);
        if let Some(pair) = of_peer.filter(|pair| pair.stage == Negotiation::Complete) {
            return Ok(IpsecSaId(pair.id));
        }
        self.want(now, host, |id| IpsecSlot::new(id, peer, policy, Role::Initiator, path))
    }

    /// Begins the negotiation of a pair, or records it until an exchange or an ISAKMP SA is free for it.
    fn want(
        &mut self,
        now: Instant,
        host: &mut dyn Host,
        pair: impl FnOnce(event::SlotId) -> IpsecSlot,
    ) -> Result<IpsecSaId, Refusal> {
        let index = self.free_pair()?;
        let id = self.slot_id(index)?;
        self.set_pair(index, IpsecSlot { began: now, ..pair(id) })?;
        self.has_wanted = true;
        self.start_wanted(now, host);
        Ok(IpsecSaId(id))
    }

    /// Reports that the inbound SA of an event `InboundReady` is installed. It is called once for each such event;
    /// after the last one, the message that lets the peer use the SAs may be sent.
    pub fn installed(&mut self, now: Instant, sa: IpsecSaId) {
        if !self.pair_mut(sa.0).is_some_and(IpsecSlot::install) {
            return;
        }
        for exchange in self.exchanges.values_mut() {
            let state = &mut exchange.state;
            if state.ipsec == Some(sa.0) && state.output == Output::Held {
                state.output = Output::Ready;
                state.started = now;
            }
        }
        self.touch();
    }

    /// Reports that the inbound SA of an event `InboundReady` could not be installed: the negotiation fails.
    pub fn install_failed(&mut self, sa: IpsecSaId) {
        self.end_quick_of(sa.0, Refusal::NotInstalled);
    }

    /// Reports that an authentic packet of the inbound SA was received: the peer is alive, and has installed its half,
    /// even if its last message of quick mode was lost. After `OutboundReady`, one report in a second is enough.
    pub fn heard_from(&mut self, now: Instant, sa: IpsecSaId) {
        let of_pair = |(_, exchange): &(usize, &Exchange<BUFFER>)| exchange.state.ipsec == Some(sa.0);
        let found = self.exchanges.iter().find(of_pair).map(|(index, exchange)| (index, exchange.state.stage));
        // The exchange exists, so that its pair does as well.
        let _ = match found {
            Some((index, Stage::QuickAwaitsHash3)) => self.confirm_pair(index, now),
            Some((index, Stage::QuickAwaitsConnected)) => self.connect(index, now),
            _ => Ok(()),
        };
        let Some(pair) = self.pair_mut(sa.0) else { return };
        let (peer, identity) = (pair.peer, pair.identity);
        if let Some(retired) = &mut pair.retired {
            retired.heard = Some(now);
        }
        if pair.take_over_at.is_some() {
            self.take_over(sa.0, now);
        }
        if let Some(identity) = identity {
            self.note_life(peer, identity, now);
        }
    }

    /// Deletes SAs. The events that remove them follow, and delete payloads are sent, each twice.
    pub fn delete(&mut self, now: Instant, what: Target, host: &mut dyn Host) {
        for index in 0..self.pairs.len() {
            self.delete_pair(index, now, what, host);
        }
        self.take_over_from_ended(now);
        for index in 0..self.exchanges.len() {
            let is_meant = self.exchanges.get(index).is_some_and(|Exchange { state, .. }| match what {
                Target::All => true,
                Target::Peer(peer) => state.peer == peer,
                Target::IpsecSa(id) => state.ipsec == Some(id.0),
                Target::IsakmpSa(id) => state.isakmp == Some(id.0),
            });
            if is_meant {
                self.end_exchange(index, Refusal::Deleted);
            }
        }
        for sa in self.isakmp.values_mut() {
            let is_meant = match what {
                Target::All => true,
                Target::Peer(peer) => sa.peer == peer,
                Target::IsakmpSa(id) => sa.id == id.0,
                Target::IpsecSa(_) => false,
            };
            if is_meant && sa.is_usable() {
                let message_id = new_message_id(sa, host);
                sa.delete = Some(PendingDelete::new(message_id, now));
                sa.end(Gone::Operator);
            }
        }
        self.touch();
        self.release_spis(host);
    }

    fn delete_pair(&mut self, index: usize, now: Instant, what: Target, host: &mut dyn Host) {
        let Some(pair) = self.pairs.get(index) else { return };
        let is_meant = match what {
            Target::All => true,
            Target::Peer(peer) => pair.peer == peer,
            Target::IpsecSa(id) => pair.id == id.0,
            Target::IsakmpSa(_) => false,
        };
        if !is_meant || pair.gone.is_some() {
            return;
        }
        if pair.stage == Negotiation::Wanted {
            return self.fail_pair(index, Phase::Two, Refusal::Deleted, None);
        }
        // A quick mode in progress ends with its exchange. The peer may have its outbound SA already.
        self.send_deletes(index, now, host);
        if let Some(pair) = self.pairs.get_mut(index)
            && pair.stage == Negotiation::Complete
        {
            pair.end(Gone::Operator);
        }
    }

    /// Sends delete payloads for the inbound SAs of a pair. Returns false if there is no ISAKMP SA for them.
    fn send_deletes(&mut self, index: usize, now: Instant, host: &mut dyn Host) -> bool {
        let Some(pair) = self.pairs.get(index) else { return false };
        let Some(carrier) = self.carrier_of(pair.peer, pair.identity).and_then(|index| self.isakmp.get_mut(index))
        else {
            return false;
        };
        let members = self.pairs.get_mut(index).into_iter().flat_map(IpsecSlot::members_mut);
        for member in members.filter(|member| member.inbound.spi != Spi::NONE) {
            member.delete = Some(PendingDelete::new(new_message_id(carrier, host), now));
        }
        true
    }

    /// Returns the next event. The caller repeats the call until it returns `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        if !self.has_events {
            return None;
        }
        let event = self.next_event();
        self.has_events = event.is_some();
        event
    }

    fn next_event(&mut self) -> Option<Event> {
        if let Some(path) = self.unknown.take() {
            return Some(Event::UnknownSa { path });
        }
        if let Some((peer, sa)) = self.superseded.take() {
            return Some(Event::Phase1Gone { peer, sa, why: Gone::Superseded });
        }
        if PHASE_1_EVENTS && let Some(event) = self.exchanges.values_mut().find_map(|own| own.state.poll_begun()) {
            return Some(event);
        }
        for index in 0..self.isakmp.len() {
            let Some(sa) = self.isakmp.get_mut(index) else { continue };
            let (peer, id) = (sa.peer, IsakmpSaId(sa.id));
            if core::mem::take(&mut sa.is_new) {
                let IsakmpSa { role, path, choice, nat, .. } = *sa;
                return Some(Event::Phase1Up { peer, sa: id, role, path, choice, nat });
            }
            if core::mem::take(&mut sa.has_logged_in) {
                return Some(Event::LoggedIn { peer, sa: id });
            }
            if let Some(why) = sa.gone.filter(|_| !sa.is_reported) {
                if why == Gone::PeerDead && sa.liveness.take_death() {
                    return Some(Event::PeerDead { peer, sa: id, path: sa.path });
                }
                sa.is_reported = true;
                remember(&mut self.ended, sa.cookies.initiator);
                if why == Gone::Redirected {
                    return Some(Event::Redirected { peer, sa: id, server: sa.path.remote });
                }
                return Some(Event::Phase1Gone { peer, sa: id, why });
            }
            if sa.is_finished() {
                self.isakmp.clear(index);
            }
        }
        if XAUTH && let Some(event) = self.next_lease() {
            return Some(event);
        }
        // A new outbound SA is installed before the one whose place it takes is removed.
        if let Some(event) = self.pairs.values_mut().find_map(IpsecSlot::poll_ready) {
            return Some(event);
        }
        if NAT_TRAVERSAL && let Some(event) = self.pairs.values_mut().find_map(IpsecSlot::poll_moved) {
            return Some(event);
        }
        for index in 0..self.pairs.len() {
            let Some(pair) = self.pairs.get_mut(index) else { continue };
            if let Some(event) = pair.poll_gone() {
                return Some(event);
            }
            if pair.is_finished() {
                self.pairs.clear(index);
            }
        }
        self.failures.iter_mut().find_map(Option::take).map(Event::Failed)
    }

    /// Returns the counters of the negotiator.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Iterates over the established ISAKMP SAs.
    pub fn sas(&self) -> impl Iterator<Item = IsakmpSaView<'_>> {
        self.isakmp.values().filter(|sa| sa.is_usable()).map(IsakmpSaView)
    }

    /// Returns whether no message is left to be sent: after [`Target::All`] was deleted, the program may end.
    pub fn is_idle(&self) -> bool {
        let is_deleting = self.isakmp.values().any(|sa| sa.delete.is_some() || sa.notify.is_some())
            || self.pairs.values().any(IpsecSlot::is_deleting);
        !is_deleting && self.exchanges.values().all(|exchange| exchange.state.output == Output::Idle)
    }
}

/// Inserts a cookie before the others and drops the oldest one.
fn remember(cookies: &mut [Cookie; 8], cookie: Cookie) {
    cookies.rotate_right(1);
    if let Some(first) = cookies.first_mut() {
        *first = cookie;
    }
}

/// Key of the digests of received messages. It is wiped on drop, and never printed.
struct DigestKey([u8; 16]);

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey")
    }
}

impl Drop for DigestKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
