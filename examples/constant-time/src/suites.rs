//! Every suite that claims to be constant-time.

use ipsec_crypto::{CipherAlgorithm as C, CipherRow, IntegrityAlgorithm as I, IntegrityRow};

/// A cipher and the length of its key, salt included; a MAC and the length of its key.
pub type Choice = (C, usize, I, usize);

/// Each cipher without tables with each MAC, and each AEAD, with each length of key.
pub fn constant_time() -> Vec<Choice> {
    let tables = [C::DesCbc, C::TripleDesCbc, C::BlowfishCbc, C::Cast128Cbc];
    let ciphers = C::ALL.iter().filter(|row| !tables.contains(&row.algorithm));
    ciphers
        .flat_map(|row| lengths(row).flat_map(move |key| macs(row).map(move |mac| (row.algorithm, key, mac.0, mac.1))))
        .collect()
}

fn lengths(row: &CipherRow) -> impl Iterator<Item = usize> {
    (row.keys.min..=row.keys.max).step_by(row.keys.step.max(1))
}

fn macs(row: &CipherRow) -> impl Iterator<Item = (I, usize)> + use<> {
    let alone = row.icv > 0;
    let fits = move |mac: &&IntegrityRow| match mac.algorithm {
        I::None => alone,
        I::AesGmac => false,
        _ => !alone,
    };
    I::ALL.iter().filter(fits).map(|mac| (mac.algorithm, mac.default_key))
}
