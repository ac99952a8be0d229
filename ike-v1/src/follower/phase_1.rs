//! Values of phase 1 and the keys that follow from them.

use core::fmt;

use ike_codec::{
    AuthMethod, Body, Chain, Cookie, ExchangeKind, Message, PayloadKind, ProtocolId, Quirks, SecurityAssociation,
};
use ipsec_crypto::{CipherAlgorithm, HashFunction, KeyError, PrfOutput, Secret};

use super::exchange::MAX_NONCE;
use super::{FollowError, Followed, HashForm, Incoming};
use crate::method::{Authentication, authentication};
use crate::{
    Cookies, IvChain, MAX_PUBLIC, Nonces, PeerDefaults, Phase1Choice, Phase1Keys, Phase1Publics, ProposalError,
    Protection, Role, Skeyid,
};

/// Secrets of an ISAKMP SA, as far as they are known (RFC 2409 section 5).
///
/// Signatures need `shared` for everything; pre-shared keys need both for everything, and `pre_shared_key` alone for
/// the hashes of aggressive and base mode. `encryption_key` alone decrypts without verifying a hash.
#[derive(Clone, Copy, Default)]
pub struct Secrets<'s> {
    /// Pre-shared key of both peers.
    pub pre_shared_key: Option<&'s [u8]>,
    /// Diffie-Hellman shared secret g^xy of phase 1.
    pub shared: Option<&'s [u8]>,
    /// SKEYID_d, SKEYID_a and SKEYID_e, instead of those that follow from the other secrets.
    pub phase_1_keys: Option<&'s Phase1Keys>,
    /// Encryption key Ka, instead of the one that follows from SKEYID_e.
    pub encryption_key: Option<&'s [u8]>,
    /// Cipher and hash algorithm of ISAKMP SAs whose SA payload was not captured.
    pub algorithms: Option<(CipherAlgorithm, HashFunction)>,
}

impl Secrets<'_> {
    /// Returns whether no message can be decrypted with any parameters of the peers.
    const fn are_insufficient(&self) -> bool {
        self.shared.is_none() && self.phase_1_keys.is_none() && self.encryption_key.is_none()
    }
}

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("pre_shared_key", &self.pre_shared_key.is_some())
            .field("shared", &self.shared.is_some())
            .field("phase_1_keys", &self.phase_1_keys)
            .field("encryption_key", &self.encryption_key.is_some())
            .field("algorithms", &self.algorithms)
            .finish()
    }
}

/// Reason why a hash was not verified (RFC 2409 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotVerified {
    /// The message has no hash, which its exchange requires.
    Missing,
    /// The message has a signature in place of a hash; certificates are not verified.
    Signature,
    /// The SA payloads of both sides are not known.
    NoSa,
    /// The public values of both sides are not known.
    NoKeyExchange,
    /// The nonces that the hash covers or its key depends on are not known.
    NoNonce,
    /// The identity that the hash covers is not known.
    NoIdentity,
    /// The pre-shared key is not known.
    NoPreSharedKey,
    /// The Diffie-Hellman shared secret is not known.
    NoShared,
    /// The key of the hash cannot be computed for this authentication method.
    Method(AuthMethod),
}

impl fmt::Display for NotVerified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "hash payload is missing",
            Self::Signature => "signature is not verified",
            Self::NoSa => "SA payload is not known",
            Self::NoKeyExchange => "public values are not known",
            Self::NoNonce => "nonce is not known",
            Self::NoIdentity => "identity is not known",
            Self::NoPreSharedKey => "pre-shared key is not known",
            Self::NoShared => "shared secret is not known",
            Self::Method(method) => return write!(f, "authentication method {method} is not supported"),
        })
    }
}

/// Values that the messages of phase 1 contain.
#[derive(Debug)]
pub(super) struct Phase1<const BUFFER: usize> {
    pub cookies: Cookies,
    choice: Option<Result<Phase1Choice, ProposalError>>,
    quirks: Quirks,
    sai_b: Option<Secret<BUFFER>>,
    publics: [Option<Secret<MAX_PUBLIC>>; 2],
    nonces: [Option<Secret<MAX_NONCE>>; 2],
    identities: [Option<Secret<BUFFER>>; 2],
}

/// Keys of an ISAKMP SA.
#[derive(Debug)]
pub(super) struct SaKeys {
    cipher: CipherAlgorithm,
    hash: HashFunction,
    pub encryption_key: Secret<56>,
    pub skeyid: Result<Skeyid, NotVerified>,
    pub phase_1_keys: Result<Phase1Keys, NotVerified>,
}

impl SaKeys {
    /// Returns the encryption of messages. It is created for each message: a key schedule of Blowfish has 4,168 octets.
    pub fn protection(&self) -> Result<Protection, KeyError> {
        Protection::new(self.cipher, self.encryption_key.expose(), self.hash)
    }
}

impl<const BUFFER: usize> Phase1<BUFFER> {
    pub fn new() -> Self {
        Self {
            cookies: Cookies { initiator: NO_COOKIE, responder: NO_COOKIE },
            choice: None,
            quirks: Quirks::default(),
            sai_b: None,
            publics: [None, None],
            nonces: [None, None],
            identities: [None, None],
        }
    }

    /// Stores the values of a message in cleartext. A later message replaces them.
    pub fn learn(&mut self, sender: Role, message: &Message<'_>) -> Result<(), FollowError> {
        let header = message.header();
        self.cookies.initiator = header.initiator_cookie;
        if header.responder_cookie != NO_COOKIE {
            self.cookies.responder = header.responder_cookie;
        }
        for payload in message.payloads().filter(|payload| payload.kind == PayloadKind::VENDOR_ID) {
            self.quirks.add(payload.body);
        }
        for payload in message.payloads() {
            let body = payload.body;
            match payload.view() {
                Body::KeyExchange(_) => *of(&mut self.publics, sender) = Some(stored(body)?),
                Body::Nonce(_) => *of(&mut self.nonces, sender) = Some(stored(body)?),
                Body::Identification(_) => *of(&mut self.identities, sender) = Some(stored(body)?),
                Body::SecurityAssociation(_) if sender == Role::Initiator => self.sai_b = Some(stored(body)?),
                Body::SecurityAssociation(sa) => self.choice = Some(choice(&sa, &self.quirks)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Stores the identity of an authentic message.
    pub fn learn_identity(&mut self, sender: Role, payloads: &Chain<'_>) {
        if let Some(identity) = identity(payloads) {
            *of(&mut self.identities, sender) = stored(identity).ok();
        }
    }

    /// Returns the IV chain with which phase 1 begins, if both public values are known.
    pub fn first_chain(&self, protection: &Protection) -> Option<IvChain> {
        let [Some(g_xi), Some(g_xr)] = &self.publics else { return None };
        Some(protection.phase_1(g_xi.expose(), g_xr.expose()))
    }

    /// Verifies the hash of a message of phase 1. Returns `None` if it has neither a hash nor a signature.
    pub fn verify(
        &self,
        incoming: &Incoming,
        payloads: &Chain<'_>,
        skeyid: Result<&Skeyid, &NotVerified>,
    ) -> Option<Followed> {
        let form = HashForm::Phase1(incoming.sender);
        let find = |kind| payloads.payloads().find(|payload| payload.kind == kind);
        if let Some(hash) = find(PayloadKind::HASH) {
            let computed = skeyid.map_err(|why| *why).and_then(|skeyid| self.hash(incoming, payloads, skeyid));
            return Some(Followed::compared(form, hash.body, computed));
        }
        find(PayloadKind::SIGNATURE)?;
        let computed = match incoming.header.exchange {
            ExchangeKind::BASE => self.signed_hash_of_base_mode(incoming, payloads),
            _ => skeyid.map_err(|why| *why).and_then(|skeyid| self.hash(incoming, payloads, skeyid)),
        };
        Some(Followed::signed(form, computed))
    }

    /// Computes HASH_I or HASH_R. In base mode, HASH_I does not cover the public value of the responder
    /// (draft-ietf-ipsec-ike-base-mode-02).
    fn hash(&self, incoming: &Incoming, payloads: &Chain<'_>, skeyid: &Skeyid) -> Result<PrfOutput, NotVerified> {
        let identity = self.identity(incoming.sender, payloads)?;
        let sai_b = self.sai_b.as_ref().ok_or(NotVerified::NoSa)?.expose();
        let public = |role| of_ref(&self.publics, role).ok_or(NotVerified::NoKeyExchange);
        let is_base = incoming.header.exchange == ExchangeKind::BASE;
        let g_xi = public(Role::Initiator)?;
        let g_xr = if is_base && incoming.sender == Role::Initiator { &[] } else { public(Role::Responder)? };
        let publics = Phase1Publics { cookies: self.cookies, g_xi, g_xr, sai_b };
        Ok(match incoming.sender {
            Role::Initiator => skeyid.hash_i(&publics, identity),
            Role::Responder => skeyid.hash_r(&publics, identity),
        })
    }

    /// Computes the value that base mode signs, as racoon does: the key of HASH_I is `hash(Nr_b | Ni_b)` and that of
    /// HASH_R is `hash(Ni_b | Nr_b)`; HASH_R covers the identity of the initiator.
    fn signed_hash_of_base_mode(&self, incoming: &Incoming, payloads: &Chain<'_>) -> Result<PrfOutput, NotVerified> {
        let Some(Ok(choice)) = self.choice else { return Err(NotVerified::NoSa) };
        let sai_b = self.sai_b.as_ref().ok_or(NotVerified::NoSa)?.expose();
        let public = |role| of_ref(&self.publics, role).ok_or(NotVerified::NoKeyExchange);
        let Nonces { initiator: ni, responder: nr } = self.nonces()?;
        let Cookies { initiator, responder } = &self.cookies;
        let (g_xi, idii_b) = (public(Role::Initiator)?, self.identity(Role::Initiator, payloads)?);
        let (key, g_xr) = match incoming.sender {
            Role::Initiator => (choice.hash.digest(&[nr, ni]), &[][..]),
            Role::Responder => (choice.hash.digest(&[ni, nr]), public(Role::Responder)?),
        };
        Ok(choice.hash.prf().compute(key.expose(), &[g_xi, g_xr, initiator, responder, sai_b, idii_b]))
    }

    /// Returns the identity of a side: that of a message of its own, else that of an earlier message.
    fn identity<'a>(&'a self, role: Role, payloads: &Chain<'a>) -> Result<&'a [u8], NotVerified> {
        identity(payloads).or(of_ref(&self.identities, role)).ok_or(NotVerified::NoIdentity)
    }

    fn nonces(&self) -> Result<Nonces<'_>, NotVerified> {
        let nonce = |role| of_ref(&self.nonces, role).ok_or(NotVerified::NoNonce);
        Ok(Nonces { initiator: nonce(Role::Initiator)?, responder: nonce(Role::Responder)? })
    }

    /// Derives SKEYID from the secrets that are known (RFC 2409 section 5).
    pub fn skeyid(&self, secrets: &Secrets<'_>) -> Result<Skeyid, NotVerified> {
        let Some(Ok(choice)) = self.choice else { return Err(NotVerified::NoSa) };
        let prf = choice.hash.prf();
        let method = NotVerified::Method(choice.auth_method);
        match authentication(choice.auth_method, &self.quirks).ok_or(method)? {
            Authentication::PreSharedKey => {
                let key = secrets.pre_shared_key.ok_or(NotVerified::NoPreSharedKey)?;
                Skeyid::pre_shared_key(prf, key, &self.nonces()?).map_err(|_| NotVerified::NoPreSharedKey)
            }
            Authentication::Signature | Authentication::Hybrid(_) => {
                let shared = secrets.shared.ok_or(NotVerified::NoShared)?;
                Skeyid::signature(prf, &self.nonces()?, shared).map_err(|_| NotVerified::NoNonce)
            }
        }
    }

    /// Derives the keys of the SA.
    pub fn keys(&self, secrets: &Secrets<'_>) -> Result<SaKeys, FollowError> {
        if secrets.are_insufficient() {
            return Err(FollowError::NoKey);
        }
        let (cipher, key_len, hash) = match (self.choice, secrets.algorithms) {
            (_, Some((cipher, hash))) => (cipher, cipher.row().map_or(0, |row| row.default_key), hash),
            (Some(choice), None) => choice.map(|c| (c.cipher, c.cipher_key, c.hash)).map_err(FollowError::Choice)?,
            (None, None) => return Err(FollowError::NoChoice),
        };
        let skeyid = self.skeyid(secrets);
        let phase_1_keys = match (secrets.phase_1_keys, &skeyid, secrets.shared) {
            (Some(keys), _, _) => {
                Ok(Phase1Keys::import(keys.prf(), keys.d(), keys.a(), keys.e()).map_err(FollowError::Key)?)
            }
            (None, Ok(skeyid), Some(shared)) => Ok(skeyid.derive(shared, &self.cookies)),
            (None, Ok(_), None) => Err(NotVerified::NoShared),
            (None, Err(why), _) => Err(*why),
        };
        let encryption_key = match (secrets.encryption_key, &phase_1_keys) {
            (Some(key), _) => Secret::new(key).map_err(FollowError::Key)?,
            (None, Ok(keys)) => keys.cipher_key(cipher, key_len).map_err(FollowError::Key)?,
            (None, Err(why)) => return Err(FollowError::Underivable(*why)),
        };
        Ok(SaKeys { cipher, hash, encryption_key, skeyid, phase_1_keys })
    }
}

/// Cookie of a side that has not sent a message.
const NO_COOKIE: Cookie = [0; 8];

/// Returns the choice of the responder.
fn choice(sa: &SecurityAssociation<'_>, quirks: &Quirks) -> Result<Phase1Choice, ProposalError> {
    let proposal = sa.proposals().next().ok_or(ProposalError::Missing(0))?;
    if proposal.protocol != ProtocolId::ISAKMP {
        return Err(ProposalError::Protocol(proposal.protocol));
    }
    let transform = proposal.transforms().next().ok_or(ProposalError::Missing(0))?;
    Phase1Choice::recorded(&transform.attributes, &PeerDefaults::of(quirks))
}

fn identity<'a>(payloads: &Chain<'a>) -> Option<&'a [u8]> {
    payloads.payloads().find(|payload| payload.kind == PayloadKind::ID).map(|payload| payload.body)
}

fn stored<const N: usize>(octets: &[u8]) -> Result<Secret<N>, FollowError> {
    Secret::new(octets).map_err(|_| FollowError::TooLong { octets: octets.len() })
}

/// Returns the value of one side.
fn of<T>([initiator, responder]: &mut [T; 2], role: Role) -> &mut T {
    match role {
        Role::Initiator => initiator,
        Role::Responder => responder,
    }
}

/// Returns the octets of one side, if they are known.
fn of_ref<const N: usize>([initiator, responder]: &[Option<Secret<N>>; 2], role: Role) -> Option<&[u8]> {
    match role {
        Role::Initiator => initiator.as_ref(),
        Role::Responder => responder.as_ref(),
    }
    .map(Secret::expose)
}
