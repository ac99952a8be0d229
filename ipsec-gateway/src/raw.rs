//! Raw sockets: packets of ESP, AH and IPComp of the unprotected side, those of IP-in-IP tunnels, and ICMPv6 reports
//! about them. Of IPv4, the kernel puts such reports into effect.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ipsec_packet::{Fragments, Instant, Ip, IpProto, Outer, PacketBuf};
use rustix::net::{RecvFlags, recvfrom, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::buffer::Buffer;
use crate::clock;
use crate::config::IKE_PORT;
use crate::gif;
use crate::plane::{PacketSink, is_too_big};

/// Protocol number of raw sockets that send packets with their IP header.
const RAW: i32 = 255;
/// Hop limit of headers in place of those that the kernel has removed.
const HOP_LIMIT: u8 = 64;
/// Size of the receive buffer in octets.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Time for which a path MTU over IPv6 is valid, as that of an SA.
const PATH_MTU_LIFETIME: Duration = Duration::from_secs(600);

/// Protocols of packets that each local address receives.
const PROTOCOLS: [IpProto; 3] = [IpProto::ESP, IpProto::AH, IpProto::IPCOMP];

/// Raw socket that receives the packets of one protocol to one local address. While it is open, the kernel does not
/// report the protocol as unreachable.
pub struct Receiver {
    local: IpAddr,
    protocol: IpProto,
    socket: Socket,
}

impl Receiver {
    fn open(local: IpAddr, protocol: IpProto) -> io::Result<Socket> {
        let socket = Socket::new(domain(local), Type::RAW, Some(Protocol::from(i32::from(protocol.0))))?;
        socket.set_nonblocking(true)?;
        // The limit of the system applies; a smaller buffer loses packets under load only.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        socket.bind(&SocketAddr::new(local, 0).into())?;
        Ok(socket)
    }

    /// Returns whether the socket receives ICMP messages.
    pub fn is_icmp(&self) -> bool {
        self.protocol == IpProto::ICMPV6
    }

    /// Receives a packet with its IP header.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if there is none, and those of the system.
    pub fn receive<'b>(&self, buffer: &'b mut Buffer) -> io::Result<PacketBuf<'b>> {
        if self.local.is_ipv4() {
            return buffer.receive(|buffer| (&self.socket).read(buffer));
        }
        // The kernel removes the header of IPv6.
        let mut source = None;
        let mut packet = buffer.receive(|buffer| {
            let (length, _, address) = recvfrom(&self.socket, buffer, RecvFlags::empty())?;
            source = address.and_then(|address| SocketAddr::try_from(address).ok());
            Ok(length)
        })?;
        let source = source.ok_or(ErrorKind::InvalidData)?.ip();
        let header = Outer::between(source, self.local, HOP_LIMIT).ok_or(ErrorKind::InvalidData)?;
        header.push(&mut packet, self.protocol, 0).map_err(|_| ErrorKind::InvalidData)?;
        Ok(packet)
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.local)
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Local address of raw sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawLocal {
    /// Address of this host.
    pub address: IpAddr,
    /// Set if the address is an endpoint of an IP-in-IP tunnel, whose packets may arrive without ESP and AH.
    pub is_tunnel_end: bool,
}

impl RawLocal {
    /// Returns the protocols of the packets that are received.
    fn protocols(self) -> impl Iterator<Item = IpProto> {
        let tunnels = gif::PROTOCOLS.into_iter().filter(move |_| self.is_tunnel_end);
        PROTOCOLS.into_iter().chain(tunnels).chain(self.address.is_ipv6().then_some(IpProto::ICMPV6))
    }
}

/// Raw socket that sends packets with their IP header from one local address.
struct Sender {
    local: IpAddr,
    socket: Socket,
    /// Socket with the route of the packets, for their MTU. Nothing is sent by it.
    route: Socket,
}

impl Sender {
    /// Opens the sending socket and the one with its route.
    fn open(local: IpAddr, mark: u32) -> io::Result<[Socket; 2]> {
        let socket = Socket::new(domain(local), Type::RAW, Some(Protocol::from(RAW)))?;
        socket.set_nonblocking(true)?;
        socket.set_mark(mark)?;
        if local.is_ipv4() {
            socket.set_header_included_v4(true)?;
        }
        let route = Socket::new(domain(local), Type::DGRAM, None)?;
        route.set_mark(mark)?;
        // Nothing that it receives is read.
        let _ = route.set_recv_buffer_size(0);
        route.bind(&SocketAddr::new(local, 0).into())?;
        Ok([socket, route])
    }
}

/// Returns the unspecified address of the other family.
const fn of_other_family(local: IpAddr) -> IpAddr {
    if local.is_ipv4() { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) }
}

/// Raw sockets of all local addresses.
#[derive(Default)]
pub struct RawSockets {
    /// Addresses whose sockets are open.
    locals: Vec<RawLocal>,
    /// Sockets for each address and protocol.
    pub receivers: Vec<Receiver>,
    senders: Vec<Sender>,
    /// Sockets of both address families, for reports to hosts behind a tunnel over the other one.
    reporters: Vec<Sender>,
    /// Path MTU of destinations over IPv6, which the kernel does not know, and the time until which it is valid.
    paths: HashMap<IpAddr, (u16, Instant)>,
}

impl RawSockets {
    /// Opens the sockets of a local address. Packets that are sent have the firewall mark.
    ///
    /// # Errors
    /// The message of the system with the address.
    pub fn open(local: RawLocal, mark: u32) -> Result<Vec<OwnedFd>, String> {
        let address = local.address;
        let open = || -> io::Result<Vec<OwnedFd>> {
            let receivers = local.protocols().map(|protocol| Receiver::open(address, protocol));
            let mut sockets: Vec<Socket> = receivers.collect::<io::Result<_>>()?;
            sockets.extend(Sender::open(address, mark)?);
            // A system without the other family has no hosts of it.
            sockets.extend(Sender::open(of_other_family(address), mark).into_iter().flatten());
            Ok(sockets.into_iter().map(OwnedFd::from).collect())
        };
        open().map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied => format!("raw socket {address}: {e}: root, or CAP_NET_RAW and CAP_NET_ADMIN"),
            _ => format!("raw socket {address}: {e}"),
        })
    }

    /// Returns the sockets of a local address that were opened; `None` if there are too few or too many.
    pub fn from_descriptors(local: RawLocal, descriptors: Vec<OwnedFd>) -> Option<Self> {
        let mut sockets = descriptors.into_iter().map(Socket::from);
        let (locals, mut receivers) = (vec![local], Vec::new());
        for protocol in local.protocols() {
            receivers.push(Receiver { local: local.address, protocol, socket: sockets.next()? });
        }
        let mut sender = |local| Some(Sender { local, socket: sockets.next()?, route: sockets.next()? });
        let senders = vec![sender(local.address)?];
        let reporters = sender(of_other_family(local.address)).into_iter().collect();
        sockets.next().is_none().then(|| Self { locals, receivers, senders, reporters, paths: HashMap::new() })
    }

    /// Closes the sockets of the local addresses that are not among these.
    pub fn retain(&mut self, wanted: &[RawLocal]) {
        self.locals.retain(|local| wanted.contains(local));
        let locals = &self.locals;
        let keeps = |address: IpAddr| locals.iter().any(|local| local.address == address);
        self.receivers.retain(|receiver| keeps(receiver.local));
        self.senders.retain(|sender| keeps(sender.local));
    }

    /// Adds the sockets of other addresses.
    pub fn append(&mut self, mut other: Self) {
        self.locals.append(&mut other.locals);
        self.receivers.append(&mut other.receivers);
        self.senders.append(&mut other.senders);
        if self.reporters.is_empty() {
            self.reporters.append(&mut other.reporters);
        }
    }

    /// Returns whether the sockets of a local address are open.
    pub fn has(&self, local: RawLocal) -> bool {
        self.locals.contains(&local)
    }

    /// Records the path MTU over IPv6 that a router has reported about a packet of an SA.
    pub fn note_path_mtu(&mut self, destination: IpAddr, mtu: u16, now: Instant) {
        if destination.is_ipv6() {
            self.paths.retain(|_, (_, until)| now < *until);
            self.paths.insert(destination, (mtu, now + PATH_MTU_LIFETIME));
        }
    }

    fn path_mtu(&self, destination: IpAddr) -> Option<u16> {
        let (mtu, until) = self.paths.get(&destination)?;
        (clock::now() < *until).then_some(*mtu)
    }

    /// Returns the sockets for packets with a source address: those of the address, or the first of its family.
    fn of(&self, source: IpAddr) -> Option<&Sender> {
        let of_source = self.senders.iter().find(|sender| sender.local == source);
        let mut all = self.senders.iter().chain(&self.reporters);
        let of_family = || all.find(|sender| sender.local.is_ipv4() == source.is_ipv4());
        of_source.or_else(of_family)
    }
}

fn domain(address: IpAddr) -> Domain {
    if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 }
}

/// Sends the fragments of a packet, of at most `mtu` octets, until one is not sent.
fn send_fragments(socket: &Socket, mut fragments: Fragments<'_>, mtu: u16, destination: &SockAddr) -> io::Result<()> {
    let mut buffer = vec![0; mtu.into()];
    while let Some(fragment) = fragments.write_next(&mut buffer).map_err(io::Error::other)? {
        socket.send_to(fragment, destination)?;
    }
    Ok(())
}

impl PacketSink for RawSockets {
    fn send(&self, packet: &[u8]) -> io::Result<()> {
        let ip = Ip::parse(packet).map_err(|_| ErrorKind::InvalidData)?;
        let socket = &self.of(ip.source()).ok_or(ErrorKind::AddrNotAvailable)?.socket;
        if self.path_mtu(ip.destination()).is_some_and(|mtu| packet.len() > mtu.into()) {
            return Err(rustix::io::Errno::MSGSIZE.into());
        }
        let destination = SocketAddr::new(ip.destination(), 0).into();
        let sent = socket.send_to(packet, &destination).map(|_| ());
        if ip.source().is_ipv6() || !sent.as_ref().is_err_and(is_too_big) {
            return sent;
        }
        // The kernel does not fragment packets that have their IP header.
        let Some(mtu) = self.mtu(packet) else { return sent };
        let Ok(fragments) = Fragments::new(packet, mtu, 0) else { return sent };
        send_fragments(socket, fragments, mtu, &destination)
    }

    fn send_in_fragments(&self, packet: &[u8]) -> io::Result<()> {
        let ip = Ip::parse(packet).map_err(|_| ErrorKind::InvalidData)?;
        let socket = &self.of(ip.source()).ok_or(ErrorKind::AddrNotAvailable)?.socket;
        let destination = SocketAddr::new(ip.destination(), 0).into();
        let too_big = rustix::io::Errno::MSGSIZE;
        let mtu = self.mtu(packet).filter(|_| ip.source().is_ipv6()).ok_or(too_big)?;
        let fragments = Fragments::new(packet, mtu, rand::random()).map_err(|_| too_big)?;
        send_fragments(socket, fragments, mtu, &destination)
    }

    fn route_mtu(&self, source: IpAddr, destination: IpAddr) -> Option<u16> {
        let route = &self.of(source)?.route;
        // A connected socket has the route of its packets, for any protocol. No packet is sent.
        route.connect(&SocketAddr::new(destination, IKE_PORT).into()).ok()?;
        let mtu = if source.is_ipv4() { sockopt::ip_mtu(route) } else { sockopt::ipv6_mtu(route) };
        let mtu = u16::try_from(mtu.ok()?).ok()?;
        Some(self.path_mtu(destination).map_or(mtu, |path| path.min(mtu)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_endpoints_of_tunnels_receive_ip_in_ip() {
        let (v4, v6) = (IpAddr::V4([192, 0, 2, 1].into()), IpAddr::V6(Ipv6Addr::LOCALHOST));
        let table: [(_, _, &[u8]); 3] =
            [(v4, false, &[50, 51, 108]), (v4, true, &[50, 51, 108, 4, 41]), (v6, true, &[50, 51, 108, 4, 41, 58])];
        for (address, is_tunnel_end, expected) in table {
            let protocols: Vec<u8> =
                RawLocal { address, is_tunnel_end }.protocols().map(|protocol| protocol.0).collect();
            assert_eq!(protocols, expected, "{address} {is_tunnel_end}");
        }
    }
}
