//! Nonce of the AEADs: the salt of the SA and an explicit IV of 8 octets, which never repeats.

use cipher::array::{Array, ArraySize};

use crate::{EspParts, IvRule, Layout};

pub(crate) fn layout(icv: usize) -> Layout {
    Layout { iv: 8, align: 4, icv, iv_rule: IvRule::Unique }
}

/// Returns the nonce: the salt of the SA, then the IV of the packet.
pub(crate) fn nonce<N: ArraySize>(salt: &[u8], parts: &EspParts<'_>) -> Array<u8, N> {
    let mut nonce = Array::default();
    nonce.iter_mut().zip(salt.iter().chain(&parts.iv())).for_each(|(to, from)| *to = *from);
    nonce
}
