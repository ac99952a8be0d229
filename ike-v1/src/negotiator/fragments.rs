//! Fragments of messages that are too long for one datagram, as Cisco, Microsoft, racoon and strongSwan send them to
//! peers that announce their support (draft-smith-ipsec-ike-fragmentation, payload 132).
//!
//! A message that continues an exchange may come in fragments, in any order. They are stored in the buffer of the
//! exchange. Those of a first message have an exchange of their own until the message is complete: strongSwan divides
//! also first messages, of aggressive and of quick mode. As their sender is not known, they use what no other exchange
//! needs, and are removed for every other one; a quarter of the exchanges is for them, and half of that for one source.
//! They cost no computation.

use core::net::IpAddr;
use core::time::Duration;

use ike_codec::{
    Body, ExchangeKind, Fragment, FragmentError, Header, MAX_FRAGMENTS, Message, PayloadKind, Quirks, write_fragment,
};
use ipsec_packet::Instant;
use zeroize::Zeroize;

use super::exchange::{Exchange, Output, State};
use super::features::FRAGMENTS;
use super::inbound::{Received, is_phase_1};
use super::retry::Retry;
use super::scratch::Scratch;
use super::stage::Stage;
use super::{Host, Negotiator, Path, Peer, PeerHint, PeerId, Refusal, Role, Table};
use crate::Cookies;

/// Time in which all fragments of a message must arrive.
pub(crate) const LIFETIME: Duration = Duration::from_secs(30);
/// Size of the IP packets of racoon and Cisco in octets, which have smaller buffers.
const SMALL: u16 = 552;
/// Octets of UDP header, non-ESP marker, ISAKMP header and fragment payload.
const OVERHEAD: u16 = 8 + 4 + 28 + 8;
/// Octets of ISAKMP header and fragment payload before the data.
const HEADERS: usize = 28 + 8;
/// Fragment ID of all messages: cookies and message IDs distinguish them. racoon sends the same.
const FRAGMENT_ID: u16 = 1;
/// Octets before the data of a stored fragment: its number and its length.
const PREFIX: usize = 3;

/// Fragments of one message in the buffer of an exchange, after its values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fragments {
    /// Position of the first stored fragment in the buffer.
    start: u16,
    /// Fragment ID of the message.
    id: u16,
    /// Bitmap of the fragment numbers that were received.
    received: u64,
    /// Number of the last fragment, 0 until it is received.
    last: u8,
    /// Time at which the first fragment was received.
    since: Option<Instant>,
}

impl Fragments {
    /// Returns whether fragments are stored.
    pub const fn is_empty(&self) -> bool {
        self.received == 0
    }

    /// Wipes all fragments that are stored.
    pub fn drop_from(&mut self, scratch: &mut Scratch<'_>) {
        if !self.is_empty() {
            scratch.truncate(self.start);
            *self = Self::default();
        }
    }

    /// Stores a fragment. Returns whether the message is complete.
    fn store(
        &mut self,
        now: Instant,
        fragment: &Fragment<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<bool, FragmentError> {
        let number = fragment.number;
        let is_old = self.since.is_some_and(|since| now.saturating_duration_since(since) > LIFETIME);
        if !self.is_empty() && (self.id != fragment.id || is_old) {
            self.drop_from(scratch);
        }
        let is_known = (1..=MAX_FRAGMENTS).contains(&number);
        let bit = if is_known { 1u64.wrapping_shl(u32::from(number).wrapping_sub(1)) } else { 0 };
        if bit == 0 {
            return Err(FragmentError::NumberTooLarge(number));
        }
        if self.received & bit != 0 {
            let is_same =
                self.find(number, scratch) == Some(fragment.data) && fragment.is_last() == (self.last == number);
            return if is_same { Ok(false) } else { Err(FragmentError::Conflict(number)) };
        }
        let contradicts_last = match (fragment.is_last(), self.last) {
            (true, 0) => self.received >= bit,
            (true, _) => true,
            (false, last) => last != 0 && number > last,
        };
        if contradicts_last {
            return Err(FragmentError::LastMismatch(number));
        }
        let len = u16::try_from(fragment.data.len()).map_err(|_| FragmentError::NoSpace)?;
        if len == 0 {
            return Err(FragmentError::Empty(number));
        }
        let position = scratch.position();
        let [high, low] = len.to_be_bytes();
        let stored = scratch.store(&[number, high, low]).and_then(|_| scratch.store(fragment.data));
        if stored.is_err() {
            scratch.truncate(position);
            return Err(FragmentError::NoSpace);
        }
        if self.is_empty() {
            *self = Self { start: position, id: fragment.id, received: 0, last: 0, since: Some(now) };
        }
        self.received |= bit;
        if fragment.is_last() {
            self.last = number;
        }
        Ok(self.last != 0 && self.received.trailing_ones() >= u32::from(self.last))
    }

    /// Returns the data of a fragment.
    fn find<'s>(&self, number: u8, scratch: &'s Scratch<'_>) -> Option<&'s [u8]> {
        let mut rest = scratch.stored().from(self.start);
        while let Some((&[own, high, low], behind)) = rest.split_first_chunk::<PREFIX>() {
            let (data, others) = behind.split_at_checked(u16::from_be_bytes([high, low]).into())?;
            if own == number {
                return Some(data);
            }
            rest = others;
        }
        None
    }

    /// Copies the message to `out` and returns its length.
    fn assemble(&self, scratch: &Scratch<'_>, out: &mut [u8]) -> Option<usize> {
        let mut len = 0usize;
        for number in 1..=self.last {
            let data = self.find(number, scratch)?;
            let target = out.get_mut(len..len.checked_add(data.len())?)?;
            target.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
            len = len.checked_add(data.len())?;
        }
        Some(len)
    }
}

/// Returns the largest number of octets of a message in one fragment for a peer, 0 if messages are not divided.
pub(crate) fn data_size(peer: &Peer<'_>, theirs: &Quirks, path: &Path) -> u16 {
    if !FRAGMENTS || !theirs.fragmentation.is_some_and(|supported| supported.identity) {
        return 0;
    }
    let size = if theirs.racoon || theirs.cisco { peer.fragment_size.min(SMALL) } else { peer.fragment_size };
    let ip: u16 = match path.remote.ip() {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    };
    size.saturating_sub(ip).saturating_sub(OVERHEAD)
}

impl State {
    /// Writes the datagram that is to be sent, or its next fragment. Returns its length.
    pub fn write_output(&mut self, sent: &[u8], out: &mut [u8]) -> Result<usize, Refusal> {
        let data = usize::from(self.fragment_data);
        let is_whole = !FRAGMENTS || data == 0 || sent.len() <= data.saturating_add(HEADERS);
        if is_whole {
            self.output = Output::Idle;
            let target = out.get_mut(..sent.len()).ok_or(Refusal::BufferTooSmall)?;
            target.iter_mut().zip(sent).for_each(|(to, from)| *to = *from);
            return Ok(sent.len());
        }
        self.next_fragment = self.next_fragment.saturating_add(1);
        let written = write_fragment(out, sent, FRAGMENT_ID, self.next_fragment, data);
        let is_last = usize::from(self.next_fragment).saturating_mul(data) >= sent.len();
        if is_last || !matches!(written, Ok(Some(_))) {
            self.output = Output::Idle;
            self.next_fragment = 0;
        }
        Ok(written?.ok_or(Refusal::Internal)?.len())
    }
}

/// Returns whether a message is a fragment, regardless of its encryption flag: some peers set it.
pub(crate) fn is_fragment(header: &Header) -> bool {
    FRAGMENTS && header.next_payload == PayloadKind::FRAGMENT
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Stores a fragment, and processes its message when that is complete.
    pub(super) fn receive_fragment(
        &mut self,
        received: &Received,
        message: &[u8],
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let parsed = Message::parse(message).map_err(Refusal::Malformed)?;
        let Some(Body::Fragment(fragment)) = parsed.payloads().next().map(|payload| payload.view()) else {
            return Err(Refusal::Fragment(FragmentError::NotAFragment));
        };
        let index = self.find_fragmented(received, host)?;
        let (state, mut scratch) = self.exchange_mut(index)?.parts();
        if state.suspended.is_some() {
            return Err(Refusal::Duplicate);
        }
        let stored = state.fragments.store(received.now, &fragment, &mut scratch);
        if !stored.map_err(Refusal::Fragment)? {
            return Ok(());
        }
        let mut copy = [0; BUFFER];
        let len = state.fragments.assemble(&scratch, &mut copy);
        state.fragments.drop_from(&mut scratch);
        if state.stage == Stage::Reassembles {
            self.exchanges.clear(index);
        }
        let result = match len.and_then(|len| copy.get_mut(..len)) {
            // A fragment within fragments has no meaning.
            Some(message) => match Header::parse(message) {
                Ok((header, _)) if !is_fragment(&header) => self.receive(received.now, received.path, message, host),
                Ok(_) => Err(Refusal::Fragment(FragmentError::NotAFragment)),
                Err(e) => Err(Refusal::Malformed(e)),
            },
            None => Err(Refusal::Internal),
        };
        copy.zeroize();
        result
    }

    /// Returns the exchange that a fragment belongs to, or that stores the fragments of a first message.
    fn find_fragmented(&mut self, received: &Received, host: &dyn Host) -> Result<usize, Refusal> {
        let Header { initiator_cookie, responder_cookie, exchange, message_id, .. } = received.header;
        let cookies = Cookies { initiator: initiator_cookie, responder: responder_cookie };
        if is_phase_1(exchange) {
            return match self.find_phase_1(received) {
                Some(index) if self.exchange(index)?.state.accepts(&received.path) => Ok(index),
                Some(_) => Err(Refusal::WrongPath),
                None if responder_cookie == [0; 8] => {
                    let hint = PeerHint { path: received.path, exchange, candidate: None, identity: None };
                    let peer = host.find_peer(&hint).ok_or(Refusal::NoPeer)?;
                    let config = host.peer(peer).ok_or(Refusal::Superseded)?;
                    match (config.fragment_size, config.exchanges.contains(&exchange)) {
                        (_, false) => Err(Refusal::ModeNotAllowed(exchange)),
                        (0, true) => Err(Refusal::OutOfState(exchange)),
                        _ => self.reassembly(received, peer),
                    }
                }
                None => Err(Refusal::UnknownSa),
            };
        }
        let sa = self.find_sa(&cookies).ok_or(Refusal::UnknownSa)?;
        if !sa.accepts(&received.path, self.settings.nat_traversal_port) {
            return Err(Refusal::WrongPath);
        }
        let is_it = |Exchange { state, .. }: &Exchange<BUFFER>| {
            (state.isakmp, state.message_id, state.kind) == (Some(sa.id), message_id, exchange)
        };
        if let Some(index) = self.exchanges.position(is_it) {
            return Ok(index);
        }
        if sa.has_message_id(message_id) {
            return Err(Refusal::MessageIdReused(message_id));
        }
        let peer = sa.peer;
        self.reassembly(received, peer)
    }

    /// Returns the exchange that stores the fragments of a first message. It has no exchange type and no ISAKMP SA, so
    /// that no message belongs to it.
    fn reassembly(&mut self, received: &Received, peer: PeerId) -> Result<usize, Refusal> {
        let Header { initiator_cookie, responder_cookie, message_id, .. } = received.header;
        let cookies = Cookies { initiator: initiator_cookie, responder: responder_cookie };
        let is_it = |Exchange { state, .. }: &Exchange<BUFFER>| {
            let key = (&state.cookies, state.message_id, state.path);
            state.stage == Stage::Reassembles && key == (&cookies, message_id, received.path)
        };
        if let Some(index) = self.exchanges.position(is_it) {
            return Ok(index);
        }
        let index = self.reassembly_slot(received.path.remote.ip())?;
        let mut retry = Retry::new(&self.settings, 0);
        retry.stop();
        let (kind, stage, role) = (ExchangeKind::NONE, Stage::Reassembles, Role::Responder);
        let mut state = State::new(kind, stage, role, peer, received.path, received.now, retry);
        (state.cookies, state.message_id) = (cookies, message_id);
        self.exchanges.put(index, Exchange::new(state)).ok_or(Refusal::Full(Table::Exchanges))?;
        Ok(index)
    }
}
