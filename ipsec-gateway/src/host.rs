//! Services that the negotiator needs: configuration, pre-shared keys, random numbers, SPIs and Diffie-Hellman.

use std::net::{IpAddr, SocketAddr};
use std::task::Poll;

use ike_codec::{AuthMethod, Certificate, Group, Identification, ProtocolId};
use ike_v1::{
    CertificateRefusal, CertificateRequests, ClientConfig, ConfigRequest, Credentials as UserCredentials, DhError,
    DiffieHellman, Host, Identity, IpsecPolicy, IpsecTemplate, Path, Peer, PeerHint, PeerId, PolicyRefusal,
    PolicyRequest, PreSharedKey, ProposalCheck, Refused, SignedIdentity, Software, XauthAnswer, XauthRequest,
};
use ipsec_config::GeneratedPolicies;
use ipsec_engine::{Protocol, SaBackend, SaId, SpiRequest};
use ipsec_packet::{AddressRange, Instant, Selector};
use rand::{Rng, RngExt};

use crate::access::Access;
use crate::config::{Config, has_rsa_signature};
use crate::databases::Databases;
use crate::generated::{self, Generated, Owner};
use crate::hooks::Hooks;
use crate::key_exchange::KeyExchange;
use crate::log::{self, Level, Limiter};
use crate::policy::{self, KeyedPolicy, KeyedTemplate};
use crate::psk::PskFile;

/// Lowest SPI of inbound SAs; those below 256 are reserved (RFC 4303 section 2.1).
const MIN_SPI: u32 = 0x1000;
/// Highest CPI that is negotiated (RFC 3173 section 3.3).
const MAX_CPI: u32 = 61_439;

/// Returns the pre-shared key of a peer: that of the configuration or, in the file, the one of its address or identity.
/// `remote` is the address of a message of a peer without a configured one.
pub fn pre_shared_key(
    keys: &mut PskFile,
    config: &Config,
    peer: usize,
    remote: Option<IpAddr>,
) -> Option<PreSharedKey> {
    if let Some(key) = config.configuration.keys.iter().find(|key| key.peer == peer) {
        return PreSharedKey::new(&key.key).ok();
    }
    let peer = &config.peers().get(peer)?.config;
    let identity = peer.remote_identity.as_ref();
    let text = identity.map(Identity::to_string);
    let of_identity = || text.as_ref()?.parse::<IpAddr>().ok();
    let configured = peer.address.map(|address| address.ip());
    keys.key(configured.or(remote).or_else(of_identity), text.as_deref())
}

/// Returns messages about peers whose pre-shared keys, and users whose passwords, are missing.
pub fn missing_keys(config: &Config, keys: &mut PskFile) -> Vec<String> {
    let file = config.keys.as_deref().map_or("the configuration".into(), |file| file.to_string_lossy());
    let mut missing = Vec::new();
    for (index, peer) in config.peers().iter().enumerate() {
        let name = &peer.config.name;
        // The key of a peer at any address is found by its identity, or by its address when it initiates.
        let is_any = peer.config.address.is_none() && peer.config.remote_identity.is_none();
        let has_key = pre_shared_key(keys, config, index, None).is_some() || is_any && keys.has_address();
        if peer.config.needs_key() && !has_key {
            missing.push(format!("peer {name}: {file} contains no key for it"));
        }
        if peer.login.as_deref().is_some_and(|login| keys.named(login).is_none()) {
            missing.push(format!("peer {name}: {file} contains no password for its `xauth_login`"));
        }
    }
    missing
}

/// Admission of new negotiations.
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
    /// Pre-shared keys of all peers.
    pub keys: &'h mut PskFile,
    /// Users and addresses of clients.
    pub access: &'h mut Access,
    /// Databases in which SPIs are reserved.
    pub engine: &'h mut Databases,
    /// Policies that were generated for initiators.
    pub generated: &'h mut Generated,
    /// Scripts for events of phase 1.
    pub hooks: &'h mut Hooks,
    /// Admission of new negotiations by either side.
    pub admission: Admission,
    /// Limit for log lines about peers.
    pub limiter: &'h mut Limiter,
    /// Current time of the daemon's clock.
    pub now: Instant,
}

impl<'h> GatewayHost<'h> {
    /// Iterates over the policies with a peer whose SAs may be negotiated.
    fn policies_of(&self, peer: PeerId) -> impl Iterator<Item = &'h KeyedPolicy> {
        let exchange: &'h KeyExchange = self.exchange;
        exchange.policies_with(peer).filter(|_| self.admission == Admission::Open)
    }
}

impl GatewayHost<'_> {
    /// Returns the policies with a peer for messages.
    fn policies_with(&self, peer: PeerId) -> String {
        let shown: Vec<_> =
            self.policies_of(peer).map(|own| format!("{} ({})", own.id.get(), policy::show(&own.selector))).collect();
        if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
    }

    /// Returns the policy with a peer that has or contains a selector.
    fn policy_for(&self, peer: PeerId, selector: &Selector) -> Option<&'_ KeyedPolicy> {
        let of_peer = || self.policies_of(peer);
        let equal = of_peer().find(|policy| policy.selector == *selector);
        let within = || of_peer().find(|policy| policy.selector.contains(selector));
        // A peer whose policies have no protocol proposes all; the SAs are used for the packets of the policy only.
        let is_obeyed = self.exchange.peer(peer).is_some_and(|peer| peer.config.check == ProposalCheck::Obey);
        let around = || of_peer().find(|policy| is_obeyed && selector.contains(&policy.selector));
        equal.or_else(within).or_else(around)
    }

    /// Returns the number of the policy that is generated for the selectors of a peer, or was generated before.
    fn generated_policy(&mut self, peer: PeerId, request: &PolicyRequest<'_>) -> Result<u32, PolicyRefusal> {
        let is_off = self.exchange.peer(peer).is_none_or(|peer| peer.generated == GeneratedPolicies::Off);
        if is_off || self.admission == Admission::Closed {
            return Err(PolicyRefusal::NoPolicy);
        }
        let has_lease = |range: &AddressRange| self.access.has_lease(peer, request.sa, range);
        let found = if generated::is_within_bounds((self.exchange, peer), request, has_lease) {
            let user = self.access.user(request.sa).unwrap_or_default().to_vec();
            let owner = Owner { peer, identity: request.identity, user };
            self.generated.find_or_generate(self.now, (self.exchange, owner), request, self.engine)
        } else {
            let expected = "the address of the peer, the one that is assigned to it, or a range of a `sainfo`";
            Err(generated::Refused::Bounds(format!(
                "got the remote addresses {}, expected {expected}",
                request.selector.destination
            )))
        };
        found.map_err(|refused| {
            let (text, refusal) = match refused {
                generated::Refused::Bounds(text) => (text, PolicyRefusal::NoPolicy),
                generated::Refused::Taken(text) => {
                    (format!("they share packets with {text}"), PolicyRefusal::SelectorTaken)
                }
            };
            let (name, asked) = (self.exchange.name(peer), policy::show(&request.selector));
            let text = format!("peer {name}: no policy was generated for the selectors {asked}: {text}");
            self.limiter.write(self.now, "policy not generated", Level::Error, text);
            refusal
        })
    }

    /// Returns the line about values of a peer that are refused.
    fn text_of(&self, peer: PeerId, what: &Refused<'_>) -> String {
        let name = self.exchange.name(peer);
        match what {
            Refused::Identity(identity) => {
                let sent = Identity { kind: identity.kind, data: identity.data.to_vec() };
                let expected = self.exchange.peer(peer).and_then(|peer| peer.config.remote_identity.as_ref());
                let expected = expected.map_or("one host".to_owned(), |own| format!("{} {own}", own.kind));
                format!("peer {name}: got the identity {} {sent}, expected {expected}", sent.kind)
            }
            Refused::Selectors(selector) => {
                let (asked, known) = (policy::show(selector), self.policies_with(peer));
                format!("peer {name}: got the selectors {asked}, expected those of one of the policies {known}")
            }
            Refused::NotLeased(selector) => {
                let asked = policy::show(selector);
                format!("peer {name}: got the selectors {asked}, expected the address that is assigned to the client")
            }
            other => format!("peer {name}: {other:?} was refused"),
        }
    }
}

impl Host for GatewayHost<'_> {
    fn authenticated(&mut self, peer: PeerId, path: &Path, identity: &Identification<'_>) {
        if self.exchange.peer(peer).is_some_and(|peer| !peer.scripts.is_empty()) {
            self.hooks.authenticated(*path, Identity { kind: identity.kind, data: identity.data.to_vec() });
        }
    }

    fn random(&mut self, octets: &mut [u8]) {
        rand::rng().fill_bytes(octets);
    }

    fn find_peer(&self, hint: &PeerHint<'_>) -> Option<PeerId> {
        // With pre-shared keys, the peer is known by its address (RFC 2409 section 5.4); the identity is compared
        // later.
        if hint.candidate.is_some() || self.admission == Admission::Closed {
            return hint.candidate;
        }
        let peer = self.exchange.find_peer(hint.path.remote.ip())?;
        // The SAs have the addresses of phase 1, and match the policies of this peer at one address only.
        let local = self.exchange.local(peer);
        local.is_none_or(|local| local.ip() == hint.path.local.ip()).then_some(peer)
    }

    fn peer(&self, peer: PeerId) -> Option<Peer<'_>> {
        let config = &self.exchange.peer(peer)?.config;
        let identity = self.exchange.identity(peer)?;
        Some(config.peer(self.exchange.path(peer), identity.payload()))
    }

    fn pre_shared_key(&mut self, peer: PeerId, path: &Path) -> Poll<Option<PreSharedKey>> {
        let (index, remote) = (self.exchange.index(peer), Some(path.remote.ip()));
        Poll::Ready(index.and_then(|index| pre_shared_key(self.keys, &self.exchange.config, index, remote)))
    }

    fn policy(&self, policy: u32) -> Option<IpsecPolicy<'_>> {
        let generated = || self.generated.policy(policy);
        let found = self.exchange.policy(policy).or_else(generated).filter(|_| self.admission == Admission::Open)?;
        let peer = self.exchange.id(found.peer)?;
        as_ipsec_policy(found, self.access.own.narrow(peer, found.selector))
    }

    fn find_policy(&mut self, peer: PeerId, request: &PolicyRequest<'_>) -> Result<u32, PolicyRefusal> {
        if !self.access.permits(peer, request.sa, &request.selector.destination) {
            return Err(PolicyRefusal::NotLeased);
        }
        match self.policy_for(peer, &request.selector) {
            Some(found) => Ok(found.id.get()),
            None => self.generated_policy(peer, request),
        }
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

    fn sign(
        &mut self,
        peer: PeerId,
        certificate: u8,
        method: AuthMethod,
        hash: &[u8],
        signature: &mut [u8],
    ) -> Poll<Option<usize>> {
        let own = self.exchange.credentials(peer).filter(|_| has_rsa_signature(method));
        Poll::Ready(own.and_then(|own| own.sign(certificate, hash, signature)))
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
                self.limiter.write(self.now, "certificate", Level::Error, text);
            }
            kind
        }))
    }

    fn choose_certificate(&self, peer: PeerId, requests: &CertificateRequests<'_>) -> u8 {
        self.exchange.credentials(peer).map_or(0, |own| own.choose(requests.iter()))
    }

    fn certificate(&self, peer: PeerId, certificate: u8, index: usize) -> Option<Certificate<'_>> {
        self.exchange.peer(peer).filter(|peer| peer.sends_certificates)?;
        self.exchange.credentials(peer)?.certificate(certificate, index)
    }

    fn certificate_request(&self, peer: PeerId, index: usize) -> Option<Certificate<'_>> {
        self.exchange.peer(peer).filter(|peer| peer.requests_certificates)?;
        self.exchange.credentials(peer)?.request(index)
    }

    fn login(&mut self, peer: PeerId, answer: &XauthAnswer<'_>) -> Poll<bool> {
        let is_repeated = self.access.is_refused(answer.sa);
        let is_accepted = self.access.login(self.now, peer, answer);
        if is_accepted.is_pending() && !is_repeated {
            let (name, user) = (self.exchange.name(peer), answer.user.escape_ascii());
            let text = format!("peer {name}: user `{user}` was rejected: unknown name or wrong password");
            self.limiter.write(self.now, "user rejected", Level::Error, text);
        }
        is_accepted
    }

    fn credentials(&mut self, peer: PeerId, _: &XauthRequest<'_>) -> Poll<Option<UserCredentials>> {
        let login = self.exchange.peer(peer).and_then(|peer| peer.login.as_deref());
        let found = login.and_then(|login| Some((login, self.keys.named(login)?)));
        Poll::Ready(found.and_then(|(login, key)| UserCredentials::new(login.as_bytes(), key.expose()).ok()))
    }

    fn lease(&mut self, peer: PeerId, request: &ConfigRequest) -> Poll<Option<ClientConfig>> {
        let Some(pool) = self.exchange.peer(peer).and_then(|peer| peer.pool.as_ref()) else {
            return Poll::Ready(None);
        };
        let lease = self.access.lease(peer, &pool.values, request);
        let (name, sa) = (self.exchange.name(peer), request.sa);
        match lease.and_then(|lease| lease.address) {
            Some(address) => log::info(format_args!("{name} is assigned the address {address} ({sa})")),
            None => {
                let text = format!("peer {name}: no address of the pool is free");
                self.limiter.write(self.now, "no free address", Level::Error, text);
            }
        }
        Poll::Ready(lease)
    }

    fn refused(&mut self, peer: PeerId, what: &Refused<'_>) {
        let text = self.text_of(peer, what);
        self.limiter.write(self.now, "identity or selectors", Level::Error, text);
    }
}

fn as_ipsec_policy(policy: &KeyedPolicy, selector: Selector) -> Option<IpsecPolicy<'_>> {
    policy.templates.iter().try_fold(IpsecPolicy::new(policy.id.get(), selector), |policy, template| {
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
