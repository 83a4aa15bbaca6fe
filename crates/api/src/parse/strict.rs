//! A tree of values in which every name stands once, nothing is too deep, and no text holds U+0000.
//!
//! Duplicate names are refused because which one counts would be a guess that two readers make differently; U+0000
//! because PostgreSQL can store it in no text. Works for any format that serde reads.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting of mappings and lists. Settings may have 16 levels and stand two below the root.
pub const MAX_DEPTH: usize = 32;

/// A [`Value`] that was read by the rules above.
#[derive(Debug, Clone, PartialEq)]
pub struct Strict(pub Value);

impl<'de> de::Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let depth = Cell::new(0);
        Tree { depth: &depth }.deserialize(deserializer).map(Strict)
    }
}

/// Reads JSON.
///
/// # Errors
/// What is malformed, with line and column.
pub fn from_json(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(bytes).map(|strict| strict.0)
}

#[derive(Clone, Copy)]
struct Tree<'d> {
    depth: &'d Cell<usize>,
}

impl Tree<'_> {
    fn enter<E: de::Error>(self) -> Result<(), E> {
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() > MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }

    fn leave(self) {
        self.depth.set(self.depth.get() - 1);
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn text<E: de::Error>(text: String) -> Result<Value, E> {
    if text.contains('\0') {
        return Err(E::custom("text must not hold the character U+0000"));
    }
    Ok(Value::String(text))
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Value, E> {
        Err(E::custom("the number does not fit 64 bits; put it in quotes if it is text"))
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Value, E> {
        Err(E::custom("the number does not fit 64 bits; put it in quotes if it is text"))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("the number is not finite"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        text(value.to_owned())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        self.leave();
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name.contains('\0') {
                return Err(de::Error::custom("names must not hold the character U+0000"));
            }
            let value = members.next_value_seed(self)?;
            if map.contains_key(&name) {
                let name = super::read::shorten(&name);
                return Err(de::Error::custom(format_args!("the name `{name}` stands twice in one mapping")));
            }
            map.insert(name, value);
        }
        self.leave();
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_readers_disagree_about_is_refused() {
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
        let cases = [
            (r#"{"a":1,"a":2}"#, "twice"),
            (r#"{"x":{"a":1,"\u0061":2}}"#, "twice"),
            (r#"{"a":"\u0000"}"#, "U+0000"),
            (r#"{"\u0000":1}"#, "U+0000"),
            (r#"{"a":1e999}"#, "out of range"),
            (r#"{"a":1} x"#, "trailing"),
            (&deep, "deeper"),
        ];
        for (json, expected) in cases {
            let error = from_json(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("line 1 column"), "{json}: {error}");
        }
        let fit = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert!(from_json(fit.as_bytes()).is_ok());
        let plain = r#"{"a":[1,-2,1.5,null,true,"x"],"b":{}}"#;
        assert_eq!(from_json(plain.as_bytes()).unwrap(), serde_json::from_str::<Value>(plain).unwrap());
    }
}
