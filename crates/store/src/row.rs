//! A tenant's row: out of its columns, and into those of a whole batch.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::value::{RawValue, to_raw_value};
use tenantry_domain::audit::Hash;
use tenantry_domain::id::TenantId;
use tenantry_domain::placement::Placement;
use tenantry_domain::tenant::lifecycle::{Action, Phase, State};
use tenantry_pg::{Json, Row, ToSql};
use uuid::Uuid;

use crate::StoreError;
use crate::columns::{digest, get, json, json_opt, parse, parse_opt, slug};
use crate::line::Statement;
use crate::tenants::TenantRow;

/// The columns that [`read`] needs.
macro_rules! tenant_columns {
    () => {
        "t.env, t.id, t.slug, t.version, t.spec, t.plan_version, t.state, t.region, t.cell, t.isolation, t.placement_generation, \
         t.observed_version, t.app_version, t.conditions, t.failed_version, t.failure, t.findings, t.created_at, \
         t.updated_at, t.activated_at, t.created_by, t.audit_seq, t.audit_head, t.event_seq"
    };
}
pub(crate) use tenant_columns;

/// Reads a row.
pub(crate) fn read(row: &Row) -> Result<TenantRow, StoreError> {
    let placement_generation = get(row, "placement_generation")?;
    let placement = match (parse_opt(row, "region")?, parse_opt(row, "cell")?, parse_opt(row, "isolation")?) {
        (Some(region), Some(cell), Some(isolation)) => {
            Some(Placement { region, cell, isolation, generation: placement_generation })
        }
        _ => None,
    };
    let failed_version: Option<i64> = get(row, "failed_version")?;
    Ok(TenantRow {
        environment: parse(row, "env")?,
        id: TenantId::from_uuid(get(row, "id")?),
        slug: slug(row)?,
        version: get(row, "version")?,
        spec: json(row, "spec")?,
        plan_version: get(row, "plan_version")?,
        state: json(row, "state")?,
        placement,
        placement_generation,
        observed_version: get(row, "observed_version")?,
        app_version: get(row, "app_version")?,
        conditions: json(row, "conditions")?,
        failure: failed_version.zip(json_opt(row, "failure")?),
        findings: json(row, "findings")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
        activated_at: get(row, "activated_at")?,
        created_by: get(row, "created_by")?,
        audit_seq: get(row, "audit_seq")?,
        event_seq: get(row, "event_seq")?,
    })
}

/// Reads the newest hash beside a row.
pub(crate) fn head(row: &Row) -> Result<Hash, StoreError> {
    digest(row, "audit_head")
}

/// The words of a text, as searches compare them: letters and digits only, in lower case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// The words by which a tenant is found.
pub(crate) fn words_of(row: &TenantRow) -> BTreeSet<String> {
    words(row.slug.as_str()).chain(words(&row.spec.display_name)).collect()
}

/// The moments that a state implies, as columns.
fn moments(state: &State) -> (Option<Timestamp>, Option<Timestamp>, Option<Timestamp>, Option<Timestamp>) {
    match state {
        State::Draft | State::Active { .. } => (None, None, None, None),
        State::Suspended { since, .. } => (Some(*since), None, None, None),
        State::Archived { at, purge_after, .. } => (None, Some(*at), Some(*purge_after), None),
        State::Deleted { at } => (None, None, None, Some(*at)),
    }
}

/// A document as the driver sends it, serialized once.
pub(crate) fn document(value: &impl serde::Serialize) -> Json<Box<RawValue>> {
    Json(to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
}

/// Columns of one row as values, or of many as arrays, in the order of [`row_names`].
pub(crate) struct Columns {
    statement: Statement,
    is_one: bool,
}

impl Columns {
    pub(crate) const fn of_one(statement: Statement) -> Self {
        Self { statement, is_one: true }
    }

    pub(crate) const fn of_many(statement: Statement) -> Self {
        Self { statement, is_one: false }
    }

    /// Adds a column with a value for each row.
    pub(crate) fn add<T: ToSql + Sync + Send + 'static>(self, values: impl Iterator<Item = T>) -> Self {
        let Self { statement, is_one } = self;
        let mut values: Vec<T> = values.collect();
        let statement = match values.pop() {
            Some(only) if is_one => statement.bind(only),
            last => {
                values.extend(last);
                statement.bind(values)
            }
        };
        Self { statement, is_one }
    }

    /// Adds the columns of tenants.
    pub(crate) fn rows(self, rows: &[&TenantRow]) -> Self {
        let all = || rows.iter();
        self.add(all().map(|row| row.id.uuid()))
            .add(all().map(|row| row.slug.as_str().to_owned()))
            .add(all().map(|row| row.slug.skeleton()))
            .add(all().map(|row| row.spec.display_name.clone()))
            .add(all().map(|row| words_of(row).iter().map(|word| format!(" {word}")).collect::<String>()))
            .add(all().map(|row| row.spec.app.as_str().to_owned()))
            .add(all().map(|row| row.spec.plan.as_str().to_owned()))
            .add(all().map(|row| row.placement.as_ref().map(|place| place.region.as_str().to_owned())))
            .add(all().map(|row| row.placement.as_ref().map(|place| place.cell.as_str().to_owned())))
            .add(all().map(|row| row.placement.as_ref().map(|place| place.isolation.as_str())))
            .add(all().map(|row| row.placement_generation))
            .add(all().map(|row| row.version))
            .add(all().map(|row| row.observed_version))
            .add(all().map(|row| row.app_version))
            .add(all().map(|row| row.spec.state.as_str()))
            .add(all().map(|row| row.state.phase().as_str()))
            .add(all().map(|row| document(&row.state)))
            .add(all().map(|row| document(&row.spec)))
            .add(all().map(|row| document(&row.conditions)))
            .add(all().map(|row| row.failure.as_ref().map(|(version, _)| *version)))
            .add(all().map(|row| row.failure.as_ref().map(|(_, cause)| document(cause))))
            .add(all().map(|row| document(&row.findings)))
            .add(all().map(|row| repairable(row)))
            .add(all().map(|row| i32::try_from(row.spec.business.size.weight()).unwrap_or(i32::MAX)))
            .add(all().map(|row| row.spec.deletion.as_ref().map(|deletion| deletion.not_before)))
            .add(all().map(|row| row.activated_at))
            .add(all().map(|row| moments(&row.state).0))
            .add(all().map(|row| moments(&row.state).1))
            .add(all().map(|row| moments(&row.state).2))
            .add(all().map(|row| moments(&row.state).3))
            .add(all().map(|row| is_unsettled(row)))
    }

    pub(crate) fn into_statement(self) -> Statement {
        self.statement
    }
}

fn repairable(row: &TenantRow) -> i32 {
    i32::try_from(row.findings.iter().filter(|finding| finding.repairable).count()).unwrap_or(i32::MAX)
}

/// Whether the row alone says that something may have to be done: the controllers' sieve, which a test compares with
/// the domain's decision case by case. The app's version and the moment are added by [`crate::Store::due`].
fn is_unsettled(row: &TenantRow) -> bool {
    let (phase, wanted) = (row.state.phase(), row.spec.state);
    let is_open = matches!(phase, Phase::Active | Phase::Suspended);
    let is_failed = row.failure.as_ref().is_some_and(|(version, _)| *version >= row.version);
    if phase != wanted {
        return !is_failed && Action::between(phase, wanted).is_some();
    }
    let is_behind = row.version > row.observed_version;
    is_open && if is_behind { !is_failed } else { repairable(row) > 0 }
}

/// The columns of many rows as a table, from the fourth parameter on; open at its end for more of them.
macro_rules! row_arrays {
    () => {
        "unnest($4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], \
         $12::text[], $13::text[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::text[], \
         $19::text[], $20::jsonb[], $21::jsonb[], $22::jsonb[], $23::bigint[], $24::jsonb[], $25::jsonb[], \
         $26::integer[], $27::integer[], $28::timestamptz[], $29::timestamptz[], $30::timestamptz[], \
         $31::timestamptz[], $32::timestamptz[], $33::timestamptz[], $34::boolean[]"
    };
}
pub(crate) use row_arrays;

/// The names of these columns.
macro_rules! row_names {
    () => {
        "id, slug, slug_skeleton, display_name, words, app, plan, region, cell, isolation, placement_generation, \
         version, observed_version, app_version, requested, phase, state, spec, conditions, failed_version, failure, \
         findings, repairable, weight, delete_not_before, activated_at, suspended_at, archived_at, purge_after, deleted_at, \
         is_unsettled"
    };
}
pub(crate) use row_names;

/// Ids as a parameter.
pub(crate) fn uuids(ids: &[TenantId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.uuid()).collect()
}
