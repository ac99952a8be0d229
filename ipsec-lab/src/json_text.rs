//! JSON text that is safe to print on a terminal.

use std::fmt::Write;

use serde_json::Value;

/// Writes a value on one line. Characters from peers that act on a terminal, or that reorder or break the line, are
/// escaped: DEL and C1 controls, bidirectional controls, line and paragraph separators.
pub fn line(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c)); // a String takes everything
            }
            _ => text.push(c),
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
            let line = line(&value);
            let acts = |c: char| c.is_control() || "\u{202e}\u{2066}\u{2028}\u{2029}\u{200f}\u{61c}".contains(c);
            assert!(!line.contains(acts), "{line:?}");
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
        }
        assert_eq!(line(&json!("Zürich")), "\"Zürich\"");
    }
}
