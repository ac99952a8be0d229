use crate::body::Body;
use crate::chain::{Chain, Payload};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::header::Header;
use crate::number::{ExchangeKind, Flags, PayloadKind};

/// What RFC 2408 3.1 and 5.2 ask of a header, beyond what parsing needs.
pub(crate) fn check_header(header: &Header) -> Result<(), DecodeError> {
    let known = Flags::ENCRYPTION.with(Flags::COMMIT).with(Flags::AUTHENTICATION_ONLY);
    let assigned = |exchange: ExchangeKind| exchange != ExchangeKind::NONE && exchange.name().is_some();
    match header {
        h if h.initiator_cookie == [0; 8] => Err(DecodeError::at(DecodeErrorKind::ZeroCookie, 0)),
        h if h.next_payload == PayloadKind::NONE => Err(DecodeError::at(DecodeErrorKind::Empty(PayloadKind::NONE), 16)),
        h if !assigned(h.exchange) => Err(DecodeError::at(DecodeErrorKind::Unassigned, 18)),
        h if h.flags.without(known) != Flags(0) => Err(DecodeError::at(DecodeErrorKind::Reserved, 19)),
        _ => Ok(()),
    }
}

/// Reserved fields, numbers and lengths of every payload.
pub(crate) fn check_chain(chain: &Chain<'_>) -> Result<(), DecodeError> {
    chain.payloads().try_for_each(|payload| check_payload(&payload))
}

fn check_payload(payload: &Payload<'_>) -> Result<(), DecodeError> {
    let refuse = |kind| Err(DecodeError::at(kind, payload.offset));
    if payload.reserved != 0 {
        return refuse(DecodeErrorKind::Reserved);
    }
    if payload.kind.name().is_none() {
        return refuse(DecodeErrorKind::Unassigned);
    }
    match payload.view() {
        Body::SecurityAssociation(sa) => sa.proposals().try_for_each(|proposal| {
            if proposal.protocol.name().is_none() {
                return Err(DecodeError::at(DecodeErrorKind::Unassigned, proposal.offset));
            }
            if proposal.reserved != 0 {
                return Err(DecodeError::at(DecodeErrorKind::Reserved, proposal.offset));
            }
            match proposal.transforms().find(|t| t.reserved != 0 || t.reserved2 != 0) {
                Some(transform) => Err(DecodeError::at(DecodeErrorKind::Reserved, transform.offset)),
                None => Ok(()),
            }
        }),
        Body::ForeignAssociation(doi, _) if doi.name().is_none() => refuse(DecodeErrorKind::Unassigned),
        Body::Nonce(nonce) if !(8..=256).contains(&nonce.len()) => refuse(DecodeErrorKind::NonceLength),
        Body::KeyExchange([]) | Body::Hash([]) | Body::Signature([]) | Body::VendorId([]) | Body::NatDetection([]) => {
            refuse(DecodeErrorKind::Empty(payload.kind))
        }
        Body::Identification(id) if id.kind.name().is_none() => refuse(DecodeErrorKind::Unassigned),
        Body::Certificate(cert) | Body::CertificateRequest(cert) if cert.encoding.name().is_none() => {
            refuse(DecodeErrorKind::Unassigned)
        }
        Body::Notification(n) if n.protocol.name().is_none() => refuse(DecodeErrorKind::Unassigned),
        Body::Delete(delete) if delete.protocol.name().is_none() => refuse(DecodeErrorKind::Unassigned),
        Body::Config(config) if config.kind.name().is_none() => refuse(DecodeErrorKind::Unassigned),
        Body::Config(config) if config.reserved != 0 => refuse(DecodeErrorKind::Reserved),
        Body::NatOriginalAddress(original) if original.reserved != [0; 3] => refuse(DecodeErrorKind::Reserved),
        _ => Ok(()),
    }
}
