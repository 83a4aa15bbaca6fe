//! Bringing a place to an app's newest version: one transaction per file, guarded before it commits.
//!
//! Invariant: a place that tenants can use is never committed with an unguarded table. While a place has not reached
//! the end of the stream for the first time, nobody but its owner has a right on its tables, so there the guard is
//! put up once, with the last file. Two runners of one place take turns file by file, and the ledger says which files
//! ran; a runner whose claim is outdated is thrown out at its next file.

mod check;

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tenantry_domain::app::{MigrationFile, Migrations};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Ident, PgError, PgKind, Pool, Session, Sql, Tx};

use crate::catalog::get;
use crate::cell::Cell;
use crate::confined::{self, Door};
use crate::error::{DataError, MigrationFailure, Position};
use crate::ledger::Progress;
use crate::names::{Names, Place};
use crate::prepare::mode_of;
use crate::protect::protect;
use crate::seal::SealMode;
use crate::space::{AppTarget, Claim, Space};
use crate::{blockers, claim, exec, ledger, nonce, script};

/// How often a file is tried that does not get its locks, before its runner is told.
const TRIES: u32 = 6;
/// The pause behind the first try; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What migrating did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The app's version of the place now.
    pub version: i64,
    /// The files that ran now.
    pub applied: Vec<String>,
}

/// One place, brought to one version.
pub(crate) struct Run<'a> {
    pub cell: &'a Cell,
    /// Connections to the place's database.
    pub pool: &'a Pool,
    pub names: &'a Names,
    pub place: &'a Place,
    pub app: &'a AppTarget,
    /// Whose place it is, where it is one tenant's.
    pub tenant: Option<TenantId>,
    /// Under which claim; what belongs to no tenant needs none.
    pub claim: Option<(TenantId, &'a Claim)>,
}

impl Cell {
    /// Brings a tenant's place to the newest version of its app, guarded. At the shared level these are everybody's
    /// tables. A file that fails is rolled back as a whole; those before it stay.
    ///
    /// # Errors
    /// The place does not exist, the claim is outdated, or a file fails or leaves a table that cannot be guarded.
    pub async fn migrate(&self, space: &Space, claim: &Claim) -> Result<Migrated, DataError> {
        space.app.spec.fits(space.isolation)?;
        // At the shared level this is the migration: it belongs to no tenant, so no claim can be too old for it.
        let shared = if space.isolation == Isolation::Shared { Some(self.prepare(&space.app).await?) } else { None };
        let names = self.ensure_home(&space.app).await?;
        let place = names.place(space.tenant, space.isolation)?;
        let home = self.home_pool(&names);
        let tx = home.begin().await?;
        claim::hold_existing(self, &tx, space.tenant, claim).await?;
        tx.commit().await?;
        let run = Run {
            cell: self,
            pool: &home,
            names: &names,
            place: &place,
            app: &space.app,
            tenant: Some(space.tenant),
            claim: Some((space.tenant, claim)),
        };
        match (shared, place.database == names.home) {
            (Some(prepared), _) => {
                Ok(Migrated { version: prepared.version.unwrap_or_default(), applied: prepared.applied })
            }
            (None, true) => bring(&run).await,
            (None, false) => {
                let pool = self.tenant_pool(&place.database);
                bring(&Run { pool: &pool, ..run }).await
            }
        }
    }
}

/// Brings a place to the app's version.
pub(crate) async fn bring(run: &Run<'_>) -> Result<Migrated, DataError> {
    let conn = run.pool.get().await?;
    let progress = ledger::progress(&conn, run.place).await?;
    conn.release();
    if let Some(version) = progress.version.filter(|version| *version >= run.app.version) {
        return Ok(Migrated { version, applied: Vec::new() });
    }
    let applied = match &run.app.spec.migrations {
        Migrations::Exec { command, directory } => {
            exec::run(run, command, directory.as_deref()).await?;
            Vec::new()
        }
        Migrations::Files { files } => run_files(run, files, &progress).await?,
    };
    Ok(Migrated { version: run.app.version, applied })
}

async fn run_files(run: &Run<'_>, files: &[MigrationFile], progress: &Progress) -> Result<Vec<String>, DataError> {
    let pending = pending(files, progress)?;
    let mut ran = Vec::new();
    for (index, file) in pending.iter().enumerate() {
        let last = index + 1 == pending.len();
        if run_file(run, file, last).await? {
            ran.push(file.name.clone());
        }
    }
    if pending.is_empty() {
        // No file, but the manifest changed: other reference tables, another key.
        finish(run).await?;
    }
    Ok(ran)
}

/// The files that did not run yet, after making sure that the others ran as they are.
fn pending<'a>(files: &'a [MigrationFile], progress: &Progress) -> Result<Vec<&'a MigrationFile>, DataError> {
    let fail = |file: &MigrationFile, message: &str, hint: &str| {
        Err(failure(&file.name, None, None, message.to_owned(), Some(hint.to_owned())))
    };
    let mut sorted: Vec<&MigrationFile> = files.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let newest = progress.applied.keys().next_back();
    let mut pending = Vec::new();
    for (index, file) in sorted.iter().enumerate() {
        if index > 0 && sorted[index - 1].name == file.name {
            return fail(file, "the app has two files of this name", "Names order the files, so each must be unique.");
        }
        match progress.applied.get(&file.name) {
            Some(checksum) if checksum == checksum_of(file).as_ref() => {}
            Some(_) => {
                return fail(file, "the file was changed after it ran here", "Put its text back and add a new file.");
            }
            None if newest.is_some_and(|newest| *newest > file.name) => {
                return fail(file, "the file is older than others that ran here", "Give it a name that sorts last.");
            }
            None => pending.push(*file),
        }
    }
    Ok(pending)
}

/// An app's files in the order in which they run, each with its checksum; absent where a command migrates. A place that
/// ran a beginning of it can be brought to its end.
pub(crate) fn stream(app: &AppTarget) -> Option<Vec<String>> {
    let Migrations::Files { files } = &app.spec.migrations else { return None };
    let mut stream: Vec<String> = files.iter().map(|file| entry(&file.name, checksum_of(file).as_ref())).collect();
    stream.sort();
    Some(stream)
}

/// What ran in a place, in the form of [`stream`].
pub(crate) fn ran(progress: &Progress) -> Vec<String> {
    let mut ran: Vec<String> = progress.applied.iter().map(|(name, checksum)| entry(name, checksum)).collect();
    ran.sort();
    ran
}

fn entry(name: &str, checksum: &[u8]) -> String {
    let hex: String = checksum.iter().map(|byte| format!("{byte:02x}")).collect();
    // Parts by what sorts before every letter of a name, so that the entries sort as the names do.
    format!("{name}\u{1}{hex}")
}

fn checksum_of(file: &MigrationFile) -> impl AsRef<[u8]> + use<> {
    digest(&SHA256, file.sql.as_bytes())
}

/// Runs one file in a transaction of its own, again when it does not get its locks. False when somebody else ran it in
/// the meantime.
async fn run_file(run: &Run<'_>, file: &MigrationFile, last: bool) -> Result<bool, DataError> {
    if let Some(found) = script::forbidden(&file.sql) {
        let position = Position::at(&file.sql, found.offset);
        return Err(failure(&file.name, Some(position), None, found.message.to_owned(), None));
    }
    let (mut tries, mut by) = (1, None);
    loop {
        match try_file(run, file, last, &mut by).await {
            Err(error) if error.is_blocked() => {
                if tries == TRIES {
                    return Err(DataError::Blocked { file: file.name.clone(), tries, by });
                }
                tracing::debug!(file = file.name, tries, by, "a migration did not get its locks");
            }
            other => return other,
        }
        // Whoever queued behind us gets through meanwhile.
        tokio::time::sleep(jittered(FIRST_PAUSE * 2_u32.pow(tries - 1))).await;
        tries += 1;
    }
}

/// Half to all of a pause, so that two runners do not meet again and again.
fn jittered(pause: Duration) -> Duration {
    let share = u32::try_from(nonce().unwrap_or(0) % 512).unwrap_or(0);
    pause / 2 + pause * share / 1024
}

/// One try of one file. Who was seen in its way goes to `by`.
async fn try_file(run: &Run<'_>, file: &MigrationFile, last: bool, by: &mut Option<String>) -> Result<bool, DataError> {
    let tx = begin(run).await?;
    let progress = ledger::progress(&tx, run.place).await?;
    let fresh = progress.version.is_none();
    let runs = !progress.applied.contains_key(&file.name);
    if runs {
        let pid: i32 = get(&tx.query_one("SELECT pg_backend_pid()", &[]).await?, 0)?;
        let played = tokio::select! {
            biased;
            played = play(run, &tx, file, fresh) => played,
            () = blockers::watch(run.pool, pid, lock_wait(run) / 2, by) => Ok(()),
        };
        if let Err(error) = played {
            tx.rollback().await?;
            return Err(error);
        }
        ledger::applied(&tx, run.place, &file.name, checksum_of(file).as_ref()).await?;
    }
    if last || !fresh {
        match protect(&tx, run.place, &run.app.spec).await {
            Ok(protected) => {
                ledger::left_as(&tx, run.place, last.then_some(run.app.version), &protected.catalog).await?;
                if last && let Err(error) = check::check(run, &tx).await {
                    tx.rollback().await?;
                    return Err(error);
                }
            }
            Err(error) => {
                tx.rollback().await?;
                return Err(error);
            }
        }
    }
    tx.commit().await?;
    Ok(runs)
}

/// Guards a place as it is and records the version.
pub(crate) async fn finish(run: &Run<'_>) -> Result<(), DataError> {
    let tx = begin(run).await?;
    let protected = protect(&tx, run.place, &run.app.spec).await?;
    ledger::left_as(&tx, run.place, Some(run.app.version), &protected.catalog).await?;
    check::check(run, &tx).await?;
    Ok(tx.commit().await?)
}

/// How long one try waits for a lock.
fn lock_wait(run: &Run<'_>) -> Duration {
    Duration::from_millis(u64::from(run.app.spec.rollout.lock_timeout_ms)).min(run.cell.options.lock_wait)
}

/// A transaction that has its turn on the place and, where there is one, the newest claim on the tenant.
pub(crate) async fn begin(run: &Run<'_>) -> Result<Tx, DataError> {
    let tx = run.pool.begin().await?;
    let options = &run.cell.options;
    let limits = "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)";
    let ms = |limit: std::time::Duration| limit.as_millis().to_string();
    tx.execute(limits, &[&ms(options.turn), &ms(options.migration)]).await?;
    let turn = run.cell.lock_key("place", run.place.schema.as_str());
    match tx.execute("SELECT pg_advisory_xact_lock($1)", &[&turn]).await {
        Err(error) if error.kind() == PgKind::LockNotAvailable => return Err(DataError::Busy { what: "the place" }),
        other => other?,
    };
    tx.execute("SELECT set_config('lock_timeout', $1, true)", &[&ms(lock_wait(run))]).await?;
    if let Some((tenant, claim)) = run.claim {
        claim::hold_existing(run.cell, &tx, tenant, claim).await?;
    }
    Ok(tx)
}

/// Runs a file's text as the owner of the place, from whose role it cannot get out.
async fn play(run: &Run<'_>, tx: &Session, file: &MigrationFile, fresh: bool) -> Result<(), DataError> {
    for name in script::extensions(&file.sql) {
        extend(tx, file, &name).await?;
    }
    let guarded = !fresh && run.app.spec.tenant_key.is_some();
    let superuser = run.cell.server().await?.superuser;
    if guarded {
        if superuser {
            // A file may change data, and forced row-level security would hide it from the owner. Only this transaction
            // ever sees the owner so.
            tx.batch(&bypass(run.place, true)).await?;
        }
        if let Some(tenant) = run.tenant {
            assume(tx, tenant).await?;
        }
    }
    // Where we may not lift the policies, a statement that they would cut short fails instead of doing nothing.
    let security = if guarded && !superuser { "off" } else { "on" };
    tx.execute("SELECT set_config('row_security', $1, true)", &[&security]).await?;
    let door = Door::open(tx, run.place).await?;
    door.run(&Sql::script(&file.sql)).await.map_err(|error| server_failure(file, error))?;
    tx.execute("SELECT pg_catalog.set_config('row_security', 'on', true)", &[]).await?;
    if let Some((table, trigger)) = confined::deferrable(tx, run.place).await? {
        let message = format!(
            "the trigger `{trigger}` of `{table}` can wait for the end of the transaction, where it would not run as the tables' owner"
        );
        let hint = "Make it NOT DEFERRABLE: it then runs at the end of each statement.";
        return Err(failure(&file.name, None, None, message, Some(hint.to_owned())));
    }
    if guarded && superuser {
        tx.batch(&bypass(run.place, false)).await?;
    }
    Ok(())
}

/// Makes an extension for a file whose owner may not. Only such as PostgreSQL itself trusts to anybody.
async fn extend(session: &Session, file: &MigrationFile, name: &str) -> Result<(), DataError> {
    let sql = "SELECT v.trusted OR v.installed FROM pg_available_extensions e
               JOIN pg_available_extension_versions v ON v.name = e.name AND v.version = coalesce(e.installed_version, e.default_version)
               WHERE e.name = $1";
    let known = session.query_opt(sql, &[&name]).await?.as_ref().map(|row| get::<bool>(row, 0)).transpose()?;
    match known {
        Some(true) => {
            let make = Sql::new("CREATE EXTENSION IF NOT EXISTS ").ident(&Ident::new(name)?).push(" SCHEMA ext");
            session.batch(&make).await.map_err(|error| server_failure(file, error))
        }
        Some(false) => {
            let hint = "Let a superuser create it in the schema `ext` of this database, or use another one.";
            let message = format!("the extension `{name}` is not one that PostgreSQL trusts");
            Err(failure(&file.name, None, None, message, Some(hint.to_owned())))
        }
        // The server says best that it has no such extension.
        None => Ok(()),
    }
}

/// Lifts row-level security for the owner of a place, or puts it back. For one transaction, which has its turn on the place.
pub(crate) fn bypass(place: &Place, on: bool) -> Sql {
    Sql::new("ALTER ROLE ").ident(&place.owner).push(if on { " BYPASSRLS" } else { " NOBYPASSRLS" })
}

/// Puts a tenant's context into the transaction without asking its gate: for migrations, erasure and the like.
pub(crate) async fn assume(session: &Session, tenant: TenantId) -> Result<(), DataError> {
    let mode = mode_of(session).await?;
    // Only the seal's own role may write the register.
    session.execute("SELECT set_config('role', 'tenantry_ctx', true)", &[]).await?;
    let sql = match mode {
        SealMode::Register => "SELECT set_config('backtrace_functions', encode(uuid_send($1), 'hex'), true)",
        SealMode::Signed => {
            "SELECT set_config('tenantry.context', concat_ws('.', kid, $1::uuid, \
             encode(seal.signature(k, $1::uuid), 'hex')), true) FROM seal.key ORDER BY kid DESC LIMIT 1"
        }
    };
    session.execute(sql, &[&tenant.uuid()]).await?;
    session.execute("SELECT set_config('role', 'none', true)", &[]).await?;
    Ok(())
}

fn server_failure(file: &MigrationFile, error: PgError) -> DataError {
    let Some(db) = error.db() else { return error.into() };
    if matches!(error.kind(), PgKind::LockNotAvailable | PgKind::Serialization) {
        // No fault of the file: it is tried again.
        return DataError::Pg(error);
    }
    if matches!(error.kind(), PgKind::Unavailable | PgKind::DiskFull | PgKind::TooManyConnections) {
        return error.into();
    }
    let position =
        confined::position(&error, &file.sql).map(|place| Position::at(&file.sql, (place as usize).saturating_sub(1)));
    let mut message = db.message().to_owned();
    if let Some(detail) = db.detail() {
        message = format!("{message} ({detail})");
    }
    let mut hint = db.hint().map(ToOwned::to_owned);
    if error.sqlstate() == Some("42710") && message.starts_with("extension") {
        hint = Some("Write CREATE EXTENSION IF NOT EXISTS: extensions are made before the file runs.".to_owned());
    }
    if error.sqlstate() == Some("42501") && message.contains("security-definer function") {
        hint = Some(
            "A file runs as the owner of the app's tables to its end; it cannot change role or session user."
                .to_owned(),
        );
    }
    failure(&file.name, position, error.sqlstate(), message, hint)
}

fn failure(
    file: &str,
    position: Option<Position>,
    sqlstate: Option<&str>,
    message: String,
    hint: Option<String>,
) -> DataError {
    let sqlstate = sqlstate.map(ToOwned::to_owned);
    DataError::Migration(Box::new(MigrationFailure { file: file.to_owned(), position, sqlstate, message, hint }))
}
