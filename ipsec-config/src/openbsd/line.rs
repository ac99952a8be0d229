//! Lines of ipsec.conf(5): tokens, macros and included files.

use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

use super::parser;
use super::syntax::Rule;
use crate::diagnostic::{did_you_mean, shown_word};
use crate::files::relative_to;
use crate::lexer::{Lexer, LexicalErrorKind, Lexis, TokenKind};
use crate::secret::Secrets;
use crate::{Diagnostics, FileId, Files, Severity, Sources, Span};

/// Lexical rules of ipsec.conf(5).
const LEXIS: Lexis =
    Lexis { signs: b"{},=()", block_comments: false, line_ends: true, one_line_strings: true, escapes: true };

/// Depth to which files may contain others.
const MAX_DEPTH: usize = 16;
/// Length in octets of the value of a macro.
const MAX_VALUE: usize = 8095;
/// Number of tokens of a line with all macros.
const MAX_TOKENS: usize = 10_000;

/// Token of a line, with macros replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word(String),
    Quoted(Vec<u8>),
    Sign(u8),
}

/// Token with its place; one of a macro has the place of the macro's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Span,
}

/// Reader of a file and of the files that it includes.
pub(super) struct Reader<'r> {
    pub files: &'r dyn Files,
    sources: &'r mut Sources,
    pub diagnostics: &'r mut Diagnostics,
    pub rules: Vec<Rule>,
    macros: BTreeMap<String, Vec<u8>>,
    directory: Option<PathBuf>,
    depth: usize,
}

impl<'r> Reader<'r> {
    pub fn new(files: &'r dyn Files, path: &Path, sources: &'r mut Sources, diagnostics: &'r mut Diagnostics) -> Self {
        let directory = path.parent().map(Path::to_owned);
        Self { files, sources, diagnostics, rules: Vec::new(), macros: BTreeMap::new(), directory, depth: 0 }
    }

    /// Reads the rules of a file.
    pub fn read(&mut self, file: FileId) {
        let text = self.sources.shared_text(file);
        let mut lexer = Lexer::new(&text, &LEXIS);
        loop {
            let mut line: Vec<Token> = Vec::new();
            let mut is_valid = true;
            let is_last = loop {
                match lexer.next() {
                    Ok(token) => {
                        let span = Span { file, begin: token.begin, end: token.end };
                        let kind = match token.kind {
                            TokenKind::Word(word) => Kind::Word(word.to_owned()),
                            TokenKind::Quoted(octets) => Kind::Quoted(unescaped(octets)),
                            TokenKind::Sign(sign) => Kind::Sign(sign),
                            TokenKind::LineEnd => break false,
                            TokenKind::End => break true,
                        };
                        line.push(Token { kind, span });
                    }
                    Err(error) => {
                        let span = Span { file, begin: error.begin, end: error.end };
                        self.diagnostics.error(
                            span,
                            match error.kind {
                                LexicalErrorKind::NotUtf8 => "expected a word, found octets that are not UTF-8",
                                _ => "expected `\"` at the end of the text, found the end of the line",
                            },
                        );
                        is_valid = false;
                    }
                }
            };
            if is_valid && !line.is_empty() {
                self.line(line);
            }
            if is_last {
                return;
            }
        }
    }

    fn line(&mut self, line: Vec<Token>) {
        if let [Token { kind: Kind::Word(name), span }, Token { kind: Kind::Sign(b'='), .. }, value @ ..] =
            line.as_slice()
        {
            return self.define(name, *span, value);
        }
        if let [Token { kind: Kind::Word(name), span }, rest @ ..] = line.as_slice()
            && name == "include"
        {
            return self.include(*span, rest);
        }
        let mut tokens = Vec::new();
        if self.expand(line, &mut tokens, 0) {
            self.rules.extend(parser::rule(tokens, self.files, self.diagnostics));
        }
    }

    fn define(&mut self, name: &str, span: Span, value: &[Token]) {
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name || parser::is_keyword(name) {
            return self.diagnostics.error(span, format!("expected a macro name, found `{}`", shown_word(name)));
        }
        let mut text: Vec<u8> = Vec::new();
        for token in value {
            let part = match &token.kind {
                Kind::Word(word) if word.starts_with('$') => {
                    let (name, after) = macro_name(word);
                    match self.value(name, token.span) {
                        Some(value) => [value.as_slice(), after.as_bytes()].concat(),
                        None => return,
                    }
                }
                Kind::Word(word) => word.clone().into_bytes(),
                Kind::Quoted(octets) => octets.clone(),
                Kind::Sign(sign) => {
                    let text = format!("expected a value in quotes, found `{}`", char::from(*sign));
                    return self.diagnostics.error(token.span, text);
                }
            };
            if !text.is_empty() {
                text.push(b' ');
            }
            text.extend_from_slice(&part);
        }
        if value.is_empty() {
            let end = Span { begin: span.end, ..span };
            return self
                .diagnostics
                .error(end, format!("expected a value of the macro `{name}`, found the end of the line"));
        }
        if text.len() > MAX_VALUE {
            return self.diagnostics.error(span, format!("expected a value of at most {MAX_VALUE} octets"));
        }
        self.macros.insert(name.to_owned(), text);
    }

    /// Returns the value of a macro.
    fn value(&mut self, name: &str, span: Span) -> Option<Vec<u8>> {
        let value = self.macros.get(name).cloned();
        if value.is_none() {
            let names = self.macros.keys().map(String::as_str).take_while(|_| self.diagnostics.suggests());
            let help = did_you_mean(name, names).map(|help| help.replace('`', "`$").replacen("`$?", "`?", 1));
            self.diagnostics.add(Severity::Error, span, format!("macro `{}` is not defined", shown_word(name)), help);
        }
        value
    }

    /// Replaces the macros of a line. Returns `false` if one is unknown, which is reported.
    fn expand(&mut self, line: Vec<Token>, tokens: &mut Vec<Token>, depth: u8) -> bool {
        for token in line {
            let span = token.span;
            let mut after = String::new();
            let value = match &token.kind {
                Kind::Word(word) if word.starts_with('$') => {
                    let (name, rest) = macro_name(word);
                    rest.clone_into(&mut after);
                    self.value(name, span)
                }
                _ => {
                    tokens.push(token);
                    continue;
                }
            };
            let Some(value) = value else { return false };
            if depth > 0 {
                let text =
                    "macros are not replaced in quotes: define the other macro without quotes, as `net = $other`";
                self.diagnostics.error(span, text);
                return false;
            }
            if tokens.len() >= MAX_TOKENS {
                self.diagnostics.error(span, format!("expected at most {MAX_TOKENS} words in a rule"));
                return false;
            }
            let mut lexer = Lexer::new(&value, &LEXIS);
            let mut inner = Vec::new();
            while let Ok(token) = lexer.next() {
                let kind = match token.kind {
                    TokenKind::Word(word) => Kind::Word(word.to_string()),
                    TokenKind::Quoted(octets) => Kind::Quoted(unescaped(octets)),
                    TokenKind::Sign(sign) => Kind::Sign(sign),
                    TokenKind::LineEnd => continue,
                    TokenKind::End => break,
                };
                inner.push(Token { kind, span });
            }
            if !self.expand(inner, tokens, 1) {
                return false;
            }
            // What follows the name belongs to the last word of the value: `$net/24`.
            match tokens.last_mut() {
                _ if after.is_empty() => {}
                Some(Token { kind: Kind::Word(word), .. }) => word.push_str(&after),
                _ => tokens.push(Token { kind: Kind::Word(after), span }),
            }
        }
        true
    }

    fn include(&mut self, span: Span, rest: &[Token]) {
        let (name, span) = match rest {
            [Token { kind: Kind::Quoted(name), span }] => (String::from_utf8_lossy(name).into_owned(), span),
            [Token { kind: Kind::Word(name), span }] => (name.clone(), span),
            _ => return self.diagnostics.error(span, "expected a file name in quotes after `include`"),
        };
        let name = relative_to(self.directory.as_deref(), &name);
        if self.depth >= MAX_DEPTH {
            return self
                .diagnostics
                .error(*span, format!("`include` is nested too deeply: expected at most {MAX_DEPTH} levels"));
        }
        match self.files.read(Path::new(&name)) {
            Ok(text) => {
                let file = self.sources.add(name, text, Secrets::KeysInLines);
                self.depth = self.depth.saturating_add(1);
                self.read(file);
                self.depth = self.depth.saturating_sub(1);
            }
            Err(e) => self.diagnostics.error(*span, format!("{name}: {e}")),
        }
    }
}

/// Splits a word that begins with `$` into the name of the macro and the rest.
fn macro_name(word: &str) -> (&str, &str) {
    let word = word.strip_prefix('$').unwrap_or(word);
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    word.split_at(word.find(is_end).unwrap_or(word.len()))
}

/// Returns a text in quotes without the backslashes in front of quotes and ends of lines.
fn unescaped(octets: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(octets.len());
    let mut rest = octets.iter().copied().peekable();
    while let Some(octet) = rest.next() {
        match (octet, rest.peek()) {
            (b'\\', Some(b'\n')) => _ = rest.next(),
            (b'\\', Some(quote @ (b'"' | b'\''))) => {
                text.push(*quote);
                rest.next();
            }
            _ => text.push(octet),
        }
    }
    text
}
