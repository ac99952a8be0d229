//! Weak and semi-weak keys of DES (RFC 2405 section 4.1, RFC 2409 appendix A).

use crate::KeyError;

#[cfg(feature = "des")]
/// Keys whose encryption and decryption are the same. Parity bits are cleared here, and in the key before the
/// comparison.
const WEAK: [u64; 4] = [0x0101_0101_0101_0101, 0xfefe_fefe_fefe_fefe, 0x1f1f_1f1f_0e0e_0e0e, 0xe0e0_e0e0_f1f1_f1f1];

#[cfg(feature = "des")]
/// Six pairs of keys; encryption under one reverses encryption under the other.
const SEMI_WEAK: [u64; 12] = [
    0x01fe_01fe_01fe_01fe,
    0xfe01_fe01_fe01_fe01,
    0x1fe0_1fe0_0ef1_0ef1,
    0xe01f_e01f_f10e_f10e,
    0x01e0_01e0_01f1_01f1,
    0xe001_e001_f101_f101,
    0x1ffe_1ffe_0efe_0efe,
    0xfe1f_fe1f_fe0e_fe0e,
    0x011f_011f_010e_010e,
    0x1f01_1f01_0e01_0e01,
    0xe0fe_e0fe_f1fe_f1fe,
    0xfee0_fee0_fef1_fef1,
];

const WITHOUT_PARITY: u64 = 0xfefe_fefe_fefe_fefe;

#[cfg(feature = "des")]
pub(crate) fn check_des(key: &[u8; 8]) -> Result<(), KeyError> {
    let key = u64::from_be_bytes(*key) & WITHOUT_PARITY;
    let listed = |list: &[u64]| list.iter().fold(false, |found, weak| found | (weak & WITHOUT_PARITY == key));
    match (listed(&WEAK), listed(&SEMI_WEAK)) {
        (true, _) => Err(KeyError::WeakDes),
        (_, true) => Err(KeyError::SemiWeakDes),
        _ => Ok(()),
    }
}

#[cfg(feature = "3des")]
pub(crate) fn check_triple_des(key: &[u8; 24]) -> Result<(), KeyError> {
    let (keys, _) = key.as_chunks::<8>();
    let mut keys = keys.iter().map(|k| u64::from_be_bytes(*k) & WITHOUT_PARITY);
    let (k1, k2, k3) = (keys.next(), keys.next(), keys.next());
    if (k1 == k2) | (k2 == k3) { Err(KeyError::DegenerateTripleDes) } else { Ok(()) }
}
