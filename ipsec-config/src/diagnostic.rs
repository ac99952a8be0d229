//! Diagnostics with file, line and column, the line itself, and a suggestion.

use std::borrow::ToOwned;
use std::fmt;
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

use zeroize::Zeroizing;

use crate::secret::{MaskedLine, Secrets, is_key_like, masked_line};

/// Number of a file in [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(usize);

/// Octets of a file that a statement or a diagnostic is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Number of the file.
    pub file: FileId,
    /// Offset of the first octet.
    pub begin: usize,
    /// Offset after the last octet.
    pub end: usize,
}

/// Contents of the files that were read. They may contain keys and are wiped.
#[derive(Default)]
pub struct Sources {
    files: Vec<Source>,
}

struct Source {
    name: String,
    text: Rc<Zeroizing<Vec<u8>>>,
    secrets: Secrets,
    /// Offsets of the first octets of the lines.
    lines: Vec<usize>,
}

impl Sources {
    /// Creates a collection without files.
    pub const fn new() -> Self {
        Self { files: Vec::new() }
    }

    /// Adds a file and returns its number.
    pub(crate) fn add(&mut self, name: impl Into<String>, text: Vec<u8>, secrets: Secrets) -> FileId {
        let ends = text.iter().enumerate().filter(|(_, octet)| **octet == b'\n').map(|(at, _)| at.saturating_add(1));
        let lines = [0].into_iter().chain(ends).collect();
        self.files.push(Source { name: name.into(), text: Rc::new(Zeroizing::new(text)), secrets, lines });
        FileId(self.files.len().saturating_sub(1))
    }

    /// Returns the number that the next file will have.
    pub(crate) const fn next(&self) -> FileId {
        FileId(self.files.len())
    }

    /// Returns the name of a file.
    pub fn name(&self, file: FileId) -> &str {
        self.files.get(file.0).map_or("", |source| &source.name)
    }

    /// Returns the text of a file.
    pub fn text(&self, file: FileId) -> &[u8] {
        self.files.get(file.0).map_or(&[], |source| &source.text)
    }

    /// Returns the octets of a span.
    fn spanned(&self, span: Span) -> &[u8] {
        self.text(span.file).get(span.begin..span.end).unwrap_or_default()
    }

    /// Returns the text of a file for a parser, which may add other files.
    pub(crate) fn shared_text(&self, file: FileId) -> Rc<Zeroizing<Vec<u8>>> {
        self.files.get(file.0).map(|source| Rc::clone(&source.text)).unwrap_or_default()
    }

    /// Returns line and column of the first octet of a span, both from 1; columns count characters.
    pub fn position(&self, span: Span) -> (usize, usize) {
        let Some(source) = self.files.get(span.file.0) else { return (1, 1) };
        let line = source.lines.partition_point(|start| *start <= span.begin);
        let start = line.checked_sub(1).and_then(|at| source.lines.get(at)).copied().unwrap_or_default();
        let before = source.text.get(start..span.begin.min(source.text.len())).unwrap_or_default();
        (line, characters(before).saturating_add(1))
    }

    /// Returns the offset of a line and column, both from 1.
    pub(crate) fn offset(&self, file: FileId, line: u32, column: u32) -> usize {
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        let Some((text, start, _)) = self.line(file, line) else { return self.text(file).len() };
        let before = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1);
        let octets = text.iter().enumerate().filter(|(_, octet)| !(0x80..=0xbf).contains(*octet)).nth(before);
        start.saturating_add(octets.map_or(text.len(), |(at, _)| at))
    }

    /// Returns the text of a diagnostic: position, message, the line with keys masked, and the suggestion.
    pub fn show<'a>(&'a self, diagnostic: &'a Diagnostic) -> impl fmt::Display + 'a {
        Shown { sources: self, diagnostic }
    }

    /// Returns the line of an offset without its end, and the offset of its first octet.
    fn line(&self, file: FileId, line: usize) -> Option<(&[u8], usize, Secrets)> {
        let source = self.files.get(file.0)?;
        let start = *source.lines.get(line.checked_sub(1)?)?;
        let end = source.lines.get(line).map_or(source.text.len(), |next| next.saturating_sub(1));
        let text = source.text.get(start..end)?;
        Some((text.strip_suffix(b"\r").unwrap_or(text), start, source.secrets))
    }
}

/// Number of lines before one in which the beginning of a key is searched.
const MAX_KEY_LINES: usize = 64;

impl Sources {
    /// Returns a line with its keys masked, and `span` marked in it.
    fn masked(&self, span: Span, line: usize) -> Option<MaskedLine> {
        let (text, start, secrets) = self.line(span.file, line)?;
        let first = if secrets.span_lines() { line.saturating_sub(MAX_KEY_LINES).max(1) } else { line };
        let (_, from, _) = self.line(span.file, first)?;
        let before = start.saturating_sub(from);
        let lines = self.text(span.file).get(from..start.saturating_add(text.len()))?;
        let at = span.begin.saturating_sub(start).min(text.len());
        let length = span.end.saturating_sub(span.begin).min(text.len().saturating_sub(at));
        Some(masked_line(lines, secrets, before, at, length))
    }
}

/// Returns the number of characters. Octets that are not UTF-8 count one each.
fn characters(octets: &[u8]) -> usize {
    octets.utf8_chunks().map(|chunk| chunk.valid().chars().count().saturating_add(chunk.invalid().len())).sum()
}

/// Severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// The configuration is used, and something in it has no effect, or another one than it seems to have.
    Warning,
    /// The configuration is not used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Message about a place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Severity of the message.
    pub severity: Severity,
    /// Octets that the message is about.
    pub span: Span,
    /// Text of the message.
    pub message: String,
    /// Advice to the writer of the file.
    pub help: Option<String>,
    /// Another position that the message is about, with its description.
    pub place: Option<(Span, String)>,
}

/// Number of errors after which names that the file itself defines are no longer suggested.
const MAX_SUGGESTIONS: usize = 100;

/// Diagnostics of all files in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    errors: usize,
}

impl Diagnostics {
    /// Adds an error about a span.
    pub fn error(&mut self, span: Span, message: impl Into<String>) {
        self.add(Severity::Error, span, message.into(), None);
    }

    /// Adds an error with advice.
    pub fn error_with_help(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, span, message.into(), Some(help.into()));
    }

    /// Adds a warning about a span.
    pub fn warning(&mut self, span: Span, message: impl Into<String>) {
        self.add(Severity::Warning, span, message.into(), None);
    }

    /// Adds a diagnostic, unless an error is known at the same place: it is often the cause.
    pub(crate) fn add(&mut self, severity: Severity, span: Span, message: String, help: Option<String>) {
        let is_known = |last: &Diagnostic| last.span.file == span.file && last.span.begin == span.begin;
        let repeats = severity == Severity::Error
            && self.list.last().is_some_and(|last| last.severity == Severity::Error && is_known(last));
        if !repeats {
            self.errors = self.errors.saturating_add(usize::from(severity == Severity::Error));
            self.list.push(Diagnostic { severity, span, message, help, place: None });
        }
    }

    /// Adds an error about two places.
    pub(crate) fn error_with_place(&mut self, span: Span, message: impl Into<String>, place: (Span, String)) {
        let known = self.list.len();
        self.error(span, message);
        if let Some(added) = self.list.get_mut(known) {
            added.place = Some(place);
        }
    }

    /// Adds the diagnostics of a part of the configuration.
    pub(crate) fn append(&mut self, other: Self) {
        self.errors = self.errors.saturating_add(other.errors);
        self.list.extend(other.list);
    }

    /// Iterates over the diagnostics.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Returns the number of errors.
    pub const fn errors(&self) -> usize {
        self.errors
    }

    /// Returns whether similar words are worth the search: not after many errors, for it takes time in proportion to
    /// the number of words.
    pub(crate) const fn suggests(&self) -> bool {
        self.errors < MAX_SUGGESTIONS
    }

    /// Returns whether there are no diagnostics.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

struct Shown<'a> {
    sources: &'a Sources,
    diagnostic: &'a Diagnostic,
}

/// Largest number of characters of a line that are shown.
const MAX_LINE: usize = 160;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { severity, span, message, help, place } = self.diagnostic;
        let (line, column) = self.sources.position(*span);
        let shown = self.sources.masked(*span, line);
        let hidden = shown.as_ref().filter(|shown| shown.hides_marked).map(|_| self.sources.spanned(*span));
        let text_of = |text: &str| hidden.map_or_else(|| text.to_owned(), |word| without_word(text, word));
        let message = text_of(message);
        write!(f, "{}:{line}:{column}: {severity}: {message}", self.sources.name(span.file))?;
        if let Some(shown) = shown
            && shown.before.chars().count().saturating_add(shown.marked.chars().count()) <= MAX_LINE
        {
            let after: String = shown.after.chars().take(MAX_LINE).collect();
            write!(f, "\n{line:5} | {}{}{after}", shown.before, shown.marked)?;
            // Tabs remain, so that the marks are below the word.
            let blanks: String = shown.before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let marks = "^".repeat(shown.marked.chars().count().max(1));
            write!(f, "\n      | {blanks}{marks}")?;
        }
        if let Some((span, text)) = place {
            let (line, column) = self.sources.position(*span);
            write!(f, "\n      = {}:{line}:{column}: {}", self.sources.name(span.file), text_of(text))?;
        }
        if let Some(help) = help {
            write!(f, "\n      = {}", text_of(help))?;
        }
        Ok(())
    }
}

/// Returns a message in which a word that may be a part of a key is masked.
fn without_word(message: &str, word: &[u8]) -> String {
    let word = String::from_utf8_lossy(word);
    let mut text = message.to_owned();
    for word in [&*word, &shown_word(&word)] {
        text = text.replace(&std::format!("`{word}`"), "`***`");
    }
    text
}

/// Returns the advice that a similar word was meant, if one is similar.
pub(crate) fn did_you_mean<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<String> {
    nearest(word, words).map(|near| std::format!("did you mean `{near}`?"))
}

/// Number of characters by which a similar word differs at most.
const MAX_DISTANCE: usize = 3;

/// Returns the most similar word: one that differs by at most a third of its characters. `-` and `_` are equal, as are
/// upper and lower case.
pub(crate) fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let wanted = folded(word);
    // Words whose lengths differ by more differ by more characters, too.
    let is_near = |candidate: &&str| candidate.chars().count().abs_diff(wanted.len()) <= MAX_DISTANCE;
    let candidates = words.into_iter().filter(is_near);
    let distances = candidates.filter_map(|candidate| Some((distance(&wanted, &folded(candidate))?, candidate)));
    let best = distances.min_by_key(|row| row.0);
    let (distance, candidate) = best?;
    let most = candidate.chars().count().max(wanted.len()).div_ceil(3).min(MAX_DISTANCE);
    (distance <= most && distance < wanted.len().max(1)).then_some(candidate)
}

fn folded(word: &str) -> Vec<char> {
    word.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Returns the number of characters to insert, remove, replace or exchange with their neighbour; `None` if it is above
/// [`MAX_DISTANCE`].
fn distance(a: &[char], b: &[char]) -> Option<usize> {
    // Rows of the table for the characters of `a` up to the one before the last, the last, and the current one.
    let mut before: Vec<usize> = Vec::with_capacity(b.len().saturating_add(1));
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut row: Vec<usize> = Vec::with_capacity(b.len().saturating_add(1));
    for (i, from) in a.iter().enumerate() {
        row.clear();
        row.push(i.saturating_add(1));
        for (j, to) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX);
            let replaced = at(&last, j).saturating_add(usize::from(from != to));
            let inserted = at(&row, j).saturating_add(1);
            let removed = at(&last, j.saturating_add(1)).saturating_add(1);
            let is_exchanged =
                i > 0 && j > 0 && a.get(i.saturating_sub(1)) == Some(to) && b.get(j.saturating_sub(1)) == Some(from);
            let exchanged = if is_exchanged { at(&before, j.saturating_sub(1)).saturating_add(1) } else { usize::MAX };
            row.push(replaced.min(inserted).min(removed).min(exchanged));
        }
        // Every later row results from the two rows before it, by additions only.
        if row.iter().chain(&last).all(|distance| *distance > MAX_DISTANCE) {
            return None;
        }
        (before, last, row) = (last, row, before);
    }
    last.last().copied().filter(|distance| *distance <= MAX_DISTANCE)
}

/// Returns a list of words for a message: `a`, `b` or `c`.
pub(crate) fn alternatives(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => std::format!("`{one}`"),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|word| std::format!("`{word}`")).collect();
            std::format!("{} or `{last}`", first.join(", "))
        }
    }
}

/// Returns a word for a message, without characters that a terminal interprets.
pub(crate) fn shown_word(word: &str) -> String {
    if is_key_like(word.as_bytes()) {
        return "***".to_owned();
    }
    let short: String = word.chars().take(64).flat_map(char::escape_default).collect();
    if short.is_empty() { "nothing".to_owned() } else { short }
}
