use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{DecodeErrorKind, NoSpace};
use crate::number::{IdKind, PayloadKind};
use crate::writer::BodyWriter;

/// NAT-OA payload: original address of a peer, on the inner side of its NAT (RFC 3947 section 5.2).
///
/// ```text
/// | generic header (4) | ID type (1) | reserved (3) | address |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginalAddress<'a> {
    /// Address type, `ID_IPV4_ADDR` or `ID_IPV6_ADDR`.
    pub kind: IdKind,
    /// Reserved field; zero in a valid message.
    pub reserved: [u8; 3],
    /// Address in network byte order, 4 or 16 octets.
    pub data: &'a [u8],
}

impl<'a> OriginalAddress<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let (&[kind, r0, r1, r2], data) = body.split_first_chunk::<4>()?;
        Some(Self { kind: IdKind(kind), reserved: [r0, r1, r2], data })
    }

    pub(crate) fn check(&self, payload: PayloadKind) -> Result<(), DecodeErrorKind> {
        match (self.kind, self.data.len()) {
            (IdKind::IPV4, 4) | (IdKind::IPV6, 16) => Ok(()),
            (IdKind::IPV4 | IdKind::IPV6, _) => Err(DecodeErrorKind::AddressLength(payload)),
            _ => Ok(()),
        }
    }

    /// Returns the address, `None` for an unknown address type (RFC 3947 section 5.2).
    pub fn address(&self) -> Option<IpAddr> {
        match self.kind {
            IdKind::IPV4 => self.data.first_chunk::<4>().map(|&b| Ipv4Addr::from(b).into()),
            IdKind::IPV6 => self.data.first_chunk::<16>().map(|&b| Ipv6Addr::from(b).into()),
            _ => None,
        }
    }

    /// Writes the body of the NAT-OA payload of an address (RFC 3947 section 5.2).
    ///
    /// # Errors
    /// [`NoSpace`].
    pub fn write_address(address: IpAddr, body: &mut BodyWriter<'_>) -> Result<(), NoSpace> {
        match address {
            IpAddr::V4(v4) => OriginalAddress { kind: IdKind::IPV4, reserved: [0; 3], data: &v4.octets() }.write(body),
            IpAddr::V6(v6) => OriginalAddress { kind: IdKind::IPV6, reserved: [0; 3], data: &v6.octets() }.write(body),
        }
    }

    /// Writes the body of the NAT-OA payload (RFC 3947 section 5.2).
    ///
    /// # Errors
    /// [`NoSpace`].
    pub fn write(&self, body: &mut BodyWriter<'_>) -> Result<(), NoSpace> {
        body.put(&[self.kind.0])?;
        body.put(&self.reserved)?;
        body.put(self.data)
    }
}
