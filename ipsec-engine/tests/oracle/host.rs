//! Engine compared with its oracle, and the octets of packets that the oracle has as layers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ah_core::Profile;
use ipcomp_core::{Deflate, Inflate};
use ipsec_crypto::{AnyAhIntegrity, AnySuite, CipherAlgorithm, IntegrityAlgorithm};
use ipsec_engine::{
    Action, AnyAlgorithms, AnyWindow, DefaultLevel, Direction, Engine, Expiry, InboundAction, InboundSlot, IpcompOut,
    Level, Mode, OutboundAction, OutboundSlot, PolicyDirection, PolicyError, PolicyParams, Protocol, Sa, SaEvent,
    Settings, Template, Transform, Unmatched,
};
use ipsec_packet::{
    Cpi, Flow, Instant, IpProto, Ipv4Header, Ipv6Header, Match, PacketBuf, Seq, SeqWidth, Spi, WindowSize, set_length,
};
use zerocopy::IntoBytes;

use super::Random;
use super::headers;
use super::model::{Body, Fragment, Oracle, Outcome, Packet, Spec};

/// Number of occurrences of each outcome.
pub type Tally = BTreeMap<(&'static str, String), u64>;

/// Engine and the model of its expected behaviour.
pub struct Host {
    pub engine: Box<Databases>,
    pub oracle: Oracle,
    /// Largest number of policies.
    pub policies: usize,
}

#[cfg(not(feature = "alloc"))]
type Databases = Engine<AnyAlgorithms, SAS, FEW_POLICIES, FLOWS>;
#[cfg(feature = "alloc")]
type Databases = ipsec_engine::HeapEngine<AnyAlgorithms>;

/// Headroom and tailroom that suffice for the deepest nesting, and for decompression.
const ROOM: usize = 2048;
const SAS: usize = 48;
const FEW_POLICIES: usize = 10;
const FLOWS: usize = 5;

impl Host {
    pub fn new() -> Self {
        #[cfg(not(feature = "alloc"))]
        let engine = Engine::new(Settings::STRICT, Some(Deflate::new()), Some(Inflate::new()));
        #[cfg(feature = "alloc")]
        let engine = Self::with_policies(FEW_POLICIES);
        Self { engine: Box::new(engine), oracle: Oracle::new(), policies: FEW_POLICIES }
    }

    /// Makes space for more policies where the engine has its capacity from run time.
    pub fn grow(&mut self, policies: usize) {
        #[cfg(feature = "alloc")]
        {
            (*self.engine, self.policies) = (Self::with_policies(policies), policies);
        }
        let _ = policies;
    }

    #[cfg(feature = "alloc")]
    fn with_policies(policies: usize) -> Databases {
        let capacity = ipsec_engine::Capacity { sas: SAS, policies, flows: FLOWS };
        Engine::with_capacity(Settings::STRICT, capacity, Some(Deflate::new()), Some(Inflate::new()))
    }

    pub fn set(&mut self, discards_unmatched: bool, default_is_use: bool, link_mtu: Option<u16>) {
        let settings = self.engine.settings_mut();
        settings.unmatched = if discards_unmatched { Unmatched::Discard } else { Unmatched::Bypass };
        settings.default_level = if default_is_use { DefaultLevel::Use } else { DefaultLevel::Require };
        settings.link_mtu = link_mtu;
        let oracle = &mut self.oracle;
        (oracle.discards_unmatched, oracle.default_is_use, oracle.link_mtu) =
            (discards_unmatched, default_is_use, link_mtu);
    }

    /// Adds a policy; returns its ID, or `None` if the table is full or a policy has the same selector.
    pub fn add_policy(&mut self, policy: PolicyParams) -> Option<u32> {
        let added = self.engine.add_policy(policy);
        let full = self.oracle.rules.len() == self.policies;
        if added == Err(PolicyError::NoEndpoints) {
            assert!(has_tunnel_without_endpoint(&policy), "{policy:?}");
            return None;
        }
        assert!(!has_tunnel_without_endpoint(&policy), "{policy:?}");
        assert_eq!(matches!(added, Err(PolicyError::Exists(_))), self.oracle.exists(&policy), "{added:?}");
        assert_eq!(added.is_ok(), !full && !self.oracle.exists(&policy), "{added:?}");
        self.oracle.add_policy(added.ok()?, policy);
        added.ok()?.to_string().parse().ok()
    }

    pub fn install(&mut self, now: Instant, spec: Spec, direction: Direction) -> bool {
        self.tick(now);
        let installed = self.engine.install(sa(&spec, direction), now).is_ok();
        assert_eq!(installed, self.oracle.install(now, spec, direction, false), "installed: {spec:?}");
        installed
    }

    pub fn reserve(&mut self, now: Instant, spec: Spec) {
        self.tick(now);
        let reserved = self.engine.reserve(spec.name(Direction::Inbound), spec.source, now).is_ok();
        assert_eq!(reserved, self.oracle.install(now, spec, Direction::Inbound, true), "reserved: {spec:?}");
    }

    pub fn tick(&mut self, now: Instant) {
        self.engine.tick(now);
        self.oracle.tick(now);
        self.compare_sas(now, true);
        assert_eq!(self.engine.poll_timeout(), self.oracle.next_change(now));
    }

    pub fn events(&mut self, now: Instant, tally: &mut Tally) {
        self.tick(now);
        let sorted = |events: Vec<_>| {
            let mut texts: Vec<_> = events.iter().map(|event| format!("{event:?}")).collect();
            texts.sort();
            texts
        };
        let events: Vec<_> = std::iter::from_fn(|| self.engine.poll_event()).collect();
        for event in &events {
            let name = match event {
                SaEvent::Acquire(_) => "acquire",
                SaEvent::Expire(_, Expiry::Soft) => "soft expired",
                SaEvent::Expire(_, Expiry::Hard) => "hard expired",
                _ => "sequence numbers low",
            };
            *tally.entry(("event", name.into())).or_default() += 1;
        }
        assert_eq!(sorted(events), sorted(self.oracle.events(now)));
        self.compare_sas(now, true);
    }

    /// Asserts that engine and oracle have the same SAs with the same usage. State changes that time alone causes may
    /// not be visible in the engine yet.
    fn compare_sas(&self, now: Instant, exactly: bool) {
        assert_eq!(self.engine.sas().count(), self.oracle.sas.len());
        for model in &self.oracle.sas {
            let key = model.spec.name(model.direction);
            let view = self.engine.sa(&key, model.spec.source).unwrap_or_else(|| panic!("no {key}"));
            let usage = (view.usage.added, view.usage.first, view.usage.last, view.usage.octets, view.usage.packets);
            assert_eq!(usage, (model.added, model.first, model.last, model.octets, model.packets), "usage of {key}");
            let state = model.state(now);
            assert!(view.state == state || !exactly && view.state < state, "{key} is {}, not {state}", view.state);
            let number = view.sa.and_then(|sa| sa.transform().sequence());
            assert!(number.is_none_or(|number| number.get() == model.top()), "number of {key}: {number:?}");
        }
    }

    /// Sends a packet; returns the expected outcome and the octets on the wire.
    pub fn send(&mut self, now: Instant, packet: &Packet, octets: &[u8], random: &mut Random) -> (Outcome, Vec<u8>) {
        let mut bytes = with_room(octets);
        let mut buffer = PacketBuf::with_headroom(&mut bytes, ROOM, octets.len()).unwrap();
        let mut iv = |_: Seq, iv: &mut [u8]| iv.fill_with(|| random.noise() as u8);
        let action = self.engine.outbound(&mut buffer, now, &mut iv);
        let sent = self.check_sent(now, (packet, octets), &action, buffer.data());
        self.compare_sas(now, false);
        sent
    }

    /// Sends packets as one batch; returns the expected outcome of each, and its octets on the wire.
    pub fn send_batch(
        &mut self,
        now: Instant,
        packets: &[(Packet, Vec<u8>)],
        random: &mut Random,
    ) -> Vec<(Outcome, Vec<u8>)> {
        let mut buffers: Vec<_> = packets.iter().map(|(_, octets)| with_room(octets)).collect();
        let slots = buffers.iter_mut().zip(packets).map(|(bytes, (_, octets))| {
            OutboundSlot::new(PacketBuf::with_headroom(bytes, ROOM, octets.len()).unwrap())
        });
        let mut slots: Vec<_> = slots.collect();
        let mut iv = |_: Seq, iv: &mut [u8]| iv.fill_with(|| random.noise() as u8);
        self.engine.outbound_batch(&mut slots, now, &mut iv);
        let sent = slots.iter().zip(packets).map(|(slot, (packet, octets))| {
            self.check_sent(now, (packet, octets), slot.action.as_ref().unwrap(), slot.packet.data())
        });
        let sent = sent.collect();
        self.compare_sas(now, false);
        sent
    }

    /// Compares the result for a packet with that of the oracle, which processes it now.
    fn check_sent(
        &mut self,
        now: Instant,
        (packet, octets): (&Packet, &[u8]),
        action: &OutboundAction,
        wire: &[u8],
    ) -> (Outcome, Vec<u8>) {
        let mut outcome = self.oracle.outbound(now, packet, octets, wire);
        assert!(is_sent_like(action, &outcome), "sent: {action:?}, expected {outcome:?}");
        match &mut outcome {
            Outcome::Send(sent) => {
                assert_eq!(Flow::read(wire), Ok(sent.flow()));
                let header = sent.header();
                match &mut sent.body {
                    Body::Compressed(_, octets, _) => *octets = wire.len() - header,
                    _ => assert_eq!(wire.len(), sent.octets()),
                }
                if let Body::Sealed(seal, _) = &sent.body {
                    let at = sent.header() + if seal.protocol == Protocol::Ah { 4 } else { 0 };
                    assert_eq!(wire[at..at + 8], [seal.spi.to_be_bytes(), seal.low.to_be_bytes()].concat());
                }
            }
            _ => assert_eq!(wire, octets, "packet that is not sent was modified"),
        }
        (outcome, wire.to_vec())
    }

    pub fn protects(&self, flow: &Flow) -> bool {
        let protecting =
            |p: &PolicyParams| p.direction == PolicyDirection::Out && matches!(p.action, Action::Protect(_));
        self.engine.policies().any(|(_, policy)| protecting(policy) && policy.selector.matches(flow) == Match::Yes)
    }

    /// Returns whether a packet of a PROTECT policy is protected, by the policies alone and without the oracle.
    pub fn is_safe(&self, octets: &[u8], outcome: &Outcome, wire: &[u8], encrypting: bool) -> bool {
        let flow = Flow::read(octets).unwrap();
        let first = self.engine.policies().map(|(_, policy)| policy);
        let first = first.filter(|policy| policy.direction == PolicyDirection::Out);
        let Some(policy) = first.into_iter().find(|policy| policy.selector.matches(&flow) == Match::Yes) else {
            return true;
        };
        let Action::Protect(bundle) = policy.action else { return true };
        let must = |template: &Template| matches!(template.level, Level::Require | Level::Unique | Level::UniqueId(_));
        let clear = wire.windows(16).any(|fragment_kind| fragment_kind == &octets[octets.len() - 16..]);
        match outcome {
            Outcome::Bypass => !bundle.iter().all(must),
            Outcome::Send(_) => !clear || !encrypting || !bundle.iter().any(|r| r.protocol == Protocol::Esp && must(r)),
            _ => true,
        }
    }

    pub fn receive(&mut self, now: Instant, packet: &Packet, wire: &[u8]) -> Outcome {
        let (action, left) = self.receive_octets(now, wire);
        let outcome = self.check_received(now, (packet, wire), &action, &left);
        self.compare_sas(now, false);
        outcome
    }

    /// Receives packets as one batch; returns the expected outcome of each.
    pub fn receive_batch(&mut self, now: Instant, packets: &[(Packet, Vec<u8>)]) -> Vec<Outcome> {
        let mut buffers: Vec<_> = packets.iter().map(|(_, wire)| [wire, &[0xee; ROOM][..]].concat()).collect();
        let slots = buffers
            .iter_mut()
            .zip(packets)
            .map(|(bytes, (_, wire))| InboundSlot::new(PacketBuf::with_headroom(bytes, 0, wire.len()).unwrap()));
        let mut slots: Vec<_> = slots.collect();
        self.engine.inbound_batch(&mut slots, now);
        let received = slots.iter().zip(packets).map(|(slot, (packet, wire))| {
            self.check_received(now, (packet, wire), slot.action.as_ref().unwrap(), slot.packet.data())
        });
        let received = received.collect();
        self.compare_sas(now, false);
        received
    }

    /// Compares the result for a packet with that of the oracle, which processes it now.
    fn check_received(
        &mut self,
        now: Instant,
        (packet, wire): (&Packet, &[u8]),
        action: &InboundAction,
        left: &[u8],
    ) -> Outcome {
        let outcome = self.oracle.inbound(now, packet);
        assert!(is_received_like(action, &outcome), "received: {action:?}, expected {outcome:?} of {packet:?}");
        match &outcome {
            Outcome::Deliver(packet) => {
                assert_eq!(Flow::read(left), Ok(packet.flow()));
                if let Body::Upper(..) = packet.body {
                    assert_eq!(left, octets_of(packet), "delivered packet differs from the sent one");
                }
            }
            Outcome::Discard(_, true) => assert!(left.iter().all(|octet| *octet == 0), "decrypted packet is not wiped"),
            _ => assert_eq!(left, wire, "packet that was not decapsulated was modified"),
        }
        outcome
    }

    pub fn receive_octets(&mut self, now: Instant, wire: &[u8]) -> (InboundAction, Vec<u8>) {
        let mut bytes = [wire, &[0xee; ROOM]].concat();
        let mut buffer = PacketBuf::with_headroom(&mut bytes, 0, wire.len()).unwrap();
        let action = self.engine.inbound(&mut buffer, now);
        (action, buffer.data().to_vec())
    }
}

/// Returns a packet with headroom and tailroom.
fn with_room(octets: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xee; ROOM + octets.len() + ROOM];
    bytes[ROOM..ROOM + octets.len()].copy_from_slice(octets);
    bytes
}

fn is_sent_like(action: &OutboundAction, outcome: &Outcome) -> bool {
    match (action, outcome) {
        (OutboundAction::Acquire(acquire), Outcome::Pending(expected)) => acquire == expected,
        (OutboundAction::Discard(reason), Outcome::Discard(counter, _)) => reason.counter() == *counter,
        (OutboundAction::Bypass, Outcome::Bypass) | (OutboundAction::Send, Outcome::Send(_)) => true,
        _ => false,
    }
}

fn is_received_like(action: &InboundAction, outcome: &Outcome) -> bool {
    match (action, outcome) {
        (InboundAction::Discard(reason), Outcome::Discard(counter, _)) => reason.counter() == *counter,
        (InboundAction::Bypass, Outcome::Bypass) | (InboundAction::Deliver { .. }, Outcome::Deliver(_)) => true,
        _ => false,
    }
}

fn sa(spec: &Spec, direction: Direction) -> Sa<AnyAlgorithms> {
    let (spi, width) = (Spi::new(spec.spi), if spec.extended { SeqWidth::Extended64 } else { SeqWidth::Bits32 });
    let mac = IntegrityAlgorithm::HmacSha1_96;
    let suite = || match spec.encrypts {
        true => AnySuite::from_slices(CipherAlgorithm::AesCbc, &[spec.key; 16], mac, &[spec.key; 20]).unwrap(),
        false => AnySuite::from_slices(CipherAlgorithm::Null, &[], mac, &[spec.key; 20]).unwrap(),
    };
    let integrity = || AnyAhIntegrity::new(mac, &[spec.key; 20]).unwrap();
    let window = || AnyWindow::new(WindowSize::packets(if spec.window { 64 } else { 0 })).unwrap();
    let transform = match (spec.protocol, direction) {
        (Protocol::Esp, Direction::Outbound) => {
            let mut esp = esp_core::Outbound::new(spi.unwrap(), suite(), width);
            esp.reserve(spec.used as u32).unwrap();
            Transform::EspOut(esp)
        }
        (Protocol::Ah, Direction::Outbound) => {
            let mut ah = ah_core::Outbound::new(spi.unwrap(), integrity(), width, Profile::RFC);
            ah.reserve(spec.used as u32).unwrap();
            Transform::AhOut(ah)
        }
        (Protocol::Esp, Direction::Inbound) => {
            Transform::EspIn(esp_core::Inbound::with_window(spi.unwrap(), suite(), width, window()))
        }
        (Protocol::Ah, Direction::Inbound) => {
            Transform::AhIn(ah_core::Inbound::with_window(spi.unwrap(), integrity(), width, Profile::RFC, window()))
        }
        (Protocol::Ipcomp, Direction::Outbound) => {
            Transform::IpcompOut(IpcompOut::new(Cpi::new(spec.spi as u16).unwrap()))
        }
        (Protocol::Ipcomp, Direction::Inbound) => Transform::IpcompIn(Cpi::new(spec.spi as u16).unwrap()),
    };
    let sa = Sa::new(spec.source, spec.destination, transform).unwrap();
    sa.with_mode(spec.mode).with_reqid(spec.reqid).with_lifetimes(spec.lifetimes)
}

/// Returns the octets of a packet that is not protected.
pub fn octets_of(packet: &Packet) -> Vec<u8> {
    let Body::Upper(protocol, _, payload) = &packet.body else { panic!("{packet:?}") };
    let fragment: u16 = match packet.fragment_kind {
        Fragment::Whole => 0,
        Fragment::First => 1,
        Fragment::Later => 5 << 3,
    };
    let mut octets = match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = Ipv4Header::new(source, destination, *protocol, 63);
            header.set_dont_fragment(packet.dont_fragment);
            let (_, options) = headers::octets(&packet.front, *protocol);
            let mut octets = [header.as_bytes(), &options, payload].concat();
            octets[0] += (options.len() / 4) as u8;
            let [high, low] = (fragment >> 3 | (fragment & 1) << 13).to_be_bytes();
            (octets[6], octets[7]) = (octets[6] | high, low);
            octets
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let next = if fragment == 0 { *protocol } else { IpProto::FRAGMENT };
            let [high, low] = fragment.to_be_bytes();
            let header = [protocol.0, 0, high, low, 0, 0, 0, 7];
            let header = if fragment == 0 { &[][..] } else { &header };
            let (next, front) = headers::octets(&packet.front, next);
            [Ipv6Header::new(source, destination, next, 63).as_bytes(), &front, header, payload].concat()
        }
        _ => panic!("{packet:?}"),
    };
    set_length(&mut octets).unwrap();
    octets
}

/// Returns whether a policy has a tunnel-mode template with neither a remote endpoint nor a reqid.
fn has_tunnel_without_endpoint(policy: &PolicyParams) -> bool {
    let Action::Protect(bundle) = policy.action else { return false };
    bundle.iter().any(|template| match (template.mode, template.ends) {
        (Mode::Transport, _) | (Mode::Any, None) => false,
        (_, None) => true,
        (_, Some(ends)) => {
            let other = if policy.direction == PolicyDirection::Out { ends.destination.0 } else { ends.source.0 };
            other.is_none() && !matches!(template.level, Level::Unique | Level::UniqueId(1..))
        }
    })
}
