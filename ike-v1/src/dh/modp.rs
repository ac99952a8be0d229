//! Diffie-Hellman on MODP groups: powers modulo a prime.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Limb, Odd, Uint, Word};
use zeroize::Zeroize;

use super::DhError;

/// Computes `base ^ private mod prime`; without a base, the generator 2 that all groups share.
pub(super) fn power<const LIMBS: usize>(
    prime: &Odd<Uint<LIMBS>>,
    private: &[u8],
    base: Option<&[u8]>,
    out: &mut [u8],
) -> Result<(), DhError> {
    let base = match base {
        Some(public) => read(public),
        None => Uint::from_u8(2),
    };
    // With 0, 1, p - 1 and values above, the shared secret is predictable (CVE-2015-3240).
    let last = prime.as_ref().wrapping_sub(&Uint::ONE);
    if base <= Uint::ONE || base >= last {
        return Err(DhError::InvalidPublicValue);
    }
    let mut exponent: Uint<LIMBS> = read(private);
    if exponent.is_zero().into() {
        return Err(DhError::InvalidPrivateValue);
    }
    let bits = u32::try_from(private.len().saturating_mul(8)).unwrap_or(u32::MAX);
    let params = FixedMontyParams::new_vartime(*prime); // the prime is public
    let mut power = FixedMontyForm::new(&base, &params).pow_bounded_exp(&exponent, bits);
    let mut result = power.retrieve();
    write(&result, out);
    exponent.zeroize();
    power.zeroize();
    result.zeroize();
    Ok(())
}

/// Decodes a number in network byte order.
fn read<const LIMBS: usize>(octets: &[u8]) -> Uint<LIMBS> {
    let mut words = [0 as Word; LIMBS];
    for (word, chunk) in words.iter_mut().zip(octets.rchunks(Limb::BYTES)) {
        *word = chunk.iter().fold(0, |sum: Word, &octet| sum.wrapping_shl(8) | Word::from(octet));
    }
    let number = Uint::from_words(words);
    words.zeroize();
    number
}

/// Encodes a number in network byte order, filling `octets` with leading zeros.
//= RFC 2409 5/7
//# MUST: a public value has the length of its group, with zeros in front
fn write<const LIMBS: usize>(number: &Uint<LIMBS>, octets: &mut [u8]) {
    for (word, chunk) in number.as_words().iter().zip(octets.rchunks_mut(Limb::BYTES)) {
        let bytes = word.to_be_bytes();
        chunk.iter_mut().rev().zip(bytes.iter().rev()).for_each(|(to, from)| *to = *from);
    }
}
