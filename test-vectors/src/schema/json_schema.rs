//! JSON Schema of the records.

use serde_json::{Map, Value, json};

use super::{Field, Kind, fields};

/// Returns the JSON Schema (draft 2020-12) of a record, which is one line of a file.
pub fn json_schema() -> Value {
    let mut types = Vec::new();
    for record in fields::TYPES {
        let all: Vec<&Field> = record.fields.iter().copied().flatten().collect();
        let mut schema = object(&all);
        schema["title"] = record.names.join(", ").into();
        schema["description"] = record.doc.into();
        schema["properties"]["type"]["enum"] = json!(record.names);
        types.push(schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Record of a vector file",
        "description": "A vector file has one record on each line.",
        "oneOf": types,
    })
}

fn object(fields: &[&Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let mut schema = value(field.kind);
            if !field.is_required {
                schema = or_null(schema);
            }
            schema["description"] = field.doc.into();
            (field.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<_> = fields.iter().filter(|field| field.is_required).map(|field| field.name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// Returns the schema of an optional field, which may be null.
fn or_null(schema: Value) -> Value {
    if schema.as_object().is_some_and(Map::is_empty) { schema } else { json!({"anyOf": [schema, {"type": "null"}]}) }
}

fn value(kind: Kind) -> Value {
    match kind {
        Kind::Hex => json!({"type": "string", "pattern": "^([0-9A-Fa-f]{2})*$"}),
        Kind::Text => json!({"type": "string"}),
        Kind::Word(words) => json!({"type": "string", "enum": words}),
        Kind::Number(max) => json!({"type": "integer", "minimum": 0, "maximum": max}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Expected => json!({"oneOf": [
            {"type": "string", "enum": ["accept", "reject", "any"]},
            {"type": "object", "properties": {"reject": {"type": "string", "minLength": 1,
                "description": "Text that the reason of the refusal contains, in upper or lower case."}},
                "required": ["reject"], "additionalProperties": false},
        ]}),
        Kind::Object(fields) => object(&fields.iter().collect::<Vec<_>>()),
        Kind::List(kind) => json!({"type": "array", "items": value(*kind)}),
        Kind::Payloads => json!({"type": "array", "items": {"type": "array", "minItems": 3, "maxItems": 4}}),
        Kind::Pair(first, second) => json!({"type": "array", "prefixItems": [value(*first), value(*second)],
            "minItems": 2, "maxItems": 2}),
        Kind::Any => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_describes_every_field_of_every_type() {
        let schema = json_schema();
        let types = schema["oneOf"].as_array().unwrap();
        assert_eq!(types.len(), 10);
        for record in types {
            assert_eq!(record["additionalProperties"], false);
            for (name, field) in record["properties"].as_object().unwrap() {
                let text = field["description"].as_str().unwrap_or_default();
                assert!(text.ends_with('.'), "{name}: {text}");
            }
        }
        assert_eq!(types[0]["properties"]["spi"]["maximum"], 0xffff_ffff_u32);
    }
}
