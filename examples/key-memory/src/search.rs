use std::collections::HashSet;
use std::ops::Range;

/// Octets that have to be alike in a row for a part of a key to count as found.
const PART: usize = 8;
/// How many of them depend on the key.
const DIFFERENT: usize = 5;

/// What is searched for: parts of a key as it was given, and of what an SA made of it.
#[derive(Debug)]
pub struct Search {
    parts: HashSet<[u8; PART]>,
    /// Whether a part begins with these two octets.
    beginnings: Vec<bool>,
    short_keys: Vec<Vec<u8>>,
    expanded: usize,
}

impl Search {
    /// For these keys, and for what depends on them in `range` of `before`: the octets that are alike in `again`, the memory of an SA with
    /// the same keys, and differ in those of two SAs with other keys, and between these: what the stack left in gaps does not.
    pub fn new(keys: &[Vec<u8>], range: &Range<usize>, before: &[u8], again: &[u8], others: [&[u8]; 2]) -> Self {
        let (mut parts, mut expanded) = (HashSet::new(), 0);
        for at in range.start..range.end.saturating_sub(PART - 1) {
            let part: [u8; PART] = before[at..at + PART].try_into().expect("eight octets");
            let depends = |at: &usize| {
                let [first, second] = others.map(|other| other[*at]);
                before[*at] != 0
                    && before[*at] == again[*at]
                    && ![first, second].contains(&before[*at])
                    && first != second
            };
            // Two random octets are alike once in 256 times, and expanded keys of DES have two zeros in eight octets.
            if (at..at + PART).filter(depends).count() >= DIFFERENT {
                parts.insert(part);
                expanded += 1;
            }
        }
        for key in keys {
            parts.extend(key.windows(PART).map(|part| <[u8; PART]>::try_from(part).expect("eight octets")));
        }
        // One or two octets stand anywhere by chance.
        let short_keys = keys.iter().filter(|key| (5..PART).contains(&key.len())).cloned().collect();
        let mut beginnings = vec![false; 1 << 16];
        parts.iter().for_each(|part| beginnings[beginning(part)] = true);
        Self { parts, beginnings, short_keys, expanded }
    }

    /// How many places of the SA depend on its keys.
    pub fn expanded(&self) -> usize {
        self.expanded
    }

    /// Where a part of a key, or of what an SA made of it, stands.
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

/// The most octets in a row that are not zero, are in `after` as they were in `before`, and are not in `without`, memory that never held
/// what `before` holds.
pub fn longest_run(range: &Range<usize>, before: &[u8], after: &[u8], without: Option<&[u8]>) -> usize {
    let (mut longest, mut run) = (0, 0);
    for at in range.clone() {
        let same = before[at] != 0 && after[at] == before[at] && without.is_none_or(|without| without[at] != after[at]);
        run = if same { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
