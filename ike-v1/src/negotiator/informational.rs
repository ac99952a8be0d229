//! Informational exchanges: notifications and deletions (RFC 2408 sections 5.14 and 5.15, RFC 2409 section 5.7).

use core::time::Duration;

use ike_codec::{
    Body, Delete, Doi, ExchangeKind, Header, Message, MessageWriter, NoSpace, Notification, NotifyKind, PayloadKind,
    ProtocolId,
};
use ipsec_packet::Instant;

use super::census::Census;
use super::changeover::{IN_TRANSIT, Retired};
use super::counters::Counter;
use super::dpd::is_dpd;
use super::event::{Gone, SlotId};
use super::exchange::Exchange;
use super::features::{AGGRESSIVE, XAUTH};
use super::inbound::{Authentic, Received, authenticate_first, open_first};
use super::ipsec_sa::{IpsecSlot, Member, Negotiation};
use super::isakmp_sa::{IsakmpSa, PendingNotify};
use super::message::write_phase_2;
use super::spi::Spi;
use super::stage::Stage;
use super::{Host, Negotiator, Path, PeerId, Refusal, Role, remember};
use crate::Cookies;

/// Refusal of phase 1 that is sent in cleartext.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClearRefusal {
    pub path: Path,
    pub cookie: ike_codec::Cookie,
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    pub(super) fn receive_informational(
        &mut self,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        if !received.is_encrypted {
            return self.note_clear(received, message);
        }
        if let Some(index) = self.awaiting_auth(received) {
            return self.take_refusal_of_phase_1(index, received, message);
        }
        if AGGRESSIVE {
            self.keep_early(received, message);
        }
        let sa_id = self.sa_of(received, host)?;
        self.isakmp_sa_mut(sa_id)?.bad.permit(received.now)?;
        let result = self.receive_protected(sa_id, received, message, host);
        self.count_bad(sa_id, received.now, result);
        result
    }

    /// Refuses new group mode, as RFC 2409 section 5.6 allows: all groups are those that are configured.
    pub(super) fn receive_new_group(
        &mut self,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let sa_id = self.sa_of(received, host)?;
        self.isakmp_sa_mut(sa_id)?.bad.permit(received.now)?;
        let result = self.refuse_new_group(sa_id, received, message, host);
        self.count_bad(sa_id, received.now, result);
        result
    }

    fn refuse_new_group(
        &mut self,
        sa_id: SlotId,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let sa = self.isakmp_sa(sa_id)?;
        let id = received.header.message_id;
        if sa.has_message_id(id) {
            return Err(Refusal::MessageIdReused(id));
        }
        open_first(sa, &received.header, message)?;
        let sa = self.isakmp_sa_mut(sa_id)?;
        sa.theirs.add(id);
        //= RFC 2409 5.6/4
        //# MUST: a group that is not acceptable is answered by attributes-not-supported
        let (message_id, kind) = (new_message_id(sa, host), NotifyKind::ATTRIBUTES_NOT_SUPPORTED);
        sa.notify = Some(PendingNotify { message_id, kind, protocol: ProtocolId::ISAKMP, spi: None });
        self.touch();
        Err(Refusal::OutOfState(ExchangeKind::NEW_GROUP))
    }

    /// Keeps a message that has overtaken message 3 of aggressive mode: some peers send INITIAL-CONTACT in it, once.
    fn keep_early(&mut self, received: &Received, message: &[u8]) {
        let Header { initiator_cookie: initiator, responder_cookie: responder, .. } = received.header;
        let found = self.awaiting_proof(&Cookies { initiator, responder });
        let Some(Ok(exchange)) = found.map(|index| self.exchange_mut(index)) else { return };
        let (state, mut scratch) = exchange.parts();
        if state.spans.early.is_empty()
            && state.suspended.is_none()
            && state.fragments.is_empty()
            && message.len() <= MAX_EARLY
            && let Ok(early) = scratch.store(message)
        {
            state.spans.early = early;
        }
    }

    /// Processes the message that was kept until the ISAKMP SA was established.
    pub(super) fn take_early(&mut self, received: &Received, message: &mut [u8], host: &mut dyn Host) {
        let Ok((header, _)) = Header::parse(message) else { return };
        let digest = self.digest(message);
        let received = Received { header, is_encrypted: true, digest, ..*received };
        if let Err(refusal) = self.receive_informational(&received, message, host) {
            self.counters.count(refusal.counter());
        }
    }

    /// Returns the main mode of this host that waits for message 6, if an encrypted message has its cookies.
    fn awaiting_auth(&self, received: &Received) -> Option<usize> {
        let Header { initiator_cookie, responder_cookie, .. } = received.header;
        self.exchanges.position(|Exchange { state, .. }| {
            state.stage == Stage::MainAwaitsAuthR
                && (state.cookies.initiator, state.cookies.responder) == (initiator_cookie, responder_cookie)
                && state.path == received.path
        })
    }

    /// Processes a notification instead of message 6. With a valid hash the peer has the same key, and refuses
    /// other values; one that does not decrypt indicates another key, and is only a hint for the operator.
    fn take_refusal_of_phase_1(
        &mut self,
        index: usize,
        received: &Received,
        message: &mut [u8],
    ) -> Result<(), Refusal> {
        let state = &mut self.exchange_mut(index)?.state;
        state.bad.permit(received.now)?;
        let opened = open_in_phase_1(state, &received.header, message);
        match opened {
            Ok(authentic) => {
                let error = authentic.census.payloads().find_map(|payload| match payload.view() {
                    Body::Notification(notification) if notification.kind.is_error() => Some(notification.kind),
                    _ => None,
                });
                if let Some(error) = error {
                    self.end_exchange(index, Refusal::PeerRefused(error));
                }
                Ok(())
            }
            Err(reason) => {
                state.bad.count(received.now, reason);
                state.refusal.get_or_insert(Refusal::WrongKeyLikely);
                state.retry.shorten();
                Err(Refusal::WrongKeyLikely)
            }
        }
    }

    /// Processes an encrypted message of an informational exchange.
    fn receive_protected(
        &mut self,
        sa_id: SlotId,
        received: &Received,
        message: &mut [u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let message_id = received.header.message_id;
        // CONNECTED has the message ID of its quick mode (RFC 2408 section 3.1).
        let connecting = self.exchanges.position(|Exchange { state, .. }| {
            (state.isakmp, state.message_id, state.stage) == (Some(sa_id), message_id, Stage::QuickAwaitsConnected)
        });
        if let Some(index) = connecting {
            return self.continue_quick(index, received, message, host);
        }
        let sa = self.isakmp_sa(sa_id)?;
        //= RFC 2409 5.7/1
        //# MUST NOT: the message ID of an informational exchange is not that of another
        if sa.has_message_id(message_id) {
            return Err(Refusal::MessageIdReused(message_id));
        }
        //= RFC 2408 5.15/7
        //# MUST: receiving: the security services of the exchange are applied
        let authentic = open_first(sa, &received.header, message)?;
        self.isakmp_sa_mut(sa_id)?.theirs.add(message_id);
        for payload in authentic.census.payloads() {
            match payload.view() {
                Body::Notification(notification) if is_dpd(notification.kind) => {
                    let is_fresh = self.take_dpd(received.now, sa_id, &notification, host);
                    if is_fresh {
                        self.follow_message(sa_id, received.path);
                    }
                }
                Body::Notification(notification) if XAUTH && notification.kind == NotifyKind::CISCO_LOAD_BALANCE => {
                    self.take_load_balance(sa_id, &notification);
                }
                Body::Notification(notification) => self.take_notification(received.now, sa_id, &notification),
                Body::Delete(delete) => self.take_delete(received.now, sa_id, &delete),
                _ => {}
            }
        }
        self.touch();
        Ok(())
    }

    /// Stores an error notification in cleartext. It is not authenticated: no exchange ends, but the operator may
    /// see it, and the message is not repeated more than once.
    //= RFC 3706 5.2/2
    //# MUST: messages that are not encrypted are rejected
    fn note_clear(&mut self, received: &Received, message: &[u8]) -> Result<(), Refusal> {
        self.counters.count(Counter::ClearNotify);
        let parsed = Message::parse(message).map_err(Refusal::Malformed)?;
        let error = parsed.payloads().find_map(|payload| match payload.view() {
            Body::Notification(notification) if notification.kind.is_error() => Some(notification.kind),
            _ => None,
        });
        let Some(error) = error else { return Ok(()) };
        for exchange in self.exchanges.values_mut() {
            let state = &mut exchange.state;
            let is_meant = state.stage.is_phase_1()
                && state.role == Role::Initiator
                && state.cookies.initiator == received.header.initiator_cookie
                && state.path == received.path;
            if is_meant && state.hint.replace(error).is_none() {
                state.retry.shorten();
            }
        }
        Ok(())
    }

    /// Returns whether this host has an SA with a peer.
    pub(super) fn has_sas(&self, peer: PeerId) -> bool {
        self.carrier(peer).is_some() || self.pairs.values().any(|pair| pair.peer == peer && pair.established.is_some())
    }

    /// Removes the SAs of an identity that were established before `began`: the peer has lost them (RFC 2407 section
    /// 4.6.3.3). The identity decides, not the address: several peers may be behind one NAT. SAs of an exchange that
    /// crosses the one with INITIAL-CONTACT are younger and stay.
    pub(super) fn take_initial_contact(&mut self, sa_id: SlotId, began: Instant) {
        let Ok(sa) = self.isakmp_sa_mut(sa_id) else { return };
        if core::mem::replace(&mut sa.had_initial_contact, true) {
            return;
        }
        let (peer, identity) = (sa.peer, sa.identity);
        for sa in self.isakmp.values_mut() {
            if sa.id != sa_id && (sa.peer, sa.identity) == (peer, identity) && sa.established <= began {
                sa.end(Gone::PeerRestarted);
            }
        }
        for pair in self.pairs.values_mut() {
            let is_older = pair.established.is_some_and(|established| established <= began);
            if is_older && (pair.peer, pair.identity) == (peer, Some(identity)) {
                pair.end(Gone::PeerRestarted);
            }
        }
        self.end_orphans();
        self.touch();
    }

    /// Processes an authenticated notification: an error ends the quick mode that it names.
    //= RFC 2408 5.14/10, 5.14/12
    //# MUST: receiving: a notification with an invalid SPI is discarded
    //# MUST: receiving: the notification is acted upon by local policy
    fn take_notification(&mut self, now: Instant, sa_id: SlotId, notification: &Notification<'_>) {
        if notification.kind == NotifyKind::INITIAL_CONTACT {
            let Ok(sa) = self.isakmp_sa(sa_id) else { return };
            let (established, began) = (sa.established, sa.began);
            // Some peers send it in an exchange of its own, at the beginning.
            if now.saturating_duration_since(established) <= INITIAL_CONTACT_TIME {
                self.take_initial_contact(sa_id, began);
            }
        }
        if !notification.kind.is_error() {
            return;
        }
        let spi = notification.spi.try_into().ok().map(u32::from_be_bytes);
        let is_open = |state: &super::exchange::State| {
            state.isakmp == Some(sa_id) && state.kind == ExchangeKind::QUICK && state.stage.is_open_quick()
        };
        let open = self.exchanges.values().filter(|exchange| is_open(&exchange.state)).count();
        let found = self.exchanges.position(|exchange| {
            is_open(&exchange.state)
                && match spi {
                    Some(spi) => self.has_spi(exchange.state.ipsec, spi),
                    None => open == 1,
                }
        });
        if let Some(index) = found {
            self.end_exchange(index, Refusal::PeerRefused(notification.kind));
        }
    }

    /// Returns whether an SPI is one of a pair.
    fn has_spi(&self, pair: Option<SlotId>, spi: u32) -> bool {
        let pair = pair.and_then(|id| self.pairs.get(usize::from(id.index)));
        pair.is_some_and(|pair| pair.has_spi(spi))
    }

    /// Processes an authenticated delete payload, which names inbound SAs of the peer. Unknown SPIs are ignored.
    //= RFC 2408 5.15/2, 5.15/11, 5.15/12
    //# SHOULD: the receiver cleans up its database
    //# MUST: receiving: whether each SPI is valid is determined
    //# MUST: receiving: the deletion is acted upon by local policy
    fn take_delete(&mut self, now: Instant, sa_id: SlotId, delete: &Delete<'_>) {
        let Ok(sa) = self.isakmp_sa(sa_id) else { return };
        let (peer, identity) = (sa.peer, sa.identity);
        //= RFC 2408 5.15/9
        //# MUST: receiving: a delete payload of a domain that is not supported is discarded
        if !matches!(delete.doi, Doi::IPSEC | Doi::ISAKMP) {
            return;
        }
        for spi in delete.spis() {
            match delete.protocol {
                ProtocolId::ESP | ProtocolId::AH | ProtocolId::IPCOMP => {
                    let Some(spi) = number(spi) else { continue };
                    let is_of = |own: &Member| (own.protocol, own.outbound.spi.value()) == (delete.protocol, spi);
                    let found = self.pairs.values_mut().find(|pair| {
                        (pair.peer, pair.identity) == (peer, Some(identity))
                            && pair.members().any(|own| own.outbound.spi != Spi::NONE && is_of(own))
                            && pair.gone.is_none()
                    });
                    match found {
                        // Packets that the peer has sent before may be in transit.
                        Some(pair) if pair.stage == Negotiation::Complete => {
                            let remove_at = Some(now.saturating_add(IN_TRANSIT));
                            pair.retire(Retired { why: Gone::DeletedByPeer, delete_at: None, remove_at, heard: None });
                        }
                        // The peer has deleted the pair before the last message of quick mode, or that message is late.
                        Some(IpsecSlot { id, .. }) => {
                            let id = *id;
                            self.end_quick_of(id, Refusal::DeletedByPeer);
                        }
                        None => {}
                    }
                }
                ProtocolId::ISAKMP => {
                    let found = self.isakmp.values_mut().find(|sa| {
                        let cookies = sa.cookies;
                        (sa.peer, sa.identity) == (peer, identity)
                            && spi == [cookies.initiator, cookies.responder].as_flattened()
                    });
                    if let Some(sa) = found {
                        sa.end(Gone::DeletedByPeer);
                    }
                }
                _ => {}
            }
        }
        self.take_over_from_ended(now);
        self.end_orphans();
    }

    /// Sends INITIAL-CONTACT in a separate message: aggressive and base mode do not contain it (RFC 2407 section
    /// 4.6.3.3).
    pub(super) fn send_initial_contact(&mut self, sa_id: SlotId, host: &mut dyn Host) {
        let Ok(sa) = self.isakmp_sa_mut(sa_id) else { return };
        let (message_id, kind) = (new_message_id(sa, host), NotifyKind::INITIAL_CONTACT);
        sa.notify = Some(PendingNotify { message_id, kind, protocol: ProtocolId::ISAKMP, spi: None });
    }

    /// Sends the reason why a quick mode is refused, if there is a notification for it.
    pub(super) fn refuse_quick(&mut self, sa_id: SlotId, census: &Census<'_>, reason: Refusal, host: &mut dyn Host) {
        let kind = match reason {
            Refusal::NoProposal(_) | Refusal::Doi(_) | Refusal::Situation(_) => NotifyKind::NO_PROPOSAL_CHOSEN,
            //= RFC 2409 5.5/6
            //# SHOULD: client identities that are refused are answered by invalid-id-information
            Refusal::NoPolicy | Refusal::NotLeased | Refusal::Selectors | Refusal::SelectorTaken => {
                NotifyKind::INVALID_ID_INFORMATION
            }
            Refusal::Spi => NotifyKind::INVALID_SPI,
            _ => return,
        };
        let first = census.sa().ok().and_then(|(sa, _)| sa.proposals().next());
        let protocol = first.map_or(ProtocolId::ISAKMP, |proposal| proposal.protocol);
        let spi = first.and_then(|proposal| proposal.spi.try_into().ok()).map(u32::from_be_bytes);
        let Ok(sa) = self.isakmp_sa_mut(sa_id) else { return };
        let message_id = new_message_id(sa, host);
        sa.notify = Some(PendingNotify { message_id, kind, protocol, spi });
    }

    /// Sends NO-PROPOSAL-CHOSEN in cleartext, once for a cookie: the initiator may show it to its operator.
    pub(super) fn refuse_in_clear(&mut self, received: &Received, cookie: ike_codec::Cookie) {
        if !self.refused.contains(&cookie) {
            remember(&mut self.refused, cookie);
            self.clear_refusal = Some(ClearRefusal { path: received.path, cookie });
            self.touch();
        }
    }
}

/// Decrypts a message of an informational exchange with the keys of a main mode that is not complete.
fn open_in_phase_1<'m>(
    state: &super::exchange::State,
    header: &Header,
    message: &'m mut [u8],
) -> Result<Authentic<'m>, Refusal> {
    let secrets = state.secrets.as_ref().ok_or(Refusal::Internal)?;
    let protection = secrets.protection(&state.choice.ok_or(Refusal::Internal)?)?;
    let chain = protection.phase_2(&state.chain.ok_or(Refusal::Internal)?, header.message_id);
    let next = protection.decrypt(&chain, message).map_err(Refusal::Undecryptable)?;
    authenticate_first(&secrets.keys, header, message, next)
}

/// Largest length in octets of a message that has overtaken message 3 of aggressive mode.
pub(crate) const MAX_EARLY: usize = 256;

/// Time after the establishment of an ISAKMP SA in which INITIAL-CONTACT is accepted.
const INITIAL_CONTACT_TIME: Duration = Duration::from_secs(60);

/// Returns whether a message contains INITIAL-CONTACT.
pub(crate) fn has_initial_contact(census: &Census<'_>) -> bool {
    census.payloads().any(|payload| match payload.view() {
        Body::Notification(notification) => notification.kind == NotifyKind::INITIAL_CONTACT,
        _ => false,
    })
}

/// Returns the number of an SPI of four octets, or of a CPI of two.
fn number(spi: &[u8]) -> Option<u32> {
    match *spi {
        [a, b, c, d] => Some(u32::from_be_bytes([a, b, c, d])),
        [c, d] => Some(u32::from_be_bytes([0, 0, c, d])),
        _ => None,
    }
}

/// Draws a message ID that no exchange of the ISAKMP SA has used recently, and records it.
pub(crate) fn new_message_id(sa: &mut IsakmpSa, host: &mut dyn Host) -> u32 {
    let mut octets = [0; 4];
    host.random(&mut octets);
    let mut id = u32::from_be_bytes(octets);
    while id == 0 || sa.has_message_id(id) {
        id = id.wrapping_add(1);
    }
    sa.ours.add(id);
    id
}

/// Writes an encrypted notification and returns its length.
//= RFC 2408 5.14/1, 5.14/2
//# SHOULD: notifications are sent in an informational exchange of their own
//# MUST: sending: domain, protocol, SPI, type and data of the notification are determined
//= RFC 3706 5.3/1, 5.3/2, 5.3/3, 5.3/4, 5.3/5, 5.3/6, 5.3/7, 5.3/8, 5.3/9, 6.1/1
//# MUST: r-u-there has the form of a notification as drawn
//# SHOULD: the domain of interpretation is IPSEC
//# MUST: the protocol is ISAKMP
//# SHOULD: the SPI has sixteen octets
//# MUST: the type is r-u-there
//# SHOULD: the SPI is the cookies of initiator and responder, in this order
//# MUST: the data is the sequence number
//# MUST: the type of an answer is r-u-there-ack
//# MUST: the data of an answer is the number of the query
//# MUST: each query has a 32-bit sequence number
pub(crate) fn write_notify(buf: &mut [u8], sa: &IsakmpSa, pending: &PendingNotify) -> Result<usize, Refusal> {
    let (spi, number) = (pending.spi.map(u32::to_be_bytes), sa.liveness.number(pending.kind).map(u32::to_be_bytes));
    let cookies = [sa.cookies.initiator, sa.cookies.responder];
    let is_of_sa = number.is_some() || pending.kind == NotifyKind::INITIAL_CONTACT;
    let spi = if is_of_sa { Some(cookies.as_flattened()) } else { spi.as_ref().map(|spi| &spi[..]) };
    let notification = Notification {
        doi: Doi::IPSEC,
        protocol: pending.protocol,
        kind: pending.kind,
        spi: spi.unwrap_or_default(),
        data: number.as_ref().map_or(&[], |number| &number[..]),
    };
    write(buf, sa, pending.message_id, &mut |writer| {
        writer.payload(PayloadKind::NOTIFICATION, |body| notification.write(body)).map(drop)
    })
}

/// Writes an encrypted delete payload for an SPI and returns the length of the message.
//= RFC 2408 5.15/4
//# MUST: sending: domain, protocol and SPIs to delete are determined
pub(crate) fn write_delete(
    buf: &mut [u8],
    sa: &IsakmpSa,
    message_id: u32,
    protocol: ProtocolId,
    spi: &[u8],
) -> Result<usize, Refusal> {
    let spi_size = u8::try_from(spi.len()).map_err(|_| Refusal::Internal)?;
    let delete = Delete { doi: Doi::IPSEC, protocol, spi_size, spi_count: 1, spi_bytes: spi };
    write(buf, sa, message_id, &mut |writer| writer.payload(PayloadKind::DELETE, |body| delete.write(body)).map(drop))
}

fn write(
    buf: &mut [u8],
    sa: &IsakmpSa,
    message_id: u32,
    payload: &mut dyn FnMut(&mut MessageWriter<'_>) -> Result<(), NoSpace>,
) -> Result<usize, Refusal> {
    let chain = sa.protection()?.phase_2(&sa.last_of_phase_1, message_id);
    let exchange = (ExchangeKind::INFORMATIONAL, message_id);
    write_phase_2(buf, sa, exchange, &chain, payload, &|rest| sa.keys.hash_1(message_id, rest)).map(|(len, _)| len)
}

/// Writes NO-PROPOSAL-CHOSEN in cleartext and returns its length.
pub(crate) fn write_clear_refusal(buf: &mut [u8], refusal: &ClearRefusal) -> Result<usize, NoSpace> {
    let header = Header::new(refusal.cookie, [0; 8], ExchangeKind::INFORMATIONAL, 0);
    let mut writer = MessageWriter::new(buf, &header)?;
    let notification = Notification {
        doi: Doi::IPSEC,
        protocol: ProtocolId::ISAKMP,
        kind: NotifyKind::NO_PROPOSAL_CHOSEN,
        spi: &[],
        data: &[],
    };
    writer.payload(PayloadKind::NOTIFICATION, |body| notification.write(body))?;
    Ok(writer.finish().len())
}
