use core::fmt;
use core::task::Poll;

use ike_codec::{
    AuthMethod, Certificate, EncapsulationMode, ExchangeKind, Group, Identification, IpsecAttributes, ProtocolId,
    SecurityAssociation,
};
use ipsec_crypto::Secret;
use ipsec_packet::Selector;

use super::{
    CertificateRefusal, CertificateRequests, ClientConfig, ConfigRequest, Credentials, IpsecPolicy, IsakmpSaId, Path,
    Peer, PeerId, Refusal, SignedIdentity, XauthAnswer, XauthRequest,
};
use crate::DhError;

/// Pre-shared key of a peer, at most 256 octets.
pub type PreSharedKey = Secret<256>;

/// Services that the negotiator needs from its environment: configuration, secrets, random numbers, SPIs, and the
/// Diffie-Hellman computations. None of them processes messages.
///
/// A host may answer some queries later, with [`Poll::Pending`]. The exchange then waits with its message, and repeats
/// the query with the same values in [`Negotiator::resume`](super::Negotiator::resume). A host recognises the
/// query by its values, and keeps its answer until the query is repeated, or until the exchange lifetime is over. A
/// pre-shared key that was returned may be requested again. Without the feature `suspension`, `Poll::Pending` is a
/// failure.
pub trait Host {
    /// Fills `octets` with random octets from a cryptographically secure source.
    fn random(&mut self, octets: &mut [u8]);

    /// Returns the peer that sent a message of phase 1, `None` if no peer is configured for it. It is called
    /// for the first message, which has no identity in main mode, and again when the identity is authenticated: the
    /// answer may change to a peer with the same key.
    fn find_peer(&self, hint: &PeerHint<'_>) -> Option<PeerId>;

    /// Returns the configuration of a peer, `None` if it has been removed.
    fn peer(&self, peer: PeerId) -> Option<Peer<'_>>;

    /// Returns the pre-shared key of a peer at this address, `None` if there is none (RFC 2409 section 5.4).
    fn pre_shared_key(&mut self, peer: PeerId, path: &Path) -> Poll<Option<PreSharedKey>>;

    /// Returns the policy with this number, which the caller has passed for a quick mode of this host, or which
    /// [`find_policy`](Self::find_policy) has returned.
    fn policy(&self, policy: u32) -> Option<IpsecPolicy<'_>>;

    /// Returns the number of the policy for the selectors that a peer proposes (RFC 2409 section 5.5). A host may
    /// generate one for them; [`policy`](Self::policy) then returns it until the SAs of the quick mode no longer exist,
    /// or the exchange lifetime is over. If an address was assigned to the client in the ISAKMP SA, the selectors are
    /// for that address.
    ///
    /// # Errors
    /// [`PolicyRefusal`], of which the peer is notified.
    fn find_policy(&mut self, peer: PeerId, request: &PolicyRequest<'_>) -> Result<u32, PolicyRefusal>;

    /// Reserves an SPI for an inbound SA, 256 or above; the SA is larval until its event `InboundReady`. Returns
    /// `None` if no SPI is available.
    fn reserve_spi(&mut self, protocol: ProtocolId, path: &Path) -> Poll<Option<u32>>;

    /// Releases an SPI that was reserved for an SA that could not be negotiated.
    fn release_spi(&mut self, protocol: ProtocolId, path: &Path, spi: u32);

    /// Computes the public value of a private value, as [`DiffieHellman::public`](crate::DiffieHellman::public).
    ///
    /// # Errors
    /// [`DhError`].
    fn public(&mut self, group: Group, private: &[u8], public: &mut [u8]) -> Poll<Result<(), DhError>>;

    /// Computes the shared secret, as [`DiffieHellman::shared`](crate::DiffieHellman::shared).
    ///
    /// # Errors
    /// [`DhError`].
    fn shared(&mut self, group: Group, private: &[u8], public: &[u8], shared: &mut [u8]) -> Poll<Result<(), DhError>>;

    /// Returns the number of the certificate of this host for a peer that has sent certificate requests (RFC 2408
    /// section 3.10). Without an implementation, and without requests, it is 0: the certificate with this number is
    /// sent whether it was requested or not, as peers may know its authority without a request for it.
    fn choose_certificate(&self, peer: PeerId, requests: &CertificateRequests<'_>) -> u8 {
        let _ = (peer, requests);
        0
    }

    /// Signs HASH_I or HASH_R of this host with the key of a certificate for a peer by an authentication method: for
    /// RSA the signature of PKCS #1 without a DigestInfo (RFC 2409 section 5.1). Writes the signature to the beginning
    /// of `signature`. Returns its length; `None` if there is no private key for the peer or no space.
    fn sign(
        &mut self,
        peer: PeerId,
        certificate: u8,
        method: AuthMethod,
        hash: &[u8],
        signature: &mut [u8],
    ) -> Poll<Option<usize>> {
        let _ = (peer, certificate, method, hash, signature);
        Poll::Ready(None)
    }

    /// Verifies the signature of a peer, and that its certificate is valid for its identity (RFC 2409 section 5.1).
    ///
    /// # Errors
    /// [`CertificateRefusal`].
    fn verify(
        &mut self,
        peer: PeerId,
        method: AuthMethod,
        signed: &SignedIdentity<'_>,
    ) -> Poll<Result<(), CertificateRefusal>> {
        let _ = (peer, method, signed);
        Poll::Ready(Err(CertificateRefusal::Unsupported))
    }

    /// Returns a certificate that is sent to a peer with the signature of the key of a certificate of this host, by its
    /// position: the first one is that of the key, those of its issuers follow. At most four are sent.
    fn certificate(&self, peer: PeerId, certificate: u8, index: usize) -> Option<Certificate<'_>> {
        let _ = (peer, certificate, index);
        None
    }

    /// Returns a request for a certificate of a peer, by its position: the name of an authority. At most four are sent.
    fn certificate_request(&self, peer: PeerId, index: usize) -> Option<Certificate<'_>> {
        let _ = (peer, index);
        None
    }

    /// Returns whether the name and password of a user are valid. A server calls this once for each phase 1 with a
    /// client (draft-beaulieu-ike-xauth-02). Without an implementation, all users are rejected.
    fn login(&mut self, peer: PeerId, answer: &XauthAnswer<'_>) -> Poll<bool> {
        let _ = (peer, answer);
        Poll::Ready(false)
    }

    /// Returns the credentials of the user of this host, `None` if there are none for the server. Without an
    /// implementation, there are none.
    fn credentials(&mut self, peer: PeerId, request: &XauthRequest<'_>) -> Poll<Option<Credentials>> {
        let _ = (peer, request);
        Poll::Ready(None)
    }

    /// Returns the configuration of a client, `None` if there is none (draft-dukes-ike-mode-cfg-02). Without an
    /// implementation, there is none.
    fn lease(&mut self, peer: PeerId, request: &ConfigRequest) -> Poll<Option<ClientConfig>> {
        let _ = (peer, request);
        Poll::Ready(None)
    }

    /// Receives the authenticated identity of a peer, with the addresses and ports of the ISAKMP SA. The event
    /// `Phase1Up` follows, unless the SA cannot be established.
    fn authenticated(&mut self, peer: PeerId, path: &Path, identity: &Identification<'_>) {
        let _ = (peer, path, identity);
    }

    /// Receives values of a peer that are refused, to be shown to the operator. An event with the reason follows.
    fn refused(&mut self, peer: PeerId, what: &Refused<'_>) {
        let _ = (peer, what);
    }
}

/// Reason why a host has no policy for the selectors of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyRefusal {
    /// No policy with the peer has or contains the selectors.
    NoPolicy,
    /// The selectors are for addresses that are assigned to clients, and not to this one.
    NotLeased,
    /// The selectors share packets with a policy of another peer or client.
    SelectorTaken,
}

/// Proposed SAs for which a host is to find a policy. The peer is authenticated.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PolicyRequest<'a> {
    /// ISAKMP SA of the quick mode.
    pub sa: IsakmpSaId,
    /// Addresses and ports of the message.
    pub path: Path,
    /// Digest of the identity of the peer in phase 1, which distinguishes the clients that have one configuration.
    pub identity: u64,
    /// Selectors of outbound packets.
    pub selector: Selector,
    /// Proposals of the peer.
    pub offer: SecurityAssociation<'a>,
}

impl PolicyRequest<'_> {
    /// Iterates over the protocols of the first proposal, in the order in which they are applied, and the encapsulation
    /// modes of their first transforms. The mode is `None` for a transform without one, or with attributes that cannot
    /// be read.
    pub fn bundle(&self) -> impl Iterator<Item = (ProtocolId, Option<EncapsulationMode>)> {
        let first = self.offer.proposals().next().map(|proposal| proposal.number);
        self.offer.proposals().take_while(move |proposal| Some(proposal.number) == first).map(|proposal| {
            let transform = proposal.transforms().next();
            let attributes = transform.and_then(|first| IpsecAttributes::read(&first.attributes).ok());
            (proposal.protocol, attributes.and_then(|attributes| attributes.encapsulation))
        })
    }
}

impl fmt::Display for PolicyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Refusal::from(*self).fmt(f)
    }
}

impl core::error::Error for PolicyRefusal {}

impl From<PolicyRefusal> for Refusal {
    fn from(refusal: PolicyRefusal) -> Self {
        match refusal {
            PolicyRefusal::NoPolicy => Self::NoPolicy,
            PolicyRefusal::NotLeased => Self::NotLeased,
            PolicyRefusal::SelectorTaken => Self::SelectorTaken,
        }
    }
}

/// Values of an authenticated peer that are refused, for the operator: a [`Refusal`](super::Refusal) contains numbers
/// only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused<'a> {
    /// Identity that differs from the configured one.
    Identity(Identification<'a>),
    /// Selectors of outbound packets that no policy has or contains.
    Selectors(Selector),
    /// Selectors of outbound packets to another address than the one that is assigned to the client.
    NotLeased(Selector),
}

/// Known properties of the sender of a message of phase 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerHint<'a> {
    /// Addresses and ports of the message.
    pub path: Path,
    /// Exchange of the message.
    pub exchange: ExchangeKind,
    /// Peer that was found before the identity was known.
    pub candidate: Option<PeerId>,
    /// Identity of the peer, `None` before it is known. It is claimed in the first message of aggressive and base mode,
    /// and authenticated, or about to be, if there is a candidate.
    pub identity: Option<Identification<'a>>,
}
