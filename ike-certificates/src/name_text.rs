//! Distinguished names as texts for messages.

use core::fmt::Write;

use der::{Decode, Tag, Tagged};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::Name;

/// Longest text of a name, in characters.
const MAX_NAME_TEXT: usize = 200;

/// Returns a distinguished name as text, such as `C=DE, O=Example, CN=gateway`, for messages.
///
/// Characters that could disturb a log or be taken for the end of an attribute are escaped, and the text is truncated
/// after 200 characters: names are chosen by peers.
pub(crate) fn name_text(name: &[u8]) -> String {
    let Ok(name) = Name::from_der(name) else { return "...".into() };
    let mut text = String::new();
    for attribute in name.iter() {
        if text.len() > MAX_NAME_TEXT {
            break;
        }
        write_attribute(attribute, &mut text);
    }
    if text.is_empty() {
        return "(empty name)".into();
    }
    if let Some((at, _)) = text.char_indices().nth(MAX_NAME_TEXT) {
        text.truncate(at);
        text.push_str("...");
    }
    text
}

fn write_attribute(AttributeTypeAndValue { oid, value }: &AttributeTypeAndValue, text: &mut String) {
    const NAMES: &[(&str, &str)] = &[
        ("2.5.4.3", "CN"),
        ("2.5.4.5", "serialNumber"),
        ("2.5.4.6", "C"),
        ("2.5.4.7", "L"),
        ("2.5.4.8", "ST"),
        ("2.5.4.10", "O"),
        ("2.5.4.11", "OU"),
        ("1.2.840.113549.1.9.1", "emailAddress"),
        ("0.9.2342.19200300.100.1.25", "DC"),
    ];
    let oid = oid.to_string();
    let name = NAMES.iter().find(|row| row.0 == oid).map_or(oid.as_str(), |row| row.1);
    text.push_str(if text.is_empty() { "" } else { ", " });
    text.push_str(name);
    text.push('=');
    let wide = value.tag() == Tag::BmpString;
    let octets = value.value();
    let value = if wide {
        String::from_utf16_lossy(&octets.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect::<Vec<_>>())
    } else {
        String::from_utf8_lossy(octets).into_owned()
    };
    for character in value.chars().take(MAX_NAME_TEXT) {
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => text.extend(['\\', character]),
            ' '..='~' => text.push(character),
            _ if character.is_alphanumeric() => text.push(character),
            // Writing to a string does not fail.
            _ => drop(write!(text, "{}", character.escape_unicode())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_of_names_are_escaped() {
        let attribute = |tag: u8, value: &[u8]| {
            let value = [&[tag, u8::try_from(value.len()).unwrap()], value].concat();
            let row = [b"\x30\x00\x06\x03\x55\x04\x03", &value[..]].concat();
            let length = |octets: usize| u8::try_from(octets.checked_sub(2).unwrap()).unwrap();
            let mut set = [&[0x31, 0][..], &row].concat();
            (set[3], set[1]) = (length(row.len()), length(set.len()));
            [&[0x30, length(set.len() + 2)], &set[..]].concat()
        };
        let table: [(Vec<u8>, &str); 6] = [
            (attribute(0x0c, "größe, O=x".as_bytes()), "CN=größe\\, O=x"),
            (attribute(0x0c, b"a\nb\x1b"), "CN=a\\u{a}b\\u{1b}"),
            (attribute(0x0c, "a\u{202e}b".as_bytes()), "CN=a\\u{202e}b"),
            (attribute(0x1e, b"\0a\0b"), "CN=ab"),
            (vec![0x30, 0], "(empty name)"),
            (vec![0x30, 5, 1], "..."),
        ];
        for (name, text) in table {
            assert_eq!(name_text(&name), text);
        }
        let long = name_text(&attribute(0x0c, "\u{1}".repeat(100).as_bytes()));
        assert_eq!((long.chars().count(), long.ends_with("...")), (203, true));
    }
}
