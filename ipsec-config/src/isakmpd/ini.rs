//! Sections, tags and values.

use std::borrow::ToOwned;
use std::collections::HashMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use crate::diagnostic::{did_you_mean, shown_word};
use crate::secret::hidden;
use crate::{Diagnostics, FileId, Severity, Span};

/// Sections of a file.
#[derive(Debug, Default)]
pub(super) struct Ini {
    pub sections: Vec<Section>,
    /// Indices of the sections by their names in lower case.
    index: HashMap<String, usize>,
    /// Index of the section that the next tags belong to.
    current: Option<usize>,
    /// Set if a tag is before the first section.
    has_stray_tag: bool,
    /// Octets before the first section, for messages about the whole file.
    pub start: Span,
}

/// Section with its tags.
#[derive(Debug)]
pub(super) struct Section {
    pub name: String,
    pub span: Span,
    pub tags: Vec<Tag>,
    /// Indices of the tags by their names in lower case.
    index: HashMap<String, usize>,
}

/// Tag with its value. The value may be a key.
pub(super) struct Tag {
    pub name: String,
    pub name_span: Span,
    pub value: String,
    pub span: Span,
}

impl core::fmt::Debug for Tag {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}={}", self.name, hidden(self.value.len()))
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.value);
    }
}

impl Ini {
    /// Returns a section. Names are compared without regard to case.
    pub fn find(&self, name: &str) -> Option<&Section> {
        self.index.get(&name.to_ascii_lowercase()).and_then(|index| self.sections.get(*index))
    }

    /// Returns the section that a value names, or reports that there is none.
    pub fn named(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<&Section> {
        let found = self.find(name);
        if found.is_none() {
            let names = self.sections.iter().map(|section| section.name.as_str());
            let help = did_you_mean(name, names.take_while(|_| diagnostics.suggests()));
            // A line that was joined with the next one contains its value.
            let first = name.split_whitespace().next().unwrap_or_default();
            let text = format!("section [{}] is missing", shown_word(first));
            diagnostics.add(Severity::Error, span, text, help);
        }
        found
    }
}

impl Section {
    /// Returns a tag: the first one with the name.
    pub fn tag(&self, name: &str) -> Option<&Tag> {
        self.index.get(&name.to_ascii_lowercase()).and_then(|index| self.tags.get(*index))
    }

    /// Returns a tag, or reports that it is missing.
    pub fn required(&self, name: &str, diagnostics: &mut Diagnostics) -> Option<&Tag> {
        let tag = self.tag(name);
        if tag.is_none() {
            let similar = did_you_mean(name, self.tags.iter().map(|tag| tag.name.as_str()));
            let help = similar.map(|_| format!("write `{name}=`"));
            let text = format!("tag `{name}` of section [{}] is missing", self.name);
            diagnostics.add(Severity::Error, self.span, text, help);
        }
        tag
    }

    /// Warns of tags that the section cannot have.
    pub fn check_tags(&self, known: &[&str], diagnostics: &mut Diagnostics) {
        for tag in &self.tags {
            if !known.iter().any(|name| name.eq_ignore_ascii_case(&tag.name)) {
                let help = did_you_mean(&tag.name, known.iter().copied());
                let text = format!("tag `{}` has no effect in section [{}]", shown_word(&tag.name), self.name);
                diagnostics.add(Severity::Warning, tag.name_span, text, help);
            }
        }
    }
}

impl Tag {
    /// Iterates over the elements of a list with commas, with their places.
    pub fn list(&self) -> impl Iterator<Item = (&str, Span)> {
        let mut at = 0_usize;
        self.value.split(',').filter_map(move |part| {
            let begin = at.saturating_add(part.len().saturating_sub(part.trim_start().len()));
            at = at.saturating_add(part.len()).saturating_add(1);
            let word = part.trim();
            let begin = self.span.begin.saturating_add(begin);
            let span = Span { begin, end: begin.saturating_add(word.len()), ..self.span };
            (!word.is_empty()).then_some((word, span))
        })
    }
}

/// Reads a text. Comments are lines that begin with `#`; a backslash at the end of a line joins it with the next.
pub(super) fn parse(text: &[u8], file: FileId, diagnostics: &mut Diagnostics) -> Ini {
    let mut ini = Ini { start: Span { file, begin: 0, end: 0 }, ..Ini::default() };
    let mut begin = 0_usize;
    while let Some(rest) = text.get(begin..).filter(|rest| !rest.is_empty()) {
        let length = line_length(rest);
        let line = rest.get(..length).unwrap_or_default();
        let first = line.iter().take_while(|octet| octet.is_ascii_whitespace()).count();
        let inside = line.get(first..).unwrap_or_default().trim_ascii_end();
        let at = begin.saturating_add(first);
        let span = Span { file, begin: at, end: at.saturating_add(inside.len()) };
        if !inside.is_empty() && !inside.starts_with(b"#") && !inside.starts_with(b";") {
            match core::str::from_utf8(inside) {
                Ok(line) => ini.line(line, span, diagnostics),
                Err(_) => diagnostics.error(span, "expected a line in UTF-8"),
            }
        }
        begin = begin.saturating_add(length).saturating_add(1);
    }
    ini
}

/// Returns the number of octets of a line and those that are joined with it.
fn line_length(rest: &[u8]) -> usize {
    let is_end =
        |at: &usize| rest.get(*at) == Some(&b'\n') && at.checked_sub(1).is_none_or(|at| rest.get(at) != Some(&b'\\'));
    (0..rest.len()).find(is_end).unwrap_or(rest.len())
}

impl Ini {
    fn line(&mut self, line: &str, span: Span, diagnostics: &mut Diagnostics) {
        let is_section = line.starts_with('[') || (line.ends_with(']') && !line.contains('='));
        if is_section {
            // What follows the bracket is ignored.
            let inside = line.strip_prefix('[').unwrap_or(line);
            let name = inside.split(']').next().unwrap_or_default().trim();
            let end = Span { begin: span.end, ..span };
            // The tags that follow belong to the section even so.
            match (line.starts_with('['), inside.contains(']')) {
                (false, _) => diagnostics.error(span, "expected `[` before the name of the section"),
                (_, false) => diagnostics.error(end, "expected `]` at the end of the name of the section"),
                _ if name.is_empty() => diagnostics.error(end, "expected a section name in the brackets"),
                _ => {}
            }
            self.current = self.index.get(&name.to_ascii_lowercase()).copied();
            if let Some(other) = self.find(name) {
                let text = format!("duplicate section [{}]: its tags are added to the first one", other.name);
                diagnostics.warning(span, text);
                return;
            }
            self.current = Some(self.sections.len());
            self.index.entry(name.to_ascii_lowercase()).or_insert(self.sections.len());
            self.sections.push(Section { name: name.to_owned(), span, tags: Vec::new(), index: HashMap::new() });
            return;
        }
        let Some((name, value)) = line.split_once('=') else {
            let word: String = line.split_whitespace().next().unwrap_or_default().to_owned();
            let word_span = Span { end: span.begin.saturating_add(word.len()), ..span };
            return diagnostics.error(word_span, "expected `[section]` or `tag=value`, found no `=`");
        };
        let name_span = Span { end: span.begin.saturating_add(name.trim_end().len()), ..span };
        let blanks = value.len().saturating_sub(value.trim_start().len());
        let begin = span.begin.saturating_add(name.len()).saturating_add(1).saturating_add(blanks);
        let value = value.trim().replace("\\\n", " ");
        let Some(section) = self.current.and_then(|index| self.sections.get_mut(index)) else {
            // The other tags before it have the same cause.
            if !core::mem::replace(&mut self.has_stray_tag, true) {
                diagnostics.error(name_span, "expected `[section]` before the first tag");
            }
            return;
        };
        let tag = Tag { name: name.trim().to_owned(), name_span, value, span: Span { begin, ..span } };
        if section.tag(&tag.name).is_some() {
            let text = format!("duplicate tag `{}` in section [{}]: the first one is used", tag.name, section.name);
            diagnostics.warning(name_span, text);
        }
        section.index.entry(tag.name.to_ascii_lowercase()).or_insert(section.tags.len());
        section.tags.push(tag);
    }
}
