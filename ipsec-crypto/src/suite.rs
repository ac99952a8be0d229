use core::fmt;

use heapless::Vec;

use crate::append::append;
use crate::{BatchItem, Cipher, Confidential, Icv, IcvInput, Integrity, Iv};

/// Number of packets of a batch that are processed together.
pub(crate) const BATCH: usize = 32;

/// Minimum packet length in octets for interleaving encryption and hashing; below it, one after the other is faster.
const MIN_STITCHED_LEN: usize = 192;

/// Lengths that a suite adds to a packet, in octets (RFC 4303 section 2). A suite processes only packets that were
/// split by its own layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Length of the IV in each packet, at most 16.
    pub iv: usize,
    /// Alignment of the encrypted body, a power of two: the block size of the cipher, but at least 4 (RFC 4303
    /// section 2.4).
    pub align: usize,
    /// Requirement of the suite on its IVs.
    pub icv: usize,
    /// Requirement on IVs.
    pub iv_rule: IvRule,
}

impl Layout {
    /// Returns the length of the body of a packet of this length, in octets (RFC 4303 sections 2 and 2.4).
    ///
    /// # Errors
    /// [`LengthError`] if the body is empty or not a multiple of the alignment.
    pub fn body_of(self, packet: usize) -> Result<usize, LengthError> {
        let around = HEADER.saturating_add(self.iv).saturating_add(self.icv);
        let body = packet.checked_sub(around).filter(|&body| body > 0).ok_or(LengthError::TooShort)?;
        let fits = self.align.is_power_of_two() && body & self.align.saturating_sub(1) == 0;
        if fits { Ok(body) } else { Err(LengthError::Unaligned) }
    }
}

/// Requirement of a suite on its IVs (RFC 4303 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IvRule {
    /// The suite has no IV.
    None,
    /// IVs must be unpredictable: CBC mode (RFC 3602 section 2.1, RFC 2405 section 4).
    Unpredictable,
    /// IVs must never repeat under one key: counter modes (RFC 3686 section 3.1, RFC 4106 section 2, RFC 7634 section
    /// 2).
    Unique,
}

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
pub struct Verification(Option<Result<(), IcvMismatch>>);

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

/// ESP packet, split by the layout of a suite (RFC 4303 section 2). It is created by [`EspParts::split`] only, so
/// that its lengths are consistent and a suite cannot fail.
///
/// ```text
/// | SPI (4) | number (4) | IV | body: payload, padding, pad length, next header | ICV |
/// |<------------------- authenticated, then the high half of ESN ------------->|
/// ```
pub struct EspParts<'a> {
    authenticated: &'a mut [u8],
    icv: &'a mut [u8],
    iv_len: usize,
    seq_high: Option<[u8; 4]>,
}

/// Length of SPI and sequence number in octets.
const HEADER: usize = 8;

impl<'a> EspParts<'a> {
    /// Splits a packet (RFC 4303 sections 2 and 2.2.1). `seq_high` is the high half of an extended sequence number,
    /// which is not transmitted.
    ///
    /// # Errors
    /// [`LengthError`] if the packet is too short for the layout, or its body is not a multiple of the alignment.
    pub fn split(layout: Layout, packet: &'a mut [u8], seq_high: Option<[u8; 4]>) -> Result<Self, LengthError> {
        layout.body_of(packet.len())?;
        let text = packet.len().saturating_sub(layout.icv);
        let (authenticated, icv) = packet.split_at_mut_checked(text).ok_or(LengthError::TooShort)?;
        Ok(Self { authenticated, icv, iv_len: layout.iv, seq_high })
    }

    /// Returns SPI and the low half of the sequence number (RFC 4303 sections 2.1 and 2.2).
    pub fn header(&self) -> [u8; HEADER] {
        self.authenticated.first_chunk().copied().unwrap_or_default()
    }

    /// Returns the IV, left-aligned (RFC 4303 section 2.3).
    pub fn iv(&self) -> Iv {
        let carried = self.authenticated.get(HEADER..HEADER.saturating_add(self.iv_len)).unwrap_or_default();
        carried.first_chunk().copied().unwrap_or_else(|| {
            let mut iv = [0; 16];
            append(&mut iv, carried);
            iv
        })
    }

    /// Returns the length of the authenticated part in octets.
    fn len(&self) -> usize {
        self.authenticated.len()
    }

    /// Returns the encrypted part (RFC 4303 section 3.3.2.1).
    pub fn body(&mut self) -> &mut [u8] {
        self.authenticated.get_mut(HEADER.saturating_add(self.iv_len)..).unwrap_or_default()
    }

    /// Returns the input of a separate integrity algorithm: the octets on the wire, the offset of the body in them,
    /// and the high half of ESN (RFC 4303 sections 2.8 and 3.3.2.1).
    pub fn text(&mut self) -> (&mut [u8], usize, &[u8]) {
        let high = self.seq_high.as_ref().map_or(&[][..], |high| high);
        (self.authenticated, HEADER.saturating_add(self.iv_len), high)
    }

    /// Returns the input of a separate integrity algorithm (RFC 4303 sections 2.8 and 3.3.2.1).
    pub fn integrity_input(&self) -> IcvInput<'_> {
        IcvInput::new(self.authenticated, self.seq_high.as_ref())
    }

    /// Returns the additional authenticated data of an AEAD: SPI and sequence number (RFC 4106 section 5).
    pub fn aad(&self) -> Aad {
        let [s0, s1, s2, s3, l0, l1, l2, l3] = self.header();
        match self.seq_high {
            None => Aad { octets: [s0, s1, s2, s3, l0, l1, l2, l3, 0, 0, 0, 0], len: 8 },
            Some([h0, h1, h2, h3]) => Aad { octets: [s0, s1, s2, s3, h0, h1, h2, h3, l0, l1, l2, l3], len: 12 },
        }
    }

    /// Returns IV and body, which an AEAD without encryption authenticates behind the additional data (RFC 4543
    /// section 3.3).
    pub fn iv_and_body(&self) -> &[u8] {
        self.authenticated.get(HEADER..).unwrap_or_default()
    }

    /// Returns the ICV of the packet (RFC 4303 section 2.8).
    pub fn icv(&self) -> &[u8] {
        self.icv
    }

    /// Writes the ICV, as far as the field is long enough (RFC 4303 section 2.8).
    pub fn set_icv(&mut self, icv: &[u8]) {
        append(self.icv, icv.get(..self.icv.len()).unwrap_or(icv));
    }
}

/// Prints lengths only, as the body may be plaintext.
impl fmt::Debug for EspParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EspParts({} + {} octets)", self.authenticated.len(), self.icv.len())
    }
}

/// Additional authenticated data of an AEAD (RFC 4106 section 5).
#[derive(Clone, Copy, Debug)]
pub struct Aad {
    octets: [u8; 12],
    len: usize,
}

impl Aad {
    /// Returns the 8 octets, or 12 with ESN (RFC 4106 section 5).
    pub fn as_slice(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// Error of a packet whose length does not fit the layout of a suite (RFC 4303 section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthError {
    /// The packet is shorter than header, IV, one octet of body and ICV.
    TooShort,
    /// The length of the body is not a multiple of the alignment.
    Unaligned,
}

impl fmt::Display for LengthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "packet too short for the suite",
            Self::Unaligned => "ciphertext length is not a multiple of the block size",
        })
    }
}

impl core::error::Error for LengthError {}

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
        let enough = enough_for(&|suite| suite.icv.min_batch()).min(enough_for(&|suite| suite.cipher.min_batch()));
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

    //= RFC 2406 3.4.5/3
    //# SHOULD: the ICV is verified before decryption, where one follows the other
    //= RFC 4303 3.4.4.1/1
    //# MUST: a packet whose ICV verification fails is discarded
    #[cfg_attr(not(feature = "small"), inline(always))]
    #[cfg_attr(feature = "small", inline(never))] // its stack is free again when the cipher needs some
    fn verify(&self, parts: &EspParts<'_>) -> Result<(), IcvMismatch> {
        self.icv.compute_received(parts.integrity_input()).verify(parts.icv())
    }
}

impl<C: Cipher, I: Integrity> Suite for EncryptThenMac<C, I> {
    fn layout(&self) -> Layout {
        cipher_layout(&self.cipher, self.icv.icv_len())
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        let iv = parts.iv();
        if parts.len() < MIN_STITCHED_LEN && !cfg!(feature = "small") {
            self.cipher.encrypt(&iv, parts.body());
            let tag = self.icv.compute_input(parts.integrity_input());
            return parts.set_icv(tag.as_slice());
        }
        let (text, body, high) = parts.text();
        let tag = self.icv.compute_over(|absorb| {
            self.cipher.encrypt_and_mac(&iv, text, body, absorb);
            absorb(high);
        });
        parts.set_icv(tag.as_slice());
    }

    fn prefers_batch(&self, packets: usize) -> bool {
        packets >= self.icv.min_batch().min(self.cipher.min_batch())
    }

    fn seal_batch(batch: &mut [(&Self, &mut EspParts<'_>)]) {
        for some in batch.chunks_mut(BATCH) {
            let interleave_group = Self::interleave_group(some);
            some.iter_mut()
                .filter(|(_, parts)| parts.len() > interleave_group)
                .for_each(|(suite, parts)| suite.seal(parts));
            if interleave_group == 0 {
                continue;
            }
            let use_par_blocks = some.iter_mut().filter(|(_, parts)| parts.len() <= interleave_group);
            encrypt_batch(use_par_blocks.map(|(suite, parts)| (&suite.cipher, &mut **parts)));
            let use_par_blocks = some.iter().filter(|(_, parts)| parts.len() <= interleave_group);
            let tags = compute_batch(use_par_blocks.map(|(suite, parts)| (&suite.icv, &**parts)));
            let use_par_blocks = some.iter_mut().filter(|(_, parts)| parts.len() <= interleave_group);
            use_par_blocks.zip(&tags).for_each(|((_, parts), tag)| parts.set_icv(tag.as_slice()));
        }
    }

    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        self.open_verified(parts, Verification::default())
    }

    fn prefers_verify_batch(&self, packets: usize, octets: usize) -> bool {
        let enough = self.icv.min_batch();
        // A second pass over the packet has a cost: short packets must be many.
        packets >= enough && (octets >= packets.saturating_mul(512) || packets >= enough.saturating_mul(4))
    }

    fn verify_batch(batch: &[(&Self, &EspParts<'_>)], verdicts: &mut [Verification]) {
        for (some, verdicts) in batch.chunks(BATCH).zip(verdicts.chunks_mut(BATCH)) {
            let tags = compute_batch(some.iter().map(|(suite, parts)| (&suite.icv, *parts)));
            for ((verdict, (_, parts)), tag) in verdicts.iter_mut().zip(some).zip(tags) {
                *verdict = Verification(Some(tag.verify(parts.icv())));
            }
        }
    }

    fn open_verified(&self, parts: &mut EspParts<'_>, Verification(verdict): Verification) -> Result<(), IcvMismatch> {
        //= RFC 4303 3.4.4.1/5
        //# MUST: integrity is verified before a decrypted packet is passed on
        verdict.unwrap_or_else(|| self.verify(parts))?;
        self.cipher.decrypt(&parts.iv(), parts.body());
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

#[cfg(feature = "any")]
impl EncryptWithoutIntegrity<crate::AnyCipher> {
    /// Creates the suite from a cipher that is not NULL.
    pub(crate) const fn of_any(cipher: crate::AnyCipher) -> Self {
        Self { cipher }
    }
}

impl<C: Cipher> Suite for EncryptWithoutIntegrity<C> {
    fn layout(&self) -> Layout {
        cipher_layout(&self.cipher, 0)
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        self.cipher.encrypt(&parts.iv(), parts.body());
    }

    fn prefers_batch(&self, packets: usize) -> bool {
        packets >= self.cipher.min_batch()
    }

    fn seal_batch(batch: &mut [(&Self, &mut EspParts<'_>)]) {
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
    C::encrypt_batch(&mut lanes);
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
    I::compute_batch(&texts, &mut tags);
    tags
}

//= RFC 4303 2.3/3
//# MUST: the payload begins at a multiple of 4 octets (IPv4) or 8 (IPv6) from the ESP header
fn cipher_layout(cipher: &impl Cipher, icv: usize) -> Layout {
    Layout { iv: cipher.iv_len(), align: cipher.block().max(4), icv, iv_rule: cipher.iv_rule() }
}
