//! Configuration of a peer that has its own memory.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use ike_codec::{AuthMethod, ExchangeKind, IdKind, Identification, NatTraversals};

use crate::{DeadPeerDetection, ModeConfig, Path, Peer, PeerDefaults, Phase1Choice, ProposalCheck, XauthRole};

/// Configuration of a peer, from which a [`Peer`] is borrowed. Configuration languages produce it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// Name of the peer in messages.
    pub name: String,
    /// Address and UDP port of the peer; `None` for a peer at any address, which only initiates.
    pub address: Option<SocketAddr>,
    /// Transforms of phase 1 in order of preference.
    pub proposals: Vec<Phase1Choice>,
    /// Exchanges that are allowed in phase 1; this host initiates the first one.
    pub exchanges: Vec<ExchangeKind>,
    /// Identity of this host.
    pub local_identity: LocalIdentity,
    /// Identity that the peer must have; `None` for any.
    pub remote_identity: Option<Identity>,
    /// Comparison of lifetimes and key lengths as responder.
    pub check: ProposalCheck,
    /// Values that the peer assumes when a proposal does not contain them.
    pub defaults: PeerDefaults,
    /// NAT traversal: off, with a NAT, or always.
    pub nat_traversal: NatUse,
    /// Size in octets of the IP packets in which longer messages are sent in fragments; 0 for none.
    pub fragment_size: u16,
    /// Timing of the R-U-THERE messages that this host sends (RFC 3706); `None` if it only answers those of the peer.
    pub dead_peer_detection: Option<DeadPeerDetection>,
    /// Role of this host in extended authentication.
    pub xauth: Option<XauthRole>,
    /// Role of this host in Mode Config; `None` disables it.
    pub mode_config: Option<ModeConfig>,
    /// Set if this host may initiate phase 1.
    pub initiates: bool,
    /// Set if this host renews an ISAKMP SA that protects IPsec SAs before it expires.
    pub renews: bool,
    /// Set if this host sends INITIAL-CONTACT with its first ISAKMP SA as initiator (RFC 2407 section 4.6.3.3).
    pub initial_contact: bool,
}

impl PeerConfig {
    /// Returns a peer with the defaults of [`Peer::new`], which this host may initiate to.
    pub fn new(name: impl Into<String>, address: Option<SocketAddr>) -> Self {
        Self {
            name: name.into(),
            address,
            proposals: Vec::new(),
            exchanges: Vec::new(),
            local_identity: LocalIdentity::Address,
            remote_identity: None,
            check: ProposalCheck::Strict,
            defaults: PeerDefaults::RFC,
            nat_traversal: NatUse::On,
            fragment_size: 1280,
            dead_peer_detection: None,
            xauth: None,
            mode_config: None,
            initiates: true,
            renews: true,
            initial_contact: true,
        }
    }

    /// Returns the configuration for the negotiator. `path` has the addresses for phase 1 as initiator.
    pub fn peer<'a>(&'a self, path: Option<Path>, local_identity: Identification<'a>) -> Peer<'a> {
        Peer {
            path: path.filter(|_| self.initiates),
            remote_identity: self.remote_identity.as_ref().map(Identity::payload),
            check: self.check,
            defaults: self.defaults,
            exchanges: &self.exchanges,
            nat_traversal: match self.nat_traversal {
                NatUse::Off => NatTraversals::NONE,
                NatUse::On | NatUse::Force => Peer::NAT_TRAVERSAL,
            },
            fragment_size: self.fragment_size,
            forces_nat_traversal: self.nat_traversal == NatUse::Force,
            dead_peer_detection: self.dead_peer_detection.filter(|detection| !detection.delay.is_zero()),
            xauth: self.xauth,
            mode_config: self.mode_config,
            renews: self.renews,
            initial_contact: self.initial_contact,
            ..Peer::new(local_identity, &self.proposals)
        }
    }

    /// Returns whether a transform of phase 1 needs a pre-shared key.
    pub fn needs_key(&self) -> bool {
        let methods =
            [AuthMethod::PRE_SHARED_KEY, AuthMethod::XAUTH_INIT_PRE_SHARED, AuthMethod::XAUTH_RESP_PRE_SHARED];
        self.proposals.iter().any(|proposal| methods.contains(&proposal.auth_method))
    }
}

/// Use of NAT traversal with a peer (RFC 3947).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NatUse {
    /// NAT traversal is not negotiated.
    Off,
    /// ESP is sent in UDP if there is a NAT.
    #[default]
    On,
    /// ESP is sent in UDP in any case.
    Force,
}

/// Identity of this host in phase 1.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum LocalIdentity {
    /// Address of this host on the path to the peer.
    #[default]
    Address,
    /// Subject of the certificate of this host.
    CertificateSubject,
    /// Identity that is configured.
    Given(Identity),
}

/// Identity in phase 1 (RFC 2407 section 4.6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Type of the identity.
    pub kind: IdKind,
    /// Identification data in the format of its type.
    pub data: Vec<u8>,
}

impl Identity {
    /// Creates an identity of type `ID_IPV4_ADDR` or `ID_IPV6_ADDR`.
    pub fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self { kind: IdKind::IPV4, data: address.octets().to_vec() },
            IpAddr::V6(address) => Self { kind: IdKind::IPV6, data: address.octets().to_vec() },
        }
    }

    /// Creates an identity whose data is text: `ID_FQDN`, `ID_USER_FQDN` or `ID_KEY_ID`.
    pub fn text(kind: IdKind, text: &str) -> Self {
        Self { kind, data: text.as_bytes().to_vec() }
    }

    /// Returns the identification payload, for any protocol and port.
    pub fn payload(&self) -> Identification<'_> {
        Identification { kind: self.kind, protocol: 0, port: 0, data: &self.data }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.data.as_slice()) {
            (IdKind::IPV4, &[a, b, c, d]) => Ipv4Addr::new(a, b, c, d).fmt(f),
            (IdKind::IPV6, data) => match <[u8; 16]>::try_from(data) {
                Ok(octets) => IpAddr::from(octets).fmt(f),
                Err(_) => data.escape_ascii().fmt(f),
            },
            (_, data) => data.escape_ascii().fmt(f),
        }
    }
}
