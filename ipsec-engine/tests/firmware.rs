//! Engine with one suite that is chosen at compile time, without AH and IPComp.

mod gateway;
mod gateway_pair;

use esp_core::OpenError;
use gateway_pair::*;
use ipsec_crypto::Aes128Gcm16;
use ipsec_engine::{
    Action, Algorithms, Bundle, DiscardReason, Engine, InboundAction, Level, Mode, Never, OutboundAction,
    PolicyDirection, PolicyParams, Priority, Protocol, Sa, Settings, Template, Transform, TunnelEndpoints,
};
use ipsec_packet::{AddressRange, Instant, PacketBuf, ReplayError, ReplayWindow, Selector, Seq, SeqWidth, Spi, Upper};

#[derive(Debug)]
enum Firmware {}

impl Algorithms for Firmware {
    type Suite = Aes128Gcm16;
    type Integrity = Never;
    type Window = ReplayWindow<2>;
    type Compressor = Never;
    type Decompressor = Never;
}

type Small = Engine<Firmware, 2, 2, 1>;

const NOW: Instant = Instant::from_secs(1);

fn suite() -> Aes128Gcm16 {
    Aes128Gcm16::new(&[7; 16], [1, 2, 3, 4])
}

fn engine(transform: Transform<Firmware>, direction: PolicyDirection) -> Small {
    let mut engine = Small::new(Settings::STRICT, None, None);
    let sa = Sa::new(address(A), address(B), transform).unwrap().with_mode(Mode::Tunnel);
    engine.install(sa, NOW).unwrap();
    let ends = TunnelEndpoints { source: (Some(address(A)), None), destination: (Some(address(B)), None) };
    let request = Template { protocol: Protocol::Esp, mode: Mode::Tunnel, ends: Some(ends), level: Level::Require };
    let selector = Selector {
        source: AddressRange::prefix(address("10.1.0.0"), 16).unwrap(),
        destination: AddressRange::prefix(address("10.2.0.0"), 16).unwrap(),
        upper: Upper::Any,
    };
    let action = Action::Protect(Bundle::default().with(request).unwrap());
    engine.add_policy(PolicyParams { selector, direction, priority: Priority::DEFAULT, action }).unwrap();
    engine
}

#[test]
fn smallest_engine_with_one_suite_processes_packets() {
    let spi = Spi::new(0x1001).unwrap();
    let out = esp_core::Outbound::new(spi, suite(), SeqWidth::Extended64);
    let mut a = engine(Transform::EspOut(out), PolicyDirection::Out);
    let opens = esp_core::Inbound::with_window(spi, suite(), SeqWidth::Extended64, ReplayWindow::new());
    let mut b = engine(Transform::EspIn(opens), PolicyDirection::In);
    let sa = b.sas().next().unwrap().key;
    let mut counter = |seq: Seq, iv: &mut [u8]| iv.copy_from_slice(&seq.get().to_be_bytes());
    for _ in 0..100 {
        let mut bytes = [0; 512];
        bytes[100..100 + inner().len()].copy_from_slice(&inner());
        let mut packet = PacketBuf::with_headroom(&mut bytes, 100, inner().len()).unwrap();
        assert_eq!(a.outbound(&mut packet, NOW, &mut counter), OutboundAction::Send);
        let mut wire = packet.data().to_vec();
        let mut again = wire.clone();
        let mut arrived = PacketBuf::received(&mut wire);
        assert_eq!(b.inbound(&mut arrived, NOW), InboundAction::Deliver { sa });
        assert_eq!(arrived.data(), inner());
        let mut arrived = PacketBuf::received(&mut again);
        let refused = DiscardReason::Open(OpenError::Replayed(ReplayError::Duplicate));
        assert_eq!(b.inbound(&mut arrived, NOW), InboundAction::Discard(refused));
    }
    let mut clear = inner();
    assert_eq!(b.inbound(&mut PacketBuf::received(&mut clear), NOW), InboundAction::Discard(DiscardReason::Cleartext));
    let mut other = host();
    assert_eq!(b.inbound(&mut PacketBuf::received(&mut other), NOW), InboundAction::Discard(DiscardReason::NoPolicy));
    assert!(size_of::<Small>() < 8192, "{}", size_of::<Small>());
}

/// Decapsulates with an SA that is in no engine.
#[test]
fn sa_decapsulates_without_an_engine() {
    let spi = Spi::new(0x1001).unwrap();
    let out = esp_core::Outbound::new(spi, suite(), SeqWidth::Bits32);
    let mut a = engine(Transform::EspOut(out), PolicyDirection::Out);
    let opens = esp_core::Inbound::with_window(spi, suite(), SeqWidth::Bits32, ReplayWindow::new());
    let mut sa = Sa::<Firmware>::new(address(A), address(B), Transform::EspIn(opens)).unwrap().with_mode(Mode::Tunnel);
    let mut bytes = [0; 512];
    bytes[100..100 + inner().len()].copy_from_slice(&inner());
    let mut packet = PacketBuf::with_headroom(&mut bytes, 100, inner().len()).unwrap();
    assert_eq!(a.outbound(&mut packet, NOW, &mut |_: Seq, iv: &mut [u8]| iv.fill(1)), OutboundAction::Send);
    let mut wire = packet.data().to_vec();
    let mut arrived = PacketBuf::received(&mut wire);
    let taken = sa.open(&mut arrived, None).unwrap();
    assert_eq!((taken.mode, taken.octets, arrived.data()), (Mode::Tunnel, inner().len(), &inner()[..]));
}
