use crate::certificate::Certificate;
use crate::config::Config;
use crate::delete::Delete;
use crate::error::{DecodeErrorKind, Fault};
use crate::fragment::Fragment;
use crate::id::Identification;
use crate::nat::OriginalAddress;
use crate::notification::Notification;
use crate::number::{Doi, PayloadKind};
use crate::sa::SecurityAssociation;

/// Body of a payload, decoded according to its type (RFC 2408 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body<'a> {
    /// SA of the IPSEC DOI, or of DOI 0 with the same structure: proposals, transforms and attributes.
    SecurityAssociation(SecurityAssociation<'a>),
    /// SA of another DOI; the situation and the octets after it are not decoded.
    OtherDoi(Doi, &'a [u8]),
    /// Public value of a Diffie-Hellman exchange.
    KeyExchange(&'a [u8]),
    /// Identity of a peer in phase 1, or traffic selector of an SA in phase 2.
    Identification(Identification<'a>),
    /// Certificate and its encoding.
    Certificate(Certificate<'a>),
    /// Requested certificate encoding and certificate authority.
    CertificateRequest(Certificate<'a>),
    /// Output of the hash or prf over the exchange (RFC 2408 section 3.11).
    Hash(&'a [u8]),
    /// Digital signature over the exchange (RFC 2408 section 3.12).
    Signature(&'a [u8]),
    /// Nonce, 8 to 256 octets (RFC 2409 section 5).
    Nonce(&'a [u8]),
    /// Notification of an error or a status.
    Notification(Notification<'a>),
    /// SPIs of deleted SAs.
    Delete(Delete<'a>),
    /// Vendor ID, see [`identify`](crate::identify).
    VendorId(&'a [u8]),
    /// Mode config, XAUTH or Unity attributes.
    Config(Config<'a>),
    /// NAT-D: hash of an address and port (RFC 3947 section 3.2; drafts 00 to 03).
    NatDetection(&'a [u8]),
    /// NAT-OA: original address before NAT (RFC 3947 section 5.2; drafts 00 to 03).
    NatOriginalAddress(OriginalAddress<'a>),
    /// GSS-API token as sent by Windows.
    GssToken(&'a [u8]),
    /// Fragment of an IKE message.
    Fragment(Fragment<'a>),
    /// Body of a payload type that this crate does not decode.
    Other(&'a [u8]),
}

impl<'a> Body<'a> {
    /// Decodes a body that passed [`check`]; `offset` is its position in the message.
    #[inline]
    pub(crate) fn read(kind: PayloadKind, body: &'a [u8], offset: u16) -> Self {
        let view = match kind {
            PayloadKind::KEY_EXCHANGE => return Self::KeyExchange(body),
            PayloadKind::HASH => return Self::Hash(body),
            PayloadKind::SIGNATURE => return Self::Signature(body),
            PayloadKind::NONCE => return Self::Nonce(body),
            PayloadKind::VENDOR_ID => return Self::VendorId(body),
            PayloadKind::NAT_DETECTION | PayloadKind::NAT_DETECTION_DRAFT => return Self::NatDetection(body),
            PayloadKind::GSS_TOKEN => return Self::GssToken(body),
            PayloadKind::SA => association(body, offset),
            PayloadKind::ID => Identification::read(body).map(Self::Identification),
            //= RFC 2408 3.9/2
            //# MUST: certificate payloads are accepted in any message of an exchange
            PayloadKind::CERTIFICATE => Certificate::read(body).map(Self::Certificate),
            //= RFC 2408 3.10/2
            //# MUST: certificate requests are accepted in any message of an exchange
            PayloadKind::CERTIFICATE_REQUEST => Certificate::read(body).map(Self::CertificateRequest),
            PayloadKind::NOTIFICATION => Notification::read(body).map(Self::Notification),
            PayloadKind::DELETE => Delete::read(body).map(Self::Delete),
            PayloadKind::CONFIG => Config::read(body).map(Self::Config),
            PayloadKind::NAT_ORIGINAL_ADDRESS | PayloadKind::NAT_ORIGINAL_ADDRESS_DRAFT => {
                OriginalAddress::read(body).map(Self::NatOriginalAddress)
            }
            PayloadKind::FRAGMENT => Fragment::read(body).map(Self::Fragment),
            _ => None,
        };
        view.unwrap_or(Self::Other(body))
    }
}

/// Decodes an SA payload. DOI 0 does not define the structure of its situation, so that [`check`] cannot refuse such an
/// SA; it is decoded here if it has the structure of the IPSEC DOI.
fn association(body: &[u8], offset: u16) -> Option<Body<'_>> {
    let (doi, rest) = body.split_first_chunk::<4>()?;
    match Doi(u32::from_be_bytes(*doi)) {
        doi if doi == Doi::IPSEC || (doi == Doi::ISAKMP && SecurityAssociation::check(rest).is_ok()) => {
            SecurityAssociation::read(doi, rest, offset.saturating_add(4)).ok().map(Body::SecurityAssociation)
        }
        //= RFC 2408 2.1/1
        //# SHOULD: several domains of interpretation are supported at once
        doi => Some(Body::OtherDoi(doi, rest)),
    }
}

/// Validates all lengths that [`Body::read`] relies on.
#[inline]
pub(crate) fn check(kind: PayloadKind, body: &[u8]) -> Result<(), Fault> {
    let too_short = DecodeErrorKind::BodyTooShort(kind);
    let result = match kind {
        PayloadKind::VENDOR_ID | PayloadKind::KEY_EXCHANGE | PayloadKind::NONCE | PayloadKind::HASH => return Ok(()),
        PayloadKind::SA => return check_association(body),
        PayloadKind::CONFIG => return Config::check(body),
        PayloadKind::ID => Identification::read(body).ok_or(too_short).and_then(|id| id.check(kind)),
        PayloadKind::CERTIFICATE | PayloadKind::CERTIFICATE_REQUEST => {
            Certificate::read(body).ok_or(too_short).map(drop)
        }
        PayloadKind::NOTIFICATION => Notification::check(body),
        PayloadKind::DELETE => Delete::read(body).ok_or(too_short).and_then(|delete| delete.check()),
        PayloadKind::NAT_ORIGINAL_ADDRESS | PayloadKind::NAT_ORIGINAL_ADDRESS_DRAFT => {
            OriginalAddress::read(body).ok_or(too_short).and_then(|original| original.check(kind))
        }
        PayloadKind::FRAGMENT => Fragment::read(body).ok_or(too_short).and_then(|fragment| fragment.check()),
        _ => Ok(()),
    };
    result.map_err(Fault::from)
}

fn check_association(body: &[u8]) -> Result<(), Fault> {
    //= RFC 2408 3.4/2
    //# MUST: an SA payload has a domain of interpretation
    let (doi, rest) = body.split_first_chunk::<4>().ok_or(DecodeErrorKind::BodyTooShort(PayloadKind::SA))?;
    match Doi(u32::from_be_bytes(*doi)) {
        Doi::IPSEC => SecurityAssociation::check(rest).map_err(|fault| fault.shifted_by(doi.len())),
        _ => Ok(()),
    }
}
