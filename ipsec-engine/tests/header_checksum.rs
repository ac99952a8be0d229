//! Transport mode updates the IPv4 header checksum incrementally, so that an invalid checksum stays invalid.

mod gateway;
mod gateway_pair;

use gateway::{Gateway, Received, udp};
use gateway_pair::{A, B, SECRET, ah, esp, hosts, ipcomp};

use ipsec_packet::Ipv4;

fn has_valid_checksum(packet: &[u8]) -> bool {
    Ipv4::parse(packet).unwrap().has_valid_checksum()
}

/// Returns pairs of hosts with different transport mode bundles.
fn pairs() -> Vec<(Gateway, Gateway)> {
    let sas =
        esp(A, B, 0x1001, "-m transport") + &ah(A, B, 0x2001, "-m transport") + &ipcomp(A, B, 0x3003, "-m transport");
    let in_udp = esp(A, B, 0x1001, "-m transport").replace(" esp ", " esp-udp ");
    vec![
        hosts(&sas, "ipsec esp/transport//require"),
        hosts(&sas, "ipsec ah/transport//require"),
        hosts(&sas, "ipsec esp/transport//require ah/transport//require"),
        hosts(&sas, "ipsec ipcomp/transport//require esp/transport//require"),
        hosts(&in_udp, "ipsec esp/transport//require"),
    ]
}

#[test]
fn valid_checksum_stays_valid_and_invalid_checksum_invalid() {
    for damage in [0, 1, 0x80, 0xff] {
        for (mut a, mut b) in pairs() {
            let mut packet = udp(A, B, 7, 9, &[SECRET, &[b'a'; 200]].concat());
            packet[10] ^= damage;
            let wire = a.send(&packet).unwrap();
            assert_eq!(has_valid_checksum(&wire), damage == 0, "checksum on the wire");
            let (action, received) = b.receive(&wire);
            assert_eq!((action, received == packet), (Received::Deliver, true), "damage {damage:#x}");
        }
    }
}

#[test]
fn checksum_error_on_the_path_is_delivered() {
    for (mut a, mut b) in pairs() {
        let mut wire = a.send(&udp(A, B, 7, 9, SECRET)).unwrap();
        wire[11] ^= 4;
        let (action, received) = b.receive(&wire);
        assert_eq!((action, has_valid_checksum(&received)), (Received::Deliver, false));
    }
}

#[test]
fn tunnel_header_has_its_own_valid_checksum() {
    let (mut a, mut b) = gateway_pair::esp_tunnel();
    let mut packet = gateway_pair::inner();
    packet[10] ^= 1;
    let wire = a.send(&packet).unwrap();
    assert!(has_valid_checksum(&wire));
    gateway_pair::delivered(&mut b, &wire, &packet);
}
