//! Hashes and pseudo-random functions of IKE (RFC 2409 section 4, RFC 4434, RFC 4868).

use core::fmt;

#[cfg(feature = "_hash")]
use ::hmac::digest::{FixedOutput, Update};

use crate::{IcvMismatch, KeyError, Secret, ct};

/// Length of the longest output of any hash or PRF, in octets.
pub const MAX_PRF: usize = 64;

/// Output of a hash or PRF. It is wiped on drop, never printed, and compared in constant time (RFC 2409 section 3.2).
pub struct PrfOutput(Secret<MAX_PRF>);

impl PrfOutput {
    fn new(octets: &[u8]) -> Self {
        Self(Secret::truncated(octets))
    }

    /// Imports an output that was computed elsewhere.
    ///
    /// # Errors
    /// [`KeyError::Length`] if it is longer than [`MAX_PRF`].
    pub fn import(octets: &[u8]) -> Result<Self, KeyError> {
        Secret::new(octets).map(Self)
    }

    /// Returns the octets of the output.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// Compares the output with received octets in constant time.
    ///
    /// # Errors
    /// [`IcvMismatch`] if they differ.
    pub fn verify(&self, received: &[u8]) -> Result<(), IcvMismatch> {
        if ct::equal(self.expose(), received) { Ok(()) } else { Err(IcvMismatch) }
    }
}

impl fmt::Debug for PrfOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Hash function chosen at run time (RFC 2409 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashFunction {
    /// MD5 (RFC 1321). **Legacy**.
    #[cfg(feature = "hmac-md5")]
    Md5,
    /// SHA-1 (RFC 3174). **Legacy**.
    #[cfg(feature = "hmac-sha1")]
    Sha1,
    /// SHA2-256 (FIPS 180-4, RFC 6234).
    #[cfg(feature = "hmac-sha2-256")]
    Sha2_256,
    /// SHA2-384 (FIPS 180-4, RFC 6234).
    #[cfg(feature = "hmac-sha2-384")]
    Sha2_384,
    /// SHA2-512 (FIPS 180-4, RFC 6234).
    #[cfg(feature = "hmac-sha2-512")]
    Sha2_512,
}

impl HashFunction {
    /// Computes the hash of the segments, as if they were one string.
    #[allow(unused_variables)] // without any hash
    pub fn digest(self, segments: &[&[u8]]) -> PrfOutput {
        match self {
            #[cfg(feature = "hmac-md5")]
            Self::Md5 => over(md5::Md5::default(), segments),
            #[cfg(feature = "hmac-sha1")]
            Self::Sha1 => over(sha1::Sha1::default(), segments),
            #[cfg(feature = "hmac-sha2-256")]
            Self::Sha2_256 => over(sha2::Sha256::default(), segments),
            #[cfg(feature = "hmac-sha2-384")]
            Self::Sha2_384 => over(sha2::Sha384::default(), segments),
            #[cfg(feature = "hmac-sha2-512")]
            Self::Sha2_512 => over(sha2::Sha512::default(), segments),
        }
    }

    /// Returns HMAC with this hash, the PRF of IKE if none is negotiated (RFC 2409 section 4).
    //= RFC 2409 4/6
    //# MUST: the hash works by itself and as HMAC
    pub const fn prf(self) -> Prf {
        match self {
            #[cfg(feature = "hmac-md5")]
            Self::Md5 => Prf::HmacMd5,
            #[cfg(feature = "hmac-sha1")]
            Self::Sha1 => Prf::HmacSha1,
            #[cfg(feature = "hmac-sha2-256")]
            Self::Sha2_256 => Prf::HmacSha2_256,
            #[cfg(feature = "hmac-sha2-384")]
            Self::Sha2_384 => Prf::HmacSha2_384,
            #[cfg(feature = "hmac-sha2-512")]
            Self::Sha2_512 => Prf::HmacSha2_512,
        }
    }
}

/// Pseudo-random function chosen at run time (RFC 2409 sections 3.2 and 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Prf {
    /// HMAC with MD5 (RFC 2403). **Legacy**.
    #[cfg(feature = "hmac-md5")]
    HmacMd5,
    /// HMAC with SHA-1 (RFC 2404). **Legacy**, but unbroken.
    #[cfg(feature = "hmac-sha1")]
    HmacSha1,
    /// HMAC with SHA2-256 (RFC 4868).
    #[cfg(feature = "hmac-sha2-256")]
    HmacSha2_256,
    /// HMAC with SHA2-384 (RFC 4868).
    #[cfg(feature = "hmac-sha2-384")]
    HmacSha2_384,
    /// HMAC with SHA2-512 (RFC 4868).
    #[cfg(feature = "hmac-sha2-512")]
    HmacSha2_512,
    /// AES-XCBC-PRF-128 of RFC 4434.
    #[cfg(feature = "aes-xcbc")]
    AesXcbc128,
}

impl Prf {
    /// Every pseudo-random function that is compiled in.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "hmac-md5")]
        Self::HmacMd5,
        #[cfg(feature = "hmac-sha1")]
        Self::HmacSha1,
        #[cfg(feature = "hmac-sha2-256")]
        Self::HmacSha2_256,
        #[cfg(feature = "hmac-sha2-384")]
        Self::HmacSha2_384,
        #[cfg(feature = "hmac-sha2-512")]
        Self::HmacSha2_512,
        #[cfg(feature = "aes-xcbc")]
        Self::AesXcbc128,
    ];

    /// Returns the name of the function in vector files.
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "hmac-md5")]
            Self::HmacMd5 => "hmac-md5",
            #[cfg(feature = "hmac-sha1")]
            Self::HmacSha1 => "hmac-sha1",
            #[cfg(feature = "hmac-sha2-256")]
            Self::HmacSha2_256 => "hmac-sha256",
            #[cfg(feature = "hmac-sha2-384")]
            Self::HmacSha2_384 => "hmac-sha384",
            #[cfg(feature = "hmac-sha2-512")]
            Self::HmacSha2_512 => "hmac-sha512",
            #[cfg(feature = "aes-xcbc")]
            Self::AesXcbc128 => "aes-xcbc",
        }
    }

    /// Returns the length of the output in octets.
    pub const fn output_len(self) -> usize {
        match self {
            #[cfg(feature = "hmac-md5")]
            Self::HmacMd5 => 16,
            #[cfg(feature = "hmac-sha1")]
            Self::HmacSha1 => 20,
            #[cfg(feature = "hmac-sha2-256")]
            Self::HmacSha2_256 => 32,
            #[cfg(feature = "hmac-sha2-384")]
            Self::HmacSha2_384 => 48,
            #[cfg(feature = "hmac-sha2-512")]
            Self::HmacSha2_512 => 64,
            #[cfg(feature = "aes-xcbc")]
            Self::AesXcbc128 => 16,
        }
    }

    /// Computes `prf(key, segments)`, with the segments as one string and a key of any length, including 0 (RFC 2409
    /// section 3.2).
    #[allow(unused_variables)] // without any PRF
    pub fn compute(self, key: &[u8], segments: &[&[u8]]) -> PrfOutput {
        match self {
            #[cfg(feature = "hmac-md5")]
            Self::HmacMd5 => hmac::<::hmac::Hmac<md5::Md5>>(key, segments),
            #[cfg(feature = "hmac-sha1")]
            Self::HmacSha1 => hmac::<::hmac::Hmac<sha1::Sha1>>(key, segments),
            #[cfg(feature = "hmac-sha2-256")]
            Self::HmacSha2_256 => hmac::<::hmac::Hmac<sha2::Sha256>>(key, segments),
            #[cfg(feature = "hmac-sha2-384")]
            Self::HmacSha2_384 => hmac::<::hmac::Hmac<sha2::Sha384>>(key, segments),
            #[cfg(feature = "hmac-sha2-512")]
            Self::HmacSha2_512 => hmac::<::hmac::Hmac<sha2::Sha512>>(key, segments),
            #[cfg(feature = "aes-xcbc")]
            Self::AesXcbc128 => PrfOutput::new(&*crate::xcbc::prf(key, segments)),
        }
    }
}

#[cfg(feature = "_hash")]
fn hmac<H: cipher::KeyInit + Update + FixedOutput>(key: &[u8], segments: &[&[u8]]) -> PrfOutput {
    // HMAC accepts keys of every length, so the second arm is never taken (RFC 2104 section 2).
    match H::new_from_slice(key) {
        Ok(keyed) => over(keyed, segments),
        Err(_) => PrfOutput::new(&[]),
    }
}

#[cfg(feature = "_hash")]
fn over<H: Update + FixedOutput>(mut state: H, segments: &[&[u8]]) -> PrfOutput {
    segments.iter().for_each(|segment| state.update(segment));
    let mut output = state.finalize_fixed();
    let result = PrfOutput::new(&output);
    zeroize::Zeroize::zeroize(output.as_mut_slice());
    result
}
