//! Step of phase 1: an exchange, the message that it has received, and the functions that all modes share (RFC 2409
//! section 5). A step makes all checks before it changes the state of the exchange.

use ike_codec::{AuthMethod, BodyWriter, Group, Identification, NoSpace, Quirks};
use ipsec_crypto::PrfOutput;

use super::census::Census;
use super::exchange::{Phase1Secrets, Spans, State};
use super::features::{SIGNATURES, XAUTH};
use super::key_exchange::{NONCE, check_public, draw_key_pair, draw_nonce, shared_secret, store_public};
use super::refusal::Mismatch;
use super::scratch::{Scratch, Span, Stored};
use super::suspend::{Stop, answered};
use super::xauth::xauth_role;
use super::{Host, Path, Peer, PeerHint, PeerId, PreSharedKey, Refusal, Refused, Role, fragments, identity};
use crate::method::{Authentication, authentication};
use crate::{Cookies, IvChain, Nonces, Phase1Choice, Phase1Publics, Skeyid};

/// Exchange whose next step is taken, and the services that it needs.
pub(crate) struct Step<'a> {
    pub state: &'a mut State,
    pub scratch: Scratch<'a>,
    pub host: &'a mut dyn Host,
    /// Properties of the peer, from its vendor IDs up to the present message.
    pub quirks: Quirks,
    /// Number of the certificate of this host that fits the requests of the peer up to the present message.
    pub credential: u8,
    /// Addresses and ports of the present message.
    pub path: Path,
    /// Set unless the step is taken again after it had to wait for the host.
    pub is_new: bool,
    /// Set if this host has no SA with the peer.
    pub is_first: bool,
    /// Port on which messages have a non-ESP marker.
    pub nat_traversal_port: u16,
}

/// Result of a step that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The exchange waits for the next message.
    Continues,
    /// The peer is authenticated, and is this one: the caller establishes the ISAKMP SA.
    Authenticated(PeerId),
}

impl Step<'_> {
    /// Returns the algorithms that were negotiated.
    pub fn choice(&self) -> Result<Phase1Choice, Refusal> {
        self.state.choice.ok_or(Refusal::Internal)
    }

    /// Returns the configuration of the peer.
    pub fn peer(&self) -> Result<Peer<'_>, Refusal> {
        self.host.peer(self.state.peer).ok_or(Refusal::Superseded)
    }

    /// Stores the properties that the vendor IDs and certificate requests of the peer announce.
    pub fn learn(&mut self) {
        self.state.quirks = self.quirks;
        self.state.credential = self.credential;
        let peer = self.host.peer(self.state.peer);
        self.state.fragment_data = peer.map_or(0, |peer| fragments::data_size(&peer, &self.quirks, &self.path));
    }

    /// Draws the values of this host for the key exchange.
    pub fn draw(&mut self, group: Group) -> Result<(), Stop> {
        draw_nonce(&mut self.scratch, self.host, &mut self.state.spans, NONCE)?;
        draw_key_pair(&mut self.scratch, self.host, group, &mut self.state.spans)
    }

    /// Stores the body of the identity of this host for a peer.
    pub fn store_own_id(&mut self, peer: PeerId) -> Result<Span, Refusal> {
        let Self { scratch, host, .. } = self;
        let peer = host.peer(peer).ok_or(Refusal::Superseded)?;
        //= RFC 2408 5.8/1
        //# MUST: sending: identification and use of its data are determined
        store_id(scratch, &peer.local_identity)
    }

    /// Returns the forms of authentication of both sides.
    pub fn authentication(&self, choice: &Phase1Choice) -> Result<Authentication, Refusal> {
        let has_login = xauth_role(choice.auth_method, self.state.role).is_some();
        let is_supported =
            |way: &Authentication| (SIGNATURES || *way == Authentication::PreSharedKey) && (XAUTH || !has_login);
        authentication(choice.auth_method, &self.quirks).filter(is_supported).ok_or(Refusal::Internal)
    }

    /// Returns the pre-shared key, `None` if the method has none.
    pub fn key(&mut self, choice: &Phase1Choice) -> Result<Option<PreSharedKey>, Stop> {
        if self.authentication(choice)? != Authentication::PreSharedKey {
            return Ok(None);
        }
        Ok(Some(answered(self.host.pre_shared_key(self.state.peer, &self.path))?.ok_or(Refusal::NoKey)?))
    }

    /// Derives SKEYID from the pre-shared key. Returns `None` without a key: SKEYID is then derived from the shared
    /// secret.
    pub fn skeyid(
        &self,
        key: Option<&PreSharedKey>,
        choice: &Phase1Choice,
        spans: &Spans,
    ) -> Result<Option<Skeyid>, Refusal> {
        let nonces = nonces(self.scratch.stored(), spans, self.state.role);
        let derive = |key: &PreSharedKey| Skeyid::pre_shared_key(choice.hash.prf(), key.expose(), &nonces);
        key.map(derive).transpose().map_err(|_| Refusal::NoKey)
    }

    /// Computes the shared secret, and derives the keys and the first IV from it and SKEYID, if that does not depend on
    /// it. The shared secret is wiped.
    pub fn derive(
        &mut self,
        (choice, cookies): (&Phase1Choice, Cookies),
        spans: &Spans,
        skeyid: Option<Skeyid>,
    ) -> Result<(Phase1Secrets, IvChain), Stop> {
        let position = self.scratch.position();
        let values = (spans.private, spans.peer_public);
        let shared = shared_secret(&mut self.scratch, self.host, choice.group, values)?;
        let derived = derive_from(self.scratch.stored(), spans, shared, (choice, cookies), skeyid, self.state.role);
        self.scratch.truncate(position);
        Ok(derived?)
    }

    /// Counts a key exchange with a public value of an unauthenticated peer against its limit.
    pub fn take_attempt(&mut self) -> Result<(), Refusal> {
        if self.is_new { self.state.take_attempt() } else { Ok(()) }
    }

    /// Returns the identity that the peer claims, with the known properties of the peer.
    pub fn claim<'i>(&self, choice: &Phase1Choice, id: Identification<'i>) -> Result<Claim<'i>, Refusal> {
        let State { kind: exchange, peer, role, .. } = *self.state;
        let hint = PeerHint { path: self.path, exchange, candidate: Some(peer), identity: Some(id) };
        let is_signed = self.authentication(choice)?.signs(role.other());
        let initiated = (role == Role::Initiator).then_some(peer);
        Ok(Claim { hint, id, method: choice.auth_method, is_signed, initiated })
    }

    /// Computes HASH_I or HASH_R of one side, whose identity has this body (RFC 2409 section 5).
    pub fn hash(&self, skeyid: &Skeyid, cookies: Cookies, spans: &Spans, (prover, id): (Role, &[u8])) -> PrfOutput {
        let publics = publics(self.scratch.stored(), cookies, spans, self.state.role);
        match prover {
            Role::Initiator => skeyid.hash_i(&publics, id),
            Role::Responder => skeyid.hash_r(&publics, id),
        }
    }
}

/// Identity that the peer claims in a message, with the form of its authentication.
pub(crate) struct Claim<'a> {
    hint: PeerHint<'a>,
    pub id: Identification<'a>,
    pub method: AuthMethod,
    pub is_signed: bool,
    /// Peer whose authorities verify the signature of a responder: the one that this host has initiated to.
    pub initiated: Option<PeerId>,
}

impl Claim<'_> {
    /// Returns the peer that has the identity.
    pub fn find_peer(&self, host: &dyn Host) -> Result<PeerId, Refusal> {
        //= RFC 2407 4.6.2/1
        //# SHOULD: the responder finds its policy by the identity of the initiator
        host.find_peer(&self.hint).ok_or(Refusal::IdentityMismatch(self.id.kind))
    }
}

/// Checks that the peer with an identity allows the values that were negotiated before the identity was known.
pub(crate) fn check_found(step: &Step<'_>, found: PeerId, choice: &Phase1Choice) -> Result<(), Refusal> {
    if found == step.state.peer {
        return Ok(());
    }
    let peer = step.host.peer(found).ok_or(Refusal::Superseded)?;
    let is_of = |own: &Phase1Choice| {
        (own.auth_method, own.cipher, own.hash, own.group)
            == (choice.auth_method, choice.cipher, choice.hash, choice.group)
    };
    if !peer.exchanges.contains(&step.state.kind) {
        return Err(Refusal::ModeNotAllowed(step.state.kind));
    }
    peer.check_xauth_role(choice.auth_method, step.state.role).map_err(|_| Refusal::XauthRole)?;
    if peer.proposals.iter().any(is_of) { Ok(()) } else { Err(Refusal::NoProposal(Mismatch::NONE)) }
}

/// Compares an identity with the configured one, and reports another one to the host.
pub(crate) fn check_identity(host: &mut dyn Host, peer: PeerId, id: &Identification<'_>) -> Result<(), Refusal> {
    let configured = host.peer(peer).ok_or(Refusal::Superseded)?.remote_identity;
    let checked = identity::check(id, configured.as_ref());
    if checked.is_err() {
        host.refused(peer, &Refused::Identity(*id));
    }
    checked
}

/// Checks the values of the peer as far as no computation is needed. Reflected values of this host are refused
/// here, before the host is called.
pub(crate) fn check_values(state: &State, stored: Stored<'_>, message: &Census<'_>) -> Result<(), Refusal> {
    // The responder of main mode has not drawn its values yet.
    let Spans { own_public, own_nonce, .. } = state.spans;
    if let Ok(public) = message.key_exchange() {
        state.choice.map_or(Ok(()), |choice| check_public(choice.group, public))?;
        if public == stored.get(own_public) {
            return Err(Refusal::Reflected);
        }
    }
    match message.nonce() {
        Ok(nonce) if nonce == stored.get(own_nonce) => Err(Refusal::Reflected),
        Err(refusal @ Refusal::NonceLength(_)) => Err(refusal),
        _ => Ok(()),
    }
}

/// Stores the body of an identity.
pub(crate) fn store_id(scratch: &mut Scratch<'_>, id: &Identification<'_>) -> Result<Span, Refusal> {
    Ok(scratch.store_with(|free, _| {
        let mut body = BodyWriter::new(free);
        id.write(&mut body)?;
        Ok::<usize, NoSpace>(body.finish().len())
    })?)
}

/// Stores the public value of the peer.
pub(crate) fn store_peer_public(
    scratch: &mut Scratch<'_>,
    group: Group,
    message: &Census<'_>,
    spans: Spans,
) -> Result<Spans, Refusal> {
    let (_, public) = message.key_exchange_of(Some(group))?.ok_or(Refusal::Internal)?;
    Ok(Spans { peer_public: store_public(scratch, group, public)?, ..spans })
}

/// Stores the nonce of the peer.
pub(crate) fn store_peer_nonce(
    scratch: &mut Scratch<'_>,
    message: &Census<'_>,
    spans: Spans,
) -> Result<Spans, Refusal> {
    Ok(Spans { peer_nonce: scratch.store(message.nonce()?)?, ..spans })
}

/// Returns the public values of phase 1 in the order of the roles.
pub(crate) fn publics<'s>(stored: Stored<'s>, cookies: Cookies, spans: &Spans, role: Role) -> Phase1Publics<'s> {
    let (own, theirs) = (stored.get(spans.own_public), stored.get(spans.peer_public));
    let (g_xi, g_xr) = match role {
        Role::Initiator => (own, theirs),
        Role::Responder => (theirs, own),
    };
    Phase1Publics { cookies, g_xi, g_xr, sai_b: stored.get(spans.offer) }
}

/// Returns the nonces in the order of the roles.
pub(crate) fn nonces<'s>(stored: Stored<'s>, spans: &Spans, role: Role) -> Nonces<'s> {
    let (own, theirs) = (stored.get(spans.own_nonce), stored.get(spans.peer_nonce));
    match role {
        Role::Initiator => Nonces { initiator: own, responder: theirs },
        Role::Responder => Nonces { initiator: theirs, responder: own },
    }
}

fn derive_from(
    stored: Stored<'_>,
    spans: &Spans,
    shared: Span,
    (choice, cookies): (&Phase1Choice, Cookies),
    skeyid: Option<Skeyid>,
    role: Role,
) -> Result<(Phase1Secrets, IvChain), Refusal> {
    let shared = stored.get(shared);
    let skeyid = match skeyid {
        Some(skeyid) => skeyid,
        None => {
            let nonces = nonces(stored, spans, role);
            Skeyid::signature(choice.hash.prf(), &nonces, shared).map_err(|_| Refusal::Internal)?
        }
    };
    let keys = skeyid.derive(shared, &cookies);
    let encryption_key = keys.cipher_key(choice.cipher, choice.cipher_key).map_err(|_| Refusal::Internal)?;
    let secrets = Phase1Secrets { skeyid, keys, encryption_key };
    let publics = publics(stored, cookies, spans, role);
    let chain = secrets.protection(choice)?.phase_1(publics.g_xi, publics.g_xr);
    Ok((secrets, chain))
}
