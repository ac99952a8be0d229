use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io;
use std::rc::Rc;

use ipsec_config::setkey;
use ipsec_sa::{Lifetimes, Limit};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use zeroize::Zeroizing;

use super::backend::WithState;
use super::restore::remaining;
use super::*;
use crate::buffer::Buffer;
use crate::plane::{PacketSink, Plane};
use crate::policy::new_engine;

const SA: &str = "add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -r 8 -E aes-cbc \"sixteen octets !\" -A hmac-sha1 \
                  \"twenty octets it has\";";
const OUT: &str = "spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;";
const IN: &str = "spdadd 10.1.0.0/16 10.2.0.0/16 any -P in ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;";
const SENDER: &str = "192.0.2.1";
const RECEIVER: &str = "198.51.100.1";
/// Seconds since 1970 at which the tests begin.
const WALL: u64 = 1_790_000_000;

/// State file in memory.
#[derive(Default)]
struct Memory {
    contents: RefCell<Option<Vec<u8>>>,
    fails: Cell<bool>,
    /// Set if a failed replacement has replaced the contents nevertheless.
    replaces: Cell<bool>,
}

impl Store for Rc<Memory> {
    fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        Ok(self.contents.borrow().clone().map(Zeroizing::new))
    }

    fn replace(&self, contents: &[u8]) -> Result<(), String> {
        if !self.fails.get() || self.replaces.get() {
            *self.contents.borrow_mut() = Some(contents.to_vec());
        }
        if self.fails.get() { Err("no space left".to_owned()) } else { Ok(()) }
    }
}

/// Sink that keeps its packets.
#[derive(Default)]
struct Kept(RefCell<Vec<Vec<u8>>>);

impl PacketSink for Kept {
    fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().push(packet.to_vec());
        Ok(())
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

/// Starts a gateway with a file, as after a restart.
fn start(store: &Rc<Memory>, text: &str, local: &str, now: Instant) -> Plane {
    let mut engine = new_engine();
    let (mut state, _) = ManualState::open(Box::new(Rc::clone(store)), [9; SALT], now).unwrap();
    let mut databases = WithState { engine: &mut engine, state: Some(&mut state), now };
    setkey::apply(&mut databases, text.as_bytes(), &[local.parse().unwrap()], now).unwrap();
    let _ = state.begin(&engine, now, WALL);
    Plane::new(engine).with_state(Some(state))
}

fn sender(store: &Rc<Memory>, now: Instant) -> Plane {
    start(store, &[SA, OUT].concat(), SENDER, now)
}

fn receiver(store: &Rc<Memory>, now: Instant) -> Plane {
    start(store, &[SA, IN].concat(), RECEIVER, now)
}

fn tick(plane: &mut Plane, now: Instant) {
    plane.state.as_mut().unwrap().tick(&plane.engine, now, WALL);
}

fn close(mut plane: Plane, now: Instant) {
    plane.state.as_mut().unwrap().close(&plane.engine, now, WALL);
}

/// Sends a packet; returns it as on the wire, if it was sent.
fn send(plane: &mut Plane, now: Instant) -> Option<Vec<u8>> {
    let mut packet = vec![0x45, 0, 0, 24, 0, 1, 0, 0, 64, 253, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1, 1, 2, 3, 4];
    let sum = ipsec_packet::Checksum::new().over(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let wire = Kept::default();
    plane.outbound(now, &mut Buffer::new().copy(&packet).unwrap(), &wire).unwrap();
    wire.0.into_inner().pop()
}

fn send_many(plane: &mut Plane, count: usize, now: Instant) -> Vec<Vec<u8>> {
    (0..count).filter_map(|_| send(plane, now)).collect()
}

fn number(wire: &[u8]) -> u32 {
    u32::from_be_bytes(wire[24..28].try_into().unwrap())
}

/// Receives a packet; returns whether it was delivered.
fn receive(plane: &mut Plane, wire: &[u8], now: Instant) -> bool {
    let host = Kept::default();
    let _ = plane.inbound(now, &mut Buffer::new().copy(wire).unwrap(), &host);
    host.0.into_inner().len() == 1
}

#[test]
fn sequence_numbers_continue_after_a_crash_and_after_a_clean_stop() {
    let store = Rc::default();
    let mut plane = sender(&store, at(0));
    let sent: Vec<_> = send_many(&mut plane, 10, at(0)).iter().map(|wire| number(wire)).collect();
    assert_eq!(sent, (1..=10).collect::<Vec<_>>());
    drop(plane);
    let mut plane = sender(&store, at(1));
    assert_eq!(number(&send(&mut plane, at(1)).unwrap()), 4097);
    close(plane, at(2));
    assert_eq!(number(&send(&mut sender(&store, at(3)), at(3)).unwrap()), 4098);
}

#[test]
fn sequence_numbers_are_stored_before_they_are_used() {
    let store: Rc<Memory> = Rc::default();
    let mut plane = sender(&store, at(0));
    for step in 0..200 {
        let last = send_many(&mut plane, 64, at(step)).last().map(|wire| number(wire)).unwrap();
        let saved = SavedState::parse(store.contents.borrow().as_ref().unwrap()).unwrap();
        assert!(saved.sas.values().all(|sa| sa.sequence >= last.into()), "{last}: {saved:?}");
        tick(&mut plane, at(step));
    }
    let writes = plane.state.as_ref().unwrap().counters().writes;
    assert!((3..10).contains(&writes), "{writes} writes");
}

#[test]
fn an_sa_sends_nothing_without_reserved_sequence_numbers() {
    let store: Rc<Memory> = Rc::default();
    let mut plane = sender(&store, at(0));
    store.fails.set(true);
    let mut sent = 0;
    for step in 0..100 {
        sent += send_many(&mut plane, 64, at(step)).len();
        tick(&mut plane, at(step));
    }
    assert_eq!(sent, 4096);
    assert_eq!(plane.state.as_ref().unwrap().counters().failures, 1, "the next attempt is after a second");
    store.fails.set(false);
    assert_eq!(plane.state.as_ref().unwrap().due(&plane.engine, at(100)), Some(at(1032)));
    tick(&mut plane, at(1032));
    assert_eq!(number(&send(&mut plane, at(1032)).unwrap()), 4097);
    // A gateway that cannot write at its start sends nothing.
    store.fails.set(true);
    assert_eq!(send(&mut sender(&store, at(2000)), at(2000)), None);
}

#[test]
fn windows_continue_exactly_after_a_clean_stop() {
    let (out, store) = (Rc::default(), Rc::default());
    let wires = send_many(&mut sender(&out, at(0)), 100, at(0));
    let mut plane = receiver(&store, at(0));
    let is_late = |n: usize| n % 7 == 3;
    for (n, wire) in wires.iter().enumerate() {
        assert!(is_late(n) || receive(&mut plane, wire, at(1)));
    }
    close(plane, at(2));
    let mut plane = receiver(&store, at(3));
    for (n, wire) in wires.iter().enumerate() {
        assert_eq!(receive(&mut plane, wire, at(3)), is_late(n) && n >= 36, "packet {n}");
    }
}

#[test]
fn after_a_crash_no_delivered_packet_is_delivered_again() {
    let (out, store) = (Rc::default(), Rc::default());
    let wires = send_many(&mut sender(&out, at(0)), 300, at(0));
    let mut plane = receiver(&store, at(0));
    assert!(wires[..100].iter().all(|wire| receive(&mut plane, wire, at(1))));
    drop(plane);
    let mut plane = receiver(&store, at(2));
    let accepted: Vec<_> =
        (1..).zip(&wires).filter(|(_, wire)| receive(&mut plane, wire, at(2))).map(|(n, _)| n).collect();
    assert!(accepted[0] > 100 && accepted[0] <= 100 + 128, "{accepted:?}");
    assert_eq!(accepted, (accepted[0]..=300).collect::<Vec<u32>>());
}

#[test]
fn after_a_crash_without_traffic_no_packet_is_refused() {
    let (out, store) = (Rc::default(), Rc::default());
    let wires = send_many(&mut sender(&out, at(0)), 60, at(0));
    let mut plane = receiver(&store, at(0));
    assert!(wires[..50].iter().all(|wire| receive(&mut plane, wire, at(1))));
    let due = plane.state.as_ref().unwrap().due(&plane.engine, at(2)).unwrap();
    assert_eq!(due, at(1001));
    tick(&mut plane, due);
    drop(plane);
    let mut plane = receiver(&store, at(1002));
    assert!(!wires[..50].iter().any(|wire| receive(&mut plane, wire, at(1002))));
    assert!(wires[50..].iter().all(|wire| receive(&mut plane, wire, at(1002))));
}

/// The file has the window itself, which accepts a late packet.
#[test]
fn a_late_packet_after_an_idle_time_is_stored_before_it_is_delivered() {
    let (out, store) = (Rc::default(), Rc::default());
    let wires = send_many(&mut sender(&out, at(0)), 3, at(0));
    let mut plane = receiver(&store, at(0));
    assert!(receive(&mut plane, &wires[0], at(1)) && receive(&mut plane, &wires[2], at(1)));
    tick(&mut plane, at(1001));
    assert!(receive(&mut plane, &wires[1], at(1002)));
    drop(plane);
    assert!(!receive(&mut receiver(&store, at(1003)), &wires[1], at(1003)));
}

/// An error may be reported for a file that was replaced: it has the window itself, which accepts a late packet.
#[test]
fn a_late_packet_is_refused_if_the_file_may_accept_it() {
    let (out, store) = (Rc::default(), Rc::<Memory>::default());
    let wires = send_many(&mut sender(&out, at(0)), 3, at(0));
    let mut plane = receiver(&store, at(0));
    assert!(receive(&mut plane, &wires[0], at(1)) && receive(&mut plane, &wires[2], at(1)));
    store.fails.set(true);
    store.replaces.set(true);
    tick(&mut plane, at(1001));
    assert!(!receive(&mut plane, &wires[1], at(1002)));
}

#[test]
fn packets_are_not_delivered_without_the_file() {
    let (out, store) = (Rc::default(), Rc::<Memory>::default());
    let wires = send_many(&mut sender(&out, at(0)), 200, at(0));
    let mut plane = receiver(&store, at(0));
    assert!(receive(&mut plane, &wires[0], at(1)));
    store.fails.set(true);
    let delivered = wires[1..].iter().filter(|wire| receive(&mut plane, wire, at(2))).count();
    assert_eq!(delivered, 32, "those that the file reserves");
    let counters = plane.state.as_ref().unwrap().counters();
    assert_eq!((counters.failures, counters.refused), (1, 167));
    store.fails.set(false);
    assert!(receive(&mut plane, &send_many(&mut sender(&out, at(3)), 1, at(3))[0], at(1100)));
}

#[test]
fn sas_with_another_key_begin_with_sequence_number_1() {
    let store = Rc::default();
    close_after(&store, SA);
    let other = SA.replace("sixteen octets !", "sixteen octets ?");
    let mut plane = start(&store, &[&other, OUT].concat(), SENDER, at(2));
    assert_eq!(number(&send(&mut plane, at(2)).unwrap()), 1);
    drop(plane);
    let mut plane = sender(&store, at(3));
    assert_eq!(number(&send(&mut plane, at(3)).unwrap()), 6, "the file keeps the SA with the former key");
}

/// Sends five packets in an SA, and stops.
fn close_after(store: &Rc<Memory>, sa: &str) {
    let mut plane = start(store, &[sa, OUT].concat(), SENDER, at(0));
    send_many(&mut plane, 5, at(0));
    close(plane, at(1));
}

#[test]
fn an_sa_that_is_removed_and_added_again_continues() {
    let store = Rc::default();
    let mut plane = sender(&store, at(0));
    send_many(&mut plane, 5, at(0));
    let mut state = plane.state.take().unwrap();
    let mut databases = WithState { engine: &mut plane.engine, state: Some(&mut state), now: at(1) };
    let text = ["flush;", SA].concat();
    setkey::apply(&mut databases, text.as_bytes(), &[SENDER.parse().unwrap()], at(1)).unwrap();
    plane.state = Some(state);
    assert_eq!(send(&mut plane, at(1)), None, "nothing is sent before the file is written");
    tick(&mut plane, at(1));
    assert_eq!(number(&send(&mut plane, at(1)).unwrap()), 6);
}

#[test]
fn lifetimes_continue_after_a_restart() {
    let store = Rc::default();
    let limited = SA.replace("-r 8", "-r 8 -bh 50");
    close_after(&store, &limited);
    let mut plane = start(&store, &[&limited, OUT].concat(), SENDER, at(2));
    // Five packets of 24 octets have used the lifetime.
    assert_eq!(send(&mut plane, at(2)), None);
    let saved = SavedSa { added: WALL, first: Some(WALL + 10), octets: 100, packets: 5, ..SavedSa::default() };
    let seconds = |n| Some(Duration::from_secs(n));
    let limit = Limit { age: seconds(100), use_age: seconds(60), octets: Some(150), packets: Some(4) };
    let left = remaining(&Lifetimes { soft: Limit::default(), hard: limit }, &saved, WALL + 30);
    let expected = Limit { age: seconds(40), use_age: None, octets: Some(50), packets: Some(0) };
    assert_eq!((left.soft, left.hard), (Limit::default(), expected));
    let expired = SavedSa { is_expired: true, ..SavedSa::default() };
    assert_eq!(remaining(&Lifetimes { soft: limit, hard: limit }, &expired, 0).hard.age, seconds(0));
    assert_eq!(remaining(&Lifetimes::default(), &expired, 0), Lifetimes::default(), "the limit was removed");
}

#[test]
fn an_expired_sa_stays_expired() {
    let store = Rc::default();
    let limited = SA.replace("-r 8", "-r 8 -lh 5");
    let mut plane = start(&store, &[&limited, OUT].concat(), SENDER, at(0));
    assert!(send(&mut plane, at(1)).is_some());
    plane.engine.tick(at(5000));
    let Some(ipsec_sa::SaEvent::Expire(id, ipsec_sa::Expiry::Hard)) = plane.engine.poll_event() else { panic!() };
    plane.state.as_mut().unwrap().expired(&id);
    tick(&mut plane, at(5000));
    let mut plane = start(&store, &[&limited, OUT].concat(), SENDER, at(0));
    assert_eq!(send(&mut plane, at(1)), None);
}

#[test]
fn damaged_files_are_refused() {
    let store: Rc<Memory> = Rc::default();
    *store.contents.borrow_mut() = Some(b"version 1\n".to_vec());
    let error = ManualState::open(Box::new(Rc::clone(&store)), [9; SALT], at(0)).map(drop).unwrap_err();
    assert!(error.contains("damaged: line 1: expected the digest"), "{error}");
    assert!(error.ends_with("give them new keys at both ends, and remove the file"), "{error}");
}

/// An older copy cannot be recognized. Algorithms whose nonce is the sequence number are therefore refused.
#[test]
fn missing_and_older_files_repeat_sequence_numbers() {
    let store: Rc<Memory> = Rc::default();
    close_after(&store, SA);
    let older = store.contents.borrow().clone();
    let mut plane = sender(&store, at(2));
    let first = number(&send(&mut plane, at(2)).unwrap());
    drop(plane);
    store.contents.replace(older);
    assert_eq!(number(&send(&mut sender(&store, at(3)), at(3)).unwrap()), first);
    store.contents.replace(None);
    assert_eq!(number(&send(&mut sender(&store, at(4)), at(4)).unwrap()), 1);
}

#[test]
fn no_sequence_number_is_sent_twice_and_no_packet_is_delivered_twice() {
    let mut total = 0;
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (out, store) = (Rc::<Memory>::default(), Rc::<Memory>::default());
        let mut now = 0;
        let (mut from, mut to) = (sender(&out, at(now)), receiver(&store, at(now)));
        let (mut wires, mut numbers) = (Vec::new(), HashSet::new());
        let mut delivered = HashSet::new();
        for _ in 0..100 {
            now += rng.random_range(0..700);
            match rng.random_range(0..16) {
                0..6 => {
                    for wire in send_many(&mut from, rng.random_range(1..90), at(now)) {
                        assert!(numbers.insert(number(&wire)), "seed {seed}: number {}", number(&wire));
                        wires.push(wire);
                    }
                }
                6..12 if !wires.is_empty() => {
                    let begin = rng.random_range(0..wires.len());
                    for wire in wires[begin..].iter().take(40) {
                        let is_new = !receive(&mut to, wire, at(now)) || delivered.insert(number(wire));
                        assert!(is_new, "seed {seed}: packet {} was delivered twice", number(wire));
                    }
                }
                12 => from = sender(&out, at(now)),
                13 => to = receiver(&store, at(now)),
                14 => {
                    close(from, at(now));
                    close(to, at(now));
                    (from, to) = (sender(&out, at(now)), receiver(&store, at(now)));
                }
                _ => {
                    out.fails.set(rng.random());
                    store.fails.set(rng.random());
                    store.replaces.set(rng.random());
                }
            }
            tick(&mut from, at(now));
            tick(&mut to, at(now));
        }
        total += delivered.len();
    }
    assert!(total > 500, "{total} packets were delivered");
}

/// Starts a gateway that stores keys, or not, and adds the SAs of its file as the daemon does.
fn start_with_added(store: &Rc<Memory>, stores_keys: bool, now: Instant) -> Plane {
    let mut engine = new_engine();
    setkey::apply(&mut *engine, OUT.as_bytes(), &[], now).unwrap();
    let (mut state, _) = ManualState::open(Box::new(Rc::clone(store)), [9; SALT], now).unwrap();
    let mut statements = state.take_statements();
    if stores_keys {
        state.store_keys();
    } else {
        statements.clear();
    }
    let mut plane = Plane::new(engine).with_state(Some(state));
    statements.iter().for_each(|statement| add_statement(&mut plane, statement.text(), now));
    plane.state.as_mut().unwrap().begin(&plane.engine, now, WALL).unwrap();
    plane
}

/// Adds an SA to the running gateway.
fn add_statement(plane: &mut Plane, text: &str, now: Instant) {
    let mut databases = WithState { engine: &mut plane.engine, state: plane.state.as_mut(), now };
    setkey::apply(&mut databases, text.as_bytes(), &[SENDER.parse().unwrap()], now).unwrap();
    let id = SaId::outbound(RECEIVER.parse().unwrap(), ipsec_sa::Protocol::Esp, 0x1001);
    plane.state.as_mut().unwrap().keep_statement(AddStatement::parse(text).unwrap(), id);
    tick(plane, now);
}

#[test]
fn added_sas_continue_after_a_restart_only_if_keys_are_stored() {
    let store = Rc::new(Memory::default());
    let has_key = || String::from_utf8(store.contents.borrow().clone().unwrap()).unwrap().contains("sixteen octets");
    let mut plane = start_with_added(&store, false, at(0));
    add_statement(&mut plane, SA, at(1));
    assert!(!has_key());
    assert_eq!(start_with_added(&store, true, at(2)).engine.sas().count(), 0);

    let mut plane = start_with_added(&store, true, at(3));
    add_statement(&mut plane, SA, at(4));
    assert!(has_key());
    let first = send_many(&mut plane, 3, at(5));
    // The gateway is killed: the numbers that the file has reserved are skipped.
    let mut plane = start_with_added(&store, true, at(6));
    assert_eq!(plane.engine.sas().count(), 1);
    let numbers = first.iter().chain(&send_many(&mut plane, 1, at(7))).map(|wire| number(wire)).collect::<Vec<_>>();
    // The file has reserved 4,096 numbers for the SA with these keys that was added first.
    assert_eq!(numbers, [4097, 4098, 4099, 8193]);

    // A deleted SA, and one of a gateway that no longer stores keys, is not added again.
    let mut databases = WithState { engine: &mut plane.engine, state: plane.state.as_mut(), now: at(8) };
    setkey::apply(&mut databases, b"flush;", &[], at(8)).unwrap();
    tick(&mut plane, at(8));
    assert!(!has_key());
    assert_eq!(start_with_added(&store, true, at(9)).engine.sas().count(), 0);
    add_statement(&mut start_with_added(&store, true, at(10)), SA, at(10));
    assert!(has_key());
    drop(start_with_added(&store, false, at(11)));
    assert!(!has_key());
}
