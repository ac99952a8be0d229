//! Messages of phase 1 in cleartext, and messages under the protection of an ISAKMP SA.

use ike_codec::{ExchangeKind, Header, MessageWriter, NoSpace, PayloadKind};
use ipsec_crypto::{MAX_PRF, PrfOutput};

use super::Refusal;
use super::isakmp_sa::IsakmpSa;
use crate::{Cookies, IvChain, NextIv, Protection};

/// Writes a message of phase 1 in cleartext and returns its length.
pub(crate) fn write_clear(
    buf: &mut [u8],
    (exchange, cookies): (ExchangeKind, &Cookies),
    payloads: &mut dyn FnMut(&mut MessageWriter<'_>) -> Result<(), NoSpace>,
) -> Result<usize, Refusal> {
    //= RFC 2408 2.4/2
    //# MUST: the message ID of phase 1 is 0
    let header = Header::new(cookies.initiator, cookies.responder, exchange, 0);
    let mut writer = MessageWriter::new(buf, &header)?;
    payloads(&mut writer)?;
    Ok(writer.finish().len())
}

/// Writes an encrypted message of phase 1. Returns its length, and the IV of the next message.
pub(crate) fn write_phase_1(
    buf: &mut [u8],
    (exchange, cookies): (ExchangeKind, &Cookies),
    protection: &Protection,
    chain: &IvChain,
    payloads: &mut dyn FnMut(&mut MessageWriter<'_>) -> Result<(), NoSpace>,
) -> Result<(usize, NextIv), Refusal> {
    let header = Header::new(cookies.initiator, cookies.responder, exchange, 0);
    let mut writer = MessageWriter::new(buf, &header)?;
    payloads(&mut writer)?;
    encrypt(writer, protection, chain)
}

/// Writes a message of phase 2: HASH, then other payloads. `hash` computes the hash of their octets. Returns the length
/// of the message and the IV of the next one.
//= RFC 2408 4.8/1, 3.1/13, 5.14/5, 5.15/1
//# MUST: once there is keying material, informational exchanges are protected by it
//# MUST: informational exchanges of phase 2 are protected by an ISAKMP SA
//# MUST: once there is keying material, the exchange is protected by it
//# MUST: deletion is always protected by an ISAKMP SA
//= RFC 2407 4.6.3/1
//# MUST: status notifications are sent under the protection of an ISAKMP SA
pub(crate) fn write_phase_2(
    buf: &mut [u8],
    sa: &IsakmpSa,
    (exchange, message_id): (ExchangeKind, u32),
    chain: &IvChain,
    payloads: &mut dyn FnMut(&mut MessageWriter<'_>) -> Result<(), NoSpace>,
    hash: &dyn Fn(&[u8]) -> PrfOutput,
) -> Result<(usize, NextIv), Refusal> {
    let protection = sa.protection()?;
    //= RFC 2409 4/4
    //# MUST NOT: the cookies of an SA do not swap places with the direction
    let header = Header::new(sa.cookies.initiator, sa.cookies.responder, exchange, message_id);
    let mut writer = MessageWriter::new(buf, &header)?;
    let placeholder = [0; MAX_PRF];
    let hash_len = sa.keys.prf().output_len();
    //= RFC 2409 5.5/2
    //# MUST: the hash payload is the first of quick mode
    writer.bytes(PayloadKind::HASH, placeholder.get(..hash_len).ok_or(NoSpace)?)?;
    let begin = writer.len();
    payloads(&mut writer)?;
    let end = writer.len();
    let message = writer.finish_padded(protection.block())?;
    let computed = hash(message.get(begin..end).ok_or(Refusal::Internal)?);
    let at = begin.saturating_sub(hash_len);
    let target = message.get_mut(at..begin).ok_or(Refusal::Internal)?;
    target.iter_mut().zip(computed.expose()).for_each(|(to, from)| *to = *from);
    let next = protection.encrypt(chain, message).map_err(|_| Refusal::Internal)?;
    Ok((message.len(), next))
}

fn encrypt(writer: MessageWriter<'_>, protection: &Protection, chain: &IvChain) -> Result<(usize, NextIv), Refusal> {
    let message = writer.finish_padded(protection.block())?;
    let next = protection.encrypt(chain, message).map_err(|_| Refusal::Internal)?;
    Ok((message.len(), next))
}

/// Returns the octets that HASH(1) and HASH(2) cover: all payloads after the hash, without padding (RFC 2409 section
/// 5.5).
pub(crate) fn after_hash<'m>(chain: &ike_codec::Chain<'m>) -> &'m [u8] {
    let hash = chain.payloads().next().map_or(0, |payload| payload.length());
    chain.bytes().get(hash..).unwrap_or_default()
}
