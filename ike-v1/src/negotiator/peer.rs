use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::SocketAddr;

use ike_codec::{AuthMethod, ExchangeKind, Group, Identification, NatTraversal, NatTraversals, ProtocolId};
use ipsec_packet::Selector;
use ipsec_sa::Mode;

use super::features::{BUNDLES, XAUTH};
use super::xauth::xauth_role;
use super::{DeadPeerDetection, ModeConfig, Refusal, Role, XauthRole};
use crate::{PeerDefaults, Phase1Choice, Phase2Choice};

/// Local and remote address and UDP port of a message.
#[derive(Clone, Copy, Debug, Eq)]
pub struct Path {
    /// Address and port of this host.
    pub local: SocketAddr,
    /// Address and port of the peer.
    pub remote: SocketAddr,
}

impl PartialEq for Path {
    #[inline(never)] // paths are compared in many places, as two enums each
    fn eq(&self, other: &Self) -> bool {
        (self.local, self.remote) == (other.local, other.remote)
    }
}

impl Hash for Path {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.local, self.remote).hash(state);
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.local, self.remote)
    }
}

/// Number of a peer in the configuration of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u16);

/// Configuration of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Addresses and ports for phase 1 as initiator; `None` for a peer that only this host may be initiated by.
    pub path: Option<Path>,
    /// Algorithms of phase 1 in order of preference.
    pub proposals: &'a [Phase1Choice],
    /// Identity of this host.
    pub local_identity: Identification<'a>,
    /// Identity that the peer must have; `None` accepts every identity that is authenticated.
    pub remote_identity: Option<Identification<'a>>,
    /// Comparison of lifetimes and key lengths as responder.
    pub check: ProposalCheck,
    /// Values that the peer assumes when a proposal does not contain them.
    pub defaults: PeerDefaults,
    /// Exchanges that are allowed in phase 1: main, aggressive and base mode. This host initiates the first one.
    ///
    /// Aggressive mode sends the identities in cleartext. With a pre-shared key every host that knows the identity of
    /// the initiator receives a hash with which a weak key can be found by trying offline.
    pub exchanges: &'a [ExchangeKind],
    /// Documents of NAT traversal (RFC 3947 or its drafts) that this host supports; an empty set disables it.
    pub nat_traversal: NatTraversals,
    /// Size in octets of the IP packets in which longer messages are sent in fragments to a peer that supports them; 0
    /// for none.
    pub fragment_size: u16,
    /// Set if the NAT-D payloads of this host are deliberately wrong, so that ESP is sent in UDP without a NAT.
    pub forces_nat_traversal: bool,
    /// Timing of the R-U-THERE messages that this host sends (RFC 3706); `None` if it only answers those of the peer.
    pub dead_peer_detection: Option<DeadPeerDetection>,
    /// Role of this host in extended authentication; `None` disables it. The number of an authentication method says
    /// whether the initiator or the responder of phase 1 is the client: a proposal that would give this host another
    /// part is neither sent nor accepted.
    pub xauth: Option<XauthRole>,
    /// Role of this host in Mode Config; `None` disables it.
    pub mode_config: Option<ModeConfig>,
    /// Set if this host renews an ISAKMP SA that protects IPsec SAs before it expires. Otherwise the next request
    /// begins phase 1.
    pub renews: bool,
    /// Set if this host sends INITIAL-CONTACT with its first ISAKMP SA as initiator (RFC 2407 section 4.6.3.3).
    pub initial_contact: bool,
}

impl<'a> Peer<'a> {
    /// Documents of NAT traversal that are used if nothing else is configured: RFC 3947 and drafts 02 and 03.
    pub const NAT_TRAVERSAL: NatTraversals = NatTraversals::NONE
        .with(NatTraversal::Rfc3947)
        .with(NatTraversal::Draft03)
        .with(NatTraversal::Draft02Newline)
        .with(NatTraversal::Draft02);

    /// Returns a peer that may initiate main mode from any address and may have any identity. It is compared strictly,
    /// assumes the defaults of the RFCs, and uses NAT traversal if it supports it. ISAKMP SAs are renewed, and
    /// INITIAL-CONTACT is sent. Dead peer detection only answers.
    pub const fn new(local_identity: Identification<'a>, proposals: &'a [Phase1Choice]) -> Self {
        Self {
            path: None,
            proposals,
            local_identity,
            remote_identity: None,
            check: ProposalCheck::Strict,
            defaults: PeerDefaults::RFC,
            exchanges: &[ExchangeKind::MAIN],
            nat_traversal: Self::NAT_TRAVERSAL,
            fragment_size: 1280,
            forces_nat_traversal: false,
            dead_peer_detection: None,
            xauth: None,
            mode_config: None,
            renews: true,
            initial_contact: true,
        }
    }

    /// Returns the role that an authentication method gives this host in extended authentication.
    ///
    /// # Errors
    /// That role, if it is another one than the configured one.
    pub(crate) fn check_xauth_role(&self, method: AuthMethod, role: Role) -> Result<Option<XauthRole>, XauthRole> {
        if !XAUTH {
            // The methods are refused.
            return Ok(None);
        }
        match xauth_role(method, role) {
            Some(given) if self.xauth != Some(given) => Err(given),
            given => Ok(given),
        }
    }

    /// Iterates over the proposals of this host as initiator: those that give it its role in extended authentication.
    pub(crate) fn offers(&self) -> impl Iterator<Item = Phase1Choice> + Clone {
        let is_own = |offer: &Phase1Choice| self.check_xauth_role(offer.auth_method, Role::Initiator).is_ok();
        self.proposals.iter().copied().filter(is_own)
    }

    /// Returns the first proposal of this host as initiator.
    pub(crate) fn first_offer(&self) -> Result<Phase1Choice, Refusal> {
        if self.proposals.is_empty() {
            return Err(Refusal::Superseded);
        }
        self.offers().next().ok_or(Refusal::XauthRole)
    }
}

/// Policy for which SAs are negotiated (RFC 4301 section 4.4.1): one SA in each direction for each of its templates.
#[derive(Clone, Copy, Debug)]
pub struct IpsecPolicy<'a> {
    /// Number of the policy in the configuration of the host.
    pub number: u32,
    /// Selector of outbound packets.
    pub selector: Selector,
    /// Templates, each of another protocol, in the order in which they are applied to outbound packets.
    templates: [Option<IpsecTemplate<'a>>; MAX_BUNDLE],
}

/// Largest number of protocols of a policy: ESP, AH and IPComp, or one of them without the feature `bundles`.
pub const MAX_BUNDLE: usize = if BUNDLES { 3 } else { 1 };

impl<'a> IpsecPolicy<'a> {
    /// Creates a policy without templates.
    pub const fn new(number: u32, selector: Selector) -> Self {
        Self { number, selector, templates: [None; MAX_BUNDLE] }
    }

    /// Appends a template. Returns `None` if there are [`MAX_BUNDLE`] already, or one of the same protocol.
    #[must_use]
    pub fn with(mut self, template: IpsecTemplate<'a>) -> Option<Self> {
        if self.templates().any(|other| other.protocol == template.protocol) {
            return None;
        }
        *self.templates.iter_mut().find(|slot| slot.is_none())? = Some(template);
        Some(self)
    }

    /// Iterates over the templates.
    pub fn templates(&self) -> impl Iterator<Item = &IpsecTemplate<'a>> {
        self.templates.iter().flatten()
    }

    /// Returns the group of perfect forward secrecy: that of the first transform that has keys.
    pub(crate) fn group(&self) -> Option<Group> {
        self.templates().find(|template| template.protocol != ProtocolId::IPCOMP)?.proposals.first()?.group
    }

    /// Returns whether the policy has a tunnel.
    pub(crate) fn is_tunnel(&self) -> bool {
        self.templates().any(|template| template.mode != Mode::Transport)
    }
}

/// Template of a policy: one protocol with the transforms from which one is negotiated (RFC 4301 section 4.4.1.2).
#[derive(Clone, Copy, Debug)]
pub struct IpsecTemplate<'a> {
    /// ESP, AH or IPComp.
    pub protocol: ProtocolId,
    /// Tunnel or transport mode.
    pub mode: Mode,
    /// Request ID of its outbound SAs; 0 for none.
    pub reqid: u32,
    /// Request ID of its inbound SAs, which is that of the policy for inbound packets; 0 for none.
    pub inbound_reqid: u32,
    /// Algorithms of the SAs in order of preference.
    pub proposals: &'a [Phase2Choice],
}

/// Comparison of the lifetimes and key lengths in a proposal of the peer with those configured (`proposal_check` of
/// racoon.conf(5)). Ciphers, hashes, groups and authentication methods are equal under each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ProposalCheck {
    /// The values of the peer are accepted.
    Obey,
    /// A lifetime of the peer must not be longer, and its key not shorter, than those configured.
    #[default]
    Strict,
    /// Comparison as strict, but of a longer lifetime of quick mode the configured one is used, and the peer is
    /// notified by RESPONDER-LIFETIME (RFC 2407 section 4.6.3.1).
    Claim,
    /// The values must be equal.
    Exact,
}
