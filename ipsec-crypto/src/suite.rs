use core::fmt;

use heapless::Vec;

use crate::append::append;
use crate::{BatchItem, Cipher, Confidential, Icv, IcvInput, Integrity, Iv};

/// Packets of a batch that are looked at together.
pub(crate) const BATCH: usize = 32;

/// Octets of a packet for which it is not worth to encrypt and hash side by side.
const SHORT: usize = 192;

/// The lengths that a suite adds to a packet, in octets (RFC 4303 2). A suite is only given packets taken apart by its own layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// IV carried in each packet, at most 16.
    pub iv: usize,
    /// What the encrypted body is padded to, a power of two: the cipher's block, but at least 4 (RFC 4303 2.4).
    pub align: usize,
    /// ICV at the end.
    pub icv: usize,
    /// What the IV must be.
    pub iv_rule: IvRule,
}

impl Layout {
    /// Octets of body in a packet of so many octets (RFC 4303 2, 2.4).
    ///
    /// # Errors
    /// [`LengthError`] when that is none, or not a multiple of the alignment.
    pub fn body_of(self, packet: usize) -> Result<usize, LengthError> {
        let around = HEADER.saturating_add(self.iv).saturating_add(self.icv);
        let body = packet.checked_sub(around).filter(|&body| body > 0).ok_or(LengthError::TooShort)?;
        let fits = self.align.is_power_of_two() && body & self.align.saturating_sub(1) == 0;
        if fits { Ok(body) } else { Err(LengthError::Unaligned) }
    }
}

/// What a suite asks of its IVs (RFC 4303 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IvRule {
    /// There is none.
    None,
    /// Nobody may foretell it: CBC (RFC 3602 2.1, RFC 2405 4).
    Unpredictable,
    /// It must never repeat under one key: counter modes (RFC 3686 3.1, RFC 4106 2, RFC 7634 2).
    Unique,
}

/// Encrypts and authenticates packets in place (RFC 4303 3.2). What an SA holds; a hardware engine can be one, too.
pub trait Suite {
    /// The lengths it adds.
    fn layout(&self) -> Layout;

    /// Encrypts the body and writes the ICV (RFC 4303 3.3.2). Header and IV are there already.
    fn seal(&self, parts: &mut EspParts<'_>);

    /// Verifies the ICV, in constant time, and only then decrypts the body (RFC 4303 3.4.4).
    ///
    /// # Errors
    /// [`IcvMismatch`] when the ICV does not hold; nothing was changed.
    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch>;

    /// Whether [`seal_batch`](Self::seal_batch) can take less time than one after the other, for so many packets: from two on, if not said otherwise,
    /// for those who write [`seal_batch`](Self::seal_batch).
    fn prefers_batch(&self, packets: usize) -> bool {
        packets > 1
    }

    /// Seals several packets, each with the suite of its SA, as [`seal`](Self::seal) would one after the other.
    fn seal_batch(batch: &mut [(&Self, &mut EspParts<'_>)])
    where
        Self: Sized,
    {
        batch.iter_mut().for_each(|(suite, parts)| suite.seal(parts));
    }

    /// Whether [`verify_batch`](Self::verify_batch) takes less time than one after the other, for so many packets of so many octets together.
    fn gains_by_verifying(&self, packets: usize, octets: usize) -> bool {
        let _ = (packets, octets);
        false
    }

    /// Looks at the ICVs of several packets, each with the suite of its SA, side by side. Nothing is decrypted; a suite that verifies while it
    /// decrypts answers nothing.
    fn verify_batch(batch: &[(&Self, &EspParts<'_>)], verdicts: &mut [Verification])
    where
        Self: Sized,
    {
        let _ = (batch, verdicts);
    }

    /// As [`open`](Self::open), for a packet at which [`verify_batch`](Self::verify_batch) looked. The caller answers for it being that packet,
    /// and unchanged since: a verdict is believed.
    ///
    /// # Errors
    /// [`IcvMismatch`] when the ICV does not hold; nothing was changed.
    fn open_verified(&self, parts: &mut EspParts<'_>, verdict: Verification) -> Result<(), IcvMismatch> {
        let _ = verdict;
        self.open(parts)
    }
}

/// What [`Suite::verify_batch`] found: nothing yet, or whether the ICV holds (RFC 4303 3.4.4).
#[derive(Clone, Copy, Debug, Default)]
pub struct Verification(Option<Result<(), IcvMismatch>>);

impl From<Result<(), IcvMismatch>> for Verification {
    fn from(found: Result<(), IcvMismatch>) -> Self {
        Self(Some(found))
    }
}

/// The ICV is not what the packet and the key give (RFC 4303 3.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcvMismatch;

impl fmt::Display for IcvMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("icv does not hold")
    }
}

impl core::error::Error for IcvMismatch {}

/// One ESP packet, taken apart by the layout of a suite (RFC 4303 2). It can only be made by [`EspParts::split`], so its lengths agree
/// with each other and a suite has nothing left to refuse.
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

/// Octets of SPI and sequence number.
const HEADER: usize = 8;

impl<'a> EspParts<'a> {
    /// Takes a packet apart (RFC 4303 2, 2.2.1). `seq_high` is the half of an extended sequence number that is not on the wire.
    ///
    /// # Errors
    /// [`LengthError`] when the packet is too short for the layout, or its body is not a multiple of the alignment.
    pub fn split(layout: Layout, packet: &'a mut [u8], seq_high: Option<[u8; 4]>) -> Result<Self, LengthError> {
        layout.body_of(packet.len())?;
        let text = packet.len().saturating_sub(layout.icv);
        let (authenticated, icv) = packet.split_at_mut_checked(text).ok_or(LengthError::TooShort)?;
        Ok(Self { authenticated, icv, iv_len: layout.iv, seq_high })
    }

    /// SPI and the low half of the sequence number (RFC 4303 2.1, 2.2).
    pub fn header(&self) -> [u8; HEADER] {
        self.authenticated.first_chunk().copied().unwrap_or_default()
    }

    /// The IV, left-aligned (RFC 4303 2.3).
    pub fn iv(&self) -> Iv {
        let carried = self.authenticated.get(HEADER..HEADER.saturating_add(self.iv_len)).unwrap_or_default();
        carried.first_chunk().copied().unwrap_or_else(|| {
            let mut iv = [0; 16];
            append(&mut iv, carried);
            iv
        })
    }

    /// Octets that are authenticated.
    fn len(&self) -> usize {
        self.authenticated.len()
    }

    /// What is encrypted (RFC 4303 3.3.2.1).
    pub fn body(&mut self) -> &mut [u8] {
        self.authenticated.get_mut(HEADER.saturating_add(self.iv_len)..).unwrap_or_default()
    }

    /// What a separate integrity algorithm covers, in the two pieces of a [`IcvInput`], and where in the first of them the body begins (RFC 4303 2.8, 3.3.2.1).
    pub fn text(&mut self) -> (&mut [u8], usize, &[u8]) {
        let high = self.seq_high.as_ref().map_or(&[][..], |high| high);
        (self.authenticated, HEADER.saturating_add(self.iv_len), high)
    }

    /// What a separate integrity algorithm covers (RFC 4303 2.8, 3.3.2.1).
    pub fn integrity_input(&self) -> IcvInput<'_> {
        IcvInput::new(self.authenticated, self.seq_high.as_ref())
    }

    /// What an AEAD takes as additional data: SPI and the whole sequence number (RFC 4106 5).
    pub fn aad(&self) -> Aad {
        let [s0, s1, s2, s3, l0, l1, l2, l3] = self.header();
        match self.seq_high {
            None => Aad { octets: [s0, s1, s2, s3, l0, l1, l2, l3, 0, 0, 0, 0], len: 8 },
            Some([h0, h1, h2, h3]) => Aad { octets: [s0, s1, s2, s3, h0, h1, h2, h3, l0, l1, l2, l3], len: 12 },
        }
    }

    /// IV and body, which an AEAD that does not encrypt covers behind the additional data (RFC 4543 3.3).
    pub fn iv_and_body(&self) -> &[u8] {
        self.authenticated.get(HEADER..).unwrap_or_default()
    }

    /// The ICV of the packet (RFC 4303 2.8).
    pub fn icv(&self) -> &[u8] {
        self.icv
    }

    /// Writes the ICV, or as much of it as there is room for (RFC 4303 2.8).
    pub fn set_icv(&mut self, icv: &[u8]) {
        append(self.icv, icv.get(..self.icv.len()).unwrap_or(icv));
    }
}

/// Lengths only: the body may be plaintext.
impl fmt::Debug for EspParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts({} + {} octets)", self.authenticated.len(), self.icv.len())
    }
}

/// The additional data of an AEAD (RFC 4106 5).
#[derive(Clone, Copy, Debug)]
pub struct Aad {
    octets: [u8; 12],
    len: usize,
}

impl Aad {
    /// 8 octets, or 12 with ESN (RFC 4106 5).
    pub fn as_slice(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// A packet that does not fit the layout of a suite (RFC 4303 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthError {
    /// Shorter than header, IV, one octet of body and ICV.
    TooShort,
    /// The body is not a multiple of the alignment.
    Unaligned,
}

impl fmt::Display for LengthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "packet too short for the suite",
            Self::Unaligned => "encrypted body is not whole blocks",
        })
    }
}

impl core::error::Error for LengthError {}

/// A cipher and an integrity algorithm over its output: the classic ESP suite (RFC 4303 3.2.1, 3.2.2).
//= RFC 4303 1/4
#[derive(Debug)]
pub struct EncryptThenMac<C, I> {
    cipher: C,
    icv: I,
}

impl<C: Cipher, I: Integrity> EncryptThenMac<C, I> {
    /// Of a keyed cipher and a keyed MAC.
    pub const fn new(cipher: C, icv: I) -> Self {
        Self { cipher, icv }
    }

    /// How long packets may be to go side by side: as long as there are enough others of at least half that length. Sealed alone, cipher
    /// and MAC go side by side instead, which is better where nothing is hashed in lanes and there are not many chains.
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
    //= RFC 4303 3.4.4.1/1
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
        if parts.len() < SHORT && !cfg!(feature = "small") {
            self.cipher.encrypt(&iv, parts.body());
            let tag = self.icv.compute_text(parts.integrity_input());
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

    fn gains_by_verifying(&self, packets: usize, octets: usize) -> bool {
        let enough = self.icv.min_batch();
        // To look at a packet twice costs something, too: short ones must be many.
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
        verdict.unwrap_or_else(|| self.verify(parts))?;
        self.cipher.decrypt(&parts.iv(), parts.body());
        Ok(())
    }
}

/// Encryption without integrity (RFC 2406 allows it, RFC 4303 3.2 advises against it).
///
/// Whoever can change packets on the wire can read and alter what such an SA carries (Paterson and Yau 2006,
/// Degabriele and Paterson 2007), and a receiver that tells bad padding from good is an oracle for its plaintext: only for
/// peers that know nothing else, under a transport that authenticates.
#[derive(Debug)]
pub struct EncryptWithoutIntegrity<C> {
    cipher: C,
}

impl<C: Confidential> EncryptWithoutIntegrity<C> {
    /// Of a keyed cipher.
    pub const fn new(cipher: C) -> Self {
        Self { cipher }
    }
}

#[cfg(feature = "any")]
impl EncryptWithoutIntegrity<crate::AnyCipher> {
    /// Of a cipher that the caller knows not to be NULL.
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

/// At most [`BATCH`] packets.
fn encrypt_batch<'b, 'p: 'b, C: Cipher + 'b>(batch: impl Iterator<Item = (&'b C, &'b mut EspParts<'p>)>) {
    let mut lanes: Vec<BatchItem<'_, C>, BATCH> = Vec::new();
    for (cipher, parts) in batch {
        let _ = lanes.push(BatchItem { cipher, iv: parts.iv(), body: parts.body() }); // there is room
    }
    C::encrypt_batch(&mut lanes);
}

/// Of at most [`BATCH`] packets.
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
fn cipher_layout(cipher: &impl Cipher, icv: usize) -> Layout {
    Layout { iv: cipher.iv_len(), align: cipher.block().max(4), icv, iv_rule: cipher.iv_rule() }
}
