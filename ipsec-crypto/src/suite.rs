use core::fmt;

use crate::{EspParts, Layout};

/// Number of packets of a batch that are processed together.
pub(crate) const BATCH: usize = 32;

/// Encryption and authentication of packets in place, keyed for one SA (RFC 4303 section 3.2). A hardware engine can
/// implement it, too.
pub trait Suite {
    /// Returns the lengths that the suite adds.
    fn layout(&self) -> Layout;

    /// Encrypts the body and writes the ICV (RFC 4303 section 3.3.2). The caller has written header and IV.
    fn seal(&self, parts: &mut EspParts<'_>);

    /// Verifies the ICV in constant time, and then decrypts the body (RFC 4303 section 3.4.4).
    ///
    /// # Errors
    /// [`IcvMismatch`] if verification fails; nothing has changed.
    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch>;

    /// Returns whether [`seal_batch`](Self::seal_batch) can be faster than one packet after the other, for this
    /// number of packets. The default, for implementations of `seal_batch`, is two or more.
    fn prefers_batch(&self, packets: usize) -> bool {
        packets > 1
    }

    /// Seals several packets, each with the suite of its SA, with the result of [`seal`](Self::seal) for each.
    fn seal_batch(batch: &mut [(&Self, &mut EspParts<'_>)])
    where
        Self: Sized,
    {
        batch.iter_mut().for_each(|(suite, parts)| suite.seal(parts));
    }

    /// Returns whether [`verify_batch`](Self::verify_batch) is faster than one packet after the other, for this
    /// number of packets and their total length in octets.
    fn prefers_verify_batch(&self, packets: usize, octets: usize) -> bool {
        let _ = (packets, octets);
        false
    }

    /// Verifies the ICVs of several packets, each with the suite of its SA. Nothing is decrypted. A suite that
    /// verifies while it decrypts leaves the results empty.
    fn verify_batch(batch: &[(&Self, &EspParts<'_>)], verdicts: &mut [Verification])
    where
        Self: Sized,
    {
        let _ = (batch, verdicts);
    }

    /// Opens a packet that [`verify_batch`](Self::verify_batch) has processed, like [`open`](Self::open). The caller
    /// guarantees that it is the same packet, unchanged: a result is trusted.
    ///
    /// # Errors
    /// [`IcvMismatch`] if verification has failed; nothing has changed.
    fn open_verified(&self, parts: &mut EspParts<'_>, verdict: Verification) -> Result<(), IcvMismatch> {
        let _ = verdict;
        self.open(parts)
    }
}

/// Result of [`Suite::verify_batch`] for one packet: empty, or the result of ICV verification (RFC 4303 section
/// 3.4.4).
#[derive(Clone, Copy, Debug, Default)]
pub struct Verification(pub(crate) Option<Result<(), IcvMismatch>>);

impl From<Result<(), IcvMismatch>> for Verification {
    fn from(found: Result<(), IcvMismatch>) -> Self {
        Self(Some(found))
    }
}

/// Error of a packet whose ICV differs from the computed one (RFC 4303 section 3.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcvMismatch;

impl fmt::Display for IcvMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ICV verification failed")
    }
}

impl core::error::Error for IcvMismatch {}
