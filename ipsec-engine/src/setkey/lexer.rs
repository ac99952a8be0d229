use super::error::{SetkeyError, SetkeyErrorKind};

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Anything between blanks, quotes and semicolons.
    Word(&'a str),
    /// What stands between quotes.
    Quoted(&'a str),
    /// The end of a statement.
    Semicolon,
    /// The end of the text.
    End,
}

/// Takes a text apart. Comments reach from `#` to the end of their line.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a str,
    line: u32,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1 }
    }

    /// An error at the current line.
    pub(super) const fn error(&self, found: &'a str, kind: SetkeyErrorKind) -> SetkeyError<'a> {
        SetkeyError { line: self.line, found, kind }
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, SetkeyError<'a>> {
        self.skip_blanks();
        let Some(first) = self.rest.chars().next() else { return Ok(Token::End) };
        match first {
            ';' => {
                self.take(1);
                Ok(Token::Semicolon)
            }
            '"' => {
                self.take(1);
                let Some(end) =
                    self.rest.find(['"', '\n']).filter(|&end| self.rest.get(end..).is_some_and(|r| r.starts_with('"')))
                else {
                    return Err(self.error("", SetkeyErrorKind::Unterminated));
                };
                let text = self.take(end);
                self.take(1);
                Ok(Token::Quoted(text))
            }
            _ => {
                let end =
                    self.rest.find(|c: char| c.is_whitespace() || matches!(c, ';' | '"')).unwrap_or(self.rest.len());
                Ok(Token::Word(self.take(end)))
            }
        }
    }

    /// The next piece, which stays.
    pub(super) fn peek(&self) -> Result<Token<'a>, SetkeyError<'a>> {
        self.clone().next()
    }

    /// Skips to behind the next semicolon.
    pub(super) fn recover(&mut self) {
        loop {
            match self.next() {
                Ok(Token::Semicolon | Token::End) => return,
                Ok(_) => {}
                // Past a string that is never closed there is no telling what is text.
                Err(_) => self.rest = "",
            }
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            let blank = self.rest.len().saturating_sub(self.rest.trim_start().len());
            self.take(blank);
            if !self.rest.starts_with('#') {
                return;
            }
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.take(end);
        }
    }

    fn take(&mut self, octets: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(octets).unwrap_or((self.rest, ""));
        let lines = taken.bytes().filter(|&b| b == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.rest = rest;
        taken
    }
}
