//! Distinguished names as text: `C=DE, O=Example, CN=gateway`.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::diagnostic::{alternatives, did_you_mean, shown_word};

/// Types of attributes: name, object identifier in DER, and whether the value is an IA5String.
const ATTRIBUTES: &[(&str, &[u8], bool)] = &[
    ("CN", &[0x55, 4, 3], false),
    ("SN", &[0x55, 4, 4], false),
    ("serialNumber", &[0x55, 4, 5], false),
    ("C", &[0x55, 4, 6], false),
    ("L", &[0x55, 4, 7], false),
    ("ST", &[0x55, 4, 8], false),
    ("S", &[0x55, 4, 8], false),
    ("street", &[0x55, 4, 9], false),
    ("O", &[0x55, 4, 10], false),
    ("OU", &[0x55, 4, 11], false),
    ("title", &[0x55, 4, 12], false),
    ("name", &[0x55, 4, 41], false),
    ("GN", &[0x55, 4, 42], false),
    ("UID", &[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], false),
    ("DC", &[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], true),
    ("emailAddress", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], true),
    ("E", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], true),
    ("Email", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], true),
];

/// Checks that a text is a distinguished name.
///
/// # Errors
/// The expected form.
pub(crate) fn check(text: &str) -> Result<(), String> {
    attributes(text).map(drop)
}

/// Returns whether a value is `*`, which matches any.
pub(crate) fn has_wildcard(text: &str) -> bool {
    attributes(text).is_ok_and(|found| found.iter().any(|(_, value)| *value == "*"))
}

/// Returns the DER encoding of a distinguished name (RFC 5280 section 4.1.2.4). Values are PrintableString where their
/// characters allow it, IA5String for mail addresses and domain components, UTF8String otherwise.
///
/// # Errors
/// The expected form.
pub fn encode(text: &str) -> Result<Vec<u8>, String> {
    let mut names = Vec::new();
    for ((_, oid, is_ia5), value) in attributes(text)? {
        let is_printable = |c: u8| c.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&c);
        let tag = match is_ia5 {
            true => 0x16,
            false if value.bytes().all(is_printable) => 0x13,
            false => 0x0c,
        };
        let pair = [tlv(0x06, oid), tlv(tag, value.as_bytes())].concat();
        names.extend_from_slice(&tlv(0x31, &tlv(0x30, &pair)));
    }
    Ok(tlv(0x30, &names))
}

type Attribute = &'static (&'static str, &'static [u8], bool);

fn attributes(text: &str) -> Result<Vec<(Attribute, &str)>, String> {
    let separator = if text.starts_with('/') { '/' } else { ',' };
    let parts = text.trim_start_matches('/').split(separator).map(str::trim);
    let mut found = Vec::new();
    for part in parts {
        let Some((name, value)) = part.split_once('=').map(|(name, value)| (name.trim(), value.trim())) else {
            return Err(format!(
                "expected a distinguished name as `C=DE, O=Example, CN=gateway`, found `{}`",
                shown_word(part)
            ));
        };
        let row = ATTRIBUTES.iter().find(|row| row.0.eq_ignore_ascii_case(name));
        let names = || ATTRIBUTES.iter().map(|row| row.0);
        let row = row.ok_or_else(|| {
            let help = did_you_mean(name, names()).map(|help| format!("; {help}")).unwrap_or_default();
            let names: Vec<_> = names().collect();
            format!("expected an attribute type: {}, found `{}`{help}", alternatives(&names), shown_word(name))
        })?;
        if value.is_empty() {
            return Err(format!("expected a value of the attribute `{name}`, found nothing"));
        }
        found.push((row, value));
    }
    Ok(found)
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut octets = std::vec![tag];
    let length = value.len().to_be_bytes();
    let significant = length.iter().position(|octet| *octet != 0).and_then(|at| length.get(at..)).unwrap_or(&[0]);
    match (significant, u8::try_from(significant.len())) {
        (&[short], _) if short < 0x80 => octets.push(short),
        (long, Ok(count)) => {
            octets.push(0x80 | count);
            octets.extend_from_slice(long);
        }
        _ => {}
    }
    octets.extend_from_slice(value);
    octets
}

/// Returns the text of a distinguished name in DER; `None` if it is malformed.
pub fn decode(der: &[u8]) -> Option<String> {
    let (mut rest, []) = element(der, 0x30)? else { return None };
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (set, after) = element(rest, 0x31)?;
        rest = after;
        let (pair, _) = element(set, 0x30)?;
        let (oid, value) = element(pair, 0x06)?;
        let (_, value) = value.split_first()?;
        let (length, value) = length(value)?;
        let value = core::str::from_utf8(value.get(..length)?).ok()?;
        let name = ATTRIBUTES.iter().find(|row| row.1 == oid).map(|row| row.0)?;
        parts.push(format!("{name}={value}"));
    }
    Some(parts.join(", ").to_string())
}

/// Returns the contents of the element at the front, which has this tag, and the octets after it.
fn element(octets: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = octets.split_first()?;
    let (length, rest) = length(rest).filter(|_| *first == tag)?;
    rest.split_at_checked(length)
}

fn length(octets: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = octets.split_first()?;
    match first {
        0..=0x7f => Some((usize::from(*first), rest)),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest)),
        0x82 => rest.split_first_chunk::<2>().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_decoded() {
        let text = "C=DE, O=Example Networks, OU=R&D, CN=gateway, emailAddress=admin@example.org";
        let der = encode(text).unwrap();
        assert_eq!(der[..13], [0x30, 106, 0x31, 11, 0x30, 9, 0x06, 3, 0x55, 4, 6, 0x13, 2]);
        assert_eq!(decode(&der).as_deref(), Some(text));
        assert_eq!(encode("/C=DE/CN=gateway"), encode("c=DE,cn = gateway"));
        let long = format!("CN={}", "x".repeat(300));
        assert_eq!(decode(&encode(&long).unwrap()).as_deref(), Some(long.as_str()));
    }

    #[test]
    fn malformed_names_are_refused() {
        let table = [
            ("gateway", "expected a distinguished name"),
            ("CN=", "expected a value of the attribute `CN`"),
            ("CM=a", "did you mean `CN`?"),
        ];
        for (text, expected) in table {
            let error = check(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(has_wildcard("C=DE, CN=*") && !has_wildcard("CN=a*"));
    }
}
