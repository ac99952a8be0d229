//! Block `peer` of gateway.conf.

use std::borrow::ToOwned;
use std::collections::btree_map::Entry;
use std::format;
use std::net::SocketAddr;
use std::string::String;
use std::time::Duration;
use std::vec::Vec;

use ike_codec::{EncapsulationMode, ExchangeKind, IdKind, IpcompTransform, Lifetimes, ProtocolId};
use ike_v1::{
    DeadPeerDetection, Identity, LocalIdentity, NatUse, PeerConfig, PeerDefaults, Phase2Choice, Phase2Suite, XauthRole,
    names,
};
use ipsec_crypto::IntegrityAlgorithm;

use super::{Reader, TOP, algorithms, text};
use crate::blocks::{Parsed, Parser, Scope};
use crate::configuration::IKE_PORT;
use crate::diagnostic::shown_word;
use crate::lexer::TokenKind;
use crate::racoon::{CHECKS, EXCHANGES};
use crate::{ConfiguredPeer, GeneratedPolicies, Phase2Config, Span};

/// Lifetimes in seconds of both phases without a statement.
const PHASE_1_SECONDS: u64 = 28_800;
const PHASE_2_SECONDS: u64 = 28_800;

const STATEMENTS: &[&str] = &[
    "proposal",
    "esp",
    "ah",
    "ipcomp",
    "identity",
    "peers_identity",
    "check",
    "exchange_mode",
    "nat_traversal",
    "certificate",
    "ca",
    "crl",
    "peers_certificate",
    "peers_public_key",
    "private_key",
    "users",
    "xauth_login",
    "mode_cfg",
    "generate_policy",
    "dpd_delay",
    "dpd_retry",
    "dpd_maxfail",
    "start",
    "defaults",
    "passive",
    "rekey",
    "initial_contact",
    "ike_frag",
    "send_cert",
    "send_cr",
    "esp_frag",
];
pub(super) const SCOPE: Scope<'_> = Scope { name: "peer", statements: STATEMENTS, outer: Some(&TOP), elsewhere: &[] };

/// Values of a block that are checked at its end.
pub(super) struct Draft {
    pub peer: ConfiguredPeer,
    pub transforms: Vec<Phase2Choice>,
    /// Set if a method of a proposal signs, and if one verifies.
    pub signs: bool,
    pub verifies: bool,
    /// Role in extended authentication of the first proposal.
    pub role: Option<Option<XauthRole>>,
    pub detection: DeadPeerDetection,
}

/// Replaces HMAC-SHA2-256 by the form with an ICV of 96 bits.
const fn truncate_sha2_256(choice: &mut Phase2Choice) {
    if let Phase2Suite::Keyed { integrity, .. } = &mut choice.suite
        && matches!(integrity, IntegrityAlgorithm::HmacSha2_256_128)
    {
        *integrity = IntegrityAlgorithm::HmacSha2_256_96;
    }
}

/// Parses the defaults of a peer for Blowfish and HMAC-SHA2-256.
pub(super) fn defaults(parser: &mut Parser<'_, '_>) -> Parsed<PeerDefaults> {
    let table = [("rfc", PeerDefaults::RFC), ("racoon", PeerDefaults::RACOON)];
    Ok(parser.choice("the defaults of a peer", &table)?.0)
}

impl Reader<'_> {
    pub(super) fn peer(&mut self, parser: &mut Parser<'_, '_>, span: Span) -> Parsed<()> {
        let (name, name_span) = parser.word("the name of the peer")?;
        if !self.names.insert(name.to_owned()) {
            parser.diagnostics.error(name_span, format!("duplicate peer `{name}`"));
        }
        if !parser.accept("address") {
            return parser.unexpected("`address`");
        }
        let address = match parser.accept("any") {
            true => None,
            false => {
                let (address, _) = parser.address()?;
                Some(SocketAddr::new(address, parser.port()?.unwrap_or(IKE_PORT)))
            }
        };
        match self.addresses.entry(address) {
            Entry::Vacant(entry) => _ = entry.insert(name.to_owned()),
            Entry::Occupied(other) => {
                parser.diagnostics.error(name_span, format!("peer `{name}` has the address of peer `{}`", other.get()))
            }
        }
        let head = parser.span_from(span);
        let mut draft = Draft {
            peer: ConfiguredPeer::new(head, PeerConfig::new(name, address)),
            transforms: Vec::new(),
            signs: false,
            verifies: false,
            role: None,
            detection: DeadPeerDetection::after(Duration::ZERO),
        };
        let errors = parser.diagnostics.errors();
        parser.block(&SCOPE, span, &mut |parser, word, span| self.peer_statement(parser, word, span, &mut draft))?;
        if parser.diagnostics.errors() == errors {
            draft.check(parser, head);
        }
        self.add(draft, head);
        Ok(())
    }

    fn add(&mut self, draft: Draft, span: Span) {
        let Draft { mut peer, mut transforms, role, detection, .. } = draft;
        // Wherever the statement is in the block, it is about all transforms.
        if peer.config.defaults.sha2_256_at_96 {
            transforms.iter_mut().for_each(truncate_sha2_256);
        }
        if peer.config.exchanges.is_empty() {
            peer.config.exchanges.push(ExchangeKind::MAIN);
        }
        peer.config.dead_peer_detection = Some(detection).filter(|own| !own.delay.is_zero());
        peer.config.xauth = role.flatten();
        // A server of extended authentication is initiated to, and so is a host to which any address may belong.
        peer.config.initiates &= peer.config.address.is_some() && peer.config.xauth != Some(XauthRole::Server);
        let index = self.configuration.peers.len();
        self.configuration.peers.push(peer);
        self.configuration.phase_2.push(Phase2Config {
            peer: Some(index),
            explicit: transforms,
            ..Phase2Config::new(span)
        });
    }

    fn peer_statement(&mut self, parser: &mut Parser<'_, '_>, word: &str, span: Span, draft: &mut Draft) -> Parsed<()> {
        let config = &mut draft.peer.config;
        match word {
            "proposal" => {
                let cipher = named(parser, algorithms::PHASE_1_CIPHERS, algorithms::phase_1_cipher)?;
                let hash = named(parser, algorithms::HASHES, names::hash)?;
                let group = named(parser, algorithms::GROUPS, algorithms::group)?;
                let method = draft.method(parser)?;
                let mut lifetimes = Lifetimes { seconds: Some(PHASE_1_SECONDS), ..Lifetimes::default() };
                while lifetime(parser, &mut lifetimes)? {}
                draft.peer.config.proposals.push(algorithms::proposal(cipher, hash, method, group, lifetimes));
            }
            "esp" => {
                let suite = named(parser, algorithms::SUITES, algorithms::suite)?;
                draft.transforms.push(transform(parser, ProtocolId::ESP, suite)?);
            }
            "ah" => {
                let suite = named(parser, algorithms::INTEGRITIES, algorithms::integrity)?;
                draft.transforms.push(transform(parser, ProtocolId::AH, suite)?);
            }
            "ipcomp" => {
                let is_deflate = |name: &str| (name == "deflate").then_some(IpcompTransform::DEFLATE);
                let suite = Phase2Suite::Compression(named(parser, "deflate", is_deflate)?);
                draft.transforms.push(transform(parser, ProtocolId::IPCOMP, suite)?);
            }
            "identity" => {
                let identity = identity(parser)?;
                if config.local_identity != LocalIdentity::Address {
                    return parser.refuse(span, "duplicate statement `identity`");
                }
                config.local_identity = identity.map_or(LocalIdentity::CertificateSubject, LocalIdentity::Given);
            }
            "peers_identity" => {
                let at = parser.span();
                let identity = identity(parser)?;
                if identity.is_none() {
                    return parser.refuse(at, "expected a distinguished name in quotes after `asn1dn`");
                }
                if config.remote_identity.is_some() {
                    return parser.refuse(span, "duplicate statement `peers_identity`");
                }
                config.remote_identity = identity;
            }
            "check" => {
                config.check = parser.choice("a level of comparison", CHECKS)?.0;
            }
            "defaults" => {
                config.defaults = defaults(parser)?;
            }
            "exchange_mode" => {
                while config.exchanges.is_empty() || parser.next.kind != TokenKind::Sign(b';') {
                    let (exchange, at) = parser.choice("an exchange", EXCHANGES)?;
                    if config.exchanges.contains(&exchange) {
                        return parser.refuse(at, format!("duplicate exchange {exchange}"));
                    }
                    config.exchanges.push(exchange);
                    parser.accept_sign(b',');
                }
            }
            "nat_traversal" => {
                let table = [("on", NatUse::On), ("off", NatUse::Off), ("force", NatUse::Force)];
                config.nat_traversal = parser.choice("a switch", &table)?.0;
            }
            "generate_policy" => {
                let table = [
                    ("off", GeneratedPolicies::Off),
                    ("on", GeneratedPolicies::Require),
                    ("require", GeneratedPolicies::Require),
                    ("unique", GeneratedPolicies::Unique),
                ];
                draft.peer.generated = parser.choice("a value of `generate_policy`", &table)?.0;
            }
            "certificate" => {
                let files = (self.file_name(parser)?, self.file_name(parser)?);
                draft.peer.files.own.push(files);
            }
            "ca" => draft.peer.files.authorities.push(self.file_name(parser)?),
            "crl" => draft.peer.files.crls.push(self.file_name(parser)?),
            "private_key" => {
                let file = self.file_name(parser)?;
                if draft.peer.files.own_key.replace(file).is_some() {
                    return parser.refuse(span, "duplicate statement `private_key`");
                }
            }
            "peers_public_key" => draft.peer.files.public_keys.push(self.file_name(parser)?),
            "peers_certificate" => draft.peer.files.peers.push(self.file_name(parser)?),
            "dpd_delay" => {
                draft.detection.delay = Duration::from_secs(parser.number("a number of seconds", 0..=86_400)?)
            }
            "dpd_retry" => draft.detection.retry = Duration::from_secs(parser.number("a number of seconds", 1..=3600)?),
            "dpd_maxfail" => {
                let number = parser.number("a number of queries", 1..=255)?;
                draft.detection.max_failures = u8::try_from(number).unwrap_or(u8::MAX);
            }
            "start" => {
                draft.peer.starts = parser.boolean()?;
                if draft.peer.starts && config.address.is_none() {
                    return parser.refuse(span, "`start on` requires the address of the peer");
                }
            }
            "passive" => config.initiates = !parser.boolean()?,
            "rekey" => config.renews = parser.boolean()?,
            "initial_contact" => config.initial_contact = parser.boolean()?,
            "ike_frag" => {
                let size = PeerConfig::new("", None).fragment_size;
                config.fragment_size = if parser.boolean()? { size } else { 0 };
            }
            "esp_frag" => {
                let size = parser.number("a number of octets", 128..=65_535)?;
                draft.peer.esp_fragment_size = u16::try_from(size).ok();
            }
            "send_cert" => draft.peer.sends_certificates = parser.boolean()?,
            "send_cr" => draft.peer.requests_certificates = parser.boolean()?,
            _ => return self.access(parser, word, span, draft),
        }
        parser.end(&SCOPE)
    }
}

/// Parses the options after the algorithms of a transform of phase 2. The group of IPComp is that of its bundle.
fn transform(parser: &mut Parser<'_, '_>, protocol: ProtocolId, suite: Phase2Suite) -> Parsed<Phase2Choice> {
    let mut lifetimes = Lifetimes { seconds: Some(PHASE_2_SECONDS), ..Lifetimes::default() };
    let mut group = None;
    loop {
        if protocol != ProtocolId::IPCOMP && parser.accept("pfs") {
            group = Some(named(parser, algorithms::GROUPS, algorithms::group)?);
        } else if !lifetime(parser, &mut lifetimes)? {
            let choice = Phase2Choice::new(protocol, suite, EncapsulationMode::TUNNEL).with_lifetimes(lifetimes);
            return Ok(group.map_or(choice, |group| choice.with_group(group)));
        }
    }
}

/// Parses an optional lifetime of a transform; returns `false` if there is none.
fn lifetime(parser: &mut Parser<'_, '_>, lifetimes: &mut Lifetimes) -> Parsed<bool> {
    if parser.accept("lifetime") {
        lifetimes.seconds = Some(parser.number("a number of seconds", 10..=u64::from(u32::MAX))?);
    } else if parser.accept("kilobytes") {
        lifetimes.kilobytes = Some(parser.number("a number of kilobytes", 1024..=u64::from(u32::MAX))?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Parses an identity. Returns `None` for the subject of the certificate.
fn identity(parser: &mut Parser<'_, '_>) -> Parsed<Option<Identity>> {
    let types = [
        ("address", IdKind::IPV4),
        ("fqdn", IdKind::FQDN),
        ("user_fqdn", IdKind::USER_FQDN),
        ("keyid", IdKind::KEY_ID),
        ("asn1dn", IdKind::DER_ASN1_DN),
    ];
    let (kind, _) = parser.choice("an identity type", &types)?;
    match kind {
        IdKind::IPV4 => parser.address().map(|(address, _)| Some(Identity::address(address))),
        IdKind::DER_ASN1_DN => match parser.next.kind {
            TokenKind::Quoted(_) => {
                let (name, span) = parser.text("a distinguished name")?;
                match crate::distinguished_name::encode(&name) {
                    Ok(data) => Ok(Some(Identity { kind, data })),
                    Err(expected) => parser.refuse(span, expected),
                }
            }
            _ => Ok(None),
        },
        _ => {
            let (name, span) = text(parser, "the identity as a word or in quotes")?;
            if name.is_empty() {
                return parser.refuse(span, "expected an identity that is not empty");
            }
            Ok(Some(Identity::text(kind, &name)))
        }
    }
}

fn named<T>(parser: &mut Parser<'_, '_>, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Parsed<T> {
    let (word, span) = parser.word(expected)?;
    match read(word) {
        Some(value) => Ok(value),
        None => parser.refuse(span, format!("expected {expected}, found `{}`", shown_word(word))),
    }
}

/// Returns a text of limited length.
pub(super) fn short_text(parser: &mut Parser<'_, '_>, most: usize) -> Parsed<String> {
    let expected = format!("a text of 1 to {most} octets");
    let (value, span) = text(parser, &expected)?;
    if (1..=most).contains(&value.len()) {
        Ok(value.to_owned())
    } else {
        parser.refuse(span, format!("expected {expected}, found {} octets", value.len()))
    }
}
