//! ICMPv6 errors about extension headers that an attacker inserted must not quote decrypted octets in cleartext.

use std::collections::VecDeque;

use ipcomp_core::{Deflate, Inflate};
use ipsec_config::setkey;
use ipsec_engine::{AnyAlgorithms, Engine, OutboundAction, Settings};
use ipsec_packet::{ChecksumRepair, IpProto, Ipv6Header, PacketBuf, Seq, repair_checksum};
use ipsec_smoltcp::Protected;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use test_vectors::support::{address, tcp};
use zerocopy::IntoBytes;

const A: &str = "2001:db8::1";
const B: &str = "2001:db8::2";
const SECRET: &[u8] = b"a password that is only ever sent in ESP";

/// Device with a queue of packets to receive and a list of sent packets.
#[derive(Default)]
struct Wire {
    arriving: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut Vec<Vec<u8>>);

impl phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push(packet);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx<'_>)> {
        Some((Rx(self.arriving.pop_front()?), Tx(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ip, 1500);
        capabilities
    }
}

/// Writes a constant IV, so that the packets are the same in each run.
fn iv(_: Seq, iv: &mut [u8]) {
    iv.fill(7);
}

/// Returns the engine of host A or B, with IPComp. TCP is protected; ICMPv6 bypasses IPsec, as in many configurations.
fn engine(local: &str, transforms: &str) -> Engine<AnyAlgorithms, 8, 8> {
    let mut engine = Engine::new(Settings::STRICT, Some(Deflate::new()), Some(Inflate::new()));
    let mac = "-A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213";
    let cipher = "-E aes-cbc 0x000102030405060708090a0b0c0d0e0f";
    let mut text = String::new();
    for (from, to, n) in [(A, B, 1), (B, A, 2)] {
        let direction = if from == local { "out" } else { "in" };
        text += &format!("add {from} {to} esp 0x100{n} -m transport -r 8 {cipher} {mac};");
        text += &format!("add {from} {to} ipcomp 0x300{n} -m transport -C deflate -R;");
        text += &format!("add {from} {to} ah 0x200{n} -m transport -r 8 {mac};");
        text += &format!("spdadd {from} {to} tcp -P {direction} ipsec {transforms};");
        text += &format!("spdadd {from} {to} icmp6 -P {direction} none;");
    }
    setkey::apply(&mut engine, text.as_bytes(), &[local.parse().unwrap()], ipsec_packet::Instant::ZERO).unwrap();
    engine
}

/// Returns a TCP segment from A to B, protected by A.
fn protected(transforms: &str) -> Vec<u8> {
    protect(transforms, SECRET)
}

fn protect(transforms: &str, payload: &[u8]) -> Vec<u8> {
    let tcp = tcp(0xc000, 23, payload);
    let mut header = Ipv6Header::new(address(A), address(B), IpProto::TCP, 64);
    header.set_payload_length(tcp.len() as u16);
    let mut segment = [header.as_bytes(), &tcp].concat();
    repair_checksum(&mut segment, ChecksumRepair::Recompute).unwrap();
    let mut bytes = [&[0; 256][..], &segment, &[0; 2048]].concat();
    let mut packet = PacketBuf::with_headroom(&mut bytes, 256, segment.len()).unwrap();
    assert_eq!(engine(A, transforms).outbound(&mut packet, ipsec_packet::Instant::ZERO, &mut iv), OutboundAction::Send);
    packet.data().to_vec()
}

/// Returns the packets that B sends when it receives this packet.
fn answers(transforms: &str, wire: Vec<u8>) -> Vec<Vec<u8>> {
    let mut device: Protected<_, _, _, 2048> = Protected::new(Wire::default(), engine(B, transforms), iv).unwrap();
    let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, Instant::ZERO);
    interface.update_ip_addrs(|all| all.push(IpCidr::new(IpAddress::Ipv6(address(B)), 64)).unwrap());
    let mut sockets = SocketSet::new(Vec::new());
    device.inner().arriving.push_back(wire);
    for now in 0..5 {
        interface.poll(Instant::from_millis(now), &mut device, &mut sockets);
    }
    std::mem::take(&mut device.inner().sent)
}

/// Inserts an extension header at an offset, which an attacker can do without the keys.
fn insert(wire: &[u8], next_header_at: usize, at: usize, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = wire.to_vec();
    packet.splice(at..at, [&[wire[next_header_at]][..], rest].concat());
    packet[next_header_at] = kind;
    let octets = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&octets.to_be_bytes());
    packet
}

const ESP: &str = "esp/transport//require";
const AH_AND_ESP: &str = "esp/transport//require ah/transport//require";

#[test]
fn tcp_reset_for_an_unmodified_segment_is_protected() {
    for transforms in [ESP, AH_AND_ESP] {
        let answers = answers(transforms, protected(transforms));
        assert_eq!(answers.len(), 1, "one reset expected, as no socket listens");
        assert_eq!(answers[0][6], if transforms == ESP { 50 } else { 51 });
    }
}

#[test]
fn compressed_segment_is_delivered() {
    let transforms = "ipcomp/transport//use esp/transport//require";
    for octets in [40, 200, 600, 1400] {
        let wire = protect(transforms, &vec![b'a'; octets]);
        assert!(octets < 100 || wire.len() < 100 + octets / 2, "{octets} octets are compressed to {}", wire.len());
        assert_eq!(answers(transforms, wire).len(), 1, "one reset expected for {octets} octets");
    }
}

#[test]
fn icmp_errors_about_inserted_headers_contain_no_plaintext() {
    let routing = |kind, segments_left| [&[2, kind, segments_left, 0, 0, 0, 0][..], &[0x66; 16]].concat();
    let headers: [(u8, Vec<u8>); 11] = [
        (0, vec![0, 0xb0, 4, 0, 0, 0, 0]),
        (0, vec![0, 0x1e, 4, 0, 0, 0, 0]),
        (0, vec![0, 5, 1, 0, 0, 0, 0]),
        (60, vec![0, 1, 4, 0, 0, 0, 0]),
        (60, vec![0, 0x80, 4, 0, 0, 0, 0]),
        (43, routing(200, 1)),
        (43, routing(200, 0)),
        (43, routing(0, 0)),
        (44, vec![0, 0, 0, 0, 0, 0, 7]),
        (44, vec![0, 0, 1, 0, 0, 0, 7]),
        (44, vec![0xff, 0, 0, 0, 0, 0, 7]),
    ];
    for transforms in [ESP, AH_AND_ESP] {
        let wire = protected(transforms);
        for (kind, rest) in &headers {
            let forged = insert(&wire, 6, 40, *kind, rest);
            for answer in answers(transforms, forged) {
                assert!(
                    !answer.windows(16).any(|some| some == &SECRET[..16]),
                    "{transforms}: header {kind} {rest:02x?}"
                );
            }
        }
    }
}
