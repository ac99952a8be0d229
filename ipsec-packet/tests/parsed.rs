//! Parsed form of a packet: its values, and its agreement with the functions that read the octets.

mod packet_builder;

use ipsec_packet::{DestinationOptions, Flow, Fragment, IpError, IpProto, ParsedIp, find_header, transport_position};
use proptest::prelude::*;

fn ipv6(first: u8, rest: &[u8]) -> Vec<u8> {
    packet_builder::v6(IpProto(first), rest)
}

/// Returns an options header of 8 octets in front of `next`.
fn header(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}

#[test]
fn positions_of_ipsec_headers_differ_by_destination_options() {
    let packet = ipv6(0, &[header(60), header(17), [0, 7, 0, 9, 0, 8, 0, 0]].concat());
    let ip = ParsedIp::read(&packet).unwrap();
    let at = |options| ip.transport_position(options).map(|place| (place.at, place.next));
    assert_eq!(at(DestinationOptions::Protected), Ok((48, IpProto::DESTINATION_OPTIONS)));
    assert_eq!(at(DestinationOptions::Unprotected), Ok((56, IpProto::UDP)));
    assert_eq!(ip.first_header().map(|(place, fragment)| (place.at, fragment)), Ok((56, Fragment::Whole)));
}

#[test]
fn inserted_header_is_the_first_and_bounds_both_positions() {
    let packet = ipv6(0, &[header(60), header(17), [0, 7, 0, 9, 0, 8, 0, 0]].concat());
    let mut ip = ParsedIp::read(&packet).unwrap();
    let place = ip.transport_position(DestinationOptions::Protected).unwrap();
    ip.insert(place, 16, IpProto::ESP);
    let esp = ipv6(0, &[&header(50)[..], &[0; 16], &header(17), &[0, 7, 0, 9, 0, 8, 0, 0]].concat());
    assert!(ip.is_of(&esp));
    assert_eq!(ip.find(IpProto::ESP).map(|place| place.at), Ok(48));
}

#[test]
fn fragments_have_no_position_for_an_ipsec_header() {
    let fragment = |high, low| ipv6(44, &[50, 0, high, low, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8]);
    for (high, low, expected) in [(0, 1, Fragment::First(48)), (0, 8, Fragment::Later), (1, 1, Fragment::Later)] {
        let ip = ParsedIp::read(&fragment(high, low)).unwrap();
        let (place, fragment) = ip.first_header().unwrap();
        assert_eq!((place.at, place.next, fragment), (40, IpProto::ESP, expected));
        assert_eq!(ip.transport_position(DestinationOptions::Protected), Err(IpError::Fragment));
        assert_eq!(ip.find(IpProto::ESP), Err(IpError::Fragment));
    }
    let atomic = ParsedIp::read(&fragment(0, 0)).unwrap();
    assert_eq!(atomic.first_header().map(|(place, fragment)| (place.at, fragment)), Ok((48, Fragment::Whole)));
}

#[test]
fn truncated_ah_is_found_and_has_no_flow() {
    let ip = ParsedIp::read(&ipv6(51, &[6, 200, 0, 0, 0, 0, 0, 1])).unwrap();
    assert_eq!(ip.find(IpProto::AH).map(|place| place.at), Ok(40));
    assert_eq!(ip.flow(), Err(IpError::Extension { offset: 40 }));
    assert_eq!(ip.first_header().map(|(place, _)| place.at), Err(IpError::Extension { offset: 40 }));
}

proptest! {
    #[test]
    fn parsed_form_agrees_with_functions_of_octets(
        first in prop::sample::select(vec![0u8, 43, 44, 60, 51, 50, 17, 6, 58, 108, 59]),
        rest in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 8, 17, 43, 44, 50, 51, 58, 60, 108]), 0..80),
        version in prop::sample::select(vec![4u8, 6]),
    ) {
        let packet = if version == 6 { ipv6(first, &rest) } else { packet_builder::v4(&[], IpProto(first), &rest) };
        let ip = ParsedIp::read(&packet).unwrap();
        prop_assert_eq!(ip.flow(), Flow::read(&packet));
        prop_assert_eq!(ip.len(), packet.len());
        for options in [DestinationOptions::Protected, DestinationOptions::Unprotected] {
            prop_assert_eq!(ip.transport_position(options), transport_position(&packet, options));
        }
        for wanted in [IpProto::ESP, IpProto::AH, IpProto::IPCOMP, IpProto::UDP, IpProto::IPV4] {
            prop_assert_eq!(ip.find(wanted), find_header(&packet, wanted));
        }
        let mut again = ip;
        again.read_next_headers(&packet);
        prop_assert_eq!(again, ip);
    }
}
