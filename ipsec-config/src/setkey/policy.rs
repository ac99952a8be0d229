use core::fmt;
use core::net::{IpAddr, Ipv4Addr};

use ipsec_packet::IpProto;

use super::error::{Fault, SetkeyErrorKind};
use super::lexer::{Lexer, Token};
use super::values::{self, Family, SecurityContext, by_name, end, error_at_word, flags, number, split_port, word};
use ipsec_sa::{Action, Bundle, Level, Mode, PolicyDirection, Priority, Protocol, Template, TunnelEndpoints};

/// Address prefix and port of a selector (RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Address within the range.
    pub address: IpAddr,
    /// Length of the prefix in bits; the length of the address if the text has none.
    pub prefix: u8,
    /// Port number; `None` for any.
    pub port: Option<u16>,
}

/// Upper-layer protocol of a selector with its details (RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Upper {
    /// Any upper-layer protocol; `any` in setkey(8).
    Any,
    /// Protocol with this number.
    Protocol(IpProto),
    /// ICMP or ICMPv6 with one type, and one code or any.
    Icmp(IpProto, u8, Option<u8>),
    /// GRE with this key.
    Gre(u32),
}

/// Selector of a policy (RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selector<'a> {
    /// Packets between two ranges of addresses.
    Flow {
        /// Source addresses and port.
        source: Range,
        /// Destination addresses and port.
        destination: Range,
        /// Upper-layer protocol of the packets.
        upper: Upper,
    },
    /// Packets with this tag of a packet filter.
    Tagged(&'a str),
}

/// Statement `spdadd`, `spdupdate` or `spddelete` (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyStatement<'a> {
    /// Packets that the policy applies to.
    pub selector: Selector<'a>,
    /// Security context of mandatory access control, option `-ctx`.
    pub context: Option<SecurityContext<'a>>,
    /// Direction of the packets.
    pub direction: PolicyDirection,
    /// Position among the policies of the SPD.
    pub priority: Priority,
    /// Action of the policy; `None` if a statement that deletes has none.
    pub action: Option<PolicyAction>,
}

/// Action of a policy statement (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum PolicyAction {
    /// The packet is discarded.
    Discard,
    /// The packet passes without IPsec.
    None,
    /// The packet passes without IPsec; meant for privileged sockets.
    Bypass,
    /// The policy of the system decides; meant for sockets.
    Entrust,
    /// The packet is protected by these transforms, or was.
    Ipsec(Bundle),
}

impl PolicyAction {
    /// Returns the action of RFC 4301 section 4.4.1: `none`, `bypass` and `entrust` are one.
    pub const fn action(&self) -> Action {
        match *self {
            Self::Discard => Action::Discard,
            Self::None | Self::Bypass | Self::Entrust => Action::Bypass,
            Self::Ipsec(bundle) => Action::Protect(bundle),
        }
    }

    /// Returns whether the word is one for the policies of sockets: in the SPD it means the same as `none`.
    pub const fn is_for_sockets(&self) -> bool {
        matches!(self, Self::Bypass | Self::Entrust)
    }
}

impl fmt::Display for PolicyAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bypass => f.write_str("bypass"),
            Self::Entrust => f.write_str("entrust"),
            Self::Discard | Self::None | Self::Ipsec(_) => self.action().fmt(f),
        }
    }
}

/// Parses the words after `spdadd` and similar commands up to the semicolon.
pub(super) fn statement<'a>(lexer: &mut Lexer<'a>, deletes: bool) -> Result<PolicyStatement<'a>, Fault<'a>> {
    let family = flags(lexer)?;
    let selector = selector(lexer, family)?;
    let mut option = word(lexer, "-P")?;
    let mut context = None;
    if option == "-ctx" {
        context = Some(values::context(lexer)?);
        option = word(lexer, "-P")?;
    }
    if option != "-P" {
        return Err(lexer.error(option, SetkeyErrorKind::Expected("-P")));
    }
    let name = word(lexer, "a direction")?;
    let direction = PolicyDirection::by_name(name).ok_or(lexer.error(name, SetkeyErrorKind::PolicyDirection))?;
    let priority = priority(lexer)?;
    let action = match lexer.peek()? {
        Token::Semicolon if deletes => None,
        _ => Some(action(lexer)?),
    };
    end(lexer)?;
    Ok(PolicyStatement { selector, context, direction, priority, action })
}

fn selector<'a>(lexer: &mut Lexer<'a>, family: Family) -> Result<Selector<'a>, Fault<'a>> {
    let first = word(lexer, "an address")?;
    if first == "tagged" {
        return match lexer.next()? {
            Token::Quoted(tag) => values::text(lexer, tag).map(Selector::Tagged),
            Token::Word(tag) if !tag.starts_with('-') => Ok(Selector::Tagged(tag)),
            _ => Err(lexer.error("", SetkeyErrorKind::Missing("a tag"))),
        };
    }
    let source = range(lexer, first, family)?;
    let second = word(lexer, "an address")?;
    let destination = range(lexer, second, family)?;
    if source.address.is_ipv4() != destination.address.is_ipv4() {
        return Err(lexer.error(second, SetkeyErrorKind::Family));
    }
    Ok(Selector::Flow { source, destination, upper: upper_spec(lexer)? })
}

/// Parses `address`, `address/prefix`, `address[port]` or `address/prefix[port]`.
fn range<'a>(lexer: &mut Lexer<'a>, text: &'a str, family: Family) -> Result<Range, Fault<'a>> {
    let text = lexer.join_words(text, |so_far, next| so_far.ends_with('/') || next.starts_with(['/', '[']));
    let (host, port) = split_port(text).ok_or(lexer.error(text, SetkeyErrorKind::Port))?;
    let (host, prefix) = match host.split_once(['/']) {
        Some((host, prefix)) => (host.trim_end(), Some(prefix.trim())),
        None => (host, None),
    };
    let address = lexer.address(host, family).ok_or(lexer.error(text, SetkeyErrorKind::Address))?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix.map(number::<u32>) {
        None => whole,
        Some(None) => return Err(lexer.error(text, SetkeyErrorKind::Number)),
        Some(Some(prefix)) => u8::try_from(prefix)
            .ok()
            .filter(|prefix| *prefix <= whole)
            .ok_or(lexer.error(text, SetkeyErrorKind::Prefix))?,
    };
    Ok(Range { address, prefix, port })
}

/// Parses an upper-layer protocol, and after it, as a separate word or after a comma, type and code of ICMP or a GRE
/// key.
fn upper_spec<'a>(lexer: &mut Lexer<'a>) -> Result<Upper, Fault<'a>> {
    let text = word(lexer, "an upper-layer protocol")?;
    let (name, detail) = text.split_once([',']).map_or((text, None), |(name, detail)| (name, Some(detail)));
    let error_at_word = |lexer: &Lexer<'a>, text| lexer.error(text, SetkeyErrorKind::Upper);
    if name == "any" {
        return if detail.is_none() { Ok(Upper::Any) } else { Err(error_at_word(lexer, text)) };
    }
    let protocol = by_name(super::names::PROTOCOLS, name).or_else(|| number(name)).map(IpProto);
    let protocol = protocol.ok_or(error_at_word(lexer, text))?;
    // Protocol 255 is IPSEC_ULPROTO_ANY of KAME and Linux.
    if protocol == IpProto(255) && detail.is_none() {
        return Ok(Upper::Any);
    }
    let detail = match lexer.peek()? {
        Token::Word(next)
            if detail.is_none() && !next.starts_with('-') && next.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            lexer.next()?;
            Some(next)
        }
        _ => detail,
    };
    let Some(detail) = detail else { return Ok(Upper::Protocol(protocol)) };
    match protocol {
        IpProto::ICMP | IpProto::ICMPV6 => {
            let (kind, code) = detail.split_once([',']).map_or((detail, None), |(kind, code)| (kind, Some(code)));
            let code = code.map(|code| number(code).ok_or(error_at_word(lexer, detail))).transpose()?;
            Ok(Upper::Icmp(protocol, number(kind).ok_or(error_at_word(lexer, detail))?, code))
        }
        IpProto::GRE => {
            let key = detail.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits).or_else(|| number(detail));
            Ok(Upper::Gre(key.ok_or(error_at_word(lexer, detail))?))
        }
        _ => Err(error_at_word(lexer, if text.contains([',']) { text } else { detail })),
    }
}

/// Parses an optional priority: `prio` or `priority`, then `high`, `def` or `low` with `+ n` or `- n`, or a number
/// relative to `def`. Blanks between them are optional.
fn priority<'a>(lexer: &mut Lexer<'a>) -> Result<Priority, Fault<'a>> {
    let Token::Word("prio" | "priority") = lexer.peek()? else { return Ok(Priority::DEFAULT) };
    lexer.next()?;
    let first = word(lexer, "a priority")?;
    let text = lexer.join_words(first, |so_far, next| so_far.ends_with(['+', '-']) || next.starts_with(['+', '-']));
    let bases = [("high", Priority::HIGH), ("def", Priority::DEFAULT), ("low", Priority::LOW)];
    let base = bases.into_iter().find_map(|(name, base)| Some((base, text.strip_prefix(name)?.trim_start())));
    let (base, rest) = match base {
        Some((base, rest)) => (Some(base), rest),
        None => (None, text),
    };
    if rest.is_empty() {
        return base.ok_or(lexer.error(text, SetkeyErrorKind::Priority));
    }
    let (negative, digits) = match (rest.strip_prefix('-'), rest.strip_prefix('+')) {
        (Some(digits), _) => (true, digits.trim_start()),
        (_, Some(digits)) => (false, digits.trim_start()),
        _ if base.is_none() => (false, rest),
        _ => return Err(lexer.error(text, SetkeyErrorKind::Priority)),
    };
    let kind = if digits.starts_with(|c: char| c.is_ascii_digit()) {
        SetkeyErrorKind::Priority
    } else {
        SetkeyErrorKind::Number
    };
    let offset = number::<u32>(digits).and_then(|n| i32::try_from(n).ok());
    let offset = if negative { offset.and_then(i32::checked_neg) } else { offset };
    let moved =
        offset.and_then(|offset| base.map_or(Priority::relative_to_default(offset), |base| base.offset(offset)));
    moved.ok_or(lexer.error(text, if base.is_none() && offset.is_none() { SetkeyErrorKind::Priority } else { kind }))
}

fn action<'a>(lexer: &mut Lexer<'a>) -> Result<PolicyAction, Fault<'a>> {
    let name = word(lexer, "a policy")?;
    match name {
        "discard" => Ok(PolicyAction::Discard),
        "none" => Ok(PolicyAction::None),
        "bypass" => Ok(PolicyAction::Bypass),
        "entrust" => Ok(PolicyAction::Entrust),
        "ipsec" => {
            let mut bundle = Bundle::default();
            while let Token::Word(text) = lexer.peek()? {
                lexer.next()?;
                let text =
                    lexer.join_words(text, |so_far, next| so_far.ends_with(['/', '-']) || next.starts_with(['/', '-']));
                let template = template(lexer, text).map_err(|kind| error_at_word(lexer, text, kind))?;
                bundle = bundle.with(template).ok_or(lexer.error(text, SetkeyErrorKind::TooManyTemplates))?;
            }
            if bundle.iter().next().is_none() {
                return Err(lexer.error("", SetkeyErrorKind::Missing("a template")));
            }
            Ok(PolicyAction::Ipsec(bundle))
        }
        other => Err(error_at_word(lexer, other, SetkeyErrorKind::Policy)),
    }
}

/// Parses `protocol/mode/source-destination/level`; the last parts are optional.
fn template(lexer: &Lexer<'_>, text: &str) -> Result<Template, SetkeyErrorKind> {
    let mut parts = text.split(['/']).map(str::trim);
    let protocol = parts.next().and_then(Protocol::by_name).ok_or(SetkeyErrorKind::Template)?;
    let mode = parts.next().filter(|name| !name.is_empty()).ok_or(SetkeyErrorKind::Template)?;
    let mode = Mode::by_name(mode).filter(|mode| *mode != Mode::Any).ok_or(SetkeyErrorKind::Mode)?;
    let ends = match parts.next() {
        None | Some("") => None,
        Some(text) => ends(lexer, text)?,
    };
    let level = match parts.next() {
        None | Some("") => Level::Default,
        Some(text) => level(text).ok_or(SetkeyErrorKind::Level)?,
    };
    match (mode, ends, parts.next()) {
        (_, _, Some(_)) => Err(SetkeyErrorKind::Template),
        (Mode::Tunnel | Mode::Beet, None, None) => Err(SetkeyErrorKind::NoEndpoints),
        _ => Ok(Template { protocol, mode, ends, level }),
    }
}

/// Parses the endpoints. Returns `None` if neither has an address, as in `me-any`.
fn ends(lexer: &Lexer<'_>, text: &str) -> Result<Option<TunnelEndpoints>, SetkeyErrorKind> {
    let (source, destination) = text.split_once(['-']).ok_or(SetkeyErrorKind::Template)?;
    let ends = TunnelEndpoints {
        source: tunnel_end(lexer, source.trim())?,
        destination: tunnel_end(lexer, destination.trim())?,
    };
    match (ends.source.0, ends.destination.0) {
        (None, None) => Ok(None),
        (Some(source), Some(destination)) if source.is_ipv4() != destination.is_ipv4() => Err(SetkeyErrorKind::Family),
        _ => Ok(Some(ends)),
    }
}

fn tunnel_end(lexer: &Lexer<'_>, text: &str) -> Result<(Option<IpAddr>, Option<u16>), SetkeyErrorKind> {
    let (host, port) = split_port(text).ok_or(SetkeyErrorKind::Port)?;
    match host {
        "any" | "me" => Ok((None, port)),
        host => lexer.address(host, Family::Any).map(|host| (Some(host), port)).ok_or(SetkeyErrorKind::Address),
    }
}

fn level(text: &str) -> Option<Level> {
    match text {
        "default" => Some(Level::Default),
        "use" => Some(Level::Use),
        "require" => Some(Level::Require),
        "unique" => Some(Level::Unique),
        _ => number::<u16>(text.strip_prefix("unique:")?.trim())
            .filter(|id| *id > 0)
            .map(|id| Level::UniqueId(id.into())),
    }
}
