//! TCP and UDP checksums of transport mode behind a NAT (RFC 3948 section 3.1.2). ICMPv6 checksums cover the
//! addresses as well.

use core::net::{IpAddr, Ipv4Addr};

use crate::udp_encap::pseudo_header;
use crate::{DestinationOptions, Ip, IpError, IpProto, adjust_checksum, transport_position};

/// Treatment of a checksum that the sender computed over addresses that a NAT has changed (RFC 3948 section 3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChecksumRepair {
    /// The checksum is updated by the difference between the addresses of NAT-OA and those of the header: end-to-end
    /// errors stay detectable (RFC 3948 section 3.1.2, first method).
    Incremental(OriginalAddresses),
    /// The checksum is recomputed, for peers that sent no NAT-OA. The ICV has authenticated the payload.
    Recompute,
    /// The checksum is unchanged, for an IP stack that does not verify it.
    Leave,
}

/// Addresses that the sender had in its packet, from its NAT-OA payloads (RFC 3947 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginalAddresses {
    /// Source address in the packet of the sender.
    pub source: IpAddr,
    /// Destination address in the packet of the sender.
    pub destination: IpAddr,
}

/// Repairs the checksum of a packet that was decapsulated from a transport mode SA behind a NAT: of TCP, UDP,
/// UDP-Lite (RFC 3828), DCCP (RFC 4340) or ICMPv6. Other protocols, and UDP without a checksum (RFC 6936 over IPv6),
/// are unchanged. IPComp is to be decompressed before.
///
/// # Errors
/// [`IpError`] if the packet is malformed; it is unchanged.
//= RFC 3948 3.1.2/1
//# MUST: out of transport mode, the TCP or UDP checksum is adjusted, recomputed or waived
pub fn repair_checksum(packet: &mut [u8], repair: ChecksumRepair) -> Result<(), IpError> {
    let ip = Ip::parse(packet)?;
    let place = transport_position(packet, DestinationOptions::Unprotected)?;
    let malformed = IpError::Extension { offset: place.at };
    let rest = ip.packet().get(place.at..).unwrap_or_default();
    let Some(covered) = Covered::by(place.next, rest).ok_or(malformed)? else { return Ok(()) };
    let Some(&[high, low]) = covered.octets.get(covered.field..).and_then(<[u8]>::first_chunk) else {
        return Err(malformed);
    };
    let carried = u16::from_be_bytes([high, low]);
    // UDP without a checksum, and UDP-Lite without one, which its RFC forbids, are unchanged.
    if carried == 0 && covered.never_zero {
        return Ok(());
    }
    let repaired = match repair {
        ChecksumRepair::Leave => return Ok(()),
        ChecksumRepair::Incremental(was) => {
            let sum = replace_address(carried, was.source, ip.source());
            replace_address(sum, was.destination, ip.destination())
        }
        ChecksumRepair::Recompute => {
            let length = u32::try_from(covered.length).map_err(|_| IpError::TooLong(covered.length))?;
            let (before, after) = covered.octets.split_at_checked(covered.field).ok_or(malformed)?;
            let after = after.get(2..).unwrap_or_default();
            pseudo_header(ip.source(), ip.destination(), place.next, length)
                .over(before)
                .over(&[0, 0])
                .over(after)
                .finish()
        }
    };
    let repaired = if covered.never_zero && repaired == 0 { 0xffff } else { repaired };
    let at = place.at.saturating_add(covered.field);
    if let Some(slot) = packet.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *slot = repaired.to_be_bytes();
    }
    Ok(())
}

/// Octets that a checksum covers.
struct Covered<'a> {
    octets: &'a [u8],
    /// Length in the pseudo header.
    length: usize,
    /// Offset of the checksum field.
    field: usize,
    /// Set if a checksum of value 0 is transmitted as 0xffff.
    never_zero: bool,
}

impl<'a> Covered<'a> {
    /// Returns `None` for protocols without a checksum over addresses, and `Some(None)` for a length or coverage that
    /// contradicts the packet.
    fn by(proto: IpProto, rest: &'a [u8]) -> Option<Option<Self>> {
        let whole = |field, never_zero| Some(Some(Self { octets: rest, length: rest.len(), field, never_zero }));
        let part = |octets: Option<&'a [u8]>, length, never_zero| {
            octets.map(|octets| Some(Self { octets, length, field: 6, never_zero }))
        };
        match (proto, rest) {
            (IpProto::TCP, _) => whole(16, false),
            (IpProto::ICMPV6, _) => whole(2, false),
            // A datagram may be shorter than the rest of the packet (RFC 768).
            (IpProto::UDP, [_, _, _, _, high, low, _, _, ..]) => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                part(rest.get(..length).filter(|udp| udp.len() >= 8), length, true)
            }
            // The coverage includes the header; 0 covers the whole datagram (RFC 3828 section 3.1).
            (IpProto::UDP_LITE, [_, _, _, _, high, low, _, _, ..]) => match u16::from_be_bytes([*high, *low]) {
                0 => whole(6, true),
                coverage => part(rest.get(..coverage.into()).filter(|udp| udp.len() >= 8), rest.len(), true),
            },
            // Coverage 0 is the whole datagram; n is the header with its options, in words of 4 octets, and n - 1
            // words of data (RFC 4340 section 9.2).
            (IpProto::DCCP, [_, _, _, _, data_offset, coverage, _, _, ..]) => {
                let Some(words) = (coverage & 0x0f).checked_sub(1) else { return whole(6, false) };
                let covered = usize::from(*data_offset).saturating_add(words.into()).saturating_mul(4);
                part(rest.get(..covered.min(rest.len())).filter(|_| *data_offset >= 3), rest.len(), false)
            }
            (IpProto::UDP | IpProto::UDP_LITE | IpProto::DCCP, _) => None,
            _ => Some(None),
        }
    }
}

/// Updates a checksum for the replacement of one address by another of either version (RFC 1624).
fn replace_address(checksum: u16, was: IpAddr, is: IpAddr) -> u16 {
    let octets = |address| match address {
        IpAddr::V4(v4) => Ipv4Addr::to_ipv6_compatible(&v4).octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    adjust_checksum(checksum, &octets(was), &octets(is))
}
