//! Keys in setkey.conf, ipsec.conf(5) and texts of ip-xfrm(8): quoted strings, and words after the name of an algorithm
//! or after `psk`.

use std::vec::Vec;

use super::{MIN_KEY, is_joined, is_key_like};

/// Words whose next word is a key, and words with a name between them and a key.
const BEFORE_KEY: [&[u8]; 3] = [b"psk", b"authkey", b"enckey"];
const BEFORE_NAME: [&[u8]; 6] = [b"-A", b"-E", b"auth-trunc", b"auth", b"enc", b"aead"];
/// Words of ipsec.conf(5) and ip-xfrm(8) that may follow the name of an algorithm in place of a key.
const AFTER_NAME: [&[u8]; 11] = [
    b"aggressive",
    b"authkey",
    b"auth-trunc",
    b"bytes",
    b"dstid",
    b"enckey",
    b"group",
    b"lifetime",
    b"quick",
    b"replay-window",
    b"srcid",
];
/// Word of ipsec.conf(5) between `authkey` or `enckey` and the name of a file.
const FILE: &[u8] = b"file";
/// Number of octets from which a word in the place of the name of an algorithm is masked: names are shorter.
const MIN_KEY_AS_NAME: usize = 24;
/// Number of hexadecimal digits without `0x` from which a word is a whole key, and not the first word of a passphrase.
const MIN_WHOLE_KEY: usize = 16;

/// Ranges of octets from the first one to the one after the last.
type Ranges = Vec<(usize, usize)>;

/// Returns the ranges of keys in a line, without regard to comments and to the lines before it.
pub(super) fn find_in_line(line: &[u8]) -> Ranges {
    let rules = Rules { line_ends: false, has_comments: false, escapes: false };
    let Found { mut ranges, first_key } = find(line, rules);
    if line.contains(&b'\\') {
        ranges.extend(find(line, Rules { escapes: true, ..rules }).ranges);
    }
    // With a quote missing, it is not known which texts are in quotes.
    for quote in [b'"', b'\''] {
        let count = line.iter().filter(|octet| **octet == quote).count();
        let first = line.iter().position(|octet| *octet == quote).unwrap_or(line.len());
        if count & 1 == 1 {
            ranges.push((first_key.unwrap_or(first).min(first), line.len()));
        }
    }
    ranges
}

/// Returns the ranges of keys in several lines. `line_ends` is set if the end of a line without a backslash ends a
/// statement and a quoted string.
pub(super) fn find_in_lines(text: &[u8], line_ends: bool) -> Ranges {
    let rules = Rules { line_ends, has_comments: true, escapes: false };
    let mut ranges = find(text, rules).ranges;
    if text.contains(&b'\\') {
        ranges.extend(find(text, Rules { escapes: true, ..rules }).ranges);
    }
    ranges
}

/// Lexical rules of a language with keys.
#[derive(Clone, Copy)]
struct Rules {
    line_ends: bool,
    /// Set if `#` begins a comment.
    has_comments: bool,
    /// Set if a backslash in a quoted string takes the meaning from a quote.
    escapes: bool,
}

/// Keys of a text.
struct Found {
    ranges: Ranges,
    /// Offset after the first words that precede a key.
    first_key: Option<usize>,
}

fn find(text: &[u8], rules: Rules) -> Found {
    let mut found = Found { ranges: Vec::new(), first_key: None };
    let mut last: [&[u8]; 2] = [b"", b""];
    // Behind a key without quotes, the words up to the end of the statement may belong to it.
    let mut is_inside = false;
    let mut at = 0_usize;
    while let Some((octet, behind)) = text.get(at..).and_then(<[u8]>::split_first) {
        let length = match octet {
            b'\n' => {
                if rules.line_ends && !is_joined_line(text, at) {
                    last = [b"", b""];
                    is_inside = false;
                }
                1
            }
            b';' => {
                is_inside &= behind.first().is_some_and(|octet| !octet.is_ascii_whitespace());
                1
            }
            b'#' if rules.has_comments => {
                let ends =
                    |end: &usize| text.get(*end) == Some(&b'\n') && !(rules.line_ends && is_joined_line(text, *end));
                (at..text.len()).find(ends).unwrap_or(text.len()).saturating_sub(at)
            }
            b'=' => 1,
            octet if octet.is_ascii_whitespace() => 1,
            quote @ (b'"' | b'\'') => {
                let begin = at.saturating_add(1);
                let (length, is_closed) = quoted(text, begin, *quote, rules);
                found.ranges.push((begin, begin.saturating_add(length)));
                last = [last[1], b"\""];
                length.saturating_add(1).saturating_add(usize::from(is_closed))
            }
            _ => {
                let is_end = |octet: &u8| {
                    octet.is_ascii_whitespace()
                        || matches!(octet, b';' | b'=' | b'"' | b'\'')
                        || (rules.has_comments && *octet == b'#')
                };
                let length = behind.iter().position(is_end).unwrap_or(behind.len()).saturating_add(1);
                let end = at.saturating_add(length);
                let word = text.get(at..end).unwrap_or_default();
                let is_key = word != FILE
                    && (BEFORE_KEY.contains(&last[1])
                        || (BEFORE_NAME.contains(&last[0]) && length >= MIN_KEY && !AFTER_NAME.contains(&word)));
                let is_name = BEFORE_NAME.contains(&last[1]);
                let is_long = is_name && length >= MIN_KEY_AS_NAME;
                if is_key || is_inside || is_long || is_joined(text, at, length) || is_key_like(word) {
                    found.ranges.push((at, end));
                }
                is_inside |= is_key && !is_whole_key(word);
                found.first_key = found.first_key.or((BEFORE_KEY.contains(&word) || is_name).then_some(end));
                last = [last[1], word];
                length
            }
        };
        at = at.saturating_add(length);
    }
    found
}

/// Returns the length of the text in quotes that begins at an offset, and whether it has a closing quote.
fn quoted(text: &[u8], begin: usize, quote: u8, rules: Rules) -> (usize, bool) {
    let inside = text.get(begin..).unwrap_or_default();
    let mut is_escaped = false;
    for (length, octet) in inside.iter().enumerate() {
        let was_escaped = is_escaped;
        is_escaped = rules.escapes && *octet == b'\\' && !was_escaped;
        if *octet == quote && !was_escaped {
            return (length, true);
        }
        if *octet == b'\n' && rules.line_ends && !is_joined_line(text, begin.saturating_add(length)) {
            return (length, false);
        }
    }
    (inside.len(), false)
}

/// Returns whether a backslash joins the line that ends at an offset with the next one.
fn is_joined_line(text: &[u8], end: usize) -> bool {
    matches!(text.get(..end), Some([.., b'\\'] | [.., b'\\', b'\r']))
}

/// Returns whether a word is a whole key: a passphrase without quotes may have further words.
fn is_whole_key(word: &[u8]) -> bool {
    word.starts_with(b"0x") || (word.len() >= MIN_WHOLE_KEY && word.iter().all(u8::is_ascii_hexdigit))
}
