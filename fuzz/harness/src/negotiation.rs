//! Negotiators: two of them over a network that the input controls, and one against a peer with the key that sends
//! arbitrary payloads.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use ike_codec::{
    AuthMethod, EncapsulationMode, ExchangeKind, Group, Header, IdKind, Identification, IpcompTransform, MessageWriter,
    PayloadKind, ProposalHead, ProtocolId, TransformHead, TransformId,
};
use ike_v1::{
    ClientConfig, ConfigRequest, Cookies, Counter, Credentials, DeadPeerDetection, DhError, Event, Host, IpsecPolicy,
    IpsecSaId, IpsecTemplate, IvChain, ModeConfig, Negotiator, Nonces, Path, Peer, PeerHint, PeerId, Phase1Choice,
    Phase1Keys, Phase1Publics, Phase2Choice, Phase2Suite, PolicyRefusal, PolicyRequest, PreSharedKey, ProposalCheck,
    Protection, Settings, ShortText, Skeyid, Target, XauthAnswer, XauthRequest, XauthRole, plaintext,
};
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm};
use ipsec_packet::{AddressRange, Instant, Selector, Upper};
use ipsec_sa::{Direction, Mode, TransformParams};

const KEY: &[u8] = b"pre-shared key";
/// Prime of the small group that replaces group 1, whose public values have 96 octets.
const PRIME: u128 = (1 << 61) - 1;
const PUBLIC: usize = 96;

struct SmallHost {
    path: Path,
    key: &'static [u8],
    proposals: [Phase1Choice; 2],
    templates: Vec<(ProtocolId, Mode, Vec<Phase2Choice>)>,
    selector: Selector,
    check: ProposalCheck,
    xauth: Option<XauthRole>,
    mode_config: Option<ModeConfig>,
    exchanges: [ExchangeKind; 2],
    forces_nat_traversal: bool,
    state: u64,
    reserved: Vec<u32>,
    /// Kinds of queries without an answer, a bit for each.
    later: u8,
}

impl SmallHost {
    fn new(side: usize, choice: u8) -> Self {
        let ends: [SocketAddr; 2] = [([192, 0, 2, 1], 500).into(), ([198, 51, 100, 1], 500).into()];
        let network = |third| AddressRange::prefix(IpAddr::from([10, third, 0, 0]), 16);
        let networks = [network(1), network(2)].map(|network| network.unwrap_or(AddressRange::ANY_V4));
        let is_transport = choice & 1 != 0;
        // The last bit of the choice: extended authentication and Mode Config.
        let has_users = choice >> 7 != 0;
        let range = |side: usize| match (is_transport, has_users && side == 0) {
            (true, _) => AddressRange::host(ends[side].ip()),
            (false, true) => AddressRange::host(networks[side].first()),
            (false, false) => networks[side],
        };
        let cipher = [CipherAlgorithm::TripleDesCbc, CipherAlgorithm::AesCbc][usize::from(choice >> 1 & 1)];
        let method = if has_users { AuthMethod::XAUTH_INIT_PRE_SHARED } else { AuthMethod::PRE_SHARED_KEY };
        let ike = |cipher| Phase1Choice::new(cipher, HashFunction::Sha1, method, Group::MODP_768);
        Self {
            path: Path { local: ends[side], remote: ends[1 - side] },
            key: KEY,
            proposals: [ike(cipher), ike(CipherAlgorithm::DesCbc)],
            templates: templates(choice, if is_transport { Mode::Transport } else { Mode::Tunnel }),
            selector: Selector { source: range(side), destination: range(1 - side), upper: Upper::Any },
            check: [ProposalCheck::Strict, ProposalCheck::Obey, ProposalCheck::Exact][usize::from(choice >> 2 & 3) % 3],
            exchanges: [
                [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE, ExchangeKind::BASE, ExchangeKind::MAIN]
                    [usize::from(choice >> 4 & 3)],
                ExchangeKind::MAIN,
            ],
            forces_nat_traversal: choice >> 2 & 3 == 3,
            xauth: has_users.then_some([XauthRole::Client, XauthRole::Server][side]),
            mode_config: has_users.then_some([ModeConfig::Request, ModeConfig::Answer][side]),
            state: u64::from(choice) << 8 | side as u64,
            reserved: Vec::new(),
            later: 0,
        }
    }

    /// Returns the answer to a query of a kind, or `Pending`.
    fn answer<T>(&self, kind: u8, answer: T) -> Poll<T> {
        if self.later >> kind & 1 != 0 { Poll::Pending } else { Poll::Ready(answer) }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ (z >> 27)
    }
}

/// Templates of the policy: IPComp, ESP and AH, of which the choice leaves out some.
fn templates(choice: u8, mode: Mode) -> Vec<(ProtocolId, Mode, Vec<Phase2Choice>)> {
    let keyed = |protocol, cipher: CipherAlgorithm, integrity: IntegrityAlgorithm| {
        let cipher_key = cipher.row().map_or(0, |row| row.default_key);
        let integrity_key = integrity.row().map_or(0, |row| row.default_key);
        let suite = Phase2Suite::Keyed { cipher, cipher_key, integrity, integrity_key };
        Phase2Choice::new(protocol, suite, EncapsulationMode::TUNNEL)
    };
    let compression = Phase2Suite::Compression(IpcompTransform::DEFLATE);
    let ipcomp = Phase2Choice::new(ProtocolId::IPCOMP, compression, EncapsulationMode::TUNNEL);
    let esp = vec![
        keyed(ProtocolId::ESP, CipherAlgorithm::AesCbc, IntegrityAlgorithm::HmacSha1_96),
        keyed(ProtocolId::ESP, CipherAlgorithm::AesGcm16, IntegrityAlgorithm::None),
    ];
    let ah = keyed(ProtocolId::AH, CipherAlgorithm::Null, IntegrityAlgorithm::HmacSha1_96);
    let all = [(ProtocolId::IPCOMP, vec![ipcomp]), (ProtocolId::ESP, esp), (ProtocolId::AH, vec![ah])];
    // The bits of the choice: without ESP or with AH, and with IPComp.
    let (has_esp, has_ah, has_ipcomp) = (choice >> 4 & 3 != 3, choice >> 4 & 3 >= 2, choice >> 6 & 1 != 0);
    let is_chosen = [has_ipcomp, has_esp, has_ah];
    all.into_iter()
        .zip(is_chosen)
        .filter(|(_, is_chosen)| *is_chosen)
        .map(|((p, offers), _)| (p, mode, offers))
        .collect()
}

impl Host for SmallHost {
    fn random(&mut self, octets: &mut [u8]) {
        octets.fill_with(|| (self.next() >> 8) as u8);
    }

    fn find_peer(&self, _: &PeerHint<'_>) -> Option<PeerId> {
        Some(PeerId(0))
    }

    fn peer(&self, _: PeerId) -> Option<Peer<'_>> {
        Some(Peer {
            path: Some(self.path),
            check: self.check,
            xauth: self.xauth,
            mode_config: self.mode_config,
            exchanges: &self.exchanges,
            forces_nat_traversal: self.forces_nat_traversal,
            fragment_size: 200,
            dead_peer_detection: Some(DeadPeerDetection::after(Duration::from_secs(10))),
            ..Peer::new(Identification { kind: IdKind::FQDN, protocol: 0, port: 0, data: b"gateway" }, &self.proposals)
        })
    }

    fn pre_shared_key(&mut self, _: PeerId, _: &Path) -> Poll<Option<PreSharedKey>> {
        self.answer(0, PreSharedKey::new(self.key).ok())
    }

    fn policy(&self, policy: u32) -> Option<IpsecPolicy<'_>> {
        let policy = (policy == 1).then(|| IpsecPolicy::new(policy, self.selector))?;
        self.templates.iter().try_fold(policy, |policy, (protocol, mode, proposals)| {
            let (protocol, mode) = (*protocol, *mode);
            policy.with(IpsecTemplate { protocol, mode, reqid: 0, inbound_reqid: 0, proposals })
        })
    }

    fn find_policy(&mut self, _: PeerId, request: &PolicyRequest<'_>) -> Result<u32, PolicyRefusal> {
        let found = self.policy(1).filter(|policy| policy.selector.contains(&request.selector));
        found.map(|policy| policy.number).ok_or(PolicyRefusal::NoPolicy)
    }

    fn reserve_spi(&mut self, protocol: ProtocolId, _: &Path) -> Poll<Option<u32>> {
        if self.answer(1, ()).is_pending() {
            return Poll::Pending;
        }
        let mut spi = 0;
        while spi == 0 || self.reserved.contains(&spi) {
            let random = self.next() as u32;
            spi = if protocol == ProtocolId::IPCOMP { random % 0xee00 + 0x100 } else { random | 0x1000_0000 };
        }
        self.reserved.push(spi);
        Poll::Ready(Some(spi))
    }

    fn release_spi(&mut self, _: ProtocolId, _: &Path, spi: u32) {
        assert!(self.reserved.contains(&spi), "only reserved SPIs are released");
        self.reserved.retain(|reserved| *reserved != spi);
    }

    fn login(&mut self, _: PeerId, answer: &XauthAnswer<'_>) -> Poll<bool> {
        self.answer(4, answer.user == b"user" && answer.password == b"password")
    }

    fn credentials(&mut self, _: PeerId, request: &XauthRequest<'_>) -> Poll<Option<Credentials>> {
        let _ = request.message();
        self.answer(5, Credentials::new(b"user", b"password").ok())
    }

    fn lease(&mut self, _: PeerId, request: &ConfigRequest) -> Poll<Option<ClientConfig>> {
        let mut config = ClientConfig::default();
        // Quick mode of the client is for this address.
        let IpAddr::V4(own) = self.selector.destination.first() else { return self.answer(6, None) };
        config.address = Some(request.address.unwrap_or(own));
        config.banner = ShortText::new(b"Welcome.");
        self.answer(6, Some(config))
    }

    fn public(&mut self, _: Group, private: &[u8], public: &mut [u8]) -> Poll<Result<(), DhError>> {
        write(power(3, private), public);
        self.answer(2, Ok(()))
    }

    fn shared(&mut self, _: Group, private: &[u8], public: &[u8], shared: &mut [u8]) -> Poll<Result<(), DhError>> {
        let Some(value) = read(public) else { return Poll::Ready(Err(DhError::InvalidPublicValue)) };
        write(power(value, private), shared);
        self.answer(3, Ok(()))
    }
}

fn power(base: u128, exponent: &[u8]) -> u128 {
    let bits = exponent.iter().take(8).flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1));
    bits.fold(1, |result, bit| result * result % PRIME * if bit == 1 { base } else { 1 } % PRIME)
}

fn write(value: u128, octets: &mut [u8]) {
    let (zeros, number) = octets.split_at_mut(octets.len() - 16);
    zeros.fill(0);
    number.copy_from_slice(&value.to_be_bytes());
}

fn read(octets: &[u8]) -> Option<u128> {
    let (zeros, number) = octets.split_last_chunk::<16>()?;
    let value = u128::from_be_bytes(*number);
    (zeros.iter().all(|&zero| zero == 0) && value > 1 && value < PRIME - 1).then_some(value)
}

/// Negotiator and the SAs that it has announced: identifier and key by SPI.
struct End {
    negotiator: Box<Negotiator<2, 3, 4, 1024>>,
    host: SmallHost,
    inbound: BTreeMap<u32, (IpsecSaId, Vec<u8>)>,
    outbound: BTreeMap<u32, (IpsecSaId, Vec<u8>)>,
    /// SPIs of inbound SAs that were removed.
    gone: Vec<u32>,
}

impl End {
    fn new(side: usize, choice: u8) -> Self {
        let negotiator = Box::new(Negotiator::new(Settings::DAEMON, [side as u8; 16]));
        let host = SmallHost::new(side, choice);
        Self { negotiator, host, inbound: BTreeMap::new(), outbound: BTreeMap::new(), gone: Vec::new() }
    }

    fn receive(&mut self, now: Instant, datagram: Vec<u8>) {
        self.receive_on(self.host.path, now, datagram);
    }

    fn receive_on(&mut self, path: Path, now: Instant, mut datagram: Vec<u8>) {
        self.negotiator.handle_datagram(now, path, &mut datagram, &mut self.host);
    }

    /// Handles events and returns the datagrams to be sent, each with the path that its receiver sees.
    fn poll(&mut self, now: Instant) -> Vec<(Path, Vec<u8>)> {
        let (mut datagrams, mut out) = (Vec::new(), [0; 1100]);
        loop {
            self.handle_events(now);
            let Some(transmit) = self.negotiator.poll_transmit(now, &mut out) else { break };
            let Path { local, remote } = transmit.path;
            datagrams.push((Path { local: remote, remote: local }, transmit.datagram.to_vec()));
            assert!(datagrams.len() < 100, "a burst without an end");
        }
        let counters = self.negotiator.counters();
        assert_eq!(counters.get(Counter::Internal), 0, "internal error");
        datagrams
    }

    fn handle_events(&mut self, now: Instant) {
        while let Some(event) = self.negotiator.poll_event() {
            match event {
                Event::InboundReady(ready) => {
                    let spi = ready.params.id.spi;
                    assert!(self.host.reserved.contains(&spi), "the SPI was reserved");
                    assert!(self.inbound.insert(spi, (ready.sa, key(&ready.params.transform))).is_none());
                    self.negotiator.installed(now, ready.sa);
                }
                Event::OutboundReady(ready) => {
                    let row = (ready.sa, key(&ready.params.transform));
                    self.outbound.insert(ready.params.id.spi, row);
                    assert!(self.inbound.values().any(|(sa, _)| *sa == ready.sa), "the inbound SA comes first");
                }
                Event::IpsecSaGone { direction: Direction::Inbound, spi, .. } => {
                    assert!(self.inbound.remove(&spi).is_some(), "the SA was installed");
                    self.gone.push(spi);
                }
                Event::IpsecSaGone { direction: Direction::Outbound, spi, .. } => {
                    self.outbound.remove(&spi);
                }
                _ => {}
            }
        }
    }
}

fn key(transform: &TransformParams) -> Vec<u8> {
    match transform {
        TransformParams::Esp(keys) => [keys.cipher_key.expose(), keys.integrity_key.expose()].concat(),
        TransformParams::Ah { key, .. } => key.expose().to_vec(),
        _ => Vec::new(),
    }
}

/// Runs operations on two negotiators. The first octet chooses the configuration, and each following one an operation:
/// it delivers, loses, repeats, alters or truncates the oldest datagram, sends arbitrary octets, advances the clock,
/// begins or deletes negotiations, or chooses which queries the host answers.
pub fn negotiation(octets: &[u8]) {
    let Some((&choice, mut rest)) = octets.split_first() else { return };
    let mut ends = [End::new(0, choice), End::new(1, choice)];
    let mut now = Instant::from_secs(1);
    let mut queue: VecDeque<(usize, Path, Vec<u8>)> = VecDeque::new();
    let take = |rest: &mut &[u8]| -> Option<u8> {
        let (&first, behind) = rest.split_first()?;
        *rest = behind;
        Some(first)
    };
    for _ in 0..400 {
        let Some(what) = take(&mut rest) else { break };
        let side = usize::from(what >> 7);
        match what & 0x0f {
            0..=3 => deliver(&mut ends, now, queue.pop_front()),
            4 => drop(queue.pop_front()),
            5 => deliver(&mut ends, now, queue.front().cloned()),
            6 => {
                let (at, flip) = (take(&mut rest).unwrap_or(0), take(&mut rest).unwrap_or(1));
                let altered = queue.pop_front().map(|(to, path, mut datagram)| {
                    let at = usize::from(at) % datagram.len();
                    datagram[at] ^= flip;
                    (to, path, datagram)
                });
                deliver(&mut ends, now, altered);
            }
            7 => {
                let len = usize::from(take(&mut rest).unwrap_or(0));
                let cut = queue.front();
                let cut = cut.map(|(to, path, datagram)| (*to, *path, datagram[..len.min(datagram.len())].to_vec()));
                deliver(&mut ends, now, cut);
            }
            8 => {
                let len = usize::from(take(&mut rest).unwrap_or(0)).min(rest.len());
                let (datagram, behind) = rest.split_at(len);
                rest = behind;
                ends[side].receive(now, datagram.to_vec());
            }
            // Arbitrary payloads with the header of a genuine message.
            9 => {
                let len = usize::from(take(&mut rest).unwrap_or(0)).min(rest.len());
                let (payloads, behind) = rest.split_at(len);
                rest = behind;
                let Some((to, path, genuine)) = queue.front() else { continue };
                // A non-ESP marker may precede the header, and a NAT-keepalive packet has none.
                let marker = if path.local.port() == 4500 { 4 } else { 0 };
                let Some(begin) = genuine.get(..marker + 28) else { continue };
                let mut datagram = [begin, payloads].concat();
                let length = (datagram.len() - marker) as u32;
                datagram[marker + 24..marker + 28].copy_from_slice(&length.to_be_bytes());
                deliver(&mut ends, now, Some((*to, *path, datagram)));
            }
            10 => now += Duration::from_millis(500) * u32::from(take(&mut rest).unwrap_or(1)),
            11 => {
                let end = &mut ends[side];
                // The table may be full.
                let _ = end.negotiator.initiate(now, PeerId(0), 1, &mut end.host);
            }
            12 => {
                let end = &mut ends[side];
                let first = end.inbound.values().next().map(|(sa, _)| *sa);
                let target = match (what >> 4 & 3, first) {
                    (0, Some(sa)) => Target::IpsecSa(sa),
                    (1, _) => Target::All,
                    (2, _) => match end.negotiator.sas().next().map(|sa| sa.id()) {
                        Some(sa) => Target::IsakmpSa(sa),
                        None => continue,
                    },
                    _ => Target::Peer(PeerId(0)),
                };
                end.negotiator.delete(now, target, &mut end.host);
            }
            13 => {
                // An authentic packet can only come from a peer with the outbound SA.
                let sent = |spi: &&u32| ends[1 - side].outbound.contains_key(spi);
                let found = ends[side].inbound.keys().rev().find(sent).copied();
                if let Some((sa, _)) = found.and_then(|spi| ends[side].inbound.get(&spi)) {
                    let sa = *sa;
                    ends[side].negotiator.heard_from(now, sa);
                }
                if what & 0x10 != 0 {
                    let end = &mut ends[side];
                    end.outbound.values().for_each(|(sa, _)| end.negotiator.sent_in(now, *sa));
                }
            }
            14 => ends[side].host.key = if what & 0x10 == 0 { KEY } else { b"another key" },
            _ if what & 0x10 == 0 => queue.rotate_left(1.min(queue.len())),
            _ => {
                let end = &mut ends[side];
                end.host.later = take(&mut rest).unwrap_or(0);
                end.negotiator.resume(now, &mut end.host);
            }
        }
        for (side, end) in ends.iter_mut().enumerate() {
            if end.negotiator.poll_timeout().is_some_and(|due| due <= now) {
                end.negotiator.handle_timeout(now, &mut end.host);
            }
            for (path, datagram) in end.poll(now) {
                queue.push_back((1 - side, path, datagram));
            }
        }
        check(&ends);
    }
}

fn deliver(ends: &mut [End; 2], now: Instant, datagram: Option<(usize, Path, Vec<u8>)>) {
    if let Some((to, path, datagram)) = datagram {
        ends[to].receive_on(path, now, datagram);
    }
}

/// Asserts that an outbound SA has, or had, its inbound SA at the other end, and that both have the same keys.
fn check(ends: &[End; 2]) {
    for (end, other) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
        for (spi, (_, key)) in &end.outbound {
            match other.inbound.get(spi) {
                Some((_, inbound)) => assert_eq!(key, inbound, "keys of both ends"),
                None => assert!(other.gone.contains(spi), "outbound SA without its inbound SA"),
            }
        }
    }
}

/// Runs a peer with the pre-shared key, which sends main mode, and then messages of quick mode, informational and
/// transaction exchanges with arbitrary payloads and a valid hash. The first two octets choose the configuration and
/// the number of messages; each message has its exchange, first payload, length and octets.
pub fn hostile(octets: &[u8]) {
    let Some((choice, mut rest)) = octets.split_first() else { return };
    let mut end = End::new(1, *choice);
    let mut now = Instant::from_secs(1);
    let Some(attacker) = Attacker::establish(&mut end, now) else { panic!("main mode succeeds") };
    for number in 1..=20u32 {
        let [what, first, len, behind @ ..] = rest else { break };
        let len = usize::from(*len).min(behind.len());
        let (payloads, behind) = behind.split_at(len);
        rest = behind;
        let exchange = match what & 9 {
            0 => ExchangeKind::QUICK,
            1 => ExchangeKind::INFORMATIONAL,
            _ => ExchangeKind::TRANSACTION,
        };
        let message_id = if what & 2 == 0 { number } else { number.max(2) - 1 };
        let message = attacker.message(exchange, message_id, PayloadKind(*first), payloads);
        end.receive(now, message);
        let sent = end.poll(now);
        assert!(sent.len() <= 2, "at most an answer and a notification");
        if what & 4 != 0 {
            now += Duration::from_secs(3);
            end.negotiator.handle_timeout(now, &mut end.host);
            let _ = end.poll(now);
        }
    }
    assert!(end.outbound.is_empty(), "nothing is sent to a peer that has not confirmed");
}

/// Peer with the keys of an ISAKMP SA.
struct Attacker {
    cookies: Cookies,
    keys: Phase1Keys,
    protection: Protection,
    phase_1: IvChain,
}

impl Attacker {
    /// Runs main mode as initiator.
    fn establish(end: &mut End, now: Instant) -> Option<Self> {
        let choice = end.host.proposals[0];
        let (initiator, own_nonce, private) = ([7; 8], [9; 32], [5; 32]);
        let offer = |writer: &mut MessageWriter<'_>| {
            writer
                .sa(|sa| {
                    sa.proposal(&ProposalHead::new(1, ProtocolId::ISAKMP, &[]), |proposal| {
                        proposal.transform(&TransformHead::new(1, TransformId::KEY_IKE), |list| choice.write(list))
                    })
                })
                .map(drop)
        };
        let none = [0; 8];
        let first = clear(initiator, none, offer);
        let sai_b = first[32..].to_vec();
        let second = exchange(end, now, first)?;
        let responder: [u8; 8] = second[8..16].try_into().ok()?;
        let cookies = Cookies { initiator, responder };
        let mut g_xi = [0; PUBLIC];
        write(power(3, &private), &mut g_xi);
        let fourth = exchange(
            end,
            now,
            clear(initiator, responder, |writer| {
                writer.bytes(PayloadKind::KEY_EXCHANGE, &g_xi)?;
                writer.bytes(PayloadKind::NONCE, &own_nonce).map(drop)
            }),
        )?;
        let body = |kind: PayloadKind| {
            let message = ike_codec::Message::parse(&fourth).ok()?;
            message.find(kind).map(|payload| payload.body.to_vec())
        };
        let (g_xr, peer_nonce) = (body(PayloadKind::KEY_EXCHANGE)?, body(PayloadKind::NONCE)?);
        let mut shared = [0; PUBLIC];
        write(power(read(&g_xr)?, &private), &mut shared);
        let nonces = Nonces { initiator: &own_nonce, responder: &peer_nonce };
        let skeyid = Skeyid::pre_shared_key(choice.hash.prf(), KEY, &nonces).ok()?;
        let keys = skeyid.derive(&shared, &cookies);
        let ka = keys.cipher_key(choice.cipher, choice.cipher_key).ok()?;
        let protection = Protection::new(choice.cipher, ka.expose(), choice.hash).ok()?;
        let mut chain = protection.phase_1(&g_xi, &g_xr);
        let publics = Phase1Publics { cookies, g_xi: &g_xi, g_xr: &g_xr, sai_b: &sai_b };
        let id = [IdKind::KEY_ID.0, 0, 0, 0, 1];
        let hash = skeyid.hash_i(&publics, &id);
        let mut buf = [0; 512];
        let header = Header::new(initiator, responder, ExchangeKind::MAIN, 0);
        let mut writer = MessageWriter::new(&mut buf, &header).ok()?;
        writer.bytes(PayloadKind::ID, &id).ok()?.bytes(PayloadKind::HASH, hash.expose()).ok()?;
        let message = writer.finish_padded(protection.block()).ok()?;
        chain.confirm(protection.encrypt(&chain, message).ok()?);
        let mut sixth = exchange(end, now, message.to_vec())?;
        chain.confirm(protection.decrypt(&chain, &mut sixth).ok()?);
        plaintext(&sixth).ok()?;
        Some(Self { cookies, keys, protection, phase_1: chain })
    }

    /// Returns a message with a valid hash over these octets as payloads.
    fn message(&self, exchange: ExchangeKind, message_id: u32, first: PayloadKind, payloads: &[u8]) -> Vec<u8> {
        let hash = self.keys.hash_1(message_id, payloads);
        let header = Header {
            next_payload: PayloadKind::HASH,
            ..Header::new(self.cookies.initiator, self.cookies.responder, exchange, message_id)
        };
        let length = 4 + hash.expose().len();
        let mut message = header.to_bytes().to_vec();
        message.extend([first.0, 0, 0, length as u8]);
        message.extend(hash.expose());
        message.extend(payloads);
        let block = self.protection.block();
        message.resize(28 + (message.len() - 28).next_multiple_of(block), 0);
        let total = message.len() as u32;
        message[24..28].copy_from_slice(&total.to_be_bytes());
        let chain = self.protection.phase_2(&self.phase_1, message_id);
        self.protection.encrypt(&chain, &mut message).map(drop).unwrap_or_default();
        message
    }
}

/// Returns a message of main mode in cleartext.
fn clear(
    initiator: [u8; 8],
    responder: [u8; 8],
    payloads: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), ike_codec::NoSpace>,
) -> Vec<u8> {
    let mut buf = [0; 512];
    let header = Header::new(initiator, responder, ExchangeKind::MAIN, 0);
    let Ok(mut writer) = MessageWriter::new(&mut buf, &header) else { return Vec::new() };
    payloads(&mut writer).unwrap_or_default();
    writer.finish().to_vec()
}

/// Sends a message and returns the answer. After main mode, the first message of a transaction exchange may follow it.
fn exchange(end: &mut End, now: Instant, message: Vec<u8>) -> Option<Vec<u8>> {
    end.receive(now, message);
    end.poll(now).into_iter().next().map(|(_, datagram)| datagram)
}
