use super::error::{SetkeyError, SetkeyErrorKind};

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Anything between blanks, quotes, semicolons and comments.
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
    text: &'a str,
    /// Where the piece taken last begins.
    begin: usize,
    /// Where it ends.
    end: usize,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, begin: 0, end: 0 }
    }

    /// An error about the piece taken last.
    pub(super) fn error(&self, found: &'a str, kind: SetkeyErrorKind) -> SetkeyError<'a> {
        self.error_at(self.begin, found, kind)
    }

    /// An error about what begins there.
    pub(super) fn error_at(&self, begin: usize, found: &'a str, kind: SetkeyErrorKind) -> SetkeyError<'a> {
        let before = self.text.get(..begin).unwrap_or(self.text);
        let (lines, column) = before.chars().fold((0u32, 0u32), |(lines, column), c| match c {
            '\n' => (lines.saturating_add(1), 0),
            _ => (lines, column.saturating_add(1)),
        });
        SetkeyError { line: lines.saturating_add(1), column: column.saturating_add(1), found, kind }
    }

    /// Where the piece taken last begins.
    pub(super) const fn position(&self) -> usize {
        self.begin
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, SetkeyError<'a>> {
        let begin = self.behind_blanks();
        let rest = self.text.get(begin..).unwrap_or_default();
        let Some(first) = rest.chars().next() else {
            // What is missing at the end is missing where the text ends, not lines below it.
            self.begin = self.end;
            return Ok(Token::End);
        };
        self.begin = begin;
        match first {
            ';' => {
                self.end = begin.saturating_add(1);
                Ok(Token::Semicolon)
            }
            '"' => {
                let inside = rest.get(1..).unwrap_or_default();
                let quoted = inside.find(['"', '\n']).and_then(|end| inside.split_at_checked(end));
                match quoted.filter(|(_, rest)| rest.starts_with('"')) {
                    Some((text, _)) => {
                        self.end = begin.saturating_add(text.len()).saturating_add(2);
                        Ok(Token::Quoted(text))
                    }
                    None => Err(self.error("", SetkeyErrorKind::Unterminated)),
                }
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || matches!(c, ';' | '"' | '#');
                let word = rest.find(ends).and_then(|end| rest.get(..end)).unwrap_or(rest);
                self.end = begin.saturating_add(word.len());
                Ok(Token::Word(word))
            }
        }
    }

    /// The next piece, which stays.
    pub(super) fn peek(&self) -> Result<Token<'a>, SetkeyError<'a>> {
        self.clone().next()
    }

    /// Takes the words that belong to the one taken last, blanks between them included, as long as `belongs` says so of
    /// what there is and what follows.
    pub(super) fn glue(&mut self, word: &'a str, belongs: impl Fn(&str, &str) -> bool) -> &'a str {
        let (begin, mut glued) = (self.begin, word);
        loop {
            let mut ahead = self.clone();
            match ahead.next() {
                Ok(Token::Word(next)) if belongs(glued, next) => {
                    *self = Self { begin, ..ahead };
                    glued = self.text.get(begin..self.end).unwrap_or(glued);
                }
                _ => return glued,
            }
        }
    }

    /// Skips to behind the next semicolon.
    pub(super) fn recover(&mut self) {
        loop {
            match self.next() {
                Ok(Token::Semicolon | Token::End) => return,
                Ok(_) => {}
                // Past a string that is never closed there is no telling what is text.
                Err(_) => self.end = self.text.len(),
            }
        }
    }

    fn behind_blanks(&self) -> usize {
        let mut at = self.end;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            at = at.saturating_add(rest.len().saturating_sub(rest.trim_start().len()));
            let rest = rest.trim_start();
            if !rest.starts_with('#') {
                return at;
            }
            at = at.saturating_add(rest.find(['\n']).unwrap_or(rest.len()));
        }
    }
}
