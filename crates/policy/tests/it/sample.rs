//! Questions and bundles to begin from.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_policy::{Bundle, Circumstances, Engine, Principal, PrincipalKind, Question, Resource, TenantFacts};

pub fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// An operator with a role that grants it wants something of tenant `acme`.
pub fn question(action: &str) -> Question {
    Question {
        principal: Principal {
            kind: PrincipalKind::Operator,
            id: "tok_1".to_owned(),
            roles: set(&["admin"]),
            environment: None,
        },
        action: action.to_owned(),
        resource: Resource::Tenant(acme()),
        context: Circumstances {
            granted: true,
            now: "2026-11-22T03:00:00Z".parse().unwrap(),
            ..Circumstances::default()
        },
    }
}

pub fn acme() -> TenantFacts {
    TenantFacts {
        id: "ten_1".to_owned(),
        slug: "acme".to_owned(),
        environment: "prod".to_owned(),
        plan: "standard".to_owned(),
        phase: "active".to_owned(),
        isolation: "shared".to_owned(),
        region: Some("eu-central".to_owned()),
        allowed_regions: set(&["eu-central", "eu-west"]),
        labels: BTreeMap::from([("tier".to_owned(), "gold".to_owned())]),
        ..TenantFacts::default()
    }
}

pub const MANIFEST: &str = "name = 'acme'\nversion = '3'\n";

/// A rule that forbids an action on tenants.
pub fn forbid(name: &str, action: &str, condition: &str) -> String {
    format!(
        "@id(\"{name}\") @remedy(\"Do not.\") forbid (principal, action == Tenantry::Action::\"{action}\", resource is \
         Tenantry::Tenant) when {{ {condition} }};\n"
    )
}

pub fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

pub fn bundle(parts: &[(&str, &str)]) -> Bundle {
    Bundle::new(files(parts)).unwrap()
}

/// A bundle of the shipped rules and one that forbids to suspend.
pub fn strict(version: &str) -> Bundle {
    let manifest = format!("name = 'acme'\nversion = '{version}'\n");
    let rule = forbid("no-suspend", "tenant.suspend", "resource.plan == \"standard\"");
    bundle(&[("policy.toml", &manifest), ("own.cedar", &rule)])
}

pub fn engine(parts: &[(&str, &str)]) -> Engine {
    bundle(parts).compile().unwrap().engine
}

/// Everything that is wrong with a bundle, in one text.
pub fn complaints(parts: &[(&str, &str)]) -> String {
    let error = bundle(parts).compile().unwrap_err();
    assert_eq!(error.code().to_string(), "TEN-0076");
    error.complaints().iter().map(|one| format!("{}: {}\n", one.field, one.message)).collect()
}
