use std::collections::HashSet;
use std::ops::Range;

/// Number of consecutive equal octets for which a part of a key counts as found.
const PART: usize = 8;
/// Minimum number of octets in a part that depend on the key.
const DIFFERENT: usize = 5;

/// Search for parts of the keys of an SA and of their expanded form.
#[derive(Debug)]
pub struct Search {
    parts: HashSet<[u8; PART]>,
    /// Index by the first two octets: a part begins with them.
    beginnings: Vec<bool>,
    short_keys: Vec<Vec<u8>>,
    expanded: usize,
}

impl Search {
    /// Creates a search for these keys, and for the octets that depend on them in `range` of `before`: octets that
    /// are equal in `again`, the memory of an SA with the same keys, and differ in the memory of two SAs with other
    /// keys and between these. Remains of the stack in padding do not meet this.
    pub fn new(keys: &[Vec<u8>], range: &Range<usize>, before: &[u8], again: &[u8], others: [&[u8]; 2]) -> Self {
        let (mut parts, mut expanded) = (HashSet::new(), 0);
        for at in range.start..range.end.saturating_sub(PART - 1) {
            let part: [u8; PART] = before[at..at + PART].try_into().expect("part of 8 octets");
            let depends = |at: &usize| {
                let [first, second] = others.map(|other| other[*at]);
                before[*at] != 0
                    && before[*at] == again[*at]
                    && ![first, second].contains(&before[*at])
                    && first != second
            };
            // Random octets are equal with probability 1/256, and expanded keys of DES have two zeros in eight octets.
            if (at..at + PART).filter(depends).count() >= DIFFERENT {
                parts.insert(part);
                expanded += 1;
            }
        }
        for key in keys {
            parts.extend(key.windows(PART).map(|part| <[u8; PART]>::try_from(part).expect("part of 8 octets")));
        }
        // Very short keys occur anywhere in memory by chance.
        let short_keys = keys.iter().filter(|key| (5..PART).contains(&key.len())).cloned().collect();
        let mut beginnings = vec![false; 1 << 16];
        parts.iter().for_each(|part| beginnings[beginning(part)] = true);
        Self { parts, beginnings, short_keys, expanded }
    }

    /// Returns the number of parts of the SA that depend on its keys.
    pub fn expanded(&self) -> usize {
        self.expanded
    }

    /// Returns the offset of the first part of a key or expanded key in this memory.
    pub fn find(&self, memory: &[u8]) -> Option<usize> {
        let is_part = |window: &[u8]| self.beginnings[beginning(window)] && self.parts.contains(window);
        let part = memory.windows(PART).position(is_part);
        part.or_else(|| {
            self.short_keys.iter().find_map(|key| memory.windows(key.len()).position(|window| window == key))
        })
    }
}

fn beginning(part: &[u8]) -> usize {
    usize::from(part[0]) << 8 | usize::from(part[1])
}

/// Returns the maximum number of consecutive octets that are not zero, are equal in `before` and `after`, and differ
/// from `without`, the memory of an engine that never had the SA.
pub fn longest_run(range: &Range<usize>, before: &[u8], after: &[u8], without: Option<&[u8]>) -> usize {
    let (mut longest, mut run) = (0, 0);
    for at in range.clone() {
        let same = before[at] != 0 && after[at] == before[at] && without.is_none_or(|without| without[at] != after[at]);
        run = if same { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
