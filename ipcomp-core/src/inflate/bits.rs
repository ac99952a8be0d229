use super::InflateError;

/// Reads bits, the least significant first.
pub(super) struct BitReader<'a> {
    input: &'a [u8],
    at: usize,
    held: u64,
    count: u32, // bits in `held` that were read; those above are the next ones of the input, or zeros
}

impl<'a> BitReader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0, held: 0, count: 0 }
    }

    /// Holds at least 56 bits, or all that are left.
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

    /// Holds at least so many bits, at most 56, or all that are left.
    #[inline]
    pub(super) fn hold(&mut self, bits: u32) {
        if self.count < bits {
            self.refill();
        }
    }

    /// The bits that are held.
    #[inline]
    pub(super) fn peek(&self) -> u64 {
        self.held
    }

    /// Drops bits that were looked at.
    #[inline]
    pub(super) fn drop(&mut self, bits: u32) -> Result<(), InflateError> {
        self.count = self.count.checked_sub(bits).ok_or(InflateError::EndsEarly)?;
        self.held >>= bits & 63;
        Ok(())
    }

    /// Takes up to 32 bits.
    #[inline]
    pub(super) fn take(&mut self, bits: u32) -> Result<u64, InflateError> {
        let value = self.held & (1u64 << (bits & 63)).wrapping_sub(1);
        self.drop(bits)?;
        Ok(value)
    }

    /// Drops the bits up to the next octet.
    pub(super) fn align(&mut self) {
        let odd = self.count & 7;
        self.held >>= odd;
        self.count = self.count.saturating_sub(odd);
    }

    /// Takes whole octets from the input; the reader must be aligned.
    pub(super) fn octets(&mut self, len: usize) -> Option<&'a [u8]> {
        let unread = self.at.checked_sub(usize::try_from(self.count >> 3).ok()?)?;
        let octets = self.input.get(unread..)?.get(..len)?;
        (self.at, self.held, self.count) = (unread.saturating_add(len), 0, 0);
        Some(octets)
    }
}
