//! Order in which the packets of tunnels and flows follow each other.

use std::net::Ipv4Addr;

use ipsec_engine::Counter;

use super::gateway::far_host;

/// Length of the packets in the hub's network, in octets.
pub const PACKET: usize = 64;

/// Number of flows of each tunnel in [`Pattern::ManyFlows`].
const FLOWS: usize = 64;

/// Selection of flows, in the order of the rows of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// One flow of one tunnel.
    OneFlow,
    /// One flow of each tunnel, in a random order that repeats.
    FlowPerTunnel,
    /// 64 flows of each tunnel, in a random order that repeats.
    ManyFlows,
    /// A new flow with each packet: random ports, and a random tunnel.
    PortScan,
    /// One flow that matches the BYPASS policy.
    BypassOneFlow,
    /// A new flow with each packet that matches the BYPASS policy.
    BypassNewFlows,
}

impl Pattern {
    /// Every pattern, in the order of the rows.
    pub const ALL: [Self; 6] = [
        Self::OneFlow,
        Self::FlowPerTunnel,
        Self::ManyFlows,
        Self::PortScan,
        Self::BypassOneFlow,
        Self::BypassNewFlows,
    ];

    /// Returns the name of the pattern in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneFlow => "one flow",
            Self::FlowPerTunnel => "a flow per tunnel",
            Self::ManyFlows => "64 flows per tunnel",
            Self::PortScan => "port scan",
            Self::BypassOneFlow => "bypass, one flow",
            Self::BypassNewFlows => "bypass, new flows",
        }
    }

    /// Returns the pattern that this one is compared with.
    pub const fn reference(self) -> Self {
        match self {
            Self::OneFlow | Self::FlowPerTunnel | Self::ManyFlows | Self::PortScan => Self::OneFlow,
            Self::BypassOneFlow | Self::BypassNewFlows => Self::BypassOneFlow,
        }
    }
}

/// Addresses and ports of a packet, on the side of the hub and on the other side.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Tunnel of the packet; `None` for a packet in cleartext.
    pub tunnel: Option<usize>,
    /// Address in the hub's network.
    pub near: Ipv4Addr,
    /// Port of that address.
    pub near_port: u16,
    /// Address in the network behind the peer.
    pub far: Ipv4Addr,
    /// Port of that address.
    pub far_port: u16,
}

impl Flow {
    /// Returns a flow of a tunnel, one of [`FLOWS`] by `number`. They differ in addresses and ports.
    fn of_tunnel(tunnel: usize, number: usize) -> Self {
        let near = Random::new((tunnel * FLOWS + number) as u64).below(1 << 24);
        Self {
            tunnel: Some(tunnel),
            near: Ipv4Addr::from_bits(10 << 24 | near as u32),
            near_port: 32768 + (tunnel * FLOWS + number * 257) as u16 % 28000,
            far: far_host(tunnel, number),
            far_port: 443,
        }
    }

    /// Returns the flow with random ports.
    fn with_random_ports(self, random: &mut Random) -> Self {
        Self { near_port: random.below(1 << 16) as u16, far_port: random.below(1 << 16) as u16, ..self }
    }

    fn of_bypass() -> Self {
        let (near, far) = (Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::new(192, 168, 2, 3));
        Self { tunnel: None, near, near_port: 50_000, far, far_port: 53 }
    }
}

/// Sequence of packets of a pattern.
pub struct Traffic {
    pattern: Pattern,
    tunnels: usize,
    /// Tunnels and flows that take turns: a multiple of [`FLOWS`] and a number below it.
    order: Vec<usize>,
    /// Number of packets before the next one.
    pub position: usize,
    random: Random,
}

impl Traffic {
    /// Begins a pattern over this number of tunnels. Another seed gives other new flows, which no engine has cached.
    pub fn new(pattern: Pattern, tunnels: usize, seed: u64) -> Self {
        let mut random = Random::new(seed << 32);
        let mut order: Vec<usize> = match pattern {
            Pattern::FlowPerTunnel => (0..tunnels).map(|tunnel| tunnel * FLOWS).collect(),
            Pattern::ManyFlows => (0..tunnels * FLOWS).collect(),
            _ => vec![tunnels / 2 * FLOWS],
        };
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        Self { pattern, tunnels, order, position: 0, random }
    }

    /// Returns the number of packets after which each flow was passed once, or the flow cache is full of others.
    pub fn warm_up(&self) -> usize {
        match self.pattern {
            Pattern::PortScan | Pattern::BypassNewFlows => 1 << 16,
            _ => self.order.len(),
        }
    }

    /// Returns the counter of the engine that counts every packet of the pattern.
    pub const fn counter(&self) -> Counter {
        match self.pattern {
            Pattern::OneFlow | Pattern::FlowPerTunnel | Pattern::ManyFlows | Pattern::PortScan => Counter::Processed,
            Pattern::BypassOneFlow | Pattern::BypassNewFlows => Counter::Bypassed,
        }
    }

    /// Returns the flow of the next packet.
    pub fn advance(&mut self) -> Flow {
        let turn = self.order[self.position % self.order.len()];
        self.position += 1;
        match self.pattern {
            Pattern::OneFlow | Pattern::FlowPerTunnel | Pattern::ManyFlows => {
                Flow::of_tunnel(turn / FLOWS, turn % FLOWS)
            }
            Pattern::PortScan => {
                Flow::of_tunnel(self.random.below(self.tunnels), 0).with_random_ports(&mut self.random)
            }
            Pattern::BypassOneFlow => Flow::of_bypass(),
            Pattern::BypassNewFlows => Flow::of_bypass().with_random_ports(&mut self.random),
        }
    }
}

/// Random numbers that repeat in each run (SplitMix64).
pub struct Random(u64);

impl Random {
    /// Begins the sequence with this number.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `bound`, which is below 2^32.
    pub const fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed >> 32) * bound as u64) >> 32) as usize
    }
}
