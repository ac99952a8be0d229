use ike_codec::{Body, Group, Identification, Payload, PayloadKind, Payloads, SecurityAssociation};
use ipsec_crypto::PrfOutput;

use super::Refusal;
use super::stage::{HashForm, Identities, Row};

/// Payloads of a message, counted and sorted by type (RFC 2408 section 5.3).
#[derive(Clone, Debug)]
pub(crate) struct Census<'m> {
    sa: Option<Payload<'m>>,
    key_exchange: Option<&'m [u8]>,
    nonce: Option<&'m [u8]>,
    hash: Option<&'m [u8]>,
    signature: Option<&'m [u8]>,
    identities: [Option<(Identification<'m>, &'m [u8])>; 2],
    payloads: Payloads<'m>,
}

impl Census<'_> {
    /// Census of a message without payloads.
    pub const NONE: Self = Self {
        sa: None,
        key_exchange: None,
        nonce: None,
        hash: None,
        signature: None,
        identities: [None; 2],
        payloads: Payloads::NONE,
    };
}

impl<'m> Census<'m> {
    /// Counts the payloads of a message, which must be those of its row. Vendor IDs, certificates, certificate
    /// requests, notifications, NAT-D payloads and payloads of types for private use are allowed in every message. The
    /// hash of an encrypted message after phase 1 must be first (RFC 2409 section 5.5).
    pub fn of(row: &Row, payloads: Payloads<'m>) -> Result<Self, Refusal> {
        let mut census = Census { payloads: payloads.clone(), ..Census::NONE };
        for (position, payload) in payloads.enumerate() {
            census.add(row, position, &payload)?;
        }
        for kind in row.required {
            census.has(*kind).then_some(()).ok_or(Refusal::MissingPayload(*kind))?;
        }
        let found = census.identities.iter().flatten().count();
        match (row.identities, found) {
            (Identities::None, 0) | (Identities::One, 1) | (Identities::NoneOrTwo, 0 | 2) => Ok(census),
            (Identities::None, _) => Err(Refusal::UnexpectedPayload(PayloadKind::ID)),
            (Identities::One, 2) => Err(Refusal::DuplicatePayload(PayloadKind::ID)),
            _ => Err(Refusal::MissingPayload(PayloadKind::ID)),
        }
    }

    fn add(&mut self, row: &Row, position: usize, payload: &Payload<'m>) -> Result<(), Refusal> {
        let kind = payload.kind;
        let is_counted = matches!(
            kind,
            PayloadKind::SA
                | PayloadKind::KEY_EXCHANGE
                | PayloadKind::NONCE
                | PayloadKind::HASH
                | PayloadKind::SIGNATURE
        );
        let is_proof = kind == PayloadKind::SIGNATURE && row.hash == Some(HashForm::Phase1);
        if is_counted && !is_proof && !row.required.contains(&kind) && !row.optional.contains(&kind) {
            return Err(Refusal::UnexpectedPayload(kind));
        }
        //= RFC 2409 5/6, 5.5/2, 5.5/3
        //# MUST: in phase 1 the SA payload comes before all others
        //# MUST: the hash payload is the first of quick mode
        //# MUST: the SA payload follows the hash
        let must_be_first = match kind {
            PayloadKind::SA => row.is_phase_1(),
            PayloadKind::HASH => !row.is_phase_1(),
            _ => false,
        };
        if must_be_first && position > 0 {
            return Err(Refusal::UnexpectedPayload(kind));
        }
        let duplicate = match payload.view() {
            Body::KeyExchange(value) => self.key_exchange.replace(value).is_some(),
            Body::Nonce(nonce) => self.nonce.replace(nonce).is_some(),
            Body::Hash(hash) => self.hash.replace(hash).is_some(),
            Body::Signature(signature) => self.signature.replace(signature).is_some(),
            Body::Identification(identity) => match self.identities.iter_mut().find(|slot| slot.is_none()) {
                Some(slot) => {
                    *slot = Some((identity, payload.body));
                    false
                }
                None => true,
            },
            _ if kind == PayloadKind::SA => self.sa.replace(*payload).is_some(),
            _ => false,
        };
        if duplicate { Err(Refusal::DuplicatePayload(kind)) } else { Ok(()) }
    }

    fn has(&self, kind: PayloadKind) -> bool {
        match kind {
            PayloadKind::SA => self.sa.is_some(),
            PayloadKind::KEY_EXCHANGE => self.key_exchange.is_some(),
            PayloadKind::NONCE => self.nonce.is_some(),
            PayloadKind::HASH => self.hash.is_some() || self.signature.is_some(),
            _ => true,
        }
    }

    /// Returns the SA payload and its body, which is SAi_b of the hashes.
    pub fn sa(&self) -> Result<(SecurityAssociation<'m>, &'m [u8]), Refusal> {
        let payload = self.sa.ok_or(Refusal::MissingPayload(PayloadKind::SA))?;
        match payload.view() {
            Body::SecurityAssociation(sa) => Ok((sa, payload.body)),
            Body::OtherDoi(doi, _) => Err(Refusal::Doi(doi)),
            _ => Err(Refusal::Internal),
        }
    }

    /// Returns the public value of the peer.
    pub fn key_exchange(&self) -> Result<&'m [u8], Refusal> {
        self.key_exchange.ok_or(Refusal::MissingPayload(PayloadKind::KEY_EXCHANGE))
    }

    /// Returns the public value of the peer, which the message must have if and only if a group was negotiated.
    pub fn key_exchange_of(&self, group: Option<Group>) -> Result<Option<(Group, &'m [u8])>, Refusal> {
        match (group, self.key_exchange) {
            (Some(group), Some(value)) => Ok(Some((group, value))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(Refusal::MissingPayload(PayloadKind::KEY_EXCHANGE)),
            (None, Some(_)) => Err(Refusal::UnexpectedPayload(PayloadKind::KEY_EXCHANGE)),
        }
    }

    /// Returns the nonce of the peer, 8 to 256 octets.
    pub fn nonce(&self) -> Result<&'m [u8], Refusal> {
        let nonce = self.nonce.ok_or(Refusal::MissingPayload(PayloadKind::NONCE))?;
        //= RFC 2409 5/8
        //# MUST: a nonce has 8 to 256 octets
        if (8..=256).contains(&nonce.len()) { Ok(nonce) } else { Err(Refusal::NonceLength(nonce.len())) }
    }

    /// Returns the hash of the message.
    pub fn hash(&self) -> Result<&'m [u8], Refusal> {
        self.hash.ok_or(Refusal::MissingPayload(PayloadKind::HASH))
    }

    /// Compares the hash of the message with the one that it must have.
    pub fn verify(&self, expected: &PrfOutput) -> Result<(), Refusal> {
        expected.verify(self.hash()?).map_err(|_| Refusal::HashMismatch)
    }

    /// Returns the signature of the message, which replaces the hash.
    pub fn signature(&self) -> Result<&'m [u8], Refusal> {
        self.signature.ok_or(Refusal::MissingPayload(PayloadKind::SIGNATURE))
    }

    /// Returns the identity and its body, which is ID_b of the hashes.
    pub fn identity(&self) -> Result<(Identification<'m>, &'m [u8]), Refusal> {
        self.identities.first().copied().flatten().ok_or(Refusal::MissingPayload(PayloadKind::ID))
    }

    /// Returns both client identities with their bodies, `None` if the message has none.
    #[allow(clippy::type_complexity)] // identity and body, twice
    pub fn clients(&self) -> Option<[(Identification<'m>, &'m [u8]); 2]> {
        let [initiator, responder] = self.identities;
        Some([initiator?, responder?])
    }

    /// Iterates over all payloads.
    pub fn payloads(&self) -> Payloads<'m> {
        self.payloads.clone()
    }
}
