//! DES and 3DES (FIPS 46-3): those of the `des` crate, or with the feature `vector-code` those of `ipsec-crypto-simd`:
//! tables for the chain of one packet and for short bodies, and the bitsliced implementation, which is constant-time,
//! for long bodies. With `--cfg ipsec_constant_time_des` everything is bitsliced.

#[cfg(all(ipsec_constant_time_des, not(feature = "vector-code")))]
compile_error!("--cfg ipsec_constant_time_des requires the feature vector-code");

#[cfg(not(feature = "vector-code"))]
pub(crate) use portable::*;
#[cfg(feature = "vector-code")]
pub(crate) use vector::*;

#[cfg(not(feature = "vector-code"))]
mod portable {
    use cipher::KeyInit;
    use cipher::array::Array;

    #[cfg(feature = "des")]
    pub(crate) use des::Des;
    #[cfg(feature = "3des")]
    pub(crate) use des::TdesEde3 as TripleDes;

    #[cfg(feature = "des")]
    pub(crate) fn des(key: &[u8; 8]) -> Des {
        Des::new(&Array(*key))
    }

    #[cfg(feature = "3des")]
    pub(crate) fn triple_des(key: &[u8; 24]) -> TripleDes {
        TripleDes::new(&Array(*key))
    }
}

#[cfg(feature = "vector-code")]
mod vector {
    #[cfg(ipsec_constant_time_des)]
    use ipsec_crypto_simd::BitslicedDes as Implementation;
    #[cfg(not(ipsec_constant_time_des))]
    use ipsec_crypto_simd::FastDes as Implementation;

    use crate::cbc_backend::Vector;

    #[cfg(feature = "des")]
    pub(crate) type Des = Vector<Implementation<1>>;
    #[cfg(feature = "3des")]
    pub(crate) type TripleDes = Vector<Implementation<3>>;

    #[cfg(feature = "des")]
    pub(crate) fn des(key: &[u8; 8]) -> Des {
        Vector(Implementation::<1>::new(key))
    }

    #[cfg(feature = "3des")]
    pub(crate) fn triple_des(key: &[u8; 24]) -> TripleDes {
        Vector(Implementation::<3>::new(key))
    }
}
