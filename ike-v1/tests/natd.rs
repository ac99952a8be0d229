//! NAT detection: hashes computed elsewhere, and what a receiver concludes (RFC 3947 3.2).
#![cfg(all(feature = "modern", feature = "legacy"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![allow(clippy::type_complexity)]

mod values;

use std::net::{IpAddr, SocketAddr};

use ike_v1::{Cookies, NatSituation, detect, detection_hash};
use ipsec_crypto::HashFunction;
use test_vectors::from_hex;

const HASHES: [(&str, HashFunction, usize); 5] = [
    ("md5", HashFunction::Md5, 16),
    ("sha1", HashFunction::Sha1, 20),
    ("sha256", HashFunction::Sha2_256, 32),
    ("sha384", HashFunction::Sha2_384, 48),
    ("sha512", HashFunction::Sha2_512, 64),
];

fn cookies() -> Cookies {
    let octets = from_hex(values::COOKIES).unwrap();
    Cookies { initiator: octets[..8].try_into().unwrap(), responder: octets[8..].try_into().unwrap() }
}

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn hashes_are_those_that_python_computes() {
    assert_eq!(values::NATD.len(), 5 * 4);
    for &(name, address, port, expected) in values::NATD {
        let (_, hash, octets) = HASHES.iter().find(|row| row.0 == name).unwrap();
        let expected = from_hex(expected).unwrap();
        let end = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
        assert_eq!(detection_hash(*hash, &cookies(), end).expose(), expected, "{name} {end}");
        assert_eq!(expected.len(), *octets, "{name}");
    }
}

#[test]
fn every_part_of_an_end_and_both_cookies_count() {
    let here = end("192.0.2.1:500");
    let mut other = vec![
        ("port", cookies(), end("192.0.2.1:501")),
        ("high octet of the port", cookies(), end("192.0.2.1:244")),
        ("address", cookies(), end("192.0.2.2:500")),
        ("family", cookies(), end("[2001:db8::c000:201]:500")),
        ("cookies exchanged", Cookies { initiator: cookies().responder, responder: cookies().initiator }, here),
    ];
    for i in 0..8 {
        let (mut initiator, mut responder) = (cookies(), cookies());
        initiator.initiator[i] ^= 1;
        responder.responder[i] ^= 1;
        other.extend([("initiator cookie", initiator, here), ("responder cookie", responder, here)]);
    }
    for (_, hash, _) in HASHES {
        let expected = detection_hash(hash, &cookies(), here);
        for (name, cookies, end) in &other {
            assert!(detection_hash(hash, cookies, *end).verify(expected.expose()).is_err(), "{hash:?}: {name}");
        }
    }
}

/// Where the sender and the receiver believe to be, and what the datagram says.
const SOURCES: [(&str, &str); 2] =
    [("192.0.2.1:500", "203.0.113.9:61000"), ("[2001:db8::1]:500", "[2001:db8:f::9]:4500")];
const DESTINATIONS: [(&str, &str); 2] = [("198.51.100.7:500", "10.0.0.7:500"), ("[2001:db8::7]:500", "[fd00::7]:500")];

#[test]
fn a_nat_is_found_on_the_side_where_it_is() {
    for (_, hash, _) in HASHES {
        for ((source, seen_source), (destination, seen_destination)) in SOURCES.into_iter().zip(DESTINATIONS) {
            let of = |text| detection_hash(hash, &cookies(), end(text)).expose().to_vec();
            let (to, from) = (of(destination), of(source));
            let cases = [
                ("nobody", (source, destination), (false, false)),
                ("here", (source, seen_destination), (true, false)),
                ("there", (seen_source, destination), (false, true)),
                ("both", (seen_source, seen_destination), (true, true)),
            ];
            for (name, (source, destination), (here, there)) in cases {
                let found = detect(hash, &cookies(), (end(source), end(destination)), [&to[..], &from]);
                assert_eq!(found, Some(NatSituation { here, there }), "{hash:?}: {name}");
            }
        }
    }
}

#[test]
fn one_of_the_senders_addresses_is_enough_wherever_it_stands() {
    let hash = HashFunction::Sha1;
    let datagram = (end("192.0.2.1:500"), end("198.51.100.7:500"));
    let of = |text| detection_hash(hash, &cookies(), end(text)).expose().to_vec();
    let (to, from, other, third) =
        (of("198.51.100.7:500"), of("192.0.2.1:500"), of("10.1.1.1:500"), of("172.16.0.1:500"));
    let clear = Some(NatSituation::default());
    let there = Some(NatSituation { here: false, there: true });
    let here = Some(NatSituation { here: true, there: false });
    let cases: [(&str, &[&Vec<u8>], Option<NatSituation>); 9] = [
        ("one, first", &[&to, &from, &other, &third], clear),
        ("one, in the middle", &[&to, &other, &from, &third], clear),
        ("one, last", &[&to, &other, &third, &from], clear),
        ("the same twice", &[&to, &from, &from], clear),
        ("none of three", &[&to, &other, &third, &other], there),
        ("the destination among them does not count", &[&to, &to, &to], there),
        ("the destination is the first, and only that", &[&from, &to], Some(NatSituation { here: true, there: true })),
        ("the destination is unknown", &[&other, &from], here),
        ("another destination, then several sources", &[&third, &other, &from], here),
    ];
    for (name, hashes, expected) in cases {
        let found = detect(hash, &cookies(), datagram, hashes.iter().map(|hash| &hash[..]));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_peer_that_forces_nat_traversal_is_behind_a_nat_and_so_is_the_receiver() {
    let datagram = (end("192.0.2.1:500"), end("198.51.100.7:500"));
    for (_, hash, octets) in HASHES {
        let forced = [&vec![0; octets][..], &vec![0xff; octets]].map(<[u8]>::to_vec);
        let found = detect(hash, &cookies(), datagram, forced.iter().map(|hash| &hash[..]));
        assert_eq!(found, Some(NatSituation { here: true, there: true }), "{hash:?}");
    }
}

#[test]
fn fewer_than_two_hashes_are_no_nat_traversal() {
    let datagram = (end("192.0.2.1:500"), end("198.51.100.7:500"));
    let to = detection_hash(HashFunction::Sha1, &cookies(), datagram.1);
    assert_eq!(detect(HashFunction::Sha1, &cookies(), datagram, []), None);
    assert_eq!(detect(HashFunction::Sha1, &cookies(), datagram, [to.expose()]), None);
    assert_eq!(detect(HashFunction::Sha1, &cookies(), datagram, [&[0; 20][..]]), None);
}

#[test]
fn hashes_of_another_length_match_nothing() {
    let datagram = (end("192.0.2.1:500"), end("198.51.100.7:500"));
    for (_, hash, octets) in HASHES {
        let (to, from) = (detection_hash(hash, &cookies(), datagram.1), detection_hash(hash, &cookies(), datagram.0));
        let longer = |hash: &[u8]| [hash, &[0]].concat();
        let (long_to, long_from) = (longer(to.expose()), longer(from.expose()));
        let cases: [(&[u8], &[u8], bool, bool); 6] = [
            (to.expose(), from.expose(), false, false),
            (&[], from.expose(), true, false),
            (to.expose(), &[], false, true),
            (&to.expose()[..octets - 1], from.expose(), true, false),
            (to.expose(), &from.expose()[..octets - 1], false, true),
            (&long_to, &long_from, true, true),
        ];
        for (first, second, here, there) in cases {
            let found = detect(hash, &cookies(), datagram, [first, second]);
            assert_eq!(found, Some(NatSituation { here, there }), "{hash:?}: {} and {}", first.len(), second.len());
        }
    }
}
