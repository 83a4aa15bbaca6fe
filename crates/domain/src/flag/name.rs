//! Names of features: a grammar of programs, wider than that of hosts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a feature, and of the flag that decides it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FlagName(String);

/// The text cannot name a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must begin with a letter and hold at most 63 of a-z, A-Z, 0-9, `_`, `.` and `-`")]
pub struct FlagNameError;

impl FlagName {
    /// Most characters of a name.
    pub const MAX: usize = 63;

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FlagName {
    type Err = FlagNameError;
    fn from_str(text: &str) -> Result<Self, FlagNameError> {
        let mut characters = text.chars();
        let is_led = characters.next().is_some_and(|c| c.is_ascii_alphabetic());
        let is_word = is_led && characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        if is_word && text.len() <= Self::MAX { Ok(Self(text.to_owned())) } else { Err(FlagNameError) }
    }
}

impl TryFrom<String> for FlagName {
    type Error = FlagNameError;
    fn try_from(text: String) -> Result<Self, FlagNameError> {
        text.parse()
    }
}

impl From<FlagName> for String {
    fn from(name: FlagName) -> Self {
        name.0
    }
}

impl fmt::Display for FlagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
