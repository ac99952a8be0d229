//! Security gateway: a host with a setkey.conf text, and an IP-in-IP tunnel in front of it if its policies select such
//! packets.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use ipsec_engine::{Action, Direction, InboundAction, OutboundAction, PolicyDirection, Transform};
use ipsec_packet::{HopLimitPolicy, Instant, Ip, IpProto, OuterFields, PacketBuf, Tunnel, TunnelError, Upper};
use rand::rngs::StdRng;

use crate::gateway::{Config, Host, Outcome};

/// Security gateway of the demonstration.
pub struct Gateway {
    /// Name of the gateway, `A` or `B`.
    pub name: char,
    /// Configuration of the gateway.
    pub config: Config,
    /// Host with the engine.
    pub host: Host,
    gif: Option<Tunnel>,
    identification: u16,
}

/// Result of a received packet.
pub enum Received {
    /// IP packet for the network behind the gateway.
    Packet(Vec<u8>),
    /// Discarded packet with the reason.
    Refused(&'static str),
}

impl Gateway {
    /// Creates a gateway whose SAs are installed at this time of a capture.
    pub fn new(name: char, config: Config, rng: StdRng, time: Duration) -> Result<Self, Box<dyn Error>> {
        let mut host = Host::new(rng);
        host.numbers = config.numbers()?;
        config.load(&mut host, Instant::from_start(time), false)?;
        let gif = gif(&host);
        Ok(Self { name, config, host, gif, identification: 0 })
    }

    /// Protects a packet of its network; `Err` contains the reason why it is not sent. Packets that no policy
    /// protects are not sent either.
    pub fn send(&mut self, time: Duration, packet: &[u8]) -> Result<Result<Vec<u8>, &'static str>, Box<dyn Error>> {
        let encapsulated = match &self.gif {
            Some(gif) => {
                self.identification = self.identification.wrapping_add(1);
                let Ok(encapsulated) = encapsulate(gif, packet, self.identification) else { return Ok(Err("gif")) };
                Some(encapsulated)
            }
            None => None,
        };
        Ok(match self.host.send(Instant::from_start(time), encapsulated.as_deref().unwrap_or(packet))? {
            (OutboundAction::Send, sealed) => Ok(sealed),
            (other, _) => Err(Outcome::from(other).name),
        })
    }

    /// Decapsulates a received packet.
    pub fn receive(&mut self, time: Duration, packet: &[u8]) -> Received {
        match (self.host.receive(Instant::from_start(time), packet), &self.gif) {
            ((InboundAction::Deliver { .. }, packet), None) => Received::Packet(packet),
            ((InboundAction::Deliver { .. }, packet), Some(gif)) => {
                decapsulate(gif, packet).map_or(Received::Refused("gif"), Received::Packet)
            }
            ((other, _), _) => Received::Refused(Outcome::from(other).name),
        }
    }

    /// Returns the addresses of the outermost outbound SA.
    pub fn ends(&self) -> Option<(IpAddr, IpAddr)> {
        let out = self.host.engine.sas().filter(|sa| sa.key.direction == Direction::Outbound);
        out.filter_map(|sa| Some((sa.sa?.source(), sa.sa?.destination()))).last()
    }

    /// Returns the templates of the first outbound PROTECT policy, such as `esp/tunnel`, and the IP-in-IP tunnel.
    pub fn protection(&self) -> String {
        let templates = self.host.engine.policies().find_map(|(_, policy)| match policy.action {
            Action::Protect(bundle) if policy.direction == PolicyDirection::Out => {
                let names = bundle.iter().map(|template| format!("{}/{}", template.protocol, template.mode));
                Some(names.collect::<Vec<_>>().join(" "))
            }
            _ => None,
        });
        let templates = templates.unwrap_or_else(|| "no PROTECT policy".to_owned());
        if self.gif.is_some() { format!("{templates} around an IP-in-IP tunnel") } else { templates }
    }

    /// Returns the number of octets that IPComp saved, if it is used.
    pub fn saved(&self) -> Option<u64> {
        let saved = |transform: &Transform<_>| match transform {
            Transform::IpcompOut(ipcomp) => Some(ipcomp.saved()),
            _ => None,
        };
        self.host.engine.sas().find_map(|sa| saved(sa.sa?.transform()))
    }

    /// Returns the number of sequence numbers that all SAs have used.
    pub fn sealed(&self) -> u64 {
        let out = self.host.engine.sas().filter(|sa| sa.key.direction == Direction::Outbound);
        out.filter_map(|sa| sa.sa?.transform().sequence()).map(|seq| seq.get()).sum()
    }
}

/// Returns the IP-in-IP tunnel between the two hosts of a policy for `ipencap` or `ipv6`.
fn gif(host: &Host) -> Option<Tunnel> {
    host.engine.policies().find_map(|(_, policy)| {
        let in_ip = [IpProto::IPV4, IpProto::IPV6].map(Upper::Protocol).contains(&policy.selector.upper);
        let (source, destination) = (policy.selector.source, policy.selector.destination);
        if policy.direction != PolicyDirection::Out || !in_ip {
            return None;
        }
        let tunnel = match (source.first(), destination.first()) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => Tunnel::v4(local, remote),
            (IpAddr::V6(local), IpAddr::V6(remote)) => Tunnel::v6(local, remote),
            _ => return None,
        };
        Some(tunnel.with_hop_limit(HopLimitPolicy::Set(30)))
    })
}

fn encapsulate(gif: &Tunnel, packet: &[u8], id: u16) -> Result<Vec<u8>, Box<dyn Error>> {
    let room = gif.overhead();
    let mut bytes = vec![0; room + packet.len()];
    bytes[room..].copy_from_slice(packet);
    let mut work_on = PacketBuf::with_headroom(&mut bytes, room, packet.len())?;
    let (outer, next) = gif.outer_for(work_on.data_mut())?;
    outer.push(&mut work_on, next, id)?;
    Ok(bytes)
}

fn decapsulate(gif: &Tunnel, mut packet: Vec<u8>) -> Result<Vec<u8>, TunnelError> {
    let ip = Ip::parse(&packet)?;
    let (seen, next) = match &ip {
        Ip::V4(v4) => (OuterFields::read(&ip), v4.header().protocol()),
        Ip::V6(v6) => (OuterFields::read(&ip), v6.header().next_header()),
    };
    gif.check_endpoints(&seen)?;
    let mut inner = PacketBuf::received(&mut packet);
    inner.pull_front(gif.overhead()).map_err(|e| TunnelError::Inner(e.into()))?;
    gif.accept(&seen, next, &mut inner)?;
    Ok(inner.data().to_vec())
}
