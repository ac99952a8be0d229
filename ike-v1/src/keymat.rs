use core::fmt;

use ike_codec::{Cookie, ProtocolId};
use ipsec_crypto::{AnyCipher, CipherAlgorithm, HashFunction, KeyError, KeyLengths, MAX_PRF, Prf, PrfOutput, Secret};

/// The two cookies of an ISAKMP SA (RFC 2408 2.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// CKY-I.
    pub initiator: Cookie,
    /// CKY-R.
    pub responder: Cookie,
}

/// The bodies of the two nonce payloads of an exchange, secret when they are sent encrypted (RFC 2408 3.13, RFC 2409 3.2).
#[derive(Clone, Copy)]
pub struct Nonces<'a> {
    /// Ni_b.
    pub initiator: &'a [u8],
    /// Nr_b.
    pub responder: &'a [u8],
}

impl fmt::Debug for Nonces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonces({} and {} octets)", self.initiator.len(), self.responder.len())
    }
}

/// What both sides have sent of themselves in phase 1, and HASH_I and HASH_R cover (RFC 2409 5).
#[derive(Clone, Copy, Debug)]
pub struct Phase1Publics<'a> {
    /// The cookies.
    pub cookies: Cookies,
    /// g^xi, as in the key exchange payload.
    pub g_xi: &'a [u8],
    /// g^xr, as in the key exchange payload.
    pub g_xr: &'a [u8],
    /// The body of the SA payload that the initiator sent (SAi_b).
    pub sai_b: &'a [u8],
}

/// SKEYID (RFC 2409 5): how it comes about depends on the authentication method.
pub struct Skeyid {
    prf: Prf,
    value: PrfOutput,
}

impl Skeyid {
    /// With a pre-shared key: `prf(pre-shared-key, Ni_b | Nr_b)` (RFC 2409 5).
    ///
    /// # Errors
    /// [`KeyError::Length`] for an empty key: it does not authenticate the peer.
    //= RFC 2408 4.5/1
    pub fn pre_shared_key(prf: Prf, key: &[u8], nonces: &Nonces<'_>) -> Result<Self, KeyError> {
        if key.is_empty() {
            return Err(KeyError::Length { allowed: KeyLengths { min: 1, max: usize::MAX, step: 1 }, actual: 0 });
        }
        //= RFC 2409 4/11
        Ok(Self { prf, value: prf.compute(key, &[nonces.initiator, nonces.responder]) })
    }

    /// With signatures: `prf(Ni_b | Nr_b, g^xy)`.
    ///
    /// # Errors
    /// [`KeyError::Length`] when a nonce is longer than 256 octets, which RFC 2409 5 forbids.
    //= RFC 2408 4.7/1
    pub fn signature(prf: Prf, nonces: &Nonces<'_>, g_xy: &[u8]) -> Result<Self, KeyError> {
        let (ni, nr) = (nonces.initiator.len(), nonces.responder.len());
        let too_long = KeyError::Length { allowed: KeyLengths { min: 0, max: 256, step: 1 }, actual: ni.max(nr) };
        let mut key = [0u8; 512];
        let room = key.get_mut(..ni.saturating_add(nr)).filter(|_| ni.max(nr) <= 256).ok_or(too_long)?;
        room.iter_mut().zip(nonces.initiator.iter().chain(nonces.responder)).for_each(|(to, from)| *to = *from);
        Ok(Self { prf, value: prf.compute(room, &[g_xy]) })
    }

    /// With public key encryption, in its first and its revised mode: `prf(hash(Ni_b | Nr_b), CKY-I | CKY-R)` (RFC 2409 5).
    pub fn encryption(prf: Prf, hash: HashFunction, nonces: &Nonces<'_>, cookies: &Cookies) -> Self {
        let key = hash.digest(&[nonces.initiator, nonces.responder]);
        Self { prf, value: prf.compute(key.expose(), &[&cookies.initiator, &cookies.responder]) }
    }

    /// The octets, for those who log secrets on purpose.
    pub fn expose(&self) -> &[u8] {
        self.value.expose()
    }

    /// HASH_I: `prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)` (RFC 2409 5).
    //= RFC 2408 5.11/4
    pub fn hash_i(&self, publics: &Phase1Publics<'_>, idii_b: &[u8]) -> PrfOutput {
        let Phase1Publics { cookies, g_xi, g_xr, sai_b } = publics;
        self.prf.compute(self.expose(), &[g_xi, g_xr, &cookies.initiator, &cookies.responder, sai_b, idii_b])
    }

    /// HASH_R: `prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b)` (RFC 2409 5).
    pub fn hash_r(&self, publics: &Phase1Publics<'_>, idir_b: &[u8]) -> PrfOutput {
        let Phase1Publics { cookies, g_xi, g_xr, sai_b } = publics;
        self.prf.compute(self.expose(), &[g_xr, g_xi, &cookies.responder, &cookies.initiator, sai_b, idir_b])
    }

    /// SKEYID_d, SKEYID_a and SKEYID_e (RFC 2409 5).
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

/// The three keys of an ISAKMP SA (RFC 2409 5).
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
    /// Keys that were derived before: imported by a standby, or read from a peer's log.
    ///
    /// # Errors
    /// [`KeyError::Length`] for a key that is empty, under which anybody could make a hash, or longer than any PRF's output.
    pub fn import(prf: Prf, d: &[u8], a: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let lengths = KeyLengths { min: 1, max: MAX_PRF, step: 1 };
        [d, a, e].iter().try_for_each(|key| lengths.check(key))?;
        Ok(Self { prf, d: PrfOutput::import(d)?, a: PrfOutput::import(a)?, e: PrfOutput::import(e)? })
    }

    /// The PRF.
    pub const fn prf(&self) -> Prf {
        self.prf
    }

    /// SKEYID_d, which keys for other protocols come from (RFC 2409 5).
    pub fn d(&self) -> &[u8] {
        self.d.expose()
    }

    /// SKEYID_a, which authenticates messages (RFC 2409 5).
    pub fn a(&self) -> &[u8] {
        self.a.expose()
    }

    /// SKEYID_e, which the key that encrypts messages comes from (RFC 2409 5).
    pub fn e(&self) -> &[u8] {
        self.e.expose()
    }

    /// The key of `octets` that messages are encrypted with (RFC 2409 appendix B).
    ///
    /// SKEYID_e itself when it is long enough, else `Ka = K1 | K2 | ..` with `K1 = prf(SKEYID_e, 0)` and
    /// `Kn = prf(SKEYID_e, Kn-1)`. For DES it is the first eight octets that are neither a weak nor a semi-weak key.
    ///
    /// # Errors
    /// [`KeyError::Length`] for more than 56 octets, [`KeyError::WeakDes`] or `SemiWeakDes` when no good eight octets are
    /// left.
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
            CipherAlgorithm::DesCbc => strong_des(material.get(..available).unwrap_or_default()),
            _ => Secret::new(material.get(..octets).unwrap_or(&material)),
        };
        zeroize::Zeroize::zeroize(&mut material);
        key
    }

    /// HASH(1) of quick mode and new group mode, and the hash of informational and transaction exchanges:
    /// `prf(SKEYID_a, M-ID | rest)`; `rest` is every octet behind the hash payload, without padding (RFC 2409 5.5, 5.7).
    //= RFC 2408 5.11/4
    pub fn hash_1(&self, message_id: u32, rest: &[u8]) -> PrfOutput {
        self.prf.compute(self.a(), &[&message_id.to_be_bytes(), rest])
    }

    /// HASH(2) of quick mode: `prf(SKEYID_a, M-ID | Ni_b | rest)` (RFC 2409 5.5). New group mode has no nonce: pass none.
    pub fn hash_2(&self, message_id: u32, ni_b: &[u8], rest: &[u8]) -> PrfOutput {
        self.prf.compute(self.a(), &[&message_id.to_be_bytes(), ni_b, rest])
    }

    /// HASH(3) of quick mode: `prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b)` (RFC 2409 5.5).
    pub fn hash_3(&self, message_id: u32, nonces: &Nonces<'_>) -> PrfOutput {
        self.prf.compute(self.a(), &[&[0], &message_id.to_be_bytes(), nonces.initiator, nonces.responder])
    }

    /// Fills `keymat` with the key material of one SA in one direction (RFC 2409 5.5):
    /// `K1 = prf(SKEYID_d, [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b)`, `Kn = prf(SKEYID_d, Kn-1 | [g(qm)^xy |] ..)`.
    ///
    /// # Errors
    /// [`NoKeymat`] when there is nothing to fill.
    pub fn keymat(&self, seed: &KeymatSeed<'_>, keymat: &mut [u8]) -> Result<(), NoKeymat> {
        if keymat.is_empty() {
            return Err(NoKeymat);
        }
        let KeymatSeed { shared, protocol, spi, nonces } = seed;
        expand(keymat, self.prf.output_len(), |last| {
            //= RFC 2409 5.5/4
            let (last, shared) = (last.unwrap_or_default(), shared.unwrap_or_default());
            self.prf.compute(self.d(), &[last, shared, &[protocol.0], spi, nonces.initiator, nonces.responder])
        });
        Ok(())
    }
}

/// What the key material of one SA in one direction is made from, apart from SKEYID_d (RFC 2409 5.5).
#[derive(Clone, Copy)]
pub struct KeymatSeed<'a> {
    /// g(qm)^xy, with perfect forward secrecy.
    pub shared: Option<&'a [u8]>,
    /// The protocol.
    pub protocol: ProtocolId,
    /// The SPI of the receiver, as many octets as in its proposal (an IPComp SA has 2 or 4).
    pub spi: &'a [u8],
    /// The nonces of the quick mode.
    pub nonces: Nonces<'a>,
}

impl fmt::Debug for KeymatSeed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeymatSeed({}, {:02x?}, pfs {})", self.protocol, self.spi, self.shared.is_some())
    }
}

/// Key material of no octets was asked for: an SA without keys is an error, not an assertion (CVE-2024-3652; RFC 2409 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKeymat;

impl fmt::Display for NoKeymat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("key material of no octets")
    }
}

impl core::error::Error for NoKeymat {}

/// `K1 | K2 | ..`, each made from the one before it.
fn expand(out: &mut [u8], block: usize, next: impl Fn(Option<&[u8]>) -> PrfOutput) {
    let mut last: Option<PrfOutput> = None;
    for chunk in out.chunks_mut(block.max(1)) {
        let k = next(last.as_ref().map(PrfOutput::expose));
        chunk.iter_mut().zip(k.expose()).for_each(|(to, from)| *to = *from);
        last = Some(k);
    }
}

/// The first eight octets that are a good key, in steps of eight (RFC 2409 appendix B).
//= RFC 2409 4/9
fn strong_des(material: &[u8]) -> Result<Secret<56>, KeyError> {
    let mut verdict = Err(KeyError::WeakDes);
    for candidate in material.as_chunks::<8>().0 {
        verdict = AnyCipher::new(CipherAlgorithm::DesCbc, candidate).and_then(|_| Secret::new(candidate));
        if verdict.is_ok() {
            break;
        }
    }
    verdict
}
