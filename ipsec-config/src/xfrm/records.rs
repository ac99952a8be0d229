//! Words of the records: lines of the output, and commands that add an SA or policy.

use std::borrow::ToOwned;
use std::format;
use std::string::String;
use std::vec::Vec;

use crate::diagnostic::shown_word;
use crate::{Diagnostics, FileId, Span};

pub(super) type Word<'t> = (&'t str, Span);

/// Returns the words of the records. A record begins with `src` as the first word of a line, or after the words of a
/// command that adds an SA or policy.
pub(super) fn records<'t>(text: &'t [u8], file: FileId, diagnostics: &mut Diagnostics) -> Vec<Vec<Word<'t>>> {
    let mut records: Vec<Vec<Word<'t>>> = Vec::new();
    let mut begin = 0_usize;
    // In a script, only a backslash joins lines.
    let is_script = text.starts_with(b"#!") || text.split(|octet| *octet == b'\n').any(is_command);
    let mut is_joined = false;
    for line in text.split(|octet| *octet == b'\n') {
        let at = begin;
        begin = begin.saturating_add(line.len()).saturating_add(1);
        let Ok(text) = core::str::from_utf8(line) else {
            let span = Span { file, begin: at, end: at.saturating_add(line.len()) };
            diagnostics.error(span, "expected a line in UTF-8");
            continue;
        };
        let mut words = words(text, file, at);
        if words.first().is_none_or(|(word, _)| word.starts_with('#')) {
            continue;
        }
        let continues = words.pop_if(|(word, _)| *word == "\\").is_some();
        let was_joined = core::mem::replace(&mut is_joined, continues);
        let command = words.iter().position(|(word, _)| *word == "xfrm" || *word == "x");
        match (command, records.last_mut()) {
            _ if words.first().is_some_and(|(word, _)| *word == "src") => records.push(words),
            (_, Some(record)) if was_joined => record.append(&mut words),
            (Some(at), _) if words.iter().take(at).any(|(word, _)| *word == "ip") => {
                let is_add = |word: &str| matches!(word, "add" | "update" | "a");
                let added = words
                    .iter()
                    .skip(at)
                    .position(|(word, _)| is_add(word))
                    .and_then(|more| words.get(at.saturating_add(more).saturating_add(1)..));
                // The other commands remove, or print what follows.
                records.extend(added.map(<[_]>::to_vec));
            }
            _ if is_script => {}
            (_, Some(record)) => record.append(&mut words),
            (_, None) => {
                if let Some((word, span)) = words.first() {
                    let text = format!("expected `src` at the beginning of an SA or policy, found {}", found(word));
                    diagnostics.error(*span, text);
                }
            }
        }
    }
    records
}

/// Returns whether a line is a command that changes SAs or policies.
fn is_command(line: &[u8]) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.any(|word| word == b"ip")
        && words.any(|word| word == b"xfrm" || word == b"x")
        && words.any(|word| matches!(word, b"add" | b"update" | b"a" | b"flush" | b"deleteall"))
}

fn words(line: &str, file: FileId, begin: usize) -> Vec<Word<'_>> {
    let mut at = begin;
    let mut words = Vec::new();
    for part in line.split([' ', '\t', '\r']) {
        if !part.is_empty() {
            words.push((part, Span { file, begin: at, end: at.saturating_add(part.len()) }));
        }
        at = at.saturating_add(part.len()).saturating_add(1);
    }
    words
}

/// Returns a word for a message. One in quotes may be a key.
pub(super) fn found(word: &str) -> String {
    if word.contains(['\'', '"']) { "a text in quotes".to_owned() } else { format!("`{}`", shown_word(word)) }
}
