use core::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Checksum, IpError, IpProto, TooShort, adjust_checksum};

/// IPv4 header without options (RFC 791 section 3.1).
///
/// ```text
///  0                   1                   2                   3
/// |Version|  IHL  |Type of Service|          Total Length         |
/// |         Identification        |Flags|      Fragment Offset    |
/// |  Time to Live |    Protocol   |         Header Checksum       |
/// |                         Source Address                        |
/// |                      Destination Address                      |
/// ```
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv4Header {
    version_ihl: u8,
    tos: u8,
    total_length: U16,
    identification: U16,
    flags_fragment: U16,
    ttl: u8,
    protocol: u8,
    checksum: U16,
    source: [u8; 4],
    destination: [u8; 4],
}

pub(crate) const HEADER: usize = 20;
pub(crate) const MAX_OPTIONS: usize = 40;
pub(crate) const PROTOCOL_OFFSET: usize = 9;
const DF: u16 = 0x4000;
const MF: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

impl Ipv4Header {
    /// Creates a header without options; TOS, identification, flags and lengths are 0 (RFC 791 section 3.1).
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: IpProto, ttl: u8) -> Self {
        Self {
            version_ihl: 0x45,
            tos: 0,
            total_length: U16::ZERO,
            identification: U16::ZERO,
            flags_fragment: U16::ZERO,
            ttl,
            protocol: protocol.0,
            checksum: U16::ZERO,
            source: source.octets(),
            destination: destination.octets(),
        }
    }

    /// Returns the length of the header with its options in octets, from the IHL field (RFC 791 section 3.1).
    pub fn header_len(&self) -> usize {
        usize::from(self.version_ihl & 0x0f).saturating_mul(4)
    }

    /// Sets the header length for `octets` of options, a multiple of 4 up to 40.
    pub(crate) fn set_options_len(&mut self, octets: usize) {
        let words = u8::try_from(octets >> 2).unwrap_or(0).min(10);
        self.version_ihl = 0x45_u8.saturating_add(words);
    }

    /// Returns the length of the packet in octets (RFC 791 section 3.1).
    pub fn total_length(&self) -> usize {
        self.total_length.get().into()
    }

    /// Sets the length of the packet in octets (RFC 791 section 3.1).
    pub fn set_total_length(&mut self, octets: u16) {
        self.total_length.set(octets);
    }

    /// Returns DSCP and ECN (RFC 2474 section 3, RFC 3168 section 5).
    pub fn tos(&self) -> u8 {
        self.tos
    }

    /// Sets DSCP and ECN (RFC 2474 section 3, RFC 3168 section 5).
    pub fn set_tos(&mut self, tos: u8) {
        self.tos = tos;
    }

    /// Returns the identification, which fragments of a packet share (RFC 791 section 3.1).
    pub fn identification(&self) -> u16 {
        self.identification.get()
    }

    /// Sets the identification (RFC 791 section 3.1).
    pub fn set_identification(&mut self, id: u16) {
        self.identification.set(id);
    }

    /// Returns the DF bit, which forbids fragmentation (RFC 791 section 3.1).
    pub fn dont_fragment(&self) -> bool {
        self.flags_fragment.get() & DF != 0
    }

    /// Sets or clears the DF bit (RFC 791 section 3.1).
    pub fn set_dont_fragment(&mut self, df: bool) {
        let rest = self.flags_fragment.get() & !DF;
        self.flags_fragment.set(if df { rest | DF } else { rest });
    }

    /// Returns whether the packet is a fragment: more fragments follow, or the offset is not 0 (RFC 791 section 3.1).
    pub fn is_fragment(&self) -> bool {
        self.flags_fragment.get() & (MF | FRAGMENT_OFFSET) != 0
    }

    /// Returns whether the payload begins with its first octet: the packet is whole or the first fragment (RFC 791
    /// section 3.1).
    pub fn is_first_or_whole(&self) -> bool {
        self.flags_fragment.get() & FRAGMENT_OFFSET == 0
    }

    /// Returns whether more fragments follow: the MF bit (RFC 791 section 3.1).
    pub(crate) fn more_fragments(&self) -> bool {
        self.flags_fragment.get() & MF != 0
    }

    /// Returns the offset of the payload in that of the original packet, in octets (RFC 791 section 3.1).
    pub(crate) fn fragment_offset(&self) -> usize {
        usize::from(self.flags_fragment.get() & FRAGMENT_OFFSET).saturating_mul(8)
    }

    /// Sets offset and MF bit; `octets` is a multiple of 8 below 65,536.
    pub(crate) fn set_fragment(&mut self, octets: usize, more_fragments: bool) {
        let offset = u16::try_from(octets >> 3).unwrap_or(FRAGMENT_OFFSET) & FRAGMENT_OFFSET;
        let more = if more_fragments { MF } else { 0 };
        self.flags_fragment.set(self.flags_fragment.get() & !(MF | FRAGMENT_OFFSET) | more | offset);
    }

    /// Returns the time to live (RFC 791 section 3.1).
    pub fn ttl(&self) -> u8 {
        self.ttl
    }

    /// Sets the time to live (RFC 791 section 3.1).
    pub fn set_ttl(&mut self, ttl: u8) {
        self.ttl = ttl;
    }

    /// Returns the protocol number of the payload (RFC 791 section 3.1).
    pub fn protocol(&self) -> IpProto {
        IpProto(self.protocol)
    }

    /// Sets the protocol number of the payload (RFC 791 section 3.1).
    pub fn set_protocol(&mut self, protocol: IpProto) {
        self.protocol = protocol.0;
    }

    /// Computes the checksum of a header without options (RFC 791 section 3.1).
    pub fn set_checksum(&mut self) {
        self.checksum = U16::ZERO;
        self.checksum.set(Checksum::new().over(self.as_bytes()).finish());
    }

    /// Computes the checksum of a header with these options.
    pub(crate) fn set_checksum_with(&mut self, options: &[u8]) {
        self.checksum = U16::ZERO;
        self.checksum.set(Checksum::new().over(self.as_bytes()).over(options).finish());
    }

    /// Returns the source address (RFC 791 section 3.1).
    pub fn source(&self) -> Ipv4Addr {
        self.source.into()
    }

    /// Returns the destination address (RFC 791 section 3.1).
    pub fn destination(&self) -> Ipv4Addr {
        self.destination.into()
    }
}

/// IPv4 packet whose header was validated (RFC 791 section 3.1).
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a> {
    packet: &'a [u8],
    header: &'a Ipv4Header,
}

impl<'a> Ipv4<'a> {
    /// Validates version, header length and total length (RFC 791 section 3.1). The header checksum is verified by
    /// [`Ipv4::has_valid_checksum`].
    ///
    /// # Errors
    /// [`IpError`] with the invalid field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, IpError> {
        let available = bytes.len();
        let too_short = |needed| IpError::TooShort(TooShort { needed, available });
        let (header, _) = Ipv4Header::ref_from_prefix(bytes).map_err(|_| too_short(HEADER))?;
        if header.version_ihl >> 4 != 4 {
            return Err(IpError::Version(header.version_ihl >> 4));
        }
        if header.header_len() < HEADER {
            return Err(IpError::HeaderLength(header.version_ihl & 0x0f));
        }
        if header.header_len() > available {
            return Err(too_short(header.header_len()));
        }
        let claimed = header.total_length();
        match bytes.get(..claimed) {
            Some(packet) if claimed >= header.header_len() => Ok(Self { packet, header }),
            _ => Err(IpError::Length { claimed, available }),
        }
    }

    /// Returns the fixed part of the header (RFC 791 section 3.1).
    pub fn header(&self) -> &'a Ipv4Header {
        self.header
    }

    /// Returns the packet, as long as its length field specifies.
    pub fn packet(&self) -> &'a [u8] {
        self.packet
    }

    /// Returns the options, 0 to 40 octets (RFC 791 section 3.1).
    pub fn options(&self) -> &'a [u8] {
        self.packet.get(HEADER..self.header.header_len()).unwrap_or_default()
    }

    /// Returns the payload after the header.
    pub fn payload(&self) -> &'a [u8] {
        self.packet.get(self.header.header_len()..).unwrap_or_default()
    }

    /// Returns whether the header checksum is correct (RFC 791 section 3.1).
    pub fn has_valid_checksum(&self) -> bool {
        Checksum::new().over(self.packet.get(..self.header.header_len()).unwrap_or_default()).is_valid()
    }
}

/// Changes the header and updates its checksum (RFC 1624): a wrong checksum stays wrong.
pub(crate) fn update_header(packet: &mut [u8], change: impl FnOnce(&mut Ipv4Header)) {
    if let Ok((header, _)) = Ipv4Header::mut_from_prefix(packet) {
        let old = *header;
        change(header);
        header.checksum.set(adjust_checksum(old.checksum.get(), old.as_bytes(), header.as_bytes()));
    }
}

/// Changes the options of a header of `header_len` octets and updates its checksum (RFC 1624): a wrong checksum stays
/// wrong.
pub(crate) fn update_options(packet: &mut [u8], header_len: usize, change: impl FnOnce(&mut [u8])) {
    let mut old = [0; MAX_OPTIONS];
    let Some(options) = packet.get_mut(HEADER..header_len) else { return };
    let Some(old) = old.get_mut(..options.len()) else { return };
    old.copy_from_slice(options);
    change(options);
    let mut new = [0; MAX_OPTIONS];
    let Some(new) = new.get_mut(..options.len()) else { return };
    new.copy_from_slice(options);
    if let Ok((header, _)) = Ipv4Header::mut_from_prefix(packet) {
        header.checksum.set(adjust_checksum(header.checksum.get(), old, new));
    }
}

/// Changes the header and recomputes its checksum. A malformed header is unchanged.
pub(crate) fn rewrite_header(packet: &mut [u8], change: impl FnOnce(&mut Ipv4Header)) -> Result<(), IpError> {
    let available = packet.len();
    let too_short = |needed| IpError::TooShort(TooShort { needed, available });
    let (header, _) = Ipv4Header::ref_from_prefix(packet).map_err(|_| too_short(HEADER))?;
    let len = header.header_len();
    if len < HEADER {
        return Err(IpError::HeaderLength(header.version_ihl & 0x0f));
    }
    let whole = packet.get_mut(..len).ok_or(too_short(len))?;
    if let Ok((header, _)) = Ipv4Header::mut_from_prefix(whole) {
        change(header);
        header.checksum = U16::ZERO;
    }
    let checksum = Checksum::new().over(whole).finish();
    if let Ok((header, _)) = Ipv4Header::mut_from_prefix(whole) {
        header.checksum.set(checksum);
    }
    Ok(())
}
