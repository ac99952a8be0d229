//! Statement `sainfo` of racoon.conf(5).

use std::collections::HashSet;
use std::format;
use std::net::IpAddr;
use std::string::String;

use super::names::{ESP_CIPHERS, INTEGRITY, PROTOCOLS};
use super::parser::{BLOCKS, TOP};
use super::syntax::{Extent, Identifier, RacoonConf, Sainfo, SainfoId};
use super::values::{attached_bits, parse_address, set};
use crate::Span;
use crate::blocks::{Parsed, Parser, Scope, number};
use crate::diagnostic::{did_you_mean, shown_word};
use crate::lexer::TokenKind;

pub(super) const STATEMENTS: &[&str] = &[
    "pfs_group",
    "lifetime",
    "encryption_algorithm",
    "authentication_algorithm",
    "compression_algorithm",
    "remoteid",
    "my_identifier",
];
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const SCOPE: Scope<'_> = Scope { name: "sainfo", statements: STATEMENTS, outer: Some(&TOP), elsewhere: BLOCKS };

/// Values that differ between any two statements: local and remote identity, `from`, `group` and `remoteid`.
pub(super) type SainfoName = (SainfoId, SainfoId, Option<Identifier>, Option<String>, Option<u64>);

/// Parses a statement after its name.
pub(super) fn parse(
    parser: &mut Parser<'_, '_>,
    span: Span,
    conf: &mut RacoonConf,
    known: &mut HashSet<SainfoName>,
) -> Parsed<()> {
    let local = identity(parser, false)?;
    // `sainfo anonymous` is for both sides.
    let is_alone = local == SainfoId::Anonymous
        && matches!(parser.next.kind, TokenKind::Sign(_) | TokenKind::End | TokenKind::Word("from" | "group"));
    let remote = match parser.next.kind {
        // The statements of the block follow, and its brace is missing.
        TokenKind::Word(word) if local == SainfoId::Anonymous && STATEMENTS.contains(&word) => SainfoId::Anonymous,
        _ if is_alone => SainfoId::Anonymous,
        _ => identity(parser, true)?,
    };
    let from = if parser.accept("from") { Some(parser.identifier()?) } else { None };
    let group = if parser.accept("group") { Some(parser.text("a group name")?.0) } else { None };
    let head = parser.span_from(span);
    let mut sainfo = Sainfo {
        span: head,
        local,
        remote,
        from,
        group,
        pfs_group: None,
        lifetime_time: None,
        lifetime_byte: None,
        ciphers: std::vec::Vec::new(),
        integrity: std::vec::Vec::new(),
        has_deflate: false,
        remoteid: None,
    };
    let errors = parser.diagnostics.errors();
    // Statements for ciphers, integrity and compression.
    let mut has = (false, false, false);
    parser.block(&SCOPE, span, &mut |parser, word, span| {
        match word {
            "encryption_algorithm" => has.0 = true,
            "authentication_algorithm" => has.1 = true,
            "compression_algorithm" => has.2 = true,
            _ => {}
        }
        statement(parser, word, span, &mut sainfo)
    })?;
    if parser.diagnostics.errors() == errors {
        check(parser, &sainfo, has);
    }
    let Sainfo { local, remote, from, group, remoteid, .. } = sainfo.clone();
    let is_anonymous = local == SainfoId::Anonymous;
    if !known.insert((local, remote, from, group, remoteid)) {
        if is_anonymous {
            let text = "an earlier `sainfo` has the same identities: this one is never used";
            parser.diagnostics.warning(head, text);
        } else {
            parser.diagnostics.error(head, "expected other identities: an earlier `sainfo` has these");
        }
    }
    conf.sainfos.push(sainfo);
    Ok(())
}

/// Checks that a block contains the required statements.
fn check(parser: &mut Parser<'_, '_>, sainfo: &Sainfo, has: (bool, bool, bool)) {
    if !has.0 {
        parser.diagnostics.error(sainfo.span, "statement `encryption_algorithm` is missing");
    } else if !has.1 {
        parser.diagnostics.error(sainfo.span, "statement `authentication_algorithm` is missing");
    } else if sainfo.ciphers.is_empty() {
        parser.diagnostics.error(sainfo.span, "expected an `encryption_algorithm` that is implemented");
    } else if sainfo.integrity.is_empty() {
        parser.diagnostics.error(sainfo.span, "expected an `authentication_algorithm` that is implemented");
    } else if sainfo.integrity.contains(&ipsec_crypto::IntegrityAlgorithm::None) {
        let is_null = sainfo.ciphers.iter().any(|(cipher, _)| *cipher == ipsec_crypto::CipherAlgorithm::Null);
        if is_null {
            let text = "expected `encryption_algorithm` without `null_enc`, or `authentication_algorithm` without \
                        `non_auth`: together they protect nothing (RFC 4303 section 3.2)";
            parser.diagnostics.error(sainfo.span, text);
        } else {
            let text = "`non_auth`: without integrity, modified packets are not detected; such SAs are not negotiated";
            parser.diagnostics.warning(sainfo.span, text);
        }
    }
    if !has.2 {
        parser.diagnostics.warning(sainfo.span, "racoon refuses a `sainfo` without `compression_algorithm deflate;`");
    }
}

fn statement(parser: &mut Parser<'_, '_>, word: &str, span: Span, sainfo: &mut Sainfo) -> Parsed<()> {
    match word {
        "pfs_group" => {
            let group = match parser.ec2n_group() {
                // racoon fails at the negotiation, not at the file: one of its own samples has such a group.
                Some((group, at)) => {
                    let text = format!("group {group} is not implemented: the `sainfo` is never used");
                    parser.diagnostics.warning(at, text);
                    group
                }
                None => parser.dh_group()?,
            };
            set(parser, &mut sainfo.pfs_group, word, span, group);
        }
        "lifetime" => {
            return parser.lifetime(span, &mut sainfo.lifetime_time, &mut sainfo.lifetime_byte, &SCOPE);
        }
        "remoteid" => {
            let id = parser.number("a number", 0..=u64::from(u32::MAX))?;
            set(parser, &mut sainfo.remoteid, word, span, id);
        }
        "my_identifier" => {
            parser.identifier()?;
            parser.diagnostics.warning(span, "`my_identifier` of `sainfo` is an obsolete keyword and has no effect");
        }
        _ => loop {
            let (found, at) = (parser.found(), parser.span());
            let is_implemented = match word {
                "encryption_algorithm" => {
                    let cipher = parser.listed_cipher(ESP_CIPHERS)?;
                    sainfo.ciphers.extend(cipher);
                    cipher.is_some()
                }
                "authentication_algorithm" => {
                    let integrity = parser.choice("an authentication algorithm", INTEGRITY)?.0;
                    sainfo.integrity.extend(integrity);
                    integrity.is_some()
                }
                _ => {
                    // A fork of racoon has `none`.
                    let table = [("deflate", Some(true)), ("lzs", None), ("oui", None), ("none", Some(false))];
                    let is_deflate = parser.choice("a compression algorithm", &table)?.0;
                    sainfo.has_deflate |= is_deflate == Some(true);
                    is_deflate.is_some()
                }
            };
            // Of several algorithms, the others are negotiated.
            if !is_implemented {
                parser.diagnostics.warning(at, format!("{found} is not implemented and is not negotiated"));
            }
            if !parser.accept_sign(b',') {
                if let TokenKind::Word(next) = parser.next.kind
                    && is_algorithm(word, next)
                {
                    return parser.unexpected("`,` between two algorithms");
                }
                break;
            }
        },
    }
    parser.end(&SCOPE)
}

/// Returns whether a word is one of the algorithms of a statement.
fn is_algorithm(statement: &str, word: &str) -> bool {
    match statement {
        "encryption_algorithm" => {
            ESP_CIPHERS.iter().any(|row| row.0 == word) || attached_bits(word, ESP_CIPHERS).is_some()
        }
        "authentication_algorithm" => INTEGRITY.iter().any(|row| row.0 == word),
        _ => false,
    }
}

const EXPECTED: &[&str] = &["anonymous", "address", "subnet", "fqdn", "user_fqdn"];

fn identity(parser: &mut Parser<'_, '_>, is_remote: bool) -> Parsed<SainfoId> {
    let side = if is_remote { "the remote identity" } else { "the local identity" };
    let TokenKind::Word(word) = parser.next.kind else {
        return parser.unexpected(&format!("{side}: {}", crate::diagnostic::alternatives(EXPECTED)));
    };
    match word {
        "anonymous" => {
            parser.advance();
            Ok(SainfoId::Anonymous)
        }
        "clientaddr" if is_remote => {
            parser.advance();
            Ok(SainfoId::ClientAddress)
        }
        "address" | "subnet" => {
            parser.advance();
            network(parser, word == "subnet")
        }
        "fqdn" | "user_fqdn" => parser.identifier().map(SainfoId::Name),
        _ => {
            let message =
                format!("expected {side}: {}, found `{}`", crate::diagnostic::alternatives(EXPECTED), shown_word(word));
            let help = match word.split('/').next().and_then(parse_address) {
                Some(_) => Some(format!("write `address {word} any`")),
                None => did_you_mean(word, EXPECTED.iter().copied()),
            };
            parser.diagnostics.add(crate::Severity::Error, parser.span(), message, help);
            Err(crate::blocks::Failed)
        }
    }
}

/// Parses an address with a prefix or a range, a port, and a protocol.
fn network(parser: &mut Parser<'_, '_>, is_subnet: bool) -> Parsed<SainfoId> {
    const ADDRESS: &str = "an address as 10.1.0.0/16";
    let (word, span) = parser.word(ADDRESS)?;
    let (address, rest) = match word.find(['/', '-']) {
        Some(at) => word.split_at(at),
        None => (word, ""),
    };
    let Some(address) = parse_address(address) else {
        return parser.refuse(span, format!("expected {ADDRESS}, found `{}`", shown_word(word)));
    };
    // Blanks in front of the prefix are allowed.
    let rest = match parser.next.kind {
        TokenKind::Word(next) if rest.is_empty() && next.starts_with(['/', '-']) => {
            parser.advance();
            next
        }
        _ => rest,
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let extent = match rest.split_at_checked(1) {
        Some(("/", length)) => {
            length.parse().ok().filter(|length| *length <= most).map(|length| Extent::Prefix(Some(length)))
        }
        Some((_, last)) => parse_address(last).filter(|last| is_range(address, *last)).map(Extent::Range),
        None => Some(Extent::Prefix(None)),
    };
    let Some(extent) = extent else {
        let expected = format!("a prefix of at most {most} bits, or a higher address of the same family");
        return parser.refuse(span, format!("expected {expected} after {address}, found `{}`", shown_word(rest)));
    };
    let port = parser.port()?.unwrap_or(0);
    let at = parser.span();
    let protocol = protocol(parser)?;
    if matches!(protocol, ICMP | ICMPV6) {
        if port != 0 {
            return parser.refuse(at, "expected no port: ICMP has none");
        }
        if (protocol == ICMP) != address.is_ipv4() {
            let expected = if address.is_ipv4() { "icmp" } else { "icmp6" };
            return parser.refuse(at, format!("expected `{expected}` with {address}, found protocol {protocol}"));
        }
    }
    Ok(SainfoId::Network { is_subnet, address, extent, port, protocol })
}

fn is_range(first: IpAddr, last: IpAddr) -> bool {
    first.is_ipv4() == last.is_ipv4() && first <= last
}

fn protocol(parser: &mut Parser<'_, '_>) -> Parsed<u8> {
    const EXPECTED: &str = "an upper-layer protocol: `any`, `tcp`, `udp`, `icmp`, or a number";
    let (word, span) = parser.word(EXPECTED)?;
    let named = PROTOCOLS.iter().find(|row| row.0 == word).map(|row| row.1);
    match named.or_else(|| number(word).and_then(|number| u8::try_from(number).ok())) {
        // IPSEC_ULPROTO_ANY of KAME is 255.
        Some(255) => Ok(0),
        Some(protocol) => Ok(protocol),
        None => {
            let help = match crate::setkey::protocol_number(word) {
                Some(number) => Some(format!("racoon has no name for the protocol: write {number}")),
                None => did_you_mean(word, PROTOCOLS.iter().map(|row| row.0)),
            };
            let message = format!("expected {EXPECTED}, found `{}`", shown_word(word));
            parser.diagnostics.add(crate::Severity::Error, span, message, help);
            Err(crate::blocks::Failed)
        }
    }
}

impl SainfoId {
    /// Returns whether an identity of a client is this one (RFC 2407 section 4.6.2): racoon compares them, a `sainfo`
    /// is no filter. A host and a subnet of one address are equal.
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anonymous, _) => true,
            (
                Self::Network { address, extent, port, protocol, .. },
                Self::Network { address: address_2, extent: extent_2, port: port_2, protocol: protocol_2, .. },
            ) => {
                let most = if address.is_ipv4() { 32 } else { 128 };
                let full = |extent: &Extent| match extent {
                    Extent::Prefix(length) => Extent::Prefix(Some(length.unwrap_or(most))),
                    range @ Extent::Range(_) => *range,
                };
                (address, port, protocol) == (address_2, port_2, protocol_2) && full(extent) == full(extent_2)
            }
            _ => self == other,
        }
    }

    /// Returns how specific the identity is; higher values are searched first.
    pub(super) fn rank(&self) -> u16 {
        match self {
            Self::Anonymous => 0,
            Self::ClientAddress => 1,
            Self::Network { extent: Extent::Prefix(length), .. } => 2_u16.saturating_add(length.unwrap_or(128).into()),
            Self::Network { .. } | Self::Name(Identifier::Address(_)) | Self::Name(_) => 200,
        }
    }
}
