//! CAST-128: that of the `cast5` crate, or with the feature `vector-code` that of `ipsec-crypto-simd`, which processes
//! several blocks in turn.

#[cfg(not(feature = "vector-code"))]
pub(crate) use cast5::Cast5 as Cast128;
/// Cipher with the key schedule of the vector code.
#[cfg(feature = "vector-code")]
pub(crate) type Cast128 = crate::cbc_backend::Vector<ipsec_crypto_simd::Cast128>;

/// Computes the key schedule of a key of 5 to 16 octets.
#[cfg(not(feature = "vector-code"))]
pub(crate) fn cast128(key: &[u8]) -> Option<Cast128> {
    cipher::KeyInit::new_from_slice(key).ok()
}

#[cfg(feature = "vector-code")]
pub(crate) fn cast128(key: &[u8]) -> Option<Cast128> {
    (5..=16).contains(&key.len()).then(|| crate::cbc_backend::Vector(ipsec_crypto_simd::Cast128::new(key)))
}
