use core::fmt;

use ipcomp_core::{Compressor, Decompressor};
use ipsec_crypto::{AhIntegrity, AlgorithmError, Icv, IcvLen, Integrity, IntegrityAlgorithm, KeyedIntegrity, Suite};
use ipsec_packet::{AntiReplay, NoReplay, ReplayWindow, WindowSize};
use ipsec_sa::CompressionAlgorithm;

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
    /// Algorithm of compressor and decompressor. With `None` no SA of IPComp is created from parameters.
    const COMPRESSION: Option<CompressionAlgorithm> = None;
}

/// Every algorithm of `ipsec-crypto` whose feature is enabled, chosen at run time, and DEFLATE for IPComp.
#[cfg(feature = "runtime-suites")]
#[derive(Debug)]
pub enum AnyAlgorithms {}

#[cfg(feature = "runtime-suites")]
impl Algorithms for AnyAlgorithms {
    type Suite = ipsec_crypto::AnySuite;
    type Integrity = ipsec_crypto::AnyAhIntegrity;
    type Window = crate::AnyWindow;
    type Compressor = ipcomp_core::Deflate;
    type Decompressor = ipcomp_core::Inflate;
    const COMPRESSION: Option<CompressionAlgorithm> = Some(CompressionAlgorithm::Deflate);
}

/// Anti-replay window that is created for the size of an SA (RFC 4303 section 3.4.3).
pub trait SizedWindow: AntiReplay + Sized {
    /// Creates a window of at least this size; size 0 disables anti-replay. Returns `None` if the type has no such
    /// window.
    fn with_size(size: WindowSize) -> Option<Self>;
}

impl<const WORDS: usize> SizedWindow for ReplayWindow<WORDS> {
    fn with_size(size: WindowSize) -> Option<Self> {
        (1..=Self::size()).contains(&size.in_packets()).then(Self::new)
    }
}

impl SizedWindow for NoReplay {
    fn with_size(size: WindowSize) -> Option<Self> {
        (size.in_packets() == 0).then(Self::new)
    }
}

/// Placeholder for an algorithm that an engine does not have. The type has no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {}

impl Integrity for Never {
    fn icv_len(&self) -> IcvLen {
        match *self {}
    }

    fn compute_over(&self, _: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv {
        match *self {}
    }
}

impl KeyedIntegrity for Never {
    fn from_key(algorithm: IntegrityAlgorithm, _: &[u8]) -> Result<Self, AlgorithmError> {
        Err(AlgorithmError::Integrity(algorithm))
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

impl core::error::Error for Never {}
