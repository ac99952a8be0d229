//! Lexer of the configuration languages. What differs between them is in [`Lexis`].

/// Lexical rules of a language.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexis {
    /// Octets that are tokens of their own.
    pub signs: &'static [u8],
    /// Set if `/*` and `*/` enclose comments.
    pub block_comments: bool,
    /// Set if the end of a line is a token. A backslash in front of it joins the line with the next one, also within a
    /// comment.
    pub line_ends: bool,
    /// Set if a quoted string ends in the line in which it begins.
    pub one_line_strings: bool,
    /// Set if `'` begins a quoted string, too, and a backslash in a string takes the meaning from a quote and from the
    /// end of a line.
    pub escapes: bool,
}

/// Token of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind<'a> {
    /// Characters between blanks, quotes, signs and comments.
    Word(&'a str),
    /// Octets between quotes, of any value but the quote.
    Quoted(&'a [u8]),
    /// One of the signs of the language.
    Sign(u8),
    /// End of a line.
    LineEnd,
    /// End of the text.
    End,
}

/// Token with its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// Kind and value of the token.
    pub kind: TokenKind<'a>,
    /// Offset of its first octet.
    pub begin: usize,
    /// Offset after its last octet.
    pub end: usize,
}

/// Octets that are not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LexicalError {
    /// Reason of the error.
    pub kind: LexicalErrorKind,
    /// Offset of the first octet.
    pub begin: usize,
    /// Offset after the octets.
    pub end: usize,
}

/// Reason why octets are not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LexicalErrorKind {
    /// A quoted string has no closing quote.
    Unterminated,
    /// A comment has no closing `*/`.
    UnterminatedComment,
    /// A word is not UTF-8.
    NotUtf8,
}

/// Lexer of a text. Comments extend from `#` to the end of their line. Comments and quoted strings may contain any
/// octets; the rest is UTF-8.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    lexis: &'static Lexis,
    /// Offset after the last token.
    end: usize,
}

/// Byte order mark that some editors write in front of a text.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl<'a> Lexer<'a> {
    pub(crate) const fn new(text: &'a [u8], lexis: &'static Lexis) -> Self {
        let end = if let Some((&BYTE_ORDER_MARK, _)) = text.split_first_chunk() { BYTE_ORDER_MARK.len() } else { 0 };
        Self { text, lexis, end }
    }

    /// Returns the whole text.
    pub(crate) const fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Returns the offset after the last token.
    pub(crate) const fn end(&self) -> usize {
        self.end
    }

    /// Continues at an offset.
    pub(crate) const fn move_to(&mut self, offset: usize) {
        self.end = offset;
    }

    /// Returns the next token. Behind an error, the next call continues with the octets after it.
    pub(crate) fn next(&mut self) -> Result<Token<'a>, LexicalError> {
        let begin = self.behind_blanks()?;
        let rest = self.rest(begin);
        let token = |kind, length: usize| Ok(Token { kind, begin, end: begin.saturating_add(length) });
        let read = match rest.first() {
            // An error about a missing token has the position after the last token, not that of a later line.
            None => Ok(Token { kind: TokenKind::End, begin: self.end, end: self.end }),
            Some(b'\n') => token(TokenKind::LineEnd, 1),
            Some(b'"') => self.quoted(begin, b'"'),
            Some(b'\'') if self.lexis.escapes => self.quoted(begin, b'\''),
            Some(sign) if self.lexis.signs.contains(sign) => token(TokenKind::Sign(*sign), 1),
            Some(_) => self.word(begin),
        };
        self.end = match &read {
            Ok(token) => token.end,
            Err(error) => error.end,
        };
        read
    }

    fn quoted(&self, begin: usize, quote: u8) -> Result<Token<'a>, LexicalError> {
        let inside = self.rest(begin.saturating_add(1));
        let mut is_escaped = false;
        let ends = |octet: &u8| {
            let was_escaped = is_escaped;
            is_escaped = self.lexis.escapes && *octet == b'\\' && !was_escaped;
            !was_escaped && (*octet == quote || (self.lexis.one_line_strings && *octet == b'\n'))
        };
        let length = inside.iter().position(ends).unwrap_or(inside.len());
        let end = begin.saturating_add(length).saturating_add(1);
        match (inside.get(..length), inside.get(length)) {
            (Some(quoted), Some(octet)) if *octet == quote => {
                Ok(Token { kind: TokenKind::Quoted(quoted), begin, end: end.saturating_add(1) })
            }
            _ => Err(LexicalError { kind: LexicalErrorKind::Unterminated, begin, end: end.min(self.text.len()) }),
        }
    }

    fn word(&self, begin: usize) -> Result<Token<'a>, LexicalError> {
        let rest = self.rest(begin);
        let ends = |at: usize| {
            let here = rest.get(at..).unwrap_or_default();
            let is_end =
                |octet| is_blank(octet) || matches!(octet, b'"' | b'#' | b'\n') || self.lexis.signs.contains(&octet);
            here.first().is_none_or(|octet| is_end(*octet) || (self.lexis.escapes && *octet == b'\''))
                || (self.lexis.block_comments && here.starts_with(b"/*"))
                || (self.lexis.line_ends && joined_line(here).is_some())
        };
        // A word has at least one octet.
        let length = (1..rest.len()).find(|at| ends(*at)).unwrap_or(rest.len());
        let end = begin.saturating_add(length);
        match core::str::from_utf8(rest.get(..length).unwrap_or_default()) {
            Ok(word) => Ok(Token { kind: TokenKind::Word(word), begin, end }),
            Err(_) => Err(LexicalError { kind: LexicalErrorKind::NotUtf8, begin, end }),
        }
    }

    /// Returns the offset of the next octet that is neither a blank nor in a comment.
    fn behind_blanks(&mut self) -> Result<usize, LexicalError> {
        let mut at = self.end;
        loop {
            let rest = self.rest(at);
            let skipped = match rest.first() {
                Some(b'\n') if !self.lexis.line_ends => 1,
                Some(octet) if is_blank(*octet) => 1,
                Some(b'#') => self.comment(rest),
                Some(b'\\') if self.lexis.line_ends => match joined_line(rest) {
                    Some(length) => length,
                    None => return Ok(at),
                },
                Some(b'/') if self.lexis.block_comments && rest.starts_with(b"/*") => {
                    match rest.windows(2).skip(2).position(|pair| pair == b"*/") {
                        Some(inside) => inside.saturating_add(4),
                        None => {
                            self.end = self.text.len();
                            let end = at.saturating_add(2);
                            return Err(LexicalError { kind: LexicalErrorKind::UnterminatedComment, begin: at, end });
                        }
                    }
                }
                _ => return Ok(at),
            };
            at = at.saturating_add(skipped);
        }
    }

    /// Returns the number of octets of a comment up to the end of its line, or of the lines joined with it.
    fn comment(&self, rest: &[u8]) -> usize {
        let ends = |at: usize| {
            rest.get(at) == Some(&b'\n')
                && !(self.lexis.line_ends && at.checked_sub(1).is_some_and(|at| rest.get(at) == Some(&b'\\')))
        };
        (0..rest.len()).find(|at| ends(*at)).unwrap_or(rest.len())
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.text.get(at..).unwrap_or_default()
    }
}

/// Returns the number of octets up to the next line if a backslash joins it.
fn joined_line(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\\', b'\n', ..] => Some(2),
        [b'\\', b'\r', b'\n', ..] => Some(3),
        _ => None,
    }
}

/// Returns whether an octet separates words. The end of a line does too.
const fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}
