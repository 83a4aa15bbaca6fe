//! Erasing a tenant: rows, schema or database, roles, and every trace in registry and ledger.
//!
//! Rows in shared tables are deleted inside the tenant's own context and as the tables' owner, so the same policies
//! that keep tenants apart keep a mistake here from reaching a neighbour. What remains is a claim number under a hash.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_pg::{Ident, PgKind, Pool, Session, Sql};

use crate::catalog::{Catalog, get};
use crate::cell::Cell;
use crate::confined::Door;
use crate::error::DataError;
use crate::isolation::{Registry, Site, remove};
use crate::migrate::{assume, bypass};
use crate::roles::Removal;
use crate::space::{Claim, Space};
use crate::{claim, protect};

/// Rows per transaction: long enough to be quick, short enough not to hold locks for long.
const BATCH: i64 = 5_000;
/// Deleting fires the app's own triggers, which may write rows of the tenant again.
const PASSES: u32 = 5;

impl Cell {
    /// Removes everything of a tenant at this place, for good. Shut the gate before.
    ///
    /// # Errors
    /// The claim is outdated, an object of the tenant's names is not ours, or its rows cannot be deleted.
    pub async fn erase(&self, space: &Space, claim: &Claim) -> Result<(), DataError> {
        if !self.has_home(&space.app).await? {
            // Nothing of a tenant is anywhere without the home, which is made before the first of them.
            return Ok(());
        }
        let site = Site::find(self, space, claim).await?;
        let tx = self.home_pool(&site.names).begin().await?;
        claim::hold(self, &tx, space.tenant, claim).await?;
        tx.commit().await?;
        let removal = Removal { ours: site.marks(), starts: site.marks() };
        remove(&site, &removal, Registry::Forget).await
    }
}

/// Deletes the tenant's rows in shared tables, children before parents.
pub(crate) async fn rows(site: &Site<'_>, pool: &Pool) -> Result<(), DataError> {
    let Some(key) = protect::key_of(&site.space.app.spec)? else { return Ok(()) };
    let tx = pool.begin().await?;
    let (catalog, _) = protect::inspect(&tx, &site.place, &site.space.app.spec).await?;
    tx.commit().await?;
    let groups = order(&catalog, &key);
    let hidden = catalog.hides_rows();
    for _ in 0..PASSES {
        let mut deleted = 0;
        for group in &groups {
            deleted += delete(site, pool, group, &key, hidden).await?;
        }
        if deleted == 0 {
            return Ok(());
        }
    }
    Err(DataError::Busy { what: "the tenant's data, which something writes while it is erased," })
}

/// Deletes the rows of one table, or of several that refer to each other, in as many transactions as it takes.
///
/// `hidden` says that policies of the app may hide rows of the tenant from the owner. What is seen goes under the policies and with the
/// app's triggers; what is left goes without both, for a trigger that names no tenant would reach everybody's rows without them.
async fn delete(site: &Site<'_>, pool: &Pool, group: &Group, key: &Ident, hidden: bool) -> Result<u64, DataError> {
    let mut total = 0;
    // Hidden rows of a cycle would hold up the others.
    let mut lifted = hidden && group.at_once;
    loop {
        let tx = pool.begin().await?;
        if lifted {
            turn(site, &tx).await?;
        }
        claim::hold(site.cell, &tx, site.space.tenant, site.claim).await?;
        assume(&tx, site.space.tenant).await?;
        tx.execute("SELECT set_config('statement_timeout', '0', true)", &[]).await?;
        if lifted {
            lift(site, &tx).await?;
        }
        // The app's triggers run here: as the tables' owner, with the path that its own transactions have. Not even an empty
        // statement where there is nothing to delete, for they would run for it.
        let found = Door::open(&tx, &site.place).await?.ask(&anything(site, group, key)?).await?;
        if found.as_deref() != Some("true") {
            tx.rollback().await?;
            if hidden && !lifted {
                lifted = true;
                continue;
            }
            return Ok(total);
        }
        let deleted = Door::open(&tx, &site.place).await?.ask(&statement(site, group, key)?).await?;
        let deleted: i64 = deleted.and_then(|count| count.parse().ok()).unwrap_or_default();
        if lifted {
            tx.batch(&bypass(&site.place, false)).await?;
        }
        tx.commit().await?;
        total += deleted.unsigned_abs();
        if group.at_once || deleted < BATCH {
            if hidden && !lifted {
                lifted = true;
                continue;
            }
            return Ok(total);
        }
    }
}

/// Takes the turn of whoever changes the place, before any row: migrations take both in this order.
pub(crate) async fn turn(site: &Site<'_>, tx: &Session) -> Result<(), DataError> {
    let limit = site.cell.options.turn.as_millis().to_string();
    tx.execute("SELECT set_config('lock_timeout', $1, true)", &[&limit]).await?;
    let turn = site.cell.lock_key("place", site.place.schema.as_str());
    match tx.execute("SELECT pg_advisory_xact_lock($1)", &[&turn]).await {
        Err(error) if error.kind() == PgKind::LockNotAvailable => Err(DataError::Busy { what: "the place" }),
        other => Ok(other.map(|_| ())?),
    }
}

/// Lets the owner see what policies of the app hide, in this transaction alone, and keeps triggers from firing in it. The statements
/// name the tenant themselves.
pub(crate) async fn lift(site: &Site<'_>, tx: &Session) -> Result<(), DataError> {
    let refuse = |what: String, hint: &'static str| Err(DataError::Unsupported { what, hint });
    if !site.cell.server().await?.superuser {
        let what = "a restrictive policy of the app may hide rows of the tenant from being erased".to_owned();
        let hint =
            "Drop restrictive policies of the app, or let the administrator of the cell be a superuser, and retry.";
        return refuse(what, hint);
    }
    let sql = "SELECT c.relname::text, t.tgname::text FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
               JOIN pg_catalog.pg_roles r ON r.oid = c.relowner WHERE t.tgenabled IN ('A', 'R') AND r.rolname = $1 ORDER BY 1, 2 LIMIT 1";
    if let Some(row) = tx.query_opt(sql, &[&site.place.owner.as_str()]).await? {
        let (table, trigger): (String, String) = (get(&row, 0)?, get(&row, 1)?);
        let what = format!("the trigger `{trigger}` of `{table}` fires also where triggers do not");
        let hint = "Let it be ENABLE TRIGGER as usual, neither ALWAYS nor REPLICA, and retry.";
        return refuse(what, hint);
    }
    tx.execute("SELECT set_config('session_replication_role', 'replica', true)", &[]).await?;
    Ok(tx.batch(&bypass(&site.place, true)).await?)
}

/// Asks whether a group holds rows.
fn anything(site: &Site<'_>, group: &Group, key: &Ident) -> Result<Sql, DataError> {
    let mut questions = Vec::new();
    for name in &group.tables {
        let table = Sql::new("").ident(&site.place.schema).push(".").ident(&Ident::new(name)?);
        let sql = Sql::new("EXISTS (SELECT FROM ").sql(&table).push(" WHERE ").ident(key);
        questions.push(sql.push(" = (SELECT tenantry.current_tenant()))"));
    }
    Ok(Sql::new("SELECT ").join(&questions, " OR "))
}

/// One statement for a group: foreign keys are checked when all of it is done.
fn statement(site: &Site<'_>, group: &Group, key: &Ident) -> Result<Sql, DataError> {
    let mut deletes = Vec::new();
    let mut counts = Vec::new();
    for (index, name) in group.tables.iter().enumerate() {
        let table = Sql::new("").ident(&site.place.schema).push(".").ident(&Ident::new(name)?);
        let own = Sql::new("").ident(key).push(" = (SELECT tenantry.current_tenant())");
        let number = i64::try_from(index).unwrap_or(0);
        let mut sql = Sql::new("d").int(number).push(" AS (DELETE FROM ").sql(&table).push(" WHERE ").sql(&own);
        if !group.at_once {
            sql = sql.push(" AND ctid = ANY (ARRAY(SELECT ctid FROM ").sql(&table).push(" WHERE ").sql(&own);
            sql = sql.push(" LIMIT ").int(BATCH).push("))");
        }
        deletes.push(sql.push(" RETURNING 1)"));
        counts.push(Sql::new("(SELECT count(*) FROM d").int(number).push(")"));
    }
    Ok(Sql::new("WITH ").join(&deletes, ", ").push(" SELECT ").join(&counts, " + "))
}

/// Tables whose rows go together.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    tables: Vec<String>,
    /// Rows refer to rows of the same group, so all of them go in one statement.
    at_once: bool,
}

/// Tenant tables in an order in which their rows can go. Tables that cannot be ordered come together; partitions
/// come with their parents.
fn order(catalog: &Catalog, key: &Ident) -> Vec<Group> {
    let tenant_tables: BTreeSet<&String> = catalog
        .relations
        .iter()
        .filter(|(_, relation)| {
            matches!(relation.kind, 'r' | 'p') && !relation.child && relation.columns.contains_key(key.as_str())
        })
        .map(|(name, _)| name)
        .collect();
    // Who must be empty before whom: referring tables before those referred to.
    let mut referrers: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for name in &tenant_tables {
        for constraint in catalog.relations[*name].constraints.iter().filter(|constraint| constraint.kind == 'f') {
            if let Some(target) = constraint.target.as_ref().filter(|target| tenant_tables.contains(target)) {
                referrers.entry(target).or_default().insert(name);
            }
        }
    }
    let mut left = tenant_tables;
    let mut groups = Vec::new();
    while !left.is_empty() {
        let free: Vec<&String> = left
            .iter()
            .copied()
            .filter(|name| referrers.get(name).is_none_or(|by| by.iter().all(|by| !left.contains(by))))
            .collect();
        if free.is_empty() {
            // Only cycles, and what they refer to, are left.
            groups.push(Group { tables: left.iter().map(|name| (*name).clone()).collect(), at_once: true });
            break;
        }
        for name in free {
            left.remove(name);
            groups.push(Group { tables: vec![name.clone()], at_once: false });
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Column, Constraint, Relation};

    fn catalog(edges: &[(&str, &[&str])]) -> Catalog {
        let mut catalog = Catalog::default();
        for (name, targets) in edges {
            let mut relation = Relation { kind: 'r', ..Relation::default() };
            relation.columns.insert("tenant_id".into(), Column::default());
            relation.constraints = targets
                .iter()
                .map(|target| Constraint {
                    name: format!("{name}_{target}"),
                    kind: 'f',
                    columns: vec![],
                    target: Some((*target).to_owned()),
                    target_columns: vec![],
                    validated: true,
                })
                .collect();
            catalog.relations.insert((*name).to_owned(), relation);
        }
        catalog
    }

    #[test]
    fn children_go_before_parents_and_cycles_together() {
        let key = Ident::new("tenant_id").unwrap();
        let group =
            |tables: &[&str], at_once| Group { tables: tables.iter().map(|t| (*t).to_owned()).collect(), at_once };
        let groups = order(&catalog(&[("a", &[]), ("b", &["a"]), ("c", &["b", "tenantry.tenant"])]), &key);
        assert_eq!(groups, [group(&["c"], false), group(&["b"], false), group(&["a"], false)]);
        let groups = order(&catalog(&[("a", &["b"]), ("b", &["a"]), ("c", &["a"]), ("self", &["self"])]), &key);
        assert_eq!(groups, [group(&["c"], false), group(&["a", "b", "self"], true)]);
    }
}
