//! Parts of the negotiator that a program leaves out by features of this crate. Their code is not linked; peers are
//! treated as by a host that does not support them.

use ike_codec::ExchangeKind;

/// Set if aggressive mode is part of the program.
pub(crate) const AGGRESSIVE: bool = cfg!(feature = "aggressive");
/// Set if base mode is part of the program.
pub(crate) const BASE: bool = cfg!(feature = "base");
/// Set if signatures and hybrid authentication in phase 1 are part of the program.
pub(crate) const SIGNATURES: bool = cfg!(feature = "signatures");
/// Set if NAT traversal is part of the program.
pub(crate) const NAT_TRAVERSAL: bool = cfg!(feature = "nat-traversal");
/// Set if dead peer detection is part of the program.
pub(crate) const DEAD_PEER_DETECTION: bool = cfg!(feature = "dead-peer-detection");
/// Set if extended authentication and Mode Config are part of the program.
pub(crate) const XAUTH: bool = cfg!(feature = "xauth");
/// Set if fragmentation of messages is part of the program.
pub(crate) const FRAGMENTS: bool = cfg!(feature = "fragments");

/// Set if policies of several protocols are part of the program.
pub(crate) const BUNDLES: bool = cfg!(feature = "bundles");
/// Set if the beginning of phase 1 is an event.
pub(crate) const PHASE_1_EVENTS: bool = cfg!(feature = "phase-1-events");
/// Set if steps that wait for the host are part of the program.
pub(crate) const SUSPENSION: bool = cfg!(feature = "suspension");

/// Set if vendor IDs are sent, which announce the parts above.
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
