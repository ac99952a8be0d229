//! Main mode (RFC 2409 section 5): one function for each message that is received, and one that begins. Each makes all
//! checks before it changes the state of the exchange.

use ike_codec::{
    BodyWriter, Cookie, Doi, ExchangeKind, MessageWriter, NoSpace, Notification, NotifyKind, PayloadKind, ProtocolId,
};

use super::census::Census;
use super::inbound::Opened;
use super::message::{write_clear, write_phase_1};
use super::proof::{OwnProof, write_requests};
use super::scratch::{Scratch, Span};
use super::spi::Spi;
use super::stage::Stage;
use super::step::{Outcome, Step, check_found, check_identity, store_peer_nonce, store_peer_public};
use super::suspend::Stop;
use super::xauth::xauth_role;
use super::{Host, PeerId, Refusal, Role, choose, natt, offer, proof, vendor};
use crate::{Cookies, GroupLengths, IvChain, Phase1Choice};

/// Begins main mode: `HDR, SA ->`.
pub(crate) fn begin(step: &mut Step<'_>) -> Result<(), Refusal> {
    let Step { state, scratch, host, quirks, .. } = step;
    let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
    peer.first_offer()?;
    let offer = store_offer(scratch, peer.offers())?;
    //= RFC 2408 5.2/2, 5.2/4
    //# MUST: sending: domain of interpretation and situation are determined
    //# MUST: sending: the payloads that the exchange requires are constructed and transmitted
    let header = (ExchangeKind::MAIN, &state.cookies);
    scratch.send(|buf, stored| {
        write_clear(buf, header, &mut |writer| {
            writer.bytes(PayloadKind::SA, stored.get(offer))?;
            vendor::write(writer, &peer, Role::Initiator, quirks)
        })
    })?;
    state.spans.offer = offer;
    state.stage = Stage::MainAwaitsSa;
    Ok(())
}

/// Stores the body of an SA payload that offers these transforms, SAi_b.
pub(crate) fn store_offer(
    scratch: &mut Scratch<'_>,
    offers: impl Iterator<Item = Phase1Choice> + Clone,
) -> Result<Span, Refusal> {
    Ok(scratch.store_with(|free, _| {
        let mut body = BodyWriter::new(free);
        offer::phase_1(&mut body, offers)?;
        Ok::<usize, NoSpace>(body.finish().len())
    })?)
}

/// Checks whether a transform of message 1 is acceptable.
pub(crate) fn check_offer(peer: PeerId, message: &Census<'_>, host: &dyn Host) -> Result<Phase1Choice, Refusal> {
    let peer = host.peer(peer).ok_or(Refusal::Superseded)?;
    let choice = choose::phase_1(&message.sa()?.0, &peer)?.choice;
    GroupLengths::of(choice.group).ok_or(crate::DhError::Unsupported(choice.group))?;
    Ok(choice)
}

/// Processes message 1, `HDR, SA`: answers with the transform that was chosen.
pub(crate) fn answer_offer(step: &mut Step<'_>, message: &Census<'_>) -> Result<(), Stop> {
    let Step { state, scratch, host, quirks, .. } = step;
    let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
    let (sa, sai_b) = message.sa()?;
    let chosen = choose::phase_1(&sa, &peer)?;
    let offer = scratch.store(sai_b)?;
    let header = (ExchangeKind::MAIN, &state.cookies);
    scratch.send(|buf, _| {
        write_clear(buf, header, &mut |writer| {
            let answer = core::iter::once((chosen.proposal, chosen.transform, Spi::NONE));
            writer.payload(PayloadKind::SA, |body| offer::answer(body, answer))?;
            vendor::write(writer, &peer, Role::Responder, quirks)
        })
    })?;
    state.spans.offer = offer;
    state.choice = Some(chosen.choice);
    state.stage = Stage::MainAwaitsKeyI;
    Ok(())
}

/// Checks the cookie of the responder in its first message.
pub(crate) fn check_responder(initiator: Cookie, responder: Cookie) -> Result<Cookies, Refusal> {
    // Message 1 of this host, if it is reflected, has no responder cookie.
    if responder == [0; 8] || responder == initiator {
        return Err(Refusal::Reflected);
    }
    Ok(Cookies { initiator, responder })
}

/// Processes message 2, `HDR, SA`: sends the public value and the nonce of the initiator.
pub(crate) fn take_answer(step: &mut Step<'_>, responder: Cookie, message: &Census<'_>) -> Result<Outcome, Stop> {
    let cookies = check_responder(step.state.cookies.initiator, responder)?;
    let choice = choose::answered_phase_1(&message.sa()?.0, &step.peer()?)?.choice;
    step.draw(choice.group)?;
    send_key(step, &choice, cookies)?;
    step.state.cookies = cookies;
    step.state.choice = Some(choice);
    step.state.stage = Stage::MainAwaitsKeyR;
    Ok(Outcome::Continues)
}

/// Processes message 3, `HDR, KE, Ni`: sends the public value and the nonce of the responder, and derives the keys.
pub(crate) fn answer_key(step: &mut Step<'_>, message: &Census<'_>) -> Result<Outcome, Stop> {
    let choice = step.choice()?;
    let cookies = step.state.cookies;
    let key = step.key(&choice)?;
    let nat = natt::read(&step.peer()?, &step.quirks, (&choice, &cookies, &step.path), message);
    step.draw(choice.group)?;
    let spans = store_peer_public(&mut step.scratch, choice.group, message, step.state.spans)?;
    let spans = store_peer_nonce(&mut step.scratch, message, spans)?;
    let skeyid = step.skeyid(key.as_ref(), &choice, &spans)?;
    let (secrets, chain) = step.derive((&choice, cookies), &spans, skeyid)?;
    send_key(step, &choice, cookies)?;
    let Step { state, scratch, .. } = step;
    scratch.wipe(spans.private);
    (state.spans, state.nat) = (spans, nat);
    (state.secrets, state.chain) = (Some(secrets), Some(chain));
    state.stage = Stage::MainAwaitsAuthI;
    Ok(Outcome::Continues)
}

/// Processes message 4, `HDR, KE, Nr`: derives the keys and sends `HDR*, IDii, HASH_I`, or certificates and a signature
/// in the place of the hash. INITIAL-CONTACT follows if this host has no SA with the peer.
pub(crate) fn take_key(step: &mut Step<'_>, message: &Census<'_>) -> Result<Outcome, Stop> {
    let choice = step.choice()?;
    let cookies = step.state.cookies;
    let key = step.key(&choice)?;
    let nat = natt::read(&step.peer()?, &step.quirks, (&choice, &cookies, &step.path), message);
    let spans = store_peer_public(&mut step.scratch, choice.group, message, step.state.spans)?;
    let spans = store_peer_nonce(&mut step.scratch, message, spans)?;
    let skeyid = step.skeyid(key.as_ref(), &choice, &spans)?;
    let (secrets, mut chain) = step.derive((&choice, cookies), &spans, skeyid)?;
    let peer = step.state.peer;
    let own_id = step.store_own_id(peer)?;
    let hash = step.hash(&secrets.skeyid, cookies, &spans, (Role::Initiator, step.scratch.get(own_id)));
    let proof = proof::own(step, peer, &choice, hash)?;
    let protection = secrets.protection(&choice)?;
    let next = send_auth(step, peer, (own_id, &proof), |buf, payloads| {
        write_phase_1(buf, (ExchangeKind::MAIN, &cookies), &protection, &chain, payloads)
    })?;
    chain.confirm(next);
    let Step { state, scratch, nat_traversal_port, .. } = step;
    scratch.wipe(spans.private);
    (state.spans, state.nat) = (spans, nat);
    state.path = nat.changed(state.path, *nat_traversal_port);
    (state.secrets, state.chain) = (Some(secrets), Some(chain));
    state.stage = Stage::MainAwaitsAuthR;
    Ok(Outcome::Continues)
}

/// Processes message 5, `HDR*, IDii, HASH_I`: answers with the identity and the proof of the responder.
//= RFC 2408 1.5.3/1
//# MUST: ISAKMP exchanges have strong authentication
pub(crate) fn answer_auth(step: &mut Step<'_>, message: Opened<'_>) -> Result<Outcome, Stop> {
    let choice = step.choice()?;
    let cookies = step.state.cookies;
    let (id, id_body) = message.unverified().identity()?;
    let hash = peer_hash(step, id_body)?;
    let claim = step.claim(&choice, id)?;
    let authentic = proof::verify(step.host, &claim, message, &hash)?;
    let found = claim.find_peer(step.host)?;
    check_found(step, found, &choice)?;
    check_identity(step.host, found, &id)?;
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(authentic.next.ok_or(Refusal::Internal)?);
    let own_id = step.store_own_id(found)?;
    let secrets = step.state.secrets.as_ref().ok_or(Refusal::Internal)?;
    let protection = secrets.protection(&choice)?;
    let hash = step.hash(&secrets.skeyid, cookies, &step.state.spans, (Role::Responder, step.scratch.get(own_id)));
    let proof = proof::own(step, found, &choice, hash)?;
    let next = send_auth(step, found, (own_id, &proof), |buf, payloads| {
        write_phase_1(buf, (ExchangeKind::MAIN, &cookies), &protection, &chain, payloads)
    })?;
    chain.confirm(next);
    step.state.spans.peer_id = step.scratch.store(id_body)?;
    step.state.chain = Some(chain);
    step.state.stage = Stage::Answers;
    Ok(Outcome::Authenticated(found))
}

/// Processes message 6, `HDR*, IDir, HASH_R`: phase 1 is complete.
pub(crate) fn take_auth(step: &mut Step<'_>, message: Opened<'_>) -> Result<Outcome, Stop> {
    let choice = step.choice()?;
    let (id, id_body) = message.unverified().identity()?;
    let hash = peer_hash(step, id_body)?;
    let claim = step.claim(&choice, id)?;
    let authentic = proof::verify(step.host, &claim, message, &hash)?;
    check_identity(step.host, step.state.peer, &id)?;
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(authentic.next.ok_or(Refusal::Internal)?);
    step.state.spans.peer_id = step.scratch.store(id_body)?;
    step.state.chain = Some(chain);
    step.state.stage = Stage::Answers;
    Ok(Outcome::Authenticated(step.state.peer))
}

/// Computes HASH_I or HASH_R of the peer, whose identity has this body.
fn peer_hash(step: &Step<'_>, id_body: &[u8]) -> Result<ipsec_crypto::PrfOutput, Refusal> {
    let secrets = step.state.secrets.as_ref().ok_or(Refusal::Internal)?;
    let prover = step.state.role.other();
    Ok(step.hash(&secrets.skeyid, step.state.cookies, &step.state.spans, (prover, id_body)))
}

/// Writes `HDR, KE, N`, NAT-D payloads if both ends support NAT traversal, and requests for certificates.
fn send_key(step: &mut Step<'_>, choice: &Phase1Choice, cookies: Cookies) -> Result<(), Refusal> {
    let is_signed = step.authentication(choice)?.signs(step.state.role.other());
    let Step { state, scratch, host, quirks, path, .. } = step;
    let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
    let spans = state.spans;
    scratch.send(|buf, stored| {
        write_clear(buf, (ExchangeKind::MAIN, &cookies), &mut |writer| {
            writer.bytes(PayloadKind::KEY_EXCHANGE, stored.get(spans.own_public))?;
            writer.bytes(PayloadKind::NONCE, stored.get(spans.own_nonce))?;
            natt::write(writer, &peer, quirks, (choice, &cookies, path))?;
            write_requests(writer, (*host, state.peer), is_signed)
        })
    })
}

/// Writes `HDR*, ID, HASH`, or certificates and a signature instead of the hash, and returns the IV of the next
/// message.
fn send_auth(
    step: &mut Step<'_>,
    peer: PeerId,
    (id, own_proof): (Span, &OwnProof),
    write: impl FnOnce(
        &mut [u8],
        &mut dyn FnMut(&mut MessageWriter<'_>) -> Result<(), NoSpace>,
    ) -> Result<(usize, crate::NextIv), Refusal>,
) -> Result<crate::NextIv, Refusal> {
    let Step { state, scratch, host, is_first, .. } = step;
    // It names an identity, which the users of a group share.
    let has_login = state.choice.is_some_and(|choice| xauth_role(choice.auth_method, state.role).is_some());
    let is_sent = *is_first && state.role == Role::Initiator && !has_login;
    let has_initial_contact = is_sent && host.peer(peer).is_some_and(|peer| peer.initial_contact);
    let mut next = None;
    scratch.send(|buf, stored| {
        let (len, following) = write(buf, &mut |writer| {
            writer.bytes(PayloadKind::ID, stored.get(id))?;
            proof::write(writer, (*host, peer), stored, own_proof)?;
            if has_initial_contact { initial_contact(writer, &state.cookies) } else { Ok(()) }
        })?;
        next = Some(following);
        Ok::<usize, Refusal>(len)
    })?;
    next.ok_or(Refusal::Internal)
}

/// Writes INITIAL-CONTACT: this host has no other SA with the peer, which may remove former ones (RFC 2407 section
/// 4.6.3.3).
fn initial_contact(writer: &mut MessageWriter<'_>, cookies: &Cookies) -> Result<(), NoSpace> {
    let spi = [cookies.initiator, cookies.responder];
    let (doi, protocol, kind) = (Doi::IPSEC, ProtocolId::ISAKMP, NotifyKind::INITIAL_CONTACT);
    let notification = Notification { doi, protocol, kind, spi: spi.as_flattened(), data: &[] };
    writer.payload(PayloadKind::NOTIFICATION, |body| notification.write(body)).map(drop)
}
