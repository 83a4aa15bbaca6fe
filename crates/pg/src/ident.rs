//! Quoted identifiers.
//!
//! An [`Ident`] is the only way for a run-time name into SQL text. It is always quoted, also where PostgreSQL
//! would not ask for it, so that a name never changes its meaning by folding or by being a keyword.

use std::fmt;

/// The longest name PostgreSQL keeps; a longer one would be cut silently and could then name another object.
const LONGEST: usize = 63;

/// Why a text cannot name an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentError {
    /// Nothing was given.
    #[error("a name must not be empty")]
    Empty,
    /// PostgreSQL would cut the name.
    #[error("a name may have at most 63 bytes, this has {bytes}")]
    TooLong {
        /// What was given.
        bytes: usize,
    },
    /// No PostgreSQL text can hold a NUL.
    #[error("a name must not hold a NUL")]
    Nul,
}

/// The name of a role, database, schema, table, column or the like. `Display` writes it quoted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident(String);

impl Ident {
    /// Takes a name as the catalog stores it, without quotes.
    ///
    /// # Errors
    /// The name is empty, longer than 63 bytes or holds a NUL.
    pub fn new(name: impl AsRef<str>) -> Result<Self, IdentError> {
        let name = name.as_ref();
        if name.is_empty() {
            return Err(IdentError::Empty);
        }
        if name.len() > LONGEST {
            return Err(IdentError::TooLong { bytes: name.len() });
        }
        if name.contains('\0') {
            return Err(IdentError::Nul);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as the catalog stores it: for comparing and as a parameter, never for SQL text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        f.write_str(&self.0.replace('"', "\"\""))?;
        f.write_str("\"")
    }
}

impl AsRef<str> for Ident {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Ident {
    type Err = IdentError;
    fn from_str(name: &str) -> Result<Self, IdentError> {
        Self::new(name)
    }
}
