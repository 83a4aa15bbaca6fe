//! Examples of isolation: for every table, that a row of one tenant is not seen, changed, counted or referenced from
//! another one, and that no row can be given to another one. The tables come from the catalog, so a new table without an
//! example is a finding.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tenantry_pg::PgError;

use crate::error::Error;
use crate::tenant::Tenant;
use crate::tenantry::Tenantry;
use crate::testkit::probe::{self, PgErrorOr, Reference, Table};
use crate::tx::TenantTx;

/// What is wrong with a table, or with its example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The table has no example and is not exempt.
    NoExample(String),
    /// There is no such table.
    NoTable(String),
    /// It is exempt without a reason.
    NoReason(String),
    /// The example cannot be run.
    ExampleFails(String, String),
    /// The example's row is not there afterwards.
    ExampleWritesNothing(String),
    /// The other tenant counts more rows than before.
    Counted(String),
    /// The other tenant sees rows that bear this tenant's id.
    Seen(String),
    /// The other tenant's statement touched rows that are not its own.
    Changed(String),
    /// A row could be given to this tenant by the other one.
    GivenAway(String),
    /// A row of the other tenant can point to this tenant's row, in this parent.
    Referenced(String, String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoExample(table) => write!(f, "{table}: has no example; add one, or exempt the table with a reason"),
            Self::NoTable(table) => write!(f, "{table}: there is no such table in the tenant's schema"),
            Self::NoReason(table) => write!(f, "{table}: is exempt without a reason"),
            Self::ExampleFails(table, why) => write!(f, "{table}: its example fails: {why}"),
            Self::ExampleWritesNothing(table) => write!(f, "{table}: its example leaves no row"),
            Self::Counted(table) => write!(f, "{table}: another tenant counts its rows"),
            Self::Seen(table) => write!(f, "{table}: another tenant sees its rows"),
            Self::Changed(table) => write!(f, "{table}: another tenant changes its rows"),
            Self::GivenAway(table) => write!(f, "{table}: a row can be given another tenant's id"),
            Self::Referenced(table, parent) => write!(f, "{table}: can point to another tenant's row of {parent}"),
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Tables that were looked at.
    pub tables: usize,
    /// Single attempts that were made.
    pub attempts: usize,
    /// What is wrong; empty is what is wanted.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Stops the test if anything is wrong, and says what.
    ///
    /// # Panics
    /// There are findings.
    #[track_caller]
    pub fn assert_clean(&self) {
        let list: Vec<String> = self.findings.iter().map(ToString::to_string).collect();
        assert!(list.is_empty(), "isolation of {} tables:\n  {}", self.tables, list.join("\n  "));
    }
}

/// An example for every table.
#[derive(Debug, Clone)]
pub struct Examples {
    key: String,
    inserts: Vec<(String, &'static str)>,
    exempt: BTreeMap<String, String>,
}

impl Default for Examples {
    fn default() -> Self {
        Self { key: "tenant_id".to_owned(), inserts: Vec::new(), exempt: BTreeMap::new() }
    }
}

impl Examples {
    /// None yet; the tenant's column is `tenant_id`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A statement that inserts a row into a table, as the application would. Statements run in the order in which they
    /// are given, so a child's example finds its parent's row.
    #[must_use]
    pub fn insert(mut self, table: &str, sql: &'static str) -> Self {
        self.inserts.push((table.to_owned(), sql));
        self
    }

    /// A table that needs no example, with the reason.
    #[must_use]
    pub fn exempt(mut self, table: &str, why: &str) -> Self {
        self.exempt.insert(table.to_owned(), why.to_owned());
        self
    }

    /// Another column for the tenant.
    #[must_use]
    pub fn tenant_key(mut self, column: &str) -> Self {
        column.clone_into(&mut self.key);
        self
    }

    /// Runs every example in both tenants and tries to reach the first one's rows from the second one. The tenants must
    /// be of the same app; the examples' rows stay in them.
    ///
    /// # Errors
    /// A tenant cannot be entered, or a statement of the check itself fails.
    pub async fn check(&self, tenantry: &Tenantry, one: &Tenant, other: &Tenant) -> Result<Report, Error> {
        let tx = tenantry.begin_read(one).await?;
        let tables = probe::tables(&tx, &self.key).await?;
        let references = probe::references(&tx, &self.key).await?;
        tx.rollback().await?;
        let mut report = Report { tables: tables.len(), attempts: 0, findings: self.coverage(&tables) };
        let tables: Vec<Table> = tables.into_iter().filter(|table| self.has(&table.name)).collect();
        self.write(tenantry, other, &mut report).await?;
        let before = counts(tenantry, other, &tables).await?;
        self.write(tenantry, one, &mut report).await?;
        if report.findings.iter().any(|finding| matches!(finding, Finding::ExampleFails(..))) {
            return Ok(report);
        }
        for (table, before) in tables.iter().zip(before) {
            let tx = tenantry.begin(one).await?;
            if probe::count(&tx, &table.name).await? == 0 {
                report.findings.push(Finding::ExampleWritesNothing(table.name.clone()));
            }
            tx.rollback().await?;
            self.attack(tenantry, (one, other), table, before, &mut report).await?;
        }
        for reference in references.iter().filter(|reference| self.has(&reference.child)) {
            point(tenantry, one, other, reference, &mut report).await?;
        }
        Ok(report)
    }

    fn has(&self, table: &str) -> bool {
        self.inserts.iter().any(|(known, _)| known == table)
    }

    fn coverage(&self, tables: &[Table]) -> Vec<Finding> {
        let there: BTreeSet<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        let named = self.inserts.iter().map(|(table, _)| table).chain(self.exempt.keys());
        let unknown =
            named.filter(|table| !there.contains(table.as_str())).map(|table| Finding::NoTable(table.clone()));
        let bare = there.iter().filter(|table| !self.has(table) && !self.exempt.contains_key(**table));
        let bare = bare.map(|table| Finding::NoExample((*table).to_owned()));
        let silent = self.exempt.iter().filter(|(_, why)| why.trim().is_empty());
        unknown.chain(bare).chain(silent.map(|(table, _)| Finding::NoReason(table.clone()))).collect()
    }

    async fn write(&self, tenantry: &Tenantry, tenant: &Tenant, report: &mut Report) -> Result<(), Error> {
        let tx = tenantry.begin(tenant).await?;
        for (table, sql) in &self.inserts {
            if let Err(error) = tx.execute(sql, &[]).await {
                report.findings.push(Finding::ExampleFails(table.clone(), reason(&error)));
                return tx.rollback().await;
            }
        }
        tx.commit().await
    }

    /// Everything that the other tenant tries with a table's rows.
    async fn attack(
        &self,
        tenantry: &Tenantry,
        (one, other): (&Tenant, &Tenant),
        table: &Table,
        before: i64,
        report: &mut Report,
    ) -> Result<(), Error> {
        let name = &table.name;
        let ours = vec![(self.key.clone(), one.uuid().to_string())];
        let tx = tenantry.begin(other).await?;
        let counted = probe::count(&tx, name).await?;
        report.note(counted != before, Finding::Counted(name.clone()));
        if !table.has_key {
            return tx.rollback().await;
        }
        let seen = probe::count_with(&tx, name, &ours).await?;
        report.note(seen != 0, Finding::Seen(name.clone()));
        let touched = probe::touch(&tx, name, &self.key).await;
        tx.rollback().await?;
        match touched {
            Ok(rows) => report.note(i64::try_from(rows) != Ok(before), Finding::Changed(name.clone())),
            // A table that its own tenant may not change cannot be changed by another one either.
            Err(PgErrorOr::Refused(_)) => report.note(false, Finding::Changed(name.clone())),
            Err(error) => return Err(error.into()),
        }
        let tx = tenantry.begin(other).await?;
        let given = immediately(&tx, name, &ours).await;
        tx.rollback().await?;
        match given {
            Ok(rows) => report.note(rows > 0, Finding::GivenAway(name.clone())),
            Err(PgErrorOr::Refused(_)) => report.note(false, Finding::GivenAway(name.clone())),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl Report {
    fn note(&mut self, is_wrong: bool, finding: Finding) {
        self.attempts += 1;
        if is_wrong {
            self.findings.push(finding);
        }
    }
}

/// Tries to make the other tenant's rows point to this tenant's row.
async fn point(
    tenantry: &Tenantry,
    one: &Tenant,
    other: &Tenant,
    reference: &Reference,
    report: &mut Report,
) -> Result<(), Error> {
    let tx = tenantry.begin(one).await?;
    let values = probe::any_row(&tx, &reference.parent, &reference.parent_columns).await?;
    tx.rollback().await?;
    let Some(values) = values else { return Ok(()) };
    let pairs = |columns: &[String]| columns.iter().cloned().zip(values.iter().cloned()).collect::<Vec<_>>();
    let tx = tenantry.begin(other).await?;
    let own = probe::count_with(&tx, &reference.parent, &pairs(&reference.parent_columns)).await?;
    let pointed = immediately(&tx, &reference.child, &pairs(&reference.columns)).await;
    tx.rollback().await?;
    let finding = Finding::Referenced(reference.child.clone(), reference.parent.clone());
    match pointed {
        // With a row of its own under the same key it has pointed to that.
        Ok(rows) => report.note(rows > 0 && own == 0, finding),
        Err(PgErrorOr::Refused(_)) => report.note(false, finding),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Sets values, with constraints that are checked at once.
async fn immediately(tx: &TenantTx, table: &str, values: &[(String, String)]) -> Result<u64, PgErrorOr> {
    tx.batch_static("SET CONSTRAINTS ALL IMMEDIATE").await.map_err(|error| PgErrorOr::Failed(error.into()))?;
    probe::set(tx, table, values).await
}

async fn counts(tenantry: &Tenantry, tenant: &Tenant, tables: &[Table]) -> Result<Vec<i64>, Error> {
    let tx = tenantry.begin(tenant).await?;
    let mut counts = Vec::new();
    for table in tables {
        counts.push(probe::count(&tx, &table.name).await?);
    }
    tx.rollback().await?;
    Ok(counts)
}

/// Those who wrote the statement may see what the server says of it.
fn reason(error: &PgError) -> String {
    error.db().map_or_else(|| error.to_string(), |db| db.message().to_owned())
}
