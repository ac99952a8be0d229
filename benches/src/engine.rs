//! Time per packet of the engine with 1, 100 and 1000 policies, the last of which matches.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use ipcomp_core::{Deflate, Inflate};
use ipsec_config::setkey::{LoadOptions, Statement, Statements};
use ipsec_engine::{AnyAlgorithms, Direction, Engine, InboundAction, OutboundAction, Sa, SaBackend, Settings};
use ipsec_packet::{IpProto, Ipv4Header, PacketBuf, Seq};
use zerocopy::IntoBytes;

type Databases = Engine<AnyAlgorithms, 256, 1024, 1024>;

const ROUNDS: usize = 21;
const PACKETS: u32 = 2000;
const NOW: ipsec_packet::Instant = ipsec_packet::Instant::from_secs(1_000_000);

/// Runs the measurement and prints medians.
pub fn run() {
    println!("{:<44} {:>10} {:>14}", "one packet", "ns", "packets/s");
    for policies in [1usize, 100, 1000] {
        let mut databases = databases(policies);
        measure(policies, "bypass out, cached flow", &mut databases, &mut |d, n| bypass(d, n, 1));
        measure(policies, "bypass in, cached flow", &mut peer(policies), &mut |d, _| bypass_in(d));
        measure(policies, "bypass out, 65536 flows", &mut databases, &mut |d, n| bypass(d, n, 65536));
        for size in [64, 1408] {
            measure(policies, &format!("AES128-SHA1 tunnel out, {size} octets"), &mut databases, &mut |d, n| {
                seal(d, n, size)
            });
            let mut sealed = Sealed::of(policies, size);
            measure(policies, &format!("AES128-SHA1 tunnel in, {size} octets"), &mut peer(policies), &mut |d, n| {
                sealed.open(d, n)
            });
        }
    }
    sizes();
}

fn measure(policies: usize, what: &str, databases: &mut Databases, packet: &mut dyn FnMut(&mut Databases, u32)) {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..PACKETS).for_each(|n| packet(databases, n));
            start.elapsed().as_nanos() as f64 / f64::from(PACKETS)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let median = times[ROUNDS / 2];
    println!("{policies:>4} policies, {what:<29} {median:>10.1} {:>14.0}", 1e9 / median);
}

/// Returns the sender's engine. The last two policies match the packets: one is PROTECT, one is BYPASS.
fn databases(policies: usize) -> Box<Databases> {
    loaded(policies, Direction::Outbound)
}

/// Returns the receiver's engine, with the same policies inbound.
fn peer(policies: usize) -> Box<Databases> {
    loaded(policies, Direction::Inbound)
}

fn loaded(policies: usize, direction: Direction) -> Box<Databases> {
    let mut databases: Box<Databases> =
        Box::new(Engine::new(Settings::SETKEY, Some(Deflate::new()), Some(Inflate::new())));
    let dir = if direction == Direction::Outbound { "out" } else { "in" };
    let mut text = String::from(
        "add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc 0x000102030405060708090a0b0c0d0e0f \
         -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213;\n",
    );
    for n in 0..policies.saturating_sub(2) {
        text += &format!("spdadd 172.16.{}.{}/32 10.2.0.0/16 tcp -P {dir} discard;\n", n / 256, n % 256);
    }
    text += &format!("spdadd 10.1.0.0/16 10.2.0.0/16 any -P {dir} ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;\n");
    if policies > 1 {
        text += &format!("spdadd 10.3.0.0/16 0.0.0.0/0 any -P {dir} none;\n");
    }
    let mut statements = Statements::of(&text);
    while let Some(statement) = statements.next().expect("valid statements") {
        match statement {
            Statement::Add(add) => {
                let sa = add.params(direction, None, &LoadOptions::RFC).expect("valid SA");
                SaBackend::add(&mut *databases, &sa, NOW).expect("space in the SAD");
            }
            Statement::SpdAdd(policy) => {
                databases.add_policy(policy.policy().expect("valid policy")).expect("policy table is full");
            }
            _ => {}
        }
    }
    databases
}

/// Sends a packet of one of `flows` flows that match a BYPASS policy.
fn bypass(databases: &mut Databases, n: u32, flows: u32) {
    let mut bytes = [0; 64];
    let source = u32::from_be_bytes([10, 3, 0, 0]) + n.wrapping_mul(2_654_435_761) % flows;
    packet(&mut bytes, 0, 64, IpAddr::from(source.to_be_bytes()));
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 64).expect("buffer too small");
    assert_eq!(black_box(databases.outbound(&mut packet, NOW, &mut |_: Seq, _: &mut [u8]| ())), OutboundAction::Bypass);
}

fn seal(databases: &mut Databases, n: u32, size: usize) {
    let mut bytes = [0; 1600];
    packet(&mut bytes, 100, size, IpAddr::from([10, 1, 0, 1]));
    let mut packet = PacketBuf::with_headroom(&mut bytes, 100, size).expect("buffer too small");
    let mut iv = |_: Seq, iv: &mut [u8]| iv.fill(n as u8);
    assert_eq!(black_box(databases.outbound(&mut packet, NOW, &mut iv)), OutboundAction::Send);
}

fn bypass_in(databases: &mut Databases) {
    let mut bytes = [0; 64];
    packet(&mut bytes, 0, 64, IpAddr::from([10, 3, 0, 0]));
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 64).expect("buffer too small");
    assert_eq!(black_box(databases.inbound(&mut packet, NOW)), InboundAction::Bypass);
}

/// Protected packets with consecutive sequence numbers.
struct Sealed {
    packets: Vec<Vec<u8>>,
    next: usize,
}

impl Sealed {
    /// Seals as many packets as one measurement opens.
    fn of(policies: usize, size: usize) -> Self {
        let mut sender = databases(policies);
        let one = |_| {
            let mut bytes = [0; 1600];
            packet(&mut bytes, 100, size, IpAddr::from([10, 1, 0, 1]));
            let mut packet = PacketBuf::with_headroom(&mut bytes, 100, size).expect("buffer too small");
            assert_eq!(
                sender.outbound(&mut packet, NOW, &mut |_: Seq, iv: &mut [u8]| iv.fill(7)),
                OutboundAction::Send
            );
            packet.data().to_vec()
        };
        Self { packets: (0..ROUNDS * PACKETS as usize).map(one).collect(), next: 0 }
    }

    fn open(&mut self, databases: &mut Databases, _: u32) {
        let bytes = &mut self.packets[self.next];
        self.next += 1;
        let length = bytes.len();
        let mut packet = PacketBuf::with_headroom(bytes, 0, length).expect("buffer too small");
        assert!(matches!(black_box(databases.inbound(&mut packet, NOW)), InboundAction::Deliver { .. }));
    }
}

/// Writes a UDP packet of `size` octets at an offset of the buffer.
fn packet(bytes: &mut [u8], at: usize, size: usize, source: IpAddr) {
    let IpAddr::V4(source) = source else { return };
    let mut header = Ipv4Header::new(source, [10, 2, 0, 1].into(), IpProto::UDP, 64);
    header.set_total_length(size as u16);
    header.set_checksum();
    bytes[at..at + 20].copy_from_slice(header.as_bytes());
    bytes[at + 20..at + 24].copy_from_slice(&[0, 53, 0, 53]);
}

/// Prints the memory size of SAs and engines.
fn sizes() {
    let of = |what: &str, octets: usize| println!("{what:<44} {octets:>10} octets");
    println!();
    of("SA of any algorithm", size_of::<Sa<AnyAlgorithms>>());
    of("engine, 256 SAs, 64 policies, 64 flows", size_of::<Engine<AnyAlgorithms, 256, 64>>());
    of("engine, 16 SAs, 64 policies, 64 flows", size_of::<Engine<AnyAlgorithms, 16, 64>>());
    of("SA of AES-128-CBC + HMAC-SHA1", size_of::<Sa<Small>>());
    of("engine of such SAs, 256 SAs, 64 policies, 64 flows", size_of::<Engine<Small, 256, 64>>());
    of("engine of such SAs, 2 SAs, 2 policies, 4 flows", size_of::<Engine<Small, 2, 2, 4>>());
}

/// Algorithms of an engine with one suite, without AH and IPComp.
enum Small {}

impl ipsec_engine::Algorithms for Small {
    type Suite = ipsec_crypto::EncryptThenMac<ipsec_crypto::Aes128Cbc, ipsec_crypto::HmacSha1_96>;
    type Integrity = ipsec_engine::Never;
    type Window = ipsec_packet::ReplayWindow<2>;
    type Compressor = ipsec_engine::Never;
    type Decompressor = ipsec_engine::Never;
}
