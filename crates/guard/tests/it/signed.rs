//! A signed report: verified with the right key, and refused after any change.

use tenantry_domain::isolation::Isolation;
use tenantry_guard::{Guard, Input, PublicKey, Report, SignError, SignedReport, SigningKey};
use tenantry_testkit::pg::server;

use crate::world::admin;

async fn report() -> Report {
    let database = server().database();
    let pool = admin(server(), database.name());
    let conn = pool.get().await.unwrap();
    Guard::run(&conn, &Input::new(Isolation::Schema)).await.unwrap()
}

#[tokio::test]
async fn a_report_verifies_with_the_right_key_only() {
    let report = report().await;
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let signed = report.sign(&key).unwrap();
    let text = signed.document().unwrap();
    let read = SignedReport::parse(&text).unwrap();
    let public = key.public_key().unwrap();
    assert_eq!(read.verify(&public), Ok(report.clone()));
    assert_eq!(read.key_id(), public.id());
    assert_eq!(PublicKey::parse(&public.to_hex()), Ok(public.clone()));
    let other = SigningKey::from_seed(&[8; 32]).unwrap();
    assert_eq!(read.verify(&other.public_key().unwrap()), Err(SignError::OtherKey));
    // The same report and key give the same document.
    assert_eq!(report.sign(&key).unwrap().document().unwrap(), text);
    assert_eq!(SignedReport::parse(&format!("{text}\n")).map(|read| read.verify(&public).is_ok()), Ok(true));
}

#[tokio::test]
async fn every_changed_byte_is_found() {
    let mut report = report().await;
    // One of each is enough, and the test stays quick.
    report.section.findings.truncate(2);
    report.section.run.truncate(3);
    report.section.skipped.truncate(1);
    report.accepted.truncate(1);
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let public = key.public_key().unwrap();
    let text = report.sign(&key).unwrap().document().unwrap();
    let passes = |bytes: &[u8]| {
        std::str::from_utf8(bytes)
            .is_ok_and(|text| SignedReport::parse(text).is_ok_and(|read| read.verify(&public).is_ok()))
    };
    assert!(passes(text.as_bytes()));
    let mut tried = 0_u32;
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        for other in [bytes[at] ^ 0x01, bytes[at] ^ 0x20, b' ', b'0', b'"', b'}'] {
            if other != text.as_bytes()[at] {
                bytes[at] = other;
                assert!(!passes(&bytes), "byte {at} became {other}: {}", String::from_utf8_lossy(&bytes));
                tried += 1;
            }
        }
        let mut shorter = text.clone().into_bytes();
        shorter.remove(at);
        let mut longer = text.clone().into_bytes();
        longer.insert(at, b' ');
        assert!(!passes(&shorter) && !passes(&longer), "at {at}");
    }
    println!("{tried} changed bytes of {}", text.len());
    // The same value in another spelling does not pass either: nothing is left that the signature does not cover.
    let pretty: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(!passes(serde_json::to_string_pretty(&pretty).unwrap().as_bytes()));
    let doubled = text.replacen("{\"algorithm\"", "{\"report\":{},\"algorithm\"", 1);
    assert!(!passes(doubled.as_bytes()));
    let with_more = text.replacen("\"report\":{", "\"report\":{\"aaa\":1,", 1);
    assert_eq!(SignedReport::parse(&with_more).unwrap().verify(&public), Err(SignError::Changed));
}

#[tokio::test]
async fn the_json_form_stays() {
    let report = report().await;
    let value = serde_json::to_value(&report).unwrap();
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let wanted = [
        "accepted",
        "counts",
        "database",
        "durationMs",
        "findings",
        "level",
        "program",
        "roles",
        "run",
        "schemaVersion",
        "scope",
        "server",
        "skipped",
        "takenAt",
        "tenantColumn",
        "truncated",
    ];
    assert_eq!(keys, wanted);
    assert_eq!((value["schemaVersion"].as_u64(), value["scope"].as_str()), (Some(1), Some("database")));
    let finding = value["findings"][0].as_object().unwrap();
    for key in ["check", "severity", "object", "detail", "title", "why", "fix"] {
        assert!(finding[key].is_string(), "{key}");
    }
    assert_eq!(serde_json::from_value::<Report>(value).unwrap(), report);
}
