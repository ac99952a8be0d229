//! TCP maximum segment size of a tunnel.

use crate::{DestinationOptions, Ip, IpError, IpProto, adjust_checksum, transport_position};

/// Returns the TCP MSS of inner packets of at most `inner_mtu` octets: the MTU without IP and TCP header (RFC 6691
/// section 2).
pub const fn tcp_mss(inner_mtu: usize, version: u8) -> usize {
    let headers = if version == 6 { 40 + 20 } else { 20 + 20 };
    inner_mtu.saturating_sub(headers)
}

const TCP_HEADER: usize = 20;
const FLAGS: usize = 13;
const SYN: u8 = 0x02;
const CHECKSUM: usize = 16;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_MSS: u8 = 2;

/// Lowers the MSS option of a TCP SYN to `mss`, so that the segments fit into the tunnel. Returns whether the packet
/// was changed; every other packet, fragments included, is unchanged.
///
/// # Errors
/// [`IpError`] if the IP header is malformed; the packet is unchanged.
pub fn clamp_tcp_mss(packet: &mut [u8], mss: u16) -> Result<bool, IpError> {
    let own_length = Ip::parse(packet)?.packet().len();
    let packet = packet.get_mut(..own_length).unwrap_or_default();
    let Some(at) = tcp_position(packet)? else { return Ok(false) };
    Ok(clamp_segment(packet.get_mut(at..).unwrap_or_default(), mss).is_some())
}

/// Returns whether a packet is a TCP SYN, which may have an MSS option (RFC 9293 section 3.7.1). Fragments and
/// malformed packets are none.
pub fn is_tcp_syn(packet: &[u8]) -> bool {
    let flags = || packet.get(tcp_position(packet).ok()??.checked_add(FLAGS)?);
    flags().is_some_and(|flags| flags & SYN != 0)
}

/// Returns the offset of the TCP header; `None` for other protocols and fragments.
fn tcp_position(packet: &[u8]) -> Result<Option<usize>, IpError> {
    match transport_position(packet, DestinationOptions::Unprotected) {
        Err(IpError::Fragment) => Ok(None),
        place => place.map(|place| (place.next == IpProto::TCP).then_some(place.at)),
    }
}

fn clamp_segment(segment: &mut [u8], mss: u16) -> Option<()> {
    let data_offset = usize::from(segment.get(12)? >> 4).saturating_mul(4);
    if segment.get(FLAGS)? & SYN == 0 {
        return None;
    }
    let at = find_mss(segment.get(TCP_HEADER..data_offset)?)?.checked_add(TCP_HEADER)?;
    let offered: [u8; 2] = *segment.get(at..)?.first_chunk()?;
    if u16::from_be_bytes(offered) <= mss {
        return None;
    }
    let checksum: [u8; 2] = *segment.get(CHECKSUM..)?.first_chunk()?;
    // At an odd offset the octets of the option are swapped in the sum (RFC 1071 section 2 B).
    let (old, new) = match at & 1 {
        0 => (offered, mss.to_be_bytes()),
        _ => (u16::from_be_bytes(offered).to_le_bytes(), mss.to_le_bytes()),
    };
    let checksum = adjust_checksum(u16::from_be_bytes(checksum), &old, &new);
    *segment.get_mut(at..)?.first_chunk_mut()? = mss.to_be_bytes();
    *segment.get_mut(CHECKSUM..)?.first_chunk_mut()? = checksum.to_be_bytes();
    Some(())
}

/// Returns the offset of the value of the MSS option.
fn find_mss(options: &[u8]) -> Option<usize> {
    let mut at = 0usize;
    loop {
        match *options.get(at..)? {
            [OPTION_END, ..] | [] => return None,
            [OPTION_NOP, ..] => at = at.checked_add(1)?,
            [OPTION_MSS, 4, _, _, ..] => return at.checked_add(2),
            [_, len, ..] if len >= 2 => at = at.checked_add(len.into())?,
            _ => return None,
        }
    }
}
