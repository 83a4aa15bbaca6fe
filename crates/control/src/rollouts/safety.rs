//! Online safety of new migration files: while they run, the version before them is still serving.
//!
//! Only files that the app did not have before are judged; the others say what tables there are.

use serde_json::Value;
use tenantry_domain::app::{Migrations, Spec};
use tenantry_domain::code::FieldError;
use tenantry_lint::{Check, Options, Schema, Source, Unknown};

/// Rules whose findings are refused unless a comment in the file allows them with a reason: what rewrites or locks a
/// table, takes away what the running version may use, or cannot be read, so that it might do any of these.
const REFUSED: [&str; 7] = ["TL003", "TL401", "TL402", "TL404", "TL406", "TL407", "TL408"];

/// What of the new files would harm the version that is serving, by field. An app that is new harms nobody.
pub(crate) async fn complaints(old: &Value, new: &Value) -> Vec<FieldError> {
    let (Ok(old), Ok(new)) = (serde_json::from_value::<Spec>(old.clone()), serde_json::from_value::<Spec>(new.clone()))
    else {
        return Vec::new();
    };
    // Parsing a long stream takes a while; nobody else should wait for it.
    tokio::task::spawn_blocking(move || judge(&old, &new)).await.unwrap_or_default()
}

fn judge(old: &Spec, new: &Spec) -> Vec<FieldError> {
    let (Migrations::Files { files: before }, Migrations::Files { files }) = (&old.migrations, &new.migrations) else {
        return Vec::new();
    };
    let schema = new.tenant_key.as_ref().map_or_else(Schema::without_tenant_column, |key| Schema::new(key.clone()));
    let schema = schema.reference_tables(&new.reference_tables).unknown_tables(Unknown::Ignore);
    let mut check = Check::new(schema, Options::default());
    for file in files {
        let source = Source::sql(file.name.clone(), file.sql.clone());
        let is_new = before.iter().all(|known| known.name != file.name);
        check.source(if is_new { source } else { source.only_structure() });
    }
    let (report, _) = check.run();
    let found = report.findings.iter().filter(|finding| REFUSED.contains(&finding.rule.id));
    found
        .map(|finding| {
            let place = files.iter().position(|file| file.name == finding.location.input).unwrap_or_default();
            let (name, line, id) = (&finding.location.input, finding.location.line, finding.rule.id);
            let message = format!(
                "{name}:{line}: {}. The version before it is still serving while it runs. {} If it is safe here, say why \
                 above the statement: `-- tenantry:allow {id} <reason>`",
                finding.message, finding.rule.explanation
            );
            FieldError::new(format!("spec.migrations.files[{place}].sql"), message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_domain::app::MigrationFile;
    use tenantry_domain::rollout::Strategy;

    fn spec(files: &[(&str, &str)]) -> Spec {
        let file = |(name, sql): &(&str, &str)| MigrationFile { name: (*name).to_owned(), sql: (*sql).to_owned() };
        Spec {
            migrations: Migrations::Files { files: files.iter().map(file).collect() },
            tenant_key: None,
            reference_tables: Vec::new(),
            rollout: Strategy::default(),
        }
    }

    const FIRST: (&str, &str) = ("0001.sql", "CREATE TABLE notes (id bigint PRIMARY KEY, body text NOT NULL);");

    #[test]
    fn what_breaks_the_running_version_is_refused() {
        for sql in [
            "ALTER TABLE notes DROP COLUMN body;",
            "ALTER TABLE notes ADD COLUMN n int NOT NULL;",
            "ALTER TABLE notes ALTER COLUMN id TYPE text;",
            "ALTER TABLE notes RENAME COLUMN body TO text;",
            "DROP TABLE notes;",
            "LOCK TABLE notes;",
            "DO $$ BEGIN ALTER TABLE notes DROP COLUMN body; END $$;",
            "DO $$ BEGIN IF true THEN EXECUTE 'DROP TABLE notes'; END IF; END $$;",
            "DO $$ BEGIN EXECUTE format('ALTER TABLE %I DROP COLUMN body', 'notes'); END $$;",
            "DO LANGUAGE plperl $$ spi_exec_query('DROP TABLE notes') $$;",
            "CREATE FUNCTION up() RETURNS void LANGUAGE sql AS $$ ALTER TABLE notes DROP COLUMN body $$; SELECT up();",
        ] {
            let found = judge(&spec(&[FIRST]), &spec(&[FIRST, ("0002.sql", sql)]));
            assert_eq!(found.len(), 1, "{sql}: {found:?}");
            assert_eq!(found[0].field, "spec.migrations.files[1].sql");
        }
    }

    #[test]
    fn what_only_adds_passes_and_so_does_what_is_allowed_with_a_reason() {
        for sql in [
            "ALTER TABLE notes ADD COLUMN n int NOT NULL DEFAULT 0;",
            "CREATE TABLE tags (id bigint PRIMARY KEY);",
            "DO $$ BEGIN CREATE TABLE tags (id bigint PRIMARY KEY); ALTER TABLE tags ADD COLUMN n int NOT NULL; END $$;",
            "-- tenantry:allow TL406 no release reads it since 41\nDO $$ BEGIN ALTER TABLE notes DROP COLUMN body; END $$;",
            "-- tenantry:allow TL406 no release reads it since 41\nALTER TABLE notes DROP COLUMN body;",
        ] {
            assert!(judge(&spec(&[FIRST]), &spec(&[FIRST, ("0002.sql", sql)])).is_empty(), "{sql}");
        }
        assert!(judge(&spec(&[FIRST]), &spec(&[FIRST])).is_empty());
    }
}
