//! Datagrams to be sent.

use ike_codec::{ExchangeKind, NON_ESP_MARKER, ProtocolId};
use ipsec_packet::Instant;

use super::changeover::CHANGEOVER;
use super::counters::Counter;
use super::dpd::sent_counter;
use super::event::Phase;
use super::exchange::{Exchange, Output};
use super::informational::{write_clear_refusal, write_delete, write_notify};
use super::ipsec_sa::{Member, Negotiation};
use super::isakmp_sa::PendingDelete;
use super::stage::Stage;
use super::{Negotiator, Path, Refusal, Role};

/// Datagram to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'o> {
    /// Addresses and ports of the datagram. The source address matters: the peer has a hash over it, and may drop
    /// datagrams from another one.
    pub path: Path,
    /// Payload of the datagram, with a non-ESP marker on the port for NAT traversal.
    pub datagram: &'o [u8],
}

/// Octet of a NAT-keepalive packet (RFC 3948 section 2.3).
const KEEP_ALIVE: u8 = 0xff;

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Returns the next datagram to be sent, written to `out`; call it until it returns `None`.
    ///
    /// `out` must be as long as an exchange buffer, and four octets more. A datagram that does not fit is dropped and
    /// counted. A NAT-keepalive packet is one octet.
    pub fn poll_transmit<'o>(&mut self, now: Instant, out: &'o mut [u8]) -> Option<Transmit<'o>> {
        while self.has_output {
            let (marker, rest) = out.split_at_mut_checked(NON_ESP_MARKER.len())?;
            let Some((path, written)) = self.next_datagram(now, rest) else {
                let Some(path) = self.take_keep_alive(now) else {
                    self.has_output = false;
                    break;
                };
                self.counters.count(Counter::KeepAliveSent);
                let datagram = out.get_mut(..1)?;
                datagram.fill(KEEP_ALIVE);
                return Some(Transmit { path, datagram });
            };
            match written {
                Ok(len) => {
                    self.counters.count(Counter::Sent);
                    self.note_sent(path, now);
                    marker.iter_mut().zip(NON_ESP_MARKER).for_each(|(to, from)| *to = from);
                    let is_marked = path.local.port() == self.settings.nat_traversal_port;
                    let begin = if is_marked { 0 } else { NON_ESP_MARKER.len() };
                    let end = len.saturating_add(NON_ESP_MARKER.len());
                    return out.get(begin..end).map(|datagram| Transmit { path, datagram });
                }
                Err(refusal) => self.counters.count(refusal.counter()),
            }
        }
        None
    }

    fn next_datagram(&mut self, now: Instant, out: &mut [u8]) -> Option<(Path, Result<usize, Refusal>)> {
        self.next_of_exchange(now, out)
            .or_else(|| self.next_refusal(out))
            .or_else(|| self.next_notification(out))
            .or_else(|| self.next_pair_deletion(now, out))
            .or_else(|| self.next_sa_deletion(now, out))
    }

    fn next_of_exchange(&mut self, now: Instant, out: &mut [u8]) -> Option<(Path, Result<usize, Refusal>)> {
        let settings = self.settings;
        // A quick mode or a transaction exchange begins with the last message of phase 1, and follows it.
        let is_ready = |exchange: &Exchange<BUFFER>| exchange.state.output == Output::Ready;
        let ready = self.exchanges.iter().filter(|(_, exchange)| is_ready(exchange));
        let (index, _) = ready.min_by_key(|(_, exchange)| exchange.state.phase() != Phase::One)?;
        let exchange = self.exchanges.get_mut(index)?;
        let (state, scratch) = exchange.parts();
        let (path, written) = (state.path, state.write_output(scratch.sent(), out));
        if state.output == Output::Ready {
            // Another fragment follows.
            return Some((path, written));
        }
        state.retry.sent(now, &settings, state.stage.is_retransmitted());
        let is_initiator = (state.kind, state.role) == (ExchangeKind::QUICK, Role::Initiator);
        let is_last_of_quick = is_initiator && state.stage == Stage::Answers;
        if is_initiator && state.stage == Stage::QuickAwaitsConnected {
            state.connect_by.get_or_insert(now.saturating_add(CHANGEOVER));
        }
        let pair = state.ipsec.filter(|_| is_last_of_quick);
        if let Some(id) = pair
            && self.pair(id).is_some_and(|pair| pair.stage == Negotiation::InProgress && pair.gone.is_none())
        {
            // A peer that installs its inbound SA after message 3 may lose the first packets (RFC 2409 has no answer
            // to it, without the commit flag).
            self.complete_pair(id, now, false);
        }
        Some((path, written))
    }

    fn next_refusal(&mut self, out: &mut [u8]) -> Option<(Path, Result<usize, Refusal>)> {
        let refusal = self.clear_refusal.take()?;
        Some((refusal.path, write_clear_refusal(out, &refusal).map_err(Refusal::from)))
    }

    fn next_notification(&mut self, out: &mut [u8]) -> Option<(Path, Result<usize, Refusal>)> {
        let sa = self.isakmp.values_mut().find(|sa| sa.notify.is_some())?;
        let pending = sa.notify.take()?;
        let written = (sa.path, write_notify(out, sa, &pending));
        if let Some(counter) = sent_counter(pending.kind) {
            self.counters.count(counter);
        }
        Some(written)
    }

    /// Writes the Delete payload for an inbound SA, under the protection of the newest ISAKMP SA with its peer.
    fn next_pair_deletion(&mut self, now: Instant, out: &mut [u8]) -> Option<(Path, Result<usize, Refusal>)> {
        let interval = self.settings.delete_interval;
        for index in 0..self.pairs.len() {
            let Some(pair) = self.pairs.get(index) else { continue };
            let is_due = |member: &&Member| member.delete.is_some_and(|pending| pending.due <= now);
            let Some(member) = pair.members().find(is_due) else { continue };
            let Some(PendingDelete { message_id, .. }) = member.delete else { continue };
            let carrier = self.carrier_of(pair.peer, pair.identity).and_then(|index| self.isakmp.get(index));
            let (protocol, spi) = (member.protocol, member.inbound.spi);
            let written = carrier.map(|sa| (sa.path, write_delete(out, sa, message_id, protocol, spi.octets())));
            let pair = self.pairs.get_mut(index)?;
            let member = pair.members_mut().find(|member| member.delete.is_some_and(|pending| pending.due <= now))?;
            if let Some(pending) = &mut member.delete {
                pending.sent(now, interval);
            }
            member.delete = member.delete.filter(|pending| pending.left > 0 && written.is_some());
            self.has_events = true;
            if written.is_some() {
                return written;
            }
        }
        None
    }

    /// Writes the Delete payload for an ISAKMP SA, after those for the IPsec SAs with its peer.
    fn next_sa_deletion(&mut self, now: Instant, out: &mut [u8]) -> Option<(Path, Result<usize, Refusal>)> {
        let interval = self.settings.delete_interval;
        let pairs = &self.pairs;
        let is_last = |peer| !pairs.values().any(|pair| pair.peer == peer && pair.is_deleting());
        let due = |sa: &super::isakmp_sa::IsakmpSa| sa.delete.is_some_and(|pending| pending.due <= now);
        let sa = self.isakmp.values_mut().find(|sa| due(sa) && is_last(sa.peer))?;
        let pending = sa.delete.as_mut()?;
        let message_id = pending.message_id;
        pending.sent(now, interval);
        let cookies = [sa.cookies.initiator, sa.cookies.responder];
        let written = write_delete(out, sa, message_id, ProtocolId::ISAKMP, cookies.as_flattened());
        sa.delete = sa.delete.filter(|pending| pending.left > 0);
        self.has_events = true;
        Some((sa.path, written))
    }
}
