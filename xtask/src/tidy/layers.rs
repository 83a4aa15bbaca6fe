//! Crates depend downwards only, along the edges that the architecture names.
//!
//! The edges come from `cargo metadata`, so that renamed or optional dependencies do not slip by. Dev-dependencies
//! are free: they shape tests, not the product. What a crate must *not* know is the point of having it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Finding;

const RULE: &str = "layers";
const HINT: &str = "edges point down: see docs/style.md, Layers";

/// Crates from the bottom up, and which of ours each may use besides `domain`.
const CRATES: &[(&str, Edges)] = &[
    ("tenantry-domain", Edges::Only(&[])),
    ("tenantry-wire", Edges::Nothing),
    ("tenantry-api", Edges::Only(&[])),
    ("tenantry-pg", Edges::Only(&[])),
    ("tenantry-lint", Edges::Only(&[])),
    ("tenantry-policy", Edges::Only(&[])),
    ("tenantry-limits", Edges::Only(&[])),
    ("tenantry-webhooks", Edges::Only(&[])),
    ("tenantry-streams", Edges::Only(&[])),
    ("tenantry-identity", Edges::Only(&[])),
    ("tenantry-guard", Edges::Only(&["tenantry-pg"])),
    ("tenantry-probe", Edges::Only(&["tenantry-pg"])),
    ("tenantry-store", Edges::Only(&["tenantry-pg"])),
    ("tenantry-dataplane", Edges::Only(&["tenantry-pg", "tenantry-guard", "tenantry-probe"])),
    (
        "tenantry-control",
        Edges::Only(&[
            "tenantry-store",
            "tenantry-dataplane",
            "tenantry-api",
            "tenantry-lint",
            "tenantry-policy",
            "tenantry-limits",
            "tenantry-identity",
            "tenantry-webhooks",
            "tenantry-streams",
        ]),
    ),
    ("tenantry-server", Edges::Only(&["tenantry-api", "tenantry-control"])),
    ("tenantry-gateway", Edges::Only(&["tenantry-wire", "tenantry-pg", "tenantry-store", "tenantry-dataplane"])),
    ("tenantry-sdk", Edges::Only(&["tenantry-api", "tenantry-pg", "tenantry-dataplane"])),
    ("tenantry", Edges::Everything),
    (TESTKIT, Edges::Everything),
    (BENCH, Edges::Everything),
    ("xtask", Edges::Nothing),
];

const DOMAIN: &str = "tenantry-domain";
const TESTKIT: &str = "tenantry-testkit";
/// Never shipped, and it needs servers of its own: the only crate that depends on the test kit outright.
const BENCH: &str = "tenantry-bench";

/// What the pure core may use: values, their text forms, and error derives. Anything with I/O stays out.
const DOMAIN_MAY_USE: &[&str] = &["jiff", "serde", "serde_json", "thiserror", "uuid"];

enum Edges {
    /// Not even `domain`.
    Nothing,
    /// `domain` and these.
    Only(&'static [&'static str]),
    /// All of ours but the test kit.
    Everything,
}

/// The part of `cargo metadata` that is read.
#[derive(Deserialize)]
pub struct Metadata {
    packages: Vec<Package>,
    workspace_root: String,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Absent for normal dependencies.
    kind: Option<String>,
}

/// Asks cargo for the workspace's packages.
pub fn metadata(root: &Path) -> Result<Metadata> {
    let output = Command::new(crate::ci::cargo())
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("running cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("reading cargo metadata")
}

/// Compares the packages' dependencies with the allowed edges.
pub fn check(metadata: &Metadata) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let path = package
            .manifest_path
            .strip_prefix(&metadata.workspace_root)
            .context("a package outside the workspace")?
            .trim_start_matches('/');
        let mut report = |message: String, hint: &str| {
            findings.push(Finding::new(RULE, path, 1, message, hint));
        };
        let Some(edges) = edges_of(&package.name) else {
            let message = format!("crate `{}` has no layer", package.name);
            report(message, "give it a place in xtask/src/tidy/layers.rs");
            continue;
        };
        for dependency in &package.dependencies {
            let (from, to) = (package.name.as_str(), dependency.name.as_str());
            let development = dependency.kind.as_deref() == Some("dev");
            let ours = metadata.packages.iter().any(|other| other.name == to);
            if !ours && from == DOMAIN && !development && !DOMAIN_MAY_USE.contains(&to) {
                let hint = format!("the core is pure; it may use {}", DOMAIN_MAY_USE.join(", "));
                report(format!("`{from}` depends on `{to}`"), &hint);
            }
            if !ours {
                continue;
            }
            if matches!(edges, Edges::Nothing) {
                report(format!("`{from}` depends on `{to}`"), "tools know no crate of the product");
            } else if development {
                continue;
            } else if to == TESTKIT && from != BENCH {
                report(format!("`{from}` depends on `{to}`"), "the test kit is a dev-dependency only");
            } else if to != TESTKIT && !edges.allow(to) {
                report(format!("`{from}` depends on `{to}`"), HINT);
            }
        }
    }
    Ok(findings)
}

fn edges_of(name: &str) -> Option<&'static Edges> {
    CRATES.iter().find(|(known, _)| *known == name).map(|(_, edges)| edges)
}

impl Edges {
    fn allow(&self, to: &str) -> bool {
        match self {
            Edges::Nothing => false,
            Edges::Only(names) => to == DOMAIN || names.contains(&to),
            Edges::Everything => to != TESTKIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of all known crates in which `from` depends on `to`.
    fn findings(from: &str, to: &str, kind: Option<&str>) -> Vec<Finding> {
        let package = |name: &str| Package {
            name: name.to_owned(),
            manifest_path: format!("/repo/crates/{name}/Cargo.toml"),
            dependencies: Vec::new(),
        };
        let mut packages: Vec<_> = CRATES.iter().map(|(name, _)| package(name)).collect();
        if edges_of(from).is_none() {
            packages.push(package(from));
        }
        for package in packages.iter_mut().filter(|package| package.name == from) {
            let kind = kind.map(str::to_owned);
            package.dependencies.push(Dependency { name: to.to_owned(), kind });
        }
        check(&Metadata { packages, workspace_root: "/repo".to_owned() }).unwrap()
    }

    #[test]
    fn downward_edges_pass() {
        for (from, to) in [
            ("tenantry-store", "tenantry-pg"),
            ("tenantry-control", "tenantry-dataplane"),
            ("tenantry-server", "tenantry-domain"),
            ("tenantry", "tenantry-store"),
            ("tenantry-domain", "uuid"),
            ("tenantry-pg", "tokio-postgres"),
            ("tenantry-bench", "tenantry-testkit"),
            ("tenantry-bench", "tenantry-control"),
        ] {
            assert_eq!(findings(from, to, None), [], "{from} -> {to}");
        }
    }

    #[test]
    fn other_edges_are_found() {
        for (from, to) in [
            ("tenantry-store", "tenantry-dataplane"),
            ("tenantry-server", "tenantry-store"),
            ("tenantry-domain", "tenantry-pg"),
            ("tenantry-domain", "tokio"),
            ("tenantry", "tenantry-testkit"),
            ("xtask", "tenantry-domain"),
        ] {
            assert_eq!(findings(from, to, None).len(), 1, "{from} -> {to}");
        }
    }

    #[test]
    fn tests_may_use_more() {
        assert_eq!(findings("tenantry-store", "tenantry-testkit", Some("dev")), []);
        assert_eq!(findings("tenantry-domain", "proptest", Some("dev")), []);
    }

    #[test]
    fn a_new_crate_needs_a_layer() {
        let found = findings("tenantry-newcomer", "uuid", None);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "crates/tenantry-newcomer/Cargo.toml");
    }
}
