//! Hash index over slots, with chains of slot numbers: in fixed memory, or, with the feature `alloc`, on the heap as it
//! grows.

#[cfg(not(feature = "alloc"))]
pub(crate) use fixed::Index;
#[cfg(feature = "alloc")]
pub(crate) use heap::Index;

/// Initial state and factor of the hashes: digits of pi and of the golden ratio.
const START: u64 = 0x243f_6a88_85a3_08d3;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes a few words. The hash is fast and not secret: an attacker can choose which bucket is searched, but not its
/// entries.
pub(crate) fn hash(words: impl IntoIterator<Item = u64>) -> u64 {
    words.into_iter().fold(START, |state: u64, word| {
        let mixed = (state ^ word).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 29)
    })
}

/// Hashes a few words under a secret key: without the key an attacker cannot choose inputs that share a bucket. With
/// any key, also 0, inputs that differ in a few bits are spread over the buckets.
pub(crate) fn keyed_hash([start, factor]: [u64; 2], words: impl IntoIterator<Item = u64>) -> u64 {
    let (start, factor) = (start ^ START, u128::from((factor ^ FACTOR) | 1));
    words.into_iter().fold(start, |state, word| fold(u128::from(state ^ word).wrapping_mul(factor)))
}

/// Returns the two halves of a product, combined so that each bit depends on the bits above and below it.
fn fold(product: u128) -> u64 {
    let [low, high] = [product, product >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0));
    low ^ high
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
    // The upper half of the hash is mixed best. As a fraction of 2^32, it selects a bucket without a division.
    let of = u64::try_from(of).unwrap_or(u64::MAX);
    usize::try_from((hash >> 32).wrapping_mul(of) >> 32).unwrap_or(0)
}

#[cfg(not(feature = "alloc"))]
mod fixed {
    use super::bucket;
    use crate::table::SlotNumber;

    /// Index of at most `N` slots.
    #[derive(Debug)]
    pub(crate) struct Index<const N: usize> {
        heads: [Option<SlotNumber>; N],
        next: [Option<SlotNumber>; N],
    }

    impl<const N: usize> Index<N> {
        pub(crate) const fn new() -> Self {
            const { assert!(N > 0 && N < 0xffff, "1 to 65534 slots") };
            Self { heads: [None; N], next: [None; N] }
        }

        /// Iterates over the slots whose hash may be this one, the last inserted first.
        pub(crate) fn find(&self, hash: u64) -> impl Iterator<Item = SlotNumber> + '_ {
            let mut at = self.heads.get(bucket(hash, N)).copied().flatten();
            core::iter::from_fn(move || {
                let here = at?;
                at = *self.next.get(here.index())?;
                Some(here)
            })
            .take(N)
        }

        pub(crate) fn insert(&mut self, hash: u64, slot: SlotNumber) {
            if let (Some(head), Some(next)) = (self.heads.get_mut(bucket(hash, N)), self.next.get_mut(slot.index())) {
                *next = head.replace(slot);
            }
        }

        pub(crate) fn remove(&mut self, hash: u64, slot: SlotNumber) {
            let Some(behind) = self.next.get(slot.index()).copied() else { return };
            let Some(head) = self.heads.get_mut(bucket(hash, N)) else { return };
            if *head == Some(slot) {
                *head = behind;
                return;
            }
            let before = self.find(hash).find(|before| self.next.get(before.index()) == Some(&Some(slot)));
            if let Some(link) = before.and_then(|before| self.next.get_mut(before.index())) {
                *link = behind;
            }
        }
    }
}

#[cfg(feature = "alloc")]
mod heap {
    use alloc::vec::Vec;

    use super::bucket;
    use crate::table::SlotNumber;

    /// Smallest number of buckets.
    const LEAST_BUCKETS: usize = 16;

    /// Index of any number of slots. A slot is removed without a search of its chain.
    #[derive(Clone, Debug)]
    pub(crate) struct Index<const N: usize> {
        heads: Vec<Option<SlotNumber>>,
        links: Vec<Link>,
        inserted: usize,
    }

    /// Links of a slot to the previous and the next one of the chain.
    #[derive(Clone, Copy, Debug, Default)]
    struct Link {
        next: Option<SlotNumber>,
        before: Option<SlotNumber>,
        hash: u64,
    }

    impl<const N: usize> Index<N> {
        pub(crate) const fn new() -> Self {
            Self { heads: Vec::new(), links: Vec::new(), inserted: 0 }
        }

        /// Iterates over the slots with this hash, the last inserted first.
        pub(crate) fn find(&self, hash: u64) -> impl Iterator<Item = SlotNumber> + '_ {
            let first = self.heads.get(bucket(hash, self.heads.len())).copied().flatten();
            core::iter::successors(self.same(hash, first), move |at| self.behind(hash, *at))
        }

        /// Returns the slot after another one with the same hash.
        pub(crate) fn behind(&self, hash: u64, slot: SlotNumber) -> Option<SlotNumber> {
            self.same(hash, self.links.get(slot.index())?.next)
        }

        /// Returns the first slot with this hash from `at` on.
        fn same(&self, hash: u64, mut at: Option<SlotNumber>) -> Option<SlotNumber> {
            loop {
                let link = self.links.get(at?.index())?;
                if link.hash == hash {
                    return at;
                }
                at = link.next;
            }
        }

        /// Inserts a slot that is not in the index.
        pub(crate) fn insert(&mut self, hash: u64, slot: SlotNumber) {
            if self.inserted >= self.heads.len() {
                self.grow();
            }
            if self.links.len() <= slot.index() {
                self.links.resize(slot.index().saturating_add(1), Link::default());
            }
            self.inserted = self.inserted.saturating_add(1);
            self.link(hash, slot);
        }

        fn link(&mut self, hash: u64, slot: SlotNumber) {
            let at = bucket(hash, self.heads.len());
            let Some(next) = self.heads.get_mut(at).map(|head| head.replace(slot)) else { return };
            if let Some(next) = next.and_then(|next| self.links.get_mut(next.index())) {
                next.before = Some(slot);
            }
            if let Some(link) = self.links.get_mut(slot.index()) {
                *link = Link { next, before: None, hash };
            }
        }

        /// Removes a slot that was inserted with this hash.
        pub(crate) fn remove(&mut self, hash: u64, slot: SlotNumber) {
            let Some(&Link { next, before, .. }) = self.links.get(slot.index()) else { return };
            if let Some(next) = next.and_then(|next| self.links.get_mut(next.index())) {
                next.before = before;
            }
            let at = bucket(hash, self.heads.len());
            let link = match before {
                Some(before) => self.links.get_mut(before.index()).map(|before| &mut before.next),
                None => self.heads.get_mut(at),
            };
            if let Some(link) = link {
                *link = next;
                self.inserted = self.inserted.saturating_sub(1);
            }
        }

        /// Doubles the number of buckets. The slots of a chain stay in their order.
        fn grow(&mut self) {
            let buckets = self.heads.len().saturating_mul(2).max(LEAST_BUCKETS);
            let old = core::mem::take(&mut self.heads);
            self.heads.resize(buckets, None);
            for head in old {
                // The chain is followed to its end, and its slots are inserted from there.
                let mut last = head;
                while let Some(next) = last.and_then(|at| self.links.get(at.index())?.next) {
                    last = Some(next);
                }
                while let Some(at) = last {
                    let Some(&Link { before, hash, .. }) = self.links.get(at.index()) else { break };
                    self.link(hash, at);
                    last = before;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::SlotNumber;

    #[test]
    fn inserted_slots_are_found_until_removed() {
        let mut index = Index::<64>::new();
        let hashes: [u64; 64] = core::array::from_fn(|n| hash([(n as u64) % 13]));
        let slots = || SlotNumber::first(64);
        for round in 0..3 {
            slots().for_each(|slot| index.insert(hashes[slot.index()], slot));
            for (value, of_value) in hashes.iter().enumerate().take(13) {
                let found = index.find(*of_value).filter(|slot| slot.index() % 13 == value);
                assert!(found.is_sorted_by(|newer, older| newer > older), "the last inserted slot is not the first");
            }
            for n in 0..64 {
                let gone = SlotNumber::of((n * 37 + round) % 64).unwrap();
                assert!(index.find(hashes[gone.index()]).any(|slot| slot == gone));
                index.remove(hashes[gone.index()], gone);
                assert!(!index.find(hashes[gone.index()]).any(|slot| slot == gone));
            }
            assert!(hashes.iter().all(|&hash| index.find(hash).next().is_none()));
        }
    }
}
