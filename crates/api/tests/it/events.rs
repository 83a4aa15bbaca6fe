//! The contract of events, written down: a schema per type and version, and the AsyncAPI document.
//!
//! `UPDATE=1 cargo nextest run -p tenantry-api events` writes the files anew, but no change that a reader of the same version
//! would fall over.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tenantry_api::v1::payload::{self, admits, asyncapi, check, grows, shape};
use tenantry_domain::event::Type;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn folder() -> PathBuf {
    docs().join(format!("events/v{}", payload::version()))
}

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

fn text(value: Value) -> String {
    serde_json::to_string_pretty(&sorted(value)).unwrap() + "\n"
}

/// A type's schema as it is published.
fn published(kind: Type) -> Value {
    let mut schema = (shape(kind).schema)();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["$id"] = json!(format!("https://docs.tenantry.dev/events/v{}/{kind}.json", payload::version()));
    schema
}

#[test]
fn the_schemas_are_the_ones_that_were_reviewed_and_only_grow() {
    let update = std::env::var_os("UPDATE").is_some();
    if update {
        std::fs::create_dir_all(folder()).unwrap();
    }
    for kind in Type::ALL {
        let path = folder().join(format!("{kind}.json"));
        let schema = published(*kind);
        if let Ok(before) = std::fs::read_to_string(&path) {
            let wrong = grows(&serde_json::from_str(&before).unwrap(), &schema);
            assert!(
                wrong.is_empty(),
                "{kind}: not without another version of the payloads (domain::webhook::PAYLOAD): {wrong:#?}"
            );
        }
        if update {
            std::fs::write(&path, text(schema.clone())).unwrap();
        }
        let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(reviewed, text(schema), "{kind}: if the change is meant, run again with UPDATE=1");
    }
    let names: BTreeSet<String> = Type::ALL.iter().map(|kind| format!("{kind}.json")).collect();
    let files: BTreeSet<String> =
        std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, names, "a type was taken away, or a file is left over");
}

#[test]
fn the_asyncapi_document_is_the_one_that_was_reviewed() {
    let (path, document) = (docs().join("asyncapi.json"), text(asyncapi()));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        reviewed == document,
        "docs/asyncapi.json is not of this release; if the change is meant, run again with UPDATE=1"
    );
    let document: Value = serde_json::from_str(&document).unwrap();
    for rest in reviewed.split("\"$ref\": \"#/").skip(1) {
        let pointer = rest.split('"').next().unwrap();
        assert!(document.pointer(&format!("/{pointer}")).is_some(), "{pointer} leads nowhere");
    }
    assert_eq!(document["components"]["messages"].as_object().unwrap().len(), Type::ALL.len());
}

#[test]
fn what_takes_away_renames_retypes_or_newly_requires_is_no_growth() {
    let old = published(Type::TenantCreated);
    let with = |change: fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        grows(&old, &new)
    };
    assert_eq!(with(|_| {}), Vec::<String>::new());
    assert_eq!(with(|new| new["properties"]["added"] = json!({ "type": "string" })), Vec::<String>::new());
    let refused: [fn(&mut Value); 6] = [
        |new| drop(new["properties"].as_object_mut().unwrap().remove("plan")),
        |new| {
            let plan = new["properties"].as_object_mut().unwrap().remove("plan").unwrap();
            new["properties"]["planName"] = plan;
        },
        |new| new["properties"]["slug"]["type"] = json!("integer"),
        |new| new["properties"]["slug"]["type"] = json!(["string", "null"]),
        |new| new["required"].as_array_mut().unwrap().push(json!("wanted")),
        |new| new["required"].as_array_mut().unwrap().retain(|name| name != "slug"),
    ];
    for (place, change) in refused.into_iter().enumerate() {
        assert!(!with(change).is_empty(), "{place}");
    }
    // Also below the surface, and in parts that are referred to.
    let old = published(Type::DriftDetected);
    let mut new = old.clone();
    new["$defs"]["Deviation"]["properties"]["repairable"]["type"] = json!("string");
    assert_eq!(grows(&old, &new).len(), 1, "{:?}", grows(&old, &new));
    let (old, mut new) = (published(Type::TenantActivated), published(Type::TenantActivated));
    new["properties"]["state"]["enum"].as_array_mut().unwrap().push(json!("frozen"));
    assert!(grows(&old, &new).is_empty(), "readers expect words that they do not know");
    assert!(!grows(&new, &old).is_empty());
}

#[test]
fn a_payload_that_breaks_its_promise_is_told() {
    let good = json!({ "slug": "acme", "plan": "p", "app": "a", "externalIds": { "stripe": "cus_1" }, "wanted": null });
    check(Type::TenantCreated, &good).unwrap();
    let with = |name: &str, value: Value| {
        let mut data = good.clone();
        data[name] = value;
        check(Type::TenantCreated, &data).map_err(|breach| breach.explain())
    };
    assert!(with("slug", json!(7)).unwrap_err().contains("invalid type"));
    assert!(with("email", json!("a@b.example")).unwrap_err().contains("`email`"), "undeclared");
    assert!(with("externalIds", json!({ "stripe": 1 })).is_err());
    assert!(check(Type::TenantCreated, &json!({ "slug": "acme" })).unwrap_err().explain().contains("missing field"));
    let drift =
        json!({ "slug": "acme", "findings": [{ "kind": "k", "object": "o", "repairable": true, "row": "secret" }] });
    assert!(check(Type::DriftDetected, &drift).unwrap_err().explain().contains("findings[0].row"));
    // What serde lets pass and the schema does not.
    let flag = json!({ "flag": "f", "version": 1, "off": false, "removed": false, "percent": 101 });
    assert!(check(Type::FlagUpdated, &flag).unwrap_err().explain().contains("maximum"));
    assert!(
        admits(&json!({ "pattern": "x" }), &json!("y")).is_err(),
        "a word that is not understood lets nothing pass"
    );
}
