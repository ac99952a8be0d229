//! Counters and audit events of discarded packets, and the counter views of other implementations.

mod gateway;
mod gateway_pair;

use gateway::{Gateway, Received, ip, udp};
use gateway_pair::*;
use ipsec_engine::{Counter, Direction, Protocol};
use ipsec_packet::{IpProto, SeqWidth};
use std::time::Duration;

/// Case of a received packet: engine, packet, expected counter.
type Case = (Gateway, Vec<u8>, Counter);

fn with_flipped_bit(wire: &[u8], from_the_end: usize) -> Vec<u8> {
    let (mut wire, at) = (wire.to_vec(), wire.len() - from_the_end);
    wire[at] ^= 1;
    wire
}

fn of_ah(change: impl Fn(&mut Vec<u8>)) -> (Gateway, Vec<u8>) {
    let (mut a, b) = hosts(&ah(A, B, 0x1002, "-m transport"), "ipsec ah/transport//require");
    let mut wire = a.send(&host()).unwrap();
    change(&mut wire);
    (b, wire)
}

fn refused_inbound() -> Vec<Case> {
    let b = |action: &str| Gateway::new(&policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", action), B);
    let fresh = || {
        let (mut a, b) = esp_tunnel();
        (a.send(&inner()).unwrap(), b)
    };
    let mut cases = vec![
        (b("none"), vec![0x45, 0, 0], Counter::Malformed),
        (b("discard"), inner(), Counter::Policy),
        (b(&format!("ipsec esp/tunnel/{A}-{B}/require")), inner(), Counter::Cleartext),
        (fresh().1, ip(A, B, IpProto::ESP, &[9; 40]), Counter::NoSa),
        (fresh().1, udp(A, B, 1, 4500, &[0xff]), Counter::KeepAlive),
    ];
    let mut strict = b("none");
    strict.engine.settings_mut().unmatched = ipsec_engine::Unmatched::Discard;
    cases.push((strict, host(), Counter::NoPolicy));
    let mut later = udp("10.1.2.3", "10.2.3.4", 1, 2, SECRET);
    later[7] = 9;
    let text = policy("10.1.0.0/16", "10.2.0.0/16[2]", "udp", "in", "discard");
    cases.push((Gateway::new(&text, B), later, Counter::Opaque));
    let (mut wire, b) = fresh();
    wire[6] = 0x20;
    cases.push((b, wire, Counter::Fragment));
    let (wire, b) = fresh();
    cases.push((b, [&wire[..], &[]].concat()[..27].to_vec(), Counter::Malformed));
    let (mut wire, b) = fresh();
    wire[15] = 200;
    cases.push((b, wire, Counter::SourceMismatch));
    let (wire, b) = fresh();
    cases.push((b, with_flipped_bit(&wire, 1), Counter::EspIcvMismatch));
    let (wire, mut b) = fresh();
    assert_eq!(b.receive(&wire).0, Received::Deliver);
    cases.push((b, wire, Counter::EspDuplicate));
    let (mut wire, b) = fresh();
    wire[24..28].fill(0);
    cases.push((b, wire, Counter::EspTooOld));
    for (cut, counter) in [(100, Counter::EspRunt), (12, Counter::EspUnaligned)] {
        let (mut wire, b) = fresh();
        wire.truncate(wire.len() - cut);
        let total = (wire.len() as u16).to_be_bytes();
        wire[2..4].copy_from_slice(&total);
        cases.push((b, wire, counter));
    }
    let (wire, mut b) = fresh();
    b.engine.remove(&key(Direction::Inbound, B, Protocol::Esp, 0x1001), address(A)).unwrap();
    b.engine.reserve(key(Direction::Inbound, B, Protocol::Esp, 0x1001), address(A), b.now).unwrap();
    cases.push((b, wire, Counter::Larval));
    let (mut a, mut b) = tunnel(&esp(A, B, 0x1001, "-m tunnel -lh 9"), &format!("ipsec esp/tunnel/{A}-{B}/require"));
    let wire = a.send(&inner()).unwrap();
    b.now += Duration::from_secs(9);
    cases.push((b, wire, Counter::Expired));
    let (_, b) = fresh();
    let (mut a, _) = tunnel(
        &esp(A, B, 0x1001, "-m tunnel").replace("esp ", "esp-udp "),
        &format!("ipsec esp/tunnel/{A}-{B}/require"),
    );
    cases.push((b, a.send(&inner()).unwrap(), Counter::Encapsulation));
    let udp_sa = esp(A, B, 0x1001, "-m tunnel").replace("esp ", "esp-udp ");
    let mut wire = a.send(&inner()).unwrap();
    wire[24..26].copy_from_slice(&[0, 7]);
    cases.push((Gateway::new(&udp_sa, B), wire, Counter::Udp));
    // Transport mode packet for a tunnel mode SA: the payload is not an IP packet.
    let (mut a, _) = hosts(&esp(A, B, 0x1001, "-m transport"), "ipsec esp/transport//require");
    cases.push((fresh().1, a.send(&host()).unwrap(), Counter::Inner));
    // A dummy packet, and a packet through another tunnel.
    cases.push((fresh().1, a.send(&ip(A, B, IpProto(59), &[1, 2, 3])).unwrap(), Counter::Dummy));
    let (mut a, _) = one_way(
        &esp(A, B, 0x1001, "-m tunnel"),
        "10.3.0.0/16",
        "10.2.0.0/16",
        &format!("ipsec esp/tunnel/{A}-{B}/require"),
        (A, B),
    );
    cases.push((fresh().1, a.send(&udp("10.3.0.1", "10.2.3.4", 1, 2, SECRET)).unwrap(), Counter::NoPolicy));
    let wrong = policy("10.3.0.0/16", "10.2.0.0/16", "any", "in", &format!("ipsec esp/tunnel/{A}-{B}/unique:3"));
    let receiver = Gateway::new(&(esp(A, B, 0x1001, "-m tunnel") + &wrong), B);
    cases.push((receiver, a.send(&udp("10.3.0.1", "10.2.3.4", 1, 2, SECRET)).unwrap(), Counter::SaMismatch));
    let mut many = Gateway::new(
        &(esp(A, B, 0x1001, "-m tunnel")
            + &policy("0.0.0.0/0", "0.0.0.0/0", "any", "out", &format!("ipsec esp/tunnel/{A}-{B}/require"))),
        A,
    );
    let wire = (0..9).fold(inner(), |packet, _| many.send(&packet).unwrap());
    cases.push((fresh().1, wire, Counter::TooManyHeaders));
    let (b, wire) = of_ah(|wire| *wire.last_mut().unwrap() ^= 1);
    cases.push((b, wire, Counter::AhIcvMismatch));
    let (b, wire) = of_ah(|wire| wire[28..32].fill(0));
    cases.push((b, wire, Counter::AhTooOld));
    let (mut b, wire) = of_ah(|_| ());
    assert_eq!(b.receive(&wire).0, Received::Deliver);
    cases.push((b, wire, Counter::AhDuplicate));
    let (b, wire) = of_ah(|wire| wire[21] = 9);
    cases.push((b, wire, Counter::AhLength));
    let (mut a, b) = hosts(&ipcomp(A, B, 0x1100, "-m transport"), "ipsec ipcomp/transport//require");
    let wire = a.send(&udp(A, B, 1, 2, &[7; 1000])).unwrap();
    cases.push((b, [&wire[..24], &[0xff; 40][..wire.len() - 24]].concat(), Counter::Ipcomp));
    cases
}

const SUCCESSES: [Counter; 12] = [
    Counter::Esp,
    Counter::EspOctets,
    Counter::Ah,
    Counter::AhOctets,
    Counter::Compressed,
    Counter::CompressedOctets,
    Counter::Tunnelled,
    Counter::CacheHit,
    Counter::CacheMiss,
    Counter::Uncompressed,
    Counter::Processed,
    Counter::Bypassed,
];

fn change(before: &[(Direction, Counter, u64)], after: &Gateway) -> Vec<(Direction, Counter, u64)> {
    let old =
        |direction, counter| before.iter().find(|(w, c, _)| (*w, *c) == (direction, counter)).map_or(0, |(.., n)| *n);
    let now = after.engine.counters().iter();
    now.map(|(direction, counter, n)| (direction, counter, n - old(direction, counter)))
        .filter(|(.., n)| *n > 0)
        .collect()
}

//= RFC 4302 3.4.3/5
//# SHOULD: that is the first check of AH
//= RFC 4303 3.4.2/1, 3.4.3/6
//# MUST: a packet without a valid SA is discarded
//# SHOULD: that is the first check of ESP
#[test]
fn inbound_discard_reason_increments_its_own_counter() {
    for (mut b, wire, counter) in refused_inbound() {
        let before: Vec<_> = b.engine.counters().iter().collect();
        let (action, ..) = receive_in_large_buffer(&mut b, &wire);
        assert!(action.reason().is_some(), "{counter:?} {action:?}");
        let refusals: Vec<_> = change(&before, &b).into_iter().filter(|(_, c, _)| !SUCCESSES.contains(c)).collect();
        assert_eq!(refusals, [(Direction::Inbound, counter, 1)], "{action:?}");
        let delivered = change(&before, &b).iter().any(|(_, c, _)| matches!(c, Counter::Processed | Counter::Bypassed));
        assert!(!delivered, "{counter:?}");
    }
}

#[test]
fn counters_count_packets_octets_and_refusals() {
    let (mut a, mut b) = esp_tunnel();
    for n in 0..10 {
        let wire = carries(&mut a, &mut b, &inner());
        if n % 2 == 0 {
            assert!(b.receive(&wire).0.reason().is_some());
        }
        if n % 5 == 0 {
            assert!(b.receive(&with_flipped_bit(&a.send(&inner()).unwrap(), 3)).0.reason().is_some());
        }
    }
    let octets = inner().len() as u64;
    for (gateway, direction, counter, expected) in [
        (&b, Direction::Inbound, Counter::Processed, 10),
        (&b, Direction::Inbound, Counter::EspDuplicate, 5),
        (&b, Direction::Inbound, Counter::EspIcvMismatch, 2),
        (&b, Direction::Inbound, Counter::Esp, 10),
        (&a, Direction::Outbound, Counter::Processed, 12),
        (&a, Direction::Outbound, Counter::EspOctets, 12 * octets),
    ] {
        assert_eq!(count(gateway, direction, counter), expected, "{counter:?}");
    }
    assert_eq!(
        (count(&b, Direction::Inbound, Counter::Tunnelled), count(&b, Direction::Inbound, Counter::EspOctets)),
        (10, 10 * octets)
    );
    let lookups =
        count(&a, Direction::Outbound, Counter::CacheHit) + count(&a, Direction::Outbound, Counter::CacheMiss);
    assert_eq!((lookups, count(&a, Direction::Outbound, Counter::CacheMiss)), (12, 1));
}

#[test]
fn outbound_discard_reason_increments_its_own_counter() {
    let (mut a, _) = esp_tunnel();
    let sa = key(Direction::Outbound, B, Protocol::Esp, 0x1001);
    a.load(&policy("10.1.0.0/16", "10.8.0.0/16", "any", "out", "discard"), A);
    a.load(&policy("10.1.0.0/16", "10.9.0.0/16[5]", "tcp", "out", "discard"), A);
    let mut later = ip("10.1.2.3", "10.9.3.4", IpProto::TCP, SECRET);
    later[7] = 9;
    let mut df = udp("10.1.2.3", "10.2.3.4", 1, 2, &[7; 1400]);
    df[6] = 0x40;
    let before: Vec<_> = a.engine.counters().iter().collect();
    a.engine.settings_mut().link_mtu = Some(1400);
    assert!(a.send(&udp("10.1.2.3", "10.8.3.4", 1, 2, b"")).is_err());
    assert!(a.send(&later).is_err());
    assert!(a.send(&df).is_err());
    assert!(a.send(&[0x45]).is_err());
    a.engine.settings_mut().unmatched = ipsec_engine::Unmatched::Discard;
    assert!(a.send(&host()).is_err());
    set_last_sequence(&mut a, &sa, A, SeqWidth::Bits32, u32::MAX.into());
    assert!(a.send(&inner()).is_err());
    a.engine.settings_mut().link_mtu = None;
    let mut refusals: Vec<_> = change(&before, &a).into_iter().filter(|(_, c, _)| !SUCCESSES.contains(c)).collect();
    refusals.sort_by_key(|(_, c, _)| *c as usize);
    let all = [
        Counter::Malformed,
        Counter::Policy,
        Counter::NoPolicy,
        Counter::Opaque,
        Counter::SequenceExhausted,
        Counter::TooBig,
    ];
    assert_eq!(refusals, all.map(|counter| (Direction::Outbound, counter, 1)));
    assert_eq!(count(&a, Direction::Outbound, Counter::Processed), 0);
}
