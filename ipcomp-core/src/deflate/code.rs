//! Prefix codes of limited length, from how often each symbol occurs.

use super::tables::LITERALS;

/// A prefix code.
pub(super) struct Code<const N: usize> {
    /// The code length of each symbol; 0 for those that do not occur.
    pub(super) lengths: [u8; N],
    of_length: [u16; 17],
    /// The bits that the symbols take, each as often as it occurs.
    pub(super) bits: usize,
}

/// Where the symbols of a code are sorted, and their depths found: too large for the stack of a small machine.
pub(super) type Bench = [[u16; LITERALS]; 2];

impl<const N: usize> Code<N> {
    /// No symbol has a code.
    pub(super) const NONE: Self = Self { lengths: [0; N], of_length: [0; 17], bits: 0 };

    /// The best complete code whose lengths are at most `limit`. A lone symbol gets length 1. At most [`LITERALS`] symbols.
    #[inline(never)] // one after the other, they share their stack
    pub(super) fn fit(&mut self, counts: &[u16; N], limit: usize, bench: &mut Bench) {
        let [symbols, depths] = bench;
        let used = sort(counts, symbols, depths);
        let symbols = symbols.get(..used).unwrap_or_default();
        let depths = depths.get_mut(..used).unwrap_or_default();
        if let [_lone] = symbols {
            depths.fill(1);
        } else {
            for (depth, symbol) in depths.iter_mut().zip(symbols) {
                *depth = count(counts, *symbol);
            }
            minimum_redundancy(depths);
        }
        for depth in depths.iter() {
            let slot = self.of_length.get_mut(usize::from(*depth).min(limit));
            slot.into_iter().for_each(|n| *n = n.wrapping_add(1));
        }
        if depths.iter().any(|depth| usize::from(*depth) > limit) {
            shorten(&mut self.of_length, limit);
        }
        // The rarest symbols come first and get the longest codes.
        let mut rest = symbols.iter();
        for (length, many) in (0u8..=16).rev().zip(self.of_length.into_iter().rev()) {
            for symbol in rest.by_ref().take(many.into()) {
                if let Some(slot) = self.lengths.get_mut(usize::from(*symbol)) {
                    *slot = length;
                }
                let bits = usize::from(count(counts, *symbol)).wrapping_mul(length.into());
                self.bits = self.bits.wrapping_add(bits);
            }
        }
    }

    /// The codes (RFC 1951 3.2.2), each with its bits in the order they are sent, as `length << 16 | code`. Those of
    /// symbols that do not occur mean nothing.
    pub(super) fn assign(&self, codes: &mut [u32; N]) {
        let mut next = [0u16; 16];
        let mut code = 0u16;
        for (next, many) in next.iter_mut().zip(self.of_length) {
            *next = code;
            code = code.wrapping_add(many) << 1;
        }
        for (length, code) in self.lengths.iter().zip(codes) {
            if *length == 0 {
                continue;
            }
            if let Some(next) = next.get_mut(usize::from(*length & 15)) {
                let reversed = next.reverse_bits() >> (16u32.wrapping_sub(u32::from(*length)) & 15);
                *code = (u32::from(*length) << 16) | u32::from(reversed);
                *next = next.wrapping_add(1);
            }
        }
    }
}

fn count<const N: usize>(counts: &[u16; N], symbol: u16) -> u16 {
    counts.get(usize::from(symbol)).copied().unwrap_or(0)
}

/// The symbols that occur, the rarest first; returns how many. One pass puts those that are rare in their place, and all
/// others behind them; these few are sorted by insertion.
fn sort<const N: usize>(counts: &[u16; N], sorted: &mut [u16], found: &mut [u16]) -> usize {
    let mut used = 0usize;
    for (symbol, count) in (0u16..).zip(counts) {
        // One that does not occur is overwritten by the next.
        if let Some(slot) = found.get_mut(used) {
            *slot = symbol;
        }
        used = used.wrapping_add(usize::from(*count > 0));
    }
    let rare = pass(found.get(..used).unwrap_or_default(), sorted, |symbol| count(counts, symbol).min(OFTEN));
    for end in rare.wrapping_add(1)..used {
        let mut at = end;
        while let Some([left, right]) = at
            .checked_sub(1)
            .filter(|l| *l >= rare)
            .and_then(|l| sorted.get_mut(l..))
            .and_then(<[u16]>::first_chunk_mut::<2>)
        {
            if count(counts, *left) <= count(counts, *right) {
                break;
            }
            core::mem::swap(left, right);
            at = at.wrapping_sub(1);
        }
    }
    used
}

/// What occurs as often as this is sorted by insertion; there cannot be many in a packet.
const OFTEN: u16 = 63;

/// Sorts by keys up to [`OFTEN`], and returns where the last of them begins.
fn pass(from: &[u16], to: &mut [u16], key: impl Fn(u16) -> u16) -> usize {
    let mut starts = [0u16; 64];
    for symbol in from {
        if let Some(n) = starts.get_mut(usize::from(key(*symbol))) {
            *n = n.wrapping_add(1);
        }
    }
    let mut sum = 0u16;
    for start in &mut starts {
        let here = *start;
        *start = sum;
        sum = sum.wrapping_add(here);
    }
    let last = usize::from(starts.last().copied().unwrap_or(0));
    for symbol in from {
        if let Some(start) = starts.get_mut(usize::from(key(*symbol))) {
            if let Some(slot) = to.get_mut(usize::from(*start)) {
                *slot = *symbol;
            }
            *start = start.wrapping_add(1);
        }
    }
    last
}

/// Turns the counts of two or more symbols, the rarest first, into the depths of their leaves in a Huffman tree, in place
/// (Moffat and Katajainen, 1995).
fn minimum_redundancy(a: &mut [u16]) {
    let n = a.len();
    let get = |a: &[u16], i: usize| a.get(i).copied().unwrap_or(0);
    let put = |a: &mut [u16], i: usize, v: u16| a.get_mut(i).into_iter().for_each(|slot| *slot = v);
    // Combine: a[..next] become parent links, weights above.
    let (mut root, mut leaf) = (0usize, 0usize);
    for next in 0..n.saturating_sub(1) {
        let mut weight = 0u16;
        for _ in 0..2 {
            let internal = root < next && (leaf >= n || get(a, root) < get(a, leaf));
            if internal {
                weight = weight.saturating_add(get(a, root));
                put(a, root, u16::try_from(next).unwrap_or(0));
                root = root.saturating_add(1);
            } else {
                weight = weight.saturating_add(get(a, leaf));
                leaf = leaf.saturating_add(1);
            }
        }
        put(a, next, weight);
    }
    // Depths of internal nodes, from the root down.
    let last = n.saturating_sub(2);
    put(a, last, 0);
    for next in (0..last).rev() {
        let parent = usize::from(get(a, next));
        let depth = get(a, parent).saturating_add(1);
        put(a, next, depth);
    }
    // Depths of leaves.
    let (mut available, mut depth) = (1usize, 0u16);
    let (mut root, mut next) = (n.saturating_sub(1), n);
    while available > 0 {
        let mut used = 0usize;
        while root > 0 && get(a, root.saturating_sub(1)) == depth {
            used = used.saturating_add(1);
            root = root.saturating_sub(1);
        }
        while available > used && next > 0 {
            next = next.saturating_sub(1);
            put(a, next, depth);
            available = available.saturating_sub(1);
        }
        available = used.saturating_mul(2);
        depth = depth.saturating_add(1);
    }
}

/// Makes the code complete again after lengths above `limit` were cut to it: the sum of 2^-length is 1.
fn shorten(of_length: &mut [u16; 17], limit: usize) {
    let unit = |length: usize| 1u32 << limit.saturating_sub(length).min(31);
    let mut sum = 0u32;
    for (length, count) in of_length.iter().enumerate().skip(1) {
        sum = sum.saturating_add(u32::from(*count).saturating_mul(unit(length)));
    }
    let full = 1u32 << limit.min(31);
    while sum > full {
        // A leaf one level up makes room for two at the limit: itself and one that was too many there.
        let Some(from) = (1..limit).rev().find(|&l| of_length.get(l).is_some_and(|&n| n > 0)) else { break };
        let mut step = |length: usize, by: u16| {
            if let Some(n) = of_length.get_mut(length) {
                *n = n.wrapping_add(by);
            }
        };
        step(from, u16::MAX); // one less
        step(from.saturating_add(1), 2);
        step(limit, u16::MAX);
        sum = sum.saturating_sub(1);
    }
}
