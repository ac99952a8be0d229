//! Search for repetitions in the input, with a small hash table of positions.

/// Number of slots of the table; each stores the last positions with its hash.
const SLOTS: usize = 1024;
const MIN_MATCH: u32 = 3;
const MAX_MATCH: usize = 258;
const WINDOW: usize = 32768;

/// Hash table of the last `WAYS` positions of three octets for each hash.
///
/// An empty slot contains position 0, which is compared like any other: a branch on empty slots is unpredictable, and
/// the comparison of the octets refuses a false match.
pub(super) struct Positions<const WAYS: usize> {
    slots: [[u16; WAYS]; SLOTS],
}

impl<const WAYS: usize> Positions<WAYS> {
    pub(super) const fn new() -> Self {
        Self { slots: [[0; WAYS]; SLOTS] }
    }

    pub(super) fn clear(&mut self) {
        self.slots.as_flattened_mut().fill(0);
    }

    /// Stores the position of the octets in `word`, and returns the preceding positions with the same hash, latest
    /// first. Positions above 65534 are not stored.
    #[inline(always)]
    pub(super) fn insert(&mut self, word: u64, at: usize) -> [u16; WAYS] {
        let [a, b, c, ..] = word.to_le_bytes();
        let hash = u32::from_le_bytes([0, a, b, c]).wrapping_mul(0x9e37_79b1) >> 22;
        let Some(slot) = self.slots.get_mut(hash as usize) else { return [0; WAYS] };
        let previous = *slot;
        slot.iter_mut().skip(1).zip(previous).for_each(|(to, from)| *to = from);
        slot.iter_mut().take(1).for_each(|first| *first = u16::try_from(at).unwrap_or(u16::MAX));
        previous
    }
}

/// Returns the eight octets at a position. The last seven positions have none; they are encoded as literals.
#[inline(always)]
pub(super) fn word_at(input: &[u8], at: usize) -> Option<u64> {
    input.windows(8).nth(at)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// Match of at least three octets.
#[derive(Clone, Copy)]
pub(super) struct Match {
    pub(super) length: u16,
    pub(super) distance: u16,
}

/// Returns the longest match among the candidate positions for the octets at `at`, which begin with `word`.
#[inline(always)]
pub(super) fn longest_match<const WAYS: usize>(
    input: &[u8],
    at: usize,
    word: u64,
    candidates: [u16; WAYS],
) -> Option<Match> {
    let (mut best, mut distance) = (0u32, 0usize);
    for candidate in candidates {
        let candidate = usize::from(candidate);
        let differ = word_at(input, candidate).unwrap_or(!word) ^ word;
        let length = if differ == 0 { common_prefix_len(input, candidate, at) } else { differ.trailing_zeros() >> 3 };
        distance = if length > best { at.wrapping_sub(candidate) } else { distance };
        best = best.max(length);
    }
    // A distant match of three octets takes more bits than literals; position 0 does not match itself.
    if best < MIN_MATCH || distance.wrapping_sub(1) >= WINDOW || (best == MIN_MATCH && distance > 4096) {
        return None;
    }
    // A length of 258 and a distance of 32768 fit; the masks show this to the compiler.
    let length = u16::try_from(best & 0x1ff).unwrap_or(0);
    Some(Match { length, distance: u16::try_from(distance & 0xffff).unwrap_or(0) })
}

/// Returns the length of the common prefix of the input at `a` and at `b`, at most 258. The first eight
/// octets are known to be equal.
#[inline(never)]
fn common_prefix_len(input: &[u8], a: usize, b: usize) -> u32 {
    let (left, right) = (input.get(a..).unwrap_or_default(), input.get(b..).unwrap_or_default());
    let right = right.get(..MAX_MATCH).unwrap_or(right);
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
