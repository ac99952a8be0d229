//! Construction of prefix codes of limited length from symbol counts.

use super::tables::LITERALS;

/// Prefix code of `N` symbols.
pub(super) struct Code<const N: usize> {
    /// Code length of each symbol; 0 for symbols that do not occur.
    pub(super) lengths: [u8; N],
    count_by_length: [u16; 17],
    /// Total number of bits of all symbols, according to their counts.
    pub(super) bits: usize,
}

/// Workspace in which the symbols of a code are sorted and their depths computed; it is too large for the stack of a
/// small device.
pub(super) type Workspace = [[u16; LITERALS]; 2];

impl<const N: usize> Code<N> {
    /// Code without any symbol.
    pub(super) const NONE: Self = Self { lengths: [0; N], count_by_length: [0; 17], bits: 0 };

    /// Builds the best complete code whose lengths are at most `limit`. A single symbol gets length 1. The alphabet has
    /// at most [`LITERALS`] symbols.
    #[inline(never)] // consecutive calls share the stack
    pub(super) fn build(&mut self, counts: &[u16; N], limit: usize, workspace: &mut Workspace) {
        let [symbols, depths] = workspace;
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
            let slot = self.count_by_length.get_mut(usize::from(*depth).min(limit));
            slot.into_iter().for_each(|n| *n = n.wrapping_add(1));
        }
        if depths.iter().any(|depth| usize::from(*depth) > limit) {
            limit_lengths(&mut self.count_by_length, limit);
        }
        // The rarest symbols are first and get the longest codes.
        let mut rest = symbols.iter();
        for (length, number) in (0u8..=16).rev().zip(self.count_by_length.into_iter().rev()) {
            for symbol in rest.by_ref().take(number.into()) {
                if let Some(slot) = self.lengths.get_mut(usize::from(*symbol)) {
                    *slot = length;
                }
                let bits = usize::from(count(counts, *symbol)).wrapping_mul(length.into());
                self.bits = self.bits.wrapping_add(bits);
            }
        }
    }

    /// Assigns the codes as `length << 16 | code`, with the bits in wire order (RFC 1951 section 3.2.2). The entries of
    /// symbols that do not occur are not set.
    pub(super) fn assign(&self, codes: &mut [u32; N]) {
        let mut next = [0u16; 16];
        let mut code = 0u16;
        for (next, number) in next.iter_mut().zip(self.count_by_length) {
            *next = code;
            code = code.wrapping_add(number) << 1;
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

/// Sorts the symbols that occur, rarest first, and returns their number. A counting sort orders the rare symbols and
/// places all others after them; these few are sorted by insertion.
fn sort<const N: usize>(counts: &[u16; N], sorted: &mut [u16], found: &mut [u16]) -> usize {
    let mut used = 0usize;
    for (symbol, count) in (0u16..).zip(counts) {
        // A symbol that does not occur is overwritten by the next one.
        if let Some(slot) = found.get_mut(used) {
            *slot = symbol;
        }
        used = used.wrapping_add(usize::from(*count > 0));
    }
    let rare =
        counting_sort(found.get(..used).unwrap_or_default(), sorted, |symbol| count(counts, symbol).min(FREQUENT));
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

/// Minimum count of symbols that are sorted by insertion; a packet cannot contain many of them.
const FREQUENT: u16 = 63;

/// Sorts symbols by keys up to [`FREQUENT`], and returns the start of those with the last key.
fn counting_sort(from: &[u16], to: &mut [u16], key: impl Fn(u16) -> u16) -> usize {
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

/// Converts in place the counts of two or more symbols, rarest first, into the depths of their leaves in a Huffman tree
/// (Moffat and Katajainen, 1995).
fn minimum_redundancy(a: &mut [u16]) {
    let n = a.len();
    let get = |a: &[u16], i: usize| a.get(i).copied().unwrap_or(0);
    let put = |a: &mut [u16], i: usize, v: u16| a.get_mut(i).into_iter().for_each(|slot| *slot = v);
    // Combine the two smallest weights: a[..next] become parent links, and weights follow.
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
    // Compute the depths of internal nodes, from the root down.
    let last = n.saturating_sub(2);
    put(a, last, 0);
    for next in (0..last).rev() {
        let parent = usize::from(get(a, next));
        let depth = get(a, parent).saturating_add(1);
        put(a, next, depth);
    }
    // Compute the depths of the leaves.
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

/// Restores a complete code, for which the sum of 2^-length is 1, after lengths above `limit` were reduced to it.
fn limit_lengths(count_by_length: &mut [u16; 17], limit: usize) {
    let unit = |length: usize| 1u32 << limit.saturating_sub(length).min(31);
    let mut sum = 0u32;
    for (length, count) in count_by_length.iter().enumerate().skip(1) {
        sum = sum.saturating_add(u32::from(*count).saturating_mul(unit(length)));
    }
    let full = 1u32 << limit.min(31);
    while sum > full {
        // A leaf above the limit is replaced by a node with two leaves: itself and one of the leaves in excess at the
        // limit.
        let Some(from) = (1..limit).rev().find(|&l| count_by_length.get(l).is_some_and(|&n| n > 0)) else { break };
        let mut adjust = |length: usize, by: u16| {
            if let Some(n) = count_by_length.get_mut(length) {
                *n = n.wrapping_add(by);
            }
        };
        adjust(from, u16::MAX); // adds -1
        adjust(from.saturating_add(1), 2);
        adjust(limit, u16::MAX);
        sum = sum.saturating_sub(1);
    }
}
