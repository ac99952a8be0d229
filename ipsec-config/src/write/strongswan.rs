//! Writer of the connections of swanctl.conf(5).

use std::collections::HashMap;
use std::fmt::Write;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use ike_codec::{AuthMethod, ExchangeKind, ProtocolId};
use ike_v1::names::{CipherName, hash_name, integrity_name};
use ike_v1::{Identity, LocalIdentity, NatUse, Phase1Choice, Phase2Choice, Phase2Suite};
use ipsec_crypto::IntegrityAlgorithm;
use ipsec_packet::{AddressRange, PortRange, Selector, Upper};
use ipsec_sa::Mode;

use super::Lost;
use crate::describe::group_name;
use crate::{Configuration, ConfiguredPeer, Negotiation};

pub(super) fn write(configuration: &Configuration, lost: &mut Lost) -> String {
    let mut text = String::from("connections {\n");
    let mut of_peers: HashMap<usize, Vec<Negotiation<'_>>> = HashMap::new();
    for negotiation in configuration.negotiations() {
        if let Some((index, _)) = negotiation.peer {
            of_peers.entry(index).or_default().push(negotiation);
        }
    }
    for (index, peer) in configuration.peers.iter().enumerate() {
        connection(&mut text, of_peers.remove(&index).unwrap_or_default(), index, peer, lost);
    }
    let keys = configuration.keys_of_peers();
    text.push_str("}\nsecrets {\n");
    for (index, peer) in configuration.peers.iter().enumerate().filter(|(_, peer)| peer.config.needs_key()) {
        let key = keys.get(&index);
        if key.is_none() {
            lost.note("pre-shared keys are in another file: a placeholder is written");
        }
        let secret = key.map_or("\"change-this-secret\"".to_string(), |key| super::Hex(&key.key).to_string());
        let _ = writeln!(text, "    ike-{index} {{\n        secret = {secret}");
        let id = peer.config.remote_identity.as_ref().map(Identity::to_string);
        if let Some(id) = id.or(peer.config.address.map(|address| address.ip().to_string())) {
            let _ = writeln!(text, "        id = {id}");
        }
        text.push_str("    }\n");
    }
    text.push_str("}\n");
    if !configuration.sas.is_empty() {
        lost.note("SAs with manual keys: write them with --to xfrm");
    }
    text
}

fn connection(
    text: &mut String,
    negotiations: Vec<Negotiation<'_>>,
    index: usize,
    peer: &ConfiguredPeer,
    lost: &mut Lost,
) {
    let config = &peer.config;
    let _ = writeln!(text, "    peer-{index} {{\n        version = 1");
    if let Some(local) = peer.local {
        let _ = writeln!(text, "        local_addrs = {local}");
    }
    if let Some(address) = config.address {
        let _ = writeln!(text, "        remote_addrs = {}", address.ip());
    }
    let proposals: Vec<_> = config.proposals.iter().map(phase_1).collect();
    let _ = writeln!(text, "        proposals = {}", proposals.join(", "));
    match config.exchanges.first() {
        Some(&ExchangeKind::AGGRESSIVE) => text.push_str("        aggressive = yes\n"),
        Some(&ExchangeKind::BASE) => lost.note("base mode: main mode is written"),
        _ => {}
    }
    if config.nat_traversal == NatUse::Force {
        text.push_str("        encap = yes\n");
    }
    if let Some(detection) = config.dead_peer_detection {
        let _ = writeln!(text, "        dpd_delay = {}s", detection.delay.as_secs());
    }
    if let Some(seconds) = config.proposals.first().and_then(|own| own.lifetimes.seconds) {
        let _ = writeln!(text, "        reauth_time = {seconds}s");
    }
    let method = config.proposals.first().map_or(AuthMethod::PRE_SHARED_KEY, |own| own.auth_method);
    let auth = match method {
        AuthMethod::PRE_SHARED_KEY | AuthMethod::XAUTH_INIT_PRE_SHARED => "psk",
        _ => "pubkey",
    };
    let own = match &config.local_identity {
        LocalIdentity::Given(identity) => Some(identity),
        _ => None,
    };
    for (side, identity) in [("local", own), ("remote", config.remote_identity.as_ref())] {
        let _ = writeln!(text, "        {side} {{\n            auth = {auth}");
        if let Some(identity) = identity {
            let _ = writeln!(text, "            id = {identity}");
        }
        let certificates: Vec<_> = peer.files.own.iter().map(|(certificate, _)| certificate.as_str()).collect();
        if !certificates.is_empty() && side == "local" {
            let _ = writeln!(text, "            certs = {}", certificates.join(", "));
        }
        text.push_str("        }\n");
    }
    if !peer.files.public_keys.is_empty() || peer.files.public_key_directory.is_some() {
        lost.note("public keys without certificates: swanctl.conf(5) names files in PEM with `pubkeys`");
    }
    if config.xauth.is_some() {
        lost.note("extended authentication");
    }
    text.push_str("        children {\n");
    for (number, negotiation) in negotiations.into_iter().enumerate() {
        let _ = writeln!(text, "            child-{number} {{");
        let (local, remote) = traffic_selectors(&negotiation.selector);
        let _ = writeln!(text, "                local_ts = {local}\n                remote_ts = {remote}");
        if negotiation.templates.len() > 1 {
            lost.note("bundles of several protocols: only the first is written");
        }
        if let Some((template, transforms)) = negotiation.templates.first() {
            let names: Vec<_> = transforms.iter().filter_map(phase_2).collect();
            let key = if template.protocol == ipsec_sa::Protocol::Ah { "ah_proposals" } else { "esp_proposals" };
            let _ = writeln!(text, "                {key} = {}", names.join(", "));
            if template.mode == Mode::Transport {
                text.push_str("                mode = transport\n");
            }
        }
        if let Some(seconds) = negotiation.phase_2.and_then(|own| own.lifetimes.seconds) {
            let _ = writeln!(text, "                life_time = {seconds}s");
        }
        let action = if config.initiates { "trap" } else { "none" };
        let _ = writeln!(text, "                start_action = {action}\n            }}");
    }
    text.push_str("        }\n    }\n");
}

fn phase_1(choice: &Phase1Choice) -> String {
    let hash = hash_name(choice.hash).unwrap_or("sha1");
    format!("{}-{hash}-{}", CipherName(choice.cipher, choice.cipher_key), group_name(choice.group))
}

fn phase_2(choice: &Phase2Choice) -> Option<String> {
    let Phase2Suite::Keyed { cipher, cipher_key, integrity, .. } = choice.suite else { return None };
    let mut name = match (choice.protocol, integrity) {
        (ProtocolId::AH, integrity) => integrity_name(integrity)?.to_string(),
        (_, IntegrityAlgorithm::None) => CipherName(cipher, cipher_key).to_string(),
        (_, integrity) => format!("{}-{}", CipherName(cipher, cipher_key), integrity_name(integrity)?),
    };
    if let Some(group) = choice.group {
        let _ = write!(name, "-{}", group_name(group));
    }
    Some(name)
}

/// Returns the traffic selectors of both sides: a network, with protocol and port in brackets.
fn traffic_selectors(selector: &Selector) -> (String, String) {
    let network = |range: &AddressRange| match range.prefix_length() {
        Some(length) => format!("{}/{length}", range.first()),
        None => format!("{}-{}", range.first(), range.last()),
    };
    let port = |ports: PortRange| match ports {
        PortRange::ANY => "any".to_string(),
        PortRange { first, last } if first == last => first.to_string(),
        PortRange { first, last } => format!("{first}-{last}"),
    };
    let (protocol, source, destination) = match selector.upper {
        Upper::Any => return (network(&selector.source), network(&selector.destination)),
        Upper::Protocol(protocol) | Upper::Icmp(protocol, ..) => {
            (protocol.0.to_string(), PortRange::ANY, PortRange::ANY)
        }
        Upper::Ports(protocol, source, destination) => {
            (protocol.map_or("any".to_string(), |own| own.0.to_string()), source, destination)
        }
    };
    let side = |range: &AddressRange, ports| format!("{}[{protocol}/{}]", network(range), port(ports));
    (side(&selector.source, source), side(&selector.destination, destination))
}
