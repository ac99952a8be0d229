//! Raw sockets: packets of ESP, AH and IPComp of the unprotected side.

use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use ipsec_packet::{Checksum, Ip, IpProto, PacketBuf};
use rustix::net::{RecvFlags, recvfrom, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::buffer::Buffer;
use crate::config::IKE_PORT;
use crate::plane::{PacketSink, is_too_big};
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

impl RawSockets {
    /// Returns the sockets for packets with a source address.
    fn of(&self, source: IpAddr) -> Option<&Raw> {
        let of_source = self.0.iter().find(|raw| raw.local == source);
        of_source.or_else(|| self.0.iter().find(|raw| raw.local.is_ipv4() == source.is_ipv4()))
    }
}

impl PacketSink for RawSockets {
    fn send(&self, packet: &[u8]) -> io::Result<()> {
        let ip = Ip::parse(packet).map_err(|_| ErrorKind::InvalidData)?;
        let raw = self.of(ip.source()).ok_or(ErrorKind::AddrNotAvailable)?;
        let destination = SocketAddr::new(ip.destination(), 0).into();
        let sent = raw.outgoing.send_to(packet, &destination).map(|_| ());
        let (Ip::V4(ip), true) = (&ip, sent.as_ref().is_err_and(is_too_big)) else { return sent };
        // The kernel does not fragment packets that have their IP header.
        let fragments = self.mtu(packet).filter(|_| !ip.header().dont_fragment()).map(|mtu| fragments(packet, mtu));
        let fragments = fragments.filter(|fragments| !fragments.is_empty());
        fragments.map_or(sent, |fragments| {
            fragments.iter().try_for_each(|fragment| raw.outgoing.send_to(fragment, &destination).map(|_| ()))
        })
    }

    fn mtu(&self, packet: &[u8]) -> Option<u16> {
        let ip = Ip::parse(packet).ok()?;
        let (source, destination) = (ip.source(), ip.destination());
        let raw = self.of(source)?;
        // A connected socket has the route of its packets, whatever its protocol is. Nothing is sent.
        let socket = Socket::new(Domain::for_address(SocketAddr::new(destination, 0)), Type::DGRAM, None).ok()?;
        socket.set_mark(raw.outgoing.mark().ok()?).ok()?;
        socket.bind(&SocketAddr::new(source, 0).into()).ok()?;
        socket.connect(&SocketAddr::new(destination, IKE_PORT).into()).ok()?;
        let mtu = if source.is_ipv4() { sockopt::ip_mtu(&socket) } else { sockopt::ipv6_mtu(&socket) };
        u16::try_from(mtu.ok()?).ok()
    }
}

/// Divides an IPv4 packet without options into fragments of at most `mtu` octets (RFC 791 section 3.2). Returns none if
/// that is not possible.
fn fragments(packet: &[u8], mtu: u16) -> Vec<Vec<u8>> {
    const HEADER: usize = 20;
    const MORE_FRAGMENTS: u16 = 0x2000;
    let step = usize::from(mtu).saturating_sub(HEADER) / 8 * 8;
    let (Some((header, payload)), Some(0x45)) = (packet.split_at_checked(HEADER), packet.first()) else {
        return Vec::new();
    };
    if step == 0 {
        return Vec::new();
    }
    // The packet may be a fragment itself.
    let first = u16::from_be_bytes([header[6], header[7]]);
    let last = payload.len().div_ceil(step).saturating_sub(1);
    let fragment = |(at, chunk): (usize, &[u8])| {
        let more = if at < last { MORE_FRAGMENTS } else { 0 };
        let offset = u16::try_from(at * step / 8).ok()?.checked_add(first)?;
        let mut fragment = [header, chunk].concat();
        let length = u16::try_from(fragment.len()).ok()?;
        fragment[2..4].copy_from_slice(&length.to_be_bytes());
        fragment[6..8].copy_from_slice(&(offset | more).to_be_bytes());
        fragment[10..12].fill(0);
        let sum = Checksum::new().over(&fragment[..HEADER]).finish();
        fragment[10..12].copy_from_slice(&sum.to_be_bytes());
        Some(fragment)
    };
    payload.chunks(step).enumerate().map(fragment).collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_have_the_octets_of_the_packet() {
        let mut packet = vec![0x45, 0, 0, 0, 0x1c, 0x46, 0, 0, 64, 50, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        packet.extend((0..1000u16).map(|at| at.to_le_bytes()[0]));
        let fragments = fragments(&packet, 500);
        let mut payload = Vec::new();
        for fragment in &fragments {
            let Ok(Ip::V4(ip)) = Ip::parse(fragment) else { panic!("IPv4") };
            assert!(fragment.len() <= 500 && ip.has_valid_checksum());
            assert_eq!((ip.packet().len(), ip.header().identification()), (fragment.len(), 0x1c46));
            let offset = u16::from_be_bytes([fragment[6], fragment[7]]);
            let more = if payload.len() + ip.payload().len() < 1000 { 0x2000 } else { 0 };
            assert_eq!(usize::from(offset), (payload.len() / 8) | more);
            payload.extend_from_slice(ip.payload());
        }
        assert_eq!((fragments.len(), payload == packet[20..]), (3, true));
    }

    #[test]
    fn packets_that_cannot_be_divided_have_no_fragments() {
        let packet = [0x45; 100];
        assert!(fragments(&packet, 27).is_empty(), "no octets of the payload");
        assert!(fragments(&packet[..10], 500).is_empty());
        assert!(fragments(&[0x46; 100], 50).is_empty(), "options");
    }
}
