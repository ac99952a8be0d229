//! Writer of the statements of gateway.conf.

use std::collections::{BTreeSet, HashSet};
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::string::{String, ToString};

use ike_v1::PeerDefaults;

use super::{Lost, gateway_peer};
use crate::configuration::IKE_PORT;
use crate::gateway::{Backend, ControlSocket, GatewayConf, TunInterface};
use crate::openbsd::Release;
use crate::{Configuration, Language, Negotiation};

/// Names of the files that the statements name, where the configuration does not name one.
const POLICIES: &str = "setkey.conf";
const KEYS: &str = "psk.txt";
const INTERFACES: &str = "rc.conf";
/// Name of the TUN interface.
const TUN: &str = "ipsec0";

pub(super) fn write(configuration: &Configuration, lost: &mut Lost) -> String {
    let mut conf = GatewayConf { tun: Some(TunInterface::new(TUN)), ..GatewayConf::default() };
    conf.files.push((POLICIES.into(), Some(Language::Setkey)));
    lost.note("policies and SAs with manual keys: write them into setkey.conf with --to setkey");
    if !configuration.gifs.is_empty() || !configuration.routes.is_empty() {
        conf.files.push((INTERFACES.into(), Some(Language::Rc)));
        lost.note("interfaces and routes: write them into rc.conf with --to rc");
    }
    let negotiations: std::vec::Vec<Negotiation<'_>> = configuration.negotiations().collect();
    conf.locals = locals(configuration, &negotiations);
    if conf.locals.is_empty() {
        lost.note("the address of this host, which is not configured: add `local ADDRESS;`");
    }
    let mut text = conf.to_string();
    text.push_str(&peers(configuration, &negotiations, lost));
    text
}

impl GatewayConf {
    /// Returns the text of the file: the statements about the host, and the peers of a configuration. The second value
    /// lists what the language cannot express.
    pub fn write(&self, configuration: &Configuration) -> (String, Lost) {
        let mut lost = Lost::default();
        let negotiations: std::vec::Vec<Negotiation<'_>> = configuration.negotiations().collect();
        let mut text = self.to_string();
        text.push_str(&peers(configuration, &negotiations, &mut lost));
        (text, lost)
    }
}

/// Returns the addresses of this host: those it listens on, or else those that peers and tunnels name.
fn locals(configuration: &Configuration, negotiations: &[Negotiation<'_>]) -> std::vec::Vec<SocketAddr> {
    if !configuration.listen.is_empty() {
        return configuration.listen.clone();
    }
    let of_peers = configuration.peers.iter().filter_map(|peer| peer.local);
    let templates = negotiations.iter().flat_map(|own| &own.templates);
    let of_templates = templates.filter_map(|(template, _)| template.ends?.source.0);
    let addresses: BTreeSet<_> = of_peers.chain(of_templates).collect();
    addresses.into_iter().map(|address| SocketAddr::new(address, IKE_PORT)).collect()
}

/// Returns the statements about the keys and the peers.
fn peers(configuration: &Configuration, negotiations: &[Negotiation<'_>], lost: &mut Lost) -> String {
    let mut text = String::new();
    if !configuration.keys.is_empty() {
        lost.note("pre-shared keys: write them into psk.txt with --to psk");
    }
    let keys = configuration.key_file.as_deref().or((!configuration.keys.is_empty()).then_some(KEYS));
    if let Some(keys) = keys {
        let _ = writeln!(text, "keys {};", Quoted(keys));
    }
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    // The language has peers with addresses for those that this host initiates to.
    let of_policies = configuration.peers_of_policies();
    let named = configuration.peers.iter().enumerate();
    let all = named.chain(of_policies.iter().map(|(peer, index)| (*index, peer)));
    for (number, (index, peer)) in all.enumerate() {
        if !addresses.insert(peer.config.address) {
            lost.note("several peers with one address: the first is written");
            continue;
        }
        let mut name = peer.config.name.clone();
        if !is_word(&name) || names.contains(&name) {
            name = std::format!("peer-{number}");
        }
        names.insert(name.clone());
        let address = peer.config.address.map(|own| own.ip());
        let is_own = |own: &&Negotiation<'_>| {
            own.peer.is_some_and(|(at, peer)| at == index && (peer.config.address.is_some() || own.address == address))
        };
        let own: std::vec::Vec<_> = negotiations.iter().filter(is_own).collect();
        text.push_str(&gateway_peer::write(configuration, (index, peer), &name, &own, lost));
    }
    text
}

fn is_word(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    !name.is_empty() && name.chars().all(is_allowed)
}

/// Text in quotes. The language has no way to write a quote in one.
pub(super) struct Quoted<'t>(pub &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', ""))
    }
}

/// Address with its UDP port, unless that is the one of IKE.
pub(super) struct Endpoint(pub SocketAddr);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.ip().fmt(f)?;
        if self.0.port() == IKE_PORT { Ok(()) } else { write!(f, "[{}]", self.0.port()) }
    }
}

impl fmt::Display for GatewayConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, language) in &self.files {
            let language = Language::NAMES.iter().find(|row| Some(row.1) == *language).map(|row| row.0);
            match language {
                Some("setkey") => writeln!(f, "policies {};", Quoted(name))?,
                Some(language) => writeln!(f, "file {} {language};", Quoted(name))?,
                None => writeln!(f, "file {};", Quoted(name))?,
            }
        }
        if let Some(directory) = &self.isakmpd {
            writeln!(f, "isakmpd {};", Quoted(directory))?;
        }
        for (address, defaults) in &self.defaults {
            let name = if *defaults == PeerDefaults::RACOON { "racoon" } else { "rfc" };
            let address = address.map(|address| std::format!(" {address}")).unwrap_or_default();
            writeln!(f, "defaults {name}{address};")?;
        }
        let of_release = |row: &&(&str, Release)| Some(row.1) == self.release;
        if let Some((name, _)) = Release::NAMES.iter().find(of_release) {
            writeln!(f, "release {name};")?;
        }
        if self.backend == Backend::Pfkey {
            f.write_str("backend pfkey;\n")?;
        }
        self.locals.iter().try_for_each(|local| writeln!(f, "local {};", Endpoint(*local)))?;
        self.wan.iter().try_for_each(|name| writeln!(f, "wan {name};"))?;
        if let Some(tun) = &self.tun {
            write!(f, "tun {} mtu {}", tun.name, tun.mtu)?;
            tun.addresses.iter().try_for_each(|(address, length)| write!(f, " address {address}/{length}"))?;
            f.write_str(";\n")?;
        }
        writeln!(f, "mark {};\ntable {};", self.mark, self.table)?;
        match &self.control {
            ControlSocket::Default => {}
            ControlSocket::Off => f.write_str("control off;\n")?,
            ControlSocket::Path(path) => writeln!(f, "control {};", Quoted(path))?,
        }
        if let Some(user) = &self.user {
            let group = user.group.as_deref().map(|group| std::format!(" {}", Quoted(group))).unwrap_or_default();
            writeln!(f, "user {}{group};", Quoted(&user.user))?;
        }
        if self.exports_keys {
            f.write_str("export_keys on;\n")?;
        }
        if let Some(state) = &self.state {
            writeln!(f, "state {}{};", Quoted(state), if self.stores_keys { " keys" } else { "" })?;
        }
        if !self.clamps_mss {
            f.write_str("mss_clamping off;\n")?;
        }
        let limits = [
            ("sas", self.limits.sas),
            ("policies", self.limits.policies),
            ("flows", self.limits.flows),
            ("half_open", self.limits.half_open.map(u32::from)),
        ];
        let set = limits.into_iter().filter_map(|(name, limit)| Some((name, limit?)));
        set.into_iter().try_for_each(|(name, limit)| writeln!(f, "limit {name} {limit};"))
    }
}
