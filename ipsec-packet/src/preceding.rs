//! Headers that precede ESP, AH or IPComp in a received packet: IPv4 options, IPv6 extension headers.
//!
//! ESP and IPComp do not authenticate these headers. [`check_preceding_headers`] refuses those that would stop the
//! packet before the IPsec header by RFC 8200 section 4 and RFC 1122 section 3.2.1.8. [`remove_preceding_headers`]
//! removes the others after decryption, so that the IP stack never answers an unauthenticated header with an ICMP
//! error that quotes the plaintext.

use crate::{Extension, Ip, IpError, IpProto, Ipv4, Ipv6, PacketBuf, ipv4, ipv6};

pub(crate) const END_OF_OPTIONS: u8 = 0;
pub(crate) const NO_OPERATION: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;
const ROUTER_ALERT: u8 = 148;

const PAD_1: u8 = 0;
const PAD_N: u8 = 1;
/// Router alert option of IPv6 (RFC 2711).
const ROUTER_ALERT_V6: u8 = 5;
/// Home address option (RFC 6275 section 6.3), which AH authenticates.
const HOME_ADDRESS: u8 = 0xc9;

/// Checks the headers between the IP header and the IPsec header at offset `at` of a received packet.
///
/// IPv4 (RFC 791 section 3.1, RFC 1122 section 3.2.1.8): options must be well-formed, and a source route must be
/// finished. IPv6 (RFC 8200 section 4): a hop-by-hop options header must be the first, no routing header of any type
/// may have segments left, and unknown options must have action bits 00 (skip). The home address option is
/// known in front of AH.
///
/// # Errors
/// [`IpError::RouteNotFinished`], [`IpError::Option`], [`IpError::Extension`], [`IpError::Fragment`],
/// [`IpError::NotFound`] if no header begins at `at`, or an error of [`Ip::parse`].
pub fn check_preceding_headers(packet: &[u8], at: usize) -> Result<(), IpError> {
    match Ip::parse(packet)? {
        Ip::V4(ip) => check_ipv4(&ip, at),
        Ip::V6(ip) => check_ipv6(&ip, at),
    }
}

/// Checks that a source route or routing header in front of offset `at` is finished, so that the packet is at its
/// destination (RFC 791 section 3.1, RFC 8200 section 4.4).
///
/// # Errors
/// [`IpError::RouteNotFinished`], or the error of a malformed header.
pub fn check_route_finished(packet: &[u8], at: usize) -> Result<(), IpError> {
    match Ip::parse(packet)? {
        Ip::V4(ip) => {
            let options = ip.options();
            let mut offset = 0;
            while let Some(rest) = options.get(offset..) {
                let len = match *rest {
                    [] | [END_OF_OPTIONS, ..] => break,
                    [NO_OPERATION, ..] => 1,
                    [LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, len, pointer, ..] if pointer <= len => {
                        return Err(IpError::RouteNotFinished { offset: offset.saturating_add(ipv4::HEADER) });
                    }
                    [_, len, ..] => usize::from(len).max(2),
                    [_] => break,
                };
                offset = offset.saturating_add(len);
            }
            Ok(())
        }
        Ip::V6(ip) => {
            let mut chain = ip.chain();
            while chain.link().offset < at {
                let Some(extension) = chain.next_extension()? else { break };
                let octets = ip.packet().get(extension.link.offset..).unwrap_or_default();
                if extension.link.kind == IpProto::ROUTING && octets.get(3) != Some(&0) {
                    return Err(IpError::RouteNotFinished { offset: extension.link.offset });
                }
            }
            Ok(())
        }
    }
}

fn check_ipv4(ip: &Ipv4<'_>, at: usize) -> Result<(), IpError> {
    match ip.header().header_len() {
        len if len != at => Err(IpError::NotFound),
        ipv4::HEADER => Ok(()),
        _ => check_ipv4_options(ip.options()),
    }
}

/// Checks that each known option occurs at most once, with lengths and pointers that a host accepts.
fn check_ipv4_options(options: &[u8]) -> Result<(), IpError> {
    let (mut rest, mut offset) = (options, ipv4::HEADER);
    let (mut source_route, mut record_route, mut timestamp) = (false, false, false);
    loop {
        let malformed = IpError::Option { offset };
        let len = match *rest {
            [] | [END_OF_OPTIONS, ..] => return Ok(()),
            [NO_OPERATION, ..] => 1,
            [_, len, ..] if len >= 2 => len.into(),
            _ => return Err(malformed),
        };
        let (option, behind) = rest.split_at_checked(len).ok_or(malformed)?;
        let first_of_its_kind = match option {
            [LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, _, pointer, route @ ..] => {
                if usize::from(*pointer) <= len {
                    return Err(IpError::RouteNotFinished { offset });
                }
                is_route(*pointer, route) && !core::mem::replace(&mut source_route, true)
            }
            [RECORD_ROUTE, _, pointer, route @ ..] => {
                is_route(*pointer, route) && !core::mem::replace(&mut record_route, true)
            }
            [TIMESTAMP, _, pointer, overflow_flag, entries @ ..] => {
                is_timestamp(*pointer, *overflow_flag, entries) && !core::mem::replace(&mut timestamp, true)
            }
            [ROUTER_ALERT, ..] => len == 4,
            [LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE | RECORD_ROUTE | TIMESTAMP, ..] => false,
            _ => true,
        };
        if !first_of_its_kind {
            return Err(malformed);
        }
        (rest, offset) = (behind, offset.saturating_add(len));
    }
}

/// Returns whether the option has whole addresses, and a pointer to one of them or after the last.
fn is_route(pointer: u8, route: &[u8]) -> bool {
    let at = usize::from(pointer).checked_sub(4);
    route.len() & 3 == 0 && at.is_some_and(|at| at & 3 == 0 && at <= route.len())
}

/// Returns whether the option has whole entries of the size that its flag specifies, a pointer to one of them or
/// after the last, and no overflow of its overflow counter.
fn is_timestamp(pointer: u8, overflow_flag: u8, entries: &[u8]) -> bool {
    let entry = match overflow_flag & 0x0f {
        0 => 4,
        1 | 3 => 8,
        _ => return false,
    };
    let Some(at) = usize::from(pointer).checked_sub(5).filter(|at| *at <= entries.len()) else { return false };
    let whole = |octets: usize| octets.is_multiple_of(entry);
    whole(entries.len()) && whole(at) && (at < entries.len() || overflow_flag >> 4 < 0x0f)
}

fn check_ipv6(ip: &Ipv6<'_>, at: usize) -> Result<(), IpError> {
    let mut chain = ip.chain();
    while chain.link().offset < at {
        let Some(extension) = chain.next_extension()? else { break };
        check_extension(ip, &extension, at)?;
    }
    if chain.link().offset == at { Ok(()) } else { Err(IpError::NotFound) }
}

fn check_extension(ip: &Ipv6<'_>, extension: &Extension, at: usize) -> Result<(), IpError> {
    let offset = extension.link.offset;
    let octets = ip.packet().get(offset..).and_then(|rest| rest.get(..extension.len)).unwrap_or_default();
    match extension.link.kind {
        IpProto::HOP_BY_HOP if offset != ipv6::HEADER => Err(IpError::Extension { offset }),
        IpProto::HOP_BY_HOP => check_ipv6_options(octets, offset, false),
        IpProto::DESTINATION_OPTIONS => {
            let in_front_of_ah = extension.next == IpProto::AH && offset.saturating_add(extension.len) == at;
            check_ipv6_options(octets, offset, in_front_of_ah)
        }
        IpProto::ROUTING if octets.get(3) != Some(&0) => Err(IpError::RouteNotFinished { offset }),
        IpProto::FRAGMENT if extension.is_part_of_fragments(ip.packet()) => Err(IpError::Fragment),
        _ => Ok(()),
    }
}

/// Checks that there is no unknown option that makes a node discard the packet (RFC 8200 section 4.2).
fn check_ipv6_options(header: &[u8], at: usize, home_address: bool) -> Result<(), IpError> {
    let (mut rest, mut offset) = (header.get(2..).unwrap_or_default(), at.saturating_add(2));
    loop {
        let (kind, len) = match *rest {
            [] => return Ok(()),
            [PAD_1, ..] => (PAD_1, 1),
            [kind, len, ..] => (kind, usize::from(len).saturating_add(2)),
            [_] => return Err(IpError::Option { offset }),
        };
        let is_skipped = kind >> 6 == 0 || home_address && kind == HOME_ADDRESS;
        match rest.get(len..) {
            Some(behind) if is_skipped => (rest, offset) = (behind, offset.saturating_add(len)),
            _ => return Err(IpError::Option { offset }),
        }
    }
}

/// Removes the unauthenticated headers in front of offset `at` from a decapsulated packet of transport mode, so that
/// the IP stack does not answer them with an ICMP error. The packet must have passed [`check_preceding_headers`].
///
/// IPv4: options other than record route, timestamp and router alert become no-operation options. IPv6: destination
/// options, routing and atomic fragment headers are removed; in a hop-by-hop options header, options other than
/// router alert become padding. Length, next header and checksum are updated; a wrong checksum stays wrong.
///
/// # Errors
/// [`IpError::NotFound`] if no header begins at `at`, or an error of [`Ip::parse`].
pub fn remove_preceding_headers(packet: &mut PacketBuf<'_>, at: usize) -> Result<(), IpError> {
    match Ip::parse(packet.data())? {
        Ip::V4(ip) if ip.header().header_len() != at => Err(IpError::NotFound),
        Ip::V4(_) => replace_ipv4_options(packet.data_mut(), |kind| kind == ROUTER_ALERT),
        Ip::V6(ip) => {
            let mut chain = ip.chain();
            let mut keep = chain.link();
            while chain.link().offset < at {
                let Some(extension) = chain.next_extension()? else { break };
                if extension.link.kind == IpProto::HOP_BY_HOP {
                    keep = chain.link();
                }
            }
            let link = chain.link();
            if link.offset != at {
                return Err(IpError::NotFound);
            }
            if let Some(hop_by_hop) = packet.data_mut().get_mut(ipv6::HEADER..keep.offset) {
                replace_ipv6_options(hop_by_hop);
            }
            packet.close_gap(keep.offset, at.saturating_sub(keep.offset))?;
            if let Some(named) = packet.data_mut().get_mut(keep.next_header_at) {
                *named = link.kind.0;
            }
            crate::set_length(packet.data_mut())
        }
    }
}

/// Replaces IPv4 options by no-operation options, except for record route, timestamp, and the types for which
/// `is_kept` returns true. The packet must have passed [`check_preceding_headers`]. The checksum is updated; a wrong
/// checksum stays wrong. An IPv6 packet is unchanged.
///
/// # Errors
/// An error of [`Ip::parse`].
pub fn replace_ipv4_options(packet: &mut [u8], is_kept: impl Fn(u8) -> bool) -> Result<(), IpError> {
    if let Ip::V4(ip) = Ip::parse(packet)? {
        let at = ip.header().header_len();
        ipv4::update_options(packet, at, |options| replace_options(options, is_kept));
    }
    Ok(())
}

/// Replaces options that were checked to be well-formed.
fn replace_options(options: &mut [u8], is_kept: impl Fn(u8) -> bool) {
    let mut rest = options;
    loop {
        let len = match *rest {
            [] => return,
            [END_OF_OPTIONS, ..] => rest.len(),
            [NO_OPERATION, ..] => 1,
            [_, len, ..] => usize::from(len).max(2),
            [_] => 1,
        };
        let Some((option, behind)) = rest.split_at_mut_checked(len) else { return };
        match option.first() {
            Some(&(RECORD_ROUTE | TIMESTAMP)) => {}
            Some(&kind) if is_kept(kind) => {}
            Some(&END_OF_OPTIONS) => option.fill(END_OF_OPTIONS),
            _ => option.fill(NO_OPERATION),
        }
        rest = behind;
    }
}

/// Replaces the options of a hop-by-hop options header that was checked to be well-formed, if there is one.
fn replace_ipv6_options(header: &mut [u8]) {
    let mut rest = header.get_mut(2..).unwrap_or_default();
    while let [kind, tail @ ..] = rest {
        if *kind == PAD_1 {
            rest = tail;
            continue;
        }
        let Some((len, tail)) = tail.split_first_mut() else { return };
        let Some((data, behind)) = tail.split_at_mut_checked(usize::from(*len)) else { return };
        if (*kind, *len) != (ROUTER_ALERT_V6, 2) {
            *kind = PAD_N;
            data.fill(0);
        }
        rest = behind;
    }
}

/// Removes the atomic fragment headers (RFC 6946) in front of offset `at` of an IPv6 packet, which AH does not
/// authenticate (RFC 4302 appendix A2). An IPv4 packet is unchanged.
///
/// # Errors
/// An error of [`Ip::parse`], [`IpError::Extension`], [`IpError::TooManyExtensions`]; headers that were removed
/// before stay removed.
pub fn remove_atomic_fragment_headers(packet: &mut PacketBuf<'_>, mut at: usize) -> Result<(), IpError> {
    while let Some(extension) = first_fragment_header(packet.data(), at)? {
        packet.close_gap(extension.link.offset, extension.len)?;
        if let Some(named) = packet.data_mut().get_mut(extension.link.next_header_at) {
            *named = extension.next.0;
        }
        crate::set_length(packet.data_mut())?;
        at = at.saturating_sub(extension.len);
    }
    Ok(())
}

fn first_fragment_header(packet: &[u8], at: usize) -> Result<Option<Extension>, IpError> {
    let Ip::V6(ip) = Ip::parse(packet)? else { return Ok(None) };
    let mut chain = ip.chain();
    while chain.link().offset < at {
        match chain.next_extension()? {
            Some(extension) if extension.link.kind == IpProto::FRAGMENT => return Ok(Some(extension)),
            Some(_) => {}
            None => break,
        }
    }
    Ok(None)
}
