//! Proof of identity in phase 1: a hash with a key that both ends have, or a signature over it (RFC 2409 sections 5.1
//! and 5.4).

use core::fmt;

use ike_codec::{Body, Certificate, Identification, MessageWriter, NoSpace, PayloadKind, Payloads};
use ipsec_crypto::PrfOutput;

use super::features::SIGNATURES;
use super::inbound::{Authentic, Opened};
use super::scratch::{Span, Stored};
use super::step::{Claim, Step};
use super::suspend::{Stop, answered};
use super::{Host, PeerId, Refusal};
use crate::Phase1Choice;

/// Signature of a peer in phase 1, for the host to verify (RFC 2409 section 5.1).
#[derive(Clone, Copy, Debug)]
pub struct SignedIdentity<'a> {
    /// Identity that the peer claims.
    pub identity: Identification<'a>,
    /// HASH_I or HASH_R: the octets that are signed, without a DigestInfo.
    pub hash: &'a [u8],
    /// Body of the signature payload.
    pub signature: &'a [u8],
    payloads: &'a Payloads<'a>,
}

impl<'a> SignedIdentity<'a> {
    /// Iterates over the certificates of the message in their order.
    pub fn certificates(&self) -> impl Iterator<Item = Certificate<'a>> + use<'a> {
        self.payloads.clone().filter_map(|payload| match payload.view() {
            Body::Certificate(certificate) => Some(certificate),
            _ => None,
        })
    }
}

/// Certificate requests of a message: the authorities whose certificates the peer would like to have (RFC 2408 section
/// 3.10).
#[derive(Clone, Copy, Debug)]
pub struct CertificateRequests<'a>(pub(crate) &'a Payloads<'a>);

impl<'a> CertificateRequests<'a> {
    /// Iterates over the requests in their order. The name of an authority may be empty, for any.
    pub fn iter(&self) -> impl Iterator<Item = Certificate<'a>> + use<'a> {
        self.0.clone().filter_map(|payload| match payload.view() {
            Body::CertificateRequest(request) => Some(request),
            _ => None,
        })
    }
}

/// Reason why a host refuses the signature of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateRefusal {
    /// No certificate of the identity is in the message or configured.
    Missing,
    /// A certificate cannot be decoded, or has an extension or algorithm that is not supported.
    Malformed,
    /// No certification path leads to a trusted CA.
    Untrusted,
    /// A certificate is not valid at this time.
    Validity,
    /// A certificate is revoked, or its revocation list is not valid.
    Revoked,
    /// A certificate must not be used for this purpose.
    Usage,
    /// The identity is not one of those in the certificate.
    Identity,
    /// The signature over the hash does not verify with the key.
    Signature,
    /// Signatures are not supported.
    Unsupported,
}

impl fmt::Display for CertificateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "no certificate was received or configured",
            Self::Malformed => "certificate is malformed or not supported",
            Self::Untrusted => "no trusted authority has issued the certificate",
            Self::Validity => "certificate is expired or not valid yet",
            Self::Revoked => "certificate is revoked",
            Self::Usage => "certificate must not be used for signatures of IKE",
            Self::Identity => "identity is not in the certificate",
            Self::Signature => "signature verification failed",
            Self::Unsupported => "signatures are not supported",
        })
    }
}

impl core::error::Error for CertificateRefusal {}

/// Proof of this host.
pub(crate) enum OwnProof {
    Hash(PrfOutput),
    /// Signature, and the number of the certificate of its key.
    Signature(Span, u8),
}

/// Computes the proof of this host.
pub(crate) fn own(step: &mut Step<'_>, peer: PeerId, choice: &Phase1Choice, hash: PrfOutput) -> Result<OwnProof, Stop> {
    if !SIGNATURES || !step.authentication(choice)?.signs(step.state.role) {
        //= RFC 2408 5.11/1
        //# MUST: sending: hash function and use of its data are determined
        return Ok(OwnProof::Hash(hash));
    }
    //= RFC 2408 1.5.3/2, 5.12/1
    //# MUST: a digital signature algorithm is used to authenticate
    //# MUST: sending: signature function and use of its data are determined
    //= RFC 2409 4/15
    //# SHOULD: dss and rsa signatures are supported
    // The number is one of the certificates for the peer that had sent the request.
    let credential = if peer == step.state.peer { step.credential } else { 0 };
    let Step { scratch, host, .. } = step;
    let signature = scratch.store_with(|free, _| {
        let signed = answered(host.sign(peer, credential, choice.auth_method, hash.expose(), free))?;
        Ok::<usize, Stop>(signed.ok_or(Refusal::NoCredential)?)
    })?;
    Ok(OwnProof::Signature(signature, credential))
}

/// Writes the certificates of this host and its signature, or its hash.
pub(crate) fn write(
    writer: &mut MessageWriter<'_>,
    (host, peer): (&dyn Host, PeerId),
    stored: Stored<'_>,
    proof: &OwnProof,
) -> Result<(), NoSpace> {
    match proof {
        OwnProof::Hash(hash) => writer.bytes(PayloadKind::HASH, hash.expose()).map(drop),
        OwnProof::Signature(signature, credential) => {
            let certificates = (0..MAX_CERTIFICATES).map_while(|index| host.certificate(peer, *credential, index));
            for certificate in certificates {
                writer.payload(PayloadKind::CERTIFICATE, |body| certificate.write(body))?;
            }
            writer.bytes(PayloadKind::SIGNATURE, stored.get(*signature)).map(drop)
        }
    }
}

/// Writes requests for certificates, if the peer is to sign.
pub(crate) fn write_requests(
    writer: &mut MessageWriter<'_>,
    (host, peer): (&dyn Host, PeerId),
    is_signed: bool,
) -> Result<(), NoSpace> {
    //= RFC 2408 5.10/1
    //# MUST: sending: encoding and authority to ask for are determined
    //= RFC 2409 5/9
    //# MUST NOT: a certificate request does not add messages to the exchange
    let requests = (0..MAX_CERTIFICATES).map_while(|index| host.certificate_request(peer, index));
    for request in requests.filter(|_| SIGNATURES && is_signed) {
        writer.payload(PayloadKind::CERTIFICATE_REQUEST, |body| request.write(body))?;
    }
    Ok(())
}

/// Largest number of certificates, and of requests, in a message of this host.
const MAX_CERTIFICATES: usize = 4;

/// Verifies the proof of the peer, whose hash this is.
pub(crate) fn verify<'m>(
    host: &mut dyn Host,
    claim: &Claim<'_>,
    message: Opened<'m>,
    hash: &PrfOutput,
) -> Result<Authentic<'m>, Stop> {
    if !SIGNATURES || !claim.is_signed {
        return Ok(message.authenticate(hash)?);
    }
    //= RFC 2408 5.12/3, 5.12/4
    //# MUST: receiving: a message of a signature that is not supported is discarded
    //# MUST: receiving: the signature is verified, and the message discarded if it is wrong
    // A signature is verified by the authorities of the peer that has the identity.
    let peer = match claim.initiated {
        Some(peer) => peer,
        None => claim.find_peer(host)?,
    };
    let signature = message.unverified().signature()?;
    let payloads = message.unverified().payloads();
    let signed = SignedIdentity { identity: claim.id, hash: hash.expose(), signature, payloads: &payloads };
    match answered(host.verify(peer, claim.method, &signed))? {
        Ok(()) => Ok(message.signed()),
        Err(why) => Err(Refusal::Certificate(why).into()),
    }
}
