//! Words, strings and punctuation of gateway.conf, with their positions.

use super::error::{ConfigError, Location};

/// Token of a configuration text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'t> {
    /// Kind and contents of the token.
    pub kind: TokenKind<'t>,
    /// Position of its first character.
    pub at: Location,
}

/// Kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind<'t> {
    /// Keyword, name, number or address.
    Word(&'t str),
    /// Text between two quotes, without them. It contains no line feed.
    Text(&'t str),
    /// One of `{`, `}`, `[`, `]` and `;`.
    Sign(char),
    /// End of the configuration text.
    End,
}

/// Splits a configuration text into tokens.
pub struct Lexer<'t> {
    rest: &'t str,
    at: Location,
}

impl<'t> Lexer<'t> {
    /// Begins with the first line of a text.
    pub const fn new(text: &'t str) -> Self {
        Self { rest: text, at: Location { line: 1, column: 1 } }
    }

    /// Returns the next token.
    ///
    /// # Errors
    /// [`ConfigError`] for a string without a closing quote on its line.
    pub fn next(&mut self) -> Result<Token<'t>, ConfigError> {
        self.skip_blanks();
        let at = self.at;
        let kind = match self.rest.chars().next() {
            None => TokenKind::End,
            Some(sign) if is_sign(sign) => {
                self.take(sign.len_utf8());
                TokenKind::Sign(sign)
            }
            Some('"') => {
                self.take(1);
                let length = self.rest.find(['"', '\n']).unwrap_or(self.rest.len());
                let text = self.take(length);
                if !self.rest.starts_with('"') {
                    return Err(ConfigError::expected(at, text, "a closing quote on the same line"));
                }
                self.take(1);
                TokenKind::Text(text)
            }
            Some(_) => {
                let ends = |c: char| c.is_whitespace() || is_sign(c) || matches!(c, '"' | '#');
                let length = self.rest.find(ends).unwrap_or(self.rest.len());
                TokenKind::Word(self.take(length))
            }
        };
        Ok(Token { kind, at })
    }

    /// Skips blanks, line feeds, and comments from `#` to the end of the line.
    fn skip_blanks(&mut self) {
        loop {
            let blanks = self.rest.len() - self.rest.trim_start().len();
            self.take(blanks);
            if !self.rest.starts_with('#') {
                return;
            }
            let comment = self.rest.find('\n').unwrap_or(self.rest.len());
            self.take(comment);
        }
    }

    /// Removes this many octets from the front and counts their lines and columns.
    fn take(&mut self, octets: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(octets);
        for c in taken.chars() {
            self.at = match c {
                '\n' => Location { line: self.at.line.saturating_add(1), column: 1 },
                _ => Location { column: self.at.column.saturating_add(1), ..self.at },
            };
        }
        self.rest = rest;
        taken
    }
}

const fn is_sign(c: char) -> bool {
    matches!(c, '{' | '}' | '[' | ']' | ';')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind<'_>> {
        let mut lexer = Lexer::new(text);
        let tokens = std::iter::from_fn(|| Some(lexer.next().unwrap().kind));
        tokens.take_while(|kind| *kind != TokenKind::End).collect()
    }

    #[test]
    fn signs_separate_words() {
        use TokenKind::{Sign, Text, Word};
        let expected = [Word("local"), Word("192.0.2.1"), Sign('['), Word("500"), Sign(']'), Sign(';'), Text("a # b")];
        assert_eq!(kinds("# comment\nlocal 192.0.2.1[500]; # comment\n\"a # b\""), expected);
    }

    #[test]
    fn positions_are_counted_in_characters() {
        let mut lexer = Lexer::new("\"ä\" b\n\t c");
        let places: Vec<_> = (0..3).map(|_| lexer.next().unwrap().at).map(|at| (at.line, at.column)).collect();
        assert_eq!(places, [(1, 1), (1, 5), (2, 3)]);
    }

    #[test]
    fn a_string_ends_on_its_line() {
        let error = Lexer::new("\n \"psk.txt\n\"").next().unwrap_err();
        assert_eq!(error.to_string(), "line 2, column 2: found `psk.txt`, expected a closing quote on the same line");
    }
}
