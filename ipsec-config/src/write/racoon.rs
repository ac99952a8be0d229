//! Writer of the statements of racoon.conf(5).

use std::borrow::ToOwned;
use std::collections::HashMap;
use std::net::IpAddr;
use std::string::String;
use std::string::ToString;
use std::vec::Vec;

use ike_codec::IdKind;
use ike_v1::{Identity, LocalIdentity, NatUse};
use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};

use super::Lost;
use crate::racoon::{
    CertificateFiles, Extent, GeneratePolicy, Identifier, METHODS, PeersCertificate, Proposal, RacoonConf, Remote,
    RemoteName, RemoteValues, Sainfo, SainfoId, Switch,
};
use crate::{ClientNetwork, Configuration, ConfiguredPeer, GeneratedPolicies, Phase2Config, distinguished_name};

pub(super) fn write(configuration: &Configuration, lost: &mut Lost) -> String {
    let mut conf = RacoonConf::default();
    conf.paths.pre_shared_key.clone_from(&configuration.key_file);
    if !configuration.keys.is_empty() {
        lost.note("pre-shared keys: write them into psk.txt, a line with the address and the key for each peer");
    }
    if !configuration.policies.is_empty() {
        lost.note("policies: write them with --to setkey");
    }
    let millis = |time: Option<core::time::Duration>| time.map(|time| time.as_secs());
    conf.timer.counter = configuration.timing.transmissions.map(u64::from);
    conf.timer.interval = millis(configuration.timing.interval);
    conf.timer.phase1 = millis(configuration.timing.phase_1);
    conf.timer.phase2 = millis(configuration.timing.phase_2);
    conf.remotes = configuration.peers.iter().map(|peer| remote(peer, lost)).collect();
    let mut sainfos: Vec<Sainfo> = Vec::new();
    let mut users: HashMap<usize, Vec<(ClientNetwork, ClientNetwork)>> = HashMap::new();
    for policy in &configuration.policies {
        if let (Some(index), ipsec_sa::PolicyDirection::Out) = (policy.phase_2, policy.params.direction) {
            let pair = ClientNetwork::of(&policy.negotiated.unwrap_or(policy.params.selector));
            users.entry(index).or_default().push(pair);
        }
    }
    for (index, phase_2) in configuration.phase_2.iter().enumerate() {
        let pairs = users.remove(&index).unwrap_or_default();
        if pairs.is_empty() {
            sainfos.push(sainfo(phase_2, phase_2.local, phase_2.remote, lost));
        }
        sainfos.extend(pairs.into_iter().map(|(local, remote)| sainfo(phase_2, Some(local), Some(remote), lost)));
    }
    conf.sainfos = sainfos;
    conf.to_string()
}

fn remote(peer: &ConfiguredPeer, lost: &mut Lost) -> Remote {
    let config = &peer.config;
    let port = |port: u16| (port != 500).then_some(port);
    let name = config.address.map_or(RemoteName::Anonymous, |own| RemoteName::Address(own.ip(), port(own.port())));
    let mut values = RemoteValues {
        exchange_mode: config.exchanges.clone(),
        proposal_check: Some(config.check),
        passive: (!config.initiates).then_some(true),
        xauth_login: peer.login.clone(),
        nat_traversal: Some(match config.nat_traversal {
            NatUse::Off => Switch::Off,
            NatUse::On => Switch::On,
            NatUse::Force => Switch::Force,
        }),
        ike_frag: (config.fragment_size > 0).then_some(Switch::On),
        ..RemoteValues::default()
    };
    values.my_identifier = match &config.local_identity {
        LocalIdentity::Address => None,
        LocalIdentity::CertificateSubject => Some(Identifier::Asn1Dn(None)),
        LocalIdentity::Given(identity) => identifier(identity, lost),
    };
    let identities = config.remote_identity.iter().chain(&peer.other_identities);
    values.peers_identifiers = identities.filter_map(|own| identifier(own, lost)).collect();
    values.verify_identifier = (!values.peers_identifiers.is_empty()).then_some(peer.verifies_identity);
    let own = peer.files.own.first().cloned();
    let with_certificate = own.map(|(certificate, key)| CertificateFiles::X509(certificate, key));
    values.certificate = with_certificate.or(peer.files.own_key.clone().map(CertificateFiles::PlainRsa));
    if peer.files.own.len() > 1 {
        lost.note("certificates of this host besides the first");
    }
    values.ca = peer.files.authorities.first().cloned();
    values.peers_certificates = peer.files.peers.iter().cloned().map(PeersCertificate::X509).collect();
    values.peers_certificates.extend(peer.files.public_keys.iter().cloned().map(PeersCertificate::PlainRsa));
    if peer.files.public_key_directory.is_some() {
        lost.note("directories of public keys: racoon.conf(5) names each file");
    }
    values.generate_policy = match peer.generated {
        GeneratedPolicies::Off => None,
        GeneratedPolicies::Require => Some(GeneratePolicy::Require),
        GeneratedPolicies::Unique => Some(GeneratePolicy::Unique),
    };
    if let Some(detection) = config.dead_peer_detection {
        values.dpd_delay = Some(detection.delay.as_secs());
        values.dpd_retry = Some(detection.retry.as_secs());
        values.dpd_maxfail = Some(u64::from(detection.max_failures));
    }
    values.proposals = config
        .proposals
        .iter()
        .map(|own| Proposal {
            span: peer.span,
            cipher: Some((own.cipher, bits(own.cipher, own.cipher_key))),
            hash: Some(own.hash),
            method: METHODS.iter().find(|row| row.number == Some(own.auth_method) && row.role == config.xauth),
            group: Some(own.group),
            lifetime_time: own.lifetimes.seconds,
            lifetime_byte: own.lifetimes.kilobytes,
        })
        .collect();
    Remote { name, inherit: None, span: peer.span, has_errors: false, values }
}

/// Returns the length of a key in bits, for ciphers with more than one.
fn bits(cipher: CipherAlgorithm, octets: usize) -> Option<u16> {
    let row = cipher.row().filter(|row| row.keys.min != row.keys.max)?;
    u16::try_from(octets.saturating_sub(row.salt).saturating_mul(8)).ok()
}

fn identifier(identity: &Identity, lost: &mut Lost) -> Option<Identifier> {
    let text = || String::from_utf8_lossy(&identity.data).into_owned();
    match identity.kind {
        IdKind::IPV4 | IdKind::IPV6 => {
            identity.to_string().parse::<IpAddr>().ok().map(|own| Identifier::Address(Some(own)))
        }
        IdKind::FQDN => Some(Identifier::Fqdn(text())),
        IdKind::USER_FQDN => Some(Identifier::UserFqdn(text())),
        IdKind::KEY_ID => Some(Identifier::KeyId(text())),
        IdKind::DER_ASN1_DN => distinguished_name::decode(&identity.data).map(|name| Identifier::Asn1Dn(Some(name))),
        _ => {
            lost.note("identities of other types");
            None
        }
    }
}

fn sainfo(
    phase_2: &Phase2Config,
    local: Option<ClientNetwork>,
    remote: Option<ClientNetwork>,
    lost: &mut Lost,
) -> Sainfo {
    let mut ciphers = Vec::new();
    for &(cipher, octets) in &phase_2.ciphers {
        match cipher {
            CipherAlgorithm::DesCbc
            | CipherAlgorithm::TripleDesCbc
            | CipherAlgorithm::BlowfishCbc
            | CipherAlgorithm::Cast128Cbc
            | CipherAlgorithm::AesCbc
            | CipherAlgorithm::Null => ciphers.push((cipher, bits(cipher, octets))),
            _ => lost.note("ciphers without a name in racoon.conf(5): they are left out"),
        }
    }
    let products = phase_2.ciphers.len().saturating_mul(phase_2.integrity.len());
    if !phase_2.suites.is_empty() && phase_2.suites.len() < products {
        lost.note("suites: racoon negotiates every cipher with every integrity algorithm");
    }
    if phase_2
        .integrity
        .iter()
        .any(|own| matches!(own, IntegrityAlgorithm::HmacRipemd160_96 | IntegrityAlgorithm::AesXcbcMac96))
    {
        lost.note("integrity algorithms without a name in racoon.conf(5)");
    }
    Sainfo {
        span: phase_2.span,
        local: client(local),
        remote: client(remote),
        from: phase_2.from.as_ref().and_then(|own| identifier(own, lost)),
        group: None,
        pfs_group: phase_2.group,
        lifetime_time: phase_2.lifetimes.seconds,
        lifetime_byte: phase_2.lifetimes.kilobytes,
        ciphers,
        integrity: phase_2.integrity.to_owned(),
        has_deflate: true,
        remoteid: (phase_2.phase_1_id != 0).then_some(phase_2.phase_1_id),
    }
}

fn client(network: Option<ClientNetwork>) -> SainfoId {
    let Some(ClientNetwork { addresses: (first, last), port, protocol }) = network else { return SainfoId::Anonymous };
    let range = ipsec_packet::AddressRange::new(first, last);
    let extent = match range.and_then(|range| range.prefix_length()) {
        Some(_) if first == last => Extent::Prefix(None),
        Some(length) => Extent::Prefix(Some(length)),
        None => Extent::Range(last),
    };
    SainfoId::Network { is_subnet: first != last, address: first, extent, port, protocol }
}
