//! The benchmarks run: the smallest sizes, and every name has figures. What the figures say is not tested here.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

use std::process::Command;

const NAMES: [&str; 14] = [
    "onboarding",
    "apply",
    "sweep",
    "mutations",
    "audit",
    "memory",
    "search",
    "tenant-tx",
    "context",
    "resolve",
    "forward-auth",
    "noisy",
    "usage",
    "webhooks",
];

#[test]
fn every_benchmark_runs_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("figures.json");
    let output = Command::new(env!("CARGO_BIN_EXE_tenantry-bench"))
        .args(["--quick", "--tiny", "--json"])
        .arg(&json)
        .output()
        .unwrap();
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{log}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let notes = report["notes"].as_array().unwrap();
    for name in NAMES {
        let has_figures = report["figures"].as_array().unwrap().iter().any(|figure| figure["bench"] == name);
        let notes: Vec<_> = notes.iter().filter(|note| note[0] == name).collect();
        // The server's binary is not built together with this one.
        let is_skipped = ["memory", "forward-auth"].contains(&name)
            && notes.iter().any(|note| note[1].as_str().unwrap().starts_with("skipped"));
        assert!(has_figures || is_skipped, "{name}: {notes:?}");
        assert!(!notes.iter().any(|note| note[1].as_str().unwrap().starts_with("ended early")), "{notes:?}");
        assert!(said.contains(name), "{said}");
    }
}
