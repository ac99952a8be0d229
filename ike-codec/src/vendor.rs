use crate::natt::NatTraversal;

mod index;
mod table;

/// A vendor ID that is known: whose it is, or what its sender can do (RFC 2408 3.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VendorId {
    /// The octets: all of them, or those that it begins with.
    pub bytes: &'static [u8],
    /// The name.
    pub name: &'static str,
    /// Whether more octets may follow: versions, capabilities.
    pub is_prefix: bool,
    /// What it says.
    pub meaning: Meaning,
}

/// What a vendor ID says of its sender (RFC 2408 3.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Meaning {
    /// NAT traversal as in one of its documents.
    NatTraversal(NatTraversal),
    /// Dead peer detection (RFC 3706); the version follows.
    DeadPeerDetection,
    /// Extended authentication.
    Xauth,
    /// Cisco Unity attributes; the version follows.
    Unity,
    /// IKE fragmentation; capabilities may follow.
    Fragmentation,
    /// Windows; its version follows, with the high octet first.
    Windows,
    /// GSS-API authentication.
    GssApi,
    /// Another feature of Microsoft.
    Microsoft,
    /// Another product of Cisco.
    Cisco,
    /// racoon, of KAME or ipsec-tools.
    Racoon,
    /// racoon's heartbeat.
    Heartbeat,
    /// isakmpd.
    Isakmpd,
    /// Check Point FireWall-1; product and version follow.
    CheckPoint,
    /// NetScreen.
    NetScreen,
    /// FreeS/WAN and what came of it: Openswan, Libreswan.
    FreeSwan,
    /// strongSwan.
    StrongSwan,
    /// SSH IPSEC Express, QuickSec, Sentinel.
    Ssh,
    /// SSH Sentinel 1.4.1, which answers XAUTH under a new message ID.
    SshSentinel141,
    /// Something that changes nothing.
    Other,
}

/// Every vendor ID that is known (RFC 2408 3.16).
pub const fn vendor_ids() -> &'static [VendorId] {
    table::TABLE
}

/// The known vendor ID that a payload holds: an exact one before a prefix, a longer prefix before a shorter (RFC 2408 3.16).
pub fn identify(body: &[u8]) -> Option<&'static VendorId> {
    let matches = |id: &&VendorId| if id.is_prefix { body.starts_with(id.bytes) } else { body == id.bytes };
    index::candidates(*body.first()?).filter(matches).max_by_key(|id| (!id.is_prefix, id.bytes.len()))
}
