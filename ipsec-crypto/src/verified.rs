use core::fmt;

use heapless::Vec;

use crate::internal::Internal;
use crate::suite::BATCH;
use crate::{Cipher, EspParts, Icv, IcvMismatch, Integrity, Suite};

/// Proof that the ICV of a packet was verified (RFC 4303 section 3.4.4). It holds the packet exclusively, so that it
/// is valid for no other packet and no other content, and is consumed by the decryption. Only verification creates
/// it.
///
/// A suite of its own that is built from a cipher and an integrity algorithm verifies and decrypts with it:
///
/// ```
/// use ipsec_crypto::{Cipher, EspParts, IcvMismatch, Integrity};
///
/// fn open(cipher: &impl Cipher, mac: &impl Integrity, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
///     parts.verify(mac)?.decrypt(cipher);
///     Ok(())
/// }
/// ```
///
/// A packet is not decrypted without verification, because the proof has no public constructor:
///
/// ```compile_fail,E0423
/// use ipsec_crypto::{Cipher, EspParts, Verified};
///
/// fn open(cipher: &impl Cipher, parts: &mut EspParts<'_>) {
///     Verified(parts).decrypt(cipher);
/// }
/// ```
///
/// Nor is a packet that was modified after the verification:
///
/// ```compile_fail,E0499
/// use ipsec_crypto::{Cipher, EspParts, IcvMismatch, Integrity};
///
/// fn open(cipher: &impl Cipher, mac: &impl Integrity, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
///     let verified = parts.verify(mac)?;
///     parts.body().fill(0);
///     verified.decrypt(cipher);
///     Ok(())
/// }
/// ```
///
/// Nor is a packet decrypted twice:
///
/// ```compile_fail,E0382
/// use ipsec_crypto::{Cipher, EspParts, IcvMismatch, Integrity};
///
/// fn open(cipher: &impl Cipher, mac: &impl Integrity, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
///     let verified = parts.verify(mac)?;
///     verified.decrypt(cipher);
///     verified.decrypt(cipher);
///     Ok(())
/// }
/// ```
///
/// The result of a verification in a batch is part of its packet, [`Received`](crate::batch::Received), and cannot be
/// supplied by the caller.
pub struct Verified<'a, 'p>(&'a mut EspParts<'p>);

impl<'a, 'p> Verified<'a, 'p> {
    /// Decrypts the packet in place.
    #[inline(always)]
    pub fn decrypt(self, cipher: &impl Cipher) {
        cipher.decrypt(&self.0.iv(), self.0.body());
    }

    /// Gives up the proof.
    pub(crate) const fn into_parts(self) -> &'a mut EspParts<'p> {
        self.0
    }
}

/// Prints lengths, and no octets of the packet.
impl fmt::Debug for Verified<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({:?})", self.0)
    }
}

impl<'p> EspParts<'p> {
    /// Verifies the ICV in constant time (RFC 4303 section 3.4.4.1).
    ///
    /// # Errors
    /// [`IcvMismatch`] if it differs from the computed one.
    //= RFC 2406 3.4.5/3
    //# SHOULD: the ICV is verified before decryption, where one follows the other
    //= RFC 4303 3.4.4.1/1
    //# MUST: a packet whose ICV verification fails is discarded
    #[inline(always)]
    pub fn verify(&mut self, integrity: &impl Integrity) -> Result<Verified<'_, 'p>, IcvMismatch> {
        integrity.compute_received(self.integrity_input(), Internal).verify(self.icv())?;
        Ok(Verified(self))
    }
}

/// Received packet with the suite of its SA. The ICVs of several packets can be verified together, before each of them
/// is decrypted at its turn (RFC 4303 section 3.4).
///
/// The packet is held exclusively from the verification to the decryption, and the suite is borrowed: the result is
/// that of this packet, unchanged, with this suite.
///
/// ```compile_fail,E0503
/// use ipsec_crypto::batch::Received;
/// use ipsec_crypto::{EspParts, Suite};
///
/// fn open<S: Suite>(suite: &S, packet: &mut [u8]) -> Option<()> {
///     let mut received = [Received::new(suite, EspParts::split(suite.layout(), packet, None).ok()?)];
///     Received::verify(&mut received);
///     packet[20] ^= 1; // no longer the packet that was verified
///     received[0].open().ok()
/// }
/// ```
pub struct Received<'s, 'p, S> {
    suite: &'s S,
    parts: EspParts<'p>,
    /// Result of the verification; `None` before it, and after any change.
    verification: Option<Result<(), IcvMismatch>>,
}

impl<'s, 'p, S: Suite> Received<'s, 'p, S> {
    /// Creates an entry of a batch, which is not verified yet.
    pub const fn new(suite: &'s S, parts: EspParts<'p>) -> Self {
        Self { suite, parts, verification: None }
    }

    /// Verifies the ICVs of several packets in constant time (RFC 4303 section 3.4.4.1). No packet is decrypted. A
    /// suite that verifies while it decrypts does so in [`open`](Self::open).
    #[inline(never)] // its stack is not in use while packets are opened
    pub fn verify<'r>(packets: impl IntoIterator<Item = &'r mut Self>)
    where
        's: 'r,
        'p: 'r,
        S: 'r,
    {
        let mut packets = packets.into_iter();
        loop {
            let mut some: Vec<&mut Self, BATCH> = packets.by_ref().take(BATCH).collect();
            if some.is_empty() {
                return;
            }
            let mut icvs = [None; BATCH];
            let inputs: Vec<(&S, &EspParts<'_>), BATCH> =
                some.iter().map(|received| (received.suite, &received.parts)).collect();
            S::compute_icvs(&inputs, &mut icvs, Internal);
            drop(inputs);
            for (received, icv) in some.iter_mut().zip(&icvs) {
                received.verification = icv.as_ref().map(|icv: &Icv| icv.verify(received.parts.icv()));
            }
        }
    }

    /// Verifies the ICV, unless [`verify`](Self::verify) did, and then decrypts the packet in place (RFC 4303 section
    /// 3.4.4).
    ///
    /// # Errors
    /// [`IcvMismatch`] if verification failed; the packet is unchanged.
    #[inline(always)]
    pub fn open(&mut self) -> Result<(), IcvMismatch> {
        match self.verification.take() {
            Some(Ok(())) => self.suite.open_verified(Verified(&mut self.parts), Internal),
            Some(Err(mismatch)) => Err(mismatch),
            None => self.suite.open(&mut self.parts),
        }
    }

    /// Returns the parts of the packet.
    pub const fn parts(&self) -> &EspParts<'p> {
        &self.parts
    }

    /// Returns the packet to modify. The result of the verification is discarded.
    pub fn parts_mut(&mut self) -> &mut EspParts<'p> {
        self.verification = None;
        &mut self.parts
    }
}

/// Prints lengths, and no octets of the packet.
impl<S> fmt::Debug for Received<'_, '_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({:?})", self.parts)
    }
}
