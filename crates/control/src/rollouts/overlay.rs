//! What tenants added to their own places, compared with what an app's new files do: a clash keeps the files from a place.
//!
//! Looked for when a rollout is planned, so that a person sees every clash before the first wave, and again just before
//! files run in a place, since a tenant may have added something meanwhile.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use tenantry_dataplane::{Added, AddedKind, AppTarget, Cell, DataError, Overlay, Space};
use tenantry_domain::app::{MigrationFile, Migrations};
use tenantry_domain::code::Code;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::workflow::Cause;
use tenantry_lint::{Act, Object, Touch, touches};

use crate::workflows::{cause, refused};

/// Clashes that one message names.
const NAMED_MAX: usize = 5;
/// Places looked at at a time.
const LOOKS: usize = 4;

/// A statement that an added object is in the way of, or that would take it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The added object, `view reports`.
    pub object: String,
    /// What the statement does to it.
    pub why: String,
    /// File and line of the statement, `0003_more.sql:4`.
    pub place: String,
    /// The statement's beginning.
    pub statement: String,
}

impl std::fmt::Display for Clash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} at {}: `{}`", self.object, self.why, self.place, self.statement)
    }
}

/// What a tenant added to its place, and what that is in the way of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Additions {
    /// The added objects, by table and name.
    pub added: Vec<Added>,
    /// Statements of files that did not run there yet.
    pub clashes: Vec<Clash>,
}

/// Looks, and changes nothing.
pub(crate) async fn additions(cell: &Cell, space: &Space) -> Result<Additions, DataError> {
    let overlay = cell.overlay(space, false).await?;
    Ok(Additions { clashes: clashes(&space.app, &overlay), added: overlay.added })
}

/// Whether the app's pending files may run in a tenant's place; what was added there is remembered.
pub(crate) async fn allow(cell: &Cell, space: &Space) -> Result<(), Cause> {
    if space.isolation == Isolation::Shared || !space.app.has_files() {
        return Ok(());
    }
    let overlay = cell.overlay(space, true).await.map_err(cause)?;
    refuse(&clashes(&space.app, &overlay)).map_or(Ok(()), Err)
}

/// Those of some tenants' places on a cell where the app's files clash with what was added. A place that cannot be looked
/// at is not among them: it is looked at again before anything runs there.
pub(crate) async fn look(cell: &Cell, app: &AppTarget, tenants: Vec<(TenantId, Isolation)>) -> Vec<(TenantId, Cause)> {
    if !app.has_files() {
        return Vec::new();
    }
    let app = &Arc::new(app.clone());
    let found = stream::iter(tenants).map(|(tenant, isolation)| async move {
        let space = Space { tenant, app: Arc::clone(app), isolation, epoch: 0, connections: None };
        match cell.overlay(&space, false).await {
            Ok(overlay) => refuse(&clashes(app, &overlay)).map(|cause| (tenant, cause)),
            Err(error) => {
                tracing::warn!(%tenant, %error, "a tenant's own objects cannot be looked at before a rollout");
                None
            }
        }
    });
    found.buffer_unordered(LOOKS).filter_map(|found| async move { found }).collect().await
}

fn refuse(clashes: &[Clash]) -> Option<Cause> {
    if clashes.is_empty() {
        return None;
    }
    let mut named: Vec<String> = clashes.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    if clashes.len() > NAMED_MAX {
        named.push(format!("and {} more", clashes.len() - NAMED_MAX));
    }
    let hint =
        "rename or drop what the tenant added, or change the file while nobody has it, then continue the rollout";
    Some(refused(Code::OverlayConflict, format!("{}; {hint}", named.join("; "))))
}

/// What the app's pending files clash with.
fn clashes(app: &AppTarget, overlay: &Overlay) -> Vec<Clash> {
    let Migrations::Files { files } = &app.spec.migrations else { return Vec::new() };
    if overlay.added.is_empty() {
        return Vec::new();
    }
    let pending = files.iter().filter(|file| !overlay.applied.contains(&file.name));
    pending.flat_map(|file| in_file(file, &overlay.added)).collect()
}

fn in_file(file: &MigrationFile, added: &[Added]) -> Vec<Clash> {
    let mut found: Vec<Clash> = Vec::new();
    for touch in touches(&file.sql) {
        for one in added {
            let Some(why) = judge(&touch, one) else { continue };
            let place = format!("{}:{}", file.name, touch.line);
            let clash = Clash { object: one.label(), why, place, statement: touch.statement.clone() };
            if !found.contains(&clash) {
                found.push(clash);
            }
        }
    }
    found
}

/// What a statement does to an added object, if it is a clash.
fn judge(touch: &Touch, added: &Added) -> Option<String> {
    let is_itself = is_same(&touch.object, added);
    match touch.act {
        Act::Make if is_itself => Some("has the name of what is made".to_owned()),
        Act::Drop if is_itself => Some("would be dropped".to_owned()),
        Act::Retype if is_itself => Some("would get another type".to_owned()),
        Act::Drop => lost(&touch.object, added),
        Act::Retype => {
            let Object::Column(table, column) = &touch.object else { return None };
            let leans = matches!(added.kind, AddedKind::View | AddedKind::Trigger)
                && added.needs.contains(&(table.clone(), Some(column.clone())));
            leans.then(|| format!("needs `{table}.{column}`, which gets another type"))
        }
        Act::Make => None,
    }
}

fn is_same(object: &Object, added: &Added) -> bool {
    let of = |table: &String| added.table.as_ref() == Some(table);
    match (object, added.kind) {
        (Object::Relation(name), AddedKind::Table | AddedKind::View | AddedKind::Sequence | AddedKind::Index)
        | (Object::Type(name), AddedKind::Type)
        | (Object::Extension(name), AddedKind::Extension) => *name == added.name,
        // A table is a type too.
        (Object::Type(name), AddedKind::Table | AddedKind::View) => *name == added.name,
        (Object::Relation(name), AddedKind::Type) => *name == added.name,
        (Object::Column(table, name), AddedKind::Column)
        | (Object::Constraint(table, name), AddedKind::Constraint)
        | (Object::Trigger(table, name), AddedKind::Trigger) => of(table) && *name == added.name,
        // Two functions of one name may differ in their arguments, which a reader of a file cannot be sure of.
        (Object::Function(name), AddedKind::Function) => added.name.split('(').next() == Some(name.as_str()),
        _ => false,
    }
}

/// What an added object loses when another one is dropped.
fn lost(object: &Object, added: &Added) -> Option<String> {
    match object {
        Object::Relation(name) if added.table.as_ref() == Some(name) => {
            Some(format!("belongs to `{name}`, which is dropped"))
        }
        Object::Relation(name) if added.needs.iter().any(|(table, _)| table == name) => {
            Some(format!("needs `{name}`, which is dropped"))
        }
        Object::Column(table, column) if added.needs.contains(&(table.clone(), Some(column.clone()))) => {
            Some(format!("needs `{table}.{column}`, which is dropped"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(kind: AddedKind, table: Option<&str>, name: &str, needs: &[(&str, &str)]) -> Added {
        let needs = needs.iter().map(|(table, column)| ((*table).to_owned(), Some((*column).to_owned()))).collect();
        Added { kind, table: table.map(ToOwned::to_owned), name: name.to_owned(), needs }
    }

    fn told(sql: &str) -> Vec<String> {
        let overlay = [
            added(AddedKind::Table, None, "extra", &[("notes", "id")]),
            added(AddedKind::Column, Some("notes"), "colour", &[]),
            added(AddedKind::Index, Some("notes"), "notes_by_body", &[("notes", "body")]),
            added(AddedKind::View, None, "short", &[("notes", "body"), ("notes", "id")]),
            added(AddedKind::Function, None, "f(integer)", &[]),
        ];
        let file = MigrationFile { name: "2.sql".to_owned(), sql: sql.to_owned() };
        in_file(&file, &overlay).into_iter().map(|clash| format!("{} {}", clash.object, clash.why)).collect()
    }

    #[test]
    fn names_that_are_taken_and_things_that_would_be_lost_are_clashes() {
        for (sql, wanted) in [
            ("CREATE TABLE extra (id int)", vec!["table extra has the name of what is made"]),
            ("CREATE INDEX short ON other (a)", vec!["view short has the name of what is made"]),
            ("ALTER TABLE notes ADD COLUMN colour text", vec!["column notes.colour has the name of what is made"]),
            ("DROP INDEX notes_by_body", vec!["index notes.notes_by_body would be dropped"]),
            (
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS ''",
                vec!["function f(integer) has the name of what is made"],
            ),
            (
                "ALTER TABLE notes DROP COLUMN body",
                vec![
                    "index notes.notes_by_body needs `notes.body`, which is dropped",
                    "view short needs `notes.body`, which is dropped",
                ],
            ),
            (
                "ALTER TABLE notes ALTER body TYPE varchar",
                vec!["view short needs `notes.body`, which gets another type"],
            ),
            (
                "DROP TABLE notes CASCADE",
                vec![
                    "table extra needs `notes`, which is dropped",
                    "column notes.colour belongs to `notes`, which is dropped",
                    "index notes.notes_by_body belongs to `notes`, which is dropped",
                    "view short needs `notes`, which is dropped",
                ],
            ),
        ] {
            assert_eq!(told(sql), wanted, "{sql}");
        }
    }

    #[test]
    fn what_has_nothing_to_do_with_it_passes() {
        for sql in [
            "CREATE TABLE tags (colour text)",
            "ALTER TABLE notes ADD COLUMN stars int NOT NULL DEFAULT 0",
            "ALTER TABLE other DROP COLUMN body",
            "ALTER TABLE notes DROP COLUMN title",
            "DROP TABLE other",
            "UPDATE notes SET body = ''",
        ] {
            assert!(told(sql).is_empty(), "{sql}: {:?}", told(sql));
        }
    }

    #[test]
    fn a_message_names_object_statement_and_hint_and_is_bounded() {
        let clash = Clash {
            object: "view short".to_owned(),
            why: "needs `notes.body`, which is dropped".to_owned(),
            place: "2.sql:1".to_owned(),
            statement: "ALTER TABLE notes DROP COLUMN body".to_owned(),
        };
        let cause = refuse(&vec![clash; 7]).unwrap();
        assert!(!cause.retryable && cause.code == "TEN-0059");
        assert!(
            cause.message.starts_with("view short needs `notes.body`, which is dropped at 2.sql:1: `ALTER TABLE notes")
        );
        assert!(cause.message.contains("and 2 more; rename or drop"), "{}", cause.message);
    }
}
