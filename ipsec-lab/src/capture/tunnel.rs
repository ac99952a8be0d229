//! Tunnels without protection: IP in IP (RFC 2003, RFC 2473), GRE (RFC 2784, RFC 2890, RFC 2637) with mirrored frames
//! (ERSPAN), EtherIP (RFC 3378) and MPLS in IP (RFC 4023).

use super::ip::IpHeader;
use super::link;
use super::record::Order;

/// EtherTypes of Ethernet and of MPLS.
const ETHERNET: u16 = 0x6558;
const MPLS: u16 = 0x8847;

/// Returns the inner packet of a tunnel.
pub fn inner<'p>(header: &IpHeader, packet: &'p [u8]) -> Option<&'p [u8]> {
    let payload = header.payload(packet);
    match header.protocol {
        4 | 41 => Some(payload).filter(|inner| inner.first().is_some_and(|first| matches!(first >> 4, 4 | 6))),
        47 => gre(payload),
        97 => link::ip_packet_of_ether_type(ETHERNET, Order::Big, payload.get(2..)?),
        137 => link::ip_packet_of_ether_type(MPLS, Order::Big, payload),
        _ => None,
    }
}

/// Returns the IP packet in a GRE packet. The bits of the flags are optional fields of four octets each: checksum or
/// routing, key, sequence number, and in version 1 the acknowledgement.
fn gre(packet: &[u8]) -> Option<&[u8]> {
    let (&[flags, version, k0, k1], _) = packet.split_first_chunk()?;
    let fields = [flags & 0xc0, flags & 0x20, flags & 0x10, version & 0x80];
    let header = 4 + 4 * fields.iter().filter(|field| **field != 0).count();
    let mut rest = packet.get(header..)?;
    if flags & 0x40 != 0 {
        // Source routes (RFC 1701): family, offset, length, up to one of length 0.
        loop {
            let (&[_, _, _, length], routes) = rest.split_first_chunk()?;
            rest = routes.get(length.into()..)?;
            if length == 0 {
                break;
            }
        }
    }
    let (kind, rest) = match (u16::from_be_bytes([k0, k1]), rest) {
        // ERSPAN: without a sequence number no header, else one of 8 octets, or of 12 with an optional part of 8.
        (0x88be, _) if flags & 0x10 == 0 => (ETHERNET, rest),
        (0x88be, _) => (ETHERNET, rest.get(8..)?),
        (0x22eb, [_, _, _, _, _, _, _, _, _, _, _, options, rest @ ..]) => {
            (ETHERNET, rest.get(if options & 1 != 0 { 8 } else { 0 }..)?)
        }
        other => other,
    };
    link::ip_packet_of_ether_type(kind, Order::Big, rest)
}
