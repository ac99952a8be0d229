//! Configuration of the gateway: gateway.conf, which names the files of the policies and of the pre-shared keys.

mod access;
mod algorithm;
mod error;
mod lexer;
mod parser;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use ike_codec::{AuthMethod, ExchangeKind, IdKind, Identification};
use ike_v1::{DeadPeerDetection, Phase1Choice, Phase2Choice, ProposalCheck};

pub use access::{METHODS, Method, ModeConfigUse, PoolConfig, XauthPart, has_rsa_signature};
pub use error::{ConfigError, ConfigErrorKind, Location};

/// UDP port of IKE (RFC 2408 section 2.5.1).
pub const IKE_PORT: u16 = 500;
/// UDP port of IKE and ESP with NAT traversal (RFC 3947 section 4).
pub const NAT_TRAVERSAL_PORT: u16 = 4500;

/// Configuration of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// File of the policies and manual SAs, in the language of setkey(8).
    pub policies: PathBuf,
    /// File of the pre-shared keys.
    pub keys: PathBuf,
    /// Local addresses with the UDP ports of IKE.
    pub locals: Vec<SocketAddr>,
    /// Interfaces on the unprotected side.
    pub wan: Vec<String>,
    /// TUN interface.
    pub tun: TunConfig,
    /// Firewall mark of the packets of the daemon.
    pub mark: u32,
    /// Number of the routing table of the protected destinations, and priority of the rule for it.
    pub table: u32,
    /// Peers in the order of the file.
    pub peers: Vec<PeerConfig>,
}

/// Name and parameters of the TUN interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunConfig {
    /// Name of the interface.
    pub name: String,
    /// MTU of the interface in octets.
    pub mtu: u16,
    /// Addresses of the interface with the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// Configuration of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// Name of the peer in messages.
    pub name: String,
    /// Address and UDP port of the peer; `None` for a peer at any address, which only initiates.
    pub address: Option<SocketAddr>,
    /// Transforms of phase 1 in order of preference.
    pub proposals: Vec<Phase1Choice>,
    /// Transforms of phase 2 in order of preference, those of all protocols.
    pub transforms: Vec<Phase2Choice>,
    /// Identity of this host; `None` for its address.
    pub identity: Option<Identity>,
    /// Identity that the peer must have; `None` for any.
    pub peers_identity: Option<Identity>,
    /// Comparison of lifetimes and key lengths as responder.
    pub check: ProposalCheck,
    /// Exchanges that are allowed in phase 1; this host initiates the first one.
    pub exchanges: Vec<ExchangeKind>,
    /// NAT traversal: off, with a NAT, or always.
    pub nat_traversal: NatUse,
    /// Certificates and keys for RSA signatures.
    pub certificates: CertificateFiles,
    /// Set if this host signs with an authentication method of a proposal.
    pub signs: bool,
    /// Set if the peer signs with an authentication method of a proposal.
    pub verifies: bool,
    /// Part of this host in XAUTH, with all proposals.
    pub xauth: Option<XauthPart>,
    /// File of the users, for a server.
    pub users: Option<PathBuf>,
    /// Name of the user, for a client. Its password is one of the pre-shared keys.
    pub login: Option<String>,
    /// Part of this host in Mode Config.
    pub mode_config: ModeConfigUse,
    /// Dead peer detection by this host. With a delay of zero the peer is answered, but not asked.
    pub dead_peer_detection: DeadPeerDetection,
}

impl PeerConfig {
    /// Returns whether a transform of phase 1 needs a pre-shared key.
    pub fn needs_key(&self) -> bool {
        let methods = [AuthMethod::PRE_SHARED_KEY, AuthMethod::XAUTH_INIT_PRE_SHARED];
        self.proposals.iter().any(|proposal| methods.contains(&proposal.auth_method))
    }

    /// Returns whether this host may initiate phase 1. A server of XAUTH is initiated to.
    pub fn can_initiate(&self) -> bool {
        self.address.is_some() && self.xauth != Some(XauthPart::Server)
    }

    /// Returns a warning about a combination of statements that weakens the authentication.
    pub fn weakness(&self) -> Option<&'static str> {
        let is_exposed = self.needs_key() && self.exchanges.contains(&ExchangeKind::AGGRESSIVE);
        is_exposed.then_some(
            "aggressive mode with a pre-shared key sends a hash of the key to everybody who asks for it: a weak key \
             can be found by trying",
        )
    }
}

/// Use of NAT traversal with a peer (RFC 3947).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NatUse {
    /// NAT traversal is not negotiated.
    Off,
    /// ESP is sent in UDP if there is a NAT.
    #[default]
    On,
    /// ESP is sent in UDP in any case.
    Force,
}

/// Files of certificates and keys for a peer, in PEM or DER.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CertificateFiles {
    /// Certificate and private key of this host.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Certificates of the CAs that the peer's certificate may lead to.
    pub authorities: Vec<PathBuf>,
    /// Revocation lists of the CAs.
    pub crls: Vec<PathBuf>,
    /// Certificates of the peer that are trusted without a CA.
    pub peers: Vec<PathBuf>,
}

impl CertificateFiles {
    /// Iterates over the names of all files.
    fn names_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let own = self.own.iter_mut().flat_map(|(certificate, key)| [certificate, key]);
        own.chain(&mut self.authorities).chain(&mut self.crls).chain(&mut self.peers)
    }
}

/// Identity in phase 1 (RFC 2407 section 4.6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Type of the identity.
    pub kind: IdKind,
    /// Identification data.
    pub data: Vec<u8>,
}

impl Identity {
    /// Identity that is an address.
    pub fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self { kind: IdKind::IPV4, data: address.octets().to_vec() },
            IpAddr::V6(address) => Self { kind: IdKind::IPV6, data: address.octets().to_vec() },
        }
    }

    /// Returns the identification payload, for any protocol and port.
    pub fn payload(&self) -> Identification<'_> {
        Identification { kind: self.kind, protocol: 0, port: 0, data: &self.data }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.data.as_slice()) {
            (IdKind::IPV4, &[a, b, c, d]) => Ipv4Addr::new(a, b, c, d).fmt(f),
            (IdKind::IPV6, data) => match <[u8; 16]>::try_from(data) {
                Ok(octets) => IpAddr::from(octets).fmt(f),
                Err(_) => data.escape_ascii().fmt(f),
            },
            (_, data) => data.escape_ascii().fmt(f),
        }
    }
}

impl Config {
    /// Reads and parses a file. The names of other files are relative to its directory.
    ///
    /// # Errors
    /// The message of the file system, or of the parser with the position.
    pub fn read(path: &Path) -> Result<Self, String> {
        let problem = |e: &dyn fmt::Display| format!("{}: {e}", path.display());
        let text = fs::read_to_string(path).map_err(|e| problem(&e))?;
        let mut config = Self::parse(&text).map_err(|e| problem(&e))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        config.policies = directory.join(&config.policies);
        config.keys = directory.join(&config.keys);
        for name in config.peers.iter_mut().flat_map(|peer| peer.certificates.names_mut().chain(&mut peer.users)) {
            *name = directory.join(&*name);
        }
        Ok(config)
    }

    /// Parses a text.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        parser::parse(text)
    }

    /// Returns the local addresses without their ports.
    pub fn local_addresses(&self) -> Vec<IpAddr> {
        self.locals.iter().map(SocketAddr::ip).collect()
    }

    /// Returns the local address and port for a peer: the first of the same address family.
    pub fn local_for(&self, peer: IpAddr) -> Option<SocketAddr> {
        self.locals.iter().copied().find(|local| local.is_ipv4() == peer.is_ipv4())
    }
}
