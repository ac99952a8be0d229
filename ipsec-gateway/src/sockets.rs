//! Sockets of the local addresses.

use std::net::SocketAddr;

use crate::config::{Backend, Config, NAT_TRAVERSAL_PORT};
use crate::privileged::Privileges;
use crate::raw::{RawLocal, RawSockets};
use crate::udp::Udp;

/// Opens the sockets of the local addresses that are not open yet: UDP for IKE, UDP for NAT traversal, and
/// raw sockets if the daemon processes packets.
///
/// # Errors
/// The message of the system with the address.
pub fn open_missing(
    privileges: &Privileges,
    config: &Config,
    (open_udp, open_raw): (&[Udp], &RawSockets),
) -> Result<(Vec<Udp>, RawSockets), String> {
    let (mut udp, mut raw) = (Vec::new(), RawSockets::default());
    for wanted in udp_addresses(&config.locals) {
        if !open_udp.iter().any(|socket| socket.local() == wanted) {
            udp.push(privileges.open_udp(wanted)?);
        }
        // The kernel receives the packets of its SAs itself.
        let local = config.raw_local(wanted.ip());
        if config.backend == Backend::Userspace && !open_raw.has(local) && !raw.has(local) {
            raw.append(privileges.open_raw(local)?);
        }
    }
    Ok((udp, raw))
}

/// Adds sockets, and closes those of other addresses.
pub fn replace(
    config: &Config,
    (opened_udp, opened_raw): (Vec<Udp>, RawSockets),
    (udp, raw): (&mut Vec<Udp>, &mut RawSockets),
) {
    let wanted = udp_addresses(&config.locals);
    udp.retain(|socket| wanted.contains(&socket.local()));
    udp.extend(opened_udp);
    let locals: Vec<RawLocal> = config.locals.iter().map(|local| config.raw_local(local.ip())).collect();
    raw.retain(&locals);
    raw.append(opened_raw);
}

/// Returns the addresses and ports of the UDP sockets, each once.
pub fn udp_addresses(locals: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for local in locals {
        for wanted in [*local, SocketAddr::new(local.ip(), NAT_TRAVERSAL_PORT)] {
            if !addresses.contains(&wanted) {
                addresses.push(wanted);
            }
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_one_socket_for_nat_traversal() {
        let locals = ["192.0.2.1:500", "192.0.2.1:501", "[2001:db8::1]:4500"].map(|local| local.parse().unwrap());
        let shown: Vec<_> = udp_addresses(&locals).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.1:500", "192.0.2.1:4500", "192.0.2.1:501", "[2001:db8::1]:4500"]);
    }
}
