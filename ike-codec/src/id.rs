use core::net::{Ipv4Addr, Ipv6Addr};

use crate::error::{DecodeErrorKind, NoSpace};
use crate::number::{IdKind, PayloadKind};
use crate::writer::BodyWriter;

/// An identification payload: a peer in phase 1, one end of the traffic in phase 2 (RFC 2407 4.6.2).
///
/// ```text
/// | generic header (4) | type (1) | protocol (1) | port (2) | data |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identification<'a> {
    /// What the data is.
    pub kind: IdKind,
    /// The upper protocol the traffic is limited to, 0 for any.
    pub protocol: u8,
    /// Its port, 0 for any.
    pub port: u16,
    /// The data; for addresses of exactly the length of the type.
    pub data: &'a [u8],
}

/// The addresses of an [`Identification`] (RFC 2407 4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdAddress {
    /// One IPv4 address.
    V4(Ipv4Addr),
    /// An IPv4 address and mask.
    V4Subnet(Ipv4Addr, Ipv4Addr),
    /// The first and last of a range of IPv4 addresses.
    V4Range(Ipv4Addr, Ipv4Addr),
    /// One IPv6 address.
    V6(Ipv6Addr),
    /// An IPv6 address and mask.
    V6Subnet(Ipv6Addr, Ipv6Addr),
    /// The first and last of a range of IPv6 addresses.
    V6Range(Ipv6Addr, Ipv6Addr),
}

impl<'a> Identification<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let (&[kind, protocol, p0, p1], data) = body.split_first_chunk::<4>()?;
        Some(Self { kind: IdKind(kind), protocol, port: u16::from_be_bytes([p0, p1]), data })
    }

    /// Types that are addresses have one length each (RFC 2407 4.6.2.2 to 4.6.2.9).
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

    /// The addresses, for the types that have any (RFC 2407 4.6.2).
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

    /// The data as text, for names (`ID_FQDN`, `ID_USER_FQDN`) in UTF-8 (RFC 2407 4.6.2.3, 4.6.2.4).
    pub fn name(&self) -> Option<&'a str> {
        match self.kind {
            IdKind::FQDN | IdKind::USER_FQDN => core::str::from_utf8(self.data).ok(),
            _ => None,
        }
    }

    /// Writes the body: what `ID_b` is in the hashes of RFC 2409 5.
    ///
    /// # Errors
    /// [`NoSpace`].
    //= RFC 2408 5.8/2
    pub fn write(&self, body: &mut BodyWriter<'_>) -> Result<(), NoSpace> {
        body.put(&[self.kind.0, self.protocol])?;
        body.put(&self.port.to_be_bytes())?;
        body.put(self.data)
    }
}
