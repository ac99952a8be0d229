use core::fmt;

use crate::batch::KeyUse;
use crate::internal::Internal;
use crate::{EspParts, Icv, Layout, Verified};

/// Number of packets of a batch that are processed together.
pub(crate) const BATCH: usize = 32;

/// Encryption and authentication of packets in place, keyed for one SA (RFC 4303 section 3.2). A hardware engine can
/// implement it, too, with these three methods; one that processes several packets at once implements
/// [`BatchSuite`](crate::batch::BatchSuite) in addition.
pub trait Suite {
    /// Returns the lengths that the suite adds.
    fn layout(&self) -> Layout;

    /// Encrypts the body and writes the ICV (RFC 4303 section 3.3.2). The caller has written header and IV.
    fn seal(&self, parts: &mut EspParts<'_>);

    /// Verifies the ICV in constant time, and then decrypts the body (RFC 4303 section 3.4.4).
    ///
    /// # Errors
    /// [`IcvMismatch`] if verification fails; the packet is unchanged.
    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch>;

    /// Reads the keys for one use, as [`batch::read_ahead`](crate::batch::read_ahead) does.
    #[doc(hidden)]
    fn read_ahead(&self, _: KeyUse, _: Internal) {}

    /// Returns whether [`batch::seal`](crate::batch::seal) may be faster than sealing the packets one by one.
    #[doc(hidden)]
    fn prefers_seal_batch(&self, _packets: usize, _: Internal) -> bool {
        false
    }

    /// Seals a batch, as [`batch::seal`](crate::batch::seal) does.
    #[doc(hidden)]
    fn seal_all(batch: &mut [(&Self, &mut EspParts<'_>)], _: Internal)
    where
        Self: Sized,
    {
        batch.iter_mut().for_each(|(suite, parts)| suite.seal(parts));
    }

    /// Returns whether [`compute_icvs`](Self::compute_icvs) is faster than computing the ICVs one by one.
    #[doc(hidden)]
    fn prefers_verify_batch(&self, _packets: usize, _octets: usize, _: Internal) -> bool {
        false
    }

    /// Computes the ICVs of received packets, each with the suite of its SA. A suite that verifies while it decrypts
    /// leaves `None`.
    #[doc(hidden)]
    fn compute_icvs(_batch: &[(&Self, &EspParts<'_>)], _icvs: &mut [Option<Icv>], _: Internal)
    where
        Self: Sized,
    {
    }

    /// Decrypts a packet whose ICV is equal to the computed one. A suite without
    /// [`compute_icvs`](Self::compute_icvs) verifies it again.
    #[doc(hidden)]
    fn open_verified(&self, packet: Verified<'_, '_>, _: Internal) -> Result<(), IcvMismatch> {
        self.open(packet.into_parts())
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
