//! Raw sockets that send IP packets and receive those of the IPsec protocols.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use ipsec_packet::{Ip, IpProto, Ipv4Header, Ipv6Header};
use socket2::{Domain, Protocol, Socket, Type};
use zerocopy::IntoBytes;

/// Sockets of one local address.
pub struct Wire {
    local: IpAddr,
    out: Socket,
    /// Packets of the sockets: one for each protocol, and one for each local UDP port of ESP in UDP. Each is received
    /// by a thread of its own, so that the time of a packet is that of its arrival.
    incoming: Receiver<io::Result<Datagram>>,
}

/// Protocol number of raw sockets that send packets with their IP header.
const RAW: i32 = 255;
/// Socket on which a packet was received.
#[derive(Clone, Copy)]
enum Source {
    Protocol(IpProto),
    /// UDP socket with this local port.
    Udp(u16),
}

/// Data of a socket with its sender and the time of its arrival.
struct Datagram {
    source: Source,
    from: SocketAddr,
    octets: Vec<u8>,
    time: Instant,
}

/// Received IP packet with the time of its arrival.
pub struct Arrival {
    /// Time at which the socket was read.
    pub time: Instant,
    /// Packet from its IP header on.
    pub packet: Vec<u8>,
}

/// Largest datagram in octets.
const MAX_DATAGRAM: usize = 65536;

impl Wire {
    /// Opens the sockets. While they are open, the kernel does not report these protocols as unreachable.
    pub fn open(local: IpAddr, ports: &BTreeSet<u16>) -> Result<Self, Box<dyn Error>> {
        let domain = if local.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let raw = |proto: i32| {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(proto)));
            socket.map_err(|e| match e.kind() {
                ErrorKind::PermissionDenied => {
                    "raw sockets need root or CAP_NET_RAW: run the command with sudo".to_owned()
                }
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
            // The socket type of the standard library receives without unsafe code.
            incoming.push((Source::Protocol(proto), UdpSocket::from(socket)));
        }
        for &port in ports {
            let socket = UdpSocket::bind((local, port)).map_err(|e| format!("UDP port {port}: {e}"))?;
            incoming.push((Source::Udp(port), socket));
        }
        let (sender, receiver) = mpsc::channel();
        for (source, socket) in incoming {
            let sender = sender.clone();
            // The threads end with the process, or when the receiver is dropped.
            thread::Builder::new().spawn(move || forward(source, &socket, &sender))?;
        }
        Ok(Self { local, out, incoming: receiver })
    }

    /// Sends an IP packet.
    pub fn send(&self, packet: &[u8]) -> Result<(), Box<dyn Error>> {
        let to = Ip::parse(packet)?.destination();
        self.out.send_to(packet, &SocketAddr::new(to, 0).into())?;
        Ok(())
    }

    /// Returns the received IP packets as soon as there is one; none after the time.
    pub fn receive(&self, time: Duration) -> Result<Vec<Arrival>, Box<dyn Error>> {
        let first = match self.incoming.recv_timeout(time) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => return Ok(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => return Err("every socket is closed".into()),
        };
        let mut packets = Vec::new();
        for datagram in std::iter::once(first).chain(self.incoming.try_iter()) {
            let Datagram { source, from, octets, time } = datagram?;
            packets.extend(self.whole(source, from, &octets)?.map(|packet| Arrival { time, packet }));
        }
        Ok(packets)
    }

    /// Returns a packet as it was on the wire: raw IPv4 sockets include the header, for IPv6 and UDP the needed
    /// fields are restored.
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
                header.set_total_length(length.checked_add(20).ok_or("packet too long")?);
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

/// Sends the packets that a socket receives to the channel, until an error or until the channel is closed.
#[allow(clippy::disallowed_methods)] // the time of arrival
fn forward(source: Source, socket: &UdpSocket, sender: &Sender<io::Result<Datagram>>) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let received = match socket.recv_from(&mut buffer) {
            Ok((octets, from)) => {
                Ok(Datagram { source, from, octets: buffer[..octets].to_vec(), time: Instant::now() })
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            // An ICMP error for an earlier packet.
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable) => continue,
            Err(e) => Err(e),
        };
        let has_failed = received.is_err();
        if sender.send(received).is_err() || has_failed {
            return;
        }
    }
}
