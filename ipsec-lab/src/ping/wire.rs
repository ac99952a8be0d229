//! Raw sockets: whole IP packets out, those of the protocols of IPsec in.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ipsec_packet::{Ip, IpProto, Ipv4Header, Ipv6Header};
use socket2::{Domain, Protocol, Socket, Type};
use zerocopy::IntoBytes;

/// The sockets of one local address.
pub struct Wire {
    local: IpAddr,
    out: Socket,
    /// One for each protocol, and one for each local port of ESP in UDP.
    incoming: Vec<(Source, UdpSocket)>,
}

/// The raw protocol that takes packets with their IP header.
const RAW: i32 = 255;
/// Where a packet was received.
#[derive(Clone, Copy)]
enum Source {
    Protocol(IpProto),
    /// A local port.
    Udp(u16),
}

/// What a socket waits at most for, before the next is asked.
const TURN: Duration = Duration::from_millis(1);

impl Wire {
    /// Opens them, with these UDP ports. As long as they are open, the kernel does not call these protocols unreachable.
    pub fn open(local: IpAddr, ports: &BTreeSet<u16>) -> Result<Self, Box<dyn Error>> {
        let domain = if local.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let raw = |proto: i32| {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(proto)));
            socket.map_err(|e| match e.kind() {
                ErrorKind::PermissionDenied => "raw sockets need root".to_owned(),
                _ => format!("raw socket: {e}"),
            })
        };
        let out = raw(RAW)?;
        if local.is_ipv4() {
            out.set_header_included_v4(true)?;
        }
        let mut incoming = Vec::new();
        for proto in [IpProto::ESP, IpProto::AH, IpProto::IPCOMP, IpProto::IPV4, IpProto::IPV6] {
            let socket = raw(proto.0.into())?;
            socket.bind(&SocketAddr::new(local, 0).into()).map_err(|e| format!("{local}: {e}"))?;
            // The standard library's socket receives without unsafe code, and asks no more of it than that.
            incoming.push((Source::Protocol(proto), UdpSocket::from(socket)));
        }
        for &port in ports {
            let socket = UdpSocket::bind((local, port)).map_err(|e| format!("UDP port {port}: {e}"))?;
            incoming.push((Source::Udp(port), socket));
        }
        for (_, socket) in &incoming {
            socket.set_read_timeout(Some(TURN))?;
        }
        Ok(Self { local, out, incoming })
    }

    /// Sends an IP packet.
    pub fn send(&self, packet: &[u8]) -> Result<(), Box<dyn Error>> {
        let to = Ip::parse(packet)?.destination();
        self.out.send_to(packet, &SocketAddr::new(to, 0).into())?;
        Ok(())
    }

    /// IP packets that came, as soon as there is one; none when the time is over.
    #[allow(clippy::disallowed_methods)] // it waits
    pub fn receive(&self, time: Duration) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
        let end = Instant::now() + time;
        let mut packets = Vec::new();
        let mut buffer = vec![0; 65536];
        while packets.is_empty() && Instant::now() < end {
            for (source, socket) in &self.incoming {
                match socket.recv_from(&mut buffer) {
                    Ok((octets, from)) => packets.extend(self.whole(*source, from, &buffer[..octets])?),
                    Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        Ok(packets)
    }

    /// A packet as it was on the wire: raw IPv4 comes with its header; of IPv6 and UDP what matters is put back.
    fn whole(&self, source: Source, from: SocketAddr, received: &[u8]) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
        let (proto, body) = match source {
            Source::Protocol(_) if self.local.is_ipv4() => return Ok(Some(received.to_vec())),
            Source::Protocol(proto) => (proto, received.to_vec()),
            Source::Udp(port) => {
                let length = u16::try_from(received.len() + 8)?;
                let header = [from.port().to_be_bytes(), port.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
                (IpProto::UDP, [&header, received].concat())
            }
        };
        let length = u16::try_from(body.len())?;
        Ok(match (from.ip(), self.local) {
            (IpAddr::V4(from), IpAddr::V4(local)) => {
                let mut header = Ipv4Header::new(from, local, proto, 64);
                header.set_total_length(length.checked_add(20).ok_or("too long")?);
                header.set_checksum();
                Some([header.as_bytes(), &body].concat())
            }
            (IpAddr::V6(from), IpAddr::V6(local)) => {
                let mut header = Ipv6Header::new(from, local, proto, 64);
                header.set_payload_length(length);
                Some([header.as_bytes(), &body].concat())
            }
            _ => None,
        })
    }
}
