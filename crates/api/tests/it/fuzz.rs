//! Nonsense is refused, never a reason to stop: any text, any tree, any damage of a good document.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tenantry_api::manifest::{Format, parse, parse_text};
use tenantry_api::problem::MAX_ERRORS;

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        prop::sample::select(vec![
            "active",
            "suspended",
            "chat",
            "eu-west",
            "50Gi",
            "1000/min",
            "99.5%",
            "2027-01-01",
            "a.sql"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name = prop_oneof!["\\PC{0,8}", prop::sample::select(FIELDS.to_vec()).prop_map(ToOwned::to_owned)];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

const FIELDS: &[&str] = &[
    "displayName",
    "app",
    "plan",
    "state",
    "suspension",
    "residency",
    "allowedRegions",
    "preferredRegion",
    "contacts",
    "billing",
    "name",
    "email",
    "externalIds",
    "aliases",
    "domains",
    "settings",
    "overrides",
    "quotas",
    "value",
    "reason",
    "until",
    "isolation",
    "rateLimits",
    "features",
    "backup",
    "retention",
    "slo",
    "availability",
    "region",
    "kind",
    "database",
    "urlFrom",
    "env",
    "file",
    "capacity",
    "shared",
    "migrations",
    "files",
    "sql",
    "exec",
    "tenantKey",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_tree_is_parsed_or_refused(kind in prop::sample::select(vec!["App", "Plan", "Region", "Cell", "Meter", "Tenant", "Other"]), spec in tree(), metadata in tree()) {
        let document = json!({ "apiVersion": "tenantry.dev/v1", "kind": kind, "metadata": metadata, "spec": spec });
        let named = json!({ "apiVersion": "tenantry.dev/v1", "kind": kind, "metadata": { "name": "acme" }, "spec": spec });
        for document in [document, named] {
            if let Err(rejection) = parse(&[document], None) {
                prop_assert!(!rejection.errors.is_empty() && rejection.errors.len() <= MAX_ERRORS);
                prop_assert!(!rejection.hint.is_empty() && !rejection.detail.is_empty());
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}", yaml in "[a-z:{}\\[\\]&*!|>%@`'\"#?,\\- \\n\\t0-9]{0,200}") {
        for text in [text, yaml] {
            for format in [Format::Yaml, Format::Json] {
                let _ = parse_text(text.as_bytes(), format, None);
            }
        }
    }

    #[test]
    fn damage_of_a_good_document_is_survived(place in 0usize..400, byte: u8, cut in 0usize..400) {
        let good = "apiVersion: tenantry.dev/v1\nkind: Tenant\nmetadata: { name: acme, labels: { a: b } }\nspec:\n  displayName: Acme\n  app: chat\n  plan: standard\n  state: active\n  residency: { allowedRegions: [eu-west] }\n  contacts:\n    billing: [{ name: F, email: f@acme.example }]\n";
        let mut bytes = good.as_bytes().to_vec();
        let place = place % bytes.len();
        bytes[place] = byte;
        let _ = parse_text(&bytes, Format::Yaml, None);
        bytes.truncate(cut);
        let _ = parse_text(&bytes, Format::Yaml, None);
    }
}
