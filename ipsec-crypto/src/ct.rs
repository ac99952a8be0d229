use subtle::ConstantTimeEq;

/// Whether two octet strings are equal, in time that depends on their lengths only. The one comparison of secrets.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
