//! The only way to change anything: a transaction that ends with its audit entries.
//!
//! A [`WriteTx`] gathers what it is to write and sends it together: the first read takes BEGIN along, the commit
//! takes all that was gathered, the entries and COMMIT, so that a change of one tenant costs two round trips.
//! Changed tenants are written from memory, in one statement for all.
//!
//! INVARIANT: nothing but [`WriteTx::commit`] commits a change, and it refuses one whose audit entries do not match. Long because what is
//! gathered, and what is done with it at the end, are one thing.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::{Actor, Permit, Scope};
use tenantry_domain::tenant::Slug;
use tenantry_pg::{Conn, PgError, Row, TxMode};

use crate::access::Grants;
use crate::ahead::Ahead;
use crate::approvals::Approvals;
use crate::catalog::Catalog;
use crate::cells::Cells;
use crate::chain::{self, Head};
use crate::columns::get;
use crate::domains::Domains;
use crate::entry::{Entry, Receipt};
use crate::error::state;
use crate::flags::Flags;
use crate::guard::Isolation;
use crate::idempotency::Idempotency;
use crate::line::{self, Failure, Statement};
use crate::logins::Logins;
use crate::operations::Operations;
use crate::rollouts::Rollouts;
use crate::row;
use crate::scope::Subject;
use crate::settle;
use crate::streams::Streams;
use crate::tenants::{TenantRow, Tenants};
use crate::tokens::Tokens;
use crate::workflows::Workflows;
use crate::{Store, StoreError};

/// A tenant that this transaction has locked.
pub(crate) struct Locked {
    pub(crate) row: TenantRow,
    /// The version that this transaction made.
    pub(crate) made: Option<Made>,
    pub(crate) is_dirty: bool,
    pub(crate) rename: Option<Slug>,
}

/// A version that this transaction made.
pub(crate) struct Made {
    pub(crate) version: i64,
    /// Action and correlation id of its history row, unless that is written already.
    pub(crate) history: Option<(String, String)>,
}

/// What the operator's rules said of a change.
enum Ruling {
    /// They have to be asked.
    Awaited,
    /// They are not asked about it: a controller does what was allowed before.
    NotNeeded,
    /// They allow it; the fingerprint of them, for the entries.
    Allowed(String),
}

/// An open change. Dropping it undoes everything.
pub struct WriteTx {
    store: Store,
    /// Gone once it went back.
    conn: Option<Conn>,
    pub(crate) scope: Scope,
    pub(crate) actor: Actor,
    ruling: Ruling,
    pub(crate) now: Timestamp,
    pub(crate) locked: BTreeMap<TenantId, Locked>,
    pub(crate) heads: BTreeMap<Subject, Head>,
    queue: Vec<Statement>,
    /// What a look ahead would have written; absent where changes last.
    pub(crate) ahead: Option<Ahead>,
    /// Something was written that is neither a locked row nor queued.
    pub(crate) wrote: bool,
    has_begun: bool,
    is_aborted: bool,
    /// An answer is awaited: the connection cannot be used if the wait ends early.
    is_waiting: bool,
}

const LOCK_ENVIRONMENT: &str =
    "SELECT audit_seq, audit_head, event_seq FROM tenantry.environment WHERE name = $1 FOR NO KEY UPDATE";

impl WriteTx {
    pub(crate) fn new(store: Store, conn: Conn, permit: &Permit, now: Timestamp) -> Self {
        // Columns hold microseconds; an entry's text must say the same.
        let now = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
        Self {
            store,
            conn: Some(conn),
            scope: permit.scope().clone(),
            actor: permit.actor().clone(),
            ruling: if permit.is_ours() { Ruling::NotNeeded } else { Ruling::Awaited },
            now,
            locked: BTreeMap::new(),
            heads: BTreeMap::new(),
            queue: Vec::new(),
            ahead: None,
            wrote: false,
            has_begun: false,
            is_aborted: false,
            is_waiting: false,
        }
    }

    /// Makes it a look ahead, before anything was asked.
    pub(crate) fn looking_ahead(mut self) -> Self {
        self.ahead = Some(Ahead::default());
        self
    }

    /// Whether nothing of this will last, see [`Store::look_ahead`].
    #[must_use]
    pub const fn looks_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// The environment that the permit reaches.
    #[must_use]
    pub const fn environment(&self) -> &EnvironmentName {
        &self.scope.environment
    }

    /// Who acts.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The moment that stamps everything written here.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Says that the operator's rules allow what is done here. Without that, nothing that a caller asked for is committed.
    pub fn allow(&mut self, fingerprint: String) {
        self.ruling = Ruling::Allowed(fingerprint);
    }

    /// Tenants of the scope.
    pub fn tenants(&mut self) -> Tenants<'_> {
        Tenants { tx: self }
    }

    /// Plans, regions, cells and apps.
    pub fn catalog(&mut self) -> Catalog<'_> {
        Catalog { tx: self }
    }

    /// Places of the cells.
    pub fn cells(&mut self) -> Cells<'_> {
        Cells { tx: self }
    }

    /// Workflows.
    pub fn workflows(&mut self) -> Workflows<'_> {
        Workflows { tx: self }
    }

    /// Operations that callers follow.
    pub fn operations(&mut self) -> Operations<'_> {
        Operations { tx: self }
    }

    /// Rollouts of apps.
    pub fn rollouts(&mut self) -> Rollouts<'_> {
        Rollouts { tx: self }
    }

    /// What was found at the cells.
    pub fn isolation(&mut self) -> Isolation<'_> {
        Isolation { tx: self }
    }

    /// Domains of tenants' own.
    pub fn domains(&mut self) -> Domains<'_> {
        Domains { tx: self }
    }

    /// Logins of the gateway.
    pub fn logins(&mut self) -> Logins<'_> {
        Logins { tx: self }
    }

    /// Flags of the environment.
    pub fn flags(&mut self) -> Flags<'_> {
        Flags { tx: self }
    }

    /// Streams that events are published to.
    pub fn streams(&mut self) -> Streams<'_> {
        Streams { tx: self }
    }

    /// Answers kept for repeated requests.
    pub fn idempotency(&mut self) -> Idempotency<'_> {
        Idempotency { tx: self }
    }

    /// Emergency access.
    pub fn grants(&mut self) -> Grants<'_> {
        Grants { tx: self }
    }

    /// Words of people that somebody else may do something.
    pub fn approvals(&mut self) -> Approvals<'_> {
        Approvals { tx: self }
    }

    /// Bearer tokens.
    pub fn tokens(&mut self) -> Tokens<'_> {
        Tokens { tx: self }
    }

    /// Makes the change last together with its entries and their events. The only commit there is.
    ///
    /// Every version that was made needs exactly one successful mutation entry that names it; every tenant that was
    /// changed needs an entry of its own; anything else that was written needs at least one entry.
    ///
    /// # Errors
    /// [`StoreError::Aborted`] for a look ahead, too; [`StoreError::Unaudited`] when entries are missing or name what was not
    /// done; [`StoreError::Unruled`] when nobody asked the operator's rules; [`StoreError::UnknownOutcome`] when the answer was
    /// lost; whatever the gathered statements meet.
    pub async fn commit(mut self, mut entries: Vec<Entry>) -> Result<Receipt, StoreError> {
        if self.is_aborted || self.looks_ahead() {
            return Err(StoreError::Aborted);
        }
        match &self.ruling {
            Ruling::Awaited => return Err(StoreError::Unruled),
            Ruling::NotNeeded => {}
            Ruling::Allowed(fingerprint) => {
                entries.iter_mut().for_each(|entry| entry.audit.policy.clone_from(fingerprint));
            }
        }
        self.check(&entries)?;
        self.keep_contract(&entries)?;
        self.lock_subjects(&entries).await?;
        let locked = &self.locked;
        let version_of =
            |subject: Subject| subject.tenant().and_then(|id| locked.get(&id)).map(|locked| locked.row.version);
        let touched: BTreeSet<Subject> = entries.iter().map(|entry| entry.subject).collect();
        let mut numbered = chain::number(&self.scope.environment, self.now, entries, &mut self.heads, version_of);
        let stamps = std::mem::take(&mut numbered.stamps);
        let mut statements = std::mem::take(&mut self.queue);
        statements.extend(settle::statements(&self, &touched, numbered));
        self.send(&statements, true).await?;
        if let Some(conn) = self.conn.take() {
            conn.release();
        }
        self.store.nudge();
        Ok(Receipt { entries: stamps })
    }

    /// Ends a transaction that wrote nothing after all.
    ///
    /// # Errors
    /// [`StoreError::Unaudited`] when something was written; it is undone then.
    pub async fn commit_unchanged(self) -> Result<(), StoreError> {
        let is_dirty = self.locked.values().any(|locked| locked.is_dirty || locked.made.is_some());
        if self.wrote || is_dirty || !self.queue.is_empty() {
            return Err(StoreError::Unaudited);
        }
        self.rollback().await;
        Ok(())
    }

    /// Undoes everything and gives the connection back. Dropping does the same, a little later.
    pub async fn rollback(mut self) {
        let Some(conn) = self.conn.take() else { return };
        if !self.has_begun {
            return conn.release();
        }
        undo(conn).await;
    }

    /// The environment as a parameter.
    pub(crate) fn env(&self) -> String {
        self.scope.environment.as_str().to_owned()
    }

    /// Gathers a statement whose rows nobody needs. It leaves with the next read or the commit; of a look ahead never.
    pub(crate) fn queue(&mut self, statement: Statement) {
        if !self.looks_ahead() {
            self.queue.push(statement);
        }
    }

    /// Of two texts that give the same rows, the one that locks them, or for a look ahead the one that does not.
    pub(crate) const fn text(&self, locks: &'static str, looks: &'static str) -> &'static str {
        if self.looks_ahead() { looks } else { locks }
    }

    /// Makes a commit impossible: a statement did only a part of what it was for.
    pub(crate) fn abort(&mut self) {
        self.is_aborted = true;
    }

    /// Runs what was gathered, then a statement, and gives its rows.
    pub(crate) async fn rows(&mut self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        Ok(self.run(vec![statement]).await?.pop().unwrap_or_default())
    }

    /// Runs what was gathered, then the statements, and gives the rows of the latter.
    pub(crate) async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        let mut all = std::mem::take(&mut self.queue);
        let before = all.len();
        self.wrote |= before > 0;
        all.extend(statements);
        let mut rows = self.send(&all, false).await?;
        Ok(rows.split_off(before))
    }

    async fn send(&mut self, statements: &[Statement], commit: bool) -> Result<Vec<Vec<Row>>, StoreError> {
        let conn = self.conn.as_ref().ok_or(StoreError::Aborted)?;
        let mode = if self.looks_ahead() { TxMode::RepeatableReadReadOnly } else { TxMode::ReadCommitted };
        let begin = (!self.has_begun).then_some(mode);
        self.has_begun = true;
        self.is_waiting = true;
        let answer = line::send(conn, begin, statements, commit).await;
        self.is_waiting = false;
        match answer {
            Ok(rows) => Ok(rows),
            Err(Failure::Unknown) => {
                self.conn = None;
                Err(StoreError::UnknownOutcome)
            }
            Err(Failure::Refused(error)) => {
                self.is_aborted = true;
                Err(self.refused(error))
            }
        }
    }

    /// What a refusal means, by the constraint that was broken.
    fn refused(&self, error: PgError) -> StoreError {
        let renamed = || self.locked.values().find_map(|locked| locked.rename.clone());
        match (error.constraint(), error.sqlstate()) {
            (Some("tenant_slug_key" | "tenant_slug_skeleton_key"), _) | (_, Some(state::QUARANTINED)) => {
                match renamed() {
                    Some(slug) => StoreError::SlugTaken { slug },
                    None => error.into(),
                }
            }
            (Some("catalog_default_plan"), _) => StoreError::DefaultTaken,
            (_, Some(state::KEY_IN_FLIGHT)) => StoreError::KeyInFlight,
            _ => error.into(),
        }
    }

    /// Change and entries must account for each other.
    fn check(&self, entries: &[Entry]) -> Result<(), StoreError> {
        if let Some(only) = self.scope.tenant
            && entries.iter().any(|entry| entry.subject != Subject::Tenant(only))
        {
            return Err(StoreError::OutOfScope);
        }
        let mut records: BTreeMap<TenantId, i64> = BTreeMap::new();
        for (id, version) in entries.iter().filter_map(Entry::records) {
            let version = version.ok_or(StoreError::Unaudited)?;
            if records.insert(id, version).is_some() {
                return Err(StoreError::Unaudited);
            }
        }
        let made: BTreeMap<TenantId, i64> =
            self.locked.iter().filter_map(|(id, locked)| Some((*id, locked.made.as_ref()?.version))).collect();
        let is_told = |id: &TenantId| entries.iter().any(|entry| entry.subject == Subject::Tenant(*id));
        let is_complete = self.locked.iter().all(|(id, locked)| !locked.is_dirty || is_told(id));
        if entries.is_empty() || records != made || !is_complete { Err(StoreError::Unaudited) } else { Ok(()) }
    }

    /// Events must have the shapes that their types promise, where somebody looks.
    fn keep_contract(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let Some(contract) = self.store.inner.contract.get() else { return Ok(()) };
        for event in entries.iter().flat_map(|entry| &entry.events) {
            contract(event.kind, &event.data)
                .map_err(|why| StoreError::OffContract { kind: event.kind.as_str(), why })?;
        }
        Ok(())
    }

    /// Locks the subjects that are not locked yet: tenants by id, the environment last, so that writers do not meet
    /// head-on.
    async fn lock_subjects(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let missing: BTreeSet<Subject> =
            entries.iter().map(|entry| entry.subject).filter(|subject| !self.heads.contains_key(subject)).collect();
        let tenants: Vec<TenantId> = missing.iter().filter_map(|subject| subject.tenant()).collect();
        if !tenants.is_empty() {
            let found = self.tenants().lock_many(&tenants).await?;
            if found.len() < tenants.len() {
                return Err(StoreError::NotFound);
            }
        }
        if missing.contains(&Subject::Environment) {
            let rows = self.rows(Statement::new(LOCK_ENVIRONMENT).bind(self.env())).await?;
            let row = rows.first().ok_or(StoreError::EnvironmentNotFound)?;
            let head =
                Head { audit_seq: get(row, "audit_seq")?, hash: row::head(row)?, event_seq: get(row, "event_seq")? };
            self.heads.insert(Subject::Environment, head);
        }
        Ok(())
    }
}

/// Rolls back and gives the connection back; one that does not answer is closed.
async fn undo(conn: Conn) {
    if conn.pipelined(conn.client().batch_execute("ROLLBACK")).await.is_ok() {
        conn.release();
    }
}

impl Drop for WriteTx {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        if self.is_waiting {
            // A statement may still be running: the connection is closed, which rolls back.
            return;
        }
        if !self.has_begun {
            return conn.release();
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(undo(conn));
        }
    }
}
