//! Aggressive mode (RFC 2409 section 5): one function for each message that is received, and one that begins. Each
//! makes all checks before it changes the state of the exchange.
//!
//! Its identities are in cleartext. With a pre-shared key, HASH_R of the responder is sent to every sender, so that a
//! weak key can be found by trying offline.

use ike_codec::{Cookie, ExchangeKind, Identification, PayloadKind};

use super::census::Census;
use super::inbound::Opened;
use super::main_mode::{check_responder, store_offer};
use super::message::{write_clear, write_phase_1};
use super::proof::write_requests;
use super::spi::Spi;
use super::stage::Stage;
use super::step::{Outcome, Step, check_found, check_identity, store_peer_nonce, store_peer_public};
use super::suspend::Stop;
use super::{Refusal, Role, choose, natt, offer, proof, vendor};
use crate::IvChain;

const KIND: ExchangeKind = ExchangeKind::AGGRESSIVE;

/// Begins aggressive mode: `HDR, SA, KE, Ni, IDii ->`. Only transforms of the first group are offered, as the public
/// value is one of it.
pub(crate) fn begin(step: &mut Step<'_>) -> Result<(), Stop> {
    let first = step.peer()?.first_offer()?;
    step.draw(first.group)?;
    let peer = step.state.peer;
    let id = step.store_own_id(peer)?;
    let is_signed = step.authentication(&first)?.signs(Role::Responder);
    let Step { state, scratch, host, quirks, .. } = step;
    let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
    let of_group = peer.offers().filter(|offer| offer.group == first.group);
    let offer = store_offer(scratch, of_group)?;
    let spans = state.spans;
    scratch.send(|buf, stored| {
        write_clear(buf, (KIND, &state.cookies), &mut |writer| {
            writer.bytes(PayloadKind::SA, stored.get(offer))?;
            writer.bytes(PayloadKind::KEY_EXCHANGE, stored.get(spans.own_public))?;
            writer.bytes(PayloadKind::NONCE, stored.get(spans.own_nonce))?;
            writer.bytes(PayloadKind::ID, stored.get(id))?;
            vendor::write(writer, &peer, Role::Initiator, quirks)?;
            write_requests(writer, (*host, state.peer), is_signed)
        })
    })?;
    (state.spans.offer, state.spans.own_id) = (offer, id);
    state.stage = Stage::AggressiveAwaitsAnswer;
    Ok(())
}

/// Processes message 1, `HDR, SA, KE, Ni, IDii`: answers with the transform that was chosen, the values, the identity
/// and the proof of the responder. The identity is claimed; the peer that has it is `peer`.
pub(crate) fn answer_offer(step: &mut Step<'_>, message: &Census<'_>) -> Result<(), Stop> {
    let (sa, sai_b) = message.sa()?;
    let cookies = step.state.cookies;
    let chosen = choose::phase_1(&sa, &step.peer()?)?;
    let choice = chosen.choice;
    let key = step.key(&choice)?;
    step.draw(choice.group)?;
    let (_, id_body) = message.identity()?;
    let spans = store_peer_public(&mut step.scratch, choice.group, message, step.state.spans)?;
    let mut spans = store_peer_nonce(&mut step.scratch, message, spans)?;
    spans.peer_id = step.scratch.store(id_body)?;
    spans.offer = step.scratch.store(sai_b)?;
    let skeyid = step.skeyid(key.as_ref(), &choice, &spans)?;
    let (secrets, chain) = step.derive((&choice, cookies), &spans, skeyid)?;
    let peer = step.state.peer;
    let own_id = step.store_own_id(peer)?;
    let hash = step.hash(&secrets.skeyid, cookies, &spans, (Role::Responder, step.scratch.get(own_id)));
    let proof = proof::own(step, peer, &choice, hash)?;
    let is_signed = step.authentication(&choice)?.signs(Role::Initiator);
    let Step { state, scratch, host, quirks, path, .. } = step;
    let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
    scratch.send(|buf, stored| {
        write_clear(buf, (KIND, &cookies), &mut |writer| {
            let answer = core::iter::once((chosen.proposal, chosen.transform, Spi::NONE));
            writer.payload(PayloadKind::SA, |body| offer::answer(body, answer))?;
            writer.bytes(PayloadKind::KEY_EXCHANGE, stored.get(spans.own_public))?;
            writer.bytes(PayloadKind::NONCE, stored.get(spans.own_nonce))?;
            writer.bytes(PayloadKind::ID, stored.get(own_id))?;
            proof::write(writer, (*host, state.peer), stored, &proof)?;
            vendor::write(writer, &peer, Role::Responder, quirks)?;
            natt::write(writer, &peer, quirks, (&choice, &cookies, path))?;
            write_requests(writer, (*host, state.peer), is_signed)
        })
    })?;
    scratch.wipe(spans.private);
    state.choice = Some(choice);
    state.spans = spans;
    (state.secrets, state.chain) = (Some(secrets), Some(chain));
    state.stage = Stage::AggressiveAwaitsProof;
    Ok(())
}

/// Processes message 2, `HDR, SA, KE, Nr, IDir, HASH_R`: sends `HDR*, HASH_I`, or certificates and a signature instead
/// of the hash. Phase 1 is complete.
pub(crate) fn take_answer(step: &mut Step<'_>, responder: Cookie, message: Opened<'_>) -> Result<Outcome, Stop> {
    let cookies = check_responder(step.state.cookies.initiator, responder)?;
    let values = message.unverified();
    let choice = choose::answered_phase_1(&values.sa()?.0, &step.peer()?)?.choice;
    let (id, id_body) = values.identity()?;
    let nat = natt::read(&step.peer()?, &step.quirks, (&choice, &cookies, &step.path), values);
    let spans = store_peer_public(&mut step.scratch, choice.group, values, step.state.spans)?;
    let mut spans = store_peer_nonce(&mut step.scratch, values, spans)?;
    // With a pre-shared key the hash needs no key exchange: one that is wrong costs none.
    let key = step.key(&choice)?;
    let skeyid = step.skeyid(key.as_ref(), &choice, &spans)?;
    match &skeyid {
        Some(skeyid) => values.verify(&step.hash(skeyid, cookies, &spans, (Role::Responder, id_body)))?,
        None => step.take_attempt()?,
    }
    let (secrets, mut chain) = step.derive((&choice, cookies), &spans, skeyid)?;
    let hash = step.hash(&secrets.skeyid, cookies, &spans, (Role::Responder, id_body));
    let claim = step.claim(&choice, id)?;
    proof::verify(step.host, &claim, message, &hash)?;
    check_identity(step.host, step.state.peer, &id)?;
    spans.peer_id = step.scratch.store(id_body)?;
    let hash = step.hash(&secrets.skeyid, cookies, &spans, (Role::Initiator, step.scratch.get(spans.own_id)));
    let peer = step.state.peer;
    let proof = proof::own(step, peer, &choice, hash)?;
    let protection = secrets.protection(&choice)?;
    let Step { state, scratch, host, quirks, path, nat_traversal_port, .. } = step;
    // The NAT-D payloads of this message have the ports of its datagram.
    let changed = nat.changed(*path, *nat_traversal_port);
    let configured = host.peer(peer).ok_or(Refusal::Superseded)?;
    let mut next = None;
    scratch.send(|buf, stored| {
        let (len, following) = write_phase_1(buf, (KIND, &cookies), &protection, &chain, &mut |writer| {
            proof::write(writer, (*host, peer), stored, &proof)?;
            natt::write(writer, &configured, quirks, (&choice, &cookies, &changed))
        })?;
        next = Some(following);
        Ok::<usize, Refusal>(len)
    })?;
    chain.confirm(next.ok_or(Refusal::Internal)?);
    state.cookies = cookies;
    (state.choice, state.spans, state.nat) = (Some(choice), spans, nat);
    state.path = changed;
    (state.secrets, state.chain) = (Some(secrets), Some(chain));
    state.stage = Stage::Answers;
    Ok(Outcome::Authenticated(peer))
}

/// Processes message 3, `HDR*, HASH_I` or `HDR, HASH_I`: phase 1 is complete. If it was encrypted, its last block is
/// the base of later IVs, otherwise the first IV of phase 1.
pub(crate) fn take_proof(step: &mut Step<'_>, message: Opened<'_>) -> Result<Outcome, Stop> {
    let choice = step.choice()?;
    let cookies = step.state.cookies;
    let nat = natt::read(&step.peer()?, &step.quirks, (&choice, &cookies, &step.path), message.unverified());
    let secrets = step.state.secrets.as_ref().ok_or(Refusal::Internal)?;
    let spans = step.state.spans;
    let id_body = step.scratch.get(spans.peer_id);
    let hash = step.hash(&secrets.skeyid, cookies, &spans, (Role::Initiator, id_body));
    let id = Identification::parse(id_body).ok_or(Refusal::Internal)?;
    let claim = step.claim(&choice, id)?;
    let authentic = proof::verify(step.host, &claim, message, &hash)?;
    let found = claim.find_peer(step.host)?;
    check_found(step, found, &choice)?;
    check_identity(step.host, found, &id)?;
    if let Some(next) = authentic.next {
        let mut chain = IvChain::starting_at(&[]);
        chain.confirm(next);
        step.state.chain = Some(chain);
    }
    step.state.nat = nat;
    step.state.stage = Stage::Answers;
    Ok(Outcome::Authenticated(found))
}
