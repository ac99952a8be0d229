//! Quick mode for a pair of ESP SAs, with or without perfect forward secrecy (RFC 2409 section 5.5): one function for
//! each message that is received, and one that begins. Each makes all checks before it changes anything.

use ike_codec::{
    Attributes, Body, Doi, ExchangeKind, Group, IpsecAttributes, MessageWriter, NoSpace, Notification, NotifyKind,
    PayloadKind, Proposal, ProtocolId,
};
use ipsec_crypto::PrfOutput;
use ipsec_sa::Mode;

use super::census::Census;
use super::exchange::{Spans, State};
use super::inbound::Authentic;
use super::ipsec_sa::{Half, HalfState, IpsecSlot, Negotiation, Terms};
use super::isakmp_sa::IsakmpSa;
use super::key_exchange::{KeyPair, draw_nonce, shared_secret, store_public};
use super::main_mode::nonces;
use super::message::write_phase_2;
use super::scratch::{Scratch, Span, Stored};
use super::stage::{HashForm, Stage};
use super::{Host, Path, Refusal, Role, choose, offer, selectors};
use crate::{IvChain, Nonces, Phase2Choice};

/// Quick mode whose next step is taken, with its SAs and the services that it needs.
pub(crate) struct Step<'a> {
    pub state: &'a mut State,
    pub scratch: Scratch<'a>,
    pub sa: &'a IsakmpSa,
    pub pair: &'a mut IpsecSlot,
    pub host: &'a mut dyn Host,
}

/// Begins quick mode: `HDR*, HASH(1), SA, Ni [, KE], IDci, IDcr ->`.
pub(crate) fn begin(step: &mut Step<'_>, message_id: u32) -> Result<(), Refusal> {
    let Step { state, scratch, sa, pair, host } = step;
    let group = host.policy(pair.policy).ok_or(Refusal::Superseded)?.proposals.first().and_then(|offer| offer.group);
    let nonce = draw_nonce(scratch, *host)?;
    let spans = with_key_pair(scratch, *host, group, Spans { own_nonce: nonce, ..Spans::default() })?;
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
                    write_nonce_and_key(writer, stored, &spans)?;
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
    state.spans = spans;
    state.group = group;
    state.stage = Stage::QuickAwaitsAnswer;
    pair.path = path;
    pair.inbound.spi = spi;
    pair.stage = Negotiation::InProgress;
    Ok(())
}

/// Message 1, `HDR*, HASH(1), SA, Ni [, KE] [, IDci, IDcr]`: answers with the transform that was chosen.
pub(crate) fn answer(step: &mut Step<'_>, message: &Authentic<'_>, jitter: u8) -> Result<(), Refusal> {
    let Step { state, scratch, sa, pair, host } = step;
    let (offered, _) = message.census.sa()?;
    let ids = message.census.clients();
    let selector = selectors::selector(ids.map(|ids| ids.map(|(id, _)| id)), Role::Responder, &state.path)?;
    let nonce = message.census.nonce()?;
    let (chosen, terms) = {
        let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
        let policy = host.find_policy(state.peer, &selector).ok_or(Refusal::NoPolicy)?;
        check_mode(policy.mode, &selector, &state.path)?;
        let chosen = choose::phase_2(&offered, &policy, &peer)?;
        pair.policy = policy.number;
        (chosen, Terms::of(&policy, selector, chosen.choice, jitter))
    };
    let their_spi = spi(&chosen.proposal)?;
    let group = chosen.choice.group;
    let key_exchange = message.census.key_exchange_of(group)?;
    let peer_nonce = scratch.store(nonce)?;
    let own_nonce = draw_nonce(scratch, *host)?;
    let spans = Spans { own_nonce, peer_nonce, ..Spans::default() };
    let spans = with_key_pair(scratch, *host, group, spans)?;
    let spans = with_peer_public(scratch, key_exchange, spans)?;
    let shared = shared(scratch, *host, group, &spans)?;
    let path = state.path;
    let own_spi = reserve(*host, &path)?;
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(message.next.ok_or(Refusal::Internal)?);
    let message_id = state.message_id;
    let answered =
        halves(scratch, sa, &terms, (&spans, shared, Role::Responder), (own_spi, their_spi)).and_then(|halves| {
            let next = send(
                scratch,
                sa,
                message_id,
                &chain,
                |writer, stored| {
                    writer.payload(PayloadKind::SA, |body| {
                        offer::answer(body, &chosen.proposal, &chosen.transform, &own_spi.to_be_bytes())
                    })?;
                    write_nonce_and_key(writer, stored, &spans)?;
                    for (_, body) in ids.iter().flatten() {
                        writer.bytes(PayloadKind::ID, body)?;
                    }
                    if chosen.is_shortened() { responder_lifetime(writer, &chosen.choice, own_spi) } else { Ok(()) }
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

/// Message 2, `HDR*, HASH(2), SA, Nr [, KE] [, IDci, IDcr]`: sends `HDR*, HASH(3)`. With the commit flag, the outbound SA
/// waits for message 4 (RFC 2408 section 3.1).
pub(crate) fn take_answer(
    step: &mut Step<'_>,
    message: &Authentic<'_>,
    (jitter, has_commit): (u8, bool),
) -> Result<(), Refusal> {
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
    let mut chosen = choose::answered_phase_2(&offered, &policy, &peer)?;
    shorten(&mut chosen.choice, &message.census);
    let (group, offered_group) = (chosen.choice.group, state.group);
    if group != offered_group {
        return Err(Refusal::ModifiedAnswer(choose::group_mismatch(&chosen.transform, group, offered_group)));
    }
    let key_exchange = message.census.key_exchange_of(group)?;
    let their_spi = spi(&chosen.proposal)?;
    let terms = Terms::of(&policy, policy.selector, chosen.choice, jitter);
    let spans = Spans { peer_nonce: scratch.store(nonce)?, ..state.spans };
    let spans = with_peer_public(scratch, key_exchange, spans)?;
    if group.is_some() && scratch.get(spans.peer_public) == scratch.get(spans.own_public) {
        return Err(Refusal::Reflected);
    }
    let shared = shared(scratch, *host, group, &spans)?;
    let own_spi = pair.inbound.spi;
    let keyed = halves(scratch, sa, &terms, (&spans, shared, Role::Initiator), (own_spi, their_spi));
    let (inbound, outbound) = keyed?;
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
    //= RFC 2408 3.1/11
    //# MUST: who did not set the commit bit waits for connected
    state.stage = if has_commit { Stage::QuickAwaitsConnected } else { Stage::Answers };
    pair.terms = Some(terms);
    (pair.inbound, pair.outbound) = (inbound, outbound);
    pair.inbound.state = HalfState::Ready;
    Ok(())
}

/// Writes RESPONDER-LIFETIME with the lifetimes of the SA (RFC 2407 section 4.6.3.1).
//= RFC 2407 4.5.4/1, 4.5.4/2
//# SHOULD: a responder that requires a shorter lifetime may notify the initiator in the exchange
//# MUST: it does so by responder-lifetime
fn responder_lifetime(writer: &mut MessageWriter<'_>, choice: &Phase2Choice, spi: u32) -> Result<(), NoSpace> {
    let (protocol, kind) = (ProtocolId::ESP, NotifyKind::RESPONDER_LIFETIME);
    writer
        .payload(PayloadKind::NOTIFICATION, |body| {
            let spi = spi.to_be_bytes();
            Notification { doi: Doi::IPSEC, protocol, kind, spi: &spi, data: &[] }.write(body)?;
            body.attributes(|list| choice.write_lifetimes(list))
        })
        .map(drop)
}

/// Shortens the lifetimes of an SA to those of RESPONDER-LIFETIME. A longer lifetime is ignored, and attributes that
/// cannot be read, too: some peers send others than durations.
fn shorten(choice: &mut Phase2Choice, message: &Census<'_>) {
    for payload in message.payloads() {
        let Body::Notification(notification) = payload.view() else { continue };
        let attributes = Attributes::parse(notification.data).ok();
        let read = attributes.and_then(|attributes| IpsecAttributes::read(&attributes).ok());
        let Some(IpsecAttributes { lifetimes, .. }) =
            read.filter(|_| notification.kind == NotifyKind::RESPONDER_LIFETIME)
        else {
            continue;
        };
        let shorter = |ours: Option<u64>, theirs: Option<u64>| match (ours, theirs.filter(|&theirs| theirs > 0)) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        choice.lifetimes.seconds = shorter(choice.lifetimes.seconds, lifetimes.seconds);
        choice.lifetimes.kilobytes = shorter(choice.lifetimes.kilobytes, lifetimes.kilobytes);
    }
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

/// Draws the values of perfect forward secrecy, if there is a group.
fn with_key_pair(
    scratch: &mut Scratch<'_>,
    host: &mut dyn Host,
    group: Option<Group>,
    spans: Spans,
) -> Result<Spans, Refusal> {
    let Some(group) = group else { return Ok(spans) };
    let KeyPair { private, public } = KeyPair::draw(scratch, host, group)?;
    Ok(Spans { private, own_public: public, ..spans })
}

/// Stores the public value of the peer, if there is a group.
fn with_peer_public(
    scratch: &mut Scratch<'_>,
    key_exchange: Option<(Group, &[u8])>,
    spans: Spans,
) -> Result<Spans, Refusal> {
    let Some((group, public)) = key_exchange else { return Ok(spans) };
    Ok(Spans { peer_public: store_public(scratch, group, public)?, ..spans })
}

/// Computes the shared secret of perfect forward secrecy, if there is a group.
fn shared(
    scratch: &mut Scratch<'_>,
    host: &mut dyn Host,
    group: Option<Group>,
    spans: &Spans,
) -> Result<Option<Span>, Refusal> {
    //= RFC 2409 5.5/4
    //# MUST: key exchange payloads in quick mode are supported
    let shared = group.map(|group| shared_secret(scratch, host, group, (spans.private, spans.peer_public)));
    let shared = shared.transpose()?;
    scratch.wipe(spans.private);
    Ok(shared)
}

/// Writes the nonce, and the public value if there is one.
fn write_nonce_and_key(writer: &mut MessageWriter<'_>, stored: Stored<'_>, spans: &Spans) -> Result<(), NoSpace> {
    writer.bytes(PayloadKind::NONCE, stored.get(spans.own_nonce))?;
    match stored.get(spans.own_public) {
        [] => Ok(()),
        public => writer.bytes(PayloadKind::KEY_EXCHANGE, public).map(drop),
    }
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

/// Derives the key material of both SAs: each with the SPI that its receiver has chosen. The shared secret is wiped.
fn halves(
    scratch: &mut Scratch<'_>,
    sa: &IsakmpSa,
    terms: &Terms,
    (spans, shared, role): (&Spans, Option<Span>, Role),
    (own_spi, their_spi): (u32, u32),
) -> Result<(Half, Half), Refusal> {
    let half = |scratch: &Scratch<'_>, spi| {
        let stored = scratch.stored();
        let secret = shared.map(|shared| stored.get(shared));
        Half::new(&sa.keys, &terms.choice, spi, secret, nonces(stored, spans, role))
    };
    let halves = half(scratch, own_spi).and_then(|own| Ok((own, half(scratch, their_spi)?)));
    if let Some(shared) = shared {
        scratch.wipe(shared);
    }
    halves
}

/// Writes an encrypted message of quick mode and returns the IV of the next one.
fn send(
    scratch: &mut Scratch<'_>,
    sa: &IsakmpSa,
    message_id: u32,
    chain: &IvChain,
    payloads: impl FnOnce(&mut MessageWriter<'_>, Stored<'_>) -> Result<(), NoSpace>,
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
