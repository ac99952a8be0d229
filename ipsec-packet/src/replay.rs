use core::fmt;

use crate::state::{StateError, StateReader, StateWriter};
use crate::{Seq, SeqWidth};

/// Anti-replay service of a receiver (RFC 4303 section 3.4.3): checked before ICV verification, updated only after
/// it.
pub trait AntiReplay {
    /// Checks whether a packet with this sequence number may be processed (RFC 4303 section 3.4.3).
    ///
    /// # Errors
    /// [`ReplayError`] with the reason.
    fn check(&self, seq: Seq) -> Result<(), ReplayError>;

    /// Records the sequence number of an authenticated packet (RFC 4303 section 3.4.3). A number that `check` refuses
    /// changes nothing.
    fn record(&mut self, seq: Seq);

    /// Returns the highest number that was recorded, or the initial one (RFC 4303 appendix A2.1).
    fn top(&self) -> Seq;

    /// Returns the lowest number that may still be accepted (RFC 4303 appendix A2.1).
    fn bottom(&self) -> Seq;

    /// Returns the size of the window in packets; 0 without protection (RFC 4303 section 3.4.3).
    fn packets(&self) -> u32;

    /// Reconstructs the 64-bit sequence number of a packet with the low half `low` (RFC 4303 appendix A2.2).
    ///
    /// The result is the smallest number from [`bottom`](Self::bottom) upwards with this low half. Both cases of the
    /// pseudo-code of the RFC are this one rule.
    //= RFC 4303 2.2.1/1
    //# SHOULD: extended sequence numbers are implemented
    fn reconstruct(&self, low: u32) -> Seq {
        let bottom = self.bottom().get();
        let same_high = (bottom & !0xffff_ffff) | u64::from(low);
        match same_high.checked_add(1 << 32) {
            Some(next_high) if same_high < bottom => Seq::new(next_high),
            _ => Seq::new(same_high), // at the end of all numbers: below the bottom, and refused for it
        }
    }
}

/// Anti-replay window over the last `32 * WORDS` sequence numbers (RFC 4303 section 3.4.3), kept as a ring like that
/// of RFC 6479. Unlike there, every number of the window is remembered exactly.
///
/// `ReplayWindow<2>` has the 64 packets of RFC 4303 section 3.4.3; `<1>` has 32 and `<2048>` has 65,536.
#[derive(Debug)]
pub struct ReplayWindow<const WORDS: usize = 2> {
    top: u64,
    floor: u64, // nothing below it is ever accepted; 1 for a new SA, as number 0 is never sent
    ring: [u32; WORDS],
}

impl<const WORDS: usize> Default for ReplayWindow<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const WORDS: usize> ReplayWindow<WORDS> {
    /// Creates the window of a new SA: no packet is received, and numbers begin at 1.
    pub const fn new() -> Self {
        //= RFC 4303 3.4.3/9
        //# MUST: windows of 32 packets are supported
        const { assert!(WORDS > 0 && WORDS <= 2048, "a window has 32 to 65536 packets") };
        //= RFC 4303 3.4.3/4
        //# MUST: the receive counter is zero when the SA is established
        Self { top: 0, floor: 1, ring: [0; WORDS] }
    }

    /// Creates a window with this highest number, in which nothing at or below it was received: late packets within
    /// the window are accepted.
    pub const fn with_top(top: Seq) -> Self {
        let mut window = Self::new();
        window.top = top.get();
        window
    }

    /// Creates a window that accepts `from` and above, for a restart that has lost the window but not the number.
    pub const fn starting_at(from: Seq) -> Self {
        let mut window = Self::new();
        window.top = from.get();
        window.floor = if from.get() == 0 { 1 } else { from.get() };
        window
    }

    /// Returns the size of the window in packets (RFC 4303 section 3.4.3).
    pub const fn size() -> u32 {
        Self::SIZE
    }

    #[allow(clippy::cast_possible_truncation)] // `new` bounds WORDS to 2048
    const SIZE: u32 = (WORDS as u32).saturating_mul(32);

    /// Length of an exported window in octets.
    pub const STATE: usize = 4 + 8 + 8 + 4 + 4 * WORDS;

    /// Writes the state to the front of `out` and returns its length, [`STATE`](Self::STATE).
    ///
    /// # Errors
    /// [`crate::TooShort`] if `out` is shorter; nothing is written.
    pub fn export(&self, width: SeqWidth, out: &mut [u8]) -> Result<usize, crate::TooShort> {
        let available = out.len();
        let out = out.get_mut(..Self::STATE).ok_or(crate::TooShort { needed: Self::STATE, available })?;
        let mut writer = StateWriter::new(out, b'W', width);
        writer.u64(self.top);
        writer.u64(self.floor);
        writer.u32(Self::SIZE);
        self.ring.iter().for_each(|word| writer.u32(*word));
        Ok(Self::STATE)
    }

    /// Imports the state of a window of the same size. Numbers that were received in either window are never accepted
    /// again.
    ///
    /// # Errors
    /// [`StateError`] if the octets are not a window of this size and width, or [`StateError::Outdated`] if their
    /// highest number is below that of this window; the window is unchanged.
    pub fn import(&mut self, width: SeqWidth, state: &[u8]) -> Result<(), StateError> {
        let mut reader = StateReader::new(state, b'W', width)?;
        let mut offered = Self { top: reader.u64()?, floor: reader.u64()?, ring: [0; WORDS] };
        if reader.u32()? != Self::SIZE {
            return Err(StateError::Malformed);
        }
        for word in &mut offered.ring {
            *word = reader.u32()?;
        }
        reader.end()?;
        let fits = width == SeqWidth::Extended64 || offered.top <= 0xffff_ffff;
        if !fits || offered.floor == 0 || offered.floor > offered.top.max(1) {
            return Err(StateError::Malformed);
        }
        if offered.top < self.top {
            return Err(StateError::Outdated { held: self.top, offered: offered.top });
        }
        let first = self.bottom().get().max(offered.bottom().get());
        for seq in first..=self.top {
            if self.seen(seq) {
                offered.mark(seq);
            }
        }
        offered.floor = offered.floor.max(self.floor);
        *self = offered;
        Ok(())
    }

    fn seen(&self, seq: u64) -> bool {
        let (word, mask) = Self::position(seq);
        self.ring.get(word).is_some_and(|w| w & mask != 0)
    }

    fn mark(&mut self, seq: u64) {
        let (word, mask) = Self::position(seq);
        if let Some(w) = self.ring.get_mut(word) {
            *w |= mask;
        }
    }

    /// Returns word and bit of a number in the ring.
    fn position(seq: u64) -> (usize, u32) {
        let bit = seq.checked_rem(u64::from(Self::SIZE)).unwrap_or_default();
        let word = usize::try_from(bit >> 5).unwrap_or_default();
        (word, 1u32.rotate_left((bit & 31) as u32))
    }

    /// Removes the numbers that fall out of the window, and sets its highest number.
    fn advance(&mut self, new_top: u64) {
        if new_top.saturating_sub(self.top) >= u64::from(Self::SIZE) {
            self.ring = [0; WORDS];
        } else {
            let mut seq = self.top.saturating_add(1);
            while seq <= new_top {
                // This sets the bits of one word from `seq` to the end of the word or to `new_top`.
                let (word, first) = Self::position(seq);
                let in_word = seq | 31;
                let (_, last) = Self::position(in_word.min(new_top));
                let mask = (last | last.wrapping_sub(1)) & !first.wrapping_sub(1);
                if let Some(w) = self.ring.get_mut(word) {
                    *w &= !mask;
                }
                match in_word.checked_add(1) {
                    Some(next) => seq = next,
                    None => break,
                }
            }
        }
        self.top = new_top;
    }
}

//= RFC 4303 2.2/3
//# MUST: sequence numbers can be generated and verified as 3.3.3 and 3.4.3 say
impl<const WORDS: usize> AntiReplay for ReplayWindow<WORDS> {
    //= RFC 4303 3.4.3/5
    //# MUST: each received number is verified to be no duplicate during the life of the SA
    fn check(&self, seq: Seq) -> Result<(), ReplayError> {
        let seq = seq.get();
        if seq == 0 {
            Err(ReplayError::Zero)
        } else if seq < self.bottom().get() {
            Err(ReplayError::TooOld)
        } else if seq <= self.top && self.seen(seq) {
            Err(ReplayError::Duplicate)
        } else {
            Ok(())
        }
    }

    fn record(&mut self, seq: Seq) {
        if self.check(seq).is_ok() {
            if seq.get() > self.top {
                self.advance(seq.get());
            }
            self.mark(seq.get());
        }
    }

    fn top(&self) -> Seq {
        Seq::new(self.top)
    }

    fn bottom(&self) -> Seq {
        let lowest = self.top.saturating_sub(u64::from(Self::SIZE.saturating_sub(1)));
        Seq::new(lowest.max(self.floor))
    }

    fn packets(&self) -> u32 {
        Self::SIZE
    }
}

/// Size of a window, in the units of configurations (RFC 4303 section 3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowSize(u32);

impl WindowSize {
    /// Creates a size in packets, as in iproute2.
    pub const fn packets(packets: u32) -> Self {
        Self(packets)
    }

    /// Creates a size in octets of bitmap, as in setkey(8) and PF_KEY (RFC 2367 section 2.3.1): eight packets each.
    pub const fn bitmap_octets(octets: u32) -> Self {
        Self(octets.saturating_mul(8))
    }

    /// Returns the size in packets.
    pub const fn in_packets(self) -> u32 {
        self.0
    }

    /// Returns the number of words of a [`ReplayWindow`] of at least this size; `None` above 65,536 packets.
    pub const fn words(self) -> Option<u32> {
        match self.0 {
            0..=32 => Some(1),
            33..=65536 => Some(self.0.div_ceil(32)),
            _ => None,
        }
    }
}

/// Absence of protection against replays, for manually keyed SAs whose sender may restart its counter (RFC 4303
/// section 3.3.3).
///
/// An attacker who has recorded a packet of such an SA can have it delivered again. With ESN it accepts numbers up to
/// 2^31 below the highest number received.
#[derive(Debug, Default)]
pub struct NoReplay {
    top: u64,
}

impl NoReplay {
    /// Creates the state of a new SA.
    pub const fn new() -> Self {
        Self { top: 0 }
    }
}

impl AntiReplay for NoReplay {
    fn check(&self, _: Seq) -> Result<(), ReplayError> {
        Ok(())
    }

    fn record(&mut self, seq: Seq) {
        self.top = self.top.max(seq.get());
    }

    fn top(&self) -> Seq {
        Seq::new(self.top)
    }

    fn bottom(&self) -> Seq {
        Seq::new(self.top.saturating_sub(1 << 31))
    }

    fn packets(&self) -> u32 {
        0
    }
}

/// Reason why a sequence number is refused (RFC 4303 section 3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// The number was received before.
    Duplicate,
    /// The number is left of the window.
    TooOld,
    /// The number is 0, which is never sent (RFC 4303 section 3.3.3).
    Zero,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "sequence number was received before",
            Self::TooOld => "sequence number is left of the window",
            Self::Zero => "sequence number is 0",
        })
    }
}

impl core::error::Error for ReplayError {}
