//! Statements outside of blocks, and the blocks of settings of the process.

use std::borrow::ToOwned;
use std::collections::{HashMap, HashSet};
use std::format;
use std::path::Path;

use super::mode_cfg::{MODE_CFG, mode_cfg};
use super::names::LOG_LEVELS;
use super::sainfo::SainfoName;
use super::syntax::{AdminSocket, Listen, LogLevel, Padding, Privsep, RacoonConf, RemoteName};
use super::values::set;
use super::{remote, sainfo};
use crate::blocks::{Parsed, Parser, Scope};
use crate::diagnostic::shown_word;
use crate::files::relative_to;
use crate::lexer::TokenKind;
use crate::secret::Secrets;
use crate::{Diagnostics, FileId, Files, Sources, Span};

/// Statements outside of blocks.
pub(super) const TOP: Scope<'_> = Scope {
    name: "racoon.conf",
    statements: &[
        "path",
        "include",
        "privsep",
        "log",
        "padding",
        "listen",
        "timer",
        "complex_bundle",
        "mode_cfg",
        "remote",
        "sainfo",
        "gss_id_enc",
        "pfkey_buffer",
        "ldapcfg",
        "ldap_cfg",
        "radiuscfg",
        "radius_cfg",
    ],
    outer: None,
    elsewhere: BLOCKS,
};

/// Blocks with their statements, for messages about a statement that is in the wrong block.
pub(super) const BLOCKS: &[(&str, &[&str])] = &[
    ("proposal", remote::PROPOSAL),
    ("sainfo", sainfo::STATEMENTS),
    ("remote", remote::STATEMENTS),
    ("timer", TIMER),
    ("padding", PADDING),
    ("listen", LISTEN),
    ("privsep", PRIVSEP),
    ("mode_cfg", MODE_CFG),
];

const PADDING: &[&str] = &["randomize", "randomize_length", "maximum_length", "strict_check", "exclusive_tail"];
const TIMER: &[&str] = &["counter", "interval", "persend", "phase1", "phase2", "natt_keepalive"];
const LISTEN: &[&str] = &["isakmp", "isakmp_natt", "adminsock", "admin", "strict_address"];
const PRIVSEP: &[&str] = &["user", "group", "chroot"];
const PATHS: &[(&str, u8)] = &[
    ("include", 0),
    ("pre_shared_key", 1),
    ("certificate", 2),
    ("script", 3),
    ("backupsa", 4),
    ("pidfile", 5),
    ("xauth", 6),
];

/// Depth to which files may include others.
const MAX_DEPTH: usize = 10;

/// Blocks that were read, by the values that must differ between them.
#[derive(Default)]
pub(super) struct Known {
    /// Indices of the statements `remote`.
    pub remotes: HashMap<RemoteName, usize>,
    /// Identities of the statements `sainfo`.
    pub sainfos: HashSet<SainfoName>,
}

/// Inputs and outputs of the parser of a file.
pub(super) struct Reader<'r> {
    pub files: &'r dyn Files,
    pub sources: &'r mut Sources,
    pub diagnostics: &'r mut Diagnostics,
    pub conf: RacoonConf,
    known: Known,
    depth: usize,
    /// Directory of the first file, which others are relative to.
    directory: Option<std::path::PathBuf>,
}

impl<'r> Reader<'r> {
    pub fn new(files: &'r dyn Files, sources: &'r mut Sources, diagnostics: &'r mut Diagnostics, name: &Path) -> Self {
        let directory = name.parent().map(Path::to_owned);
        let conf = RacoonConf { directory: directory.clone(), ..RacoonConf::default() };
        let known = Known::default();
        Self { files, sources, diagnostics, conf, known, depth: 0, directory }
    }

    /// Reads the statements of a file.
    pub fn read(&mut self, file: FileId) {
        let text = self.sources.shared_text(file);
        let mut found = Diagnostics::default();
        let mut parser = Parser::new(&text, file, &mut found);
        parser.file(&TOP, &mut |parser, word, span| self.statement(parser, word, span));
        // Those of included files precede those of the rest of this file.
        self.diagnostics.append(found);
    }

    fn statement(&mut self, parser: &mut Parser<'_, '_>, word: &str, span: Span) -> Parsed<()> {
        match word {
            "path" => self.path(parser),
            "include" => self.include(parser),
            "log" => {
                let found = parser.found();
                let (level, at) = parser.choice("a level of messages", LOG_LEVELS)?;
                if matches!(found.as_str(), "`debug3`" | "`debug4`") {
                    parser.diagnostics.warning(at, format!("{found} is an obsolete keyword and means `debug2`"));
                }
                set(parser, &mut self.conf.log, word, span, level);
                if level >= LogLevel::Debug {
                    parser.diagnostics.warning(at, "the level has no effect here: option -d of the daemon sets it");
                }
                parser.end(&TOP)
            }
            "complex_bundle" => {
                let value = parser.boolean()?;
                set(parser, &mut self.conf.complex_bundle, word, span, value);
                if !value {
                    let text = "`complex_bundle off` has no effect here: bundles are proposed as policies require them";
                    parser.diagnostics.warning(span, text);
                }
                parser.end(&TOP)
            }
            "gss_id_enc" | "pfkey_buffer" => {
                parser.word("a value")?;
                parser.diagnostics.warning(span, format!("`{word}` is not implemented and has no effect"));
                parser.end(&TOP)
            }
            "padding" => {
                let padding = padding(parser, span)?;
                set(parser, &mut self.conf.padding, word, span, padding);
                let text =
                    "`padding` has no effect here: IKE messages are padded with zeros, and any padding is accepted";
                parser.diagnostics.warning(span, text);
                Ok(())
            }
            "timer" => self.timer(parser, span),
            "listen" => {
                let mut listen = self.conf.listen.take().unwrap_or_default();
                let parsed = listen_block(parser, span, &mut listen);
                self.conf.listen = Some(listen);
                parsed
            }
            "privsep" => {
                let privsep = privsep(parser, span)?;
                set(parser, &mut self.conf.privsep, word, span, privsep);
                if self.conf.privsep.as_ref().is_some_and(|own| own.chroot.is_some()) {
                    let text = "`chroot` has no effect here: the process without privileges opens no files";
                    parser.diagnostics.warning(span, text);
                }
                Ok(())
            }
            "mode_cfg" => {
                let mode_cfg = mode_cfg(parser, span)?;
                set(parser, &mut self.conf.mode_cfg, word, span, mode_cfg);
                Ok(())
            }
            "remote" => remote::parse(parser, span, &mut self.conf, &mut self.known.remotes),
            "sainfo" => sainfo::parse(parser, span, &mut self.conf, &mut self.known.sainfos),
            // The blocks of other back ends of extended authentication, whose use is refused elsewhere.
            _ => {
                let text = format!(
                    "`{word}` has no effect: `auth_source system` with `path xauth` is the only source of users"
                );
                parser.diagnostics.warning(span, text);
                skip_block(parser)
            }
        }
    }

    fn path(&mut self, parser: &mut Parser<'_, '_>) -> Parsed<()> {
        let (kind, span) = parser.choice("a path type", PATHS)?;
        let (name, _) = parser.text("a file or directory name")?;
        let paths = &mut self.conf.paths;
        let slots = [
            &mut paths.include,
            &mut paths.pre_shared_key,
            &mut paths.certificate,
            &mut paths.script,
            &mut paths.backupsa,
            &mut paths.pidfile,
            &mut paths.xauth,
        ];
        let mut slots = slots.into_iter();
        if let Some(slot) = slots.nth(usize::from(kind)) {
            *slot = Some(name);
        }
        let instead = match kind {
            4 => Some("`path backupsa` has no effect here: SAs are not written to a file"),
            5 => Some("`path pidfile` has no effect here: the number of the process is not written to a file"),
            _ => None,
        };
        instead.into_iter().for_each(|text| parser.diagnostics.warning(span, text));
        parser.end(&TOP)
    }

    fn include(&mut self, parser: &mut Parser<'_, '_>) -> Parsed<()> {
        let (pattern, span) = parser.text("a file name")?;
        parser.end(&TOP)?;
        let include = self.conf.paths.include.as_ref();
        let base =
            include.map(|name| relative_to(self.directory.as_deref(), name).into()).or_else(|| self.directory.clone());
        let pattern = relative_to(base.as_deref(), &pattern);
        if self.depth >= MAX_DEPTH {
            return parser.refuse(span, format!("`include` is nested too deeply: expected at most {MAX_DEPTH} levels"));
        }
        let names = self.files.expand(Path::new(&pattern));
        if names.is_empty() {
            // racoon refuses it, too.
            return parser.refuse(span, format!("no file matches {}", shown_word(&pattern)));
        }
        for name in names {
            match self.files.read(&name) {
                Ok(text) => {
                    let file = self.sources.add(name.to_string_lossy(), text, Secrets::Racoon);
                    self.depth = self.depth.saturating_add(1);
                    self.read(file);
                    self.depth = self.depth.saturating_sub(1);
                }
                Err(e) => parser.diagnostics.error(span, format!("{}: {e}", name.display())),
            }
        }
        Ok(())
    }

    fn timer(&mut self, parser: &mut Parser<'_, '_>, span: Span) -> Parsed<()> {
        let scope = Scope { name: "timer", statements: TIMER, outer: Some(&TOP), elsewhere: BLOCKS };
        let timer = &mut self.conf.timer;
        parser.block(&scope, span, &mut |parser, word, span| {
            let (slot, value) = match word {
                "counter" => (&mut timer.counter, parser.number("a number of transmissions", 1..=100)?),
                "persend" => (&mut timer.persend, parser.number("a number of copies", 1..=3)?),
                "interval" => (&mut timer.interval, parser.seconds(1)?),
                "phase1" => (&mut timer.phase1, parser.seconds(1)?),
                "phase2" => (&mut timer.phase2, parser.seconds(1)?),
                _ => (&mut timer.natt_keepalive, parser.seconds(0)?),
            };
            set(parser, slot, word, span, value);
            if word == "persend" && value > 1 {
                parser.diagnostics.warning(span, "`persend` has no effect here: each message is sent once");
            }
            parser.end(&scope)
        })
    }
}

fn padding(parser: &mut Parser<'_, '_>, span: Span) -> Parsed<Padding> {
    let scope = Scope { name: "padding", statements: PADDING, outer: Some(&TOP), elsewhere: BLOCKS };
    let mut padding = Padding::default();
    parser.block(&scope, span, &mut |parser, word, span| {
        if word == "maximum_length" {
            let value = parser.number("a number of octets", 0..=255)?;
            set(parser, &mut padding.maximum_length, word, span, value);
            return parser.end(&scope);
        }
        let value = parser.boolean()?;
        let slot = match word {
            "randomize" => &mut padding.randomize,
            "randomize_length" => &mut padding.randomize_length,
            "strict_check" => &mut padding.strict_check,
            _ => &mut padding.exclusive_tail,
        };
        set(parser, slot, word, span, value);
        parser.end(&scope)
    })?;
    Ok(padding)
}

fn listen_block(parser: &mut Parser<'_, '_>, span: Span, listen: &mut Listen) -> Parsed<()> {
    let scope = Scope { name: "listen", statements: LISTEN, outer: Some(&TOP), elsewhere: BLOCKS };
    parser.block(&scope, span, &mut |parser, word, span| {
        match word {
            "isakmp" | "isakmp_natt" => {
                let address = (parser.address()?.0, parser.port()?);
                if word == "isakmp" { listen.isakmp.push(address) } else { listen.isakmp_natt.push(address) }
            }
            "adminsock" if parser.accept("disabled") => listen.adminsock = Some(None),
            "adminsock" => {
                let text = "`adminsock` has no effect here: `control` of gateway.conf names the control socket";
                parser.diagnostics.warning(span, text);
                let path = parser.text("a socket path")?.0;
                let mut socket = AdminSocket { path, user: None, group: None, mode: None };
                if let TokenKind::Quoted(_) = parser.next.kind {
                    socket.user = Some(parser.text("a user name")?.0);
                    socket.group = Some(parser.text("a group name")?.0);
                    let (word, span) = parser.word("the mode of the socket, an octal number as 0600")?;
                    let mode = u32::from_str_radix(word, 8).ok().filter(|mode| *mode <= 0o777);
                    if mode.is_none() {
                        let text = format!(
                            "expected the mode of the socket, an octal number as 0600, found `{}`",
                            shown_word(word)
                        );
                        return parser.refuse(span, text);
                    }
                    socket.mode = mode;
                }
                listen.adminsock = Some(Some(socket));
            }
            "admin" => {
                parser.diagnostics.warning(span, "`admin` is an obsolete keyword and has no effect");
                if parser.next.kind == TokenKind::Sign(b'[') {
                    parser.port().map(drop)?
                } else {
                    parser.address().map(drop)?
                }
            }
            _ => listen.strict_address = true,
        }
        parser.end(&scope)
    })
}

fn privsep(parser: &mut Parser<'_, '_>, span: Span) -> Parsed<Privsep> {
    let scope = Scope { name: "privsep", statements: PRIVSEP, outer: Some(&TOP), elsewhere: BLOCKS };
    let mut privsep = Privsep::default();
    parser.block(&scope, span, &mut |parser, word, _| {
        let value = match parser.next.kind {
            TokenKind::Word(number) if word != "chroot" && number.bytes().all(|digit| digit.is_ascii_digit()) => {
                parser.advance();
                number.to_owned()
            }
            _ => parser.text("a name")?.0,
        };
        let slot = match word {
            "user" => &mut privsep.user,
            "group" => &mut privsep.group,
            _ => &mut privsep.chroot,
        };
        *slot = Some(value);
        parser.end(&scope)
    })?;
    Ok(privsep)
}

/// Skips a block whose contents have no meaning here.
fn skip_block(parser: &mut Parser<'_, '_>) -> Parsed<()> {
    // `ldapcfg` may have a name.
    if let TokenKind::Quoted(_) = parser.next.kind {
        parser.advance();
    }
    if !parser.accept_sign(b'{') {
        return parser.unexpected("`{`");
    }
    while !matches!(parser.next.kind, TokenKind::Sign(b'}') | TokenKind::End) {
        parser.advance();
    }
    if parser.accept_sign(b'}') { Ok(()) } else { parser.unexpected("`}`") }
}
