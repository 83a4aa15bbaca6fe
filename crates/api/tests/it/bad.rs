//! Every way to get a manifest wrong that we could think of: each has its code, its field and a hint.

use tenantry_api::manifest::{Format, parse_text};
use tenantry_domain::name::EnvironmentName;

/// A good tenant; each case changes one thing of it.
const TENANT: &str = "\
apiVersion: tenantry.dev/v1
kind: Tenant
metadata: { name: acme, environment: prod, labels: { segment: smb } }
spec:
  displayName: Acme GmbH
  app: chat
  plan: standard
  state: active
  residency: { allowedRegions: [eu-west, eu-north], preferredRegion: eu-west }
  contacts: { billing: [{ name: Finance, email: fin@acme.example }] }
  externalIds: { stripe: cus_123 }
  domains: [chat.acme.example]
  settings: { locale: de-DE }
  overrides: { quotas: { users: { value: 150, reason: pilot, until: 2027-03-31 } } }
";
const PLAN: &str = "\
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: standard }
spec:
  isolation: schema
  quotas: { users: 100, storage: 50Gi, events: 1000000/month, seats: unlimited }
  rateLimits: { api: 1000/min }
  features: { ai: true }
  backup: { retention: 30d }
  slo: { availability: \"99.5%\" }
";
const CELL: &str = "\
apiVersion: tenantry.dev/v1
kind: Cell
metadata: { name: eu-west-1 }
spec:
  region: eu-west
  kind: pooled
  database: { urlFrom: { env: EU_WEST_1_URL } }
  capacity: { shared: 1000, schema: 100, database: 50 }
  promises: { storage: 2Ti }
";
const APP: &str = "\
apiVersion: tenantry.dev/v1
kind: App
metadata: { name: chat }
spec:
  migrations: { files: [{ name: 0001_init.sql, sql: create table a () }, { name: 0002_b.sql, sql: select 1 }] }
  tenantKey: tenant_id
  referenceTables: [countries]
";

fn refuse(text: &str) -> tenantry_api::Rejection {
    let environment = EnvironmentName::parse("prod").unwrap();
    match parse_text(text.as_bytes(), Format::Yaml, Some(&environment)) {
        Err(rejection) => rejection,
        Ok(documents) => panic!("accepted: {text}\n{documents:?}"),
    }
}

/// The case must differ from the good document, else it proves nothing.
fn with(good: &str, from: &str, to: &str) -> String {
    assert!(good.contains(from), "the good document does not hold `{from}`");
    good.replacen(from, to, 1)
}

#[test]
fn the_good_ones_are_good() {
    let environment = EnvironmentName::parse("prod").unwrap();
    let all = [TENANT, PLAN, CELL, APP].join("---\n");
    assert_eq!(parse_text(all.as_bytes(), Format::Yaml, Some(&environment)).unwrap().len(), 4);
}

#[test]
fn each_wrong_field_is_named() {
    let long = "a".repeat(300);
    let many = |item: &str, count: usize| vec![item; count].join(", ");
    let numbered = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(", ");
    let deep = format!("{}1{}", "[".repeat(17), "]".repeat(17));
    let cases: Vec<(&str, &str, &str, String, &str)> = vec![
        // frame
        ("TEN-0003", "apiVersion", TENANT, "apiVersion: tenantry.dev/v2\n".into(), "apiVersion: tenantry.dev/v1\n"),
        ("TEN-0003", "apiVersion", TENANT, String::new(), "apiVersion: tenantry.dev/v1\n"),
        ("TEN-0003", "apiVersion", TENANT, "apiVersion: 1\n".into(), "apiVersion: tenantry.dev/v1\n"),
        ("TEN-0003", "kind", TENANT, "kind: Customer".into(), "kind: Tenant"),
        ("TEN-0003", "kind", TENANT, "kind: tenant".into(), "kind: Tenant"),
        (
            "TEN-0001",
            "metadata",
            TENANT,
            "metadata: acme".into(),
            "metadata: { name: acme, environment: prod, labels: { segment: smb } }",
        ),
        (
            "TEN-0001",
            "metadata",
            TENANT,
            String::new(),
            "metadata: { name: acme, environment: prod, labels: { segment: smb } }\n",
        ),
        ("TEN-0001", "metadata.owner", TENANT, "owner: me, labels".into(), "labels"),
        ("TEN-0001", "extra", TENANT, "extra: 1\nkind".into(), "kind"),
        ("TEN-0001", "status", TENANT, "status: 1\nkind".into(), "kind"),
        // names
        ("TEN-0001", "metadata.name", TENANT, "{ environment".into(), "{ name: acme, environment"),
        ("TEN-0001", "metadata.name", TENANT, "name: \"\"".into(), "name: acme"),
        ("TEN-0001", "metadata.name", TENANT, "name: Acme".into(), "name: acme"),
        ("TEN-0001", "metadata.name", TENANT, "name: ac".into(), "name: acme"),
        ("TEN-0001", "metadata.name", TENANT, format!("name: {}", "a".repeat(41)), "name: acme"),
        ("TEN-0001", "metadata.name", TENANT, "name: acme-".into(), "name: acme"),
        ("TEN-0001", "metadata.name", TENANT, "name: ac--me".into(), "name: acme"),
        ("TEN-0001", "metadata.name", TENANT, "name: xn--acme".into(), "name: acme"),
        ("TEN-0001", "metadata.name", TENANT, "name: admin".into(), "name: acme"),
        ("TEN-0001", "metadata.name", TENANT, "name: adm1n".into(), "name: acme"),
        ("TEN-0001", "metadata.name", TENANT, "name: \"12345\"".into(), "name: acme"),
        ("TEN-0001", "metadata.name", TENANT, "name: 12345".into(), "name: acme"),
        ("TEN-0001", "metadata.name", TENANT, "name: аcme".into(), "name: acme"),
        ("TEN-0001", "metadata.environment", TENANT, "environment: staging".into(), "environment: prod"),
        ("TEN-0001", "metadata.environment", TENANT, "environment: Prod!".into(), "environment: prod"),
        ("TEN-0001", "metadata.labels", PLAN, "{ name: standard, labels: { a: b } }".into(), "{ name: standard }"),
        // labels
        ("TEN-0001", "metadata.labels.segment", TENANT, "segment: 1".into(), "segment: smb"),
        ("TEN-0001", "metadata.labels[\"a b\"]", TENANT, "\"a b\": smb".into(), "segment: smb"),
        ("TEN-0001", "metadata.labels.segment", TENANT, format!("segment: {long}"), "segment: smb"),
        ("TEN-0001", "metadata.labels", TENANT, numbered(65, &|i| format!("l{i}: x")), "segment: smb"),
        // spec
        ("TEN-0001", "spec.displayName", TENANT, String::new(), "  displayName: Acme GmbH\n"),
        ("TEN-0001", "spec.displayName", TENANT, "displayName: 7".into(), "displayName: Acme GmbH"),
        ("TEN-0001", "spec.displayName", TENANT, "displayName: \"  \"".into(), "displayName: Acme GmbH"),
        ("TEN-0001", "spec.displayName", TENANT, format!("displayName: {long}"), "displayName: Acme GmbH"),
        ("TEN-0001", "spec.displayName", TENANT, "displayName: \"a\\u001bb\"".into(), "displayName: Acme GmbH"),
        ("TEN-0001", "spec.app", TENANT, "app: Chat".into(), "app: chat"),
        ("TEN-0001", "spec.plan", TENANT, "plan: [standard]".into(), "plan: standard"),
        ("TEN-0001", "spec.state", TENANT, "state: deleted".into(), "state: active"),
        ("TEN-0001", "spec.state", TENANT, "state: aktive".into(), "state: active"),
        ("TEN-0001", "spec.state", TENANT, String::new(), "  state: active\n"),
        ("TEN-0001", "spec.suspension", TENANT, "state: suspended".into(), "state: active"),
        (
            "TEN-0001",
            "spec.suspension",
            TENANT,
            "state: active\n  suspension: { reason: commercial }".into(),
            "state: active",
        ),
        (
            "TEN-0001",
            "spec.suspension.reason",
            TENANT,
            "state: suspended\n  suspension: { reason: angry }".into(),
            "state: active",
        ),
        ("TEN-0001", "spec.deletion", TENANT, "state: active\n  deletion: { reason: x }".into(), "state: active"),
        ("TEN-0001", "spec.seats", TENANT, "state: active\n  seats: 20".into(), "state: active"),
        (
            "TEN-0001",
            "spec.residency",
            TENANT,
            String::new(),
            "  residency: { allowedRegions: [eu-west, eu-north], preferredRegion: eu-west }\n",
        ),
        (
            "TEN-0001",
            "spec.residency.allowedRegions",
            TENANT,
            "allowedRegions: []".into(),
            "allowedRegions: [eu-west, eu-north]",
        ),
        (
            "TEN-0001",
            "spec.residency.allowedRegions",
            TENANT,
            "allowedRegions: eu-west".into(),
            "allowedRegions: [eu-west, eu-north]",
        ),
        (
            "TEN-0001",
            "spec.residency.allowedRegions[1]",
            TENANT,
            "allowedRegions: [eu-west, eu-west]".into(),
            "allowedRegions: [eu-west, eu-north]",
        ),
        (
            "TEN-0001",
            "spec.residency.allowedRegions[1]",
            TENANT,
            "allowedRegions: [eu-west, EU]".into(),
            "allowedRegions: [eu-west, eu-north]",
        ),
        (
            "TEN-0001",
            "spec.residency.preferredRegion",
            TENANT,
            "preferredRegion: us-east".into(),
            "preferredRegion: eu-west",
        ),
        (
            "TEN-0001",
            "spec.contacts.billing[0].email",
            TENANT,
            "email: finance at acme".into(),
            "email: fin@acme.example",
        ),
        (
            "TEN-0001",
            "spec.contacts.billing[0].email",
            TENANT,
            "name: B".into(),
            "name: Finance, email: fin@acme.example",
        ),
        ("TEN-0001", "spec.contacts.billing[0].phone", TENANT, "name: Finance, phone: 1".into(), "name: Finance"),
        (
            "TEN-0001",
            "spec.contacts.billing",
            TENANT,
            many("{ name: F, email: a@b.example }", 21),
            "{ name: Finance, email: fin@acme.example }",
        ),
        (
            "TEN-0001",
            "spec.contacts.legal",
            TENANT,
            "legal: []".into(),
            "billing: [{ name: Finance, email: fin@acme.example }]",
        ),
        ("TEN-0001", "spec.externalIds.stripe", TENANT, "stripe: 123".into(), "stripe: cus_123"),
        ("TEN-0001", "spec.externalIds.stripe", TENANT, format!("stripe: {long}"), "stripe: cus_123"),
        ("TEN-0001", "spec.externalIds[\"a:b\"]", TENANT, "\"a:b\": cus_123".into(), "stripe: cus_123"),
        (
            "TEN-0001",
            "spec.domains[0]",
            TENANT,
            "domains: [\"https://chat.acme.example\"]".into(),
            "domains: [chat.acme.example]",
        ),
        ("TEN-0001", "spec.domains[0]", TENANT, "domains: [\"*.acme.example\"]".into(), "domains: [chat.acme.example]"),
        ("TEN-0001", "spec.domains[0]", TENANT, "domains: [Chat.acme.example]".into(), "domains: [chat.acme.example]"),
        ("TEN-0001", "spec.domains[0]", TENANT, "domains: [chat.acme.example.]".into(), "domains: [chat.acme.example]"),
        ("TEN-0001", "spec.domains[0]", TENANT, "domains: [bücher.example]".into(), "domains: [chat.acme.example]"),
        ("TEN-0001", "spec.domains[0]", TENANT, "domains: [xn--a.example]".into(), "domains: [chat.acme.example]"),
        ("TEN-0001", "spec.domains[0]", TENANT, "domains: [xn--bcher-.example]".into(), "domains: [chat.acme.example]"),
        ("TEN-0001", "spec.domains[0]", TENANT, "domains: [xn--acme-.example]".into(), "domains: [chat.acme.example]"),
        ("TEN-0001", "spec.domains[0]", TENANT, "domains: [acme.localhost]".into(), "domains: [chat.acme.example]"),
        ("TEN-0001", "spec.domains[0]", TENANT, "domains: [localhost]".into(), "domains: [chat.acme.example]"),
        ("TEN-0001", "spec.domains[0]", TENANT, "domains: [192.168.0.1]".into(), "domains: [chat.acme.example]"),
        (
            "TEN-0001",
            "spec.domains[0]",
            TENANT,
            format!("domains: [{}.example]", "a.".repeat(130).trim_end_matches('.')),
            "domains: [chat.acme.example]",
        ),
        (
            "TEN-0001",
            "spec.domains",
            TENANT,
            format!("domains: [{}]", numbered(21, &|i| format!("d{i}.acme.example"))),
            "domains: [chat.acme.example]",
        ),
        (
            "TEN-0001",
            "spec.domains[1]",
            TENANT,
            "domains: [a.example, a.example]".into(),
            "domains: [chat.acme.example]",
        ),
        (
            "TEN-0001",
            "spec.aliases[0]",
            TENANT,
            format!("aliases: [{}]", "a".repeat(51)),
            "domains: [chat.acme.example]",
        ),
        ("TEN-0001", "spec.settings", TENANT, "settings: []".into(), "settings: { locale: de-DE }"),
        (
            "TEN-0001",
            "spec.settings",
            TENANT,
            format!("settings: {{ big: \"{}\" }}", "x".repeat(65 * 1024)),
            "settings: { locale: de-DE }",
        ),
        ("TEN-0001", "spec.settings", TENANT, format!("settings: {{ deep: {deep} }}"), "settings: { locale: de-DE }"),
        (
            "TEN-0001",
            "spec.commercial.status",
            TENANT,
            "commercial: { status: rich }".into(),
            "settings: { locale: de-DE }",
        ),
        (
            "TEN-0001",
            "spec.commercial.trialEnds",
            TENANT,
            "commercial: { trialEnds: soon }".into(),
            "settings: { locale: de-DE }",
        ),
        ("TEN-0001", "spec.business.arr", TENANT, "business: { arr: -1 }".into(), "settings: { locale: de-DE }"),
        (
            "TEN-0001",
            "spec.business.regulated",
            TENANT,
            "business: { regulated: yes }".into(),
            "settings: { locale: de-DE }",
        ),
        (
            "TEN-0001",
            "spec.overrides.quotas.users.reason",
            TENANT,
            "{ value: 150 }".into(),
            "{ value: 150, reason: pilot, until: 2027-03-31 }",
        ),
        ("TEN-0001", "spec.overrides.quotas.users.reason", TENANT, "reason: \"\"".into(), "reason: pilot"),
        ("TEN-0001", "spec.overrides.quotas.users.value", TENANT, "value: many".into(), "value: 150"),
        ("TEN-0001", "spec.overrides.quotas.users.until", TENANT, "until: tomorrow".into(), "until: 2027-03-31"),
        (
            "TEN-0001",
            "spec.overrides.quotas.users",
            TENANT,
            "users: 150".into(),
            "users: { value: 150, reason: pilot, until: 2027-03-31 }",
        ),
        (
            "TEN-0001",
            "spec.overrides.isolation.value",
            TENANT,
            "overrides: { isolation: { value: galaxy, reason: x } }".into(),
            "overrides: { quotas: { users: { value: 150, reason: pilot, until: 2027-03-31 } } }",
        ),
        // plans
        ("TEN-0001", "spec.isolation", PLAN, "isolation: namespace".into(), "isolation: schema"),
        ("TEN-0001", "spec.isolation", PLAN, String::new(), "  isolation: schema\n"),
        ("TEN-0001", "spec.quotas.users", PLAN, "users: -5".into(), "users: 100"),
        ("TEN-0001", "spec.quotas.users", PLAN, "users: 1.5".into(), "users: 100"),
        ("TEN-0001", "spec.quotas.users", PLAN, "users: true".into(), "users: 100"),
        ("TEN-0001", "spec.quotas.storage", PLAN, "storage: 50 gigabytes".into(), "storage: 50Gi"),
        ("TEN-0001", "spec.quotas.storage", PLAN, "storage: 99999999999Ti".into(), "storage: 50Gi"),
        ("TEN-0001", "spec.quotas.events", PLAN, "events: 10/fortnight".into(), "events: 1000000/month"),
        ("TEN-0001", "spec.quotas.9lives", PLAN, "9lives: 1".into(), "users: 100"),
        ("TEN-0001", "spec.rateLimits.api", PLAN, "api: 1000".into(), "api: 1000/min"),
        ("TEN-0001", "spec.backup.retention", PLAN, "retention: 30".into(), "retention: 30d"),
        ("TEN-0001", "spec.backup.retention", PLAN, "retention: 0d".into(), "retention: 30d"),
        ("TEN-0001", "spec.slo.availability", PLAN, "availability: 99.5".into(), "availability: \"99.5%\""),
        ("TEN-0001", "spec.slo.availability", PLAN, "availability: \"101%\"".into(), "availability: \"99.5%\""),
        ("TEN-0001", "spec.features.ai", PLAN, format!("ai: \"{}\"", "x".repeat(5000)), "ai: true"),
        ("TEN-0001", "spec.feature", PLAN, "feature: { ai: true }".into(), "features: { ai: true }"),
        // cells
        (
            "TEN-0001",
            "spec.database.url",
            CELL,
            "database: { url: \"postgres://u:hunter2@db/x\" }".into(),
            "database: { urlFrom: { env: EU_WEST_1_URL } }",
        ),
        (
            "TEN-0001",
            "spec.database",
            CELL,
            "database: \"postgres://u:hunter2@db/x\"".into(),
            "database: { urlFrom: { env: EU_WEST_1_URL } }",
        ),
        (
            "TEN-0001",
            "spec.database.urlFrom",
            CELL,
            "database: { urlFrom: \"postgres://u:hunter2@db/x\" }".into(),
            "database: { urlFrom: { env: EU_WEST_1_URL } }",
        ),
        (
            "TEN-0001",
            "spec.database.urlFrom.env",
            CELL,
            "env: \"postgres://u:hunter2@db/x\"".into(),
            "env: EU_WEST_1_URL",
        ),
        ("TEN-0001", "spec.promises.storage", CELL, "storage: unlimited".into(), "storage: 2Ti"),
        ("TEN-0001", "spec.promises.storage", CELL, "storage: 5/month".into(), "storage: 2Ti"),
        ("TEN-0001", "spec.promises.storage", CELL, "storage: much".into(), "storage: 2Ti"),
        ("TEN-0001", "spec.database.urlFrom.file", CELL, "file: ../secret".into(), "env: EU_WEST_1_URL"),
        ("TEN-0001", "spec.database.urlFrom.file", CELL, "env: X, file: /x".into(), "env: EU_WEST_1_URL"),
        ("TEN-0001", "spec.database.urlFrom.env", CELL, "urlFrom: {}".into(), "urlFrom: { env: EU_WEST_1_URL }"),
        ("TEN-0001", "spec.database", CELL, String::new(), "  database: { urlFrom: { env: EU_WEST_1_URL } }\n"),
        ("TEN-0001", "spec.capacity", CELL, String::new(), "  capacity: { shared: 1000, schema: 100, database: 50 }\n"),
        ("TEN-0001", "spec.capacity.shared", CELL, "shared: -1".into(), "shared: 1000"),
        ("TEN-0001", "spec.capacity.shared", CELL, "shared: 4294967296".into(), "shared: 1000"),
        ("TEN-0001", "spec.capacity.cluster", CELL, "cluster: 1".into(), "shared: 1000"),
        ("TEN-0001", "spec.kind", CELL, "kind: private".into(), "kind: pooled"),
        ("TEN-0001", "spec.region", CELL, "region: EU".into(), "region: eu-west"),
        // apps
        (
            "TEN-0001",
            "spec.migrations.path",
            APP,
            "migrations: { path: ./migrations }".into(),
            "migrations: { files: [{ name: 0001_init.sql, sql: create table a () }, { name: 0002_b.sql, sql: select 1 }] }",
        ),
        (
            "TEN-0001",
            "spec.migrations",
            APP,
            "migrations: {}".into(),
            "migrations: { files: [{ name: 0001_init.sql, sql: create table a () }, { name: 0002_b.sql, sql: select 1 }] }",
        ),
        (
            "TEN-0001",
            "spec.migrations.files",
            APP,
            "files: []".into(),
            "files: [{ name: 0001_init.sql, sql: create table a () }, { name: 0002_b.sql, sql: select 1 }]",
        ),
        ("TEN-0001", "spec.migrations.exec", APP, "exec: make, files".into(), "files"),
        ("TEN-0001", "spec.migrations.directory", APP, "directory: x, files".into(), "files"),
        ("TEN-0001", "spec.migrations.files[0].name", APP, "../0001.sql".into(), "0001_init.sql"),
        ("TEN-0001", "spec.migrations.files[0].name", APP, "0001_init.txt".into(), "0001_init.sql"),
        ("TEN-0001", "spec.migrations.files[1].name", APP, "0000_b.sql".into(), "0002_b.sql"),
        ("TEN-0001", "spec.migrations.files[1].name", APP, "0001_init.sql".into(), "0002_b.sql"),
        ("TEN-0001", "spec.migrations.files[1].sql", APP, "sql: \" \"".into(), "sql: select 1"),
        ("TEN-0001", "spec.tenantKey", APP, String::new(), "  tenantKey: tenant_id\n"),
        ("TEN-0001", "spec.tenantKey", APP, "tenantKey: tenant id".into(), "tenantKey: tenant_id"),
        ("TEN-0001", "spec.referenceTables[0]", APP, "[\"countries; drop\"]".into(), "[countries]"),
        ("TEN-0001", "spec.referenceTables[1]", APP, "[countries, countries]".into(), "[countries]"),
    ];
    assert!(cases.len() >= 60);
    for (code, field, good, to, from) in cases {
        let text = with(good, from, &to);
        let rejection = refuse(&text);
        assert_eq!(rejection.code.to_string(), code, "{to}: {rejection:?}");
        let named: Vec<_> = rejection.errors.iter().map(|error| error.field.as_str()).collect();
        assert!(named.contains(&field), "{to}: {field} is not among {named:?}");
        assert!(!rejection.hint.is_empty(), "{to}");
        assert!(
            rejection.errors.iter().all(|error| error.message.contains("(line ")
                || error.field == "metadata"
                || error.message.starts_with("is required")),
            "{to}: {rejection:?}"
        );
        let shown = format!("{rejection:?}");
        assert!(!shown.contains("hunter2"), "a secret is repeated: {shown}");
    }
}

#[test]
fn what_cannot_be_read_says_where() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let cases: Vec<(String, &str)> = vec![
        (with(TENANT, "[eu-west, eu-north]", "[eu-west, eu-north"), "line "),
        (with(TENANT, "  state: active", "  state: active\n  state: draft"), "line 9"),
        (with(TENANT, "  app: chat", "\tapp: chat"), "line "),
        (with(TENANT, "spec:", "spec"), "line "),
        (with(TENANT, "locale: de-DE", "locale: *nothing"), "line "),
        (with(TENANT, "locale: de-DE", "locale: \"a\\0b\""), "U+0000"),
        (with(TENANT, "locale: de-DE", "locale: .inf"), "line "),
        (with(TENANT, "locale: de-DE", "locale: !!python/object x"), "line "),
        (bomb.to_owned(), "line "),
        (format!("a: {}{}", "[".repeat(100), "]".repeat(100)), "line 1"),
        (format!("{}x", "- ".repeat(5000)), "line 1"),
        (format!("a: {}", "{b: ".repeat(100_000)), "line 1"),
        ("&a [*a]".to_owned(), "line 1"),
        (String::new(), "no document"),
        ("# only a comment\n---\n---\n".to_owned(), "no document"),
        ("\u{0}".to_owned(), ""),
        ("%YAML 9.9\n---\na: b: c".to_owned(), "line "),
    ];
    for (text, place) in cases {
        let rejection = refuse(&text);
        let head: String = text.chars().take(120).collect();
        if place.is_empty() {
            assert!(matches!(rejection.code.to_string().as_str(), "TEN-0001" | "TEN-0002"), "{head}: {rejection:?}");
            continue;
        }
        assert_eq!(rejection.code.to_string(), "TEN-0002", "{head}: {rejection:?}");
        assert!(rejection.detail.contains(place), "{head}: {}", rejection.detail);
        assert!(!rejection.hint.is_empty() && rejection.detail.len() < 500, "{head}: {}", rejection.detail);
    }
    let binary = parse_text(&[0xff, 0xfe, 0x00], Format::Yaml, None).unwrap_err();
    assert_eq!(binary.code.to_string(), "TEN-0002");
    let huge = parse_text(&vec![b' '; 16 * 1024 * 1024 + 1], Format::Yaml, None).unwrap_err();
    assert_eq!(huge.code.to_string(), "TEN-0025");
}

#[test]
fn all_mistakes_of_all_documents_come_at_once() {
    let tenant = with(&with(TENANT, "state: active", "state: gone"), "fin@acme.example", "fin");
    let text = [PLAN, &tenant, TENANT, TENANT, &with(CELL, "region: eu-west", "region: EU")].join("---\n");
    let rejection = refuse(&text);
    let fields: Vec<_> = rejection.errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["spec.state", "spec.contacts.billing[0].email", "spec.region", "metadata.name"]);
    assert!(
        rejection.errors[0].message.contains("document 2: Tenant `acme`, line 19"),
        "{}",
        rejection.errors[0].message
    );
    assert!(rejection.errors[3].message.contains("stands twice in this request, first in document 3"));
    assert!(rejection.detail.ends_with(", and 3 more"), "{}", rejection.detail);
}

#[test]
fn json_is_read_as_strictly() {
    let cases = [
        (r#"{"apiVersion":"tenantry.dev/v1","apiVersion":"x"}"#, "TEN-0002"),
        (r#"{"documents":[],"more":1}"#, "TEN-0001"),
        (r#"{"documents":{}}"#, "TEN-0001"),
        (r#"{"documents":[]}"#, "TEN-0002"),
        (r#"{"documents":[1]}"#, "TEN-0001"),
        (r#"[{"kind":"Tenant"}]"#, "TEN-0001"),
        (r#"{"kind":"Tenant""#, "TEN-0002"),
        ("null", "TEN-0001"),
        ("", "TEN-0002"),
        ("apiVersion: x", "TEN-0002"),
    ];
    for (text, code) in cases {
        let rejection = parse_text(text.as_bytes(), Format::Json, None).unwrap_err();
        assert_eq!(rejection.code.to_string(), code, "{text}: {rejection:?}");
    }
}
