//! Lines of rc.conf(5) of FreeBSD and NetBSD and of rc.conf.local(8) of OpenBSD: interfaces, routes, daemons.

mod variables;

use std::borrow::ToOwned;
use std::collections::{HashMap, HashSet};
use std::format;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::string::String;
use std::vec::Vec;

use self::variables::{Variable, Variables, variables};
use crate::diagnostic::{did_you_mean, shown_word};
use crate::secret::Secrets;
use crate::{Configuration, Diagnostics, Files, Gif, Language, Route, Severity, Sources};

/// Daemons and files that the lines start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Startup {
    /// File of setkey(8), if `ipsec_enable` is set.
    pub ipsec_file: Option<String>,
    /// Flags of racoon(8), if `racoon_enable` is set.
    pub racoon_flags: Option<String>,
    /// Flags of isakmpd(8), unless they are `NO`.
    pub isakmpd_flags: Option<String>,
    /// File of ipsecctl(8), if `ipsec` is `YES`.
    pub ipsec_rules: Option<String>,
}

/// File that a daemon of the system reads when it starts.
pub(crate) struct StartupFile {
    pub language: Language,
    pub path: String,
    /// Set if the daemon starts without the file.
    pub is_optional: bool,
}

impl Startup {
    /// Iterates over the files of setkey(8), racoon(8), ipsecctl(8) and isakmpd(8): those that the variables and flags
    /// name, or those that the daemons read without them.
    pub(crate) fn files(&self) -> impl Iterator<Item = StartupFile> {
        let file = |language, path: &str| StartupFile { language, path: path.to_owned(), is_optional: false };
        let racoon = |flags: &String| file(Language::Racoon, argument(flags, 'f').unwrap_or(RACOON_CONF));
        let isakmpd = |flags: &String| {
            let named = argument(flags, 'c');
            StartupFile { is_optional: named.is_none(), ..file(Language::Isakmpd, named.unwrap_or(ISAKMPD_CONF)) }
        };
        let all = [
            self.ipsec_file.as_deref().map(|path| file(Language::Setkey, path)),
            self.racoon_flags.as_ref().map(racoon),
            self.ipsec_rules.as_deref().map(|path| file(Language::OpenBsd, path)),
            self.isakmpd_flags.as_ref().map(isakmpd),
        ];
        all.into_iter().flatten()
    }
}

/// Files that racoon(8) of the ports of FreeBSD and isakmpd(8) read without a flag.
const RACOON_CONF: &str = "/usr/local/etc/racoon/racoon.conf";
const ISAKMPD_CONF: &str = "/etc/isakmpd/isakmpd.conf";

/// Returns the argument of a flag, which is a word of its own or the rest of the flag.
fn argument(flags: &str, flag: char) -> Option<&str> {
    let mut words = flags.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if let Some(rest) = word.strip_prefix('-').and_then(|word| word.strip_prefix(flag)) {
            return if rest.is_empty() { words.next() } else { Some(rest) };
        }
    }
    None
}

/// Names that are read. Those with `*` have the name of an interface or route in its place.
const NAMES: &[&str] = &[
    "gif_interfaces",
    "cloned_interfaces",
    "static_routes",
    "ipsec_enable",
    "ipsec_file",
    "racoon_enable",
    "racoon_flags",
    "isakmpd_flags",
    "ipsec",
    "ipsec_rules",
];

/// Reads a file, and adds its interfaces, routes and daemons. Errors and warnings are added to `diagnostics`.
///
/// # Errors
/// The error of the file system.
pub fn read(
    files: &dyn Files,
    path: &Path,
    sources: &mut Sources,
    configuration: &mut Configuration,
    diagnostics: &mut Diagnostics,
) -> io::Result<()> {
    let text = files.read(path)?;
    let file = sources.add(path.to_string_lossy(), text, Secrets::None);
    let text = sources.shared_text(file);
    let variables = variables(&text, file, diagnostics);
    Lines { variables: &variables, diagnostics }.add(configuration);
    Ok(())
}

struct Lines<'v> {
    variables: &'v Variables,
    diagnostics: &'v mut Diagnostics,
}

impl<'v> Lines<'v> {
    fn find(&self, name: &str) -> Option<&'v Variable> {
        self.variables.find(name)
    }

    fn is_yes(&mut self, name: &str) -> bool {
        let Some(variable) = self.find(name) else { return false };
        match variable.value.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" | "1" => true,
            "no" | "false" | "off" | "0" | "" => false,
            other => {
                let text = format!("expected YES or NO, found `{}`", shown_word(other));
                self.diagnostics.error(variable.value_span, text);
                false
            }
        }
    }

    fn add(&mut self, configuration: &mut Configuration) {
        let value = |variable: Option<&Variable>| variable.map(|variable| variable.value.clone());
        let mut startup = Startup::default();
        if self.is_yes("ipsec_enable") {
            startup.ipsec_file = value(self.find("ipsec_file")).or_else(|| Some("/etc/ipsec.conf".to_owned()));
        }
        if self.is_yes("racoon_enable") {
            startup.racoon_flags = value(self.find("racoon_flags")).or_else(|| Some(String::new()));
        }
        startup.isakmpd_flags = value(self.find("isakmpd_flags")).filter(|flags| !flags.eq_ignore_ascii_case("no"));
        if self.is_yes("ipsec") {
            startup.ipsec_rules = value(self.find("ipsec_rules")).or_else(|| Some("/etc/ipsec.conf".to_owned()));
        }
        configuration.startup = startup;
        self.gifs(configuration);
        self.routes(configuration);
        // A misspelled name is silently ignored by the system.
        for variable in &self.variables.list {
            let near = did_you_mean(&variable.name, NAMES.iter().copied());
            if !NAMES.contains(&variable.name.as_str()) && near.is_some() && !is_known_elsewhere(&variable.name) {
                let text = format!("`{}` has no effect", shown_word(&variable.name));
                self.diagnostics.add(Severity::Warning, variable.span, text, near);
            }
        }
        self.misspelled(configuration);
    }

    /// Warns of names that end in that of an interface or route and begin with a misspelled word.
    fn misspelled(&mut self, configuration: &Configuration) {
        const PREFIXES: &[&str] = &["ifconfig", "gifconfig", "create_args", "ipv6_ifconfig", "route", "ipv6_route"];
        let gifs = configuration.gifs.iter().map(|gif| gif.name.as_str());
        let routes = self.find("static_routes").into_iter().flat_map(|list| list.value.split_whitespace());
        let known: HashSet<&str> = gifs.chain(routes).collect();
        for variable in &self.variables.list {
            let Some((prefix, name)) = variable.name.rsplit_once('_').filter(|(_, name)| known.contains(name)) else {
                continue;
            };
            let near = did_you_mean(prefix, PREFIXES.iter().copied());
            if !PREFIXES.contains(&prefix)
                && let Some(near) = near
            {
                let near = near.replace("`?", &format!("_{name}`?"));
                let text = format!("`{}` has no effect", shown_word(&variable.name));
                self.diagnostics.add(Severity::Warning, variable.span, text, Some(near));
            }
        }
    }

    fn gifs(&mut self, configuration: &mut Configuration) {
        let mut names: Vec<(&str, &Variable)> = Vec::new();
        let mut known = HashSet::new();
        for list in ["gif_interfaces", "cloned_interfaces"] {
            let Some(variable) = self.find(list).filter(|variable| !variable.value.eq_ignore_ascii_case("no")) else {
                continue;
            };
            let words = variable.value.split_whitespace().filter(|word| word.starts_with("gif"));
            for name in words {
                if known.insert(name) {
                    names.push((name, variable));
                }
            }
        }
        let mut configs: HashMap<&str, Vec<&Variable>> = HashMap::new();
        for variable in &self.variables.list {
            let own = variable.name.strip_prefix("ipv6_").unwrap_or(&variable.name);
            if let Some(name) = own.strip_prefix("ifconfig_") {
                configs.entry(name.split('_').next().unwrap_or(name)).or_default().push(variable);
            }
        }
        for (name, list) in names {
            let mut gif =
                Gif { span: list.span, name: name.to_owned(), outer: None, inner: Vec::new(), mtu: Gif::DEFAULT_MTU };
            if let Some(variable) = self.find(&format!("gifconfig_{name}")) {
                gif.outer = self.pair(variable, &variable.value.split_whitespace().collect::<Vec<_>>());
            }
            if let Some(variable) = self.find(&format!("create_args_{name}")) {
                let words: Vec<_> = variable.value.split_whitespace().collect();
                if let ["tunnel", ends @ ..] = words.as_slice() {
                    gif.outer = self.pair(variable, ends);
                }
            }
            for variable in configs.remove(name).unwrap_or_default() {
                self.ifconfig(&mut gif, variable);
            }
            if gif.outer.is_none() {
                let text = format!(
                    "no outer addresses of {name}: expected `gifconfig_{name}=\"A B\"` or `tunnel A B` in `ifconfig_{name}`"
                );
                self.diagnostics.warning(list.span, text);
            }
            configuration.gifs.push(gif);
        }
    }

    fn pair(&mut self, variable: &Variable, words: &[&str]) -> Option<(IpAddr, IpAddr)> {
        let words = match words {
            ["inet" | "inet6", words @ ..] => words,
            words => words,
        };
        let (Some(own), Some(peer)) = (words.first(), words.get(1)) else {
            self.diagnostics.error(variable.value_span, "expected the outer addresses of this host and of the peer");
            return None;
        };
        Some((self.address(variable, own)?, self.address(variable, peer)?))
    }

    fn address(&mut self, variable: &Variable, word: &str) -> Option<IpAddr> {
        let address = word.parse().ok();
        if address.is_none() {
            self.diagnostics.error(variable.value_span, format!("expected an address, found `{}`", shown_word(word)));
        }
        address
    }

    /// Reads the words of `ifconfig`: `inet L R netmask M`, `tunnel A B`, `mtu N`, `up`.
    fn ifconfig(&mut self, gif: &mut Gif, variable: &Variable) -> Option<()> {
        let mut words = variable.value.split_whitespace().peekable();
        // `ipv6_ifconfig_gif0` and old values begin with the address.
        let is_address = |word: &&str| word.split('/').next().is_some_and(|own| own.parse::<IpAddr>().is_ok());
        let has_no_family = words.peek().is_some_and(is_address);
        let mut first = has_no_family.then_some("inet");
        while let Some(word) = first.take().or_else(|| words.next()) {
            match word {
                "inet" | "inet6" => {
                    let text = words.next().unwrap_or_default();
                    let (address, length) =
                        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
                    let own = self.address(variable, address)?;
                    let mut length = match length {
                        Some(length) => self.length(variable, own, length)?,
                        None if own.is_ipv4() => 32,
                        None => 64,
                    };
                    let peer = words.next_if(|word| word.parse::<IpAddr>().is_ok()).and_then(|word| word.parse().ok());
                    if words.next_if(|word| matches!(*word, "netmask" | "prefixlen")).is_some() {
                        length = self.length(variable, own, words.next().unwrap_or_default())?;
                    }
                    gif.inner.push((own, peer, length));
                }
                "tunnel" => {
                    words.next_if(|word| matches!(*word, "inet" | "inet6"));
                    let ends = [words.next().unwrap_or_default(), words.next().unwrap_or_default()];
                    gif.outer = self.pair(variable, &ends);
                }
                "mtu" => match words.next().and_then(|word| word.parse().ok()) {
                    Some(mtu) => gif.mtu = mtu,
                    None => {
                        self.diagnostics.error(variable.value_span, "expected a number of octets after `mtu`");
                        return None;
                    }
                },
                "up" | "down" | "create" | "alias" | "auto_linklocal" | "-accept_rtadv" | "ifdisabled"
                | "-ifdisabled" => {}
                other => {
                    let text = format!("`{}` of ifconfig(8) is ignored", shown_word(other));
                    self.diagnostics.warning(variable.value_span, text);
                }
            }
        }
        Some(())
    }

    /// Returns the length of a prefix: a number, a mask with dots, or one in hexadecimal.
    fn length(&mut self, variable: &Variable, address: IpAddr, word: &str) -> Option<u8> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let mask = match word.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => word.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits),
        };
        let length = match mask {
            Some(mask) if mask.leading_ones().saturating_add(mask.trailing_zeros()) >= 32 => {
                u8::try_from(mask.leading_ones()).ok()
            }
            Some(_) => None,
            None => word.parse::<u8>().ok().filter(|length| *length <= most),
        };
        if length.is_none() {
            self.diagnostics.error(
                variable.value_span,
                format!("expected a mask or the length of a prefix, found `{}`", shown_word(word)),
            );
        }
        length
    }

    fn routes(&mut self, configuration: &mut Configuration) {
        let Some(list) = self.find("static_routes") else { return };
        for name in list.value.split_whitespace() {
            // NetBSD and FreeBSD have the name of a FIB or interface after a colon.
            let name = name.split(':').next().unwrap_or(name);
            let wanted = format!("route_{name}");
            match self.find(&wanted) {
                Some(variable) => {
                    if let Some(route) = self.route(variable) {
                        configuration.routes.push(route);
                    }
                }
                None => {
                    let names = self.variables.list.iter().map(|own| own.name.as_str());
                    let help = did_you_mean(&wanted, names.take_while(|_| self.diagnostics.suggests()));
                    let text = format!("`{wanted}` is missing");
                    self.diagnostics.add(Severity::Error, list.value_span, text, help);
                }
            }
        }
    }

    /// Reads `[-net|-host] DESTINATION[/LENGTH] GATEWAY [netmask M]` or `.. -interface NAME`.
    fn route(&mut self, variable: &Variable) -> Option<Route> {
        let mut destination: Option<(IpAddr, Option<u8>)> = None;
        let (mut gateway, mut interface, mut is_host) = (None, None, false);
        let mut words = variable.value.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "-net" | "-inet" | "-inet6" | "add" => {}
                "-host" => is_host = true,
                "-interface" | "-iface" => interface = words.next().map(ToOwned::to_owned),
                "netmask" | "-netmask" | "-prefixlen" => {
                    let (address, _) = destination?;
                    destination =
                        Some((address, Some(self.length(variable, address, words.next().unwrap_or_default())?)));
                }
                "default" if destination.is_none() => destination = Some((IpAddr::V4(Ipv4Addr::UNSPECIFIED), Some(0))),
                _ if destination.is_none() => {
                    let (address, length) =
                        word.split_once('/').map_or((word, None), |(address, length)| (address, Some(length)));
                    let address = self.address(variable, address)?;
                    let length = match length {
                        Some(length) => Some(self.length(variable, address, length)?),
                        None => None,
                    };
                    destination = Some((address, length));
                }
                _ => gateway = Some(self.address(variable, word)?),
            }
        }
        let Some((address, length)) = destination else {
            self.diagnostics.error(variable.value_span, "expected a destination and the next host");
            return None;
        };
        if gateway.is_none() && interface.is_none() {
            self.diagnostics
                .error(variable.value_span, "expected the address of the next host, or `-interface` and its name");
            return None;
        }
        let length = length.unwrap_or_else(|| classful(address, is_host));
        Some(Route { span: variable.span, destination: (address, length), gateway, interface })
    }
}

/// Returns the length of the prefix of a network without a mask: that of its class if the rest is 0.
fn classful(address: IpAddr, is_host: bool) -> u8 {
    match address {
        IpAddr::V6(_) => 128,
        IpAddr::V4(_) if is_host => 32,
        IpAddr::V4(address) => match address.octets() {
            [0..=127, 0, 0, 0] => 8,
            [128..=191, _, 0, 0] => 16,
            [192..=223, _, _, 0] => 24,
            _ => 32,
        },
    }
}

/// Returns whether a variable of the system resembles one of those that are read.
fn is_known_elsewhere(name: &str) -> bool {
    [
        "pf_flags",
        "ipsec_program",
        "racoon_program",
        "racoon_create_dirs",
        "ipv6_static_routes",
        "iked_flags",
        "ntpd_flags",
    ]
    .contains(&name)
}
