//! Migration files that have run somewhere: they stay as they are.
//!
//! A place that has a version of an app has run all files of it, and refuses a stream in which one of them differs, is
//! missing, or is joined by one that sorts before it. What every such place would refuse is refused here, at the door.
//! Files that no place is recorded with may still change; what a rollout had begun is left to the ledgers of its targets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tenantry_domain::app::{Migrations, Spec};
use tenantry_domain::code::FieldError;
use tenantry_store::WriteTx;

use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// The most files that a refusal names.
const NAMED_MAX: usize = 50;

/// Refuses a new spec of an app in which files that have run are not as they ran.
pub(crate) async fn check(tx: &mut WriteTx, app: &str, new: &Spec) -> Result<(), Refusal> {
    if matches!(new.migrations, Migrations::Exec { .. }) {
        return Ok(());
    }
    let lived = tx.catalog().lived(app).await.map_err(refuse_store)?;
    let complaints = judge(new, &lived);
    if complaints.is_empty() { Ok(()) } else { Err(Refusal::Ran(complaints)) }
}

/// What is wrong with the files of `new` for places that have the versions of `lived`, by field.
fn judge(new: &Spec, lived: &[(i64, Value)]) -> Vec<FieldError> {
    let Migrations::Files { files } = &new.migrations else { return Vec::new() };
    let place_of = |name: &str| files.iter().position(|file| file.name == name);
    let mut found: BTreeMap<String, FieldError> = BTreeMap::new();
    for (version, spec) in lived {
        // What an older release wrote and this one cannot read is left to the ledgers too.
        let Ok(Spec { migrations: Migrations::Files { files: ran }, .. }) = serde_json::from_value(spec.clone()) else {
            continue;
        };
        for old in &ran {
            let complaint = match place_of(&old.name) {
                Some(place) if files[place].sql == old.sql => continue,
                Some(place) => FieldError::new(
                    format!("spec.migrations.files[{place}].sql"),
                    format!(
                        "`{}` was changed after it ran in places that have version {version}. Put its text back and add a \
                         new file",
                        old.name
                    ),
                ),
                None => FieldError::new(
                    "spec.migrations.files",
                    format!(
                        "`{}` is missing, and has run in places that have version {version}. Put it back, and take away what \
                         it made by a new file",
                        old.name
                    ),
                ),
            };
            found.entry(old.name.clone()).or_insert(complaint);
        }
        let names: BTreeSet<&str> = ran.iter().map(|old| old.name.as_str()).collect();
        let Some(newest) = names.last() else { continue };
        for (place, file) in files.iter().enumerate() {
            if file.name.as_str() < *newest && !names.contains(file.name.as_str()) {
                let message = format!(
                    "`{}` sorts before `{newest}`, which has run in places that have version {version}. Give it a name that \
                     sorts last",
                    file.name
                );
                let field = format!("spec.migrations.files[{place}].name");
                found.entry(file.name.clone()).or_insert_with(|| FieldError::new(field, message));
            }
        }
    }
    found.into_values().take(NAMED_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_domain::app::MigrationFile;
    use tenantry_domain::rollout::Strategy;

    fn of(migrations: Migrations) -> Spec {
        Spec { migrations, tenant_key: None, reference_tables: Vec::new(), rollout: Strategy::default() }
    }

    fn spec(files: &[(&str, &str)]) -> Spec {
        let file = |(name, sql): &(&str, &str)| MigrationFile { name: (*name).to_owned(), sql: (*sql).to_owned() };
        of(Migrations::Files { files: files.iter().map(file).collect() })
    }

    fn lived(specs: &[Spec]) -> Vec<(i64, Value)> {
        specs.iter().enumerate().map(|(at, spec)| (at as i64 + 1, serde_json::to_value(spec).unwrap())).collect()
    }

    const A: (&str, &str) = ("0001_a.sql", "CREATE TABLE a ();");
    const B: (&str, &str) = ("0003_b.sql", "CREATE TABLE b ();");

    #[test]
    fn what_has_run_may_neither_change_nor_go_nor_be_preceded() {
        let known = lived(&[spec(&[A, B])]);
        let told = |files: &[(&str, &str)]| -> Vec<(String, String)> {
            judge(&spec(files), &known).into_iter().map(|error| (error.field, error.message)).collect()
        };
        let changed = told(&[("0001_a.sql", "CREATE TABLE a (b int);"), B]);
        assert_eq!(changed.len(), 1, "{changed:?}");
        assert_eq!(changed[0].0, "spec.migrations.files[0].sql");
        assert!(changed[0].1.starts_with("`0001_a.sql` was changed after it ran in places that have version 1."));
        let missing = told(&[B]);
        assert_eq!((missing.len(), missing[0].0.as_str()), (1, "spec.migrations.files"), "{missing:?}");
        let between = told(&[A, ("0002_new.sql", "SELECT 1"), B]);
        assert_eq!((between.len(), between[0].0.as_str()), (1, "spec.migrations.files[1].name"), "{between:?}");
        assert!(between[0].1.starts_with("`0002_new.sql` sorts before `0003_b.sql`"), "{between:?}");
        let renamed = told(&[("0001_x.sql", A.1), B]);
        assert_eq!(renamed.len(), 2, "one is missing, one is new and early: {renamed:?}");
    }

    #[test]
    fn what_nobody_has_may_change_and_the_end_is_open() {
        let (first, second) = (spec(&[A]), spec(&[A, ("0002.sql", "SELECT oops")]));
        assert!(judge(&second, &[]).is_empty(), "nobody has anything");
        assert!(judge(&spec(&[A, ("0002.sql", "SELECT 1")]), &lived(std::slice::from_ref(&first))).is_empty());
        assert!(judge(&spec(&[A, B, ("0004.sql", "SELECT 1")]), &lived(&[first, spec(&[A, B])])).is_empty());
    }

    #[test]
    fn a_straggler_at_an_old_version_and_places_of_a_command_are_taken_as_they_are() {
        let exec = of(Migrations::Exec { command: "true".to_owned(), directory: None });
        let known = lived(&[exec.clone(), spec(&[A]), spec(&[A, B])]);
        assert!(judge(&spec(&[A, B]), &known).is_empty());
        assert_eq!(
            judge(&spec(&[A, ("0002.sql", "SELECT 1"), B]), &known).len(),
            1,
            "the places at version 3 refuse it"
        );
        assert!(judge(&exec, &known).is_empty());
        assert!(judge(&spec(&[A]), &[(9, serde_json::json!({"migrations": "of tomorrow"}))]).is_empty());
    }

    #[test]
    fn a_long_list_is_bounded() {
        let names: Vec<String> = (0..80).map(|number| format!("{number:04}.sql")).collect();
        let ran: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "SELECT 1")).collect();
        let changed: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "SELECT 2")).collect();
        assert_eq!(judge(&spec(&changed), &lived(&[spec(&ran)])).len(), NAMED_MAX);
    }
}
