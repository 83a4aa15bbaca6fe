//! The shipped plan catalogs: each loads, and `three-tier` holds every cell of its feature table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tenantry_api::manifest::{Format, parse_text};
use tenantry_api::v1::catalog::PlanSpec as Shown;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::plan::PlanSpec;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/catalogs")
}

fn load(catalog: &str) -> BTreeMap<String, PlanSpec> {
    let file = folder().join(catalog).join("plans.yaml");
    let text = std::fs::read(&file).unwrap();
    let environment = EnvironmentName::parse("prod").unwrap();
    let documents = parse_text(&text, Format::Yaml, Some(&environment));
    let documents = documents.unwrap_or_else(|error| panic!("{}: {error:?}", file.display()));
    let plan = |document: tenantry_domain::manifest::Document| match document.manifest {
        Manifest::Plan { name, spec } => (name.to_string(), spec),
        other => panic!("{}: {}", file.display(), other.kind()),
    };
    documents.into_iter().map(plan).collect()
}

/// PLAN-01: level and blueprint of every plan of every catalog, and one default each.
#[test]
fn every_catalog_loads_as_it_was_asked_for() {
    let expected = [
        ("hybrid-default", &[("pooled", "shared", "pooled-cell"), ("dedicated", "cluster", "dedicated-cell")][..]),
        (
            "profiles",
            &[
                ("multi-tenant", "schema", "shared-database"),
                ("single-tenant", "database", "single-tenant"),
                ("hybrid", "cluster", "hybrid"),
            ],
        ),
        (
            "schema-first",
            &[
                ("free", "shared", ""),
                ("standard", "schema", ""),
                ("pro", "schema", ""),
                ("enterprise", "database", "dedicated-database"),
            ],
        ),
        (
            "three-tier",
            &[
                ("free", "shared", "free-pool"),
                ("standard", "database", "namespace"),
                ("enterprise", "cluster", "dedicated-cluster"),
            ],
        ),
        (
            "phased",
            &[
                ("default", "shared", ""),
                ("enterprise", "schema", ""),
                ("large-enterprise", "database", "dedicated-database"),
            ],
        ),
    ];
    for (catalog, plans) in expected {
        let mut found = load(catalog);
        assert_eq!(found.values().filter(|plan| plan.default).count(), 1, "{catalog}");
        for (code, level, blueprint) in plans {
            let plan = found.remove(*code).unwrap_or_else(|| panic!("{catalog} has no {code}"));
            assert_eq!(plan.isolation.as_str(), *level, "{catalog} {code}");
            assert_eq!(plan.terms.blueprint.as_deref().unwrap_or_default(), *blueprint, "{catalog} {code}");
        }
        assert!(found.is_empty(), "{catalog}: {found:?}");
    }
    let folders = std::fs::read_dir(folder()).unwrap().flatten().filter(|entry| entry.path().is_dir()).count();
    assert_eq!(folders, expected.len(), "a catalog is shipped and not read here");
}

/// PLAN-03, PLAN-06, PLAN-11, QUOTA-06, NUM-22 to NUM-35 and NUM-39 to NUM-41: each cell of the table, one by one.
#[test]
fn three_tier_holds_each_cell_of_its_table() {
    let plans = load("three-tier");
    let shown: BTreeMap<&str, Value> =
        plans.iter().map(|(code, plan)| (code.as_str(), json!(Shown::from(plan)))).collect();
    let table: &[(&str, [Value; 3])] = &[
        ("/host", [json!("shared"), json!("subdomain"), json!("custom")]),
        ("/databases/postgresql", [json!(1), json!(3), json!(3)]),
        ("/databases/document", [json!(1), json!(1), json!(1)]),
        ("/databases/graph", [json!(0), json!(1), json!(1)]),
        ("/features/highAvailability", [Value::Null, Value::Null, json!(true)]),
        ("/features/recommendations", [json!(false), json!(true), json!(true)]),
        ("/features/social", [json!("limited"), json!("full"), json!("full")]),
        ("/features/graph", [json!(false), json!(true), json!(true)]),
        ("/features/customFeatures", [json!(false), json!(false), json!(true)]),
        ("/features/invitations", [json!(false), json!(true), json!(true)]),
        ("/rateLimits/api", [json!("100/min"), json!("1000/min"), json!("unlimited")]),
        ("/quotas/storage", [json!("1Gi"), json!("50Gi"), json!("unlimited")]),
        ("/quotas/users", [json!(1), json!(20), json!("unlimited")]),
        ("/slo/availability", [Value::Null, json!("99.5%"), json!("99.9%")]),
        ("/support", [json!("community, e-mail"), json!("e-mail, ticket"), json!("account manager")]),
        ("/customization/class", [json!("none"), json!("limited"), json!("full")]),
        ("/backup/retention", [json!("7d"), json!("30d"), json!("365d")]),
        (
            "/exports",
            [json!(["manual"]), json!(["manual", "api", "scheduled"]), json!(["manual", "api", "scheduled", "direct"])],
        ),
        ("/price/monthlyMinor", [json!(0), json!(49900), Value::Null]),
    ];
    for (path, cells) in table {
        for (code, cell) in ["free", "standard", "enterprise"].iter().zip(cells) {
            let found = shown[code].pointer(path).cloned().unwrap_or_default();
            assert_eq!(found, *cell, "{code}{path}");
        }
    }
}

/// NUM-20, NUM-21: shared tables for fewer than ten users, a schema for up to a hundred.
#[test]
fn schema_first_holds_its_figures() {
    let plans = load("schema-first");
    let users = |code: &str| Shown::from(&plans[code]).quotas["users"].clone();
    assert_eq!((users("free"), users("standard")), (json!(9), json!(100)));
}

/// PLAN-01: what contradicts itself is refused, and each field is named.
#[test]
fn an_inconsistent_plan_is_refused_by_field() {
    let text = "
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: free }
spec:
  isolation: shared
  price: { currency: Euro, monthlyMinor: -1 }
  databases: { postgresql: 0, '1x': 1 }
  host: moon
  customization: { class: full, settings: [theme] }
  exports: [manual, manual]
  blueprint: Free Pool
";
    let environment = EnvironmentName::parse("prod").unwrap();
    let fields = |text: &str| -> Vec<String> {
        let error = parse_text(text.as_bytes(), Format::Yaml, Some(&environment)).unwrap_err();
        error.errors.into_iter().map(|error| error.field).collect()
    };
    assert_eq!(
        fields(text),
        [
            "spec.price.currency",
            "spec.price.monthlyMinor",
            "spec.blueprint",
            "spec.databases.1x",
            "spec.host",
            "spec.exports[1]",
        ]
    );
    let text = "
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: free }
spec:
  isolation: shared
  price: { currency: eur, monthlyMinor: 1 }
  databases: { postgresql: 0 }
  customization: { class: full, settings: [theme] }
  exports: [direct]
";
    assert_eq!(
        fields(text),
        ["spec.price.currency", "spec.databases.postgresql", "spec.exports", "spec.customization.settings"]
    );
    let text = "
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: free }
spec:
  isolation: shared
  identity: mine
  signIn: [password, password, smoke]
  secondFactor: sometimes
";
    assert_eq!(fields(text), ["spec.identity", "spec.signIn[2]", "spec.secondFactor"]);
    let text = "
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: free }
spec: { isolation: shared, identity: shared, signIn: [sso] }
";
    assert_eq!(fields(text), ["spec.signIn"]);
}
