use core::fmt;

use ipcomp_core::{Compressor, Decompressor};
use ipsec_crypto::{AhIntegrity, Icv, Integrity, Suite};
use ipsec_packet::AntiReplay;

/// Algorithms of an engine, chosen at compile time, so that firmware contains the code of one suite only (RFC 4301
/// section 4.4.2.1).
pub trait Algorithms {
    /// Combined or separate algorithms of ESP.
    type Suite: Suite;
    /// Integrity algorithm of AH; [`Never`] for an engine without AH.
    type Integrity: AhIntegrity;
    /// Anti-replay window of inbound SAs (RFC 4303 section 3.4.3).
    type Window: AntiReplay;
    /// Compressor of IPComp; [`Never`] for an engine without IPComp.
    type Compressor: Compressor;
    /// Decompressor of IPComp; [`Never`] for an engine without IPComp.
    type Decompressor: Decompressor;
}

/// Every algorithm of `ipsec-crypto` whose feature is enabled, chosen at run time, and DEFLATE for IPComp.
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

/// Placeholder for an algorithm that an engine does not have. The type has no values.
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
