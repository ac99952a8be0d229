//! Dead peer detection (RFC 3706): R-U-THERE queries of both peers, and the removal of the SAs with a peer that does
//! not answer.
//!
//! Proof of liveliness is what an attacker cannot have recorded: an authentic packet of an inbound SA, an answer or a
//! new query in this exchange, a message of quick mode with the nonce of this host, and a new ISAKMP SA. Without
//! packets to the peer, or with proof of liveliness, no query is sent.
//!
//! ```text
//! sent_in --> delay since the last proof of liveliness --> R-U-THERE --> retry: the same number --> .. --> dead
//! ```

use core::net::IpAddr;
use core::time::Duration;

use ike_codec::{Doi, Notification, NotifyKind, ProtocolId};
use ipsec_packet::Instant;

use super::counters::Counter;
use super::event::{Gone, IpsecSaId, SlotId};
use super::exchange::Exchange;
use super::features::DEAD_PEER_DETECTION;
use super::informational::new_message_id;
use super::ipsec_sa::{IpsecSlot, Negotiation};
use super::isakmp_sa::{IsakmpSa, PendingNotify};
use super::{Host, Negotiator, PeerId, Role};

/// Times of dead peer detection (RFC 3706 section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadPeerDetection {
    /// Time without proof of liveliness after which a query is sent, if packets were sent to the peer.
    pub delay: Duration,
    /// Time after which a query without an answer is repeated.
    pub retry: Duration,
    /// Number of queries without an answer after which the peer is declared dead. 0 is treated as 1.
    pub max_failures: u8,
}

impl DeadPeerDetection {
    /// Returns a configuration with this delay, and five queries at intervals of five seconds.
    pub const fn after(delay: Duration) -> Self {
        Self { delay, retry: Duration::from_secs(5), max_failures: 5 }
    }
}

/// Number of repetitions of a query that are answered besides its first message: isakmpd and others repeat the number.
const REPEATED_ANSWERS: u8 = 5;

/// State of dead peer detection in an ISAKMP SA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liveness {
    /// Time of the last proof of liveliness of the peer.
    heard: Instant,
    /// Time at which the liveliness of the peer is checked next.
    due: Option<Instant>,
    /// Numbers of the first and of the last query of this host, 0 before the first one.
    own_first: u32,
    own_number: u32,
    /// Number of the last query of the peer.
    peer_number: u32,
    /// Number of times that the query that waits for an answer was sent, 0 if none waits.
    sends: u8,
    /// Number of answers to the last query of the peer, 0 before the first one.
    answers: u8,
}

/// Result of a query of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Query {
    New,
    Repeated,
    Refused,
}

/// Result of the liveliness check of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The next check is due at this time.
    Wait(Instant),
    /// A query is sent.
    Ask,
    /// The peer has not answered.
    Dead,
}

impl Liveness {
    /// Creates the state of an SA that is established at this time.
    pub const fn new(now: Instant) -> Self {
        Self { heard: now, due: None, own_first: 0, own_number: 0, peer_number: 0, sends: 0, answers: 0 }
    }

    /// Returns the time at which the liveliness of the peer is checked next.
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns the number of a message of this host.
    pub fn number(&self, kind: NotifyKind) -> Option<u32> {
        match kind {
            NotifyKind::R_U_THERE => Some(self.own_number),
            NotifyKind::R_U_THERE_ACK => Some(self.peer_number),
            _ => None,
        }
    }

    /// Returns once whether the peer of this SA was declared dead.
    pub const fn take_death(&mut self) -> bool {
        core::mem::replace(&mut self.sends, 0) > 0
    }

    fn alive(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
        self.sends = 0;
    }

    /// Records the sequence number of a query of the peer. One with a number of this host is probably a query of this
    /// host that an attacker has sent back: the cookies and the keys are those of both directions.
    //= RFC 3706 6.2/5, 6.2/6
    //# SHOULD: each entity keeps the sequence number of its peer
    //# SHOULD: a query without the expected number is rejected
    fn take_query(&mut self, number: u32) -> Query {
        if self.own_number != 0 && (self.own_first..=self.own_number).contains(&number) {
            Query::Refused
        } else if self.answers == 0 || number > self.peer_number {
            (self.peer_number, self.answers) = (number, 1);
            Query::New
        } else if number == self.peer_number && self.answers <= REPEATED_ANSWERS {
            self.answers = self.answers.saturating_add(1);
            Query::Repeated
        } else {
            Query::Refused
        }
    }

    fn verdict(&self, now: Instant, detection: &DeadPeerDetection) -> Verdict {
        let ask_at = self.heard.saturating_add(detection.delay);
        match self.sends {
            0 if now < ask_at => Verdict::Wait(ask_at),
            sends if sends >= detection.max_failures.max(1) => Verdict::Dead,
            _ => Verdict::Ask,
        }
    }

    /// Returns whether fewer queries were sent than twice the largest number.
    const fn has_more_time(&self, detection: &DeadPeerDetection) -> bool {
        self.sends < detection.max_failures.saturating_mul(2)
    }

    /// Returns the sequence number of the next query. A repeated one has the same number.
    //= RFC 3706 6.2/1, 6.2/2, 6.2/3, 6.2/4
    //# MUST: each peer keeps a sequence number of its own
    //# MUST: the number of the first query is random
    //# SHOULD: the high bit of the first number is zero
    //# MUST: later queries increment the number by one
    fn ask(&mut self, host: &mut dyn Host, retry_at: Instant) {
        if self.sends == 0 {
            self.own_number = match self.own_number {
                0 => first_number(host),
                last => last.wrapping_add(1),
            };
            if self.own_first == 0 {
                self.own_first = self.own_number;
            }
        }
        self.sends = self.sends.saturating_add(1);
        self.due = Some(retry_at);
    }
}

/// Draws a number below 2^31 that is not 0.
fn first_number(host: &mut dyn Host) -> u32 {
    let mut octets = [0; 4];
    host.random(&mut octets);
    (u32::from_be_bytes(octets) >> 1).max(1)
}

/// Returns whether a notification is R-U-THERE or R-U-THERE-ACK.
pub(crate) fn is_dpd(kind: NotifyKind) -> bool {
    DEAD_PEER_DETECTION && matches!(kind, NotifyKind::R_U_THERE | NotifyKind::R_U_THERE_ACK)
}

/// Returns the counter of a notification that is sent, if it has one.
pub(crate) fn sent_counter(kind: NotifyKind) -> Option<Counter> {
    match kind {
        NotifyKind::R_U_THERE => Some(Counter::DpdSent),
        NotifyKind::R_U_THERE_ACK => Some(Counter::DpdAnswersSent),
        _ => None,
    }
}

/// Returns the number of a query or an answer of the peer in this SA. The SPI is both cookies; racoon sends them in
/// either order.
fn read(sa: &IsakmpSa, notification: &Notification<'_>) -> Option<u32> {
    let (initiator, responder) = (sa.cookies.initiator, sa.cookies.responder);
    //= RFC 3706 6.1/5
    //# SHOULD: both sides check the cookies in the SPI
    let is_of_sa = [[initiator, responder], [responder, initiator]]
        .iter()
        .any(|cookies| notification.spi == cookies.as_flattened());
    // Some peers send the DOI 0 under the protection of an ISAKMP SA.
    let is_valid = matches!(notification.doi, Doi::IPSEC | Doi::ISAKMP) && notification.protocol == ProtocolId::ISAKMP;
    notification.number().filter(|_| is_of_sa && is_valid)
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Reports that packets were sent in the outbound SA of a pair, the last one at this time. One report in a second
    /// is enough. Without it, no query is sent to a peer that sends nothing (RFC 3706 section 5.5).
    pub fn sent_in(&mut self, at: Instant, sa: IpsecSaId) {
        let Some(pair) = self.pair_mut(sa.0) else { return };
        pair.sent = pair.sent.max(Some(at));
        let path = pair.path;
        let (peer, Some(identity)) = (pair.peer, pair.identity) else { return };
        self.note_sent(path, at);
        if !DEAD_PEER_DETECTION {
            return;
        }
        let newest = self.newest_sa(peer, identity).and_then(|index| self.isakmp.get_mut(index));
        //= RFC 3706 5.1/1
        //# MUST: both peers send the vendor ID before the exchange begins
        if let Some(sa) = newest.filter(|sa| sa.quirks.dead_peer_detection) {
            sa.liveness.due.get_or_insert(at);
        }
    }

    /// Records proof of liveliness of an identity.
    //= RFC 3706 5.4/2, 5.4/3
    //# SHOULD: traffic is used as proof of liveliness
    //# SHOULD NOT: with regular traffic no exchange is initiated
    pub(super) fn note_life(&mut self, peer: PeerId, identity: u64, now: Instant) {
        for sa in self.isakmp.values_mut().filter(|sa| (sa.peer, sa.identity) == (peer, identity)) {
            sa.liveness.alive(now);
            sa.notify = sa.notify.filter(|pending| pending.kind != NotifyKind::R_U_THERE);
        }
    }

    /// Records proof of liveliness in an ISAKMP SA.
    pub(super) fn note_life_in(&mut self, sa: SlotId, now: Instant) {
        if let Ok(sa) = self.isakmp_sa(sa) {
            self.note_life(sa.peer, sa.identity, now);
        }
    }

    /// Processes an authentic query or answer of the peer. Returns whether it proves liveliness: a recorded one does
    /// not.
    pub(super) fn take_dpd(
        &mut self,
        now: Instant,
        sa_id: SlotId,
        notification: &Notification<'_>,
        host: &mut dyn Host,
    ) -> bool {
        let Ok(sa) = self.isakmp_sa_mut(sa_id) else { return false };
        let Some(number) = read(sa, notification) else {
            self.counters.count(Counter::DpdMalformed);
            return false;
        };
        if notification.kind == NotifyKind::R_U_THERE_ACK {
            //= RFC 3706 6.1/3, 6.1/4
            //# SHOULD: the number of an answer is checked
            //# SHOULD: an answer with another number than that of the query is rejected
            if sa.liveness.sends == 0 || number != sa.liveness.own_number {
                self.counters.count(Counter::DpdUnexpected);
                return false;
            }
            self.counters.count(Counter::DpdAnswered);
            self.note_life_in(sa_id, now);
            return true;
        }
        // A responder has sent the vendor ID to a peer that has it.
        if sa.role == Role::Responder && !sa.quirks.dead_peer_detection {
            self.counters.count(Counter::DpdUnexpected);
            return false;
        }
        let query = sa.liveness.take_query(number);
        if query == Query::Refused {
            self.counters.count(Counter::DpdReplay);
            return false;
        }
        //= RFC 3706 5.2/1, 6.1/2
        //# MUST: an entity that has sent the vendor ID answers a query
        //# MUST: an answer has the number of its query
        let (message_id, kind) = (new_message_id(sa, host), NotifyKind::R_U_THERE_ACK);
        sa.notify = Some(PendingNotify { message_id, kind, protocol: ProtocolId::ISAKMP, spi: None });
        if query == Query::New {
            self.note_life_in(sa_id, now);
        }
        query == Query::New
    }

    /// Sends queries to peers without proof of liveliness, and removes the SAs with those that do not answer.
    pub(super) fn detect_dead_peers(&mut self, now: Instant, host: &mut dyn Host) {
        if !DEAD_PEER_DETECTION {
            return;
        }
        for index in 0..self.isakmp.len() {
            let is_due = |sa: &&IsakmpSa| sa.is_usable() && sa.liveness.due.is_some_and(|due| due <= now);
            let Some(sa) = self.isakmp.get(index).filter(is_due) else { continue };
            let (peer, address, liveness) = (sa.peer, sa.path.remote.ip(), sa.liveness);
            let detection = host.peer(peer).and_then(|peer| peer.dead_peer_detection);
            let Some(detection) = detection.filter(|_| self.is_examined(index, sa)) else {
                self.examine_at(index, None);
                continue;
            };
            let retry_at = now.saturating_add(detection.retry);
            match liveness.verdict(now, &detection) {
                Verdict::Wait(until) => self.examine_at(index, Some(until)),
                Verdict::Ask => self.ask_peer(index, retry_at, host),
                // Phase 1 that is in progress may be proof of liveliness.
                Verdict::Dead if self.is_in_phase_1(peer, None) => self.examine_at(index, Some(retry_at)),
                // Anyone behind the NAT of the peer can begin it: the detection takes twice the time at most.
                Verdict::Dead if liveness.has_more_time(&detection) && self.is_in_phase_1(peer, Some(address)) => {
                    self.ask_peer(index, retry_at, host);
                }
                Verdict::Dead => self.end_dead(index),
            }
        }
    }

    /// Returns whether a query is due in this ISAKMP SA: it is the newest with its peer, a pair exists, and
    /// packets were sent in it after the last proof of liveliness.
    //= RFC 3706 5.4/1
    //# SHOULD: a query is sent only by a peer that is interested in the liveliness of the other one
    fn is_examined(&self, index: usize, sa: &IsakmpSa) -> bool {
        let mut pairs = self.pairs_of(sa.peer, sa.identity);
        self.newest_sa(sa.peer, sa.identity) == Some(index)
            && pairs.any(|pair| sa.liveness.sends > 0 || pair.sent > Some(sa.liveness.heard))
    }

    /// Iterates over the complete pairs of an identity.
    fn pairs_of(&self, peer: PeerId, identity: u64) -> impl Iterator<Item = &IpsecSlot> {
        self.pairs.values().filter(move |pair| pair.is_of(peer, identity))
    }

    /// Returns the index of the newest ISAKMP SA with an identity.
    fn newest_sa(&self, peer: PeerId, identity: u64) -> Option<usize> {
        let is_of = |(_, sa): &(usize, &IsakmpSa)| (sa.peer, sa.identity) == (peer, identity) && sa.is_usable();
        let newest = self.isakmp.iter().filter(is_of).max_by_key(|(_, sa)| (sa.established, sa.id.generation))?;
        Some(newest.0)
    }

    /// Returns whether phase 1 with a peer is in progress: an exchange that this host has begun, or one that was begun
    /// from an address that is not forged.
    fn is_in_phase_1(&self, peer: PeerId, initiator: Option<IpAddr>) -> bool {
        let is_it = |exchange: &Exchange<BUFFER>| {
            let state = &exchange.state;
            let is_of = match initiator {
                None => state.role == Role::Initiator,
                Some(address) => state.role == Role::Responder && state.path.remote.ip() == address,
            };
            state.peer == peer && state.stage.is_phase_1() && !state.is_unproven() && is_of
        };
        self.exchanges.values().any(is_it)
    }

    fn examine_at(&mut self, index: usize, due: Option<Instant>) {
        if let Some(sa) = self.isakmp.get_mut(index) {
            sa.liveness.due = due;
            if due.is_none() {
                sa.liveness.sends = 0;
            }
        }
    }

    /// Sends a query, with a new message ID each time.
    //= RFC 3706 5.4/4, 5.4/5
    //# MUST: the state of an exchange is kept
    //# SHOULD: a query without an answer is retransmitted
    fn ask_peer(&mut self, index: usize, retry_at: Instant, host: &mut dyn Host) {
        let Some(sa) = self.isakmp.get_mut(index) else { return };
        sa.liveness.ask(host, retry_at);
        let (message_id, kind) = (new_message_id(sa, host), NotifyKind::R_U_THERE);
        sa.notify = Some(PendingNotify { message_id, kind, protocol: ProtocolId::ISAKMP, spi: None });
        self.touch();
    }

    /// Removes all SAs of an identity, without delete payloads: the peer does not receive them.
    //= RFC 3706 5.4/6
    //# SHOULD: after some retransmissions the peer is unreachable, and its SAs are deleted
    fn end_dead(&mut self, index: usize) {
        let Some(sa) = self.isakmp.get(index) else { return };
        let (id, peer, identity) = (sa.id, sa.peer, sa.identity);
        self.counters.count(Counter::PeerDead);
        let is_of = |sa: &&mut IsakmpSa| (sa.peer, sa.identity) == (peer, identity) && sa.is_usable();
        for sa in self.isakmp.values_mut().filter(is_of) {
            if sa.id != id {
                sa.liveness.sends = 0;
            }
            sa.end(Gone::PeerDead);
        }
        for pair in self.pairs.values_mut().filter(|pair| pair.is_of(peer, identity)) {
            pair.end(Gone::PeerDead);
            pair.members_mut().for_each(|member| member.delete = None);
        }
        self.end_orphans();
        self.has_wanted = true;
        self.touch();
    }
}

impl IpsecSlot {
    /// Returns whether the pair is established with an identity and not removed.
    fn is_of(&self, peer: PeerId, identity: u64) -> bool {
        (self.peer, self.identity) == (peer, Some(identity))
            && self.stage == Negotiation::Complete
            && self.gone.is_none()
    }
}
