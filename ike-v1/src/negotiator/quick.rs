//! Quick mode without perfect forward secrecy, for a pair of ESP SAs (RFC 2409 section 5.5): one function for each
//! message that is received, and one that begins. Each makes all checks before it changes anything.

use ike_codec::{ExchangeKind, NoSpace, PayloadKind, Proposal, ProtocolId};
use ipsec_crypto::PrfOutput;
use ipsec_sa::Mode;

use super::exchange::{Spans, State};
use super::inbound::Authentic;
use super::ipsec_sa::{Half, HalfState, IpsecSlot, Negotiation, Terms};
use super::isakmp_sa::IsakmpSa;
use super::main_mode::{NONCE, nonces};
use super::message::write_phase_2;
use super::scratch::{Scratch, Span, Stored};
use super::stage::{HashForm, Stage};
use super::{Host, Path, Refusal, Role, choose, offer, selectors};
use crate::{IvChain, Nonces};

/// Quick mode whose next step is taken, with its SAs and the services that it needs.
pub(crate) struct Step<'a> {
    pub state: &'a mut State,
    pub scratch: Scratch<'a>,
    pub sa: &'a IsakmpSa,
    pub pair: &'a mut IpsecSlot,
    pub host: &'a mut dyn Host,
}

/// Begins quick mode: `HDR*, HASH(1), SA, Ni, IDci, IDcr ->`.
pub(crate) fn begin(step: &mut Step<'_>, message_id: u32) -> Result<(), Refusal> {
    let Step { state, scratch, sa, pair, host } = step;
    let nonce = draw_nonce(scratch, *host)?;
    let mut chain = sa.protection()?.phase_2(&sa.last_of_phase_1, message_id);
    let path = state.path;
    let spi = reserve(*host, &path)?;
    let sent = {
        let policy = host.policy(pair.policy).ok_or(Refusal::Superseded);
        policy.and_then(|policy| {
            let clients = selectors::clients(&policy.selector, Role::Initiator)?;
            send(
                scratch,
                sa,
                message_id,
                &chain,
                |writer, stored| {
                    writer.payload(PayloadKind::SA, |body| offer::phase_2(body, policy.proposals, policy.mode, spi))?;
                    writer.bytes(PayloadKind::NONCE, stored.get(nonce))?;
                    for client in &clients {
                        writer.payload(PayloadKind::ID, |body| client.write(body))?;
                    }
                    Ok(())
                },
                |rest, _| sa.keys.hash_1(message_id, rest),
            )
        })
    };
    match sent {
        Ok(next) => chain.confirm(next),
        Err(refusal) => {
            host.release_spi(ProtocolId::ESP, &path, spi);
            return Err(refusal);
        }
    }
    state.message_id = message_id;
    state.chain = Some(chain);
    state.spans.own_nonce = nonce;
    state.stage = Stage::QuickAwaitsAnswer;
    pair.path = path;
    pair.inbound.spi = spi;
    pair.stage = Negotiation::InProgress;
    Ok(())
}

/// Message 1, `HDR*, HASH(1), SA, Ni [, IDci, IDcr]`: answers with the transform that was chosen.
pub(crate) fn answer(step: &mut Step<'_>, message: &Authentic<'_>, jitter: u8) -> Result<(), Refusal> {
    let Step { state, scratch, sa, pair, host } = step;
    let (offered, _) = message.census.sa()?;
    let ids = message.census.clients();
    let selector = selectors::selector(ids.map(|ids| ids.map(|(id, _)| id)), Role::Responder, &state.path)?;
    let peer_nonce = scratch.store(message.census.nonce()?)?;
    let nonce = draw_nonce(scratch, *host)?;
    let spans = Spans { own_nonce: nonce, peer_nonce, ..Spans::default() };
    let (chosen, terms) = {
        let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
        let policy = host.find_policy(state.peer, &selector).ok_or(Refusal::NoPolicy)?;
        check_mode(policy.mode, &selector, &state.path)?;
        let chosen = choose::phase_2(&offered, &policy, &peer)?;
        pair.policy = policy.number;
        (chosen, Terms { mode: policy.mode, reqid: policy.reqid, selector, choice: chosen.choice, jitter })
    };
    let their_spi = spi(&chosen.proposal)?;
    let path = state.path;
    let own_spi = reserve(*host, &path)?;
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(message.next.ok_or(Refusal::Internal)?);
    let message_id = state.message_id;
    let answered =
        halves(scratch.stored(), sa, &terms, (&spans, Role::Responder), (own_spi, their_spi)).and_then(|halves| {
            let next = send(
                scratch,
                sa,
                message_id,
                &chain,
                |writer, stored| {
                    writer.payload(PayloadKind::SA, |body| {
                        offer::answer(body, &chosen.proposal, &chosen.transform, &own_spi.to_be_bytes())
                    })?;
                    writer.bytes(PayloadKind::NONCE, stored.get(nonce))?;
                    for (_, body) in ids.iter().flatten() {
                        writer.bytes(PayloadKind::ID, body)?;
                    }
                    Ok(())
                },
                |rest, stored| sa.keys.hash_2(message_id, stored.get(peer_nonce), rest),
            )?;
            Ok((halves, next))
        });
    let ((inbound, outbound), next) = match answered {
        Ok(answered) => answered,
        Err(refusal) => {
            host.release_spi(ProtocolId::ESP, &path, own_spi);
            return Err(refusal);
        }
    };
    chain.confirm(next);
    state.chain = Some(chain);
    state.spans = spans;
    state.stage = Stage::QuickAwaitsHash3;
    pair.terms = Some(terms);
    (pair.inbound, pair.outbound) = (inbound, outbound);
    pair.inbound.state = HalfState::Ready;
    pair.stage = Negotiation::InProgress;
    Ok(())
}

/// Message 2, `HDR*, HASH(2), SA, Nr [, IDci, IDcr]`: sends `HDR*, HASH(3)`.
pub(crate) fn take_answer(step: &mut Step<'_>, message: &Authentic<'_>, jitter: u8) -> Result<(), Refusal> {
    let Step { state, scratch, sa, pair, host } = step;
    let (offered, _) = message.census.sa()?;
    let nonce = message.census.nonce()?;
    if nonce == scratch.get(state.spans.own_nonce) {
        return Err(Refusal::Reflected);
    }
    let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
    let policy = host.policy(pair.policy).ok_or(Refusal::Superseded)?;
    let clients = selectors::clients(&policy.selector, Role::Initiator)?;
    let ids = message.census.clients().map(|ids| ids.map(|(id, _)| id));
    if !selectors::are_equal(ids, &clients) {
        return Err(Refusal::Selectors);
    }
    let chosen = choose::answered_phase_2(&offered, &policy, &peer)?;
    let their_spi = spi(&chosen.proposal)?;
    let terms =
        Terms { mode: policy.mode, reqid: policy.reqid, selector: policy.selector, choice: chosen.choice, jitter };
    let spans = Spans { peer_nonce: scratch.store(nonce)?, ..state.spans };
    let own_spi = pair.inbound.spi;
    let (inbound, outbound) = halves(scratch.stored(), sa, &terms, (&spans, Role::Initiator), (own_spi, their_spi))?;
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(message.next.ok_or(Refusal::Internal)?);
    let message_id = state.message_id;
    let next = send(
        scratch,
        sa,
        message_id,
        &chain,
        |_, _| Ok(()),
        |_, stored| sa.keys.hash_3(message_id, &nonces(stored, &spans, Role::Initiator)),
    )?;
    chain.confirm(next);
    state.chain = Some(chain);
    state.spans = spans;
    state.stage = Stage::Answers;
    pair.terms = Some(terms);
    (pair.inbound, pair.outbound) = (inbound, outbound);
    pair.inbound.state = HalfState::Ready;
    Ok(())
}

/// Computes the hash that a message of the peer must have. `rest` are the octets after its hash payload.
pub(crate) fn peer_hash(
    sa: &IsakmpSa,
    state: &State,
    stored: Stored<'_>,
    form: HashForm,
    rest: &[u8],
) -> Result<PrfOutput, Refusal> {
    let Nonces { initiator, .. } = nonces(stored, &state.spans, state.role);
    match form {
        HashForm::One => Ok(sa.keys.hash_1(state.message_id, rest)),
        HashForm::Two => Ok(sa.keys.hash_2(state.message_id, initiator, rest)),
        HashForm::Three => Ok(sa.keys.hash_3(state.message_id, &nonces(stored, &state.spans, state.role))),
        HashForm::Phase1 => Err(Refusal::Internal),
    }
}

fn draw_nonce(scratch: &mut Scratch<'_>, host: &mut dyn Host) -> Result<Span, Refusal> {
    scratch.store_with(|free, _| {
        host.random(free.get_mut(..NONCE).ok_or(NoSpace)?);
        Ok::<usize, Refusal>(NONCE)
    })
}

/// Reserves the SPI of an inbound SA.
fn reserve(host: &mut dyn Host, path: &Path) -> Result<u32, Refusal> {
    //= RFC 2408 2.4/3
    //# MUST: an SPI is generated when an SA is set up
    //= RFC 2408 5.5/2
    //# MUST: sending: a unique random SPI is generated
    host.reserve_spi(ProtocolId::ESP, path).filter(|&spi| spi >= FIRST_SPI).ok_or(Refusal::NoSpi)
}

/// Lowest SPI that is not reserved (RFC 4303 section 2.1).
const FIRST_SPI: u32 = 256;

/// Returns the SPI that the peer has chosen.
fn spi(proposal: &Proposal<'_>) -> Result<u32, Refusal> {
    //= RFC 2408 5.5/5
    //# MUST: receiving: a proposal with an invalid SPI is discarded
    let spi = proposal.spi.try_into().map(u32::from_be_bytes).map_err(|_| Refusal::Spi)?;
    if spi >= FIRST_SPI { Ok(spi) } else { Err(Refusal::Spi) }
}

/// Refuses transport mode for other packets than those between both ends of the ISAKMP SA.
fn check_mode(mode: Mode, selector: &ipsec_packet::Selector, path: &Path) -> Result<(), Refusal> {
    let is_end = |range: &ipsec_packet::AddressRange, end| range.first() == end && range.last() == end;
    let is_between_ends = is_end(&selector.source, path.local.ip()) && is_end(&selector.destination, path.remote.ip());
    if mode != Mode::Transport || is_between_ends { Ok(()) } else { Err(Refusal::Selectors) }
}

/// Derives the key material of both SAs: each with the SPI that its receiver has chosen.
fn halves(
    stored: Stored<'_>,
    sa: &IsakmpSa,
    terms: &Terms,
    (spans, role): (&Spans, Role),
    (own_spi, their_spi): (u32, u32),
) -> Result<(Half, Half), Refusal> {
    let nonces = nonces(stored, spans, role);
    let half = |spi| Half::new(&sa.keys, &terms.choice, spi, nonces);
    Ok((half(own_spi)?, half(their_spi)?))
}

/// Writes an encrypted message of quick mode and returns the IV of the next one.
fn send(
    scratch: &mut Scratch<'_>,
    sa: &IsakmpSa,
    message_id: u32,
    chain: &IvChain,
    payloads: impl FnOnce(&mut ike_codec::MessageWriter<'_>, Stored<'_>) -> Result<(), NoSpace>,
    hash: impl FnOnce(&[u8], Stored<'_>) -> PrfOutput,
) -> Result<crate::NextIv, Refusal> {
    let mut next = None;
    scratch.send(|buf, stored| {
        let exchange = (ExchangeKind::QUICK, message_id);
        let (len, following) =
            write_phase_2(buf, sa, exchange, chain, |writer| payloads(writer, stored), |rest| hash(rest, stored))?;
        next = Some(following);
        Ok::<usize, Refusal>(len)
    })?;
    next.ok_or(Refusal::Internal)
}
