//! Meters: what is read from an event's data, and how events of an hour become one figure.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Amount, AmountError};
use crate::limit::QuotaName;

/// How the events of a window become one figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// All amounts together.
    Sum,
    /// The largest amount.
    Max,
    /// The amount of the latest event, by the events' own time.
    Last,
    /// How many different values there were.
    Unique,
}

impl Aggregation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sum, Self::Max, Self::Last, Self::Unique];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Last => "last",
            Self::Unique => "unique",
        }
    }
}

impl FromStr for Aggregation {
    type Err = UnknownAggregation;
    fn from_str(text: &str) -> Result<Self, UnknownAggregation> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or(UnknownAggregation)
    }
}

/// The text is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an aggregation")]
pub struct UnknownAggregation;

/// The name of a field directly in an event's `data`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Field(String);

/// The text names no field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must begin with a letter or `_` and hold at most {} of a-z, A-Z, 0-9, `_` and `-`", Field::MAX)]
pub struct FieldError;

impl Field {
    /// Most characters.
    pub const MAX: usize = 40;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Field {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let is_led = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if is_led && is_word && text.len() <= Self::MAX { Ok(Self(text.to_owned())) } else { Err(FieldError) }
    }
}

impl TryFrom<String> for Field {
    type Error = FieldError;
    fn try_from(text: String) -> Result<Self, FieldError> {
        text.parse()
    }
}

impl From<Field> for String {
    fn from(field: Field) -> Self {
        field.0
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The desired state of a meter. Its name is the `type` of the events that it measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeterSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What is counted: `request`, `byte`, `token`.
    pub unit: String,
    /// How events become a figure.
    pub aggregation: Aggregation,
    /// The field of `data` that is read. Absent only for a sum, which counts one for each event then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Field>,
    /// Fields of `data` that figures are kept apart by; at most [`MeterSpec::DIMENSIONS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dimensions: Vec<Field>,
    /// A quota of plans whose use is what this meter has counted in the calendar month. Only for sums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaName>,
}

/// What an event counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// The amount; one for a value that is counted once.
    pub amount: Amount,
    /// The value that is counted once; only of [`Aggregation::Unique`].
    pub member: Option<String>,
    /// The dimensions that the event has, as a JSON mapping of texts in the order of names.
    pub dimensions: String,
}

/// Why an event cannot be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// The field that the meter reads is not there.
    #[error("is missing; the meter reads it")]
    Missing {
        /// Which.
        field: Field,
    },
    /// It is no amount.
    #[error("{cause}")]
    Amount {
        /// Which.
        field: Field,
        /// Why.
        cause: AmountError,
    },
    /// It is no text, number or truth value, or is too long.
    #[error("must be a text of at most {} bytes, a number, true or false", MeterSpec::LONGEST)]
    Word {
        /// Which.
        field: Field,
    },
}

impl MeasureError {
    /// The field at fault.
    #[must_use]
    pub const fn field(&self) -> &Field {
        match self {
            Self::Missing { field } | Self::Amount { field, .. } | Self::Word { field } => field,
        }
    }
}

impl MeterSpec {
    /// Most dimensions.
    pub const DIMENSIONS: usize = 5;

    /// Most bytes of a dimension's value, and of a value that is counted once.
    pub const LONGEST: usize = 128;

    /// What an event with this data counts.
    ///
    /// # Errors
    /// A field that the meter reads is missing or not of its kind.
    pub fn measure(&self, data: &Map<String, Value>) -> Result<Measured, MeasureError> {
        let get = |field: &Field| data.get(field.as_str()).filter(|value| !value.is_null());
        let mut dimensions = BTreeMap::new();
        for field in &self.dimensions {
            if let Some(value) = get(field) {
                dimensions.insert(field.as_str(), word(field, value)?);
            }
        }
        // A mapping of texts is always JSON, and one spelling names one row.
        let dimensions = serde_json::to_string(&dimensions).unwrap_or_default();
        let (amount, member) = match (&self.value, self.aggregation) {
            (None, _) => (Amount::ONE, None),
            (Some(field), aggregation) => {
                let value = get(field).ok_or_else(|| MeasureError::Missing { field: field.clone() })?;
                if aggregation == Aggregation::Unique {
                    (Amount::ONE, Some(word(field, value)?))
                } else {
                    (amount(field, value)?, None)
                }
            }
        };
        Ok(Measured { amount, member, dimensions })
    }
}

fn word(field: &Field, value: &Value) -> Result<String, MeasureError> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => return Err(MeasureError::Word { field: field.clone() }),
    };
    // PostgreSQL has no place for it.
    let is_fit = text.len() <= MeterSpec::LONGEST && !text.contains('\0');
    if is_fit { Ok(text) } else { Err(MeasureError::Word { field: field.clone() }) }
}

fn amount(field: &Field, value: &Value) -> Result<Amount, MeasureError> {
    let wrong = |cause| MeasureError::Amount { field: field.clone(), cause };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.to_string(),
            // The shortest decimal that means this very number, and never with an exponent.
            (None, Some(float)) => format!("{float}"),
            (None, None) => number.to_string(),
        },
        _ => return Err(wrong(AmountError::Form)),
    };
    Amount::parse(&text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meter(aggregation: Aggregation, value: Option<&str>, dimensions: &[&str]) -> MeterSpec {
        MeterSpec {
            description: None,
            unit: "byte".into(),
            aggregation,
            value: value.map(|name| name.parse().unwrap()),
            dimensions: dimensions.iter().map(|name| name.parse().unwrap()).collect(),
            quota: None,
        }
    }

    fn measure(meter: &MeterSpec, data: Value) -> Result<(i64, Option<String>, String), String> {
        let measured =
            meter.measure(data.as_object().unwrap()).map_err(|error| format!("{}: {error}", error.field()))?;
        Ok((measured.amount.millionths(), measured.member, measured.dimensions))
    }

    #[test]
    fn a_sum_without_a_field_counts_events() {
        let count = meter(Aggregation::Sum, None, &[]);
        assert_eq!(measure(&count, json!({ "anything": [1] })), Ok((1_000_000, None, "{}".into())));
    }

    #[test]
    fn amounts_are_numbers_or_texts_of_them() {
        let sum = meter(Aggregation::Sum, Some("bytes"), &[]);
        for (value, parts) in [(json!(2), 2_000_000), (json!(0.1), 100_000), (json!("12.5"), 12_500_000)] {
            assert_eq!(measure(&sum, json!({ "bytes": value })).map(|found| found.0), Ok(parts), "{value}");
        }
        for wrong in [json!(-1), json!([1]), json!(true), json!("a lot"), json!(1e-9), json!(1e300)] {
            let error = measure(&sum, json!({ "bytes": wrong })).unwrap_err();
            assert!(error.starts_with("bytes: must "), "{wrong}: {error}");
        }
        assert_eq!(measure(&sum, json!({})), Err("bytes: is missing; the meter reads it".into()));
        assert_eq!(measure(&sum, json!({ "bytes": null })), Err("bytes: is missing; the meter reads it".into()));
    }

    #[test]
    fn dimensions_have_one_spelling() {
        let sum = meter(Aggregation::Sum, None, &["region", "model"]);
        let (_, _, one) = measure(&sum, json!({ "region": "eu", "model": 4, "user": "x" })).unwrap();
        let (_, _, other) = measure(&sum, json!({ "model": "4", "region": "eu" })).unwrap();
        assert_eq!((one.as_str(), one == other), (r#"{"model":"4","region":"eu"}"#, true));
        assert_eq!(measure(&sum, json!({ "region": "x".repeat(129) })).unwrap_err().split(':').next(), Some("region"));
        assert_eq!(measure(&sum, json!({ "region": { "a": 1 } })).unwrap_err().split(':').next(), Some("region"));
        assert_eq!(measure(&sum, json!({})).unwrap().2, "{}");
    }

    #[test]
    fn what_is_counted_once_is_a_word() {
        let unique = meter(Aggregation::Unique, Some("user"), &[]);
        assert_eq!(measure(&unique, json!({ "user": "u-1" })), Ok((1_000_000, Some("u-1".into()), "{}".into())));
        assert_eq!(measure(&unique, json!({ "user": 7 })).unwrap().1, Some("7".into()));
        assert!(measure(&unique, json!({ "user": "a\0b" })).is_err());
    }

    #[test]
    fn fields_are_words() {
        for good in ["bytes", "_x", "a-b", "A1"] {
            assert!(good.parse::<Field>().is_ok(), "{good}");
        }
        for bad in ["", "1a", "a.b", "a b", &"x".repeat(41)] {
            assert_eq!(bad.parse::<Field>(), Err(FieldError), "{bad}");
        }
    }
}
