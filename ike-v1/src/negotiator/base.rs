//! Base mode (draft-ietf-ipsec-ike-base-mode-02): one function for each message that is received, and one that begins.
//! Each makes all checks before it changes the state of the exchange.
//!
//! The identities come before the key exchange, and nothing is encrypted. The hashes are those that racoon computes:
//! with signatures they differ from the draft in the order of the nonces and in the identity.

use ike_codec::{Cookie, ExchangeKind, Identification, PayloadKind};
use ipsec_crypto::PrfOutput;

use super::census::Census;
use super::exchange::Spans;
use super::inbound::Opened;
use super::key_exchange::{NONCE, draw_key_pair, draw_nonce};
use super::main_mode::{check_responder, store_offer};
use super::message::write_clear;
use super::proof::{OwnProof, write_requests};
use super::spi::Spi;
use super::stage::Stage;
use super::step::{Outcome, Step, check_found, check_identity, publics, store_peer_nonce, store_peer_public};
use super::suspend::Stop;
use super::{Refusal, Role, choose, natt, offer, proof, vendor};
use crate::{Cookies, Nonces, Phase1Choice, Phase1Publics, Skeyid};

const KIND: ExchangeKind = ExchangeKind::BASE;

/// Begins base mode: `HDR, SA, IDii, Ni ->`.
pub(crate) fn begin(step: &mut Step<'_>) -> Result<(), Stop> {
    let peer = step.state.peer;
    draw_nonce(&mut step.scratch, step.host, &mut step.state.spans, NONCE)?;
    let id = step.store_own_id(peer)?;
    let Step { state, scratch, host, quirks, .. } = step;
    let peer = host.peer(peer).ok_or(Refusal::Superseded)?;
    peer.first_offer()?;
    let offer = store_offer(scratch, peer.offers())?;
    let spans = Spans { offer, own_id: id, ..state.spans };
    scratch.send(|buf, stored| {
        write_clear(buf, (KIND, &state.cookies), &mut |writer| {
            writer.bytes(PayloadKind::SA, stored.get(offer))?;
            writer.bytes(PayloadKind::ID, stored.get(id))?;
            writer.bytes(PayloadKind::NONCE, stored.get(spans.own_nonce))?;
            vendor::write(writer, &peer, Role::Initiator, quirks)
        })
    })?;
    state.spans = spans;
    state.stage = Stage::BaseAwaitsSa;
    Ok(())
}

/// Processes message 1, `HDR, SA, IDii, Ni`: answers with the transform that was chosen, and the identity and nonce of
/// the responder.
pub(crate) fn answer_offer(step: &mut Step<'_>, message: &Census<'_>) -> Result<(), Stop> {
    let (sa, sai_b) = message.sa()?;
    let chosen = choose::phase_1(&sa, &step.peer()?)?;
    draw_nonce(&mut step.scratch, step.host, &mut step.state.spans, NONCE)?;
    let mut spans = store_peer_nonce(&mut step.scratch, message, step.state.spans)?;
    let (_, id_body) = message.identity()?;
    spans.peer_id = step.scratch.store(id_body)?;
    spans.offer = step.scratch.store(sai_b)?;
    let peer = step.state.peer;
    spans.own_id = step.store_own_id(peer)?;
    let is_signed = step.authentication(&chosen.choice)?.signs(Role::Initiator);
    let Step { state, scratch, host, quirks, .. } = step;
    let configured = host.peer(peer).ok_or(Refusal::Superseded)?;
    scratch.send(|buf, stored| {
        write_clear(buf, (KIND, &state.cookies), &mut |writer| {
            let answer = core::iter::once((chosen.proposal, chosen.transform, Spi::NONE));
            writer.payload(PayloadKind::SA, |body| offer::answer(body, answer))?;
            writer.bytes(PayloadKind::ID, stored.get(spans.own_id))?;
            writer.bytes(PayloadKind::NONCE, stored.get(spans.own_nonce))?;
            vendor::write(writer, &configured, Role::Responder, quirks)?;
            write_requests(writer, (*host, peer), is_signed)
        })
    })?;
    (state.choice, state.spans) = (Some(chosen.choice), spans);
    state.stage = Stage::BaseAwaitsKeyI;
    Ok(())
}

/// Processes message 2, `HDR, SA, IDir, Nr`: sends the public value and the proof of the initiator.
pub(crate) fn take_answer(step: &mut Step<'_>, responder: Cookie, message: &Census<'_>) -> Result<Outcome, Stop> {
    let cookies = check_responder(step.state.cookies.initiator, responder)?;
    let choice = choose::answered_phase_1(&message.sa()?.0, &step.peer()?)?.choice;
    let (id, id_body) = message.identity()?;
    check_identity(step.host, step.state.peer, &id)?;
    let key = step.key(&choice)?;
    draw_key_pair(&mut step.scratch, step.host, choice.group, &mut step.state.spans)?;
    let mut spans = store_peer_nonce(&mut step.scratch, message, step.state.spans)?;
    spans.peer_id = step.scratch.store(id_body)?;
    let skeyid = step.skeyid(key.as_ref(), &choice, &spans)?;
    let hash = hash(step, (&choice, skeyid.as_ref()), cookies, &spans, Role::Initiator);
    let peer = step.state.peer;
    let proof = proof::own(step, peer, &choice, hash)?;
    send_key(step, &choice, cookies, &spans, &proof)?;
    let state = &mut *step.state;
    state.cookies = cookies;
    (state.choice, state.spans) = (Some(choice), spans);
    state.stage = Stage::BaseAwaitsKeyR;
    Ok(Outcome::Continues)
}

/// Processes message 3, `HDR, KE, HASH_I`: answers with the public value and the proof of the responder, and derives
/// the keys. The proof of the initiator is verified before the key exchange.
pub(crate) fn answer_key(step: &mut Step<'_>, message: Opened<'_>) -> Result<Outcome, Stop> {
    let choice = step.choice()?;
    let cookies = step.state.cookies;
    let values = message.unverified().clone();
    let nat = natt::read(&step.peer()?, &step.quirks, (&choice, &cookies, &step.path), &values);
    let position = step.scratch.position();
    let spans = store_peer_public(&mut step.scratch, choice.group, &values, step.state.spans)?;
    let key = step.key(&choice)?;
    let skeyid = step.skeyid(key.as_ref(), &choice, &spans)?;
    let expected = hash(step, (&choice, skeyid.as_ref()), cookies, &spans, Role::Initiator);
    let id = Identification::parse(step.scratch.get(spans.peer_id)).ok_or(Refusal::Internal)?;
    let claim = step.claim(&choice, id)?;
    proof::verify(step.host, &claim, message, &expected)?;
    let found = claim.find_peer(step.host)?;
    check_found(step, found, &choice)?;
    check_identity(step.host, found, &id)?;
    // The values of this host are kept while the step waits: they lie before that of the peer.
    step.scratch.truncate(position);
    draw_key_pair(&mut step.scratch, step.host, choice.group, &mut step.state.spans)?;
    let spans = store_peer_public(&mut step.scratch, choice.group, &values, step.state.spans)?;
    let own = hash(step, (&choice, skeyid.as_ref()), cookies, &spans, Role::Responder);
    let (secrets, chain) = step.derive((&choice, cookies), &spans, skeyid)?;
    let proof = proof::own(step, found, &choice, own)?;
    send_key(step, &choice, cookies, &spans, &proof)?;
    let Step { state, scratch, .. } = step;
    scratch.wipe(spans.private);
    (state.spans, state.nat) = (spans, nat);
    (state.secrets, state.chain) = (Some(secrets), Some(chain));
    state.stage = Stage::Answers;
    Ok(Outcome::Authenticated(found))
}

/// Processes message 4, `HDR, KE, HASH_R`: phase 1 is complete.
pub(crate) fn take_key(step: &mut Step<'_>, message: Opened<'_>) -> Result<Outcome, Stop> {
    let choice = step.choice()?;
    let cookies = step.state.cookies;
    let values = message.unverified();
    let nat = natt::read(&step.peer()?, &step.quirks, (&choice, &cookies, &step.path), values);
    let spans = store_peer_public(&mut step.scratch, choice.group, values, step.state.spans)?;
    let key = step.key(&choice)?;
    let skeyid = step.skeyid(key.as_ref(), &choice, &spans)?;
    let expected = hash(step, (&choice, skeyid.as_ref()), cookies, &spans, Role::Responder);
    let id = Identification::parse(step.scratch.get(spans.peer_id)).ok_or(Refusal::Internal)?;
    let claim = step.claim(&choice, id)?;
    proof::verify(step.host, &claim, message, &expected)?;
    check_identity(step.host, step.state.peer, &id)?;
    let (secrets, chain) = step.derive((&choice, cookies), &spans, skeyid)?;
    let Step { state, nat_traversal_port, .. } = step;
    (state.spans, state.nat) = (spans, nat);
    state.path = nat.changed(state.path, *nat_traversal_port);
    (state.secrets, state.chain) = (Some(secrets), Some(chain));
    state.stage = Stage::Answers;
    Ok(Outcome::Authenticated(state.peer))
}

/// Writes `HDR, KE, HASH`, or certificates and a signature instead of the hash, with NAT-D payloads if both ends
/// support NAT traversal.
fn send_key(
    step: &mut Step<'_>,
    choice: &Phase1Choice,
    cookies: Cookies,
    spans: &Spans,
    own_proof: &OwnProof,
) -> Result<(), Refusal> {
    let is_signed = step.authentication(choice)?.signs(step.state.role.other());
    let has_requests = is_signed && step.state.role == Role::Initiator;
    let Step { state, scratch, host, quirks, path, .. } = step;
    let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
    scratch.send(|buf, stored| {
        write_clear(buf, (KIND, &cookies), &mut |writer| {
            writer.bytes(PayloadKind::KEY_EXCHANGE, stored.get(spans.own_public))?;
            write_requests(writer, (*host, state.peer), has_requests)?;
            proof::write(writer, (*host, state.peer), stored, own_proof)?;
            natt::write(writer, &peer, quirks, (choice, &cookies, path))
        })
    })
}

/// Computes HASH_I or HASH_R of one side. With a pre-shared key HASH_I does not cover the public value of the
/// responder. With signatures the keys are `hash(Nr_b | Ni_b)` and `hash(Ni_b | Nr_b)`, and both cover the identity of
/// the initiator.
fn hash(
    step: &Step<'_>,
    (choice, skeyid): (&Phase1Choice, Option<&Skeyid>),
    cookies: Cookies,
    spans: &Spans,
    prover: Role,
) -> PrfOutput {
    let stored = step.scratch.stored();
    let role = step.state.role;
    let id_of = |side: Role| stored.get(if side == role { spans.own_id } else { spans.peer_id });
    let publics = publics(stored, cookies, spans, role);
    let publics = if prover == Role::Initiator { Phase1Publics { g_xr: &[], ..publics } } else { publics };
    if let Some(skeyid) = skeyid {
        return match prover {
            Role::Initiator => skeyid.hash_i(&publics, id_of(prover)),
            Role::Responder => skeyid.hash_r(&publics, id_of(prover)),
        };
    }
    let Nonces { initiator, responder } = super::step::nonces(stored, spans, role);
    let key = match prover {
        Role::Initiator => choice.hash.digest(&[responder, initiator]),
        Role::Responder => choice.hash.digest(&[initiator, responder]),
    };
    let Phase1Publics { cookies, g_xi, g_xr, sai_b } = publics;
    let covered = [g_xi, g_xr, &cookies.initiator, &cookies.responder, sai_b, id_of(Role::Initiator)];
    choice.hash.prf().compute(key.expose(), &covered)
}
