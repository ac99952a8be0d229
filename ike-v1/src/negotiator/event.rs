use core::fmt;
use core::net::SocketAddr;

use ike_codec::{ExchangeKind, NotifyKind};
use ipsec_packet::Selector;
use ipsec_sa::{Direction, Protocol, SaParams};

use super::{ClientConfig, MAX_BUNDLE, NatSituation, Path, PeerId, Refusal, SpiPair};
use crate::Phase1Choice;

/// Identifier of an ISAKMP SA in its negotiator. It is not reused for a later SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IsakmpSaId(pub(crate) SlotId);

/// Identifier of a pair of IPsec SAs, or of the negotiation of one. It is not reused for a later pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpsecSaId(pub(crate) SlotId);

/// Index of a slot, and a number that changes with each use of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SlotId {
    pub index: u16,
    pub generation: u32,
}

impl fmt::Display for IsakmpSaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ISAKMP SA {}.{}", self.0.index, self.0.generation)
    }
}

impl fmt::Display for IpsecSaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IPsec SA {}.{}", self.0.index, self.0.generation)
    }
}

/// Side of an exchange (RFC 2408 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// This host sent the first message.
    Initiator,
    /// The peer sent the first message.
    Responder,
}

impl Role {
    /// Returns the other side.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Initiator => "initiator",
            Self::Responder => "responder",
        })
    }
}

/// Event of a negotiator for the caller, in the order in which the events are to be handled.
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum Event {
    /// Phase 1 has begun: the first message was accepted, or is about to be sent (RFC 2409 section 5). The peer is not
    /// authenticated. [`Event::Phase1Up`] or [`Event::Failed`] follows, or none if the exchange is evicted. The event
    /// needs the feature `phase-1-events`.
    Phase1Begun {
        /// Peer for whose address the exchange is.
        peer: PeerId,
        /// Role of this host.
        role: Role,
        /// Exchange: main, aggressive or base mode.
        exchange: ExchangeKind,
        /// Addresses and ports of the exchange.
        path: Path,
    },
    /// Phase 1 is complete: the ISAKMP SA is established (RFC 2409 section 5).
    Phase1Up {
        /// Peer of the SA.
        peer: PeerId,
        /// Identifier of the SA.
        sa: IsakmpSaId,
        /// Role of this host in phase 1.
        role: Role,
        /// Addresses and ports of the SA.
        path: Path,
        /// Negotiated algorithms and parameters.
        choice: Phase1Choice,
        /// Result of NAT detection, and the document of NAT traversal.
        nat: NatSituation,
    },
    /// Extended authentication is complete: the server has accepted the user of the client
    /// (draft-beaulieu-ike-xauth-02). Both sides have the event.
    LoggedIn {
        /// Peer of the SA.
        peer: PeerId,
        /// ISAKMP SA in which the user was authenticated.
        sa: IsakmpSaId,
    },
    /// A server of Cisco has named another one (LOAD-BALANCE). The ISAKMP SA no longer exists, and the requests that
    /// wait begin phase 1 with the other server. Later ones use the address of the configuration.
    Redirected {
        /// Peer of the SA.
        peer: PeerId,
        /// Identifier of the SA.
        sa: IsakmpSaId,
        /// Address and port of the other server.
        server: SocketAddr,
    },
    /// A server has sent the configuration of this host (draft-dukes-ike-mode-cfg-02). Quick mode that waits for it
    /// begins after the event, so that the caller can change its policies before.
    Leased {
        /// Peer of the SA.
        peer: PeerId,
        /// ISAKMP SA in which it was sent.
        sa: IsakmpSaId,
        /// Address, name servers and networks.
        config: ClientConfig,
    },
    /// The inbound SA is to be installed. The message that lets the peer use it is sent after
    /// [`Negotiator::installed`](super::Negotiator::installed).
    InboundReady(NegotiatedSa),
    /// The outbound SA is to be installed: the peer has installed its inbound SA.
    OutboundReady(NegotiatedSa),
    /// An SA that was announced as ready is to be removed. The inbound SA of a pair may be needed longer than the
    /// outbound one.
    IpsecSaGone {
        /// Identifier of the pair.
        sa: IpsecSaId,
        /// Peer of the SA.
        peer: PeerId,
        /// Direction of the SA.
        direction: Direction,
        /// Protocol of the SA.
        protocol: Protocol,
        /// SPI of the SA, or its CPI.
        spi: u32,
        /// Addresses and ports of the SA.
        path: Path,
        /// Reason for the removal.
        why: Gone,
    },
    /// The address or port of a peer behind a NAT has changed: the outbound SAs of the pair are to send to `to`. Those
    /// that were announced meanwhile have the new path already (RFC 3947 section 7).
    PeerMoved {
        /// Identifier of the pair.
        sa: IpsecSaId,
        /// Peer of the SAs.
        peer: PeerId,
        /// SPIs of the SAs of each protocol.
        spis: [Option<SpiPair>; MAX_BUNDLE],
        /// Addresses and ports before the change.
        from: Path,
        /// Addresses and ports now.
        to: Path,
    },
    /// An ISAKMP SA no longer exists. Its IPsec SAs are independent of it (RFC 2408 section 5.15).
    Phase1Gone {
        /// Peer of the SA.
        peer: PeerId,
        /// Identifier of the SA.
        sa: IsakmpSaId,
        /// Reason for the removal.
        why: Gone,
    },
    /// A peer has not answered dead peer detection (RFC 3706). The events that remove its SAs follow; no delete
    /// payloads are sent. Whether the SAs are negotiated again, at once or for the next packet, is a decision of the
    /// caller.
    PeerDead {
        /// Peer that is dead.
        peer: PeerId,
        /// Identifier of the ISAKMP SA in which the queries were sent.
        sa: IsakmpSaId,
        /// Addresses and ports of that SA.
        path: Path,
    },
    /// A peer has sent a message with the cookies of an unknown ISAKMP SA: this host, or the peer, has lost its SAs.
    /// The message is not authentic. Sent at most once a minute.
    UnknownSa {
        /// Addresses and ports of the message.
        path: Path,
    },
    /// A negotiation has failed, for the reason in [`Failure`].
    Failed(Failure),
}

/// IPsec SA of one direction whose negotiation is complete.
#[derive(Debug)]
pub struct NegotiatedSa {
    /// Identifier of the pair.
    pub sa: IpsecSaId,
    /// Peer of the SA.
    pub peer: PeerId,
    /// Number of the policy.
    pub policy: u32,
    /// Selector of outbound packets that was negotiated; it may be narrower than that of the policy.
    pub selector: Selector,
    /// Parameters with the keys, as a back end installs them.
    pub params: SaParams,
}

/// Failure of a negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Peer, if one is configured for the message.
    pub peer: Option<PeerId>,
    /// Addresses and ports of the exchange.
    pub path: Path,
    /// Negotiation that the caller has initiated.
    pub sa: Option<IpsecSaId>,
    /// Phase in which the negotiation failed.
    pub phase: Phase,
    /// Role of this host in the exchange.
    pub role: Role,
    /// Reason of the failure.
    pub reason: Refusal,
    /// Error that the peer reported without authentication. It is a hint for the operator only.
    pub hint: Option<NotifyKind>,
}

/// Phase of a negotiation (RFC 2408 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Phase 1: negotiation of an ISAKMP SA.
    One,
    /// Phase 2: negotiation of IPsec SAs.
    Two,
    /// Extended authentication or Mode Config, between both.
    Transaction,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::One => "phase 1",
            Phase::Two => "phase 2",
            Phase::Transaction => "transaction exchange",
        };
        write!(f, "{phase} as {} with {} failed: {}", self.role, self.path.remote, self.reason)?;
        if let (Phase::One, Refusal::NoAnswer { .. }) = (self.phase, self.reason) {
            write!(f, "; check that UDP port {} of the peer is reachable", self.path.remote.port())?;
        }
        self.hint.map_or(Ok(()), |hint| write!(f, "; unauthenticated {hint} was received"))
    }
}

/// Reason why an SA no longer exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gone {
    /// The peer deleted the SA (RFC 2408 section 5.15).
    DeletedByPeer,
    /// The lifetime of the SA has ended.
    Expired,
    /// The caller deleted the SA.
    Operator,
    /// The negotiation of the pair was not completed.
    Failed,
    /// The peer has sent INITIAL-CONTACT: it has lost its SAs (RFC 2407 section 4.6.3.3).
    PeerRestarted,
    /// The peer did not answer a quick mode in the ISAKMP SA, which it has probably lost.
    NoAnswer,
    /// The table was full, and newer ISAKMP SAs with the same peer replaced the SA.
    Superseded,
    /// A newer pair of IPsec SAs has replaced it.
    Renewed,
    /// Both peers have negotiated a pair at the same time, and the other pair is used.
    Redundant,
    /// The peer has not answered dead peer detection (RFC 3706).
    PeerDead,
    /// Extended authentication or Mode Config has failed.
    AccessDenied,
    /// The server has named another one for the client.
    Redirected,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::DeletedByPeer => "deleted by the peer",
            Self::Expired => "expired",
            Self::Operator => "deleted",
            Self::Failed => "negotiation was not completed",
            Self::PeerRestarted => "peer has restarted",
            Self::NoAnswer => "no answer",
            Self::Superseded => "superseded by newer ISAKMP SAs",
            Self::Renewed => "renewed",
            Self::Redundant => "redundant",
            Self::PeerDead => "peer is dead",
            Self::AccessDenied => "access denied",
            Self::Redirected => "redirected to another server",
        })
    }
}
