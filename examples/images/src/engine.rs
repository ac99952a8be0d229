//! Image of `ipsec-engine` with one suite selected at compile time: policies, SAs, packets in both directions,
//! events, audits.
#![no_std]
#![no_main]

mod image;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use core::convert::Infallible;

use esp_core::{PadCheck, Padding};
use ipcomp_core::{FixedDeflate, Inflate};
use ipsec_crypto::{Aes128Cbc, EncryptThenMac, HmacSha1_96};
use ipsec_engine::{
    Action, Algorithms, Bundle, Direction, Engine, IpcompOut, Level, Lifetimes, Mode, MssLimits, PolicyBackend,
    PolicyDirection, PolicyParams, Priority, Protocol, Sa, SaAlgorithms, SaBackend, SaChange, SaParams, SaUpdate,
    Settings, SpiRequest, Template, Transform, TunnelEndpoints, UdpEncap,
};
use ipsec_packet::{
    AddressRange, Beet, ChecksumRepair, Cpi, DestinationOptions, DfPolicy, Instant, Marker, PacketBuf, Ports,
    ReplayWindow, Selector, Seq, SeqWidth, Spi, TooBig, Upper,
};
use ipsec_pfkey::{Dialect, Message, Order, PfkeyBackend, event, read_policy, read_sa};

#[derive(Debug)]
enum Firmware {}

type Suite = EncryptThenMac<Aes128Cbc, HmacSha1_96>;

impl Algorithms for Firmware {
    type Suite = Suite;
    type Integrity = HmacSha1_96;
    type Window = ReplayWindow<2>;
    type Compressor = FixedDeflate;
    type Decompressor = Inflate;
}

fn run(input: &[u8], output: &mut [u8]) -> usize {
    let settings = Settings::STRICT;
    let mut engine = Engine::<Firmware, 8, 8, 16>::new(settings, Some(FixedDeflate::new()), Some(Inflate::new()));
    let commanded = commands(&mut engine, input).unwrap_or(1);
    let configured = configure(&mut engine, input).unwrap_or(2);
    commanded.wrapping_add(configured).wrapping_add(packets(&mut engine, input, output).unwrap_or(3))
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets {
        [4, rest @ ..] => Some(Ipv4Addr::from(*rest.first_chunk::<4>()?).into()),
        [_, rest @ ..] => Some(Ipv6Addr::from(*rest.first_chunk::<16>()?).into()),
        [] => None,
    }
}

fn configure(engine: &mut Engine<Firmware, 8, 8, 16>, input: &[u8]) -> Option<usize> {
    let now = Instant::from_millis(input.len() as u64);
    let (source, destination) = (address(input)?, address(input.get(20..)?)?);
    let spi = Spi::new(input.len() as u32).ok()?;
    let suite =
        || Some(EncryptThenMac::new(Aes128Cbc::new(input.first_chunk()?), HmacSha1_96::new(input.first_chunk()?)));
    let mac = || Some(HmacSha1_96::new(input.first_chunk()?));
    let (narrow, profile) = (SeqWidth::Bits32, ah_core::Profile::RFC);
    let transforms = [
        Transform::EspOut(esp_core::Outbound::new(spi, suite()?, narrow)),
        Transform::EspIn(esp_core::Inbound::with_window(spi, suite()?, narrow, ReplayWindow::new())),
        Transform::AhOut(ah_core::Outbound::new(spi, mac()?, narrow, profile)),
        Transform::AhIn(ah_core::Inbound::with_window(spi, mac()?, narrow, profile, ReplayWindow::new())),
        Transform::IpcompOut(IpcompOut::new(Cpi::DEFLATE)),
    ];
    let mut sum = 0usize;
    for transform in transforms {
        let sa = Sa::new(source, destination, transform).ok()?.with_mode(Mode::Tunnel).with_reqid(7);
        sum = sum.wrapping_add(usize::from(engine.install(sa, now).is_ok()));
    }
    let ends = TunnelEndpoints { source: (Some(source), None), destination: (Some(destination), None) };
    let request = Template { protocol: Protocol::Esp, mode: Mode::Tunnel, ends: Some(ends), level: Level::Unique };
    let selector = Selector {
        source: AddressRange::prefix(source, *input.get(1)?)?,
        destination: AddressRange::new(source, destination)?,
        upper: Upper::Any,
    };
    let action = Action::Protect(Bundle::default().with(request)?);
    for direction in [PolicyDirection::Out, PolicyDirection::In] {
        let policy = PolicyParams { selector, direction, priority: Priority::DEFAULT, action: action.clone() };
        let id = engine.add_policy(policy).ok()?;
        if input.len() & 4 == 0 {
            sum = sum.wrapping_add(usize::from(engine.remove_policy(id).is_some()));
        }
    }
    let _ = engine.find_policy(PolicyDirection::Out, &selector);
    engine.settings_mut().clone_from(&Settings::STRICT);
    engine.set_identification(input.len() as u16);
    sum = sum.wrapping_add(usize::from(*engine.settings() == Settings::STRICT));
    sum = sum.wrapping_add(single_sa(input, source, destination, suite()?)?);
    let keys = engine.sas().find_map(|view| view.sa.map(|sa| (sa.key(), sa.source())));
    if let Some((key, source)) = keys {
        let _ = (engine.sa(&key, source).is_some(), engine.update(&key, source, |sa| change(sa, input)).is_ok());
        let _ = (engine.reserve(key, source, now).is_ok(), engine.remove(&key, source).is_some());
    }
    Some(sum.wrapping_add(engine.policies().count()))
}

/// Changes every part of an installed SA that can be changed.
fn change(sa: &mut SaUpdate<'_, Firmware>, input: &[u8]) {
    sa.set_lifetimes(Lifetimes::default());
    let _ = (sa.move_peer(sa.destination(), 4501).is_ok(), sa.import_counter(input).is_ok());
    let _ = (
        sa.window_mut().map(|window| window.import(SeqWidth::Bits32, input).is_ok()),
        sa.set_padding(Padding::MINIMAL),
    );
    let _ = (sa.set_pad_check(PadCheck::Full), sa.set_resync(None));
}

/// Uses an SA without an engine.
fn single_sa(input: &[u8], source: IpAddr, destination: IpAddr, suite: Suite) -> Option<usize> {
    let spi = Spi::new(input.len() as u32).ok()?;
    let opens = esp_core::Inbound::with_window(spi, suite, SeqWidth::Bits32, ReplayWindow::new());
    let ports = Ports { source: 4500, destination: input.len() as u16 };
    let mut sa: Sa<Firmware> = Sa::new(source, destination, Transform::EspIn(opens))
        .ok()?
        .with_beet(Beet::v4(Ipv4Addr::LOCALHOST, Ipv4Addr::from(*input.first_chunk::<4>()?)))
        .with_tunnel(|tunnel| tunnel.with_df(DfPolicy::Set))
        .with_lifetimes(Lifetimes::default())
        .with_algorithms(SaAlgorithms::default())
        .with_encap(UdpEncap { ports, marker: Marker::NonEsp }, ChecksumRepair::Recompute)
        .with_destination_options(DestinationOptions::Unprotected);
    let known =
        sa.encap().is_some() ^ (sa.mode() == Mode::Beet) ^ (sa.reqid() == 7) ^ sa.transform().sequence().is_some();
    let labelled = (*sa.lifetimes() == Lifetimes::default()) ^ (*sa.algorithms() == SaAlgorithms::default());
    let mut bytes = [0; 256];
    bytes.iter_mut().zip(input).for_each(|(to, from)| *to = *from);
    let taken = sa.open(&mut PacketBuf::received(&mut bytes), None).is_ok();
    let inward = sa.transform().direction() == Direction::Inbound;
    Some(usize::from(known ^ labelled ^ taken ^ inward ^ (sa.destination() == destination)))
}

/// Executes statements with the engine and with a kernel as back ends. A text of setkey(8) is not applied: the parser
/// of addresses of `core` refers to panics.
fn commands(engine: &mut Engine<Firmware, 8, 8, 16>, input: &[u8]) -> Option<usize> {
    let (now, source, destination) =
        (Instant::from_secs(input.len() as u64), address(input)?, address(input.get(4..)?)?);
    let wire = Dialect::Linux.with(Order::NATIVE);
    let message = Message::parse(input, wire).ok()?;
    let (sa, policy) = (read_sa(&message, Direction::Inbound).ok()?, read_policy(&message).ok()?);
    let (min, max, random) = (256, u32::MAX, input.len() as u32);
    let request = SpiRequest { source, destination, protocol: Protocol::Esp, min, max, random };
    let change = SaChange { lifetimes: Some(Lifetimes::default()), peer: Some((source, 4500)) };
    let mut sent = 0usize;
    let socket = |message: &[u8]| {
        sent = sent.wrapping_add(message.len());
        Ok::<(), Infallible>(())
    };
    let by_kernel = command(&mut PfkeyBackend::new(socket, wire, 1), (&sa, &policy), &request, &change, now);
    let by_engine = command(engine, (&sa, &policy), &request, &change, now);
    let reported = event(&message, &[destination]).is_some();
    Some(usize::from(by_kernel ^ by_engine ^ reported).wrapping_add(sent))
}

fn command<B: SaBackend + PolicyBackend>(
    backend: &mut B,
    (sa, policy): (&SaParams, &PolicyParams),
    request: &SpiRequest,
    change: &SaChange,
    now: Instant,
) -> bool {
    let mut shown = 0usize;
    let spi = backend.get_spi(request, now).ok().flatten();
    let id = spi.map_or(sa.id, |spi| request.id(spi));
    let added = backend.add(sa, now).is_ok() ^ backend.add_policy(policy).is_ok();
    let changed = backend.update(&id, request.source, change, now).is_ok() ^ backend.update_policy(policy).is_ok();
    backend.dump(&mut |sa| shown = shown.wrapping_add(sa.usage.packets as usize));
    backend.dump_policies(&mut |id, _| shown = shown.wrapping_add(id.get() as usize));
    let known = backend.get(&id, request.source).is_some() ^ backend.poll_event().is_some();
    let deleted =
        backend.delete(&id, request.source).is_ok() ^ backend.delete_policy(policy.direction, &policy.selector).is_ok();
    added ^ changed ^ known ^ deleted ^ backend.flush(None).is_ok() ^ backend.flush_policies().is_ok() ^ (shown == 1)
}

fn packets(engine: &mut Engine<Firmware, 8, 8, 16>, input: &[u8], output: &mut [u8]) -> Option<usize> {
    let now = Instant::from_secs(input.len() as u64);
    let mut packet = PacketBuf::with_headroom(output, 128, input.len()).ok()?;
    let sent = engine.outbound(&mut packet, now, &mut |_: Seq, iv: &mut [u8]| iv.fill(1)).reason().is_none();
    let taken = engine.inbound(&mut packet, now).reason().is_none();
    engine.tick(now);
    let wait = engine.poll_timeout().is_some() ^ engine.poll_event().is_some() ^ engine.poll_audit().is_some();
    let known = engine.policy_mtu(input, now).is_some();
    let labelled = TooBig::read(input).ok().flatten().is_some_and(|report| engine.path_mtu_report(&report, now));
    let limits = |mtu| MssLimits { interface_mtu: mtu, route_mtu: move |_, _| Some(mtu) };
    let clamped = engine.clamp_outbound_mss(packet.data_mut(), now, limits(1400))
        ^ engine.clamp_inbound_mss(packet.data_mut(), now, limits(1280));
    let counted = engine.counters().iter().map(|(_, _, n)| n).fold(engine.audits_lost(), u64::wrapping_add);
    Some(usize::from(sent ^ taken ^ wait ^ known ^ labelled ^ clamped).wrapping_add(counted as usize))
}
