//! JSON and YAML in one fixed order of keys, so that files depend neither on the features of
//! `serde_json` nor on the order of fields: a few leading keys first, then the alphabet.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Keys that stand first where they occur.
const FIRST: [&str; 14] = [
    "openapi",
    "asyncapi",
    "$schema",
    "$id",
    "$ref",
    "info",
    "title",
    "name",
    "in",
    "operationId",
    "summary",
    "x-summary-fr",
    "description",
    "type",
];

/// Indented JSON with a final line end.
pub(super) fn json(value: &Value) -> String {
    let mut out = String::new();
    write_json(&mut out, value, 0);
    out.push('\n');
    out
}

fn write_json(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('{');
            for (i, (key, inner)) in ordered(map).into_iter().enumerate() {
                line(out, i, depth + 1);
                let _ = write!(out, "{}: ", Value::from(key));
                write_json(out, inner, depth + 1);
            }
            end(out, depth);
            out.push('}');
        }
        Value::Array(items) if items.iter().any(|v| v.is_object() || v.is_array()) => {
            out.push('[');
            for (i, inner) in items.iter().enumerate() {
                line(out, i, depth + 1);
                write_json(out, inner, depth + 1);
            }
            end(out, depth);
            out.push(']');
        }
        Value::Array(items) => {
            let inner: Vec<_> = items.iter().map(ToString::to_string).collect();
            let _ = write!(out, "[{}]", inner.join(", "));
        }
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
}

fn line(out: &mut String, position: usize, depth: usize) {
    if position > 0 {
        out.push(',');
    }
    end(out, depth);
}

fn end(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

/// Block YAML 1.2: every text is a JSON string, which YAML reads as it is.
pub(super) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    write_yaml(&mut out, value, 0);
    out
}

fn write_yaml(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, inner) in ordered(map) {
                out.push_str(&"  ".repeat(depth));
                let _ = write!(out, "{}:", yaml_key(key));
                nested(out, inner, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for inner in items {
                out.push_str(&"  ".repeat(depth));
                out.push('-');
                nested(out, inner, depth + 1);
            }
        }
        plain => {
            let _ = writeln!(out, "{}{plain}", "  ".repeat(depth));
        }
    }
}

fn nested(out: &mut String, value: &Value, depth: usize) {
    let block = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if block {
        out.push('\n');
        write_yaml(out, value, depth);
    } else {
        let _ = writeln!(out, " {value}");
    }
}

/// A key is bare when YAML cannot take it for anything but text.
fn yaml_key(key: &str) -> String {
    let bare = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$'))
        && !matches!(key, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if bare { key.to_owned() } else { Value::from(key).to_string() }
}

fn ordered(map: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let rank = |key: &str| FIRST.iter().position(|f| *f == key).unwrap_or(FIRST.len());
    let mut entries: Vec<_> = map.iter().map(|(k, v)| (k.as_str(), v)).collect();
    entries.sort_by_key(|(key, _)| (rank(key), *key));
    entries
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_reads_back_and_is_ordered() {
        let value = json!({ "b": [1, {"x": []}], "a": "é\"\n", "title": {}, "c": [true, null] });
        let text = json(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.starts_with("{\n  \"title\": {},\n  \"a\": "));
        assert!(text.contains("\"c\": [true, null]"));
    }

    #[test]
    fn yaml_is_block_style_with_quoted_texts() {
        let value = json!({ "a": { "b": ["x", { "c": 1 }], "on": {} }, "pli.x": "é: #" });
        assert_eq!(
            yaml(&value),
            "a:\n  b:\n    - \"x\"\n    -\n      c: 1\n  \"on\": {}\n\"pli.x\": \"é: #\"\n"
        );
    }
}
