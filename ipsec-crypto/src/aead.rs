//! Sealing and opening with the AEADs of RustCrypto.

use ::aead::inout::InOutBuf;
use ::aead::{AeadInOut, Tag};
use zeroize::Zeroize;

use crate::nonce::{nonce, set_icv};
use crate::{EspParts, IcvMismatch};

/// Encrypts a packet as [`Suite::seal`](crate::Suite::seal) specifies.
pub(crate) fn seal<A: AeadInOut>(aead: &A, salt: &[u8; 4], parts: &mut EspParts<'_>) {
    let (nonce, aad) = (nonce(salt, parts), parts.aad());
    let sealed = aead.encrypt_inout_detached(&nonce, aad.as_slice(), InOutBuf::from(parts.body()));
    match sealed {
        Ok(tag) => set_icv::<A::TagSize>(parts, &tag),
        // Encryption fails for bodies of gigabytes only, which no packet has. Even then no plaintext may be sent.
        Err(_) => parts.body().zeroize(),
    }
}

/// Decrypts a packet as [`Suite::open`](crate::Suite::open) specifies.
pub(crate) fn open<A: AeadInOut>(aead: &A, salt: &[u8; 4], parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
    let tag = Tag::<A>::try_from(parts.icv()).map_err(|_| IcvMismatch)?;
    let (nonce, aad) = (nonce(salt, parts), parts.aad());
    let body = InOutBuf::from(parts.body());
    //= RFC 4303 3.4.4.2/1
    //# MUST: a packet that a combined mode algorithm finds wrong is discarded
    aead.decrypt_inout_detached(&nonce, aad.as_slice(), body, &tag).map_err(|_| IcvMismatch)
}
