//! Quick mode for SAs of ESP, AH and IPComp, with or without perfect forward secrecy (RFC 2409 section 5.5): one
//! function for each message that is received, and one that begins. Each makes all checks before it changes a value.

use ike_codec::{
    Attributes, Body, Doi, ExchangeKind, Group, IpsecAttributes, MessageWriter, NoSpace, Notification, NotifyKind,
    PayloadKind, ProtocolId,
};
use ipsec_crypto::PrfOutput;

use super::census::Census;
use super::choose::{ChosenBundle, ChosenMember};
use super::exchange::{Spans, State};
use super::inbound::Authentic;
use super::ipsec_sa::{Half, IpsecSlot, Member};
use super::isakmp_sa::IsakmpSa;
use super::key_exchange::{NONCE, draw_key_pair, draw_nonce, shared_secret, store_public};
use super::message::write_phase_2;
use super::scratch::{Scratch, Span, Stored};
use super::spi::Spi;
use super::stage::{HashForm, Stage};
use super::step::nonces;
use super::suspend::{Stop, answered};
use super::xauth::{XauthRole, xauth_role};
use super::{Host, IpsecPolicy, MAX_BUNDLE, Path, Refusal, Role, choose, natt, offer, selectors};
use crate::{IvChain, Nonces, Phase2Choice};

/// Quick mode whose next step is taken, with its SAs and the services that it needs.
pub(crate) struct Step<'a> {
    pub state: &'a mut State,
    pub scratch: Scratch<'a>,
    pub sa: &'a IsakmpSa,
    pub pair: &'a mut IpsecSlot,
    pub host: &'a mut dyn Host,
}

/// Length of nonces in octets with which a renewal with a client of XAUTH begins: vpnc answers with a nonce of that
/// length, and uses 20 octets of it.
const NONCE_FOR_CLIENTS: usize = 20;

/// Begins quick mode: `HDR*, HASH(1), SA, Ni [, KE], IDci, IDcr ->`.
pub(crate) fn begin(step: &mut Step<'_>) -> Result<(), Stop> {
    let Step { state, scratch, sa, pair, host } = step;
    let policy = host.policy(pair.policy).ok_or(Refusal::Superseded)?;
    let selector = pair.selector.unwrap_or(policy.selector);
    let (group, clients) = (policy.group(), selectors::clients(&selector, Role::Initiator)?);
    if pair.members().next().is_none() {
        for (slot, template) in pair.members.iter_mut().zip(policy.templates()) {
            *slot = Some(Member::larval(template, Spi::NONE));
        }
    }
    check_unchanged(state, pair, policy.templates().map(|template| template.protocol), group)?;
    state.group = group;
    let is_client = xauth_role(sa.choice.auth_method, sa.role) == Some(XauthRole::Server);
    draw(state, scratch, *host, (group, if is_client { NONCE_FOR_CLIENTS } else { NONCE }))?;
    let message_id = state.message_id;
    let mut chain = sa.protection()?.phase_2(&sa.last_of_phase_1, message_id);
    (pair.path, pair.nat) = (state.path, sa.nat);
    reserve_spis(pair, *host)?;
    let policy = host.policy(pair.policy).ok_or(Refusal::Superseded)?;
    let spans = state.spans;
    let is_transport = !policy.is_tunnel();
    let pair_of = &*pair;
    let next = send(
        scratch,
        sa,
        message_id,
        &chain,
        &mut |writer, stored| {
            writer
                .payload(PayloadKind::SA, |body| offer::phase_2(body, &policy, sa.nat.in_udp(), &own_spis(pair_of)))?;
            write_nonce_and_key(writer, stored, &spans)?;
            for client in &clients {
                writer.payload(PayloadKind::ID, |body| client.write(body))?;
            }
            natt::write_originals(writer, pair_of, Role::Initiator, is_transport)
        },
        &|rest, _| sa.keys.hash_1(message_id, rest),
    )?;
    chain.confirm(next);
    state.chain = Some(chain);
    state.stage = Stage::QuickAwaitsAnswer;
    pair.selector = Some(selector);
    Ok(())
}

/// Processes message 1, `HDR*, HASH(1), SA, Ni [, KE] [, IDci, IDcr]`: answers with the transforms that were chosen.
pub(crate) fn answer(step: &mut Step<'_>, message: &Authentic<'_>, jitter: u8) -> Result<(), Stop> {
    let Step { state, scratch, sa, pair, host } = step;
    let (offered, _) = message.census.sa()?;
    let ids = message.census.clients();
    let selector = pair.selector.ok_or(Refusal::Internal)?;
    let nonce = message.census.nonce()?;
    let chosen = {
        let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
        let policy = host.policy(pair.policy).ok_or(Refusal::NoPolicy)?;
        check_mode(&policy, &selector, &state.path)?;
        choose::phase_2(&offered, &policy, &peer, &sa.nat)?
    };
    let their_spis = spis_of_peer(&chosen)?;
    let group = group_of(&chosen);
    let key_exchange = message.census.key_exchange_of(group)?;
    let policy = host.policy(pair.policy).ok_or(Refusal::Internal)?;
    let is_transport = !policy.is_tunnel();
    if pair.members().next().is_some() {
        let protocols = chosen.iter().flatten().map(|member| member.chosen.proposal.protocol);
        check_unchanged(state, pair, protocols, group)?;
    }
    state.group = group;
    for (slot, member) in pair.members.iter_mut().zip(chosen.iter().flatten()) {
        let template = policy.templates().nth(member.template).ok_or(Refusal::Internal)?;
        let spi = slot.as_ref().map_or(Spi::NONE, |member| member.inbound.spi);
        *slot = Some(Member::larval(template, spi));
    }
    draw(state, scratch, *host, (group, NONCE))?;
    reserve_spis(pair, *host)?;
    let spans = Spans { peer_nonce: scratch.store(nonce)?, ..state.spans };
    let spans = with_peer_public(scratch, key_exchange, spans)?;
    let shared = shared(scratch, *host, group, &spans)?;
    let own_spis = own_spis(pair);
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(message.next.ok_or(Refusal::Internal)?);
    let message_id = state.message_id;
    let halves = halves(scratch, sa, &chosen, (&spans, shared, Role::Responder), (&own_spis, &their_spis))?;
    let peer_nonce = spans.peer_nonce;
    let pair_of = &*pair;
    let next = send(
        scratch,
        sa,
        message_id,
        &chain,
        &mut |writer, stored| {
            let own = chosen.iter().flatten().zip(&own_spis);
            let answers = own.clone().map(|(own, spi)| (own.chosen.proposal, own.chosen.transform, *spi));
            writer.payload(PayloadKind::SA, |body| offer::answer(body, answers))?;
            write_nonce_and_key(writer, stored, &spans)?;
            for (_, body) in ids.iter().flatten() {
                writer.bytes(PayloadKind::ID, body)?;
            }
            for (member, spi) in own.filter(|(member, _)| member.chosen.is_shortened()) {
                responder_lifetime(writer, &member.chosen.choice, *spi)?;
            }
            natt::write_originals(writer, pair_of, Role::Responder, is_transport)
        },
        &|rest, stored| sa.keys.hash_2(message_id, stored.get(peer_nonce), rest),
    )?;
    chain.confirm(next);
    scratch.wipe(spans.private);
    state.chain = Some(chain);
    state.spans = spans;
    pair.jitter = jitter;
    pair.lowest_nonce = lowest_nonce(&nonces(scratch.stored(), &spans, Role::Responder));
    let kept = pair.members_mut().zip(chosen.iter().flatten()).zip(halves.into_iter().flatten());
    for ((member, chosen), (inbound, outbound)) in kept {
        member.choice = Some(chosen.chosen.choice);
        (member.inbound, member.outbound) = (inbound, outbound);
    }
    pair.announce_inbound();
    Ok(())
}

/// Processes message 2, `HDR*, HASH(2), SA, Nr [, KE] [, IDci, IDcr]`: sends `HDR*, HASH(3)`. With the commit flag, the
/// outbound SA waits for message 4 (RFC 2408 section 3.1).
pub(crate) fn take_answer(
    step: &mut Step<'_>,
    message: &Authentic<'_>,
    (jitter, has_commit): (u8, bool),
) -> Result<(), Stop> {
    let Step { state, scratch, sa, pair, host } = step;
    let (offered, _) = message.census.sa()?;
    let nonce = message.census.nonce()?;
    if nonce == scratch.get(state.spans.own_nonce) {
        return Err(Refusal::Reflected.into());
    }
    let mut chosen = {
        let peer = host.peer(state.peer).ok_or(Refusal::Superseded)?;
        let policy = host.policy(pair.policy).ok_or(Refusal::Superseded)?;
        let selector = pair.selector.ok_or(Refusal::Internal)?;
        let clients = selectors::clients(&selector, Role::Initiator)?;
        let ids = message.census.clients().map(|ids| ids.map(|(id, _)| id));
        if !selectors::are_equal(ids, &clients) {
            return Err(Refusal::Selectors.into());
        }
        choose::answered_phase_2(&offered, &policy, &peer, &sa.nat)?
    };
    chosen.iter_mut().flatten().for_each(|member| shorten(&mut member.chosen.choice, &message.census));
    let (group, offered_group) = (group_of(&chosen), state.group);
    if group != offered_group {
        return Err(Refusal::ModifiedAnswer(choose::group_mismatch(group, offered_group)).into());
    }
    let key_exchange = message.census.key_exchange_of(group)?;
    let their_spis = spis_of_peer(&chosen)?;
    // The proposals of the answer may have another order than the templates.
    let mut own_spis = [Spi::NONE; MAX_BUNDLE];
    for (slot, member) in own_spis.iter_mut().zip(chosen.iter().flatten()) {
        let own = pair.members.get(member.template).and_then(Option::as_ref);
        let own = own.filter(|own| own.protocol == member.chosen.proposal.protocol).ok_or(Refusal::Superseded)?;
        *slot = own.inbound.spi;
    }
    let spans = Spans { peer_nonce: scratch.store(nonce)?, ..state.spans };
    let spans = with_peer_public(scratch, key_exchange, spans)?;
    if group.is_some() && scratch.get(spans.peer_public) == scratch.get(spans.own_public) {
        return Err(Refusal::Reflected.into());
    }
    let shared = shared(scratch, *host, group, &spans)?;
    let halves = halves(scratch, sa, &chosen, (&spans, shared, Role::Initiator), (&own_spis, &their_spis))?;
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(message.next.ok_or(Refusal::Internal)?);
    let message_id = state.message_id;
    let next = send(scratch, sa, message_id, &chain, &mut |_, _| Ok(()), &|_, stored| {
        sa.keys.hash_3(message_id, &nonces(stored, &spans, Role::Initiator))
    })?;
    chain.confirm(next);
    scratch.wipe(spans.private);
    state.chain = Some(chain);
    state.spans = spans;
    //= RFC 2408 3.1/11
    //# MUST: who did not set the commit bit waits for connected
    state.stage = if has_commit { Stage::QuickAwaitsConnected } else { Stage::Answers };
    pair.jitter = jitter;
    pair.lowest_nonce = lowest_nonce(&nonces(scratch.stored(), &spans, Role::Initiator));
    for (member, (inbound, outbound)) in chosen.iter().flatten().zip(halves.into_iter().flatten()) {
        if let Some(own) = pair.members.get_mut(member.template).and_then(Option::as_mut) {
            own.choice = Some(member.chosen.choice);
            (own.inbound, own.outbound) = (inbound, outbound);
        }
    }
    pair.announce_inbound();
    Ok(())
}

/// Returns the first octets of the lower nonce.
fn lowest_nonce(nonces: &Nonces<'_>) -> [u8; 32] {
    let mut lowest = [0; 32];
    lowest.iter_mut().zip(nonces.initiator.min(nonces.responder)).for_each(|(to, from)| *to = *from);
    lowest
}

/// Writes RESPONDER-LIFETIME with the lifetimes of the SA (RFC 2407 section 4.6.3.1).
//= RFC 2407 4.5.4/1, 4.5.4/2
//# SHOULD: a responder that requires a shorter lifetime may notify the initiator in the exchange
//# MUST: it does so by responder-lifetime
fn responder_lifetime(writer: &mut MessageWriter<'_>, choice: &Phase2Choice, spi: Spi) -> Result<(), NoSpace> {
    let (protocol, kind) = (choice.protocol, NotifyKind::RESPONDER_LIFETIME);
    writer
        .payload(PayloadKind::NOTIFICATION, |body| {
            Notification { doi: Doi::IPSEC, protocol, kind, spi: spi.octets(), data: &[] }.write(body)?;
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

/// Refuses a step that is taken again after the policy has changed: SPIs and the private value are those of the former
/// one.
fn check_unchanged(
    state: &State,
    pair: &IpsecSlot,
    protocols: impl Iterator<Item = ProtocolId>,
    group: Option<Group>,
) -> Result<(), Refusal> {
    let is_same_group = state.spans.private.is_empty() || state.group == group;
    let is_same = pair.members().map(|member| member.protocol).eq(protocols) && is_same_group;
    if is_same { Ok(()) } else { Err(Refusal::Superseded) }
}

/// Draws the nonce, and the values of perfect forward secrecy if there is a group.
fn draw(
    state: &mut State,
    scratch: &mut Scratch<'_>,
    host: &mut dyn Host,
    (group, nonce): (Option<Group>, usize),
) -> Result<(), Stop> {
    draw_nonce(scratch, host, &mut state.spans, nonce)?;
    group.map_or(Ok(()), |group| draw_key_pair(scratch, host, group, &mut state.spans))
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
) -> Result<Option<Span>, Stop> {
    //= RFC 2409 5.5/4
    //# MUST: key exchange payloads in quick mode are supported
    group.map(|group| shared_secret(scratch, host, group, (spans.private, spans.peer_public))).transpose()
}

/// Writes the nonce, and the public value if there is one.
fn write_nonce_and_key(writer: &mut MessageWriter<'_>, stored: Stored<'_>, spans: &Spans) -> Result<(), NoSpace> {
    writer.bytes(PayloadKind::NONCE, stored.get(spans.own_nonce))?;
    match stored.get(spans.own_public) {
        [] => Ok(()),
        public => writer.bytes(PayloadKind::KEY_EXCHANGE, public).map(drop),
    }
}

/// Reserves an SPI for each inbound SA that has none.
fn reserve_spis(pair: &mut IpsecSlot, host: &mut dyn Host) -> Result<(), Stop> {
    let path = pair.path;
    for member in pair.members_mut().filter(|member| member.inbound.spi == Spi::NONE) {
        //= RFC 2408 2.4/3
        //# MUST: an SPI is generated when an SA is set up
        //= RFC 2408 5.5/2
        //# MUST: sending: a unique random SPI is generated
        let spi = answered(host.reserve_spi(member.protocol, &path))?;
        member.inbound.spi = spi.and_then(|spi| Spi::of_host(member.protocol, spi)).ok_or(Refusal::NoSpi)?;
    }
    Ok(())
}

/// Returns the SPIs of the inbound SAs of a pair.
fn own_spis(pair: &IpsecSlot) -> [Spi; MAX_BUNDLE] {
    let mut spis = [Spi::NONE; MAX_BUNDLE];
    spis.iter_mut().zip(pair.members()).for_each(|(slot, member)| *slot = member.inbound.spi);
    spis
}

/// Returns the SPIs that the peer has chosen, in the order of the proposals.
fn spis_of_peer(bundle: &ChosenBundle<'_>) -> Result<[Spi; MAX_BUNDLE], Refusal> {
    let mut spis = [Spi::NONE; MAX_BUNDLE];
    for (slot, member) in spis.iter_mut().zip(bundle.iter().flatten()) {
        *slot = Spi::of_peer(&member.chosen.proposal)?;
    }
    Ok(spis)
}

/// Returns the group of perfect forward secrecy of the transforms that were chosen.
fn group_of(bundle: &ChosenBundle<'_>) -> Option<Group> {
    bundle.iter().flatten().find_map(|member| member.chosen.choice.group)
}

/// Refuses transport mode for other packets than those between both ends of the ISAKMP SA.
fn check_mode(policy: &IpsecPolicy<'_>, selector: &ipsec_packet::Selector, path: &Path) -> Result<(), Refusal> {
    let is_end = |range: &ipsec_packet::AddressRange, end| range.first() == end && range.last() == end;
    let is_between_ends = is_end(&selector.source, path.local.ip()) && is_end(&selector.destination, path.remote.ip());
    if policy.is_tunnel() || is_between_ends { Ok(()) } else { Err(Refusal::Selectors) }
}

/// Derives the key material of all SAs: each with the SPI that its receiver has chosen. The shared secret is wiped.
#[allow(clippy::type_complexity)] // inbound and outbound SA of each proposal
fn halves(
    scratch: &mut Scratch<'_>,
    sa: &IsakmpSa,
    bundle: &ChosenBundle<'_>,
    (spans, shared, role): (&Spans, Option<Span>, Role),
    (own_spis, their_spis): (&[Spi], &[Spi]),
) -> Result<[Option<(Half, Half)>; MAX_BUNDLE], Refusal> {
    let half = |scratch: &Scratch<'_>, member: &ChosenMember<'_>, spi: Spi| {
        let stored = scratch.stored();
        let secret = shared.map(|shared| stored.get(shared));
        let terms = (member.chosen.proposal.protocol, &member.chosen.choice);
        Half::new(&sa.keys, terms, spi, secret, nonces(stored, spans, role))
    };
    let mut halves = [const { None }; MAX_BUNDLE];
    let mut result = Ok(());
    let spis = own_spis.iter().zip(their_spis);
    for ((slot, member), (own, theirs)) in halves.iter_mut().zip(bundle.iter().flatten()).zip(spis) {
        let both = half(scratch, member, *own).and_then(|inbound| Ok((inbound, half(scratch, member, *theirs)?)));
        match both {
            Ok(both) => *slot = Some(both),
            Err(refusal) => result = Err(refusal),
        }
    }
    if let Some(shared) = shared {
        scratch.wipe(shared);
    }
    result.map(|()| halves)
}

/// Writes an encrypted message of quick mode and returns the IV of the next one.
fn send(
    scratch: &mut Scratch<'_>,
    sa: &IsakmpSa,
    message_id: u32,
    chain: &IvChain,
    payloads: &mut dyn FnMut(&mut MessageWriter<'_>, Stored<'_>) -> Result<(), NoSpace>,
    hash: &dyn Fn(&[u8], Stored<'_>) -> PrfOutput,
) -> Result<crate::NextIv, Refusal> {
    let mut next = None;
    scratch.send(|buf, stored| {
        let exchange = (ExchangeKind::QUICK, message_id);
        let (len, following) =
            write_phase_2(buf, sa, exchange, chain, &mut |writer| payloads(writer, stored), &|rest| {
                hash(rest, stored)
            })?;
        next = Some(following);
        Ok::<usize, Refusal>(len)
    })?;
    next.ok_or(Refusal::Internal)
}
