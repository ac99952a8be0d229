use crate::body::Body;
use crate::chain::{Chain, Payload};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::header::Header;
use crate::number::{
    AhTransform, ConfigAttribute, EspTransform, ExchangeKind, Flags, IpcompTransform, IpsecAttribute, OakleyAttribute,
    PayloadKind, ProtocolId, Situation, TransformId,
};
use crate::sa::{SecurityAssociation, labels_have_reserved};

/// Verifies the requirements of RFC 2408 sections 3.1 and 5.2 on a header that the lenient parser does not check.
pub(crate) fn check_header(header: &Header) -> Result<(), DecodeError> {
    let known = Flags::ENCRYPTION.with(Flags::COMMIT).with(Flags::AUTHENTICATION_ONLY);
    let assigned = |exchange: ExchangeKind| exchange != ExchangeKind::NONE && exchange.name().is_some();
    match header {
        h if h.initiator_cookie == [0; 8] => Err(DecodeError::at(DecodeErrorKind::ZeroCookie, 0)),
        h if h.next_payload == PayloadKind::NONE => Err(DecodeError::at(DecodeErrorKind::Empty(PayloadKind::NONE), 16)),
        //= RFC 2408 5.2/8
        //# MUST: receiving: a message of an invalid exchange type is discarded
        h if !assigned(h.exchange) => Err(DecodeError::at(DecodeErrorKind::Unassigned, 18)),
        //= RFC 2408 5.2/9
        //# MUST: receiving: a message with wrong flags is discarded
        h if h.flags.without(known) != Flags(0) => Err(DecodeError::at(DecodeErrorKind::Reserved, 19)),
        _ => Ok(()),
    }
}

/// Verifies the reserved fields, numbers and lengths of every payload.
pub(crate) fn check_chain(chain: &Chain<'_>) -> Result<(), DecodeError> {
    if let [_, ..] = chain.padding() {
        return Err(DecodeError::at(DecodeErrorKind::TrailingData, chain.end()));
    }
    chain.payloads().try_for_each(|payload| check_payload(&payload))
}

fn check_payload(payload: &Payload<'_>) -> Result<(), DecodeError> {
    let refuse = |kind| Err(DecodeError::at(kind, payload.offset));
    //= RFC 2407 4.6.1/1, 4.6.2/6
    //# MUST: the reserved octet of the generic header is zero
    //# MUST: the reserved octet of the generic header is zero
    //= RFC 2408 2.5.2/2, 5.3/5
    //# SHOULD: messages with a reserved field that is not zero are discarded
    //# MUST: receiving: a message with a reserved field that is not zero is discarded
    if payload.reserved != 0 {
        return refuse(DecodeErrorKind::Reserved);
    }
    //= RFC 2408 5.2/6, 5.3/4
    //# MUST: receiving: a message with an invalid next payload is discarded
    //# MUST: receiving: a message with an invalid next payload is discarded
    if payload.kind.name().is_none() {
        return refuse(DecodeErrorKind::Unassigned);
    }
    match payload.view() {
        Body::SecurityAssociation(sa) => check_association(&sa, payload.offset),
        Body::OtherDoi(doi, _) if doi.name().is_none() => refuse(DecodeErrorKind::Unassigned),
        //= RFC 2409 5/8
        //# MUST: a nonce has 8 to 256 octets
        Body::Nonce(nonce) if !(8..=256).contains(&nonce.len()) => {
            refuse(DecodeErrorKind::NonceLength(u16::try_from(nonce.len()).unwrap_or(u16::MAX)))
        }
        Body::KeyExchange([]) | Body::Hash([]) | Body::Signature([]) | Body::VendorId([]) | Body::NatDetection([]) => {
            refuse(DecodeErrorKind::Empty(payload.kind))
        }
        //= RFC 2408 5.8/3
        //# MUST: receiving: a message of an identification type that is not supported is discarded
        Body::Identification(id) if id.kind.name().is_none() => refuse(DecodeErrorKind::Unassigned),
        //= RFC 2408 5.10/3
        //# MUST: receiving: a request of an invalid encoding is discarded
        Body::Certificate(cert) | Body::CertificateRequest(cert) if cert.encoding.name().is_none() => {
            refuse(DecodeErrorKind::Unassigned)
        }
        //= RFC 2408 5.14/11, 5.14/9
        //# MUST: receiving: a notification of an invalid type is discarded
        //# MUST: receiving: a notification of a protocol that is not supported is discarded
        Body::Notification(n) if n.protocol.name().is_none() || n.kind.name().is_none() => {
            refuse(DecodeErrorKind::Unassigned)
        }
        //= RFC 2408 5.15/10
        //# MUST: receiving: a delete payload of a protocol that is not supported is discarded
        Body::Delete(delete) if delete.protocol.name().is_none() => refuse(DecodeErrorKind::Unassigned),
        Body::Config(config)
            if config.kind.name().is_none()
                || config.attributes.iter().any(|a| ConfigAttribute(a.kind).name().is_none()) =>
        {
            refuse(DecodeErrorKind::Unassigned)
        }
        Body::Config(config) if config.reserved != 0 || !config.padding.is_empty() => refuse(DecodeErrorKind::Reserved),
        Body::Fragment(fragment) if fragment.flags > 1 => refuse(DecodeErrorKind::Reserved),
        Body::NatOriginalAddress(original) if original.address().is_none() => refuse(DecodeErrorKind::Unassigned),
        Body::NatOriginalAddress(original) if original.reserved != [0; 3] => refuse(DecodeErrorKind::Reserved),
        _ => Ok(()),
    }
}

fn check_association(sa: &SecurityAssociation<'_>, offset: u16) -> Result<(), DecodeError> {
    let situations = Situation::IDENTITY_ONLY.0 | Situation::SECRECY.0 | Situation::INTEGRITY.0;
    if sa.situation.0 & !situations != 0 || labels_have_reserved(sa.labels) {
        return Err(DecodeError::at(DecodeErrorKind::Reserved, offset));
    }
    for proposal in sa.proposals() {
        if proposal.protocol.name().is_none() {
            return Err(DecodeError::at(DecodeErrorKind::Unassigned, proposal.offset));
        }
        //= RFC 2408 5.3/5
        //# MUST: receiving: a message with a reserved field that is not zero is discarded
        if proposal.reserved != 0 {
            return Err(DecodeError::at(DecodeErrorKind::Reserved, proposal.offset));
        }
        for transform in proposal.transforms() {
            //= RFC 2408 2.5.2/2
            //# SHOULD: messages with a reserved field that is not zero are discarded
            if transform.reserved != 0 || transform.reserved2 != 0 {
                return Err(DecodeError::at(DecodeErrorKind::Reserved, transform.offset));
            }
            let is_known = |kind| match proposal.protocol {
                ProtocolId::ISAKMP => OakleyAttribute(kind).name().is_some(),
                _ => IpsecAttribute(kind).name().is_some(),
            };
            if !is_assigned(proposal.protocol, transform.id) || transform.attributes.iter().any(|a| !is_known(a.kind)) {
                return Err(DecodeError::at(DecodeErrorKind::Unassigned, transform.offset));
            }
        }
    }
    Ok(())
}

fn is_assigned(protocol: ProtocolId, id: TransformId) -> bool {
    match protocol {
        ProtocolId::AH => AhTransform(id.0).name().is_some(),
        ProtocolId::ESP => EspTransform(id.0).name().is_some(),
        ProtocolId::IPCOMP => IpcompTransform(id.0).name().is_some(),
        //= RFC 2407 4.4.2.1/1
        //# MUST: key_ike is supported
        _ => id == TransformId::KEY_IKE,
    }
}
