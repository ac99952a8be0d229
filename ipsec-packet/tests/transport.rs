//! Transport mode: placement of the IPsec header, finding it, and opening and closing the gap for it.

mod packet_builder;

use ipsec_packet::DestinationOptions::{Protected, Unprotected};
use ipsec_packet::{
    HeaderPosition, IpError, IpProto, NoSpace, PacketBuf, TooShort, close_gap, find_header, open_gap, set_length,
    transport_position,
};
use packet_builder::*;
use test_vectors::Random;
use test_vectors::support::checksum::has_valid_ipv4_checksum;

/// Columns: name, 16 bits of flags and fragment offset, expected error.
#[test]
fn ipv4_fragments_are_refused() {
    for (what, flags, expected) in [
        ("whole", 0x0000, None),
        ("DF", 0x4000, None),
        ("reserved bit", 0x8000, None),
        ("first fragment", 0x2000, Some(IpError::Fragment)),
        ("middle fragment", 0x2001, Some(IpError::Fragment)),
        ("last fragment", 0x0001, Some(IpError::Fragment)),
        ("last fragment, largest offset", 0x1fff, Some(IpError::Fragment)),
        ("DF and MF", 0x6000, Some(IpError::Fragment)),
    ] {
        let mut packet = v4(&[], IpProto::ESP, &[0; 40]);
        packet[6..8].copy_from_slice(&u16::to_be_bytes(flags));
        let at = HeaderPosition { at: 20, next_header_at: 9, next: IpProto::ESP };
        let expected = expected.map_or(Ok(at), Err);
        assert_eq!(transport_position(&packet, Protected), expected, "{what}");
        assert_eq!(find_header(&packet, IpProto::ESP), expected, "{what}");
    }
}

#[test]
fn placement_in_ipv4_is_after_the_options() {
    for options in (0..=40).step_by(4) {
        let packet = v4(&vec![1; options], IpProto::UDP, &[0; 20]);
        let at = HeaderPosition { at: 20 + options, next_header_at: 9, next: IpProto::UDP };
        assert_eq!(
            [transport_position(&packet, Protected), transport_position(&packet, Unprotected)],
            [Ok(at), Ok(at)]
        );
        assert_eq!(find_header(&packet, IpProto::UDP), Ok(at));
        for wanted in [IpProto::ESP, IpProto::AH, IpProto::IPCOMP, IpProto::TCP] {
            assert_eq!(find_header(&packet, wanted), Err(IpError::NotFound));
        }
    }
}

/// Builds extension headers from letters: h(op-by-hop), d(estination options), r(outing), f(ragment), a(h).
fn chain(letters: &str) -> Vec<Ext> {
    letters
        .chars()
        .map(|letter| match letter {
            'h' => ext(IpProto::HOP_BY_HOP, 0),
            'd' => ext(IpProto::DESTINATION_OPTIONS, 1),
            'r' => ext(IpProto::ROUTING, 2),
            'f' => fragment(0), // atomic fragment
            'a' => ah(4),
            other => panic!("unknown extension header {other}"),
        })
        .collect()
}

/// Columns: headers, number of headers before ESP with protected and with unprotected destination options
/// (RFC 8200 section 4.1, RFC 4303 section 3.1.1).
const PLACES: &[(&str, usize, usize)] = &[
    ("", 0, 0),
    ("h", 1, 1),
    ("d", 0, 1),
    ("r", 1, 1),
    ("f", 1, 1),
    ("a", 0, 0),
    ("hd", 1, 2),
    ("hr", 2, 2),
    ("hf", 2, 2),
    ("dr", 2, 2), // these options are processed by each router of the route
    ("df", 2, 2),
    ("rd", 1, 2),
    ("fd", 1, 2),
    ("ad", 0, 0), // ESP is placed before AH
    ("ha", 1, 1),
    ("da", 0, 1),
    ("ra", 1, 1),
    ("rda", 1, 2),
    ("fad", 1, 1),
    ("drd", 2, 3),
    ("hdr", 3, 3),
    ("hdrf", 4, 4),
    ("hdrd", 3, 4),
    ("hdrfd", 4, 5),
    ("hdrfad", 4, 4),
    ("rfd", 2, 3),
    ("hdd", 1, 3),
];

//= RFC 3173 2.1/1, 3.2/1
//# MUST NOT: IPComp is not applied to hop-by-hop, routing and fragment headers
//# MUST: an IPv6 fragment header precedes the IPComp header
#[test]
fn placement_in_ipv6_follows_rfc_8200() {
    for (letters, protected, in_front) in PLACES {
        let exts = chain(letters);
        let packet = v6_chain(&exts, IpProto::TCP, &[0; 20]);
        for (choice, count) in [(Protected, *protected), (Unprotected, *in_front)] {
            let len = |n: usize| exts[..n].iter().map(|(_, body)| body.len()).sum::<usize>();
            let next = exts.get(count).map_or(IpProto::TCP, |(kind, _)| *kind);
            let next_header_at = if count == 0 { 6 } else { 40 + len(count - 1) };
            let expected = HeaderPosition { at: 40 + len(count), next_header_at, next };
            assert_eq!(transport_position(&packet, choice), Ok(expected), "{letters}, {choice:?}");
        }
    }
}

#[test]
fn find_header_returns_an_inserted_esp_or_ipcomp_header() {
    for (letters, ..) in PLACES {
        for choice in [Protected, Unprotected] {
            for wanted in [IpProto::ESP, IpProto::IPCOMP] {
                let mut bytes = [&[0; 24][..], &v6_chain(&chain(letters), IpProto::TCP, &[7; 20])].concat();
                let len = bytes.len() - 24;
                let mut packet = PacketBuf::with_headroom(&mut bytes, 24, len).unwrap();
                let place = transport_position(packet.data(), choice).unwrap();
                open_gap(&mut packet, place, 24, wanted).unwrap();
                set_length(packet.data_mut()).unwrap();
                let found = find_header(packet.data(), wanted);
                assert_eq!(found, Ok(HeaderPosition { next: wanted, ..place }), "{letters}, {choice:?}");
                assert_eq!(find_header(packet.data(), IpProto::UDP), Err(IpError::NotFound));
            }
        }
    }
}

#[test]
fn ah_is_found_and_headers_after_it_are_not() {
    let packet = v6_chain(&chain("hrad"), IpProto::ESP, &[0; 20]);
    let at = 40 + 8 + 24;
    assert_eq!(find_header(&packet, IpProto::AH), Ok(HeaderPosition { at, next_header_at: 40 + 8, next: IpProto::AH }));
    assert_eq!(find_header(&packet, IpProto::ESP), Err(IpError::NotFound));
}

/// Columns: offset, reserved bits and M flag; whether the packet is a fragment.
//= RFC 3173 3.2/1
//# MUST: an IPv6 fragment header precedes the IPComp header
#[test]
fn atomic_fragments_are_accepted_and_others_refused() {
    for (bits, piece) in [(0, false), (0b110, false), (1, true), (8, true), (9, true), (0xfff8, true), (0x0100, true)] {
        let packet = v6_chain(&[fragment(bits)], IpProto::ESP, &[0; 20]);
        let at = HeaderPosition { at: 48, next_header_at: 40, next: IpProto::ESP };
        let expected = if piece { Err(IpError::Fragment) } else { Ok(at) };
        assert_eq!(transport_position(&packet, Protected), expected, "{bits:#x}");
        assert_eq!(transport_position(&packet, Unprotected), expected, "{bits:#x}");
        assert_eq!(find_header(&packet, IpProto::ESP), expected, "{bits:#x}");
    }
}

#[test]
fn octets_after_a_fragment_header_are_not_read() {
    // The payload of a later fragment is not a header, even though the fragment header has a next header value.
    let middle = [&[IpProto::ESP.0, 0xff][..], &[0; 30]].concat();
    let packet = v6_chain(&[fragment(0x100)], IpProto::DESTINATION_OPTIONS, &middle);
    assert_eq!(transport_position(&packet, Unprotected), Err(IpError::Fragment));
    assert_eq!(find_header(&packet, IpProto::ESP), Err(IpError::Fragment));
}

#[test]
fn malformed_extension_headers_are_refused() {
    let mut packet = v6_chain(&chain("hd"), IpProto::TCP, &[0; 20]);
    packet[49] = 9;
    for result in [
        transport_position(&packet, Protected),
        transport_position(&packet, Unprotected),
        find_header(&packet, IpProto::ESP),
    ] {
        assert_eq!(result, Err(IpError::Extension { offset: 48 }));
    }
    let many = vec![ext(IpProto::DESTINATION_OPTIONS, 0); 17];
    let packet = v6_chain(&many, IpProto::ESP, &[0; 20]);
    assert_eq!(transport_position(&packet, Unprotected), Err(IpError::TooManyExtensions));
    assert_eq!(find_header(&packet, IpProto::ESP), Err(IpError::TooManyExtensions));
}

#[test]
fn closing_an_opened_gap_restores_the_packet() {
    let mut random = Random(11);
    for round in 0..3000 {
        let letters = PLACES[round % PLACES.len()].0;
        let len = random.below(200) as usize;
        let payload = random.octets(len);
        let original = match round % 2 {
            0 => v4(&vec![1; 4 * random.below(11) as usize], IpProto::UDP, &payload),
            _ => v6_chain(&chain(letters), IpProto::UDP, &payload),
        };
        let (gap, spare) = (random.below(64) as usize, random.below(8) as usize);
        let mut bytes = [&random.octets(gap + spare)[..], &original].concat();
        let mut packet = PacketBuf::with_headroom(&mut bytes, gap + spare, original.len()).unwrap();
        let choice = if random.below(2) == 0 { Protected } else { Unprotected };
        let place = transport_position(packet.data(), choice).unwrap();

        assert_eq!(open_gap(&mut packet, place, gap, IpProto::ESP), Ok(()));
        let opened = packet.data();
        assert_eq!((opened.len(), opened[place.next_header_at]), (original.len() + gap, IpProto::ESP.0));
        assert_eq!(opened[place.at + gap..], original[place.at..]);
        packet.data_mut()[place.at..place.at + gap].fill(0xcc);
        set_length(packet.data_mut()).unwrap();
        if original[0] >> 4 == 4 {
            assert!(has_valid_ipv4_checksum(packet.data()));
        }

        let found = find_header(packet.data(), IpProto::ESP).unwrap();
        assert_eq!((found.at, found.next_header_at), (place.at, place.next_header_at));
        assert_eq!(close_gap(&mut packet, found, gap, place.next), Ok(()));
        assert_eq!(packet.data(), original, "round {round}");
        assert_eq!((packet.headroom(), packet.tailroom()), (gap + spare, 0));
    }
}

#[test]
fn refused_gap_leaves_the_packet_unmodified() {
    let original = v4(&[], IpProto::TCP, &[7; 20]);
    let place = transport_position(&original, Protected).unwrap();
    let mut bytes = [&[0xee; 15][..], &original].concat();
    let mut packet = PacketBuf::with_headroom(&mut bytes, 15, original.len()).unwrap();
    let too_small = IpError::NoSpace(NoSpace::Front { needed: 16, available: 15 });
    assert_eq!(open_gap(&mut packet, place, 16, IpProto::ESP), Err(too_small));
    assert_eq!((packet.data(), packet.headroom()), (&original[..], 15));
    let too_short = IpError::TooShort(TooShort { needed: 20 + 21, available: 40 });
    assert_eq!(close_gap(&mut packet, place, 21, IpProto::ESP), Err(too_short));
    assert_eq!((packet.data(), packet.headroom()), (&original[..], 15));
}
