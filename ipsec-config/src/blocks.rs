//! Parser of languages with statements that end in `;` and blocks in braces: racoon.conf(5) and gateway.conf.

mod recovery;

use std::borrow::ToOwned;
use std::format;
use std::string::String;

use crate::diagnostic::{Diagnostics, FileId, Span, alternatives, did_you_mean, shown_word};
use crate::lexer::{Lexer, LexicalErrorKind, Lexis, Token, TokenKind};

/// Lexical rules of racoon.conf(5).
pub(crate) const LEXIS: Lexis =
    Lexis { signs: b"{};,[]=", block_comments: true, line_ends: false, one_line_strings: true, escapes: false };

/// The statement was reported as wrong; its remaining tokens are to be skipped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed;

/// Result of a parser.
pub(crate) type Parsed<T> = Result<T, Failed>;

/// Statements that a block may contain, and those of the blocks around it.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'s> {
    /// Name of the block, for messages.
    pub name: &'s str,
    /// Names of its statements.
    pub statements: &'s [&'s str],
    /// Scope of the block that contains it.
    pub outer: Option<&'s Scope<'s>>,
    /// Statements of the other blocks, with the names of the blocks.
    pub elsewhere: &'s [(&'s str, &'s [&'s str])],
}

impl Scope<'_> {
    fn has(&self, word: &str) -> bool {
        self.statements.contains(&word)
    }

    /// Returns whether a statement exists in a block around this one.
    fn is_outer(&self, word: &str) -> bool {
        self.outer.is_some_and(|outer| outer.has(word) || outer.is_outer(word))
    }
}

/// Closing brace that probably belongs to another block than the one it closed.
struct Suspect {
    brace: Span,
    block: String,
    opened: Span,
}

/// Parser with one token of lookahead, which reports errors and continues after them.
pub(crate) struct Parser<'t, 'd> {
    lexer: Lexer<'t>,
    file: FileId,
    /// Token that is consumed next.
    pub next: Token<'t>,
    /// Offset after the last token that was consumed.
    after: usize,
    /// Set after a text without a closing quote, which may contain the `;` of its statement.
    is_cut: bool,
    /// Brace that closed a block and stands further left than the beginning of the block.
    suspect: Option<Suspect>,
    /// Errors and warnings about the text.
    pub diagnostics: &'d mut Diagnostics,
}

impl<'t, 'd> Parser<'t, 'd> {
    pub fn new(text: &'t [u8], file: FileId, diagnostics: &'d mut Diagnostics) -> Self {
        let next = Token { kind: TokenKind::End, begin: 0, end: 0 };
        let mut parser =
            Self { lexer: Lexer::new(text, &LEXIS), file, next, after: 0, is_cut: false, suspect: None, diagnostics };
        parser.advance();
        parser.after = 0;
        parser
    }

    /// Consumes the next token. Octets that are not a token are reported and left out.
    pub fn advance(&mut self) {
        self.after = self.next.end;
        loop {
            match self.lexer.next() {
                // The lexer of racoon skips characters that it does not know.
                Ok(Token { kind: TokenKind::Sign(b'='), begin, end }) => {
                    let span = Span { file: self.file, begin, end };
                    self.diagnostics.warning(span, "`=` is not part of the language and is ignored");
                }
                Ok(token) => {
                    self.next = token;
                    return;
                }
                Err(error) => {
                    let span = Span { file: self.file, begin: error.begin, end: error.end };
                    match error.kind {
                        LexicalErrorKind::Unterminated => {
                            self.diagnostics
                                .error(span, "expected `\"` at the end of the text, found the end of the line");
                            // What there is of the text is a token, so that it is not reported as missing.
                            self.is_cut = true;
                            self.next = Token { kind: TokenKind::Quoted(b""), begin: error.begin, end: error.end };
                            return;
                        }
                        LexicalErrorKind::UnterminatedComment => {
                            self.diagnostics
                                .error(span, "expected `*/` at the end of the comment, found the end of the file");
                        }
                        LexicalErrorKind::NotUtf8 => {
                            self.diagnostics.error(span, "expected a word, found octets that are not UTF-8");
                        }
                    }
                }
            }
        }
    }

    /// Returns the span of the next token.
    pub fn span(&self) -> Span {
        Span { file: self.file, begin: self.next.begin, end: self.next.end }
    }

    /// Returns the span from a token to the last one that was consumed.
    pub fn span_from(&self, first: Span) -> Span {
        Span { end: self.after.max(first.begin), ..first }
    }

    /// Returns the place after the last token that was consumed, where something is missing.
    fn gap(&self) -> Span {
        Span { file: self.file, begin: self.after, end: self.after }
    }

    fn follows_quote(&self) -> bool {
        self.next.begin.checked_sub(1).and_then(|at| self.lexer.text().get(at)) == Some(&b'"')
    }

    /// Returns the next token for a message.
    pub fn found(&self) -> String {
        match self.next.kind {
            // It may be a key with a quote too many.
            TokenKind::Word(_) if self.follows_quote() => "a word directly after a quote".to_owned(),
            TokenKind::Word(word) => format!("`{}`", shown_word(word)),
            // The text may be a key.
            TokenKind::Quoted(_) => "a text in quotes".to_owned(),
            TokenKind::Sign(sign) => format!("`{}`", char::from(sign)),
            TokenKind::LineEnd | TokenKind::End => "the end of the file".to_owned(),
        }
    }

    /// Reports that something else was expected than the next token.
    pub fn unexpected<T>(&mut self, expected: &str) -> Parsed<T> {
        let message = format!("expected {expected}, found {}", self.found());
        self.diagnostics.error(self.span(), message);
        Err(Failed)
    }

    /// Reports an error about a word that was consumed.
    pub fn refuse<T>(&mut self, span: Span, message: impl Into<String>) -> Parsed<T> {
        self.diagnostics.error(span, message);
        Err(Failed)
    }

    /// Consumes a sign, if it is next.
    pub fn accept_sign(&mut self, sign: u8) -> bool {
        let is_next = self.next.kind == TokenKind::Sign(sign);
        if is_next {
            self.advance();
        }
        is_next
    }

    /// Consumes a word, if it is next.
    pub fn accept(&mut self, word: &str) -> bool {
        let is_next = self.next.kind == TokenKind::Word(word);
        if is_next {
            self.advance();
        }
        is_next
    }

    /// Consumes a word, which messages call `expected`.
    pub fn word(&mut self, expected: &str) -> Parsed<(&'t str, Span)> {
        match self.next.kind {
            TokenKind::Word(word) => {
                let span = self.span();
                self.advance();
                Ok((word, span))
            }
            _ => self.unexpected(expected),
        }
    }

    /// Consumes a text in quotes.
    pub fn text(&mut self, expected: &str) -> Parsed<(String, Span)> {
        match self.next.kind {
            TokenKind::Quoted(text) => {
                let span = self.span();
                self.advance();
                match core::str::from_utf8(text) {
                    Ok(text) => Ok((text.to_owned(), span)),
                    Err(_) => self.refuse(span, format!("expected {expected} in UTF-8")),
                }
            }
            TokenKind::Word(word) => {
                let message = format!("expected {expected} in quotes, found `{}`", shown_word(word));
                let span = self.span();
                self.diagnostics.error_with_help(span, message, format!("write \"{}\"", shown_word(word)));
                Err(Failed)
            }
            _ => self.unexpected(&format!("{expected} in quotes")),
        }
    }

    /// Consumes one of the words of a table and returns its value.
    pub fn choice<T: Copy>(&mut self, what: &str, table: &[(&str, T)]) -> Parsed<(T, Span)> {
        let (word, span) = match self.next.kind {
            TokenKind::Word(word) => (word, self.span()),
            _ => {
                let names: std::vec::Vec<_> = table.iter().map(|row| row.0).collect();
                return self.unexpected(&format!("{what}: {}", alternatives(&names)));
            }
        };
        let found = table.iter().find(|row| row.0 == word).map(|row| row.1);
        match found {
            Some(value) => {
                self.advance();
                Ok((value, span))
            }
            None => {
                let names: std::vec::Vec<_> = table.iter().map(|row| row.0).collect();
                let message = format!("expected {what}: {}, found `{}`", alternatives(&names), shown_word(word));
                let help = did_you_mean(word, names.iter().copied());
                self.diagnostics.add(crate::Severity::Error, span, message, help);
                Err(Failed)
            }
        }
    }

    /// Consumes a number within limits, decimal or hexadecimal.
    pub fn number(&mut self, what: &str, limits: core::ops::RangeInclusive<u64>) -> Parsed<u64> {
        let expected = format!("{what} from {} to {}", limits.start(), limits.end());
        let (word, span) = self.word(&expected)?;
        match number(word).filter(|number| limits.contains(number)) {
            Some(number) => Ok(number),
            None => self.refuse(span, format!("expected {expected}, found `{}`", shown_word(word))),
        }
    }

    /// Consumes the `;` of a statement. If it is missing, and the next word begins a statement of the block, that
    /// statement is parsed as if the `;` were there.
    pub fn end(&mut self, scope: &Scope<'_>) -> Parsed<()> {
        if self.accept_sign(b';') || core::mem::take(&mut self.is_cut) {
            return Ok(());
        }
        let message = format!("expected `;` after {}, found {}", self.last_word(), self.found());
        match self.next.kind {
            TokenKind::Word(word) if scope.has(word) || scope.is_outer(word) => {
                self.diagnostics.error(self.gap(), message);
                Ok(())
            }
            TokenKind::Sign(b'}') | TokenKind::End => {
                self.diagnostics.error(self.gap(), message);
                Ok(())
            }
            _ => self.refuse(self.span(), message),
        }
    }

    /// Returns the last token that was consumed, for a message.
    fn last_word(&self) -> String {
        let before = self.lexer.text().get(..self.after).unwrap_or_default();
        if before.ends_with(b"\"") {
            return "the text in quotes".to_owned();
        }
        let is_end = |octet: &u8| octet.is_ascii_whitespace() || LEXIS.signs.contains(octet);
        let last = before.len().saturating_sub(1);
        let begin =
            before.get(..last).unwrap_or_default().iter().rposition(is_end).map_or(0, |at| at.saturating_add(1));
        format!("`{}`", shown_word(&String::from_utf8_lossy(before.get(begin..).unwrap_or_default())))
    }

    /// Parses a block with its braces. `one` parses a statement after its name, up to and with its `;`.
    pub fn block(
        &mut self,
        scope: &Scope<'_>,
        opened: Span,
        one: &mut dyn FnMut(&mut Self, &'t str, Span) -> Parsed<()>,
    ) -> Parsed<()> {
        if !self.accept_sign(b'{') {
            let message = format!("expected `{{` after {}, found {}", self.last_word(), self.found());
            self.diagnostics.error(self.gap(), message);
            match self.next.kind {
                // The statements of the block follow: they are parsed as if the brace were there.
                TokenKind::Word(word) if scope.has(word) => {}
                _ => return Err(Failed),
            }
        }
        loop {
            match self.next.kind {
                TokenKind::Sign(b'}') => {
                    let is_left = |parser: &Self| {
                        let (own, block) = (parser.indent(parser.next.begin), parser.indent(opened.begin));
                        own.zip(block).is_some_and(|(own, block)| own < block)
                    };
                    if self.suspect.is_none() && is_left(self) {
                        let block = scope.name.to_owned();
                        self.suspect = Some(Suspect { brace: self.span(), block, opened });
                    }
                    self.advance();
                    return Ok(());
                }
                TokenKind::End => {
                    let message =
                        format!("expected `}}` at the end of the block `{}`, found the end of the file", scope.name);
                    self.unclosed(scope, opened, message);
                    return Ok(());
                }
                TokenKind::Word(word) if scope.has(word) => {
                    let span = self.span();
                    self.advance();
                    if one(self, word, span).is_err() {
                        self.recover(scope);
                    }
                }
                TokenKind::Word(word) if scope.is_outer(word) => {
                    let message = format!("expected `}}` at the end of the block `{}`, found `{word}`", scope.name);
                    self.unclosed(scope, opened, message);
                    return Ok(());
                }
                _ => {
                    self.unknown(scope);
                    self.recover(scope);
                }
            }
        }
    }

    /// Parses the statements up to the end of the file.
    pub fn file(&mut self, scope: &Scope<'_>, one: &mut dyn FnMut(&mut Self, &'t str, Span) -> Parsed<()>) {
        loop {
            match self.next.kind {
                TokenKind::End => return,
                TokenKind::Word(word) if scope.has(word) => {
                    let span = self.span();
                    self.advance();
                    if one(self, word, span).is_err() {
                        self.recover(scope);
                    }
                }
                TokenKind::Sign(b'}') => {
                    self.diagnostics.error(self.span(), "expected a statement, found `}`: no block is open");
                    self.advance();
                }
                _ => {
                    self.unknown(scope);
                    self.recover(scope);
                }
            }
        }
    }
}

/// Parses a decimal number, or a hexadecimal one after `0x`.
pub(crate) fn number(word: &str) -> Option<u64> {
    let (digits, base) = match word.strip_prefix("0x").or(word.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (word, 10),
    };
    u64::from_str_radix(digits, base).ok().filter(|_| !digits.starts_with('+'))
}
