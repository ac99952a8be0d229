//! States and lifetimes of SAs: larval, mature, dying, dead; limits, expire events, sequence numbers.

mod gateway;
mod gateway_pair;

use esp_core::{OpenError, SealError};
use gateway::{Gateway, Received, udp};
use gateway_pair::*;
use ipsec_engine::{
    Counter, Direction, DiscardReason, Expiry, InstallError, OutboundAction, Protocol, ReserveError, SaEvent, SaState,
};
use ipsec_packet::{ReplayError, SeqWidth};
use std::time::Duration;

const OUT: &str = "ipsec esp/tunnel/192.0.2.1-198.51.100.1/require";

fn sa_in() -> ipsec_engine::SaId {
    key(Direction::Inbound, B, Protocol::Esp, 0x1001)
}

fn sa_out() -> ipsec_engine::SaId {
    key(Direction::Outbound, B, Protocol::Esp, 0x1001)
}

fn state(gateway: &Gateway, key: &ipsec_engine::SaId) -> Option<SaState> {
    gateway.engine.sa(key, address(A)).map(|sa| sa.state)
}

fn pass(gateway: &mut Gateway, seconds: u64) {
    gateway.now += Duration::from_secs(seconds);
}

/// Returns both gateways with these options of setkey; `inner()` counts 71 octets towards the byte lifetime.
fn limited(options: &str) -> (Gateway, Gateway) {
    tunnel(&esp(A, B, 0x1001, &format!("-m tunnel {options}")), OUT)
}

#[test]
fn soft_and_hard_time_limits_are_reported_once_each() {
    let (mut a, mut b) = limited("-ls 60 -lh 90");
    for _ in 0..2 {
        carries(&mut a, &mut b, &inner());
    }
    assert_eq!(a.engine.poll_timeout(), Some(a.now + Duration::from_secs(60)));
    pass(&mut a, 59);
    pass(&mut b, 59);
    carries(&mut a, &mut b, &inner());
    assert_eq!((state(&a, &sa_out()), state(&b, &sa_in())), (Some(SaState::Mature), Some(SaState::Mature)));
    assert_eq!((events(&mut a), events(&mut b)), (vec![], vec![]));
    pass(&mut a, 1);
    pass(&mut b, 1);
    carries(&mut a, &mut b, &inner());
    carries(&mut a, &mut b, &inner());
    assert_eq!((state(&a, &sa_out()), state(&b, &sa_in())), (Some(SaState::Dying), Some(SaState::Dying)));
    assert_eq!(events(&mut a), [SaEvent::Expire(sa_out(), Expiry::Soft)], "once");
    assert_eq!(events(&mut b), [SaEvent::Expire(sa_in(), Expiry::Soft)], "once");
    assert_eq!(a.engine.poll_timeout(), Some(a.now + Duration::from_secs(30)));
    let late = a.send(&inner()).unwrap();
    pass(&mut a, 30);
    pass(&mut b, 30);
    assert!(matches!(a.send(&inner()), Err(OutboundAction::Acquire(_))));
    refused_unmodified(&mut b, &late, DiscardReason::Expired);
    assert_eq!((state(&a, &sa_out()), state(&b, &sa_in())), (Some(SaState::Dead), Some(SaState::Dead)));
    assert!(events(&mut a).contains(&SaEvent::Expire(sa_out(), Expiry::Hard)));
    assert_eq!(events(&mut b), [SaEvent::Expire(sa_in(), Expiry::Hard)]);
    assert_eq!((state(&a, &sa_out()), state(&b, &sa_in())), (None, None), "dead SA is removed after its event");
    refused_unmodified(&mut b, &late, DiscardReason::NoSa);
}

/// Only the hard limit is reported if soft and hard limit are reached at the same time.
#[test]
fn hard_time_limit_is_reported_by_a_tick_without_packets() {
    let (mut a, _) = limited("-ls 60 -lh 90");
    pass(&mut a, 90);
    a.engine.tick(a.now);
    assert_eq!(events(&mut a), [SaEvent::Expire(sa_out(), Expiry::Hard)]);
    assert_eq!(a.engine.poll_timeout(), None);
}

#[test]
fn packet_limits_count_the_packets_of_the_sa() {
    for direction in [Direction::Outbound, Direction::Inbound] {
        let (mut a, mut b) = limited("");
        let key = if direction == Direction::Outbound { sa_out() } else { sa_in() };
        let limited = if direction == Direction::Outbound { &mut a } else { &mut b };
        let limits = ipsec_engine::Lifetimes {
            soft: ipsec_engine::Limit { packets: Some(3), ..Default::default() },
            hard: ipsec_engine::Limit {
                packets: Some(5),
                use_age: Some(Duration::from_secs(100)),
                ..Default::default()
            },
        };
        limited.engine.update(&key, address(A), |sa| sa.set_lifetimes(limits)).unwrap();
        pass(&mut a, 1000);
        pass(&mut b, 1000);
        for n in 1..=5 {
            carries(&mut a, &mut b, &inner());
            let limited = if direction == Direction::Outbound { &a } else { &b };
            let expected = if n >= 5 {
                SaState::Dead
            } else if n >= 3 {
                SaState::Dying
            } else {
                SaState::Mature
            };
            assert_eq!(state(limited, &key), Some(expected), "{direction} {n}");
        }
        match direction {
            Direction::Outbound => assert!(matches!(a.send(&inner()), Err(OutboundAction::Acquire(_)))),
            Direction::Inbound => refused_unmodified(&mut b, &a.send(&inner()).unwrap(), DiscardReason::Expired),
        }
    }
}

#[test]
fn lifetime_since_first_use_begins_with_the_first_packet() {
    let (mut a, _) = limited("");
    let limit = ipsec_engine::Limit { use_age: Some(Duration::from_secs(100)), ..Default::default() };
    let limits = ipsec_engine::Lifetimes { hard: limit, ..Default::default() };
    a.engine.update(&sa_out(), address(A), |sa| sa.set_lifetimes(limits)).unwrap();
    pass(&mut a, 5000);
    a.send(&inner()).unwrap();
    pass(&mut a, 99);
    a.send(&inner()).unwrap();
    pass(&mut a, 1);
    assert!(matches!(a.send(&inner()), Err(OutboundAction::Acquire(_))));
}

#[test]
fn byte_limits_count_payload() {
    let (mut a, mut b) = limited("-bs 150 -bh 210");
    let sizes = [0, 71, 142, 213];
    for (n, expected) in [(1, SaState::Mature), (2, SaState::Mature), (3, SaState::Dead)] {
        carries(&mut a, &mut b, &inner());
        for (gateway, key) in [(&a, sa_out()), (&b, sa_in())] {
            let sa = gateway.engine.sa(&key, address(A)).unwrap();
            assert_eq!((sa.state, sa.usage.packets), (expected, n));
            if key.direction == Direction::Outbound {
                assert_eq!(sa.usage.octets, sizes[n as usize]);
            }
        }
    }
}

#[test]
fn byte_limits_are_exact() {
    // Each packet counts 71 octets, so the second one reaches 142, but not 143.
    for (limit, after) in [(142, SaState::Dead), (143, SaState::Mature)] {
        let (mut a, mut b) = limited(&format!("-bh {limit}"));
        for _ in 0..2 {
            carries(&mut a, &mut b, &inner());
        }
        assert_eq!((state(&a, &sa_out()), state(&b, &sa_in())), (Some(after), Some(after)), "{limit}");
    }
}

#[test]
fn dead_sa_stays_dead_if_the_clock_is_set_back() {
    let (mut a, mut b) = limited("-lh 90");
    let wire = a.send(&inner()).unwrap();
    let then = b.now;
    pass(&mut b, 90);
    refused_unmodified(&mut b, &wire, DiscardReason::Expired);
    b.now = then;
    refused_unmodified(&mut b, &wire, DiscardReason::Expired);
}

//= RFC 2406 3.4.3/12
//# MUST: a packet is authenticated before the window is updated
#[test]
fn forged_and_replayed_packets_do_not_change_the_sa() {
    let (mut a, mut b) = limited("-bs 300 -bh 400 -lh 1000");
    let first = carries(&mut a, &mut b, &inner());
    let second = a.send(&inner()).unwrap();
    let before = *b.engine.sa(&sa_in(), address(A)).unwrap().usage;
    pass(&mut b, 10);
    for n in 0..200u32 {
        let mut forged = second.clone();
        // High sequence numbers would advance the window if they were recorded.
        forged[24..28].copy_from_slice(&(n * 1000 + 2).to_be_bytes());
        *forged.last_mut().unwrap() ^= 1;
        refused_unmodified(&mut b, &forged, DiscardReason::Open(OpenError::IcvMismatch));
        refused_unmodified(&mut b, &first, DiscardReason::Open(OpenError::Replayed(ReplayError::Duplicate)));
    }
    assert_eq!(*b.engine.sa(&sa_in(), address(A)).unwrap().usage, before);
    assert_eq!(events(&mut b), []);
    delivered(&mut b, &second, &inner());
}

/// IPComp has no ICV: only packets received inside AH or ESP count towards the lifetime of an IPComp association.
#[test]
fn ipcomp_without_the_required_esp_does_not_change_the_sa() {
    let sas = ipcomp(A, B, 0x1100, "-m tunnel -bh 5000") + &esp(A, B, 0x1101, "-m transport");
    let bundle = format!("ipsec ipcomp/tunnel/{A}-{B}/require");
    let (_, mut b) = tunnel(&sas, &format!("{bundle} esp/transport//require"));
    let (mut attacker, _) = tunnel(&ipcomp(A, B, 0x1100, "-m tunnel"), &bundle);
    let packet = gateway::udp("10.1.2.3", "10.2.3.4", 1, 2, &[7; 1000]);
    for _ in 0..6 {
        let wire = attacker.send(&packet).unwrap();
        assert!(matches!(b.receive(&wire).0, Received::Discard(_)));
    }
    let sa = b.engine.sa(&key(Direction::Inbound, B, Protocol::Ipcomp, 0x1100), address(A)).unwrap();
    assert_eq!((sa.state, sa.usage.packets), (SaState::Mature, 0));
}

/// Returns the ID of an SA that has no keys yet.
fn larval() -> ipsec_engine::SaId {
    key(Direction::Inbound, B, Protocol::Esp, 0x3001)
}

#[test]
fn spi_in_use_is_not_reserved() {
    let (_, mut b) = esp_tunnel();
    b.engine.reserve(larval(), address(A), b.now).unwrap();
    assert_eq!(b.engine.reserve(larval(), address(A), b.now), Err(ReserveError::InUse), "larval SA");
    assert_eq!(b.engine.reserve(sa_in(), address(A), b.now), Err(ReserveError::InUse), "mature SA");
}

#[test]
fn larval_sa_refuses_packets_and_expires_after_30_seconds() {
    let (mut a, mut b) = esp_tunnel();
    let key = larval();
    b.engine.reserve(key, address(A), b.now).unwrap();
    assert_eq!(state(&b, &key), Some(SaState::Larval));
    let mut wire = a.send(&inner()).unwrap();
    wire[20..24].copy_from_slice(&0x3001u32.to_be_bytes());
    refused_unmodified(&mut b, &wire, DiscardReason::Larval);
    assert_eq!(b.engine.poll_timeout(), Some(b.now + Duration::from_secs(30)));
    pass(&mut b, 29);
    b.engine.tick(b.now);
    assert_eq!(state(&b, &key), Some(SaState::Larval));
    pass(&mut b, 1);
    b.engine.tick(b.now);
    assert_eq!((state(&b, &key), b.engine.poll_timeout()), (None, None));
    refused_unmodified(&mut b, &wire, DiscardReason::NoSa);
}

#[test]
fn larval_sa_with_keys_stays_in_its_slot_and_does_not_expire() {
    let (_, mut b) = esp_tunnel();
    let key = larval();
    b.engine.reserve(key, address(A), b.now).unwrap();
    b.load(&esp(A, B, 0x3001, "-m tunnel"), B);
    assert_eq!((state(&b, &key), b.engine.sas().count()), (Some(SaState::Mature), 2));
    pass(&mut b, 31);
    b.engine.tick(b.now);
    assert_eq!(state(&b, &key), Some(SaState::Mature));
}

#[test]
fn removed_larval_sa_has_no_usage() {
    let (_, mut b) = esp_tunnel();
    b.engine.reserve(larval(), address(A), b.now).unwrap();
    assert_eq!(b.engine.sas().count(), 2);
    let usage = b.engine.remove(&larval(), address(A)).unwrap();
    assert_eq!((usage.packets, usage.octets), (0, 0));
    assert_eq!(b.engine.sas().count(), 1);
}

//= RFC 2408 4.3/2, 4.3/3
//# SHOULD: outbound traffic uses a new protocol SA as soon as it is there
//# SHOULD: inbound traffic is taken by the old SA until it is deleted
/// Returns the SPI of an ESP packet in an IPv4 packet without options.
fn spi(wire: &[u8]) -> u32 {
    u32::from_be_bytes(wire[20..24].try_into().unwrap())
}

#[test]
fn newest_sa_is_used_for_outbound_packets() {
    let (mut a, mut b) = limited("-ls 60 -lh 90");
    assert_eq!(spi(&carries(&mut a, &mut b, &inner())), 0x1001);
    let on_its_way = a.send(&inner()).unwrap();
    b.load(&esp(A, B, 0x1002, "-m tunnel"), B);
    assert_eq!(spi(&carries(&mut a, &mut b, &inner())), 0x1001);
    a.load(&esp(A, B, 0x1002, "-m tunnel"), A);
    assert_eq!(spi(&carries(&mut a, &mut b, &inner())), 0x1002, "the newer SA is used");
    delivered(&mut b, &on_its_way, &inner());
}

#[test]
fn newest_sa_is_used_whichever_slot_it_has() {
    let (mut c, _) = limited("");
    c.load(&esp(A, B, 0x2001, "-m tunnel"), A);
    c.engine.remove(&sa_out(), address(A)).unwrap();
    c.load(&esp(A, B, 0x2002, "-m tunnel"), A);
    assert_eq!(spi(&c.send(&inner()).unwrap()), 0x2002);
}

#[test]
fn older_dying_sa_is_used_after_removal_of_the_newer_one() {
    let (mut a, _) = limited("-ls 60 -lh 90");
    a.load(&esp(A, B, 0x1002, "-m tunnel"), A);
    pass(&mut a, 70);
    assert!(a.engine.remove(&key(Direction::Outbound, B, Protocol::Esp, 0x1002), address(A)).is_some());
    assert_eq!(spi(&a.send(&inner()).unwrap()), 0x1001);
}

#[test]
fn mature_sa_is_preferred_to_a_newer_dying_one() {
    let (mut a, _) = limited("");
    a.load(&esp(A, B, 0x1003, "-m tunnel"), A);
    a.load(&esp(A, B, 0x1004, "-m tunnel -ls 5"), A);
    assert_eq!(spi(&a.send(&inner()).unwrap()), 0x1004);
    pass(&mut a, 5);
    assert_eq!(spi(&a.send(&inner()).unwrap()), 0x1003);
}

#[test]
fn refused_sa_is_returned_and_slots_of_dead_sas_are_reused() {
    let (_, mut b) = limited("-lh 90");
    let inbound = |spi| sa(&esp(A, B, spi, "-m tunnel"), Direction::Inbound);
    let Err(InstallError::Exists(back)) = b.engine.install(inbound(0x1001), b.now) else {
        panic!("second SA of an ID was accepted")
    };
    assert_eq!(back.key(), sa_in());
    for spi in 0x2000..0x200f {
        b.engine.install(inbound(spi), b.now).unwrap();
    }
    let Err(InstallError::Full(back)) = b.engine.install(inbound(0x2fff), b.now) else {
        panic!("SA was accepted by a full table")
    };
    assert_eq!(back.key().spi, 0x2fff);
    assert_eq!(
        b.engine.reserve(key(Direction::Inbound, B, Protocol::Esp, 9999), address(A), b.now),
        Err(ReserveError::Full)
    );
    assert_eq!(b.engine.sas().count(), 16);
    pass(&mut b, 90);
    b.engine.tick(b.now);
    b.engine.install(back, b.now).unwrap();
    assert_eq!((b.engine.sas().count(), state(&b, &sa_in())), (16, None));
}

#[test]
fn dead_sa_is_replaced_by_an_sa_of_the_same_id() {
    let (_, mut b) = limited("-lh 90");
    pass(&mut b, 90);
    b.engine.tick(b.now);
    assert_eq!(b.engine.install(sa(&esp(A, B, 0x1001, "-m tunnel"), Direction::Inbound), b.now).unwrap(), sa_in());
    assert_eq!(state(&b, &sa_in()), Some(SaState::Mature));
}

#[test]
fn hard_expire_event_is_reported_after_the_slot_is_reused() {
    let (_, mut b) = limited("-lh 90");
    pass(&mut b, 90);
    b.engine.tick(b.now);
    b.load(&(0x2000..0x2010).map(|spi| esp(A, B, spi, "-m tunnel")).collect::<String>(), B);
    assert_eq!(events(&mut b), [SaEvent::Expire(sa_in(), Expiry::Hard)]);
}

//= RFC 4303 2.2/1, 2.2/4
//# MUST: the sender counts the sequence number up for each packet
//# MUST: a new SA takes over before the counter would pass 2^32 - 1
#[test]
fn exhausted_esp_sequence_numbers_are_not_reused() {
    for (option, width, last, few) in
        [("", SeqWidth::Bits32, u64::from(u32::MAX), 1 << 16), ("-esn", SeqWidth::Extended64, u64::MAX, 1u64 << 32)]
    {
        let (mut a, _) = limited(option);
        set_last_sequence(&mut a, &sa_out(), A, width, last - few - 1);
        a.send(&inner()).unwrap();
        assert_eq!(events(&mut a), [], "{few} sequence numbers are left");
        for _ in 0..3 {
            a.send(&inner()).unwrap();
        }
        assert_eq!(events(&mut a), [SaEvent::SequenceLow(sa_out())], "once");
        set_last_sequence(&mut a, &sa_out(), A, width, last - 1);
        let wire = a.send(&inner()).unwrap();
        assert_eq!(wire[24..28], [0xff; 4]);
        let usage = *a.engine.sa(&sa_out(), address(A)).unwrap().usage;
        for _ in 0..3 {
            assert_eq!(a.send(&inner()), Err(not_sent(DiscardReason::Seal(SealError::SequenceExhausted))));
        }
        assert_eq!(*a.engine.sa(&sa_out(), address(A)).unwrap().usage, usage);
        assert_eq!(events(&mut a), []);
        // A new SA replaces the exhausted one.
        a.load(&esp(A, B, 0x1002, "-m tunnel"), A);
        assert_eq!(a.send(&inner()).unwrap()[20..28], [0, 0, 0x10, 2, 0, 0, 0, 1]);
    }
}

//= RFC 4302 2.5/4
//# MUST: a new SA takes over before the counter would pass 2^32 - 1
#[test]
fn exhausted_ah_sequence_numbers_are_not_reused() {
    let (mut a, _) = hosts(&ah(A, B, 0x1002, "-m transport"), "ipsec ah/transport//require");
    let sa = key(Direction::Outbound, B, Protocol::Ah, 0x1002);
    set_last_sequence(&mut a, &sa, A, SeqWidth::Bits32, u64::from(u32::MAX) - 1);
    a.send(&host()).unwrap();
    assert_eq!(events(&mut a), [SaEvent::SequenceLow(sa)]);
    let exhausted = DiscardReason::Sign(ah_core::SignError::SequenceExhausted);
    assert_eq!(a.send(&host()), Err(OutboundAction::Discard(exhausted)));
}

/// The SA of the second template has no sequence number left: the first SA uses none, and the packet is unmodified.
#[test]
fn exhausted_sa_of_a_bundle_is_detected_before_the_first_template() {
    let sas = esp(A, B, 0x1001, "-m transport") + &ah(A, B, 0x1002, "-m transport");
    let (mut a, _) = hosts(&sas, "ipsec esp/transport//require ah/transport//require");
    set_last_sequence(&mut a, &key(Direction::Outbound, B, Protocol::Ah, 0x1002), A, SeqWidth::Bits32, u32::MAX.into());
    assert!(matches!(a.send(&host()), Err(OutboundAction::Discard(reason)) if reason.counter_is_exhausted()));
    assert!(a.engine.sas().all(|sa| sa.usage.packets == 0));
    assert_eq!(a.engine.sa(&sa_out(), address(A)).unwrap().sa.unwrap().transform().sequence().unwrap().get(), 0);
}

trait Exhaustion {
    fn counter_is_exhausted(&self) -> bool;
}

impl Exhaustion for DiscardReason {
    fn counter_is_exhausted(&self) -> bool {
        matches!(self, Self::Seal(SealError::SequenceExhausted) | Self::Sign(ah_core::SignError::SequenceExhausted))
    }
}

#[test]
fn sequence_numbers_used_outside_the_engine_are_reported() {
    let (mut a, _) = esp_tunnel();
    set_last_sequence(&mut a, &sa_out(), A, SeqWidth::Bits32, u64::from(u32::MAX));
    assert_eq!(a.send(&inner()), Err(not_sent(DiscardReason::Seal(SealError::SequenceExhausted))));
    assert_eq!(events(&mut a), [SaEvent::SequenceLow(sa_out())]);
}

#[test]
fn hard_expire_event_is_reported_after_the_sa_id_is_reused() {
    let text = esp(A, B, 0x1001, "-m tunnel -lh 10");
    let mut a = Gateway::new(&text, A);
    a.now += Duration::from_secs(11);
    a.engine.tick(a.now);
    a.load(&text, A);
    assert_eq!(events(&mut a), [SaEvent::Expire(key(Direction::Outbound, B, Protocol::Esp, 0x1001), Expiry::Hard)]);
}

/// Returns the octets that the SA with SPI 0x1001 has counted.
fn usage_octets(gateway: &Gateway, direction: Direction, protocol: Protocol) -> u64 {
    gateway.engine.sa(&key(direction, B, protocol, 0x1001), address(A)).unwrap().usage.octets
}

/// RFC 4301 section 4.4.2.1 counts the octets to which the algorithm is applied: for AH, the whole packet.
#[test]
fn both_ends_of_an_ah_tunnel_count_the_same_octets() {
    let (mut a, mut b) =
        tunnel(&format!("add {A} {B} ah 0x1001 -m tunnel {MAC};"), &format!("ipsec ah/tunnel/{A}-{B}/require"));
    let wire = a.send(&udp("10.1.0.1", "10.2.0.1", 1, 2, b"")).unwrap();
    assert_eq!(b.receive(&wire).0, Received::Deliver);
    assert_eq!(usage_octets(&a, Direction::Outbound, Protocol::Ah), usage_octets(&b, Direction::Inbound, Protocol::Ah));
}

/// An authenticated packet counts towards the lifetime of its SA, even if the inner packet is invalid.
#[test]
fn authenticated_packet_with_invalid_inner_packet_is_counted() {
    let sas = |mode| format!("add {A} {B} esp 0x1001 -m {mode} {KEYS};");
    let policy = format!("spdadd {A} {B} any -P out ipsec esp/transport//require;");
    let mut a = Gateway::new(&format!("{}{policy}", sas("transport")), A);
    let mut b = Gateway::new(&sas("tunnel"), B);
    let wire = a.send(&udp(A, B, 1, 2, b"payload")).unwrap();
    assert_eq!(b.receive(&wire).0.reason().unwrap().counter(), Counter::Inner);
    assert_eq!(usage_octets(&b, Direction::Inbound, Protocol::Esp), 15);
}
