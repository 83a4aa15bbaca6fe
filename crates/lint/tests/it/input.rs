//! Inputs: files, folders, logs of three kinds, and reports for people and machines.

use tenantry_lint::input::{self, Format, InputError};
use tenantry_lint::{Check, Options, Report, Source, render};

use crate::world;

fn of(source: Source) -> Report {
    let mut check = Check::new(world::schema(), Options::default());
    check.source(Source::sql("schema.sql", world::SCHEMA).only_structure()).source(source);
    check.run().0
}

fn log(text: &str, format: Format) -> Report {
    of(input::read(text.as_bytes(), "log", Some(format)).unwrap())
}

#[test]
fn folders_are_walked_in_order() {
    let root = tempfile::tempdir().unwrap();
    for name in ["b.sql", "a.SQL", "deep/c.sql", ".hidden.sql", "notes.txt"] {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "SELECT 1").unwrap();
    }
    let found = input::files(root.path()).unwrap();
    let names: Vec<_> = found.iter().map(|path| path.strip_prefix(root.path()).unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.SQL", "b.sql", "deep/c.sql"]);
    std::fs::create_dir(root.path().join("empty")).unwrap();
    assert!(matches!(input::files(&root.path().join("empty")), Err(InputError::Empty { .. })));
    assert!(matches!(input::files(&root.path().join("absent")), Err(InputError::Unreadable { .. })));
    let bytes = root.path().join("bytes.sql");
    std::fs::write(&bytes, b"SELECT '\xff'").unwrap();
    assert!(matches!(input::file(&bytes, None), Err(InputError::NotText { at: 8, .. })));
}

#[test]
fn statistics_name_calls_and_caller_and_no_values() {
    let csv = "userid,calls,query\n10,7,\"SELECT * FROM orders\nWHERE note = 'secret' AND id = 42\"\n10,1,SELECT 1\n";
    let report = log(csv, Format::Auto);
    assert_eq!(world::found(&report), [("TL101", Some("orders"))]);
    let finding = &report.findings[0];
    assert_eq!((finding.location.line, finding.origin.as_ref().unwrap().calls), (2, 7));
    assert_eq!(finding.origin.as_ref().unwrap().caller.as_deref(), Some("10"));
    assert!(!finding.fingerprint.is_empty());
    for text in
        [render::human(&report, render::Colour::Never), render::json(&report).unwrap(), render::sarif(&report).unwrap()]
    {
        assert!(!text.contains("secret") && !text.contains("= 42"), "{text}");
    }
    let json = "[{\"query\":\"SELECT 1\"},{\"query\":\"DELETE FROM jobs\",\"calls\":3,\"rolname\":\"app\"}]";
    let report = log(json, Format::StatementsJson);
    assert_eq!(world::found(&report), [("TL103", Some("jobs"))]);
    assert_eq!(report.findings[0].location.line, 2);
}

#[test]
fn the_servers_own_logs_are_read() {
    let fields = |message: &str| {
        let mut fields = vec![String::new(); 26];
        fields[1] = "app".to_owned();
        fields[13] = format!("\"{}\"", message.replace('"', "\"\""));
        fields[22] = "\"checkout\"".to_owned();
        fields.join(",")
    };
    let csv = [
        fields("connection authorized"),
        fields("statement: SELECT * FROM \"orders\""),
        fields("execute <unnamed>: SELECT * FROM \"orders\""),
        fields("duration: 0.1 ms  execute s1: UPDATE jobs SET attempts = 0"),
    ]
    .join("\n");
    let report = log(&csv, Format::Auto);
    assert_eq!(
        world::found(&report),
        [("TL101", Some("orders")), ("TL102", Some("jobs"))],
        "the same text counts once"
    );
    assert_eq!(report.findings[1].origin.as_ref().unwrap().caller.as_deref(), Some("checkout"));
    assert_eq!((report.findings[0].location.line, report.findings[1].location.line), (2, 4));
    let json = "{\"message\":\"connection received\"}\n{\"user\":\"app\",\"message\":\"statement: TABLE orders\"}\n";
    assert_eq!(world::found(&log(json, Format::Auto)), [("TL101", Some("orders"))]);
}

#[test]
fn people_see_the_place_and_why_a_condition_does_not_count() {
    let sql = "SELECT o.id\nFROM orders o\nWHERE o.tenant_id IN ($1, $2)";
    let text = render::human(&world::check_as("reports/a.sql", sql, Options::default()), render::Colour::Never);
    let expected = "error[TL101]: `orders` is read without a tenant: nothing binds `o.tenant_id`\n --> reports/a.sql:2:6\n  \
                    |\n2 | FROM orders o\n  |      ^^^^^^\n  = line 3: `IN` names several tenants\n\n1 error in 1 \
                    statement of 1 input\n";
    assert_eq!(text, expected);
    let painted = render::human(&world::check(sql, Options::default()), render::Colour::Always);
    assert!(painted.contains("\u{1b}[1;31merror\u{1b}[0m"));
}

#[test]
fn sarif_names_rules_places_and_suppressions() {
    let sql = "SELECT * FROM orders;\n-- tenantry:allow TL103 a queue of no one\nDELETE FROM jobs;";
    let report = world::check_as("a b.sql", sql, Options::default());
    let log: serde_json::Value = serde_json::from_str(&render::sarif(&report).unwrap()).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    }
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20b.sql");
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&1.into(), &15.into()));
    assert_eq!(results[1]["suppressions"][0]["justification"], "a queue of no one");
    assert!(results[0]["partialFingerprints"]["pgQuery/v1"].as_str().unwrap().starts_with("TL101:"));
}
