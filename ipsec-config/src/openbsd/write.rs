//! Text of ipsec.conf(5) from the common configuration.

use std::collections::HashSet;
use std::fmt::Write;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use ike_codec::{ExchangeKind, Group, IdKind};
use ike_v1::{Identity, LocalIdentity, Phase1Choice};
use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::{AddressRange, PortRange, Selector, Upper};
use ipsec_sa::{Action, Level, Mode, PolicyDirection, SaParams, Template, TransformParams};

use super::names::{AUTH, CIPHERS, GROUPS};
use crate::describe::protocol_text;
use crate::write::{Hex, Lost};
use crate::{Configuration, ConfiguredKey, Negotiation};

/// Returns the text of a configuration. What the language cannot express is added to `lost`.
pub(crate) fn write(configuration: &Configuration, lost: &mut Lost) -> String {
    let mut text = String::new();
    let keys = configuration.keys_of_peers();
    // The rule `ike` makes the policies for both directions.
    let mut implied = HashSet::new();
    for negotiation in configuration.negotiations() {
        let selector = &negotiation.policy.params.selector;
        if negotiation.peer.is_some() {
            implied.insert((selector.destination, selector.source));
        }
        let rule = match negotiation.peer {
            Some((index, _)) => ike(keys.get(&index).copied(), &negotiation, lost),
            None => flow(&negotiation.selector, PolicyDirection::Out, &negotiation.templates, lost),
        };
        let _ = writeln!(text, "{rule}");
    }
    for policy in &configuration.policies {
        let selector = &policy.params.selector;
        match (policy.params.action, policy.params.direction) {
            (Action::Protect(bundle), PolicyDirection::In)
                if !implied.contains(&(selector.source, selector.destination)) =>
            {
                let templates: Vec<_> = bundle.iter().map(|template| (*template, Vec::new())).collect();
                let _ = writeln!(text, "{}", flow(selector, PolicyDirection::In, &templates, lost));
            }
            (Action::Protect(_), _) | (_, PolicyDirection::Forward) => {}
            (Action::Bypass, direction) => {
                let _ = writeln!(text, "flow {direction}{} type bypass", hosts(selector, lost));
            }
            (Action::Discard, direction) => {
                let _ = writeln!(text, "flow {direction}{} type deny", hosts(selector, lost));
            }
        }
    }
    for sa in &configuration.sas {
        if let Some(rule) = manual(&sa.params, lost) {
            let _ = writeln!(text, "{rule}");
        }
    }
    text
}

fn ike(key: Option<&ConfiguredKey>, negotiation: &Negotiation<'_>, lost: &mut Lost) -> String {
    let Some((_, peer)) = negotiation.peer else { return String::new() };
    let config = &peer.config;
    let mut rule = "ike".to_string();
    if !config.initiates {
        rule.push_str(" passive");
    } else if config.dead_peer_detection.is_some() {
        rule.push_str(" dynamic");
    }
    let Some((template, transforms)) = negotiation.templates.first() else { return rule };
    if negotiation.templates.len() > 1 {
        lost.note("bundles of several protocols: only the first is written");
    }
    let _ = write!(rule, " {}", template.protocol);
    if template.mode == Mode::Transport {
        rule.push_str(" transport");
    }
    rule.push_str(&hosts(&negotiation.selector, lost));
    if let Some(local) = template.ends.and_then(|ends| ends.source.0).or(peer.local) {
        let _ = write!(rule, " local {local}");
    }
    match (config.address, negotiation.address) {
        (Some(address), _) => _ = write!(rule, " peer {}", address.ip()),
        (None, Some(address)) if template.mode == Mode::Tunnel => _ = write!(rule, " peer {address}"),
        (None, Some(_)) => {}
        (None, None) => rule.push_str(" peer any"),
    }
    let phase = if config.exchanges.first() == Some(&ExchangeKind::AGGRESSIVE) { "aggressive" } else { "main" };
    if config.exchanges.len() > 1 {
        lost.note("several exchanges of phase 1: only the first is written");
    }
    if let Some(choice) = config.proposals.first() {
        let _ = write!(rule, " \\\n\t{phase} {}", phase_1(choice, lost));
    }
    if config.proposals.len() > 1 {
        lost.note("several proposals of phase 1: only the first is written");
    }
    if let (Some(choice), Some(phase_2)) = (transforms.first(), negotiation.phase_2) {
        if transforms.len() > 1 {
            lost.note("several transforms of phase 2: only the first is written");
        }
        rule.push_str(" \\\n\tquick");
        if let ike_v1::Phase2Suite::Keyed { cipher, cipher_key, integrity, .. } = choice.suite {
            if integrity != IntegrityAlgorithm::None {
                let _ = write!(rule, " auth {}", auth(integrity, lost));
            }
            if choice.protocol == ike_codec::ProtocolId::ESP {
                let _ = write!(rule, " enc {}", enc(cipher, cipher_key, lost));
            }
        }
        let _ = write!(rule, " group {}", group(phase_2.group));
        if let Some(seconds) = phase_2.lifetimes.seconds {
            let _ = write!(rule, " lifetime {seconds}");
        }
    }
    if let LocalIdentity::Given(own) = &config.local_identity {
        let _ = write!(rule, " \\\n\tsrcid {}", identity(own, lost));
    }
    if let Some(own) = &config.remote_identity {
        let _ = write!(rule, " dstid {}", identity(own, lost));
    }
    if let Some(key) = key {
        match core::str::from_utf8(&key.key).ok().filter(|key| !key.contains(['\\', '\n'])) {
            Some(key) => _ = write!(rule, " psk \"{}\"", key.replace('"', "\\\"")),
            None => {
                lost.note("pre-shared keys with backslashes or line breaks, or not in UTF-8: a placeholder is written");
                rule.push_str(" psk \"change-this-secret\"");
            }
        }
    } else if config.needs_key() {
        lost.note("pre-shared keys are in another file: `psk` with a placeholder is written");
        rule.push_str(" psk \"change-this-secret\"");
    }
    rule
}

fn phase_1(choice: &Phase1Choice, lost: &mut Lost) -> String {
    let hash = AUTH.iter().find(|row| row.2 == Some(choice.hash)).map_or("hmac-sha1", |row| row.0);
    let lifetime = choice.lifetimes.seconds.map(|seconds| format!(" lifetime {seconds}")).unwrap_or_default();
    format!(
        "auth {hash} enc {} group {}{lifetime}",
        enc(choice.cipher, choice.cipher_key, lost),
        group(Some(choice.group))
    )
}

fn identity(identity: &Identity, lost: &mut Lost) -> String {
    if !matches!(identity.kind, IdKind::FQDN | IdKind::USER_FQDN | IdKind::IPV4 | IdKind::IPV6) {
        lost.note("identities other than addresses, FQDN and user FQDN");
    }
    identity.to_string()
}

fn group(group: Option<Group>) -> &'static str {
    GROUPS.iter().find(|row| row.1 == group).map_or("none", |row| row.0)
}

fn auth(integrity: IntegrityAlgorithm, lost: &mut Lost) -> &'static str {
    let row = AUTH.iter().find(|row| row.1 == Some(integrity));
    if row.is_none() {
        lost.note("integrity algorithms without a name in ipsec.conf(5): `hmac-sha1` is written");
    }
    row.map_or("hmac-sha1", |row| row.0)
}

fn enc(cipher: CipherAlgorithm, octets: usize, lost: &mut Lost) -> &'static str {
    let row = CIPHERS.iter().rev().find(|row| row.1 == Some((cipher, octets)));
    // Names without a length come first in the table, and mean more than one length to a responder.
    let row = row.or_else(|| {
        lost.note("key lengths without a name in ipsec.conf(5): the default length is written");
        CIPHERS.iter().find(|row| row.1.is_some_and(|(own, _)| own == cipher))
    });
    row.map_or("aes", |row| row.0)
}

/// Returns ` proto P from A port p to B port q`.
fn hosts(selector: &Selector, lost: &mut Lost) -> String {
    let (protocol, source, destination) = match selector.upper {
        Upper::Any => (None, PortRange::ANY, PortRange::ANY),
        Upper::Protocol(protocol) => (Some(protocol), PortRange::ANY, PortRange::ANY),
        Upper::Ports(protocol, source, destination) => (protocol, source, destination),
        Upper::Icmp(protocol, ..) => {
            lost.note("types and codes of ICMP: the protocol is written");
            (Some(protocol), PortRange::ANY, PortRange::ANY)
        }
    };
    let proto = protocol.map(|protocol| format!(" proto {}", protocol_text(protocol.0))).unwrap_or_default();
    let from = format!("from {}{}", range(&selector.source, lost), port(source, lost));
    format!("{proto} {from} to {}{}", range(&selector.destination, lost), port(destination, lost))
}

fn port(ports: PortRange, lost: &mut Lost) -> String {
    match ports {
        PortRange::ANY => String::new(),
        PortRange { first, last } => {
            if first != last {
                lost.note("port ranges: only the first port is written");
            }
            format!(" port {first}")
        }
    }
}

fn range(range: &AddressRange, lost: &mut Lost) -> String {
    let most = if range.first().is_ipv4() { 32 } else { 128 };
    match range.prefix_length() {
        Some(length) if length == most => range.first().to_string(),
        Some(length) => format!("{}/{length}", range.first()),
        None => {
            lost.note("address ranges that are not prefixes: only the first address is written");
            range.first().to_string()
        }
    }
}

fn flow(
    selector: &Selector,
    direction: PolicyDirection,
    templates: &[(Template, Vec<ike_v1::Phase2Choice>)],
    lost: &mut Lost,
) -> String {
    let Some((template, _)) = templates.first() else { return String::new() };
    let ends = template.ends;
    let (local, peer) = match direction {
        PolicyDirection::Out => (ends.and_then(|ends| ends.source.0), ends.and_then(|ends| ends.destination.0)),
        _ => (ends.and_then(|ends| ends.destination.0), ends.and_then(|ends| ends.source.0)),
    };
    let mut rule = format!("flow {} {direction}{}", template.protocol, hosts(selector, lost));
    if let Some(local) = local {
        let _ = write!(rule, " local {local}");
    }
    if let Some(peer) = peer {
        let _ = write!(rule, " peer {peer}");
    }
    if template.level == Level::Use {
        rule.push_str(" type use");
    }
    rule
}

fn manual(sa: &SaParams, lost: &mut Lost) -> Option<String> {
    let mode = if sa.mode == Mode::Transport { "transport" } else { "tunnel" };
    let head = |protocol: &str| {
        format!("{protocol} {mode} from {} to {} spi {:#x}", sa.source, sa.id.destination, sa.managed_spi())
    };
    match &sa.transform {
        TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys) => {
            let (cipher, integrity) = (keys.cipher, keys.integrity);
            let octets = keys.cipher_key.expose().len();
            let mut rule = head("esp");
            if integrity != IntegrityAlgorithm::None {
                let _ = write!(rule, " auth {}", auth(integrity, lost));
            }
            let is_counter = cipher == CipherAlgorithm::AesCtr || cipher.row().is_some_and(|row| row.icv > 0);
            if is_counter {
                lost.note("ciphers that ipsec.conf(5) does not permit with static keys: the SA is left out");
                return None;
            }
            if integrity == IntegrityAlgorithm::None {
                lost.note("SAs of ESP without integrity: the SA is left out");
                return None;
            }
            // These names mean keys of any length.
            let name = match cipher {
                CipherAlgorithm::BlowfishCbc => "blowfish",
                CipherAlgorithm::Cast128Cbc => "cast128",
                _ => enc(cipher, octets, lost),
            };
            let _ = write!(rule, " enc {name}");
            if integrity != IntegrityAlgorithm::None {
                let _ = write!(rule, " \\\n\tauthkey {}", Hex(keys.integrity_key.expose()));
            }
            if cipher != CipherAlgorithm::Null {
                let _ = write!(rule, " \\\n\tenckey {}", Hex(keys.cipher_key.expose()));
            }
            Some(rule)
        }
        TransformParams::Ah { integrity, key } => {
            Some(format!("{} auth {} \\\n\tauthkey {}", head("ah"), auth(*integrity, lost), Hex(key.expose())))
        }
        TransformParams::Ipcomp { .. } => Some(format!("{} comp deflate", head("ipcomp"))),
    }
}
