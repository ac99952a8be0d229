use core::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{IpError, IpProto, TooShort};

/// Fixed IPv6 header (RFC 8200 section 3).
///
/// ```text
///  0                   1                   2                   3
/// |Version| Traffic Class |           Flow Label                  |
/// |         Payload Length        |  Next Header  |   Hop Limit   |
/// |                  Source Address (16 octets)                   |
/// |                Destination Address (16 octets)                |
/// ```
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv6Header {
    version_class_flow: U32,
    payload_length: U16,
    next_header: u8,
    hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

pub(crate) const HEADER: usize = 40;
pub(crate) const NEXT_HEADER_OFFSET: usize = 6;
/// Length of the fragment header in octets (RFC 8200 section 4.5).
pub(crate) const FRAGMENT_HEADER: usize = 8;
const FLOW_LABEL: u32 = 0x000f_ffff;

/// Largest number of extension headers that are followed in one packet (RFC 8200 section 4).
pub const MAX_EXTENSION_HEADERS: usize = 16;

impl Ipv6Header {
    /// Creates a header with class, flow label and length 0 (RFC 8200 section 3).
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr, next_header: IpProto, hop_limit: u8) -> Self {
        Self {
            version_class_flow: U32::new(6 << 28),
            payload_length: U16::ZERO,
            next_header: next_header.0,
            hop_limit,
            source: source.octets(),
            destination: destination.octets(),
        }
    }

    fn version(&self) -> u8 {
        self.version_class_flow.as_bytes().first().map_or(0, |first| first >> 4)
    }

    /// Returns DSCP and ECN (RFC 8200 section 7).
    pub fn traffic_class(&self) -> u8 {
        let [a, b, ..] = self.version_class_flow.to_bytes();
        (a << 4) | (b >> 4)
    }

    /// Sets DSCP and ECN (RFC 8200 section 7).
    pub fn set_traffic_class(&mut self, class: u8) {
        let rest = self.version_class_flow.get() & !(0xff << 20);
        self.version_class_flow.set(rest | (u32::from(class) << 20));
    }

    /// Returns the 20-bit flow label (RFC 6437).
    pub fn flow_label(&self) -> u32 {
        self.version_class_flow.get() & FLOW_LABEL
    }

    /// Sets the flow label; bits above 20 are ignored (RFC 8200 section 6).
    pub fn set_flow_label(&mut self, label: u32) {
        let rest = self.version_class_flow.get() & !FLOW_LABEL;
        self.version_class_flow.set(rest | (label & FLOW_LABEL));
    }

    /// Returns the length of the payload in octets, extension headers included (RFC 8200 section 3).
    pub fn payload_length(&self) -> usize {
        self.payload_length.get().into()
    }

    /// Sets the length of the payload in octets, extension headers included (RFC 8200 section 3).
    pub fn set_payload_length(&mut self, octets: u16) {
        self.payload_length.set(octets);
    }

    /// Returns the type of the next header (RFC 8200 section 3).
    pub fn next_header(&self) -> IpProto {
        IpProto(self.next_header)
    }

    /// Sets the type of the next header (RFC 8200 section 3).
    pub fn set_next_header(&mut self, next: IpProto) {
        self.next_header = next.0;
    }

    /// Returns the hop limit (RFC 8200 section 3).
    pub fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    /// Sets the hop limit (RFC 8200 section 3).
    pub fn set_hop_limit(&mut self, hops: u8) {
        self.hop_limit = hops;
    }

    /// Returns the source address (RFC 8200 section 3).
    pub fn source(&self) -> Ipv6Addr {
        self.source.into()
    }

    /// Returns the destination address (RFC 8200 section 3).
    pub fn destination(&self) -> Ipv6Addr {
        self.destination.into()
    }
}

/// IPv6 packet whose header was validated (RFC 8200 section 3).
#[derive(Clone, Copy, Debug)]
pub struct Ipv6<'a> {
    packet: &'a [u8],
    header: &'a Ipv6Header,
}

impl<'a> Ipv6<'a> {
    /// Validates version and payload length (RFC 8200 section 3). A payload length of 0 means no payload: jumbograms
    /// are not supported.
    ///
    /// # Errors
    /// [`IpError`] with the invalid field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, IpError> {
        let available = bytes.len();
        let (header, _) = Ipv6Header::ref_from_prefix(bytes).map_err(|_| TooShort { needed: HEADER, available })?;
        if header.version() != 6 {
            return Err(IpError::Version(header.version()));
        }
        let claimed = header.payload_length().saturating_add(HEADER);
        let packet = bytes.get(..claimed).ok_or(IpError::Length { claimed, available })?;
        Ok(Self { packet, header })
    }

    /// Returns the fixed header (RFC 8200 section 3).
    pub fn header(&self) -> &'a Ipv6Header {
        self.header
    }

    /// Returns the packet, as long as its length field specifies.
    pub fn packet(&self) -> &'a [u8] {
        self.packet
    }

    /// Follows the extension headers (RFC 8200 section 4) until `stop` returns true or the upper layer begins.
    ///
    /// Hop-by-hop options, routing, fragment and destination options headers and AH are followed. ESP is not, because
    /// its contents are encrypted. At most [`MAX_EXTENSION_HEADERS`] are followed.
    ///
    /// # Errors
    /// [`IpError::Extension`] for a truncated header, [`IpError::TooManyExtensions`] for too many headers.
    pub fn walk(&self, mut stop: impl FnMut(Extension) -> bool) -> Result<ChainLink, IpError> {
        let mut chain = self.chain();
        loop {
            match chain.next_extension()? {
                Some(extension) if !stop(extension) => {}
                Some(extension) => return Ok(extension.link),
                None => return Ok(chain.link),
            }
        }
    }

    /// Returns a cursor over the extension headers (RFC 8200 section 4).
    pub fn chain(&self) -> Chain<'a> {
        Chain::new(self.packet, self.header.next_header())
    }
}

/// Cursor over the extension headers of an IPv6 packet (RFC 8200 section 4).
#[derive(Clone, Debug)]
pub struct Chain<'a> {
    packet: &'a [u8],
    link: ChainLink,
    followed: usize,
}

/// Position in the chain of headers: type and offset of a header, and the field that names it (RFC 8200 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainLink {
    /// Type of the header at `offset`.
    pub kind: IpProto,
    /// Offset of the next header field with this type.
    pub next_header_at: usize,
    /// Offset of the header from the beginning of the IPv6 header.
    pub offset: usize,
}

/// Extension header of a packet (RFC 8200 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extension {
    /// Type and position of the header.
    pub link: ChainLink,
    /// Length of the header in octets.
    pub len: usize,
    /// Type of the header after it.
    pub next: IpProto,
}

impl Extension {
    /// Returns whether this is the header of a fragment, first or later. An atomic fragment (RFC 6946) is a whole
    /// packet.
    pub fn is_part_of_fragments(&self, packet: &[u8]) -> bool {
        let body = packet.get(self.link.offset..).unwrap_or_default();
        match *body {
            [_, _, high, low, ..] => self.link.kind == IpProto::FRAGMENT && (high, low & 0b1111_1001) != (0, 0),
            _ => false,
        }
    }

    /// Returns whether this is the header of a later fragment, which does not begin with a header.
    pub(crate) fn is_later_fragment(&self, packet: &[u8]) -> bool {
        let body = packet.get(self.link.offset..).unwrap_or_default();
        match *body {
            [_, _, high, low, ..] => self.link.kind == IpProto::FRAGMENT && (high, low >> 3) != (0, 0),
            _ => false,
        }
    }
}

impl<'a> Chain<'a> {
    /// Begins after the fixed header of a packet, which names `next`.
    pub(crate) const fn new(packet: &'a [u8], next: IpProto) -> Self {
        Self { packet, link: ChainLink { kind: next, next_header_at: NEXT_HEADER_OFFSET, offset: HEADER }, followed: 0 }
    }

    /// Returns the next extension header, or `None` where the upper layer or ESP begins, whose position
    /// [`Chain::link`] returns (RFC 8200 section 4).
    ///
    /// # Errors
    /// As [`Ipv6::walk`].
    pub fn next_extension(&mut self) -> Result<Option<Extension>, IpError> {
        let link = self.link;
        if !is_extension(link.kind) {
            return Ok(None);
        }
        if self.followed >= MAX_EXTENSION_HEADERS {
            return Err(IpError::TooManyExtensions);
        }
        let malformed = IpError::Extension { offset: link.offset };
        let rest = self.packet.get(link.offset..).ok_or(malformed)?;
        let [next, units, ..] = *rest else { return Err(malformed) };
        let len = extension_len(link.kind, units);
        let end = link.offset.checked_add(len).filter(|_| len <= rest.len()).ok_or(malformed)?;
        self.link = ChainLink { kind: IpProto(next), next_header_at: link.offset, offset: end };
        self.followed = self.followed.saturating_add(1);
        Ok(Some(Extension { link, len, next: IpProto(next) }))
    }

    /// Returns the position of the first header that was not followed (RFC 8200 section 4).
    pub fn link(&self) -> ChainLink {
        self.link
    }
}

const fn is_extension(kind: IpProto) -> bool {
    matches!(
        kind,
        IpProto::HOP_BY_HOP | IpProto::ROUTING | IpProto::FRAGMENT | IpProto::DESTINATION_OPTIONS | IpProto::AH
    )
}

/// Returns the length of an extension header in octets. AH counts words of 4 octets beyond the first two (RFC 4302
/// section 2.2), other headers units of 8 octets beyond the first; a fragment header has 8 octets.
fn extension_len(kind: IpProto, units: u8) -> usize {
    match kind {
        IpProto::FRAGMENT => FRAGMENT_HEADER,
        IpProto::AH => usize::from(units).saturating_add(2).saturating_mul(4),
        _ => usize::from(units).saturating_add(1).saturating_mul(8),
    }
}

pub(crate) fn header_mut(packet: &mut [u8]) -> Result<&mut Ipv6Header, IpError> {
    let available = packet.len();
    let (header, _) = Ipv6Header::mut_from_prefix(packet).map_err(|_| TooShort { needed: HEADER, available })?;
    Ok(header)
}
