//! Errors in blocks, and the place from which parsing continues.

use std::format;
use std::string::String;

use super::{Parser, Scope, Suspect};
use crate::diagnostic::{Span, did_you_mean};
use crate::lexer::TokenKind;

impl<'t> Parser<'t, '_> {
    pub(super) fn unclosed(&mut self, scope: &Scope<'_>, opened: Span, message: String) {
        if let Some(Suspect { brace, block, opened }) = self.suspect.take() {
            let message = format!("expected `}}` at the end of the block `{block}`, found that of another block");
            let place = (opened, format!("the block `{block}` begins here"));
            return self.diagnostics.error_with_place(brace, message, place);
        }
        let place = (opened, format!("the block `{}` begins here", scope.name));
        self.diagnostics.error_with_place(self.span(), message, place);
    }

    pub(super) fn unknown(&mut self, scope: &Scope<'_>) {
        let (span, found) = (self.span(), self.found());
        let place = if scope.outer.is_some() { format!(" of `{}`", scope.name) } else { String::new() };
        let help = match self.next.kind {
            TokenKind::Word(word) => match scope.elsewhere.iter().find(|row| row.1.contains(&word)) {
                Some((block, _)) => Some(format!("`{word}` is a statement of the block `{block}`")),
                None => did_you_mean(word, scope.statements.iter().copied()),
            },
            _ => None,
        };
        let message = format!("expected a statement{place}, found {found}");
        self.diagnostics.add(crate::Severity::Error, span, message, help);
    }

    /// Skips the rest of a statement: up to its `;`, the end of its block, or a line that begins with a statement.
    pub fn recover(&mut self, scope: &Scope<'_>) {
        self.is_cut = false;
        let mut depth = 0_usize;
        let begin = self.next.begin;
        loop {
            match self.next.kind {
                TokenKind::End => return,
                TokenKind::Sign(b';') if depth == 0 => return self.advance(),
                TokenKind::Sign(b'{') => depth = depth.saturating_add(1),
                TokenKind::Sign(b'}') => match depth.checked_sub(1) {
                    None => return,
                    Some(0) => return self.advance(),
                    Some(less) => depth = less,
                },
                TokenKind::Word(word)
                    if depth == 0
                        && self.next.begin > begin
                        && (scope.has(word) || scope.is_outer(word))
                        && self.is_first_of_line() =>
                {
                    return;
                }
                _ => {}
            }
            self.advance();
        }
    }

    pub(super) fn is_first_of_line(&self) -> bool {
        self.indent(self.next.begin).is_some()
    }

    /// Returns the number of blanks in front of an offset, if there is nothing else in its line.
    pub(super) fn indent(&self, at: usize) -> Option<usize> {
        let before = self.lexer.text().get(..at).unwrap_or_default();
        let mut indent = 0_usize;
        for octet in before.iter().rev().take_while(|octet| **octet != b'\n') {
            indent = indent.checked_add(1).filter(|_| octet.is_ascii_whitespace())?;
        }
        Some(indent)
    }
}
