use core::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Checksum, IpError, IpProto, TooShort, adjust_checksum};

/// The IPv4 header without options (RFC 791 3.1).
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
const MAX_OPTIONS: usize = 40;
pub(crate) const PROTOCOL_OFFSET: usize = 9;
const DF: u16 = 0x4000;
const MF: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

impl Ipv4Header {
    /// A header without options: TOS, identification, flags and lengths 0, to be filled in (RFC 791 3.1).
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

    /// Octets of the header with its options, as the IHL field says (RFC 791 3.1).
    pub fn header_len(&self) -> usize {
        usize::from(self.version_ihl & 0x0f).saturating_mul(4)
    }

    /// Sets the header length for `octets` of options, a multiple of 4 up to 40.
    pub(crate) fn set_options_len(&mut self, octets: usize) {
        let words = u8::try_from(octets >> 2).unwrap_or(0).min(10);
        self.version_ihl = 0x45_u8.saturating_add(words);
    }

    /// Octets of the whole packet (RFC 791 3.1).
    pub fn total_length(&self) -> usize {
        self.total_length.get().into()
    }

    /// Sets the octets of the whole packet (RFC 791 3.1).
    pub fn set_total_length(&mut self, octets: u16) {
        self.total_length.set(octets);
    }

    /// DSCP and ECN (RFC 2474 3, RFC 3168 5).
    pub fn tos(&self) -> u8 {
        self.tos
    }

    /// Sets DSCP and ECN (RFC 2474 3, RFC 3168 5).
    pub fn set_tos(&mut self, tos: u8) {
        self.tos = tos;
    }

    /// The identification that fragments of one packet share (RFC 791 3.1).
    pub fn identification(&self) -> u16 {
        self.identification.get()
    }

    /// Sets the identification (RFC 791 3.1).
    pub fn set_identification(&mut self, id: u16) {
        self.identification.set(id);
    }

    /// Whether routers may not fragment it (RFC 791 3.1).
    pub fn dont_fragment(&self) -> bool {
        self.flags_fragment.get() & DF != 0
    }

    /// Forbids or allows fragmentation by routers (RFC 791 3.1).
    pub fn set_dont_fragment(&mut self, df: bool) {
        let rest = self.flags_fragment.get() & !DF;
        self.flags_fragment.set(if df { rest | DF } else { rest });
    }

    /// Whether this is a piece of a packet: more fragments follow, or its offset is not 0 (RFC 791 3.1).
    pub fn is_fragment(&self) -> bool {
        self.flags_fragment.get() & (MF | FRAGMENT_OFFSET) != 0
    }

    /// Whether the octets behind the header are the first of the payload: the packet is whole or its first fragment (RFC 791 3.1).
    pub fn is_first_or_whole(&self) -> bool {
        self.flags_fragment.get() & FRAGMENT_OFFSET == 0
    }

    /// Time to live (RFC 791 3.1).
    pub fn ttl(&self) -> u8 {
        self.ttl
    }

    /// Sets the time to live (RFC 791 3.1).
    pub fn set_ttl(&mut self, ttl: u8) {
        self.ttl = ttl;
    }

    /// What follows the header (RFC 791 3.1).
    pub fn protocol(&self) -> IpProto {
        IpProto(self.protocol)
    }

    /// Sets what follows the header (RFC 791 3.1).
    pub fn set_protocol(&mut self, protocol: IpProto) {
        self.protocol = protocol.0;
    }

    /// Computes the checksum of a header that has no options (RFC 791 3.1).
    pub fn set_checksum(&mut self) {
        self.checksum = U16::ZERO;
        self.checksum.set(Checksum::new().over(self.as_bytes()).finish());
    }

    /// Source address (RFC 791 3.1).
    pub fn source(&self) -> Ipv4Addr {
        self.source.into()
    }

    /// Destination address (RFC 791 3.1).
    pub fn destination(&self) -> Ipv4Addr {
        self.destination.into()
    }
}

/// An IPv4 packet whose header was checked (RFC 791 3.1).
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a> {
    packet: &'a [u8],
    header: &'a Ipv4Header,
}

impl<'a> Ipv4<'a> {
    /// Checks version, header length and total length (RFC 791 3.1). The header checksum is [`Ipv4::has_valid_checksum`]'s matter.
    ///
    /// # Errors
    /// [`IpError`] naming the field.
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

    /// The fixed part of the header (RFC 791 3.1).
    pub fn header(&self) -> &'a Ipv4Header {
        self.header
    }

    /// The whole packet, as long as its header says.
    pub fn packet(&self) -> &'a [u8] {
        self.packet
    }

    /// The options, 0 to 40 octets (RFC 791 3.1).
    pub fn options(&self) -> &'a [u8] {
        self.packet.get(HEADER..self.header.header_len()).unwrap_or_default()
    }

    /// What follows the header.
    pub fn payload(&self) -> &'a [u8] {
        self.packet.get(self.header.header_len()..).unwrap_or_default()
    }

    /// Whether the header checksum is right (RFC 791 3.1).
    pub fn has_valid_checksum(&self) -> bool {
        Checksum::new().over(self.packet.get(..self.header.header_len()).unwrap_or_default()).holds()
    }
}

/// Changes the header in front of `packet` and adjusts its checksum (RFC 1624): a wrong one stays wrong.
pub(crate) fn amend(packet: &mut [u8], change: impl FnOnce(&mut Ipv4Header)) {
    if let Ok((header, _)) = Ipv4Header::mut_from_prefix(packet) {
        let old = *header;
        change(header);
        header.checksum.set(adjust_checksum(old.checksum.get(), old.as_bytes(), header.as_bytes()));
    }
}

/// Changes the options of a header of `header_len` octets and adjusts its checksum (RFC 1624): a wrong one stays wrong.
pub(crate) fn amend_options(packet: &mut [u8], header_len: usize, change: impl FnOnce(&mut [u8])) {
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

/// Changes the header in front of `packet` and computes its checksum anew. A malformed header is left as it is.
pub(crate) fn edit(packet: &mut [u8], change: impl FnOnce(&mut Ipv4Header)) -> Result<(), IpError> {
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
