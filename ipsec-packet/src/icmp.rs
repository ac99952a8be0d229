//! ICMP about packets that are too big: answered for those that do not fit into a tunnel, and read when a router on the
//! way of a tunnel sends it (RFC 792, 1191, 4443 3.2, 4301 8).

use core::net::{IpAddr, Ipv4Addr};

use zerocopy::IntoBytes;

use crate::udp_encap::pseudo_header;
use crate::{Checksum, Flow, Ip, IpError, IpProto, Ipv4Header, Ipv6Header, Spi};

/// Octets of an ICMP header of either version.
const HEADER: usize = 8;
const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;
/// The hop limit of answers.
const HOPS: u8 = 64;
/// What an answer over IPv4 may have at most (RFC 1812 4.3.2.3), and what any IPv6 link carries (RFC 8200 5).
const MOST_V4: usize = 576;
const MOST_V6: usize = 1280;
/// What any IPv4 link carries (RFC 791 3.2).
const LEAST_V4: u16 = 68;

/// Writes the answer to a packet that is larger than `mtu` octets and may not be fragmented: "fragmentation needed" of
/// ICMP, "packet too big" of ICMPv6, from the router's own address `from`. Gives the part of `out` that holds the whole IP
/// packet; 576 octets are enough for IPv4, 1280 for IPv6.
///
/// `None` when the packet gets no answer: it may be fragmented, is a later fragment, an ICMP error itself, malformed, or
/// comes from or goes to what is no single host (RFC 1812 4.3.2.7, RFC 4443 2.4), `from` is of the other IP version, or
/// `out` is too small.
//= RFC 4303 3.3.4/1
pub fn too_big_answer<'o>(packet: &[u8], mtu: u16, from: IpAddr, out: &'o mut [u8]) -> Option<&'o [u8]> {
    let ip = Ip::parse(packet).ok()?;
    if !is_one_host(ip.source()) || is_icmp_error(&ip) {
        return None;
    }
    let (ip_header, most) = match &ip {
        Ip::V4(_) => (crate::ipv4::HEADER, MOST_V4),
        Ip::V6(_) => (crate::ipv6::HEADER, MOST_V6),
    };
    let quoted = ip.packet();
    let quoted = quoted.get(..quoted.len().min(most.checked_sub(ip_header)?.checked_sub(HEADER)?))?;
    let total = ip_header.checked_add(HEADER)?.checked_add(quoted.len())?;
    let [high, low] = mtu.to_be_bytes();
    let out = out.get_mut(..total)?;
    match (&ip, from) {
        (Ip::V4(ip), IpAddr::V4(from)) => {
            let header = ip.header();
            if !header.dont_fragment() || !header.is_first_or_whole() || !is_one_host(header.destination().into()) {
                return None;
            }
            let mut outer = Ipv4Header::new(from, header.source(), IpProto::ICMP, HOPS);
            outer.set_total_length(u16::try_from(total).ok()?);
            outer.set_checksum();
            let icmp = [UNREACHABLE, FRAGMENTATION_NEEDED, 0, 0, 0, 0, high, low];
            let sum = Checksum::new().over(&icmp).over(quoted).finish();
            write(out, outer.as_bytes(), with_checksum(icmp, sum), quoted);
        }
        (Ip::V6(ip), IpAddr::V6(from)) => {
            let mut outer = Ipv6Header::new(from, ip.header().source(), IpProto::ICMPV6, HOPS);
            let length = u16::try_from(total.checked_sub(ip_header)?).ok()?;
            outer.set_payload_length(length);
            let icmp = [PACKET_TOO_BIG, 0, 0, 0, 0, 0, high, low];
            let pseudo = pseudo_header(from.into(), ip.header().source().into(), IpProto::ICMPV6, length.into());
            write(out, outer.as_bytes(), with_checksum(icmp, pseudo.over(&icmp).over(quoted).finish()), quoted);
        }
        _ => return None,
    }
    Some(out)
}

fn with_checksum(icmp: [u8; HEADER], sum: u16) -> [u8; HEADER] {
    let ([kind, code, _, _, rest @ ..], [high, low]) = (icmp, sum.to_be_bytes());
    let [a, b, c, d] = rest;
    [kind, code, high, low, a, b, c, d]
}

fn write(out: &mut [u8], ip: &[u8], icmp: [u8; HEADER], quoted: &[u8]) {
    out.iter_mut().zip(ip.iter().chain(&icmp).chain(quoted)).for_each(|(to, from)| *to = *from);
}

fn is_one_host(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(broadcast || address.is_multicast() || address.is_unspecified() || address.is_loopback())
}

fn is_icmp_error(ip: &Ip<'_>) -> bool {
    match Flow::read(ip.packet()) {
        Ok(Flow { protocol: IpProto::ICMP, detail: crate::Detail::Icmp(kind, _), .. }) => {
            matches!(kind, 3 | 4 | 5 | 11 | 12)
        }
        // Redirects get no answer either.
        Ok(Flow { protocol: IpProto::ICMPV6, detail: crate::Detail::Icmp(kind, _), .. }) => kind < 128 || kind == 137,
        Ok(Flow { detail: crate::Detail::Opaque, .. }) | Err(_) => true,
        Ok(_) => false,
    }
}

/// A router's report that a packet of an SA did not fit on its next link (RFC 4301 8.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig {
    /// Where the packet came from: one of our addresses, if the report is genuine.
    pub source: IpAddr,
    /// Where it went.
    pub destination: IpAddr,
    /// ESP or AH.
    pub protocol: IpProto,
    /// Its SPI.
    pub spi: Spi,
    /// What fits there, in octets; 0 from routers that do not say (RFC 1191 5).
    pub mtu: u16,
}

impl TooBig {
    /// Reads an ICMP or ICMPv6 packet, IP header included; `None` for whatever is not such a report about ESP or AH. Its
    /// checksum is verified; nothing else about it is authentic (RFC 4301 8.2.1).
    ///
    /// # Errors
    /// [`IpError`] when the IP header does not hold together.
    pub fn read(packet: &[u8]) -> Result<Option<Self>, IpError> {
        let ip = Ip::parse(packet)?;
        Ok(match &ip {
            Ip::V4(v4) if v4.header().protocol() == IpProto::ICMP && !v4.header().is_fragment() => {
                read_v4(v4.payload())
            }
            Ip::V6(v6) => {
                let link = v6.walk(|_| false)?;
                let icmp = v6.packet().get(link.offset..).unwrap_or_default();
                if link.kind == IpProto::ICMPV6 { read_v6(&ip, icmp) } else { None }
            }
            Ip::V4(_) => None,
        })
    }
}

fn read_v4(icmp: &[u8]) -> Option<TooBig> {
    let ([UNREACHABLE, FRAGMENTATION_NEEDED, _, _, _, _, high, low], quoted) = icmp.split_first_chunk::<HEADER>()?
    else {
        return None;
    };
    if Checksum::new().over(icmp).finish() != 0 {
        return None;
    }
    // What is quoted is cut: its length field does not hold.
    let first = *quoted.first()?;
    let length = usize::from(first & 0xf).checked_mul(4).filter(|_| first >> 4 == 4)?;
    let header: &[u8; 20] = quoted.first_chunk()?;
    let [.., a, b, c, d, e, f, g, h] = *header;
    let protocol = IpProto(*header.get(9)?);
    let (source, destination) = (Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into());
    let mtu = u16::from_be_bytes([*high, *low]);
    let spi = spi(protocol, quoted.get(length..)?)?;
    Some(TooBig { source, destination, protocol, spi, mtu: if mtu == 0 { 0 } else { mtu.max(LEAST_V4) } })
}

fn read_v6(ip: &Ip<'_>, icmp: &[u8]) -> Option<TooBig> {
    let ([PACKET_TOO_BIG, _, _, _, mtu @ ..], quoted) = icmp.split_first_chunk::<HEADER>()? else { return None };
    let length = u32::try_from(icmp.len()).ok()?;
    if pseudo_header(ip.source(), ip.destination(), IpProto::ICMPV6, length).over(icmp).finish() != 0 {
        return None;
    }
    let header: &[u8; 40] =
        quoted.first_chunk().filter(|header: &&[u8; 40]| header.first().is_some_and(|v| v >> 4 == 6))?;
    let protocol = IpProto(*header.get(6)?);
    let source: [u8; 16] = *header.get(8..)?.first_chunk()?;
    let destination: [u8; 16] = *header.get(24..)?.first_chunk()?;
    let spi = spi(protocol, quoted.get(header.len()..)?)?;
    let mtu = u16::try_from(u32::from_be_bytes(*mtu)).unwrap_or(u16::MAX);
    Some(TooBig { source: source.into(), destination: destination.into(), protocol, spi, mtu })
}

fn spi(protocol: IpProto, header: &[u8]) -> Option<Spi> {
    let at = match protocol {
        IpProto::ESP => 0,
        IpProto::AH => 4,
        _ => return None,
    };
    Spi::new(u32::from_be_bytes(*header.get(at..)?.first_chunk()?)).ok()
}
