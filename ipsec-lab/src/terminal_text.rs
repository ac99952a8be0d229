//! Text that is safe to print on a terminal.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;

/// Returns whether a character acts on a terminal, or reorders, hides or breaks text: controls, bidirectional controls,
/// line and paragraph separators, characters without width.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}')
}

/// Escapes the characters that act on a terminal, except for line feeds and tabs.
pub fn escaped(text: &str) -> Cow<'_, str> {
    let is_unsafe = |c: char| acts(c) && !matches!(c, '\n' | '\t');
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\r' => safe.push_str("\\r"),
            c if is_unsafe(c) => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c)); // a String takes everything
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Writes a value on one line. Characters that act on a terminal are escaped.
pub fn json_line(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if acts(c) {
            let _ = write!(text, "\\u{:04x}", u32::from(c)); // a String takes everything
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terminal_controls_are_escaped() {
        for text in [
            "\u{1b}[2J\u{9b}2J",
            "\u{202e}evil\u{2066}",
            "a\u{2028}b\u{2029}c\u{85}d",
            "\u{7f}\u{200f}\u{61c}",
            "Zürich \u{1f512}",
        ] {
            let value = json!({ "id": text, "list": [text] });
            let line = json_line(&value);
            let acts = |c: char| c.is_control() || "\u{202e}\u{2066}\u{2028}\u{2029}\u{200f}\u{61c}".contains(c);
            assert!(!line.contains(acts), "{line:?}");
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
        }
        assert_eq!(json_line(&json!("Zürich")), "\"Zürich\"");
    }
    #[test]
    fn text_keeps_its_lines_and_other_characters() {
        assert_eq!(escaped("one\n\ttwo Zürich"), "one\n\ttwo Zürich");
        assert_eq!(escaped("a\u{1b}[2J\rb\u{202e}"), "a\\u{1b}[2J\\rb\\u{202e}");
    }
}
