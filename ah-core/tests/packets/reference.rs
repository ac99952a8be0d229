//! Reference implementation of the ICV input of AH: copies the headers and forwards the packet hop by hop.

use std::ops::Range;

use super::{DESTINATION, HOME_ADDRESS, HOP_BY_HOP, ROUTING};

/// Immutable IPv4 options of RFC 2402 and RFC 4302 appendix A1: copied flag, class, number.
const IMMUTABLE: [(u8, u8, u8); 7] = [(0, 0, 0), (0, 0, 1), (1, 0, 2), (1, 0, 5), (1, 0, 6), (1, 0, 20), (1, 0, 21)];

/// Returns whether an IPv4 option of this type is immutable.
pub fn is_immutable(kind: u8) -> bool {
    IMMUTABLE.iter().any(|(copy, class, number)| copy << 7 | class << 5 | number == kind)
}

/// Returns the IPv4 header as the ICV covers it, or `None` if it is malformed.
pub fn reference_ipv4(header: &[u8], tos: bool) -> Option<Vec<u8>> {
    let mut copy = header.to_vec();
    let options = option_ranges(header)?;
    // RFC 791 section 3.1: a source route "appears at most once".
    if options.iter().filter(|option| matches!(header[option.start], 0x83 | 0x89)).count() > 1 {
        return None;
    }
    for option in &options {
        if matches!(header[option.start], 0x83 | 0x89) {
            let route = &header[option.clone()];
            let (length, mut pointer) = (route.len(), usize::from(*route.get(2)?));
            if (length - 3) % 4 != 0 || pointer < 4 || pointer % 4 != 0 {
                return None;
            }
            // RFC 791 section 3.1: at each hop the next address becomes the destination, and the pointer increases by
            // 4.
            while pointer <= length {
                let next = option.start + pointer - 1;
                copy.copy_within(next..next + 4, 16);
                pointer += 4;
            }
        }
    }
    copy[1] &= if tos { 0xff } else { 0 };
    for at in [6, 7, 8, 10, 11] {
        copy[at] = 0;
    }
    for option in options.into_iter().filter(|option| !is_immutable(header[option.start])) {
        copy[option].fill(0);
    }
    Some(copy)
}

/// Returns the ranges of the options of an IPv4 header, or `None` if one is malformed.
fn option_ranges(header: &[u8]) -> Option<Vec<Range<usize>>> {
    let (mut options, mut at) = (Vec::new(), 20);
    while at < header.len() {
        let length = match header[at] {
            0 => break,
            1 => 1,
            _ => usize::from(*header.get(at + 1).filter(|length| **length >= 2)?),
        };
        options.push(at..at + length);
        at += length;
    }
    (at <= header.len()).then_some(options)
}

/// Returns the IPv6 headers as the ICV covers them, or `None` if they are malformed.
pub fn reference_ipv6(headers: &[u8], whole_options: bool) -> Option<Vec<u8>> {
    let mut copy = headers.to_vec();
    let chain = extension_headers(headers)?;
    while hop(&mut copy, &chain)? {}
    let mut home_address_seen = false;
    for (kind, header) in chain {
        if !matches!(kind, HOP_BY_HOP | DESTINATION) {
            continue;
        }
        let (mut at, end) = (header.start + 2, header.end);
        while at < end {
            let kind_of_option = copy[at];
            let length = if kind_of_option == 0 { 1 } else { 2 + usize::from(*copy[..end].get(at + 1)?) };
            if at + length > end {
                return None;
            }
            if kind_of_option & 0x20 != 0 {
                copy[at + if whole_options { 0 } else { 2 }..at + length].fill(0);
            }
            if kind == DESTINATION && kind_of_option == HOME_ADDRESS && length == 18 {
                if home_address_seen {
                    return None; // RFC 6275 section 6.3 allows one only
                }
                home_address_seen = true;
                swap(&mut copy, 8, at + 2); // RFC 6275 section 11.3.2
            }
            at += length;
        }
    }
    copy[0] &= 0xf0;
    for at in [1, 2, 3, 7] {
        copy[at] = 0;
    }
    Some(copy)
}

/// Returns protocol and range of the extension headers, of the three types that a sender puts in front of AH, or `None`
/// if the last one is truncated.
pub fn extension_headers(headers: &[u8]) -> Option<Vec<(u8, Range<usize>)>> {
    let (mut chain, mut kind, mut at) = (Vec::new(), headers[6], 40);
    while at < headers.len() {
        if !matches!(kind, HOP_BY_HOP | ROUTING | DESTINATION) {
            return None;
        }
        let end = at + 8 * (1 + usize::from(*headers.get(at + 1)?));
        chain.push((kind, at..end));
        (kind, at) = (headers[at], end);
    }
    (at == headers.len()).then_some(chain)
}

/// Processes the routing headers as one node does (RFC 2460 section 4.4). Returns whether the node forwards the
/// packet, or `None` if it discards the packet.
pub fn hop(packet: &mut [u8], chain: &[(u8, Range<usize>)]) -> Option<bool> {
    for (_, header) in chain.iter().filter(|(kind, _)| *kind == ROUTING) {
        let [length, kind, left] = [1, 2, 3].map(|at| packet[header.start + at]);
        if left == 0 {
            continue;
        }
        let n = length / 2;
        // Type 2 has one address only (RFC 6275 section 6.4.1).
        if !matches!((kind, length), (0, _) | (2, 2)) || length % 2 == 1 || left > n {
            return None;
        }
        packet[header.start + 3] = left - 1;
        let i = usize::from(n - (left - 1)); // the address vector counts from 1
        swap(packet, 24, header.start + 8 + 16 * (i - 1));
        return Some(true);
    }
    Some(false)
}

/// Swaps the IPv6 addresses at two offsets.
fn swap(packet: &mut [u8], a: usize, b: usize) {
    (0..16).for_each(|i| packet.swap(a + i, b + i));
}
