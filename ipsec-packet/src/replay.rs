use core::fmt;

use crate::state::{StateError, StateReader, StateWriter};
use crate::{Seq, SeqWidth};

/// The receiver's memory of sequence numbers: consulted before the ICV, written only after it (RFC 4303 3.4.3).
pub trait AntiReplay {
    /// Whether a packet with this number may be processed (RFC 4303 3.4.3).
    ///
    /// # Errors
    /// [`ReplayError`] saying why not.
    fn check(&self, seq: Seq) -> Result<(), ReplayError>;

    /// Marks the number of an authenticated packet as seen (RFC 4303 3.4.3). A number that `check` refuses changes nothing.
    fn record(&mut self, seq: Seq);

    /// The highest number recorded, or the one it was started at (RFC 4303 appendix A2.1).
    fn top(&self) -> Seq;

    /// The lowest number that may still be accepted (RFC 4303 appendix A2.1).
    fn bottom(&self) -> Seq;

    /// How many packets it remembers; 0 when it protects from nothing (RFC 4303 3.4.3).
    fn packets(&self) -> u32;

    /// The whole number of a packet that carries the low half `low` (RFC 4303 appendix A2.2).
    ///
    /// It is the smallest number from [`bottom`](Self::bottom) upwards with that low half; both cases of the RFC's
    /// pseudo-code are this one rule.
    //= RFC 4303 2.2.1/1
    fn reconstruct(&self, low: u32) -> Seq {
        let bottom = self.bottom().get();
        let same_high = (bottom & !0xffff_ffff) | u64::from(low);
        match same_high.checked_add(1 << 32) {
            Some(next_high) if same_high < bottom => Seq::new(next_high),
            _ => Seq::new(same_high), // at the end of all numbers: below the bottom, and refused for it
        }
    }
}

/// A sliding window over the last `32 * WORDS` sequence numbers, kept as a ring (the idea of RFC 6479, but exact: no
/// word is given up, and every number in the window is remembered).
///
/// `ReplayWindow<2>` is the 64 packets that RFC 4303 3.4.3 asks for by default; `<1>` is 32 and `<2048>` 65536.
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
    /// The window of a new SA: nothing received, numbers from 1.
    pub const fn new() -> Self {
        //= RFC 4303 3.4.3/9
        const { assert!(WORDS > 0 && WORDS <= 2048, "a window has 32 to 65536 packets") };
        //= RFC 4303 3.4.3/4
        Self { top: 0, floor: 1, ring: [0; WORDS] }
    }

    /// A window whose top stands at `top`, nothing at or below it having been seen: late packets within the window are
    /// still accepted.
    pub const fn with_top(top: Seq) -> Self {
        let mut window = Self::new();
        window.top = top.get();
        window
    }

    /// A window that accepts `from` and above, as after a restart that lost the window but not the number.
    pub const fn starting_at(from: Seq) -> Self {
        let mut window = Self::new();
        window.top = from.get();
        window.floor = if from.get() == 0 { 1 } else { from.get() };
        window
    }

    /// Packets in the window (RFC 4303 3.4.3).
    pub const fn size() -> u32 {
        Self::SIZE
    }

    #[allow(clippy::cast_possible_truncation)] // `new` bounds WORDS to 2048
    const SIZE: u32 = (WORDS as u32).saturating_mul(32);

    /// Octets of an exported window.
    pub const STATE: usize = 4 + 8 + 8 + 4 + 4 * WORDS;

    /// Writes the exact state to the front of `out` and returns its length, [`STATE`](Self::STATE).
    ///
    /// # Errors
    /// [`crate::TooShort`] when `out` is shorter than that; nothing is written.
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

    /// Takes in an exported state of the same size. What was seen here or there is never accepted again.
    ///
    /// # Errors
    /// [`StateError`] when the bytes are no window of this size and width, or [`StateError::GoesBack`] when their top is
    /// below this one's; the window is unchanged.
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
            return Err(StateError::GoesBack { held: self.top, offered: offered.top });
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

    /// Word and bit of a number in the ring.
    fn position(seq: u64) -> (usize, u32) {
        let bit = seq.checked_rem(u64::from(Self::SIZE)).unwrap_or_default();
        let word = usize::try_from(bit >> 5).unwrap_or_default();
        (word, 1u32.rotate_left((bit & 31) as u32))
    }

    /// Forgets the numbers that `new_top` pushes out of the window, and moves the top there.
    fn advance(&mut self, new_top: u64) {
        if new_top.saturating_sub(self.top) >= u64::from(Self::SIZE) {
            self.ring = [0; WORDS];
        } else {
            let mut seq = self.top.saturating_add(1);
            while seq <= new_top {
                // All of this word's bits from `seq` up to the end of the word or to `new_top`.
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
impl<const WORDS: usize> AntiReplay for ReplayWindow<WORDS> {
    //= RFC 4303 3.4.3/5
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

/// The size of a window, from the units in which configurations write it (RFC 4303 3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowSize(u32);

impl WindowSize {
    /// So many packets, as in iproute2.
    pub const fn packets(packets: u32) -> Self {
        Self(packets)
    }

    /// So many octets of bitmap, as in setkey(8) and PF_KEY (RFC 2367 2.3.1): eight packets each.
    pub const fn bitmap_octets(octets: u32) -> Self {
        Self(octets.saturating_mul(8))
    }

    /// In packets.
    pub const fn in_packets(self) -> u32 {
        self.0
    }

    /// The words that a [`ReplayWindow`] of at least this size has; `None` above 65536 packets.
    pub const fn words(self) -> Option<u32> {
        match self.0 {
            0..=32 => Some(1),
            33..=65536 => Some(self.0.div_ceil(32)),
            _ => None,
        }
    }
}

/// No protection against replays at all: for manually keyed SAs whose sender may restart its counter (RFC 4303 3.3.3).
///
/// Whoever can record a packet of such an SA can deliver it again. With ESN it accepts what lies within 2^31 behind the
/// highest number seen.
#[derive(Debug, Default)]
pub struct NoReplay {
    top: u64,
}

impl NoReplay {
    /// That of a new SA.
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

/// Why the window refuses a sequence number (RFC 4303 3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// It was received before.
    Duplicate,
    /// It lies below the window.
    TooOld,
    /// It is 0, which is never sent (RFC 4303 3.3.3).
    Zero,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "sequence number seen before",
            Self::TooOld => "sequence number below the window",
            Self::Zero => "sequence number zero",
        })
    }
}

impl core::error::Error for ReplayError {}
