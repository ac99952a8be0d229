use super::error::{Fault, SetkeyErrorKind};

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Anything between blanks, quotes, semicolons and comments.
    Word(&'a str),
    /// What stands between quotes: any octets.
    Quoted(&'a [u8]),
    /// The end of a statement.
    Semicolon,
    /// The end of the text.
    End,
}

/// Takes a text apart. Comments reach from `#` to the end of their line. Comments and quoted strings may hold any octets, everything
/// else is UTF-8.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    /// Where the piece taken last begins.
    begin: usize,
    /// Where it ends.
    end: usize,
}

/// The byte order mark that some editors put in front of a text.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        let end = if let Some((&BYTE_ORDER_MARK, _)) = text.split_first_chunk() { BYTE_ORDER_MARK.len() } else { 0 };
        Self { text, begin: end, end }
    }

    /// An error about the piece taken last.
    pub(super) const fn error(&self, found: &'a str, kind: SetkeyErrorKind) -> Fault<'a> {
        Fault { at: self.begin, found, kind }
    }

    /// An error about what begins there.
    pub(super) const fn error_at(&self, at: usize, found: &'a str, kind: SetkeyErrorKind) -> Fault<'a> {
        let _ = self;
        Fault { at, found, kind }
    }

    /// Where the piece taken last begins.
    pub(super) const fn position(&self) -> usize {
        self.begin
    }

    /// Goes to the end of the text.
    pub(super) const fn finish(&mut self) {
        (self.begin, self.end) = (self.text.len(), self.text.len());
    }

    /// The text.
    pub(super) const fn text(&self) -> &'a [u8] {
        self.text
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, Fault<'a>> {
        let begin = self.behind_blanks();
        let rest = self.text.get(begin..).unwrap_or_default();
        let Some(first) = rest.first() else {
            // What is missing at the end is missing where the text ends, not lines below it.
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
                core::str::from_utf8(word).map(Token::Word).map_err(|_| self.error("", SetkeyErrorKind::NotText))
            }
        }
    }

    /// The next piece, which stays.
    pub(super) fn peek(&self) -> Result<Token<'a>, Fault<'a>> {
        self.clone().next()
    }

    /// Takes the words that belong to the one taken last, blanks between them included, as long as `belongs` says so of
    /// what there is and what follows.
    pub(super) fn glue(&mut self, word: &'a str, belongs: impl Fn(&str, &str) -> bool) -> &'a str {
        let (begin, mut last) = (self.begin, word);
        loop {
            let mut ahead = self.clone();
            match ahead.next() {
                // The end of what there is, is the end of the last word of it.
                Ok(Token::Word(next)) if belongs(last, next) => {
                    *self = Self { begin, ..ahead };
                    last = next;
                }
                _ => break,
            }
        }
        // A comment between the words makes them no term, and need not be text.
        let glued = self.text.get(begin..self.end).unwrap_or_default();
        core::str::from_utf8(glued).unwrap_or_default()
    }

    /// Skips to behind the next semicolon.
    pub(super) fn recover(&mut self) {
        loop {
            match self.next() {
                Ok(Token::Semicolon | Token::End) => return,
                Ok(_) => {}
                Err(Fault { kind: SetkeyErrorKind::NotText, .. }) => {}
                // Past a string that is never closed there is no telling what is text.
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
