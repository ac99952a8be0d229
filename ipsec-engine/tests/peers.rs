//! BEET, associations of IPComp that share a CPI, and SAs for any peer.

mod common;
mod world;

use common::{Gateway, udp};
use ipsec_engine::setkey::{Loading, Statement, Statements};
use ipsec_engine::{AnyAlgorithms, Direction, DiscardReason, Disposition, Protocol, Sa};
use world::*;

fn sa(text: &str, direction: Direction) -> Sa<AnyAlgorithms> {
    let mut statements = Statements::of(text);
    let Ok(Some(Statement::Add(add))) = statements.next() else { panic!("{text}") };
    add.sa(direction, Some((address("10.1.2.3"), address("10.2.3.4"))), &Loading::RFC).unwrap()
}

#[test]
fn beet_carries_one_flow_in_the_octets_of_transport_mode() {
    let text = esp(A, B, 0x1001, "-m beet");
    let rule = |direction| policy("10.1.2.3", "10.2.3.4", "any", direction, &format!("ipsec esp/beet/{A}-{B}/require"));
    let (mut a, mut b) = (Gateway::new(&rule("out"), A), Gateway::new(&rule("in"), B));
    a.engine.install(sa(&text, Direction::Outbound), a.now).unwrap();
    b.engine.install(sa(&text, Direction::Inbound), b.now).unwrap();
    for length in [0, 1, 100, 1000] {
        let wire = a.send(&udp("10.1.2.3", "10.2.3.4", 7, 9, &vec![7; length])).unwrap();
        assert_eq!(&wire[12..20], &[192, 0, 2, 1, 198, 51, 100, 1]);
        let (disposition, data) = b.receive(&wire);
        assert_eq!(
            (disposition, &data[12..]),
            (Disposition::Deliver, &udp("10.1.2.3", "10.2.3.4", 7, 9, &vec![7; length])[12..])
        );
    }
    // A tunnel is no BEET, nor the reverse.
    let mut tunnelling =
        Gateway::new(&policy("10.1.2.3", "10.2.3.4", "any", "in", &format!("ipsec esp/tunnel/{A}-{B}/require")), B);
    tunnelling.engine.install(sa(&text, Direction::Inbound), b.now).unwrap();
    refused_and_wiped(&mut tunnelling, &a.send(&inner()[..]).unwrap_or_default(), DiscardReason::SaMismatch);
}

/// A CPI below 64 names an algorithm: every peer has the same (RFC 3173 3.3).
//= RFC 3173 4/1
#[test]
fn peers_share_a_well_known_cpi() {
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
    refused_as_it_was(&mut b, &wire, DiscardReason::NoSa);
}

//= RFC 4303 2.1/1
#[test]
fn an_spi_belongs_to_one_address_and_one_protocol() {
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

/// A policy of level `unique:` chooses on the way out, too; and SAs that open seal nothing.
#[test]
fn only_the_sa_that_is_asked_for_seals() {
    let sas = esp(A, B, 0x1001, "-m transport -u 1") + &esp(A, B, 0x1002, "-m transport -u 2");
    for (level, spi) in
        [("unique:1", Some(0x1001u32)), ("unique:2", Some(0x1002)), ("unique:3", None), ("require", Some(0x1002))]
    {
        let rule = policy(A, B, "any", "out", &format!("ipsec esp/transport//{level}"));
        let sent = Gateway::new(&(sas.clone() + &rule), A).send(&host());
        assert_eq!(sent.ok().map(|wire| u32::from_be_bytes(wire[20..24].try_into().unwrap())), spi, "{level}");
        // The same SAs as B has them, and B sends as A.
        assert!(Gateway::new(&(sas.clone() + &rule), B).send(&host()).is_err());
    }
    // Transport mode serves the ends of its SA only.
    let wide = policy("192.0.2.0/24", "198.51.100.0/24", "any", "out", "ipsec esp/transport//require");
    let mut a = Gateway::new(&(sas + &wide), A);
    assert!(a.send(&host()).is_ok());
    for (from, to) in [("192.0.2.9", B), (A, "198.51.100.9")] {
        assert!(matches!(a.send(&udp(from, to, 1, 2, SECRET)), Err(Disposition::Pending(_))), "{from} {to}");
    }
}

/// Over 65535 octets there is no packet.
#[test]
fn packets_that_would_become_too_long_are_left_alone() {
    let (mut a, _) = esp_tunnel();
    let large = udp("10.1.2.3", "10.2.3.4", 1, 2, &vec![7; 65_500]);
    let refused = a.send(&large).unwrap_err();
    assert!(
        matches!(refused, Disposition::Discard(DiscardReason::Malformed(ipsec_packet::IpError::TooLong(_)))),
        "{refused:?}"
    );
    assert_eq!(a.engine.sas().next().unwrap().usage.packets, 0);
    let fits = udp("10.1.2.3", "10.2.3.4", 1, 2, &vec![7; 65_400]);
    assert!(a.send(&fits).is_ok());
}

#[test]
fn policies_taken_out_or_put_in_on_the_way_in_hold_at_once() {
    let mut b = Gateway::new("", B);
    assert_eq!(b.receive(&host()).0, Disposition::Bypass);
    b.load(&policy(A, B, "any", "in", "discard"), B);
    assert_eq!(b.receive(&host()).0, discarded(DiscardReason::Policy));
    let (id, _) = b.engine.policies().next().unwrap();
    b.engine.remove_policy(id).unwrap();
    assert_eq!(b.receive(&host()).0, Disposition::Bypass);
}
