//! Index of the vendor ID table by first octet: a peer may send thousands of vendor IDs, and each is compared with at
//! most four rows.

use super::VendorId;
use super::table::TABLE;

/// First row of the table for each first octet; [`END`] when there is none.
static FIRST: [u8; 256] = LINKS.0;
/// Next row with the same first octet for each row; [`END`] when there is none.
static NEXT: [u8; TABLE.len()] = LINKS.1;

const END: u8 = u8::MAX;
const _: () = assert!(TABLE.len() < END as usize);

/// Values of [`FIRST`] and [`NEXT`]. An empty vendor ID in the table is a compile-time error.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)] // evaluated at compile time only
const LINKS: ([u8; 256], [u8; TABLE.len()]) = {
    let (mut first, mut next) = ([END; 256], [END; TABLE.len()]);
    // The rows are linked in reverse, so that each link refers to a later row and the order of the table is preserved.
    let mut row = TABLE.len();
    while row > 0 {
        row -= 1;
        let octet = TABLE[row].bytes[0] as usize;
        next[row] = first[octet];
        first[octet] = row as u8;
    }
    (first, next)
};

/// Iterates over the vendor IDs that begin with `octet`.
pub(super) fn candidates(octet: u8) -> impl Iterator<Item = &'static VendorId> {
    let mut at = FIRST.get(usize::from(octet)).copied().unwrap_or(END);
    core::iter::from_fn(move || {
        let row = TABLE.get(usize::from(at))?;
        at = NEXT.get(usize::from(at)).copied().unwrap_or(END);
        Some(row)
    })
}
