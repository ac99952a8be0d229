//! NAT detection: NAT-D hashes of an independent implementation, and the result for the receiver (RFC 3947 section
//! 3.2).
#![cfg(all(feature = "modern", feature = "legacy"))]
#![allow(clippy::type_complexity)]

mod values;

use std::net::{IpAddr, SocketAddr};

use ike_v1::{Cookies, NatDetection, detect, detection_hash};
use ipsec_crypto::HashFunction;
use test_vectors::from_hex;
use test_vectors::support::address;

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

#[test]
fn detection_hash_matches_python() {
    assert_eq!(values::NATD.len(), 5 * 4);
    for &(name, address, port, expected) in values::NATD {
        let (_, hash, octets) = HASHES.iter().find(|row| row.0 == name).unwrap();
        let expected = from_hex(expected).unwrap();
        let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
        assert_eq!(detection_hash(*hash, &cookies(), address).expose(), expected, "{name} {address}");
        assert_eq!(expected.len(), *octets, "{name}");
    }
}

#[test]
fn detection_hash_covers_address_port_and_both_cookies() {
    let here = address("192.0.2.1:500");
    let mut other = vec![
        ("port", cookies(), address("192.0.2.1:501")),
        ("high octet of the port", cookies(), address("192.0.2.1:244")),
        ("address", cookies(), address("192.0.2.2:500")),
        ("family", cookies(), address("[2001:db8::c000:201]:500")),
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
        for (name, cookies, address) in &other {
            assert!(detection_hash(hash, cookies, *address).verify(expected.expose()).is_err(), "{hash:?}: {name}");
        }
    }
}

/// Local addresses of the peers, each with its translated address if a NAT is present.
const SOURCES: [(&str, &str); 2] =
    [("192.0.2.1:500", "203.0.113.9:61000"), ("[2001:db8::1]:500", "[2001:db8:f::9]:4500")];
const DESTINATIONS: [(&str, &str); 2] = [("198.51.100.7:500", "10.0.0.7:500"), ("[2001:db8::7]:500", "[fd00::7]:500")];

#[test]
fn detect_finds_nat_of_each_side() {
    for (_, hash, _) in HASHES {
        for ((source, seen_source), (destination, seen_destination)) in SOURCES.into_iter().zip(DESTINATIONS) {
            let of = |text| detection_hash(hash, &cookies(), address(text)).expose().to_vec();
            let (to, from) = (of(destination), of(source));
            let cases = [
                ("no NAT", (source, destination), (false, false)),
                ("NAT at the receiver", (source, seen_destination), (true, false)),
                ("NAT at the sender", (seen_source, destination), (false, true)),
                ("NAT at both", (seen_source, seen_destination), (true, true)),
            ];
            for (name, (source, destination), (here, there)) in cases {
                let found = detect(hash, &cookies(), (address(source), address(destination)), [&to[..], &from]);
                assert_eq!(found, Some(NatDetection { here, there }), "{hash:?}: {name}");
            }
        }
    }
}

#[test]
fn detect_accepts_one_matching_source_hash_at_any_position() {
    let hash = HashFunction::Sha1;
    let datagram = (address("192.0.2.1:500"), address("198.51.100.7:500"));
    let of = |text| detection_hash(hash, &cookies(), address(text)).expose().to_vec();
    let (to, from, other, third) =
        (of("198.51.100.7:500"), of("192.0.2.1:500"), of("10.1.1.1:500"), of("172.16.0.1:500"));
    let clear = Some(NatDetection::default());
    let there = Some(NatDetection { here: false, there: true });
    let here = Some(NatDetection { here: true, there: false });
    let cases: [(&str, &[&Vec<u8>], Option<NatDetection>); 9] = [
        ("match first", &[&to, &from, &other, &third], clear),
        ("match in the middle", &[&to, &other, &from, &third], clear),
        ("match last", &[&to, &other, &third, &from], clear),
        ("match twice", &[&to, &from, &from], clear),
        ("no match among three", &[&to, &other, &third, &other], there),
        ("destination hash in place of source hashes", &[&to, &to, &to], there),
        ("source and destination hash exchanged", &[&from, &to], Some(NatDetection { here: true, there: true })),
        ("unknown destination hash", &[&other, &from], here),
        ("unknown destination hash, several source hashes", &[&third, &other, &from], here),
    ];
    for (name, hashes, expected) in cases {
        let found = detect(hash, &cookies(), datagram, hashes.iter().map(|hash| &hash[..]));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn detect_reports_nat_on_both_sides_for_forced_hashes() {
    let datagram = (address("192.0.2.1:500"), address("198.51.100.7:500"));
    for (_, hash, octets) in HASHES {
        let forced = [&vec![0; octets][..], &vec![0xff; octets]].map(<[u8]>::to_vec);
        let found = detect(hash, &cookies(), datagram, forced.iter().map(|hash| &hash[..]));
        assert_eq!(found, Some(NatDetection { here: true, there: true }), "{hash:?}");
    }
}

#[test]
fn detect_returns_none_for_fewer_than_two_hashes() {
    let datagram = (address("192.0.2.1:500"), address("198.51.100.7:500"));
    let to = detection_hash(HashFunction::Sha1, &cookies(), datagram.1);
    assert_eq!(detect(HashFunction::Sha1, &cookies(), datagram, []), None);
    assert_eq!(detect(HashFunction::Sha1, &cookies(), datagram, [to.expose()]), None);
    assert_eq!(detect(HashFunction::Sha1, &cookies(), datagram, [&[0; 20][..]]), None);
}

#[test]
fn detect_does_not_match_hashes_of_wrong_length() {
    let datagram = (address("192.0.2.1:500"), address("198.51.100.7:500"));
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
            assert_eq!(found, Some(NatDetection { here, there }), "{hash:?}: {} and {}", first.len(), second.len());
        }
    }
}
