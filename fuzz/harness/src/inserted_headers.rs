//! Headers that an attacker on the path can insert: IPv6 extension headers and IPv4 options.

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// IPv4 options that fill whole 32-bit words.
const IPV4_OPTIONS: &[&[u8]] = &[
    &[1, 1, 1, 1],
    &[7, 7, 4, 0, 0, 0, 0, 1],
    &[68, 8, 5, 0, 0, 0, 0, 0],
    &[131, 7, 8, 9, 9, 9, 9, 1],
    &[131, 7, 4, 9, 9, 9, 9, 1],
    &[148, 4, 0, 0],
    &[134, 8, 0, 0, 0, 1, 2, 2],
    &[68, 8, 5, 0xf2, 0, 0, 0, 0],
    &[130, 200, 1, 1],
];

/// Inserts at most eight headers. Three octets choose each: kind, number of preceding extension headers, and an octet
/// of its contents.
pub fn insert(packet: &[u8], choices: &[u8]) -> Vec<u8> {
    choices.chunks_exact(3).take(8).fold(packet.to_vec(), |packet, choice| {
        let [which, behind, octet] = [choice[0], choice[1], choice[2]];
        match packet.first().map(|first| first >> 4) {
            Some(4) if packet.len() >= 20 => insert_ipv4(packet, which),
            Some(6) if packet.len() >= 40 => insert_ipv6(packet, which, behind & 3, octet),
            _ => packet,
        }
    })
}

fn insert_ipv4(mut packet: Vec<u8>, which: u8) -> Vec<u8> {
    let options = IPV4_OPTIONS[usize::from(which) % IPV4_OPTIONS.len()];
    let words = options.len() as u8 / 4;
    if (packet[0] & 15) + words <= 15 {
        packet[0] += words;
        packet.splice(20..20, options.iter().copied());
        let _ = ipsec_packet::set_length(&mut packet);
    }
    packet
}

fn insert_ipv6(mut packet: Vec<u8>, which: u8, behind: u8, octet: u8) -> Vec<u8> {
    let (mut next_header_at, mut at) = (6, 40);
    for _ in 0..behind {
        let Some(length) = length_of(&packet, packet[next_header_at], at) else { break };
        (next_header_at, at) = (at, at + length);
    }
    let (kind, rest) = match which % 5 {
        0 => (HOP_BY_HOP, vec![0, octet, 4, 0x77, 0x77, 0x77, 0x77]),
        1 => (DESTINATION_OPTIONS, vec![0, octet, 4, 0x77, 0x77, 0x77, 0x77]),
        2 => (ROUTING, [&[2, octet >> 2, octet & 3, 0, 0, 0, 0][..], &[0x66; 16]].concat()),
        3 => (FRAGMENT, vec![0, 0, octet & 0xf9, 0, 0, 0, 7]),
        _ => (FRAGMENT, vec![0, octet, 0, 0, 0, 0, 7]),
    };
    let header = [&[packet[next_header_at]], &rest[..]].concat();
    packet[next_header_at] = kind;
    packet.splice(at..at, header);
    let _ = ipsec_packet::set_length(&mut packet);
    packet
}

/// Returns the length of the extension header at `at`, or `None` if `kind` is another protocol or the header is
/// truncated.
fn length_of(packet: &[u8], kind: u8, at: usize) -> Option<usize> {
    let units = usize::from(*packet.get(at + 1)?);
    match kind {
        HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => Some(8 * (units + 1)).filter(|length| at + length < packet.len()),
        FRAGMENT => Some(8).filter(|length| at + length < packet.len()),
        _ => None,
    }
}

/// Returns whether an IPv6 packet is a fragment other than the first.
pub fn is_later_fragment(packet: &[u8]) -> bool {
    let (mut kind, mut at) = (packet.get(6).copied().unwrap_or_default(), 40);
    while let Some(length) = length_of(packet, kind, at).filter(|_| packet[0] >> 4 == 6) {
        if kind == FRAGMENT && (packet[at + 2], packet[at + 3] & !7) != (0, 0) {
            return true;
        }
        (kind, at) = (packet[at], at + length);
    }
    false
}

/// Returns whether a delivered packet has only harmless unauthenticated headers: IPv4 options except source routes, and
/// hop-by-hop options with padding or router alert.
pub fn is_harmless(packet: &[u8]) -> bool {
    if packet[0] >> 4 == 4 {
        let mut options = &packet[20..usize::from(packet[0] & 15) * 4];
        while let [kind, rest @ ..] = options {
            match (kind, rest.first()) {
                (0, _) => return options.iter().all(|octet| *octet == 0),
                (1, _) => options = rest,
                (7 | 68 | 148, Some(length)) => options = options.get(usize::from(*length)..).unwrap_or_default(),
                _ => return false,
            }
        }
        return true;
    }
    let length = if packet[6] == HOP_BY_HOP { length_of(packet, HOP_BY_HOP, 40).unwrap_or(8) } else { 0 };
    let next = if length > 0 { packet[40] } else { packet[6] };
    let mut options = packet.get(42..40 + length).unwrap_or_default();
    while let [kind, rest @ ..] = options {
        match (kind, rest.first()) {
            (0, _) => options = rest,
            (1 | 5, Some(length)) => options = options.get(usize::from(*length) + 2..).unwrap_or_default(),
            _ => return false,
        }
    }
    ![HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS].contains(&next)
}

/// Returns the packet without IPv4 options and extension headers.
pub fn bare(packet: &[u8]) -> Vec<u8> {
    let mut bare = packet.to_vec();
    if packet[0] >> 4 == 4 {
        bare.drain(20..usize::from(packet[0] & 15) * 4);
        bare[0] = 0x45;
    } else {
        while let Some(length) = length_of(&bare, bare[6], 40) {
            bare[6] = bare[40];
            bare.drain(40..40 + length);
        }
    }
    let _ = ipsec_packet::set_length(&mut bare);
    bare
}
