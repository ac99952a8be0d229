use core::time::Duration;

use ike_codec::ProtocolId;
use ipsec_crypto::Secret;
use ipsec_packet::{Instant, Selector, SeqWidth};
use ipsec_sa::{Direction, Lifetimes, Limit, Mode, Protocol, SaId, SaParams, TransformParams};

use super::choose::DEFAULT_SECONDS;
use super::event::{Event, Failure, Gone, IpsecSaId, NegotiatedSa, SlotId};
use super::isakmp_sa::PendingDelete;
use super::{IpsecPolicy, Path, PeerId, Refusal, Role};
use crate::{KeymatSeed, Nonces, Phase1Keys, Phase2Choice};

/// Longest KEYMAT of one SA: Blowfish with 448 bits and HMAC-SHA2-512.
pub(crate) const MAX_KEYMAT: usize = 128;

/// Pair of IPsec SAs, from the request to their end.
#[derive(Debug)]
pub(crate) struct IpsecSlot {
    pub id: SlotId,
    pub peer: PeerId,
    pub policy: u32,
    pub role: Role,
    pub path: Path,
    pub stage: Negotiation,
    pub terms: Option<Terms>,
    pub inbound: Half,
    pub outbound: Half,
    /// Deletion of the inbound SA, to be sent to the peer.
    pub delete: Option<PendingDelete>,
    /// Failure to be reported.
    pub failed: Option<Failure>,
    /// Set if the SPI of the inbound SA is reserved, but was not announced and is to be released.
    pub releases_spi: bool,
    /// Reason for the removal of the pair.
    pub gone: Option<Gone>,
    /// Time at which the negotiation was completed.
    pub established: Option<Instant>,
    /// Digest of the identity of the peer, once an ISAKMP SA is known.
    pub identity: Option<u64>,
    /// End of the lifetime.
    pub expires: Option<Instant>,
}

/// Progress of the negotiation of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Negotiation {
    /// The request waits for an ISAKMP SA, or for a free exchange.
    Wanted,
    /// Quick mode is in progress.
    InProgress,
    /// Both SAs are negotiated.
    Complete,
}

/// Terms of a pair, as negotiated so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub mode: Mode,
    pub reqid: u32,
    pub inbound_reqid: u32,
    pub selector: Selector,
    pub choice: Phase2Choice,
    /// Random part of the soft lifetime, 0 to 255.
    pub jitter: u8,
}

impl Terms {
    pub const fn of(policy: &IpsecPolicy<'_>, selector: Selector, choice: Phase2Choice, jitter: u8) -> Self {
        let &IpsecPolicy { mode, reqid, inbound_reqid, .. } = policy;
        Self { mode, reqid, inbound_reqid, selector, choice, jitter }
    }
}

/// SA of one direction.
#[derive(Debug, Default)]
pub(crate) struct Half {
    pub spi: u32,
    pub keymat: Option<Secret<MAX_KEYMAT>>,
    pub state: HalfState,
}

/// State of the SA of one direction, as the caller knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum HalfState {
    /// The SA is not announced.
    #[default]
    None,
    /// The event that announces it waits to be fetched.
    Ready,
    /// The event was fetched.
    Announced,
    /// The caller has installed it.
    Installed,
    /// The event of its removal waits to be fetched.
    Gone,
}

impl Half {
    /// Derives the key material of the SA with an SPI that its receiver has chosen (RFC 2409 section 5.5).
    pub fn new(
        keys: &Phase1Keys,
        choice: &Phase2Choice,
        spi: u32,
        shared: Option<&[u8]>,
        nonces: Nonces<'_>,
    ) -> Result<Self, Refusal> {
        let mut octets = [0; MAX_KEYMAT];
        let keymat = octets.get_mut(..choice.suite.keymat_len()).ok_or(Refusal::Internal)?;
        let spi_octets = spi.to_be_bytes();
        let seed = KeymatSeed { shared, protocol: ProtocolId::ESP, spi: &spi_octets, nonces };
        let derived = keys.keymat(&seed, keymat).map_err(|_| Refusal::Internal);
        let secret = derived.and_then(|()| Secret::new(keymat).map_err(|_| Refusal::Internal));
        zeroize::Zeroize::zeroize(&mut octets);
        Ok(Self { spi, keymat: Some(secret?), state: HalfState::None })
    }

    const fn is_known_to_caller(&self) -> bool {
        matches!(self.state, HalfState::Announced | HalfState::Installed)
    }
}

impl IpsecSlot {
    pub fn new(id: SlotId, peer: PeerId, policy: u32, role: Role, path: Path) -> Self {
        Self {
            id,
            peer,
            policy,
            role,
            path,
            stage: Negotiation::Wanted,
            terms: None,
            inbound: Half::default(),
            outbound: Half::default(),
            delete: None,
            failed: None,
            releases_spi: false,
            gone: None,
            established: None,
            identity: None,
            expires: None,
        }
    }

    /// Returns whether nothing is left to be sent or reported, so that the slot is free.
    pub const fn is_finished(&self) -> bool {
        self.gone.is_some()
            && self.failed.is_none()
            && !self.releases_spi
            && self.delete.is_none()
            && matches!(self.inbound.state, HalfState::None)
            && matches!(self.outbound.state, HalfState::None)
    }

    /// Ends the pair. The SAs that the caller knows are reported as gone.
    pub fn end(&mut self, why: Gone) {
        if self.gone.is_some() {
            return;
        }
        self.gone = Some(why);
        self.expires = None;
        self.releases_spi = self.inbound.spi != 0 && matches!(self.inbound.state, HalfState::None | HalfState::Ready);
        for half in [&mut self.inbound, &mut self.outbound] {
            half.keymat = None;
            half.state = if half.is_known_to_caller() { HalfState::Gone } else { HalfState::None };
        }
    }

    /// Returns the next event of the pair.
    pub fn poll_event(&mut self) -> Option<Event> {
        for direction in [Direction::Inbound, Direction::Outbound] {
            if let Some(event) = self.poll_half(direction) {
                return Some(event);
            }
        }
        self.failed.take().map(Event::Failed)
    }

    /// Completes the negotiation: the outbound SA may be installed, and the lifetime begins.
    pub fn complete(&mut self, now: Instant) {
        self.stage = Negotiation::Complete;
        self.established = Some(now);
        self.outbound.state = HalfState::Ready;
        let seconds = self.terms.and_then(|terms| terms.choice.lifetimes.seconds).unwrap_or(DEFAULT_SECONDS);
        self.expires = Some(now.saturating_add(Duration::from_secs(seconds)));
    }

    fn poll_half(&mut self, direction: Direction) -> Option<Event> {
        match self.half(direction).state {
            HalfState::Ready => {
                let half = self.half_mut(direction);
                half.state = HalfState::Announced;
                let keymat = half.keymat.take()?;
                let params = self.params(direction, &keymat)?;
                let (sa, peer, policy, selector) = (IpsecSaId(self.id), self.peer, self.policy, self.terms?.selector);
                let negotiated = NegotiatedSa { sa, peer, policy, selector, params };
                Some(match direction {
                    Direction::Inbound => Event::InboundReady(negotiated),
                    Direction::Outbound => Event::OutboundReady(negotiated),
                })
            }
            HalfState::Gone => {
                let half = self.half_mut(direction);
                half.state = HalfState::None;
                let (spi, why) = (half.spi, self.gone?);
                Some(Event::IpsecSaGone {
                    sa: IpsecSaId(self.id),
                    peer: self.peer,
                    direction,
                    spi,
                    path: self.path,
                    why,
                })
            }
            HalfState::None | HalfState::Announced | HalfState::Installed => None,
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
    fn params(&self, direction: Direction, keymat: &Secret<MAX_KEYMAT>) -> Option<SaParams> {
        let Terms { mode, choice, .. } = self.terms?;
        let keys = choice.suite.split(keymat.expose()).ok()?;
        let (local, remote) = (self.path.local.ip(), self.path.remote.ip());
        let Terms { reqid, inbound_reqid, .. } = self.terms?;
        let (id, source, reqid) = match direction {
            Direction::Inbound => (SaId::inbound(local, Protocol::Esp, self.inbound.spi), remote, inbound_reqid),
            Direction::Outbound => (SaId::outbound(remote, Protocol::Esp, self.outbound.spi), local, reqid),
        };
        let sequence = if choice.extended_sequence { SeqWidth::Extended64 } else { SeqWidth::Bits32 };
        let lifetimes = self.lifetimes()?;
        Some(SaParams { mode, reqid, sequence, lifetimes, ..SaParams::new(id, source, TransformParams::Esp(keys)) })
    }

    /// Returns the limits of both SAs. The initiator renews the pair after 80 to 90 % of its lifetime, the responder
    /// after 90 to 95 % if the initiator has not.
    fn lifetimes(&self) -> Option<Lifetimes> {
        let Terms { choice, jitter, .. } = self.terms?;
        let seconds = choice.lifetimes.seconds.unwrap_or(DEFAULT_SECONDS);
        let octets = choice.lifetimes.kilobytes.map(|kilobytes| kilobytes.saturating_mul(1024));
        let hard = Limit { age: Some(Duration::from_secs(seconds)), octets, ..Limit::default() };
        let (base, spread) = match self.role {
            Role::Initiator => (800, 100),
            Role::Responder => (900, 50),
        };
        let permille = u64::from(jitter).wrapping_mul(spread).wrapping_div(255).saturating_add(base);
        let part = |whole: u64| whole.saturating_mul(permille).wrapping_div(1000);
        let soft = Limit {
            age: Some(Duration::from_millis(part(seconds.saturating_mul(1000)))),
            octets: octets.map(part),
            ..Limit::default()
        };
        Some(Lifetimes { soft, hard })
    }
}
