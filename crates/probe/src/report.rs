//! What a run of the probe found, in a form that stays.
//!
//! INVARIANT: a report holds no canary and no stored value, only where a value was planted. The JSON form only ever
//! gains fields; [`SCHEMA_VERSION`] changes when that is not enough.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_domain::isolation::Isolation;

use crate::plant::Unplantable;

/// The version of the report's JSON form.
pub const SCHEMA_VERSION: u32 = 1;

/// What a probe tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Reading rows, in every way a query can.
    Select,
    /// Counting, ordering and gathering them.
    Aggregate,
    /// Joining them with another table.
    Join,
    /// Asking whether a row is there.
    Exists,
    /// Locking rows.
    LockRows,
    /// Making an error tell a value.
    Error,
    /// Reading by COPY.
    CopyTo,
    /// Writing by COPY.
    CopyFrom,
    /// Inserting a row for the other tenant.
    Insert,
    /// Inserting a row that collides with the other tenant's.
    Conflict,
    /// Referring to the other tenant's row.
    Reference,
    /// Changing the other tenant's row.
    Update,
    /// Giving a row to the other tenant.
    GiveAway,
    /// Deleting the other tenant's row.
    Delete,
    /// All of these by MERGE.
    Merge,
    /// Emptying the table.
    Truncate,
    /// Locking the table.
    LockTable,
    /// Taking protections off.
    Alter,
    /// What the planner tells.
    Explain,
    /// Calling a function or procedure.
    Call,
    /// Reading or moving a sequence.
    Sequence,
    /// Asking the catalog and the statistics.
    Catalog,
    /// Large objects.
    LargeObject,
    /// Choosing the other tenant by a setting.
    Setting,
    /// Becoming another role.
    Role,
    /// Files and programs of the server.
    Server,
    /// Logging in to the other tenant's database.
    Connect,
}

/// Something of the other tenant came through. Every one is critical.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hit {
    /// What was attacked, such as `table app.notes`.
    pub object: String,
    /// How.
    pub verb: Verb,
    /// The statement, with canaries replaced by their names.
    pub statement: String,
    /// What came back, with canaries replaced by their names.
    pub evidence: String,
}

/// Something that tells a little and is no hit: estimates, counters, locks on common tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// What it was seen at.
    pub object: String,
    /// What is seen.
    pub text: String,
}

/// The result of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeReport {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// When it began.
    pub taken_at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The level of the two places.
    pub level: Isolation,
    /// The database in which the probes ran.
    pub database: String,
    /// How many probes ran.
    pub probes: usize,
    /// How many of them the server carried out; the others were refused.
    pub executed: usize,
    /// Probes by what they tried.
    pub by_verb: BTreeMap<Verb, usize>,
    /// Objects that were probed.
    pub objects: Vec<String>,
    /// How many canaries were looked for.
    pub canaries: usize,
    /// Tables in which the second tenant has no canary.
    pub unplantable: Vec<Unplantable>,
    /// What could not be probed, with its reason.
    pub skipped: Vec<Note>,
    /// What tells a little.
    pub notes: Vec<Note>,
    /// What came through.
    pub hits: Vec<Hit>,
}

impl ProbeReport {
    /// Whether nothing came through. A run without canaries proves nothing and is not clean.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.hits.is_empty() && self.canaries > 0
    }
}
