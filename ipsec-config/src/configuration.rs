//! Result of all languages: SAs, policies, peers, and the parameters of phase 2.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::string::String;
use std::time::Duration;
use std::vec::Vec;

use ike_codec::{EncapsulationMode, Group, IpcompTransform, Lifetimes, ProtocolId};
use ike_v1::{ClientConfig, Identity, PeerConfig, PeerDefaults, Phase2Choice, Phase2Suite};
use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::Selector;
use ipsec_sa::{Mode, PolicyParams, SaParams};

use crate::Span;
use crate::racoon::ScriptEvent;
use crate::rc::Startup;

/// UDP port of IKE (RFC 2408 section 2.5.1).
pub(crate) const IKE_PORT: u16 = 500;

/// Configuration of a host, from one file or several.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Configuration {
    /// SAs with manual keys.
    pub sas: Vec<ConfiguredSa>,
    /// Policies in the order of the files.
    pub policies: Vec<ConfiguredPolicy>,
    /// Peers with which keys are exchanged.
    pub peers: Vec<ConfiguredPeer>,
    /// Parameters of phase 2. The first that matches a policy is used.
    pub phase_2: Vec<Phase2Config>,
    /// Local addresses and UDP ports of key exchange; none for all addresses of the host.
    pub listen: Vec<SocketAddr>,
    /// File of the pre-shared keys.
    pub key_file: Option<String>,
    /// Pre-shared keys in the configuration itself.
    pub keys: Vec<ConfiguredKey>,
    /// Retransmission and time limits of key exchange.
    pub timing: Timing,
    /// Interfaces of IP-in-IP tunnels.
    pub gifs: Vec<Gif>,
    /// Static routes of the host.
    pub routes: Vec<Route>,
    /// Daemons and files that the system starts with.
    pub startup: Startup,
    /// User as which the daemon runs the process without privileges.
    pub process_user: Option<ProcessUser>,
}

/// User and group of a process, each as a name or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessUser {
    /// Name or number of the user.
    pub user: String,
    /// Group; `None` for that of the user.
    pub group: Option<String>,
}

/// SA with manual keys, and where it is configured.
#[derive(Debug)]
pub struct ConfiguredSa {
    /// Octets of the statement.
    pub span: Span,
    /// Parameters of the SA. The direction of its identifier is that for a host with the destination address, unless
    /// the local addresses are known.
    pub params: SaParams,
}

/// Policy, and where it is configured.
#[derive(Clone, Debug)]
pub struct ConfiguredPolicy {
    /// Octets of the statement.
    pub span: Span,
    /// Parameters of the policy.
    pub params: PolicyParams,
    /// Peer of the policy, as an index; `None` for the one with the address of the tunnel endpoint.
    pub peer: Option<usize>,
    /// Parameters of phase 2, as an index; `None` for the first that matches.
    pub phase_2: Option<usize>,
    /// Selector that the identities of quick mode have, if it is not that of the policy.
    pub negotiated: Option<Selector>,
}

impl ConfiguredPolicy {
    /// Returns a policy whose peer and parameters of phase 2 are found by its addresses.
    pub const fn new(span: Span, params: PolicyParams) -> Self {
        Self { span, params, peer: None, phase_2: None, negotiated: None }
    }
}

/// Pre-shared key of the configuration of a peer.
pub struct ConfiguredKey {
    /// Octets of the statement.
    pub span: Span,
    /// Peer of the key, as an index.
    pub peer: usize,
    /// Key; its `Debug` text is left out.
    pub key: zeroize::Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for ConfiguredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfiguredKey").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Peer with which keys are exchanged: the configuration of the negotiator and of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfiguredPeer {
    /// Octets of the statement.
    pub span: Span,
    /// Configuration of the negotiator.
    pub config: PeerConfig,
    /// Address of this host for the peer.
    pub local: Option<IpAddr>,
    /// Files of certificates and keys for the peer.
    pub files: CredentialFiles,
    /// Further identities that the peer may have, besides the one of `config`.
    pub other_identities: Vec<Identity>,
    /// Set if an identity of the peer that is not configured ends phase 1.
    pub verifies_identity: bool,
    /// Set if the certificate of the peer must lead to a CA.
    pub verifies_certificate: bool,
    /// Name of the user, for a client of extended authentication.
    pub login: Option<String>,
    /// File of the users, for a server of extended authentication.
    pub users: Option<String>,
    /// Values for clients of Mode Config.
    pub pool: Option<Pool>,
    /// Policies that are generated for the selectors of an initiator.
    pub generated: GeneratedPolicies,
    /// Set if the host negotiates SAs when the configuration is loaded, and not with the first packet.
    pub starts: bool,
    /// Size in octets of the packets in ESP in UDP; longer ones are fragmented before.
    pub esp_fragment_size: Option<u16>,
    /// Number by which parameters of phase 2 select the peer.
    pub phase_1_id: u64,
    /// Set if this host sends its certificates.
    pub sends_certificates: bool,
    /// Set if this host requests certificates.
    pub requests_certificates: bool,
    /// Scripts that are run at events of phase 1, as paths.
    pub scripts: Vec<(ScriptEvent, String)>,
}

impl ConfiguredPeer {
    /// Returns a peer with the configuration of the negotiator, without certificates and extended authentication.
    pub fn new(span: Span, config: PeerConfig) -> Self {
        Self {
            span,
            config,
            local: None,
            files: CredentialFiles::default(),
            other_identities: Vec::new(),
            verifies_identity: true,
            verifies_certificate: true,
            login: None,
            users: None,
            pool: None,
            generated: GeneratedPolicies::Off,
            starts: false,
            esp_fragment_size: None,
            phase_1_id: 0,
            sends_certificates: true,
            requests_certificates: true,
            scripts: Vec::new(),
        }
    }

    /// Returns whether two statements, wherever they are in their files, configure the same peer.
    pub fn is_same(&self, other: &Self) -> bool {
        Self { span: other.span, ..self.clone() } == *other
    }
}

/// Policies that are generated for the selectors of an initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeneratedPolicies {
    /// Only configured policies are used.
    Off,
    /// The policies are of level `require`.
    Require,
    /// The policies are of level `unique`: their SAs are used by no other policy.
    Unique,
}

/// Values for clients of Mode Config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pool {
    /// First address of the pool.
    pub first: Option<Ipv4Addr>,
    /// Number of addresses of the pool.
    pub size: u16,
    /// Values for all clients, without an address.
    pub values: ClientConfig,
    /// Set if this host sends the configuration without a request.
    pub pushes: bool,
    /// Time in seconds after which a wrong password is answered; 0 for at once.
    pub throttle: u64,
    /// Set if clients may keep the password.
    pub saves_password: bool,
}

/// Parameters of phase 2 for the policies that they match.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Phase2Config {
    /// Octets of the statement.
    pub span: Span,
    /// Addresses, ports and protocol of this host and of the peer; `None` for any.
    pub local: Option<ClientNetwork>,
    /// Addresses, ports and protocol of the peer; `None` for any.
    pub remote: Option<ClientNetwork>,
    /// Identity that the peer has in phase 1; `None` for any.
    pub from: Option<Identity>,
    /// Number of the peer's statement; 0 for all without a number.
    pub phase_1_id: u64,
    /// Ciphers of ESP with the lengths of their keys in octets.
    pub ciphers: Vec<(CipherAlgorithm, usize)>,
    /// Integrity algorithms of ESP and AH.
    pub integrity: Vec<IntegrityAlgorithm>,
    /// Suites of ESP in order of preference, where not every cipher goes with every integrity algorithm; empty where
    /// it does.
    pub suites: Vec<(CipherAlgorithm, usize, IntegrityAlgorithm)>,
    /// Set if DEFLATE is negotiated, where a policy has IPComp.
    pub has_deflate: bool,
    /// Group of perfect forward secrecy.
    pub group: Option<Group>,
    /// Lifetimes of the SAs.
    pub lifetimes: Lifetimes,
    /// Peer to whose policies the parameters apply, as an index; `None` for all.
    pub peer: Option<usize>,
    /// Transforms of all protocols in order of preference, instead of the algorithms above.
    pub explicit: Vec<Phase2Choice>,
}

/// Client identity of quick mode (RFC 2407 section 4.6.2): addresses, port and protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNetwork {
    /// First and last address.
    pub addresses: (IpAddr, IpAddr),
    /// Port; 0 for any.
    pub port: u16,
    /// Protocol; 0 for any.
    pub protocol: u8,
}

impl Phase2Config {
    /// Returns parameters for all policies, without algorithms.
    pub fn new(span: Span) -> Self {
        Self {
            span,
            local: None,
            remote: None,
            from: None,
            phase_1_id: 0,
            ciphers: Vec::new(),
            integrity: Vec::new(),
            suites: Vec::new(),
            has_deflate: false,
            group: None,
            lifetimes: Lifetimes::default(),
            peer: None,
            explicit: Vec::new(),
        }
    }

    /// Returns the transforms of a protocol in order of preference: for ESP every cipher with every integrity
    /// algorithm, in the order of the file.
    pub fn transforms(&self, protocol: ProtocolId, mode: Mode, defaults: &PeerDefaults) -> Vec<Phase2Choice> {
        let encapsulation =
            if mode == Mode::Transport { EncapsulationMode::TRANSPORT } else { EncapsulationMode::TUNNEL };
        if !self.explicit.is_empty() {
            let own = self.explicit.iter().filter(|choice| choice.protocol == protocol);
            let with_mode = |choice: &Phase2Choice| {
                let mut choice = *choice;
                choice.encapsulation = Some(encapsulation);
                choice
            };
            return own.map(with_mode).collect();
        }
        let key = |integrity: IntegrityAlgorithm| integrity.row().map_or(0, |row| row.default_key);
        let cut = |integrity| match integrity {
            IntegrityAlgorithm::HmacSha2_256_128 if defaults.sha2_256_at_96 => IntegrityAlgorithm::HmacSha2_256_96,
            other => other,
        };
        let keyed = |cipher, cipher_key, integrity| Phase2Suite::Keyed {
            cipher,
            cipher_key,
            integrity: cut(integrity),
            integrity_key: key(integrity),
        };
        let with_integrity =
            || self.integrity.iter().copied().filter(|integrity| *integrity != IntegrityAlgorithm::None);
        let suites: Vec<Phase2Suite> = match protocol {
            ProtocolId::ESP if !self.suites.is_empty() => {
                self.suites.iter().map(|&(cipher, octets, integrity)| keyed(cipher, octets, integrity)).collect()
            }
            ProtocolId::ESP => self
                .ciphers
                .iter()
                .flat_map(|&(cipher, octets)| {
                    let is_aead = cipher.row().is_some_and(|row| row.icv > 0);
                    let alone = is_aead.then(|| keyed(cipher, octets, IntegrityAlgorithm::None));
                    let with = with_integrity().filter(move |_| !is_aead).map(move |own| keyed(cipher, octets, own));
                    alone.into_iter().chain(with)
                })
                .collect(),
            ProtocolId::AH => with_integrity().map(|own| keyed(CipherAlgorithm::Null, 0, own)).collect(),
            _ => self.has_deflate.then_some(Phase2Suite::Compression(IpcompTransform::DEFLATE)).into_iter().collect(),
        };
        let with_group = |choice: Phase2Choice| match self.group {
            Some(group) if protocol != ProtocolId::IPCOMP => choice.with_group(group),
            _ => choice,
        };
        let choice = |suite| Phase2Choice::new(protocol, suite, encapsulation).with_lifetimes(self.lifetimes);
        suites.into_iter().map(|suite| with_group(choice(suite))).collect()
    }
}

/// Retransmission and time limits of key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// Number of transmissions of a message.
    pub transmissions: Option<u8>,
    /// Time between the first two transmissions.
    pub interval: Option<Duration>,
    /// Time limit of phase 1.
    pub phase_1: Option<Duration>,
    /// Time limit of phase 2.
    pub phase_2: Option<Duration>,
    /// Interval of NAT-keepalive packets (RFC 3948 section 4); zero disables them.
    pub keep_alive: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { transmissions: None, interval: None, phase_1: None, phase_2: None, keep_alive: Duration::from_secs(20) }
    }
}

/// IP-in-IP tunnel interface: gif(4).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gif {
    /// Octets of the statement.
    pub span: Span,
    /// Name of the interface.
    pub name: String,
    /// Outer addresses of this host and of the peer.
    pub outer: Option<(IpAddr, IpAddr)>,
    /// Inner addresses of this host and of the peer, and the length of the prefix.
    pub inner: Vec<(IpAddr, Option<IpAddr>, u8)>,
    /// Size in octets of the largest packet.
    pub mtu: u16,
}

impl Gif {
    /// Default MTU of gif(4) in octets.
    pub const DEFAULT_MTU: u16 = 1280;
}

/// Static route of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// Octets of the statement.
    pub span: Span,
    /// Destination address, and the length of the prefix.
    pub destination: (IpAddr, u8),
    /// Address of the next host.
    pub gateway: Option<IpAddr>,
    /// Interface instead of a next host.
    pub interface: Option<String>,
}

/// Files of certificates and keys for a peer, in PEM or DER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialFiles {
    /// Certificates of this host, each with its private key. The peer's certificate requests choose one of them; the
    /// first one is used without requests.
    pub own: Vec<(String, String)>,
    /// Private key of this host that signs without a certificate, if `own` is empty or none of its certificates exists.
    pub own_key: Option<String>,
    /// Certificates of the CAs that the peer's certificate may lead to.
    pub authorities: Vec<String>,
    /// Directory of certificates of CAs, which are used if no file of one is configured, and of revocation lists in
    /// files named by the hash of their issuer, with the extension `.r0` or the like.
    pub directory: Option<String>,
    /// Revocation lists of the CAs.
    pub crls: Vec<String>,
    /// Directory of revocation lists of the CAs. It need not exist.
    pub crl_directory: Option<String>,
    /// Certificates of the peer that are trusted without a CA.
    pub peers: Vec<String>,
    /// Public keys of the peer that are trusted without a certificate, for any identity.
    pub public_keys: Vec<String>,
    /// Directory of public keys of peers, each trusted for one identity: `ipv4/ADDRESS`, `ipv6/ADDRESS`, `fqdn/NAME`
    /// and `ufqdn/NAME`. It need not exist.
    pub public_key_directory: Option<String>,
}

impl CredentialFiles {
    /// Changes the directory of the files that are in one.
    pub(crate) fn move_from(&mut self, from: &str, to: &str) {
        let own = self.own.iter_mut().flat_map(|(certificate, key)| [certificate, key]);
        let lists =
            [&mut self.authorities, &mut self.crls, &mut self.peers, &mut self.public_keys].into_iter().flatten();
        let single = [&mut self.own_key, &mut self.directory, &mut self.crl_directory, &mut self.public_key_directory];
        let single = single.into_iter().flatten();
        for name in own.chain(lists).chain(single) {
            if let Some(rest) = name.strip_prefix(from) {
                *name = std::format!("{to}{rest}");
            }
        }
    }
}
