//! Statement `remote` of racoon.conf(5).

use std::collections::HashMap;
use std::format;
use std::vec::Vec;

use super::names::{
    CHECKS, EXCHANGES, GENERATE_POLICY, HASHES, METHODS, Method, PHASE_1_CIPHERS, SCRIPT_EVENTS, SWITCHES,
};
use super::parser::{BLOCKS, TOP};
use super::syntax::{CertificateFiles, PeersCertificate, Proposal, RacoonConf, Remote, RemoteName, RemoteValues};
use super::values::set;
use crate::Span;
use crate::blocks::{Parsed, Parser, Scope};
use crate::lexer::TokenKind;

pub(super) const STATEMENTS: &[&str] = &[
    "remote_address",
    "exchange_mode",
    "doi",
    "situation",
    "my_identifier",
    "peers_identifier",
    "verify_identifier",
    "certificate_type",
    "ca_type",
    "peers_certfile",
    "send_cert",
    "send_cr",
    "verify_cert",
    "match_empty_cr",
    "lifetime",
    "proposal",
    "proposal_check",
    "initial_contact",
    "passive",
    "support_proxy",
    "support_mip6",
    "generate_policy",
    "nat_traversal",
    "ike_frag",
    "esp_frag",
    "dpd",
    "dpd_delay",
    "dpd_retry",
    "dpd_maxfail",
    "rekey",
    "nonce_size",
    "ph1id",
    "mode_cfg",
    "xauth_login",
    "script",
    "weak_phase1_check",
    "keepalive",
];
pub(super) const PROPOSAL: &[&str] =
    &["encryption_algorithm", "hash_algorithm", "authentication_method", "dh_group", "lifetime", "gss_id", "gssapi_id"];
/// Largest number of queries without an answer until the peer counts as dead.
const MAX_FAILURES: u64 = 255;
const SCOPE: Scope<'_> = Scope { name: "remote", statements: STATEMENTS, outer: Some(&TOP), elsewhere: BLOCKS };

/// Parses a statement after its name.
pub(super) fn parse(
    parser: &mut Parser<'_, '_>,
    span: Span,
    conf: &mut RacoonConf,
    known: &mut HashMap<RemoteName, usize>,
) -> Parsed<()> {
    let errors = parser.diagnostics.errors();
    let name = parser.remote_name()?;
    let mut values = RemoteValues::default();
    let inherit = match parser.accept("inherit") {
        true => {
            let at = parser.span();
            let parent = parser.remote_name()?;
            match known.get(&parent).and_then(|index| conf.remotes.get(*index)) {
                Some(other) => values.inherit(&other.values),
                None => parser.diagnostics.error(at, "expected the name of an earlier `remote`"),
            }
            Some(parent)
        }
        false => None,
    };
    let head = parser.span_from(span);
    if known.contains_key(&name) {
        parser.diagnostics.error(head, "expected another name: an earlier `remote` has this one");
    }
    if inherit.is_none() || !parser.accept_sign(b';') {
        let mut own = RemoteValues::default();
        parser.block(&SCOPE, span, &mut |parser, word, span| statement(parser, word, span, &mut own))?;
        own.inherit(&values);
        values = own;
    }
    // A block with errors, or without the one that it inherits from, may only seem to lack a statement.
    let has_errors = parser.diagnostics.errors() != errors;
    if !has_errors {
        check(parser, head, &name, &values);
    }
    known.entry(name.clone()).or_insert(conf.remotes.len());
    conf.remotes.push(Remote { name, inherit, span: head, has_errors, values });
    Ok(())
}

/// Checks that a block contains the required statements.
fn check(parser: &mut Parser<'_, '_>, head: Span, name: &RemoteName, values: &RemoteValues) {
    if values.exchange_mode.is_empty() {
        parser.diagnostics.error_with_help(head, "statement `exchange_mode` is missing", "write `exchange_mode main;`");
    }
    if values.proposals.is_empty() {
        parser.diagnostics.error(head, "block `proposal` is missing");
    }
    if matches!(name, RemoteName::Name(_)) && values.remote_address.is_none() {
        parser
            .diagnostics
            .warning(head, "no `remote_address`: the peer may have any address, and only the peer initiates phase 1");
    }
    let is_aggressive = values.exchange_mode.contains(&ike_codec::ExchangeKind::AGGRESSIVE);
    let mut groups = values.proposals.iter().filter_map(|proposal| proposal.group);
    if let Some(first) = groups.next().filter(|_| is_aggressive)
        && groups.any(|group| group != first)
    {
        let text =
            "expected one `dh_group` in all proposals: aggressive mode sends the public value with the proposals";
        parser.diagnostics.error(head, text);
    }
}

fn statement<'t>(parser: &mut Parser<'t, '_>, word: &'t str, span: Span, values: &mut RemoteValues) -> Parsed<()> {
    match word {
        "proposal" => return proposal(parser, span, &mut values.proposals),
        "lifetime" => return parser.lifetime(span, &mut values.lifetime_time, &mut values.lifetime_byte, &SCOPE),
        "exchange_mode" => {
            values.exchange_mode.clear();
            loop {
                let (exchange, at) = parser.choice("an exchange", EXCHANGES)?;
                if values.exchange_mode.contains(&exchange) {
                    parser.diagnostics.warning(at, "duplicate exchange");
                } else {
                    values.exchange_mode.push(exchange);
                }
                // racoon ignores commas here.
                let is_next =
                    matches!(parser.next.kind, TokenKind::Word(next) if EXCHANGES.iter().any(|row| row.0 == next));
                if !parser.accept_sign(b',') && !is_next {
                    break;
                }
            }
        }
        "keepalive" => parser.diagnostics.warning(span, "`keepalive` is an obsolete keyword and has no effect"),
        "doi" => parser.choice("a domain of interpretation", &[("ipsec_doi", ())]).map(drop)?,
        "situation" => {
            let table = [("identity_only", Some(())), ("secrecy", None), ("integrity", None)];
            parser.algorithm("a situation", &table).map(drop)?;
        }
        "my_identifier" => {
            let identifier = parser.identifier()?;
            set(parser, &mut values.my_identifier, word, span, identifier);
        }
        "peers_identifier" => values.peers_identifiers.push(parser.identifier()?),
        "remote_address" => {
            let address = (parser.address()?.0, parser.port()?);
            set(parser, &mut values.remote_address, word, span, address);
        }
        "certificate_type" | "ca_type" | "peers_certfile" => certificates(parser, word, span, values)?,
        "proposal_check" => {
            let (check, _) = parser.choice("a level of comparison", CHECKS)?;
            set(parser, &mut values.proposal_check, word, span, check);
        }
        "generate_policy" => {
            let (generate, _) = parser.choice("a value of `generate_policy`", GENERATE_POLICY)?;
            set(parser, &mut values.generate_policy, word, span, generate);
        }
        "nat_traversal" | "ike_frag" | "rekey" => {
            let (switch, _) = parser.choice("a switch", SWITCHES)?;
            let slot = match word {
                "nat_traversal" => &mut values.nat_traversal,
                "ike_frag" => &mut values.ike_frag,
                _ => &mut values.rekey,
            };
            set(parser, slot, word, span, switch);
        }
        "weak_phase1_check" => {
            if parser.boolean()? {
                let text = "`weak_phase1_check on` is not implemented: it lets unauthenticated messages delete SAs";
                return parser.refuse(span, text);
            }
            set(parser, &mut values.weak_phase1_check, word, span, false);
        }
        "esp_frag" | "dpd_delay" | "dpd_retry" | "dpd_maxfail" | "nonce_size" | "ph1id" => {
            number(parser, word, span, values)?
        }
        "xauth_login" => {
            let (login, _) = parser.text("a user name")?;
            set(parser, &mut values.xauth_login, word, span, login);
        }
        "script" => {
            let (name, _) = parser.text("a script name")?;
            let (event, _) = parser.choice("an event", SCRIPT_EVENTS)?;
            values.scripts.push((name, event));
        }
        _ => switch(parser, word, span, values)?,
    }
    if let Some(instead) = instead_of(word, values) {
        parser.diagnostics.warning(span, format!("`{word}` has no effect here: {instead}"));
    }
    parser.end(&SCOPE)
}

/// Returns the behaviour that differs from a statement that was just read, which has no effect.
fn instead_of(word: &str, values: &RemoteValues) -> Option<&'static str> {
    match word {
        "nonce_size" if values.nonce_size != Some(32) => Some("nonces have 32 octets"),
        "verify_cert" if values.verify_cert == Some(false) => Some("certificates are verified"),
        _ => None,
    }
}

fn switch(parser: &mut Parser<'_, '_>, word: &str, span: Span, values: &mut RemoteValues) -> Parsed<()> {
    let value = parser.boolean()?;
    let slot = match word {
        "verify_identifier" => &mut values.verify_identifier,
        "send_cert" => &mut values.send_cert,
        "send_cr" => &mut values.send_cr,
        "verify_cert" => &mut values.verify_cert,
        "match_empty_cr" => &mut values.match_empty_cr,
        "initial_contact" => &mut values.initial_contact,
        "passive" => &mut values.passive,
        "dpd" => &mut values.dpd,
        "mode_cfg" => &mut values.mode_cfg,
        "support_mip6" => {
            parser.diagnostics.warning(span, "`support_mip6` is an obsolete keyword and means `support_proxy`");
            &mut values.support_proxy
        }
        _ => &mut values.support_proxy,
    };
    set(parser, slot, word, span, value);
    Ok(())
}

fn number(parser: &mut Parser<'_, '_>, word: &str, span: Span, values: &mut RemoteValues) -> Parsed<()> {
    let (what, limits, slot) = match word {
        "esp_frag" => ("a number of octets", 128..=65_535, &mut values.esp_frag),
        "dpd_delay" => ("a number of seconds", 0..=86_400, &mut values.dpd_delay),
        "dpd_retry" => ("a number of seconds", 1..=3600, &mut values.dpd_retry),
        "dpd_maxfail" => ("a number of messages", 1..=u64::from(u32::MAX), &mut values.dpd_maxfail),
        "nonce_size" => ("a number of octets", 8..=256, &mut values.nonce_size),
        _ => ("a number", 0..=u64::from(u32::MAX), &mut values.ph1id),
    };
    let mut value = parser.number(what, limits)?;
    if word == "dpd_maxfail" && value > MAX_FAILURES {
        parser.diagnostics.warning(span, format!("`dpd_maxfail` is at most {MAX_FAILURES} here, which is used"));
        value = MAX_FAILURES;
    }
    set(parser, slot, word, span, value);
    Ok(())
}

fn certificates(parser: &mut Parser<'_, '_>, word: &str, span: Span, values: &mut RemoteValues) -> Parsed<()> {
    if word == "peers_certfile" && matches!(parser.next.kind, TokenKind::Quoted(_)) {
        // The form of old racoon.
        let (file, _) = parser.text("a file name")?;
        values.peers_certificates.push(PeersCertificate::X509(file));
        return Ok(());
    }
    let types: &[(&str, u8)] = match word {
        "ca_type" => &[("x509", 0)],
        "certificate_type" => &[("x509", 0), ("plain_rsa", 1)],
        _ => &[("x509", 0), ("plain_rsa", 1), ("dnssec", 2)],
    };
    let (kind, at) = parser.choice("a certificate type", types)?;
    if kind == 2 {
        return parser.refuse(at, "`dnssec` is not implemented: keys are not read from the DNS");
    }
    let (file, _) = parser.text("a file name")?;
    match (word, kind) {
        ("ca_type", _) => set(parser, &mut values.ca, word, span, file),
        ("peers_certfile", 1) => values.peers_certificates.push(PeersCertificate::PlainRsa(file)),
        ("peers_certfile", _) => values.peers_certificates.push(PeersCertificate::X509(file)),
        (_, 1) => set(parser, &mut values.certificate, word, span, CertificateFiles::PlainRsa(file)),
        _ => {
            let (key, _) = parser.text("the name of the file of the private key")?;
            set(parser, &mut values.certificate, word, span, CertificateFiles::X509(file, key));
        }
    }
    Ok(())
}

fn proposal(parser: &mut Parser<'_, '_>, span: Span, proposals: &mut Vec<Proposal>) -> Parsed<()> {
    let scope = Scope { name: "proposal", statements: PROPOSAL, outer: Some(&SCOPE), elsewhere: BLOCKS };
    let mut proposal = Proposal {
        span,
        cipher: None,
        hash: None,
        method: None,
        group: None,
        lifetime_time: None,
        lifetime_byte: None,
    };
    let errors = parser.diagnostics.errors();
    parser.block(&scope, span, &mut |parser, word, span| {
        match word {
            "encryption_algorithm" => {
                let cipher = parser.cipher(PHASE_1_CIPHERS)?;
                set(parser, &mut proposal.cipher, word, span, cipher);
            }
            "hash_algorithm" => {
                let (hash, _) = parser.algorithm("a hash algorithm", HASHES)?;
                set(parser, &mut proposal.hash, word, span, hash);
            }
            "authentication_method" => {
                let table: Vec<(&str, Option<&'static Method>)> =
                    METHODS.iter().map(|row| (row.name, row.number.map(|_| row))).collect();
                let (method, _) = parser.algorithm("an authentication method", &table)?;
                set(parser, &mut proposal.method, word, span, method);
            }
            "dh_group" => {
                let group = parser.dh_group()?;
                set(parser, &mut proposal.group, word, span, group);
            }
            "gss_id" | "gssapi_id" => {
                parser.text("a name")?;
                parser.diagnostics.warning(span, format!("`{word}` has no effect: `gssapi_krb` is not implemented"));
            }
            _ => return parser.lifetime(span, &mut proposal.lifetime_time, &mut proposal.lifetime_byte, &scope),
        }
        parser.end(&scope)
    })?;
    let missing = [
        (proposal.cipher.is_none(), "encryption_algorithm"),
        (proposal.hash.is_none(), "hash_algorithm"),
        (proposal.method.is_none(), "authentication_method"),
        (proposal.group.is_none(), "dh_group"),
    ];
    if parser.diagnostics.errors() == errors {
        for (_, name) in missing.iter().filter(|(is_missing, _)| *is_missing) {
            // Several statements may be missing at one place.
            parser.diagnostics.error(span, format!("statement `{name}` of `proposal` is missing"));
        }
    }
    proposals.push(proposal);
    Ok(())
}
