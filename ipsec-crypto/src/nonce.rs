//! Nonce of the AEADs: the salt of the SA and an explicit IV of 8 octets, which never repeats.

use cipher::array::{Array, ArraySize};

use crate::append::excluded;
use crate::layout::layout;
use crate::{EspParts, Icv, IcvLen, Layout};

/// Layout of an AEAD without its ICV.
pub(crate) const LAYOUT: Layout = layout!(8, 4, IcvLen::NONE, Unique);

/// Returns the length of the tag of an AEAD, which the compiler checks.
pub(crate) const fn icv_len<N: ArraySize>() -> IcvLen {
    const {
        match IcvLen::new(N::USIZE) {
            Some(len) => len,
            None => panic!("an ICV has at most 32 octets"),
        }
    }
}

/// Returns the nonce: the salt of the SA, then the IV of the packet.
pub(crate) fn nonce<N: ArraySize>(salt: &[u8], parts: &EspParts<'_>) -> Array<u8, N> {
    let mut nonce = Array::default();
    nonce.iter_mut().zip(salt.iter().chain(&parts.iv())).for_each(|(to, from)| *to = *from);
    nonce
}

/// Writes the tag of an AEAD, or its first `N` octets (RFC 4303 section 2.8).
pub(crate) fn set_icv<N: ArraySize>(parts: &mut EspParts<'_>, tag: &[u8]) {
    match Icv::truncated(tag, icv_len::<N>()) {
        Some(icv) => parts.set_icv(&icv),
        None => excluded(), // no ICV is longer than the tag of its AEAD
    }
}
