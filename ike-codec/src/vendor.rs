use crate::natt::NatTraversal;

mod index;
mod table;

/// Known vendor ID: names an implementation, or a feature that its sender supports (RFC 2408 section 3.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VendorId {
    /// Octets of the vendor ID, or its first octets if `is_prefix` is set.
    pub bytes: &'static [u8],
    /// Name of the implementation or the feature.
    pub name: &'static str,
    /// Set if further octets may follow, such as a version or capabilities.
    pub is_prefix: bool,
    /// Property of the sender that follows from the vendor ID.
    pub meaning: VendorIdMeaning,
}

/// Property of a peer that follows from a vendor ID (RFC 2408 section 3.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VendorIdMeaning {
    /// NAT traversal according to one of its documents.
    NatTraversal(NatTraversal),
    /// Dead peer detection (RFC 3706); the version follows the vendor ID.
    DeadPeerDetection,
    /// Extended authentication, as in the XAUTH drafts.
    Xauth,
    /// Cisco Unity attributes; the version follows.
    Unity,
    /// IKE fragmentation; capabilities may follow.
    Fragmentation,
    /// Windows; its version follows in network byte order.
    Windows,
    /// GSS-API authentication of Windows.
    GssApi,
    /// Another feature of Microsoft.
    Microsoft,
    /// Another product of Cisco.
    Cisco,
    /// The racoon daemon of KAME or ipsec-tools.
    Racoon,
    /// Heartbeat notifications of racoon.
    Heartbeat,
    /// The isakmpd daemon of OpenBSD.
    Isakmpd,
    /// Check Point FireWall-1; product and version follow.
    CheckPoint,
    /// Product of NetScreen (Juniper).
    NetScreen,
    /// FreeS/WAN and its successors Openswan and Libreswan.
    FreeSwan,
    /// The strongSwan project, any version.
    StrongSwan,
    /// SSH IPSEC Express, QuickSec, Sentinel.
    Ssh,
    /// SSH Sentinel 1.4.1, which acknowledges XAUTH with a new message ID.
    SshSentinel141,
    /// Other product or feature that does not affect processing.
    Other,
}

/// Returns the table of known vendor IDs (RFC 2408 section 3.16).
pub const fn vendor_ids() -> &'static [VendorId] {
    table::TABLE
}

/// Looks up the vendor ID of a payload body; an exact match takes precedence over a prefix, and a longer prefix over a
/// shorter one (RFC 2408 section 3.16).
pub fn identify(body: &[u8]) -> Option<&'static VendorId> {
    let matches = |id: &&VendorId| if id.is_prefix { body.starts_with(id.bytes) } else { body == id.bytes };
    index::candidates(*body.first()?).filter(matches).max_by_key(|id| (!id.is_prefix, id.bytes.len()))
}
