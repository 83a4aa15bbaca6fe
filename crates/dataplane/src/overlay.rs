//! What a tenant with a place of its own has added there: tables, columns, indexes and the like that no file made.
//!
//! The structure that a place was left with is compared with what is there now. As a file's end is recorded with all that
//! is there, what was added before is remembered by name, so that it stays told apart. Nothing in the place is changed.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_domain::app::Migrations;
use tenantry_domain::isolation::Isolation;
use tenantry_pg::Session;

use crate::catalog::{self, get};
use crate::cell::Cell;
use crate::error::DataError;
use crate::names::Place;
use crate::space::Space;
use crate::{ledger, script};

/// Sorts of added objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddedKind {
    /// A table of any sort.
    Table,
    /// A view, materialized or not.
    View,
    /// A sequence.
    Sequence,
    /// A column of one of the app's tables.
    Column,
    /// An index of one of the app's tables.
    Index,
    /// A constraint of one of the app's tables.
    Constraint,
    /// A trigger or rule of one of the app's tables.
    Trigger,
    /// A function or procedure.
    Function,
    /// A type or domain.
    Type,
    /// An extension.
    Extension,
}

impl AddedKind {
    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::Sequence => "sequence",
            Self::Column => "column",
            Self::Index => "index",
            Self::Constraint => "constraint",
            Self::Trigger => "trigger",
            Self::Function => "function",
            Self::Type => "type",
            Self::Extension => "extension",
        }
    }
}

/// One added object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Its sort.
    pub kind: AddedKind,
    /// The app's table that it belongs to, for columns, indexes, constraints and triggers.
    pub table: Option<String>,
    /// Its name; of a function with its arguments; of a view outside of the app's schema with its schema.
    pub name: String,
    /// The tables and columns that it needs, its own apart. Without a column: the table as a whole.
    pub needs: BTreeSet<(String, Option<String>)>,
}

impl Added {
    /// How people call it: `column notes.colour`.
    #[must_use]
    pub fn label(&self) -> String {
        let table = self.table.as_ref().map(|table| format!("{table}.")).unwrap_or_default();
        format!("{} {table}{}", self.kind.as_str(), self.name)
    }
}

/// What was added to a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// The objects, by table and name.
    pub added: Vec<Added>,
    /// The app's files that ran there.
    pub applied: BTreeSet<String>,
}

/// By which a line of a structure is told: kind, table, name.
type Key = (String, String, String);

impl Cell {
    /// What was added to a tenant's place of its own; nothing where it shares one, or where no file has come to its end.
    /// Where it is to be kept, it is remembered, as before files run.
    ///
    /// # Errors
    /// The server refuses, or is gone.
    pub async fn overlay(&self, space: &Space, keep: bool) -> Result<Overlay, DataError> {
        if space.isolation == Isolation::Shared {
            return Ok(Overlay::default());
        }
        let names = self.ensure_home(&space.app).await?;
        let place = names.place(space.tenant, space.isolation)?;
        let own = place.database != names.home;
        let pool = if own { self.tenant_pool(&place.database) } else { self.home_pool(&names) };
        let conn = pool.get().await?;
        let is_known: bool = get(&conn.query_one("SELECT to_regclass('ledger.overlay') IS NOT NULL", &[]).await?, 0)?;
        conn.release();
        if !is_known {
            // An older release made this database.
            ledger::install(&pool).await?;
        }
        let tx = pool.begin().await?;
        let progress = ledger::progress(&tx, &place).await?;
        let mut overlay = Overlay { added: Vec::new(), applied: progress.applied.into_keys().collect() };
        if progress.version.is_none() {
            tx.rollback().await?;
            return Ok(overlay);
        }
        let known = ledger::overlay(&tx, &place).await?;
        let present = catalog::fingerprints(&tx, std::slice::from_ref(&place)).await?;
        let recorded = ledger::fingerprint_of(&tx, &place).await?;
        let present = present.get(place.schema.as_str());
        let is_as_left = recorded.is_some_and(|recorded| present.is_some_and(|present| present.is(&recorded)));
        if !known.is_empty() || !is_as_left {
            let recorded = ledger::shape(&tx, &place).await?.unwrap_or_default();
            let present = catalog::read(&tx, &place).await?.lines;
            let extra = extra(&recorded, &present, &known);
            if keep {
                let items: Vec<String> =
                    extra.keys().map(|(kind, table, name)| format!("{kind}|{table}|{name}")).collect();
                let items: Vec<&str> = items.iter().map(String::as_str).collect();
                ledger::overlaid(&tx, &place, &items).await?;
            }
            let mut needs = needs(&tx, &place, own).await?;
            overlay.added = extra.into_iter().filter_map(|(key, facts)| added(key, &facts, &mut needs)).collect();
            if own {
                outside(&mut overlay.added, needs);
            }
        }
        if own {
            overlay.added.extend(extensions(&tx, space).await?);
        }
        tx.commit().await?;
        Ok(overlay)
    }
}

/// The lines that no file made: neither recorded nor part of something else that was added; or known from before.
fn extra(recorded: &[String], present: &[String], known: &BTreeSet<String>) -> BTreeMap<Key, String> {
    let was: BTreeSet<Key> = recorded.iter().map(|line| split(line).0).collect();
    let is_known = |(kind, table, name): &Key| known.contains(&format!("{kind}|{table}|{name}"));
    let mut extra: BTreeMap<Key, String> = present
        .iter()
        .map(|line| split(line))
        .filter(|(key, _)| !matches!(key.0.as_str(), "N" | "P") && (!was.contains(key) || is_known(key)))
        .collect();
    let tables: BTreeSet<String> = extra.keys().filter(|key| key.0 == "R").map(|key| key.1.clone()).collect();
    extra.retain(|(kind, table, _), _| kind == "R" || table.is_empty() || !tables.contains(table));
    extra
}

fn split(line: &str) -> (Key, String) {
    let mut parts = line.splitn(4, '|');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let key = (next(), next(), next());
    (key, next())
}

type Needs = BTreeMap<Key, BTreeSet<(String, Option<String>)>>;

fn added((kind, table, name): Key, facts: &str, needs: &mut Needs) -> Option<Added> {
    let sort = match (kind.as_str(), facts.chars().next()) {
        ("R", Some('v' | 'm')) => AddedKind::View,
        ("R", Some('S')) => AddedKind::Sequence,
        ("R", _) => AddedKind::Table,
        ("C", _) => AddedKind::Column,
        ("I", _) => AddedKind::Index,
        ("K", _) => AddedKind::Constraint,
        ("T" | "U", _) => AddedKind::Trigger,
        ("F", _) => AddedKind::Function,
        ("E", _) => AddedKind::Type,
        _ => return None,
    };
    let needs = needs.remove(&(kind.clone(), table.clone(), name.clone())).unwrap_or_default();
    let is_whole = matches!(kind.as_str(), "R" | "F" | "E");
    let (table, name) = match kind.as_str() {
        "R" => (None, table),
        _ if is_whole => (None, name),
        _ => (Some(table), name),
    };
    Some(Added { kind: sort, table, name, needs })
}

/// Views in other schemas of the tenant's own database that read the app's tables.
fn outside(added: &mut Vec<Added>, needs: Needs) {
    let others = needs.into_iter().filter(|((kind, ..), _)| kind == "X");
    added.extend(others.map(|((_, name, _), needs)| Added { kind: AddedKind::View, table: None, name, needs }));
}

/// Which tables and columns of the place the views, indexes, constraints and triggers need.
async fn needs(session: &Session, place: &Place, own: bool) -> Result<Needs, DataError> {
    let sql = "
        WITH space AS (SELECT oid FROM pg_namespace WHERE nspname = $1), leaning AS (
            SELECT CASE WHEN v.relnamespace = s.oid THEN 'R' ELSE 'X' END AS kind,
                   CASE WHEN v.relnamespace = s.oid THEN v.relname::text ELSE v.relnamespace::regnamespace || '.' || v.relname END AS tab,
                   '' AS name, d.refobjid, d.refobjsubid
              FROM space s JOIN pg_class r ON r.relnamespace = s.oid
              JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid
              JOIN pg_rewrite w ON w.oid = d.objid AND w.rulename = '_RETURN'
              JOIN pg_class v ON v.oid = w.ev_class AND v.oid <> r.oid
             WHERE v.relnamespace = s.oid OR $2
            UNION ALL
            SELECT 'I', t.relname, i.relname, d.refobjid, d.refobjsubid
              FROM space s JOIN pg_class t ON t.relnamespace = s.oid JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid
              JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.oid AND d.refclassid = 'pg_class'::regclass
            UNION ALL
            SELECT 'K', t.relname, k.conname, d.refobjid, d.refobjsubid
              FROM space s JOIN pg_class t ON t.relnamespace = s.oid JOIN pg_constraint k ON k.conrelid = t.oid
              JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_class'::regclass
            UNION ALL
            -- The foreign keys of an added table are lines of that table: they need what they refer to.
            SELECT 'R', t.relname, '', d.refobjid, d.refobjsubid
              FROM space s JOIN pg_class t ON t.relnamespace = s.oid JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f'
              JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_class'::regclass
               AND d.refobjid <> t.oid
            UNION ALL
            SELECT 'T', t.relname, g.tgname, d.refobjid, d.refobjsubid
              FROM space s JOIN pg_class t ON t.relnamespace = s.oid JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
              JOIN pg_depend d ON d.classid = 'pg_trigger'::regclass AND d.objid = g.oid AND d.refclassid = 'pg_class'::regclass
        )
        SELECT DISTINCT u.kind::text, u.tab::text, u.name::text, r.relname::text, a.attname::text
          FROM leaning u JOIN pg_class r ON r.oid = u.refobjid JOIN space s ON s.oid = r.relnamespace
          LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = u.refobjsubid AND u.refobjsubid > 0";
    let sql = sql.trim();
    let mut needs = Needs::new();
    for row in session.query(sql, &[&place.schema.as_str(), &own]).await? {
        let key = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        needs.entry(key).or_default().insert((get(&row, 3)?, get(&row, 4)?));
    }
    Ok(needs)
}

/// Extensions of a tenant's own database that no file of the app asks for.
async fn extensions(session: &Session, space: &Space) -> Result<Vec<Added>, DataError> {
    let Migrations::Files { files } = &space.app.spec.migrations else { return Ok(Vec::new()) };
    let ours: BTreeSet<String> = files.iter().flat_map(|file| script::extensions(&file.sql)).collect();
    let rows =
        session.query("SELECT extname::text FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1", &[]).await?;
    let names = rows.iter().map(|row| get::<String>(row, 0)).collect::<Result<Vec<_>, _>>()?;
    let added = |name| Added { kind: AddedKind::Extension, table: None, name, needs: BTreeSet::new() };
    Ok(names.into_iter().filter(|name| !ours.contains(name)).map(added).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn what_is_new_or_was_known_is_told_once_by_its_outermost_object() {
        let recorded = lines(&["N|||own", "R|a||r|p", "C|a|id|int", "C|a|old|int", "I|a|mine|x"]);
        let present = lines(&[
            "N|||own",
            "R|a||r|p",
            "C|a|id|text",
            "C|a|new|int",
            "I|a|mine|x",
            "R|b||r|p",
            "C|b|id|int",
            "P|a|p|x",
        ]);
        let known = BTreeSet::from(["I|a|mine".to_owned(), "I|a|gone".to_owned()]);
        let labels: Vec<String> = extra(&recorded, &present, &known)
            .into_iter()
            .filter_map(|(key, facts)| added(key, &facts, &mut Needs::new()))
            .map(|added| added.label())
            .collect();
        assert_eq!(labels, ["column a.new", "index a.mine", "table b"]);
    }
}
