//! Services that the negotiator needs: configuration, pre-shared keys, random numbers, SPIs and Diffie-Hellman.

use std::net::{IpAddr, SocketAddr};
use std::task::Poll;

use ike_codec::{AuthMethod, Certificate, Group, IdKind, NatTraversals, ProtocolId};
use ike_v1::{
    CertificateRefusal, ClientConfig, ConfigRequest, Credentials as UserCredentials, DhError, DiffieHellman, Host,
    IpsecPolicy, IpsecTemplate, ModeConfig, Path, Peer, PeerHint, PeerId, PreSharedKey, Refused, SignedIdentity,
    Software, XauthAnswer, XauthRequest,
};
use ipsec_engine::{Protocol, SaBackend, SaId, SpiRequest};
use ipsec_packet::{Instant, Selector};
use rand::{Rng, RngExt};

use crate::access::Access;
use crate::config::{Config, Identity, ModeConfigUse, NatUse, PeerConfig, has_rsa_signature};
use crate::credentials::Credentials;
use crate::log::{self, Level, Limiter};
use crate::policy::{self, Databases, KeyedPolicy, KeyedTemplate};
use crate::psk::PskFile;

/// Lowest SPI of inbound SAs; those below 256 are reserved (RFC 4303 section 2.1).
const MIN_SPI: u32 = 0x1000;
/// Highest CPI that is negotiated (RFC 3173 section 3.3).
const MAX_CPI: u32 = 61_439;

/// Configuration of key exchange, which does not change while the daemon runs.
pub struct KeyExchange {
    /// Configuration of the gateway.
    pub config: Config,
    /// Policies whose SAs are negotiated.
    pub policies: Vec<KeyedPolicy>,
    /// Address and port of this host for each peer; `None` for a peer at any address whose policies name none.
    locals: Vec<Option<SocketAddr>>,
    /// Identity of this host for each peer.
    identities: Vec<Identity>,
    /// Certificates for each peer.
    credentials: Vec<Credentials>,
}

impl KeyExchange {
    /// Determines the address and the identity of this host for each peer. The address is that of the policies or, if
    /// they name none, the first one of the address family; the identity is the configured one, or the address.
    ///
    /// # Errors
    /// The message about a peer for whose address family this host has no address, or about a file of certificates.
    pub fn new(config: Config, policies: Vec<KeyedPolicy>) -> Result<Self, String> {
        let mut locals = Vec::new();
        let (mut identities, mut credentials) = (Vec::new(), Vec::new());
        for (index, peer) in config.peers.iter().enumerate() {
            let named = policies.iter().filter(|policy| policy.peer == index).find_map(|policy| policy.local);
            let of_policies = named.and_then(|named| config.locals.iter().copied().find(|own| own.ip() == named));
            let local = of_policies.or_else(|| config.local_for(peer.address?.ip()));
            let missing = || format!("peer {}: no `local` address has the address family of the peer", peer.name);
            let first = config.locals.first().copied().filter(|_| peer.address.is_none());
            let address = local.or(first).ok_or_else(missing)?.ip();
            let expected = peer.peers_identity.as_ref().map(Identity::payload);
            let own = Credentials::load(&peer.certificates, expected.as_ref())?;
            identities.push(match &peer.identity {
                Some(identity) if identity.kind == IdKind::DER_ASN1_DN => {
                    let missing = || format!("peer {}: no certificate has a subject for the identity", peer.name);
                    let subject = own.subject().ok_or_else(missing)?;
                    Identity { kind: subject.kind, data: subject.data.to_vec() }
                }
                Some(identity) => identity.clone(),
                None => Identity::address(address),
            });
            credentials.push(own);
            locals.push(local);
        }
        Ok(Self { config, policies, locals, identities, credentials })
    }

    /// Returns the configuration of a peer.
    pub fn peer(&self, peer: PeerId) -> Option<&PeerConfig> {
        self.config.peers.get(usize::from(peer.0))
    }

    /// Returns the name of a peer for messages.
    pub fn name(&self, peer: PeerId) -> &str {
        self.peer(peer).map_or("unknown", |peer| peer.name.as_str())
    }

    /// Returns whether a peer is configured with this address.
    pub fn has_peer_at(&self, address: IpAddr) -> bool {
        self.config.peers.iter().any(|peer| peer.address.is_some_and(|own| own.ip() == address))
    }

    /// Returns the policy with this number in the SPD.
    pub fn policy(&self, number: u32) -> Option<&KeyedPolicy> {
        self.policies.iter().find(|policy| policy.id.get() == number)
    }

    /// Returns addresses and ports for phase 1 as initiator.
    fn path(&self, peer: PeerId) -> Option<Path> {
        let config = self.peer(peer).filter(|config| config.can_initiate())?;
        Some(Path { local: self.local(peer)?, remote: config.address? })
    }

    /// Returns the certificates for a peer.
    fn credentials(&self, peer: PeerId) -> Option<&Credentials> {
        self.credentials.get(usize::from(peer.0))
    }

    /// Returns the address and port of this host for a peer; `None` if every local address is one for the peer.
    fn local(&self, peer: PeerId) -> Option<SocketAddr> {
        self.locals.get(usize::from(peer.0)).copied().flatten()
    }
}

/// Returns the pre-shared key of a peer. Its address and its identity are the identifiers in the file; `remote` is the
/// address of a message of a peer without a configured one.
pub fn pre_shared_key(keys: &mut PskFile, peer: &PeerConfig, remote: Option<IpAddr>) -> Option<PreSharedKey> {
    let identity = peer.peers_identity.as_ref();
    let text = identity.map(Identity::to_string);
    let of_identity = || text.as_ref()?.parse::<IpAddr>().ok();
    let configured = peer.address.map(|address| address.ip());
    keys.key(configured.or(remote).or_else(of_identity), text.as_deref())
}

/// Admission of negotiations that do not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Both sides may begin a negotiation.
    Open,
    /// The daemon stops: neither side may begin a negotiation.
    Closed,
}

/// Environment of the negotiator for one call.
pub struct GatewayHost<'h> {
    /// Configuration of key exchange.
    pub exchange: &'h KeyExchange,
    /// Pre-shared keys.
    pub keys: &'h mut PskFile,
    /// Users and addresses of clients.
    pub access: &'h mut Access,
    /// Databases in which SPIs are reserved.
    pub engine: &'h mut Databases,
    /// Admission of negotiations.
    pub admission: Admission,
    /// Limit for lines about peers.
    pub limiter: &'h mut Limiter,
    /// Current time.
    pub now: Instant,
}

impl<'h> GatewayHost<'h> {
    /// Returns the policies whose SAs may be negotiated.
    fn policies(&self) -> &'h [KeyedPolicy] {
        match self.admission {
            Admission::Open => &self.exchange.policies,
            Admission::Closed => &[],
        }
    }
}

impl GatewayHost<'_> {
    /// Returns the policies with a peer for messages.
    fn policies_with(&self, peer: PeerId) -> String {
        let of_peer = self.policies().iter().filter(|policy| policy.peer == usize::from(peer.0));
        let shown: Vec<_> = of_peer.map(|own| format!("{} ({})", own.id.get(), policy::show(&own.selector))).collect();
        if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
    }

    /// Returns the line about values of a peer that are refused.
    fn text_of(&self, peer: PeerId, what: &Refused<'_>) -> String {
        let name = self.exchange.name(peer);
        match what {
            Refused::Identity(identity) => {
                let sent = Identity { kind: identity.kind, data: identity.data.to_vec() };
                let expected = self.exchange.peer(peer).and_then(|peer| peer.peers_identity.as_ref());
                let expected = expected.map_or("one host".to_owned(), |own| format!("{} {own}", own.kind));
                format!("peer {name}: got the identity {} {sent}, expected {expected}", sent.kind)
            }
            Refused::Selectors(selector) => {
                let (asked, known) = (policy::show(selector), self.policies_with(peer));
                format!("peer {name}: got the selectors {asked}, expected those of one of the policies {known}")
            }
            other => format!("peer {name}: {other:?} was refused"),
        }
    }
}

impl Host for GatewayHost<'_> {
    fn random(&mut self, octets: &mut [u8]) {
        rand::rng().fill_bytes(octets);
    }

    fn find_peer(&self, hint: &PeerHint<'_>) -> Option<PeerId> {
        // With pre-shared keys, the peer is known by its address (RFC 2409 section 5.4); the identity is compared
        // later.
        if hint.candidate.is_some() || self.admission == Admission::Closed {
            return hint.candidate;
        }
        let (peer, _) = policy::find_peer(&self.exchange.config, Some(hint.path.remote.ip()))?;
        let peer = u16::try_from(peer).ok().map(PeerId)?;
        // The SAs have the addresses of phase 1, and match the policies of this peer at one address only.
        let local = self.exchange.local(peer);
        local.is_none_or(|local| local.ip() == hint.path.local.ip()).then_some(peer)
    }

    fn peer(&self, peer: PeerId) -> Option<Peer<'_>> {
        let config = self.exchange.peer(peer)?;
        Some(Peer {
            path: self.exchange.path(peer),
            remote_identity: config.peers_identity.as_ref().map(Identity::payload),
            check: config.check,
            exchanges: &config.exchanges,
            nat_traversal: if config.nat_traversal == NatUse::Off { NatTraversals::NONE } else { Peer::NAT_TRAVERSAL },
            forces_nat_traversal: config.nat_traversal == NatUse::Force,
            dead_peer_detection: Some(config.dead_peer_detection).filter(|detection| !detection.delay.is_zero()),
            mode_config: match config.mode_config {
                ModeConfigUse::Off => None,
                ModeConfigUse::Request => Some(ModeConfig::Request),
                ModeConfigUse::Pool(_) => Some(ModeConfig::Answer),
            },
            ..Peer::new(self.exchange.identities.get(usize::from(peer.0))?.payload(), &config.proposals)
        })
    }

    fn pre_shared_key(&mut self, peer: PeerId, path: &Path) -> Poll<Option<PreSharedKey>> {
        let peer = self.exchange.peer(peer);
        Poll::Ready(peer.and_then(|peer| pre_shared_key(self.keys, peer, Some(path.remote.ip()))))
    }

    fn policy(&self, policy: u32) -> Option<IpsecPolicy<'_>> {
        self.policies().iter().find(|own| own.id.get() == policy).and_then(as_ipsec_policy)
    }

    fn find_policy(&self, peer: PeerId, selector: &Selector) -> Option<IpsecPolicy<'_>> {
        let of_peer = || self.policies().iter().filter(|policy| policy.peer == usize::from(peer.0));
        let equal = of_peer().find(|policy| policy.selector == *selector);
        equal.or_else(|| of_peer().find(|policy| policy.selector.contains(selector))).and_then(as_ipsec_policy)
    }

    fn reserve_spi(&mut self, protocol: ProtocolId, path: &Path) -> Poll<Option<u32>> {
        let (protocol, max) = match protocol {
            ProtocolId::ESP => (Protocol::Esp, u32::MAX),
            ProtocolId::AH => (Protocol::Ah, u32::MAX),
            ProtocolId::IPCOMP => (Protocol::Ipcomp, MAX_CPI),
            _ => return Poll::Ready(None),
        };
        let (source, destination) = (path.remote.ip(), path.local.ip());
        let random = rand::rng().random();
        let request = SpiRequest { source, destination, protocol, min: MIN_SPI, max, random };
        Poll::Ready(self.engine.get_spi(&request, self.now).ok().flatten())
    }

    fn release_spi(&mut self, protocol: ProtocolId, path: &Path, spi: u32) {
        let is_it = |own: &Protocol| policy::protocol_id(*own) == protocol;
        if let Some(protocol) = [Protocol::Esp, Protocol::Ah, Protocol::Ipcomp].into_iter().find(is_it) {
            self.engine.remove(&SaId::inbound(path.local.ip(), protocol, spi), path.remote.ip());
        }
    }

    fn public(&mut self, group: Group, private: &[u8], public: &mut [u8]) -> Poll<Result<(), DhError>> {
        Poll::Ready(Software.public(group, private, public))
    }

    fn shared(&mut self, group: Group, private: &[u8], public: &[u8], shared: &mut [u8]) -> Poll<Result<(), DhError>> {
        Poll::Ready(Software.shared(group, private, public, shared))
    }

    fn sign(&mut self, peer: PeerId, method: AuthMethod, hash: &[u8], signature: &mut [u8]) -> Poll<Option<usize>> {
        let own = self.exchange.credentials(peer).filter(|_| has_rsa_signature(method));
        Poll::Ready(own.and_then(|own| own.sign(hash, signature)))
    }

    fn verify(
        &mut self,
        peer: PeerId,
        method: AuthMethod,
        signed: &SignedIdentity<'_>,
    ) -> Poll<Result<(), CertificateRefusal>> {
        let credentials = self.exchange.credentials(peer).filter(|_| has_rsa_signature(method));
        let verified = credentials.map_or(Err((CertificateRefusal::Unsupported, None)), |credentials| {
            credentials.verify(signed).map_err(|(kind, text)| (kind, Some(text)))
        });
        Poll::Ready(verified.map_err(|(kind, text)| {
            if let Some(text) = text {
                let text = format!("peer {}: {text}", self.exchange.name(peer));
                self.limiter.write(self.now, Level::Error, text);
            }
            kind
        }))
    }

    fn certificate(&self, peer: PeerId, index: usize) -> Option<Certificate<'_>> {
        self.exchange.credentials(peer)?.certificate(index)
    }

    fn certificate_request(&self, peer: PeerId, index: usize) -> Option<Certificate<'_>> {
        self.exchange.credentials(peer)?.request(index)
    }

    fn login(&mut self, peer: PeerId, answer: &XauthAnswer<'_>) -> Poll<bool> {
        let is_accepted = self.access.login(peer, answer);
        if !is_accepted {
            let (name, user) = (self.exchange.name(peer), answer.user.escape_ascii());
            let text = format!("peer {name}: user `{user}` was rejected: unknown name or wrong password");
            self.limiter.write(self.now, Level::Error, text);
        }
        Poll::Ready(is_accepted)
    }

    fn credentials(&mut self, peer: PeerId, _: &XauthRequest<'_>) -> Poll<Option<UserCredentials>> {
        let login = self.exchange.peer(peer).and_then(|peer| peer.login.as_deref());
        let found = login.and_then(|login| Some((login, self.keys.named(login)?)));
        Poll::Ready(found.and_then(|(login, key)| UserCredentials::new(login.as_bytes(), key.expose()).ok()))
    }

    fn lease(&mut self, peer: PeerId, request: &ConfigRequest) -> Poll<Option<ClientConfig>> {
        let Some(ModeConfigUse::Pool(pool)) = self.exchange.peer(peer).map(|peer| &peer.mode_config) else {
            return Poll::Ready(None);
        };
        let lease = self.access.lease(peer, &pool.values, request);
        let (name, sa) = (self.exchange.name(peer), request.sa);
        match lease.and_then(|lease| lease.address) {
            Some(address) => log::info(format_args!("{name} is assigned the address {address} ({sa})")),
            None => {
                let text = format!("peer {name}: no address of the pool is free");
                self.limiter.write(self.now, Level::Error, text);
            }
        }
        Poll::Ready(lease)
    }

    fn refused(&mut self, peer: PeerId, what: &Refused<'_>) {
        let text = self.text_of(peer, what);
        self.limiter.write(self.now, Level::Error, text);
    }
}

fn as_ipsec_policy(policy: &KeyedPolicy) -> Option<IpsecPolicy<'_>> {
    policy.templates.iter().try_fold(IpsecPolicy::new(policy.id.get(), policy.selector), |policy, template| {
        let &KeyedTemplate { protocol, mode, reqid, inbound_reqid, ref proposals } = template;
        policy.with(IpsecTemplate { protocol, mode, reqid, inbound_reqid, proposals })
    })
}

/// Returns an address with its port in the format of racoon: `192.0.2.1[500]`.
pub fn show(address: SocketAddr) -> String {
    format!("{}[{}]", address.ip(), address.port())
}

#[cfg(test)]
mod tests;
