use core::fmt;

use crate::append::excluded;
use crate::{Icv, IcvInput, Iv, Layout, LengthError};

/// ESP packet, split by the layout of a suite (RFC 4303 section 2). It is created by [`EspParts::split`] only, so
/// that its lengths are consistent and a suite cannot fail.
///
/// ```text
/// | SPI (4) | number (4) | IV | body: payload, padding, pad length, next header | ICV |
/// |<------------------- authenticated, then the high half of ESN ------------->|
/// ```
pub struct EspParts<'a> {
    authenticated: &'a mut [u8],
    icv: &'a mut [u8],
    iv_len: usize,
    seq_high: Option<[u8; 4]>,
}

/// Length of SPI and sequence number in octets.
pub(crate) const HEADER: usize = 8;

impl<'a> EspParts<'a> {
    /// Splits a packet (RFC 4303 sections 2 and 2.2.1). `seq_high` is the high half of an extended sequence number,
    /// which is not transmitted.
    ///
    /// # Errors
    /// [`LengthError`] if the packet is too short for the layout, or its body is not a multiple of the alignment.
    pub fn split(layout: Layout, packet: &'a mut [u8], seq_high: Option<[u8; 4]>) -> Result<Self, LengthError> {
        layout.body_of(packet.len())?;
        let text = packet.len().saturating_sub(layout.icv_len());
        let (authenticated, icv) = packet.split_at_mut_checked(text).ok_or(LengthError::TooShort)?;
        Ok(Self { authenticated, icv, iv_len: layout.iv_len(), seq_high })
    }

    /// Replaces the high half of the extended sequence number (RFC 4303 section 2.2.1).
    pub const fn set_seq_high(&mut self, seq_high: Option<[u8; 4]>) {
        self.seq_high = seq_high;
    }

    /// Returns SPI and the low half of the sequence number (RFC 4303 sections 2.1 and 2.2).
    pub fn header(&self) -> [u8; HEADER] {
        self.authenticated.first_chunk().copied().unwrap_or_else(excluded)
    }

    /// Returns the IV, left-aligned (RFC 4303 section 2.3).
    pub fn iv(&self) -> Iv {
        let carried = self.authenticated.get(HEADER..HEADER.saturating_add(self.iv_len)).unwrap_or_else(excluded);
        match *carried {
            // The lengths of all algorithms of this crate, without a loop.
            [a, b, c, d, e, f, g, h] => [a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0],
            _ => carried.first_chunk().copied().unwrap_or_else(|| {
                let mut iv = [0; 16];
                iv.iter_mut().zip(carried).for_each(|(to, from)| *to = *from); // a layout has an IV of at most 16
                iv
            }),
        }
    }

    /// Returns the length of the authenticated part in octets.
    pub(crate) fn len(&self) -> usize {
        self.authenticated.len()
    }

    /// Returns the encrypted part (RFC 4303 section 3.3.2.1).
    pub fn body(&mut self) -> &mut [u8] {
        self.authenticated.get_mut(HEADER.saturating_add(self.iv_len)..).unwrap_or_else(excluded)
    }

    /// Returns the input of a separate integrity algorithm: the octets on the wire, the offset of the body in them,
    /// and the high half of ESN (RFC 4303 sections 2.8 and 3.3.2.1).
    pub(crate) fn text(&mut self) -> (&mut [u8], usize, &[u8]) {
        let high = self.seq_high.as_ref().map_or(&[][..], |high| high);
        (self.authenticated, HEADER.saturating_add(self.iv_len), high)
    }

    /// Returns the input of a separate integrity algorithm (RFC 4303 sections 2.8 and 3.3.2.1).
    pub fn integrity_input(&self) -> IcvInput<'_> {
        IcvInput::new(self.authenticated, self.seq_high.as_ref())
    }

    /// Returns the additional authenticated data of an AEAD: SPI and sequence number (RFC 4106 section 5).
    pub fn aad(&self) -> Aad {
        let [s0, s1, s2, s3, l0, l1, l2, l3] = self.header();
        match self.seq_high {
            None => Aad { octets: [s0, s1, s2, s3, l0, l1, l2, l3, 0, 0, 0, 0], len: 8 },
            Some([h0, h1, h2, h3]) => Aad { octets: [s0, s1, s2, s3, h0, h1, h2, h3, l0, l1, l2, l3], len: 12 },
        }
    }

    /// Returns IV and body, which an AEAD without encryption authenticates after the additional data (RFC 4543
    /// section 3.3).
    pub fn iv_and_body(&self) -> &[u8] {
        self.authenticated.get(HEADER..).unwrap_or_else(excluded)
    }

    /// Returns the ICV of the packet (RFC 4303 section 2.8).
    pub fn icv(&self) -> &[u8] {
        self.icv
    }

    /// Writes the ICV (RFC 4303 section 2.8). Its length is that of the field, as the packet was split by the layout of
    /// the suite that computed it.
    pub fn set_icv(&mut self, icv: &Icv) {
        debug_assert_eq!(self.icv.len(), icv.as_slice().len(), "packet was split by the layout of another suite");
        icv.write(self.icv);
    }
}

/// Prints lengths only, as the body may be plaintext.
impl fmt::Debug for EspParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EspParts({} + {} octets)", self.authenticated.len(), self.icv.len())
    }
}

/// Additional authenticated data of an AEAD (RFC 4106 section 5).
#[derive(Clone, Copy, Debug)]
pub struct Aad {
    octets: [u8; 12],
    len: usize,
}

impl Aad {
    /// Returns the 8 octets, or 12 with ESN (RFC 4106 section 5).
    pub fn as_slice(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_else(excluded)
    }
}
