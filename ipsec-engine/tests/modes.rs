//! Tunnel, transport and BEET mode between two gateways.

mod gateway;
mod gateway_pair;

use esp_core::OpenError;
use gateway::{Gateway, Received, udp};
use gateway_pair::*;
use ipsec_engine::{Counter, Direction, DiscardReason, OutboundAction};
use ipsec_packet::{Ipv4, PacketBuf, ReplayError, Seq};

/// Returns two gateways with one policy in each direction; the templates are given from A's side with endpoints `A-B`.
fn both_directions(sas: &str, transforms: &str) -> (Gateway, Gateway) {
    let policy = |direction: &str, from: &str, to: &str, transforms: &str| {
        format!("spdadd {from} {to} any -P {direction} ipsec {transforms};\n")
    };
    let (a_net, b_net) = ("10.1.0.0/16", "10.2.0.0/16");
    let out = transforms.replace("A-B", "192.0.2.1-198.51.100.1");
    let back = transforms.replace("A-B", "198.51.100.1-192.0.2.1");
    let a = format!("{sas}{}{}", policy("out", a_net, b_net, &out), policy("in", b_net, a_net, &back));
    let b = format!("{sas}{}{}", policy("out", b_net, a_net, &back), policy("in", a_net, b_net, &out));
    (Gateway::new(&a, "192.0.2.1"), Gateway::new(&b, "198.51.100.1"))
}

fn both_ways(proto: &str, spi: u32, rest: &str) -> String {
    format!(
        "add 192.0.2.1 198.51.100.1 {proto} {spi:#x} {rest};\nadd 198.51.100.1 192.0.2.1 {proto} {:#x} {rest};\n",
        spi + 1
    )
}

#[test]
fn tunnel_carries_packets_in_both_directions() {
    let (mut a, mut b) =
        both_directions(&both_ways("esp", 0x1001, &format!("-m tunnel -r 8 {KEYS}")), "esp/tunnel/A-B/require");
    for (n, len) in [0usize, 1, 100, 1400].into_iter().enumerate() {
        let packet = udp("10.1.2.3", "10.2.3.4", 1000, 2000 + n as u16, &vec![7; len]);
        let wire = a.send(&packet).unwrap();
        assert_eq!(wire[9], 50);
        assert_eq!(b.receive(&wire), (Received::Deliver, packet.clone()));
        assert_eq!(
            b.receive(&wire).0,
            Received::Discard(DiscardReason::Open(OpenError::Replayed(ReplayError::Duplicate)))
        );
        let answer = udp("10.2.3.4", "10.1.2.3", 2000, 1000, &vec![9; len]);
        let wire = b.send(&answer).unwrap();
        assert_eq!(a.receive(&wire), (Received::Deliver, answer));
    }
    assert_eq!(b.engine.counters().get(Direction::Inbound, Counter::EspDuplicate), 4);
}

fn has_valid_checksum(packet: &[u8]) -> bool {
    Ipv4::parse(packet).unwrap().has_valid_checksum()
}

/// Returns transport_pairs of hosts with different transport mode bundles.
fn transport_pairs() -> Vec<(Gateway, Gateway)> {
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
        for (mut a, mut b) in transport_pairs() {
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
    for (mut a, mut b) in transport_pairs() {
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

#[test]
fn beet_tunnel_carries_packets_with_the_overhead_of_transport_mode() {
    let text = esp(A, B, 0x1001, "-m beet");
    let rule = |direction| policy("10.1.2.3", "10.2.3.4", "any", direction, &format!("ipsec esp/beet/{A}-{B}/require"));
    let (mut a, mut b) = (Gateway::new(&rule("out"), A), Gateway::new(&rule("in"), B));
    a.engine.install(sa(&text, Direction::Outbound), a.now).unwrap();
    b.engine.install(sa(&text, Direction::Inbound), b.now).unwrap();
    for length in [0, 1, 100, 1000] {
        let wire = a.send(&udp("10.1.2.3", "10.2.3.4", 7, 9, &vec![7; length])).unwrap();
        assert_eq!(&wire[12..20], &[192, 0, 2, 1, 198, 51, 100, 1]);
        let (action, data) = b.receive(&wire);
        assert_eq!(
            (action, &data[12..]),
            (Received::Deliver, &udp("10.1.2.3", "10.2.3.4", 7, 9, &vec![7; length])[12..])
        );
    }
}

#[test]
fn policy_for_tunnel_mode_refuses_packets_of_a_beet_sa() {
    let text = esp(A, B, 0x1001, "-m beet");
    let rule = policy("10.1.2.3", "10.2.3.4", "any", "out", &format!("ipsec esp/beet/{A}-{B}/require"));
    let mut a = Gateway::new(&rule, A);
    a.engine.install(sa(&text, Direction::Outbound), a.now).unwrap();
    let mut tunnelling =
        Gateway::new(&policy("10.1.2.3", "10.2.3.4", "any", "in", &format!("ipsec esp/tunnel/{A}-{B}/require")), B);
    tunnelling.engine.install(sa(&text, Direction::Inbound), a.now).unwrap();
    refused_and_wiped(&mut tunnelling, &a.send(&inner()).unwrap(), DiscardReason::SaMismatch);
}

#[test]
fn beet_with_too_small_tailroom_leaves_the_packet_unmodified() {
    let rule = policy("10.1.2.3", "10.2.3.4", "any", "out", &format!("ipsec esp/beet/{A}-{B}/require"));
    for length in 0..32 {
        for back in 0..64 {
            let mut a = Gateway::new(&rule, A);
            a.engine.install(sa(&esp(A, B, 0x1001, "-m beet"), Direction::Outbound), a.now).unwrap();
            let packet = udp("10.1.2.3", "10.2.3.4", 7, 9, &vec![7; length]);
            let mut bytes = vec![0xee; 100 + packet.len() + back];
            bytes[100..100 + packet.len()].copy_from_slice(&packet);
            let mut buffer = PacketBuf::with_headroom(&mut bytes, 100, packet.len()).unwrap();
            let mut iv = |_: Seq, iv: &mut [u8]| iv.fill(3);
            let action = a.engine.outbound(&mut buffer, a.now, &mut iv);
            if action != OutboundAction::Send {
                assert_eq!(buffer.data(), packet, "{action:?}, {length} octets of payload, {back} of tailroom");
            }
        }
    }
}
