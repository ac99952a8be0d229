//! Reassembly of IP fragments (RFC 791 section 3.2, RFC 8200 section 4.5) in bounded memory.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use super::Frame;
use super::ip::{Fragment, IpHeader};

/// Largest number of packets of which fragments are kept. The oldest is dropped.
const MAX_PACKETS: usize = 1024;
/// Largest number of octets of all fragments, each with its share of the tables.
const MAX_OCTETS: usize = 16 << 20;
/// Octets of the tables for a fragment.
const TABLE_OCTETS: usize = 64;
/// Time between the first and the last fragment of a packet.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Largest payload of a packet.
const MAX_PAYLOAD: usize = 65535;

/// Key that the fragments of a packet share; the protocol is 0 for IPv6.
type Key = (IpAddr, IpAddr, u32, u8);

/// Table of fragments. Packets whose fragments overlap are dropped (RFC 5722); equal fragments are retransmissions.
#[derive(Default)]
pub struct Fragments {
    packets: HashMap<Key, Partial>,
    /// Keys in the order in which they were added.
    order: BTreeMap<u64, Key>,
    added: u64,
    octets: usize,
    dropped: u64,
}

struct Partial {
    number: u64,
    since: Duration,
    /// Payloads of the fragments by offset.
    pieces: BTreeMap<usize, Vec<u8>>,
    octets: usize,
    /// Headers of the first fragment, without its fragment header.
    head: Option<Vec<u8>>,
    /// Length of the payload, from the last fragment.
    total: Option<usize>,
}

/// Result of a packet.
pub enum Reassembled {
    /// Packet that is not a fragment, or whose fragments are complete.
    Whole(Frame),
    /// Fragment that was stored, or repeats one.
    Waiting,
    /// Fragment of which octets were not captured.
    Cut(Frame),
}

impl Fragments {
    /// Adds a packet. The frame of a reassembled packet is that of the fragment that completes it.
    pub fn add(&mut self, mut frame: Frame) -> Reassembled {
        let Some(header) = IpHeader::parse(&frame.packet) else { return Reassembled::Whole(frame) };
        let Some(fragment) = header.fragment else { return Reassembled::Whole(frame) };
        if header.is_cut(&frame.packet) {
            return Reassembled::Cut(frame);
        }
        let protocol = if header.source.is_ipv4() { header.protocol } else { 0 };
        let key = (header.source, header.destination, fragment.id, protocol);
        if self.packets.get(&key).is_some_and(|partial| frame.time.abs_diff(partial.since) > TIMEOUT) {
            self.drop_packet(&key);
        }
        let octets = header.payload(&frame.packet);
        self.prepare(&key, octets.len() + TABLE_OCTETS, frame.time);
        let Some(partial) = self.packets.get_mut(&key) else { return Reassembled::Waiting };
        match partial.add(&header, fragment, &frame.packet) {
            Added::Repeated => {}
            Added::Conflict => self.drop_packet(&key),
            Added::Stored => {
                partial.octets += octets.len() + TABLE_OCTETS;
                self.octets += octets.len() + TABLE_OCTETS;
                if let Some(packet) = partial.whole() {
                    self.remove(&key);
                    match packet {
                        Some(packet) => {
                            frame.packet = packet;
                            return Reassembled::Whole(frame);
                        }
                        None => self.dropped += 1,
                    }
                }
            }
        }
        Reassembled::Waiting
    }

    /// Returns the number of packets that were not reassembled.
    pub fn incomplete(&self) -> u64 {
        self.dropped.saturating_add(self.packets.len() as u64)
    }

    /// Adds an entry for a packet, and drops the oldest ones while the table is full.
    fn prepare(&mut self, key: &Key, octets: usize, time: Duration) {
        let is_known = self.packets.contains_key(key);
        while self.octets + octets > MAX_OCTETS || !is_known && self.packets.len() >= MAX_PACKETS {
            let Some(oldest) = self.order.values().find(|oldest| *oldest != key).copied() else { break };
            self.drop_packet(&oldest);
        }
        if !is_known {
            self.added += 1;
            let number = self.added;
            let pieces = BTreeMap::new();
            self.order.insert(number, *key);
            self.packets.insert(*key, Partial { number, since: time, pieces, octets: 0, head: None, total: None });
        }
    }

    fn drop_packet(&mut self, key: &Key) {
        self.dropped += u64::from(self.remove(key));
    }

    fn remove(&mut self, key: &Key) -> bool {
        let Some(partial) = self.packets.remove(key) else { return false };
        self.order.remove(&partial.number);
        self.octets = self.octets.saturating_sub(partial.octets);
        true
    }
}

enum Added {
    Stored,
    Repeated,
    Conflict,
}

impl Partial {
    fn add(&mut self, header: &IpHeader, fragment: Fragment, packet: &[u8]) -> Added {
        let octets = header.payload(packet);
        let (begin, end) = (fragment.offset, fragment.offset + octets.len());
        if self.pieces.get(&begin).is_some_and(|known| known == octets) {
            return Added::Repeated;
        }
        let before = self.pieces.range(..=begin).next_back().map_or(0, |(at, piece)| at + piece.len());
        let after = self.pieces.range(begin..).next().map_or(usize::MAX, |(at, _)| *at);
        let last = self.pieces.last_key_value().map_or(0, |(at, piece)| at + piece.len());
        let conflicts = before > begin
            || after < end
            || end > MAX_PAYLOAD
            || fragment.more && !octets.len().is_multiple_of(8)
            || octets.is_empty() && fragment.more
            || self.total.is_some_and(|total| end > total || !fragment.more && end != total)
            || !fragment.more && last > end;
        if conflicts {
            return Added::Conflict;
        }
        if !fragment.more {
            self.total = Some(end);
        }
        if begin == 0 {
            self.head = head(header, fragment, packet);
        }
        self.pieces.insert(begin, octets.to_vec());
        Added::Stored
    }

    /// Returns the packet if all fragments are present; `Some(None)` if it is too long.
    fn whole(&self) -> Option<Option<Vec<u8>>> {
        let total = self.total?;
        let present: usize = self.pieces.values().map(Vec::len).sum();
        if present < total {
            return None;
        }
        let mut packet = self.head.clone()?;
        let head = packet.len();
        self.pieces.values().for_each(|piece| packet.extend(piece));
        let is_v4 = packet.first().is_some_and(|first| first >> 4 == 4);
        let Ok(length) = u16::try_from(if is_v4 { packet.len() } else { packet.len() - 40 }) else {
            return Some(None);
        };
        let field = if is_v4 { 2 } else { 4 };
        packet.get_mut(field..field + 2)?.copy_from_slice(&length.to_be_bytes());
        if is_v4 {
            packet.get_mut(6..8)?.fill(0);
            packet.get_mut(10..12)?.fill(0);
            let sum = checksum(packet.get(..head)?);
            packet.get_mut(10..12)?.copy_from_slice(&sum.to_be_bytes());
        }
        Some(Some(packet))
    }
}

/// Returns the headers of a first fragment without the fragment header.
fn head(header: &IpHeader, fragment: Fragment, packet: &[u8]) -> Option<Vec<u8>> {
    let mut head = packet.get(..header.at)?.to_vec();
    if header.source.is_ipv6() {
        head.truncate(header.at.checked_sub(8)?);
        *head.get_mut(fragment.next_header_at)? = header.protocol;
    }
    Some(head)
}

fn checksum(header: &[u8]) -> u16 {
    let sum: u32 = header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}
