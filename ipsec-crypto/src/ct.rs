use subtle::ConstantTimeEq;

/// Whether two octet strings are equal, in time that depends on their lengths only. The one comparison of secrets.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks(), b.as_chunks());
    let words = a_words.iter().zip(b_words).map(|(a, b)| u64::from_ne_bytes(*a).ct_eq(&u64::from_ne_bytes(*b)));
    let same = words.fold(a_rest.ct_eq(b_rest), |same, word| same & word);
    bool::from(same) && a.len() == b.len()
}
