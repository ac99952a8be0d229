use core::fmt;

use crate::state::{StateError, StateReader, StateWriter};

/// A sequence number, always as its whole 64 bits; without ESN the high half is 0 (RFC 4303 2.2, 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// A sequence number.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The whole number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The half that is on the wire (RFC 4303 2.2.1).
    pub const fn low(self) -> [u8; 4] {
        let [_, _, _, _, a, b, c, d] = self.0.to_be_bytes();
        [a, b, c, d]
    }

    /// The half that ESN leaves off the wire (RFC 4303 2.2.1).
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

/// How many bits an SA counts with (RFC 4303 2.2, 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeqWidth {
    /// RFC 2406: all of the number is on the wire.
    Bits32,
    /// ESN (RFC 4303 2.2.1): 64 bits, of which the low half is on the wire.
    Extended64,
}

impl SeqWidth {
    /// The largest sequence number of this width (RFC 4303 2.2).
    pub const fn last(self) -> u64 {
        match self {
            Self::Bits32 => 0xffff_ffff,
            Self::Extended64 => u64::MAX,
        }
    }
}

/// The counter of an outbound SA: starts at 1, never repeats and never wraps (RFC 4303 3.3.3).
//= RFC 4303 2.2/3
#[derive(Debug)]
pub struct SeqCounter {
    used: u64,
    width: SeqWidth,
}

impl SeqCounter {
    /// A counter whose first number is 1 (RFC 4303 3.3.3).
    pub const fn new(width: SeqWidth) -> Self {
        Self { used: 0, width }
    }

    /// Takes the next number (RFC 4303 3.3.3).
    ///
    /// # Errors
    /// [`SequenceExhausted`] when every number was used: a new SA is due.
    pub fn advance(&mut self) -> Result<Seq, SequenceExhausted> {
        let seq = self.peek()?;
        self.used = seq.get();
        Ok(seq)
    }

    /// The number that [`advance`](Self::advance) would give, left in place (RFC 4303 3.3.3).
    ///
    /// # Errors
    /// [`SequenceExhausted`] as for `advance`.
    //= RFC 4303 3.3.3/1
    pub fn peek(&self) -> Result<Seq, SequenceExhausted> {
        //= RFC 4303 2.2/4
        self.used.checked_add(1).filter(|&n| n <= self.width.last()).map(Seq).ok_or(SequenceExhausted)
    }

    /// Takes `n` numbers at once, for a batch, a hardware engine or a worker that seals on its own (RFC 4303 3.3.3).
    ///
    /// # Errors
    /// [`SequenceExhausted`] when fewer than `n` are left; none is taken.
    pub fn reserve(&mut self, n: u32) -> Result<SeqRun, SequenceExhausted> {
        let last = self.used.checked_add(u64::from(n)).filter(|&l| l <= self.width.last()).ok_or(SequenceExhausted)?;
        let run = SeqRun { used: self.used, last };
        self.used = last;
        Ok(run)
    }

    /// The last number taken; 0 before the first.
    pub const fn last_used(&self) -> Seq {
        Seq(self.used)
    }

    /// How many numbers are left (RFC 4303 3.3.3).
    pub const fn remaining(&self) -> u64 {
        self.width.last().saturating_sub(self.used)
    }

    /// The width it counts with (RFC 4303 2.2.1).
    pub const fn width(&self) -> SeqWidth {
        self.width
    }

    /// Octets of an exported counter.
    pub const STATE: usize = 12;

    /// The state as it is, to be handed to a standby node or stored when the SA is stopped: numbers taken after it are not
    /// in it.
    pub fn export(&self) -> [u8; Self::STATE] {
        self.export_ahead(0)
    }

    /// The state as it will be after `margin` more numbers, to be stored while the SA runs: export again before they are
    /// used up, and a crash in between repeats no number and no nonce (RFC 4303 3.3.3).
    //= RFC 4303 3.3.3/4
    pub fn export_ahead(&self, margin: u64) -> [u8; Self::STATE] {
        let mut bytes = [0; Self::STATE];
        let mut writer = StateWriter::new(&mut bytes, b'C', self.width);
        writer.u64(self.used.saturating_add(margin).min(self.width.last()));
        bytes
    }

    /// Moves on to an exported state (RFC 4303 3.3.3). A number that was used here or there is never used again.
    ///
    /// # Errors
    /// [`StateError`] when the bytes are no counter of this width, or [`StateError::GoesBack`] when they are behind
    /// this counter; the counter is unchanged.
    pub fn import(&mut self, state: &[u8]) -> Result<(), StateError> {
        let mut reader = StateReader::new(state, b'C', self.width)?;
        let used = reader.u64()?;
        reader.end()?;
        if used > self.width.last() {
            return Err(StateError::Malformed);
        }
        if used < self.used {
            return Err(StateError::GoesBack { held: self.used, offered: used });
        }
        self.used = used;
        Ok(())
    }
}

/// A run of reserved numbers, to be used in order (RFC 4303 3.3.3).
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

/// Every sequence number of the SA was used (RFC 4303 3.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceExhausted;

impl fmt::Display for SequenceExhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sequence numbers exhausted")
    }
}

impl core::error::Error for SequenceExhausted {}
