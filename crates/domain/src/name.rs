//! Names that people choose: environments, slugs, plan codes, regions, cells, apps.
//!
//! Every name is parsed once at the door and is a legal DNS label afterwards, so it may become part of a host,
//! a Kubernetes object or (quoted) a PostgreSQL name without another check.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// More characters than the kind allows.
    #[error("must have at most {max} characters, this has {actual}")]
    TooLong {
        /// The kind's bound.
        max: usize,
        /// What was given.
        actual: usize,
    },
    /// Fewer characters than the kind needs.
    #[error("must have at least {min} characters")]
    TooShort {
        /// The kind's bound.
        min: usize,
    },
    /// Something else than `a-z`, `0-9` and `-`.
    #[error("may hold only a-z, 0-9 and `-`; `{found}` is not allowed")]
    Character {
        /// The first offending character, escaped.
        found: String,
    },
    /// A hyphen at an end, or two in a row.
    #[error("must not start or end with `-`, nor hold `--`")]
    Hyphen,
    /// The name is kept back, see [`crate::tenant::slug`].
    #[error("`{name}` is reserved")]
    Reserved {
        /// The reserved name that was asked for, or that it is mistaken for.
        name: String,
    },
    /// Only digits, which tools take for numbers.
    #[error("must hold at least one letter")]
    OnlyDigits,
}

/// Checks the grammar that all names share: `[a-z0-9]([a-z0-9-]*[a-z0-9])?` without `--`.
///
/// # Errors
/// The first rule that the text breaks.
pub fn check_label(text: &str, min: usize, max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(found) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(NameError::Character { found: found.escape_default().to_string() });
    }
    if text.len() > max {
        return Err(NameError::TooLong { max, actual: text.len() });
    }
    if text.len() < min {
        return Err(NameError::TooShort { min });
    }
    if text.starts_with('-') || text.ends_with('-') || text.contains("--") {
        return Err(NameError::Hyphen);
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, max $max:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Most characters that such a name may have.
            pub const MAX: usize = $max;

            /// Parses a name.
            ///
            /// # Errors
            /// The first rule of the grammar that `text` breaks.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check_label(text, 1, $max)?;
                Ok(Self(text.to_owned()))
            }

            /// The name's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    )*};
}

names! {
    /// A partition of the registry (`prod`, `staging`). Part of database names, therefore short.
    EnvironmentName, max 20;
    /// A plan's code. 50 characters, the longest that an adopted system is known to use.
    PlanCode, max 50;
    /// A region's label; free text of the operator's topology.
    RegionName, max 50;
    /// A cell's name.
    CellName, max 50;
    /// An app's name. Part of database names, therefore short.
    AppName, max 32;
    /// A meter's name, which is the type of the events that it measures.
    MeterName, max 50;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar_names_the_first_broken_rule() {
        let cases = [
            ("", NameError::Empty),
            ("Acme", NameError::Character { found: "A".into() }),
            ("a_b", NameError::Character { found: "_".into() }),
            ("a b", NameError::Character { found: " ".into() }),
            ("é", NameError::Character { found: "\\u{e9}".into() }),
            ("-a", NameError::Hyphen),
            ("a-", NameError::Hyphen),
            ("a--b", NameError::Hyphen),
        ];
        for (text, expected) in cases {
            assert_eq!(PlanCode::parse(text), Err(expected), "{text:?}");
        }
        assert!(PlanCode::parse(&"a".repeat(50)).is_ok());
        assert_eq!(PlanCode::parse(&"a".repeat(51)), Err(NameError::TooLong { max: 50, actual: 51 }));
    }
}
