//! The only door for SQL that is not written out in our sources.
//!
//! A [`Sql`] is put together from text of ours (`&'static str`), quoted names, quoted literals and numbers. There
//! is no way in for a run-time string as text. [`Sql::script`] is the one exception, for the user's own migration
//! files, whose whole point is to be run as they are; `cargo xtask tidy` lists its callers.

use std::fmt::{self, Write as _};

use crate::Ident;

/// SQL text that is safe to send because of how it was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Sql(String);

impl Sql {
    /// Starts with a text of ours.
    #[must_use]
    pub fn new(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// A whole script that its owner wrote to be run (a migration file). Never for anything that came with a request.
    #[must_use]
    pub fn script(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Adds a text of ours.
    #[must_use]
    pub fn push(mut self, text: &'static str) -> Self {
        self.0.push_str(text);
        self
    }

    /// Adds a quoted name.
    #[must_use]
    pub fn ident(mut self, name: &Ident) -> Self {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{name}");
        self
    }

    /// Adds a quoted string literal. No PostgreSQL string can hold a NUL: a text with one is refused when it is sent.
    #[must_use]
    pub fn literal(mut self, value: &str) -> Self {
        // A backslash means itself only while standard_conforming_strings is on; E'' means the same under both.
        // The leading space keeps `E` from melting into a word before it.
        if value.contains('\\') {
            self.0.push_str(" E");
        }
        self.0.push('\'');
        for c in value.chars() {
            match c {
                '\'' => self.0.push_str("''"),
                '\\' => self.0.push_str("\\\\"),
                other => self.0.push(other),
            }
        }
        self.0.push('\'');
        self
    }

    /// Adds a whole number. A negative one is put into parentheses, so that it cannot make `--` with what is before.
    #[must_use]
    pub fn int(mut self, value: i64) -> Self {
        let _ = if value < 0 { write!(self.0, "({value})") } else { write!(self.0, "{value}") };
        self
    }

    /// Adds another piece made the same way.
    #[must_use]
    pub fn sql(mut self, other: &Self) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// Adds pieces with a separator of ours between them.
    #[must_use]
    pub fn join<'a>(mut self, pieces: impl IntoIterator<Item = &'a Self>, separator: &'static str) -> Self {
        for (index, piece) in pieces.into_iter().enumerate() {
            if index > 0 {
                self.0.push_str(separator);
            }
            self.0.push_str(&piece.0);
        }
        self
    }

    /// The text to send.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sql {
    /// Only the length: a literal may be a secret (a role's verifier).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sql({} bytes)", self.0.len())
    }
}

impl From<&Ident> for Sql {
    fn from(name: &Ident) -> Self {
        Self(name.to_string())
    }
}
