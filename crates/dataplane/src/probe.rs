//! The leak probe at the places that this data plane made: one canary tenant tries to reach the other, the way an
//! application would.
//!
//! Invariant: the only rows that stay are the canaries of these two tenants; sessions and pools of a run end with it.

use std::ops::Deref;

use tenantry_guard::{Finding, Guard, Input, Report, Section, Severity, Skipped, Tried};
use tenantry_pg::{CommitError, Conn, Ident, PgError, Pool, PoolOptions, Session};
use tenantry_probe::{CanaryKey, Entered, Entry, EntryError, Limits, Party, Probe, ProbeError, ProbeReport};

use crate::cell::Cell;
use crate::error::DataError;
use crate::names::Place;
use crate::prepare::mode_of;
use crate::protect::key_of;
use crate::router::{Door, Router, RouterOptions};
use crate::seal::SealMode;
use crate::space::Space;
use crate::tx::TenantTx;

/// Something of the other tenant came through.
const HIT: &str = "P1";
/// There was nothing to come through.
const BARREN: &str = "P2";
/// An object was not tried. A check of its own: what was tried and gave nothing is closed.
const UNTRIED: &str = "P3";
/// Most hits that are told; one is enough to act.
const SHOWN: usize = 50;

/// The way that an application has.
struct Way {
    router: Router,
    door: Door,
}

struct Inside(TenantTx);

impl Deref for Inside {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Entered for Inside {
    async fn keep(self) -> Result<(), PgError> {
        self.0.commit().await.map_err(CommitError::into_inner)
    }

    async fn undo(self) -> Result<(), PgError> {
        self.0.rollback().await
    }
}

impl Entry for Way {
    type Tx = Inside;
    async fn enter(&self) -> Result<Inside, EntryError> {
        self.router.enter(&self.door).await.map(Inside).map_err(|error| EntryError(Box::new(error)))
    }
}

/// One of the two, with a connection of ours to its database.
struct Side<'a> {
    space: &'a Space,
    place: Place,
    way: Way,
    pool: Pool,
    conn: Conn,
}

impl Side<'_> {
    fn party(&self) -> Result<Party<'_, Way>, DataError> {
        let login = self.place.login.as_ref().ok_or_else(|| DataError::Missing { object: "the login".to_owned() })?;
        Ok(Party {
            tenant: self.space.tenant,
            entry: &self.way,
            admin: &self.conn,
            login: login.as_str(),
            schema: self.place.schema.clone(),
            target: &self.way.door.target,
        })
    }

    fn close(self) {
        self.way.router.close();
        self.conn.release();
        self.pool.close();
    }
}

impl Cell {
    /// Sends the probes of tenant `a` against tenant `b`, two canary tenants of one app at one level, and gives what came
    /// through as findings. Both get canary rows.
    ///
    /// # Errors
    /// The server is gone, a tenant is not open, or nothing could be planted.
    pub async fn probe(&self, a: &Space, b: &Space) -> Result<Report, DataError> {
        let (attacker, victim) = (self.side(a).await?, self.side(b).await?);
        let outcome = self.attack(&attacker, &victim).await;
        attacker.close();
        victim.close();
        outcome
    }

    async fn attack(&self, attacker: &Side<'_>, victim: &Side<'_>) -> Result<Report, DataError> {
        let a = attacker.space;
        let parts = [self.environment().as_str(), self.name().as_str()];
        let key = CanaryKey::new(*self.canary_key(&parts));
        let tenant_column: Option<Ident> = key_of(&a.app.spec)?;
        let level = a.isolation;
        let probe =
            Probe { level, tenant_column, key, a: attacker.party()?, b: victim.party()?, limits: Limits::default() };
        let found = probe.run().await.map_err(refused)?;
        let mut input = Input::new(level);
        input.tenant_column.clone_from(&a.app.spec.tenant_key);
        let mut report = Guard::blank(&attacker.conn, &input)
            .await
            .map_err(|error| DataError::Unsupported { what: error.to_string(), hint: "Upgrade the control plane." })?;
        report.duration_ms = found.duration_ms;
        report.tried = Some(tried(&found, mode_of(&attacker.conn).await?));
        report.add(section(&found), &input);
        Ok(report)
    }

    async fn side<'a>(&self, space: &'a Space) -> Result<Side<'a>, DataError> {
        let place = self.names(&space.app)?.place(space.tenant, space.isolation)?;
        let options = PoolOptions { max: 1, application: "tenantry probe", ..PoolOptions::default() };
        let pool = Pool::new(self.target().clone().with_database(place.database.as_str()), options);
        let conn = pool.get().await?;
        let way = Way { router: Router::new(RouterOptions::default()), door: self.door(space)? };
        Ok(Side { space, place, way, pool, conn })
    }
}

fn refused(error: ProbeError) -> DataError {
    match error {
        ProbeError::Server(error) => error.into(),
        other => DataError::Unsupported { what: other.to_string(), hint: "Open both canary tenants." },
    }
}

/// How much the probe tried, and against which form of the seal.
fn tried(found: &ProbeReport, mode: SealMode) -> Tried {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Tried {
        probes: number(found.probes),
        executed: number(found.executed),
        canaries: number(found.canaries),
        seal: mode.as_str().to_owned(),
    }
}

/// What the probe found, in the words of the guard.
fn section(found: &ProbeReport) -> Section {
    let mut section = Section { run: vec![HIT.to_owned(), BARREN.to_owned()], ..Section::default() };
    for hit in found.hits.iter().take(SHOWN) {
        section.findings.push(Finding {
            severity: Severity::Critical,
            check: HIT.to_owned(),
            object: hit.object.clone(),
            detail: [hit.evidence.as_str(), ": ", hit.statement.as_str()].concat(),
            title: "A tenant reached another one".to_owned(),
            why: "A statement of one canary tenant gave, changed or confirmed a value of the other.".to_owned(),
            fix: "Take the path away (revoke, policy, view), then look for what the guard says of the same object."
                .to_owned(),
            fix_sql: None,
        });
    }
    for none in &found.unplantable {
        section.findings.push(Finding {
            severity: Severity::Medium,
            check: BARREN.to_owned(),
            object: ["table ", none.table.as_str()].concat(),
            detail: none.reason.clone(),
            title: "No canary could be planted".to_owned(),
            why: "Without a canary in it, a look proves nothing about this table.".to_owned(),
            fix: "Make an insert of generated values possible, or accept this with a reason.".to_owned(),
            fix_sql: None,
        });
    }
    section.skipped = found
        .skipped
        .iter()
        .map(|note| Skipped { check: UNTRIED.to_owned(), reason: [note.object.as_str(), ": ", &note.text].concat() })
        .collect();
    section
}
