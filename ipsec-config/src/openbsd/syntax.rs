//! Parsed rules of ipsec.conf(5).

use std::net::IpAddr;
use std::string::String;
use std::vec::Vec;

use ike_codec::Group;
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm};
use ipsec_sa::PolicyDirection;
use zeroize::Zeroizing;

use crate::Span;

/// Rule with its place.
#[derive(Debug)]
pub(super) struct Rule {
    pub span: Span,
    pub kind: RuleKind,
}

#[derive(Debug)]
pub(super) enum RuleKind {
    Ike(Ike),
    Flow(Flow),
    Sa(ManualSa),
}

/// Rule `ike`: SAs that isakmpd(8) negotiates.
#[derive(Debug)]
pub(super) struct Ike {
    pub mode: IkeMode,
    pub protocol: SaType,
    pub is_tunnel: bool,
    pub hosts: Hosts,
    pub peers: Peers,
    pub phase_1: Phase,
    pub is_aggressive: bool,
    pub phase_2: Phase,
    pub srcid: Option<(String, Span)>,
    pub dstid: Option<(String, Span)>,
    pub key: Option<(Zeroizing<Vec<u8>>, Span)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IkeMode {
    Active,
    Passive,
    Dynamic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaType {
    Esp,
    Ah,
    Ipcomp,
    Ipip,
    TcpMd5,
}

/// Addresses of a rule: all combinations of sources and destinations.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    pub protocol: u8,
    pub sources: Vec<Network>,
    pub source_port: u16,
    pub destinations: Vec<Network>,
    pub destination_port: u16,
}

/// Address with the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub address: IpAddr,
    pub length: u8,
    /// Set for `any`, which is every address of the family of the other side.
    pub is_any: bool,
    /// Addresses in the identities of quick mode, in parentheses after the address.
    pub negotiated: Option<(IpAddr, u8)>,
    pub span: Span,
}

impl Network {
    /// Returns whether the network was written as the address of a host.
    pub fn is_host(&self) -> bool {
        !self.is_any && self.length == if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// Returns the networks of both address families for `any`, and the network itself for others.
    pub fn families(&self) -> Vec<Self> {
        let other = Self { address: IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), ..*self };
        if self.is_any { std::vec![*self, other] } else { std::vec![*self] }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peers {
    pub local: Option<IpAddr>,
    /// Address of the peer; `Some(None)` for `any`.
    pub peer: Option<Option<IpAddr>>,
}

/// Algorithms of a phase; `None` for the default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Phase {
    pub auth: Option<(Option<IntegrityAlgorithm>, Option<HashFunction>)>,
    pub cipher: Option<(CipherAlgorithm, usize)>,
    pub has_compression: bool,
    pub group: Option<Option<Group>>,
    pub lifetime: Option<u64>,
}

/// Rule `flow`: policies without negotiated SAs.
#[derive(Debug)]
pub(super) struct Flow {
    pub protocol: SaType,
    pub direction: Option<PolicyDirection>,
    pub hosts: Hosts,
    pub peers: Peers,
    pub kind: FlowKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowKind {
    Require,
    Use,
    Acquire,
    DontAcquire,
    Bypass,
    Deny,
}

/// SA with manual keys, and the one in the other direction.
#[derive(Debug)]
pub(super) struct ManualSa {
    pub protocol: SaType,
    pub is_tunnel: bool,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub spis: (u32, Option<u32>),
    pub auth: Option<IntegrityAlgorithm>,
    pub cipher: Option<(CipherAlgorithm, usize)>,
    /// Set if the name of the cipher has no length of keys, and keys of every length are valid.
    pub is_any_length: bool,
    pub has_compression: bool,
    /// UDP port of the peer for ESP in UDP.
    pub udp_port: Option<u16>,
    pub auth_keys: Vec<Zeroizing<Vec<u8>>>,
    pub cipher_keys: Vec<Zeroizing<Vec<u8>>>,
}
