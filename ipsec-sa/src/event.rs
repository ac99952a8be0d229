use core::net::IpAddr;

use ipsec_packet::Flow;

use crate::{PolicyId, SaId, Template};

/// Event of a back end for the key management daemon (RFC 2367 sections 3.1.6 and 3.1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum SaEvent {
    /// A policy needs an SA that does not exist (SADB_ACQUIRE).
    Acquire(Acquire),
    /// A limit of an SA was reached (SADB_EXPIRE).
    Expire(SaId, Expiry),
    /// The sequence numbers of an SA are nearly exhausted: the SA is to be rekeyed (RFC 4303 section 3.3.3).
    SequenceLow(SaId),
    /// An authentic packet of an SA with UDP encapsulation was received from another address or port than before (RFC
    /// 3947 section 5.4). The outbound SA should be moved there.
    NatMapping {
        /// Inbound SA of the packet.
        sa: SaId,
        /// New address of the peer.
        source: IpAddr,
        /// New UDP port of the peer.
        port: u16,
    },
}

/// Limit of the lifetime of an SA that was reached (RFC 4301 section 4.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// The SA is to be rekeyed. The new inbound SA is installed before the peer can use it, and the new outbound SA
    /// when the peer has its inbound SA; the old SAs stay until their hard limits.
    Soft,
    /// The SA is removed.
    Hard,
}

/// Request for an SA that a policy needs and the SAD does not have (SADB_ACQUIRE, RFC 2367 section 3.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquire {
    /// Policy whose template has no SA.
    pub policy: PolicyId,
    /// Template that the SA must satisfy.
    pub template: Template,
    /// Source address of the SA; `None` where key exchange has to find it.
    pub source: Option<IpAddr>,
    /// Destination address of the SA; `None` where key exchange has to find it.
    pub destination: Option<IpAddr>,
    /// Request ID that the SA must have; 0 for any.
    pub reqid: u32,
    /// Flow of the packet that caused the acquire.
    pub flow: Flow,
}
