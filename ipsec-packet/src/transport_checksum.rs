//! TCP and UDP checksums of transport mode behind a NAT (RFC 3948 3.1.2); ICMPv6 covers the addresses, too.

use core::net::{IpAddr, Ipv4Addr};

use crate::udp_encap::pseudo_header;
use crate::{DestinationOptions, Ip, IpError, IpProto, adjust_checksum, placement};

/// What to do about a checksum that the sender computed over addresses the NAT has since changed (RFC 3948 3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChecksumRepair {
    /// Adjusts it by the difference between the addresses that NAT-OA told and those in the header: end-to-end errors
    /// stay visible (RFC 3948 3.1.2, first method).
    Incremental(OriginalAddresses),
    /// Computes it anew: for peers that sent no NAT-OA. The ICV has vouched for the payload.
    Recompute,
    /// Leaves it: the stack is told not to look.
    Leave,
}

/// The addresses the sender had in its packet, from its NAT-OA payloads (RFC 3947 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginalAddresses {
    /// Source address as the sender knew it.
    pub source: IpAddr,
    /// Destination address as the sender knew it.
    pub destination: IpAddr,
}

/// Repairs the checksum of a TCP, UDP or ICMPv6 packet that came out of a transport-mode SA behind a NAT. Other protocols, and
/// a UDP checksum of 0 (none was computed; over IPv6 as RFC 6936 allows), are left alone.
///
/// # Errors
/// [`IpError`] when the packet is malformed; it is unchanged.
//= RFC 3948 3.1.2/1
pub fn repair_checksum(packet: &mut [u8], repair: ChecksumRepair) -> Result<(), IpError> {
    let ip = Ip::parse(packet)?;
    let place = placement(packet, DestinationOptions::InFront)?;
    let field = match place.next {
        IpProto::TCP => 16,
        IpProto::UDP => 6,
        IpProto::ICMPV6 => 2,
        _ => return Ok(()),
    };
    let malformed = IpError::Extension { offset: place.at };
    let segment = segment(ip.packet().get(place.at..).unwrap_or_default(), place.next).ok_or(malformed)?;
    let Some(&[high, low]) = segment.get(field..).and_then(<[u8]>::first_chunk) else { return Err(malformed) };
    let carried = u16::from_be_bytes([high, low]);
    if place.next == IpProto::UDP && carried == 0 {
        return Ok(());
    }
    let repaired = match repair {
        ChecksumRepair::Leave => return Ok(()),
        ChecksumRepair::Incremental(was) => {
            let sum = readdress(carried, was.source, ip.source());
            readdress(sum, was.destination, ip.destination())
        }
        ChecksumRepair::Recompute => {
            let length = u32::try_from(segment.len()).map_err(|_| IpError::TooLong(segment.len()))?;
            let (before, after) = segment.split_at_checked(field).ok_or(malformed)?;
            let after = after.get(2..).unwrap_or_default();
            pseudo_header(ip.source(), ip.destination(), place.next, length)
                .over(before)
                .over(&[0, 0])
                .over(after)
                .finish()
        }
    };
    let repaired = if place.next == IpProto::UDP && repaired == 0 { 0xffff } else { repaired };
    let slot = packet.get_mut(place.at..).and_then(|s| s.get_mut(field..)).and_then(<[u8]>::first_chunk_mut);
    if let Some(slot) = slot {
        *slot = repaired.to_be_bytes();
    }
    Ok(())
}

/// What the checksum covers: a UDP datagram may be shorter than the rest of the packet (RFC 768).
fn segment(rest: &[u8], proto: IpProto) -> Option<&[u8]> {
    match (proto, rest) {
        (IpProto::UDP, [_, _, _, _, high, low, _, _, ..]) => {
            rest.get(..usize::from(u16::from_be_bytes([*high, *low]))).filter(|udp| udp.len() >= 8)
        }
        _ => Some(rest),
    }
}

/// What the checksum becomes when one address takes the place of another (RFC 1624), of whatever versions.
fn readdress(checksum: u16, was: IpAddr, is: IpAddr) -> u16 {
    let octets = |address| match address {
        IpAddr::V4(v4) => Ipv4Addr::to_ipv6_compatible(&v4).octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    adjust_checksum(checksum, &octets(was), &octets(is))
}
