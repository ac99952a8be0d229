//! TCP connections that carry IKE messages, in order and in bounded memory: port 500, and RFC 8229.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

/// Largest number of directions of connections. The one that was idle longest is dropped.
const MAX_STREAMS: usize = 256;
/// Largest number of octets of a stream that wait for earlier ones or for the rest of a message.
const MAX_OCTETS: usize = 1 << 17;
/// Largest number of segments that wait for earlier ones.
const MAX_SEGMENTS: usize = 64;
/// First octets of the initiator of a connection (RFC 8229 section 4).
const PREFIX: &[u8] = b"IKETCP";
/// Length of an ISAKMP header, and offset of its length field.
const ISAKMP_HEADER: usize = 28;
const ISAKMP_LENGTH: usize = 24;

/// Streams of all connections.
#[derive(Default)]
pub struct Streams {
    streams: HashMap<[SocketAddr; 2], Stream>,
    segments: u64,
}

/// One direction of a connection.
#[derive(Default)]
struct Stream {
    /// Sequence number of the next octet; `None` before the first segment and after a gap.
    next: Option<u32>,
    framing: Option<Framing>,
    /// Octets in order that are not a whole message yet.
    buffer: Vec<u8>,
    /// Segments that came before an earlier one.
    waiting: BTreeMap<u32, Vec<u8>>,
    last_used: u64,
}

/// Delimitation of the messages of a stream.
#[derive(Clone, Copy, PartialEq)]
enum Framing {
    /// Messages one after the other, each as long as its header declares.
    Header,
    /// 16 bits of length before each message (RFC 8229 section 3).
    Length,
}

/// Segment of a connection.
pub struct Segment<'s> {
    /// Source and destination of the segment.
    pub ends: [SocketAddr; 2],
    sequence: u32,
    is_first: bool,
    octets: &'s [u8],
}

impl<'s> Segment<'s> {
    /// Parses a TCP segment, of which octets may be missing.
    pub fn parse(addresses: [std::net::IpAddr; 2], segment: &'s [u8]) -> Option<Self> {
        let &[s0, s1, d0, d1, q0, q1, q2, q3, _, _, _, _, offset, flags, ..] = segment.first_chunk::<20>()?;
        let octets = segment.get(usize::from(offset >> 4).max(5) * 4..)?;
        let ports = [u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])];
        let ends = [SocketAddr::new(addresses[0], ports[0]), SocketAddr::new(addresses[1], ports[1])];
        Some(Self { ends, sequence: u32::from_be_bytes([q0, q1, q2, q3]), is_first: flags & 2 != 0, octets })
    }
}

impl Streams {
    /// Adds a segment and returns the messages that it completes, without framing and marker. ESP is left out.
    pub fn add(&mut self, segment: &Segment<'_>, is_cut: bool) -> Vec<Vec<u8>> {
        let [source, destination] = segment.ends;
        let has_port = |port| source.port() == port || destination.port() == port;
        let is_known = self.streams.contains_key(&segment.ends) || self.streams.contains_key(&[destination, source]);
        if !is_known && !has_port(500) && !has_port(4500) && !segment.octets.starts_with(PREFIX) {
            return Vec::new();
        }
        self.segments += 1;
        if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(&segment.ends) {
            let oldest = self.streams.iter().min_by_key(|(_, stream)| stream.last_used).map(|(ends, _)| *ends);
            oldest.and_then(|ends| self.streams.remove(&ends));
        }
        // Only the initiator of a connection sends the prefix.
        let reverse = self.streams.get(&[destination, source]).and_then(|stream| stream.framing);
        let framing = reverse.or(has_port(500).then_some(Framing::Header)).unwrap_or(Framing::Length);
        let stream = self.streams.entry(segment.ends).or_default();
        stream.last_used = self.segments;
        stream.add(segment, is_cut);
        stream.messages(framing)
    }
}

impl Stream {
    fn add(&mut self, segment: &Segment<'_>, is_cut: bool) {
        if segment.is_first {
            *self = Self { next: Some(segment.sequence.wrapping_add(1)), last_used: self.last_used, ..Self::default() };
            return;
        }
        if segment.octets.is_empty() {
            return;
        }
        let next = *self.next.get_or_insert(segment.sequence);
        let ahead = segment.sequence.wrapping_sub(next);
        if ahead == 0 || ahead > u32::MAX / 2 {
            self.append(segment.sequence, segment.octets);
        } else if self.waiting.len() < MAX_SEGMENTS && self.waiting.values().map(Vec::len).sum::<usize>() < MAX_OCTETS {
            self.waiting.insert(segment.sequence, segment.octets.to_vec());
        } else {
            // The segments between were not captured.
            self.restart();
            self.next = Some(segment.sequence);
            self.append(segment.sequence, segment.octets);
        }
        while let Some((sequence, octets)) = self.take_waiting() {
            self.append(sequence, &octets);
        }
        if is_cut {
            self.next = None;
        }
    }

    /// Removes a segment that waited and is next.
    fn take_waiting(&mut self) -> Option<(u32, Vec<u8>)> {
        let next = self.next?;
        let due = |sequence: u32| next.wrapping_sub(sequence) <= u32::MAX / 2;
        let sequence = self.waiting.keys().copied().find(|sequence| due(*sequence))?;
        Some((sequence, self.waiting.remove(&sequence)?))
    }

    /// Appends the new octets of a segment that begins at the next octet or before it.
    fn append(&mut self, sequence: u32, octets: &[u8]) {
        let Some(next) = self.next else { return };
        let known = next.wrapping_sub(sequence) as usize;
        let Some(new) = octets.get(known..) else { return };
        self.buffer.extend(new);
        self.next = Some(next.wrapping_add(u32::try_from(new.len()).unwrap_or(0)));
    }

    fn restart(&mut self) {
        self.buffer.clear();
        self.waiting.clear();
        self.next = None;
    }

    fn messages(&mut self, without_prefix: Framing) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let framing = match self.framing {
            Some(framing) => framing,
            None if self.buffer.starts_with(PREFIX) => {
                self.buffer.drain(..PREFIX.len());
                Framing::Length
            }
            None if self.buffer.is_empty() || PREFIX.starts_with(&self.buffer) => return messages,
            None => without_prefix,
        };
        self.framing = Some(framing);
        while let Some(whole) = framing.whole(&self.buffer) {
            let Some(length) = whole.filter(|length| *length <= MAX_OCTETS) else {
                // Not the start of a message: the rest of the stream cannot be delimited.
                messages.push(std::mem::take(&mut self.buffer));
                self.restart();
                break;
            };
            if self.buffer.len() < length {
                break;
            }
            let frame = self.buffer.drain(..length).collect();
            messages.extend(framing.message(frame));
        }
        if self.next.is_none() && !self.buffer.is_empty() {
            // The rest of the segment was not captured.
            messages.extend(framing.message(std::mem::take(&mut self.buffer)));
        }
        messages
    }
}

impl Framing {
    /// Returns the length of the next frame with its framing: `None` while its length field is incomplete,
    /// `Some(None)` if the length is not valid.
    fn whole(self, buffer: &[u8]) -> Option<Option<usize>> {
        match self {
            Self::Header => {
                let length = u32::from_be_bytes(*buffer.get(ISAKMP_LENGTH..)?.first_chunk()?);
                Some(usize::try_from(length).ok().filter(|length| *length >= ISAKMP_HEADER))
            }
            Self::Length => {
                let length = usize::from(u16::from_be_bytes(*buffer.first_chunk()?));
                Some(Some(length).filter(|length| *length >= 2))
            }
        }
    }

    /// Returns the message in a frame; `None` for ESP.
    fn message(self, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        match (self, frame.as_slice()) {
            (Self::Header, _) => Some(frame),
            (Self::Length, [_, _, 0, 0, 0, 0, ..]) => Some(frame.split_off(6)),
            (Self::Length, _) => None,
        }
    }
}
