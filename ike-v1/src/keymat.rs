use core::fmt;

use ike_codec::{Cookie, ProtocolId};
use ipsec_crypto::{AnyCipher, CipherAlgorithm, HashFunction, KeyError, KeyLengths, MAX_PRF, Prf, PrfOutput, Secret};

/// Pair of cookies that identifies an ISAKMP SA (RFC 2408 section 2.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// Cookie of the initiator, CKY-I.
    pub initiator: Cookie,
    /// Cookie of the responder, CKY-R.
    pub responder: Cookie,
}

/// Bodies of the two nonce payloads of an exchange (RFC 2408 section 3.13, RFC 2409 section 3.2). They are secret when
/// they are sent encrypted.
#[derive(Clone, Copy)]
pub struct Nonces<'a> {
    /// Nonce of the initiator, Ni_b.
    pub initiator: &'a [u8],
    /// Nonce of the responder, Nr_b.
    pub responder: &'a [u8],
}

impl fmt::Debug for Nonces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonces({} and {} octets)", self.initiator.len(), self.responder.len())
    }
}

/// Public values of phase 1 that HASH_I and HASH_R cover (RFC 2409 section 5).
#[derive(Clone, Copy, Debug)]
pub struct Phase1Publics<'a> {
    /// Cookies of both peers.
    pub cookies: Cookies,
    /// Public value of the initiator, g^xi, as in its key exchange payload.
    pub g_xi: &'a [u8],
    /// Public value of the responder, g^xr, as in its key exchange payload.
    pub g_xr: &'a [u8],
    /// Body of the SA payload of the initiator, SAi_b.
    pub sai_b: &'a [u8],
}

/// SKEYID of an ISAKMP SA, whose derivation depends on the authentication method (RFC 2409 section 5).
pub struct Skeyid {
    prf: Prf,
    value: PrfOutput,
}

impl Skeyid {
    /// Derives SKEYID for authentication with a pre-shared key: `prf(pre-shared-key, Ni_b | Nr_b)` (RFC 2409 section
    /// 5).
    ///
    /// # Errors
    /// [`KeyError::Length`] for an empty key, which would not authenticate the peer.
    //= RFC 2408 4.5/1
    //# SHOULD: the random information of both parties is part of the authentication
    pub fn pre_shared_key(prf: Prf, key: &[u8], nonces: &Nonces<'_>) -> Result<Self, KeyError> {
        if key.is_empty() {
            return Err(KeyError::Length { allowed: KeyLengths { min: 1, max: usize::MAX, step: 1 }, actual: 0 });
        }
        //= RFC 2409 4/11
        //# MUST: authentication by pre-shared keys is supported
        Ok(Self { prf, value: prf.compute(key, &[nonces.initiator, nonces.responder]) })
    }

    /// Derives SKEYID for authentication with signatures: `prf(Ni_b | Nr_b, g^xy)` (RFC 2409 section 5).
    ///
    /// # Errors
    /// [`KeyError::Length`] when a nonce is longer than 256 octets, which RFC 2409 section 5 forbids.
    //= RFC 2408 4.7/1
    //# SHOULD: the random information of both parties is part of the authentication
    pub fn signature(prf: Prf, nonces: &Nonces<'_>, g_xy: &[u8]) -> Result<Self, KeyError> {
        let (ni, nr) = (nonces.initiator.len(), nonces.responder.len());
        let too_long = KeyError::Length { allowed: KeyLengths { min: 0, max: 256, step: 1 }, actual: ni.max(nr) };
        let mut key = [0u8; 512];
        let key_octets = key.get_mut(..ni.saturating_add(nr)).filter(|_| ni.max(nr) <= 256).ok_or(too_long)?;
        key_octets.iter_mut().zip(nonces.initiator.iter().chain(nonces.responder)).for_each(|(to, from)| *to = *from);
        Ok(Self { prf, value: prf.compute(key_octets, &[g_xy]) })
    }

    /// Derives SKEYID for public key encryption, in the original and the revised mode:
    /// `prf(hash(Ni_b | Nr_b), CKY-I | CKY-R)` (RFC 2409 section 5).
    pub fn encryption(prf: Prf, hash: HashFunction, nonces: &Nonces<'_>, cookies: &Cookies) -> Self {
        let key = hash.digest(&[nonces.initiator, nonces.responder]);
        Self { prf, value: prf.compute(key.expose(), &[&cookies.initiator, &cookies.responder]) }
    }

    /// Returns the octets of SKEYID, for callers that log secrets deliberately.
    pub fn expose(&self) -> &[u8] {
        self.value.expose()
    }

    /// Computes HASH_I: `prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)` (RFC 2409 section 5).
    //= RFC 2408 5.11/4
    //# MUST: receiving: the hash is computed, and the message discarded if it is wrong
    pub fn hash_i(&self, publics: &Phase1Publics<'_>, idii_b: &[u8]) -> PrfOutput {
        let Phase1Publics { cookies, g_xi, g_xr, sai_b } = publics;
        self.prf.compute(self.expose(), &[g_xi, g_xr, &cookies.initiator, &cookies.responder, sai_b, idii_b])
    }

    /// Computes HASH_R: `prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b)` (RFC 2409 section 5).
    pub fn hash_r(&self, publics: &Phase1Publics<'_>, idir_b: &[u8]) -> PrfOutput {
        let Phase1Publics { cookies, g_xi, g_xr, sai_b } = publics;
        self.prf.compute(self.expose(), &[g_xr, g_xi, &cookies.responder, &cookies.initiator, sai_b, idir_b])
    }

    /// Derives SKEYID_d, SKEYID_a and SKEYID_e from the shared secret g^xy (RFC 2409 section 5).
    pub fn derive(&self, g_xy: &[u8], cookies: &Cookies) -> Phase1Keys {
        let key = self.expose();
        let (i, r) = (&cookies.initiator[..], &cookies.responder[..]);
        let d = self.prf.compute(key, &[g_xy, i, r, &[0]]);
        let a = self.prf.compute(key, &[d.expose(), g_xy, i, r, &[1]]);
        let e = self.prf.compute(key, &[a.expose(), g_xy, i, r, &[2]]);
        Phase1Keys { prf: self.prf, d, a, e }
    }
}

impl fmt::Debug for Skeyid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Skeyid({:?})", self.prf)
    }
}

/// SKEYID_d, SKEYID_a and SKEYID_e of an ISAKMP SA (RFC 2409 section 5).
pub struct Phase1Keys {
    prf: Prf,
    d: PrfOutput,
    a: PrfOutput,
    e: PrfOutput,
}

impl fmt::Debug for Phase1Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Skeyids({:?})", self.prf)
    }
}

impl Phase1Keys {
    /// Imports keys that were derived before, for a standby gateway or from the log of a peer.
    ///
    /// # Errors
    /// [`KeyError::Length`] for an empty key, with which an attacker could compute the hashes, or a key longer than the
    /// output of any prf.
    pub fn import(prf: Prf, d: &[u8], a: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let lengths = KeyLengths { min: 1, max: MAX_PRF, step: 1 };
        [d, a, e].iter().try_for_each(|key| lengths.check(key))?;
        Ok(Self { prf, d: PrfOutput::import(d)?, a: PrfOutput::import(a)?, e: PrfOutput::import(e)? })
    }

    /// Returns the prf of the ISAKMP SA.
    pub const fn prf(&self) -> Prf {
        self.prf
    }

    /// Returns SKEYID_d, from which the keys of other protocols are derived (RFC 2409 section 5).
    pub fn d(&self) -> &[u8] {
        self.d.expose()
    }

    /// Returns SKEYID_a, which authenticates messages (RFC 2409 section 5).
    pub fn a(&self) -> &[u8] {
        self.a.expose()
    }

    /// Returns SKEYID_e, from which the encryption key of messages is derived (RFC 2409 section 5).
    pub fn e(&self) -> &[u8] {
        self.e.expose()
    }

    /// Derives the encryption key of messages, with a length of `octets` (RFC 2409 appendix B).
    ///
    /// The key is taken from SKEYID_e when that is long enough, otherwise from `Ka = K1 | K2 | ..` with
    /// `K1 = prf(SKEYID_e, 0)` and `Kn = prf(SKEYID_e, Kn-1)`. For DES, the key is the first group of eight octets that
    /// is neither a weak nor a semi-weak key.
    ///
    /// # Errors
    /// [`KeyError::Length`] for more than 56 octets; [`KeyError::WeakDes`] or `SemiWeakDes` when every group of eight
    /// octets is a weak or semi-weak DES key.
    pub fn cipher_key(&self, algorithm: CipherAlgorithm, octets: usize) -> Result<Secret<56>, KeyError> {
        let mut material = [0u8; 128];
        let e = self.e.expose();
        let octets = if algorithm == CipherAlgorithm::DesCbc { 8 } else { octets };
        let available = if e.len() >= octets {
            material.iter_mut().zip(e).for_each(|(to, from)| *to = *from);
            e.len()
        } else {
            expand(&mut material, self.prf.output_len(), |last| self.prf.compute(e, &[last.unwrap_or(&[0])]));
            material.len()
        };
        let key = match algorithm {
            CipherAlgorithm::DesCbc => first_strong_des_key(material.get(..available).unwrap_or_default()),
            _ => Secret::new(material.get(..octets).unwrap_or(&material)),
        };
        zeroize::Zeroize::zeroize(&mut material);
        key
    }

    /// Computes HASH(1) of quick mode and new group mode, and the hash of informational and transaction exchanges:
    /// `prf(SKEYID_a, M-ID | rest)`. `rest` are all octets after the hash payload, without padding (RFC 2409 sections
    /// 5.5 and 5.7).
    //= RFC 2408 5.11/4
    //# MUST: receiving: the hash is computed, and the message discarded if it is wrong
    pub fn hash_1(&self, message_id: u32, rest: &[u8]) -> PrfOutput {
        self.prf.compute(self.a(), &[&message_id.to_be_bytes(), rest])
    }

    /// Computes HASH(2) of quick mode: `prf(SKEYID_a, M-ID | Ni_b | rest)` (RFC 2409 section 5.5). New group mode has
    /// no nonce: `ni_b` is empty.
    pub fn hash_2(&self, message_id: u32, ni_b: &[u8], rest: &[u8]) -> PrfOutput {
        self.prf.compute(self.a(), &[&message_id.to_be_bytes(), ni_b, rest])
    }

    /// Computes HASH(3) of quick mode: `prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b)` (RFC 2409 section 5.5).
    pub fn hash_3(&self, message_id: u32, nonces: &Nonces<'_>) -> PrfOutput {
        self.prf.compute(self.a(), &[&[0], &message_id.to_be_bytes(), nonces.initiator, nonces.responder])
    }

    /// Derives KEYMAT, the key material of one SA in one direction, and fills `keymat` with it (RFC 2409 section 5.5):
    /// `K1 = prf(SKEYID_d, [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b)`, `Kn = prf(SKEYID_d, Kn-1 | [g(qm)^xy |] ..)`.
    ///
    /// # Errors
    /// [`EmptyKeymat`] when `keymat` is empty.
    pub fn keymat(&self, seed: &KeymatSeed<'_>, keymat: &mut [u8]) -> Result<(), EmptyKeymat> {
        if keymat.is_empty() {
            return Err(EmptyKeymat);
        }
        let KeymatSeed { shared, protocol, spi, nonces } = seed;
        expand(keymat, self.prf.output_len(), |last| {
            //= RFC 2409 5.5/4
            //# MUST: key exchange payloads in quick mode are supported
            let (last, shared) = (last.unwrap_or_default(), shared.unwrap_or_default());
            self.prf.compute(self.d(), &[last, shared, &[protocol.0], spi, nonces.initiator, nonces.responder])
        });
        Ok(())
    }
}

/// Inputs of KEYMAT for one SA in one direction, besides SKEYID_d (RFC 2409 section 5.5).
#[derive(Clone, Copy)]
pub struct KeymatSeed<'a> {
    /// Shared secret g(qm)^xy of quick mode, with perfect forward secrecy only.
    pub shared: Option<&'a [u8]>,
    /// Protocol of the SA.
    pub protocol: ProtocolId,
    /// SPI chosen by the receiver, with the length used in its proposal (2 or 4 octets for IPComp).
    pub spi: &'a [u8],
    /// Nonces of the quick mode exchange.
    pub nonces: Nonces<'a>,
}

impl fmt::Debug for KeymatSeed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeymatSeed({}, {:02x?}, pfs {})", self.protocol, self.spi, self.shared.is_some())
    }
}

/// Error for empty key material. An SA without keys is reported as an error instead of a failed assertion
/// (CVE-2024-3652; RFC 2409 section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmptyKeymat;

impl fmt::Display for EmptyKeymat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("key material is empty")
    }
}

impl core::error::Error for EmptyKeymat {}

/// Fills `out` with `K1 | K2 | ..`, in which each block is computed from the preceding one.
fn expand(out: &mut [u8], block: usize, next: impl Fn(Option<&[u8]>) -> PrfOutput) {
    let mut last: Option<PrfOutput> = None;
    for chunk in out.chunks_mut(block.max(1)) {
        let k = next(last.as_ref().map(PrfOutput::expose));
        chunk.iter_mut().zip(k.expose()).for_each(|(to, from)| *to = *from);
        last = Some(k);
    }
}

/// Returns the first group of eight octets that is neither a weak nor a semi-weak DES key (RFC 2409 appendix B).
//= RFC 2409 4/9
//# MUST: des-cbc with a check for weak and semi-weak keys is supported
fn first_strong_des_key(material: &[u8]) -> Result<Secret<56>, KeyError> {
    let mut result = Err(KeyError::WeakDes);
    for candidate in material.as_chunks::<8>().0 {
        result = AnyCipher::new(CipherAlgorithm::DesCbc, candidate).and_then(|_| Secret::new(candidate));
        if result.is_ok() {
            break;
        }
    }
    result
}
