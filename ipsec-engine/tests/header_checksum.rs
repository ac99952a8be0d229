//! Transport mode adjusts the IPv4 header checksum: a wrong one leaves wrong and is delivered wrong, so that damage stays visible.

mod common;
mod world;

use common::{Gateway, udp};
use ipsec_engine::Disposition;
use ipsec_packet::Ipv4;
use world::{A, B, SECRET, ah, esp, hosts, ipcomp};

fn holds(packet: &[u8]) -> bool {
    Ipv4::parse(packet).unwrap().has_valid_checksum()
}

/// Hosts with these transforms in transport mode.
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
fn a_right_checksum_stays_right_and_a_wrong_one_wrong() {
    for damage in [0, 1, 0x80, 0xff] {
        for (mut a, mut b) in pairs() {
            let mut packet = udp(A, B, 7, 9, &[SECRET, &[b'a'; 200]].concat());
            packet[10] ^= damage;
            let wire = a.send(&packet).unwrap();
            assert_eq!(holds(&wire), damage == 0, "on the wire");
            let (disposition, received) = b.receive(&wire);
            assert_eq!((disposition, received == packet), (Disposition::Deliver, true), "damage {damage:#x}");
        }
    }
}

#[test]
fn damage_on_the_way_is_delivered_as_damage() {
    for (mut a, mut b) in pairs() {
        let mut wire = a.send(&udp(A, B, 7, 9, SECRET)).unwrap();
        wire[11] ^= 4;
        let (disposition, received) = b.receive(&wire);
        assert_eq!((disposition, holds(&received)), (Disposition::Deliver, false));
    }
}

#[test]
fn a_tunnel_has_a_header_of_its_own() {
    let (mut a, mut b) = world::esp_tunnel();
    let mut packet = world::inner();
    packet[10] ^= 1;
    let wire = a.send(&packet).unwrap();
    assert!(holds(&wire));
    world::delivered(&mut b, &wire, &packet);
}
