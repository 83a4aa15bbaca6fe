//! Migration folders become files on the caller's side.

use std::fs;

use serde_json::{Value, json};
use tenantry_api::manifest::{bundle, parse};

fn app(migrations: Value) -> Value {
    json!({"apiVersion": "tenantry.dev/v1", "kind": "App", "metadata": {"name": "chat"},
           "spec": {"migrations": migrations, "tenantKey": null}})
}

#[test]
fn a_folder_becomes_its_files_in_name_order() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("migrations");
    fs::create_dir(&folder).unwrap();
    for (name, text) in
        [("0002_b.sql", "select 2"), ("0001_a.sql", "select 1"), ("README.md", "x"), (".#0003.sql", "x")]
    {
        fs::write(folder.join(name), text).unwrap();
    }
    fs::create_dir(folder.join("0004_folder.sql")).unwrap();
    let bundled = bundle(vec![app(json!({"path": "./migrations"})), json!({"kind": "Plan"})], base.path()).unwrap();
    assert_eq!(
        bundled[0]["spec"]["migrations"],
        json!({"files": [{"name": "0001_a.sql", "sql": "select 1"}, {"name": "0002_b.sql", "sql": "select 2"}]})
    );
    assert!(parse(&bundled[..1], None).is_ok());
}

#[test]
fn what_is_no_folder_of_migrations_is_refused() {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir(base.path().join("empty")).unwrap();
    fs::create_dir(base.path().join("odd")).unwrap();
    fs::write(base.path().join("odd/0001 a.sql"), "select 1").unwrap();
    fs::create_dir(base.path().join("binary")).unwrap();
    fs::write(base.path().join("binary/1.sql"), [0xff, 0xfe]).unwrap();
    fs::create_dir(base.path().join("large")).unwrap();
    fs::write(base.path().join("large/1.sql"), vec![b' '; 1024 * 1024 + 1]).unwrap();
    for (path, expected) in [
        ("absent", "cannot be read"),
        ("empty", "no `*.sql`"),
        ("odd", "0001 a.sql"),
        ("binary", "cannot be read"),
        ("large", "larger"),
    ] {
        let error = bundle(vec![app(json!({"path": path}))], base.path()).unwrap_err();
        assert_eq!(error.errors[0].field, "spec.migrations.path");
        assert!(error.errors[0].message.contains(expected) && !error.hint.is_empty(), "{path}: {error:?}");
    }
    // Contradictions are left for the parser to name.
    let both = bundle(vec![app(json!({"path": "absent", "exec": "make"}))], base.path()).unwrap();
    assert!(parse(&both, None).is_err());
}
