//! Main mode, quick mode and deletion do not allocate, with the tables and buffers of a small firmware.
#![cfg(all(feature = "modern", feature = "modp"))]

use std::net::IpAddr;
use std::task::Poll;

use ike_codec::{AuthMethod, EncapsulationMode, Group, IdKind, Identification, ProtocolId};
use ike_v1::{
    DhError, DiffieHellman, Event, Host, IpsecPolicy, IpsecTemplate, Negotiator, Path, Peer, PeerHint, PeerId,
    Phase1Choice, Phase2Choice, Phase2Suite, PolicyRefusal, PolicyRequest, PreSharedKey, Settings, Software, Target,
};
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm};
use ipsec_packet::{AddressRange, Instant, Selector, Upper};
use ipsec_sa::Mode;
use test_vectors::support::allocation::{CountingAllocator, assert_operations_are_counted, heap_operations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Tables of a firmware: two ISAKMP SAs, two exchanges, three pairs.
type Firmware = Negotiator<2, 2, 3, 1536>;

struct FirmwareHost {
    path: Path,
    selector: Selector,
    proposals: [Phase1Choice; 1],
    esp: [Phase2Choice; 1],
    counter: u32,
}

impl FirmwareHost {
    fn new(local: [u8; 4], remote: [u8; 4]) -> Self {
        let end = |address: [u8; 4]| (IpAddr::from(address), 500).into();
        let range = |address: [u8; 4]| AddressRange::host(IpAddr::from(address));
        let suite = Phase2Suite::Keyed {
            cipher: CipherAlgorithm::AesCbc,
            cipher_key: 16,
            integrity: IntegrityAlgorithm::HmacSha1_96,
            integrity_key: 20,
        };
        let (cipher, group) = (CipherAlgorithm::AesCbc, Group::MODP_2048);
        Self {
            path: Path { local: end(local), remote: end(remote) },
            selector: Selector { source: range(local), destination: range(remote), upper: Upper::Any },
            proposals: [Phase1Choice::new(cipher, HashFunction::Sha1, AuthMethod::PRE_SHARED_KEY, group)],
            esp: [Phase2Choice::new(ProtocolId::ESP, suite, EncapsulationMode::TRANSPORT)],
            counter: u32::from_be_bytes(local),
        }
    }
}

impl Host for FirmwareHost {
    fn random(&mut self, octets: &mut [u8]) {
        for octet in octets {
            self.counter = self.counter.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *octet = (self.counter >> 24) as u8;
        }
    }

    fn find_peer(&self, _: &PeerHint<'_>) -> Option<PeerId> {
        Some(PeerId(0))
    }

    fn peer(&self, _: PeerId) -> Option<Peer<'_>> {
        Some(Peer {
            path: Some(self.path),
            ..Peer::new(
                Identification { kind: IdKind::FQDN, protocol: 0, port: 0, data: b"sensor.example" },
                &self.proposals,
            )
        })
    }

    fn pre_shared_key(&mut self, _: PeerId, _: &Path) -> Poll<Option<PreSharedKey>> {
        Poll::Ready(PreSharedKey::new(b"pre-shared key").ok())
    }

    fn policy(&self, number: u32) -> Option<IpsecPolicy<'_>> {
        let (protocol, mode, proposals) = (ProtocolId::ESP, Mode::Transport, &self.esp);
        let template = IpsecTemplate { protocol, mode, reqid: 0, inbound_reqid: 0, proposals };
        IpsecPolicy::new(number, self.selector).with(template)
    }

    fn find_policy(&mut self, _: PeerId, request: &PolicyRequest<'_>) -> Result<u32, PolicyRefusal> {
        let found = self.policy(1).filter(|policy| policy.selector == request.selector);
        found.map(|policy| policy.number).ok_or(PolicyRefusal::NoPolicy)
    }

    fn reserve_spi(&mut self, _: ProtocolId, _: &Path) -> Poll<Option<u32>> {
        self.counter = self.counter.wrapping_add(1) | 0x100;
        Poll::Ready(Some(self.counter))
    }

    fn release_spi(&mut self, _: ProtocolId, _: &Path, _: u32) {}

    fn public(&mut self, group: Group, private: &[u8], public: &mut [u8]) -> Poll<Result<(), DhError>> {
        Poll::Ready(Software.public(group, private, public))
    }

    fn shared(&mut self, group: Group, private: &[u8], public: &[u8], shared: &mut [u8]) -> Poll<Result<(), DhError>> {
        Poll::Ready(Software.shared(group, private, public, shared))
    }
}

/// Handles the events of one side. Returns how many SAs were announced and how many were removed.
fn events(negotiator: &mut Firmware, now: Instant) -> (usize, usize) {
    let (mut ready, mut gone) = (0, 0);
    while let Some(event) = negotiator.poll_event() {
        match event {
            Event::InboundReady(sa) => {
                ready += 1;
                negotiator.installed(now, sa.sa);
            }
            Event::OutboundReady(_) => ready += 1,
            Event::IpsecSaGone { .. } => gone += 1,
            _ => {}
        }
    }
    (ready, gone)
}

/// Carries datagrams between both sides until there are none. Returns the sums of the events.
fn carry(sides: &mut [(Firmware, FirmwareHost); 2], now: Instant) -> (usize, usize) {
    let (mut ready, mut gone, mut buffer, mut silent) = (0, 0, [0; 1600], 0);
    let mut from = 0;
    while silent < 2 {
        let (first, second) = sides.split_at_mut(1);
        let (sender, receiver) =
            if from == 0 { (&mut first[0], &mut second[0]) } else { (&mut second[0], &mut first[0]) };
        let counted = events(&mut sender.0, now);
        (ready, gone) = (ready + counted.0, gone + counted.1);
        match sender.0.poll_transmit(now, &mut buffer) {
            Some(transmit) => {
                silent = 0;
                let (len, at) = (transmit.datagram.len(), 4);
                let path = receiver.1.path;
                receiver.0.handle_datagram(now, path, &mut buffer[at..at + len], &mut receiver.1);
            }
            None => {
                silent += 1;
                from = 1 - from;
            }
        }
    }
    (ready, gone)
}

/// Negotiates a pair and deletes all. Returns how many SAs were announced and how many were removed.
fn negotiate() -> (usize, usize) {
    let (a, b) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let side = |local, remote| (Negotiator::new(Settings::FIRMWARE, [7; 16]), FirmwareHost::new(local, remote));
    let mut sides: [(Firmware, FirmwareHost); 2] = [side(a, b), side(b, a)];
    let mut now = Instant::from_secs(1);
    let (negotiator, host) = &mut sides[0];
    negotiator.initiate(now, PeerId(0), 1, host).unwrap();
    let (ready, _) = carry(&mut sides, now);
    let (negotiator, host) = &mut sides[0];
    negotiator.delete(now, Target::All, host);
    let mut gone = 0;
    for _ in 0..10 {
        gone += carry(&mut sides, now).1;
        now += std::time::Duration::from_secs(1);
        for (negotiator, host) in &mut sides {
            negotiator.handle_timeout(now, host);
        }
    }
    assert!(sides[0].0.is_idle());
    (ready, gone)
}

#[test]
fn negotiation_does_not_allocate() {
    assert_operations_are_counted();
    // With the feature `alloc`, one allocation and one release for each of eight entries and six tables.
    let expected = if cfg!(feature = "alloc") { 28 } else { 0 };
    assert_eq!(heap_operations(negotiate), (expected, (4, 4)));
}
