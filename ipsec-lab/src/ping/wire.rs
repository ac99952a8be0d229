//! Raw sockets: whole IP packets out, those of the protocols of IPsec in.

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
    /// One for each protocol, by its number; the last is UDP.
    incoming: Vec<(IpProto, UdpSocket)>,
}

/// The raw protocol that takes packets with their IP header.
const RAW: i32 = 255;
/// ESP in UDP.
const NAT_PORT: u16 = 4500;
/// What a socket waits at most for, before the next is asked.
const TURN: Duration = Duration::from_millis(1);

impl Wire {
    /// Opens them. As long as they are open, the kernel does not call these protocols unreachable.
    pub fn open(local: IpAddr) -> Result<Self, Box<dyn Error>> {
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
            incoming.push((proto, UdpSocket::from(socket)));
        }
        incoming.push((IpProto::UDP, UdpSocket::bind((local, NAT_PORT)).map_err(|e| format!("udp port 4500: {e}"))?));
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
            for (proto, socket) in &self.incoming {
                match socket.recv_from(&mut buffer) {
                    Ok((octets, from)) => packets.extend(self.whole(*proto, from, &buffer[..octets])?),
                    Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        Ok(packets)
    }

    /// A packet as it was on the wire: raw IPv4 comes with its header; of IPv6 and UDP what matters is put back.
    fn whole(&self, proto: IpProto, from: SocketAddr, received: &[u8]) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
        if proto != IpProto::UDP && self.local.is_ipv4() {
            return Ok(Some(received.to_vec()));
        }
        let mut body = received.to_vec();
        if proto == IpProto::UDP {
            let length = u16::try_from(received.len() + 8)?;
            body = [from.port().to_be_bytes(), NAT_PORT.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
            body.extend_from_slice(received);
        }
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
