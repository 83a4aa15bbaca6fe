//! Making an app's tables safe: forced row-level security with the one policy, defaults, references and rights.
//!
//! Invariant: what [`protect`] leaves behind keeps all rules, or its transaction fails. It reads the catalog, judges,
//! applies the remedies, and judges again what it reads then. It never touches rows.

pub(crate) mod judge;
mod rules;

use tenantry_domain::app::Spec;
use tenantry_pg::{Ident, Session, Sql};

use crate::catalog::{self, Catalog};
use crate::confined::Door;
use crate::error::{DataError, Refusal, Unguarded};
use crate::names::Place;
use judge::{Deviation, Remedy, Rules, judge};

/// What protecting did.
#[derive(Debug)]
pub(crate) struct Protected {
    /// What was found and set right, for people.
    pub fixed: Vec<String>,
    /// The facts afterwards.
    pub catalog: Catalog,
}

/// Brings the objects of a place to what the rules want, inside the caller's transaction.
pub(crate) async fn protect(session: &Session, place: &Place, spec: &Spec) -> Result<Protected, DataError> {
    let key = key_of(spec)?;
    let rules = Rules { place, key: key.as_ref(), references: &spec.reference_tables };
    let mut catalog = catalog::read(session, place).await?;
    let found = judge(&catalog, &rules)?;
    refuse(&found)?;
    let fixed: Vec<String> = found.iter().filter(|d| d.is_repairable()).map(|d| d.finding().to_string()).collect();
    if !fixed.is_empty() {
        session.batch(&statements(&found, false)).await?;
        let owners = statements(&found, true);
        if !owners.as_str().is_empty() {
            Door::open(session, place).await?.run(&owners).await?;
        }
        catalog = catalog::read(session, place).await?;
        let left = judge(&catalog, &rules)?;
        refuse(&left)?;
        if let Some(left) = left.iter().find(|deviation| deviation.is_repairable()) {
            return Err(DataError::Unsupported {
                what: format!("{} {} and cannot be set right", left.object, left.detail),
                hint: "Look at the object as the owner of the schema; something puts it back.",
            });
        }
    }
    Ok(Protected { fixed, catalog })
}

/// The deviations of a place's objects, without changing any.
pub(crate) async fn inspect(
    session: &Session,
    place: &Place,
    spec: &Spec,
) -> Result<(Catalog, Vec<Deviation>), DataError> {
    let key = key_of(spec)?;
    let rules = Rules { place, key: key.as_ref(), references: &spec.reference_tables };
    let catalog = catalog::read(session, place).await?;
    let found = judge(&catalog, &rules)?;
    Ok((catalog, found))
}

/// The app's tenant column.
pub(crate) fn key_of(spec: &Spec) -> Result<Option<Ident>, DataError> {
    Ok(spec.tenant_key.as_deref().map(Ident::new).transpose()?)
}

fn refuse(found: &[Deviation]) -> Result<(), DataError> {
    let mut refusals = found.iter().filter_map(|deviation| match &deviation.remedy {
        Remedy::Refuse(refusal) => Some(refusal.clone()),
        Remedy::Run(_) | Remedy::Alter { .. } | Remedy::Report => None,
    });
    match refusals.next() {
        None => Ok(()),
        Some(first) => {
            let others: Vec<Refusal> = refusals.collect();
            Err(DataError::Unguarded(Box::new(Unguarded { first, others })))
        }
    }
}

/// The remedies as one script, with the changes of one table in one statement: ours, or the owner's.
fn statements(found: &[Deviation], owners: bool) -> Sql {
    let mut sql = Sql::new("");
    let mut open: Option<&Sql> = None;
    for deviation in found {
        match &deviation.remedy {
            Remedy::Alter { table, change, as_owner } if *as_owner == owners => {
                if open == Some(table) {
                    sql = sql.push(", ").sql(change);
                    continue;
                }
                let end = if open.is_some() { "; " } else { "" };
                sql = sql.push(end).push("ALTER TABLE ").sql(table).push(" ").sql(change);
                open = Some(table);
            }
            Remedy::Run(statement) if !owners => {
                sql = sql.push(if open.take().is_some() { "; " } else { "" }).sql(statement);
            }
            _ => {}
        }
    }
    sql
}
