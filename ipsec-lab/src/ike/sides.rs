//! Sides of an ISAKMP SA: which of its peers sent a message.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use ike_codec::{Body, ExchangeKind, Header, Message};
use ike_v1::Role;

/// Number of messages that are remembered.
const MAX_SEEN: usize = 64;

/// Addresses of both peers and the order of their messages. Addresses may change in an exchange and may be equal, so
/// that the cookies and the order decide where they do not.
#[derive(Default)]
pub struct Sides {
    /// Latest address of the initiator and of the responder.
    ends: [Option<SocketAddr>; 2],
    /// Latest messages by digest, with their message ID and sender.
    seen: VecDeque<(u64, u32, Role)>,
}

impl Sides {
    /// Returns the probable sender of a message.
    pub fn sender(&self, header: &Header, bytes: &[u8], ends: Option<(SocketAddr, SocketAddr)>) -> Role {
        let is_phase_1 = header.message_id == 0 && header.exchange != ExchangeKind::INFORMATIONAL;
        // Only the initiator does not know the cookie of the other side.
        if is_phase_1 && header.responder_cookie == [0; 8] {
            return Role::Initiator;
        }
        let digest = digest(bytes);
        if let Some((_, _, sender)) = self.seen.iter().find(|seen| seen.0 == digest) {
            return *sender;
        }
        if let Some((source, destination)) = ends {
            let [initiator, responder] = self.ends;
            let forth = likeness(source, initiator) + likeness(destination, responder);
            let back = likeness(source, responder) + likeness(destination, initiator);
            if forth != back {
                return if forth > back { Role::Initiator } else { Role::Responder };
            }
        }
        // The SA payload with both cookies is the answer to the first message.
        if is_phase_1 && has_sa(bytes) {
            return Role::Responder;
        }
        let before = self.seen.iter().rev().find(|seen| seen.1 == header.message_id);
        before.map_or(Role::Initiator, |(_, _, sender)| other(*sender))
    }

    /// Records the sender of a message.
    pub fn record(&mut self, sender: Role, header: &Header, bytes: &[u8], ends: Option<(SocketAddr, SocketAddr)>) {
        if let Some((source, destination)) = ends {
            self.ends = match sender {
                Role::Initiator => [Some(source), Some(destination)],
                Role::Responder => [Some(destination), Some(source)],
            };
        }
        let digest = digest(bytes);
        if self.seen.iter().any(|seen| seen.0 == digest) {
            return;
        }
        if self.seen.len() == MAX_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back((digest, header.message_id, sender));
    }
}

/// Returns the other side.
pub const fn other(side: Role) -> Role {
    match side {
        Role::Initiator => Role::Responder,
        Role::Responder => Role::Initiator,
    }
}

/// Compares an address with a known one; the port matters less, because it changes to 4500.
fn likeness(end: SocketAddr, known: Option<SocketAddr>) -> u8 {
    known.map_or(0, |known| 3 * u8::from(known.ip() == end.ip()) + u8::from(known.port() == end.port()))
}

fn has_sa(bytes: &[u8]) -> bool {
    let is_sa = |body: Body<'_>| matches!(body, Body::SecurityAssociation(_));
    Message::parse(bytes).is_ok_and(|message| message.payloads().any(|payload| is_sa(payload.view())))
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
