//! Paths of SAs through a NAT: changes of the peer's address or port, and NAT-keepalive packets (RFC 3947 section 7,
//! RFC 3948 section 4).

use ipsec_packet::Instant;
use ipsec_sa::Protocol;

use super::counters::Counter;
use super::event::{Event, IpsecSaId, SlotId};
use super::exchange::State;
use super::features::NAT_TRAVERSAL;
use super::ipsec_sa::{IpsecSlot, protocol};
use super::isakmp_sa::IsakmpSa;
use super::{MAX_BUNDLE, Negotiator, Path, Role};

/// SPIs of the SAs of one protocol of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpiPair {
    /// ESP, AH or IPComp.
    pub protocol: Protocol,
    /// SPI of the inbound SA.
    pub inbound: u32,
    /// SPI of the outbound SA, 0 if it is not known yet.
    pub outbound: u32,
}

impl IsakmpSa {
    /// Returns whether a message of the peer may come from a path: that of the SA, or another one if the peer is behind
    /// a NAT, or has just detected one.
    pub fn accepts(&self, path: &Path, nat_traversal_port: u16) -> bool {
        let is_same_host = self.path.local.ip() == path.local.ip();
        let Some(document) = self.nat.in_udp().filter(|_| is_same_host) else { return self.path == *path };
        // In base mode quick mode is the first exchange on the other port (RFC 3947 section 4).
        let changes = self.role == Role::Responder
            && document.changes_port()
            && self.path.local.port() != nat_traversal_port
            && path.local.port() == nat_traversal_port;
        // A host behind a NAT does not follow (RFC 3947 section 7).
        let moves = self.path.local.port() == path.local.port() && self.nat.may_peer_move();
        self.path == *path || changes || moves
    }
}

impl State {
    /// Returns whether the next message of phase 1 may come from a path: that of the exchange, or another one if the
    /// initiator has found a NAT meanwhile. Without a NAT only the ports may be others: a message that is copied must
    /// not move the SA to the host that has copied it.
    pub fn accepts(&self, path: &Path) -> bool {
        let is_same_hosts = (self.path.local.ip(), self.path.remote.ip()) == (path.local.ip(), path.remote.ip());
        // In aggressive mode the NAT is detected by the message itself, and a copy of it looks like one through a NAT.
        let may_change = NAT_TRAVERSAL && self.stage.may_change_path() && (is_same_hosts || self.nat.is_detected());
        self.path == *path || may_change
    }
}

impl IpsecSlot {
    /// Changes the path. The change is reported for SAs that were announced.
    fn follow(&mut self, path: Path) {
        if self.path != path && self.gone.is_none() {
            self.moved_from.get_or_insert(self.path);
            self.path = path;
        }
    }

    /// Returns the event of a change of the path.
    pub fn poll_moved(&mut self) -> Option<Event> {
        let from = self.moved_from.take()?;
        let mut spis = [None; MAX_BUNDLE];
        for (slot, member) in spis.iter_mut().zip(self.members()) {
            let (inbound, outbound) = (member.inbound.spi.value(), member.outbound.spi.value());
            *slot = protocol(member.protocol).map(|protocol| SpiPair { protocol, inbound, outbound });
        }
        Some(Event::PeerMoved { sa: IpsecSaId(self.id), peer: self.peer, spis, from, to: self.path })
    }
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Reports that an authentic packet of the inbound SA came from another address or port, as the NAT of the peer has
    /// changed. The SAs with the peer follow, unless this host is behind a NAT (RFC 3947 section 7). Events
    /// [`Event::PeerMoved`] follow.
    pub fn moved(&mut self, sa: IpsecSaId, path: Path) {
        let Some(pair) = self.pair(sa.0) else { return };
        let (old, peer, identity) = (pair.path, pair.peer, pair.identity);
        if !NAT_TRAVERSAL || !pair.nat.may_peer_move() || old.local != path.local || old == path {
            return;
        }
        for sa in self.isakmp.values_mut().filter(|sa| sa.peer == peer && Some(sa.identity) == identity) {
            if sa.path == old {
                sa.path = path;
            }
        }
        self.follow((peer, identity), old, path);
    }

    /// Changes the path of an ISAKMP SA to that of an authentic message, and the paths of the IPsec SAs of the peer.
    /// The message must be one that was not recorded before: an answer to a value of this host, or a new query.
    pub(super) fn follow_message(&mut self, sa: SlotId, path: Path) {
        if !NAT_TRAVERSAL {
            return;
        }
        let Ok(sa) = self.isakmp_sa_mut(sa) else { return };
        let old = core::mem::replace(&mut sa.path, path);
        let of = (sa.peer, Some(sa.identity));
        if old != path {
            self.follow(of, old, path);
        }
    }

    fn follow(&mut self, (peer, identity): (super::PeerId, Option<u64>), old: Path, path: Path) {
        for exchange in self.exchanges.values_mut() {
            let state = &mut exchange.state;
            if state.peer == peer && state.path == old && state.isakmp.is_some() {
                state.path = path;
            }
        }
        for pair in self.pairs.values_mut() {
            if (pair.peer, pair.identity) == (peer, identity) && pair.path == old {
                pair.follow(path);
            }
        }
        self.counters.count(Counter::PeerMoved);
        self.touch();
    }

    /// Returns the time of the next NAT-keepalive packet, and the path on which it is sent.
    fn next_keep_alive(&self) -> Option<(Instant, Path)> {
        if !NAT_TRAVERSAL {
            return None;
        }
        let of_sa = |sa: &IsakmpSa| (sa.is_usable() && keeps_alive(&sa.nat)).then_some((sa.last_sent, sa.path));
        let of_pair =
            |pair: &IpsecSlot| (pair.gone.is_none() && keeps_alive(&pair.nat)).then_some((pair.last_sent, pair.path));
        let paths = || self.isakmp.values().filter_map(of_sa).chain(self.pairs.values().filter_map(of_pair));
        // A path is idle since the last datagram of any of its SAs.
        let last = |path: Path| paths().filter(|(_, other)| *other == path).map(|(last, _)| last).max();
        let due = |(_, path): (Instant, Path)| Some((last(path)?.saturating_add(self.settings.keep_alive), path));
        paths().filter_map(due).min_by_key(|(due, _)| *due)
    }

    /// Returns the time of the next NAT-keepalive packet.
    pub(super) fn keep_alive_due(&self) -> Option<Instant> {
        self.next_keep_alive().map(|(due, _)| due)
    }

    /// Returns the path of a NAT-keepalive packet that is due.
    pub(super) fn take_keep_alive(&mut self, now: Instant) -> Option<Path> {
        let (_, path) = self.next_keep_alive().filter(|(due, _)| *due <= now)?;
        self.note_sent(path, now);
        Some(path)
    }

    /// Records that a datagram was sent on a path, which keeps its NAT mapping alive.
    pub(super) fn note_sent(&mut self, path: Path, now: Instant) {
        self.isakmp.values_mut().filter(|sa| sa.path == path).for_each(|sa| sa.last_sent = sa.last_sent.max(now));
        self.pairs
            .values_mut()
            .filter(|pair| pair.path == path)
            .for_each(|pair| pair.last_sent = pair.last_sent.max(now));
    }
}

/// Returns whether this host is behind a NAT whose mapping it has to keep alive.
fn keeps_alive(nat: &super::NatSituation) -> bool {
    nat.in_udp().is_some() && nat.detection.here
}
