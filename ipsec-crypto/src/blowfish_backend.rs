//! Blowfish: that of the `blowfish` crate, or with the feature `vector-code` that of `ipsec-crypto-simd`, which
//! processes several blocks in turn. The key schedule is on the heap if there is one, as it is several times as large
//! as those of other ciphers.

#[cfg(not(feature = "vector-code"))]
pub(crate) use blowfish::Blowfish;
/// Cipher with the key schedule of the vector code.
#[cfg(feature = "vector-code")]
pub(crate) type Blowfish = crate::cbc_backend::Vector<ipsec_crypto_simd::Blowfish>;

#[cfg(feature = "alloc")]
pub(crate) type StoredBlowfish = alloc::boxed::Box<Blowfish>;
#[cfg(not(feature = "alloc"))]
pub(crate) type StoredBlowfish = Blowfish;

/// Computes the key schedule of a key that is not empty.
#[cfg(all(feature = "alloc", not(feature = "vector-code")))]
pub(crate) fn stored_blowfish(key: &[u8]) -> Option<StoredBlowfish> {
    key.first()?;
    // The state before the key is public, so that the schedule is never copied.
    let mut schedule = StoredBlowfish::from(Blowfish::bc_init_state());
    schedule.bc_expand_key(key);
    Some(schedule)
}

#[cfg(all(not(feature = "alloc"), not(feature = "vector-code")))]
pub(crate) fn stored_blowfish(key: &[u8]) -> Option<StoredBlowfish> {
    cipher::KeyInit::new_from_slice(key).ok()
}

#[cfg(feature = "vector-code")]
pub(crate) fn stored_blowfish(key: &[u8]) -> Option<StoredBlowfish> {
    use core::borrow::BorrowMut;

    key.first()?;
    let mut stored = StoredBlowfish::from(crate::cbc_backend::Vector(ipsec_crypto_simd::Blowfish::without_key()));
    let schedule: &mut Blowfish = stored.borrow_mut();
    schedule.0.expand_key(key);
    Some(stored)
}
