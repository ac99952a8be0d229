//! Selection of SAs: inbound by SPI, destination and protocol; outbound by the template of the policy. The SA of a
//! delivered packet, which proves to a key exchange daemon that the peer is alive.

mod gateway;
mod gateway_pair;

use gateway::{Gateway, Received, udp};
use gateway_pair::*;
use ipsec_config::setkey::{LoadOptions, Statement, Statements};
use ipsec_engine::{Direction, DiscardReason, InboundAction, OutboundAction, Protocol, SaBackend, SaId};
use ipsec_packet::PacketBuf;

/// A CPI below 64 identifies an algorithm, so all peers have the same one (RFC 3173 section 3.3).
//= RFC 3173 4/1
//# MUST: two nodes establish an association before they use IPComp
#[test]
fn peers_may_share_a_well_known_cpi() {
    let m = "203.0.113.66";
    let shared = |from: &str| {
        format!("add {from} {B} ipcomp 0x4001 -m transport -u {} -C deflate;\n", if from == A { 1 } else { 2 })
    };
    let rule =
        |from: &str, direction, id| policy(from, B, "any", direction, &format!("ipsec ipcomp/transport//unique:{id}"));
    let mut b = Gateway::new(&(shared(A) + &shared(m) + &rule(A, "in", 1) + &rule(m, "in", 2)), B);
    assert_eq!(b.engine.sas().count(), 2);
    for (peer, id) in [(A, 1), (m, 2)] {
        let mut sender = Gateway::new(&(shared(peer) + &rule(peer, "out", id)), peer);
        carries(&mut sender, &mut b, &udp(peer, B, 1, 2, &[7; 500]));
        let cpi = key(Direction::Inbound, B, Protocol::Ipcomp, 2);
        assert_eq!(b.engine.sa(&cpi, address(peer)).unwrap().usage.packets, 1);
    }
    let mut wire = Gateway::new(&(shared(A) + &rule(A, "out", 1)), A).send(&udp(A, B, 1, 2, &[7; 500])).unwrap();
    wire[15] = 200;
    refused_unmodified(&mut b, &wire, DiscardReason::NoSa);
}

//= RFC 4303 2.1/1
//# MUST: inbound unicast traffic is mapped to an SA by SPI, alone or with the protocol
#[test]
fn inbound_sa_is_found_by_spi_destination_and_protocol() {
    let other = "198.51.100.2";
    let sas = esp(A, B, 0x1001, "-m transport -u 1")
        + &esp(A, other, 0x1001, "-m transport -u 2")
        + &ah(A, B, 0x1001, "-m transport -u 3");
    let mut b = Gateway::new(&sas, &format!("{B} {other}"));
    b.load(&policy(A, B, "udp", "in", "ipsec esp/transport//unique:1"), B);
    b.load(&policy(A, other, "udp", "in", "ipsec esp/transport//unique:2"), B);
    for (to, id) in [(B, 1), (other, 2)] {
        let text = esp(A, to, 0x1001, "-m transport") + &policy(A, to, "any", "out", "ipsec esp/transport//require");
        carries(&mut Gateway::new(&text, A), &mut b, &udp(A, to, 1, 2, SECRET));
        assert_eq!(b.engine.sas().filter(|sa| sa.usage.packets == 1).count(), id);
    }
}

/// A host that was started again has policies and no SA. A packet of its peer is not cleartext, also without the
/// address of a tunnel in the policy. A policy that discards all packets discards this one.
#[test]
fn packet_without_an_sa_is_reported_for_policies_of_transport_mode() {
    for (protocol, sa) in [("esp", esp(A, B, 0x1001, "-m transport")), ("ah", ah(A, B, 0x1001, "-m transport"))] {
        let level = format!("ipsec {protocol}/transport//require");
        let wire = Gateway::new(&(sa + &policy(A, B, "any", "out", &level)), A).send(&udp(A, B, 1, 2, SECRET)).unwrap();
        for (protected, reason) in [
            (policy(A, B, "any", "in", &level), DiscardReason::NoSa),
            (policy(A, B, "any", "in", "discard"), DiscardReason::Policy),
        ] {
            refused_unmodified(&mut Gateway::new(&protected, B), &wire, reason);
        }
    }
}

/// Level `unique:` selects the SA of outbound packets as well. Inbound SAs protect no packet.
#[test]
fn outbound_sa_is_selected_by_level() {
    let sas = esp(A, B, 0x1001, "-m transport -u 1") + &esp(A, B, 0x1002, "-m transport -u 2");
    for (level, spi) in
        [("unique:1", Some(0x1001u32)), ("unique:2", Some(0x1002)), ("unique:3", None), ("require", Some(0x1002))]
    {
        let rule = policy(A, B, "any", "out", &format!("ipsec esp/transport//{level}"));
        let sent = Gateway::new(&(sas.clone() + &rule), A).send(&host());
        assert_eq!(sent.ok().map(|wire| u32::from_be_bytes(wire[20..24].try_into().unwrap())), spi, "{level}");
        // At B the same SAs are inbound, so B cannot send packets with A's address.
        assert!(Gateway::new(&(sas.clone() + &rule), B).send(&host()).is_err());
    }
}

#[test]
fn transport_mode_sa_protects_only_packets_between_its_addresses() {
    let sas = esp(A, B, 0x1001, "-m transport -u 1") + &esp(A, B, 0x1002, "-m transport -u 2");
    let wide = policy("192.0.2.0/24", "198.51.100.0/24", "any", "out", "ipsec esp/transport//require");
    let mut a = Gateway::new(&(sas + &wide), A);
    assert!(a.send(&host()).is_ok());
    for (from, to) in [("192.0.2.9", B), (A, "198.51.100.9")] {
        assert!(matches!(a.send(&udp(from, to, 1, 2, SECRET)), Err(OutboundAction::Acquire(_))), "{from} {to}");
    }
}

#[test]
fn sa_of_a_file_cannot_have_the_reqid_of_a_unique_policy() {
    let mut a = Gateway::new(&policy(A, B, "any", "out", "ipsec esp/transport//unique"), A);
    let mut statements = Statements::of(concat!(
        "add 192.0.2.1 198.51.100.1 esp 0x1001 -m transport -u 65537 -E null -A hmac-sha1 ",
        "0x000102030405060708090a0b0c0d0e0f10111213;",
    ));
    if let Ok(Some(Statement::Add(add))) = statements.next() {
        SaBackend::add(&mut *a.engine, &add.params(Direction::Outbound, None, &LoadOptions::RFC).unwrap(), a.now)
            .unwrap();
    }
    assert!(a.send(&host()).is_err(), "reqid of level unique is above the reqids of setkey(8)");
}

/// `any` as an endpoint of a transport mode template means the address of the packet.
#[test]
fn endpoint_any_of_a_transport_template_is_the_packet_address() {
    let policy = format!("spdadd {A}/24 {B} any -P out ipsec esp/transport/any-{B}/require;");
    let mut a = Gateway::new(&format!("add {A} {B} esp 0x1001 -m transport {KEYS};{policy}"), A);
    assert!(matches!(a.send(&udp("192.0.2.77", B, 1, 2, b"")), Err(OutboundAction::Acquire(_))));
}

/// An inbound SA with an unspecified source accepts any source, also that of the template.
#[test]
fn inbound_sa_with_unspecified_source_matches_template_with_source() {
    let template = format!("esp/tunnel/{A}-{B}/require");
    let (mut a, _) = tunnel(&format!("add {A} {B} esp 0x1001 -m tunnel {KEYS};"), &format!("ipsec {template}"));
    let (_, mut b) = tunnel(&format!("add 0.0.0.0 {B} esp 0x1001 -m tunnel {KEYS};"), &format!("ipsec {template}"));
    let packet = udp("10.1.0.1", "10.2.0.1", 1, 2, b"");
    let wire = a.send(&packet).unwrap();
    assert_eq!(b.receive(&wire), (Received::Deliver, packet));
}

const TA: &str = "192.0.2.1-198.51.100.1";

/// Returns the SA of the packet that B delivers.
fn delivered_by(b: &mut Gateway, wire: &[u8]) -> SaId {
    let mut bytes = [wire, &[0; 2048]].concat();
    let mut buffer = PacketBuf::with_headroom(&mut bytes, 0, wire.len()).unwrap();
    match b.engine.inbound(&mut buffer, b.now) {
        InboundAction::Deliver { sa } => sa,
        other => panic!("{other:?}"),
    }
}

fn inbound_id(protocol: Protocol, spi: u32) -> SaId {
    key(Direction::Inbound, B, protocol, spi)
}

#[test]
fn delivery_reports_the_only_sa_of_a_packet() {
    let (mut a, mut b) = esp_tunnel();
    assert_eq!(delivered_by(&mut b, &a.send(&inner()).unwrap()), inbound_id(Protocol::Esp, 0x1001));
    let (mut a, mut b) = hosts(&ah(A, B, 0x2001, "-m transport"), "ipsec ah/transport//require");
    assert_eq!(delivered_by(&mut b, &a.send(&host()).unwrap()), inbound_id(Protocol::Ah, 0x2001));
}

#[test]
fn delivery_reports_the_innermost_esp_or_ah_sa_of_a_bundle() {
    let sas =
        ipcomp(A, B, 0x1100, "-m transport") + &esp(A, B, 0x1001, "-m transport") + &ah(A, B, 0x2001, "-m transport");
    let (mut a, mut b) = hosts(&sas, "ipsec ipcomp/transport//use esp/transport//require ah/transport//require");
    let packet = udp(A, B, 1, 2, &SECRET.repeat(20));
    assert_eq!(delivered_by(&mut b, &a.send(&packet).unwrap()), inbound_id(Protocol::Esp, 0x1001));
}

#[test]
fn delivery_reports_the_inner_sa_of_nested_tunnels_and_both_are_used() {
    let sas = esp(A, B, 0x1001, "-m tunnel") + &ah(A, B, 0x2001, "-m tunnel");
    let (mut a, mut b) = tunnel(&sas, &format!("ipsec esp/tunnel/{TA}/require ah/tunnel/{TA}/require"));
    assert_eq!(delivered_by(&mut b, &a.send(&inner()).unwrap()), inbound_id(Protocol::Esp, 0x1001));
    assert!(b.engine.sas().all(|sa| sa.usage.last == Some(b.now)));
}

#[test]
fn delivery_reports_the_ipcomp_sa_if_the_packet_has_no_esp_or_ah() {
    let (mut a, mut b) = hosts(&ipcomp(A, B, 0x1100, "-m transport"), "ipsec ipcomp/transport//require");
    let packet = udp(A, B, 1, 2, &SECRET.repeat(20));
    assert_eq!(delivered_by(&mut b, &a.send(&packet).unwrap()), inbound_id(Protocol::Ipcomp, 0x1100));
}

/// Each packet is of a new flow, so that nothing is known of the flow itself when SAs and policies have changed.
#[test]
fn new_flows_of_a_tunnel_follow_changes_of_sas_and_policies() {
    let tunnel = |level: &str| policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", level);
    let spi_of = |gateway: &mut Gateway, port: u16| {
        let sent = gateway.send(&udp("10.1.0.1", "10.2.0.1", port, 2, SECRET)).ok()?;
        Some(u32::from_be_bytes(sent[20..24].try_into().unwrap()))
    };
    let require = tunnel(&format!("ipsec esp/tunnel/{A}-{B}/require"));
    let mut a = Gateway::new(&(esp(A, B, 0x1001, "-m tunnel") + &require), A);
    assert_eq!([1, 2].map(|port| spi_of(&mut a, port)), [Some(0x1001); 2]);
    a.load(&esp(A, B, 0x1002, "-m tunnel"), A);
    assert_eq!([3, 4].map(|port| spi_of(&mut a, port)), [Some(0x1002); 2], "the newer SA");
    a.engine.remove(&key(Direction::Outbound, B, Protocol::Esp, 0x1002), address(A));
    assert_eq!([5, 6].map(|port| spi_of(&mut a, port)), [Some(0x1001); 2], "the SA that is left");
    // The policy in the slot of the one before has another tunnel.
    let other = "198.51.100.2";
    let id = a.engine.policies().next().unwrap().0;
    a.engine.remove_policy(id).unwrap();
    a.load(&(tunnel(&format!("ipsec esp/tunnel/{A}-{other}/require")) + &esp(A, other, 0x1003, "-m tunnel")), A);
    assert_eq!([7, 8].map(|port| spi_of(&mut a, port)), [Some(0x1003); 2], "the SA of the new policy");
    a.engine.remove(&key(Direction::Outbound, other, Protocol::Esp, 0x1003), address(A));
    assert_eq!([9, 10].map(|port| spi_of(&mut a, port)), [None; 2], "no SA is left");
    let sent = a.send(&udp("10.1.0.1", "10.2.0.1", 11, 2, SECRET));
    assert!(matches!(sent, Err(OutboundAction::Acquire(_))), "{sent:?}");
}
