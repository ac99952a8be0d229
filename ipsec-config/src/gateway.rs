//! Configuration of the gateway itself: gateway.conf. It contains what the languages of other systems do not say:
//! interfaces, marks and tables, and the names of the other files. Peers may be configured in it as well.

mod algorithms;
mod authentication;
mod peer;

use std::borrow::ToOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::string::String;
use std::vec::Vec;

pub(crate) use authentication::{mask, split_dns};

use ike_v1::PeerDefaults;

use crate::blocks::{Parsed, Parser, Scope};
use crate::configuration::{ConfiguredPeer, IKE_PORT, ProcessUser};
use crate::diagnostic::shown_word;
use crate::lexer::TokenKind;
use crate::openbsd::Release;
use crate::secret::Secrets;
use crate::{Configuration, Diagnostics, FileId, Files, Language, Sources, Span};

/// MTU of the TUN interface: an Ethernet frame without the headers of ESP in UDP over IPv6.
const TUN_MTU: u16 = 1400;
/// Firewall mark and routing table without a statement.
const DEFAULT_MARK: u32 = 500;
/// Longest path of a Unix socket in octets: 108 with the final zero.
const MAX_SOCKET_PATH: usize = 107;
/// Longest name of a Linux interface.
const MAX_INTERFACE: usize = 15;

const TOP: Scope<'_> = Scope {
    name: "gateway.conf",
    statements: &[
        "policies",
        "keys",
        "file",
        "isakmpd",
        "defaults",
        "release",
        "local",
        "wan",
        "tun",
        "mark",
        "table",
        "backend",
        "limit",
        "control",
        "export_keys",
        "user",
        "state",
        "mss_clamping",
        "peer",
    ],
    outer: None,
    elsewhere: &[],
};

/// Statements about the host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayConf {
    /// Other files with their languages; `None` if the language is detected. `policies` is one of setkey(8).
    pub files: Vec<(String, Option<Language>)>,
    /// Directory of certificates and keys instead of `/etc/isakmpd`.
    pub isakmpd: Option<String>,
    /// Defaults of the peers of other files: of one with an address, or of all.
    pub defaults: Vec<(Option<IpAddr>, PeerDefaults)>,
    /// Release of OpenBSD whose defaults an ipsec.conf(5) has.
    pub release: Option<Release>,
    /// Local addresses with the UDP ports of IKE.
    pub locals: Vec<SocketAddr>,
    /// Interfaces on the unprotected side.
    pub wan: Vec<String>,
    /// TUN interface; `None` is possible with the back end `pfkey` only.
    pub tun: Option<TunInterface>,
    /// Firewall mark of the packets of the daemon.
    pub mark: u32,
    /// Number of the routing table of the protected destinations, and priority of the rule for it.
    pub table: u32,
    /// Databases of SAs and policies.
    pub backend: Backend,
    /// Limits of the databases and of key exchange.
    pub limits: Limits,
    /// Socket through which the running gateway is controlled.
    pub control: ControlSocket,
    /// Set if clients of the control socket may read the keys of SAs.
    pub exports_keys: bool,
    /// User as which the daemon runs the process without privileges.
    pub user: Option<ProcessUser>,
    /// File of the sequence numbers and windows of SAs with manual keys.
    pub state: Option<String>,
    /// Set if SAs that statements of setkey(8) add to the running gateway are in that file, with their keys.
    pub stores_keys: bool,
    /// Set if the MSS of TCP connections through tunnels is lowered.
    pub clamps_mss: bool,
}

impl GatewayConf {
    /// Sets the defaults of peers, which are those of other files.
    pub fn set_defaults<'p>(&self, peers: impl Iterator<Item = &'p mut ConfiguredPeer>) {
        for peer in peers {
            let address = peer.config.address.map(|address| address.ip());
            let of = |address| self.defaults.iter().find(|(own, _)| *own == address);
            let own = address.and_then(|address| of(Some(address))).or_else(|| of(None));
            if let Some((_, defaults)) = own {
                peer.config.defaults = *defaults;
            }
        }
    }
}

/// Databases of SAs and policies, and therefore the place where packets are processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// The daemon itself processes packets.
    #[default]
    Userspace,
    /// The kernel processes packets; the daemon manages its SAD and SPD by PF_KEY (RFC 2367).
    Pfkey,
}

/// Socket through which a running gateway is controlled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlSocket {
    /// The socket of the gateway without a statement.
    #[default]
    Default,
    /// The socket has this path.
    Path(String),
    /// The gateway has no socket.
    Off,
}

/// Limits of the gateway; `None` for its defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest number of SAs.
    pub sas: Option<u32>,
    /// Largest number of policies.
    pub policies: Option<u32>,
    /// Number of cached flows.
    pub flows: Option<u32>,
    /// Largest number of exchanges that one address may have begun without being authenticated.
    pub half_open: Option<u8>,
}

impl Default for GatewayConf {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            isakmpd: None,
            defaults: Vec::new(),
            release: None,
            locals: Vec::new(),
            wan: Vec::new(),
            tun: None,
            mark: DEFAULT_MARK,
            table: DEFAULT_MARK,
            backend: Backend::Userspace,
            limits: Limits::default(),
            control: ControlSocket::Default,
            exports_keys: false,
            user: None,
            state: None,
            stores_keys: false,
            clamps_mss: true,
        }
    }
}

/// Name and parameters of the TUN interface.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TunInterface {
    /// Name of the interface.
    pub name: String,
    /// MTU of the interface in octets.
    pub mtu: u16,
    /// Addresses of the interface with the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl TunInterface {
    /// Returns an interface with the default MTU and without addresses.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), mtu: TUN_MTU, addresses: Vec::new() }
    }
}

/// Reads a file, and adds its peers to a configuration. Errors and warnings are added to `diagnostics`. The files that
/// it names are not read.
///
/// # Errors
/// The error of the file system.
pub fn read(
    files: &dyn Files,
    path: &Path,
    sources: &mut Sources,
    configuration: &mut Configuration,
    diagnostics: &mut Diagnostics,
) -> io::Result<GatewayConf> {
    let text = files.read(path)?;
    let file = sources.add(path.to_string_lossy(), text, Secrets::Gateway);
    Ok(statements(file, path, sources, configuration, diagnostics))
}

/// Parses the text of a gateway.conf.
pub fn parse(name: &str, text: &str) -> (GatewayConf, Configuration, Sources, Diagnostics) {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::default());
    let mut configuration = Configuration::default();
    let file = sources.add(name, text.as_bytes().to_vec(), Secrets::Gateway);
    let conf = statements(file, Path::new(name), &sources, &mut configuration, &mut diagnostics);
    (conf, configuration, sources, diagnostics)
}

fn statements(
    file: FileId,
    path: &Path,
    sources: &Sources,
    configuration: &mut Configuration,
    diagnostics: &mut Diagnostics,
) -> GatewayConf {
    let text = sources.shared_text(file);
    let peers = || configuration.peers.iter().map(|peer| &peer.config);
    let names = peers().map(|peer| peer.name.clone()).collect();
    let addresses = peers().rev().map(|peer| (peer.address, peer.name.clone())).collect();
    let conf = GatewayConf::default();
    let directory = path.parent();
    let mut reader = Reader { conf, configuration, directory, names, addresses, locals: BTreeSet::new() };
    let mut parser = Parser::new(&text, file, diagnostics);
    parser.file(&TOP, &mut |parser, word, span| reader.statement(parser, word, span));
    let end = Span { begin: text.len(), end: text.len(), file };
    if parser.diagnostics.errors() == 0 {
        let missing = [
            (reader.conf.locals.is_empty(), "local"),
            (reader.conf.tun.is_none() && reader.conf.backend == Backend::Userspace, "tun"),
            (reader.conf.files.is_empty(), "policies"),
        ];
        for (_, name) in missing.iter().filter(|(is_missing, _)| *is_missing).take(1) {
            parser.diagnostics.error(end, format!("statement `{name}` is missing"));
        }
    }
    reader.conf
}

/// Reader of the statements.
struct Reader<'r> {
    conf: GatewayConf,
    configuration: &'r mut Configuration,
    /// Directory of the file, which other names are relative to.
    directory: Option<&'r Path>,
    /// Names of the peers.
    names: BTreeSet<String>,
    /// Names of the peers by their addresses.
    addresses: BTreeMap<Option<SocketAddr>, String>,
    locals: BTreeSet<SocketAddr>,
}

impl Reader<'_> {
    fn statement(&mut self, parser: &mut Parser<'_, '_>, word: &str, span: Span) -> Parsed<()> {
        match word {
            "policies" => {
                let name = self.file_name(parser)?;
                self.conf.files.push((name, Some(Language::Setkey)));
            }
            "file" => {
                let name = self.file_name(parser)?;
                let language = match parser.next.kind {
                    TokenKind::Word(_) => Some(parser.choice("a language", Language::NAMES)?.0),
                    _ => None,
                };
                self.conf.files.push((name, language));
            }
            "isakmpd" => self.conf.isakmpd = Some(self.file_name(parser)?),
            "defaults" => {
                let defaults = peer::defaults(parser)?;
                let address = match parser.next.kind {
                    TokenKind::Word(_) => Some(parser.address()?.0),
                    _ => None,
                };
                if self.conf.defaults.iter().any(|(own, _)| *own == address) {
                    return parser.refuse(span, "duplicate statement `defaults`");
                }
                self.conf.defaults.push((address, defaults));
            }
            "release" => {
                let release = parser.choice("a release of OpenBSD", Release::NAMES)?.0;
                if self.conf.release.replace(release).is_some() {
                    return parser.refuse(span, "duplicate statement `release`");
                }
            }
            "keys" => {
                let name = self.file_name(parser)?;
                if self.configuration.key_file.is_some() {
                    return parser.refuse(span, "duplicate statement `keys`");
                }
                self.configuration.key_file = Some(name);
            }
            "local" => {
                let (address, span) = parser.address()?;
                let local = SocketAddr::new(address, parser.port()?.unwrap_or(IKE_PORT));
                if !self.locals.insert(local) {
                    return parser.refuse(span, format!("duplicate statement `local {local}`"));
                }
                self.conf.locals.push(local);
            }
            "wan" => self.conf.wan.push(interface(parser)?),
            "tun" => {
                let tun = tun(parser)?;
                if self.conf.tun.replace(tun).is_some() {
                    return parser.refuse(span, "duplicate statement `tun`");
                }
            }
            "backend" => {
                let table = [("userspace", Backend::Userspace), ("pfkey", Backend::Pfkey)];
                self.conf.backend = parser.choice("a back end", &table)?.0;
            }
            "limit" => {
                let table = [("sas", 0), ("policies", 1), ("flows", 2), ("half_open", 3)];
                let (kind, _) = parser.choice("a limit", &table)?;
                let limits = &mut self.conf.limits;
                match kind {
                    0 => limits.sas = Some(number32(parser, "a number of SAs", 2..=1 << 20)?),
                    1 => limits.policies = Some(number32(parser, "a number of policies", 2..=1 << 20)?),
                    2 => limits.flows = Some(number32(parser, "a number of flows", 16..=1 << 20)?),
                    _ => {
                        let most = u8::try_from(number32(parser, "a number of exchanges", 1..=255)?);
                        limits.half_open = most.ok();
                    }
                }
            }
            "control" => {
                let control = self.control(parser)?;
                if self.conf.control != ControlSocket::Default {
                    return parser.refuse(span, "duplicate statement `control`");
                }
                self.conf.control = control;
            }
            "export_keys" => self.conf.exports_keys = parser.boolean()?,
            "user" => {
                let user = process_user(parser)?;
                if self.conf.user.replace(user.clone()).is_some() {
                    return parser.refuse(span, "duplicate statement `user`");
                }
                self.configuration.process_user = Some(user);
            }
            "mss_clamping" => self.conf.clamps_mss = parser.boolean()?,
            "state" => {
                let name = self.file_name(parser)?;
                if self.conf.state.replace(name).is_some() {
                    return parser.refuse(span, "duplicate statement `state`");
                }
                self.conf.stores_keys = parser.accept("keys");
            }
            "mark" => self.conf.mark = number32(parser, "a number", 1..=u64::from(u32::MAX))?,
            "table" => {
                // Tables from 253 on, and rules from 32766 on, are those of the system.
                let at = parser.span();
                self.conf.table = number32(parser, "a number", 1..=32_765)?;
                if (253..=255).contains(&self.conf.table) {
                    let table = self.conf.table;
                    let expected = "expected a routing table other than 253 to 255 (default, main, local)";
                    return parser.refuse(at, format!("{expected}, found {table}"));
                }
            }
            _ => return self.peer(parser, span),
        }
        parser.end(&TOP)
    }

    /// Parses the path of the control socket, or `off`.
    fn control(&self, parser: &mut Parser<'_, '_>) -> Parsed<ControlSocket> {
        let span = parser.span();
        if parser.accept("off") {
            return Ok(ControlSocket::Off);
        }
        let path = self.file_name(parser)?;
        if path.len() > MAX_SOCKET_PATH {
            let text = format!("expected a path of at most {MAX_SOCKET_PATH} octets, found {}", path.len());
            return parser.refuse(span, text);
        }
        Ok(ControlSocket::Path(path))
    }

    /// Parses the name of a file, which is relative to the directory of the configuration.
    fn file_name(&self, parser: &mut Parser<'_, '_>) -> Parsed<String> {
        let (name, span) = text(parser, "a file name")?;
        if name.is_empty() {
            return parser.refuse(span, "expected a file name, found \"\"");
        }
        Ok(crate::files::relative_to(self.directory, &name))
    }
}

/// Parses a text in quotes, or a word.
fn text(parser: &mut Parser<'_, '_>, expected: &str) -> Parsed<(String, Span)> {
    match parser.next.kind {
        TokenKind::Word(word) => {
            let span = parser.span();
            parser.advance();
            Ok((word.to_owned(), span))
        }
        _ => parser.text(expected),
    }
}

/// Parses the name or number of a user, and optionally those of a group.
fn process_user(parser: &mut Parser<'_, '_>) -> Parsed<ProcessUser> {
    let (user, _) = text(parser, "a user name")?;
    let group = match parser.next.kind {
        TokenKind::Word(_) | TokenKind::Quoted(_) => Some(text(parser, "a group name")?.0),
        _ => None,
    };
    Ok(ProcessUser { user, group })
}

fn number32(parser: &mut Parser<'_, '_>, what: &str, limits: core::ops::RangeInclusive<u64>) -> Parsed<u32> {
    parser.number(what, limits).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// Parses the name of an interface, which occurs in the rules of the firewall.
fn interface(parser: &mut Parser<'_, '_>) -> Parsed<String> {
    const EXPECTED: &str = "an interface name: letters, digits, `-`, `_` and `.`, at most 15";
    let (name, span) = parser.word(EXPECTED)?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.len() <= MAX_INTERFACE && name.chars().all(is_allowed) && !name.starts_with(['-', '.']) {
        Ok(name.to_owned())
    } else {
        parser.refuse(span, format!("expected {EXPECTED}, found `{}`", shown_word(name)))
    }
}

fn tun(parser: &mut Parser<'_, '_>) -> Parsed<TunInterface> {
    let mut tun = TunInterface::new(interface(parser)?);
    loop {
        if parser.accept("mtu") {
            tun.mtu = u16::try_from(parser.number("an MTU", 576..=65_535)?).unwrap_or(TUN_MTU);
        } else if parser.accept("address") {
            tun.addresses.push(prefix(parser)?);
        } else {
            return Ok(tun);
        }
    }
}

fn prefix(parser: &mut Parser<'_, '_>) -> Parsed<(IpAddr, u8)> {
    const EXPECTED: &str = "an IP address with the length of its prefix";
    let (word, span) = parser.word(EXPECTED)?;
    let parsed = word.split_once('/').and_then(|(address, length)| {
        let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
        (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
    });
    match parsed {
        Some(prefix) => Ok(prefix),
        None => parser.refuse(span, format!("expected {EXPECTED}, found `{}`", shown_word(word))),
    }
}
