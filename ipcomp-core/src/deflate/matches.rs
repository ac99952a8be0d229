//! Repetitions in the input, found through a small hash table of positions.

/// Slots of the table; each remembers the last positions of its hash.
const SLOTS: usize = 1024;
const EMPTY: u16 = u16::MAX;
const MIN: u32 = 3;
const MAX: usize = 258;
const WINDOW: usize = 32768;

/// Where three octets of some hash were seen, the last `WAYS` times.
pub(super) struct Positions<const WAYS: usize> {
    slots: [[u16; WAYS]; SLOTS],
}

impl<const WAYS: usize> Positions<WAYS> {
    pub(super) const fn new() -> Self {
        Self { slots: [[EMPTY; WAYS]; SLOTS] }
    }

    pub(super) fn clear(&mut self) {
        self.slots.as_flattened_mut().fill(EMPTY);
    }

    /// Remembers a position, where these octets begin, and gives those before it with the same hash, the latest first.
    /// Inputs of more than 65534 octets are remembered up to there.
    #[inline(always)]
    pub(super) fn visit(&mut self, word: u64, at: usize) -> [u16; WAYS] {
        let [a, b, c, ..] = word.to_le_bytes();
        let hash = u32::from_le_bytes([0, a, b, c]).wrapping_mul(0x9e37_79b1) >> 22;
        let Some(slot) = self.slots.get_mut(hash as usize) else { return [EMPTY; WAYS] };
        let before = *slot;
        slot.iter_mut().skip(1).zip(before).for_each(|(to, from)| *to = from);
        slot.iter_mut().take(1).for_each(|first| *first = u16::try_from(at).unwrap_or(EMPTY));
        before
    }
}

/// The eight octets at a position; there are none in the last seven, which are left to be literals.
#[inline(always)]
pub(super) fn word_at(input: &[u8], at: usize) -> Option<u64> {
    input.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// A match of at least three octets.
#[derive(Clone, Copy)]
pub(super) struct Match {
    pub(super) length: u16,
    pub(super) distance: u16,
}

/// The longest match among the candidates for the octets at `at`, which begin with `word`.
#[inline(always)]
pub(super) fn longest<const WAYS: usize>(input: &[u8], at: usize, word: u64, candidates: [u16; WAYS]) -> Option<Match> {
    let (mut best, mut distance) = (MIN.wrapping_sub(1), 0usize);
    for candidate in candidates {
        let candidate = usize::from(candidate);
        let back = at.wrapping_sub(candidate);
        // Empty slots hold a position behind this one.
        let Some(there) = word_at(input, candidate).filter(|_| back.wrapping_sub(1) < WINDOW) else { continue };
        let mut length = (there ^ word).trailing_zeros() >> 3;
        if length == 8 {
            length = common(input, candidate, at);
        }
        // Three octets far away cost more than as literals.
        if length > best && (length > MIN || back <= 4096) {
            (best, distance) = (length, back);
        }
    }
    // A distance of 32768 and a length of 258 fit.
    let (length, distance) = (u16::try_from(best).ok()?, u16::try_from(distance).ok()?);
    (best >= MIN).then_some(Match { length, distance })
}

/// How many octets from `a` and from `b` on are the same, up to 258; the first eight are.
#[inline(never)]
fn common(input: &[u8], a: usize, b: usize) -> u32 {
    let (left, right) = (input.get(a..).unwrap_or_default(), input.get(b..).unwrap_or_default());
    let right = right.get(..MAX).unwrap_or(right);
    let mut length = 0u32;
    let (left_words, _) = left.as_chunks::<8>();
    let (right_words, right_tail) = right.as_chunks::<8>();
    for (l, r) in left_words.iter().zip(right_words) {
        let differ = u64::from_le_bytes(*l) ^ u64::from_le_bytes(*r);
        if differ != 0 {
            return length.wrapping_add(differ.trailing_zeros() >> 3);
        }
        length = length.wrapping_add(8);
    }
    let left_tail = left.get(length as usize..).unwrap_or_default();
    let more = left_tail.iter().zip(right_tail).take_while(|(l, r)| l == r);
    more.fold(length, |length, _| length.wrapping_add(1))
}
