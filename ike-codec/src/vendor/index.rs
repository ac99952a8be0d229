//! The rows of the table by their first octet: a peer may send thousands of vendor IDs, and each is compared with four rows at most.

use super::VendorId;
use super::table::TABLE;

/// For each first octet, the first row that begins with it; [`END`] for none.
static FIRST: [u8; 256] = LINKS.0;
/// For each row, the next one that begins with the same octet; [`END`] for none.
static NEXT: [u8; TABLE.len()] = LINKS.1;

const END: u8 = u8::MAX;
const _: () = assert!(TABLE.len() < END as usize);

/// Both tables. A vendor ID without octets does not compile.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)] // evaluated by the compiler only
const LINKS: ([u8; 256], [u8; TABLE.len()]) = {
    let (mut first, mut next) = ([END; 256], [END; TABLE.len()]);
    // Backwards, so that the rows keep their order and each link leads to a later row.
    let mut row = TABLE.len();
    while row > 0 {
        row -= 1;
        let octet = TABLE[row].bytes[0] as usize;
        next[row] = first[octet];
        first[octet] = row as u8;
    }
    (first, next)
};

/// The vendor IDs that begin with this octet.
pub(super) fn candidates(octet: u8) -> impl Iterator<Item = &'static VendorId> {
    let mut at = FIRST.get(usize::from(octet)).copied().unwrap_or(END);
    core::iter::from_fn(move || {
        let row = TABLE.get(usize::from(at))?;
        at = NEXT.get(usize::from(at)).copied().unwrap_or(END);
        Some(row)
    })
}
