//! Suites that are documented as constant-time.

use ipsec_crypto::{CipherAlgorithm as C, CipherRow, IntegrityAlgorithm as I, IntegrityRow};

/// Cipher, length of its key with the salt, integrity algorithm, and length of its key; lengths in octets.
pub type Choice = (C, usize, I, usize);

/// Returns each cipher without tables with each integrity algorithm, and each AEAD, with each key length.
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
