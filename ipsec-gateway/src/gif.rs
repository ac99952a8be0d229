//! IP-in-IP tunnels as those of gif(4): packets for the networks of a tunnel are encapsulated before the engine, which
//! protects them, or lets them pass, by a policy for protocol `ipencap`; received ones are decapsulated after the
//! engine.

use std::net::IpAddr;

use ipsec_config::{Configuration, Gif};
use ipsec_packet::{
    AddressRange, DfPolicy, Flow, HopLimitPolicy, Ip, IpError, IpProto, PacketBuf, Tunnel, TunnelError,
};

/// Protocols of the packets with an outer header.
pub const PROTOCOLS: [IpProto; 2] = [IpProto::IPV4, IpProto::IPV6];

/// Hop limit of outer headers, as on FreeBSD.
const HOP_LIMIT: u8 = 30;

/// Tunnels of the configuration.
#[derive(Default)]
pub struct Gifs(Vec<Gateway>);

/// Tunnel with the networks that are reached through it.
struct Gateway {
    tunnel: Tunnel,
    ends: (IpAddr, IpAddr),
    networks: Vec<AddressRange>,
    mtu: u16,
}

/// Result of the search of a tunnel for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// No tunnel has the destination of the packet, which is unchanged.
    None,
    /// The packet has an outer header.
    Done,
    /// The packet exceeds the MTU of the interface, and must not be fragmented.
    TooBig {
        /// MTU of the interface.
        mtu: u16,
    },
}

/// Result of the search of a tunnel for a received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decapsulation {
    /// The packet is not one of a tunnel, and is unchanged.
    None,
    /// The outer header is removed.
    Done,
    /// The inner packet is not permitted in the tunnel. It is to be dropped.
    Refused,
}

impl Gifs {
    /// Returns the tunnels with outer addresses of a configuration.
    pub fn new(configuration: &Configuration) -> Self {
        let tunnels = configuration.gifs.iter().filter_map(|gif| {
            let (own, peer) = gif.outer?;
            let tunnel = Tunnel::v4([0; 4].into(), [0; 4].into()).with_endpoints(own, peer)?;
            let tunnel = tunnel.with_hop_limit(HopLimitPolicy::Set(HOP_LIMIT)).with_df(DfPolicy::Clear);
            Some(Gateway { tunnel, ends: (own, peer), networks: networks(configuration, gif), mtu: gif.mtu })
        });
        Self(tunnels.collect())
    }

    /// Writes an outer header in front of a packet for the network of a tunnel. `id` is its IPv4 identification. A
    /// packet that a policy protects or discards by itself, for which `is_protected` returns true, is unchanged, as on
    /// FreeBSD.
    ///
    /// # Errors
    /// [`IpError`] for a packet that is malformed, or too long with another header.
    pub fn encapsulate(
        &self,
        packet: &mut PacketBuf<'_>,
        id: u16,
        is_protected: impl FnOnce(&Flow) -> bool,
    ) -> Result<Encapsulation, IpError> {
        if self.0.is_empty() {
            return Ok(Encapsulation::None);
        }
        let (destination, dont_fragment) = {
            let ip = Ip::parse(packet.data())?;
            let dont_fragment = match &ip {
                Ip::V4(own) => own.header().dont_fragment(),
                Ip::V6(_) => true,
            };
            (ip.destination(), dont_fragment)
        };
        let covers = |gateway: &&Gateway| gateway.networks.iter().any(|network| network.contains(destination));
        let Some(gateway) = self.0.iter().find(covers) else { return Ok(Encapsulation::None) };
        if is_protected(&Flow::read(packet.data())?) {
            return Ok(Encapsulation::None);
        }
        if dont_fragment && packet.len() > usize::from(gateway.mtu) {
            return Ok(Encapsulation::TooBig { mtu: gateway.mtu });
        }
        match gateway.tunnel.encapsulate(packet, id) {
            Ok(()) => Ok(Encapsulation::Done),
            Err(TunnelError::Inner(e)) => Err(e),
            Err(_) => Ok(Encapsulation::None),
        }
    }

    /// Removes the outer header of a received packet with the endpoints of a tunnel. Other packets are unchanged. The
    /// policies apply to the inner packet, too: it is refused if `is_protected` returns true, as its sender has not
    /// protected it by itself.
    #[must_use]
    pub fn decapsulate(&self, packet: &mut PacketBuf<'_>, is_protected: impl FnOnce(&Flow) -> bool) -> Decapsulation {
        let Ok(ip) = Ip::parse(packet.data()) else { return Decapsulation::None };
        let ends = (ip.destination(), ip.source());
        let Some(gateway) = self.0.iter().find(|gateway| gateway.ends == ends) else { return Decapsulation::None };
        let source = match gateway.tunnel.decapsulate(packet) {
            Ok(inner) => inner.source(),
            Err(TunnelError::NotIp(_)) => return Decapsulation::None,
            Err(_) => return Decapsulation::Refused,
        };
        let is_permitted = gateway.networks.iter().any(|network| network.contains(source));
        match Flow::read(packet.data()) {
            Ok(flow) if is_permitted && !is_protected(&flow) => Decapsulation::Done,
            _ => Decapsulation::Refused,
        }
    }
}

/// Returns whether an address of this host is an endpoint of a tunnel.
pub fn is_end(configuration: &Configuration, local: IpAddr) -> bool {
    configuration.gifs.iter().filter_map(|gif| gif.outer).any(|(own, _)| own == local)
}

/// Returns the networks behind a tunnel: the inner address of the peer, and those of the routes by it.
fn networks(configuration: &Configuration, gif: &Gif) -> Vec<AddressRange> {
    let peers: Vec<IpAddr> = gif.inner.iter().filter_map(|(_, peer, _)| *peer).collect();
    let routes = configuration.routes.iter().filter(|route| {
        route.gateway.is_some_and(|gateway| peers.contains(&gateway)) || route.interface.as_ref() == Some(&gif.name)
    });
    let networks = routes.filter_map(|route| AddressRange::prefix(route.destination.0, route.destination.1));
    networks.chain(peers.iter().map(|peer| AddressRange::host(*peer))).collect()
}

/// Returns the destinations of all tunnels with a source address of this host, for routes.
pub fn destinations(configuration: &Configuration) -> impl Iterator<Item = (AddressRange, Option<IpAddr>)> {
    configuration.gifs.iter().filter(|gif| gif.outer.is_some()).flat_map(|gif| {
        let source = |network: &AddressRange| {
            let own = gif.inner.iter().map(|(own, ..)| *own);
            own.into_iter().find(|own| own.is_ipv4() == network.first().is_ipv4())
        };
        networks(configuration, gif).into_iter().map(move |network| (network, source(&network)))
    })
}

/// Returns whether a policy is for the packets of a tunnel: its endpoints are hosts that the kernel reaches without the
/// TUN interface.
pub fn is_outer(configuration: &Configuration, selector: &ipsec_packet::Selector) -> bool {
    let is_ipencap = matches!(selector.upper, ipsec_packet::Upper::Protocol(IpProto::IPV4 | IpProto::IPV6));
    let ends = (selector.source, selector.destination);
    is_ipencap
        && configuration
            .gifs
            .iter()
            .filter_map(|gif| gif.outer)
            .any(|(own, peer)| ends == (AddressRange::host(own), AddressRange::host(peer)))
}

#[cfg(test)]
mod tests {
    use ipsec_config::{Language, LoadSettings, load};

    use super::*;
    use crate::buffer::Buffer;
    use crate::config::tests::Memory;

    const RC: &str = "gif_interfaces=\"gif0\"\ngifconfig_gif0=\"192.0.2.1 198.51.100.1\"\n\
                      ifconfig_gif0=\"inet 192.168.1.1 192.168.2.1 netmask 0xffffffff\"\n\
                      static_routes=\"vpn\"\nroute_vpn=\"192.168.2.0 192.168.2.1 netmask 0xffffff00\"\n";

    fn configuration(text: &str) -> Configuration {
        let files = Memory([("rc.conf", text.to_owned())].into());
        load(&files, &[("rc.conf".into(), Some(Language::Rc))], &LoadSettings::default()).configuration
    }

    /// Returns an IPv4 packet without a payload between two hosts.
    fn packet(source: [u8; 4], destination: [u8; 4], length: u8, dont_fragment: bool) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, length, 0, 1, if dont_fragment { 0x40 } else { 0 }, 0, 64, 253, 0, 0];
        packet.extend([source, destination].concat());
        packet.resize(usize::from(length), 0);
        packet
    }

    #[test]
    fn packets_for_the_networks_of_a_tunnel_have_an_outer_header() {
        let (own, peer) = (Gifs::new(&configuration(RC)), Gifs::new(&configuration(&swapped())));
        let mut buffer = Buffer::new();
        let inner = packet([192, 168, 1, 7], [192, 168, 2, 9], 40, true);
        let mut sent = buffer.copy(&inner).unwrap();
        assert_eq!(own.encapsulate(&mut sent, 77, |_| false).unwrap(), Encapsulation::Done);
        let outer = sent.data()[..20].to_vec();
        assert_eq!((outer[9], &outer[12..20]), (4, &[192, 0, 2, 1, 198, 51, 100, 1][..]));
        assert_eq!((&outer[4..6], outer[6] & 0x40, outer[8]), (&[0, 77][..], 0, HOP_LIMIT), "no don't-fragment bit");
        // The same tunnel on the other side.
        assert_eq!(peer.decapsulate(&mut sent, |_| false), Decapsulation::Done);
        assert_eq!(sent.data(), inner);
        let mut other = buffer.copy(&packet([192, 168, 1, 7], [192, 168, 3, 9], 40, true)).unwrap();
        assert_eq!(own.encapsulate(&mut other, 78, |_| false).unwrap(), Encapsulation::None);
    }

    #[test]
    fn packets_with_a_policy_of_their_own_are_neither_encapsulated_nor_accepted() {
        let (own, peer) = (Gifs::new(&configuration(RC)), Gifs::new(&configuration(&swapped())));
        let mut buffer = Buffer::new();
        let inner = packet([192, 168, 1, 7], [192, 168, 2, 9], 40, true);
        let is_it = |flow: &Flow| (flow.source, flow.destination) == ([192, 168, 1, 7].into(), [192, 168, 2, 9].into());
        let mut sent = buffer.copy(&inner).unwrap();
        assert_eq!(own.encapsulate(&mut sent, 77, is_it).unwrap(), Encapsulation::None);
        assert_eq!(sent.data(), inner);
        assert_eq!(own.encapsulate(&mut sent, 77, |_| false).unwrap(), Encapsulation::Done);
        assert_eq!(peer.decapsulate(&mut sent, is_it), Decapsulation::Refused);
    }

    /// Returns the lines of the other side.
    fn swapped() -> String {
        RC.replace("192.0.2.1 198.51.100.1", "198.51.100.1 192.0.2.1")
            .replace("192.168.1.1 192.168.2.1", "192.168.2.1 192.168.1.1")
            .replace("192.168.2.0 192.168.2.1", "192.168.1.0 192.168.1.1")
    }

    #[test]
    fn packets_above_the_mtu_are_reported_unless_they_may_be_fragmented() {
        let gifs =
            Gifs::new(&configuration(&RC.replace("0xffffffff", &format!("0xffffffff {} 100", "MTU".to_lowercase()))));
        for (length, dont_fragment, expected) in [
            (100, true, Encapsulation::Done),
            (101, true, Encapsulation::TooBig { mtu: 100 }),
            (101, false, Encapsulation::Done),
        ] {
            let mut buffer = Buffer::new();
            let mut sent = buffer.copy(&packet([192, 168, 1, 7], [192, 168, 2, 1], length, dont_fragment)).unwrap();
            assert_eq!(gifs.encapsulate(&mut sent, 1, |_| false).unwrap(), expected, "{length}");
        }
    }

    #[test]
    fn received_packets_from_outside_of_the_networks_are_dropped() {
        let (own, peer) = (Gifs::new(&configuration(RC)), Gifs::new(&configuration(&swapped())));
        let mut buffer = Buffer::new();
        let mut sent = buffer.copy(&packet([10, 9, 9, 9], [192, 168, 2, 9], 40, false)).unwrap();
        own.encapsulate(&mut sent, 1, |_| false).unwrap();
        assert_eq!(peer.decapsulate(&mut sent, |_| false), Decapsulation::Refused);
        let mut plain = buffer.copy(&packet([192, 0, 2, 1], [198, 51, 100, 1], 40, false)).unwrap();
        assert_eq!(
            peer.decapsulate(&mut plain, |_| false),
            Decapsulation::None,
            "another protocol between the endpoints"
        );
    }

    #[test]
    fn routes_of_a_tunnel_have_the_inner_address_as_source() {
        let found: Vec<_> = destinations(&configuration(RC)).map(|(range, own)| (range.to_string(), own)).collect();
        let own = Some("192.168.1.1".parse().unwrap());
        assert_eq!(found, [("192.168.2.0/24".to_owned(), own), ("192.168.2.1/32".to_owned(), own)]);
    }
}
