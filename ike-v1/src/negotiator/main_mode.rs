//! Main mode with a pre-shared key (RFC 2409 sections 5 and 5.4): one function for each message that is received, and
//! one that begins. Each makes all checks before it changes the state of the exchange.

use ike_codec::{
    BodyWriter, Cookie, Doi, Group, Identification, MessageWriter, NoSpace, Notification, NotifyKind, PayloadKind,
    ProtocolId, Quirks,
};

use super::census::Census;
use super::exchange::{Phase1Secrets, Spans, State};
use super::inbound::Authentic;
use super::key_exchange::{check_public, draw_key_pair, draw_nonce, shared_secret, store_public};
use super::message::{write_clear, write_phase_1};
use super::scratch::{Scratch, Span, Stored};
use super::spi::Spi;
use super::stage::Stage;
use super::suspend::{Stop, answered};
use super::{Host, Peer, PeerId, Refusal, Refused, Role, choose, identity, offer, vendor};
use crate::{Cookies, GroupLengths, IvChain, Nonces, Phase1Choice, Phase1Publics, Skeyid};

/// Exchange whose next step is taken, and the services that it needs.
pub(crate) struct Step<'a> {
    pub state: &'a mut State,
    pub scratch: Scratch<'a>,
    pub host: &'a mut dyn Host,
    /// What the vendor IDs of the peer say, up to the present message.
    pub quirks: Quirks,
}

/// Begins main mode: `HDR, SA ->`.
pub(crate) fn begin(step: &mut Step<'_>, initiator: Cookie) -> Result<(), Refusal> {
    let Step { state, scratch, host, quirks } = step;
    let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
    let offer = scratch.store_with(|free, _| {
        let mut body = BodyWriter::new(free);
        offer::phase_1(&mut body, peer.proposals)?;
        Ok::<usize, NoSpace>(body.finish().len())
    })?;
    //= RFC 2408 5.2/2, 5.2/4
    //# MUST: sending: domain of interpretation and situation are determined
    //# MUST: sending: the payloads that the exchange asks for are made and transmitted
    let cookies = Cookies { initiator, responder: [0; 8] };
    scratch.send(|buf, stored| {
        write_clear(buf, &cookies, &mut |writer| {
            writer.bytes(PayloadKind::SA, stored.get(offer))?;
            vendor::write(writer, &peer, Role::Initiator, quirks)
        })
    })?;
    state.cookies = cookies;
    state.spans.offer = offer;
    state.stage = Stage::MainAwaitsSa;
    Ok(())
}

/// Checks whether a transform of message 1 is acceptable.
pub(crate) fn check_offer(peer: PeerId, message: &Census<'_>, host: &dyn Host) -> Result<(), Refusal> {
    let peer = host.peer(peer).ok_or(Refusal::Superseded)?;
    choose::phase_1(&message.sa()?.0, &peer).map(drop)
}

/// Message 1, `HDR, SA`: answers with the transform that was chosen.
pub(crate) fn answer_offer(step: &mut Step<'_>, cookies: Cookies, message: &Census<'_>) -> Result<(), Refusal> {
    let Step { state, scratch, host, quirks } = step;
    let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
    let (sa, sai_b) = message.sa()?;
    let chosen = choose::phase_1(&sa, &peer)?;
    GroupLengths::of(chosen.choice.group).ok_or(crate::DhError::Unsupported(chosen.choice.group))?;
    let offer = scratch.store(sai_b)?;
    scratch.send(|buf, _| {
        write_clear(buf, &cookies, &mut |writer| {
            let answer = core::iter::once((chosen.proposal, chosen.transform, Spi::NONE));
            writer.payload(PayloadKind::SA, |body| offer::answer(body, answer))?;
            vendor::write(writer, &peer, Role::Responder, quirks)
        })
    })?;
    state.cookies = cookies;
    state.spans.offer = offer;
    state.choice = Some(chosen.choice);
    state.stage = Stage::MainAwaitsKeyI;
    Ok(())
}

/// Message 2, `HDR, SA`: sends the public value and the nonce of the initiator.
pub(crate) fn take_answer(step: &mut Step<'_>, responder: Cookie, message: &Census<'_>) -> Result<(), Stop> {
    let Step { state, scratch, host, .. } = step;
    let cookies = Cookies { responder, ..state.cookies };
    // Message 1 of this host, which comes back, has no responder cookie.
    if responder == [0; 8] || responder == cookies.initiator {
        return Err(Refusal::Reflected.into());
    }
    let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
    let (sa, _) = message.sa()?;
    let choice = choose::answered_phase_1(&sa, &peer)?.choice;
    draw(state, scratch, *host, choice.group)?;
    send_key(scratch, &cookies, &state.spans)?;
    state.cookies = cookies;
    state.choice = Some(choice);
    state.stage = Stage::MainAwaitsKeyR;
    Ok(())
}

/// Checks the payloads of message 3 or 4 as far as no computation is needed. Values of this host that come back are
/// refused here, before the host is asked for anything.
pub(crate) fn check_key(state: &State, stored: Stored<'_>, message: &Census<'_>) -> Result<(), Refusal> {
    let group = state.choice.ok_or(Refusal::Internal)?.group;
    let nonce = message.nonce()?;
    let (group, public) = message.key_exchange_of(Some(group))?.ok_or(Refusal::Internal)?;
    check_public(group, public)?;
    // The responder has not drawn its values yet.
    let Spans { own_public, own_nonce, .. } = state.spans;
    let is_reflected = public == stored.get(own_public) || nonce == stored.get(own_nonce);
    if is_reflected { Err(Refusal::Reflected) } else { Ok(()) }
}

/// Message 3, `HDR, KE, Ni`: sends the public value and the nonce of the responder, and derives the keys.
pub(crate) fn answer_key(step: &mut Step<'_>, message: &Census<'_>) -> Result<(), Stop> {
    let Step { state, scratch, host, .. } = step;
    let choice = state.choice.ok_or(Refusal::Internal)?;
    let key = answered(host.pre_shared_key(state.peer, &state.path))?.ok_or(Refusal::NoKey)?;
    draw(state, scratch, *host, choice.group)?;
    let spans = store_theirs(scratch, choice.group, message, state.spans)?;
    let (secrets, chain) = derive(scratch, *host, &spans, (&choice, state.cookies), key.expose(), Role::Responder)?;
    send_key(scratch, &state.cookies, &spans)?;
    scratch.wipe(spans.private);
    state.spans = spans;
    state.secrets = Some(secrets);
    state.chain = Some(chain);
    state.stage = Stage::MainAwaitsAuthI;
    Ok(())
}

/// Message 4, `HDR, KE, Nr`: derives the keys and sends `HDR*, IDii, HASH_I`, with INITIAL-CONTACT if this host has no
/// SA with the peer (`is_first`).
pub(crate) fn take_key(step: &mut Step<'_>, message: &Census<'_>, is_first: bool) -> Result<(), Stop> {
    let Step { state, scratch, host, .. } = step;
    let choice = state.choice.ok_or(Refusal::Internal)?;
    let key = answered(host.pre_shared_key(state.peer, &state.path))?.ok_or(Refusal::NoKey)?;
    let spans = store_theirs(scratch, choice.group, message, state.spans)?;
    let (secrets, mut chain) = derive(scratch, *host, &spans, (&choice, state.cookies), key.expose(), Role::Initiator)?;
    let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
    let next =
        send_auth(scratch, (state.cookies, &spans), (&secrets, &choice), &chain, &peer, (Role::Initiator, is_first))?;
    scratch.wipe(spans.private);
    chain.confirm(next);
    state.spans = spans;
    state.secrets = Some(secrets);
    state.chain = Some(chain);
    state.stage = Stage::MainAwaitsAuthR;
    Ok(())
}

/// Message 5, `HDR*, IDii, HASH_I`: answers with the identity and hash of the responder. Returns the peer that the
/// identity belongs to. The caller establishes the ISAKMP SA.
//= RFC 2408 1.5.3/1
//# MUST: ISAKMP exchanges have strong authentication
pub(crate) fn answer_auth(step: &mut Step<'_>, message: &Authentic<'_>) -> Result<PeerId, Refusal> {
    let (id, _) = message.census.identity()?;
    let hint = super::PeerHint {
        path: step.state.path,
        exchange: step.state.kind,
        candidate: Some(step.state.peer),
        identity: Some(id),
    };
    //= RFC 2407 4.6.2/1
    //# SHOULD: the responder finds its policy by the identity of the initiator
    let found = step.host.find_peer(&hint).ok_or(Refusal::IdentityMismatch(id.kind))?;
    let Step { state, scratch, host, .. } = step;
    check_identity(*host, found, &id)?;
    let peer = host.peer(found).ok_or(Refusal::Superseded)?;
    let (choice, secrets) = (state.choice.ok_or(Refusal::Internal)?, state.secrets.as_ref().ok_or(Refusal::Internal)?);
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(message.next.ok_or(Refusal::Internal)?);
    let next =
        send_auth(scratch, (state.cookies, &state.spans), (secrets, &choice), &chain, &peer, (Role::Responder, false))?;
    chain.confirm(next);
    state.chain = Some(chain);
    state.stage = Stage::Answers;
    Ok(found)
}

/// Message 6, `HDR*, IDir, HASH_R`: phase 1 is complete. The caller establishes the ISAKMP SA.
pub(crate) fn take_auth(step: &mut Step<'_>, message: &Authentic<'_>) -> Result<PeerId, Refusal> {
    let Step { state, host, .. } = step;
    let (id, _) = message.census.identity()?;
    check_identity(*host, state.peer, &id)?;
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(message.next.ok_or(Refusal::Internal)?);
    state.chain = Some(chain);
    state.stage = Stage::Answers;
    Ok(state.peer)
}

/// Compares an authenticated identity with the configured one, and reports another one to the host.
fn check_identity(host: &mut dyn Host, peer: PeerId, id: &Identification<'_>) -> Result<(), Refusal> {
    let configured = host.peer(peer).ok_or(Refusal::Superseded)?.remote_identity;
    let checked = identity::check(id, configured.as_ref());
    if checked.is_err() {
        host.refused(peer, &Refused::Identity(*id));
    }
    checked
}

/// Computes HASH_I or HASH_R of the peer, whose identity has this body.
pub(crate) fn peer_hash(
    state: &State,
    scratch: &Scratch<'_>,
    id_body: &[u8],
) -> Result<ipsec_crypto::PrfOutput, Refusal> {
    let secrets = state.secrets.as_ref().ok_or(Refusal::Internal)?;
    let publics = publics(scratch.stored(), state.cookies, &state.spans, state.role);
    Ok(match state.role {
        Role::Initiator => secrets.skeyid.hash_r(&publics, id_body),
        Role::Responder => secrets.skeyid.hash_i(&publics, id_body),
    })
}

/// Draws the values of this host for the key exchange.
fn draw(state: &mut State, scratch: &mut Scratch<'_>, host: &mut dyn Host, group: Group) -> Result<(), Stop> {
    draw_nonce(scratch, host, &mut state.spans)?;
    draw_key_pair(scratch, host, group, &mut state.spans)
}

/// Stores the public value and the nonce of the peer.
fn store_theirs(scratch: &mut Scratch<'_>, group: Group, message: &Census<'_>, spans: Spans) -> Result<Spans, Refusal> {
    let (public, nonce) = (message.key_exchange()?, message.nonce()?);
    Ok(Spans { peer_public: store_public(scratch, group, public)?, peer_nonce: scratch.store(nonce)?, ..spans })
}

/// Writes `HDR, KE, N`.
fn send_key(scratch: &mut Scratch<'_>, cookies: &Cookies, spans: &Spans) -> Result<(), Refusal> {
    scratch.send(|buf, stored| {
        write_clear(buf, cookies, &mut |writer| {
            writer.bytes(PayloadKind::KEY_EXCHANGE, stored.get(spans.own_public))?;
            writer.bytes(PayloadKind::NONCE, stored.get(spans.own_nonce)).map(drop)
        })
    })
}

/// Writes `HDR*, ID, HASH` and returns the IV of the next message.
fn send_auth(
    scratch: &mut Scratch<'_>,
    (cookies, spans): (Cookies, &Spans),
    (secrets, choice): (&Phase1Secrets, &Phase1Choice),
    chain: &IvChain,
    peer: &Peer<'_>,
    (role, has_initial_contact): (Role, bool),
) -> Result<crate::NextIv, Refusal> {
    let protection = secrets.protection(choice)?;
    //= RFC 2408 5.8/1, 5.11/1
    //# MUST: sending: identification and use of its data are determined
    //# MUST: sending: hash function and use of its data are determined
    let id = scratch.store_with(|free, _| {
        let mut body = BodyWriter::new(free);
        peer.local_identity.write(&mut body)?;
        Ok::<usize, NoSpace>(body.finish().len())
    })?;
    let mut next = None;
    scratch.send(|buf, stored| {
        let publics = publics(stored, cookies, spans, role);
        let hash = match role {
            Role::Initiator => secrets.skeyid.hash_i(&publics, stored.get(id)),
            Role::Responder => secrets.skeyid.hash_r(&publics, stored.get(id)),
        };
        let (len, following) = write_phase_1(buf, &cookies, &protection, chain, |writer| {
            writer.bytes(PayloadKind::ID, stored.get(id))?;
            writer.bytes(PayloadKind::HASH, hash.expose())?;
            if has_initial_contact { initial_contact(writer, &cookies) } else { Ok(()) }
        })?;
        next = Some(following);
        Ok::<usize, Refusal>(len)
    })?;
    next.ok_or(Refusal::Internal)
}

/// Writes INITIAL-CONTACT: this host has no other SA with the peer, which may remove those of before (RFC 2407 section
/// 4.6.3.3).
fn initial_contact(writer: &mut MessageWriter<'_>, cookies: &Cookies) -> Result<(), NoSpace> {
    let spi = [cookies.initiator, cookies.responder];
    let (doi, protocol, kind) = (Doi::IPSEC, ProtocolId::ISAKMP, NotifyKind::INITIAL_CONTACT);
    let notification = Notification { doi, protocol, kind, spi: spi.as_flattened(), data: &[] };
    writer.payload(PayloadKind::NOTIFICATION, |body| notification.write(body)).map(drop)
}

/// Returns the public values of phase 1 in the order of the roles.
fn publics<'s>(stored: Stored<'s>, cookies: Cookies, spans: &Spans, role: Role) -> Phase1Publics<'s> {
    let (own, theirs) = (stored.get(spans.own_public), stored.get(spans.peer_public));
    let (g_xi, g_xr) = match role {
        Role::Initiator => (own, theirs),
        Role::Responder => (theirs, own),
    };
    Phase1Publics { cookies, g_xi, g_xr, sai_b: stored.get(spans.offer) }
}

/// Computes the shared secret, and derives the keys and the first IV from it. The shared secret is wiped.
fn derive(
    scratch: &mut Scratch<'_>,
    host: &mut dyn Host,
    spans: &Spans,
    (choice, cookies): (&Phase1Choice, Cookies),
    key: &[u8],
    role: Role,
) -> Result<(Phase1Secrets, IvChain), Stop> {
    let position = scratch.position();
    let shared = shared_secret(scratch, host, choice.group, (spans.private, spans.peer_public))?;
    let derived = derive_from(scratch.stored(), spans, shared, (choice, cookies), key, role);
    scratch.truncate(position);
    Ok(derived?)
}

fn derive_from(
    stored: Stored<'_>,
    spans: &Spans,
    shared: Span,
    (choice, cookies): (&Phase1Choice, Cookies),
    key: &[u8],
    role: Role,
) -> Result<(Phase1Secrets, IvChain), Refusal> {
    let nonces = nonces(stored, spans, role);
    let skeyid = Skeyid::pre_shared_key(choice.hash.prf(), key, &nonces).map_err(|_| Refusal::NoKey)?;
    let keys = skeyid.derive(stored.get(shared), &cookies);
    let encryption_key = keys.cipher_key(choice.cipher, choice.cipher_key).map_err(|_| Refusal::Internal)?;
    let secrets = Phase1Secrets { skeyid, keys, encryption_key };
    let publics = publics(stored, cookies, spans, role);
    let chain = secrets.protection(choice)?.phase_1(publics.g_xi, publics.g_xr);
    Ok((secrets, chain))
}

/// Returns the nonces in the order of the roles.
pub(crate) fn nonces<'s>(stored: Stored<'s>, spans: &Spans, role: Role) -> Nonces<'s> {
    let (own, theirs) = (stored.get(spans.own_nonce), stored.get(spans.peer_nonce));
    match role {
        Role::Initiator => Nonces { initiator: own, responder: theirs },
        Role::Responder => Nonces { initiator: theirs, responder: own },
    }
}
