//! Writes statements piece by piece.
//!
//! A pen holds a [`Sql`] and writes on it in place, which reads better than a chain where branches and loops decide
//! what comes next. It has no way in for text that is not written in our sources.

use tenantry_pg::{Ident, Sql};

use crate::model::TypeName;

/// A statement that is being written.
#[derive(Debug, Clone)]
pub(crate) struct Pen(Sql);

impl Pen {
    pub fn new(text: &'static str) -> Self {
        Self(Sql::new(text))
    }

    fn with(&mut self, write: impl FnOnce(Sql) -> Sql) -> &mut Self {
        let written = std::mem::replace(&mut self.0, Sql::new(""));
        self.0 = write(written);
        self
    }

    pub fn put(&mut self, text: &'static str) -> &mut Self {
        self.with(|sql| sql.push(text))
    }

    pub fn name(&mut self, name: &Ident) -> &mut Self {
        self.with(|sql| sql.ident(name))
    }

    pub fn full(&mut self, schema: &Ident, name: &Ident) -> &mut Self {
        self.with(|sql| sql.ident(schema).push(".").ident(name))
    }

    pub fn literal(&mut self, value: &str) -> &mut Self {
        self.with(|sql| sql.literal(value))
    }

    /// A value, or NULL.
    pub fn value(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.literal(value),
            None => self.put("NULL"),
        }
    }

    pub fn int(&mut self, value: i64) -> &mut Self {
        self.with(|sql| sql.int(value))
    }

    pub fn sql(&mut self, other: &Sql) -> &mut Self {
        self.with(|sql| sql.sql(other))
    }

    pub fn pen(&mut self, other: &Self) -> &mut Self {
        self.with(|sql| sql.sql(&other.0))
    }

    pub fn cast(&mut self, value: Option<&str>, to: &TypeName) -> &mut Self {
        self.put("CAST(").value(value).put(" AS ").full(&to.schema, &to.name).put(")")
    }

    /// A text in two halves: wherever the server repeats the statement, the whole does not appear.
    pub fn halves(&mut self, value: &str) -> &mut Self {
        let middle = value.char_indices().nth(value.chars().count() / 2).map_or(0, |(at, _)| at);
        let (left, right) = value.split_at(middle);
        self.put("(").literal(left).put(" || ").literal(right).put(")")
    }

    pub fn done(self) -> Sql {
        self.0
    }
}
