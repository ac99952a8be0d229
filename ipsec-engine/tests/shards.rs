//! Engines of several cores: no sequence number repeats, no replay is accepted twice, and an SA that was removed from
//! one engine is used by none.
#![cfg(all(feature = "shards", target_has_atomic = "64"))]

mod gateway;
mod gateway_pair;

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::Arc;

use esp_core::SealError;
use gateway::{NOW, udp};
use gateway_pair::{A, B, CIPHER, MAC};
use ipsec_config::setkey::{LoadOptions, Statement, Statements};
use ipsec_engine::{
    AnyAlgorithms, BackendError, Capacity, Direction, DiscardReason, Expiry, HeapEngine, HeapPolicies, InboundAction,
    InboundSlot, NotShareable, OutboundAction, OutboundSlot, PolicyError, Protocol, ReserveError, SaBackend, SaEvent,
    SaId, SaParams, Settings, Shard, SharedSa, SpiRequest,
};
use ipsec_packet::{PacketBuf, Seq};
use proptest::prelude::*;
use test_vectors::support::address;

type Engine = HeapEngine<AnyAlgorithms>;

/// Number of engines on each side.
const SHARDS: u16 = 3;
/// Number of sequence numbers that an engine takes at a time.
const RUN: u16 = 5;
const CAPACITY: Capacity = Capacity { sas: 16, policies: 0, flows: 16 };
const HEADROOM: usize = 128;

fn engine(index: u16, policies: &Arc<HeapPolicies>) -> Engine {
    let mut engine = Engine::of_shard(Shard::new(index, SHARDS).unwrap(), Settings::STRICT, CAPACITY, None, None);
    engine.set_policies(Arc::clone(policies));
    engine
}

/// Returns one policy for each of the networks 10.2.1.0/24 to 10.2.3.0/24, each with SAs of its own.
fn policies(direction: &str) -> Arc<HeapPolicies> {
    let mut set = HeapPolicies::with_capacity(8);
    for tunnel in 1..=3 {
        set.add_policy(policy(direction, tunnel)).unwrap();
    }
    Arc::new(set)
}

fn policy(direction: &str, tunnel: u32) -> ipsec_engine::PolicyParams {
    let text =
        format!("spdadd 10.1.0.0/16 10.2.{tunnel}.0/24 any -P {direction} ipsec esp/tunnel/{A}-{B}/unique:{tunnel};");
    let Ok(Some(Statement::SpdAdd(policy))) = Statements::of(&text).next() else { panic!("{text}") };
    policy.policy().unwrap()
}

/// Returns the SA of a tunnel; the second one uses the sequence number as nonce.
fn params(direction: Direction, tunnel: u32, spi: u32, rest: &str, used: u64) -> SaParams {
    let suite = match tunnel {
        2 => "-E aes-gcm-16 0x000102030405060708090a0b0c0d0e0f10111213".to_owned(),
        _ => format!("{CIPHER} {MAC}"),
    };
    let text = format!("add {A} {B} esp {spi:#x} -m tunnel -r 8 -u {tunnel} {rest} {suite};");
    let Ok(Some(Statement::Add(add))) = Statements::of(&text).next() else { panic!("{text}") };
    add.params(direction, None, &LoadOptions::RFC.continuing_after(Seq::new(used))).unwrap()
}

fn shared(params: SaParams) -> SharedSa {
    SharedSa::new(params, NonZero::new(RUN).unwrap()).unwrap()
}

fn packet(tunnel: u32) -> Vec<u8> {
    udp("10.1.0.1", &format!("10.2.{tunnel}.1"), 1, 2, b"payload of a packet")
}

fn buffer(packet: &[u8]) -> Vec<u8> {
    [&[0; HEADROOM], packet, &[0; HEADROOM]].concat()
}

fn in_buffer<'b>(bytes: &'b mut [u8], packet: &[u8]) -> PacketBuf<'b> {
    PacketBuf::with_headroom(bytes, HEADROOM, packet.len()).unwrap()
}

/// Sends a packet of each of these tunnels, as a batch; returns the results, with the packets that are sent.
fn send(engine: &mut Engine, tunnels: &[u32]) -> Vec<(OutboundAction, Vec<u8>)> {
    let packets: Vec<_> = tunnels.iter().map(|tunnel| packet(*tunnel)).collect();
    let mut buffers: Vec<_> = packets.iter().map(|packet| buffer(packet)).collect();
    let slots = buffers.iter_mut().zip(&packets).map(|(bytes, packet)| in_buffer(bytes, packet));
    let mut slots: Vec<_> = slots.map(OutboundSlot::new).collect();
    engine.outbound_batch(&mut slots, NOW, &mut |seq: Seq, iv: &mut [u8]| {
        iv[..8].copy_from_slice(&seq.get().to_be_bytes())
    });
    slots.into_iter().map(|slot| (slot.action.unwrap(), slot.packet.data().to_vec())).collect()
}

fn send_one(engine: &mut Engine, tunnel: u32) -> OutboundAction {
    send(engine, &[tunnel]).remove(0).0
}

/// Receives a packet, alone or as a batch of one.
fn receive(engine: &mut Engine, wire: &[u8], is_batch: bool) -> InboundAction {
    let mut bytes = buffer(wire);
    let mut packet = in_buffer(&mut bytes, wire);
    if !is_batch {
        return engine.inbound(&mut packet, NOW);
    }
    let mut slots = [InboundSlot::new(packet)];
    engine.inbound_batch(&mut slots, NOW);
    slots[0].action.unwrap()
}

/// Returns SPI and sequence number of a packet on the wire.
fn number(wire: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_be_bytes(wire[at..at + 4].try_into().unwrap());
    (word(20), word(24))
}

/// Step of the distribution of packets over engines.
#[derive(Clone, Debug)]
enum Step {
    /// An engine sends packets of these tunnels.
    Send(u16, Vec<u32>),
    /// An engine receives one of the packets so far, which may be a replay.
    Receive(u16, prop::sample::Index, bool),
    /// The engine that has its SA receives it.
    Steer(prop::sample::Index),
    /// The SA of a tunnel is removed from an engine.
    Remove(u16, u32),
    /// The SA of a tunnel is replaced in all engines.
    Rekey(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let (shard, tunnel, index) = (0..SHARDS, 1u32..=3, any::<prop::sample::Index>);
    prop_oneof![
        12 => (shard.clone(), prop::collection::vec(tunnel.clone(), 1..8)).prop_map(|(shard, all)| Step::Send(shard, all)),
        6 => (shard.clone(), index(), any::<bool>()).prop_map(|(shard, at, batch)| Step::Receive(shard, at, batch)),
        12 => index().prop_map(Step::Steer),
        1 => (shard, tunnel.clone()).prop_map(|(shard, tunnel)| Step::Remove(shard, tunnel)),
        1 => tunnel.prop_map(Step::Rekey),
    ]
}

/// Engines of a sender and of a receiver, and the SAs of the three tunnels.
struct Sides {
    senders: Vec<Engine>,
    receivers: Vec<Engine>,
    sas: [SharedSa; 3],
    next_spi: u32,
}

impl Sides {
    fn new() -> Self {
        let side = |direction| (0..SHARDS).map(|n| engine(n, &policies(direction))).collect();
        let sas = [1, 2, 3].map(|tunnel| shared(params(Direction::Outbound, tunnel, 0x1000 + tunnel, "", 0)));
        let mut sides = Self { senders: side("out"), receivers: side("in"), sas, next_spi: 0x1000 };
        (1..=3).for_each(|tunnel| sides.rekey(tunnel));
        sides
    }

    /// Replaces the SA of a tunnel: the inbound one in its owner, the outbound one in all engines.
    fn rekey(&mut self, tunnel: u32) {
        self.next_spi += 1;
        let inbound = params(Direction::Inbound, tunnel, self.next_spi, "", 0);
        for (n, receiver) in (0..).zip(&mut self.receivers) {
            let owner = Shard::new(n, SHARDS).unwrap().owner(self.next_spi);
            let expected = if owner == n { Ok(()) } else { Err(BackendError::OtherShard { id: inbound.id, owner }) };
            assert_eq!(SaBackend::add(receiver, &inbound, NOW), expected);
        }
        let sa = shared(params(Direction::Outbound, tunnel, self.next_spi, "", 0));
        for sender in &mut self.senders {
            assert_eq!(sender.install_shared(&sa, NOW), Ok(*sa.id()));
        }
        self.sas[tunnel as usize - 1] = sa;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn shards_repeat_no_sequence_number_and_accept_no_replay(steps in prop::collection::vec(step(), 1..120)) {
        let mut sides = Sides::new();
        let (mut wires, mut numbers, mut accepted) = (Vec::new(), HashSet::new(), HashSet::new());
        let mut revoked = HashSet::new();
        for step in steps {
            match step {
                Step::Send(shard, tunnels) => {
                    for (action, wire) in send(&mut sides.senders[usize::from(shard)], &tunnels) {
                        if action != OutboundAction::Send {
                            continue;
                        }
                        prop_assert!(numbers.insert(number(&wire)), "number {:?} repeats", number(&wire));
                        prop_assert!(!revoked.contains(&number(&wire).0), "removed SA is used");
                        wires.push(wire);
                    }
                }
                Step::Receive(..) | Step::Steer(_) if wires.is_empty() => {}
                Step::Receive(shard, at, is_batch) => {
                    let wire = at.get(&wires);
                    let action = receive(&mut sides.receivers[usize::from(shard)], wire, is_batch);
                    if matches!(action, InboundAction::Deliver { .. }) {
                        prop_assert_eq!(Shard::new(shard, SHARDS).unwrap().receiver(wire, 4500), Some(shard));
                        prop_assert!(accepted.insert(number(wire)), "replay is accepted");
                    }
                }
                Step::Steer(at) => {
                    let wire = at.get(&wires);
                    let shard = Shard::new(0, SHARDS).unwrap().receiver(wire, 4500).unwrap();
                    let action = receive(&mut sides.receivers[usize::from(shard)], wire, false);
                    let is_first = accepted.insert(number(wire));
                    let is_delivered = matches!(action, InboundAction::Deliver { .. });
                    prop_assert!(!is_delivered || is_first, "replay is accepted");
                    // A packet that is late may be left of the window of 64 packets.
                    if is_first && !is_delivered {
                        let late = accepted.iter().any(|(spi, seq)| {
                            *spi == number(wire).0 && *seq >= number(wire).1 + 64
                        });
                        prop_assert!(late, "{action:?}");
                    }
                }
                Step::Remove(shard, tunnel) => {
                    let sa = &sides.sas[tunnel as usize - 1];
                    sides.senders[usize::from(shard)].remove(sa.id(), address(A));
                    revoked.insert(sa.id().spi);
                    prop_assert!(sa.is_revoked());
                }
                Step::Rekey(tunnel) => sides.rekey(tunnel),
            }
        }
    }
}

/// Returns engines that share an SA of tunnel 1.
fn engines_with(sa: &SharedSa) -> Vec<Engine> {
    let policies = policies("out");
    let mut engines: Vec<_> = (0..SHARDS).map(|n| engine(n, &policies)).collect();
    for engine in &mut engines {
        engine.install_shared(sa, NOW).unwrap();
    }
    engines
}

#[test]
fn shards_in_threads_repeat_no_sequence_number() {
    let sa = shared(params(Direction::Outbound, 1, 0x1001, "", 0));
    let taken: Vec<u32> = std::thread::scope(|scope| {
        let all: Vec<_> = engines_with(&sa)
            .into_iter()
            .map(|mut engine| {
                scope.spawn(move || {
                    let sent = (0..60).flat_map(|_| send(&mut engine, &[1; 7]));
                    sent.map(|(action, wire)| (action == OutboundAction::Send).then(|| number(&wire).1))
                        .collect::<Option<Vec<u32>>>()
                })
            })
            .collect();
        all.into_iter().flat_map(|one| one.join().unwrap().unwrap()).collect()
    });
    assert_eq!(taken.len(), usize::from(SHARDS) * 420);
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), taken.len());
    assert_eq!(sa.last_taken().get(), taken.len() as u64, "420 numbers are 84 whole runs");
}

#[test]
fn removal_from_one_shard_ends_the_sa_in_all() {
    let sa = shared(params(Direction::Outbound, 1, 0x1001, "", 0));
    let mut engines = engines_with(&sa);
    engines.iter_mut().for_each(|engine| assert_eq!(send_one(engine, 1), OutboundAction::Send));
    assert!(engines[1].remove(sa.id(), address(A)).is_some());
    for engine in &mut engines {
        assert!(matches!(send_one(engine, 1), OutboundAction::Acquire(_)));
    }
    // An engine that noticed it reports the expiry, and its keys are wiped.
    let hard =
        std::iter::from_fn(|| engines[0].poll_event()).any(|event| event == SaEvent::Expire(*sa.id(), Expiry::Hard));
    assert!(hard && engines[0].sas().count() == 0);
    assert_eq!(engines[1].install_shared(&sa, NOW), Err(BackendError::Revoked(*sa.id())));
}

#[test]
fn sequence_numbers_are_exhausted_for_all_shards_together() {
    let sa = shared(params(Direction::Outbound, 1, 0x1001, "", 0xffff_ffff - 23));
    let mut engines = engines_with(&sa);
    let mut taken = HashSet::new();
    for round in 0..30 {
        let engine = &mut engines[round % usize::from(SHARDS)];
        match send(engine, &[1]).remove(0) {
            (OutboundAction::Send, wire) => assert!(taken.insert(number(&wire).1)),
            (action, wire) => {
                let exhausted = DiscardReason::Seal(SealError::SequenceExhausted);
                assert_eq!((action, wire), (OutboundAction::Discard(exhausted), packet(1)));
            }
        }
    }
    assert_eq!(taken.len(), 23);
    assert_eq!(taken.iter().max(), Some(&0xffff_ffff));
}

#[test]
fn a_limited_sa_uses_permitted_sequence_numbers_only() {
    let mut engine = engine(0, &policies("out"));
    let params = params(Direction::Outbound, 1, 0x1002, "", 100);
    let owner = Shard::new(0, SHARDS).unwrap().owner(params.id.spi);
    assert_eq!(owner, 0);
    SaBackend::add(&mut engine, &params, NOW).unwrap();
    let numbers = engine.limit_numbers(&params.id, params.source).unwrap();
    assert!(engine.limit_numbers(&params.id, params.source).is_none(), "they are limited already");
    let refused = OutboundAction::Discard(DiscardReason::Seal(SealError::SequenceExhausted));
    let used = |engine: &Engine| engine.sa(&params.id, params.source).unwrap().sa.unwrap().transform().sequence();
    assert_eq!(send_one(&mut engine, 1), refused);
    numbers.permit(Seq::new(200));
    numbers.permit(Seq::new(150));
    let sent: Vec<_> = (0..100).flat_map(|_| send(&mut engine, &[1])).map(|(_, wire)| number(&wire)).collect();
    assert_eq!(sent, (101..=200).map(|n| (0x1002, n)).collect::<Vec<_>>());
    for _ in 0..2 {
        assert_eq!(send_one(&mut engine, 1), refused);
    }
    assert_eq!((used(&engine), numbers.last_taken()), (Some(Seq::new(200)), Seq::new(200)));
    numbers.permit(Seq::new(1000));
    assert_eq!(send_one(&mut engine, 1), OutboundAction::Send);
    assert_eq!((used(&engine), numbers.last_taken()), (Some(Seq::new(201)), Seq::new(264)));
    engine.remove(&params.id, params.source).unwrap();
    assert!(numbers.is_revoked());
}

#[test]
fn packet_limits_count_the_packets_of_all_shards() {
    let sa = shared(params(Direction::Outbound, 1, 0x1001, "", 0));
    let lifetimes = ipsec_engine::Lifetimes {
        hard: ipsec_engine::Limit { packets: Some(500), ..ipsec_engine::Limit::default() },
        ..ipsec_engine::Lifetimes::default()
    };
    let mut engines = engines_with(&sa);
    for engine in &mut engines {
        engine.update(sa.id(), address(A), |sa| sa.set_lifetimes(lifetimes)).unwrap();
    }
    let sent = (0..1000).filter(|n| send_one(&mut engines[n % usize::from(SHARDS)], 1) == OutboundAction::Send).count();
    assert!((500..500 + 64 * usize::from(SHARDS)).contains(&sent), "{sent}");
    assert!(sa.is_revoked());
}

#[test]
fn an_engine_refuses_sas_of_the_other_shards() {
    let mut engine = engine(0, &policies("in"));
    for direction in [Direction::Inbound, Direction::Outbound] {
        let other = params(direction, 1, 0x1000, "", 0); // 0x1000 is 1 modulo 3
        let refused = Err(BackendError::OtherShard { id: other.id, owner: 1 });
        assert_eq!(SaBackend::add(&mut engine, &other, NOW), refused);
        assert_eq!(SaBackend::add(&mut engine, &params(direction, 1, 0x1002, "", 0), NOW), Ok(()));
    }
    let id = SaId::inbound(address(B), Protocol::Esp, 0x1001);
    assert_eq!(engine.reserve(id, address(A), NOW), Err(ReserveError::OtherShard { owner: 2 }));
    let (source, destination, protocol) = (address(A), address(B), Protocol::Esp);
    for random in 0..8 {
        let request = SpiRequest { source, destination, protocol, min: 0x2000, max: u32::MAX, random };
        let spi = engine.get_spi(&request, NOW).unwrap().unwrap();
        assert_eq!(spi % u32::from(SHARDS), 0, "{spi:#x}");
    }
    let inbound = params(Direction::Inbound, 1, 0x1002, "", 0);
    assert_eq!(SharedSa::new(inbound, NonZero::<u16>::MIN).err(), Some(NotShareable));
}

#[test]
fn shared_policies_are_replaced_as_a_whole() {
    let set = policies("out");
    let mut engines: Vec<_> = (0..SHARDS).map(|n| engine(n, &set)).collect();
    let (first, _) = set.policies().next().unwrap();
    for engine in &mut engines {
        assert_eq!(engine.add_policy(policy("out", 4)), Err(PolicyError::Shared));
        assert_eq!(engine.remove_policy(first), None);
        assert_eq!(ipsec_engine::PolicyBackend::flush_policies(engine), Err(BackendError::Policy(PolicyError::Shared)));
        assert!(engine.policies().eq(set.policies()));
        assert_eq!(send_one(engine, 4), OutboundAction::Discard(DiscardReason::NoPolicy));
    }
    let mut changed = (*set).clone();
    assert!(changed.remove_policy(first).is_some());
    let added = changed.add_policy(policy("out", 4)).unwrap();
    assert!(set.policies().all(|(id, _)| id != added), "a number is used once");
    let changed = Arc::new(changed);
    for engine in &mut engines {
        engine.set_policies(Arc::clone(&changed));
        assert!(matches!(send_one(engine, 4), OutboundAction::Acquire(wanted) if wanted.policy == added));
        assert_eq!(send_one(engine, 1), OutboundAction::Discard(DiscardReason::NoPolicy));
    }
}

#[test]
fn packets_are_assigned_to_the_shard_of_the_outermost_spi() {
    let shard = Shard::new(2, SHARDS).unwrap();
    let esp = [&0x1001u32.to_be_bytes()[..], &[0; 20]].concat();
    let ah = [&[4, 4, 0, 0][..], &0x1002u32.to_be_bytes(), &[0; 16], &esp].concat();
    let marked = [&[0; 8][..], &esp].concat();
    for (what, packet, expected) in [
        ("ESP", gateway::ipv4(A, B, ipsec_packet::IpProto::ESP, &esp), Some(2)),
        ("ESP in IPv6", gateway::ipv6("2001:db8::1", "2001:db8::2", ipsec_packet::IpProto::ESP, &esp), Some(2)),
        ("AH around ESP", gateway::ipv4(A, B, ipsec_packet::IpProto::AH, &ah), Some(0)),
        ("ESP in UDP", udp(A, B, 4500, 4500, &esp), Some(2)),
        ("ESP in UDP of the drafts", udp(A, B, 500, 500, &marked), Some(2)),
        ("ESP in UDP at another port", udp(A, B, 4500, 4501, &esp), None),
        ("IKE", udp(A, B, 4500, 4500, &[0; 32]), None),
        ("cleartext", packet(1), None),
        ("truncated", packet(1)[..19].to_vec(), None),
    ] {
        assert_eq!(shard.receiver(&packet, 4500), expected, "{what}");
    }
    assert_eq!(Shard::new(3, SHARDS), None);
}
