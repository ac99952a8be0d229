//! Reasons why an SA is not installed, updated or reserved.

use core::fmt;

use ipsec_sa::SaId;

use crate::algorithms::Algorithms;
use crate::sa::Sa;

/// Reason why there is no slot for an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstallRefusal {
    /// An SA with this identifier exists.
    Exists(SaId),
    /// The SAD is full.
    Full,
}

/// Reason why an SA was not installed (RFC 2367 section 3.1.3). The SA is returned.
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum InstallError<A: Algorithms> {
    /// An SA with this identifier exists.
    Exists(Sa<A>),
    /// The SAD is full.
    Full(Sa<A>),
    /// The SPI of the SA is owned by another engine, `owner` (`Shard`).
    OtherShard {
        /// SA that was not installed.
        sa: Sa<A>,
        /// Number of the engine that owns the SPI.
        owner: u16,
    },
}

impl<A: Algorithms> fmt::Display for InstallError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(sa) => write!(f, "SA {} exists", sa.key()),
            Self::Full(_) => f.write_str("SA table is full"),
            Self::OtherShard { sa, owner } => write!(f, "SPI of SA {} is owned by shard {owner}", sa.key()),
        }
    }
}

impl<A: Algorithms> fmt::Debug for InstallError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(sa) => write!(f, "Exists({sa:?})"),
            Self::Full(sa) => write!(f, "Full({sa:?})"),
            Self::OtherShard { sa, owner } => write!(f, "OtherShard({sa:?}, {owner})"),
        }
    }
}

impl<A: Algorithms> core::error::Error for InstallError<A> {}

/// Reason why an SA was not updated (RFC 2367 section 3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateError {
    /// No SA has this identifier, or the SA is larval.
    Missing,
    /// The update gave the SA the identifier of another SA, this one. It was removed and wiped.
    Exists(SaId),
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no SA with this identifier"),
            Self::Exists(key) => write!(f, "SA {key} exists"),
        }
    }
}

impl core::error::Error for UpdateError {}

/// Reason why an SPI was not reserved (RFC 2367 section 3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReserveError {
    /// An SA with this SPI exists.
    InUse,
    /// The SAD is full.
    Full,
    /// The SPI is owned by another engine (`Shard`).
    OtherShard {
        /// Number of the engine that owns the SPI.
        owner: u16,
    },
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("SPI is in use"),
            Self::Full => f.write_str("SA table is full"),
            Self::OtherShard { owner } => write!(f, "SPI is owned by shard {owner}"),
        }
    }
}

impl core::error::Error for ReserveError {}
