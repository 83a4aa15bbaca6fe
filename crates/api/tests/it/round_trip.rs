//! What is shown can be sent back, and the schema knows exactly the fields that the parser knows.

use serde_json::{Value, json};
use tenantry_api::manifest::{Format, parse, parse_text};
use tenantry_api::v1::catalog::{AppSpec, CellSpec, PlanSpec, RegionSpec};
use tenantry_api::v1::tenant::TenantSpec;
use tenantry_api::v1::usage::MeterSpec;
use tenantry_domain::manifest::Manifest;

const ALL: &str = r#"
apiVersion: tenantry.dev/v1
kind: App
metadata: { name: chat }
spec: { migrations: { files: [{ name: a.sql, sql: select 1 }] }, tenantKey: tenant_id, referenceTables: [countries] }
---
apiVersion: tenantry.dev/v1
kind: App
metadata: { name: shop }
spec: { migrations: { exec: make migrate, directory: /srv }, tenantKey: null }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: standard }
spec:
  isolation: schema
  default: true
  quotas: { users: 100, storage: 50Gi, events: 1000000/month, seats: unlimited, odd: 1024, zero: 0 }
  rateLimits: { api: 1000/min }
  features: { ai: true, tier: gold, limits: { a: 1 } }
  backup: { retention: 30d }
  slo: { availability: "99.5%" }
  support: ticket
  archiveRetention: 30d
---
apiVersion: tenantry.dev/v1
kind: Region
metadata: { name: eu-west }
spec: { description: Ireland }
---
apiVersion: tenantry.dev/v1
kind: Cell
metadata: { name: eu-west-1 }
spec:
  region: eu-west
  kind: dedicated
  database: { urlFrom: { file: /run/secrets/url } }
  standbys: [{ urlFrom: { env: STANDBY_URL } }]
  draining: true
  encryption: atRest
  promises: { storage: 2Ti, connections: 400, odd: 1025 }
---
apiVersion: tenantry.dev/v1
kind: Meter
metadata: { name: egress }
spec: { description: Bytes that left, unit: byte, aggregation: sum, value: bytes, dimensions: [region], quota: egress }
---
apiVersion: tenantry.dev/v1
kind: Tenant
metadata: { name: acme, labels: { segment: smb } }
spec:
  displayName: Acme GmbH
  app: chat
  plan: standard
  state: suspended
  suspension: { reason: compliance, note: a court order }
  residency: { allowedRegions: [eu-west], preferredRegion: eu-west, flags: [gdpr] }
  contacts:
    technical: [{ name: Ops, email: ops@acme.example, confirmedAt: 2026-01-01T10:00:00Z }]
    billing: [{ name: Fin, email: fin@acme.example }]
    incident: [{ name: Sec, email: sec@acme.example }]
  externalIds: { stripe: cus_123 }
  aliases: ["4711"]
  domains: [chat.acme.example]
  settings: { locale: de-DE, nested: { list: [1, 2.5, null, true] } }
  commercial: { status: trial, trialEnds: 2027-01-01, subscriptionEnds: 2028-01-01 }
  business: { size: large, arr: 12000, regulated: true, spiky: true, importance: critical, synthetic: true }
  overrides:
    quotas: { users: { value: 150, reason: pilot, until: 2027-03-31 } }
    rateLimits: { api: { value: 10/s, reason: import } }
    features: { ai: { value: false, reason: privacy } }
    isolation: { value: database, reason: contract }
"#;

fn shown(manifest: &Manifest) -> Value {
    let (spec, labels) = match manifest {
        Manifest::App { spec, .. } => (json!(AppSpec::from(spec)), None),
        Manifest::Plan { spec, .. } => (json!(PlanSpec::from(spec)), None),
        Manifest::Region { spec, .. } => (json!(RegionSpec::from(spec)), None),
        Manifest::Cell { spec, .. } => (json!(CellSpec::from(spec)), None),
        Manifest::Meter { spec, .. } => (json!(MeterSpec::from(spec)), None),
        Manifest::Tenant { spec, .. } => (json!(TenantSpec::from(spec)), Some(&spec.labels)),
    };
    let mut metadata = json!({ "name": manifest.name() });
    if let Some(labels) = labels {
        metadata["labels"] = json!(labels);
    }
    json!({ "apiVersion": "tenantry.dev/v1", "kind": manifest.kind(), "metadata": metadata, "spec": spec, "status": {"version": 1} })
}

#[test]
fn what_is_shown_can_be_applied_again() {
    let first = parse_text(ALL.as_bytes(), Format::Yaml, None).unwrap();
    let documents: Vec<Value> = first.iter().map(|document| shown(&document.manifest)).collect();
    assert_eq!(parse(&documents, None).unwrap(), first);
    // JSON of the shapes reads into the shapes: what a client gets is what a server sent.
    for (document, value) in first.iter().zip(&documents) {
        let spec = value["spec"].clone();
        match &document.manifest {
            Manifest::App { spec: it, .. } => {
                assert_eq!(serde_json::from_value::<AppSpec>(spec).unwrap(), AppSpec::from(it))
            }
            Manifest::Plan { spec: it, .. } => {
                assert_eq!(serde_json::from_value::<PlanSpec>(spec).unwrap(), PlanSpec::from(it))
            }
            Manifest::Region { spec: it, .. } => {
                assert_eq!(serde_json::from_value::<RegionSpec>(spec).unwrap(), RegionSpec::from(it))
            }
            Manifest::Cell { spec: it, .. } => {
                assert_eq!(serde_json::from_value::<CellSpec>(spec).unwrap(), CellSpec::from(it))
            }
            Manifest::Meter { spec: it, .. } => {
                assert_eq!(serde_json::from_value::<MeterSpec>(spec).unwrap(), MeterSpec::from(it))
            }
            Manifest::Tenant { spec: it, .. } => {
                assert_eq!(serde_json::from_value::<TenantSpec>(spec).unwrap(), TenantSpec::from(it))
            }
        }
    }
}

/// The parser tells its known fields when it meets an unknown one; the schema must have the same.
#[test]
fn schema_and_parser_know_the_same_fields() {
    use utoipa::PartialSchema;
    let kinds = [
        ("Tenant", TenantSpec::schema()),
        ("Plan", PlanSpec::schema()),
        ("Region", RegionSpec::schema()),
        ("Cell", CellSpec::schema()),
        ("App", AppSpec::schema()),
        ("Meter", MeterSpec::schema()),
    ];
    for (kind, schema) in kinds {
        let schema = serde_json::to_value(schema).unwrap();
        let mut documented: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        documented.sort();
        let document = json!({"apiVersion": "tenantry.dev/v1", "kind": kind, "metadata": {"name": "nnnn"}, "spec": {"xxxxxxxxxxxx": 1}});
        let error = parse(&[document], None).unwrap_err();
        let known = error
            .errors
            .iter()
            .find_map(|error| error.message.strip_prefix("is not a known field; known are "))
            .unwrap();
        let mut known: Vec<String> = known.split(", ").map(ToOwned::to_owned).collect();
        known.sort();
        assert_eq!(documented, known, "{kind}");
    }
}
