use core::net::{Ipv4Addr, Ipv6Addr};

use crate::error::{DecodeErrorKind, NoSpace};
use crate::number::{IdKind, PayloadKind};
use crate::writer::BodyWriter;

/// Identification payload: identity of a peer in phase 1, traffic selector of one side in phase 2 (RFC 2407 section
/// 4.6.2).
///
/// ```text
/// | generic header (4) | type (1) | protocol (1) | port (2) | data |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identification<'a> {
    /// Identification type, which defines the format of the data.
    pub kind: IdKind,
    /// Upper-layer protocol of the selector, 0 for any.
    pub protocol: u8,
    /// Port of the selector, 0 for any.
    pub port: u16,
    /// Identification data; the length of addresses has been verified against the type.
    pub data: &'a [u8],
}

/// Addresses of an [`Identification`] (RFC 2407 section 4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdAddress {
    /// Single IPv4 address, `ID_IPV4_ADDR`.
    V4(Ipv4Addr),
    /// IPv4 address and mask, `ID_IPV4_ADDR_SUBNET`.
    V4Subnet(Ipv4Addr, Ipv4Addr),
    /// First and last address of an IPv4 range, `ID_IPV4_ADDR_RANGE`.
    V4Range(Ipv4Addr, Ipv4Addr),
    /// Single IPv6 address, `ID_IPV6_ADDR`.
    V6(Ipv6Addr),
    /// IPv6 address and mask, `ID_IPV6_ADDR_SUBNET`.
    V6Subnet(Ipv6Addr, Ipv6Addr),
    /// First and last address of an IPv6 range, `ID_IPV6_ADDR_RANGE`.
    V6Range(Ipv6Addr, Ipv6Addr),
}

impl<'a> Identification<'a> {
    /// Decodes the body of an identification payload. Returns `None` if it is too short or an address has a wrong
    /// length.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        Self::read(body).filter(|id| id.check(PayloadKind::ID).is_ok())
    }

    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let (&[kind, protocol, p0, p1], data) = body.split_first_chunk::<4>()?;
        Some(Self { kind: IdKind(kind), protocol, port: u16::from_be_bytes([p0, p1]), data })
    }

    /// Verifies the length of the data of address types (RFC 2407 sections 4.6.2.2 to 4.6.2.9).
    pub(crate) fn check(&self, payload: PayloadKind) -> Result<(), DecodeErrorKind> {
        let expected = match self.kind {
            IdKind::IPV4 => 4,
            IdKind::IPV4_SUBNET | IdKind::IPV4_RANGE => 8,
            IdKind::IPV6 => 16,
            IdKind::IPV6_SUBNET | IdKind::IPV6_RANGE => 32,
            _ => return Ok(()),
        };
        if self.data.len() == expected { Ok(()) } else { Err(DecodeErrorKind::AddressLength(payload)) }
    }

    /// Returns the addresses, `None` for types that are not addresses (RFC 2407 section 4.6.2).
    pub fn address(&self) -> Option<IdAddress> {
        let v4 = || self.data.first_chunk::<4>().copied().map(Ipv4Addr::from);
        let v4_last = || self.data.last_chunk::<4>().copied().map(Ipv4Addr::from);
        let v6 = || self.data.first_chunk::<16>().copied().map(Ipv6Addr::from);
        let v6_last = || self.data.last_chunk::<16>().copied().map(Ipv6Addr::from);
        match self.kind {
            IdKind::IPV4 => v4().map(IdAddress::V4),
            IdKind::IPV4_SUBNET => Some(IdAddress::V4Subnet(v4()?, v4_last()?)),
            IdKind::IPV4_RANGE => Some(IdAddress::V4Range(v4()?, v4_last()?)),
            IdKind::IPV6 => v6().map(IdAddress::V6),
            IdKind::IPV6_SUBNET => Some(IdAddress::V6Subnet(v6()?, v6_last()?)),
            IdKind::IPV6_RANGE => Some(IdAddress::V6Range(v6()?, v6_last()?)),
            _ => None,
        }
    }

    /// Returns the name in `ID_FQDN` and `ID_USER_FQDN`, `None` for other types and invalid UTF-8 (RFC 2407 sections
    /// 4.6.2.3 and 4.6.2.4).
    pub fn name(&self) -> Option<&'a str> {
        match self.kind {
            IdKind::FQDN | IdKind::USER_FQDN => core::str::from_utf8(self.data).ok(),
            _ => None,
        }
    }

    /// Writes the body of the payload, which is `ID_b` in the hashes of RFC 2409 section 5.
    ///
    /// # Errors
    /// [`NoSpace`].
    //= RFC 2408 5.8/2
    //# MUST: sending: an identification payload is constructed
    pub fn write(&self, body: &mut BodyWriter<'_>) -> Result<(), NoSpace> {
        body.put(&[self.kind.0, self.protocol])?;
        body.put(&self.port.to_be_bytes())?;
        body.put(self.data)
    }
}
