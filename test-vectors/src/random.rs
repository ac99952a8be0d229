/// A generator of pseudo-random test inputs (SplitMix64). The seed determines the sequence, so that a failure is
/// reproducible.
pub struct Random(pub u64);

impl Random {
    /// Returns the next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number of any integer type, at least 0 and below `bound`.
    ///
    /// # Panics
    /// If the bound is not positive.
    pub fn below<T: TryInto<u64> + TryFrom<u64>>(&mut self, bound: T) -> T {
        let bound = bound.try_into().ok().filter(|bound| *bound > 0).expect("positive bound");
        T::try_from(self.next_u64() % bound).ok().expect("number below the bound fits its type")
    }

    /// Returns whether an event of probability 1/`n` occurs.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Returns a random octet.
    pub fn octet(&mut self) -> u8 {
        self.next_u64() as u8
    }

    /// Returns `count` random octets.
    pub fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.octet()).collect()
    }

    /// Returns an array of random octets.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.octet())
    }

    /// Returns one of the elements.
    ///
    /// # Panics
    /// If the slice is empty.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}
