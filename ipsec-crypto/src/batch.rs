//! Packets of several SAs in one operation: the basis of the batches of `esp-core`, and suites of third parties that
//! process several packets at once.

use core::fmt;

use heapless::Vec;

use crate::internal::Internal;
use crate::suite::BATCH;
pub use crate::verified::Received;
use crate::{EspParts, IcvMismatch, Layout, Suite};

/// Seals several packets, each with the suite of its SA, with the result of [`Suite::seal`] for each.
pub fn seal<S: Suite>(batch: &mut [(&S, &mut EspParts<'_>)]) {
    S::seal_all(batch, Internal);
}

/// Use of the keys of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// The suite seals packets.
    Seal,
    /// The suite opens packets.
    Open,
}

/// Reads the keys of a suite into the cache of the processor, where the implementation allows it, so that the next
/// packet does not wait for each of them in turn. It has no other effect.
pub fn read_ahead<S: Suite>(suite: &S, use_of_keys: KeyUse) {
    suite.read_ahead(use_of_keys, Internal);
}

/// Returns whether [`seal`] may be faster than sealing this number of packets one by one.
pub fn seals_together<S: Suite>(suite: &S, packets: usize) -> bool {
    suite.prefers_seal_batch(packets, Internal)
}

/// Returns whether [`Received::verify`] is faster than verifying the packets one by one, for this number of packets and
/// their total length in octets.
pub fn verifies_together<S: Suite>(suite: &S, packets: usize, octets: usize) -> bool {
    suite.prefers_verify_batch(packets, octets, Internal)
}

/// Suite that seals several packets in one operation, such as a crypto engine with a queue. [`Batched`] makes it the
/// suite of an SA.
pub trait BatchSuite: Suite + Sized {
    /// Seals several packets, each with the suite of its SA, with the result of [`Suite::seal`] for each.
    fn seal_batch(batch: &mut [(&Self, &mut EspParts<'_>)]);
}

/// Suite whose batches are sealed by [`BatchSuite::seal_batch`].
pub struct Batched<S>(S);

impl<S: BatchSuite> Batched<S> {
    /// Creates the suite of an SA.
    pub const fn new(suite: S) -> Self {
        Self(suite)
    }

    /// Returns the inner suite.
    pub const fn inner(&self) -> &S {
        &self.0
    }
}

impl<S: BatchSuite> Suite for Batched<S> {
    fn layout(&self) -> Layout {
        self.0.layout()
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        self.0.seal(parts);
    }

    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        self.0.open(parts)
    }

    fn prefers_seal_batch(&self, packets: usize, _: Internal) -> bool {
        packets > 1
    }

    fn seal_all(batch: &mut [(&Self, &mut EspParts<'_>)], _: Internal) {
        for some in batch.chunks_mut(BATCH) {
            let mut inner: Vec<(&S, &mut EspParts<'_>), BATCH> =
                some.iter_mut().map(|(suite, parts)| (suite.inner(), &mut **parts)).collect();
            S::seal_batch(&mut inner);
        }
    }
}

impl<S> fmt::Debug for Batched<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Batched(..)")
    }
}
