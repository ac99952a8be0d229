//! Conversion of the sections to the common configuration.

mod phase_2;

use std::collections::{HashMap, HashSet};
use std::format;
use std::net::{IpAddr, SocketAddr};
use std::string::{String, ToString};
use std::time::Duration;
use std::vec::Vec;

use ike_codec::{AuthMethod, ExchangeKind, Lifetimes};
use ike_v1::{DeadPeerDetection, LocalIdentity, NatUse, PeerConfig, Phase1Choice, ProposalCheck};
use zeroize::Zeroizing;

use super::ini::{Ini, Section, Tag};
use super::sections::{self};
use crate::configuration::IKE_PORT;
use crate::diagnostic::shown_word;
use crate::{Configuration, ConfiguredKey, ConfiguredPeer, Diagnostics};

/// Lifetimes in seconds of both phases without a statement.
const LIFETIMES: (u64, u64) = (3600, 1200);

const GENERAL: &[&str] = &[
    "Retransmits",
    "Exchange-max-time",
    "Default-phase-1-lifetime",
    "Default-phase-2-lifetime",
    "DPD-check-interval",
    "NAT-T-Keepalive",
    "Listen-on",
    "Policy-file",
    "Default-phase-1-ID",
    "Pubkey-directory",
];
const PEER: &[&str] =
    &["Phase", "Transport", "Port", "Local-address", "Address", "Configuration", "Authentication", "ID", "Remote-ID"];
const CONNECTION: &[&str] = &["Phase", "ISAKMP-peer", "Configuration", "Local-ID", "Remote-ID"];

/// Tags of sections that describe transforms and lifetimes.
const TRANSFORM_TAGS: &[&str] = &[
    "Transforms",
    "Suites",
    "Protocols",
    "PROTOCOL_ID",
    "TRANSFORM_ID",
    "ENCRYPTION_ALGORITHM",
    "LIFE_TYPE",
    "PRIVKEY",
];

/// Values of `[General]` and the peers that were added.
struct Converter<'c> {
    ini: &'c Ini,
    configuration: &'c mut Configuration,
    diagnostics: &'c mut Diagnostics,
    lifetimes: (u64, u64),
    detection: Option<DeadPeerDetection>,
    /// Indices of the peers by the names of their sections in lower case.
    peers: HashMap<String, usize>,
    /// Names of the sections that were read, in lower case.
    used: HashSet<String>,
}

/// Adds the peers, policies and parameters of the sections.
pub(super) fn add(ini: &Ini, configuration: &mut Configuration, diagnostics: &mut Diagnostics) {
    let mut converter = Converter {
        ini,
        configuration,
        diagnostics,
        lifetimes: LIFETIMES,
        detection: None,
        peers: HashMap::new(),
        used: ["general", "phase 1", "phase 2", "x509-certificates", "keynote"].map(String::from).into(),
    };
    converter.general();
    converter.phase_1();
    converter.phase_2();
    converter.unused();
}

impl<'c> Converter<'c> {
    fn general(&mut self) {
        let Some(general) = self.ini.find("General") else { return };
        general.check_tags(GENERAL, self.diagnostics);
        let seconds = |own: &mut Self, name: &str| -> Option<u64> {
            let tag = general.tag(name)?;
            let value = tag.value.parse::<u32>().ok();
            if value.is_none() {
                own.diagnostics.error(tag.span, format!("expected a number, found `{}`", shown_word(&tag.value)));
            }
            value.map(u64::from)
        };
        if let Some(count) = seconds(self, "Retransmits") {
            self.configuration.timing.transmissions = u8::try_from(count.saturating_add(1)).ok();
        }
        if let Some(limit) = seconds(self, "Exchange-max-time") {
            let limit = Some(Duration::from_secs(limit));
            (self.configuration.timing.phase_1, self.configuration.timing.phase_2) = (limit, limit);
        }
        if let Some(interval) = seconds(self, "NAT-T-Keepalive") {
            self.configuration.timing.keep_alive = Duration::from_secs(interval);
        }
        if let Some(delay) = seconds(self, "DPD-check-interval").filter(|delay| *delay > 0) {
            self.detection = Some(DeadPeerDetection::after(Duration::from_secs(delay)));
        }
        let mut lifetime = |name: &str| sections::lifetime(self.ini, general.tag(name)?, self.diagnostics);
        let (first, second) = (lifetime("Default-phase-1-lifetime"), lifetime("Default-phase-2-lifetime"));
        self.lifetimes = (first.unwrap_or(LIFETIMES.0), second.unwrap_or(LIFETIMES.1));
        for (word, span) in general.tag("Listen-on").into_iter().flat_map(Tag::list) {
            match word.parse::<IpAddr>() {
                Ok(address) => self.configuration.listen.push(SocketAddr::new(address, IKE_PORT)),
                Err(_) => self.diagnostics.error(span, format!("expected an address, found `{}`", shown_word(word))),
            }
        }
        if let Some(tag) = general.tag("Policy-file") {
            let text =
                "policies of keynote(4) are not implemented: every configured connection is permitted, as with `-K`";
            self.diagnostics.warning(tag.name_span, text);
        }
    }

    fn phase_1(&mut self) {
        let ini = self.ini;
        let Some(section) = ini.find("Phase 1") else {
            return self.diagnostics.error(ini.start, "section [Phase 1] is missing");
        };
        for tag in &section.tags {
            let is_default = tag.name.eq_ignore_ascii_case("Default");
            let address = tag.name.parse::<IpAddr>().ok();
            if !is_default && address.is_none() {
                let text = format!("expected the address of a peer or `Default`, found `{}`", shown_word(&tag.name));
                self.diagnostics.error(tag.name_span, text);
                continue;
            }
            for (name, span) in tag.list() {
                if let Some(section) = ini.named(name, span, self.diagnostics) {
                    self.peer(section, address);
                }
            }
        }
    }

    /// Adds a peer, and returns its index.
    fn peer(&mut self, section: &Section, address: Option<IpAddr>) -> Option<usize> {
        if let Some(index) = self.peers.get(&section.name.to_ascii_lowercase()) {
            return Some(*index);
        }
        self.used.insert(section.name.to_ascii_lowercase());
        section.check_tags(PEER, self.diagnostics);
        let parse = |own: &mut Self, name: &str| -> Option<IpAddr> {
            let tag = section.tag(name)?;
            let value = tag.value.parse().ok();
            if value.is_none() {
                own.diagnostics.error(tag.span, format!("expected an address, found `{}`", shown_word(&tag.value)));
            }
            value
        };
        let (own_address, local) = (parse(self, "Address"), parse(self, "Local-address"));
        if let (Some(own), Some(other)) = (own_address, address)
            && own != other
        {
            let text = format!("`Address` {own} differs from the address {other} in [Phase 1]");
            self.diagnostics.warning(section.span, text);
        }
        let address = own_address.or(address);
        let port = match section.tag("Port") {
            Some(tag) if tag.value.eq_ignore_ascii_case("isakmp") => IKE_PORT,
            Some(tag) => tag.value.parse().unwrap_or_else(|_| {
                self.diagnostics.error(tag.span, format!("expected a port, found `{}`", shown_word(&tag.value)));
                IKE_PORT
            }),
            None => IKE_PORT,
        };
        let (exchange, proposals) = self.main_mode(section)?;
        let identity = |own: &mut Self, name: &str| -> Option<ike_v1::Identity> {
            let tag = section.tag(name)?;
            let named = own.ini.named(&tag.value, tag.span, own.diagnostics)?;
            own.used.insert(named.name.to_ascii_lowercase());
            sections::identity(named, own.diagnostics)
        };
        let (own_id, remote_id) = (identity(self, "ID"), identity(self, "Remote-ID"));
        let own_id = own_id.or_else(|| {
            let tag = self.ini.find("General")?.tag("Default-phase-1-ID")?;
            let named = self.ini.named(&tag.value, tag.span, self.diagnostics)?;
            self.used.insert(named.name.to_ascii_lowercase());
            sections::identity(named, self.diagnostics)
        });
        let needs_key = proposals.iter().any(|own| own.auth_method == AuthMethod::PRE_SHARED_KEY);
        let config = PeerConfig {
            proposals,
            exchanges: std::vec![exchange],
            local_identity: own_id.map_or(LocalIdentity::Address, LocalIdentity::Given),
            remote_identity: remote_id,
            // Every lifetime in a range is accepted.
            check: ProposalCheck::Obey,
            nat_traversal: NatUse::On,
            fragment_size: 0,
            dead_peer_detection: self.detection,
            initiates: address.is_some(),
            ..PeerConfig::new(section.name.clone(), address.map(|address| SocketAddr::new(address, port)))
        };
        let index = self.configuration.peers.len();
        let mut peer = ConfiguredPeer::new(section.span, config);
        peer.local = local;
        match (section.tag("Authentication"), needs_key) {
            (Some(tag), true) => {
                let key = Zeroizing::new(sections::text(tag, self.diagnostics).as_bytes().to_vec());
                self.configuration.keys.push(ConfiguredKey { span: tag.name_span, peer: index, key });
            }
            (None, true) => _ = section.required("Authentication", self.diagnostics),
            (_, false) => {
                let certificates = self.ini.find("X509-certificates");
                let directory = |name: &str, default: &str| {
                    let tag = certificates.and_then(|section| section.tag(name));
                    tag.map_or(default.to_string(), |tag| tag.value.clone())
                };
                let name = address.map_or("local".to_string(), |address| address.to_string());
                let certificate =
                    format!("{}/{name}.crt", directory("Cert-directory", "/etc/isakmpd/certs").trim_end_matches('/'));
                let key = directory("Private-key", "/etc/isakmpd/private/local.key");
                peer.files.own.push((certificate, key.clone()));
                peer.files.own_key = Some(key);
                let general = self.ini.find("General").and_then(|section| section.tag("Pubkey-directory"));
                let keys = general.map_or("/etc/isakmpd/pubkeys", |tag| tag.value.trim_end_matches('/'));
                peer.files.public_key_directory = Some(keys.to_string());
                peer.files.directory = Some(directory("CA-directory", "/etc/isakmpd/ca"));
                peer.files.crl_directory = Some(directory("CRL-directory", "/etc/isakmpd/crls"));
            }
        }
        self.configuration.peers.push(peer);
        self.peers.insert(section.name.to_ascii_lowercase(), index);
        Some(index)
    }

    fn main_mode(&mut self, section: &Section) -> Option<(ExchangeKind, Vec<Phase1Choice>)> {
        let Some(tag) = section.tag("Configuration") else {
            // The default of isakmpd(8).
            let choice = super::suites::phase_1("3DES-SHA-RSA_SIG")?;
            return Some((ExchangeKind::MAIN, std::vec![self.choice(&choice, None)]));
        };
        let named = self.ini.named(&tag.value, tag.span, self.diagnostics)?;
        self.used.insert(named.name.to_ascii_lowercase());
        named.check_tags(&["DOI", "EXCHANGE_TYPE", "Transforms"], self.diagnostics);
        let exchanges = [("ID_PROT", ExchangeKind::MAIN), ("AGGRESSIVE", ExchangeKind::AGGRESSIVE)];
        let exchange = match named.tag("EXCHANGE_TYPE") {
            Some(tag) => sections::choice(tag, "an exchange of phase 1", &exchanges, self.diagnostics)?,
            None => ExchangeKind::MAIN,
        };
        let mut proposals = Vec::new();
        for (name, span) in named.required("Transforms", self.diagnostics)?.list() {
            if let Some((choice, life)) = sections::phase_1(self.ini, name, span, self.diagnostics) {
                proposals.push(self.choice(&choice, life));
            }
            self.used.insert(name.to_ascii_lowercase());
        }
        Some((exchange, proposals))
    }

    fn choice(&self, own: &super::suites::Phase1, life: Option<u64>) -> Phase1Choice {
        let lifetimes = Lifetimes { seconds: life.or(Some(self.lifetimes.0)), ..Lifetimes::default() };
        let choice = Phase1Choice::new(own.cipher, own.hash, own.method, own.group);
        choice.with_cipher_key(own.octets).with_lifetimes(lifetimes)
    }

    /// Warns of sections that no other section names.
    fn unused(&mut self) {
        let values = self.ini.sections.iter().flat_map(|section| &section.tags).flat_map(Tag::list);
        self.used.extend(values.map(|(value, _)| value.to_ascii_lowercase()));
        for section in &self.ini.sections {
            // The samples contain transforms and lifetimes that no connection has.
            let is_transform = TRANSFORM_TAGS.iter().any(|tag| section.tag(tag).is_some());
            if !is_transform && !self.used.contains(&section.name.to_ascii_lowercase()) {
                let text = format!("section [{}] has no effect: no other section names it", section.name);
                self.diagnostics.warning(section.span, text);
            }
        }
    }
}
