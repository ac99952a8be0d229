//! Malformed messages: the payloads in front of the fault, and the rest.

use ike_codec::{Message, PayloadKind};

use super::partial_sa;
use super::tree::{self, Node};

/// Octets of the ISAKMP header, and offsets of its fields.
const HEADER: usize = 28;
const NEXT_PAYLOAD: usize = 16;
const FLAGS: usize = 19;
const LENGTH: usize = 24;
/// Largest number of parts that are parsed. Each ends before the fault of the one before it.
const MAX_ATTEMPTS: usize = 16;

/// Payload that is complete: where it ends, and the field with the kind of the next one.
#[derive(Clone, Copy)]
struct End {
    end: usize,
    next_payload_at: usize,
}

/// Returns the tree of the header and of the payloads in front of the fault, and the octets after them; without a tree
/// if the header is malformed or truncated. Of an SA payload with the fault, the transforms in front of it are shown.
pub fn tree(message: &[u8]) -> (Option<Node>, &[u8]) {
    let mut ends = ends(message);
    let mut limit = message.len();
    for _ in 0..MAX_ATTEMPTS {
        let Some(last) = ends.pop() else { break };
        if let Some((node, end)) = with_part_of_sa(message, last, limit) {
            return (Some(node), message.get(end..).unwrap_or_default());
        }
        let Some(part) = part(message, last, &[]) else { continue };
        match Message::parse(&part) {
            Ok(parsed) => return (Some(node(message, &parsed)), message.get(last.end..).unwrap_or_default()),
            Err(e) => {
                limit = limit.min(e.offset.into());
                ends.retain(|known| known.end <= limit);
            }
        }
    }
    (None, message)
}

/// Returns the offset after the header and after each complete payload.
fn ends(message: &[u8]) -> Vec<End> {
    let mut ends = Vec::new();
    if message.len() < HEADER {
        return ends;
    }
    ends.push(End { end: HEADER, next_payload_at: NEXT_PAYLOAD });
    let is_encrypted = message.get(FLAGS).is_some_and(|flags| flags & 1 != 0);
    let (mut at, mut next) = (HEADER, message.get(NEXT_PAYLOAD).copied().unwrap_or(0));
    while let (false, true, Some(&[following, _, l0, l1])) =
        (is_encrypted, next != 0, message.get(at..).and_then(|rest| rest.first_chunk()))
    {
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if length < 4 || at + length > message.len() {
            break;
        }
        ends.push(End { end: at + length, next_payload_at: at });
        (at, next) = (at + length, following);
    }
    ends
}

/// Returns the tree with a part of the SA payload that follows, and the offset after that.
fn with_part_of_sa(message: &[u8], last: End, limit: usize) -> Option<(Node, usize)> {
    let is_encrypted = message.get(FLAGS)? & 1 != 0;
    if is_encrypted || *message.get(last.next_payload_at)? != PayloadKind::SA.0 {
        return None;
    }
    let (sa, end) = partial_sa::shrink(message, last.end, limit)?;
    let part = part(message, last, &sa)?;
    Message::parse(&part).ok().map(|parsed| (node(message, &parsed), end))
}

/// Returns a message that ends after a payload, with a last one, in cleartext.
fn part(message: &[u8], last: End, payload: &[u8]) -> Option<Vec<u8>> {
    let mut part = message.get(..last.end)?.to_vec();
    if payload.is_empty() {
        *part.get_mut(last.next_payload_at)? = 0;
    }
    part.extend(payload);
    *part.get_mut(FLAGS)? &= !1;
    let length = u32::try_from(part.len()).ok()?.to_be_bytes();
    part.get_mut(LENGTH..HEADER)?.copy_from_slice(&length);
    Some(part)
}

/// Returns the tree of a part with the fields of the message.
fn node(message: &[u8], part: &Message<'_>) -> Node {
    let declared = message.get(LENGTH..).and_then(|field| field.first_chunk());
    tree::message(part)
        .with_declared_lengths(message)
        .replacing("next_payload", message.get(NEXT_PAYLOAD).copied())
        .replacing("flags", message.get(FLAGS).copied())
        .replacing("length", declared.map(|field| u32::from_be_bytes(*field)))
}
