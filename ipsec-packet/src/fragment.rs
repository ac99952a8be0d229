//! Division of packets into fragments (RFC 791 section 3.2, RFC 8200 section 4.5).
//!
//! ```text
//! IPv4  first: IP header | options        | payload     later: IP header | copied options | payload
//! IPv6  each:  IP header | hop-by-hop options, routing header | fragment header | payload
//! ```

use core::fmt;

use zerocopy::IntoBytes;

use crate::buf::fill;
use crate::preceding::{END_OF_OPTIONS, NO_OPERATION};
use crate::{ChainLink, Fault, Ip, IpError, IpProto, Ipv4, Ipv4Header, Ipv6, NoSpace, ipv4, ipv6};

/// Unit of the fragment offset in octets (RFC 791 section 3.1, RFC 8200 section 4.5).
const UNIT: usize = 8;
/// Flag of the types of IPv4 options that each fragment has (RFC 791 section 3.1).
const COPIED: u8 = 0x80;
const MAX_LENGTH: usize = 65_535;

/// Fragments of a packet, written one after the other into a buffer of the caller (RFC 791 section 3.2, RFC 8200
/// section 4.5).
///
/// ```
/// use ipsec_packet::{Fragments, Ipv4Header, IpProto, PacketBuf, Outer};
///
/// let mut frame = [0; 1520];
/// let mut packet = PacketBuf::with_headroom(&mut frame, 20, 1500)?;
/// let header = Ipv4Header::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), IpProto::UDP, 64);
/// Outer::V4(header).push(&mut packet, IpProto::UDP, 0x1c46)?;
///
/// let mut fragments = Fragments::new(packet.data(), 1500, 0)?;
/// let (mut out, mut lengths) = ([0; 1500], [0; 2]);
/// for length in &mut lengths {
///     *length = fragments.write_next(&mut out)?.map_or(0, |fragment| fragment.len());
/// }
/// assert_eq!((lengths, fragments.write_next(&mut out)?), ([1500, 40], None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fragments<'a> {
    headers: Headers<'a>,
    /// Octets that no fragment has yet; `None` after the last fragment.
    rest: Option<&'a [u8]>,
    mtu: usize,
}

/// Headers of the next fragment.
#[derive(Clone, Debug)]
enum Headers<'a> {
    /// The packet fits and is written with its own headers.
    Whole,
    V4 {
        header: Ipv4Header,
        options: &'a [u8],
        is_first: bool,
        copied: Options,
        /// Offset of the next fragment in octets.
        offset: usize,
        /// Set if the packet is a fragment itself, and not the last.
        more: bool,
    },
    V6 {
        /// Headers in front of the fragment header.
        headers: &'a [u8],
        next_header_at: usize,
        next: IpProto,
        identification: u32,
        offset: usize,
    },
}

/// Options of an IPv4 header, padded to words of 4 octets.
#[derive(Clone, Debug)]
struct Options {
    octets: [u8; ipv4::MAX_OPTIONS],
    len: usize,
}

impl<'a> Fragments<'a> {
    /// Divides the packet at the front of `packet` into fragments of at most `mtu` octets. A packet that fits is the
    /// only fragment and is unchanged.
    ///
    /// IPv4: the fragments have the identification of the packet, which may be a fragment itself; options without the
    /// copied flag are in the first one only. IPv6: `identification` is that of the fragments, which differs from
    /// those of other packets between the same addresses (RFC 7739); hop-by-hop options and routing headers, and
    /// destination options in front of a routing header, are in every fragment, and all other extension headers in the
    /// first one.
    ///
    /// # Errors
    /// [`FragmentError`] with the reason why the packet cannot be fragmented.
    pub fn new(packet: &'a [u8], mtu: u16, identification: u32) -> Result<Self, FragmentError> {
        let ip = Ip::parse(packet)?;
        if ip.packet().len() <= mtu.into() {
            return Ok(Self { headers: Headers::Whole, rest: Some(ip.packet()), mtu: mtu.into() });
        }
        match ip {
            Ip::V4(ip) => Self::of_ipv4(&ip, mtu),
            Ip::V6(ip) => Self::of_ipv6(&ip, mtu, identification),
        }
    }

    fn of_ipv4(ip: &Ipv4<'a>, mtu: u16) -> Result<Self, FragmentError> {
        let header = *ip.header();
        if header.dont_fragment() {
            return Err(FragmentError::DontFragment { length: ip.packet().len(), mtu });
        }
        check_mtu(mtu, header.header_len().saturating_add(UNIT))?;
        let offset = header.fragment_offset();
        let end = offset.saturating_add(ip.payload().len());
        if end > MAX_LENGTH {
            return Err(FragmentError::TooLong(end));
        }
        let (more, copied) = (header.more_fragments(), Options::copied(ip.options())?);
        let headers = Headers::V4 { header, options: ip.options(), is_first: true, copied, offset, more };
        Ok(Self { headers, rest: Some(ip.payload()), mtu: mtu.into() })
    }

    fn of_ipv6(ip: &Ipv6<'a>, mtu: u16, identification: u32) -> Result<Self, FragmentError> {
        let (place, upper_layer) = per_fragment_headers(ip)?;
        // The first fragment has all headers up to that of the upper layer (RFC 8200 section 4.5, RFC 7112).
        check_mtu(mtu, upper_layer.saturating_add(ipv6::FRAGMENT_HEADER).saturating_add(UNIT))?;
        let (headers, rest) = ip.packet().split_at_checked(place.offset).unwrap_or_default();
        let ChainLink { kind: next, next_header_at, .. } = place;
        let headers = Headers::V6 { headers, next_header_at, next, identification, offset: 0 };
        Ok(Self { headers, rest: Some(rest), mtu: mtu.into() })
    }

    /// Writes the next fragment to the front of `out`, for which `mtu` octets are sufficient. Returns the part of `out`
    /// that holds the fragment; `None` after the last one.
    ///
    /// # Errors
    /// [`NoSpace::Back`] if `out` is too small; the next call writes the same fragment.
    pub fn write_next<'o>(&mut self, out: &'o mut [u8]) -> Result<Option<&'o mut [u8]>, NoSpace> {
        let Some(rest) = self.rest else { return Ok(None) };
        let header_len = self.headers.len();
        let most = self.mtu.saturating_sub(header_len);
        // All fragments except the last have a multiple of 8 octets.
        let (payload, behind) = match rest.split_at_checked(most & !(UNIT.wrapping_sub(1))) {
            Some((payload, behind)) if rest.len() > most => (payload, Some(behind)),
            _ => (rest, None),
        };
        let (needed, available) = (header_len.saturating_add(payload.len()), out.len());
        let out = out.get_mut(..needed).ok_or(NoSpace::Back { needed, available })?;
        if let Some((headers, to)) = out.split_at_mut_checked(header_len) {
            fill(to, payload);
            self.headers.write(headers, payload.len(), behind.is_some());
        }
        self.rest = behind;
        Ok(Some(out))
    }
}

/// Returns the position after the headers that every fragment has, which is that of the fragment header: after the
/// last routing header, otherwise after the hop-by-hop options (RFC 8200 section 4.5). The second value is the offset
/// after the extension headers, or after AH.
fn per_fragment_headers(ip: &Ipv6<'_>) -> Result<(ChainLink, usize), FragmentError> {
    let mut chain = ip.chain();
    let mut place = chain.link();
    while let Some(extension) = chain.next_extension()? {
        match extension.link.kind {
            IpProto::FRAGMENT => return Err(FragmentError::FragmentHeader),
            IpProto::HOP_BY_HOP | IpProto::ROUTING => place = chain.link(),
            IpProto::AH => break,
            _ => {}
        }
    }
    Ok((place, chain.link().offset))
}

fn check_mtu(mtu: u16, needed: usize) -> Result<(), FragmentError> {
    if usize::from(mtu) < needed { Err(FragmentError::MtuTooSmall { needed, mtu }) } else { Ok(()) }
}

impl Headers<'_> {
    /// Returns the length of the headers of the next fragment in octets.
    fn len(&self) -> usize {
        match self {
            Self::Whole => 0,
            Self::V4 { header, .. } => header.header_len(),
            Self::V6 { headers, .. } => headers.len().saturating_add(ipv6::FRAGMENT_HEADER),
        }
    }

    /// Writes the headers of the next fragment, which has `payload` octets after them, and advances to those of the
    /// one after it. `is_followed` is set if there is one.
    fn write(&mut self, out: &mut [u8], payload: usize, is_followed: bool) {
        let total = out.len().saturating_add(payload);
        match self {
            Self::Whole => {}
            Self::V4 { header, options, is_first, copied, offset, more } => {
                let options = if *is_first { *options } else { copied.octets() };
                header.set_total_length(u16::try_from(total).unwrap_or(u16::MAX));
                header.set_fragment(*offset, is_followed || *more);
                header.set_checksum_with(options);
                let (to, to_options) = out.split_at_mut_checked(ipv4::HEADER).unwrap_or_default();
                fill(to, header.as_bytes());
                fill(to_options, options);
                header.set_options_len(copied.len);
                (*is_first, *offset) = (false, offset.saturating_add(payload));
            }
            Self::V6 { headers, next_header_at, next, identification, offset } => {
                let Some((to, fragment_header)) = out.split_at_mut_checked(headers.len()) else { return };
                fill(to, headers);
                if let Some(named) = to.get_mut(*next_header_at) {
                    *named = IpProto::FRAGMENT.0;
                }
                if let Ok(header) = ipv6::header_mut(to) {
                    let length = total.saturating_sub(ipv6::HEADER);
                    header.set_payload_length(u16::try_from(length).unwrap_or(u16::MAX));
                }
                let [high, low] = u16::try_from(*offset).unwrap_or(u16::MAX).to_be_bytes();
                let [a, b, c, d] = identification.to_be_bytes();
                fill(fragment_header, &[next.0, 0, high, low | u8::from(is_followed), a, b, c, d]);
                *offset = offset.saturating_add(payload);
            }
        }
    }
}

impl Options {
    /// Returns the options that every fragment has (RFC 791 section 3.1).
    ///
    /// # Errors
    /// [`IpError::Option`] for a malformed option.
    fn copied(options: &[u8]) -> Result<Self, IpError> {
        let (mut rest, mut offset) = (options, ipv4::HEADER);
        let mut copied = Self { octets: [END_OF_OPTIONS; ipv4::MAX_OPTIONS], len: 0 };
        loop {
            let malformed = IpError::Option { offset };
            let len = match *rest {
                [] | [END_OF_OPTIONS, ..] => break,
                [NO_OPERATION, ..] => 1,
                [_, len, ..] if len >= 2 => len.into(),
                _ => return Err(malformed),
            };
            let (option, behind) = rest.split_at_checked(len).ok_or(malformed)?;
            if option.first().is_some_and(|kind| kind & COPIED != 0) {
                fill(copied.octets.get_mut(copied.len..).unwrap_or_default(), option);
                copied.len = copied.len.saturating_add(len);
            }
            (rest, offset) = (behind, offset.saturating_add(len));
        }
        copied.len = copied.len.saturating_add(3) & !3;
        Ok(copied)
    }

    fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// Reason why a packet cannot be fragmented (RFC 791 section 3.2, RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FragmentError {
    /// The IP header, an IPv4 option or an IPv6 extension header is malformed.
    Malformed(IpError),
    /// The DF bit of the IPv4 packet is set.
    DontFragment {
        /// Length of the packet in octets.
        length: usize,
        /// Largest length of a fragment in octets.
        mtu: u16,
    },
    /// The IPv6 packet has a fragment header: only its source fragments it.
    FragmentHeader,
    /// The MTU has no space for the headers of the first fragment and 8 octets of payload.
    MtuTooSmall {
        /// Number of octets that are needed.
        needed: usize,
        /// Largest length of a fragment in octets.
        mtu: u16,
    },
    /// The packet is a fragment that ends after 65,535 octets of payload.
    TooLong(usize),
}

impl From<IpError> for FragmentError {
    fn from(e: IpError) -> Self {
        Self::Malformed(e)
    }
}

impl FragmentError {
    /// Returns whether the peer, the caller or the library has caused the error.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Malformed(e) => e.fault(),
            Self::MtuTooSmall { .. } => Fault::Caller,
            Self::DontFragment { .. } | Self::FragmentHeader | Self::TooLong(_) => Fault::Peer,
        }
    }
}

impl fmt::Display for FragmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(e) => e.fmt(f),
            Self::DontFragment { length, mtu } => {
                write!(f, "DF bit is set: packet has {length} octets, at most {mtu} allowed")
            }
            Self::FragmentHeader => f.write_str("IPv6 packet has a fragment header"),
            Self::MtuTooSmall { needed, mtu } => write!(f, "MTU too small: got {mtu}, expected {needed} or more"),
            Self::TooLong(end) => write!(f, "fragment too long: ends at octet {end}, at most 65535 allowed"),
        }
    }
}

impl core::error::Error for FragmentError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(e) => Some(e),
            _ => None,
        }
    }
}
