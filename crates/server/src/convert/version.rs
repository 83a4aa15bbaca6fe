//! Versions and differences, in manifest shape.

use serde_json::{Value, json};
use tenantry_api::v1::tenant::TenantSpec;
use tenantry_api::v1::version::{FieldChange, Version};
use tenantry_control::view;
use tenantry_domain::diff;
use tenantry_domain::tenant::Spec;

use super::catalog;

/// A version of a tenant.
#[must_use]
pub fn tenant(version: view::Version) -> Version {
    let parsed = serde_json::from_value::<Spec>(version.spec.clone());
    let (spec, labels) = match parsed {
        Ok(spec) => (json!(TenantSpec::from(&spec)), spec.labels),
        Err(_) => (version.spec, Default::default()),
    };
    Version {
        version: version.version,
        at: version.at,
        actor: version.author,
        action: text(version.action),
        labels,
        spec,
    }
}

/// A version of an object of the catalog.
#[must_use]
pub fn object(kind: &str, version: view::Version) -> Version {
    Version {
        version: version.version,
        at: version.at,
        actor: version.author,
        action: text(version.action),
        labels: Default::default(),
        spec: catalog::spec(kind, version.spec),
    }
}

fn text(action: String) -> Option<String> {
    Some(action).filter(|action| !action.is_empty())
}

/// A difference, at the path where people find the field.
#[must_use]
pub fn change(kind: &str, change: diff::FieldChange) -> FieldChange {
    let diff::FieldChange { path, from, to } = change;
    let plain = |path: String| FieldChange { path, from: from.clone(), to: to.clone() };
    let with = |path: String, show: fn(&Value) -> Value| FieldChange { path, from: show(&from), to: show(&to) };
    match kind {
        "Tenant" => match head(&path) {
            "labels" => plain(format!("metadata.{path}")),
            "deletion" => plain(format!("status.{path}")),
            _ => plain(format!("spec.{path}")),
        },
        "Plan" if path == "backup.retentionDays" => with("spec.backup.retention".to_owned(), days),
        "Plan" if path == "archiveRetentionDays" => with("spec.archiveRetention".to_owned(), days),
        "Cell" if head(&path) == "database" => plain(path.replacen("database", "spec.database.urlFrom", 1)),
        "App" => {
            let path = path
                .replacen("migrations.files.files", "migrations.files", 1)
                .replacen("migrations.exec.command", "migrations.exec", 1)
                .replacen("migrations.exec.directory", "migrations.directory", 1);
            with(format!("spec.{path}"), source)
        }
        _ => plain(format!("spec.{path}")),
    }
}

fn head(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

fn days(days: &Value) -> Value {
    days.as_u64().map_or(Value::Null, |days| json!(format!("{days}d")))
}

/// A whole source of migrations, when the sort of source changed.
fn source(value: &Value) -> Value {
    value.get("files").or_else(|| value.get("command")).unwrap_or(value).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_manifest() {
        let cases = [
            ("Tenant", "plan", "spec.plan"),
            ("Tenant", "labels.segment", "metadata.labels.segment"),
            ("Tenant", "labelsX", "spec.labelsX"),
            ("Tenant", "deletion", "status.deletion"),
            ("Plan", "quotas.users", "spec.quotas.users"),
            ("Plan", "backup.retentionDays", "spec.backup.retention"),
            ("Cell", "database.env", "spec.database.urlFrom.env"),
            ("App", "migrations.files.files[2].sql", "spec.migrations.files[2].sql"),
            ("App", "migrations.exec.directory", "spec.migrations.directory"),
        ];
        for (kind, from, to) in cases {
            let found = change(kind, diff::FieldChange { path: from.into(), from: json!(1), to: json!(2) });
            assert_eq!(found.path, to, "{kind} {from}");
        }
        let found =
            change("Plan", diff::FieldChange { path: "archiveRetentionDays".into(), from: Value::Null, to: json!(30) });
        assert_eq!((found.from, found.to), (Value::Null, json!("30d")));
    }
}
