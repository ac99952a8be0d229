//! UDP sockets of IKE and of ESP in UDP (RFC 3947, RFC 3948).

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ike_v1::Path;
use socket2::{Domain, Socket, Type};

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
