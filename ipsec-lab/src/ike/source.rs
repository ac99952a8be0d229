//! Sources of messages: captures, or hexadecimal on the command line.

use std::collections::VecDeque;
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ike_codec::{Datagram, Message, Port, unframe_udp};
use test_vectors::from_hex;

use super::contents::Contents;
use crate::capture::{self, Fragments, Frame, Frames, IpHeader, Reassembled, Segment, Streams};

/// Message with its position.
pub struct Found {
    /// Number of the frame in the capture, from 1; 0 for the command line.
    pub frame: u64,
    /// Time since the epoch, from a capture.
    pub time: Option<Duration>,
    /// Source and destination with ports, from a capture.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// Original length of the frame, if octets of the packet were not captured.
    pub cut: Option<u32>,
    /// ISAKMP message without marker.
    pub message: Vec<u8>,
}

/// Largest number of tunnels around a packet.
const MAX_TUNNELS: usize = 8;

/// Iterator over the messages of a capture, or the one message in hexadecimal.
pub struct Messages {
    name: String,
    frames: Option<Frames<'static>>,
    fragments: Fragments,
    streams: Streams,
    pending: VecDeque<Found>,
    contents: Contents,
}

/// Opens a capture file, or decodes the message in hexadecimal.
pub fn messages(source: &str) -> Result<Messages, Box<dyn Error>> {
    let path = Path::new(source);
    let mut messages = Messages {
        name: source.to_owned(),
        frames: None,
        fragments: Fragments::default(),
        streams: Streams::default(),
        pending: VecDeque::new(),
        contents: Contents::default(),
    };
    if source == "-" || path.exists() {
        messages.frames = Some(capture::open(path)?);
        return Ok(messages);
    }
    let digits: String = source.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    let digits = digits.strip_prefix("0x").unwrap_or(&digits);
    let message = from_hex(digits).ok_or_else(|| match digits.bytes().find(|digit| !digit.is_ascii_hexdigit()) {
        Some(_) => format!("{source}: no such file (a message in hexadecimal may be given in place of a capture)"),
        None => format!("{source}: no such file, and as hexadecimal an odd number of digits: {}", digits.len()),
    })?;
    // The marker is removed, unless the octets are a message with it.
    let message = match message.as_slice() {
        [0, 0, 0, 0, behind_marker @ ..] if Message::parse(&message).is_err() => behind_marker.to_vec(),
        _ => message,
    };
    messages.pending.push_back(Found { frame: 0, time: None, ends: None, cut: None, message });
    Ok(messages)
}

impl Iterator for Messages {
    type Item = Result<Found, Box<dyn Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.pending.pop_front() {
                return Some(Ok(found));
            }
            match self.frames.as_mut()?.next()? {
                Ok(frame) => self.follow(frame),
                Err(e) => return Some(Err(format!("{}: {e}", self.name).into())),
            }
        }
    }
}

impl Messages {
    /// Returns whether the messages are those of a capture.
    pub const fn is_capture(&self) -> bool {
        self.frames.is_some()
    }

    /// Returns the packets of the capture that are not messages, by kind.
    pub fn contents(&self) -> String {
        self.contents.describe(self.frames.as_ref().map_or(0, |frames| frames.skipped().total()))
    }

    /// Prints the numbers of skipped frames and packets.
    pub fn print_skipped(&self) {
        let Some(frames) = &self.frames else { return };
        frames.skipped().warnings().iter().for_each(|line| noteln!("ipsec-lab: {line}"));
        match self.fragments.incomplete() {
            0 => {}
            1 => noteln!("ipsec-lab: the fragments of 1 packet are not complete"),
            count => noteln!("ipsec-lab: the fragments of {count} packets are not complete"),
        }
    }

    /// Follows tunnels and fragments to the transport layer.
    fn follow(&mut self, mut frame: Frame) {
        for _ in 0..=MAX_TUNNELS {
            frame = match self.fragments.add(frame) {
                Reassembled::Whole(frame) | Reassembled::Cut(frame) => frame,
                Reassembled::Waiting => return self.contents.count("fragments"),
            };
            let Some(header) = IpHeader::parse(&frame.packet) else { return self.contents.count("malformed IP") };
            if header.fragment.is_some_and(|fragment| fragment.offset > 0) {
                return self.contents.count("fragments");
            }
            frame.cut = frame.cut.filter(|_| header.is_cut(&frame.packet));
            if let Some(inner) = capture::inner(&header, &frame.packet) {
                frame.packet = inner.to_vec();
                continue;
            }
            self.contents.count_packet(&header, &frame.packet);
            match header.protocol {
                6 => self.segment(&frame, &header),
                17 => self.pending.extend(datagram(&frame, &header)),
                _ => {}
            }
            return;
        }
    }

    fn segment(&mut self, frame: &Frame, header: &IpHeader) {
        let Some(segment) = Segment::parse([header.source, header.destination], header.payload(&frame.packet)) else {
            return;
        };
        let [source, destination] = segment.ends;
        let messages = self.streams.add(&segment, frame.cut.is_some());
        self.pending.extend(messages.into_iter().map(|message| Found {
            frame: frame.number,
            time: Some(frame.time),
            ends: Some((source, destination)),
            cut: frame.cut,
            message,
        }));
    }
}

/// Returns the message in a UDP datagram of port 500 or 4500.
fn datagram(frame: &Frame, header: &IpHeader) -> Option<Found> {
    let payload = header.payload(&frame.packet);
    let (&[s0, s1, d0, d1, l0, l1, _, _], body) = payload.split_first_chunk::<8>()?;
    let ports = [u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])];
    let length = usize::from(u16::from_be_bytes([l0, l1])).saturating_sub(8);
    let body = body.get(..length).filter(|_| length > 0).unwrap_or(body);
    let message = message(ports, body)?.to_vec();
    let ends = (SocketAddr::new(header.source, ports[0]), SocketAddr::new(header.destination, ports[1]));
    Some(Found { frame: frame.number, time: Some(frame.time), ends: Some(ends), cut: frame.cut, message })
}

/// Returns the message in the payload of a datagram. Port 4500 has precedence over port 500: a NAT may have mapped the
/// latter. Between both, a complete message without a marker is one, too.
fn message(ports: [u16; 2], body: &[u8]) -> Option<&[u8]> {
    let port = match (ports.contains(&4500), ports.contains(&500)) {
        (true, true) if Message::parse(body).is_ok() => Port::Ike,
        (true, _) => Port::NatTraversal,
        (false, true) => Port::Ike,
        (false, false) => return None,
    };
    match unframe_udp(port, body) {
        Datagram::Ike(message) => Some(message),
        _ => None,
    }
}
