//! What a run found, in a form that stays.
//!
//! INVARIANT: a check is in exactly one of `run` and `skipped`, and a skipped one says why. The JSON form only ever gains
//! fields; [`SCHEMA_VERSION`] changes when that is not enough.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_domain::isolation::Isolation;

use crate::catalog::{Check, Scope, Severity};
use crate::input::Input;

/// The version of the report's JSON form.
pub const SCHEMA_VERSION: u32 = 1;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How much harm it can do.
    pub severity: Severity,
    /// The check's id.
    pub check: String,
    /// What it was found at: `table app.notes`, `role web`.
    pub object: String,
    /// What is seen there.
    pub detail: String,
    /// The check's title.
    pub title: String,
    /// Why it leaks.
    pub why: String,
    /// What to do about it.
    pub fix: String,
    /// Statements that do it, where that needs no decision. Read them before you run them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix_sql: Option<String>,
}

impl Finding {
    pub(crate) fn of(check: &Check, object: String, detail: String, fix_sql: Option<String>) -> Self {
        Self {
            severity: check.severity,
            check: check.id.clone(),
            object,
            detail,
            title: check.title.clone(),
            why: check.why.clone(),
            fix: check.fix.clone(),
            fix_sql,
        }
    }
}

/// A check that did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// Its id.
    pub check: String,
    /// Why not.
    pub reason: String,
}

/// A finding that somebody accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedFinding {
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// Why it stays.
    pub reason: String,
}

/// A check that found more than is reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Truncated {
    /// Its id.
    pub check: String,
    /// How many findings are in the report.
    pub shown: usize,
}

/// What some checks gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Section {
    /// The ids of the checks that ran.
    pub run: Vec<String>,
    /// Those that did not.
    pub skipped: Vec<Skipped>,
    /// What they found, the worst first.
    pub findings: Vec<Finding>,
    /// Checks that found more than is shown.
    pub truncated: Vec<Truncated>,
}

/// Which server answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerFacts {
    /// Its version, such as `15.20`.
    pub version: String,
    /// As the server counts it, such as 150020.
    pub version_num: i32,
    /// Whom the guard was logged in as.
    pub login: String,
    /// Whether the server is a standby.
    pub standby: bool,
}

/// How much a run tried that sent statements as a tenant, instead of reading catalogs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// How many probes were sent.
    pub probes: u64,
    /// How many of them the server carried out; it refused the others.
    pub executed: u64,
    /// How many values of the other tenant were looked for. Without one the run proves nothing.
    pub canaries: u64,
    /// How the seal keeps the tenant of a transaction there: `register` or `signed`.
    pub seal: String,
}

/// The result of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The program's version.
    pub program: String,
    /// `database` or `server`.
    pub scope: Scope,
    /// Which server answered.
    pub server: ServerFacts,
    /// The database of the session.
    pub database: String,
    /// The level that the database was said to have.
    pub level: Isolation,
    /// The tenant column, where there is one.
    pub tenant_column: Option<String>,
    /// The application's roles that were looked at.
    pub roles: Vec<String>,
    /// When the database was looked at, by the server's clock.
    pub taken_at: Timestamp,
    /// How long that took, in milliseconds.
    pub duration_ms: u64,
    /// What was found and what was not looked at.
    #[serde(flatten)]
    pub section: Section,
    /// Findings that somebody accepted, with their reasons.
    pub accepted: Vec<AcceptedFinding>,
    /// How many findings there are of each severity; accepted ones are not counted.
    pub counts: BTreeMap<Severity, usize>,
    /// What was tried; absent in a report of catalogs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tried: Option<Tried>,
}

impl Report {
    /// Whether nothing was found that is not accepted. Look at `skipped` too: what did not run found nothing.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.section.findings.is_empty()
    }

    /// The worst severity among the findings.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.section.findings.iter().map(|finding| finding.severity).min()
    }

    /// Adds what another part found, such as the probe of a pool, under the same accepted entries.
    pub fn add(&mut self, section: Section, input: &Input) {
        self.section.skipped.retain(|skipped| !section.run.contains(&skipped.check));
        self.section.run.extend(section.run);
        self.section.skipped.extend(section.skipped);
        self.section.truncated.extend(section.truncated);
        for finding in section.findings {
            match input.accepted.iter().find(|entry| entry.covers(&finding.check, &finding.object)) {
                Some(entry) => self.accepted.push(AcceptedFinding { finding, reason: entry.reason.clone() }),
                None => self.section.findings.push(finding),
            }
        }
        self.settle();
    }

    /// Puts the findings into their order and counts them.
    pub(crate) fn settle(&mut self) {
        self.section.findings.sort();
        self.counts = Severity::ALL.into_iter().map(|severity| (severity, 0)).collect();
        for finding in &self.section.findings {
            *self.counts.entry(finding.severity).or_default() += 1;
        }
    }
}
