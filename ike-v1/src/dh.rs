use core::fmt;

use ike_codec::Group;

#[cfg(feature = "ecp")]
mod ecp;
#[cfg(feature = "modp")]
mod modp;
#[cfg(feature = "modp")]
mod primes;

/// Octets of the values of a Diffie-Hellman group (RFC 2409 6, RFC 3526 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLengths {
    /// A private value: twice the strength of the group in bits (RFC 3526 8), or a scalar of the curve.
    pub private: usize,
    /// A public value, with leading zeros (RFC 2409 5); both coordinates of a point (RFC 5903 7).
    pub public: usize,
    /// The shared secret g^xy, with leading zeros; the x coordinate of a point (RFC 5903 7).
    pub shared: usize,
}

impl GroupLengths {
    /// The lengths of a group that is computed here, whether its feature is enabled or not (RFC 2409 6, RFC 3526 8).
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

/// The most octets that a public value has, for the caller's buffers (RFC 3526 7).
pub const MAX_PUBLIC: usize = 1024;

/// A Diffie-Hellman exchange is not done (RFC 2408 5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DhError {
    /// The group is not known, or its feature is off.
    Unsupported(Group),
    /// A buffer or value of another length than the group has.
    Length {
        /// What the group has.
        expected: usize,
        /// What was given.
        actual: usize,
    },
    /// The peer's value is 0, 1, p - 1, p or above, or no point of the curve: it would fix the shared secret.
    BadPublic,
    /// The private value is zero or above the order of the group: draw another one.
    BadPrivate,
}

impl fmt::Display for DhError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(group) => write!(f, "group {group} is not supported"),
            Self::Length { expected, actual } => write!(f, "{actual} octets where the group has {expected}"),
            Self::BadPublic => f.write_str("the public value is out of range"),
            Self::BadPrivate => f.write_str("the private value is out of range"),
        }
    }
}

impl core::error::Error for DhError {}

/// Diffie-Hellman exchanges, by whatever does them: [`Software`], an engine, a key store (RFC 2409 5, 6).
pub trait DiffieHellman {
    /// Writes the public value of a private one.
    ///
    /// # Errors
    /// [`DhError`]; `public` is not to be used.
    fn public(&self, group: Group, private: &[u8], public: &mut [u8]) -> Result<(), DhError>;

    /// Writes the secret that is shared with the owner of a public value.
    ///
    /// # Errors
    /// [`DhError`]; `shared` is not to be used.
    fn shared(&self, group: Group, private: &[u8], public: &[u8], shared: &mut [u8]) -> Result<(), DhError>;
}

/// In software, with `crypto-bigint` and RustCrypto's curves: in constant time for values of one length, without
/// allocation (RFC 2409 6, RFC 3526). Group 18 needs some 16 KiB more stack than group 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Software;

impl DiffieHellman for Software {
    fn public(&self, group: Group, private: &[u8], public: &mut [u8]) -> Result<(), DhError> {
        let lengths = GroupLengths::of(group).ok_or(DhError::Unsupported(group))?;
        expect(lengths.private, private.len())?;
        expect(lengths.public, public.len())?;
        compute(group, private, None, public)
    }

    fn shared(&self, group: Group, private: &[u8], public: &[u8], shared: &mut [u8]) -> Result<(), DhError> {
        let lengths = GroupLengths::of(group).ok_or(DhError::Unsupported(group))?;
        expect(lengths.private, private.len())?;
        expect(lengths.public, public.len())?;
        expect(lengths.shared, shared.len())?;
        compute(group, private, Some(public), shared)
    }
}

//= RFC 2409 5/7
fn expect(expected: usize, actual: usize) -> Result<(), DhError> {
    if expected == actual { Ok(()) } else { Err(DhError::Length { expected, actual }) }
}

/// The power of a public value, or of the generator where there is none.
//= RFC 2408 5.7/3
#[allow(unused_variables)] // without any group
fn compute(group: Group, private: &[u8], base: Option<&[u8]>, out: &mut [u8]) -> Result<(), DhError> {
    match group {
        //= RFC 2409 4/12
        #[cfg(feature = "modp")]
        Group::MODP_768 => modp::power(&primes::MODP_768, private, base, out),
        //= RFC 2409 4/17
        #[cfg(feature = "modp")]
        Group::MODP_1024 => modp::power(&primes::MODP_1024, private, base, out),
        #[cfg(feature = "modp")]
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
