//! Copies of a text in which one sign is missing or one word is misspelled.

/// Damaged copy of a text.
pub struct Damage {
    /// Change of the text.
    pub what: String,
    /// Line of the change, and that of the next token after it.
    pub lines: (usize, usize),
    pub text: String,
}

#[derive(Clone, Copy)]
enum Part {
    Sign(char),
    Quote,
    Text,
    Word,
}

/// Returns the signs, quotes, texts in quotes and words of a text with their places.
fn parts(text: &str, signs: &str) -> Vec<(Part, usize, usize)> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let line_end = rest.find('\n').unwrap_or(rest.len());
        match c {
            '#' => at += line_end,
            '"' => {
                let length = rest[1..].find('"').unwrap() + 2;
                parts.push((Part::Quote, at, at + 1));
                parts.push((Part::Text, at, at + length));
                parts.push((Part::Quote, at + length - 1, at + length));
                at += length;
            }
            c if signs.contains(c) => {
                parts.push((Part::Sign(c), at, at + 1));
                at += 1;
            }
            c if c.is_whitespace() => at += 1,
            _ => {
                let is_end = |c: char| c.is_whitespace() || c == '"' || c == '#' || signs.contains(c);
                let length = rest.find(is_end).unwrap_or(rest.len());
                parts.push((Part::Word, at, at + length));
                at += length;
            }
        }
    }
    parts
}

/// Returns every copy of a text with one change. `x` in the middle of a word misspells it.
pub fn damages(text: &str, signs: &str) -> Vec<Damage> {
    let parts = parts(text, signs);
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    let mut all = Vec::new();
    for (index, &(part, begin, end)) in parts.iter().enumerate() {
        let after = parts[index + 1..].iter().find(|(_, at, _)| *at >= end).map_or(text.len(), |part| part.1);
        let (what, new) = match part {
            Part::Sign(c) => (format!("without `{c}`"), String::new()),
            Part::Quote => ("without a quote".to_string(), String::new()),
            Part::Text => ("without a text".to_string(), String::new()),
            Part::Word if text[begin..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let word = &text[begin..end];
                let middle = word.len() / 2;
                (format!("misspelled {word}"), format!("{}x{}", &word[..middle], &word[middle..]))
            }
            Part::Word => continue,
        };
        let before = parts[..index].iter().rev().find(|(_, _, to)| *to <= begin).map_or(0, |part| part.2);
        let from = if matches!(part, Part::Sign(_)) { line(before) } else { line(begin) };
        let damaged = format!("{}{new}{}", &text[..begin], &text[end..]);
        all.push(Damage { what, lines: (from, line(after.min(text.len()))), text: damaged });
    }
    all
}
