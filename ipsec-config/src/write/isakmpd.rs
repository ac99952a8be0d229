//! Writer of the sections of isakmpd.conf(5).

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::format;
use std::string::{String, ToString};

use ike_codec::{AuthMethod, ExchangeKind, Group, IdKind};
use ike_v1::{Identity, LocalIdentity, Phase1Choice, Phase2Choice, Phase2Suite};
use ipsec_crypto::{CipherAlgorithm as C, HashFunction, IntegrityAlgorithm as I};
use ipsec_sa::Mode;

use super::Lost;
use crate::{ClientNetwork, Configuration, ConfiguredKey, ConfiguredPeer, Negotiation};

pub(super) fn write(configuration: &Configuration, lost: &mut Lost) -> String {
    let mut text = String::from("[General]\n");
    if let Some(count) = configuration.timing.transmissions {
        let _ = writeln!(text, "Retransmits=\t{}", count.saturating_sub(1));
    }
    let proposals = configuration.peers.iter().flat_map(|peer| &peer.config.proposals);
    let lifetimes = [
        ("1", proposals.map(|own| own.lifetimes.seconds).collect::<BTreeSet<_>>()),
        ("2", configuration.phase_2.iter().map(|own| own.lifetimes.seconds).collect()),
    ];
    for (phase, seconds) in lifetimes {
        if let Some(Some(first)) = seconds.first() {
            let _ = writeln!(text, "Default-phase-{phase}-lifetime=\t{first}");
        }
        if seconds.len() > 1 {
            lost.note("lifetimes that differ between peers or connections: the shortest is written");
        }
    }
    text.push_str("\n[Phase 1]\n");
    for (index, peer) in configuration.peers.iter().enumerate() {
        let address = peer.config.address.map_or("Default".to_string(), |address| address.ip().to_string());
        let _ = writeln!(text, "{address}=\tpeer-{index}");
    }
    let connections: std::vec::Vec<_> =
        configuration.negotiations().filter(|own| own.peer.is_some()).enumerate().collect();
    let names = |initiates: bool| {
        let own =
            connections.iter().filter(|(_, own)| own.peer.is_some_and(|(_, peer)| peer.config.initiates == initiates));
        own.map(|(index, _)| format!("connection-{index}")).collect::<std::vec::Vec<_>>().join(",")
    };
    text.push_str("\n[Phase 2]\n");
    for (tag, names) in [("Connections", names(true)), ("Passive-connections", names(false))] {
        if !names.is_empty() {
            let _ = writeln!(text, "{tag}=\t{names}");
        }
    }
    // A host that a rule names is the local address of the tunnel.
    let mut locals: HashMap<usize, std::net::IpAddr> = HashMap::new();
    for (_, negotiation) in &connections {
        let local = negotiation.templates.first().and_then(|(template, _)| template.ends?.source.0);
        if let (Some((index, _)), Some(local)) = (negotiation.peer, local) {
            locals.entry(index).or_insert(local);
        }
    }
    let keys = configuration.keys_of_peers();
    for (index, peer) in configuration.peers.iter().enumerate() {
        let local = peer.local.or_else(|| locals.get(&index).copied());
        peer_sections(&mut text, (index, peer), local, keys.get(&index).copied(), lost);
    }
    for (index, negotiation) in &connections {
        connection(&mut text, *index, negotiation, lost);
    }
    if !configuration.sas.is_empty() {
        lost.note("SAs with manual keys: write them with --to openbsd");
    }
    text
}

fn peer_sections(
    text: &mut String,
    (index, peer): (usize, &ConfiguredPeer),
    local: Option<std::net::IpAddr>,
    key: Option<&ConfiguredKey>,
    lost: &mut Lost,
) {
    let config = &peer.config;
    let _ = writeln!(text, "\n[peer-{index}]\nPhase=\t1\nTransport=\tudp");
    if let Some(address) = config.address {
        let _ = writeln!(text, "Address=\t{}", address.ip());
    }
    if let Some(local) = local {
        let _ = writeln!(text, "Local-address=\t{local}");
    }
    let _ = writeln!(text, "Configuration=\tphase-1-{index}");
    if config.needs_key() {
        match key {
            Some(key) => {
                let is_line = |key: &&str| key.trim() == *key && !key.contains(['\n', '\r']) && !key.ends_with('\\');
                let own = core::str::from_utf8(&key.key).ok().filter(is_line);
                if own.is_none() {
                    lost.note("pre-shared keys that are not one line of UTF-8: a placeholder is written");
                }
                let _ = writeln!(text, "Authentication=\t{}", own.unwrap_or("change-this-secret"));
            }
            None => {
                lost.note("pre-shared keys are in another file: a placeholder is written");
                let _ = writeln!(text, "Authentication=\tchange-this-secret");
            }
        }
    }
    let own = match &config.local_identity {
        LocalIdentity::Given(identity) => Some(identity),
        _ => None,
    };
    let ids = [("ID", "id", own), ("Remote-ID", "remote-id", config.remote_identity.as_ref())];
    for (tag, section, _) in ids.iter().filter(|(_, _, own)| own.is_some()) {
        let _ = writeln!(text, "{tag}=\t{section}-{index}");
    }
    for (_, section, identity) in ids {
        if let Some(identity) = identity {
            let _ = writeln!(text, "\n[{section}-{index}]\n{}", identity_tags(identity, lost));
        }
    }
    let exchange = if config.exchanges.first() == Some(&ExchangeKind::AGGRESSIVE) { "AGGRESSIVE" } else { "ID_PROT" };
    let transforms: std::vec::Vec<_> = config.proposals.iter().map(|own| transform(own, lost)).collect();
    let _ = writeln!(
        text,
        "\n[phase-1-{index}]\nDOI=\tIPSEC\nEXCHANGE_TYPE=\t{exchange}\nTransforms=\t{}",
        transforms.join(",")
    );
}

fn identity_tags(identity: &Identity, lost: &mut Lost) -> String {
    let (kind, tag) = match identity.kind {
        IdKind::IPV4 => ("IPV4_ADDR", "Address"),
        IdKind::IPV6 => ("IPV6_ADDR", "Address"),
        IdKind::USER_FQDN => ("USER_FQDN", "Name"),
        IdKind::KEY_ID => ("KEY_ID", "Name"),
        IdKind::FQDN => ("FQDN", "Name"),
        _ => {
            lost.note("identities of other types");
            ("FQDN", "Name")
        }
    };
    format!("ID-type=\t{kind}\n{tag}=\t{identity}")
}

fn cipher(cipher: C, octets: usize, lost: &mut Lost) -> String {
    let bits = octets.saturating_sub(cipher.row().map_or(0, |row| row.salt)).saturating_mul(8);
    match cipher {
        C::DesCbc => "DES".to_string(),
        C::TripleDesCbc => "3DES".to_string(),
        C::Cast128Cbc => "CAST".to_string(),
        C::Null => "NULL".to_string(),
        C::BlowfishCbc => {
            if octets != 16 {
                lost.note("Blowfish keys of other lengths than 128 bits");
            }
            "BLF".to_string()
        }
        C::AesCbc => format!("AES-{bits}"),
        C::AesCtr => format!("AESCTR-{bits}"),
        C::AesGcm16 => format!("AESGCM-{bits}"),
        C::NullAesGmac => format!("AESGMAC-{bits}"),
        _ => {
            lost.note("ciphers without a name in isakmpd.conf(5): AES is written");
            "AES".to_string()
        }
    }
}

fn group(group: Group) -> String {
    format!("GRP{}", group.0)
}

fn transform(choice: &Phase1Choice, lost: &mut Lost) -> String {
    let hash = match choice.hash {
        HashFunction::Md5 => "MD5",
        HashFunction::Sha2_256 => "SHA2-256",
        HashFunction::Sha2_384 => "SHA2-384",
        HashFunction::Sha2_512 => "SHA2-512",
        _ => "SHA",
    };
    let method = match choice.auth_method {
        AuthMethod::PRE_SHARED_KEY => "",
        AuthMethod::RSA_SIGNATURE => "-RSA_SIG",
        _ => {
            lost.note("authentication methods other than pre-shared keys and RSA signatures");
            ""
        }
    };
    format!("{}-{hash}-{}{method}", cipher(choice.cipher, choice.cipher_key, lost), group(choice.group))
}

fn suite(choice: &Phase2Choice, mode: Mode, lost: &mut Lost) -> Option<String> {
    let Phase2Suite::Keyed { cipher: own, cipher_key, integrity, .. } = choice.suite else { return None };
    let integrity = match integrity {
        I::HmacMd5_96 => "-MD5",
        I::HmacSha2_256_128 | I::HmacSha2_256_96 => "-SHA2-256",
        I::HmacSha2_384_192 => "-SHA2-384",
        I::HmacSha2_512_256 => "-SHA2-512",
        I::HmacRipemd160_96 => "-RIPEMD",
        I::None => "",
        _ => "-SHA",
    };
    let mode = if mode == Mode::Transport { "-TRP" } else { "" };
    let pfs = choice.group.map(|own| format!("-PFS-{}", group(own))).unwrap_or_default();
    let protocol = if choice.protocol == ike_codec::ProtocolId::AH {
        "AH".to_string()
    } else {
        format!("ESP{mode}-{}", cipher(own, cipher_key, lost))
    };
    Some(format!("QM-{protocol}{integrity}{pfs}-SUITE"))
}

fn connection(text: &mut String, index: usize, negotiation: &Negotiation<'_>, lost: &mut Lost) {
    let Some((peer, _)) = negotiation.peer else { return };
    let _ = writeln!(
        text,
        "\n[connection-{index}]\nPhase=\t2\nISAKMP-peer=\tpeer-{peer}\nConfiguration=\tphase-2-{index}\n\
         Local-ID=\tlocal-{index}\nRemote-ID=\tremote-{index}"
    );
    let (local, remote) = ClientNetwork::of(&negotiation.selector);
    for (name, network) in [("local", local), ("remote", remote)] {
        let _ = writeln!(text, "\n[{name}-{index}]\n{}", network_tags(&network, lost));
    }
    if negotiation.templates.len() > 1 {
        lost.note("bundles of several protocols: only the first is written");
    }
    let Some((template, transforms)) = negotiation.templates.first() else { return };
    let suites: std::vec::Vec<_> = transforms.iter().filter_map(|own| suite(own, template.mode, lost)).collect();
    let _ =
        writeln!(text, "\n[phase-2-{index}]\nDOI=\tIPSEC\nEXCHANGE_TYPE=\tQUICK_MODE\nSuites=\t{}", suites.join(","));
}

fn network_tags(network: &ClientNetwork, lost: &mut Lost) -> String {
    let (first, last) = network.addresses;
    let family = if first.is_ipv4() { "IPV4" } else { "IPV6" };
    let mut tags = if first == last {
        format!("ID-type=\t{family}_ADDR\nAddress=\t{first}")
    } else {
        let length = ipsec_packet::AddressRange::new(first, last).and_then(|range| range.prefix_length());
        if length.is_none() {
            lost.note("address ranges that are not prefixes");
        }
        let length = u32::from(length.unwrap_or(0));
        let mask = match first {
            std::net::IpAddr::V4(_) => {
                let bits = u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or(0);
                std::net::IpAddr::V4(std::net::Ipv4Addr::from_bits(bits))
            }
            std::net::IpAddr::V6(_) => {
                let bits = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0);
                std::net::IpAddr::V6(std::net::Ipv6Addr::from_bits(bits))
            }
        };
        format!("ID-type=\t{family}_ADDR_SUBNET\nNetwork=\t{first}\nNetmask=\t{mask}")
    };
    if network.protocol != 0 {
        let _ = write!(tags, "\nProtocol=\t{}", network.protocol);
    }
    if network.port != 0 {
        let _ = write!(tags, "\nPort=\t{}", network.port);
    }
    tags
}
