//! Raw sockets: packets of ESP, AH and IPComp of the unprotected side.

use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use ipsec_packet::{Ip, IpProto, PacketBuf};
use rustix::net::{RecvFlags, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

use crate::buffer::Buffer;
use crate::plane::PacketSink;
use crate::udp::prepend_ip_header;

/// Protocol number of raw sockets that send packets with their IP header.
const RAW: i32 = 255;
/// Size of the receive buffer in octets.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Protocols of received packets.
pub const PROTOCOLS: [IpProto; 3] = [IpProto::ESP, IpProto::AH, IpProto::IPCOMP];

/// Raw sockets of one local address and protocol. While they are open, the kernel does not report the protocol as
/// unreachable.
pub struct Raw {
    local: IpAddr,
    protocol: IpProto,
    incoming: Socket,
    outgoing: Socket,
}

impl Raw {
    /// Opens the sockets. Packets that are sent have the firewall mark.
    ///
    /// # Errors
    /// The message of the system with the address.
    pub fn open(local: IpAddr, protocol: IpProto, mark: u32) -> Result<Self, String> {
        let open = || -> io::Result<Self> {
            let domain = if local.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
            let incoming = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(protocol.0))))?;
            incoming.set_nonblocking(true)?;
            // The limit of the system applies; a smaller buffer loses packets under load only.
            let _ = incoming.set_recv_buffer_size(RECEIVE_BUFFER);
            incoming.bind(&SocketAddr::new(local, 0).into())?;
            let outgoing = Socket::new(domain, Type::RAW, Some(Protocol::from(RAW)))?;
            outgoing.set_nonblocking(true)?;
            outgoing.set_mark(mark)?;
            if local.is_ipv4() {
                outgoing.set_header_included_v4(true)?;
            }
            Ok(Self { local, protocol, incoming, outgoing })
        };
        open().map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied => format!("raw socket {local}: {e}: root, or CAP_NET_RAW and CAP_NET_ADMIN"),
            _ => format!("raw socket {local}: {e}"),
        })
    }

    /// Returns the local address.
    pub const fn local(&self) -> IpAddr {
        self.local
    }

    /// Returns the protocol of received packets.
    pub const fn protocol(&self) -> IpProto {
        self.protocol
    }

    /// Receives a packet with its IP header.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if there is none, and those of the system.
    pub fn receive<'b>(&self, buffer: &'b mut Buffer) -> io::Result<PacketBuf<'b>> {
        if self.local.is_ipv4() {
            return buffer.receive(|buffer| (&self.incoming).read(buffer));
        }
        // The kernel removes the header of IPv6.
        let mut source = None;
        let mut packet = buffer.receive(|buffer| {
            let (length, _, address) = recvfrom(&self.incoming, buffer, RecvFlags::empty())?;
            source = address.and_then(|address| SocketAddr::try_from(address).ok());
            Ok(length)
        })?;
        let source = source.ok_or(ErrorKind::InvalidData)?.ip();
        prepend_ip_header(&mut packet, source, self.local, self.protocol).map_err(|_| ErrorKind::InvalidData)?;
        Ok(packet)
    }
}

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.incoming.as_fd()
    }
}

/// Raw sockets of all local addresses, one of which sends a packet: that of its source, or the first of its family.
pub struct RawSockets(pub Vec<Raw>);

impl PacketSink for RawSockets {
    fn send(&self, packet: &[u8]) -> io::Result<()> {
        let ip = Ip::parse(packet).map_err(|_| ErrorKind::InvalidData)?;
        let (source, destination) = (ip.source(), ip.destination());
        let of_source = self.0.iter().find(|raw| raw.local == source);
        let raw = of_source.or_else(|| self.0.iter().find(|raw| raw.local.is_ipv4() == source.is_ipv4()));
        let raw = raw.ok_or(ErrorKind::AddrNotAvailable)?;
        raw.outgoing.send_to(packet, &SocketAddr::new(destination, 0).into()).map(|_| ())
    }
}
