use crate::Random;

impl Random {
    /// Returns the generator of a test that numbers its cases: the sequences of adjacent numbers do not overlap.
    pub fn seeded(number: u64) -> Self {
        Self(number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// Returns true in `n` of 100 cases.
    pub fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    /// Returns one of the elements.
    ///
    /// # Panics
    /// There is none.
    pub fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
