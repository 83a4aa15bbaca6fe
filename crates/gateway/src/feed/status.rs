//! How the feed goes, as numbers that metrics and people can read.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tenantry_domain::Timestamp;

use super::LookError;
use super::disk::{FileError, Kept};
use super::follow::{Counts, Looked};

/// Where the table comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Source {
    /// The control database, at the last success.
    #[default]
    Database,
    /// The file; the database has not answered since the start.
    File,
}

impl Source {
    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::File => "file",
        }
    }
}

/// How the feed goes at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Where the table comes from.
    pub source: Source,
    /// As of when the table is, by the database's clock.
    pub last_success: Option<Timestamp>,
    /// For how long the database has not answered; absent while it does.
    pub away: Option<Duration>,
    /// Looks that failed since the last one that did not.
    pub failures: u64,
    /// Why the last look failed; absent when it did not.
    pub error: Option<String>,
    /// Looks that succeeded since the start.
    pub looks: u64,
    /// Those of them that read everything.
    pub full_reads: u64,
    /// Changes that were applied since the start.
    pub changes: u64,
    /// Changes that no look had announced and a reading of everything found.
    pub missed: u64,
    /// Tenants in the table.
    pub tenants: usize,
    /// Logins in the table.
    pub logins: usize,
    /// Cells in the table.
    pub cells: usize,
    /// As of when the file is; absent before it was written.
    pub file_as_of: Option<Timestamp>,
    /// Why the file could not be written; absent when it could.
    pub file_error: Option<String>,
}

/// The status as task and readers share it.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    status: Status,
    /// Since when looks fail.
    failing: Option<Instant>,
}

impl Shared {
    pub(super) fn status(&self) -> Status {
        let state = self.lock();
        Status { away: state.failing.map(|since| since.elapsed()), ..state.status.clone() }
    }

    pub(super) fn succeeded(&self, looked: &Looked) {
        let mut state = self.lock();
        state.failing = None;
        let status = &mut state.status;
        (status.source, status.last_success) = (Source::Database, Some(looked.at));
        (status.failures, status.error) = (0, None);
        status.looks += 1;
        status.full_reads += u64::from(looked.is_full);
        status.changes += looked.changes as u64;
        status.missed += looked.missed as u64;
        let Counts { tenants, logins, cells } = looked.counts;
        (status.tenants, status.logins, status.cells) = (tenants, logins, cells);
    }

    /// Notes a failure; gives how long the database has not answered.
    pub(super) fn failed(&self, error: &LookError) -> Option<Duration> {
        let mut state = self.lock();
        let since = *state.failing.get_or_insert_with(Instant::now);
        state.status.failures += 1;
        state.status.error = Some(error.to_string());
        Some(since.elapsed())
    }

    pub(super) fn started_from_file(&self, kept: &Kept) {
        let mut state = self.lock();
        state.failing = Some(Instant::now());
        let status = &mut state.status;
        (status.source, status.last_success, status.failures) = (Source::File, Some(kept.taken_at), 1);
        (status.tenants, status.logins, status.cells) =
            (kept.full.routes.len(), kept.full.logins.len(), kept.full.cells.len());
        status.file_as_of = Some(kept.taken_at);
    }

    /// As of when the database confirmed the table, if it ever did.
    pub(super) fn confirmed(&self) -> Option<Timestamp> {
        let state = self.lock();
        state.status.last_success.filter(|_| state.status.source == Source::Database)
    }

    pub(super) fn written(&self, as_of: Timestamp) {
        let mut state = self.lock();
        (state.status.file_as_of, state.status.file_error) = (Some(as_of), None);
    }

    pub(super) fn unwritten(&self, error: &FileError) {
        self.lock().status.file_error = Some(error.to_string());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in between panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
