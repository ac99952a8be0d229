//! Parts of the negotiator that a program leaves out by features of this crate. Their code is not linked; peers are
//! treated as by a host that does not support them.

use ike_codec::ExchangeKind;

/// Aggressive mode.
pub(crate) const AGGRESSIVE: bool = cfg!(feature = "aggressive");
/// Base mode.
pub(crate) const BASE: bool = cfg!(feature = "base");
/// Signatures and hybrid authentication in phase 1.
pub(crate) const SIGNATURES: bool = cfg!(feature = "signatures");
/// NAT traversal.
pub(crate) const NAT_TRAVERSAL: bool = cfg!(feature = "nat-traversal");
/// Dead peer detection.
pub(crate) const DEAD_PEER_DETECTION: bool = cfg!(feature = "dead-peer-detection");
/// Extended authentication and Mode Config.
pub(crate) const XAUTH: bool = cfg!(feature = "xauth");
/// Messages in fragments.
pub(crate) const FRAGMENTS: bool = cfg!(feature = "fragments");

/// Vendor IDs, which announce the parts above.
pub(crate) const VENDOR_IDS: bool = NAT_TRAVERSAL || DEAD_PEER_DETECTION || XAUTH || FRAGMENTS;

/// Returns whether an exchange of phase 1 is part of the program.
pub(crate) const fn has(exchange: ExchangeKind) -> bool {
    match exchange {
        ExchangeKind::MAIN => true,
        ExchangeKind::AGGRESSIVE => AGGRESSIVE,
        ExchangeKind::BASE => BASE,
        _ => false,
    }
}
