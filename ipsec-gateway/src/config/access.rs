//! Extended authentication and configuration of clients: the values of gateway.conf.

use std::net::Ipv4Addr;

use ike_codec::AuthMethod;
use ike_v1::ClientConfig;

/// Part of this host in extended authentication (draft-beaulieu-ike-xauth-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XauthPart {
    /// This host asks for a user, and is initiated to.
    Server,
    /// This host initiates, and sends the name and the password of a user.
    Client,
}

/// Part of this host in Mode Config (draft-dukes-ike-mode-cfg-02).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ModeConfigUse {
    /// Mode Config is not used.
    #[default]
    Off,
    /// This host requests its address.
    Request,
    /// This host assigns addresses.
    Pool(Box<PoolConfig>),
}

/// Addresses for clients, and the other values that are assigned with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// First address.
    pub first: Ipv4Addr,
    /// Number of addresses, at least 1. The last one is a valid address.
    pub size: u16,
    /// Values for all clients, without an address.
    pub values: ClientConfig,
}

/// Authentication method of phase 1 with its name in racoon.conf(5), and the part of this host in XAUTH.
pub struct Method {
    /// Name in gateway.conf.
    pub name: &'static str,
    /// Number of the method in proposals.
    pub method: AuthMethod,
    /// Part of this host in XAUTH; `None` without it.
    pub part: Option<XauthPart>,
    /// Set if this host signs.
    pub signs: bool,
    /// Set if the peer signs.
    pub verifies: bool,
}

impl Method {
    const fn new(name: &'static str, method: AuthMethod, signs: bool, verifies: bool) -> Self {
        Self { name, method, part: None, signs, verifies }
    }

    const fn with(self, part: XauthPart) -> Self {
        Self { part: Some(part), ..self }
    }
}

/// Description of the authentication methods for messages.
pub const METHOD_NAMES: &str = "an authentication method: psk, rsasig, or xauth_psk, xauth_rsa or hybrid_rsa with \
                                _server or _client";

/// Authentication methods. With XAUTH, the client is the initiator of phase 1.
pub const METHODS: [Method; 9] = [
    Method::new("psk", AuthMethod::PRE_SHARED_KEY, false, false),
    Method::new("pre_shared_key", AuthMethod::PRE_SHARED_KEY, false, false),
    Method::new("rsasig", AuthMethod::RSA_SIGNATURE, true, true),
    Method::new("xauth_psk_server", AuthMethod::XAUTH_INIT_PRE_SHARED, false, false).with(XauthPart::Server),
    Method::new("xauth_psk_client", AuthMethod::XAUTH_INIT_PRE_SHARED, false, false).with(XauthPart::Client),
    Method::new("xauth_rsa_server", AuthMethod::XAUTH_INIT_RSA, true, true).with(XauthPart::Server),
    Method::new("xauth_rsa_client", AuthMethod::XAUTH_INIT_RSA, true, true).with(XauthPart::Client),
    Method::new("hybrid_rsa_server", AuthMethod::HYBRID_INIT_RSA, true, false).with(XauthPart::Server),
    Method::new("hybrid_rsa_client", AuthMethod::HYBRID_INIT_RSA, false, true).with(XauthPart::Client),
];

/// Returns whether the RSA signatures of a method are implemented.
pub fn has_rsa_signature(method: AuthMethod) -> bool {
    METHODS.iter().any(|row| row.method == method && (row.signs || row.verifies))
}
