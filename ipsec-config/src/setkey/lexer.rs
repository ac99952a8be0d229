use core::net::IpAddr;

use super::error::{Fault, SetkeyErrorKind};
use super::values::{Family, HostNames, address};
use crate::lexer::{self, LexicalError, LexicalErrorKind, Lexis, TokenKind};

/// Token of a configuration text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Characters between blanks, quotes, semicolons and comments.
    Word(&'a str),
    /// Octets between quotes, of any value.
    Quoted(&'a [u8]),
    /// End of a statement.
    Semicolon,
    /// End of the text.
    End,
}

/// Lexical rules of setkey(8).
const LEXIS: Lexis =
    Lexis { signs: b";", block_comments: false, line_ends: false, one_line_strings: false, escapes: false };

/// Lexer of configuration texts with the position of the last token.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    lexer: lexer::Lexer<'a>,
    /// Offset of the beginning of the last token.
    begin: usize,
    /// Resolver of host names.
    names: Option<&'a dyn HostNames>,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        let lexer = lexer::Lexer::new(text, &LEXIS);
        Self { lexer, begin: lexer.end(), names: None }
    }

    pub(super) const fn with_names(self, names: &'a dyn HostNames) -> Self {
        Self { names: Some(names), ..self }
    }

    /// Returns an address that is numeric, or the first one of a host name if there is a resolver.
    pub(super) fn address(&self, text: &str, family: Family) -> Option<IpAddr> {
        address(text, family).or_else(|| self.names?.resolve(text, family))
    }

    /// Returns an error at the last token.
    pub(super) const fn error(&self, found: &'a str, kind: SetkeyErrorKind) -> Fault<'a> {
        Fault { at: self.begin, found, kind }
    }

    /// Returns an error at an offset.
    pub(super) const fn error_at(&self, at: usize, found: &'a str, kind: SetkeyErrorKind) -> Fault<'a> {
        let _ = self;
        Fault { at, found, kind }
    }

    /// Returns the offset of the last token.
    pub(super) const fn position(&self) -> usize {
        self.begin
    }

    /// Moves to the end of the text.
    pub(super) const fn finish(&mut self) {
        self.begin = self.text().len();
        self.lexer.move_to(self.begin);
    }

    /// Returns the whole text.
    pub(super) const fn text(&self) -> &'a [u8] {
        self.lexer.text()
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, Fault<'a>> {
        match self.lexer.next() {
            Ok(token) => {
                self.begin = token.begin;
                Ok(match token.kind {
                    TokenKind::Word(word) => Token::Word(word),
                    TokenKind::Quoted(quoted) => Token::Quoted(quoted),
                    TokenKind::Sign(_) => Token::Semicolon,
                    // The end of a line is a blank in this language.
                    TokenKind::LineEnd | TokenKind::End => Token::End,
                })
            }
            Err(LexicalError { kind, begin, .. }) => {
                self.begin = begin;
                Err(self.error(
                    "",
                    match kind {
                        LexicalErrorKind::NotUtf8 => SetkeyErrorKind::NotUtf8,
                        LexicalErrorKind::Unterminated | LexicalErrorKind::UnterminatedComment => {
                            SetkeyErrorKind::Unterminated
                        }
                    },
                ))
            }
        }
    }

    /// Returns the next token without consuming it.
    pub(super) fn peek(&self) -> Result<Token<'a>, Fault<'a>> {
        self.clone().next()
    }

    /// Extends the last word by the words after it, blanks included, as long as `belongs` accepts the last word and
    /// the next.
    pub(super) fn join_words(&mut self, word: &'a str, belongs: impl Fn(&str, &str) -> bool) -> &'a str {
        let (begin, mut last) = (self.begin, word);
        loop {
            let mut ahead = self.clone();
            match ahead.next() {
                // The last word so far ends at the current offset.
                Ok(Token::Word(next)) if belongs(last, next) => {
                    *self = Self { begin, ..ahead };
                    last = next;
                }
                _ => break,
            }
        }
        // Words with a comment between them are not a term; the comment need not be UTF-8.
        let joined = self.text().get(begin..self.lexer.end()).unwrap_or_default();
        core::str::from_utf8(joined).unwrap_or_default()
    }

    /// Skips the rest of the statement and its semicolon.
    pub(super) fn recover(&mut self) {
        loop {
            // Behind an unterminated string no statement can be recognized: it extends to the end of the text.
            if let Ok(Token::Semicolon | Token::End) = self.next() {
                return;
            }
        }
    }
}
