//! Tunnel between two engines in both directions, configured by two setkey.conf texts.

mod gateway;

use esp_core::OpenError;
use gateway::{Gateway, Received, udp};
use ipsec_engine::{Counter, Direction, DiscardReason};
use ipsec_packet::ReplayError;

const KEYS: &str =
    "-E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213";

/// Returns two gateways with one policy in each direction; the templates are given from A's side with endpoints `A-B`.
fn pair(sas: &str, transforms: &str) -> (Gateway, Gateway) {
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
    let (mut a, mut b) = pair(&both_ways("esp", 0x1001, &format!("-m tunnel -r 8 {KEYS}")), "esp/tunnel/A-B/require");
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
