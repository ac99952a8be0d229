//! `immutable_view` compared with a reference implementation that copies headers and forwards the packet hop by hop.

mod packets;

use ah_core::{Mutability, MutableError, Profile, TosRule, immutable_view, option_mutability};
use ipsec_packet::{Ip, IpError};
use packets::reference::{extension_headers, is_immutable, reference_ipv4, reference_ipv6};
use packets::{
    DESTINATION, HOME_ADDRESS, HOP_BY_HOP, Header, ROUTING, Random, ipv4, ipv6, options_header, routing_header,
    source_route,
};

/// Profiles with different ICV input; the flags are: complete IPv6 options are zeroed, TOS is included.
const RULES: [(Profile, bool, bool); 4] = [
    (Profile::RFC, false, false),
    (Profile::BSD, true, false),
    (Profile::RFC.with_tos(TosRule::Included), false, true),
    (Profile::BSD.with_tos(TosRule::Included), true, true),
];

/// Returns the immutable view of the first `at` octets.
fn view(packet: &[u8], at: usize, profile: Profile) -> Result<Vec<u8>, MutableError> {
    let mut seen = Vec::new();
    immutable_view(&Ip::parse(packet)?, at, profile, &mut |piece| seen.extend_from_slice(piece))?;
    Ok(seen)
}

/// Compares `immutable_view` with the reference implementation and returns whether the headers were accepted.
fn agree(packet: &[u8], at: usize) -> bool {
    for (profile, whole_options, tos) in RULES {
        let expected = match packet[0] >> 4 {
            4 => reference_ipv4(&packet[..at], tos),
            _ => reference_ipv6(&packet[..at], whole_options),
        };
        let seen = view(packet, at, profile);
        assert_eq!(seen.as_ref().ok(), expected.as_ref(), "{seen:?} of {at} octets, {profile:?}: {packet:02x?}");
        assert_eq!(seen.map_or(at, |seen| seen.len()), at);
    }
    view(packet, at, Profile::RFC).is_ok()
}

#[test]
fn immutable_ipv4_options_are_those_of_rfc_4302_appendix_a() {
    let mut immutable = Vec::new();
    for kind in 0..=u8::MAX {
        let expected = if is_immutable(kind) { Mutability::Immutable } else { Mutability::Mutable };
        assert_eq!(option_mutability(kind), expected, "option 0x{kind:02x}");
        immutable.extend(is_immutable(kind).then_some(kind));
    }
    assert_eq!(immutable, [0, 1, 0x82, 0x85, 0x86, 0x94, 0x95]);
}

#[test]
fn every_ipv4_option_and_length_matches_the_reference() {
    let random = &mut Random(1);
    let (mut accepted, mut refused) = (0, 0);
    for kind in 0..=u8::MAX {
        for length in (0..=41).chain([255]).filter(|length| !(matches!(kind, 0x83 | 0x89) && *length == 2)) {
            for area in [4, 8, 40] {
                let mut options = [&[kind, length][..], &random.octets(38)].concat();
                let end = usize::from(if kind == 1 { 1 } else { length }).clamp(2, 40);
                options[end..].fill(random.pick(&[0, 1]));
                let packet = ipv4(random, &options[..area], 8);
                *(if agree(&packet, 20 + area) { &mut accepted } else { &mut refused }) += 1;
            }
        }
    }
    assert!(accepted > 10_000 && refused > 10_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn source_route_substitutes_the_final_destination() {
    let random = &mut Random(2);
    let (mut accepted, mut substituted) = (0, 0);
    for kind in [0x83, 0x89] {
        for length in 3..=40 {
            for pointer in 0..=u8::MAX {
                let mut options = vec![1; 40];
                options[..usize::from(length)].copy_from_slice(&random.octets(length.into()));
                (options[0], options[1], options[2]) = (kind, length, pointer);
                let packet = ipv4(random, &options, 0);
                if agree(&packet, 60) {
                    accepted += 1;
                    let last = usize::from(20 + length - 4)..usize::from(20 + length);
                    let seen = view(&packet, 60, Profile::RFC).unwrap();
                    let destination = if pointer <= length { &packet[last] } else { &packet[16..20] };
                    assert_eq!(&seen[16..20], destination);
                    substituted += usize::from(pointer <= length);
                }
            }
        }
    }
    // Lengths 3, 7, .. 39 and pointers 4, 8, .. 252 are valid; per option type 0 + 1 + .. + 9 routes are not complete.
    assert_eq!((accepted, substituted), (2 * 10 * 63, 2 * 45));
}

#[test]
fn octets_after_end_of_options_are_immutable() {
    let random = &mut Random(3);
    for eol in 0..40 {
        let mut options = [&vec![1; eol], &[0][..], &random.octets(39 - eol)].concat();
        for _ in 0..8 {
            let packet = ipv4(random, &options, 4);
            assert!(agree(&packet, 60));
            assert_eq!(view(&packet, 60, Profile::RFC).unwrap()[20..], options);
            options[eol + 1..].iter_mut().for_each(|octet| *octet = random.octet());
        }
    }
}

/// A second source route is refused, because it makes the final destination ambiguous.
#[test]
fn second_source_route_is_refused() {
    let random = &mut Random(5);
    for (first, second) in [(0x83, 0x83), (0x83, 0x89), (0x89, 0x83)] {
        let options = [first, 7, 4, 1, 2, 3, 4, 1, second, 7, 4, 5, 6, 7, 8, 1];
        let packet = ipv4(random, &options, 0);
        assert!(!agree(&packet, 36));
        assert_eq!(view(&packet, 36, Profile::RFC), Err(MutableError::Option { offset: 8 }));
    }
}

#[test]
fn source_route_without_pointer_is_refused() {
    for kind in [0x83, 0x89] {
        for options in [[kind, 2, 4, 1], [1, kind, 2, 1], [1, 1, kind, 2]] {
            let packet = ipv4(&mut Random(11), &options, 4);
            assert!(!agree(&packet, 24));
        }
    }
}

/// Returns random options, most of them well-formed, with at most one source route (RFC 791 section 3.1).
fn ipv4_options(random: &mut Random) -> Vec<u8> {
    let area = 4 * random.below(11);
    let mut options = Vec::new();
    let mut routed = false;
    while options.len() < area {
        let data = random.below(12);
        let option = match random.below(8) {
            0 => vec![random.pick(&[0, 1])],
            1 if !routed => {
                routed = true;
                let n = random.below(4);
                let (kind, pointer) = (random.pick(&[0x83, 0x89]), 4 * (1 + random.octet() % 5));
                source_route(random, kind, n, pointer)
            }
            2 | 3 => [&[random.pick(&[0x82, 0x85, 0x86, 0x94, 0x95]), 2 + data as u8], &*random.octets(data)].concat(),
            4 if random.one_in(4) => vec![0x44, random.pick(&[0, 1, 2, 39, 255])],
            _ => match random.octet() {
                0x83 | 0x89 => vec![1],
                kind => [&[kind, 2 + data as u8], &*random.octets(data)].concat(),
            },
        };
        // An option that does not fit is left out, or sometimes truncated.
        if options.len() + option.len() <= area || random.one_in(10) {
            options.extend(option);
        } else {
            options.push(1);
        }
    }
    options.truncate(area);
    options
}

#[test]
fn random_ipv4_headers_match_the_reference() {
    let random = &mut Random(4);
    let mut counts = [0; 2];
    for _ in 0..6000 {
        let options = ipv4_options(random);
        let packet = ipv4(random, &options, 5);
        // The header is truncated after each word of its options, with the header length adjusted.
        for words in 0..=options.len() / 4 {
            let mut packet = packet.clone();
            packet[0] = 0x45 + words as u8;
            counts[usize::from(agree(&packet, 20 + 4 * words))] += 1;
        }
    }
    assert!(counts.iter().all(|count| *count > 4000), "{counts:?} refused and accepted");
}

/// Returns random options of hop-by-hop or destination headers, with a home address option if `home` is set.
fn ipv6_options(random: &mut Random, home: bool) -> Vec<u8> {
    let mut options = Vec::new();
    for _ in 0..random.below(5) {
        let data = random.pick(&[0, 1, 2, 4, 6, 16, 40]);
        match random.below(5) {
            0 => options.push(0),
            1 => options.extend([&[1, data], &*vec![0; data.into()]].concat()),
            _ => options.extend([&[random.octet() | 2, data], &*random.octets(data.into())].concat()),
        }
    }
    if home {
        let length = if random.one_in(8) { 12 } else { 16 };
        options.extend([&[HOME_ADDRESS, length], &*random.octets(length.into())].concat());
    }
    options
}

/// Returns random headers in the order of RFC 8200 section 4.1: hop-by-hop, destination, routing, destination.
fn ipv6_headers(random: &mut Random) -> Vec<Header> {
    let mut headers = Vec::new();
    let home_in = random.below(4);
    for (place, kind) in [HOP_BY_HOP, DESTINATION, ROUTING, DESTINATION].into_iter().enumerate() {
        if random.one_in(3) {
            continue;
        }
        let octets = match (kind, random.below(4)) {
            (ROUTING, 0) => {
                let left = random.below(3);
                routing_header(random, 2, 1, left)
            }
            (ROUTING, 1) => {
                let (kind, n) = (random.octet(), random.below(3));
                let left = if random.one_in(2) { 0 } else { random.below(4) };
                routing_header(random, kind, n, left)
            }
            (ROUTING, _) => {
                let n = random.below(7);
                let left = random.below(n + 2);
                routing_header(random, 0, n, left)
            }
            _ => {
                let mut octets = options_header(&ipv6_options(random, kind == DESTINATION && place == home_in));
                let last = octets.len() - 1;
                if random.one_in(12) {
                    octets[2 + random.below(last - 1)] = random.octet() | 2; // a length that may exceed the header
                }
                octets
            }
        };
        headers.push((kind, octets));
    }
    headers
}

#[test]
fn random_ipv6_headers_match_the_reference_at_each_header() {
    let random = &mut Random(5);
    let mut counts = [0; 2];
    for _ in 0..4000 {
        let headers = ipv6_headers(random);
        if headers.iter().any(|(kind, octets)| home_addresses(*kind, octets) > usize::from(*kind == DESTINATION)) {
            continue; // the random length above made a second home address option: tested below
        }
        let packet = ipv6(random, &headers, 9);
        let mut at = 40;
        counts[usize::from(agree(&packet, at))] += 1;
        for (_, octets) in &headers {
            at += octets.len();
            counts[usize::from(agree(&packet, at))] += 1;
        }
    }
    assert!(counts[0] > 1000 && counts[1] > 8000, "{counts:?} refused and accepted");
}

/// Counts positions in an options header that could be the type and length of a home address option.
fn home_addresses(kind: u8, octets: &[u8]) -> usize {
    if kind == ROUTING { 0 } else { octets.windows(2).filter(|pair| *pair == [HOME_ADDRESS, 16]).count() }
}

#[test]
fn routing_header_of_type_0_is_covered_as_it_will_arrive() {
    let random = &mut Random(6);
    for n in (0..=9).chain([127]) {
        for left in 0..=n + 1 {
            let headers = [(ROUTING, routing_header(random, 0, n, left))];
            let packet = ipv6(random, &headers, 4);
            assert_eq!(agree(&packet, 48 + 16 * n), left <= n, "{left} of {n} segments left");
        }
    }
}

/// Each type with zero to two addresses, half an address, and zero to three segments left.
#[test]
fn routing_header_of_every_type_is_covered_as_it_will_arrive() {
    let random = &mut Random(6);
    for kind in 0..=u8::MAX {
        for (n, half) in [(0, false), (1, false), (2, false), (0, true), (1, true)] {
            for left in 0..=3 {
                let mut header = routing_header(random, kind, n, left);
                header.extend(if half { random.octets(8) } else { vec![] });
                header[1] = (header.len() / 8 - 1) as u8;
                let at = 40 + header.len();
                let packet = ipv6(random, &[(ROUTING, header)], 4);
                let moves = !half && left <= n && (kind == 0 || kind == 2 && n == 1);
                assert_eq!(agree(&packet, at), left == 0 || moves, "type {kind}, {left} of {n} left, half: {half}");
            }
        }
    }
}

#[test]
fn type_2_routing_header_follows_type_0() {
    // RFC 6275 section 6.4.1 requires this order.
    let random = &mut Random(7);
    for (n, left, home_left) in [(1, 1, 1), (2, 2, 1), (3, 1, 1), (2, 2, 0), (2, 0, 1), (2, 0, 0)] {
        let headers =
            [(ROUTING, routing_header(random, 0, n, left)), (ROUTING, routing_header(random, 2, 1, home_left))];
        let packet = ipv6(random, &headers, 4);
        assert!(agree(&packet, 40 + 8 + 16 * n + 24));
    }
}

/// Returns an options header that contains a home address option only.
fn home_address(random: &mut Random) -> Vec<u8> {
    options_header(&[&[HOME_ADDRESS, 16], &*random.octets(16)].concat())
}

#[test]
fn home_address_is_exchanged_with_the_source_in_destination_options_only() {
    // In hop-by-hop options it has no meaning (RFC 6275 section 6.3) and is an immutable option.
    let random = &mut Random(8);
    for kind in [DESTINATION, HOP_BY_HOP] {
        let headers = [(kind, home_address(random))];
        let packet = ipv6(random, &headers, 4);
        assert!(agree(&packet, 64), "home address in header {kind}");
    }
}

#[test]
fn two_home_addresses_are_covered_or_refused() {
    let random = &mut Random(12); // not allowed: RFC 6275 section 6.3
    let headers = [(DESTINATION, home_address(random)), (DESTINATION, home_address(random))];
    let packet = ipv6(random, &headers, 4);
    for at in [44, 44 + 24] {
        let mut changed = packet.clone();
        changed[at] ^= 1;
        let [before, after] = [packet.as_slice(), &changed].map(|packet| view(packet, 88, Profile::RFC));
        assert!(before.is_err() || before != after, "octet {at} is not covered");
    }
}

#[test]
fn truncated_headers_are_refused_or_viewed_up_to_a_header_boundary() {
    let random = &mut Random(9);
    let mut cuts = 0;
    for _ in 0..300 {
        let headers = ipv6_headers(random);
        let packet = ipv6(random, &headers, 0);
        for cut in 0..packet.len() {
            let mut bytes = packet[..cut].to_vec();
            assert!(Ip::parse(&bytes).is_err(), "packet shorter than its length field was accepted");
            if cut >= 40 {
                bytes[4..6].copy_from_slice(&u16::try_from(cut - 40).unwrap().to_be_bytes());
                assert!(view(&bytes, packet.len(), Profile::RFC).is_err(), "{cut} of {} octets", packet.len());
                let whole = extension_headers(&packet).unwrap().iter().any(|(_, header)| header.start == cut);
                assert!(
                    whole || cut == 40 || view(&bytes, cut, Profile::RFC).is_err(),
                    "header truncated at {cut} was accepted"
                );
                cuts += 1;
            }
        }
    }
    assert!(cuts > 5000);
}

#[test]
fn malformed_ipv4_options_are_refused_with_their_offset() {
    let random = &mut Random(10);
    let option = |offset| MutableError::Option { offset };
    #[rustfmt::skip]
    let options: [(&[u8], MutableError, &str); 8] = [
        (&[7, 0, 4, 0],                         option(0), "malformed option at octet 0"),
        (&[1, 7, 1, 4],                         option(1), "malformed option at octet 1"),
        (&[1, 1, 7, 3],                         option(2), "malformed option at octet 2"),
        (&[1, 1, 1, 7],                         option(3), "malformed option at octet 3"),
        (&[0x94, 4, 0, 0, 0x94, 5, 0, 0],       option(4), "malformed option at octet 4"),
        (&[0x83, 7, 0, 1, 2, 3, 4, 0],          option(0), "malformed option at octet 0"),
        (&[0x83, 7, 5, 1, 2, 3, 4, 0],          option(0), "malformed option at octet 0"),
        (&[1, 0x89, 6, 4, 1, 2, 3, 0],          option(1), "malformed option at octet 1"),
    ];
    for (options, expected, text) in options {
        let packet = ipv4(random, options, 4);
        let seen = view(&packet, 20 + options.len(), Profile::RFC).unwrap_err();
        assert_eq!((seen, seen.to_string().as_str()), (expected, text), "{options:02x?}");
    }
}

#[test]
fn malformed_ipv6_headers_are_refused_with_their_offset() {
    let random = &mut Random(10);
    let routing = MutableError::Routing { offset: 48 };
    #[rustfmt::skip]
    let headers = [
        ((DESTINATION, vec![0, 0, 5, 9, 0, 0, 0, 0]),  MutableError::Option { offset: 50 },
            "malformed option at octet 50"),
        ((DESTINATION, vec![0, 0, 5, 3, 0, 0, 0, 5]),  MutableError::Option { offset: 55 },
            "malformed option at octet 55"),
        ((ROUTING, routing_header(random, 0, 2, 3)),   routing, "malformed routing header at octet 48"),
        ((ROUTING, routing_header(random, 2, 1, 2)),   routing, "malformed routing header at octet 48"),
        ((ROUTING, routing_header(random, 4, 1, 1)),   MutableError::UnknownRouting { kind: 4 },
            "unfinished routing header of type 4"),
    ];
    for (header, expected, text) in headers {
        let at = 48 + header.1.len();
        let packet = ipv6(random, &[(HOP_BY_HOP, options_header(&[])), header], 4);
        let seen = view(&packet, at, Profile::RFC).unwrap_err();
        assert_eq!((seen, seen.to_string().as_str()), (expected, text), "{text}");
    }
}

#[test]
fn view_ends_at_a_header_boundary() {
    let octets = [1, 1, 1, 0];
    let header = [&[0x46, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2][..], &octets].concat();
    let packet = [header, vec![7; 8]].concat();
    for at in 0..=packet.len() {
        let expected = if at == 24 { Ok(24) } else { Err(MutableError::Ip(IpError::NotFound)) };
        assert_eq!(view(&packet, at, Profile::RFC).map(|seen| seen.len()), expected, "{at}");
    }
}
