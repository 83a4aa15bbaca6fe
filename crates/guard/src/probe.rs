//! What one borrower of a pooled session leaves behind for the next one.
//!
//! A catalog cannot tell this: somebody has to borrow a connection, leave things behind, give it back, and borrow it
//! again as somebody else. [`plant`] and [`residue`] are those two halves; between them lies the pool in question.

use serde::Deserialize;
use tenantry_pg::{Session, Sql};

use crate::catalog::{Catalog, Rule};
use crate::report::{Finding, Section, Skipped};
use crate::run::GuardError;

/// One thing that can be left behind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    pub name: String,
    pub plant: String,
    pub seen: String,
}

/// What the first borrower could leave behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planted {
    /// The server process, so that the second borrower knows whether it got the same session.
    pid: i32,
    /// The names of what was left.
    names: Vec<String>,
    /// What the server refused to leave.
    refused: Vec<String>,
}

/// Leaves everything behind that the server allows. Call it outside of a transaction, with a login of the application.
///
/// # Errors
/// The server is gone, or the built-in catalog is broken.
pub async fn plant(session: &Session) -> Result<Planted, GuardError> {
    let row = session.query_one("SELECT pg_backend_pid()", &[]).await?;
    let mut planted =
        Planted { pid: row.try_get(0).map_err(tenantry_pg::PgError::from)?, names: vec![], refused: vec![] };
    for vector in &Catalog::get()?.vectors {
        // A right that was taken away is what one hopes for.
        let done = session.batch(&Sql::new(vector.plant.as_str())).await.is_ok();
        if done { &mut planted.names } else { &mut planted.refused }.push(vector.name.clone());
    }
    Ok(planted)
}

/// Looks for what was left behind. Call it as the next borrower, outside of a transaction.
///
/// # Errors
/// The server is gone, or the built-in catalog is broken.
pub async fn residue(session: &Session, planted: &Planted) -> Result<Section, GuardError> {
    let catalog = Catalog::get()?;
    let mut section = Section::default();
    let pid: i32 =
        session.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0).map_err(tenantry_pg::PgError::from)?;
    for check in catalog.checks().iter().filter(|check| check.rule == Some(Rule::Residue)) {
        if pid != planted.pid {
            let reason =
                "the pool gave another session the second time: borrow with a pool of one connection".to_owned();
            section.skipped.push(Skipped { check: check.id.clone(), reason });
            continue;
        }
        section.run.push(check.id.clone());
        for vector in catalog.vectors.iter().filter(|vector| planted.names.contains(&vector.name)) {
            let row = session.query_one(vector.seen.as_str(), &[]).await?;
            if row.try_get::<_, bool>(0).map_err(tenantry_pg::PgError::from)? {
                let detail = format!("{} of the borrower before is still there", vector.name);
                section.findings.push(Finding::of(check, vector.name.clone(), detail, None));
            }
        }
    }
    Ok(section)
}
