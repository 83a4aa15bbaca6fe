//! The benchmarks run: the smallest sizes, and every name has figures. What the figures say is not tested here.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

use std::process::Command;

/// The server's binary, PgBouncer and Django are not built or installed together with this one.
const MAY_LACK_SOMETHING: [&str; 4] = ["memory", "forward-auth", "fleet", "gateway"];

fn runs(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("figures.json");
    let output = Command::new(env!("CARGO_BIN_EXE_tenantry-bench"))
        .args([name, "--quick", "--tiny", "--alone", "--json"])
        .arg(&json)
        .output()
        .unwrap();
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{log}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let has_figures = report["figures"].as_array().unwrap().iter().any(|figure| figure["bench"] == name);
    let notes: Vec<_> = report["notes"].as_array().unwrap().iter().filter(|note| note[0] == name).collect();
    let starts = |word: &str| notes.iter().any(|note| note[1].as_str().unwrap().starts_with(word));
    let is_skipped = MAY_LACK_SOMETHING.contains(&name) && starts("skipped");
    assert!(has_figures || is_skipped, "{notes:?}\n{log}");
    assert!(!starts("ended early"), "{notes:?}\n{log}");
    assert!(said.contains(name), "{said}");
}

/// One test each: a benchmark of the smallest size takes a few seconds, and all of them in a row minutes.
macro_rules! each {
    ($($test:ident = $name:literal),+ $(,)?) => {
        $(#[test]
        fn $test() {
            runs($name);
        })+

        #[test]
        fn none_is_left_out() {
            let output = Command::new(env!("CARGO_BIN_EXE_tenantry-bench")).arg("--help").output().unwrap();
            let help = String::from_utf8(output.stdout).unwrap();
            let listed = help.lines().filter_map(|line| line.trim().strip_prefix("- "));
            let mut listed: Vec<_> = listed.filter_map(|line| line.split(':').next()).collect();
            let mut tested = vec![$($name),+];
            listed.sort_unstable();
            tested.sort_unstable();
            assert_eq!(listed, tested, "{help}");
        }
    };
}

each! {
    onboarding = "onboarding",
    apply = "apply",
    sweep = "sweep",
    mutations = "mutations",
    audit = "audit",
    memory = "memory",
    search = "search",
    tenant_tx = "tenant-tx",
    context = "context",
    resolve = "resolve",
    forward_auth = "forward-auth",
    fleet = "fleet",
    noisy = "noisy",
    gateway = "gateway",
    guard = "guard",
    limits = "limits",
    policy = "policy",
    members = "members",
    tokens = "tokens",
    usage = "usage",
    webhooks = "webhooks",
}
