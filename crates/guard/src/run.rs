//! Asks a database, and makes a report of the answers.
//!
//! Long because asking, judging and accepting are one path. INVARIANT: a run changes nothing; it is one read-only transaction that is rolled back. A check that cannot run is in
//! the report with its reason, and takes no other one with it.

use std::collections::BTreeSet;
use std::time::Instant;

use jiff::Timestamp;
use tenantry_pg::types::ToSql;
use tenantry_pg::{PgError, Row, ServerVersion, Session};

use crate::catalog::{Catalog, CatalogError, Check, Rule, Scope};
use crate::compose::{APP_FACTS, POLICY_FACTS, Piece, compose, pieces};
use crate::input::{FINDINGS_MAX, Input};
use crate::judge::{accept, judge};
use crate::report::{Report, SCHEMA_VERSION, Section, ServerFacts, Skipped};

/// One snapshot, names shown qualified, no compilation of a statement that runs once. No nested loops: the planner knows
/// nothing about the sizes of the common tables, takes them for small, and would be wrong by orders of magnitude.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL search_path = pg_catalog; SET LOCAL jit = off; SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '64MB'";

/// Why a run gave no report.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The catalog that is built into this program is broken.
    #[error("the built-in checks cannot be used: {0}; this is a defect of the program")]
    Catalog(#[from] CatalogError),
    /// The server refused what every login may do, or is gone.
    #[error("the database could not be looked at: {0}; check the connection and run it again")]
    Database(#[from] PgError),
    /// A fact of the server's is not in the form that this program reads.
    #[error("the answer of check `{check}` cannot be read; is the server newer than this program knows?")]
    Answer {
        /// The check, or the name of the facts.
        check: &'static str,
    },
}

/// The live guard.
#[derive(Debug, Clone, Copy)]
pub struct Guard;

impl Guard {
    /// Looks at the database of this session. The session must be outside of a transaction. A superuser sees everything;
    /// another login gets a report that says what it could not see.
    ///
    /// # Errors
    /// The server is gone, or does not let this login look at its catalogs at all.
    pub async fn run(session: &Session, input: &Input) -> Result<Report, GuardError> {
        look(session, input, Scope::Database).await
    }

    /// A report of the database of this session in which nothing was looked at yet: for what another kind of look found,
    /// see [`Report::add`].
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub async fn blank(session: &Session, input: &Input) -> Result<Report, GuardError> {
        let facts = Facts::read(session, Catalog::get()?).await?;
        Ok(empty(facts, input, Scope::Database))
    }

    /// Looks at what all databases of the server have in common. Any database will do for the session, which must be
    /// outside of a transaction.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub async fn server(session: &Session, input: &Input) -> Result<Report, GuardError> {
        look(session, input, Scope::Server).await
    }
}

async fn look(session: &Session, input: &Input, scope: Scope) -> Result<Report, GuardError> {
    session.batch_static(BEGIN).await?;
    let looked = look_inside(session, input, scope).await;
    // Also after a failure: the session may be one that the caller goes on with.
    let ended = session.batch_static("ROLLBACK").await;
    let report = looked?;
    ended?;
    Ok(report)
}

async fn look_inside(session: &Session, input: &Input, scope: Scope) -> Result<Report, GuardError> {
    let began = Instant::now();
    let catalog = Catalog::get()?;
    let facts = Facts::read(session, catalog).await?;
    let mut section = Section::default();
    let checks = choose(catalog, input, scope, &facts, &mut section);
    let answers = ask(session, catalog, input, scope, &checks, &mut section).await?;
    judge(&checks, &answers, input, &facts, catalog, &mut section)?;
    let roles = answers.iter().filter(|row| row.name == APP_FACTS).filter_map(|row| row.object.clone()).collect();
    let mut report = Report { roles, ..empty(facts, input, scope) };
    let stale = catalog
        .checks()
        .iter()
        .find(|check| check.rule == Some(Rule::Accepted) && checks.iter().any(|c| c.id == check.id));
    section.findings = accept(section.findings, &section.run, input, stale, &mut report.accepted);
    report.section = section;
    report.settle();
    report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

fn empty(facts: Facts, input: &Input, scope: Scope) -> Report {
    Report {
        schema_version: SCHEMA_VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        scope,
        server: facts.server,
        database: facts.database,
        level: input.level,
        tenant_column: input.tenant_column.clone(),
        roles: Vec::new(),
        taken_at: facts.taken_at,
        duration_ms: 0,
        section: Section::default(),
        accepted: Vec::new(),
        counts: std::collections::BTreeMap::new(),
        tried: None,
    }
}

/// What has to be known before the checks can be chosen.
pub(crate) struct Facts {
    pub server: ServerFacts,
    pub database: String,
    taken_at: Timestamp,
    /// Relations that this login may not read.
    closed: BTreeSet<String>,
}

impl Facts {
    async fn read(session: &Session, catalog: &'static Catalog) -> Result<Self, GuardError> {
        let needs: BTreeSet<&str> =
            catalog.checks().iter().flat_map(|check| check.needs.iter().map(String::as_str)).collect();
        let needs: Vec<&str> = needs.into_iter().collect();
        let sql = "SELECT current_setting('server_version_num')::int4, current_database()::text, current_user::text, now(),
                pg_is_in_recovery(),
                ARRAY(SELECT n FROM unnest($1::text[]) AS n
                       WHERE NOT coalesce(has_table_privilege(to_regclass('pg_catalog.' || quote_ident(n)), 'SELECT'), false))";
        let row = session.query_one(sql, &[&needs]).await?;
        let get = |error| GuardError::from(PgError::from(error));
        let num: i32 = row.try_get(0).map_err(get)?;
        let closed: Vec<String> = row.try_get(5).map_err(get)?;
        Ok(Self {
            server: ServerFacts {
                version: ServerVersion::from_num(num).to_string(),
                version_num: num,
                login: row.try_get(2).map_err(get)?,
                standby: row.try_get(4).map_err(get)?,
            },
            database: row.try_get(1).map_err(get)?,
            taken_at: row.try_get(3).map_err(get)?,
            closed: closed.into_iter().collect(),
        })
    }
}

/// The checks of this run; those that cannot run are noted with the reason.
fn choose(
    catalog: &'static Catalog,
    input: &Input,
    scope: Scope,
    facts: &Facts,
    section: &mut Section,
) -> Vec<&'static Check> {
    let mut chosen = Vec::new();
    for check in catalog.checks() {
        let ours = match scope {
            Scope::Server => check.scope == Scope::Server,
            _ => check.scope != Scope::Server,
        };
        if !ours {
            continue;
        }
        let level = input.level_word();
        let other_level = check.levels.as_ref().is_some_and(|levels| !levels.iter().any(|known| known == level));
        let reason = if check.rule == Some(Rule::Residue) {
            Some("looks through a pool, see the probe".to_owned())
        } else if other_level {
            Some(format!("does not apply at level {level}"))
        } else if check.since.is_some_and(|since| facts.server.version_num < since) {
            Some(format!("the server's version {} does not have this", facts.server.version))
        } else {
            let missing = check.needs.iter().find(|need| facts.closed.contains(*need));
            missing.map(|need| format!("{} may not read {need}", facts.server.login))
        };
        match reason {
            Some(reason) => section.skipped.push(Skipped { check: check.id.clone(), reason }),
            None => chosen.push(check),
        }
    }
    chosen
}

/// One row of an answer.
pub(crate) struct Answer {
    pub name: String,
    pub object: Option<String>,
    pub detail: Option<String>,
    pub fix_sql: Option<String>,
}

/// Asks all checks at once; where that fails, one by one, so that only those that fail are missing.
async fn ask(
    session: &Session,
    catalog: &'static Catalog,
    input: &Input,
    scope: Scope,
    checks: &[&'static Check],
    section: &mut Section,
) -> Result<Vec<Answer>, GuardError> {
    let pieces = pieces(checks);
    session.batch_static("SAVEPOINT guard").await?;
    let answers = match query(session, catalog, &pieces, input, scope).await {
        Ok(answers) => {
            section.run.extend(checks.iter().map(|check| check.id.clone()));
            return Ok(answers);
        }
        Err(error) if error.sqlstate().is_none() => return Err(error.into()),
        Err(_) => one_by_one(session, catalog, &pieces, input, scope, section).await?,
    };
    let failed: BTreeSet<String> = section.skipped.iter().map(|skipped| skipped.check.clone()).collect();
    let ran = checks.iter().filter(|check| {
        let facts_failed = check.policy.is_some() && failed.contains(POLICY_FACTS);
        if facts_failed {
            section
                .skipped
                .push(Skipped { check: check.id.clone(), reason: "the policies could not be read".to_owned() });
        }
        !facts_failed && !failed.contains(&check.id)
    });
    section.run.extend(ran.map(|check| check.id.clone()));
    Ok(answers)
}

async fn one_by_one(
    session: &Session,
    catalog: &'static Catalog,
    pieces: &[Piece],
    input: &Input,
    scope: Scope,
    section: &mut Section,
) -> Result<Vec<Answer>, GuardError> {
    let mut answers = Vec::new();
    for piece in pieces {
        session.batch_static("ROLLBACK TO SAVEPOINT guard").await?;
        match query(session, catalog, std::slice::from_ref(piece), input, scope).await {
            Ok(found) => answers.extend(found),
            Err(error) if error.sqlstate().is_none() => return Err(error.into()),
            Err(error) => {
                // Catalogs only were asked, so the server's words quote no row of a tenant.
                let words = error.db().map_or_else(|| error.to_string(), |db| db.message().to_owned());
                section
                    .skipped
                    .push(Skipped { check: piece.name.to_owned(), reason: format!("the server refused: {words}") });
            }
        }
    }
    session.batch_static("ROLLBACK TO SAVEPOINT guard").await?;
    Ok(answers)
}

async fn query(
    session: &Session,
    catalog: &'static Catalog,
    pieces: &[Piece],
    input: &Input,
    scope: Scope,
) -> Result<Vec<Answer>, PgError> {
    let sql = compose(catalog, pieces, FINDINGS_MAX);
    let seal = catalog.shipped.json();
    let (level, scope) = (input.level_word(), scope.as_str());
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &input.tenant_column,
        &input.roles,
        &input.references,
        &level,
        &input.tenant_schemas,
        &input.common_schemas,
        &input.backup_roles,
        &input.databases,
        &seal,
        &scope,
    ];
    let rows = session.query_sql(&sql, &parameters).await?;
    let answer = |row: &Row| -> Result<Answer, PgError> {
        Ok(Answer { name: row.try_get(0)?, object: row.try_get(1)?, detail: row.try_get(2)?, fix_sql: row.try_get(3)? })
    };
    rows.iter().map(answer).collect()
}
