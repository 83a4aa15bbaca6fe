//! Bundles of policy as a build tests them: without a server.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::Home;

fn example(path: &str) -> String {
    let example: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/policy").join(path);
    example.canonicalize().unwrap().display().to_string()
}

#[tokio::test]
async fn the_example_and_the_shipped_rules_pass_their_tests() {
    let home = Home::new();
    for (bundle, least) in [(example("acme").as_str(), 10), ("builtin", 60)] {
        let ended = home.run(&["policy", "test", bundle, "-o", "json"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let report: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(report["failed"], 0);
        assert!(report["passed"].as_u64().unwrap() >= least, "{report}");
        let digest = home.run(&["policy", "digest", bundle]).await;
        assert_eq!(digest.out.trim(), report["digest"].as_str().unwrap());
    }
    assert!(home.run(&["policy", "schema"]).await.out.contains("entity Tenant"));
}

#[tokio::test]
async fn failing_tests_and_broken_bundles_have_codes_of_their_own() {
    let home = Home::new();
    let folder = home.path("bundle");
    std::fs::create_dir_all(folder.join("tests")).unwrap();
    assert_eq!(home.run(&["policy", "test", "bundle"]).await.code, 2);
    assert_eq!(home.run(&["policy", "test", "nowhere"]).await.code, 2);
    std::fs::write(folder.join("policy.toml"), "name = 'mine'\nversion = '1'\n").unwrap();
    let case = "tests: [{ name: wrong, question: { principal: { kind: user, id: u }, action: tenant.read, resource: { type: \
                environment, name: prod } }, expect: { allowed: true } }]";
    std::fs::write(folder.join("tests/own.yaml"), case).unwrap();
    let failed = home.run(&["policy", "test", "bundle"]).await;
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.out.contains("tests/own.yaml: wrong") && failed.out.contains("expected allowed, was refused"),
        "{failed:?}"
    );
    std::fs::write(
        folder.join("own.cedar"),
        "permit (principal, action, resource);\n@id(\"x\") forbid (principal, action, resource);",
    )
    .unwrap();
    let broken = home.run(&["policy", "test", "bundle"]).await;
    assert_eq!(broken.code, 2);
    for part in ["TEN-0076", "own.cedar", "have no @id", "`x` forbids and has no @remedy", "hint:"] {
        assert!(broken.err.contains(part), "{part}: {}", broken.err);
    }
}

#[tokio::test]
async fn a_question_is_explained() {
    let home = Home::new();
    let (bundle, question) = (example("acme"), example("suspend.json"));
    let ended = home.run(&["policy", "explain", &bundle, "--question", &question]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    for part in
        ["refused by desk-needs-a-reason, four-eyes", "remedy: ", "approved by another person", "baseline", "decided"]
    {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
    let ended = home.run(&["policy", "explain", "builtin", "--question", &question, "-o", "json"]).await;
    let explanation: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(explanation["answer"]["allowed"], true);
    assert_eq!(explanation["answer"]["rules"][0], "baseline");
    std::fs::write(home.path("q.json"), "{\"principal\": 1}").unwrap();
    assert_eq!(home.run(&["policy", "explain", "builtin", "--question", "q.json"]).await.code, 2);
}

#[tokio::test]
async fn what_a_change_of_rules_would_change_is_shown() {
    let home = Home::new();
    let (bundle, questions) = (example("acme"), example("questions.jsonl"));
    let ended = home.run(&["policy", "what-if", &bundle, "--questions", &questions, "-o", "json"]).await;
    assert_eq!(ended.code, 10, "{ended:?}");
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((report["asked"].as_u64(), report["changed"].as_u64()), (Some(3), Some(1)));
    assert_eq!(report["by"]["allowed before, refused now"], 1);
    assert_eq!(report["changes"][0]["after"]["rules"][0], "four-eyes");
    let same = home.run(&["policy", "what-if", &bundle, "--against", &bundle, "--questions", &questions]).await;
    assert_eq!(same.code, 0);
    assert!(same.out.contains("0 of 3 questions"), "{}", same.out);
    std::fs::write(home.path("q.jsonl"), "\n{}\n").unwrap();
    let wrong = home.run(&["policy", "what-if", &bundle, "--questions", "q.jsonl"]).await;
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("line 2"), "{}", wrong.err);
}

#[tokio::test]
async fn bundles_are_signed_and_packed() {
    let home = Home::new();
    let copied = std::process::Command::new("cp").args(["-r", &example("acme")]).arg(home.path("acme")).status();
    assert!(copied.unwrap().success());
    let key = std::process::Command::new("openssl").args(["genpkey", "-algorithm", "ed25519"]).output().unwrap();
    std::fs::write(home.path("key.pem"), key.stdout).unwrap();
    let before = home.run(&["policy", "digest", "acme"]).await.out;
    let signed = home.run(&["policy", "sign", "acme", "--key-file", "key.pem", "-o", "json"]).await;
    assert_eq!(signed.code, 0, "{signed:?}");
    let report: Value = serde_json::from_str(&signed.out).unwrap();
    assert_eq!(report["digest"], before.trim());
    assert!(std::fs::read_to_string(home.path("acme/bundle.sig")).unwrap().contains("ed25519"));
    assert_eq!(home.run(&["policy", "digest", "acme"]).await.out, before);
    let packed = home.run(&["policy", "pack", "acme", "--output-file", "acme.tar.gz"]).await;
    assert!(packed.code == 0 && packed.out.contains(before.trim()), "{packed:?}");
    let listed = std::process::Command::new("tar").arg("-tzf").arg(home.path("acme.tar.gz")).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("policy.toml") && listed.contains("bundle.sig"), "{listed}");
    std::fs::write(home.path("key.pem"), "no key").unwrap();
    assert_eq!(home.run(&["policy", "sign", "acme", "--key-file", "key.pem"]).await.code, 2);
}
