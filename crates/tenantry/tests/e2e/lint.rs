//! The linter as a build runs it: exit codes and forms.

use serde_json::Value;

use crate::program::Home;

const TABLES: &str =
    "CREATE TABLE notes (tenant_id uuid NOT NULL, id bigint NOT NULL, body text, PRIMARY KEY (tenant_id, id));";

#[tokio::test]
async fn a_build_is_told_what_could_cross_tenants() {
    let home = Home::new();
    std::fs::write(home.path("structure.sql"), TABLES).unwrap();
    std::fs::write(home.path("good.sql"), "SELECT body FROM notes WHERE tenant_id = $1 AND id = $2;\n").unwrap();
    std::fs::write(home.path("bad.sql"), "SELECT 1;\nSELECT body FROM notes WHERE id = $1;\n").unwrap();
    let lint = |file: &'static str| ["lint", "--schema", "structure.sql", file];
    let good = home.run(&lint("good.sql")).await;
    assert_eq!(good.code, 0, "{good:?}");

    let bad = home.run(&lint("bad.sql")).await;
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(bad.out.contains("bad.sql:2") && bad.out.contains("notes"), "{}", bad.out);
    let sarif = home.run(&[&lint("bad.sql")[..], &["--format", "sarif"]].concat()).await;
    let sarif: Value = serde_json::from_str(&sarif.out).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"];
    assert_eq!(place, 2, "{sarif}");

    assert_eq!(home.run(&["lint", "nowhere.sql"]).await.code, 2);
    assert_eq!(home.run(&["lint", "--explain", "TL101"]).await.code, 0);
}
