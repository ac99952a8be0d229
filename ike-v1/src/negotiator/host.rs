use core::task::Poll;

use ike_codec::{AuthMethod, Certificate, ExchangeKind, Group, Identification, ProtocolId};
use ipsec_crypto::Secret;
use ipsec_packet::Selector;

use super::{
    CertificateRefusal, ClientConfig, ConfigRequest, Credentials, IpsecPolicy, Path, Peer, PeerId, SignedIdentity,
    XauthAnswer, XauthRequest,
};
use crate::DhError;

/// Pre-shared key of a peer, at most 256 octets.
pub type PreSharedKey = Secret<256>;

/// Services that the negotiator needs from its environment: configuration, secrets, random numbers, SPIs, and the
/// Diffie-Hellman computations. None of them processes messages.
///
/// A host may answer some questions later, with [`Poll::Pending`]. The exchange then waits with its message, and asks
/// the same question with the same values in [`Negotiator::resume`](super::Negotiator::resume). A host recognises the
/// question by its values, and keeps its answer until it is asked again, or until the exchange lifetime is over. A
/// pre-shared key that was returned may be asked for again.
pub trait Host {
    /// Fills `octets` with random octets from a cryptographically secure source.
    fn random(&mut self, octets: &mut [u8]);

    /// Returns the peer that a message of phase 1 belongs to, `None` if no peer is configured for it. The question is
    /// asked for the first message, which has no identity in main mode, and again when the identity is authenticated: the
    /// answer may change to a peer with the same key.
    fn find_peer(&self, hint: &PeerHint<'_>) -> Option<PeerId>;

    /// Returns the configuration of a peer, `None` if it has been removed.
    fn peer(&self, peer: PeerId) -> Option<Peer<'_>>;

    /// Returns the pre-shared key of a peer at this address, `None` if there is none (RFC 2409 section 5.4).
    fn pre_shared_key(&mut self, peer: PeerId, path: &Path) -> Poll<Option<PreSharedKey>>;

    /// Returns the policy with this number, which the caller has passed for a quick mode of this host, or which
    /// [`find_policy`](Self::find_policy) has returned.
    fn policy(&self, policy: u32) -> Option<IpsecPolicy<'_>>;

    /// Returns the policy for the selectors that a peer proposes (RFC 2409 section 5.5), which are those of outbound
    /// packets. Returns `None` if no policy with this peer has or contains them.
    fn find_policy(&self, peer: PeerId, selector: &Selector) -> Option<IpsecPolicy<'_>>;

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

    /// Signs HASH_I or HASH_R of this host for a peer by an authentication method: for RSA the signature of PKCS #1
    /// without a DigestInfo (RFC 2409 section 5.1). Writes the signature to the beginning of `signature` and returns
    /// its length, `None` if there is no private key for the peer or no space.
    fn sign(&mut self, peer: PeerId, method: AuthMethod, hash: &[u8], signature: &mut [u8]) -> Poll<Option<usize>> {
        let _ = (peer, method, hash, signature);
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

    /// Returns a certificate of this host that is sent to a peer, by its position: the first one is that of the key,
    /// those of its issuers follow. At most four are sent.
    fn certificate(&self, peer: PeerId, index: usize) -> Option<Certificate<'_>> {
        let _ = (peer, index);
        None
    }

    /// Returns a request for a certificate of a peer, by its position: the name of an authority. At most four are sent.
    fn certificate_request(&self, peer: PeerId, index: usize) -> Option<Certificate<'_>> {
        let _ = (peer, index);
        None
    }

    /// Returns whether the name and password of a user are valid. A server asks this once for each phase 1 with a client
    /// (draft-beaulieu-ike-xauth-02). Without an implementation, all users are rejected.
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

    /// Receives values of a peer that are refused, to be shown to the operator. An event with the reason follows.
    fn refused(&mut self, peer: PeerId, what: &Refused<'_>) {
        let _ = (peer, what);
    }
}

/// Values of an authenticated peer that are refused, for the operator: a [`Refusal`](super::Refusal) contains numbers
/// only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused<'a> {
    /// Identity that is not the configured one.
    Identity(Identification<'a>),
    /// Selectors of outbound packets that no policy has or contains.
    Selectors(Selector),
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
