//! ICMP messages about packets that are too big: replies to packets that exceed the MTU of a tunnel, and reports that
//! routers send about tunnel packets (RFC 792, RFC 1191, RFC 4443 section 3.2, RFC 4301 section 8).

use core::net::{IpAddr, Ipv4Addr};

use zerocopy::IntoBytes;

use crate::selector::{hidden, read_detail};
use crate::udp_encap::pseudo_header;
use crate::{
    Checksum, Detail, Flow, Ip, IpError, IpProto, Ipv4Header, Ipv6Header, MAX_EXTENSION_HEADERS, ParsedIp, Ports, Spi,
};

/// Length of an ICMP header of either version in octets.
const HEADER: usize = 8;
const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;
/// Hop limit of replies.
const REPLY_HOP_LIMIT: u8 = 64;
/// Largest reply over IPv4 (RFC 1812 section 4.3.2.3) and IPv6 (RFC 8200 section 5), in octets.
const MAX_REPLY_V4: usize = 576;
const MAX_REPLY_V6: usize = 1280;
/// Smallest MTU of an IPv4 link (RFC 791 section 3.2).
const MIN_MTU_V4: u16 = 68;

/// Writes the reply to a packet that exceeds `mtu` octets and must not be fragmented: "fragmentation needed" of ICMP
/// or "packet too big" of ICMPv6, from the router's own address `from`. Returns the part of `out` that holds the
/// whole IP packet; 576 octets are sufficient for IPv4, 1280 for IPv6.
///
/// Returns `None` if the packet gets no reply: it may be fragmented, is a later fragment, an ICMP error, malformed,
/// or has an address that is not that of a single host (RFC 1812 section 4.3.2.7, RFC 4443 section 2.4); `from` is of
/// the other IP version; or `out` is too small.
//= RFC 4303 3.3.4/1
//# MUST: ICMP pmtu messages can be generated
pub fn too_big_reply<'o>(packet: &[u8], mtu: u16, from: IpAddr, out: &'o mut [u8]) -> Option<&'o [u8]> {
    let ip = Ip::parse(packet).ok()?;
    if !is_one_host(ip.source()) || is_icmp_error(&ip) {
        return None;
    }
    let (ip_header, most) = match &ip {
        Ip::V4(_) => (crate::ipv4::HEADER, MAX_REPLY_V4),
        Ip::V6(_) => (crate::ipv6::HEADER, MAX_REPLY_V6),
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
            let mut outer = Ipv4Header::new(from, header.source(), IpProto::ICMP, REPLY_HOP_LIMIT);
            outer.set_total_length(u16::try_from(total).ok()?);
            outer.set_checksum();
            let icmp = [UNREACHABLE, FRAGMENTATION_NEEDED, 0, 0, 0, 0, high, low];
            let sum = Checksum::new().over(&icmp).over(quoted).finish();
            write(out, outer.as_bytes(), with_checksum(icmp, sum), quoted);
        }
        (Ip::V6(ip), IpAddr::V6(from)) => {
            let mut outer = Ipv6Header::new(from, ip.header().source(), IpProto::ICMPV6, REPLY_HOP_LIMIT);
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
        // Redirects get no reply either.
        Ok(Flow { protocol: IpProto::ICMPV6, detail: Detail::Icmp(REDIRECT_V6, _), .. }) => true,
        Ok(Flow { protocol, detail: Detail::Icmp(kind, _), .. }) => is_error(protocol, kind),
        Ok(Flow { detail: Detail::Opaque, .. }) | Err(_) => true,
        Ok(_) => false,
    }
}

const REDIRECT_V6: u8 = 137;

/// Returns whether an ICMP message reports an error, so that it quotes a packet (RFC 792, RFC 4443 section 2.1).
const fn is_error(protocol: IpProto, kind: u8) -> bool {
    match protocol {
        IpProto::ICMP => matches!(kind, 3 | 4 | 5 | 11 | 12),
        IpProto::ICMPV6 => kind < 128,
        _ => false,
    }
}

/// Reads the selectors of the packet that an ICMP error of any type quotes (RFC 4301 section 6.2). Truncated ports
/// are [`Detail::Opaque`]. Returns `None` if the packet is not an ICMP error, is a fragment of one, or quotes no IP
/// header of its version.
pub fn quoted_flow(packet: &[u8]) -> Option<Flow> {
    let ip = Ip::parse(packet).ok()?;
    let Flow { protocol, detail: Detail::Icmp(kind, _), .. } = ParsedIp::of(&ip).flow().ok()? else { return None };
    if !is_error(protocol, kind) {
        return None;
    }
    let icmp = match &ip {
        Ip::V4(v4) if !v4.header().is_fragment() => v4.payload(),
        Ip::V4(_) => return None,
        Ip::V6(v6) => v6.packet().get(v6.walk(|_| false).ok()?.offset..)?,
    };
    let quoted = Quoted::read(icmp.get(HEADER..)?, matches!(ip, Ip::V6(_)))?;
    let Quoted { source, destination, .. } = quoted;
    let (protocol, detail) = match quoted.upper {
        Some((protocol, upper)) => (protocol, read_detail(protocol, upper)),
        None if source.is_ipv4() => (quoted.protocol, hidden(quoted.protocol)),
        None => (IpProto::FRAGMENT, Detail::Opaque),
    };
    Some(Flow { source, destination, protocol, detail })
}

/// Headers of a quoted packet, which is truncated and therefore shorter than its length field.
struct Quoted<'a> {
    source: IpAddr,
    destination: IpAddr,
    /// Protocol number in the IP header.
    protocol: IpProto,
    /// Header of the upper layer, AH or ESP, as far as it is quoted; `None` for a later fragment, or if the headers
    /// in front are truncated.
    upper: Option<(IpProto, &'a [u8])>,
}

impl<'a> Quoted<'a> {
    fn read(quoted: &'a [u8], is_v6: bool) -> Option<Self> {
        if is_v6 { Self::read_v6(quoted) } else { Self::read_v4(quoted) }
    }

    fn read_v4(quoted: &'a [u8]) -> Option<Self> {
        let header: &[u8; 20] = quoted.first_chunk()?;
        let [first, .., a, b, c, d, e, f, g, h] = *header;
        let length = usize::from(first & 0xf).checked_mul(4).filter(|length| first >> 4 == 4 && *length >= 20)?;
        let [_, _, _, _, _, _, high, low, _, protocol, ..] = *header;
        let protocol = IpProto(protocol);
        let is_first = u16::from_be_bytes([high, low]) & 0x1fff == 0;
        let upper = quoted.get(length..).filter(|_| is_first).map(|upper| (protocol, upper));
        let (source, destination) = (Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into());
        Some(Self { source, destination, protocol, upper })
    }

    fn read_v6(quoted: &'a [u8]) -> Option<Self> {
        let (header, mut rest) = quoted.split_first_chunk::<40>()?;
        if header.first()? >> 4 != 6 {
            return None;
        }
        let (source, destination): ([u8; 16], [u8; 16]) =
            (*header.get(8..)?.first_chunk()?, *header.get(24..)?.first_chunk()?);
        let protocol = IpProto(*header.get(6)?);
        let mut next = protocol;
        let mut upper = None;
        for _ in 0..=MAX_EXTENSION_HEADERS {
            let length = match (next, rest) {
                (IpProto::FRAGMENT, [_, _, high, low, ..]) if (*high, low >> 3) == (0, 0) => 8,
                (IpProto::HOP_BY_HOP | IpProto::ROUTING | IpProto::DESTINATION_OPTIONS, [_, units, ..]) => {
                    usize::from(*units).saturating_add(1).saturating_mul(8)
                }
                // The header is that of a later fragment, or truncated.
                (IpProto::FRAGMENT | IpProto::HOP_BY_HOP | IpProto::ROUTING | IpProto::DESTINATION_OPTIONS, _) => break,
                _ => {
                    upper = Some((next, rest));
                    break;
                }
            };
            let (Some(named), Some(behind)) = (rest.first(), rest.get(length..)) else { break };
            (next, rest) = (IpProto(*named), behind);
        }
        Some(Self { source: source.into(), destination: destination.into(), protocol, upper })
    }
}

/// Report of a router that a packet of an SA exceeded the MTU of its next link (RFC 4301 section 8.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig {
    /// Source address of the reported packet: a local address, if the report is authentic.
    pub source: IpAddr,
    /// Destination address of the reported packet.
    pub destination: IpAddr,
    /// Security protocol: ESP or AH.
    pub protocol: IpProto,
    /// UDP ports of UDP-encapsulated ESP (RFC 3948); `None` for plain ESP and AH.
    pub ports: Option<Ports>,
    /// SPI, if it is quoted: of ESP in UDP, the 8 octets after the IP header are the UDP header only (RFC 792).
    pub spi: Option<Spi>,
    /// Low half of the sequence number, if it is quoted.
    pub sequence: Option<u32>,
    /// MTU of the next link in octets; 0 from routers that do not report it (RFC 1191 section 5).
    pub mtu: u16,
}

impl TooBig {
    /// Parses an ICMP or ICMPv6 packet, including its IP header: "fragmentation needed" or "packet too big" about AH,
    /// ESP or ESP in UDP, also after IPv6 extension headers. Returns `None` for any other packet. The checksum is
    /// verified; the report is not authentic otherwise (RFC 4301 section 8.2.1). Whether UDP carries ESP depends on
    /// the SAs.
    ///
    /// # Errors
    /// [`IpError`] if the IP header is malformed.
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

    fn about(quoted: &Quoted<'_>, mtu: u16) -> Option<Self> {
        let (protocol, upper) = quoted.upper?;
        let (protocol, ports, numbers) = match (protocol, upper) {
            (IpProto::ESP, esp) => (IpProto::ESP, None, esp),
            (IpProto::AH, ah) => (IpProto::AH, None, ah.get(4..)?),
            (IpProto::UDP, [s1, s2, d1, d2, rest @ ..]) => {
                let ports =
                    Ports { source: u16::from_be_bytes([*s1, *s2]), destination: u16::from_be_bytes([*d1, *d2]) };
                let payload = rest.get(4..).unwrap_or_default();
                // ESP follows the eight zeros of the drafts, or the UDP header directly.
                let esp = payload.strip_prefix(&[0; 8]).unwrap_or(payload);
                (IpProto::ESP, Some(ports), esp)
            }
            _ => return None,
        };
        let word = |at: usize| numbers.get(at..)?.first_chunk().copied().map(u32::from_be_bytes);
        let spi = word(0).and_then(|spi| Spi::new(spi).ok());
        if spi.is_none() && ports.is_none() {
            return None;
        }
        let Quoted { source, destination, .. } = *quoted;
        Some(Self { source, destination, protocol, ports, spi, sequence: word(4).filter(|_| spi.is_some()), mtu })
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
    let mtu = u16::from_be_bytes([*high, *low]);
    TooBig::about(&Quoted::read(quoted, false)?, if mtu == 0 { 0 } else { mtu.max(MIN_MTU_V4) })
}

fn read_v6(ip: &Ip<'_>, icmp: &[u8]) -> Option<TooBig> {
    let ([PACKET_TOO_BIG, _, _, _, mtu @ ..], quoted) = icmp.split_first_chunk::<HEADER>()? else { return None };
    let length = u32::try_from(icmp.len()).ok()?;
    if pseudo_header(ip.source(), ip.destination(), IpProto::ICMPV6, length).over(icmp).finish() != 0 {
        return None;
    }
    let mtu = u16::try_from(u32::from_be_bytes(*mtu)).unwrap_or(u16::MAX);
    TooBig::about(&Quoted::read(quoted, true)?, mtu)
}
