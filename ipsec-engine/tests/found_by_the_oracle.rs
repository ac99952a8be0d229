//! What the oracle and the engine did not agree on, each as small as it gets.
#![allow(clippy::result_large_err)]

mod common;

use std::net::IpAddr;

use common::{Gateway, udp};
use ipsec_engine::{Counter, DefaultLevel, Direction, Disposition, Protocol, SaId, Transform};

const A: &str = "192.0.2.1";
const B: &str = "198.51.100.1";
const KEYS: &str =
    "-E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213";
const MAC: &str = "-A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213";

/// A sends to B by these SAs, through a policy between two nets.
fn pair(sas: &str, transforms: &str) -> (Gateway, Gateway) {
    let policy = |direction| format!("spdadd 10.1.0.0/16 10.2.0.0/16 any -P {direction} ipsec {transforms};");
    (Gateway::new(&format!("{sas}{}", policy("out")), A), Gateway::new(&format!("{sas}{}", policy("in")), B))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn octets(gateway: &Gateway, direction: Direction, protocol: Protocol) -> u64 {
    let key = SaId { direction, destination: address(B), protocol, spi: 0x1001 };
    gateway.engine.sa(&key, address(A)).unwrap().usage.octets
}

/// A bundle of transforms of level `default` that goes in clear, because an SA is optional, must not go on doing so when
/// it is not.
#[test]
fn what_default_means_counts_for_flows_that_are_known() {
    let mut a = Gateway::new(&format!("spdadd {A} {B} any -P out ipsec esp/transport//default;"), A);
    let packet = udp(A, B, 1, 2, b"secret");
    a.engine.settings_mut().default_level = DefaultLevel::Use;
    assert_eq!(a.send(&packet), Err(Disposition::Bypass));
    a.engine.settings_mut().default_level = DefaultLevel::Require;
    assert!(matches!(a.send(&packet), Err(Disposition::Pending(_))));
}

/// "With anything but Send and Bypass the packet is unchanged, and no number is used": an SA that serves two transforms
/// of a bundle and has one number left gives it away for nothing. (`send` compares the packet.)
#[test]
fn an_sa_that_serves_twice_needs_two_numbers() {
    let request = format!("esp/tunnel/{A}-{B}/require");
    let (mut a, _) = pair(&format!("add {A} {B} esp 0x1001 -m tunnel {KEYS};"), &format!("{request} {request}"));
    let key = SaId { direction: Direction::Outbound, destination: address(B), protocol: Protocol::Esp, spi: 0x1001 };
    let moved = a.engine.update(&key, address(A), |sa| {
        let Transform::EspOut(esp) = sa.transform_mut() else { panic!() };
        esp.reserve(u32::MAX - 1).unwrap();
    });
    assert_eq!(moved.unwrap(), key);
    let refused = a.send(&udp("10.1.0.1", "10.2.0.1", 1, 2, b"")).unwrap_err();
    assert_eq!(refused.reason().unwrap().counter(), Counter::SequenceExhausted);
}

/// RFC 4301 4.4.2.1: octets to which the algorithm is applied, for AH the whole packet. In transport mode both ends count
/// so, in tunnel mode the receiver only.
#[test]
fn both_ends_of_an_ah_tunnel_count_the_same_octets() {
    let (mut a, mut b) =
        pair(&format!("add {A} {B} ah 0x1001 -m tunnel {MAC};"), &format!("ah/tunnel/{A}-{B}/require"));
    let wire = a.send(&udp("10.1.0.1", "10.2.0.1", 1, 2, b"")).unwrap();
    assert_eq!(b.receive(&wire).0, Disposition::Deliver);
    assert_eq!(octets(&a, Direction::Outbound, Protocol::Ah), octets(&b, Direction::Inbound, Protocol::Ah));
}

/// `Usage`: "only packets that were sealed, or authenticated, count". This one was: its number is used up, too.
#[test]
fn an_authentic_packet_counts_whatever_is_inside() {
    let sas = |mode| format!("add {A} {B} esp 0x1001 -m {mode} {KEYS};");
    let policy = format!("spdadd {A} {B} any -P out ipsec esp/transport//require;");
    let mut a = Gateway::new(&format!("{}{policy}", sas("transport")), A);
    let mut b = Gateway::new(&sas("tunnel"), B);
    let wire = a.send(&udp(A, B, 1, 2, b"payload")).unwrap();
    assert_eq!(b.receive(&wire).0.reason().unwrap().counter(), Counter::Inner);
    assert_eq!(octets(&b, Direction::Inbound, Protocol::Esp), 15);
}

/// Two IPComp tunnels between the same ends, the older dead: "used no more".
#[test]
fn a_dead_tunnel_does_not_take_what_was_not_compressed() {
    let request = format!("ipcomp/tunnel/{A}-{B}/require");
    let (mut a, mut b) = pair(&format!("add {A} {B} ipcomp 0x1001 -m tunnel -bh 1 -C deflate -R;"), &request);
    let packet = udp("10.1.0.1", "10.2.0.1", 1, 2, b"short");
    let wire = a.send(&packet).unwrap();
    assert_eq!(b.receive(&wire).0, Disposition::Deliver); // and this was its last
    let newer = format!("add {A} {B} ipcomp 0x1002 -m tunnel -C deflate -R;");
    a.load(&newer, A);
    b.load(&newer, B);
    let wire = a.send(&packet).unwrap();
    assert_eq!(b.receive(&wire), (Disposition::Deliver, packet));
}

/// `serves`: "ends that the request does not name are those of the packet as it is by then". In transport mode that is so
/// when it names none.
#[test]
fn an_end_that_is_not_named_is_the_packets_own() {
    let policy = format!("spdadd {A}/24 {B} any -P out ipsec esp/transport/any-{B}/require;");
    let mut a = Gateway::new(&format!("add {A} {B} esp 0x1001 -m transport {KEYS};{policy}"), A);
    assert!(matches!(a.send(&udp("192.0.2.77", B, 1, 2, b"")), Err(Disposition::Pending(_))));
}

/// `Sa::new`: "an unspecified source of an SA that opens stands for any", so for the one that the policy names, too.
#[test]
fn an_sa_for_any_source_serves_a_policy_that_names_one() {
    let request = format!("esp/tunnel/{A}-{B}/require");
    let (mut a, _) = pair(&format!("add {A} {B} esp 0x1001 -m tunnel {KEYS};"), &request);
    let (_, mut b) = pair(&format!("add 0.0.0.0 {B} esp 0x1001 -m tunnel {KEYS};"), &request);
    let packet = udp("10.1.0.1", "10.2.0.1", 1, 2, b"");
    let wire = a.send(&packet).unwrap();
    assert_eq!(b.receive(&wire), (Disposition::Deliver, packet));
}

/// One policy compresses between the nets, another protects what goes between the gateways. Whether a packet is accepted
/// must not depend on whether it was worth compressing (RFC 3173 2.2).
#[test]
fn a_tunnel_in_a_tunnel_need_not_be_compressed() {
    let sas = format!("add {A} {B} ipcomp 0x1001 -m tunnel -C deflate -R; add {A} {B} esp 0x1002 -m tunnel {KEYS};");
    let (mut a, mut b) = pair(&sas, &format!("ipcomp/tunnel/{A}-{B}/require"));
    let between = |direction| format!("spdadd {A} {B} any -P {direction} ipsec esp/tunnel/{A}-{B}/require;");
    a.load(&between("out"), A);
    b.load(&between("in"), B);
    for size in [500, 5] {
        let packet = udp("10.1.0.1", "10.2.0.1", 1, 2, &vec![7; size]);
        let inner = a.send(&packet).unwrap();
        let wire = a.send(&inner).unwrap();
        assert_eq!(b.receive(&wire), (Disposition::Deliver, packet), "{size} octets");
    }
}
