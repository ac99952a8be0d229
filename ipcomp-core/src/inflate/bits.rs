use super::InflateError;

/// Reader of bits, least significant bit first (RFC 1951 section 3.1.1).
pub(super) struct BitReader<'a> {
    input: &'a [u8],
    at: usize,
    held: u64,
    count: u32, // number of valid bits in `held`; the bits above are the next ones of the input, or zeros
}

impl<'a> BitReader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0, held: 0, count: 0 }
    }

    /// Buffers at least 56 bits, or all remaining ones.
    #[inline]
    pub(super) fn refill(&mut self) {
        let rest = self.input.get(self.at..).unwrap_or_default();
        if let Some(word) = rest.first_chunk::<8>() {
            self.held |= u64::from_le_bytes(*word) << (self.count & 63);
            let octets = 63u32.saturating_sub(self.count) >> 3;
            self.at = self.at.saturating_add(usize::try_from(octets).unwrap_or(0));
            self.count |= 56;
        } else {
            for octet in rest {
                if self.count > 55 {
                    break;
                }
                self.held |= u64::from(*octet) << (self.count & 63);
                self.at = self.at.saturating_add(1);
                self.count = self.count.saturating_add(8);
            }
        }
    }

    /// Buffers at least the given number of bits (at most 56), or all remaining ones.
    #[inline]
    pub(super) fn ensure(&mut self, bits: u32) {
        if self.count < bits {
            self.refill();
        }
    }

    /// Returns the buffered bits without consuming them.
    #[inline]
    pub(super) fn peek(&self) -> u64 {
        self.held
    }

    /// Consumes bits that were read with [`peek`](Self::peek).
    #[inline]
    pub(super) fn consume(&mut self, bits: u32) -> Result<(), InflateError> {
        self.count = self.count.checked_sub(bits).ok_or(InflateError::Truncated)?;
        self.held >>= bits & 63;
        Ok(())
    }

    /// Reads and consumes up to 32 bits.
    #[inline]
    pub(super) fn read(&mut self, bits: u32) -> Result<u64, InflateError> {
        let value = self.held & (1u64 << (bits & 63)).wrapping_sub(1);
        self.consume(bits)?;
        Ok(value)
    }

    /// Consumes the bits up to the next octet boundary.
    pub(super) fn align(&mut self) {
        let odd = self.count & 7;
        self.held >>= odd;
        self.count = self.count.saturating_sub(odd);
    }

    /// Reads whole octets from the input. The reader must be aligned.
    pub(super) fn octets(&mut self, len: usize) -> Option<&'a [u8]> {
        let unread = self.at.checked_sub(usize::try_from(self.count >> 3).ok()?)?;
        let octets = self.input.get(unread..)?.get(..len)?;
        (self.at, self.held, self.count) = (unread.saturating_add(len), 0, 0);
        Some(octets)
    }
}
