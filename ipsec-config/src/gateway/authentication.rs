//! Statements of authentication: methods, users, and the configuration of clients.

use std::format;
use std::net::Ipv4Addr;
use std::string::String;
use std::vec::Vec;

use ike_codec::AuthMethod;
use ike_v1::{ClientConfig, ClientNetwork, MAX_CREDENTIAL, ModeConfig, ShortText, XauthRole};

use super::peer::{Draft, SCOPE, short_text};
use super::{Reader, prefix};
use crate::blocks::{Parsed, Parser, Scope};
use crate::diagnostic::shown_word;
use crate::lexer::TokenKind;
use crate::racoon::METHODS;
use crate::{Pool, Span};

/// Number of addresses in a pool without a statement.
const POOL_SIZE: u16 = 255;

const METHOD_NAMES: &str = "an authentication method: `psk`, `rsasig`, or `xauth_psk`, `xauth_rsa` or `hybrid_rsa` \
                            with `_server` or `_client`";
const POOL: &[&str] = &[
    "network4",
    "pool_size",
    "netmask4",
    "dns4",
    "wins4",
    "default_domain",
    "split_network",
    "split_dns",
    "banner",
    "push",
];

impl Draft {
    /// Parses an optional authentication method. All proposals of a peer have the same role in extended
    /// authentication: a client could otherwise choose the one without a user.
    pub fn method(&mut self, parser: &mut Parser<'_, '_>) -> Parsed<AuthMethod> {
        let span = parser.span();
        let name = match parser.next.kind {
            TokenKind::Word(word) if !matches!(word, "lifetime" | "kilobytes") => {
                parser.advance();
                word
            }
            _ => "psk",
        };
        let full = if name == "psk" { "pre_shared_key" } else { name };
        let row = METHODS.iter().find(|row| row.name == full);
        let Some((row, number)) = row.and_then(|row| Some((row, row.number?))) else {
            return parser.refuse(span, format!("expected {METHOD_NAMES}, found `{}`", shown_word(name)));
        };
        if self.role.is_some_and(|role| role != row.role) {
            let expected = "the role in extended authentication of the first proposal";
            return parser.refuse(span, format!("expected {expected}, found `{name}`"));
        }
        self.role = Some(row.role);
        self.signs |= row.signs;
        self.verifies |= row.verifies;
        Ok(number)
    }

    /// Checks at the end of a block that the statements that the authentication methods require exist, and no others.
    pub fn check(&self, parser: &mut Parser<'_, '_>, span: Span) {
        let (peer, files) = (&self.peer, &self.peer.files);
        let role = self.role.flatten();
        let (is_client, is_server) = (role == Some(XauthRole::Client), role == Some(XauthRole::Server));
        let has_no_trust = files.authorities.is_empty() && files.peers.is_empty() && files.public_keys.is_empty();
        let missing = [
            (peer.config.proposals.is_empty(), "proposal"),
            (self.transforms.is_empty(), "esp"),
            (self.signs && files.own.is_empty() && files.own_key.is_none(), "certificate"),
            (self.verifies && has_no_trust, "ca"),
            (is_server && peer.users.is_none(), "users"),
            (is_client && peer.login.is_none(), "xauth_login"),
        ];
        if let Some((_, statement)) = missing.into_iter().find(|(is_missing, _)| *is_missing) {
            return parser.diagnostics.error(span, format!("statement `{statement}` is missing"));
        }
        if peer.starts && !peer.config.initiates {
            return parser.diagnostics.error(span, "`start on` requires `passive off`");
        }
        let unused = [
            (peer.users.is_some() && !is_server, "users", "server"),
            (peer.login.is_some() && !is_client, "xauth_login", "client"),
        ];
        if let Some((_, statement, role)) = unused.into_iter().find(|(is_unused, ..)| *is_unused) {
            let text = format!("expected a proposal of a {role} of extended authentication with `{statement}`");
            parser.diagnostics.error(span, text);
        }
    }
}

impl Reader<'_> {
    /// Parses `users`, `xauth_login` or `mode_cfg`.
    pub(super) fn access(&self, parser: &mut Parser<'_, '_>, word: &str, span: Span, draft: &mut Draft) -> Parsed<()> {
        let peer = &mut draft.peer;
        let is_set = match word {
            "users" => peer.users.is_some(),
            "xauth_login" => peer.login.is_some(),
            _ => peer.config.mode_config.is_some(),
        };
        if is_set {
            return parser.refuse(span, format!("duplicate statement `{word}`"));
        }
        match word {
            "users" => peer.users = Some(self.file_name(parser)?),
            "xauth_login" => peer.login = Some(short_text(parser, MAX_CREDENTIAL)?),
            _ if parser.accept("on") => peer.config.mode_config = Some(ModeConfig::Request),
            _ if parser.accept("push") => peer.config.mode_config = Some(ModeConfig::Accept),
            _ if parser.accept("off") => {}
            _ if parser.next.kind != TokenKind::Sign(b'{') => return parser.unexpected("on, push, off or `{`"),
            _ => {
                let pool = pool(parser, span)?;
                peer.config.mode_config = Some(if pool.pushes { ModeConfig::Assign } else { ModeConfig::Answer });
                peer.pool = Some(pool);
                // A block may have a `;` after it.
                parser.accept_sign(b';');
                return Ok(());
            }
        }
        parser.end(&SCOPE)
    }
}

fn pool(parser: &mut Parser<'_, '_>, span: Span) -> Parsed<Pool> {
    let scope = Scope { name: "mode_cfg", statements: POOL, outer: Some(&SCOPE), elsewhere: &[] };
    let (mut first, mut size, mut values, mut pushes) = (None, POOL_SIZE, ClientConfig::default(), false);
    let errors = parser.diagnostics.errors();
    parser.block(&scope, span, &mut |parser, word, _| {
        match word {
            "network4" => first = Some(ipv4(parser)?),
            "pool_size" => {
                size = u16::try_from(parser.number("a number of addresses", 1..=65_535)?).unwrap_or(u16::MAX)
            }
            "netmask4" => values.netmask = Some(ipv4(parser)?),
            "dns4" => add(parser, &mut values.dns, ipv4)?,
            "wins4" => add(parser, &mut values.nbns, ipv4)?,
            "default_domain" => values.domain = ShortText::new(short_text(parser, 64)?.as_bytes()),
            "banner" => values.banner = ShortText::new(short_text(parser, 128)?.as_bytes()),
            "push" => pushes = parser.boolean()?,
            "split_dns" => {
                let (mut names, span) = (Vec::new(), parser.span());
                while parser.next.kind != TokenKind::Sign(b';') {
                    names.push(parser.text("a domain name")?.0);
                    parser.accept_sign(b',');
                }
                values.split_dns = split_dns(&names).or_else(|reason| parser.refuse(span, reason))?;
            }
            _ => {
                let (is_local, _) =
                    parser.choice("a value of `split_network`", &[("include", false), ("local_lan", true)])?;
                while parser.next.kind != TokenKind::Sign(b';') {
                    if is_local {
                        add(parser, &mut values.split_exclude, network)?;
                    } else {
                        add(parser, &mut values.split_include, network)?;
                    }
                    parser.accept_sign(b',');
                }
            }
        }
        parser.end(&scope)
    })?;
    let is_within = |first: Ipv4Addr| u32::from(first).checked_add(u32::from(size.saturating_sub(1))).is_some();
    match first {
        Some(first) if is_within(first) => Ok(Pool { first: Some(first), size, values, pushes, ..Pool::default() }),
        Some(first) => {
            parser.refuse(span, format!("expected a pool below 255.255.255.255, found {size} addresses from {first}"))
        }
        None if parser.diagnostics.errors() > errors => Err(crate::blocks::Failed),
        None => parser.refuse(span, "statement `network4` is missing"),
    }
}

/// Octets of the names of `split_dns`, with the commas between them.
const MAX_SPLIT_DNS: usize = 128;

/// Returns the domains of `split_dns` as they are sent to clients.
///
/// # Errors
///
/// A name contains a comma or is empty, or all together have more than 128 octets.
pub(crate) fn split_dns(names: &[String]) -> Result<ShortText<MAX_SPLIT_DNS>, String> {
    let all = names.join(",");
    if let Some(name) = names.iter().find(|name| name.is_empty() || name.contains(',')) {
        return Err(format!("expected a domain name without commas, found `{}`", shown_word(name)));
    }
    if all.len() > MAX_SPLIT_DNS {
        return Err(format!("expected names of at most {MAX_SPLIT_DNS} octets together, found {}", all.len()));
    }
    Ok(ShortText::new(all.as_bytes()))
}

fn ipv4(parser: &mut Parser<'_, '_>) -> Parsed<Ipv4Addr> {
    let (word, span) = parser.word("an IPv4 address")?;
    match word.parse() {
        Ok(address) => Ok(address),
        Err(_) => parser.refuse(span, format!("expected an IPv4 address, found `{}`", shown_word(word))),
    }
}

fn network(parser: &mut Parser<'_, '_>) -> Parsed<ClientNetwork> {
    let span = parser.span();
    let (address, length) = prefix(parser)?;
    match address {
        std::net::IpAddr::V4(address) => Ok(ClientNetwork { address, mask: mask(length) }),
        std::net::IpAddr::V6(_) => {
            parser.refuse(span, format!("expected an IPv4 address with the length of its prefix, found `{address}`"))
        }
    }
}

/// Returns the mask of a prefix.
pub(crate) fn mask(length: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::MAX.checked_shl(32_u32.saturating_sub(length.into())).unwrap_or(0))
}

/// Parses a value into the first free place of a list.
fn add<'t, 'd, T, const N: usize>(
    parser: &mut Parser<'t, 'd>,
    list: &mut [Option<T>; N],
    parse: impl FnOnce(&mut Parser<'t, 'd>) -> Parsed<T>,
) -> Parsed<()> {
    match list.iter_mut().find(|slot| slot.is_none()) {
        Some(slot) => {
            *slot = Some(parse(parser)?);
            Ok(())
        }
        None => parser.unexpected(&format!("at most {N} values")),
    }
}
