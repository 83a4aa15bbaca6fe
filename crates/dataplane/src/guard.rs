//! The guard at the places that this data plane made: the server as a whole, an app's home, a tenant's own database.
//!
//! INVARIANT: a look changes nothing, holds one connection and closes it, and ends in bounded time. What PostgreSQL cannot
//! keep from anybody is accepted here with its reason, so that it is in every report and never counts as a finding.

use std::sync::Arc;
use std::time::Duration;

use tenantry_domain::isolation::Isolation;
pub use tenantry_guard::{
    Accepted, AcceptedFinding, Finding, PublicKey, Report, Section, Severity, SignError, SignedReport, SigningKey,
    Tried, render,
};
use tenantry_guard::{Guard, GuardError, Input};
use tenantry_pg::{Pool, PoolOptions, Session};

use crate::cell::Cell;
use crate::error::DataError;
use crate::names::{EXTENSIONS, Names};
use crate::space::{AppTarget, Space};

/// The longest statement of a look: catalogs of hundreds of thousands of relations take seconds.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest look, connecting included.
const PATIENCE: Duration = Duration::from_secs(60);
/// The check that finds no role of the application.
const NO_ROLES: &str = "G1";

/// Limits of PostgreSQL in a database of several tenants, with the reason why they stay. See `docs/isolation.md`, limits.
const LIMITS: &[(&str, &str)] = &[
    ("S6a", "a limit of PostgreSQL: no tenant sends SQL of its own to shared tables"),
    ("S6b", "a limit of PostgreSQL: how much all tenants of a table write is no secret"),
    ("S8a", "a limit of PostgreSQL: applications send no tenant's data over channels"),
    ("S8b", "a limit of PostgreSQL: applications put the tenant into the numbers of their locks"),
];

/// The connection of one look: closed with it, also when nobody waits for it any more.
struct Brief(Pool);

impl Drop for Brief {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What is looked at.
#[derive(Debug, Clone)]
pub enum Ward {
    /// What all databases of the server have in common; the databases are those of these apps and tenants.
    Server {
        /// Apps with a home here.
        apps: Vec<Arc<AppTarget>>,
        /// Tenants with a database of their own here.
        own: Vec<Space>,
    },
    /// An app's home: the shared tables, the tenants' schemas, the seal.
    Home(Arc<AppTarget>),
    /// A tenant's own database.
    Own(Space),
}

/// What the operator says about the installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Terms {
    /// Findings that stay, with their reasons. An entry that matches nothing is not told: it may be another place's.
    pub accepted: Vec<Accepted>,
    /// Logins that take backups.
    pub backup_roles: Vec<String>,
    /// Functions, as `schema.name`, whose answer no session can choose.
    pub trusted_contexts: Vec<String>,
}

impl Cell {
    /// Looks at a place. Nothing comes back where an app has no home on this cell yet.
    ///
    /// # Errors
    /// The server is gone or too slow, the database does not exist, or it does not let us look.
    pub async fn guard(&self, ward: &Ward, terms: &Terms) -> Result<Option<Report>, DataError> {
        let look = self.look(ward, terms);
        tokio::time::timeout(PATIENCE, look).await.map_err(|_| DataError::Busy { what: "the guard's look" })?
    }

    async fn look(&self, ward: &Ward, terms: &Terms) -> Result<Option<Report>, DataError> {
        let (database, login) = match ward {
            Ward::Server { .. } => (self.target().database().to_owned(), None),
            Ward::Home(app) => {
                if !self.has_home(app).await? {
                    return Ok(None);
                }
                let names = self.names(app)?;
                (names.home.as_str().to_owned(), Some(names.login))
            }
            Ward::Own(space) => {
                let place = self.names(&space.app)?.place(space.tenant, space.isolation)?;
                (place.database.as_str().to_owned(), place.login)
            }
        };
        let options =
            PoolOptions { max: 1, statement: LONGEST, application: "tenantry guard", ..PoolOptions::default() };
        let pool = Brief(Pool::new(self.target().clone().with_database(&database), options));
        let conn = pool.0.get().await?;
        let mut input = self.input(ward, terms)?;
        let mut report = ask(&conn, ward, &input).await?;
        // Where nobody can log in at present, as in the database of a suspended tenant, the login that could is meant.
        if let Some(login) = login.filter(|_| report.section.findings.iter().any(|one| one.check == NO_ROLES)) {
            input.roles = Some(vec![login.as_str().to_owned()]);
            report = ask(&conn, ward, &input).await?;
        }
        conn.release();
        Ok(Some(tolerate(report, &terms.accepted, !matches!(ward, Ward::Own(_)))))
    }

    /// Who the application is, the guard finds out by itself: a login that should not be there must not be left out.
    fn input(&self, ward: &Ward, terms: &Terms) -> Result<Input, DataError> {
        let mut input = match ward {
            Ward::Server { apps, own } => {
                let home = |app: &Arc<AppTarget>| Ok(self.names(app)?.home.as_str().to_owned());
                let place = |space: &Space| {
                    let place = self.names(&space.app)?.place(space.tenant, space.isolation)?;
                    Ok(place.database.as_str().to_owned())
                };
                let databases = apps.iter().map(home).chain(own.iter().map(place));
                let databases: Vec<String> = databases.collect::<Result<_, DataError>>()?;
                Input { databases: Some(databases), ..Input::new(Isolation::Shared) }
            }
            Ward::Home(app) => of_app(app, &self.names(app)?),
            Ward::Own(space) => Input { level: Isolation::Database, ..of_app(&space.app, &self.names(&space.app)?) },
        };
        input.backup_roles.clone_from(&terms.backup_roles);
        input.trusted_contexts.clone_from(&terms.trusted_contexts);
        Ok(input)
    }
}

/// A home of an app that cannot share tables holds schemas of single tenants only.
fn of_app(app: &AppTarget, names: &Names) -> Input {
    let is_shared = app.spec.fits(Isolation::Shared).is_ok();
    let mut input = Input::new(if is_shared { Isolation::Shared } else { Isolation::Schema });
    input.tenant_column.clone_from(&app.spec.tenant_key);
    input.references.clone_from(&app.spec.reference_tables);
    if !is_shared {
        let common = ["tenantry", "seal", EXTENSIONS, names.app.as_str()];
        input.common_schemas = common.map(ToOwned::to_owned).into();
    }
    input
}

async fn ask(session: &Session, ward: &Ward, input: &Input) -> Result<Report, DataError> {
    let report = match ward {
        Ward::Server { .. } => Guard::server(session, input).await,
        Ward::Home(_) | Ward::Own(_) => Guard::run(session, input).await,
    };
    report.map_err(|error| match error {
        GuardError::Database(error) => error.into(),
        GuardError::Catalog(_) | GuardError::Answer { .. } => {
            DataError::Unsupported { what: error.to_string(), hint: "Upgrade the control plane." }
        }
    })
}

/// Moves what is accepted out of the findings and counts the rest anew.
fn tolerate(mut report: Report, accepted: &[Accepted], has_limits: bool) -> Report {
    let reason = |finding: &Finding| {
        let limit = LIMITS.iter().find(|(check, _)| has_limits && *check == finding.check);
        let limit = limit.map(|(_, reason)| (*reason).to_owned());
        limit.or_else(|| accepted.iter().find(|entry| covers(entry, finding)).map(|entry| entry.reason.clone()))
    };
    let all = std::mem::take(&mut report.section.findings);
    let mut rest = Section::default();
    for finding in all {
        match reason(&finding) {
            Some(reason) => report.accepted.push(AcceptedFinding { finding, reason }),
            None => rest.findings.push(finding),
        }
    }
    report.add(rest, &Input::new(report.level));
    report
}

/// An object with a `*` at its end stands for any rest.
fn covers(entry: &Accepted, finding: &Finding) -> bool {
    let is_meant = match entry.object.strip_suffix('*') {
        Some(start) => finding.object.starts_with(start),
        None => entry.object == finding.object,
    };
    entry.check == finding.check && is_meant
}
