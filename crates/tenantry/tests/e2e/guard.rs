//! The guard on somebody else's database: found, reported, signed, fixed.

use serde_json::Value;
use tenantry_testkit::pg;

use crate::program::Home;

const SHOP: &str = "
    CREATE ROLE {role} LOGIN;
    CREATE TABLE orders (tenant_id uuid NOT NULL, id bigint NOT NULL, note text, PRIMARY KEY (tenant_id, id));
    GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO {role};
";

fn checks(report: &Value) -> Vec<String> {
    let findings = report["database"]["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["check"].as_str().unwrap().to_owned()).collect()
}

/// GUARD-13, by the command line.
#[tokio::test]
async fn a_leak_is_found_signed_and_gone_after_its_fix() {
    let home = Home::new();
    let database = pg::server().database();
    let role = format!("shop_{}", database.name());
    pg::server().sql(database.name(), &SHOP.replace("{role}", &role));
    let url = database.url();
    let look =
        ["guard", "--database-url", &url, "--level", "shared", "--tenant-column", "tenant_id", "--database-only"];
    let look: Vec<&str> = look.iter().copied().chain(["--role", role.as_str()]).collect();

    let key = home.path("key").display().to_string();
    assert_eq!(home.run(&["secret", "root-key", "--output-file", &key]).await.code, 0);
    let report = home.path("report.json").display().to_string();
    let signing: Vec<&str> = look.iter().copied().chain(["--report", &report, "--sign-key", &key]).collect();
    let ended = home.run(&signing).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("orders"), "{}", ended.out);

    // The report is what it was, and any change is seen.
    let public = ended.err.split("the public key is ").nth(1).unwrap().trim().to_owned();
    let verify = ["guard", "--verify", &report, "--public-key", &public];
    assert_eq!(home.run(&verify).await.code, 0);
    let text = std::fs::read_to_string(&report).unwrap();
    std::fs::write(&report, text.replacen("orders", "0rders", 1)).unwrap();
    assert_ne!(home.run(&verify).await.code, 0);

    let json: Vec<&str> = look.iter().copied().chain(["-o", "json"]).collect();
    let found: Value = serde_json::from_str(&home.run(&json).await.out).unwrap();
    assert!(checks(&found).iter().any(|check| check == "T1a"), "{found}");

    pg::server().sql(
        database.name(),
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         CREATE POLICY tenant ON orders USING (false)",
    );
    let after: Value = serde_json::from_str(&home.run(&json).await.out).unwrap();
    assert!(!checks(&after).iter().any(|check| check == "T1a"), "{after}");
    pg::server().sql(database.name(), &format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[tokio::test]
async fn checks_are_listed_and_mistakes_explained() {
    let home = Home::new();
    let listed = home.run(&["guard", "--checks"]).await;
    assert!(listed.code == 0 && listed.out.lines().count() > 50, "{listed:?}");
    let first = listed.out.lines().nth(1).and_then(|line| line.split_whitespace().next()).unwrap();
    let explained = home.run(&["guard", "--explain", first]).await;
    assert!(explained.code == 0 && explained.out.contains("Fix:"), "{explained:?}");
    assert_eq!(home.run(&["guard", "--explain", "nothing"]).await.code, 2);
    assert_eq!(home.run(&["guard", "--level", "shared"]).await.code, 2, "no database");
    let nowhere = ["guard", "--database-url", "postgres://nobody@127.0.0.1:1/x", "--level", "shared"];
    assert_eq!(home.run(&nowhere).await.code, 7);
}
