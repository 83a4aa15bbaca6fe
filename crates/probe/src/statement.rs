//! One probe: a statement, what it tries, and by what it is judged.

use tenantry_pg::Sql;

use crate::report::Verb;

/// How a probe is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// As one simple message.
    Simple,
    /// `COPY … TO STDOUT`.
    CopyOut,
    /// `COPY … FROM STDIN` with this line.
    CopyIn(String),
}

/// By what a probe is judged. A canary of the other tenant in the answer is a hit whatever stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judge {
    /// By the canaries alone.
    Canary,
    /// The statement is aimed at rows of the other tenant only: a row that it gives or touches is a hit.
    NoRows,
    /// A row for the other tenant: the policy must refuse it, and not a key that is looked at after the policy.
    ForeignRow,
    /// The server must refuse.
    Refused,
    /// A broken unique key among these tells that the other tenant holds the value; so does a row left out.
    Oracle(Vec<String>),
    /// Success is worth a note.
    Note(&'static str),
    /// More estimated rows than the tenant has are worth a note.
    Estimate,
}

/// A probe of one object.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub verb: Verb,
    pub sql: Sql,
    pub way: Way,
    pub judge: Judge,
    /// Canaries that the statement says itself, so that an echo of them is no evidence.
    pub spoken: Vec<String>,
}

impl Statement {
    pub fn new(verb: Verb, sql: Sql) -> Self {
        Self { verb, sql, way: Way::Simple, judge: Judge::Canary, spoken: Vec::new() }
    }

    pub fn judged(self, judge: Judge) -> Self {
        Self { judge, ..self }
    }

    pub fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    pub fn speaking(self, spoken: Vec<String>) -> Self {
        Self { spoken, ..self }
    }
}

/// The probes of one object.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Such as `table app.notes`.
    pub object: String,
    pub probes: Vec<Statement>,
}
