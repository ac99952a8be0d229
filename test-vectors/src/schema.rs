//! Fields of each type of record: the check of a file before its records are read, and a JSON Schema.

use serde_json::{Map, Value};

use crate::from_hex;

mod fields;
mod json_schema;

pub use json_schema::json_schema;

/// Field of a record.
pub(crate) struct Field {
    name: &'static str,
    kind: Kind,
    is_required: bool,
    /// Sentence that documents the field.
    doc: &'static str,
}

/// Kind of a value.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Octets in hexadecimal digits.
    Hex,
    /// Text of any characters.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Number from 0 to this one.
    Number(u64),
    /// Truth value, `true` or `false`.
    Bool,
    /// Result that is expected.
    Expected,
    /// Object with these fields.
    Object(&'static [Field]),
    /// List of such values.
    List(&'static Kind),
    /// Payloads as nested lists of type, offset, length and children.
    Payloads,
    /// Pair of two values.
    Pair(&'static Kind, &'static Kind),
    /// Any value: the field is information and not read.
    Any,
}

/// Type of record with its fields.
pub(crate) struct RecordType {
    names: &'static [&'static str],
    doc: &'static str,
    fields: &'static [&'static [Field]],
}

/// Fault of a record: the field in which it is, the value found and the value expected.
type Fault = String;

/// Returns the names of all types of records.
pub fn record_types() -> Vec<&'static str> {
    fields::TYPES.iter().flat_map(|record| record.names).copied().collect()
}

/// Checks a record by the fields of its type, and brings it into the form that is read: optional fields without a value
/// are removed, and the reason of a refusal in `expected` becomes a field of its own.
pub(crate) fn check(kind: &str, value: &mut Value) -> Result<(), Fault> {
    let Some(record) = fields::TYPES.iter().find(|record| record.names.contains(&kind)) else {
        return Err(match kind {
            "" => "field \"type\": missing".to_owned(),
            _ => format!("field \"type\": got \"{kind}\", expected one of: {}", record_types().join(", ")),
        });
    };
    let Value::Object(object) = value else { return Err(format!("got {}, expected an object", found(value))) };
    let fields: Vec<&Field> = record.fields.iter().copied().flatten().collect();
    check_object(object, &fields, "")
}

fn check_object(object: &mut Map<String, Value>, fields: &[&Field], path: &str) -> Result<(), Fault> {
    for name in object.keys() {
        if !fields.iter().any(|field| field.name == name) {
            let meant =
                similar(name, fields).map(|name| format!(", did you mean \"{path}{name}\"?")).unwrap_or_default();
            return Err(format!("field \"{path}{name}\": unknown field{meant}"));
        }
    }
    for field in fields {
        let at = format!("{path}{}", field.name);
        match object.get_mut(field.name) {
            None if field.is_required => {
                return Err(format!("field \"{at}\": missing, expected {}", expected(field.kind)));
            }
            None => {}
            Some(Value::Null) if !field.is_required => {
                object.remove(field.name);
            }
            Some(value) => check_value(value, field.kind, &at)?,
        }
    }
    if let Some(Value::Object(refusal)) = object.get_mut("expected") {
        let reason = refusal.remove("reject").unwrap_or_default();
        object.insert("expected".into(), "reject".into());
        object.insert("expected_reason".into(), reason);
    }
    Ok(())
}

fn check_value(value: &mut Value, kind: Kind, at: &str) -> Result<(), Fault> {
    let is_good = match (kind, &mut *value) {
        (Kind::Any, _) | (Kind::Text, Value::String(_)) | (Kind::Bool, Value::Bool(_)) => true,
        (Kind::Hex, Value::String(text)) => from_hex(text).is_some(),
        (Kind::Word(words), Value::String(text)) => words.contains(&text.as_str()),
        (Kind::Number(max), Value::Number(number)) => number.as_u64().is_some_and(|number| number <= max),
        (Kind::Expected, Value::String(text)) => ["accept", "reject", "any"].contains(&text.as_str()),
        (Kind::Expected, Value::Object(object)) => {
            object.len() == 1 && object.get("reject").and_then(Value::as_str).is_some_and(|reason| !reason.is_empty())
        }
        (Kind::Object(fields), Value::Object(object)) => {
            return check_object(object, &fields.iter().collect::<Vec<_>>(), &format!("{at}."));
        }
        (Kind::List(kind), Value::Array(items)) => {
            let mut items = items.iter_mut().enumerate();
            return items.try_for_each(|(number, item)| check_value(item, *kind, &format!("{at}[{number}]")));
        }
        (Kind::Pair(first, second), Value::Array(items)) if items.len() == 2 => {
            let kinds = [first, second];
            let mut items = items.iter_mut().zip(kinds).enumerate();
            return items.try_for_each(|(number, (item, kind))| check_value(item, *kind, &format!("{at}[{number}]")));
        }
        (Kind::Payloads, Value::Array(nodes)) => nodes.iter().all(is_payload),
        _ => false,
    };
    if is_good { Ok(()) } else { Err(format!("field \"{at}\": got {}, expected {}", found(value), expected(kind))) }
}

/// Returns whether a value is a payload: type, offset, length, and a list of payloads or none.
fn is_payload(node: &Value) -> bool {
    let Value::Array(parts) = node else { return false };
    let is_tree = |children: &Value| children.as_array().is_some_and(|children| children.iter().all(is_payload));
    match parts.as_slice() {
        [kind, offset, length, children @ ..] => {
            kind.as_u64().is_some_and(|kind| kind <= 255)
                && offset.is_i64()
                && length.is_u64()
                && children.len() <= 1
                && children.iter().all(is_tree)
        }
        _ => false,
    }
}

/// Returns a value as an error shows it.
fn found(value: &Value) -> String {
    const SHOWN: usize = 60;
    let kind = match value {
        Value::Null => return "null".to_owned(),
        Value::Object(_) => return "an object".to_owned(),
        Value::Array(items) => return format!("a list of {}", items.len()),
        Value::Bool(_) => "",
        Value::Number(_) => "the number ",
        Value::String(text) if text.len() > SHOWN => return format!("a text of {} characters", text.chars().count()),
        Value::String(_) => "the text ",
    };
    format!("{kind}{value}")
}

fn expected(kind: Kind) -> String {
    match kind {
        Kind::Hex => "octets in hexadecimal, an even number of digits".to_owned(),
        Kind::Text => "a text".to_owned(),
        Kind::Word(words) => format!("one of: {}", words.join(", ")),
        Kind::Number(max) => format!("a number from 0 to {max}"),
        Kind::Bool => "true or false".to_owned(),
        Kind::Expected => "\"accept\", \"reject\", \"any\" or {\"reject\": \"REASON\"}".to_owned(),
        Kind::Object(fields) => {
            let names: Vec<_> = fields.iter().map(|field| field.name).collect();
            format!("an object with {}", names.join(", "))
        }
        Kind::List(_) => "a list".to_owned(),
        Kind::Payloads => "a list of payloads: [type, offset, length, [payloads]]".to_owned(),
        Kind::Pair(..) => "a list of two values".to_owned(),
        Kind::Any => "any value".to_owned(),
    }
}

/// Returns the name of a field that differs in at most two characters.
fn similar<'f>(name: &str, fields: &[&'f Field]) -> Option<&'f str> {
    let plain = |name: &str| name.to_lowercase().replace(['-', '_', ' '], "");
    let wanted: Vec<char> = plain(name).chars().collect();
    let changes = |field: &&&Field| {
        let own: Vec<char> = plain(field.name).chars().collect();
        let same = wanted.iter().zip(&own).take_while(|(a, b)| a == b).count();
        let (a, b) = (wanted.get(same..).unwrap_or_default(), own.get(same..).unwrap_or_default());
        let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
        a.len().max(b.len()) - tail
    };
    fields.iter().min_by_key(changes).filter(|field| changes(field) <= 2).map(|field| field.name)
}

#[cfg(test)]
mod tests {
    use crate::{Record, data, parse_line, read_file, record_files};

    fn problem(line: &str) -> String {
        match parse_line(line) {
            Record::Unknown { problem, .. } => problem,
            other => panic!("{line} is read as {}", other.kind()),
        }
    }

    #[test]
    fn errors_name_the_field_with_both_values() {
        let record = r#"{"type":"packet","id":"x","proto":"esp","mode":"tunnel","ip_version":4,"spi":4097,"wire_packet":"00","expected":"reject"}"#;
        assert!(matches!(parse_line(record), Record::Packet(_)));
        for (from, to, text) in [
            (
                "\"spi\":4097",
                "\"spi\":\"4097\"",
                "field \"spi\": got the text \"4097\", expected a number from 0 to 4294967295",
            ),
            ("\"spi\":4097", "\"spi\":4294967296", "field \"spi\": got the number 4294967296, expected"),
            ("\"spi\":4097,", "", "field \"spi\": missing, expected a number"),
            ("\"spi\":4097", "\"spi\":4097,\"spii\":1", "field \"spii\": unknown field, did you mean \"spi\"?"),
            ("\"spi\":4097", "\"spi\":4097,\"Wire-Packet\":1", "did you mean \"wire_packet\"?"),
            ("\"spi\":4097", "\"spi\":4097,\"colour\":1", "field \"colour\": unknown field"),
            ("\"esp\"", "\"tcp\"", "field \"proto\": got the text \"tcp\", expected one of: esp, ah"),
            ("\"00\"", "\"0\"", "field \"wire_packet\": got the text \"0\", expected octets in hexadecimal"),
            (
                "\"reject\"",
                "\"refuse\"",
                "field \"expected\": got the text \"refuse\", expected \"accept\", \"reject\"",
            ),
            ("\"reject\"", "{\"reject\":\"\"}", "field \"expected\": got an object, expected"),
            ("\"reject\"", "{\"accept\":\"x\"}", "field \"expected\": got an object, expected"),
            ("\"spi\":4097", "\"spi\":4097,\"udp_encap\":{\"sport\":4500}", "field \"udp_encap.dport\": missing"),
            (
                "\"spi\":4097",
                "\"spi\":4097,\"udp_encap\":{\"sport\":4500,\"dport\":65536}",
                "field \"udp_encap.dport\": got",
            ),
            ("packet\",\"id", "riddle\",\"id", "field \"type\": got \"riddle\", expected one of: packet, replay"),
            ("\"type\":\"packet\",", "", "field \"type\": missing"),
        ] {
            let said = problem(&record.replace(from, to));
            assert!(said.contains(text), "{text} in {said}");
        }
        assert!(problem(r#"{"type":"replay","id":"x","proto":"ah","mode":"transport","ip_version":4,"spi":1,"window":32,"initial_top":0,"packets":[{"seq":1,"wire_packet":"","plain_packet":"","expected":"yes"}]}"#).contains("field \"packets[0].expected\": got the text \"yes\""));
        assert!(problem("{").contains("line 1 column 1"));
        assert!(problem("[]").contains("\"type\": missing"));
    }

    #[test]
    fn expected_reason_of_a_refusal_is_parsed() {
        let line = r#"{"type":"isakmp-bytes","id":"x","hex":"00","expected":{"reject":"truncated"},"note":null}"#;
        let Record::IsakmpBytes(record) = parse_line(line) else { panic!("not read") };
        assert_eq!((record.expected, record.expected_reason.as_deref()), (crate::Expected::Reject, Some("truncated")));
    }

    #[test]
    fn every_vector_has_the_fields_of_its_type() {
        let mut count = 0;
        for directory in ["packets", "ipcomp", "ikev1", "ike"] {
            for file in record_files(&data().join(directory)).unwrap() {
                for located in read_file(&file).unwrap() {
                    if let Record::Unknown { problem, .. } = &located.record {
                        panic!("{}: line {}: {problem}", file.display(), located.line);
                    }
                    count += 1;
                }
            }
        }
        assert_eq!(count, 481);
    }
}
