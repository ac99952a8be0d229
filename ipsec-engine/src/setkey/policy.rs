use core::net::IpAddr;

use ipsec_packet::IpProto;

use super::error::{SetkeyError, SetkeyErrorKind};
use super::lexer::{Lexer, Token};
use super::statement::{Family, address, end, number, word};
use crate::policy::{Action, Bundle, Direction, Ends, Level, Mode, Priority, Protocol, Request};

/// Addresses with a common prefix, and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// An address of the range.
    pub address: IpAddr,
    /// How many bits of it are common: all of them when the text says none.
    pub prefix: u8,
    /// The port; `None` for any.
    pub port: Option<u16>,
}

/// The upper protocol of a selector, and what of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upper {
    /// Any protocol.
    Any,
    /// This one.
    Protocol(IpProto),
    /// ICMP or ICMPv6 of one type, and of one code or any.
    Icmp(IpProto, u8, Option<u8>),
}

/// Which packets a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector<'a> {
    /// Those from here to there.
    Flow {
        /// Where they come from.
        source: Range,
        /// Where they go.
        destination: Range,
        /// What they carry.
        upper: Upper,
    },
    /// Those that a packet filter has given this tag.
    Tagged(&'a str),
}

/// `spdadd`, `spdupdate` and `spddelete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyStatement<'a> {
    /// Which packets.
    pub selector: Selector<'a>,
    /// Which way.
    pub direction: Direction,
    /// Where it stands among others.
    pub priority: Priority,
    /// What happens to them; to delete a policy it need not be said, and is `None` then.
    pub action: Option<Action>,
}

/// What follows `spdadd` and its like, up to the semicolon.
pub(super) fn statement<'a>(lexer: &mut Lexer<'a>, deletes: bool) -> Result<PolicyStatement<'a>, SetkeyError<'a>> {
    let family = super::statement::flags(lexer)?;
    let selector = selector(lexer, family)?;
    let option = word(lexer, "-P")?;
    if option != "-P" {
        return Err(lexer.error(option, SetkeyErrorKind::Expected("-P")));
    }
    let name = word(lexer, "a direction")?;
    let direction = Direction::by_name(name).ok_or(lexer.error(name, SetkeyErrorKind::Policy))?;
    let priority = priority(lexer)?;
    let action = match lexer.peek()? {
        Token::Semicolon if deletes => None,
        _ => Some(action(lexer)?),
    };
    end(lexer)?;
    Ok(PolicyStatement { selector, direction, priority, action })
}

fn selector<'a>(lexer: &mut Lexer<'a>, family: Family) -> Result<Selector<'a>, SetkeyError<'a>> {
    let first = word(lexer, "an address")?;
    if first == "tagged" {
        return match lexer.next()? {
            Token::Quoted(tag) | Token::Word(tag) => Ok(Selector::Tagged(tag)),
            _ => Err(lexer.error("", SetkeyErrorKind::Missing("a tag"))),
        };
    }
    let source = range(lexer, first, family)?;
    let second = word(lexer, "an address")?;
    let destination = range(lexer, second, family)?;
    if source.address.is_ipv4() != destination.address.is_ipv4() {
        return Err(lexer.error(second, SetkeyErrorKind::Family));
    }
    let name = word(lexer, "an upper protocol")?;
    Ok(Selector::Flow { source, destination, upper: upper(name).ok_or(lexer.error(name, SetkeyErrorKind::Upper))? })
}

/// `address`, `address/prefix`, `address[port]`, `address/prefix[port]`.
fn range<'a>(lexer: &Lexer<'a>, text: &'a str, family: Family) -> Result<Range, SetkeyError<'a>> {
    let (host, port) = split_port(text).ok_or(lexer.error(text, SetkeyErrorKind::Port))?;
    let (host, prefix) = match host.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (host, None),
    };
    let address = address(host, family).ok_or(lexer.error(text, SetkeyErrorKind::Address))?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix.map(str::parse) {
        None => whole,
        Some(Ok(prefix)) if prefix <= whole => prefix,
        Some(_) => return Err(lexer.error(text, SetkeyErrorKind::Prefix)),
    };
    Ok(Range { address, prefix, port })
}

/// Takes `[port]` off the end: a number, `any`, or one of the names that gateways need.
pub(super) fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let Some((host, port)) = text.split_once('[') else { return Some((text, None)) };
    let port = match port.strip_suffix(']')? {
        "any" => return Some((host, None)),
        "isakmp" => 500,
        "ipsec-nat-t" => 4500,
        "domain" => 53,
        "ssh" => 22,
        "telnet" => 23,
        "http" => 80,
        "https" => 443,
        number => number.parse().ok()?,
    };
    Some((host, Some(port)))
}

/// Upper protocols by their names; the rest goes by number.
const UPPER: &[(&str, IpProto)] = &[
    ("icmp", IpProto::ICMP),
    ("ipencap", IpProto::IPV4),
    ("ip4", IpProto::IPV4),
    ("tcp", IpProto::TCP),
    ("udp", IpProto::UDP),
    ("ipv6", IpProto::IPV6),
    ("gre", IpProto::GRE),
    ("esp", IpProto::ESP),
    ("ah", IpProto::AH),
    ("icmp6", IpProto::ICMPV6),
    ("ipv6-icmp", IpProto::ICMPV6),
    ("ipcomp", IpProto::IPCOMP),
    ("sctp", IpProto::SCTP),
    ("vrrp", IpProto::VRRP),
    ("mobility-header", IpProto::MOBILITY),
    ("ospf", IpProto(89)),
    ("igmp", IpProto(2)),
    ("udplite", IpProto(136)),
];

fn upper(text: &str) -> Option<Upper> {
    let (name, icmp) = match text.split_once(',') {
        Some((name, icmp)) => (name, Some(icmp)),
        None => (text, None),
    };
    if name == "any" {
        return icmp.is_none().then_some(Upper::Any);
    }
    let by_name = UPPER.iter().find(|(known, _)| *known == name).map(|(_, protocol)| *protocol);
    let protocol = by_name.or_else(|| name.parse().ok().map(IpProto))?;
    let Some(icmp) = icmp.filter(|_| matches!(protocol, IpProto::ICMP | IpProto::ICMPV6)) else {
        return icmp.is_none().then_some(Upper::Protocol(protocol));
    };
    let (kind, code) = match icmp.split_once(',') {
        Some((kind, code)) => (kind, Some(code.parse().ok()?)),
        None => (icmp, None),
    };
    Some(Upper::Icmp(protocol, kind.parse().ok()?, code))
}

/// `prio` or `priority`, and `high`, `def` or `low` with `+ n` or `- n`, or a number around `def`; or nothing.
fn priority<'a>(lexer: &mut Lexer<'a>) -> Result<Priority, SetkeyError<'a>> {
    let Token::Word("prio" | "priority") = lexer.peek()? else { return Ok(Priority::DEFAULT) };
    lexer.next()?;
    let name = word(lexer, "a priority")?;
    let base = match name {
        "high" => Priority::HIGH,
        "def" => Priority::DEFAULT,
        "low" => Priority::LOW,
        offset => {
            let priority = offset.parse().ok().and_then(|offset| Priority::DEFAULT.offset(offset));
            return priority.ok_or(lexer.error(offset, SetkeyErrorKind::Policy));
        }
    };
    let sign = match lexer.peek()? {
        Token::Word(sign @ ("+" | "-")) => sign,
        _ => return Ok(base),
    };
    lexer.next()?;
    let text = word(lexer, "an offset")?;
    let offset = number::<u32>(text).and_then(|n| i32::try_from(n).ok());
    let offset = if sign == "-" { offset.and_then(i32::checked_neg) } else { offset };
    offset.and_then(|offset| base.offset(offset)).ok_or(lexer.error(text, SetkeyErrorKind::Number))
}

fn action<'a>(lexer: &mut Lexer<'a>) -> Result<Action, SetkeyError<'a>> {
    let name = word(lexer, "a policy")?;
    match name {
        "discard" => Ok(Action::Discard),
        "none" => Ok(Action::None),
        "bypass" => Ok(Action::Bypass),
        "entrust" => Ok(Action::Entrust),
        "ipsec" => {
            let mut bundle = Bundle::default();
            while let Token::Word(text) = lexer.peek()? {
                lexer.next()?;
                let request = request(text).map_err(|kind| lexer.error(text, kind))?;
                bundle = bundle.with(request).ok_or(lexer.error(text, SetkeyErrorKind::TooManyTransforms))?;
            }
            if bundle.iter().next().is_none() {
                return Err(lexer.error("", SetkeyErrorKind::Missing("a transform")));
            }
            Ok(Action::Ipsec(bundle))
        }
        other => Err(lexer.error(other, SetkeyErrorKind::Policy)),
    }
}

/// `protocol/mode/source-destination/level`, of which the end may be left off.
fn request(text: &str) -> Result<Request, SetkeyErrorKind> {
    let mut parts = text.split('/');
    let protocol = parts.next().and_then(Protocol::by_name).ok_or(SetkeyErrorKind::Request)?;
    let mode = match parts.next() {
        None | Some("") => Mode::Any,
        Some(name) => Mode::by_name(name).ok_or(SetkeyErrorKind::Mode)?,
    };
    let ends = match parts.next() {
        None | Some("") => None,
        Some(text) => Some(ends(text)?),
    };
    let level = match parts.next() {
        None | Some("") => Level::Default,
        Some(text) => level(text).ok_or(SetkeyErrorKind::Request)?,
    };
    match (mode, ends, parts.next()) {
        (_, _, Some(_)) => Err(SetkeyErrorKind::Request),
        (Mode::Tunnel, None, None) => Err(SetkeyErrorKind::NoEnds),
        _ => Ok(Request { protocol, mode, ends, level }),
    }
}

fn ends(text: &str) -> Result<Ends, SetkeyErrorKind> {
    let (source, destination) = text.split_once('-').ok_or(SetkeyErrorKind::Request)?;
    let ends = Ends { source: tunnel_end(source)?, destination: tunnel_end(destination)? };
    match (ends.source.0, ends.destination.0) {
        (Some(source), Some(destination)) if source.is_ipv4() != destination.is_ipv4() => Err(SetkeyErrorKind::Family),
        _ => Ok(ends),
    }
}

fn tunnel_end(text: &str) -> Result<(Option<IpAddr>, Option<u16>), SetkeyErrorKind> {
    let (host, port) = split_port(text).ok_or(SetkeyErrorKind::Port)?;
    match host {
        "any" | "me" => Ok((None, port)),
        host => host.parse().map(|address| (Some(address), port)).map_err(|_| SetkeyErrorKind::Address),
    }
}

fn level(text: &str) -> Option<Level> {
    match text {
        "default" => Some(Level::Default),
        "use" => Some(Level::Use),
        "require" => Some(Level::Require),
        "unique" => Some(Level::Unique),
        _ => text.strip_prefix("unique:")?.parse().ok().filter(|id| *id > 0).map(Level::UniqueId),
    }
}
