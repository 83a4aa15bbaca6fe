//! What the server's catalog says about the objects of a place: read once, judged in [`crate::protect`], and
//! hashed into the fingerprint by which [`crate::sweep`] sees in one query that nothing changed.
//!
//! Only facts, no opinion. The names of the place's schema and roles are left out of the facts, so that two tenants
//! with equal tables have equal facts.

use std::collections::BTreeMap;

use tenantry_pg::{Row, Session, ToSql};

use crate::error::DataError;
use crate::names::Place;

/// The facts of one place.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// Absent when the schema does not exist.
    pub namespace: Option<Namespace>,
    /// Tables, views, sequences and the like by name.
    pub relations: BTreeMap<String, Relation>,
    pub functions: Vec<Function>,
    /// Every fact as one line; the structure as it can be stored and compared. In order.
    pub lines: Vec<String>,
}

impl Catalog {
    /// Whether a policy of the app may hide rows of a tenant from the tenant itself.
    pub fn hides_rows(&self) -> bool {
        self.relations.values().flat_map(|relation| &relation.policies).any(|policy| !policy.permissive)
    }

    /// Whether the place is as these recorded lines say, and they say less than those of today would: [`Fingerprint::is_outdated`]
    /// by the lines.
    pub fn is_outdated(&self, recorded: &[String]) -> bool {
        recorded.len() < self.lines.len() && self.lines.iter().filter(|line| !is_note(line)).eq(recorded)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Namespace {
    /// `own` or a role's name.
    pub owner: String,
    pub grants: Vec<Grant>,
}

/// A right of somebody who is not the owner. The grantee is `login`, `public` or a role's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub grantee: String,
    /// `SELECT`, with `*` when it may be passed on.
    pub privilege: String,
}

#[derive(Debug, Default)]
pub(crate) struct Relation {
    /// `r` table, `p` partitioned, `v` view, `m` materialized, `f` foreign, `S` sequence.
    pub kind: char,
    pub unlogged: bool,
    pub row_security: bool,
    pub forced: bool,
    pub owner: String,
    pub grants: Vec<Grant>,
    pub options: String,
    /// A sequence that belongs to an identity column, for which nobody needs a right.
    pub of_identity: bool,
    /// Has a parent, from which constraints and indexes come.
    pub child: bool,
    pub columns: BTreeMap<String, Column>,
    pub constraints: Vec<Constraint>,
    pub indexes: Vec<Index>,
    pub policies: Vec<Policy>,
    pub rules: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Column {
    pub type_name: String,
    pub is_uuid: bool,
    pub not_null: bool,
    pub generated: bool,
    pub default: Option<String>,
    /// Rights on this column alone.
    pub grants: Vec<Grant>,
}

#[derive(Debug)]
pub(crate) struct Constraint {
    pub name: String,
    /// `p` primary key, `u` unique, `x` exclusion, `f` foreign key, `c` check.
    pub kind: char,
    pub columns: Vec<String>,
    /// The table referred to; with its schema when that is another one.
    pub target: Option<String>,
    pub target_columns: Vec<String>,
    pub validated: bool,
}

#[derive(Debug)]
pub(crate) struct Index {
    pub name: String,
    /// Unique, or the index of an exclusion constraint.
    pub excludes: bool,
    /// The columns that are searched by; `()` stands for an expression.
    pub columns: Vec<String>,
    pub partial: bool,
    pub valid: bool,
}

#[derive(Debug)]
pub(crate) struct Policy {
    pub name: String,
    pub permissive: bool,
    /// `*` for all commands.
    pub command: String,
    pub roles: String,
    pub using: Option<String>,
    pub check: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Function {
    /// With its argument types.
    pub signature: String,
    pub definer: bool,
    pub leakproof: bool,
    pub owner: String,
    pub grants: Vec<Grant>,
}

/// Parts a list inside one fact; no sane name holds it.
const SEPARATOR: char = '\u{1f}';

const FACTS: &str = concat!(include_str!("catalog.sql"), "SELECT kind, tab::text, name::text, facts FROM fact");

/// The sum of all lines, and that without the notes: of the notes alone a second one is taken, and taken out of the first.
const FINGERPRINTS: &str = concat!(
    include_str!("catalog.sql"),
    ", line AS (SELECT label, kind = 'N' AND name <> '' AS note, ",
    "concat_ws('|', kind, tab, name, array_to_string(facts, '|', '~')) AS t FROM fact), ",
    "total AS (SELECT label, bit_xor(hashtextextended(t, 1)) AS a, bit_xor(hashtextextended(t, 2)) AS b, count(*) AS n, ",
    "coalesce(bit_xor(hashtextextended(t, 1)) FILTER (WHERE note), 0) AS note_a, ",
    "coalesce(bit_xor(hashtextextended(t, 2)) FILTER (WHERE note), 0) AS note_b, ",
    "count(*) FILTER (WHERE note) AS notes FROM line GROUP BY label) ",
    "SELECT label::text, to_hex(a) || '-' || to_hex(b) || '-' || n, ",
    "to_hex(a # note_a) || '-' || to_hex(b # note_b) || '-' || (n - notes) FROM total"
);

/// The sum of all lines, where they were read already.
const FINGERPRINT_OF_LINES: &str = "SELECT to_hex(bit_xor(hashtextextended(t, 1))) || '-' || \
     to_hex(bit_xor(hashtextextended(t, 2))) || '-' || count(*) FROM unnest($1::text[]) AS t";

/// What the facts of a place come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Of all facts: the one that is recorded.
    pub whole: String,
    /// Without the notes: the one that releases recorded which knew none. The same where no object has a note.
    pub unnoted: String,
}

impl Fingerprint {
    /// Whether the place is as it was when this was recorded, as far as that says.
    pub fn is(&self, recorded: &str) -> bool {
        self.whole == recorded || self.unnoted == recorded
    }

    /// Whether the place is as it was, and the record says less than one of today would.
    pub fn is_outdated(&self, recorded: &str) -> bool {
        self.whole != recorded && self.unnoted == recorded
    }
}

/// Reads the facts of one place. Run it inside a transaction.
pub(crate) async fn read(session: &Session, place: &Place) -> Result<Catalog, DataError> {
    // One schema among thousands: without this the planner reads the whole of pg_attribute. Switched back at once,
    // because what follows in the same transaction may check foreign keys over many rows.
    steer(session, "off").await?;
    let (space, owner, login) = (place.schema.as_str(), place.owner.as_str(), place.login.as_ref().map(AsRef::as_ref));
    let rows = unlocked(session, FACTS, &[&vec![space], &vec![owner], &vec![login]]).await?;
    steer(session, "on").await?;
    let mut catalog = Catalog::default();
    for row in &rows {
        catalog.take(row)?;
    }
    catalog.lines.sort_unstable();
    Ok(catalog)
}

/// Schemas whose fingerprints are taken by one statement: what it sorts then stays in memory.
pub(crate) const AT_ONCE: usize = 128;

/// The fingerprints of many schemas of this database, by schema. A schema that does not exist is left out. One statement
/// for [`AT_ONCE`] of them. Run it inside a transaction.
pub(crate) async fn fingerprints(
    session: &Session,
    places: &[Place],
) -> Result<BTreeMap<String, Fingerprint>, DataError> {
    let mut found = BTreeMap::new();
    for places in places.chunks(AT_ONCE) {
        found.extend(fingerprints_of(session, places).await?);
    }
    Ok(found)
}

async fn fingerprints_of(session: &Session, places: &[Place]) -> Result<Vec<(String, Fingerprint)>, DataError> {
    // The plan looks expensive and is run once: compiling it takes longer than running it.
    session
        .execute("SELECT set_config('jit', 'off', true), set_config('search_path', 'pg_catalog, pg_temp', true)", &[])
        .await?;
    let spaces: Vec<_> = places.iter().map(|place| place.schema.as_str()).collect();
    let owners: Vec<_> = places.iter().map(|place| place.owner.as_str()).collect();
    let logins: Vec<_> = places.iter().map(|place| place.login.as_ref().map(AsRef::<str>::as_ref)).collect();
    let rows = unlocked(session, FINGERPRINTS, &[&spaces, &owners, &logins]).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, Fingerprint { whole: get(row, 1)?, unnoted: get(row, 2)? }))).collect()
}

/// Asks, and gives back the locks that asking took: views and bodies of functions are read back with a lock on each table in
/// them. Kept until the end of the transaction, those of thousands of schemas would fill the server's table of locks and stand in
/// the way of migrations.
async fn unlocked(session: &Session, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, DataError> {
    session.batch_static("SAVEPOINT glance").await?;
    let rows = session.query(sql, params).await?;
    session.batch_static("ROLLBACK TO SAVEPOINT glance; RELEASE SAVEPOINT glance").await?;
    Ok(rows)
}

/// The whole fingerprint of facts that were read by [`read`].
pub(crate) async fn fingerprint(session: &Session, catalog: &Catalog) -> Result<String, DataError> {
    get(&session.query_one(FINGERPRINT_OF_LINES, &[&catalog.lines]).await?, 0)
}

/// Whether a line is a note: of kind N, with a name.
fn is_note(line: &str) -> bool {
    let mut parts = line.splitn(4, '|');
    parts.next() == Some("N") && parts.nth(1).is_some_and(|name| !name.is_empty())
}

async fn steer(session: &Session, switch: &str) -> Result<(), DataError> {
    session
        .execute(
            "SELECT set_config('enable_hashjoin', $1, true), set_config('enable_mergejoin', $1, true), \
             set_config('enable_seqscan', $1, true), set_config('jit', 'off', true), \
             set_config('search_path', 'pg_catalog, pg_temp', true)",
            &[&switch],
        )
        .await?;
    Ok(())
}

pub(crate) fn get<'a, T: tenantry_pg::FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, DataError> {
    row.try_get(index).map_err(|error| DataError::from(tenantry_pg::PgError::from(error)))
}

impl Catalog {
    fn take(&mut self, row: &Row) -> Result<(), DataError> {
        let (kind, table, name): (&str, &str, &str) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        let facts: Vec<Option<&str>> = get(row, 3)?;
        let mut line = format!("{kind}|{table}|{name}");
        for fact in &facts {
            line.push('|');
            line.push_str(fact.unwrap_or("~"));
        }
        self.lines.push(line);
        let facts = Facts(&facts);
        let name = name.to_owned();
        match kind {
            "N" if name.is_empty() => {
                self.namespace = Some(Namespace { owner: facts.text(0), grants: facts.grants(1) });
            }
            "F" => self.functions.push(Function {
                signature: name,
                definer: facts.flag(1),
                leakproof: facts.flag(2),
                owner: facts.text(3),
                grants: facts.grants(4),
            }),
            "E" | "N" => {}
            _ => self.relations.entry(table.to_owned()).or_default().take(kind, name, &facts),
        }
        Ok(())
    }
}

impl Relation {
    fn take(&mut self, kind: &str, name: String, facts: &Facts<'_>) {
        match kind {
            "R" => {
                self.kind = facts.letter(0);
                self.unlogged = facts.letter(1) == 'u';
                self.row_security = facts.flag(2);
                self.forced = facts.flag(3);
                self.owner = facts.text(4);
                self.grants = facts.grants(5);
                self.options = facts.text(6);
                self.of_identity = facts.flag(8);
                self.child = facts.0.get(9).is_some_and(Option::is_some);
            }
            "C" => {
                let column = Column {
                    type_name: facts.text(0),
                    not_null: facts.flag(1),
                    generated: !facts.text(2).is_empty() || !facts.text(3).is_empty(),
                    default: facts.optional(4),
                    grants: facts.grants(5),
                    is_uuid: facts.flag(6),
                };
                self.columns.insert(name, column);
            }
            "K" => self.constraints.push(Constraint {
                name,
                kind: facts.letter(0),
                columns: facts.list(1),
                target: facts.optional(2),
                target_columns: facts.list(3),
                validated: facts.flag(6),
            }),
            "I" => {
                let mut columns = facts.list(1);
                columns.truncate(facts.text(4).parse().unwrap_or(usize::MAX));
                self.indexes.push(Index {
                    name,
                    excludes: facts.flag(0) || facts.flag(3),
                    columns,
                    partial: facts.optional(6).is_some(),
                    valid: facts.flag(2),
                });
            }
            "P" => self.policies.push(Policy {
                name,
                permissive: facts.flag(0),
                command: facts.text(1),
                roles: facts.text(2),
                using: facts.optional(3),
                check: facts.optional(4),
            }),
            "U" => self.rules.push(name),
            _ => {}
        }
    }
}

struct Facts<'a>(&'a [Option<&'a str>]);

impl Facts<'_> {
    fn optional(&self, index: usize) -> Option<String> {
        self.0.get(index).copied().flatten().map(ToOwned::to_owned)
    }

    fn text(&self, index: usize) -> String {
        self.optional(index).unwrap_or_default()
    }

    fn flag(&self, index: usize) -> bool {
        self.0.get(index).copied().flatten() == Some("true")
    }

    fn letter(&self, index: usize) -> char {
        self.0.get(index).copied().flatten().and_then(|text| text.chars().next()).unwrap_or(' ')
    }

    fn list(&self, index: usize) -> Vec<String> {
        self.text(index).split(SEPARATOR).filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect()
    }

    fn grants(&self, index: usize) -> Vec<Grant> {
        let parse = |part: String| {
            part.rsplit_once(':')
                .map(|(grantee, privilege)| Grant { grantee: grantee.to_owned(), privilege: privilege.to_owned() })
        };
        self.list(index).into_iter().filter_map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_record_without_notes_is_told_by_the_other_lines() {
        let present = ["F||f()|f", "N|notes|touch|CREATE TRIGGER touch", "N||f()|sql", "N|||@own|~", "R|notes||r|p"];
        let catalog = Catalog { lines: lines(&present), ..Catalog::default() };
        assert!(catalog.is_outdated(&lines(&["F||f()|f", "N|||@own|~", "R|notes||r|p"])));
        for recorded in [
            lines(&present),
            lines(&["F||f()|f", "N||f()|sql", "N|||@own|~", "R|notes||r|p"]),
            lines(&["F||f()|g", "N|||@own|~", "R|notes||r|p"]),
            lines(&["F||f()|f", "R|notes||r|p"]),
            Vec::new(),
        ] {
            assert!(!catalog.is_outdated(&recorded), "{recorded:?}");
        }
    }

    #[test]
    fn a_fingerprint_is_known_in_both_forms() {
        let print = Fingerprint { whole: "a-b-3".to_owned(), unnoted: "c-d-2".to_owned() };
        assert!(print.is("a-b-3") && !print.is_outdated("a-b-3"));
        assert!(print.is("c-d-2") && print.is_outdated("c-d-2"));
        assert!(!print.is("e-f-2") && !print.is_outdated("e-f-2"));
        let plain = Fingerprint { whole: "c-d-2".to_owned(), unnoted: "c-d-2".to_owned() };
        assert!(plain.is("c-d-2") && !plain.is_outdated("c-d-2"));
    }
}
