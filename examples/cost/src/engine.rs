//! Unauthenticated packets for an engine with as many SAs and policies as the engine of the tool.

use std::cell::RefCell;
use std::fmt::Write;

use ipcomp_core::{Deflate, Inflate};
use ipsec_config::setkey::{LoadOptions, Statement, Statements};
use ipsec_engine::{AnyAlgorithms, Direction, Engine, InboundAction, OutboundAction, SaBackend, Settings};
use ipsec_packet::{Instant, IpProto, PacketBuf, Seq};

use crate::generate::ip::{HOST, PEER};
use crate::generate::{Genome, deflate, ip};
use crate::measure::measured;

type Gateway = Engine<AnyAlgorithms, 256, 256, 256>;

const NOW: Instant = Instant::from_secs(1_795_000_000);
/// Head- and tailroom of a packet in octets, as in the tool.
const HEADROOM: usize = 512;
const TAILROOM: usize = 65536 + 512;

const ESP: &str =
    "-E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213";
const AH: &str = "-A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213";

thread_local! {
    static RECEIVER: RefCell<Box<Gateway>> = RefCell::new(gateway(&receiver(), Direction::Inbound));
    static SENDER: RefCell<Box<Gateway>> = RefCell::new(gateway(&sender(), Direction::Outbound));
}

/// Returns statements for the SAs between the peer and the host.
fn sas() -> String {
    let mut text = String::new();
    for (peer, host) in PEER.into_iter().zip(HOST) {
        let _ = writeln!(text, "add {peer} {host} esp 0x1001 -m tunnel -r 8 {ESP};");
        let _ = writeln!(text, "add {peer} {host} ah 0x1002 -m transport -r 8 {AH};");
        let _ = writeln!(text, "add {peer} {host} esp-udp 0x1003 -m tunnel -r 8 {ESP};");
        let _ = writeln!(text, "add {peer} {host} ipcomp 0x2001 -m any -C deflate;");
    }
    text
}

/// Returns statements that fill the databases of the host.
fn receiver() -> String {
    let mut text = sas();
    for n in 0..248 {
        let _ = writeln!(text, "add 203.0.113.{} 192.0.2.2 ah 0x{:x} -m transport {AH};", n % 250 + 1, 0x3000 + n);
    }
    for n in 0..127 {
        for direction in ["in", "fwd"] {
            let _ = writeln!(text, "spdadd 0.0.0.0/0 10.1.{n}.0/24[{n}] udp -P {direction} discard;");
        }
    }
    let _ = writeln!(text, "spdadd {} {}[4711] udp -P in none;", PEER[0], HOST[0]);
    text
}

/// Returns statements for the databases of the peer.
fn sender() -> String {
    let [peer, host] = [PEER[0], HOST[0]];
    format!(
        "{}spdadd 10.2.0.0/16 10.1.0.0/16 any -P out ipsec esp/tunnel/{peer}-{host}/require;
         spdadd {peer} {host} udp -P out ipsec ah/transport//require;",
        sas()
    )
}

/// Creates an engine from setkey statements, with all SAs in one direction.
fn gateway(text: &str, direction: Direction) -> Box<Gateway> {
    let mut engine = Box::new(Gateway::new(Settings::SETKEY, Some(Deflate::new()), Some(Inflate::new())));
    let mut statements = Statements::of(text);
    while let Some(statement) = statements.next().expect("valid statements") {
        match statement {
            Statement::Add(add) => {
                let sa = add.params(direction, None, &LoadOptions::RFC).expect("valid SA");
                SaBackend::add(&mut *engine, &sa, NOW).expect("space in the database");
            }
            Statement::SpdAdd(policy) => {
                engine.add_policy(policy.policy().expect("valid policy")).expect("space in the database");
            }
            other => panic!("unexpected statement: {other}"),
        }
    }
    engine
}

/// Receives a packet and returns its length, or 0 if it is discarded.
pub fn inbound(input: &[u8]) -> usize {
    RECEIVER.with_borrow_mut(|engine| {
        let mut bytes = vec![0; HEADROOM + input.len() + TAILROOM];
        bytes[HEADROOM..HEADROOM + input.len()].copy_from_slice(input);
        let mut packet = PacketBuf::with_headroom(&mut bytes, HEADROOM, input.len()).expect("buffer too small");
        // Empties the flow cache, so that the policies are searched.
        let _ = engine.settings_mut();
        let mut action = InboundAction::Bypass;
        measured(&mut || {
            action = engine.inbound(&mut packet, NOW);
            packet.len()
        });
        if let InboundAction::Discard(_) = action { 0 } else { packet.len() }
    })
}

/// Returns the packet as the peer sends it.
fn sealed(packet: &[u8]) -> Vec<u8> {
    SENDER.with_borrow_mut(|engine| {
        let mut bytes = vec![0; HEADROOM + packet.len() + TAILROOM];
        bytes[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
        let mut buffer = PacketBuf::with_headroom(&mut bytes, HEADROOM, packet.len()).expect("buffer too small");
        let action = engine.outbound(&mut buffer, NOW, &mut |_: Seq, iv: &mut [u8]| iv.fill(7));
        assert_eq!(action, OutboundAction::Send, "the peer did not protect the packet");
        buffer.data().to_vec()
    })
}

/// Returns a cleartext UDP packet with options or extension headers of the genome.
pub fn clear(genome: &[u8]) -> Vec<u8> {
    ip::packet(&mut Genome::new(genome), IpProto::UDP, |genome| ip::udp(7, 7, &vec![0; genome.length()]))
}

/// Returns an ESP, AH or IPComp packet without an SA.
pub fn unknown_spi(genome: &[u8]) -> Vec<u8> {
    let mut genome = Genome::new(genome);
    let protocol = [IpProto::ESP, IpProto::AH, IpProto::IPCOMP][usize::from(genome.take() % 3)];
    ip::packet(&mut genome, protocol, |genome| vec![0x99; genome.length()])
}

/// Returns an ESP packet of the tunnel's SA with a wrong ICV.
pub fn forged_esp(genome: &[u8]) -> Vec<u8> {
    ip::packet(&mut Genome::new(genome), IpProto::ESP, |genome| {
        // The length is that of an IV, complete blocks and an ICV.
        let blocks = usize::from(genome.take() % 96) + 1;
        [0x1001u32.to_be_bytes(), u32::MAX.to_be_bytes()]
            .concat()
            .into_iter()
            .chain(vec![1; 28 + 16 * blocks])
            .collect()
    })
}

/// Returns an authentic packet of the tunnel of about this length.
pub fn genuine_esp(length: usize) -> Vec<u8> {
    let inner = length.max(120) - 20 - 8 - 16 - 12 - 16;
    sealed(&ip::v4("10.2.0.1", "10.1.0.1", &[], IpProto::UDP, &ip::udp(7, 7, &vec![0x55; inner - 28])))
}

/// Returns an AH packet with a wrong ICV, after options or extension headers of the genome.
pub fn forged_ah(genome: &[u8]) -> Vec<u8> {
    ip::packet(&mut Genome::new(genome), IpProto::AH, |genome| {
        let mut header = vec![IpProto::UDP.0, 4, 0, 0];
        header.extend(0x1002u32.to_be_bytes());
        header.extend(u32::MAX.to_be_bytes());
        header.extend([1; 12]);
        header.extend(ip::udp(7, 7, &vec![0; genome.length()]));
        header
    })
}

/// Returns an authentic AH packet of about this length.
pub fn genuine_ah(length: usize) -> Vec<u8> {
    sealed(&ip::normal(length.max(72) - 24))
}

/// Returns a fragment of an IPsec packet.
pub fn fragment(genome: &[u8]) -> Vec<u8> {
    let mut genome = Genome::new(genome);
    let first = genome.take() & 1 == 0;
    let protocol = [IpProto::ESP, IpProto::AH, IpProto::UDP][usize::from(genome.take() % 3)];
    let mut packet = ip::packet(&mut genome, protocol, |genome| vec![0x99; genome.length()]);
    if packet[0] >> 4 == 4 {
        packet[6] = if first { 0x20 } else { 0x21 };
    }
    packet
}

/// Returns a UDP packet to port 4500 with ESP, IKE, a NAT-keepalive packet or an unknown SPI.
pub fn encapsulated(genome: &[u8]) -> Vec<u8> {
    let mut genome = Genome::new(genome);
    let shape = genome.take();
    ip::packet(&mut genome, IpProto::UDP, |genome| {
        let blocks = usize::from(genome.take() % 96) + 1;
        let payload = match shape % 4 {
            0 => vec![0xff],
            1 => vec![0; 16 * blocks], // IKE
            2 => vec![1; 16 * blocks], // unknown SPI
            _ => [&0x1003u32.to_be_bytes()[..], &u32::MAX.to_be_bytes(), &vec![1; 28 + 16 * blocks]].concat(),
        };
        ip::udp(4500, if shape & 4 == 0 { 4500 } else { 500 }, &payload)
    })
}

/// Returns an IPComp packet with compressed data of the genome. Without a genome the data are empty, which is an error.
pub fn ipcomp(genome: &[u8]) -> Vec<u8> {
    let data = if genome.is_empty() { Vec::new() } else { deflate::data(genome) };
    compressed(IpProto::UDP, &data)
}

/// Returns an IPComp packet with compressed literals: a normal input.
pub fn ipcomp_normal(length: usize) -> Vec<u8> {
    compressed(IpProto::UDP, &deflate::literals(length.max(40) - 24))
}

fn compressed(next: IpProto, data: &[u8]) -> Vec<u8> {
    ip::v4(PEER[0], HOST[0], &[], IpProto::IPCOMP, &[&[next.0, 0, 0, 2][..], data].concat())
}

/// Returns nested IPComp tunnels, each after blocks of the genome that give no output. As every layer is compressed
/// again, the packet is short.
pub fn nested(genome: &[u8]) -> Vec<u8> {
    let mut genome = Genome::new(genome);
    let (layers, kind, parameter) = (genome.take() % 9, genome.take(), genome.take());
    let length = usize::from(genome.take()) * 240;
    let mut packet = ip::normal(64);
    for layer in 0..=layers {
        // The outermost layer is short, as an attacker would send it.
        let length = if layer == layers { 0 } else { length };
        packet = compressed(IpProto::IPV4, &deflate::blocks_and(&[(kind, parameter)], length, &packet));
    }
    packet
}
