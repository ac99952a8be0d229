/// Copies octets to the front of `to`, if all fit, and returns the octets behind them.
#[inline(always)]
pub(crate) fn append<'a>(to: &'a mut [u8], octets: &[u8]) -> &'a mut [u8] {
    let (front, behind) = to.split_at_mut_checked(octets.len()).unwrap_or_default();
    if front.len() == octets.len() {
        front.copy_from_slice(octets);
    }
    behind
}
