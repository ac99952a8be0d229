//! Files of several languages as one configuration.

use std::collections::{HashMap, HashSet};
use std::format;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

use ike_v1::Identity;
use ipsec_packet::Upper;
use zeroize::Zeroizing;

use crate::psk::PskFile;
use crate::secret::Secrets;
use crate::{
    Configuration, Diagnostics, FileId, Files, Sources, Span, WithText, gateway, isakmpd, openbsd, racoon, rc, setkey,
    xfrm,
};

/// Configuration language of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Language {
    /// Statements in the language of setkey(8).
    Setkey,
    /// Statements and blocks of racoon.conf(5).
    Racoon,
    /// Pre-shared keys of racoon(8).
    Psk,
    /// Rules of ipsec.conf(5) of OpenBSD.
    OpenBsd,
    /// Sections and tags of isakmpd.conf(5).
    Isakmpd,
    /// Lines of rc.conf(5) and rc.conf.local(8).
    Rc,
    /// Output of `ip xfrm state` and `ip xfrm policy`.
    Xfrm,
    /// Statements and blocks of gateway.conf.
    Gateway,
}

impl Language {
    /// All languages with their names.
    pub const NAMES: &'static [(&'static str, Self)] = &[
        ("setkey", Self::Setkey),
        ("racoon", Self::Racoon),
        ("psk", Self::Psk),
        ("openbsd", Self::OpenBsd),
        ("isakmpd", Self::Isakmpd),
        ("rc", Self::Rc),
        ("xfrm", Self::Xfrm),
        ("gateway", Self::Gateway),
    ];

    /// Returns the language of a file by its name and its first word. `/etc/ipsec.conf` is the name of a file of
    /// setkey(8) on FreeBSD and NetBSD, and of one of ipsec.conf(5) on OpenBSD.
    pub fn detect(path: &Path, text: &[u8]) -> Option<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        if name.contains("psk") {
            return Some(Self::Psk);
        }
        let by_name = [
            ("racoon", Self::Racoon),
            ("setkey", Self::Setkey),
            ("isakmpd", Self::Isakmpd),
            ("rc.conf", Self::Rc),
            ("gateway.conf", Self::Gateway),
            ("xfrm", Self::Xfrm),
        ];
        let by_name = by_name.iter().find(|row| name.contains(row.0)).map(|row| row.1);
        by_name.or_else(|| by_first_word(text))
    }
}

/// Returns the language in which the first word of a text begins a statement.
fn by_first_word(text: &[u8]) -> Option<Language> {
    let mut lines = text.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"))?;
    let is_end = |octet: &u8| octet.is_ascii_whitespace() || matches!(octet, b';' | b'{' | b'=' | b'"');
    let word = core::str::from_utf8(line.split(is_end).next()?).ok()?;
    let rest = line.get(word.len()..)?.trim_ascii();
    let is_openbsd_sa = || rest.starts_with(b"from") || rest.starts_with(b"transport") || rest.starts_with(b"tunnel");
    match word {
        "add" | "update" | "delete" | "deleteall" | "get" | "flush" | "dump" | "spdadd" | "spdupdate" | "spddelete"
        | "spdflush" | "spddump" | "exit" => Some(Language::Setkey),
        "ike" | "flow" | "tcpmd5" | "ipip" => Some(Language::OpenBsd),
        "esp" | "ah" | "ipcomp" if is_openbsd_sa() => Some(Language::OpenBsd),
        "path" | "remote" | "sainfo" | "log" | "padding" | "timer" | "listen" | "privsep" | "mode_cfg" => {
            Some(Language::Racoon)
        }
        "src" => Some(Language::Xfrm),
        "ip" if rest.starts_with(b"xfrm") || rest.starts_with(b"x ") => Some(Language::Xfrm),
        "include" if rest.ends_with(b";") => Some(Language::Racoon),
        _ if line.starts_with(b"[") => Some(Language::Isakmpd),
        _ if rest.starts_with(b"=") => Some(Language::OpenBsd),
        "include" => Some(Language::OpenBsd),
        _ => None,
    }
}

/// Files that were read, with their configuration.
#[derive(Default)]
#[non_exhaustive]
pub struct Loaded {
    /// Contents of the files.
    pub sources: Sources,
    /// Errors and warnings about all files.
    pub diagnostics: Diagnostics,
    /// Configuration of all files together.
    pub configuration: Configuration,
    /// Pre-shared keys of the file that the configuration names.
    pub keys: Option<PskFile>,
    /// Statements about the host in the last gateway.conf.
    pub gateway: Option<gateway::GatewayConf>,
    /// Contents of each racoon.conf.
    pub racoon: Vec<racoon::RacoonConf>,
    /// File of that gateway.conf.
    gateway_file: Option<FileId>,
    /// Languages of the files that were read.
    languages: HashSet<Language>,
}

/// Defaults that depend on the system for which a file was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadSettings {
    /// Release of OpenBSD whose defaults an ipsec.conf(5) has.
    pub release: openbsd::Release,
}

/// Reads files. Where the language is `None`, it is detected. Errors and warnings are in the result, those about
/// combinations of files included.
pub fn load(files: &dyn Files, paths: &[(PathBuf, Option<Language>)], settings: &LoadSettings) -> Loaded {
    let mut loaded = Loaded::default();
    for (path, language) in paths {
        loaded.read(files, path, *language, settings);
    }
    let release = loaded.gateway.as_ref().and_then(|conf| conf.release);
    loaded.read_startup_files(files, &release.map_or(*settings, |release| LoadSettings { release }));
    // The policies are known now, and with them the local addresses.
    for conf in &loaded.racoon {
        conf.configure(files, &mut loaded.configuration, &mut loaded.diagnostics);
    }
    loaded.set_defaults();
    if loaded.keys.is_none()
        && let Some(name) = loaded.configuration.key_file.clone()
    {
        match files.read(Path::new(&name)) {
            Ok(text) => {
                let file = loaded.sources.next();
                loaded.keys = Some(PskFile::parse(&name, text, &mut loaded.sources, &mut loaded.diagnostics));
                loaded.check_mode(files, Path::new(&name), Span { file, begin: 0, end: 0 });
            }
            Err(e) => loaded.missing_keys(&format!("{name}: {e}")),
        }
    }
    loaded.refuse_ports();
    // What does not go together may follow from the errors.
    if loaded.diagnostics.errors() == 0 {
        loaded.configuration.check(&mut loaded.diagnostics);
        loaded.check_keys();
        loaded.check_modes_of_keys(files);
    }
    loaded
}

impl Loaded {
    fn read(&mut self, files: &dyn Files, path: &Path, language: Option<Language>, settings: &LoadSettings) {
        let problem = |loaded: &mut Self, message: String| {
            let file = loaded.sources.add(path.to_string_lossy(), Vec::new(), Secrets::None);
            loaded.diagnostics.error(Span { file, begin: 0, end: 0 }, message);
        };
        let text = match files.read(path) {
            Ok(text) => text,
            Err(e) => return problem(self, format!("{e}")),
        };
        if language.is_none() && text.trim_ascii().is_empty() {
            return problem(self, "the file is empty: expected a configuration".into());
        }
        let Some(language) = language.or_else(|| Language::detect(path, &text)) else {
            let names: Vec<_> = Language::NAMES.iter().map(|row| row.0).collect();
            return problem(self, format!("unknown language: name one with --format: {}", names.join(", ")));
        };
        if language == Language::Gateway && self.gateway.is_some() {
            return problem(self, "expected one gateway.conf, which names the files of other languages".into());
        }
        self.languages.insert(language);
        // The languages read the file themselves, and what it includes.
        let (inner, text) = (files, Zeroizing::new(text));
        let files = &WithText { files, path, text: &text };
        let file = self.sources.next();
        let before = (self.configuration.sas.len(), self.configuration.keys.len());
        let (sources, diagnostics) = (&mut self.sources, &mut self.diagnostics);
        let read = match language {
            Language::Setkey => setkey::read(files, path, sources, &mut self.configuration, diagnostics),
            Language::Racoon => racoon::read(files, path, sources, diagnostics).map(|conf| self.racoon.push(conf)),
            Language::Psk => {
                self.keys = Some(PskFile::parse(&path.to_string_lossy(), text.to_vec(), sources, diagnostics));
                Ok(())
            }
            Language::Isakmpd => isakmpd::read(files, path, sources, &mut self.configuration, diagnostics),
            Language::Gateway => {
                let read = gateway::read(files, path, sources, &mut self.configuration, diagnostics);
                return match read {
                    Ok(conf) => {
                        self.gateway = Some(conf.clone());
                        self.configuration.listen.extend(&conf.locals);
                        self.gateway_file = Some(file);
                        let settings = &conf.release.map_or(*settings, |release| LoadSettings { release });
                        let first = self.configuration.peers.len();
                        for (name, language) in &conf.files {
                            self.read(inner, Path::new(name), *language, settings);
                        }
                        if let Some(directory) = &conf.isakmpd {
                            let peers = self.configuration.peers.get_mut(first..).unwrap_or_default();
                            peers.iter_mut().for_each(|peer| peer.files.move_from("/etc/isakmpd", directory));
                        }
                    }
                    Err(e) => problem(self, format!("{e}")),
                };
            }
            Language::Rc => rc::read(files, path, sources, &mut self.configuration, diagnostics),
            Language::Xfrm => xfrm::read(files, path, sources, &mut self.configuration, diagnostics),
            Language::OpenBsd => {
                openbsd::read(files, path, settings.release, sources, &mut self.configuration, diagnostics)
            }
        };
        if let Err(e) = read {
            return problem(self, format!("{e}"));
        }
        let after = (self.configuration.sas.len(), self.configuration.keys.len());
        if language == Language::Psk || (after != before && language != Language::Xfrm) {
            self.check_mode(files, path, Span { file, begin: 0, end: 0 });
        }
    }

    /// Adds a peer for each address of a policy that only a peer at any address has.
    pub fn add_peers_of_policies(&mut self) {
        self.configuration.add_peers_of_policies();
        self.set_defaults();
    }

    /// Sets the defaults that gateway.conf gives the peers of other files.
    fn set_defaults(&mut self) {
        if let Some(conf) = &self.gateway {
            let own = self.gateway_file;
            conf.set_defaults(self.configuration.peers.iter_mut().filter(|peer| Some(peer.span.file) != own));
        }
    }

    /// Reads the files that rc.conf(5) names, if a gateway.conf names an rc.conf and no file of their language.
    fn read_startup_files(&mut self, files: &dyn Files, settings: &LoadSettings) {
        if self.gateway.is_none() {
            return;
        }
        let startup = self.configuration.startup.clone();
        let named = self.languages.clone();
        for own in startup.files().filter(|own| !named.contains(&own.language)) {
            let path = Path::new(&own.path);
            if !own.is_optional || files.mode(path).is_some() {
                self.read(files, path, Some(own.language), settings);
            }
        }
    }

    /// Refuses policies with ports of a protocol that has none: no packet matches them, so that they protect nothing.
    fn refuse_ports(&mut self) {
        for policy in &self.configuration.policies {
            if let Upper::Ports(Some(protocol), ..) = policy.params.selector.upper
                && !protocol.has_ports()
            {
                let text = format!("protocol {protocol} has no ports: no packet matches the policy");
                self.diagnostics.error(policy.span, text);
            }
        }
    }

    /// Warns of a file with keys that other users can read or write.
    fn check_mode(&mut self, files: &dyn Files, path: &Path, span: Span) {
        if let Some(mode) = files.mode(path).filter(|mode| mode & 0o077 != 0) {
            let name = path.display();
            let text = format!("the file contains keys: mode is {mode:04o}, expected 0600: run `chmod 600 {name}`");
            self.diagnostics.warning(span, text);
        }
    }

    /// Warns of private keys that other users can read or write.
    fn check_modes_of_keys(&mut self, files: &dyn Files) {
        let mut keys: Vec<(String, Span)> = Vec::new();
        for peer in &self.configuration.peers {
            for (_, key) in &peer.files.own {
                if !keys.iter().any(|(known, _)| known == key) {
                    keys.push((key.clone(), peer.span));
                }
            }
        }
        for (key, span) in keys {
            self.check_mode(files, Path::new(&key), span);
        }
    }

    /// Warns once for the first peer that needs a key of a file that cannot be read.
    fn missing_keys(&mut self, message: &str) {
        let peer = self.configuration.peers.iter().find(|peer| peer.config.needs_key());
        if let Some(peer) = peer {
            self.diagnostics.warning(peer.span, format!("pre-shared keys: {message}"));
        }
    }

    /// Warns of peers with a pre-shared key that no file contains.
    fn check_keys(&mut self) {
        let Some(keys) = &self.keys else { return };
        let index = keys.index();
        let own_keys: HashSet<usize> = self.configuration.keys.iter().map(|key| key.peer).collect();
        let mut addresses_of: HashMap<usize, Vec<IpAddr>> = HashMap::new();
        for own in self.configuration.negotiations() {
            if let (Some((peer, _)), Some(address)) = (own.peer, own.address) {
                addresses_of.entry(peer).or_default().push(address);
            }
        }
        for (at, peer) in self.configuration.peers.iter().enumerate().filter(|(_, peer)| peer.config.needs_key()) {
            let has_own = own_keys.contains(&at);
            let identity = peer.config.remote_identity.as_ref().map(|identity: &Identity| format!("{identity}"));
            let addresses: Vec<_> = match peer.config.address {
                Some(address) => std::vec![address.ip()],
                // A peer at any address is one of those of the policies.
                None => addresses_of.remove(&at).unwrap_or_default(),
            };
            for address in addresses {
                if !has_own && !index.has(Some(address), identity.as_deref()) {
                    let text = format!("the file of the pre-shared keys has no line for {address}");
                    self.diagnostics.warning(peer.span, text);
                }
            }
        }
    }
}
