//! Endpoint of a test: a negotiator, its configuration, and the SAs that it has to install.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use ike_codec::{
    AuthMethod, Certificate, CertificateEncoding, EncapsulationMode, ExchangeKind, Group, IdKind, Identification,
    Lifetimes, NatTraversals, ProtocolId,
};
use ike_v1::{
    CertificateRefusal, CertificateRequests, ClientConfig, ConfigRequest, Credentials, DeadPeerDetection, DhError,
    DiffieHellman, Event, Failure, Gone, Host, IpsecPolicy, IpsecSaId, IpsecTemplate, IsakmpSaId, ModeConfig,
    NatSituation, NegotiatedSa, Negotiator, Path, Peer, PeerHint, PeerId, Phase1Choice, Phase2Choice, Phase2Suite,
    PolicyRefusal, PolicyRequest, PreSharedKey, ProposalCheck, Refusal, Refused, Role, Settings, SignedIdentity,
    Software, XauthAnswer, XauthRequest, XauthRole,
};
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm};
use ipsec_packet::{AddressRange, Instant, Selector, Upper};
use ipsec_sa::{Direction, Mode, Protocol, TransformParams, UdpEncap};

use crate::random::Random;

pub type TestNegotiator = Negotiator<3, 4, 16, 6144>;

/// Configuration of an endpoint, for its only peer.
#[derive(Clone)]
pub struct Config {
    pub key: Option<Vec<u8>>,
    pub proposals: Vec<Phase1Choice>,
    pub esp: Vec<Phase2Choice>,
    pub check: ProposalCheck,
    pub local_identity: (IdKind, Vec<u8>),
    pub remote_identity: Option<(IdKind, Vec<u8>)>,
    /// Protocol and port of the local identity.
    pub identity_port: (u8, u16),
    pub policy: Option<Selector>,
    pub mode: Mode,
    /// Templates of the policy that replace that of ESP, if there are any.
    pub bundle: Vec<(ProtocolId, Mode, Vec<Phase2Choice>)>,
    /// Set if groups are computed as specified. Otherwise a small group replaces each.
    pub has_real_groups: bool,
    pub spis: u32,
    /// Exchanges of phase 1.
    pub exchanges: Vec<ExchangeKind>,
    pub nat_traversal: NatTraversals,
    pub forces_nat_traversal: bool,
    pub fragment_size: u16,
    /// Certificate with which the endpoint signs.
    pub certificate: Option<Vec<u8>>,
    /// Certificates of other authorities.
    pub further_certificates: Vec<Vec<u8>>,
    /// Name of the authority whose certificates are requested.
    pub authority: &'static [u8],
    pub dead_peer_detection: Option<DeadPeerDetection>,
    pub xauth: Option<XauthRole>,
    pub mode_config: Option<ModeConfig>,
    pub renews: bool,
    pub initial_contact: bool,
    /// Name and password: of the user of a client, or of the only user of a server.
    pub user: Option<(Vec<u8>, Vec<u8>)>,
    /// Configuration that a server assigns.
    pub lease: Option<ClientConfig>,
    /// Set if a server refuses clients without an assigned address.
    pub refuses_unleased: bool,
    /// Set if the policies are generated for the selectors of the initiator.
    pub generates: bool,
}

/// Policy that was generated for the selectors of an initiator.
pub struct Generated {
    pub number: u32,
    pub owner: (PeerId, u64),
    pub selector: Selector,
    pub protocol: ProtocolId,
    pub mode: Mode,
    pub proposals: Vec<Phase2Choice>,
}

impl Config {
    /// Returns a certificate of the endpoint by its number.
    fn own_certificate(&self, number: u8) -> Option<&[u8]> {
        let further = self.further_certificates.iter();
        self.certificate.iter().chain(further).nth(number.into()).map(Vec::as_slice)
    }
}

/// Services of an endpoint.
pub struct TestHost {
    pub config: Config,
    pub path: Path,
    pub random: Random,
    pub reserved: Vec<u32>,
    pub exponentiations: usize,
    /// Private values and shared secrets.
    pub secrets: Vec<Vec<u8>>,
    /// First shared secret: that of phase 1.
    pub first_shared: Vec<u8>,
    /// Set if a message from any address is accepted as one of the peer.
    pub accepts_every_address: bool,
    /// Set if this endpoint does not initiate.
    pub is_passive: bool,
    /// Lengths of the random values that were drawn.
    pub drawn: Vec<usize>,
    /// Identities of further peers at the address of the first one.
    pub further_peers: Vec<(IdKind, Vec<u8>)>,
    /// Pre-shared keys by the address of the peer, `None` for every other address, instead of a single one.
    pub keys: Vec<(Option<IpAddr>, Vec<u8>)>,
    /// Queries that are answered later.
    pub later: Later,
    /// Values of the peer that were refused.
    pub refused: Vec<String>,
    /// Identities of the peer that were authenticated, with the addresses of the ISAKMP SA.
    pub authenticated: Vec<(Path, IdKind, Vec<u8>)>,
    /// Certificates of the peer.
    pub seen_certificates: Vec<Vec<u8>>,
    /// ISAKMP SAs in which a configuration was assigned.
    pub leased: Vec<IsakmpSaId>,
    /// Policies that were generated for initiators.
    pub generated: Vec<Generated>,
}

impl TestHost {
    /// Returns the number of a policy with the protocol and mode that a peer proposes. The remote selector is the
    /// address of the peer, or the one that is assigned to it; one selector is for one identity.
    fn generate(&mut self, peer: PeerId, request: &PolicyRequest<'_>) -> Result<u32, PolicyRefusal> {
        let (selector, owner) = (request.selector, (peer, request.identity));
        if let Some(known) = self.generated.iter().find(|own| own.selector == selector) {
            return if known.owner == owner { Ok(known.number) } else { Err(PolicyRefusal::SelectorTaken) };
        }
        let lease = self.config.lease.and_then(|lease| lease.address).map(IpAddr::V4);
        let is_lease = lease.is_some_and(|lease| selector.destination == AddressRange::host(lease));
        let is_peer = selector.destination == AddressRange::host(request.path.remote.ip());
        let [(protocol, mode)] = request.bundle().collect::<Vec<_>>()[..] else { return Err(PolicyRefusal::NoPolicy) };
        let mode = match mode {
            Some(EncapsulationMode::TUNNEL | EncapsulationMode::UDP_TUNNEL) => Mode::Tunnel,
            Some(EncapsulationMode::TRANSPORT | EncapsulationMode::UDP_TRANSPORT) => Mode::Transport,
            _ => return Err(PolicyRefusal::NoPolicy),
        };
        if !is_lease && !is_peer {
            return Err(PolicyRefusal::NoPolicy);
        }
        let number = 1_000 + self.generated.len() as u32;
        let encapsulation = if mode == Mode::Tunnel { EncapsulationMode::TUNNEL } else { EncapsulationMode::TRANSPORT };
        let mut proposals = self.config.esp.clone();
        proposals.iter_mut().for_each(|choice| choice.encapsulation = Some(encapsulation));
        self.generated.push(Generated { number, owner, selector, protocol, mode, proposals });
        Ok(number)
    }
}

/// Queries that a host does not answer at once.
#[derive(Default)]
pub struct Later {
    /// Selects the queries that are answered later, counted from 0.
    pub questions: Option<fn(usize) -> bool>,
    /// Time until the answer.
    pub delay: Duration,
    /// Number of queries so far.
    pub count: usize,
    /// Queries that wait for an answer, with their values.
    pub waiting: Vec<Vec<u8>>,
}

impl Later {
    /// Returns an answer, unless the query is the first of its kind and is one that is answered later.
    fn answer<T>(&mut self, question: &[&[u8]], answer: impl FnOnce() -> T) -> Poll<T> {
        let question = question.concat();
        match self.waiting.iter().position(|waiting| *waiting == question) {
            Some(index) => drop(self.waiting.remove(index)),
            None => {
                let number = self.count;
                self.count += 1;
                if self.questions.is_some_and(|is_later| is_later(number)) {
                    self.waiting.push(question);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(answer())
    }
}

/// Keys and parameters of an installed SA, in a form that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub sa: IpsecSaId,
    pub protocol: Protocol,
    pub cipher_key: Vec<u8>,
    pub integrity_key: Vec<u8>,
    pub mode: Mode,
    pub selector: Selector,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub limits: ipsec_sa::Lifetimes,
    pub encap: Option<UdpEncap>,
}

pub struct Endpoint {
    pub negotiator: Box<TestNegotiator>,
    /// Key of its digests.
    pub secret: [u8; 16],
    pub host: TestHost,
    pub inbound: BTreeMap<u32, Installed>,
    pub outbound: BTreeMap<u32, Installed>,
    pub failures: Vec<Failure>,
    pub phase_1_up: usize,
    /// Peer of the last phase 1.
    pub last_peer: Option<PeerId>,
    pub phase_1_gone: Vec<Gone>,
    pub gone: Vec<(Direction, u32, Gone)>,
    pub unknown: usize,
    /// Path and NAT traversal of the last phase 1.
    pub last_nat: Option<(Path, NatSituation)>,
    /// Changes of the peer's path.
    pub moves: Vec<(Path, Path)>,
    /// Number of times that the peer was found dead.
    pub dead: usize,
    /// Number of users that were authenticated.
    pub logged_in: usize,
    /// Roles in the exchanges of phase 1 that have begun.
    pub begun: Vec<Role>,
    /// Configurations of this client.
    pub leases: Vec<ClientConfig>,
    /// Servers that the server has named.
    pub redirected: Vec<SocketAddr>,
    /// Set if inbound SAs are confirmed at once.
    pub confirms: bool,
    /// Set if received datagrams are lost.
    pub deaf: bool,
    /// Set if an outbound SA was removed before its successor was installed.
    pub has_gap: bool,
    /// Time at which the pending queries are answered.
    pub resume_at: Option<Instant>,
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Paths of both endpoints.
pub fn paths() -> [Path; 2] {
    let (a, b) = (address("192.0.2.1:500"), address("198.51.100.1:500"));
    [Path { local: a, remote: b }, Path { local: b, remote: a }]
}

pub fn network(third: u8) -> AddressRange {
    AddressRange::prefix(IpAddr::from([192, 168, third, 0]), 24).unwrap()
}

/// Returns an offer of ESP with a cipher and an integrity algorithm, with their default key lengths.
pub fn esp(cipher: CipherAlgorithm, integrity: IntegrityAlgorithm) -> Phase2Choice {
    let cipher_key = cipher.row().unwrap().default_key;
    let integrity_key = integrity.row().map_or(0, |row| row.default_key);
    let suite = Phase2Suite::Keyed { cipher, cipher_key, integrity, integrity_key };
    Phase2Choice::new(ProtocolId::ESP, suite, EncapsulationMode::TUNNEL)
}

pub fn phase_1(cipher: CipherAlgorithm, hash: HashFunction, group: Group) -> Phase1Choice {
    Phase1Choice::new(cipher, hash, AuthMethod::PRE_SHARED_KEY, group)
}

/// Lifetimes in seconds only.
pub fn seconds(seconds: u64) -> Lifetimes {
    Lifetimes { seconds: Some(seconds), ..Lifetimes::default() }
}

/// Configurations of two gateways that join 192.168.1.0/24 and 192.168.2.0/24.
pub fn configs() -> [Config; 2] {
    let selector = |local, remote| Selector { source: network(local), destination: network(remote), upper: Upper::Any };
    let config = |policy| Config {
        key: Some(b"pre-shared key of the test".to_vec()),
        proposals: vec![phase_1(CipherAlgorithm::AesCbc, HashFunction::Sha1, Group::MODP_768)],
        esp: vec![esp(CipherAlgorithm::AesCbc, IntegrityAlgorithm::HmacSha1_96)],
        check: ProposalCheck::Strict,
        local_identity: (IdKind::FQDN, b"gateway.example".to_vec()),
        remote_identity: None,
        identity_port: (0, 0),
        policy: Some(policy),
        mode: Mode::Tunnel,
        bundle: Vec::new(),
        has_real_groups: false,
        spis: u32::MAX,
        exchanges: vec![ExchangeKind::MAIN],
        nat_traversal: Peer::NAT_TRAVERSAL,
        forces_nat_traversal: false,
        fragment_size: 1280,
        certificate: None,
        further_certificates: Vec::new(),
        authority: b"authority",
        dead_peer_detection: None,
        xauth: None,
        mode_config: None,
        renews: true,
        initial_contact: true,
        user: None,
        lease: None,
        refuses_unleased: false,
        generates: false,
    };
    [config(selector(1, 2)), config(selector(2, 1))]
}

/// Returns the first message of an initiator.
pub fn first_message(config: Config, seed: u64) -> Vec<u8> {
    let start = Instant::from_secs(1000);
    let mut end = Endpoint::new(config, paths()[0], seed);
    end.initiate(start).unwrap();
    end.poll(start).pop().unwrap()
}

impl Endpoint {
    pub fn new(config: Config, path: Path, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut secret = [0; 16];
        random.fill(&mut secret);
        Self {
            negotiator: Box::new(Negotiator::new(Settings::DAEMON, secret)),
            secret,
            host: TestHost {
                config,
                path,
                random,
                reserved: Vec::new(),
                exponentiations: 0,
                secrets: Vec::new(),
                first_shared: Vec::new(),
                accepts_every_address: false,
                is_passive: false,
                drawn: Vec::new(),
                further_peers: Vec::new(),
                keys: Vec::new(),
                later: Later::default(),
                refused: Vec::new(),
                authenticated: Vec::new(),
                seen_certificates: Vec::new(),
                leased: Vec::new(),
                generated: Vec::new(),
            },
            inbound: BTreeMap::new(),
            outbound: BTreeMap::new(),
            failures: Vec::new(),
            phase_1_up: 0,
            last_peer: None,
            phase_1_gone: Vec::new(),
            gone: Vec::new(),
            unknown: 0,
            last_nat: None,
            moves: Vec::new(),
            dead: 0,
            logged_in: 0,
            begun: Vec::new(),
            leases: Vec::new(),
            redirected: Vec::new(),
            confirms: true,
            deaf: false,
            has_gap: false,
            resume_at: None,
        }
    }

    pub fn initiate(&mut self, now: Instant) -> Result<IpsecSaId, Refusal> {
        self.initiate_policy(now, 1)
    }

    pub fn initiate_policy(&mut self, now: Instant, policy: u32) -> Result<IpsecSaId, Refusal> {
        self.negotiator.initiate(now, PeerId(0), policy, &mut self.host)
    }

    pub fn receive(&mut self, now: Instant, datagram: Vec<u8>) {
        self.receive_on(self.host.path, now, datagram);
    }

    pub fn receive_on(&mut self, path: Path, now: Instant, mut datagram: Vec<u8>) {
        if self.deaf {
            return;
        }
        self.negotiator.handle_datagram(now, path, &mut datagram, &mut self.host);
    }

    /// Handles all events and returns the datagrams to be sent.
    pub fn poll(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.poll_with_paths(now).into_iter().map(|(_, datagram)| datagram).collect()
    }

    /// Handles all events and returns the datagrams to be sent, each with its path.
    pub fn poll_with_paths(&mut self, now: Instant) -> Vec<(Path, Vec<u8>)> {
        let mut datagrams = Vec::new();
        let mut out = vec![0; 4096];
        loop {
            self.handle_events(now);
            match self.negotiator.poll_transmit(now, &mut out) {
                Some(transmit) => {
                    assert_eq!(transmit.path.local.ip(), self.host.path.local.ip());
                    datagrams.push((transmit.path, transmit.datagram.to_vec()));
                }
                None => break,
            }
        }
        self.handle_events(now);
        if !self.host.later.waiting.is_empty() {
            self.resume_at.get_or_insert(now + self.host.later.delay);
        }
        datagrams
    }

    /// Answers the pending queries.
    pub fn resume(&mut self, now: Instant) {
        self.resume_at = None;
        self.negotiator.resume(now, &mut self.host);
    }

    fn handle_events(&mut self, now: Instant) {
        while let Some(event) = self.negotiator.poll_event() {
            match event {
                Event::Phase1Begun { role, .. } => self.begun.push(role),
                Event::Phase1Up { peer, path, nat, .. } => {
                    self.last_nat = Some((path, nat));
                    self.phase_1_up += 1;
                    self.last_peer = Some(peer);
                }
                Event::Phase1Gone { why, .. } => self.phase_1_gone.push(why),
                Event::InboundReady(ready) => {
                    let spi = ready.params.id.spi;
                    assert!(self.host.reserved.contains(&spi), "the SPI was reserved");
                    assert!(self.inbound.insert(spi, installed(&ready)).is_none(), "installed twice");
                    if self.confirms {
                        self.negotiator.installed(now, ready.sa);
                    }
                }
                Event::OutboundReady(ready) => {
                    let spi = ready.params.id.spi;
                    assert!(self.outbound.insert(spi, installed(&ready)).is_none(), "installed twice");
                }
                Event::IpsecSaGone { direction, spi, why, .. } => {
                    let table = if direction == Direction::Inbound { &mut self.inbound } else { &mut self.outbound };
                    let removed = table.remove(&spi).expect("only installed SAs are removed");
                    let is_replaced = matches!(why, Gone::Renewed | Gone::Redundant);
                    let others = table.values().filter(|other| other.selector == removed.selector).count();
                    self.has_gap |= direction == Direction::Outbound && is_replaced && others == 0;
                    self.gone.push((direction, spi, why));
                }
                Event::PeerDead { .. } => self.dead += 1,
                Event::LoggedIn { .. } => self.logged_in += 1,
                Event::Leased { config, .. } => self.leases.push(config),
                Event::Redirected { server, .. } => self.redirected.push(server),
                Event::UnknownSa { .. } => self.unknown += 1,
                Event::PeerMoved { from, to, .. } => self.moves.push((from, to)),
                Event::Failed(failure) => self.failures.push(failure),
                _ => panic!("unknown event"),
            }
        }
    }

    /// Reports a packet in each outbound SA.
    pub fn send_packets(&mut self, now: Instant) {
        for sa in self.outbound.values() {
            self.negotiator.sent_in(now, sa.sa);
        }
    }

    /// Reports an authentic packet in each inbound SA.
    pub fn receive_packets(&mut self, now: Instant) {
        for sa in self.inbound.values() {
            self.negotiator.heard_from(now, sa.sa);
        }
    }

    pub fn last_reason(&self) -> Option<Refusal> {
        self.failures.last().map(|failure| failure.reason)
    }
}

/// Returns the signature of the tests: a digest with the length of a signature with a key of 1024 bits.
pub fn signature_of(certificate: &[u8], method: AuthMethod, hash: &[u8]) -> Vec<u8> {
    let parts = (0..4u8).map(|n| HashFunction::Sha2_256.digest(&[&[n], certificate, &method.0.to_be_bytes(), hash]));
    parts.flat_map(|part| part.expose().to_vec()).collect()
}

fn installed(ready: &NegotiatedSa) -> Installed {
    let (cipher_key, integrity_key): (&[u8], &[u8]) = match &ready.params.transform {
        TransformParams::Esp(keys) => (keys.cipher_key.expose(), keys.integrity_key.expose()),
        TransformParams::Ah { key, .. } => (&[], key.expose()),
        TransformParams::Ipcomp { .. } => (&[], &[]),
        _ => panic!("unknown protocol"),
    };
    Installed {
        sa: ready.sa,
        protocol: ready.params.id.protocol,
        cipher_key: cipher_key.to_vec(),
        integrity_key: integrity_key.to_vec(),
        mode: ready.params.mode,
        selector: ready.selector,
        source: ready.params.source,
        destination: ready.params.id.destination,
        limits: ready.params.lifetimes,
        encap: ready.params.encap,
    }
}

impl Host for TestHost {
    fn random(&mut self, octets: &mut [u8]) {
        self.random.fill(octets);
        self.drawn.push(octets.len());
    }

    fn find_peer(&self, hint: &PeerHint<'_>) -> Option<PeerId> {
        let is_peer = self.accepts_every_address || hint.path.remote.ip() == self.path.remote.ip();
        let has_identity =
            |(kind, data): &(IdKind, Vec<u8>)| hint.identity.is_some_and(|id| (id.kind, id.data) == (*kind, data));
        let further = self.further_peers.iter().position(has_identity);
        is_peer.then(|| PeerId(further.map_or(0, |index| index as u16 + 1)))
    }

    fn peer(&self, peer: PeerId) -> Option<Peer<'_>> {
        let further = usize::from(peer.0).checked_sub(1);
        let is_known = further.is_none_or(|index| index < self.further_peers.len());
        let (protocol, port) = self.config.identity_port;
        let local_identity = Identification { protocol, port, ..identity(&self.config.local_identity) };
        is_known.then(|| Peer {
            path: Some(self.path).filter(|_| !self.is_passive),
            remote_identity: self.config.remote_identity.as_ref().map(identity),
            check: self.config.check,
            exchanges: &self.config.exchanges,
            nat_traversal: self.config.nat_traversal,
            forces_nat_traversal: self.config.forces_nat_traversal,
            fragment_size: self.config.fragment_size,
            dead_peer_detection: self.config.dead_peer_detection,
            xauth: self.config.xauth,
            mode_config: self.config.mode_config,
            renews: self.config.renews,
            initial_contact: self.config.initial_contact,
            ..Peer::new(local_identity, &self.config.proposals)
        })
    }

    fn pre_shared_key(&mut self, _: PeerId, path: &Path) -> Poll<Option<PreSharedKey>> {
        let of_address = |address| self.keys.iter().find(|(of, _)| *of == address).map(|(_, key)| &key[..]);
        let key = of_address(Some(path.remote.ip())).or_else(|| of_address(None)).or(self.config.key.as_deref());
        self.later.answer(&[b"pre-shared key"], || PreSharedKey::new(key?).ok())
    }

    fn choose_certificate(&self, _: PeerId, requests: &CertificateRequests<'_>) -> u8 {
        // The name of the authority follows the name of the identity.
        let is_of = |own: &Vec<u8>, authority: &[u8]| own.ends_with(authority);
        let fits = |own: &&Vec<u8>| requests.iter().any(|request| is_of(own, request.data));
        let further = self.config.further_certificates.iter();
        self.config.certificate.iter().chain(further).position(|own| fits(&own)).unwrap_or(0) as u8
    }

    fn sign(
        &mut self,
        _: PeerId,
        certificate: u8,
        method: AuthMethod,
        hash: &[u8],
        signature: &mut [u8],
    ) -> Poll<Option<usize>> {
        let Self { later, config, .. } = self;
        later.answer(&[b"sign", hash], || {
            let signed = signature_of(config.own_certificate(certificate)?, method, hash);
            signature[..signed.len()].copy_from_slice(&signed);
            Some(signed.len())
        })
    }

    fn verify(
        &mut self,
        _: PeerId,
        method: AuthMethod,
        signed: &SignedIdentity<'_>,
    ) -> Poll<Result<(), CertificateRefusal>> {
        self.seen_certificates.extend(signed.certificates().map(|certificate| certificate.data.to_vec()));
        self.later.answer(&[b"verify", signed.hash, signed.signature], || {
            let certificate = signed.certificates().next().ok_or(CertificateRefusal::Missing)?;
            if !certificate.data.starts_with(signed.identity.data) {
                return Err(CertificateRefusal::Identity);
            }
            let is_valid = signature_of(certificate.data, method, signed.hash) == signed.signature;
            if is_valid { Ok(()) } else { Err(CertificateRefusal::Signature) }
        })
    }

    fn certificate(&self, _: PeerId, certificate: u8, index: usize) -> Option<Certificate<'_>> {
        let data = self.config.own_certificate(certificate).filter(|_| index == 0)?;
        Some(Certificate { encoding: CertificateEncoding::X509_SIGNATURE, data })
    }

    fn certificate_request(&self, _: PeerId, index: usize) -> Option<Certificate<'_>> {
        let request = Certificate { encoding: CertificateEncoding::X509_SIGNATURE, data: self.config.authority };
        (index == 0 && self.config.certificate.is_some()).then_some(request)
    }

    fn policy(&self, policy: u32) -> Option<IpsecPolicy<'_>> {
        if let Some(own) = self.generated.iter().find(|own| own.number == policy) {
            let (policy, reqid) = (IpsecPolicy::new(policy, own.selector), own.number);
            let proposals = &own.proposals;
            let template =
                |protocol| IpsecTemplate { protocol, mode: own.mode, reqid, inbound_reqid: reqid, proposals };
            return policy.with(template(own.protocol));
        }
        let steps = policy.checked_sub(1).filter(|steps| *steps < POLICIES)?;
        let selector = moved(self.config.policy?, steps as u8);
        let policy = IpsecPolicy::new(policy, selector);
        let template =
            |protocol, mode, proposals| IpsecTemplate { protocol, mode, reqid: 0, inbound_reqid: 0, proposals };
        if self.config.bundle.is_empty() {
            return policy.with(template(ProtocolId::ESP, self.config.mode, &self.config.esp));
        }
        let mut bundle = self.config.bundle.iter();
        bundle
            .try_fold(policy, |policy, (protocol, mode, proposals)| policy.with(template(*protocol, *mode, proposals)))
    }

    fn find_policy(&mut self, peer: PeerId, request: &PolicyRequest<'_>) -> Result<u32, PolicyRefusal> {
        if self.config.refuses_unleased && !self.leased.contains(&request.sa) {
            return Err(PolicyRefusal::NotLeased);
        }
        if self.config.generates {
            return self.generate(peer, request);
        }
        let mut policies = (1..=POLICIES).filter_map(|number| self.policy(number));
        let found = policies.find(|policy| policy.selector.contains(&request.selector));
        found.map(|policy| policy.number).ok_or(PolicyRefusal::NoPolicy)
    }

    fn reserve_spi(&mut self, protocol: ProtocolId, _: &Path) -> Poll<Option<u32>> {
        if self.later.answer(&[b"SPI", &[protocol.0]], || ()).is_pending() {
            return Poll::Pending;
        }
        if self.reserved.len() >= self.config.spis as usize {
            return Poll::Ready(None);
        }
        let random = self.random.next() as u32;
        let spi = if protocol == ProtocolId::IPCOMP { random % 0xee00 + 0x100 } else { random | 0x1000_0000 };
        self.reserved.push(spi);
        Poll::Ready(Some(spi))
    }

    fn release_spi(&mut self, _: ProtocolId, _: &Path, spi: u32) {
        let before = self.reserved.len();
        self.reserved.retain(|reserved| *reserved != spi);
        assert_eq!(self.reserved.len() + 1, before, "only reserved SPIs are released");
    }

    fn public(&mut self, group: Group, private: &[u8], public: &mut [u8]) -> Poll<Result<(), DhError>> {
        let Self { later, exponentiations, config, secrets, .. } = self;
        later.answer(&[b"public", private], || {
            *exponentiations += 1;
            secrets.push(private.to_vec());
            if config.has_real_groups {
                return Software.public(group, private, public);
            }
            small::write(small::power(3, private), public);
            Ok(())
        })
    }

    fn shared(&mut self, group: Group, private: &[u8], public: &[u8], shared: &mut [u8]) -> Poll<Result<(), DhError>> {
        let Self { later, exponentiations, config, secrets, first_shared, .. } = self;
        later.answer(&[b"shared", private, public], || {
            *exponentiations += 1;
            if config.has_real_groups {
                return Software.shared(group, private, public, shared);
            }
            small::write(small::power(small::read(public).ok_or(DhError::InvalidPublicValue)?, private), shared);
            secrets.push(shared.to_vec());
            if first_shared.is_empty() {
                *first_shared = shared.to_vec();
            }
            Ok(())
        })
    }

    fn login(&mut self, _: PeerId, answer: &XauthAnswer<'_>) -> Poll<bool> {
        let is_valid =
            self.config.user.as_ref().is_some_and(|user| (&user.0[..], &user.1[..]) == (answer.user, answer.password));
        self.later.answer(&[b"login", answer.user], || is_valid)
    }

    fn credentials(&mut self, _: PeerId, _: &XauthRequest<'_>) -> Poll<Option<Credentials>> {
        let user = self.config.user.as_ref();
        self.later.answer(&[b"credentials"], || user.map(|(name, password)| Credentials::new(name, password).unwrap()))
    }

    fn lease(&mut self, _: PeerId, request: &ConfigRequest) -> Poll<Option<ClientConfig>> {
        let lease = self.config.lease;
        self.leased.push(request.sa);
        self.later.answer(&[b"lease", format!("{:?}", request.sa).as_bytes()], || lease)
    }

    fn authenticated(&mut self, _: PeerId, path: &Path, identity: &Identification<'_>) {
        self.authenticated.push((*path, identity.kind, identity.data.to_vec()));
    }

    fn refused(&mut self, _: PeerId, what: &Refused<'_>) {
        self.refused.push(match what {
            Refused::Identity(identity) => format!("{} {}", identity.kind, identity.data.escape_ascii()),
            Refused::Selectors(selector) => format!("{} {}", selector.source, selector.destination),
            Refused::NotLeased(selector) => format!("not leased: {}", selector.destination),
            _ => "unknown".to_owned(),
        });
    }
}

/// Number of policies of an endpoint: that of its configuration, and others for networks beside it.
const POLICIES: u32 = 17;

/// Returns a selector for networks beside those of another one, if these are private networks of IPv4.
fn moved(selector: Selector, steps: u8) -> Selector {
    let moved = |range: AddressRange| {
        let beside = |address| match address {
            IpAddr::V4(v4) if v4.is_private() => {
                let [a, b, c, d] = v4.octets();
                IpAddr::from([a, b, c.wrapping_add(steps * 8), d])
            }
            other => other,
        };
        AddressRange::new(beside(range.first()), beside(range.last())).unwrap()
    };
    Selector { source: moved(selector.source), destination: moved(selector.destination), ..selector }
}

fn identity((kind, data): &(IdKind, Vec<u8>)) -> Identification<'_> {
    Identification { kind: *kind, protocol: 0, port: 0, data }
}

/// Group modulo the prime 2^61 - 1, for tests with many runs.
mod small {
    const PRIME: u128 = (1 << 61) - 1;

    pub fn power(base: u128, exponent: &[u8]) -> u128 {
        let mut result = 1;
        for octet in &exponent[..8] {
            for bit in (0..8).rev() {
                result = result * result % PRIME;
                if octet >> bit & 1 == 1 {
                    result = result * base % PRIME;
                }
            }
        }
        result
    }

    pub fn write(value: u128, octets: &mut [u8]) {
        let (zeros, number) = octets.split_at_mut(octets.len() - 16);
        zeros.fill(0);
        number.copy_from_slice(&value.to_be_bytes());
    }

    pub fn read(octets: &[u8]) -> Option<u128> {
        let (zeros, number) = octets.split_last_chunk::<16>()?;
        let value = u128::from_be_bytes(*number);
        (zeros.iter().all(|&zero| zero == 0) && value > 1 && value < PRIME - 1).then_some(value)
    }
}
