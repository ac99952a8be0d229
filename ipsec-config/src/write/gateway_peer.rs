//! Block `peer` of gateway.conf.

use std::fmt::Write;
use std::format;
use std::net::IpAddr;
use std::string::{String, ToString};
use std::vec::Vec;

use ike_codec::{Group, IdKind, Lifetimes, ProtocolId};
use ike_v1::names::{CipherName, hash_name, integrity_name};
use ike_v1::{
    ClientConfig, Identity, LocalIdentity, ModeConfig, NatUse, PeerConfig, PeerDefaults, Phase1Choice, Phase2Choice,
    Phase2Suite, XauthRole, encryption_number,
};
use ipsec_sa::Mode;

use super::Lost;
use super::gateway::{Endpoint, Quoted};
use crate::racoon::{CHECKS, EXCHANGES, METHODS};
use crate::{Configuration, ConfiguredPeer, GeneratedPolicies, Negotiation, Pool, distinguished_name};

/// Shortest lifetime in seconds, and smallest one in kilobytes, that the language has.
const MIN_SECONDS: u64 = 10;
const MIN_KILOBYTES: u64 = 1024;

pub(super) fn write(
    configuration: &Configuration,
    (index, peer): (usize, &ConfiguredPeer),
    name: &str,
    negotiations: &[&Negotiation<'_>],
    lost: &mut Lost,
) -> String {
    let config = &peer.config;
    let address = config.address.map_or("any".to_string(), |address| Endpoint(address).to_string());
    let mut text = format!("peer {name} address {address} {{\n");
    let mut line = |statement: String| {
        let _ = writeln!(text, "    {statement};");
    };
    config.proposals.iter().filter_map(|own| proposal(own, config.xauth, lost)).for_each(&mut line);
    transforms(configuration, index, peer, negotiations, lost).iter().for_each(|own| {
        if let Some(own) = transform(own, lost) {
            line(own);
        }
    });
    exchange(config, lost).into_iter().for_each(&mut line);
    match &config.local_identity {
        LocalIdentity::Address => {}
        LocalIdentity::CertificateSubject => line("identity asn1dn".to_string()),
        LocalIdentity::Given(own) => identity(own, lost).into_iter().for_each(|own| line(format!("identity {own}"))),
    }
    let remote = config.remote_identity.as_ref().and_then(|own| identity(own, lost));
    remote.into_iter().for_each(|own| line(format!("peers_identity {own}")));
    for (certificate, key) in &peer.files.own {
        line(format!("certificate {} {}", Quoted(certificate), Quoted(key)));
    }
    peer.files.own_key.iter().for_each(|file| line(format!("private_key {}", Quoted(file))));
    let lists = [
        ("ca", &peer.files.authorities),
        ("crl", &peer.files.crls),
        ("peers_certificate", &peer.files.peers),
        ("peers_public_key", &peer.files.public_keys),
    ];
    for (word, files) in lists {
        files.iter().for_each(|file| line(format!("{word} {}", Quoted(file))));
    }
    peer.users.iter().for_each(|file| line(format!("users {}", Quoted(file))));
    peer.login.iter().for_each(|login| line(format!("xauth_login {}", Quoted(login))));
    match peer.generated {
        GeneratedPolicies::Off => {}
        GeneratedPolicies::Require => line("generate_policy require".to_string()),
        GeneratedPolicies::Unique => line("generate_policy unique".to_string()),
    }
    match config.mode_config {
        Some(ModeConfig::Request) => line("mode_cfg on".to_string()),
        Some(ModeConfig::Accept) => line("mode_cfg push".to_string()),
        _ => {}
    }
    if let Some(detection) = config.dead_peer_detection {
        line(format!("dpd_delay {}", detection.delay.as_secs()));
        line(format!("dpd_retry {}", detection.retry.as_secs()));
        line(format!("dpd_maxfail {}", detection.max_failures));
    }
    peer.esp_fragment_size.iter().for_each(|size| line(format!("esp_frag {size}")));
    if peer.starts {
        line("start on".to_string());
    }
    // These are written if they differ from a block without them.
    let has_address = config.address.is_some() && config.xauth != Some(XauthRole::Server);
    let switches = [
        (has_address && !config.initiates, "passive on"),
        (!config.renews, "rekey off"),
        (!config.initial_contact, "initial_contact off"),
        (config.fragment_size == 0, "ike_frag off"),
        (!peer.sends_certificates, "send_cert off"),
        (!peer.requests_certificates, "send_cr off"),
    ];
    switches.into_iter().filter(|own| own.0).for_each(|own| line(own.1.to_string()));
    if let Some(pool) = &peer.pool {
        text.push_str(&write_pool(pool, lost));
    }
    note_rest(peer, lost);
    text.push_str("}\n");
    text
}

/// Records the properties for which the block has no statements.
fn note_rest(peer: &ConfiguredPeer, lost: &mut Lost) {
    let notes = [
        (!peer.other_identities.is_empty(), "identities of a peer besides the first"),
        (
            !peer.verifies_identity && peer.config.remote_identity.is_some(),
            "`verify_identifier off`: the identity of the peer is compared",
        ),
        (!peer.verifies_certificate, "`verify_cert off`: certificates are verified"),
        (peer.files.directory.is_some(), "directories of CAs and CRLs: name the files with `ca` and `crl`"),
        (peer.files.crl_directory.is_some(), "directories of CRLs: name the files with `crl`"),
        (
            peer.files.public_key_directory.is_some(),
            "directories of public keys: name the files with `peers_public_key`",
        ),
    ];
    notes.into_iter().filter(|note| note.0).for_each(|note| lost.note(note.1));
}

fn group_name(group: Group) -> String {
    ike_v1::names::group(group.name().unwrap_or_default())
        .and_then(Group::name)
        .map_or_else(|| group.0.to_string(), ToString::to_string)
}

fn proposal(choice: &Phase1Choice, role: Option<XauthRole>, lost: &mut Lost) -> Option<String> {
    let method = METHODS.iter().find(|row| row.number == Some(choice.auth_method) && row.role == role);
    let (Some(hash), Some(method), Some(_)) = (hash_name(choice.hash), method, encryption_number(choice.cipher)) else {
        lost.note("proposals of phase 1 with algorithms or methods that the language does not have");
        return None;
    };
    let method = if method.name == "pre_shared_key" { "psk" } else { method.name };
    let group = group_name(choice.group);
    let (cipher, lifetimes) = (CipherName(choice.cipher, choice.cipher_key), lifetimes(choice.lifetimes));
    Some(format!("proposal {cipher} {hash} {group} {method}{lifetimes}"))
}

fn lifetimes(lifetimes: Lifetimes) -> String {
    let mut text = String::new();
    if let Some(seconds) = lifetimes.seconds {
        let _ = write!(text, " lifetime {}", seconds.max(MIN_SECONDS));
    }
    if let Some(kilobytes) = lifetimes.kilobytes {
        let _ = write!(text, " kilobytes {}", kilobytes.max(MIN_KILOBYTES));
    }
    text
}

/// Returns the transforms of the policies of a peer, each once; without policies those that its parameters have.
fn transforms(
    configuration: &Configuration,
    index: usize,
    peer: &ConfiguredPeer,
    negotiations: &[&Negotiation<'_>],
    lost: &mut Lost,
) -> Vec<Phase2Choice> {
    let mut all: Vec<Phase2Choice> = Vec::new();
    let mut add = |choice: Phase2Choice| {
        let is_equal = |own: &Phase2Choice| {
            let mut with_mode = choice;
            with_mode.encapsulation = own.encapsulation;
            with_mode == *own
        };
        if !all.iter().any(is_equal) {
            all.push(choice);
        }
    };
    let mut used: Vec<*const crate::Phase2Config> = Vec::new();
    for negotiation in negotiations {
        used.extend(negotiation.phase_2.map(core::ptr::from_ref));
        negotiation.templates.iter().flat_map(|(_, own)| own).for_each(|choice| add(*choice));
    }
    used.sort_unstable();
    used.dedup();
    if used.len() > 1 {
        lost.note("parameters of phase 2 that differ between the policies of a peer: all are used for each");
    }
    if negotiations.is_empty() {
        let is_own = |own: &&crate::Phase2Config| match own.peer {
            Some(at) => at == index,
            None => own.phase_1_id == peer.phase_1_id,
        };
        let protocols = [ProtocolId::ESP, ProtocolId::AH, ProtocolId::IPCOMP];
        if let Some(own) = configuration.phase_2.iter().find(is_own) {
            let of = |protocol| own.transforms(protocol, Mode::Tunnel, &peer.config.defaults);
            protocols.into_iter().flat_map(of).for_each(add);
        }
    }
    all
}

fn transform(choice: &Phase2Choice, lost: &mut Lost) -> Option<String> {
    let mut text = match (choice.protocol, choice.suite) {
        (ProtocolId::IPCOMP, _) => "ipcomp deflate".to_string(),
        (protocol, Phase2Suite::Keyed { cipher, cipher_key, integrity, .. }) => {
            let is_aead = cipher.row().is_some_and(|row| row.icv > 0);
            match (protocol == ProtocolId::AH, integrity_name(integrity)) {
                (true, Some(integrity)) => format!("ah {integrity}"),
                (false, Some(integrity)) => format!("esp {}-{integrity}", CipherName(cipher, cipher_key)),
                (false, None) if is_aead => format!("esp {}", CipherName(cipher, cipher_key)),
                _ => {
                    lost.note("transforms of ESP without integrity");
                    return None;
                }
            }
        }
        _ => return None,
    };
    if let Some(group) = choice.group {
        let _ = write!(text, " pfs {}", group_name(group));
    }
    text.push_str(&lifetimes(choice.lifetimes));
    Some(text)
}

/// Returns the statements about phase 1 whose values are not those of a peer without them.
fn exchange(config: &PeerConfig, lost: &mut Lost) -> Vec<String> {
    let names = config.exchanges.iter().filter_map(|own| EXCHANGES.iter().find(|row| row.1 == *own));
    let names: Vec<_> = names.map(|row| row.0).collect();
    let check = CHECKS.iter().find(|row| row.1 == config.check).map_or("strict", |row| row.0);
    let nat = match config.nat_traversal {
        NatUse::Off => "off",
        NatUse::On => "on",
        NatUse::Force => "force",
    };
    let mut statements = std::vec![
        format!("exchange_mode {}", names.join(", ")),
        format!("check {check}"),
        format!("nat_traversal {nat}")
    ];
    match config.defaults {
        PeerDefaults::RFC => {}
        PeerDefaults::RACOON => statements.push("defaults racoon".to_string()),
        _ => lost.note("values that a peer assumes other than those of racoon"),
    }
    statements
}

fn identity(identity: &Identity, lost: &mut Lost) -> Option<String> {
    let (word, text) = match identity.kind {
        IdKind::IPV4 | IdKind::IPV6 => {
            return identity.to_string().parse::<IpAddr>().ok().map(|own| format!("address {own}"));
        }
        IdKind::FQDN => ("fqdn", String::from_utf8(identity.data.clone()).ok()),
        IdKind::USER_FQDN => ("user_fqdn", String::from_utf8(identity.data.clone()).ok()),
        IdKind::KEY_ID => ("keyid", String::from_utf8(identity.data.clone()).ok()),
        IdKind::DER_ASN1_DN => ("asn1dn", distinguished_name::decode(&identity.data)),
        _ => ("", None),
    };
    match text.filter(|text| !text.is_empty() && !text.contains('"')) {
        Some(text) => Some(format!("{word} {}", Quoted(&text))),
        None => {
            lost.note("identities that the language cannot express");
            None
        }
    }
}

fn write_pool(pool: &Pool, lost: &mut Lost) -> String {
    let Some(first) = pool.first else {
        lost.note("a pool without a first address");
        return String::new();
    };
    let ClientConfig { netmask, dns, nbns, domain, banner, .. } = &pool.values;
    let mut text = format!("    mode_cfg {{\n        network4 {first};\n        pool_size {};\n", pool.size.max(1));
    let mut line = |statement: String| {
        let _ = writeln!(text, "        {statement};");
    };
    netmask.iter().for_each(|mask| line(format!("netmask4 {mask}")));
    dns.iter().flatten().for_each(|server| line(format!("dns4 {server}")));
    nbns.iter().flatten().for_each(|server| line(format!("wins4 {server}")));
    let lists = [("include", &pool.values.split_include[..]), ("local_lan", &pool.values.split_exclude[..])];
    for (kind, networks) in lists {
        let networks = networks.iter().flatten();
        let networks: Vec<_> =
            networks.map(|own| format!("{}/{}", own.address, u32::from(own.mask).leading_ones())).collect();
        if !networks.is_empty() {
            line(format!("split_network {kind} {}", networks.join(", ")));
        }
    }
    match core::str::from_utf8(pool.values.split_dns.octets()) {
        Ok("") => {}
        Ok(names) if !names.contains('"') => {
            let names: Vec<_> = names.split(',').map(|name| Quoted(name).to_string()).collect();
            line(format!("split_dns {}", names.join(", ")));
        }
        _ => lost.note("domains for clients that are not UTF-8 or contain quotes"),
    }
    for (word, octets) in [("default_domain", domain.octets()), ("banner", banner.octets())] {
        match core::str::from_utf8(octets) {
            Ok("") => {}
            Ok(value) if !value.contains('"') => line(format!("{word} {}", Quoted(value))),
            _ => lost.note("texts for clients that are not UTF-8 or contain quotes"),
        }
    }
    if pool.pushes {
        line("push on".to_string());
    }
    text.push_str("    }\n");
    if pool.throttle > 0 || pool.saves_password {
        lost.note("`auth_throttle` and `save_passwd`");
    }
    text
}
