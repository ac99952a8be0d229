//! Hash index over slots in fixed memory, with chains of slot numbers.

/// Hashes a few words. The hash is fast and not secret: an attacker can choose which bucket is searched, but not what
/// is stored.
pub(crate) fn hash(words: impl IntoIterator<Item = u64>) -> u64 {
    words.into_iter().fold(0x243f_6a88_85a3_08d3, |state: u64, word| {
        let mixed = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    })
}

/// Returns an address as two words.
pub(crate) fn address(address: core::net::IpAddr) -> [u64; 2] {
    match address {
        core::net::IpAddr::V4(address) => [address.to_bits().into(), 0],
        core::net::IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h, low @ ..] = address.octets();
            [u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes(low)]
        }
    }
}

/// Returns the bucket of a hash, below `of`.
pub(crate) fn bucket(hash: u64, of: usize) -> usize {
    // The upper half of the product is mixed best. It has 32 bits, so it fits.
    usize::try_from(hash >> 32).ok().and_then(|high| high.checked_rem(of)).unwrap_or(0)
}

const END: u16 = u16::MAX;

#[derive(Debug)]
pub(crate) struct Index<const N: usize> {
    heads: [u16; N],
    next: [u16; N],
}

impl<const N: usize> Index<N> {
    pub(crate) const fn new() -> Self {
        const { assert!(N > 0 && N < 0xffff, "1 to 65534 slots") };
        Self { heads: [END; N], next: [END; N] }
    }

    /// Iterates over the slots whose hash may be this one, the last inserted first.
    pub(crate) fn find(&self, hash: u64) -> impl Iterator<Item = u16> + '_ {
        let mut at = self.heads.get(bucket(hash, N)).copied().unwrap_or(END);
        core::iter::from_fn(move || {
            let here = at;
            at = *self.next.get(usize::from(here))?;
            Some(here)
        })
        .take(N)
    }

    pub(crate) fn insert(&mut self, hash: u64, slot: u16) {
        if let (Some(head), Some(next)) = (self.heads.get_mut(bucket(hash, N)), self.next.get_mut(usize::from(slot))) {
            *next = core::mem::replace(head, slot);
        }
    }

    pub(crate) fn remove(&mut self, hash: u64, slot: u16) {
        let Some(behind) = self.next.get(usize::from(slot)).copied() else { return };
        let Some(head) = self.heads.get_mut(bucket(hash, N)) else { return };
        if *head == slot {
            *head = behind;
            return;
        }
        let before = self.find(hash).find(|&before| self.next.get(usize::from(before)) == Some(&slot));
        if let Some(link) = before.and_then(|before| self.next.get_mut(usize::from(before))) {
            *link = behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserted_slots_are_found_until_removed() {
        let mut index = Index::<8>::new();
        let hashes: [u64; 8] = core::array::from_fn(|n| hash([(n as u64) % 3]));
        for round in 0..3 {
            (0..8).for_each(|slot| index.insert(hashes[usize::from(slot)], slot));
            for gone in [3, 0, 7, 5, 1, 2, 6, 4u16].map(|slot| (slot + round) % 8) {
                assert!(index.find(hashes[usize::from(gone)]).any(|slot| slot == gone));
                index.remove(hashes[usize::from(gone)], gone);
                assert!(!index.find(hashes[usize::from(gone)]).any(|slot| slot == gone));
            }
            assert!(hashes.iter().all(|&hash| index.find(hash).next().is_none()));
        }
    }
}
