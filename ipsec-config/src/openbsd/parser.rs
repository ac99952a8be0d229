//! Grammar of the rules of ipsec.conf(5).

mod algorithms;
mod hosts;
mod manual;

use std::borrow::ToOwned;
use std::format;
use std::path::Path;
use std::string::String;
use std::vec::Vec;

use ipsec_sa::PolicyDirection;
use zeroize::Zeroizing;

use super::line::{Kind, Token};
use super::syntax::{Flow, FlowKind, Ike, IkeMode, Phase, Rule, RuleKind, SaType};
use crate::blocks::{Failed, Parsed};
use crate::diagnostic::{alternatives, did_you_mean, shown_word};
use crate::{Diagnostics, Files, Severity, Span};

const RULES: &[&str] = &["ike", "flow", "esp", "ah", "ipcomp", "ipip", "tcpmd5", "include"];
const SA_TYPES: &[(&str, SaType)] = &[
    ("esp", SaType::Esp),
    ("ah", SaType::Ah),
    ("ipcomp", SaType::Ipcomp),
    ("ipip", SaType::Ipip),
    ("tcpmd5", SaType::TcpMd5),
];
/// Words of rules, in which a misspelled one is searched.
const KEYWORDS: &[&str] = &[
    "passive",
    "active",
    "dynamic",
    "esp",
    "ah",
    "ipcomp",
    "ipip",
    "tunnel",
    "transport",
    "proto",
    "from",
    "to",
    "port",
    "local",
    "peer",
    "main",
    "aggressive",
    "quick",
    "auth",
    "enc",
    "comp",
    "group",
    "lifetime",
    "srcid",
    "dstid",
    "psk",
    "rsa",
    "tag",
    "type",
    "in",
    "out",
    "spi",
    "authkey",
    "enckey",
    "file",
    "interface",
    "udpencap",
];

/// Returns whether a word has a meaning of its own, so that it is not a macro name.
pub(super) fn is_keyword(word: &str) -> bool {
    RULES.contains(&word) || KEYWORDS.contains(&word)
}

/// Parses the tokens of a line. Errors are reported.
pub(super) fn rule(tokens: Vec<Token>, files: &dyn Files, diagnostics: &mut Diagnostics) -> Option<Rule> {
    let (first, last) = (tokens.first()?.span, tokens.last()?.span);
    let span = if first.file == last.file && last.end > first.begin { Span { end: last.end, ..first } } else { first };
    let mut parser = Parser { tokens, at: 0, files, diagnostics };
    let kind = parser.rule().ok()?;
    parser.end().ok()?;
    Some(Rule { span, kind })
}

/// Files with the name of this host: that of Linux, and that of OpenBSD.
const HOST_NAME_FILES: [&str; 2] = ["/proc/sys/kernel/hostname", "/etc/myname"];

/// Text of an identity with its place.
type Named = (String, Span);

pub(super) struct Parser<'p> {
    tokens: Vec<Token>,
    at: usize,
    pub files: &'p dyn Files,
    pub diagnostics: &'p mut Diagnostics,
}

impl Parser<'_> {
    fn next(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next_word(&self) -> Option<&str> {
        match &self.next()?.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(super) fn span(&self) -> Span {
        match (self.next(), self.tokens.last()) {
            (Some(token), _) => token.span,
            (None, Some(last)) => Span { begin: last.span.end, ..last.span },
            (None, None) => Span { file: crate::FileId::default(), begin: 0, end: 0 },
        }
    }

    fn found(&self) -> String {
        match self.next().map(|token| &token.kind) {
            Some(Kind::Word(word)) => format!("`{}`", shown_word(word)),
            Some(Kind::Quoted(_)) => "a text in quotes".to_owned(),
            Some(Kind::Sign(sign)) => format!("`{}`", char::from(*sign)),
            None => "the end of the line".to_owned(),
        }
    }

    pub(super) fn unexpected<T>(&mut self, expected: &str) -> Parsed<T> {
        let help = self.next_word().and_then(|word| {
            let known = KEYWORDS.contains(&word);
            did_you_mean(word, KEYWORDS.iter().copied()).filter(|_| !known)
        });
        let message = format!("expected {expected}, found {}", self.found());
        self.diagnostics.add(Severity::Error, self.span(), message, help);
        Err(Failed)
    }

    pub(super) fn refuse<T>(&mut self, span: Span, message: impl Into<String>) -> Parsed<T> {
        self.diagnostics.error(span, message);
        Err(Failed)
    }

    fn accept(&mut self, word: &str) -> bool {
        let is_next = self.next_word() == Some(word);
        self.at = self.at.saturating_add(usize::from(is_next));
        is_next
    }

    fn accept_sign(&mut self, sign: u8) -> bool {
        let is_next = self.next().is_some_and(|token| token.kind == Kind::Sign(sign));
        self.at = self.at.saturating_add(usize::from(is_next));
        is_next
    }

    /// Consumes a word, or a text in quotes.
    pub(super) fn word(&mut self, expected: &str) -> Parsed<(String, Span)> {
        let span = self.span();
        let word = match self.next().map(|token| &token.kind) {
            Some(Kind::Word(word)) => Some(word.clone()),
            Some(Kind::Quoted(text)) => core::str::from_utf8(text).ok().map(ToOwned::to_owned),
            _ => None,
        };
        match word {
            Some(word) => {
                self.at = self.at.saturating_add(1);
                Ok((word, span))
            }
            None => self.unexpected(expected),
        }
    }

    /// Consumes a text in quotes, or a word.
    fn text(&mut self, expected: &str) -> Parsed<(Vec<u8>, Span)> {
        let span = self.span();
        let text = match self.next().map(|token| &token.kind) {
            Some(Kind::Word(word)) => word.clone().into_bytes(),
            Some(Kind::Quoted(octets)) => octets.clone(),
            _ => return self.unexpected(expected),
        };
        self.at = self.at.saturating_add(1);
        Ok((text, span))
    }

    fn keyword(&mut self, word: &str) -> Parsed<()> {
        if self.accept(word) { Ok(()) } else { self.unexpected(&format!("`{word}`")) }
    }

    /// Consumes one of the words of a table, if it is next.
    fn accept_of<T: Copy>(&mut self, table: &[(&str, T)]) -> Option<T> {
        let word = self.next_word()?;
        let value = table.iter().find(|row| row.0 == word).map(|row| row.1)?;
        self.at = self.at.saturating_add(1);
        Some(value)
    }

    /// Consumes one of the words of a table.
    fn choice<T: Copy>(&mut self, what: &str, table: &[(&str, T)]) -> Parsed<T> {
        if let Some(value) = self.accept_of(table) {
            return Ok(value);
        }
        let names: Vec<&str> = table.iter().map(|row| row.0).collect();
        let help = self.next_word().and_then(|word| did_you_mean(word, names.iter().copied()));
        let message = format!("expected {what}: {}, found {}", alternatives(&names), self.found());
        self.diagnostics.add(Severity::Error, self.span(), message, help);
        Err(Failed)
    }

    fn end(&mut self) -> Parsed<()> {
        if self.next().is_none() { Ok(()) } else { self.unexpected("the end of the line") }
    }

    fn rule(&mut self) -> Parsed<RuleKind> {
        if self.accept("ike") {
            return self.ike().map(RuleKind::Ike);
        }
        if self.accept("flow") {
            return self.flow().map(RuleKind::Flow);
        }
        if let Some(protocol) = self.accept_of(SA_TYPES) {
            return self.manual(protocol).map(RuleKind::Sa);
        }
        let help = self.next_word().and_then(|word| {
            let is_part = KEYWORDS.contains(&word);
            let help = "a rule of several lines has a backslash at the end of each line but the last".to_owned();
            did_you_mean(word, RULES.iter().copied()).or(is_part.then_some(help))
        });
        let message = format!("expected a rule: {}, found {}", alternatives(RULES), self.found());
        self.diagnostics.add(Severity::Error, self.span(), message, help);
        Err(Failed)
    }

    fn ike(&mut self) -> Parsed<Ike> {
        let begin = self.span();
        let modes = [("passive", IkeMode::Passive), ("active", IkeMode::Active), ("dynamic", IkeMode::Dynamic)];
        let mode = self.accept_of(&modes).unwrap_or(IkeMode::Active);
        let at = self.span();
        let protocol = self.accept_of(SA_TYPES).unwrap_or(SaType::Esp);
        if !matches!(protocol, SaType::Esp | SaType::Ah) {
            return self.refuse(at, "expected `esp` or `ah`: other SAs are not negotiated by isakmpd(8)");
        }
        let is_tunnel = self.accept_of(&[("tunnel", true), ("transport", false)]).unwrap_or(true);
        let hosts = self.hosts()?;
        let peers = self.peers()?;
        let is_aggressive = self.next_word() == Some("aggressive");
        let has_phase_1 = self.accept_of(&[("main", ()), ("aggressive", ())]).is_some();
        let phase_1 = if has_phase_1 { self.phase(true)? } else { Phase::default() };
        let phase_2 = if self.accept("quick") { self.phase(false)? } else { Phase::default() };
        let (srcid, dstid) = self.ids()?;
        let srcid = if srcid.is_none() && mode == IkeMode::Dynamic { self.host_name(begin) } else { srcid };
        let key = if self.accept("psk") {
            let (key, span) = self.text("a pre-shared key in quotes")?;
            Some((Zeroizing::new(key), span))
        } else {
            self.accept_of(&[("rsa", ()), ("ecdsa", ())]);
            None
        };
        self.tag()?;
        let at = self.span();
        if self.accept("interface") {
            let text = "`interface` is not implemented: the packets of a policy are found by their addresses";
            return self.refuse(at, text);
        }
        Ok(Ike { mode, protocol, is_tunnel, hosts, peers, phase_1, is_aggressive, phase_2, srcid, dstid, key })
    }

    fn flow(&mut self) -> Parsed<Flow> {
        let protocol = self.accept_of(SA_TYPES).unwrap_or(SaType::Esp);
        let directions = [("in", PolicyDirection::In), ("out", PolicyDirection::Out)];
        let direction = self.accept_of(&directions);
        let hosts = self.hosts()?;
        let peers = self.peers()?;
        self.ids()?;
        let kinds = [
            ("use", FlowKind::Use),
            ("acquire", FlowKind::Acquire),
            ("require", FlowKind::Require),
            ("dontacq", FlowKind::DontAcquire),
            ("bypass", FlowKind::Bypass),
            ("deny", FlowKind::Deny),
        ];
        let default = if protocol == SaType::Ipcomp { FlowKind::Use } else { FlowKind::Require };
        let kind = if self.accept("type") { self.choice("a flow type", &kinds)? } else { default };
        Ok(Flow { protocol, direction, hosts, peers, kind })
    }

    /// Parses an optional `tag`, which has no effect.
    fn tag(&mut self) -> Parsed<()> {
        if self.accept("tag") {
            let (_, span) = self.text("a tag in quotes")?;
            self.diagnostics.warning(span, "`tag` has no effect: there is no packet filter that reads it");
        }
        Ok(())
    }

    /// Returns the name of this host, which is the identity of a rule `dynamic` without `srcid`.
    fn host_name(&mut self, span: Span) -> Option<Named> {
        let text = HOST_NAME_FILES.iter().find_map(|path| self.files.read(Path::new(path)).ok());
        let name = text.and_then(|text| String::from_utf8(text).ok()).map(|name| name.trim().to_owned());
        let name = name.filter(|name| !name.is_empty());
        if name.is_none() {
            let text =
                "the name of this host, the identity of `dynamic`, is not known: its address is sent without `srcid`";
            self.diagnostics.warning(span, text);
        }
        name.map(|name| (name, span))
    }

    fn ids(&mut self) -> Parsed<(Option<Named>, Option<Named>)> {
        let id = |word: &str, own: &mut Self| -> Parsed<Option<Named>> {
            if !own.accept(word) {
                return Ok(None);
            }
            let (text, span) = own.text("an identity")?;
            match String::from_utf8(text) {
                Ok(text) => Ok(Some((text, span))),
                Err(_) => own.refuse(span, "expected an identity in UTF-8"),
            }
        };
        let srcid = id("srcid", self)?;
        let dstid = id("dstid", self)?;
        Ok((srcid, dstid))
    }
}
