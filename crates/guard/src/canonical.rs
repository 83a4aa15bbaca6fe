//! One text for one JSON value: no spaces, keys in order, and numbers that are whole.
//!
//! A signature is over bytes. Whoever verifies must be able to make the same bytes from the same value, with any
//! library; so there is only one way to write it, and what is written otherwise does not count as the same.

use std::fmt::Write as _;

use serde_json::Value;

/// The canonical text, or `None` where a number is not a whole one, which has more than one text.
pub(crate) fn text(value: &Value) -> Option<String> {
    let mut out = String::new();
    write(value, &mut out)?;
    Some(out)
}

fn write(value: &Value, out: &mut String) -> Option<()> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            let _ = write!(out, "{number}");
        }
        Value::Number(_) => return None,
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(fields) => {
            // The map's own order depends on how the library was built.
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                string(key, out);
                out.push(':');
                write(fields.get(key)?, out)?;
            }
            out.push('}');
        }
    }
    Some(())
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_text() {
        let value: Value =
            serde_json::from_str(" {\"b\" : [1, -2, null, true], \"a\": \"x\\n\\u0041\\\"é\"} ").unwrap();
        assert_eq!(text(&value).unwrap(), "{\"a\":\"x\\u000aA\\\"é\",\"b\":[1,-2,null,true]}");
        let again: Value = serde_json::from_str(&text(&value).unwrap()).unwrap();
        assert_eq!(again, value);
        assert_eq!(text(&serde_json::json!(1.5)), None);
    }
}
