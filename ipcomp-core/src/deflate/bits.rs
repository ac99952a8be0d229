/// Writer of bits, least significant bit first (RFC 1951 section 3.1.1), to a slice of limited length.
#[derive(Default)]
pub(super) struct BitWriter<'a> {
    output: &'a mut [u8],
    at: usize,
    held: u64,
    count: u32, // number of bits in `held`, below 8 after each flush
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(output: &'a mut [u8]) -> Self {
        Self { output, at: 0, held: 0, count: 0 }
    }

    /// Appends up to 48 bits to those held; [`flush`](Self::flush) must be called before more bits are appended.
    #[inline(always)]
    pub(super) fn push_bits(&mut self, bits: u64, count: u32) {
        self.held |= bits << (self.count & 63);
        self.count = self.count.wrapping_add(count);
    }

    /// Writes the whole octets that are held; returns `None` when the output is full.
    #[inline(always)]
    pub(super) fn flush(&mut self) -> Option<()> {
        let whole = self.count >> 3;
        let rest = self.output.get_mut(self.at..)?;
        match rest.first_chunk_mut::<8>() {
            Some(chunk) => *chunk = self.held.to_le_bytes(),
            None => {
                let slots = rest.get_mut(..whole as usize)?;
                slots.iter_mut().zip(self.held.to_le_bytes()).for_each(|(to, from)| *to = from);
            }
        }
        self.at = self.at.wrapping_add(whole as usize);
        self.held >>= (whole << 3) & 63;
        self.count &= 7;
        Some(())
    }

    /// Writes the remaining bits, padded with zeros to an octet. Returns the number of octets written; `None` when the
    /// output is full.
    //= RFC 3173 2.1/2
    //# MUST: a compressed payload has whole octets
    pub(super) fn finish(mut self) -> Option<usize> {
        self.align();
        self.flush()?;
        Some(self.at)
    }

    /// Pads the bits with zeros to the next octet.
    pub(super) fn align(&mut self) {
        self.count = self.count.saturating_add(7) & !7;
    }

    /// Writes octets. The writer must be aligned and flushed.
    pub(super) fn octets(&mut self, octets: &[u8]) -> Option<()> {
        let slot = self.output.get_mut(self.at..)?.get_mut(..octets.len())?;
        slot.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        self.at = self.at.saturating_add(octets.len());
        Some(())
    }
}
