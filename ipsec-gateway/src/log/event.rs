//! Events for programs that read the log by the control socket.

use serde::{Deserialize, Serialize};

/// Kind of an event. The names of the first three are those of racoon.conf(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// An ISAKMP SA is established.
    #[serde(rename = "phase1_up")]
    Phase1Up,
    /// An ISAKMP SA was removed.
    #[serde(rename = "phase1_down")]
    Phase1Down,
    /// The peer has not answered dead peer detection.
    #[serde(rename = "phase1_dead")]
    Phase1Dead,
    /// A packet needs an SA, which is negotiated.
    Acquire,
    /// A negotiation has failed.
    Failed,
    /// An IPsec SA is established.
    SaUp,
    /// The soft lifetime of an IPsec SA has ended.
    SaSoftExpired,
    /// The hard lifetime of an IPsec SA has ended.
    SaExpired,
    /// An IPsec SA was removed.
    SaDown,
    /// The peer sends from another address or port.
    PeerMoved,
    /// The user of extended authentication was accepted.
    LoggedIn,
    /// Mode Config has assigned an address to this host.
    Leased,
}

/// Event that a log line describes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Kind of the event.
    pub event: EventKind,
    /// Name of the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// SA, with the same text as in the log line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sa: Option<String>,
}

impl Event {
    /// Creates an event about a peer.
    pub fn of_peer(event: EventKind, peer: &str) -> Self {
        Self { event, peer: Some(peer.to_owned()), sa: None }
    }

    /// Creates an event about an SA with a peer.
    pub fn of_sa(event: EventKind, peer: &str, sa: impl ToString) -> Self {
        Self { sa: Some(sa.to_string()), ..Self::of_peer(event, peer) }
    }
}
