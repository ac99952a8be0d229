/// Copies octets to the front of `to`, which the caller has checked to have space for them, and returns the octets
/// after them.
#[allow(dead_code)] // without HMAC
#[inline(always)]
pub(crate) fn append<'a>(to: &'a mut [u8], octets: &[u8]) -> &'a mut [u8] {
    let Some((front, behind)) = to.split_at_mut_checked(octets.len()) else { return excluded() };
    front.copy_from_slice(octets);
    behind
}

/// Returns a value for a branch that the lengths of the types involved exclude.
#[inline(always)]
pub(crate) fn excluded<T: Default>() -> T {
    debug_assert!(false, "lengths are inconsistent");
    T::default()
}
