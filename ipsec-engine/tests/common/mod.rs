//! Engines from setkey.conf texts, and packets to send through them.
#![allow(dead_code)] // each test uses some

use std::net::IpAddr;
use std::time::Duration;

use ipcomp_core::{Deflate, Inflate};
use ipsec_engine::setkey::{Add, Loading, Statement, Statements};
use ipsec_engine::{AnyAlgorithms, Disposition, Engine, Settings, Way};
use ipsec_packet::{Checksum, IpProto, Ipv4Header, Ipv6Header, PacketBuf, Seq};
use zerocopy::IntoBytes;

pub const NOW: Duration = Duration::from_secs(1_795_000_000);
pub const ROOM: usize = 256;

/// An engine of a host with one address; 16 SAs, 16 policies.
pub struct Gateway {
    pub engine: Box<Engine<AnyAlgorithms, 16, 16, 8>>,
    pub now: Duration,
    iv: u64,
}

impl Gateway {
    /// From a text, for the host or gateway with these addresses, divided by blanks.
    pub fn new(text: &str, local: &str) -> Self {
        let mut gateway = Self {
            engine: Box::new(Engine::new(Settings::SETKEY, Some(Deflate::new()), Some(Inflate::new()))),
            now: NOW,
            iv: 0,
        };
        gateway.load(text, local);
        gateway
    }

    pub fn load(&mut self, text: &str, local: &str) {
        let local: Vec<IpAddr> = local.split(' ').map(|address| address.parse().unwrap()).collect();
        let mut statements = Statements::of(text);
        while let Some(statement) = statements.next().unwrap_or_else(|e| panic!("{e}")) {
            match statement {
                Statement::Add(add) => self.add(&add, &local),
                Statement::SpdAdd(policy) => drop(self.engine.add_policy(policy.policy().unwrap()).unwrap()),
                other => panic!("{other}"),
            }
        }
    }

    fn add(&mut self, add: &Add<'_>, local: &[IpAddr]) {
        let way = if local.contains(&add.id.destination.0) { Way::In } else { Way::Out };
        let sa = add.sa(way, None, &Loading::RFC).unwrap();
        self.engine.install(sa, self.now).unwrap();
    }

    /// What goes onto the wire; `Err` says why nothing does.
    pub fn send(&mut self, packet: &[u8]) -> Result<Vec<u8>, Disposition> {
        let mut bytes = vec![0xee; ROOM + packet.len() + ROOM + 2048];
        bytes[ROOM..ROOM + packet.len()].copy_from_slice(packet);
        let mut buffer = PacketBuf::with_headroom(&mut bytes, ROOM, packet.len()).unwrap();
        let counter = &mut self.iv;
        let mut iv = |_: Seq, iv: &mut [u8]| {
            *counter += 1;
            iv.iter_mut().zip(counter.to_be_bytes()).for_each(|(to, from)| *to = from);
        };
        match self.engine.outbound(self.now, &mut buffer, &mut iv) {
            Disposition::Send => Ok(buffer.data().to_vec()),
            other => {
                assert_eq!(buffer.data(), packet, "{other:?} leaves the packet as it was");
                Err(other)
            }
        }
    }

    /// What becomes of a packet from the wire, and the packet.
    pub fn receive(&mut self, packet: &[u8]) -> (Disposition, Vec<u8>) {
        let mut bytes = vec![0xee; packet.len() + 4096];
        bytes[..packet.len()].copy_from_slice(packet);
        let mut buffer = PacketBuf::with_headroom(&mut bytes, 0, packet.len()).unwrap();
        let disposition = self.engine.inbound(self.now, &mut buffer);
        (disposition, buffer.data().to_vec())
    }
}

pub fn ipv4(source: &str, destination: &str, proto: IpProto, payload: &[u8]) -> Vec<u8> {
    let mut header = Ipv4Header::new(source.parse().unwrap(), destination.parse().unwrap(), proto, 63);
    header.set_total_length(20 + payload.len() as u16);
    header.set_checksum();
    [header.as_bytes(), payload].concat()
}

pub fn ipv6(source: &str, destination: &str, proto: IpProto, payload: &[u8]) -> Vec<u8> {
    let mut header = Ipv6Header::new(source.parse().unwrap(), destination.parse().unwrap(), proto, 63);
    header.set_payload_length(payload.len() as u16);
    [header.as_bytes(), payload].concat()
}

pub fn ip(source: &str, destination: &str, proto: IpProto, payload: &[u8]) -> Vec<u8> {
    if source.contains(':') { ipv6(source, destination, proto, payload) } else { ipv4(source, destination, proto, payload) }
}

pub fn udp(source: &str, destination: &str, from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    let head = [from.to_be_bytes(), to.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    ip(source, destination, IpProto::UDP, &[&head[..], payload].concat())
}

pub fn tcp(source: &str, destination: &str, from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let head = [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 8], &[0x50, 0x10, 0, 0, 0, 0, 0, 0]].concat();
    ip(source, destination, IpProto::TCP, &[&head[..], payload].concat())
}

pub fn icmp(source: &str, destination: &str, kind: u8, payload: &[u8]) -> Vec<u8> {
    let sum = Checksum::new().over(&[kind, 0]).over(&[0, 0, 0, 1, 0, 1]).over(payload).finish().to_be_bytes();
    let body = [&[kind, 0, sum[0], sum[1], 0, 1, 0, 1], payload].concat();
    ipv4(source, destination, IpProto::ICMP, &body)
}
