use super::error::{Fault, SetkeyErrorKind};

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

/// Lexer of configuration texts. Comments extend from `#` to the end of their line. Comments and quoted strings may
/// contain any octets; the rest is UTF-8.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    /// Offset of the beginning of the last token.
    begin: usize,
    /// Offset behind the last token.
    end: usize,
}

/// Byte order mark that some editors write in front of a text.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        let end = if let Some((&BYTE_ORDER_MARK, _)) = text.split_first_chunk() { BYTE_ORDER_MARK.len() } else { 0 };
        Self { text, begin: end, end }
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
        (self.begin, self.end) = (self.text.len(), self.text.len());
    }

    /// Returns the whole text.
    pub(super) const fn text(&self) -> &'a [u8] {
        self.text
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, Fault<'a>> {
        let begin = self.behind_blanks();
        let rest = self.text.get(begin..).unwrap_or_default();
        let Some(first) = rest.first() else {
            // An error about a missing token has the position behind the last token, not that of a later line.
            self.begin = self.end;
            return Ok(Token::End);
        };
        self.begin = begin;
        match first {
            b';' => {
                self.end = begin.saturating_add(1);
                Ok(Token::Semicolon)
            }
            b'"' => {
                let inside = rest.get(1..).unwrap_or_default();
                let quoted = inside.iter().position(|&octet| octet == b'"').and_then(|end| inside.get(..end));
                let quoted = quoted.ok_or(self.error("", SetkeyErrorKind::Unterminated))?;
                self.end = begin.saturating_add(quoted.len()).saturating_add(2);
                Ok(Token::Quoted(quoted))
            }
            _ => {
                let ends = |octet: &u8| is_blank(*octet) || matches!(octet, b';' | b'"' | b'#');
                let word = rest.iter().position(ends).and_then(|end| rest.get(..end)).unwrap_or(rest);
                self.end = begin.saturating_add(word.len());
                core::str::from_utf8(word).map(Token::Word).map_err(|_| self.error("", SetkeyErrorKind::NotUtf8))
            }
        }
    }

    /// Returns the next token without consuming it.
    pub(super) fn peek(&self) -> Result<Token<'a>, Fault<'a>> {
        self.clone().next()
    }

    /// Extends the last word by the words behind it, blanks included, as long as `belongs` accepts the last word and
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
        // Words with a comment between them are no term; the comment need not be UTF-8.
        let glued = self.text.get(begin..self.end).unwrap_or_default();
        core::str::from_utf8(glued).unwrap_or_default()
    }

    /// Skips the rest of the statement and its semicolon.
    pub(super) fn recover(&mut self) {
        loop {
            match self.next() {
                Ok(Token::Semicolon | Token::End) => return,
                Ok(_) => {}
                Err(Fault { kind: SetkeyErrorKind::NotUtf8, .. }) => {}
                // Behind an unterminated string no statement can be recognized.
                Err(_) => self.end = self.text.len(),
            }
        }
    }

    fn behind_blanks(&self) -> usize {
        let mut at = self.end;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            let blanks = rest.iter().take_while(|octet| is_blank(**octet)).count();
            at = at.saturating_add(blanks);
            let rest = rest.get(blanks..).unwrap_or_default();
            if rest.first() != Some(&b'#') {
                return at;
            }
            at = at.saturating_add(rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len()));
        }
    }
}

const fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}
