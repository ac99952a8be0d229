use core::fmt;

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};

use super::error::SetkeyErrorKind;

/// Key in one of the two forms of setkey(8): the octets of a string, or hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// Quoted string, `"text"`, of any octets except quotes.
    Text(&'a [u8]),
    /// Hexadecimal digits in pairs, without the prefix `0x`.
    Hex(&'a str),
}

impl<'a> Key<'a> {
    pub(super) fn hex(word: &'a str) -> Option<Self> {
        let digits = word.strip_prefix("0x").or(word.strip_prefix("0X"))?;
        let good =
            !digits.is_empty() && digits.len().is_multiple_of(2) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        good.then_some(Self::Hex(digits))
    }

    /// Returns the length of the key in octets.
    pub const fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Hex(digits) => digits.len() >> 1,
        }
    }

    /// Returns whether the key has no octets.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the octets of the key to the front of `out`. Returns `None` if `out` is too short (setkey(8)).
    pub fn decode<'o>(&self, out: &'o mut [u8]) -> Option<&'o [u8]> {
        let out = out.get_mut(..self.len())?;
        match self {
            Self::Text(text) => out.iter_mut().zip(*text).for_each(|(to, from)| *to = *from),
            Self::Hex(digits) => {
                let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok()).unwrap_or(0);
                let (pairs, _) = digits.as_bytes().as_chunks::<2>();
                out.iter_mut().zip(pairs).for_each(|(to, &[high, low])| *to = digit(high) << 4 | digit(low));
            }
        }
        Some(out)
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} octets)", self.len())
    }
}

/// Row of the algorithm tables of setkey(8): name, key lengths in bits, and the implementation if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Algorithm<T: 'static> {
    /// Name of the algorithm in setkey(8).
    pub name: &'static str,
    /// Length of the shortest key in bits.
    pub min_bits: u16,
    /// Length of the longest key in bits.
    pub max_bits: u16,
    /// Difference between two allowed lengths, in bits.
    pub step_bits: u16,
    /// Algorithm of this workspace; `None` if it is not implemented.
    pub known: Option<T>,
}

/// Algorithm whose key ends in a salt or nonce.
pub(super) trait Salted: Copy {
    /// Returns the length of the salt in bits.
    fn salt_bits(self) -> u16;
}

impl Salted for CipherAlgorithm {
    fn salt_bits(self) -> u16 {
        self.row().and_then(|row| u16::try_from(row.salt).ok()).map_or(0, |octets| octets.saturating_mul(8))
    }
}

impl Salted for IntegrityAlgorithm {
    fn salt_bits(self) -> u16 {
        if self == Self::AesGmac { CipherAlgorithm::NullAesGmac.salt_bits() } else { 0 }
    }
}

/// Checks that an algorithm has keys of this length.
pub(super) fn check_key<T: Salted>(algorithm: &Algorithm<T>, key: &Key<'_>) -> Result<(), SetkeyErrorKind> {
    let Algorithm { min_bits: min, max_bits: max, step_bits: step, .. } = *algorithm;
    let bits = key.len().saturating_mul(8);
    let above = bits.checked_sub(min.into());
    let good = above.is_some_and(|above| above.checked_rem(step.max(1).into()) == Some(0)) && bits <= max.into();
    let salt = algorithm.known.map_or(0, Salted::salt_bits);
    if good { Ok(()) } else { Err(SetkeyErrorKind::KeyLength { bits, min, max, step, salt }) }
}

impl Algorithm<CipherAlgorithm> {
    /// Returns whether the cipher provides integrity as well.
    pub(super) fn is_aead(&self) -> bool {
        self.known.and_then(CipherAlgorithm::row).is_some_and(|row| row.icv > 0)
    }
}

const fn row<T>(name: &'static str, bits: (u16, u16, u16), known: Option<T>) -> Algorithm<T>
where
    T: Copy,
{
    let (min_bits, max_bits, step_bits) = bits;
    Algorithm { name, min_bits, max_bits, step_bits, known }
}

use CipherAlgorithm as C;
use IntegrityAlgorithm as I;

/// Encryption algorithms of option `-E`, with the names of KAME, FreeBSD and Linux. Keys include the salt or nonce.
//= RFC 4303 1/2
//# MUST: integrity-only can be configured through a management interface
#[rustfmt::skip]
pub(super) const CIPHERS: &[Algorithm<C>] = &[
    row("des-cbc",           (64, 64, 8),     Some(C::DesCbc)),
    row("3des-cbc",          (192, 192, 8),   Some(C::TripleDesCbc)),
    row("null",              (0, 2048, 8),    Some(C::Null)),
    row("simple",            (0, 2048, 8),    Some(C::Null)),
    row("blowfish-cbc",      (40, 448, 8),    Some(C::BlowfishCbc)),
    row("cast128-cbc",       (40, 128, 8),    Some(C::Cast128Cbc)),
    row("des-deriv",         (64, 64, 8),     None),
    row("des-32iv",          (64, 64, 8),     None),
    row("twofish-cbc",       (0, 256, 8),     None),
    row("aes-cbc",           (128, 256, 64),  Some(C::AesCbc)),
    row("rijndael-cbc",      (128, 256, 64),  Some(C::AesCbc)),
    row("aes-ctr",           (160, 288, 64),  Some(C::AesCtr)),
    row("camellia-cbc",      (128, 256, 64),  None),
    row("aes-gcm-16",        (160, 288, 64),  Some(C::AesGcm16)),
    row("chacha20-poly1305", (288, 288, 8),   Some(C::ChaCha20Poly1305)),
    row("aes-gmac",          (160, 288, 64),  Some(C::NullAesGmac)),
    // These are not in setkey(8).
    row("aes-gcm-8",         (160, 288, 64),  Some(C::AesGcm8)),
    row("aes-gcm-12",        (160, 288, 64),  Some(C::AesGcm12)),
    row("aes-ccm-8",         (152, 280, 64),  Some(C::AesCcm8)),
    row("aes-ccm-12",        (152, 280, 64),  Some(C::AesCcm12)),
    row("aes-ccm-16",        (152, 280, 64),  Some(C::AesCcm16)),
];

/// Authentication algorithms of option `-A`. SHA2-256 is truncated to 96 bits by KAME and Linux, to 128 bits by
/// others: see [`LoadOptions::sha2_256`](super::LoadOptions::sha2_256).
#[rustfmt::skip]
pub(super) const MACS: &[Algorithm<I>] = &[
    row("hmac-md5",       (128, 128, 8),  Some(I::HmacMd5_96)),
    row("hmac-sha1",      (160, 160, 8),  Some(I::HmacSha1_96)),
    row("keyed-md5",      (128, 128, 8),  None),
    row("keyed-sha1",     (160, 160, 8),  None),
    row("null",           (0, 2048, 8),   Some(I::None)),
    row("hmac-sha2-256",  (256, 256, 8),  Some(I::HmacSha2_256_128)),
    row("hmac-sha256",    (256, 256, 8),  Some(I::HmacSha2_256_128)),
    row("hmac-sha2-384",  (384, 384, 8),  Some(I::HmacSha2_384_192)),
    row("hmac-sha384",    (384, 384, 8),  Some(I::HmacSha2_384_192)),
    row("hmac-sha2-512",  (512, 512, 8),  Some(I::HmacSha2_512_256)),
    row("hmac-sha512",    (512, 512, 8),  Some(I::HmacSha2_512_256)),
    row("hmac-ripemd160", (160, 160, 8),  Some(I::HmacRipemd160_96)),
    row("aes-xcbc-mac",   (128, 128, 8),  Some(I::AesXcbcMac96)),
    row("tcp-md5",        (8, 640, 8),    None),
    // These are not in setkey(8). The first is for systems on which the name without a number means 128 bits.
    row("hmac-sha2-256-96",  (256, 256, 8),  Some(I::HmacSha2_256_96)),
    row("aes-cmac",          (128, 128, 8),  Some(I::AesCmac96)),
    row("aes-gmac",          (160, 288, 64), Some(I::AesGmac)),
];

/// Parts of algorithm names. A word after `-E` or `-A` that contains none of them may be a misplaced key.
const NAME_PARTS: &[&str] = &[
    "aes", "blowfish", "camellia", "cast", "ccm", "chacha", "cmac", "ctr", "des", "gcm", "gmac", "hmac", "kpdk", "md5",
    "null", "poly", "rijndael", "ripemd", "serpent", "sha", "simple", "skipjack", "tcp", "twofish", "xcbc",
];

/// Returns whether a word is likely to be the name of an algorithm.
pub(super) fn resembles_algorithm(word: &str) -> bool {
    word.len() <= 24 && NAME_PARTS.iter().any(|part| has_part(word.as_bytes(), part.as_bytes()))
}

fn has_part(word: &[u8], part: &[u8]) -> bool {
    (0..word.len()).any(|at| word.get(at..).is_some_and(|rest| rest.starts_with(part)))
}

/// Returns the row with this name.
pub(super) fn find<T>(table: &'static [Algorithm<T>], name: &str) -> Option<&'static Algorithm<T>> {
    table.iter().find(|row| row.name == name)
}

/// Returns the name of a cipher in setkey(8).
pub fn cipher_name(algorithm: CipherAlgorithm) -> Option<&'static str> {
    CIPHERS.iter().find(|row| row.known == Some(algorithm)).map(|row| row.name)
}

/// Returns the name of an integrity algorithm in setkey(8).
pub fn mac_name(algorithm: IntegrityAlgorithm) -> Option<&'static str> {
    MACS.iter().find(|row| row.known == Some(algorithm)).map(|row| row.name)
}
