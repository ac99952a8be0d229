//! Statements of racoon.conf(5). A value that the file does not contain is `None`.

mod remote;

use std::net::IpAddr;
use std::path::PathBuf;
use std::string::String;
use std::vec::Vec;

use ike_codec::Group;
use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};

pub use self::remote::*;
use crate::Span;

/// Contents of a racoon.conf and the files that it includes. They are equal if they mean the same, wherever it is
/// written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RacoonConf {
    /// Directory of the file, which relative names are relative to.
    pub directory: Option<PathBuf>,
    /// Directories and files, the last of each kind.
    pub paths: Paths,
    /// User, group and root directory of the process.
    pub privsep: Option<Privsep>,
    /// Level of the messages in the log.
    pub log: Option<LogLevel>,
    /// Padding of IKE messages. It has no effect: the padding of RFC 2409 is always sent, and any is accepted.
    pub padding: Option<Padding>,
    /// Local addresses and sockets.
    pub listen: Option<Listen>,
    /// Retransmission and time limits.
    pub timer: Timer,
    /// Set for `complex_bundle on`, unset for `off`.
    pub complex_bundle: Option<bool>,
    /// Configuration of clients of Mode Config.
    pub mode_cfg: Option<ModeCfg>,
    /// Statements `remote`, in the order of the file.
    pub remotes: Vec<Remote>,
    /// Statements `sainfo`, in the order of the file.
    pub sainfos: Vec<Sainfo>,
}

/// Directories and files of the statements `path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Paths {
    /// Directory of included files.
    pub include: Option<String>,
    /// File of the pre-shared keys.
    pub pre_shared_key: Option<String>,
    /// Directory of certificates and keys.
    pub certificate: Option<String>,
    /// Directory that contains the scripts.
    pub script: Option<String>,
    /// File for the SAs when the process ends.
    pub backupsa: Option<String>,
    /// File for the number of the process.
    pub pidfile: Option<String>,
    /// File of the users of extended authentication, which is an extension.
    pub xauth: Option<String>,
}

/// Block `privsep`: user, group and root directory of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Privsep {
    /// Name or number of the user.
    pub user: Option<String>,
    /// Name or number of the group.
    pub group: Option<String>,
    /// Root directory of the process.
    pub chroot: Option<String>,
}

/// Level of the messages in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the names of racoon.conf(5)
pub enum LogLevel {
    Error,
    Warning,
    Notify,
    Info,
    Debug,
    Debug2,
}

/// Block `padding`: padding of IKE messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names of racoon.conf(5)
#[non_exhaustive]
pub struct Padding {
    pub randomize: Option<bool>,
    pub randomize_length: Option<bool>,
    pub maximum_length: Option<u64>,
    pub strict_check: Option<bool>,
    pub exclusive_tail: Option<bool>,
}

/// Block `listen`: local addresses and sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listen {
    /// Addresses and ports of IKE.
    pub isakmp: Vec<(IpAddr, Option<u16>)>,
    /// Addresses and ports of IKE and ESP behind a NAT.
    pub isakmp_natt: Vec<(IpAddr, Option<u16>)>,
    /// Socket of the control program: path, user, group and mode; `Some(None)` for none.
    pub adminsock: Option<Option<AdminSocket>>,
    /// Set if the process ends when an address is not available.
    pub strict_address: bool,
}

/// Socket of the control program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names of racoon.conf(5)
#[non_exhaustive]
pub struct AdminSocket {
    pub path: String,
    pub user: Option<String>,
    pub group: Option<String>,
    pub mode: Option<u32>,
}

/// Block `timer`; times are in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timer {
    /// Number of transmissions of a message.
    pub counter: Option<u64>,
    /// Time between two transmissions.
    pub interval: Option<u64>,
    /// Number of copies that are sent at each transmission.
    pub persend: Option<u64>,
    /// Time limit of phase 1.
    pub phase1: Option<u64>,
    /// Time limit of phase 2.
    pub phase2: Option<u64>,
    /// Interval of NAT-keepalive packets (RFC 3948 section 4); 0 disables them.
    pub natt_keepalive: Option<u64>,
}

/// Block `mode_cfg`: configuration of the clients of Mode Config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names of racoon.conf(5)
#[non_exhaustive]
pub struct ModeCfg {
    pub network4: Option<std::net::Ipv4Addr>,
    pub netmask4: Option<std::net::Ipv4Addr>,
    pub pool_size: Option<u64>,
    pub dns4: Vec<std::net::Ipv4Addr>,
    pub wins4: Vec<std::net::Ipv4Addr>,
    /// Set for `local_lan`, unset for `include`, with addresses and lengths of prefixes.
    pub split_network: Option<(bool, Vec<(std::net::Ipv4Addr, u8)>)>,
    pub split_dns: Vec<String>,
    pub default_domain: Option<String>,
    pub banner: Option<String>,
    pub auth_source: Option<String>,
    pub auth_groups: Vec<String>,
    pub group_source: Option<String>,
    pub conf_source: Option<String>,
    pub accounting: Option<String>,
    pub auth_throttle: Option<u64>,
    pub pfs_group: Option<Group>,
    pub save_passwd: Option<bool>,
}

/// Identities of the clients of a statement `sainfo` (RFC 2407 section 4.6.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SainfoId {
    /// Any identity: the word `anonymous`.
    Anonymous,
    /// Address that Mode Config has assigned.
    ClientAddress,
    /// Address or subnet, port, and protocol; `None` for any.
    Network {
        /// Set for `subnet`: a host address with it is an identity of type subnet.
        is_subnet: bool,
        /// Address, or the first one of a range.
        address: IpAddr,
        /// Length of the prefix, or the last address.
        extent: Extent,
        /// Port; 0 for any.
        port: u16,
        /// Protocol; 0 for any.
        protocol: u8,
    },
    /// Name instead of an address.
    Name(Identifier),
}

/// Addresses that follow the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// Length of a prefix; `None` for a host.
    Prefix(Option<u8>),
    /// Last address of a range.
    Range(IpAddr),
}

/// Statement `sainfo`: parameters of phase 2. The span does not count for equality.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sainfo {
    /// Octets of the head.
    pub span: Span,
    /// Identity of the client of this host.
    pub local: SainfoId,
    /// Identity of the client of the peer.
    pub remote: SainfoId,
    /// Identity that the peer has in phase 1.
    pub from: Option<Identifier>,
    /// Group of users, statement `group`.
    pub group: Option<String>,
    /// Group of perfect forward secrecy.
    pub pfs_group: Option<Group>,
    /// Lifetime of the SAs in seconds.
    pub lifetime_time: Option<u64>,
    /// Lifetime of the SAs in kilobytes.
    pub lifetime_byte: Option<u64>,
    /// Ciphers with the lengths of their keys in bits.
    pub ciphers: Vec<(CipherAlgorithm, Option<u16>)>,
    /// Integrity algorithms of ESP and AH.
    pub integrity: Vec<IntegrityAlgorithm>,
    /// Set if DEFLATE is permitted.
    pub has_deflate: bool,
    /// Statement `remoteid`, which is the `ph1id` of the peer.
    pub remoteid: Option<u64>,
}
