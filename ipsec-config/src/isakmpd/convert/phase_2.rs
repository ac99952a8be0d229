//! Connections with the transforms of phase 2.

use std::vec::Vec;

use ike_codec::{Lifetimes, ProtocolId};
use ipsec_packet::Selector;
use ipsec_sa::{
    Action, Bundle, Level, Mode, PolicyDirection, PolicyParams, Priority, Protocol, Template, TunnelEndpoints,
};

use super::super::ini::{Section, Tag};
use super::super::sections::{self, Client};
use super::super::suites::Phase2;
use super::{CONNECTION, Converter};
use crate::{ConfiguredPolicy, Phase2Config};

impl Converter<'_> {
    pub(super) fn phase_2(&mut self) {
        let ini = self.ini;
        let Some(section) = ini.find("Phase 2") else {
            return self.diagnostics.error(ini.start, "section [Phase 2] is missing");
        };
        section.check_tags(&["Connections", "Passive-connections"], self.diagnostics);
        if section.tags.is_empty() {
            section.required("Connections", self.diagnostics);
        }
        for (name, starts) in [("Connections", true), ("Passive-connections", false)] {
            for (name, span) in section.tag(name).into_iter().flat_map(Tag::list) {
                if let Some(connection) = ini.named(name, span, self.diagnostics) {
                    self.connection(connection, starts);
                }
            }
        }
    }

    fn connection(&mut self, section: &Section, starts: bool) -> Option<()> {
        self.used.insert(section.name.to_ascii_lowercase());
        section.check_tags(CONNECTION, self.diagnostics);
        let tag = section.required("ISAKMP-peer", self.diagnostics)?;
        let peer = self.ini.named(&tag.value, tag.span, self.diagnostics)?;
        let peer = self.peer(peer, None)?;
        let client = |own: &mut Self, name: &str| -> Option<Client> {
            let tag = section.required(name, own.diagnostics)?;
            let named = own.ini.named(&tag.value, tag.span, own.diagnostics)?;
            own.used.insert(named.name.to_ascii_lowercase());
            sections::client(named, own.diagnostics)
        };
        let (local, remote) = (client(self, "Local-ID"), client(self, "Remote-ID"));
        let suites = self.quick_mode(section)?;
        let (local, remote) = (local?, remote?);
        if local.range.first().is_ipv4() != remote.range.first().is_ipv4() {
            self.diagnostics.error(section.span, "expected `Local-ID` and `Remote-ID` of one address family");
            return None;
        }
        let first = suites.first()?.0;
        let same: Vec<_> = suites
            .iter()
            .filter(|(own, _)| {
                (own.protocol, own.is_tunnel, own.group) == (first.protocol, first.is_tunnel, first.group)
            })
            .collect();
        if same.len() != suites.len() {
            let text = "expected suites with one protocol, mode and group: only those like the first are used";
            self.diagnostics.warning(section.span, text);
        }
        let phase_2 = self.configuration.phase_2.len();
        let mut ciphers: Vec<(ipsec_crypto::CipherAlgorithm, usize)> = Vec::new();
        let mut integrity: Vec<ipsec_crypto::IntegrityAlgorithm> = Vec::new();
        for (own, _) in &same {
            if !ciphers.contains(&own.cipher) {
                ciphers.push(own.cipher);
            }
            if !integrity.contains(&own.integrity) {
                integrity.push(own.integrity);
            }
        }
        let life = suites.iter().find_map(|(_, life)| *life).unwrap_or(self.lifetimes.1);
        self.configuration.phase_2.push(Phase2Config {
            ciphers,
            integrity,
            suites: same.iter().map(|(own, _)| (own.cipher.0, own.cipher.1, own.integrity)).collect(),
            group: first.group,
            lifetimes: Lifetimes { seconds: Some(life), ..Lifetimes::default() },
            ..Phase2Config::new(section.span)
        });
        self.policies(section, (peer, phase_2), (&local, &remote), &first);
        let peer = self.configuration.peers.get_mut(peer)?;
        peer.starts |= starts && peer.config.address.is_some();
        Some(())
    }

    fn policies(
        &mut self,
        section: &Section,
        (peer, phase_2): (usize, usize),
        (local, remote): (&Client, &Client),
        suite: &Phase2,
    ) {
        let configured = self.configuration.peers.get(peer);
        let address = configured.and_then(|peer| peer.config.address).map(|address| address.ip());
        let own = configured.and_then(|peer| peer.local);
        let protocol = if suite.protocol == ProtocolId::AH { Protocol::Ah } else { Protocol::Esp };
        let sides =
            [(PolicyDirection::Out, local, remote, own, address), (PolicyDirection::In, remote, local, address, own)];
        for (direction, from, to, source, destination) in sides {
            let selector = Selector { source: from.range, destination: to.range, upper: Client::upper(from, to) };
            let ends = TunnelEndpoints { source: (source, None), destination: (destination, None) };
            let has_ends = suite.is_tunnel && (source.is_some() || destination.is_some());
            let mode = if suite.is_tunnel { Mode::Tunnel } else { Mode::Transport };
            let template = Template { protocol, mode, ends: has_ends.then_some(ends), level: Level::Require };
            let action = Bundle::default().with(template).map_or(Action::Discard, Action::Protect);
            let params = PolicyParams { selector, direction, priority: Priority::DEFAULT, action };
            let mut policy = ConfiguredPolicy::new(section.span, params);
            (policy.peer, policy.phase_2) = (Some(peer), Some(phase_2));
            self.configuration.policies.push(policy);
        }
    }

    fn quick_mode(&mut self, section: &Section) -> Option<Vec<(Phase2, Option<u64>)>> {
        let tag = section.required("Configuration", self.diagnostics)?;
        let named = self.ini.named(&tag.value, tag.span, self.diagnostics)?;
        self.used.insert(named.name.to_ascii_lowercase());
        named.check_tags(&["DOI", "EXCHANGE_TYPE", "Suites"], self.diagnostics);
        if let Some(tag) = named.tag("EXCHANGE_TYPE") {
            sections::choice(tag, "an exchange of phase 2", &[("QUICK_MODE", ())], self.diagnostics)?;
        }
        let mut suites = Vec::new();
        for (name, span) in named.required("Suites", self.diagnostics)?.list() {
            suites.extend(sections::phase_2(self.ini, name, span, self.diagnostics).into_iter().flatten());
            self.used.insert(name.to_ascii_lowercase());
        }
        Some(suites)
    }
}
