//! `tenantry isolation`: looked, shown, signed, verified; exit codes; and the alerts that go with it.

use serde_json::Value;
use tokio_postgres::NoTls;

use crate::program::{Dev, Home, text};

/// Runs a script as the private server's superuser.
async fn sql(home: &Home, dev: &Dev, database: &str, script: &str) {
    let password = text(&home.path("data/postgres.password"));
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(dev.postgres_port()).user("postgres").password(password.trim()).dbname(database);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    let served = tokio::spawn(connection);
    client.batch_execute(script).await.unwrap();
    drop(client);
    served.await.unwrap().unwrap();
}

fn count(view: &Value, place: &str, severity: &str) -> i64 {
    let row = view["places"].as_array().unwrap().iter().find(|row| row["place"] == place);
    row.unwrap_or_else(|| panic!("{place}: {view}"))["counts"][severity].as_i64().unwrap()
}

/// GUARD-13, GUARD-14 by the command line: a leak fails the command, names itself, and is gone after its fix.
#[tokio::test]
async fn a_cell_is_looked_at_and_its_report_can_be_handed_on() {
    let home = Home::new();
    let dev = home.dev(&[]).await;
    let cells = home.json(&["get", "cells"]).await;
    let cell = cells["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    let early = home.run(&["isolation", "show", &cell]).await;
    assert_eq!(early.code, 3, "nobody has looked yet: {early:?}");
    assert_eq!(home.run(&["isolation", "show", "nowhere"]).await.code, 3);

    // What the server itself lacks is up to whoever installed it: only the worst counts here.
    let ran = home.run(&["isolation", "run", &cell, "--fail-on", "critical"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("PLACE") && ran.out.contains("home/chat") && ran.out.contains("server"), "{}", ran.out);
    let view = home.json(&["isolation", "show", &cell, "--fail-on", "critical"]).await;
    for severity in ["critical", "high", "medium", "low"] {
        assert_eq!(count(&view, "home/chat", severity), 0, "{view}");
    }
    let listed = home.run(&["isolation", "status", "--fail-on", "critical"]).await;
    assert!(listed.code == 0 && listed.out.contains(&cell), "{listed:?}");

    // Signed, and any change is seen.
    let report = home.path("report.json").display().to_string();
    let fetched = home.run(&["isolation", "report", &cell, "--place", "home/chat", "--output-file", &report]).await;
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let public = fetched.err.split("the public key is ").nth(1).unwrap().trim().to_owned();
    let verify = ["guard", "--verify", &report, "--public-key", &public];
    let verified = home.run(&verify).await;
    assert!(verified.code == 0 && verified.out.contains("the signature is good"), "{verified:?}");
    let signed = std::fs::read_to_string(&report).unwrap();
    std::fs::write(&report, signed.replacen("shared", "sharec", 1)).unwrap();
    assert_ne!(home.run(&verify).await.code, 0);

    let database = "tn_prod_chat";
    // A view of somebody's that nothing puts back.
    let leak = "CREATE VIEW app.everything AS SELECT * FROM app.messages; GRANT SELECT ON app.everything TO PUBLIC";
    sql(&home, &dev, database, leak).await;
    let found = home.run(&["isolation", "run", "--tenant", "acme"]).await;
    assert_eq!(found.code, 1, "{found:?}");
    assert!(found.out.contains("view app.everything") && found.out.contains("T13a"), "{}", found.out);
    let shown = home.run(&["isolation", "show", &cell]).await;
    assert!(shown.code == 1 && shown.out.contains("critical T13a at home/chat"), "{shown:?}");
    sql(&home, &dev, database, "DROP VIEW app.everything").await;
    let again = home.run(&["isolation", "run", "--tenant", "acme", "--fail-on", "low"]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert!(home.json(&["audit", "verify"]).await["findings"].as_array().unwrap().is_empty());
    assert_eq!(dev.stop().await, 0);
}

#[tokio::test]
async fn mistakes_are_told_before_anything_is_asked() {
    let home = Home::new();
    for wrong in [
        &["isolation", "show"][..],
        &["isolation", "show", "one", "--tenant", "acme"],
        &["isolation", "run", "one", "--fail-on", "bad"],
        &["isolation", "report", "one"],
        &["serve", "--guard-every", "often"],
        &["serve", "--guard-terms", "/nowhere/terms.json"],
    ] {
        assert_eq!(home.run(wrong).await.code, 2, "{wrong:?}");
    }
    std::fs::write(home.path("terms.json"), r#"{"acepted":[]}"#).unwrap();
    let path = home.path("terms.json").display().to_string();
    let ended = home.run(&["serve", "--guard-terms", &path]).await;
    assert!(ended.code == 2 && ended.err.contains("acepted") && ended.err.contains("docs/guard.md"), "{ended:?}");
}

/// GUARD-14: the leak alert fires at once, is silent when the leak is closed, and the absence of looks is an alert too. So
/// are a rollout that halted and one that left somebody behind.
#[test]
fn alerts_fire_as_their_tests_say() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus");
    let promtool = |arguments: &[&str]| {
        let ended = std::process::Command::new("promtool").args(arguments).current_dir(&folder).output();
        ended.ok().map(|ended| {
            assert!(
                ended.status.success(),
                "{arguments:?}: {}{}",
                String::from_utf8_lossy(&ended.stdout),
                String::from_utf8_lossy(&ended.stderr)
            );
        })
    };
    if promtool(&["check", "rules", "isolation.yml", "rollouts.yml", "gateway.yml", "policy.yml", "streams.yml"])
        .is_none()
    {
        eprintln!("skipped: promtool is not installed (Debian: prometheus)");
        return;
    }
    promtool(&[
        "test",
        "rules",
        "isolation_test.yml",
        "rollouts_test.yml",
        "gateway_test.yml",
        "policy_test.yml",
        "streams_test.yml",
    ]);
}
