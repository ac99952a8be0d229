//! Transport mode: position of ESP, AH or IPComp after the IP header, and the gap for the header (RFC 4303 section
//! 3.1.1).
//!
//! ```text
//!             headroom | IP header | upper layer
//! open_gap    IP header |  gap     | upper layer
//! ```

use crate::parsed::Layout;
use crate::{Ip, IpError, IpProto, PacketBuf, adjust_length, check_preceding_headers, set_next_header};

/// Position of destination options that do not precede a routing header, relative to the IPsec header (RFC 4303
/// section 3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DestinationOptions {
    /// The options follow the IPsec header: with ESP they are encrypted.
    #[default]
    Protected,
    /// The options precede the IPsec header: they are readable on the path.
    Unprotected,
}

/// Position of an IPsec header in a packet (RFC 4303 section 3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderPosition {
    /// Offset of the header: the length of the IP header with its options or extension headers.
    pub at: usize,
    /// Offset of the protocol or next header field that names the header.
    pub next_header_at: usize,
    /// Protocol number at this position, which becomes the next header of an inserted IPsec header.
    pub next: IpProto,
}

/// Finds the position for an IPsec header: after the IPv4 options; after the hop-by-hop, routing and fragment
/// headers of IPv6, and by choice after destination options.
///
/// # Errors
/// [`IpError::Fragment`] for a fragment: transport mode protects whole packets only (RFC 4303 section 3.3.4).
/// Otherwise the error of a malformed header.
pub fn transport_position(packet: &[u8], options: DestinationOptions) -> Result<HeaderPosition, IpError> {
    Layout::of(&Ip::parse(packet)?).transport_position(options)
}

/// Finds the header `wanted` (ESP, AH or IPComp) of a received packet (RFC 4303 section 3.1.1), and checks the
/// headers in front of it (see [`check_preceding_headers`]). The next header field of the found header is not read:
/// `next` of the result is `wanted`.
///
/// ESP does not authenticate the headers in front of it. In transport mode they are to be removed from the
/// decapsulated packet ([`remove_preceding_headers`](crate::remove_preceding_headers)) unless AH was verified around
/// ESP.
///
/// # Errors
/// [`IpError::NotFound`] if the IP header and its extension headers are followed by another header,
/// [`IpError::Fragment`] for a fragment, otherwise the error of a malformed header.
pub fn locate(packet: &[u8], wanted: IpProto) -> Result<HeaderPosition, IpError> {
    let place = find_header(packet, wanted)?;
    check_preceding_headers(packet, place.at)?;
    Ok(place)
}

/// Finds the header `wanted` after the IP header and its extension headers, without a check of their contents: for a
/// display of the packet, not for its processing (see [`locate`]).
///
/// # Errors
/// [`IpError::NotFound`], [`IpError::Fragment`], otherwise the error of a malformed header.
pub fn find_header(packet: &[u8], wanted: IpProto) -> Result<HeaderPosition, IpError> {
    let ip = match Ip::parse(packet)? {
        Ip::V6(ip) => ip,
        ip @ Ip::V4(_) => return Layout::of(&ip).find(wanted),
    };
    let mut chain = ip.chain();
    loop {
        let link = chain.link();
        if link.kind == wanted {
            return Ok(HeaderPosition { at: link.offset, next_header_at: link.next_header_at, next: link.kind });
        }
        // The headers after AH are not read before the ICV is verified.
        match chain.next_extension()?.filter(|extension| extension.link.kind != IpProto::AH) {
            //= RFC 4302 3.4.1/1
            //# MUST: an IP fragment offered to AH is discarded
            Some(extension) if extension.is_part_of_fragments(ip.packet()) => return Err(IpError::Fragment),
            Some(_) => {}
            None => return Err(IpError::NotFound),
        }
    }
}

/// Inserts a gap of `size` octets at `place` and sets its protocol number to `header` (RFC 4303 section 3.1.1). The
/// length field is updated by [`adjust_length`] when the packet is complete.
///
/// # Errors
/// [`IpError::NoSpace`] if the headroom is too small; the packet is unchanged.
pub fn open_gap(
    packet: &mut PacketBuf<'_>,
    place: HeaderPosition,
    size: usize,
    header: IpProto,
) -> Result<(), IpError> {
    packet.open_gap(place.at, size)?;
    set_next_header(packet.data_mut(), place, header)
}

/// Removes a gap of `size` octets at `place`, sets the protocol number at this position to `next`, and updates length
/// and checksum (RFC 4303 section 3.1.1): a wrong IPv4 header checksum stays wrong.
///
/// # Errors
/// [`IpError::TooShort`] if the packet is shorter than the gap; it is unchanged.
pub fn close_gap(packet: &mut PacketBuf<'_>, place: HeaderPosition, size: usize, next: IpProto) -> Result<(), IpError> {
    packet.close_gap(place.at, size)?;
    set_next_header(packet.data_mut(), place, next)?;
    adjust_length(packet.data_mut())
}
