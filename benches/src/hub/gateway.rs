//! Engine of the hub for packets of one direction, and the peers whose packets it opens.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use esp_core::Outbound;
use ipsec_crypto::{
    Aes128Cbc, CipherAlgorithm, EncryptThenMac, HmacSha1_96, IntegrityAlgorithm, KeyedSuite, SuiteKeys,
};
use ipsec_engine::{
    Action, AnyAlgorithms, Bundle, Capacity, Direction, HeapEngine, Level, Mode, PolicyDirection, PolicyParams,
    Priority, Protocol, SaBackend, SaId, SaParams, Settings, Template, TransformParams, TunnelEndpoints,
};
use ipsec_packet::{AddressRange, IpProto, Ipv4Header, PacketBuf, Selector, Seq, SeqWidth, Spi, Upper};
use zerocopy::IntoBytes;

use super::traffic::{Flow, PACKET, Random};

/// Engine whose speed is measured.
pub type Databases = HeapEngine<AnyAlgorithms>;

/// Largest number of tunnels.
pub const MAX_TUNNELS: usize = 20_000;

/// Time of all packets: no lifetime ends during the measurement.
pub const NOW: ipsec_packet::Instant = ipsec_packet::Instant::from_secs(1_000_000);

/// Address of the hub.
const HUB: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Largest number of times that an engine is loaded.
const LOADS: usize = 5;

/// Total time of loading after which the measurement is not repeated.
const LOADING_LIMIT: Duration = Duration::from_secs(1);

/// Number of flows that the engine caches.
const FLOWS: usize = 65_536;

/// Headroom for the outer header, the ESP header and the IV when a peer seals.
const HEADROOM: usize = 64;

/// Returns an empty engine that has space for the SAs and policies of these tunnels.
fn engine(tunnels: usize) -> Box<Databases> {
    let capacity = Capacity { sas: 2 * tunnels, policies: 2 * tunnels, flows: FLOWS };
    let mut engine = HeapEngine::with_capacity(Settings::STRICT, capacity, None, None);
    engine.set_hash_key([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344]);
    Box::new(engine)
}

/// Engine of the hub for one direction, with an SA and a PROTECT policy for each tunnel and one BYPASS policy.
pub struct Gateway {
    /// Direction of the SAs.
    pub direction: Direction,
    /// Number of tunnels of the hub.
    pub tunnels: usize,
    /// SPD and SAD of the hub.
    pub databases: Box<Databases>,
    /// Time in which all SAs and policies were added: the median of several times, or the only one of a slow engine.
    pub loading: Duration,
    /// Peers that seal the packets of an inbound engine; none for an outbound engine.
    peers: Vec<Outbound<EncryptThenMac<Aes128Cbc, HmacSha1_96>>>,
}

impl Gateway {
    /// Loads an engine. The parameters are prepared before the time is taken.
    pub fn new(direction: Direction, tunnels: usize) -> Self {
        let peers = match direction {
            Direction::Outbound => Vec::new(),
            Direction::Inbound => (0..tunnels).map(peer).collect(),
        };
        let sas: Vec<SaParams> = (0..tunnels).map(|tunnel| sa(direction, tunnel)).collect();
        let policies: Vec<PolicyParams> = (0..tunnels).map(|tunnel| protect(direction, tunnel)).collect();
        let mut times = Vec::new();
        let databases = loop {
            let mut databases = engine(tunnels);
            let start = Instant::now();
            for (tunnel, (sa, policy)) in sas.iter().zip(&policies).enumerate() {
                if tunnel == tunnels / 2 {
                    databases.add_policy(bypass(direction)).expect("space in the SPD");
                }
                SaBackend::add(&mut *databases, sa, NOW).expect("space in the SAD");
                databases.add_policy(*policy).expect("space in the SPD");
            }
            times.push(start.elapsed());
            if times.len() == LOADS || times.iter().sum::<Duration>() > LOADING_LIMIT {
                break databases;
            }
        };
        times.sort();
        Self { direction, tunnels, loading: times[times.len() / 2], databases, peers }
    }

    /// Appends a packet of a flow to `octets`, as the engine receives it: sealed by the peer with its next sequence
    /// number if the engine is an inbound one and the flow is that of a tunnel.
    pub fn append(&mut self, flow: &Flow, octets: &mut Vec<u8>) {
        let packet = inner(self.direction, flow);
        match (flow.tunnel, self.direction) {
            (Some(tunnel), Direction::Inbound) => {
                let mut frame = [0; 256];
                frame[HEADROOM..HEADROOM + PACKET].copy_from_slice(&packet);
                let mut packet = PacketBuf::with_headroom(&mut frame, HEADROOM, PACKET).expect("buffer too small");
                let mut iv = |seq: Seq, iv: &mut [u8]| iv.fill(seq.get() as u8);
                self.peers[tunnel].seal(&mut packet, IpProto::IPV4, &mut iv).expect("sequence numbers");
                let outer = header(peer_address(tunnel), HUB, IpProto::ESP, packet.len());
                packet.prepend(outer.as_bytes()).expect("buffer too small");
                octets.extend_from_slice(packet.data());
            }
            _ => octets.extend_from_slice(&packet),
        }
    }
}

/// Returns a packet of the hub's network, or one for it, with a UDP header and zeros as its payload.
fn inner(direction: Direction, flow: &Flow) -> [u8; PACKET] {
    let (near, far) = ((flow.near, flow.near_port), (flow.far, flow.far_port));
    let (source, destination) = if direction == Direction::Outbound { (near, far) } else { (far, near) };
    let mut packet = [0; PACKET];
    packet[..20].copy_from_slice(header(source.0, destination.0, IpProto::UDP, PACKET - 20).as_bytes());
    packet[20..22].copy_from_slice(&source.1.to_be_bytes());
    packet[22..24].copy_from_slice(&destination.1.to_be_bytes());
    packet[24..26].copy_from_slice(&(PACKET as u16 - 20).to_be_bytes());
    packet
}

fn header(source: Ipv4Addr, destination: Ipv4Addr, protocol: IpProto, payload: usize) -> Ipv4Header {
    let mut header = Ipv4Header::new(source, destination, protocol, 64);
    header.set_total_length(payload as u16 + 20);
    header.set_checksum();
    header
}

/// Returns the address of a peer, in the range for benchmarks of RFC 2544.
fn peer_address(tunnel: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 1).to_bits() + tunnel as u32)
}

/// Returns the network behind a peer, and its prefix length: a /24, or the first /28 of a /24.
fn network(tunnel: usize) -> (Ipv4Addr, u8) {
    let first = Ipv4Addr::new(100, 64, 0, 0).to_bits() + (tunnel as u32) * 256;
    (Ipv4Addr::from_bits(first), if tunnel.is_multiple_of(2) { 24 } else { 28 })
}

/// Returns an address of the network behind a peer, one of 14 by `number`.
pub fn far_host(tunnel: usize, number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(network(tunnel).0.to_bits() + 1 + number as u32 % 14)
}

/// Returns the SPI of the SA of a tunnel. The factor is odd, so that no two tunnels have the same.
fn spi(tunnel: usize) -> u32 {
    (tunnel as u32 + 1).wrapping_mul(0x9e37_79b1)
}

fn keys(direction: Direction, tunnel: usize) -> SuiteKeys {
    let mut random = Random::new((tunnel as u64) << 1 | u64::from(direction == Direction::Inbound));
    let octets: [u8; 36] = std::array::from_fn(|_| random.below(256) as u8);
    let (cipher, integrity) = octets.split_at(16);
    SuiteKeys::new(CipherAlgorithm::AesCbc, cipher, IntegrityAlgorithm::HmacSha1_96, integrity).expect("valid keys")
}

fn sa(direction: Direction, tunnel: usize) -> SaParams {
    let (hub, peer) = (IpAddr::from(HUB), IpAddr::from(peer_address(tunnel)));
    let (id, source) = match direction {
        Direction::Outbound => (SaId::outbound(peer, Protocol::Esp, spi(tunnel)), hub),
        Direction::Inbound => (SaId::inbound(hub, Protocol::Esp, spi(tunnel)), peer),
    };
    SaParams { mode: Mode::Tunnel, ..SaParams::new(id, source, TransformParams::Esp(keys(direction, tunnel))) }
}

/// Returns the peer's half of an inbound SA.
fn peer(tunnel: usize) -> Outbound<EncryptThenMac<Aes128Cbc, HmacSha1_96>> {
    let suite = EncryptThenMac::from_keys(&keys(Direction::Inbound, tunnel)).expect("valid keys");
    Outbound::new(Spi::new(spi(tunnel)).expect("valid SPI"), suite, SeqWidth::Bits32)
}

/// Returns the policy of a tunnel, from the hub's 10.0.0.0/8 to the network behind the peer or back.
fn protect(direction: Direction, tunnel: usize) -> PolicyParams {
    let (hub, peer) = ((Some(HUB.into()), None), (Some(peer_address(tunnel).into()), None));
    let (source, destination) = if direction == Direction::Outbound { (hub, peer) } else { (peer, hub) };
    let template = Template {
        protocol: Protocol::Esp,
        mode: Mode::Tunnel,
        ends: Some(TunnelEndpoints { source, destination }),
        level: Level::Require,
    };
    let bundle = Bundle::default().with(template).expect("one template");
    policy(direction, network(tunnel), Action::Protect(bundle))
}

/// Returns the policy of a network whose packets pass in cleartext.
fn bypass(direction: Direction) -> PolicyParams {
    policy(direction, (Ipv4Addr::new(192, 168, 0, 0), 16), Action::Bypass)
}

fn policy(direction: Direction, (far, length): (Ipv4Addr, u8), action: Action) -> PolicyParams {
    let near = AddressRange::prefix(Ipv4Addr::new(10, 0, 0, 0).into(), 8).expect("valid prefix");
    let far = AddressRange::prefix(far.into(), length).expect("valid prefix");
    let (direction, source, destination) = match direction {
        Direction::Outbound => (PolicyDirection::Out, near, far),
        Direction::Inbound => (PolicyDirection::In, far, near),
    };
    PolicyParams {
        selector: Selector { source, destination, upper: Upper::Any },
        direction,
        priority: Priority::DEFAULT,
        action,
    }
}
