use core::time::Duration;

use ike_codec::{NotifyKind, ProtocolId, Quirks};
use ipsec_crypto::Secret;
use ipsec_packet::Instant;

use super::changeover::CROSSED;
use super::choose::DEFAULT_SECONDS;
use super::dpd::Liveness;
use super::event::{Gone, IsakmpSaId, SlotId};
use super::lease::Lease;
use super::limits::BadMessages;
use super::xauth::{Access, XauthRole, xauth_role};
use super::{NatSituation, Path, PeerId, Refusal, Role};
use crate::{Cookies, IvChain, Phase1Choice, Phase1Keys, Protection};

/// Established ISAKMP SA (RFC 2408 section 2.1). Its cipher is created for each message: the key takes 56 octets, a key
/// schedule of Blowfish 4,168.
#[derive(Debug)]
pub(crate) struct IsakmpSa {
    pub id: SlotId,
    pub cookies: Cookies,
    pub path: Path,
    pub peer: PeerId,
    /// Digest of the authenticated identity of the peer.
    pub identity: u64,
    pub role: Role,
    pub choice: Phase1Choice,
    /// Properties of the peer, from its vendor IDs.
    pub quirks: Quirks,
    /// Result of NAT detection, and the document of NAT traversal.
    pub nat: NatSituation,
    /// Largest number of octets of a message in one fragment, 0 if messages are not divided.
    pub fragment_data: u16,
    pub keys: Phase1Keys,
    pub encryption_key: Secret<56>,
    /// Chain of phase 1 after its last message, from which the IVs of later exchanges are derived.
    //= RFC 2409 B/5
    //# MUST: the last block of phase 1 is retained
    pub last_of_phase_1: IvChain,
    /// Message IDs that this host has used.
    pub ours: MessageIds<16>,
    /// Message IDs that the peer has used in informational exchanges.
    pub theirs: MessageIds<16>,
    /// Message IDs that the peer has used in quick mode: a recorded first message would reserve an SPI and be answered.
    pub theirs_quick: MessageIds<64>,
    /// Time of the last datagram on the path.
    pub last_sent: Instant,
    /// Bound on messages that are not authentic.
    pub bad: BadMessages,
    /// Time at which phase 1 began.
    pub began: Instant,
    pub established: Instant,
    /// Time from which this host renews the SA, if it is in use.
    pub renew: Instant,
    pub expires: Instant,
    /// Progress of extended authentication and Mode Config, and the time until which they are to be completed.
    pub access: Access,
    pub access_until: Instant,
    /// Addresses that this host has assigned to the client.
    pub lease: Lease,
    /// Set until the event that the user was authenticated was fetched.
    pub has_logged_in: bool,
    /// State of dead peer detection.
    pub liveness: Liveness,
    /// Set if INITIAL-CONTACT was processed, which counts once.
    pub had_initial_contact: bool,
    /// Set until the event that announces the SA was fetched.
    pub is_new: bool,
    /// Notification to be sent.
    pub notify: Option<PendingNotify>,
    /// Delete payload to be sent (RFC 2408 section 3.15).
    pub delete: Option<PendingDelete>,
    /// Reason for the removal of the SA, which is no longer used.
    pub gone: Option<Gone>,
    /// Set when the event of the removal was fetched, or is not needed.
    pub is_reported: bool,
}

/// Notification that is to be sent once under the protection of an ISAKMP SA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingNotify {
    pub message_id: u32,
    pub kind: NotifyKind,
    pub protocol: ProtocolId,
    pub spi: Option<u32>,
}

/// Delete payload that is to be sent, more than once, as it is not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingDelete {
    pub message_id: u32,
    pub left: u8,
    pub due: Instant,
}

impl PendingDelete {
    pub const fn new(message_id: u32, now: Instant) -> Self {
        Self { message_id, left: 2, due: now }
    }

    pub fn sent(&mut self, now: Instant, interval: Duration) {
        self.left = self.left.saturating_sub(1);
        self.due = now.saturating_add(interval);
    }
}

impl IsakmpSa {
    /// Returns the encryption of messages.
    pub fn protection(&self) -> Result<Protection, Refusal> {
        Protection::new(self.choice.cipher, self.encryption_key.expose(), self.choice.hash)
            .map_err(|_| Refusal::Internal)
    }

    /// Returns whether exchanges may begin and messages are accepted.
    pub const fn is_usable(&self) -> bool {
        self.gone.is_none()
    }

    /// Returns whether this host is a server whose client has not authenticated its user yet.
    pub fn owes_login(&self) -> bool {
        let is_server = xauth_role(self.choice.auth_method, self.role) == Some(XauthRole::Server);
        is_server && self.is_usable() && !self.access.permits_peer()
    }

    /// Returns whether this host is still to assign an address to the client, of its own.
    pub fn owes_address(&self) -> bool {
        self.access == Access::OwesConfig && self.lease == Lease::NONE
    }

    /// Returns whether the main modes of this SA and of an older one, one of each end, have crossed. One of the peer is
    /// then not a renewal.
    pub fn has_crossed(&self, older: &Self) -> bool {
        let soon = CROSSED.min(Self::lifetime(&older.choice).checked_div(4).unwrap_or_default());
        self.role != older.role && self.began <= older.established.saturating_add(soon)
    }

    /// Returns whether no message or event is pending, so that the slot is free.
    pub const fn is_finished(&self) -> bool {
        self.gone.is_some() && self.is_reported && self.delete.is_none()
    }

    /// Returns whether an exchange of either side has used a message ID recently. One of this host is reflected by an
    /// attacker only.
    pub fn has_message_id(&self, id: u32) -> bool {
        self.ours.contains(id) || self.theirs.contains(id) || self.theirs_quick.contains(id)
    }

    /// Ends the use of the SA.
    pub const fn end(&mut self, why: Gone) {
        if self.gone.is_none() {
            self.gone = Some(why);
            // The removal of an SA that was not announced is not reported.
            self.is_reported = self.is_new;
            self.is_new = false;
            self.notify = None;
        }
    }

    /// Returns the time until a host renews an SA with these parameters. The initiator does so after 80 to 90 % of the
    /// lifetime, the responder after 90 to 95 % if the initiator has not.
    pub fn renewal(choice: &Phase1Choice, role: Role, jitter: u8) -> Duration {
        let (base, spread) = match role {
            Role::Initiator => (800, 100),
            Role::Responder => (900, 50),
        };
        let permille = u32::from(jitter).wrapping_mul(spread).wrapping_div(255).saturating_add(base);
        Self::lifetime(choice).saturating_mul(permille).checked_div(1000).unwrap_or_default()
    }

    /// Returns the lifetime of an SA with these parameters.
    pub fn lifetime(choice: &Phase1Choice) -> Duration {
        Duration::from_secs(choice.lifetimes.seconds.unwrap_or(DEFAULT_SECONDS))
    }
}

/// Message IDs that were used last in an ISAKMP SA; a repeated one is refused without any computation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageIds<const N: usize> {
    used: [u32; N],
    next: usize,
}

impl<const N: usize> MessageIds<N> {
    /// Empty list: 0 is the message ID of phase 1.
    pub const NONE: Self = Self { used: [0; N], next: 0 };

    pub fn contains(&self, id: u32) -> bool {
        self.used.contains(&id)
    }

    pub fn add(&mut self, id: u32) {
        if let Some(slot) = self.used.get_mut(self.next) {
            *slot = id;
        }
        self.next = self.next.wrapping_add(1).checked_rem(N).unwrap_or(0);
    }
}

/// ISAKMP SA of a negotiator, for display and for the export of its key.
#[derive(Clone, Copy, Debug)]
pub struct IsakmpSaView<'a>(pub(crate) &'a IsakmpSa);

impl<'a> IsakmpSaView<'a> {
    /// Returns the identifier of the SA.
    pub const fn id(&self) -> IsakmpSaId {
        IsakmpSaId(self.0.id)
    }

    /// Returns the peer of the SA.
    pub const fn peer(&self) -> PeerId {
        self.0.peer
    }

    /// Returns the role of this host in phase 1.
    pub const fn role(&self) -> Role {
        self.0.role
    }

    /// Returns the addresses and ports.
    pub const fn path(&self) -> Path {
        self.0.path
    }

    /// Returns the cookies of both peers.
    pub const fn cookies(&self) -> Cookies {
        self.0.cookies
    }

    /// Returns the negotiated algorithms and parameters.
    pub const fn choice(&self) -> &'a Phase1Choice {
        &self.0.choice
    }

    /// Returns the NAT traversal of the SA.
    pub const fn nat(&self) -> NatSituation {
        self.0.nat
    }

    /// Returns when the SA was established.
    pub const fn established(&self) -> Instant {
        self.0.established
    }

    /// Returns when its lifetime ends.
    pub const fn expires(&self) -> Instant {
        self.0.expires
    }

    /// Returns the encryption key of the messages, for callers that log secrets deliberately.
    pub fn expose_encryption_key(&self) -> &'a [u8] {
        self.0.encryption_key.expose()
    }
}
