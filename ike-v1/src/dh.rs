use core::fmt;

use ike_codec::Group;

#[cfg(feature = "ecp")]
mod ecp;
#[cfg(feature = "modp")]
mod modp;
#[cfg(feature = "modp")]
mod primes;

/// Lengths in octets of the values of a Diffie-Hellman group (RFC 2409 section 6, RFC 3526 section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLengths {
    /// Length of a private value: twice the strength of a MODP group in bits (RFC 3526 section 8), or a scalar of the
    /// curve.
    pub private: usize,
    /// Length of a public value, including leading zeros (RFC 2409 section 5); for a curve, both coordinates of a point
    /// (RFC 5903 section 7).
    pub public: usize,
    /// Length of the shared secret g^xy, including leading zeros; for a curve, the x coordinate of a point (RFC 5903
    /// section 7).
    pub shared: usize,
}

impl GroupLengths {
    /// Returns the lengths of a group that this crate implements, `None` for other groups (RFC 2409 section 6, RFC 3526
    /// section 8). The result does not depend on the enabled features.
    pub const fn of(group: Group) -> Option<Self> {
        let (private, public, shared) = match group {
            Group::MODP_768 => (32, 96, 96),
            Group::MODP_1024 => (32, 128, 128),
            Group::MODP_1536 => (32, 192, 192),
            Group::MODP_2048 => (40, 256, 256),
            Group::MODP_3072 => (52, 384, 384),
            Group::MODP_4096 => (60, 512, 512),
            Group::MODP_6144 => (68, 768, 768),
            Group::MODP_8192 => (78, 1024, 1024),
            Group::ECP_256 => (32, 64, 32),
            Group::ECP_384 => (48, 96, 48),
            Group::ECP_521 => (66, 132, 66),
            _ => return None,
        };
        Some(Self { private, public, shared })
    }
}

/// Maximum length of a public value in octets, for sizing buffers (RFC 3526 section 7).
pub const MAX_PUBLIC: usize = 1024;

/// Error of a Diffie-Hellman computation (RFC 2408 section 5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DhError {
    /// The group is unknown, or its feature is not enabled.
    Unsupported(Group),
    /// The length of a buffer or value does not match the group.
    Length {
        /// Length that the group requires, in octets.
        expected: usize,
        /// Length of the given buffer or value, in octets.
        actual: usize,
    },
    /// The public value of the peer is 0, 1, p - 1, p or above, or not a point of the curve: the shared secret would be
    /// predictable.
    InvalidPublicValue,
    /// The private value is zero, or not below the order of the curve: the caller generates another one.
    InvalidPrivateValue,
}

impl fmt::Display for DhError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(group) => write!(f, "group {group} is not supported"),
            Self::Length { expected, actual } => {
                write!(f, "length mismatch: got {actual} octets, the group requires {expected}")
            }
            Self::InvalidPublicValue => f.write_str("public value is out of range"),
            Self::InvalidPrivateValue => f.write_str("private value is out of range"),
        }
    }
}

impl core::error::Error for DhError {}

/// Implementation of the Diffie-Hellman computations: [`Software`], a hardware engine or a key store (RFC 2409 sections
/// 5 and 6).
pub trait DiffieHellman {
    /// Computes the public value of a private value and writes it to `public`.
    ///
    /// # Errors
    /// [`DhError`]; the contents of `public` must not be used.
    fn public(&self, group: Group, private: &[u8], public: &mut [u8]) -> Result<(), DhError>;

    /// Computes the secret shared with the owner of a public value and writes it to `shared`.
    ///
    /// # Errors
    /// [`DhError`]; the contents of `shared` must not be used.
    fn shared(&self, group: Group, private: &[u8], public: &[u8], shared: &mut [u8]) -> Result<(), DhError>;
}

/// Software implementation with `crypto-bigint` and the curves of RustCrypto (RFC 2409 section 6, RFC 3526). It runs in
/// constant time for values of equal length and does not allocate. Group 18 needs about 16 KiB more stack than group 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Software;

impl DiffieHellman for Software {
    fn public(&self, group: Group, private: &[u8], public: &mut [u8]) -> Result<(), DhError> {
        let lengths = GroupLengths::of(group).ok_or(DhError::Unsupported(group))?;
        check_len(lengths.private, private.len())?;
        check_len(lengths.public, public.len())?;
        compute(group, private, None, public)
    }

    fn shared(&self, group: Group, private: &[u8], public: &[u8], shared: &mut [u8]) -> Result<(), DhError> {
        let lengths = GroupLengths::of(group).ok_or(DhError::Unsupported(group))?;
        check_len(lengths.private, private.len())?;
        check_len(lengths.public, public.len())?;
        check_len(lengths.shared, shared.len())?;
        compute(group, private, Some(public), shared)
    }
}

//= RFC 2409 5/7
//# MUST: a public value has the length of its group, with zeros in front
fn check_len(expected: usize, actual: usize) -> Result<(), DhError> {
    if expected == actual { Ok(()) } else { Err(DhError::Length { expected, actual }) }
}

/// Computes the power of a public value, or of the generator when `base` is `None`.
//= RFC 2408 5.7/3
//# MUST: receiving: a message of a key exchange that is not supported is discarded
#[allow(unused_variables)] // unused when no group is enabled
fn compute(group: Group, private: &[u8], base: Option<&[u8]>, out: &mut [u8]) -> Result<(), DhError> {
    match group {
        //= RFC 2409 4/12
        //# MUST: the modp group 1 is supported
        #[cfg(all(feature = "modp", feature = "legacy"))]
        Group::MODP_768 => modp::power(&primes::MODP_768, private, base, out),
        //= RFC 2409 4/17
        //# SHOULD: the modp group 2 is supported
        #[cfg(all(feature = "modp", feature = "legacy"))]
        Group::MODP_1024 => modp::power(&primes::MODP_1024, private, base, out),
        #[cfg(all(feature = "modp", feature = "legacy"))]
        Group::MODP_1536 => modp::power(&primes::MODP_1536, private, base, out),
        #[cfg(feature = "modp")]
        Group::MODP_2048 => modp::power(&primes::MODP_2048, private, base, out),
        #[cfg(feature = "modp")]
        Group::MODP_3072 => modp::power(&primes::MODP_3072, private, base, out),
        #[cfg(feature = "modp")]
        Group::MODP_4096 => modp::power(&primes::MODP_4096, private, base, out),
        #[cfg(feature = "modp")]
        Group::MODP_6144 => modp::power(&primes::MODP_6144, private, base, out),
        #[cfg(feature = "modp")]
        Group::MODP_8192 => modp::power(&primes::MODP_8192, private, base, out),
        #[cfg(feature = "ecp")]
        Group::ECP_256 => ecp::multiply::<p256::NistP256>(private, base, out),
        #[cfg(feature = "ecp")]
        Group::ECP_384 => ecp::multiply::<p384::NistP384>(private, base, out),
        #[cfg(feature = "ecp")]
        Group::ECP_521 => ecp::multiply::<p521::NistP521>(private, base, out),
        group => Err(DhError::Unsupported(group)),
    }
}
