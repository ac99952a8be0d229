use core::time::Duration;

use ike_codec::{IpcompTransform, NotifyKind, ProtocolId};
use ipsec_crypto::Secret;
use ipsec_packet::{Instant, Marker, Ports, Selector, SeqWidth};
use ipsec_sa::{
    CompressionAlgorithm, Direction, Lifetimes, Limit, Mode, Protocol, SaId, SaParams, TransformParams, UdpEncap,
};

use super::changeover::Retired;
use super::choose::{DEFAULT_SECONDS, is_in_udp};
use super::event::{Event, Failure, Gone, IpsecSaId, NegotiatedSa, Phase, SlotId};
use super::isakmp_sa::PendingDelete;
use super::spi::Spi;
use super::{IpsecTemplate, MAX_BUNDLE, NatSituation, Path, PeerId, Refusal, Role};
use crate::{KeymatSeed, NatDetection, Nonces, Phase1Keys, Phase2Choice, Phase2Suite};

/// Longest KEYMAT of one SA: Blowfish with 448 bits and HMAC-SHA2-512.
pub(crate) const MAX_KEYMAT: usize = 128;

/// IPsec SAs of both directions for one policy, from the request to their end.
#[derive(Debug)]
pub(crate) struct IpsecSlot {
    pub id: SlotId,
    pub peer: PeerId,
    pub policy: u32,
    pub role: Role,
    pub path: Path,
    /// NAT traversal with the peer.
    pub nat: NatSituation,
    /// Path of the SAs that were announced, before the address or port of the peer has changed.
    pub moved_from: Option<Path>,
    /// Time of the last datagram on the path, as far as it is known.
    pub last_sent: Instant,
    pub stage: Negotiation,
    /// Selector of outbound packets, once it is known: that of the policy, unless the peer has proposed another one.
    pub selector: Option<Selector>,
    /// SAs of each protocol of the policy.
    pub members: [Option<Member>; MAX_BUNDLE],
    /// Random part of the soft lifetime.
    pub jitter: u8,
    /// Failure of the negotiation to be reported: its phase, its reason, and an error that was reported without
    /// authentication.
    pub failed: Option<(Phase, Refusal, Option<NotifyKind>)>,
    /// Reason for the removal of the SAs.
    pub gone: Option<Gone>,
    /// Time at which the negotiation was completed.
    pub established: Option<Instant>,
    /// Digest of the identity of the peer, once an ISAKMP SA is known.
    pub identity: Option<u64>,
    /// End of the lifetime.
    pub expires: Option<Instant>,
    /// Time of the last packet in the outbound SA that the caller has reported.
    pub sent: Option<Instant>,
    /// Time of the first message of quick mode.
    pub began: Instant,
    /// First octets of the lower nonce of quick mode.
    pub lowest_nonce: [u8; 32],
    /// Time at which the outbound SA replaces an older one, unless the peer uses its SA before.
    pub take_over_at: Option<Instant>,
    /// Time until which the request waits for the negotiation of the peer.
    pub wait_until: Option<Instant>,
    /// Set if the outbound SA is no longer used.
    pub retired: Option<Retired>,
}

/// Progress of the negotiation of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Negotiation {
    /// The request waits for an ISAKMP SA, or for a free exchange.
    Wanted,
    /// Quick mode is in progress.
    InProgress,
    /// All SAs are negotiated.
    Complete,
}

/// SAs of one protocol in both directions.
#[derive(Debug)]
pub(crate) struct Member {
    pub protocol: ProtocolId,
    pub mode: Mode,
    pub reqid: u32,
    pub inbound_reqid: u32,
    /// Algorithms, once they are chosen.
    pub choice: Option<Phase2Choice>,
    pub inbound: Half,
    pub outbound: Half,
    /// Delete payload for the inbound SA, to be sent to the peer.
    pub delete: Option<PendingDelete>,
    /// Set if the SPI of the inbound SA is reserved, but was not announced and is to be released.
    pub releases_spi: bool,
}

/// SA of one direction.
#[derive(Debug, Default)]
pub(crate) struct Half {
    pub spi: Spi,
    pub keymat: Option<Secret<MAX_KEYMAT>>,
    pub state: HalfState,
}

/// State of the SA of one direction, as it was reported to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum HalfState {
    /// The SA is not announced.
    #[default]
    None,
    /// The event that announces it is pending.
    Ready,
    /// The event was fetched.
    Announced,
    /// The caller has installed it.
    Installed,
    /// The event of its removal is pending.
    Gone,
}

impl Half {
    /// Creates a larval SA: its SPI is reserved, and its keys are not known.
    pub const fn larval(spi: Spi) -> Self {
        Self { spi, keymat: None, state: HalfState::None }
    }

    /// Derives the key material of the SA with an SPI that its receiver has chosen (RFC 2409 section 5.5). IPComp has
    /// none.
    pub fn new(
        keys: &Phase1Keys,
        (protocol, choice): (ProtocolId, &Phase2Choice),
        spi: Spi,
        shared: Option<&[u8]>,
        nonces: Nonces<'_>,
    ) -> Result<Self, Refusal> {
        let len = choice.suite.keymat_len();
        if len == 0 {
            // ESP and AH have keys, so that an SA without them is one of IPComp.
            let is_ipcomp = matches!(choice.suite, Phase2Suite::Compression(_));
            return if is_ipcomp { Ok(Self::larval(spi)) } else { Err(Refusal::Internal) };
        }
        let mut octets = [0; MAX_KEYMAT];
        let keymat = octets.get_mut(..len).ok_or(Refusal::Internal)?;
        let seed = KeymatSeed { shared, protocol, spi: spi.octets(), nonces };
        let derived = keys.keymat(&seed, keymat).map_err(|_| Refusal::Internal);
        let secret = derived.and_then(|()| Secret::new(keymat).map_err(|_| Refusal::Internal));
        zeroize::Zeroize::zeroize(&mut octets);
        Ok(Self { spi, keymat: Some(secret?), state: HalfState::None })
    }

    /// Ends the SA. Its removal is reported if it was announced.
    pub fn end(&mut self) {
        self.keymat = None;
        self.state = match self.state {
            HalfState::Announced | HalfState::Installed | HalfState::Gone => HalfState::Gone,
            HalfState::None | HalfState::Ready => HalfState::None,
        };
    }
}

impl Member {
    /// Creates the larval SAs for a template, with the SPI of the inbound one.
    pub const fn larval(template: &IpsecTemplate<'_>, spi: Spi) -> Self {
        let &IpsecTemplate { protocol, mode, reqid, inbound_reqid, .. } = template;
        Self {
            protocol,
            mode,
            reqid,
            inbound_reqid,
            choice: None,
            inbound: Half::larval(spi),
            outbound: Half::larval(Spi::NONE),
            delete: None,
            releases_spi: false,
        }
    }

    const fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }

    const fn half_mut(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }

    /// Returns the parameters of the SA of one direction.
    //= RFC 2409 5.5/9, 5.5/10
    //# MUST: client identities apply to every SA of the negotiation
    //# MUST: the keying material is used with the negotiated SA
    fn params(
        &self,
        (path, nat): (&Path, &NatSituation),
        direction: Direction,
        lifetimes: Lifetimes,
    ) -> Option<SaParams> {
        let choice = self.choice?;
        let half = self.half(direction);
        let (local, remote, protocol) = (path.local.ip(), path.remote.ip(), protocol(self.protocol)?);
        let encap = self.encap(path, nat);
        let (id, source, reqid) = match direction {
            Direction::Inbound => (SaId::inbound(local, protocol, half.spi.value()), remote, self.inbound_reqid),
            Direction::Outbound => (SaId::outbound(remote, protocol, half.spi.value()), local, self.reqid),
        };
        let is_outbound_in_udp = direction == Direction::Outbound && encap.is_some();
        let id = if is_outbound_in_udp { id.with_peer_port(path.remote.port()) } else { id };
        let encap = encap.map(|encap| match direction {
            Direction::Outbound => encap,
            Direction::Inbound => {
                let Ports { source, destination } = encap.ports;
                UdpEncap { ports: Ports { source: destination, destination: source }, ..encap }
            }
        });
        let sequence = if choice.extended_sequence { SeqWidth::Extended64 } else { SeqWidth::Bits32 };
        let mode = self.mode;
        Some(SaParams {
            mode,
            reqid,
            sequence,
            lifetimes,
            encap,
            ..SaParams::new(id, source, transform(&choice, half)?)
        })
    }
}

impl Member {
    /// Returns the UDP encapsulation of outbound packets, if it was negotiated (RFC 3948).
    fn encap(&self, path: &Path, nat: &NatSituation) -> Option<UdpEncap> {
        self.choice?.encapsulation.filter(|mode| self.protocol == ProtocolId::ESP && is_in_udp(*mode))?;
        let marker = match nat.document {
            Some(document) if !document.changes_port() => Marker::NonIke,
            _ => Marker::NonEsp,
        };
        let ports = Ports { source: path.local.port(), destination: path.remote.port() };
        Some(UdpEncap { ports, marker })
    }
}

/// Returns the algorithms of an SA with their keys.
fn transform(choice: &Phase2Choice, half: &Half) -> Option<TransformParams> {
    Some(match (choice.protocol, choice.suite) {
        (ProtocolId::AH, Phase2Suite::Keyed { integrity, .. }) => {
            TransformParams::Ah { integrity, key: Secret::new(half.keymat.as_ref()?.expose()).ok()? }
        }
        (ProtocolId::IPCOMP, Phase2Suite::Compression(id)) => {
            let algorithm = match id {
                IpcompTransform::LZS => CompressionAlgorithm::Lzs,
                _ => CompressionAlgorithm::Deflate,
            };
            TransformParams::Ipcomp { algorithm, spi: half.spi.value() }
        }
        (_, suite) => TransformParams::Esp(suite.split(half.keymat.as_ref()?.expose()).ok()?),
    })
}

/// Returns the protocol of an SA.
pub(crate) const fn protocol(protocol: ProtocolId) -> Option<Protocol> {
    match protocol {
        ProtocolId::ESP => Some(Protocol::Esp),
        ProtocolId::AH => Some(Protocol::Ah),
        ProtocolId::IPCOMP => Some(Protocol::Ipcomp),
        _ => None,
    }
}

impl IpsecSlot {
    pub const fn new(id: SlotId, peer: PeerId, policy: u32, role: Role, path: Path) -> Self {
        Self {
            id,
            peer,
            policy,
            role,
            path,
            nat: NatSituation { document: None, detection: NatDetection { here: false, there: false } },
            moved_from: None,
            last_sent: Instant::ZERO,
            stage: Negotiation::Wanted,
            selector: None,
            members: [const { None }; MAX_BUNDLE],
            jitter: 0,
            failed: None,
            gone: None,
            established: None,
            identity: None,
            expires: None,
            sent: None,
            began: Instant::ZERO,
            lowest_nonce: [0; 32],
            take_over_at: None,
            wait_until: None,
            retired: None,
        }
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flatten()
    }

    pub fn members_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut().flatten()
    }

    /// Returns whether no message or event is pending, so that the slot is free.
    pub fn is_finished(&self) -> bool {
        let is_silent = |member: &Member| {
            !member.releases_spi
                && member.delete.is_none()
                && (member.inbound.state, member.outbound.state) == (HalfState::None, HalfState::None)
        };
        self.gone.is_some() && self.failed.is_none() && self.members().all(is_silent)
    }

    /// Returns whether a delete payload is to be sent.
    pub fn is_deleting(&self) -> bool {
        self.members().any(|member| member.delete.is_some())
    }

    /// Returns whether an SPI is one of the SAs.
    pub fn has_spi(&self, spi: u32) -> bool {
        self.members().any(|member| member.inbound.spi.value() == spi || member.outbound.spi.value() == spi)
    }

    /// Announces the inbound SAs to the caller.
    pub fn announce_inbound(&mut self) {
        self.members_mut().for_each(|member| member.inbound.state = HalfState::Ready);
    }

    /// Records that the caller has installed one of the inbound SAs. Returns whether all are installed.
    pub fn install(&mut self) -> bool {
        if let Some(member) = self.members_mut().find(|member| member.inbound.state == HalfState::Announced) {
            member.inbound.state = HalfState::Installed;
        }
        self.members().all(|member| member.inbound.state == HalfState::Installed)
    }

    /// Ends the pair. The removal of the SAs that were announced is reported.
    pub fn end(&mut self, why: Gone) {
        if self.gone.is_some() {
            return;
        }
        self.gone = Some(why);
        (self.expires, self.take_over_at, self.wait_until) = (None, None, None);
        for member in self.members_mut() {
            let is_announced = !matches!(member.inbound.state, HalfState::None | HalfState::Ready);
            member.releases_spi = !is_announced && member.inbound.spi != Spi::NONE;
            member.inbound.end();
            member.outbound.end();
        }
    }

    /// Announces the outbound SAs to the caller.
    pub fn announce_outbound(&mut self) {
        self.take_over_at = None;
        self.members_mut().for_each(|member| member.outbound.state = HalfState::Ready);
    }

    /// Completes the negotiation: the lifetime begins.
    pub fn complete(&mut self, now: Instant) {
        self.stage = Negotiation::Complete;
        self.established = Some(now);
        self.expires = Some(now.saturating_add(self.lifetime()));
    }

    /// Returns the shortest lifetime of the SAs in kilobytes, if there is one.
    pub fn kilobytes(&self) -> Option<u64> {
        self.members().filter_map(|member| member.choice?.lifetimes.kilobytes).min()
    }

    /// Returns the shortest lifetime of the SAs.
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.seconds())
    }

    /// Returns the shortest lifetime of the SAs in seconds.
    fn seconds(&self) -> u64 {
        let seconds = |member: &Member| member.choice.and_then(|choice| choice.lifetimes.seconds);
        self.members().filter_map(seconds).min().unwrap_or(DEFAULT_SECONDS)
    }

    /// Returns the next event of an SA that is to be installed: inbound SAs before outbound ones.
    pub fn poll_ready(&mut self) -> Option<Event> {
        self.poll_halves(HalfState::Ready)
    }

    /// Returns whether this host negotiates the pair for a policy with a peer.
    pub fn is_pending(&self, peer: PeerId, policy: u32) -> bool {
        (self.peer, self.policy, self.role) == (peer, policy, Role::Initiator)
            && self.stage != Negotiation::Complete
            && self.gone.is_none()
    }

    /// Returns the next event of an SA that is to be removed, or of the failure of the negotiation.
    pub fn poll_gone(&mut self) -> Option<Event> {
        self.poll_halves(HalfState::Gone).or_else(|| self.poll_failure())
    }

    fn poll_failure(&mut self) -> Option<Event> {
        let (phase, reason, hint) = self.failed.take()?;
        let (peer, path, sa, role) = (Some(self.peer), self.path, Some(IpsecSaId(self.id)), self.role);
        Some(Event::Failed(Failure { peer, path, sa, phase, role, reason, hint }))
    }

    fn poll_halves(&mut self, state: HalfState) -> Option<Event> {
        let halves = |direction| (0..MAX_BUNDLE).map(move |index| (index, direction));
        let mut halves = halves(Direction::Inbound).chain(halves(Direction::Outbound));
        halves.find_map(|(index, direction)| {
            let is_it = self.members.get(index)?.as_ref()?.half(direction).state == state;
            if is_it { self.poll_half(index, direction) } else { None }
        })
    }

    fn poll_half(&mut self, index: usize, direction: Direction) -> Option<Event> {
        let (sa, peer, policy, path) = (IpsecSaId(self.id), self.peer, self.policy, self.path);
        let nat = self.nat;
        let (lifetimes, selector) = (self.lifetimes(), self.selector);
        let retired = self.retired.map(|retired| retired.why).filter(|_| direction == Direction::Outbound);
        let gone = retired.or(self.gone);
        let member = self.members.get_mut(index)?.as_mut()?;
        match member.half(direction).state {
            HalfState::Ready => {
                let params = member.params((&path, &nat), direction, lifetimes)?;
                let half = member.half_mut(direction);
                half.state = HalfState::Announced;
                half.keymat = None;
                let negotiated = NegotiatedSa { sa, peer, policy, selector: selector?, params };
                Some(match direction {
                    Direction::Inbound => Event::InboundReady(negotiated),
                    Direction::Outbound => Event::OutboundReady(negotiated),
                })
            }
            HalfState::Gone => {
                let half = member.half_mut(direction);
                half.state = HalfState::None;
                let spi = half.spi.value();
                let protocol = protocol(member.protocol)?;
                Some(Event::IpsecSaGone { sa, peer, direction, protocol, spi, path, why: gone? })
            }
            HalfState::None | HalfState::Announced | HalfState::Installed => None,
        }
    }

    /// Returns the limits of the SAs. The initiator renews them after 80 to 90 % of their lifetime, the responder after
    /// 90 to 95 % if the initiator has not; those of less than a minute after a half and three quarters.
    fn lifetimes(&self) -> Lifetimes {
        let seconds = self.seconds();
        let octets = self.kilobytes().map(|kilobytes| kilobytes.saturating_mul(1024));
        let hard = Limit { age: Some(Duration::from_secs(seconds)), octets, ..Limit::default() };
        let (base, spread) = match self.role {
            Role::Initiator if seconds < 60 => (500, 0),
            Role::Responder if seconds < 60 => (750, 0),
            Role::Initiator => (800, 100),
            Role::Responder => (900, 50),
        };
        let permille = u64::from(self.jitter).wrapping_mul(spread).wrapping_div(255).saturating_add(base);
        let part = |whole: u64| whole.saturating_mul(permille).wrapping_div(1000);
        let soft = Limit {
            age: Some(Duration::from_millis(part(seconds.saturating_mul(1000)))),
            octets: octets.map(part),
            ..Limit::default()
        };
        Lifetimes { soft, hard }
    }
}
