use core::fmt;

use crate::state::{StateError, StateReader, StateWriter};

/// Sequence number of 64 bits; without ESN the high half is 0 (RFC 4303 sections 2.2 and 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// Creates a sequence number from its 64-bit value.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Returns the 64-bit value.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the low half, which is on the wire (RFC 4303 section 2.2.1).
    pub const fn low(self) -> [u8; 4] {
        let [_, _, _, _, a, b, c, d] = self.0.to_be_bytes();
        [a, b, c, d]
    }

    /// Returns the high half, which ESN does not transmit (RFC 4303 section 2.2.1).
    pub const fn high(self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.0.to_be_bytes();
        [a, b, c, d]
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Width of the sequence numbers of an SA (RFC 4303 sections 2.2 and 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeqWidth {
    /// Sequence numbers of 32 bits, transmitted in full (RFC 2406).
    Bits32,
    /// Extended sequence numbers of 64 bits, of which the low half is transmitted (RFC 4303 section 2.2.1).
    Extended64,
}

impl SeqWidth {
    /// Returns the largest sequence number of this width (RFC 4303 section 2.2).
    pub const fn last(self) -> u64 {
        match self {
            Self::Bits32 => 0xffff_ffff,
            Self::Extended64 => u64::MAX,
        }
    }
}

/// Sequence counter of an outbound SA: it starts at 1, never repeats and never wraps (RFC 4303 section 3.3.3).
//= RFC 4303 2.2/3
//# MUST: sequence numbers can be generated and verified as 3.3.3 and 3.4.3 say
#[derive(Debug)]
pub struct SeqCounter {
    used: u64,
    width: SeqWidth,
}

impl SeqCounter {
    /// Creates a counter whose first number is 1 (RFC 4303 section 3.3.3).
    pub const fn new(width: SeqWidth) -> Self {
        Self { used: 0, width }
    }

    /// Returns the next number and advances the counter (RFC 4303 section 3.3.3).
    ///
    /// # Errors
    /// [`SequenceExhausted`] if every number was used: the SA is to be rekeyed.
    pub fn advance(&mut self) -> Result<Seq, SequenceExhausted> {
        let seq = self.peek()?;
        self.used = seq.get();
        Ok(seq)
    }

    /// Returns the number that [`advance`](Self::advance) would return, without advancing (RFC 4303 section 3.3.3).
    ///
    /// # Errors
    /// [`SequenceExhausted`] as for `advance`.
    //= RFC 4303 3.3.3/1
    //# MUST NOT: a packet is sent that would make the number cycle
    pub fn peek(&self) -> Result<Seq, SequenceExhausted> {
        //= RFC 4303 2.2/4
        //# MUST: a new SA takes over before the counter would pass 2^32 - 1
        self.used.checked_add(1).filter(|&n| n <= self.width.last()).map(Seq).ok_or(SequenceExhausted)
    }

    /// Reserves `n` numbers, for a batch, a hardware engine or another thread that seals (RFC 4303 section 3.3.3).
    ///
    /// # Errors
    /// [`SequenceExhausted`] if fewer than `n` numbers are left; none is reserved.
    pub fn reserve(&mut self, n: u32) -> Result<SeqRun, SequenceExhausted> {
        let last = self.used.checked_add(u64::from(n)).filter(|&l| l <= self.width.last()).ok_or(SequenceExhausted)?;
        let run = SeqRun { used: self.used, last };
        self.used = last;
        Ok(run)
    }

    /// Returns the last number that was used; 0 before the first.
    pub const fn last_used(&self) -> Seq {
        Seq(self.used)
    }

    /// Returns how many numbers are left (RFC 4303 section 3.3.3).
    pub const fn remaining(&self) -> u64 {
        self.width.last().saturating_sub(self.used)
    }

    /// Returns the width of the numbers (RFC 4303 section 2.2.1).
    pub const fn width(&self) -> SeqWidth {
        self.width
    }

    /// Length of an exported counter in octets.
    pub const STATE: usize = 12;

    /// Exports the current state, for a standby node or when the SA is stopped. Numbers that are used later are not
    /// included.
    pub fn export(&self) -> [u8; Self::STATE] {
        self.export_ahead(0)
    }

    /// Exports the state after `margin` more numbers, to be stored while the SA is in use. If the caller exports
    /// again before they are used, a crash in between repeats neither a number nor a nonce (RFC 4303 section 3.3.3).
    //= RFC 4303 3.3.3/4
    //# MUST: with anti-replay and manual keys, the counter is kept across reboots
    pub fn export_ahead(&self, margin: u64) -> [u8; Self::STATE] {
        let mut bytes = [0; Self::STATE];
        let mut writer = StateWriter::new(&mut bytes, b'C', self.width);
        writer.u64(self.used.saturating_add(margin).min(self.width.last()));
        bytes
    }

    /// Advances to an imported state (RFC 4303 section 3.3.3). Numbers that were used by either counter are never
    /// used again.
    ///
    /// # Errors
    /// [`StateError`] if the octets are not a counter of this width, or [`StateError::Outdated`] if they are behind
    /// this counter; the counter is unchanged.
    pub fn import(&mut self, state: &[u8]) -> Result<(), StateError> {
        let mut reader = StateReader::new(state, b'C', self.width)?;
        let used = reader.u64()?;
        reader.end()?;
        if used > self.width.last() {
            return Err(StateError::Malformed);
        }
        if used < self.used {
            return Err(StateError::Outdated { held: self.used, offered: used });
        }
        self.used = used;
        Ok(())
    }
}

/// Run of reserved sequence numbers, used in order (RFC 4303 section 3.3.3).
#[derive(Debug)]
pub struct SeqRun {
    used: u64,
    last: u64,
}

impl Iterator for SeqRun {
    type Item = Seq;

    fn next(&mut self) -> Option<Seq> {
        let next = self.used.checked_add(1).filter(|&n| n <= self.last)?;
        self.used = next;
        Some(Seq(next))
    }
}

/// Error of an SA whose sequence numbers are exhausted (RFC 4303 section 3.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceExhausted;

impl fmt::Display for SequenceExhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sequence numbers exhausted")
    }
}

impl core::error::Error for SequenceExhausted {}
