//! IPComp associations: a compressor or decompressor, its CPI, and whether trying is worthwhile.

use ipcomp_core::{Backoff, Compression, Deflate, Inflate, THRESHOLD, compress, decompress};
use ipsec_packet::{Cpi, DestinationOptions, IpError, IpProto, PacketBuf, Placement, locate, placement, set_length};

use super::Refused;

/// The sending half of an IPComp association.
pub struct IpcompOut {
    cpi: Cpi,
    deflate: Box<Deflate>,
    backoff: Backoff,
    /// Octets saved.
    pub saved: usize,
}

impl IpcompOut {
    /// A new association.
    pub fn new(cpi: Cpi, deflate: Deflate) -> Self {
        Self { cpi, deflate: Box::new(deflate), backoff: Backoff::new(), saved: 0 }
    }

    /// Compresses a payload, if it gets smaller, and says what it is now.
    pub fn payload(&mut self, packet: &mut PacketBuf<'_>, next: IpProto) -> Result<IpProto, Refused> {
        if packet.len() < THRESHOLD || !self.backoff.try_next() {
            return Ok(next);
        }
        match compress(packet, next, self.cpi, &mut *self.deflate) {
            Ok(Compression::Shrunk { saved }) => {
                self.backoff.learn(true);
                self.saved += saved;
                Ok(IpProto::IPCOMP)
            }
            Ok(Compression::NotWorthwhile) => {
                self.backoff.learn(false);
                Ok(next)
            }
            // Without room to work in it goes as it is, too (RFC 3173 2.2).
            Ok(Compression::TooSmall) | Err(_) => Ok(next),
        }
    }

    /// Compresses what is behind the header of an IP packet.
    pub fn packet(&mut self, packet: &mut PacketBuf<'_>) -> Result<(), Refused> {
        let place = placement(packet.data(), DestinationOptions::Protected)?;
        packet.pull_front(place.at).map_err(IpError::from)?;
        let next = self.payload(packet, place.next);
        packet.push_front(place.at).map_err(IpError::from)?;
        rename(packet, place, next?)
    }
}

/// The receiving half of an IPComp association.
pub struct IpcompIn {
    cpi: Cpi,
    inflate: Box<Inflate>,
}

impl IpcompIn {
    /// A new association.
    pub fn new(cpi: Cpi) -> Self {
        Self { cpi, inflate: Box::new(Inflate::new()) }
    }

    /// Decompresses a payload, if it is compressed (RFC 3173 2.2: it need not be), and says what it is then.
    pub fn payload(&mut self, packet: &mut PacketBuf<'_>, next: IpProto) -> Result<IpProto, Refused> {
        if next != IpProto::IPCOMP {
            return Ok(next);
        }
        Ok(decompress(packet, self.cpi, &mut *self.inflate)?)
    }

    /// Decompresses what is behind the header of an IP packet.
    pub fn packet(&mut self, packet: &mut PacketBuf<'_>) -> Result<(), Refused> {
        let place = match locate(packet.data(), IpProto::IPCOMP) {
            Err(IpError::NotFound) => return Ok(()),
            place => place?,
        };
        packet.pull_front(place.at).map_err(IpError::from)?;
        let next = self.payload(packet, place.next);
        packet.push_front(place.at).map_err(IpError::from)?;
        rename(packet, place, next?)
    }
}

/// Names what follows the IP header, and lets lengths and checksum follow.
fn rename(packet: &mut PacketBuf<'_>, place: Placement, kind: IpProto) -> Result<(), Refused> {
    let unchanged =
        packet.data_mut().get_mut(place.named_at).is_none_or(|octet| std::mem::replace(octet, kind.0) == kind.0);
    if unchanged { Ok(()) } else { Ok(set_length(packet.data_mut())?) }
}
