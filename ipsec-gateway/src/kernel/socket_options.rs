//! Options of the UDP sockets of a keying daemon, for a kernel that processes the packets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::libc::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, c_int};
use nix::sys::socket::setsockopt;
use nix::{libc, setsockopt_impl, sockopt_impl};

use crate::config::NAT_TRAVERSAL_PORT;

// Numbers of linux/in.h, linux/in6.h and linux/udp.h.
const IP_IPSEC_POLICY: c_int = 16;
const IPV6_IPSEC_POLICY: c_int = 34;
const UDP_ENCAP: c_int = 100;
const UDP_ENCAP_ESPINUDP: c_int = 2;

sockopt_impl!(
    /// Policy of an IPv4 socket: `struct sadb_x_policy` (RFC 2367, linux/pfkeyv2.h).
    Ipv4Policy, SetOnly, IPPROTO_IP, IP_IPSEC_POLICY, [u8; 16]
);
sockopt_impl!(
    /// Policy of an IPv6 socket.
    Ipv6Policy, SetOnly, IPPROTO_IPV6, IPV6_IPSEC_POLICY, [u8; 16]
);
sockopt_impl!(
    /// Form of the encapsulated packets that the kernel takes from a UDP socket.
    UdpEncapsulation, SetOnly, IPPROTO_UDP, UDP_ENCAP, c_int
);

/// Directions of `struct sadb_x_policy`.
const DIRECTIONS: [u8; 2] = [1, 2];

/// Lets the datagrams of a socket pass the policies of the kernel in both directions, and the kernel take ESP in UDP
/// (RFC 3948) from the socket if it is the one of NAT traversal.
///
/// # Errors
/// The error of the system.
pub fn set_for_keying(socket: &impl AsFd, local: SocketAddr) -> io::Result<()> {
    for direction in DIRECTIONS {
        let policy = bypass(direction);
        match local {
            SocketAddr::V4(_) => setsockopt(socket, Ipv4Policy, &policy)?,
            SocketAddr::V6(_) => setsockopt(socket, Ipv6Policy, &policy)?,
        }
    }
    if local.port() == NAT_TRAVERSAL_PORT {
        setsockopt(socket, UdpEncapsulation, &UDP_ENCAP_ESPINUDP)?;
    }
    Ok(())
}

/// Returns a policy BYPASS of a socket as the extension SADB_X_EXT_POLICY.
fn bypass(direction: u8) -> [u8; 16] {
    const EXTENSION: u16 = 18;
    const BYPASS: u16 = 4;
    let [length, kind] = [2, EXTENSION].map(u16::to_ne_bytes);
    let action = BYPASS.to_ne_bytes();
    let mut policy = [0; 16];
    let parts = [length, kind, action, [direction, 0]];
    policy.iter_mut().zip(parts.as_flattened()).for_each(|(to, from)| *to = *from);
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_a_socket_is_an_extension_of_16_octets() {
        // Length in units of 8 octets, SADB_X_EXT_POLICY, IPSEC_POLICY_BYPASS, IPSEC_DIR_OUTBOUND.
        let native = |pair: &[u8]| u16::from_ne_bytes([pair[0], pair[1]]);
        let own = bypass(2);
        assert_eq!(own[..6].chunks(2).map(native).collect::<Vec<_>>(), [2, 18, 4]);
        assert_eq!(own[6..], [2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
