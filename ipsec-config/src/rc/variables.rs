//! Assignments to variables, as in a shell.

use std::borrow::ToOwned;
use std::collections::HashMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use crate::diagnostic::shown_word;
use crate::{Diagnostics, FileId, Span};

/// Assignment of a value to a variable.
pub(super) struct Variable {
    pub name: String,
    pub value: String,
    pub span: Span,
    pub value_span: Span,
}

/// Length in octets of a value beyond which variables in it are no longer replaced.
const MAX_VALUE: usize = 1 << 16;

/// Variables with their values, in the order in which they were set last.
#[derive(Default)]
pub(super) struct Variables {
    pub list: Vec<Variable>,
    /// Indices of the variables by their names.
    index: HashMap<String, usize>,
}

impl Variables {
    fn add(&mut self, variable: Variable) {
        match self.index.get(&variable.name).and_then(|index| self.list.get_mut(*index)) {
            Some(known) => *known = variable,
            None => {
                self.index.insert(variable.name.clone(), self.list.len());
                self.list.push(variable);
            }
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<&Variable> {
        self.index.get(name).and_then(|index| self.list.get(*index))
    }

    /// Replaces `$name` and `${name}` by the values of variables that are set; others are empty.
    fn expand(&self, text: &str) -> String {
        let mut parts = text.split('$');
        let mut value = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            // A value that contains itself several times grows without limit.
            if value.len() > MAX_VALUE {
                break;
            }
            let braced = part.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            let (name, rest) = braced.unwrap_or_else(|| {
                let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
                part.split_at(part.find(is_end).unwrap_or(part.len()))
            });
            if is_name(name) {
                value.push_str(self.find(name).map_or("", |variable| variable.value.as_str()));
            } else {
                value.push('$');
                value.push_str(name);
            }
            value.push_str(rest);
        }
        value
    }
}

/// Returns the assignments of a text. Of several to one variable the last counts, as in a shell.
pub(super) fn variables(text: &[u8], file: FileId, diagnostics: &mut Diagnostics) -> Variables {
    // Comments may contain any octets, which do not change the offsets of the rest.
    let text: String = text.iter().map(|octet| if octet.is_ascii() { char::from(*octet) } else { '?' }).collect();
    let mut variables = Variables::default();
    let mut begin = 0_usize;
    while let Some(rest) = text.get(begin..).filter(|rest| !rest.is_empty()) {
        let length = rest.find('\n').unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or_default();
        let at = begin.saturating_add(line.len().saturating_sub(line.trim_start().len()));
        begin = begin.saturating_add(length).saturating_add(1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, _)) = line.split_once('=').filter(|(name, _)| is_name(name.trim_end())) else {
            let span = Span { file, begin: at, end: at.saturating_add(line.len()) };
            if line.split_whitespace().count() > 1 || line.contains('=') {
                diagnostics.warning(span, "shell commands are ignored");
            } else {
                diagnostics.error(span, format!("expected name=\"value\", found `{}`", shown_word(line)));
            }
            continue;
        };
        let span = Span { file, begin: at, end: at.saturating_add(name.len()) };
        let value_at = span.end.saturating_add(1);
        let rest = text.get(value_at..).unwrap_or_default();
        let is_blank = |c: char| c == ' ' || c == '\t';
        let has_value = !rest.trim_start_matches(is_blank).starts_with(['\n', '\r', '#']) && !rest.is_empty();
        if name.ends_with(is_blank) {
            let text = "expected `=` directly after the name, found a blank: the shell reads the line as a command";
            diagnostics.error(span, text);
            continue;
        }
        if rest.starts_with(is_blank) && has_value {
            let text = "expected a value directly after `=`, found a blank: the shell reads the value as a command";
            diagnostics.error(span, text);
            continue;
        }
        let (raw, length, is_single) = match value(rest) {
            Ok((raw, length)) => (raw, length, rest.starts_with('\'')),
            Err(quote) => {
                let text = format!("expected `{quote}` at the end of the value, found the end of the line");
                let end = value_at.saturating_add(rest.find('\n').unwrap_or(rest.len()));
                diagnostics.error(Span { file, begin: value_at, end }, text);
                continue;
            }
        };
        let odd = |quote: char| raw.matches(quote).count() & 1 == 1;
        if !rest.starts_with(['"', '\'']) && (odd('"') || odd('\'')) {
            let end = value_at.saturating_add(rest.find('\n').unwrap_or(rest.len()));
            let text = "expected a quote at the beginning of the value, found one at its end";
            diagnostics.error(Span { file, begin: value_at, end }, text);
            continue;
        }
        // A value in quotes may have several lines.
        let after = value_at.saturating_add(length);
        begin =
            begin.max(after.saturating_add(text.get(after..).map_or(0, |rest| rest.find('\n').unwrap_or(rest.len()))));
        let value = if is_single { raw.to_owned() } else { variables.expand(&raw.replace("\\\n", " ")) };
        let value_span = Span { file, begin: value_at, end: after };
        variables.add(Variable { name: name.to_owned(), value, span, value_span });
    }
    variables
}

/// Returns whether a word is a name of a variable of the shell.
fn is_name(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns the value at the beginning of a text, without its quotes, and its length with them.
///
/// # Errors
/// The quote that is missing.
fn value(text: &str) -> Result<(&str, usize), char> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let length = text.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(text.len());
        return Ok((text.get(..length).unwrap_or_default(), length));
    };
    let inside = text.get(1..).unwrap_or_default();
    let length = inside.find(quote).ok_or(quote)?;
    let value = inside.get(..length).unwrap_or_default();
    // The quote of a later assignment is not that of this one.
    let is_assignment = |line: &str| line.trim_start().split_once('=').is_some_and(|(name, _)| is_name(name));
    if value.lines().skip(1).any(is_assignment) {
        return Err(quote);
    }
    Ok((value, length.saturating_add(2)))
}
