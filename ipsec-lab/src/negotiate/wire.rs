//! Network between the gateways: packets with a delay, some of which are lost.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ike_codec::{Datagram, Port, unframe_udp};
use ike_v1::Path;
use ipsec_packet::{ChecksumRepair, Instant, Ip, IpProto, Ipv4Header, Ipv6Header, UDP_HEADER, repair_checksum};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use zerocopy::IntoBytes;

/// Packet that was sent.
pub struct Sent {
    /// Time of the transmission.
    pub time: Instant,
    /// Side that has sent it: 0 or 1.
    pub side: usize,
    /// IP packet with its headers.
    pub packet: Vec<u8>,
    /// Set if the packet was lost.
    pub is_lost: bool,
}

/// Network with a simulated clock.
pub struct Wire {
    rng: StdRng,
    loss: f64,
    /// Packets in transit by the time of their arrival; the number keeps their order.
    under_way: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    /// Every packet in the order of transmission.
    pub sent: Vec<Sent>,
}

/// Delay of the network.
const DELAY: Duration = Duration::from_millis(15);

impl Wire {
    /// Creates a network that loses this fraction of the packets.
    pub fn new(loss: f64, rng: &mut StdRng) -> Self {
        Self { rng: StdRng::from_rng(rng), loss, under_way: BTreeMap::new(), sent: Vec::new() }
    }

    /// Sends a packet to the other side.
    pub fn send(&mut self, now: Instant, side: usize, packet: Vec<u8>) {
        let is_lost = self.rng.random_bool(self.loss);
        if !is_lost {
            let number = self.sent.len() as u64;
            self.under_way.insert((now + DELAY, number), (1 - side, packet.clone()));
        }
        self.sent.push(Sent { time: now, side, packet, is_lost });
    }

    /// Returns when the next packet arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(time, _)| *time)
    }

    /// Returns a packet that has arrived, and its receiver.
    pub fn receive(&mut self, now: Instant) -> Option<(usize, Vec<u8>)> {
        let first = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }
}

/// Returns the IP packet of a UDP datagram.
pub fn udp_packet(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let length = u16::try_from(UDP_HEADER + payload.len())?;
    let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    let udp = [&ports[..], &length.to_be_bytes(), &[0, 0], payload].concat();
    let mut packet = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = Ipv4Header::new(from, to, IpProto::UDP, 64);
            header.set_total_length(length.checked_add(20).ok_or("datagram too long")?);
            header.set_checksum();
            [header.as_bytes(), &udp].concat()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut header = Ipv6Header::new(from, to, IpProto::UDP, 64);
            header.set_payload_length(length);
            [header.as_bytes(), &udp].concat()
        }
        _ => return Err("source and destination address families differ".into()),
    };
    repair_checksum(&mut packet, ChecksumRepair::Recompute)?;
    Ok(packet)
}

/// Datagram of key exchange in an IP packet: its addresses and ports as its receiver sees them, and its payload.
pub struct IkeDatagram<'p> {
    pub path: Path,
    pub payload: &'p [u8],
}

impl<'p> IkeDatagram<'p> {
    /// Returns the IKE message without the non-ESP marker, `None` for a NAT-keepalive packet.
    pub fn message(&self) -> Option<&'p [u8]> {
        let port = if self.path.local.port() == NAT_TRAVERSAL_PORT { Port::NatTraversal } else { Port::Ike };
        match unframe_udp(port, self.payload) {
            Datagram::Ike(message) => Some(message),
            _ => None,
        }
    }
}

/// UDP port of IKE and ESP with NAT traversal.
const NAT_TRAVERSAL_PORT: u16 = 4500;

/// Returns the datagram of key exchange in an IP packet, `None` for other packets: ESP, and ESP in UDP.
pub fn ike_datagram(packet: &[u8]) -> Option<IkeDatagram<'_>> {
    let ip = Ip::parse(packet).ok()?;
    let (header, next) = match &ip {
        Ip::V4(v4) => (20, v4.header().protocol()),
        Ip::V6(v6) => (40, v6.header().next_header()),
    };
    let udp = packet.get(header..).filter(|_| next == IpProto::UDP)?;
    let (ports, payload) = (udp.first_chunk::<4>()?, udp.get(UDP_HEADER..)?);
    let [from, to] = [[ports[0], ports[1]], [ports[2], ports[3]]].map(u16::from_be_bytes);
    let path = Path { local: SocketAddr::new(ip.destination(), to), remote: SocketAddr::new(ip.source(), from) };
    let is_esp = to == NAT_TRAVERSAL_PORT && matches!(unframe_udp(Port::NatTraversal, payload), Datagram::Esp(_));
    (!is_esp).then_some(IkeDatagram { path, payload })
}
