use core::net::IpAddr;

use crate::selector::{hidden, read_detail};
use crate::{
    Chain, ChainLink, DestinationOptions, Detail, Flow, HeaderPosition, Ip, IpError, IpProto, Ipv4, OuterFields,
    check_preceding_headers, ipv4, ipv6,
};

/// IP header and IPv6 extension headers of a packet, read once where its octets arrive (RFC 791 section 3.1, RFC 8200
/// section 4).
///
/// Later steps take this value instead of the octets, so that no octet is parsed twice and no check can fail again. A
/// step that adds or removes a header updates it. It does not borrow the packet, so it is the caller who keeps both
/// together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedIp {
    pub(crate) fields: OuterFields,
    /// Length of the packet in octets.
    pub(crate) length: usize,
    /// Headers after the IP header.
    layout: Layout,
}

/// Positions of the headers after the fixed IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// First header that is not followed: AH, ESP, the upper layer, the header of a fragment, or a malformed one.
    first: Place,
    fragment: Part,
    /// Error of the first malformed header, at `first` or after the header of a first fragment.
    malformed: Option<Malformed>,
    /// Upper-layer protocol as a selector sees it.
    protocol: IpProto,
    detail: Detail,
    /// Position of a new IPsec header in front of destination options.
    protected: Place,
    /// Position of a new IPsec header after destination options.
    unprotected: Place,
}

/// Position of a header in 6 octets. An offset is at most 40 + 16 * 2048: that many extension headers are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: u16,
    next_header_at: u16,
    next: IpProto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    First,
    Later,
}

/// Error of an extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Malformed {
    Extension { offset: u16 },
    TooMany,
}

/// Fragmentation of a packet (RFC 791 section 3.1, RFC 8200 section 4.5). An atomic fragment (RFC 6946) is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// The packet is whole.
    Whole,
    /// The packet is a first fragment; the protocol number in its header is that of the header at this offset.
    First(usize),
    /// The packet is a later fragment, which begins with no header.
    Later,
}

impl ParsedIp {
    /// Reads the headers of the packet at the front of `packet`.
    ///
    /// # Errors
    /// [`IpError`] if the IP header is malformed. The error of an extension header is that of [`Self::flow`],
    /// [`Self::transport_position`] and [`Self::first_header`].
    #[inline]
    pub fn read(packet: &[u8]) -> Result<Self, IpError> {
        Ip::parse(packet).map(|ip| Self::of(&ip))
    }

    /// Reads the headers of a validated packet.
    pub fn of(ip: &Ip<'_>) -> Self {
        Self { fields: OuterFields::read(ip), length: ip.packet().len(), layout: Layout::of(ip) }
    }

    /// Returns the source address.
    pub const fn source(&self) -> IpAddr {
        self.fields.source
    }

    /// Returns the destination address.
    pub const fn destination(&self) -> IpAddr {
        self.fields.destination
    }

    /// Returns source and destination address.
    pub const fn ends(&self) -> (IpAddr, IpAddr) {
        (self.fields.source, self.fields.destination)
    }

    /// Returns the IP version: 4 or 6.
    pub const fn version(&self) -> u8 {
        if self.fields.source.is_ipv4() { 4 } else { 6 }
    }

    /// Returns the length of the packet in octets, from the length field.
    #[allow(clippy::len_without_is_empty)] // a packet has at least a header
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Returns whether the packet is a fragment, first or later.
    pub const fn is_fragment(&self) -> bool {
        !matches!(self.layout.fragment, Part::Whole)
    }

    /// Returns the hop limit, the TTL of IPv4.
    pub const fn hop_limit(&self) -> u8 {
        self.fields.hop_limit
    }

    /// Returns the flow label of an IPv6 packet; 0 for IPv4.
    pub const fn flow_label(&self) -> u32 {
        self.fields.flow_label
    }

    /// Returns the identification of an IPv4 packet; 0 for IPv6.
    pub const fn identification(&self) -> u16 {
        self.fields.identification
    }

    /// Returns the DF bit, which every IPv6 packet counts as having set (RFC 4301 section 8.1).
    pub const fn dont_fragment(&self) -> bool {
        self.fields.dont_fragment
    }

    /// Returns the fields that are needed after the header was removed.
    pub const fn outer_fields(&self) -> &OuterFields {
        &self.fields
    }

    /// Returns the selector values of the packet (RFC 4301 section 4.4.1.1).
    ///
    /// # Errors
    /// [`IpError`] of a malformed extension header.
    #[inline]
    pub fn flow(&self) -> Result<Flow, IpError> {
        self.layout.flow(self.fields.source, self.fields.destination)
    }

    /// Returns the first header that is not an IPv6 extension header, or the header of a fragment, with the protocol
    /// of its payload. AH and ESP are not followed.
    ///
    /// # Errors
    /// [`IpError`] of a malformed extension header.
    #[inline]
    pub fn first_header(&self) -> Result<(HeaderPosition, Fragment), IpError> {
        match self.layout {
            Layout { fragment: Part::Whole, malformed: Some(malformed), .. } => Err(malformed.error()),
            Layout { first, fragment, .. } => Ok((first.position(), self.fragment(fragment))),
        }
    }

    fn fragment(&self, part: Part) -> Fragment {
        let header = if self.version() == 6 { ipv6::FRAGMENT_HEADER } else { 0 };
        match part {
            Part::Whole => Fragment::Whole,
            Part::First => Fragment::First(usize::from(self.layout.first.at).saturating_add(header)),
            Part::Later => Fragment::Later,
        }
    }

    /// Returns the position for a new IPsec header, see [`transport_position`](crate::transport_position).
    ///
    /// # Errors
    /// [`IpError::Fragment`] for a fragment: transport mode protects whole packets only (RFC 4303 section 3.3.4).
    /// Otherwise the error of a malformed extension header.
    #[inline]
    pub fn transport_position(&self, options: DestinationOptions) -> Result<HeaderPosition, IpError> {
        self.layout.transport_position(options)
    }

    /// Returns the position of the first header that is not an IPv6 extension header, if it is `wanted`; for these
    /// headers it equals [`find_header`](crate::find_header).
    ///
    /// # Errors
    /// [`IpError::NotFound`], [`IpError::Fragment`], otherwise the error of a malformed extension header.
    pub fn find(&self, wanted: IpProto) -> Result<HeaderPosition, IpError> {
        self.layout.find(wanted)
    }

    /// Checks the headers in front of offset `at`, see [`check_preceding_headers`]. `packet` is the packet that was
    /// read.
    ///
    /// # Errors
    /// [`IpError`], for the reasons that [`check_preceding_headers`] names.
    pub fn check_preceding_headers(&self, packet: &[u8], at: usize) -> Result<(), IpError> {
        // Neither options nor extension headers are in front.
        let is_first = match self.fields.source {
            IpAddr::V4(_) => (usize::from(self.layout.first.at), at) == (ipv4::HEADER, ipv4::HEADER),
            IpAddr::V6(_) => at == ipv6::HEADER,
        };
        if is_first { Ok(()) } else { check_preceding_headers(packet, at) }
    }

    /// Returns the headers of the return traffic, at the same positions: addresses and ports are exchanged, as by
    /// [`Flow::reversed`].
    #[must_use]
    pub const fn reversed(mut self) -> Self {
        let Layout { protocol, detail, .. } = self.layout;
        let (source, destination) = self.ends();
        let flow = Flow { source, destination, protocol, detail }.reversed();
        (self.fields.source, self.fields.destination) = (flow.source, flow.destination);
        self.layout.detail = flow.detail;
        self
    }

    /// Records that a header of `size` octets was inserted at a position of [`Self::transport_position`].
    pub fn insert(&mut self, place: HeaderPosition, size: usize, header: IpProto) {
        let inserted = Place::of(HeaderPosition { next: header, ..place });
        self.length = self.length.saturating_add(size);
        let layout = &mut self.layout;
        layout.first = inserted;
        (layout.protocol, layout.detail) = (header, hidden(header));
        for position in [&mut layout.protected, &mut layout.unprotected] {
            if position.at >= inserted.at {
                *position = inserted;
            }
        }
    }

    /// Records that the header at a position of [`Self::transport_position`] was replaced by another one, so that the
    /// packet has `length` octets.
    pub fn replace(&mut self, place: HeaderPosition, header: IpProto, length: usize) {
        self.insert(place, 0, header);
        self.length = length;
    }

    /// Reads the headers after the fixed IP header after one of them was removed, so that others have appeared.
    pub fn read_next_headers(&mut self, packet: &[u8]) {
        self.length = packet.len();
        let next = |at| IpProto(packet.get(at).copied().unwrap_or_default());
        self.layout = match self.fields.source {
            IpAddr::V4(_) => {
                let at = usize::from(self.layout.first.at);
                whole_ipv4(at, next(ipv4::PROTOCOL_OFFSET), packet.get(at..).unwrap_or_default())
            }
            IpAddr::V6(_) => ipv6_layout(packet, next(ipv6::NEXT_HEADER_OFFSET)),
        };
    }

    /// Returns whether this is the parsed form of a packet, except for ports after a header that was inserted: a check
    /// of the steps that update it.
    pub fn is_of(&self, packet: &[u8]) -> bool {
        Self::read(packet).is_ok_and(|mut read| {
            (read.layout.protocol, read.layout.detail) = (self.layout.protocol, self.layout.detail);
            read == *self
        })
    }

    /// Returns the parsed form of a header without options or extension headers that was written in front of a
    /// packet, without reading it.
    pub(crate) fn written(fields: OuterFields, length: usize, next: IpProto) -> Self {
        let layout = match fields.source {
            IpAddr::V4(_) => whole_ipv4(ipv4::HEADER, next, &[]),
            IpAddr::V6(_) => {
                let place = HeaderPosition { at: ipv6::HEADER, next_header_at: ipv6::NEXT_HEADER_OFFSET, next };
                Layout::whole(Place::of(place), next, hidden(next))
            }
        };
        Self { fields, length, layout }
    }
}

impl Layout {
    /// Follows the headers after the fixed IP header.
    #[inline]
    pub(crate) fn of(ip: &Ip<'_>) -> Self {
        match ip {
            Ip::V4(ip) => ipv4_layout(ip),
            Ip::V6(ip) => ipv6_layout(ip.packet(), ip.header().next_header()),
        }
    }

    /// Returns the selector values of a packet with these addresses.
    #[inline]
    pub(crate) fn flow(&self, source: IpAddr, destination: IpAddr) -> Result<Flow, IpError> {
        let Self { protocol, detail, malformed, .. } = *self;
        malformed.map_or(Ok(()), |malformed| Err(malformed.error()))?;
        Ok(Flow { source, destination, protocol, detail })
    }

    /// Returns the position for a new IPsec header.
    #[inline]
    pub(crate) fn transport_position(&self, options: DestinationOptions) -> Result<HeaderPosition, IpError> {
        //= RFC 4302 3.4.1/1
        //# MUST: an IP fragment offered to AH is discarded
        //= RFC 3173 2/4
        //# MUST: outbound datagrams are compressed before any fragmentation
        match (*self, options) {
            (Layout { fragment: Part::First | Part::Later, .. }, _) => Err(IpError::Fragment),
            (Layout { malformed: Some(malformed), .. }, _) => Err(malformed.error()),
            (Layout { protected, .. }, DestinationOptions::Protected) => Ok(protected.position()),
            (Layout { unprotected, .. }, DestinationOptions::Unprotected) => Ok(unprotected.position()),
        }
    }

    /// Returns the position of the first header if it is `wanted`.
    pub(crate) fn find(&self, wanted: IpProto) -> Result<HeaderPosition, IpError> {
        let Layout { first, fragment, malformed, .. } = *self;
        match fragment {
            //= RFC 4302 3.4.1/1
            //# MUST: an IP fragment offered to AH is discarded
            Part::First | Part::Later => Err(IpError::Fragment),
            Part::Whole if first.next == wanted => Ok(first.position()),
            Part::Whole => Err(malformed.map_or(IpError::NotFound, Malformed::error)),
        }
    }

    #[inline]
    const fn whole(first: Place, protocol: IpProto, detail: Detail) -> Self {
        Self { first, fragment: Part::Whole, malformed: None, protocol, detail, protected: first, unprotected: first }
    }
}

/// Returns the layout of a whole IPv4 packet with this payload after `at`.
#[inline]
fn whole_ipv4(at: usize, next: IpProto, payload: &[u8]) -> Layout {
    let place = HeaderPosition { at, next_header_at: ipv4::PROTOCOL_OFFSET, next };
    Layout::whole(Place::of(place), next, read_detail(next, payload))
}

#[inline]
fn ipv4_layout(ip: &Ipv4<'_>) -> Layout {
    let (header, at) = (ip.header(), ip.header().header_len());
    let layout = whole_ipv4(at, header.protocol(), ip.payload());
    match (header.is_fragment(), header.is_first_or_whole()) {
        (false, _) => layout,
        (true, true) => Layout { fragment: Part::First, ..layout },
        (true, false) => Layout { fragment: Part::Later, detail: hidden(header.protocol()), ..layout },
    }
}

/// Follows the extension headers of an IPv6 packet once.
//= RFC 3173 2/5
//# MUST: on IPv6, compression comes before hop-by-hop options or a routing header are added
fn ipv6_layout(packet: &[u8], next: IpProto) -> Layout {
    let mut chain = Chain::new(packet, next);
    let (mut protected, mut unprotected) = (chain.link(), chain.link());
    let mut fragment = None;
    //= RFC 3173 3.2/1
    //# MUST: an IPv6 fragment header precedes the IPComp header
    let (end, protocol, detail, malformed) = loop {
        let here = chain.link();
        let extension = match chain.next_extension() {
            Ok(Some(extension)) => extension,
            Ok(None) => {
                break (here, here.kind, read_detail(here.kind, packet.get(here.offset..).unwrap_or_default()), None);
            }
            Err(malformed) => break (here, here.kind, Detail::None, Some(Malformed::of(malformed, position(here)))),
        };
        match here.kind {
            // The headers after AH are not read before the ICV is verified.
            IpProto::AH => break (here, IpProto::AH, Detail::None, None),
            IpProto::FRAGMENT if extension.is_part_of_fragments(packet) => {
                let part = if extension.is_later_fragment(packet) { Part::Later } else { Part::First };
                // The headers after that of a fragment count for the selectors only.
                fragment.get_or_insert((Place { next: extension.next, ..position(here) }, part));
                // Reassembly ignores the next header of a later fragment, so an attacker can set it to any value (RFC
                // 8200 section 4.5).
                if part == Part::Later {
                    break (here, IpProto::FRAGMENT, Detail::Opaque, None);
                }
            }
            // Destination options in front of a routing header are part of the unprotected headers (RFC 8200 section
            // 4.1, note 1).
            //= RFC 3173 2.1/1, 2/6
            //# MUST NOT: IPComp is not applied to hop-by-hop, routing and fragment headers
            //# MUST: hop-by-hop options and routing headers are sent in their original form
            IpProto::HOP_BY_HOP | IpProto::ROUTING | IpProto::FRAGMENT => {
                (protected, unprotected) = (chain.link(), chain.link());
            }
            _ => unprotected = chain.link(),
        }
    };
    let (first, fragment) = fragment.unwrap_or((position(end), Part::Whole));
    let (protected, unprotected) = (position(protected), position(unprotected));
    Layout { first, fragment, malformed, protocol, detail, protected, unprotected }
}

const fn position(link: ChainLink) -> Place {
    Place::of(HeaderPosition { at: link.offset, next_header_at: link.next_header_at, next: link.kind })
}

impl Place {
    #[allow(clippy::cast_possible_truncation)] // see above
    const fn of(position: HeaderPosition) -> Self {
        let HeaderPosition { at, next_header_at, next } = position;
        debug_assert!(at <= u16::MAX as usize && next_header_at <= at);
        Self { at: at as u16, next_header_at: next_header_at as u16, next }
    }

    const fn position(self) -> HeaderPosition {
        HeaderPosition { at: self.at as usize, next_header_at: self.next_header_at as usize, next: self.next }
    }
}

impl Malformed {
    /// Returns the error of a header at this position.
    const fn of(error: IpError, here: Place) -> Self {
        match error {
            IpError::TooManyExtensions => Self::TooMany,
            _ => Self::Extension { offset: here.at },
        }
    }

    const fn error(self) -> IpError {
        match self {
            Self::Extension { offset } => IpError::Extension { offset: offset as usize },
            Self::TooMany => IpError::TooManyExtensions,
        }
    }
}
