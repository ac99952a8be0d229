//! Input of the ICV from the headers in front of AH: immutable fields unchanged, predictable ones with the value at
//! the receiver, mutable ones as zeros (RFC 4302 section 3.3.3.1).

use core::fmt;

use ipsec_packet::{ChainLink, Extension, Fault, Ip, IpError, IpProto, Ipv4, Ipv6, replace_ipv4_options};

use crate::{Ipv6Options, Profile, TosRule};

const ZEROS: [u8; 256] = [0; 256];

/// Passes the ICV input of the first `at` octets of a packet to `absorb`, in pieces (RFC 4302 section 3.3.3.1). The
/// pieces have `at` octets in total, minus IPv6 fragment headers. Nothing is copied or changed.
///
/// # Errors
/// [`MutableError`] for malformed options or routing headers, and if no header ends at `at`.
pub fn immutable_view(
    ip: &Ip<'_>,
    at: usize,
    profile: Profile,
    absorb: &mut dyn FnMut(&[u8]),
) -> Result<(), MutableError> {
    match ip {
        Ip::V4(ip) if ip.header().header_len() != at => Err(MutableError::Ip(IpError::NotFound)),
        Ip::V4(ip) => ipv4(ip, profile, absorb),
        Ip::V6(ip) => ipv6(ip, at, profile, absorb),
    }
}

/// Passes the ICV input of an IPv4 header with its options to `absorb`.
/// ```text
/// |Version|  IHL  |  0 (TOS)      |          Total Length         |
/// |         Identification        | 0 (flags and fragment offset) |
/// |  0 (TTL)      |   Protocol    |  0 (checksum)                 |
/// |                         Source Address                        |
/// |             Destination Address: the final one                |
/// ```
#[inline(never)] // either takes the stack that it needs itself
fn ipv4(ip: &Ipv4<'_>, profile: Profile, absorb: &mut dyn FnMut(&[u8])) -> Result<(), MutableError> {
    let Some(&[version_ihl, tos, l0, l1, i0, i1, _, _, _, proto, _, _, s0, s1, s2, s3, d0, d1, d2, d3]) =
        ip.packet().first_chunk::<20>()
    else {
        return Err(MutableError::Ip(IpError::NotFound));
    };
    let tos = match profile.tos {
        TosRule::Mutable => 0,
        TosRule::Included => tos,
    };
    let [d0, d1, d2, d3] = final_destination(ip.options())?.unwrap_or([d0, d1, d2, d3]);
    absorb(&[version_ihl, tos, l0, l1, i0, i1, 0, 0, 0, proto, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3]);
    for option in Options::new(ip.options()) {
        let option = option?;
        match option_mutability(option.kind) {
            Mutability::Immutable => absorb(option.octets),
            Mutability::Mutable => absorb_zeros(option.octets.len(), absorb),
        }
    }
    Ok(())
}

/// Mutability of an IPv4 option (RFC 4302 appendix A1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// The option is included unchanged.
    Immutable,
    /// The option is replaced by zeros, including type and length.
    Mutable,
}

/// Returns the mutability of an IPv4 option type by the table of RFC 4302 appendix A. Options that are not in the
/// table are mutable.
pub const fn option_mutability(kind: u8) -> Mutability {
    match kind {
        END | NOP | SECURITY | EXTENDED_SECURITY | CIPSO | ROUTER_ALERT | DIRECTED_MULTICAST => Mutability::Immutable,
        _ => Mutability::Mutable,
    }
}

/// Replaces the IPv4 options of a verified packet that the ICV does not cover by no-operation options, except for
/// record route and timestamp. The ICV does not cover their types either, so that an attacker on the path can turn a
/// record route into a source route. The function is called when the packet is delivered, and not before an inner AH
/// is verified, for which no-operation options are immutable.
///
/// # Errors
/// An error of [`Ip::parse`].
pub fn replace_mutable_options(packet: &mut [u8]) -> Result<(), IpError> {
    replace_ipv4_options(packet, |kind| option_mutability(kind) == Mutability::Immutable)
}

const END: u8 = 0;
const NOP: u8 = 1;
const SECURITY: u8 = 0x82;
const EXTENDED_SECURITY: u8 = 0x85;
const CIPSO: u8 = 0x86;
const ROUTER_ALERT: u8 = 0x94;
const DIRECTED_MULTICAST: u8 = 0x95;
const LOOSE_SOURCE_ROUTE: u8 = 0x83;
const STRICT_SOURCE_ROUTE: u8 = 0x89;

/// Returns the last address of an unfinished source route, which is the destination when the packet is verified. If
/// the pointer is after the route, its addresses are those of routers, and the destination of the header is final.
/// Two routes would be ambiguous: RFC 791 section 3.1 allows one.
fn final_destination(options: &[u8]) -> Result<Option<[u8; 4]>, MutableError> {
    let mut found: Option<Option<[u8; 4]>> = None;
    for option in Options::new(options) {
        let option = option?;
        if let LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE = option.kind {
            let malformed = MutableError::Option { offset: option.offset };
            let [_, len, pointer, addresses @ ..] = option.octets else { return Err(malformed) };
            if addresses.len() & 3 != 0 || *pointer < 4 || pointer & 3 != 0 || found.is_some() {
                return Err(malformed);
            }
            found = Some(addresses.last_chunk().copied().filter(|_| pointer <= len));
        }
    }
    Ok(found.flatten())
}

struct OptionView<'a> {
    kind: u8,
    offset: usize,
    octets: &'a [u8],
}

/// Iterator over the options of an IPv4 header. The octets after the end of options list are one immutable piece.
struct Options<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Options<'a> {
    fn new(options: &'a [u8]) -> Self {
        Self { rest: options, offset: 0 }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<OptionView<'a>, MutableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (offset, kind) = (self.offset, *self.rest.first()?);
        let len = match *self.rest {
            [END, ..] => self.rest.len(),
            [NOP, ..] => 1,
            [_, len, ..] if len >= 2 => len.into(),
            _ => 0,
        };
        match self.rest.split_at_checked(len).filter(|_| len > 0) {
            Some((octets, rest)) => {
                (self.rest, self.offset) = (rest, offset.saturating_add(len));
                Some(Ok(OptionView { kind, offset, octets }))
            }
            None => {
                self.rest = &[];
                Some(Err(MutableError::Option { offset }))
            }
        }
    }
}

/// Passes the ICV input of an IPv6 header with its extension headers to `absorb`.
/// ```text
/// |Version| 0 (class) |  0 (flow label)           |
/// |     Payload Length    |  Next Header  |  0    |
/// |     Source Address: the home address          |
/// |     Destination Address: the final one        |
/// ```
///
/// A fragment header that reassembly has left in the packet is skipped (RFC 4302 appendix A2).
#[inline(never)]
fn ipv6(ip: &Ipv6<'_>, at: usize, profile: Profile, absorb: &mut dyn FnMut(&[u8])) -> Result<(), MutableError> {
    let final_addresses = FinalAddresses::of(ip, at)?;
    let payload = ip.header().payload_length().saturating_sub(final_addresses.skipped);
    let [l0, l1] = u16::try_from(payload).unwrap_or(u16::MAX).to_be_bytes();
    let mut chain = ip.chain();
    absorb(&[0x60, 0, 0, 0, l0, l1, named(ip, chain.link()), 0]);
    let (source, arrived) = (ip.packet().get(8..24).unwrap_or_default(), ip.packet().get(24..40).unwrap_or_default());
    absorb(final_addresses.home.as_ref().map_or(source, |home| home));
    absorb(final_addresses.destination.as_ref().map_or(arrived, |last| last));
    let mut destination = ip.header().destination().octets();
    while chain.link().offset < at {
        let Some(extension) = chain.next_extension()? else { break };
        let offset = extension.link.offset;
        let Some((_, octets)) = octets_of(ip, &extension).split_first() else { break };
        //= RFC 4302 A2/2
        //# MUST: a fragment header of a whole packet is skipped for the ICV of the sender
        if extension.link.kind == IpProto::FRAGMENT {
            continue;
        }
        absorb(&[named(ip, chain.link())]);
        match extension.link.kind {
            IpProto::HOP_BY_HOP => ipv6_options(octets, offset, profile, None, absorb)?,
            IpProto::DESTINATION_OPTIONS => ipv6_options(octets, offset, profile, Some(source), absorb)?,
            IpProto::ROUTING => destination = routing(destination, octets, offset, absorb)?,
            _ => absorb(octets),
        }
    }
    Ok(())
}

/// Returns the next header that the sender has seen, without fragment headers.
//= RFC 4302 A2/1
//# MUST: a fragment header that reassembly left in a received packet is skipped for the ICV
fn named(ip: &Ipv6<'_>, link: ChainLink) -> u8 {
    match link.kind {
        IpProto::FRAGMENT => ip.packet().get(link.offset).copied().unwrap_or(link.kind.0),
        kind => kind.0,
    }
}

fn octets_of<'a>(ip: &Ipv6<'a>, extension: &Extension) -> &'a [u8] {
    let octets = ip.packet().get(extension.link.offset..).and_then(|rest| rest.get(..extension.len));
    octets.unwrap_or_default()
}

/// Addresses that have another place in the packet when it is verified.
#[derive(Default)]
struct FinalAddresses {
    /// Last address of a routing header.
    destination: Option<[u8; 16]>,
    /// Home address of a mobile node, which its peer writes into the source field (RFC 6275 section 11.3.2).
    home: Option<[u8; 16]>,
    /// Number of octets of fragment headers, which are not covered.
    skipped: usize,
}

impl FinalAddresses {
    fn of(ip: &Ipv6<'_>, at: usize) -> Result<Self, MutableError> {
        let mut final_addresses = Self::default();
        let mut chain = ip.chain();
        while chain.link().offset < at {
            let Some(extension) = chain.next_extension()? else { break };
            let octets = octets_of(ip, &extension).get(1..).unwrap_or_default();
            match extension.link.kind {
                //= RFC 4302 A2/1
                //# MUST: a fragment header that reassembly left in a received packet is skipped for the ICV
                IpProto::FRAGMENT => final_addresses.skipped = final_addresses.skipped.saturating_add(extension.len),
                IpProto::ROUTING => {
                    let route = Route::parse(octets, extension.link.offset)?;
                    final_addresses.destination = route.left.last().copied().or(final_addresses.destination);
                }
                IpProto::DESTINATION_OPTIONS => {
                    for option in Ipv6OptionIter::new(octets, extension.link.offset) {
                        let OptionView { kind, offset, octets } = option?;
                        let home = octets.get(2..).and_then(|address| address.try_into().ok());
                        // Only one address can be the source (RFC 6275 section 6.3).
                        match (kind == HOME_ADDRESS, home, final_addresses.home) {
                            (true, Some(home), None) => final_addresses.home = Some(home),
                            (true, Some(_), Some(_)) => return Err(MutableError::Option { offset }),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        if chain.link().offset != at {
            return Err(MutableError::Ip(IpError::NotFound));
        }
        Ok(final_addresses)
    }
}

const HOME_ADDRESS: u8 = 0xc9;
const MAY_CHANGE: u8 = 0x20;
const PAD_1: u8 = 0;

/// Passes hop-by-hop or destination options from the length octet on. The data of mutable options is replaced by
/// zeros (RFC 4302 section 3.3.3.1.2.2), and a home address by the care-of address with which it is exchanged, if
/// there is one.
fn ipv6_options(
    header: &[u8],
    offset: usize,
    profile: Profile,
    care_of: Option<&[u8]>,
    absorb: &mut dyn FnMut(&[u8]),
) -> Result<(), MutableError> {
    absorb(header.get(..1).unwrap_or_default());
    for option in Ipv6OptionIter::new(header, offset) {
        let option = option?;
        let (head, data) = option.octets.split_at_checked(2).unwrap_or((option.octets, &[]));
        let care_of = care_of.filter(|address| option.kind == HOME_ADDRESS && data.len() == address.len());
        match (option.kind & MAY_CHANGE != 0, profile.ipv6_options, care_of) {
            (true, Ipv6Options::WholeZeroed, _) => absorb_zeros(option.octets.len(), absorb),
            (true, Ipv6Options::DataZeroed, _) => {
                absorb(head);
                absorb_zeros(data.len(), absorb);
            }
            (false, _, Some(care_of)) => {
                absorb(head);
                absorb(care_of);
            }
            (false, _, None) => absorb(option.octets),
        }
    }
    Ok(())
}

/// Iterator over the options of a hop-by-hop or destination options header, from its length octet on.
struct Ipv6OptionIter<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Ipv6OptionIter<'a> {
    fn new(header: &'a [u8], offset: usize) -> Self {
        Self { rest: header.get(1..).unwrap_or_default(), offset: offset.saturating_add(2) }
    }
}

impl<'a> Iterator for Ipv6OptionIter<'a> {
    type Item = Result<OptionView<'a>, MutableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        let (kind, len) = match *self.rest {
            [] => return None,
            [PAD_1, ..] => (PAD_1, 1),
            [kind, len, ..] => (kind, usize::from(len).saturating_add(2)),
            [kind] => (kind, usize::MAX),
        };
        match self.rest.split_at_checked(len) {
            Some((octets, rest)) => {
                (self.rest, self.offset) = (rest, offset.saturating_add(len));
                Some(Ok(OptionView { kind, offset, octets }))
            }
            None => {
                self.rest = &[];
                Some(Err(MutableError::Option { offset }))
            }
        }
    }
}

/// Routing header of type 0 (RFC 2460 section 4.4) or 2 (RFC 6275 section 6.4), whose addresses are exchanged at each
/// hop; split from its length octet on.
///
/// ```text
/// | next header | length | type | segments left |  reserved (4)  | address 1 | .. | address n |
/// ```
struct Route<'a> {
    /// Length and type fields.
    front: &'a [u8],
    /// Reserved field of four octets.
    reserved: &'a [u8],
    /// Addresses that were visited.
    visited: &'a [[u8; 16]],
    /// Addresses that are still to be visited; the last one is the final destination.
    left: &'a [[u8; 16]],
}

impl<'a> Route<'a> {
    fn parse(header: &'a [u8], offset: usize) -> Result<Self, MutableError> {
        let malformed = MutableError::Routing { offset };
        let (fixed, addresses) = header.split_at_checked(7).ok_or(malformed)?;
        let &[_, kind, segments_left, ..] = fixed else { return Err(malformed) };
        let (addresses, odd) = addresses.as_chunks::<16>();
        let split = addresses.len().checked_sub(segments_left.into()).ok_or(malformed)?;
        let known = kind == 0 && odd.is_empty() || kind == 2 && odd.is_empty() && addresses.len() == 1;
        if !known && segments_left > 0 {
            return Err(MutableError::UnknownRouting { kind });
        }
        let (visited, left) = addresses.split_at_checked(split).ok_or(malformed)?;
        let (front, reserved) = (fixed.get(..2).unwrap_or_default(), fixed.get(3..).unwrap_or_default());
        Ok(Self { front, reserved, visited, left })
    }
}

/// Passes the header as it arrives: no segments left, and the remaining addresses shifted by one, as each hop writes
/// its destination into the list. Returns the final destination.
fn routing(
    destination: [u8; 16],
    header: &[u8],
    offset: usize,
    absorb: &mut dyn FnMut(&[u8]),
) -> Result<[u8; 16], MutableError> {
    let route = Route::parse(header, offset)?;
    let Some((last, but_last)) = route.left.split_last() else {
        absorb(header);
        return Ok(destination);
    };
    absorb(route.front);
    absorb(&[0]);
    absorb(route.reserved);
    route.visited.iter().for_each(|address| absorb(address));
    absorb(&destination);
    but_last.iter().for_each(|address| absorb(address));
    Ok(*last)
}

fn absorb_zeros(mut count: usize, absorb: &mut dyn FnMut(&[u8])) {
    while count > 0 {
        let piece = count.min(ZEROS.len());
        absorb(ZEROS.get(..piece).unwrap_or_default());
        count = count.saturating_sub(piece);
    }
}

/// Error of headers whose mutable fields cannot be determined (RFC 4302 section 3.3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MutableError {
    /// The chain of headers is malformed.
    Ip(IpError),
    /// An option has an invalid length or pointer; the offset counts from the options (IPv4) or the packet (IPv6).
    Option {
        /// Offset of the option in octets.
        offset: usize,
    },
    /// A routing header has more segments left than addresses.
    Routing {
        /// Offset of the header in octets.
        offset: usize,
    },
    /// A routing header of an unknown type is not finished.
    UnknownRouting {
        /// Type of the routing header.
        kind: u8,
    },
}

impl From<IpError> for MutableError {
    fn from(e: IpError) -> Self {
        Self::Ip(e)
    }
}

impl MutableError {
    /// Returns whether the peer, the caller or the library has caused the error.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Ip(e) => e.fault(),
            Self::Option { .. } | Self::Routing { .. } | Self::UnknownRouting { .. } => Fault::Peer,
        }
    }
}

impl fmt::Display for MutableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(e) => e.fmt(f),
            Self::Option { offset } => write!(f, "malformed option at octet {offset}"),
            Self::Routing { offset } => write!(f, "malformed routing header at octet {offset}"),
            Self::UnknownRouting { kind } => write!(f, "unfinished routing header of type {kind}"),
        }
    }
}

impl core::error::Error for MutableError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Ip(e) => Some(e),
            _ => None,
        }
    }
}
