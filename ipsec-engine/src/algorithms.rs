use core::fmt;

use ipcomp_core::{Compressor, Decompressor};
use ipsec_crypto::{AhIntegrity, Icv, Integrity, Suite};
use ipsec_packet::AntiReplay;

/// What the SAs of an engine are made of: chosen at compile time, so that a firmware pays for one suite only (RFC 4301 4.4.2.1).
pub trait Algorithms {
    /// The suite of ESP.
    type Suite: Suite;
    /// The integrity algorithm of AH; [`Never`] without AH.
    type Integrity: AhIntegrity;
    /// What remembers received numbers.
    type Window: AntiReplay;
    /// What compresses for IPComp; [`Never`] without.
    type Compressor: Compressor;
    /// What decompresses.
    type Decompressor: Decompressor;
}

/// Every algorithm of `ipsec-crypto` whose feature is enabled, chosen at run time, and DEFLATE.
#[cfg(feature = "any")]
#[derive(Debug)]
pub enum AnyAlgorithms {}

#[cfg(feature = "any")]
impl Algorithms for AnyAlgorithms {
    type Suite = ipsec_crypto::AnySuite;
    type Integrity = ipsec_crypto::AnyAhIntegrity;
    type Window = crate::AnyWindow;
    type Compressor = ipcomp_core::Deflate;
    type Decompressor = ipcomp_core::Inflate;
}

/// The algorithm of a protocol that an engine does not have: there are no values of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {}

impl Integrity for Never {
    fn icv_len(&self) -> usize {
        match *self {}
    }

    fn compute_over(&self, _: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv {
        match *self {}
    }
}

impl Compressor for Never {
    fn compress(&mut self, _: &[u8], _: &mut [u8]) -> Option<usize> {
        match *self {}
    }
}

impl Decompressor for Never {
    type Error = Self;

    fn decompress(&mut self, _: &[u8], _: &mut [u8]) -> Result<usize, Self> {
        match *self {}
    }
}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}
