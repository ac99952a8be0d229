use core::fmt;

use ::cmac::digest::{FixedOutput, Update};
use aes::Aes128Enc as Aes128;
use cipher::KeyInit;
use cipher::array::Array;

use crate::{Icv, IcvLen, Integrity};

/// AES-CMAC truncated to 96 bits (RFC 4494).
pub struct AesCmac96(::cmac::Cmac<Aes128>);

impl AesCmac96 {
    /// Creates the algorithm from a key of 128 bits (RFC 4493 section 2.4).
    pub fn new(key: &[u8; 16]) -> Self {
        Self(::cmac::Cmac::new(&Array(*key)))
    }
}

impl Integrity for AesCmac96 {
    fn icv_len(&self) -> IcvLen {
        IcvLen::of::<12>()
    }

    fn compute_over(&self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv {
        let mut mac = self.0.clone();
        feed(&mut |piece| mac.update(piece));
        Icv::first::<12>(mac.finalize_fixed().into())
    }
}

impl fmt::Debug for AesCmac96 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesCmac96(..)")
    }
}
