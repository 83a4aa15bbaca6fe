//! The contract, written down: a change of it shows up as a change of `openapi.snap`.
//!
//! `UPDATE=1 cargo nextest run -p tenantry-server openapi` writes the file anew.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tenantry_domain::code::Code;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// Members by name: whether they keep their order depends on what else is built.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(members) => {
            let members: std::collections::BTreeMap<_, _> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.into_iter().collect()
        }
        other => other,
    }
}

#[test]
fn the_document_is_the_one_that_was_reviewed() {
    let document = serde_json::to_string_pretty(&sorted(tenantry_server::openapi::document())).unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/openapi.snap");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &document).unwrap();
    }
    let reviewed = std::fs::read_to_string(&file).unwrap_or_default();
    if document != reviewed {
        let place = document.lines().zip(reviewed.lines()).position(|(new, old)| new != old).unwrap_or_default();
        let shown = |text: &str| text.lines().skip(place.saturating_sub(2)).take(6).collect::<Vec<_>>().join("\n");
        panic!(
            "the contract changed at line {}:\n{}\ninstead of\n{}\nIf that is meant, run again with UPDATE=1.",
            place + 1,
            shown(&document),
            shown(&reviewed)
        );
    }
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                found.push((path.clone(), method.to_owned(), operation.clone()));
            }
        }
    }
    found
}

#[test]
fn every_operation_is_described_in_full() {
    let document = tenantry_server::openapi::document();
    let mut ids = BTreeSet::new();
    let all = operations(&document);
    assert!(all.len() >= 55, "{}", all.len());
    for (path, method, operation) in all {
        let at = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}: the id is given twice");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{at}");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{at}: no summary");
        assert!(!path.contains('@'), "{at}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{at}");
        for status in ["405", "500", "503"] {
            assert!(responses.contains_key(status), "{at}: {status}");
        }
        let is_open = operation.get("security").is_some();
        assert_eq!(is_open, !responses.contains_key("401"), "{at}");
        let names: BTreeSet<_> = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let declared: BTreeSet<_> =
            parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(names, declared, "{at}");
        for parameter in &parameters {
            assert!(parameter["description"].as_str().is_some_and(|text| !text.is_empty()), "{at}: {parameter}");
        }
        for (status, response) in responses {
            assert!(
                response.get("$ref").is_some() || response["headers"].get("X-Correlation-Id").is_some(),
                "{at} {status}"
            );
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = tenantry_server::openapi::document();
    let text = document.to_string();
    let mut used = BTreeSet::new();
    for rest in text.split("\"$ref\":\"#/").skip(1) {
        let pointer = rest.split('"').next().unwrap();
        assert!(document.pointer(&format!("/{pointer}")).is_some(), "{pointer} leads nowhere");
        used.insert(pointer.to_owned());
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(used.contains(&format!("components/schemas/{name}")), "{name} is used nowhere");
    }
}

#[test]
fn every_code_has_a_page_and_the_page_its_number() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let list = std::fs::read_to_string(pages.join("README.md")).unwrap();
    for code in Code::ALL {
        let page = std::fs::read_to_string(pages.join(format!("{code}.md"))).unwrap_or_default();
        assert!(page.starts_with(&format!("# {code}")), "{code} has no page");
        assert!(page.contains(&format!("\"code\": \"{code}\"")), "{code}: the page shows no example");
        let (status, exit) = (code.kind().status(), code.kind().exit());
        let row = format!("| [{code}]({code}.md) | {status} | {exit} | {} |", code.title());
        assert!(list.contains(&row), "{code}: the list lacks `{row}`");
    }
}
