//! UDP sockets of IKE and of ESP in UDP (RFC 3947, RFC 3948).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ike_v1::Path;
use ipsec_packet::{IpProto, Ipv4Header, Ipv6Header, Marker, PacketBuf, Ports, UdpChecksum, push_udp};
use socket2::{Domain, Socket, Type};
use zerocopy::IntoBytes;

use crate::config::Backend;
use crate::kernel;

/// UDP socket of one local address and port. Datagrams therefore leave with the address that the peer has used.
pub struct Udp {
    local: SocketAddr,
    socket: UdpSocket,
}

impl Udp {
    /// Opens the socket of a local address and port. Its datagrams have the firewall mark and may be fragmented. Where
    /// the kernel processes packets, they pass its policies, and the kernel takes ESP in UDP.
    ///
    /// # Errors
    /// The message of the system with the address.
    pub fn open(local: SocketAddr, mark: u32, backend: Backend) -> Result<OwnedFd, String> {
        let open = || -> io::Result<OwnedFd> {
            let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None)?;
            socket.set_mark(mark)?;
            if local.is_ipv6() {
                socket.set_only_v6(true)?;
            } else {
                rustix::net::sockopt::set_ip_mtu_discover(&socket, rustix::net::sockopt::Ipv4PathMtuDiscovery::DONT)?;
            }
            if backend == Backend::Pfkey {
                kernel::set_for_keying(&socket, local)?;
            }
            socket.set_nonblocking(true)?;
            socket.bind(&local.into())?;
            Ok(socket.into())
        };
        open().map_err(|e| format!("UDP socket {local}: {e}"))
    }

    /// Returns the socket of a local address and port that was opened.
    pub fn from_descriptor(local: SocketAddr, descriptor: OwnedFd) -> Self {
        Self { local, socket: descriptor.into() }
    }

    /// Returns the local address and port.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Receives a datagram. Returns its length and its sender.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is none, and those of the system.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer)
    }

    /// Sends a datagram to a remote address and port.
    ///
    /// # Errors
    /// The error of the system.
    fn send(&self, datagram: &[u8], remote: SocketAddr) -> io::Result<()> {
        self.socket.send_to(datagram, remote).map(|_| ())
    }
}

/// Destination of the messages of IKE.
pub trait DatagramSink {
    /// Sends a datagram from the local address and port of a path to the remote ones.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrNotAvailable`] if no socket has the local address, and those of the system.
    fn send(&self, path: &Path, datagram: &[u8]) -> io::Result<()>;
}

impl DatagramSink for [Udp] {
    fn send(&self, path: &Path, datagram: &[u8]) -> io::Result<()> {
        let socket = self.iter().find(|socket| socket.local == path.local);
        socket.ok_or(io::ErrorKind::AddrNotAvailable)?.send(datagram, path.remote)
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Returns whether an answer can be sent to the sender of a datagram: port 0 means that there is none (RFC 768).
pub const fn is_answerable(sender: SocketAddr) -> bool {
    sender.port() != 0
}

/// Adds the UDP header and the IP header in front of a received ESP packet, which the engine expects. The fields that
/// the socket does not return have default values.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for a packet that is too long.
pub fn restore_headers(packet: &mut PacketBuf<'_>, from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let ports = Ports { source: from.port(), destination: to.port() };
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
    push_udp(packet, ports, Marker::NonEsp, UdpChecksum::Zero).map_err(|_| io::ErrorKind::InvalidData)?;
    prepend_ip_header(packet, from.ip(), to.ip(), IpProto::UDP).map_err(invalid)
}

/// Adds an IP header in front of a payload, with default values except for addresses, protocol and length.
///
/// # Errors
/// The payload is too long, or the address families differ.
pub fn prepend_ip_header(
    packet: &mut PacketBuf<'_>,
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProto,
) -> Result<(), InvalidLength> {
    let length = u16::try_from(packet.len()).map_err(|_| InvalidLength)?;
    let added = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = Ipv4Header::new(source, destination, protocol, 64);
            header.set_total_length(length.checked_add(20).ok_or(InvalidLength)?);
            header.set_checksum();
            packet.prepend(header.as_bytes())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = Ipv6Header::new(source, destination, protocol, 64);
            header.set_payload_length(length);
            packet.prepend(header.as_bytes())
        }
        _ => return Err(InvalidLength),
    };
    added.map_err(|_| InvalidLength)
}

/// Error of a payload to which no IP header can be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLength;

#[cfg(test)]
mod tests {
    use ipsec_packet::{Flow, Ip};

    use super::*;
    use crate::buffer::Buffer;

    #[test]
    fn restored_packets_have_addresses_ports_and_lengths() {
        for (from, to) in [("192.0.2.1:4501", "198.51.100.1:4500"), ("[2001:db8::1]:4501", "[2001:db8::2]:4500")] {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            let mut buffer = Buffer::new();
            let mut packet = buffer.copy(&[7; 40]).unwrap();
            restore_headers(&mut packet, from, to).unwrap();
            let flow = Flow::read(packet.data()).unwrap();
            assert_eq!((flow.source, flow.destination, flow.protocol), (from.ip(), to.ip(), IpProto::UDP));
            assert_eq!(flow.detail, ipsec_packet::Detail::Ports(4501, 4500));
            assert_eq!(Ip::parse(packet.data()).unwrap().packet().len(), packet.len());
        }
    }

    #[test]
    fn datagrams_without_a_source_port_have_no_answer() {
        for (sender, expected) in [("192.0.2.1:0", false), ("[2001:db8::1]:0", false), ("192.0.2.1:1", true)] {
            assert_eq!(is_answerable(sender.parse().unwrap()), expected, "{sender}");
        }
    }

    #[test]
    fn too_long_packets_are_refused() {
        let (from, to) = ("192.0.2.1:4501".parse().unwrap(), "198.51.100.1:4500".parse().unwrap());
        let mut buffer = Buffer::new();
        let mut packet = buffer.copy(&[7; 65_520]).unwrap();
        assert!(restore_headers(&mut packet, from, to).is_err());
    }
}
