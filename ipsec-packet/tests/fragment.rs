//! Fragments of IPv4 and IPv6 packets, which are reassembled and compared with the packet.

mod packet_builder;

use ipsec_packet::{FragmentError, Fragments, Ip, IpError, IpProto, NoSpace};
use packet_builder::*;
use proptest::prelude::*;
use test_vectors::support::checksum::set_ipv4_checksum;

const IDENTIFICATION: u32 = 0x0102_0304;

/// Returns the fragments of a packet, and verifies that each is at most as long as the MTU.
fn fragments(packet: &[u8], mtu: u16) -> Result<Vec<Vec<u8>>, FragmentError> {
    let mut fragments = Fragments::new(packet, mtu, IDENTIFICATION)?;
    let (mut all, mut out) = (Vec::new(), vec![0xee; mtu.into()]);
    while let Some(fragment) = fragments.write_next(&mut out).unwrap() {
        assert_eq!(Ip::parse(fragment).unwrap().packet().len(), fragment.len());
        all.push(fragment.to_vec());
    }
    Ok(all)
}

/// Builds an IPv4 packet with this options field and number of payload octets, which may be fragmented.
fn v4_packet(options: &[u8], payload: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..payload).map(|at| (at % 251) as u8).collect();
    let mut packet = v4(options, IpProto::ESP, &payload);
    packet[6] = 0;
    set_ipv4_checksum(&mut packet);
    packet
}

fn payload_of(packet: &[u8]) -> &[u8] {
    &packet[usize::from(packet[0] & 15) * 4..]
}

/// Reassembles IPv4 fragments (RFC 791 section 3.2): the header is that of the first one. The checksums of all headers
/// are verified.
fn reassemble_v4(fragments: &[Vec<u8>]) -> Vec<u8> {
    let (mut whole, mut is_last) = (Vec::new(), false);
    for fragment in fragments {
        let Ok(Ip::V4(ip)) = Ip::parse(fragment) else { panic!("IPv4") };
        assert!(ip.has_valid_checksum() && !is_last);
        let field = u16::from_be_bytes([fragment[6], fragment[7]]);
        assert_eq!((usize::from(field & 0x1fff) * 8, field & 0xc000), (whole.len(), 0));
        is_last = field & 0x2000 == 0;
        assert!(is_last || ip.payload().len().is_multiple_of(8));
        whole.extend_from_slice(ip.payload());
    }
    assert!(is_last);
    let mut packet = [&fragments[0][..usize::from(fragments[0][0] & 15) * 4], &whole].concat();
    let length = (packet.len() as u16).to_be_bytes();
    packet[2..4].copy_from_slice(&length);
    packet[6..8].fill(0);
    set_ipv4_checksum(&mut packet);
    packet
}

/// Reassembles IPv6 fragments whose fragment header is at this offset (RFC 8200 section 4.5).
fn reassemble_v6(fragments: &[Vec<u8>], at: usize, named_at: usize) -> Vec<u8> {
    let (mut whole, mut is_last) = (Vec::new(), false);
    for fragment in fragments {
        assert_eq!((fragment[named_at], fragment[at + 1], is_last), (44, 0, false));
        assert_eq!(fragment[at + 4..at + 8], IDENTIFICATION.to_be_bytes());
        let field = u16::from_be_bytes([fragment[at + 2], fragment[at + 3]]);
        assert_eq!((usize::from(field & !7), field & 6), (whole.len(), 0));
        is_last = field & 1 == 0;
        assert!(is_last || (fragment.len() - at).is_multiple_of(8));
        whole.extend_from_slice(&fragment[at + 8..]);
    }
    assert!(is_last);
    let mut packet = [&fragments[0][..at], &whole].concat();
    let length = ((packet.len() - 40) as u16).to_be_bytes();
    packet[4..6].copy_from_slice(&length);
    packet[named_at] = fragments[0][at];
    packet
}

#[test]
fn ipv4_fragments_have_the_octets_of_the_packet() {
    let packet = v4_packet(&[], 1000);
    let fragments = fragments(&packet, 500).unwrap();
    assert_eq!(fragments.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 60]);
    for fragment in &fragments {
        let Ok(Ip::V4(ip)) = Ip::parse(fragment) else { panic!("IPv4") };
        assert_eq!((ip.header().identification(), ip.header().ttl(), ip.header().protocol().0), (0x1234, 64, 50));
    }
    assert_eq!(reassemble_v4(&fragments), packet);
}

#[test]
fn ipv6_fragments_have_the_octets_of_the_packet() {
    let packet = v6(IpProto::ESP, &v4_packet(&[], 1000)[20..]);
    let fragments = fragments(&packet, 500).unwrap();
    assert_eq!(fragments.iter().map(Vec::len).collect::<Vec<_>>(), [496, 496, 152]);
    for fragment in &fragments {
        assert_eq!((&fragment[..4], &fragment[7..40]), (&packet[..4], &packet[7..40]));
    }
    assert_eq!(reassemble_v6(&fragments, 40, 6), packet);
}

#[test]
fn packets_that_fit_are_unchanged() {
    let mut must_not_be_fragmented = v4_packet(&[1, 1, 1, 0], 80);
    must_not_be_fragmented[6] = 0x40;
    let fragment_header = v6_chain(&[fragment(1)], IpProto::ESP, &[7; 56]);
    for packet in [v4_packet(&[], 84), v6(IpProto::ESP, &[7; 64]), must_not_be_fragmented, fragment_header] {
        assert_eq!(fragments(&packet, 104).unwrap(), [packet]);
    }
}

#[test]
fn octets_after_the_packet_are_in_no_fragment() {
    let packet = v4_packet(&[], 1000);
    assert_eq!(fragments(&[&packet[..], &[0xff; 30]].concat(), 600), fragments(&packet, 600));
}

/// RFC 791 section 3.1: record route, no-operation and end of options have no copied flag, security has it.
#[test]
fn later_fragments_have_the_options_with_the_copied_flag() {
    let options = [7, 7, 4, 0, 0, 0, 0, 1, 0x82, 3, 9, 0];
    let packet = v4_packet(&options, 200);
    let fragments = fragments(&packet, 100).unwrap();
    assert_eq!(fragments[0][20..32], options);
    for later in &fragments[1..] {
        assert_eq!((later[0], &later[20..24]), (0x46, &[0x82, 3, 9, 0][..]));
    }
    assert_eq!(fragments.iter().map(Vec::len).collect::<Vec<_>>(), [96, 96, 88]);
    assert_eq!(reassemble_v4(&fragments), packet);
}

#[test]
fn fragments_of_an_ipv4_fragment_are_those_of_the_original_packet() {
    let packet = v4_packet(&[], 2000);
    let mut all = Vec::new();
    for fragment in fragments(&packet, 1020).unwrap() {
        all.extend(fragments(&fragment, 300).unwrap());
    }
    assert_eq!((all.len(), reassemble_v4(&all)), (8, packet));
}

#[test]
fn headers_for_routers_are_in_every_ipv6_fragment() {
    let (hop_by_hop, routing) = (ext(IpProto::HOP_BY_HOP, 0), ext(IpProto::ROUTING, 2));
    let options = ext(IpProto::DESTINATION_OPTIONS, 1);
    let payload = v4_packet(&[], 600);
    for (chain, at, named_at) in [
        (vec![hop_by_hop.clone()], 48, 40),
        (vec![options.clone()], 40, 6),
        (vec![hop_by_hop.clone(), options.clone()], 48, 40),
        (vec![options.clone(), routing.clone(), options.clone()], 80, 56),
        (vec![hop_by_hop, options.clone(), routing.clone(), ah(4), options], 88, 64),
        // Headers after AH are authenticated with the packet.
        (vec![ah(4), routing], 40, 6),
    ] {
        let packet = v6_chain(&chain, IpProto::ESP, &payload);
        let fragments = fragments(&packet, 320).unwrap();
        for fragment in &fragments {
            // The payload length and the next header field that names the fragment header differ.
            assert_eq!(fragment[6..named_at], packet[6..named_at]);
            assert_eq!(fragment[named_at + 1..at], packet[named_at + 1..at]);
        }
        assert_eq!(reassemble_v6(&fragments, at, named_at), packet, "{chain:?}");
    }
}

#[test]
fn the_first_ipv6_fragment_has_all_extension_headers() {
    let packet = v6_chain(&[ext(IpProto::DESTINATION_OPTIONS, 9)], IpProto::ESP, &[7; 600]);
    let needed = 40 + 80 + 8 + 8;
    assert_eq!(fragments(&packet, needed - 1), Err(FragmentError::MtuTooSmall { needed: 136, mtu: 135 }));
    assert_eq!(reassemble_v6(&fragments(&packet, needed).unwrap(), 40, 6), packet);
}

#[test]
fn errors_name_the_reason() {
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = v4_packet(&[1, 1, 1, 0], 100);
        change(&mut packet);
        packet
    };
    let mtu_too_small = |needed, mtu| FragmentError::MtuTooSmall { needed, mtu };
    let dont_fragment = FragmentError::DontFragment { length: 124, mtu: 60 };
    for (packet, mtu, error, text) in [
        (with(&|p| p[6] = 0x40), 60, dont_fragment, "DF bit is set: packet has 124 octets, at most 60 allowed"),
        (with(&|_| ()), 31, mtu_too_small(32, 31), "MTU too small: got 31, expected 32 or more"),
        (v6(IpProto::ESP, &[7; 99]), 55, mtu_too_small(56, 55), "MTU too small: got 55, expected 56 or more"),
        (
            with(&|p| p[20..24].copy_from_slice(&[1, 7, 9, 0])),
            60,
            FragmentError::Malformed(IpError::Option { offset: 21 }),
            "malformed or unknown IP option at octet 21",
        ),
        (with(&|p| p[0] = 0x55), 60, FragmentError::Malformed(IpError::Version(5)), "unknown IP version 5"),
        (
            with(&|p| p[6..8].copy_from_slice(&0x1fff_u16.to_be_bytes())),
            60,
            FragmentError::TooLong(65_628),
            "fragment too long: ends at octet 65628, at most 65535 allowed",
        ),
        (
            v6_chain(&[fragment(0)], IpProto::ESP, &[7; 99]),
            90,
            FragmentError::FragmentHeader,
            "IPv6 packet has a fragment header",
        ),
    ] {
        assert_eq!((fragments(&packet, mtu), error.to_string().as_str()), (Err(error), text));
    }
}

#[test]
fn a_fragment_that_was_not_written_is_written_by_the_next_call() {
    let packet = v4_packet(&[], 100);
    let mut fragments = Fragments::new(&packet, 76, 0).unwrap();
    let (mut short, mut out) = ([0; 75], [0; 76]);
    let error = NoSpace::Back { needed: 76, available: 75 };
    assert_eq!(fragments.write_next(&mut short), Err(error));
    assert_eq!(short, [0; 75]);
    assert_eq!(fragments.write_next(&mut out).unwrap().map(|first| first.len()), Some(76));
    let last = fragments.write_next(&mut short).unwrap().map(|last| last[20..].to_vec());
    assert_eq!(last, Some(packet[76..].to_vec()));
    assert_eq!(fragments.write_next(&mut []), Ok(None));
}

/// Returns well-formed options with and without the copied flag, of a multiple of 4 octets.
fn options() -> impl Strategy<Value = Vec<u8>> {
    let option = (2u8..=255, proptest::collection::vec(any::<u8>(), 0..9))
        .prop_map(|(kind, data)| [&[kind, data.len() as u8 + 2], &data[..]].concat());
    proptest::collection::vec(prop_oneof![Just(vec![1]), option], 0..8).prop_map(|options| {
        let mut options = options.concat();
        options.resize(options.len().min(40).next_multiple_of(4), 0);
        options
    })
}

proptest! {
    /// Options may be truncated to 40 octets, and are refused then.
    #[test]
    fn ipv4_fragments_reassemble_to_the_packet(options in options(), payload in 0usize..3000, mtu in 68u16..1500) {
        let packet = v4_packet(&options, payload);
        match fragments(&packet, mtu) {
            Ok(all) => {
                prop_assert_eq!(reassemble_v4(&all), packet);
                for later in all.iter().skip(1) {
                    prop_assert!(later[0] <= all[0][0] && payload_of(later).len() <= payload);
                }
            }
            Err(e) => prop_assert!(matches!(e, FragmentError::Malformed(IpError::Option { .. })), "{}", e),
        }
    }

    #[test]
    fn ipv6_fragments_reassemble_to_the_packet(units in 0u8..20, payload in 0usize..3000, mtu in 240u16..1500) {
        let chain = [ext(IpProto::HOP_BY_HOP, units), ext(IpProto::DESTINATION_OPTIONS, 0)];
        let packet = v6_chain(&chain, IpProto::ESP, &vec![7; payload]);
        let all = fragments(&packet, mtu).unwrap();
        if let [whole] = &all[..] {
            prop_assert_eq!(whole, &packet);
        } else {
            prop_assert_eq!(reassemble_v6(&all, 48 + 8 * usize::from(units), 40), packet);
        }
    }

    /// Each fragment has at least 8 octets of the payload, so that their number is bounded.
    #[test]
    fn arbitrary_octets_have_bounded_fragments(
        first in prop_oneof![0x45u8..=0x4f, Just(0x60), any::<u8>()],
        mut octets in proptest::collection::vec(any::<u8>(), 0..400),
        mtu in 0u16..400,
    ) {
        let length = octets.len() as u16;
        if let [version, _, v4_high, v4_low, v6_high, v6_low, ..] = &mut octets[..] {
            *version = first;
            if first >> 4 == 4 {
                [*v4_high, *v4_low] = length.to_be_bytes();
            } else {
                [*v6_high, *v6_low] = length.saturating_sub(40).to_be_bytes();
            }
        }
        if let Ok(all) = fragments(&octets, mtu) {
            prop_assert!(all.iter().all(|fragment| fragment.len() <= mtu.into()));
            prop_assert!(all.len() <= octets.len() / 8, "{} fragments", all.len());
        }
    }
}
