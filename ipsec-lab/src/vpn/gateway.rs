//! The two gateways and the pair of SAs between them.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ah_core::Profile;
use esp_core::IvSource;
use ipcomp_core::Deflate;
use ipsec_crypto::{AnyAhIntegrity, IntegrityAlgorithm};
use ipsec_packet::{
    Beet, ChecksumRepair, Cpi, DestinationOptions, FlowPolicy, HopLimitPolicy, Marker, OriginalAddresses, PacketBuf,
    Ports, ReplayWindow, SeqWidth, Spi, Tunnel, repair_checksum,
};
use rand::rngs::StdRng;

use crate::road::{Encap, IpcompIn, IpcompOut, Mode, Received, Receiver, Refused, Sender};
use crate::suites::{Keys, SuiteName};

use super::nat::Nat;

/// How the wire looks.
pub struct Layout {
    /// Which headers there are.
    pub mode: WireMode,
    /// IPv6 inside and outside.
    pub ipv6: bool,
    /// Which protocols protect the packets.
    pub proto: Proto,
    /// A NAT in front of gateway A.
    pub nat: bool,
    /// IPComp inside.
    pub ipcomp: bool,
    /// Width of the sequence numbers.
    pub width: SeqWidth,
}

/// Which protocols protect the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Proto {
    /// ESP.
    Esp,
    /// AH with the integrity algorithm of the suite: nothing is hidden.
    Ah,
    /// ESP, and AH with the same integrity algorithm around it.
    #[value(name = "ah+esp")]
    AhEsp,
}

/// Which headers are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WireMode {
    /// The whole packet behind the gateways' addresses.
    Tunnel,
    /// ESP behind the hosts' own addresses.
    Transport,
    /// The payload behind the gateways' addresses; the SAs know the hosts'.
    Beet,
}

/// One of the two security gateways.
pub struct Gateway {
    /// `A` or `B`.
    pub name: char,
    /// Source of what it sends, as the wire sees it.
    pub source: IpAddr,
    /// Destination of what it sends.
    pub destination: IpAddr,
    /// SPI of what it sends; AH's is 0x1000 above.
    pub spi: Spi,
    /// Which protocols it uses.
    pub proto: Proto,
    /// The algorithms.
    pub suite: SuiteName,
    /// The keys of what it sends.
    pub keys: Keys,
    /// Octets of payload it has protected.
    pub octets: u64,
    /// Which headers it uses.
    pub mode: WireMode,
    /// ESP in UDP.
    pub encap: Option<Encap>,
    sender: Sender,
    receiver: Receiver<ReplayWindow<2>>,
    id: u16,
    /// The addresses that the peer had in its packets before a NAT changed them.
    nat_oa: Option<OriginalAddresses>,
}

impl Gateway {
    /// Protects a packet of its network.
    pub fn send(&mut self, packet: &mut PacketBuf<'_>, iv: &mut impl IvSource) -> Result<(), Refused> {
        let octets = packet.len() as u64;
        self.id = self.id.wrapping_add(1);
        self.sender.send(packet, iv, self.id)?;
        self.octets += octets;
        Ok(())
    }

    /// Opens a packet from the wire.
    pub fn receive(&mut self, packet: &mut PacketBuf<'_>) -> Result<Received, Refused> {
        let received = self.receiver.receive(packet)?;
        if let (Received::Packet, Some(was)) = (received, self.nat_oa) {
            repair_checksum(packet.data_mut(), ChecksumRepair::Incremental(was))?;
        }
        Ok(received)
    }

    /// Octets that IPComp saved, if it is used.
    pub fn saved(&self) -> Option<usize> {
        self.sender.ipcomp.as_ref().map(|ipcomp| ipcomp.saved)
    }

    /// Packets it has sealed.
    pub fn sealed(&self) -> u64 {
        let esp = self.sender.esp.as_ref().map(|esp| esp.counter());
        let counter = esp.or(self.sender.ah.as_ref().map(|ah| ah.counter()));
        counter.map_or(0, |counter| counter.last_used().get())
    }
}

const OUTER_V4: (IpAddr, IpAddr) =
    (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)));
const OUTER_V6: (IpAddr, IpAddr) = (
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, 1)),
);
/// The hosts behind the gateways, for the modes that keep or know their addresses.
const HOSTS_V4: (IpAddr, IpAddr) =
    (IpAddr::V4(Ipv4Addr::new(192, 168, 1, 10)), IpAddr::V4(Ipv4Addr::new(192, 168, 2, 20)));
const HOSTS_V6: (IpAddr, IpAddr) = (
    IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x10)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x20)),
);
/// Two gateways with an SA each way, under fresh keys, and the NAT between them if there is one.
pub fn pair(
    layout: &Layout,
    suite: &SuiteName,
    rng: &mut StdRng,
) -> Result<(Gateway, Gateway, Option<Nat>), Box<dyn Error>> {
    if layout.proto != Proto::Esp && (layout.nat || layout.mode == WireMode::Beet) {
        return Err("ah covers the addresses: it goes through no nat, and beet mode has none to cover".into());
    }
    let outer = if layout.ipv6 { OUTER_V6 } else { OUTER_V4 };
    let hosts = if layout.ipv6 { HOSTS_V6 } else { HOSTS_V4 };
    let (mut end_a, end_b) = if layout.mode == WireMode::Transport { hosts } else { outer };
    let seen_a = if layout.nat { outer.0 } else { end_a };
    if layout.nat && layout.mode != WireMode::Transport {
        end_a = if layout.ipv6 { BEHIND_NAT.1 } else { BEHIND_NAT.0 };
    }
    let nat = layout.nat.then_some(Nat { inside: end_a, outside: seen_a, port: NAT_PORT });
    let (spi_a, spi_b) = (Spi::new(0x1001)?, Spi::new(0x1002)?);
    let (keys_a, keys_b) = (suite.random_keys(rng), suite.random_keys(rng));
    let a = End { name: 'A', local: end_a, remote: end_b, host: hosts.0, peer_host: hosts.1, port: ESP_PORT };
    let b = End {
        name: 'B',
        local: end_b,
        remote: seen_a,
        host: hosts.1,
        peer_host: hosts.0,
        port: if layout.nat { NAT_PORT } else { ESP_PORT },
    };
    // Only transport mode keeps a checksum over addresses that a NAT changes.
    let behind_nat = layout.nat && layout.mode == WireMode::Transport;
    let mut gateway_a = gateway(layout, suite, &a, (spi_a, keys_a.clone()), (spi_b, keys_b.clone()))?;
    let mut gateway_b = gateway(layout, suite, &b, (spi_b, keys_b), (spi_a, keys_a))?;
    gateway_a.nat_oa = behind_nat.then_some(OriginalAddresses { source: end_b, destination: seen_a });
    gateway_b.nat_oa = behind_nat.then_some(OriginalAddresses { source: end_a, destination: end_b });
    Ok((gateway_a, gateway_b, nat))
}

const NAT_PORT: u16 = 61234;
const ESP_PORT: u16 = 4500;
/// Gateway A's own address where a NAT is in front of it.
const BEHIND_NAT: (IpAddr, IpAddr) =
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0xa, 0, 0, 0, 0, 0, 2)));

struct End {
    name: char,
    local: IpAddr,
    remote: IpAddr,
    host: IpAddr,
    peer_host: IpAddr,
    port: u16,
}

fn gateway(
    layout: &Layout,
    suite: &SuiteName,
    end: &End,
    (spi, keys): (Spi, Keys),
    (spi_in, keys_in): (Spi, Keys),
) -> Result<Gateway, Box<dyn Error>> {
    let mode = match (layout.mode, end.local, end.remote) {
        (WireMode::Transport, ..) => Mode::Transport(DestinationOptions::Protected),
        (_, IpAddr::V4(local), IpAddr::V4(remote)) => with_beet(layout.mode, Tunnel::v4(local, remote), end),
        (_, IpAddr::V6(local), IpAddr::V6(remote)) => with_beet(layout.mode, Tunnel::v6(local, remote), end),
        _ => return Err("both ends of a tunnel have the same ip version".into()),
    };
    let ports = Ports { source: ESP_PORT, destination: end.port };
    let encap = layout.nat.then_some(Encap { ports, marker: Marker::NonEsp });
    let (with_esp, with_ah) = (layout.proto != Proto::Ah, layout.proto != Proto::Esp);
    let ah_spi = |spi: Spi| Spi::new(spi.get() + 0x1000);
    Ok(Gateway {
        name: end.name,
        source: end.local,
        destination: end.remote,
        spi,
        proto: layout.proto,
        suite: *suite,
        octets: 0,
        mode: layout.mode,
        encap,
        sender: Sender {
            esp: match with_esp {
                true => Some(esp_core::Outbound::new(spi, suite.keyed(&keys)?, layout.width)),
                false => None,
            },
            ah: match with_ah {
                true => Some(ah_core::Outbound::new(ah_spi(spi)?, ah(suite, &keys)?, layout.width, Profile::RFC)),
                false => None,
            },
            ipcomp: layout.ipcomp.then(|| IpcompOut::new(Cpi::DEFLATE, Deflate::new())),
            mode,
            encap,
        },
        receiver: Receiver {
            esp: match with_esp {
                true => Some(esp_core::Inbound::new(spi_in, suite.keyed(&keys_in)?, layout.width)),
                false => None,
            },
            ah: match with_ah {
                true => Some(ah_core::Inbound::new(ah_spi(spi_in)?, ah(suite, &keys_in)?, layout.width, Profile::RFC)),
                false => None,
            },
            ipcomp: layout.ipcomp.then(|| IpcompIn::new(Cpi::DEFLATE)),
            mode,
            encap,
            check_ends: true,
        },
        keys,
        id: 0,
        nat_oa: None,
    })
}

/// AH with the integrity algorithm of the suite.
fn ah(suite: &SuiteName, keys: &Keys) -> Result<AnyAhIntegrity, Box<dyn Error>> {
    if suite.integrity == IntegrityAlgorithm::None {
        return Err("ah needs a suite with an integrity algorithm of its own, such as aes128-sha1".into());
    }
    Ok(AnyAhIntegrity::new(suite.integrity, &keys.integrity)?)
}

fn with_beet(mode: WireMode, tunnel: Tunnel, end: &End) -> Mode {
    let copying = tunnel.with_hop_limit(HopLimitPolicy::Copy).with_flow_label(FlowPolicy::Copy);
    match (mode, end.host, end.peer_host) {
        (WireMode::Beet, IpAddr::V4(local), IpAddr::V4(remote)) => Mode::Beet(Beet::v4(local, remote), copying),
        (WireMode::Beet, IpAddr::V6(local), IpAddr::V6(remote)) => Mode::Beet(Beet::v6(local, remote), copying),
        _ => Mode::Tunnel(tunnel),
    }
}
