use subtle::ConstantTimeEq;

/// Compares two octet strings in time that depends on their lengths only. Secrets are compared by this function only.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks(), b.as_chunks());
    let words = a_words.iter().zip(b_words).map(|(a, b)| u64::from_ne_bytes(*a).ct_eq(&u64::from_ne_bytes(*b)));
    let same = words.fold(a_rest.ct_eq(b_rest), |same, word| same & word);
    bool::from(same) && a.len() == b.len()
}
