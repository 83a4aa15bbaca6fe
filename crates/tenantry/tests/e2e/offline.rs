//! What works without a server: help, completion, settings, mistakes in files, errors as documents.

use serde_json::Value;

use crate::program::{Home, finish};

#[tokio::test]
async fn completion_scripts_know_the_commands() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = home.run(&["completion", shell]).await;
        assert_eq!(ended.code, 0);
        for word in ["suspend", "operations", "--environment", "environment"] {
            assert!(ended.out.contains(word) || word.starts_with("--"), "{shell} lacks {word}");
        }
    }
    let mut check = tokio::process::Command::new("bash");
    let script = home.run(&["completion", "bash"]).await.out;
    // In a file: it is longer than one argument may be.
    let path = home.path("completion.bash");
    std::fs::write(&path, script).unwrap();
    check.arg("-n").arg(path);
    assert_eq!(finish(check).await.code, 0);
}

#[tokio::test]
async fn every_command_explains_itself() {
    let home = Home::new();
    let help = home.run(&["--help"]).await;
    assert_eq!(help.code, 0);
    let commands =
        help.out.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
    // What a command is for may need a second line.
    let commands = commands.filter(|line| !line.starts_with("   "));
    let names: Vec<_> = commands.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names.iter().filter(|name| *name != "help") {
        let ended = home.run(&[name, "--help"]).await;
        assert_eq!(ended.code, 0, "{name}");
        assert!(ended.out.contains("Usage:"), "{name}");
    }
}

#[tokio::test]
async fn mistakes_have_codes() {
    let home = Home::new();
    // Nobody listens there, and nothing is set.
    assert_eq!(home.run(&["get", "tenants"]).await.code, 4);
    assert_eq!(home.run(&["get", "tenants", "--url", "http://127.0.0.1:1", "--token", "x"]).await.code, 7);
    assert_eq!(home.run(&["get", "tenants", "--url", "nonsense", "--token", "x"]).await.code, 2);
    assert_eq!(home.run(&["get", "unicorns"]).await.code, 2);
    assert_eq!(home.run(&["suspend", "acme"]).await.code, 2);
    assert_eq!(home.run(&["serve"]).await.code, 2);
    assert_eq!(home.run(&["-e", "Not A Name", "get", "tenants", "--token", "x"]).await.code, 2);
    assert_eq!(home.run(&["--config", "/nonexistent.toml", "get", "tenants"]).await.code, 2);
}

#[tokio::test]
async fn wrong_files_are_told_before_anything_is_sent() {
    let home = Home::new();
    let path = home.path("tenant.yaml");
    std::fs::write(&path, "apiVersion: tenantry.dev/v1\nkind: Tenant\nmetadata: { name: www }\nspec:\n  seats: 5\n")
        .unwrap();
    let arguments = ["apply", "-f", "tenant.yaml", "--url", "http://127.0.0.1:1", "--token", "x"];
    let ended = home.run(&arguments).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    for part in ["error[TEN-0001]", "tenant.yaml", "spec.seats", "line 5", "hint:"] {
        assert!(ended.err.contains(part), "{part}: {}", ended.err);
    }
    let ended = home.run(&[&arguments[..], &["-o", "json"]].concat()).await;
    let problem: Value = serde_json::from_str(&ended.err).unwrap();
    assert_eq!(problem["code"], "TEN-0001");
    assert!(problem["errors"].as_array().unwrap().iter().any(|error| error["field"] == "spec.seats"), "{problem}");
    assert_eq!(ended.out, "");
}

#[tokio::test]
async fn settings_are_shown_with_their_source_and_without_secrets() {
    let home = Home::new();
    let file = home.path("config/tenantry/context.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "url = 'http://127.0.0.1:7'\n").unwrap();
    let mut command = home.command(&["context", "-o", "json"]);
    command.env("TENANTRY_TOKEN", "ten_live_secret").env("TENANTRY_ENVIRONMENT", "staging");
    let ended = finish(command).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!ended.out.contains("ten_live_secret"));
    let document: Value = serde_json::from_str(&ended.out).unwrap();
    let source = |name: &str| {
        document["settings"].as_array().unwrap().iter().find(|setting| setting["name"] == name).unwrap()["source"]
            .clone()
    };
    assert_eq!(source("TENANTRY_URL"), "file");
    assert_eq!(source("TENANTRY_TOKEN"), "environment");
    assert_eq!(source("TENANTRY_TIMEOUT"), "default");
}

#[tokio::test]
async fn a_missing_postgresql_is_explained() {
    let home = Home::new();
    let data = home.path("data");
    let ended =
        home.run(&["dev", "--data-dir", data.to_str().unwrap(), "--pg-bin", "/nonexistent", "--no-context"]).await;
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.err.contains("/nonexistent") && ended.err.contains("hint:"), "{ended:?}");
}
