//! A customer's life by the command line, with the exit codes that scripts rely on.

use serde_json::Value;

use crate::program::{Ended, Home, finish};

async fn code(home: &Home, arguments: &[&str]) -> i32 {
    let ended = home.run(arguments).await;
    assert!(ended.code == 0 || !ended.err.is_empty() || ended.code == 10, "{arguments:?}: {ended:?}");
    ended.code
}

fn state(document: &Value) -> &str {
    document["tenant"]["status"]["state"].as_str().unwrap_or_else(|| panic!("{document}"))
}

/// CLI-01, CLI-02.
#[tokio::test]
async fn a_customers_life() {
    let home = Home::new();
    let dev = home.dev(&[]).await;
    let create = ["create", "tenant", "hooli", "--app", "chat", "--plan", "starter", "--region", "eu-west"];
    let rest =
        ["--email", "ops@hooli.example", "-l", "segment=smb", "--external-id", "stripe=cus_Hooli", "--synthetic"];

    let planned = home.json(&[&create[..], &rest[..], &["--dry-run"]].concat()).await;
    assert_eq!(planned["objects"][0]["outcome"], "create");
    assert_eq!(code(&home, &["get", "tenant", "hooli"]).await, 3, "a dry run makes nothing");

    assert_eq!(state(&home.json(&[&create[..], &rest[..]].concat()).await), "draft");
    assert_eq!(state(&home.json(&["activate", "hooli"]).await), "active");
    let suspend = ["suspend", "hooli", "--reason", "commercial", "--note", "unpaid"];
    assert_eq!(state(&home.json(&suspend).await), "suspended");
    assert_eq!(state(&home.json(&["resume", "hooli"]).await), "active");
    assert_eq!(code(&home, &["archive", "hooli"]).await, 5, "an active tenant cannot be archived");
    assert_eq!(state(&home.json(&suspend).await), "suspended");
    assert_eq!(state(&home.json(&["archive", "hooli"]).await), "archived");
    assert_eq!(state(&home.json(&["restore", "hooli"]).await), "active");
    home.json(&suspend).await;
    home.json(&["archive", "hooli"]).await;

    // A deletion is confirmed by name, and can be taken back as long as it waits.
    assert_eq!(code(&home, &["delete", "tenant", "hooli", "--yes"]).await, 2);
    assert_eq!(code(&home, &["delete", "tenant", "hooli", "--confirm", "acme"]).await, 2);
    assert_eq!(code(&home, &["delete", "tenant", "hooli", "--confirm", "hooli", "--grace", "1h"]).await, 0);
    let waiting = home.json(&["get", "tenant", "hooli"]).await;
    assert!(waiting["status"]["deletion"]["notBefore"].is_string(), "{waiting}");
    assert_eq!(state(&home.json(&["undelete", "hooli"]).await), "archived");
    let id = waiting["status"]["id"].as_str().unwrap();
    let gone = home.json(&["delete", "tenant", "hooli", "--confirm", "hooli", "--grace", "0s"]).await;
    assert_eq!(state(&gone), "deleted");
    assert_eq!(home.json(&["get", "tenant", id]).await["status"]["state"], "deleted");

    // All of it is on record.
    assert!(home.json(&["audit", "verify", "--tenant", id]).await["findings"].as_array().unwrap().is_empty());
    let entries = home.json(&["audit", "list", "--tenant", id]).await;
    let actions: Vec<_> =
        entries["items"].as_array().unwrap().iter().filter_map(|entry| entry["action"].as_str()).collect();
    for action in [
        "tenant.create",
        "tenant.activate",
        "tenant.suspend",
        "tenant.resume",
        "tenant.archive",
        "tenant.restore",
        "tenant.delete",
    ] {
        assert!(actions.contains(&action), "{action}: {actions:?}");
    }
    assert_eq!(dev.stop().await, 0);
}

/// CLI-03.
#[tokio::test]
async fn files_are_planned_applied_and_rolled_back() {
    let home = Home::new();
    let dev = home.dev(&[]).await;
    let manifests = home.path("data/examples/chat/manifests");
    let tenants = manifests.join("tenants");
    let (all, acme) = (manifests.to_str().unwrap(), tenants.join("acme.yaml"));

    assert_eq!(code(&home, &["plan", "-R", "-f", all]).await, 0, "nothing changes");
    assert_eq!(home.run(&["diff", "-R", "-f", all]).await.out, "");
    let text = std::fs::read_to_string(&acme).unwrap().replace("theme: light", "theme: dark");
    std::fs::write(&acme, text).unwrap();
    let diff = home.run(&["diff", "-R", "-f", all]).await;
    assert_eq!(diff.code, 10, "{diff:?}");
    assert!(diff.out.contains("settings.theme: light -> dark"), "{diff:?}");
    assert_eq!(code(&home, &["diff", "-R", "-f", all, "--exit-code=false"]).await, 0);
    assert_eq!(code(&home, &["plan", "-R", "-f", all]).await, 10);
    let applied = home.json(&["apply", "-f", tenants.to_str().unwrap()]).await;
    let outcomes: Vec<_> = applied["objects"].as_array().unwrap().iter().map(|object| object["name"].clone()).collect();
    assert_eq!(outcomes.len(), 3, "{applied}");
    assert_eq!(home.json(&["get", "tenant", "acme"]).await["spec"]["settings"]["theme"], "dark");

    // What was read can be applied as it is.
    let yaml = home.run(&["get", "tenant", "acme", "-o", "yaml"]).await;
    std::fs::write(home.path("acme.yaml"), &yaml.out).unwrap();
    assert_eq!(code(&home, &["plan", "-f", "acme.yaml"]).await, 0, "{}", yaml.out);
    let mut command = home.command(&["plan", "-f", "-"]);
    command.stdin(std::fs::File::open(home.path("acme.yaml")).unwrap());
    assert_eq!(finish(command).await.code, 0);

    let history = home.json(&["history", "tenant", "acme"]).await;
    assert_eq!(history["items"][0]["version"], 2);
    let compared = home.json(&["history", "tenant", "acme", "--compare", "1", "2"]).await;
    assert!(compared["changes"].as_array().unwrap().iter().any(|change| change["to"] == "dark"), "{compared}");
    let back = home.json(&["rollback", "tenant", "acme", "--to", "1"]).await;
    assert_eq!(back["tenant"]["spec"]["settings"]["theme"], "light");
    assert_eq!(back["tenant"]["status"]["version"], 3);
    assert_eq!(code(&home, &["rollback", "tenant", "acme", "--to", "99"]).await, 3);
    assert_eq!(dev.stop().await, 0);
}

/// CLI-04 as far as it goes: what operators look at has a document, and a table that shows the same.
#[tokio::test]
async fn operators_see_what_is_going_on() {
    let home = Home::new();
    let dev = home.dev(&[]).await;
    let operations = home.json(&["operations", "list"]).await;
    let id = operations["items"][0]["id"].as_str().unwrap();
    let operation = home.json(&["operations", "get", id]).await;
    assert_eq!(operation["status"], "completed", "{operation}");
    assert_eq!(home.json(&["operations", "watch", id]).await["id"], id);
    assert_eq!(code(&home, &["operations", "cancel", id]).await, 5, "it has ended");
    assert_eq!(code(&home, &["operations", "get", "op_01jd8x3v9mfk2t5h7q0w4z6y8c"]).await, 3);

    assert_eq!(home.json(&["place", "globex"]).await["placement"]["isolation"], "schema");
    let described = home.json(&["describe", "tenant", "initech"]).await;
    assert!(described["placement"]["route"]["schema"].is_string(), "{described}");
    assert!(described["drift"]["findings"].as_array().unwrap().is_empty(), "{described}");
    assert_eq!(home.json(&["describe", "plan", "standard"]).await["spec"]["isolation"], "schema");
    assert_eq!(home.json(&["history", "plan", "standard"]).await["items"].as_array().unwrap().len(), 1);
    for arguments in [
        &["get", "tenants"][..],
        &["get", "tenants", "-o", "wide"],
        &["get", "plans"],
        &["get", "regions"],
        &["get", "cells"],
        &["get", "apps"],
        &["get", "operations"],
        &["get", "tenant", "acme"],
        &["describe", "tenant", "acme"],
        &["describe", "cell", "eu-west-1"],
        &["history", "tenant", "acme"],
        &["place", "acme", "--explain"],
        &["operations", "get", id],
        &["audit", "list"],
        &["audit", "verify"],
        &["context"],
        &["version"],
    ] {
        let ended = home.run(arguments).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        assert!(!ended.out.trim().is_empty() && !ended.out.contains('\u{1b}'), "{arguments:?}: {ended:?}");
    }
    assert_eq!(code(&home, &["delete", "plan", "standard", "--yes"]).await, 5, "it is in use");
    assert_eq!(
        home.json(&["get", "tenants", "--external-id", "stripe:cus_Acme0001"]).await["items"].as_array().unwrap().len(),
        1
    );
    assert_eq!(
        home.json(&["get", "tenants", "-l", "segment=enterprise"]).await["items"][0]["metadata"]["name"],
        "initech"
    );

    // The record leaves the house and still verifies; a changed line does not.
    let export = home.run(&["audit", "export", "--output-file", "audit.jsonl"]).await;
    assert_eq!(export.code, 0, "{export:?}");
    assert_eq!(code(&home, &["audit", "verify", "--bundle", "audit.jsonl"]).await, 0);
    let forged = std::fs::read_to_string(home.path("audit.jsonl")).unwrap().replacen("tenant/acme", "tenant/acmf", 1);
    std::fs::write(home.path("forged.jsonl"), forged).unwrap();
    let Ended { code: forged, err, .. } = home.run(&["audit", "verify", "--bundle", "forged.jsonl"]).await;
    assert_eq!(forged, 5, "{err}");
    assert!(err.contains("TEN-0041"), "{err}");

    let mut command = home.command(&["get", "tenants"]);
    command.env("TENANTRY_TOKEN", "ten_live_wrong");
    assert_eq!(finish(command).await.code, 4);
    assert_eq!(dev.stop().await, 0);
}
