use core::hint::black_box;
use core::ptr;

use heapless::Vec;

use crate::batch::KeyUse;
use crate::cipher::BatchItem;
use crate::internal::Internal;
use crate::suite::BATCH;
use crate::{Cipher, Confidential, EspParts, Icv, IcvInput, IcvLen, IcvMismatch, Integrity, Layout, Suite, Verified};

/// Minimum packet length in octets for interleaving encryption and hashing; below it, one after the other is faster.
const MIN_STITCHED_LEN: usize = 192;

/// Cipher with an integrity algorithm over its output, the classic ESP suite (RFC 4303 sections 3.2.1 and 3.2.2).
//= RFC 4303 1/4
//# MUST: confidentiality together with integrity is supported
#[derive(Debug)]
pub struct EncryptThenMac<C, I> {
    cipher: C,
    icv: I,
}

impl<C: Cipher, I: Integrity> EncryptThenMac<C, I> {
    /// Creates the suite from a keyed cipher and a keyed integrity algorithm.
    pub const fn new(cipher: C, icv: I) -> Self {
        Self { cipher, icv }
    }

    /// Returns the length up to which packets are interleaved: there must be enough others of at least half that
    /// length. A packet that is sealed alone interleaves cipher and MAC, which is faster without multi-buffer hashing
    /// and with few chains.
    fn interleave_group(batch: &[(&Self, &mut EspParts<'_>)]) -> usize {
        let enough_for = |from: &dyn Fn(&Self) -> usize| {
            batch.iter().map(|(suite, _)| from(suite)).filter(|&from| from <= batch.len()).max().unwrap_or(usize::MAX)
        };
        let enough = enough_for(&|suite| suite.icv.min_batch(Internal))
            .min(enough_for(&|suite| suite.cipher.min_batch(Internal)));
        if enough == usize::MAX {
            return 0;
        }
        let lengths = || batch.iter().map(|(_, parts)| parts.len());
        let longest = |below: usize| lengths().filter(|&len| len < below).max();
        let mut most = longest(usize::MAX);
        while let Some(length) = most {
            if lengths().filter(|len| (length / 2..=length).contains(len)).count() >= enough {
                return length;
            }
            most = longest(length);
        }
        0
    }

    /// Returns whether a packet is faster alone: its cipher interleaves packets of one key only, of which there are too
    /// few, and its hash is not faster with others.
    fn gains_nothing_among(&self, batch: &[(&Self, &mut EspParts<'_>)]) -> bool {
        let same = || batch.iter().filter(|(other, _)| ptr::eq(*other, self)).count();
        !self.cipher.interleaves_keys(Internal)
            && self.icv.min_batch(Internal) > batch.len()
            && same() < self.cipher.min_batch(Internal)
    }

    #[cfg_attr(not(ipsec_small), inline(always))]
    #[cfg_attr(ipsec_small, inline(never))] // its stack is free again when the cipher needs some
    fn verify<'a, 'p>(&self, parts: &'a mut EspParts<'p>) -> Result<Verified<'a, 'p>, IcvMismatch> {
        parts.verify(&self.icv)
    }
}

impl<C: Cipher, I: Integrity> Suite for EncryptThenMac<C, I> {
    fn layout(&self) -> Layout {
        cipher_layout(&self.cipher, self.icv.icv_len())
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        let iv = parts.iv();
        if parts.len() < MIN_STITCHED_LEN && !cfg!(ipsec_small) {
            self.cipher.encrypt(&iv, parts.body());
            let tag = self.icv.compute_input(parts.integrity_input(), Internal);
            return parts.set_icv(&tag);
        }
        let (text, body, high) = parts.text();
        let tag = self.icv.compute_over(|absorb| {
            self.cipher.encrypt_and_mac(&iv, text, body, absorb, Internal);
            absorb(high);
        });
        parts.set_icv(&tag);
    }

    fn read_ahead(&self, use_of_keys: KeyUse, _: Internal) {
        self.cipher.read_ahead(use_of_keys, Internal);
        // Of an algorithm that is chosen at run time, its number is beside its keys.
        black_box(self.icv.icv_len());
    }

    fn prefers_seal_batch(&self, packets: usize, _: Internal) -> bool {
        packets >= self.icv.min_batch(Internal).min(self.cipher.min_batch(Internal))
    }

    fn seal_all(batch: &mut [(&Self, &mut EspParts<'_>)], _: Internal) {
        for some in batch.chunks_mut(BATCH) {
            let interleave_group = Self::interleave_group(some);
            let mut alone: Vec<bool, BATCH> = Vec::new();
            for (suite, parts) in &*some {
                let _ = alone.push(parts.len() > interleave_group || suite.gains_nothing_among(some)); // there is room
            }
            let is = |wanted: bool| alone.iter().map(move |alone| *alone == wanted);
            for ((suite, parts), _) in some.iter_mut().zip(is(true)).filter(|(_, is)| *is) {
                suite.seal(parts);
            }
            if !alone.contains(&false) {
                continue;
            }
            let together = some.iter_mut().zip(is(false)).filter(|(_, is)| *is);
            encrypt_batch(together.map(|((suite, parts), _)| (&suite.cipher, &mut **parts)));
            let together = some.iter().zip(is(false)).filter(|(_, is)| *is);
            let tags = compute_batch(together.map(|((suite, parts), _)| (&suite.icv, &**parts)));
            let together = some.iter_mut().zip(is(false)).filter(|(_, is)| *is);
            together.zip(&tags).for_each(|(((_, parts), _), tag)| parts.set_icv(tag));
        }
    }

    //= RFC 4303 3.4.4.1/5
    //# MUST: integrity is verified before a decrypted packet is passed on
    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        self.verify(parts)?.decrypt(&self.cipher);
        Ok(())
    }

    fn prefers_verify_batch(&self, packets: usize, octets: usize, _: Internal) -> bool {
        let enough = self.icv.min_batch(Internal);
        // A second pass over the packet has a cost: short packets must be many.
        packets >= enough && (octets >= packets.saturating_mul(512) || packets >= enough.saturating_mul(4))
    }

    fn compute_icvs(batch: &[(&Self, &EspParts<'_>)], icvs: &mut [Option<Icv>], _: Internal) {
        for (some, icvs) in batch.chunks(BATCH).zip(icvs.chunks_mut(BATCH)) {
            let computed = compute_batch(some.iter().map(|(suite, parts)| (&suite.icv, *parts)));
            icvs.iter_mut().zip(some).zip(computed).for_each(|((icv, _), computed)| *icv = Some(computed));
        }
    }

    fn open_verified(&self, packet: Verified<'_, '_>, _: Internal) -> Result<(), IcvMismatch> {
        packet.decrypt(&self.cipher);
        Ok(())
    }
}

/// Encryption without integrity (allowed by RFC 2406, discouraged by RFC 4303 section 3.2).
///
/// An attacker on the path can read and alter the traffic of such an SA (Paterson and Yau 2006, Degabriele and
/// Paterson 2007), and a receiver that distinguishes bad padding is a decryption oracle. It is for peers that support
/// nothing else, below a transport that authenticates.
#[derive(Debug)]
pub struct EncryptWithoutIntegrity<C> {
    cipher: C,
}

impl<C: Confidential> EncryptWithoutIntegrity<C> {
    /// Creates the suite from a keyed cipher.
    pub const fn new(cipher: C) -> Self {
        Self { cipher }
    }
}

#[cfg(feature = "runtime-suites")]
impl EncryptWithoutIntegrity<crate::AnyCipher> {
    /// Creates the suite from a cipher that is not NULL.
    pub(crate) const fn of_any(cipher: crate::AnyCipher) -> Self {
        Self { cipher }
    }
}

impl<C: Cipher> Suite for EncryptWithoutIntegrity<C> {
    fn layout(&self) -> Layout {
        cipher_layout(&self.cipher, IcvLen::NONE)
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        self.cipher.encrypt(&parts.iv(), parts.body());
    }

    fn prefers_seal_batch(&self, packets: usize, _: Internal) -> bool {
        packets >= self.cipher.min_batch(Internal)
    }

    fn seal_all(batch: &mut [(&Self, &mut EspParts<'_>)], _: Internal) {
        for some in batch.chunks_mut(BATCH) {
            encrypt_batch(some.iter_mut().map(|(suite, parts)| (&suite.cipher, &mut **parts)));
        }
    }

    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        self.cipher.decrypt(&parts.iv(), parts.body());
        Ok(())
    }
}

/// Encrypts at most [`BATCH`] packets.
fn encrypt_batch<'b, 'p: 'b, C: Cipher + 'b>(batch: impl Iterator<Item = (&'b C, &'b mut EspParts<'p>)>) {
    let mut lanes: Vec<BatchItem<'_, C>, BATCH> = Vec::new();
    for (cipher, parts) in batch {
        let _ = lanes.push(BatchItem { cipher, iv: parts.iv(), body: parts.body() }); // there is room
    }
    C::encrypt_batch(&mut lanes, Internal);
}

/// Computes the ICVs of at most [`BATCH`] packets.
fn compute_batch<'b, 'p: 'b, I: Integrity + 'b>(
    batch: impl Iterator<Item = (&'b I, &'b EspParts<'p>)>,
) -> [Icv; BATCH] {
    let mut texts: Vec<(&I, IcvInput<'_>), BATCH> = Vec::new();
    for (icv, parts) in batch {
        let _ = texts.push((icv, parts.integrity_input())); // there is room
    }
    let mut tags = [Icv::NONE; BATCH];
    I::compute_batch(&texts, &mut tags, Internal);
    tags
}

//= RFC 4303 2.3/3
//# MUST: the payload begins at a multiple of 4 octets (IPv4) or 8 (IPv6) from the ESP header
fn cipher_layout(cipher: &impl Cipher, icv: IcvLen) -> Layout {
    cipher.layout().with_icv(icv)
}
