//! People of the operator: what the section of the issuers' file has to say, and whom a token names.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::json;

use super::*;
use crate::access::IssuerFile;
use crate::access::token::{Head, Unverified};

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://login.example.com/staff";

fn spec() -> Value {
    json!({
        "issuer": ISSUER, "audiences": ["tenantry"], "keys": { "url": "https://login.example.com/keys" },
        "algorithms": ["RS256"], "groups": "realm_access.roles",
        "roles": {
            "admins": { "roles": ["admin"] },
            "sre": { "roles": ["operator", "auditor"], "environments": ["staging", "test"] },
            "help": { "roles": ["support"] },
        },
        "client": { "id": "tenantry-cli" },
    })
}

fn read(spec: &Value) -> Result<Operators, String> {
    let file: IssuerFile = serde_json::from_value(json!({ "operators": [spec] })).map_err(|error| error.to_string())?;
    Operators::check(file.operators, &[]).map(|mut found| found.remove(0)).map_err(|error| error.to_string())
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "tenantry", "sub": "4711", "iat": NOW, "exp": NOW + 3600, "email": "olga@example.com",
        "client_id": "tenantry-cli", "realm_access": { "roles": ["admins", "offline_access"] },
    })
}

fn hex(value: &Value) -> String {
    value.to_string().bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

fn judged(spec: &Value, kind: &str, claims: &Value) -> Result<Person, TokenFault> {
    let text = format!("{}.{}.x", hex(&json!({ "alg": "RS256", "typ": kind })), hex(claims));
    let token = Unverified::parse(&text, unhex)?;
    let head: &Head = &token.head;
    read(spec).unwrap().judge(head, &token.payload, Timestamp::from_second(NOW).unwrap())
}

fn with(mut value: Value, field: &str, part: Value) -> Value {
    match part {
        Value::Null => drop(value.as_object_mut().unwrap().remove(field)),
        part => value[field] = part,
    }
    value
}

fn person(claims: &Value) -> Result<Person, TokenFault> {
    judged(&spec(), "at+jwt", claims)
}

#[test]
fn a_person_is_issuer_and_subject_and_its_groups_give_roles() {
    let olga = person(&claims()).unwrap();
    assert_eq!(olga.name, format!("{ISSUER}#4711"));
    assert_eq!(olga.display.as_deref(), Some("olga@example.com"));
    assert_eq!(*olga.reach.everywhere(), BTreeSet::from([Role::Admin]));
    assert_eq!(olga.expires.as_second(), NOW + 3600);
    // Another address is the same person, the same address is another one.
    assert_eq!(person(&with(claims(), "email", json!("petra@example.com"))).unwrap().name, olga.name);
    assert_ne!(person(&with(claims(), "sub", json!("4712"))).unwrap().name, olga.name);
}

#[test]
fn no_two_people_differ_by_the_case_of_letters() {
    let name = |subject: &str| person(&with(claims(), "sub", json!(subject))).unwrap().name;
    let subjects = ["olga", "Olga", "OLGA", "%4flga", "%4Flga", "ol ga", "olga ", "ölga", "Ölga", "olga#1", "a|b"];
    let names: BTreeSet<String> = subjects.iter().map(|subject| name(subject).to_lowercase()).collect();
    assert_eq!(names.len(), subjects.len(), "{names:?}");
    assert_eq!(name("Olga"), format!("{ISSUER}#%4flga"));
    assert_eq!(name("auth0|5f7c"), format!("{ISSUER}#auth0|5f7c"));
    let ids = BTreeSet::from([Person::actor(&[0; 32]), Person::actor(&[255; 32])]);
    assert!(ids.iter().all(|id| id.len() == 30 && id.starts_with("per_")), "{ids:?}");
}

#[test]
fn roles_hold_where_the_group_says() {
    let given = |groups: Value| person(&with(claims(), "realm_access", json!({ "roles": groups }))).unwrap().reach;
    let [prod, staging] = ["prod", "staging"].map(|name| EnvironmentName::parse(name).unwrap());
    let both = given(json!(["help", "sre"]));
    assert_eq!(both.within(&prod), BTreeSet::from([Role::Support]));
    assert_eq!(both.within(&staging), BTreeSet::from([Role::Support, Role::Operator, Role::Auditor]));
    assert_eq!(*both.everywhere(), BTreeSet::from([Role::Support]));
    let narrow = given(json!(["sre"]));
    assert!(narrow.everywhere().is_empty() && narrow.within(&prod).is_empty() && !narrow.is_empty());
    assert_eq!(narrow.only().len(), 2);
    for nothing in [json!([]), json!(["admin"]), json!(["ADMINS"]), json!(["admins "]), json!(""), json!("admins sre")]
    {
        assert!(given(nothing.clone()).is_empty(), "{nothing}");
    }
    assert!(person(&with(claims(), "realm_access", Value::Null)).unwrap().reach.is_empty(), "no groups, no role");
    assert_eq!(given(json!("admins")).everywhere().len(), 1, "one text is one group");
    for wrong in [json!(7), json!({ "admins": true }), json!(true), json!(["admins", 7]), json!([["admins"]])] {
        let claims = with(claims(), "realm_access", json!({ "roles": wrong }));
        assert_eq!(person(&claims), Err(TokenFault::Nobody), "{wrong}");
    }
}

#[test]
fn whoever_is_nobody_is_refused() {
    for subject in [Value::Null, json!(""), json!(4711), json!(["4711"]), json!("a\nb"), json!("x".repeat(256))] {
        assert_eq!(person(&with(claims(), "sub", subject.clone())), Err(TokenFault::Nobody), "{subject}");
    }
    assert_eq!(person(&with(claims(), "sub", json!("tenantry-cli"))), Err(TokenFault::Nobody), "a client of its own");
    assert_eq!(person(&with(claims(), "azp", json!("4711"))), Err(TokenFault::Nobody));
    for (field, value, fault) in [
        ("exp", Value::Null, TokenFault::Expired),
        ("exp", json!(NOW + 3931), TokenFault::Expired),
        ("iat", json!(NOW - 301), TokenFault::Expired),
        ("exp", json!((NOW + 60).to_string()), TokenFault::Expired),
        ("exp", json!(-1), TokenFault::Expired),
        ("nbf", json!(NOW + 31), TokenFault::Expired),
        ("aud", json!("tenantry-cli"), TokenFault::Untrusted),
        ("iss", json!("https://login.example.com/staff/"), TokenFault::Untrusted),
        ("events", json!({}), TokenFault::Untrusted),
    ] {
        assert_eq!(person(&with(claims(), field, value.clone())), Err(fault), "{field} {value}");
    }
}

#[test]
fn machines_are_no_people() {
    let token = |fields: Value| {
        let mut claims = with(claims(), "client_id", Value::Null);
        claims.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        claims
    };
    let open = with(spec(), "client", Value::Null);
    let uuid = "0b8f1c3e-6d7a-4c59-9f2e-5a4b3c2d1e0f";
    // A user of the issuer's for a machine: nothing but the client tells them apart.
    let keycloak = token(json!({ "sub": uuid, "azp": "nightly-job" }));
    assert_eq!(person(&keycloak), Err(TokenFault::Nobody));
    assert!(judged(&open, "at+jwt", &keycloak).is_ok(), "no client is named that could be another one");
    for own in [json!({ "azp": "tenantry-cli" }), json!({ "cid": "tenantry-cli" }), json!({ "appid": "tenantry-cli" })]
    {
        assert!(person(&token(own.clone())).is_ok(), "{own}");
    }
    assert!(person(&token(json!({}))).is_ok(), "a token that names no client");
    for machine in [
        json!({ "sub": "AbC9@clients", "azp": "AbC9" }),
        json!({ "sub": "AbC9@clients" }),
        json!({ "gty": "client-credentials" }),
        json!({ "sub": "0oa1", "cid": "0oa1" }),
        json!({ "sub": uuid, "appid": uuid }),
        json!({ "sub": uuid, "idtyp": "app" }),
    ] {
        assert_eq!(judged(&open, "at+jwt", &token(machine.clone())), Err(TokenFault::Nobody), "{machine}");
    }
    assert!(judged(&open, "at+jwt", &token(json!({ "idtyp": "user" }))).is_ok());
    // Whatever claim tells people apart, `sub` tells of a machine.
    let by_address = with(open, "person", json!("email"));
    assert_eq!(judged(&by_address, "at+jwt", &token(json!({}))).unwrap().name, format!("{ISSUER}#olga@example.com"));
    let machine = token(json!({ "sub": "0oa1", "cid": "0oa1" }));
    assert_eq!(judged(&by_address, "at+jwt", &machine), Err(TokenFault::Nobody));
}

#[test]
fn an_id_token_is_no_access_token() {
    assert_eq!(judged(&spec(), "JWT", &claims()), Err(TokenFault::Untrusted));
    let plain = with(spec(), "types", json!(["JWT"]));
    assert!(judged(&plain, "JWT", &claims()).is_ok());
    assert!(judged(&plain, "JWT", &with(claims(), "typ", json!("Bearer"))).is_ok());
    for (field, value) in [
        ("nonce", json!("n")),
        ("at_hash", json!("h")),
        ("c_hash", json!("h")),
        ("typ", json!("ID")),
        ("typ", json!("Refresh")),
        ("typ", json!(["Bearer"])),
    ] {
        let claims = with(claims(), field, value.clone());
        assert_eq!(judged(&plain, "JWT", &claims), Err(TokenFault::Untrusted), "{field} {value}");
    }
}

#[test]
fn an_issuer_is_for_tenants_or_for_people() {
    let tenants = |issuer: &str| {
        json!({
            "issuer": issuer, "environment": "prod", "audiences": ["a"], "keys": { "file": "k" },
            "algorithms": ["RS256"], "claim": "tid",
        })
    };
    let check = |issuers: Value, operators: Value| {
        let file = json!({ "issuers": issuers, "operators": operators });
        let mut file: IssuerFile = serde_json::from_value(file).unwrap();
        let people = std::mem::take(&mut file.operators);
        let tenants = Issuer::check(file).unwrap();
        Operators::check(people, &tenants).map(|found| found.len()).map_err(|error| error.to_string())
    };
    assert_eq!(check(json!([tenants("https://other.example.com")]), json!([spec()])), Ok(1));
    for same in [ISSUER, "https://LOGIN.example.com/staff"] {
        let error = check(json!([tenants(same)]), json!([spec()])).unwrap_err();
        assert!(error.contains("nobody is both"), "{error}");
    }
    let twice = with(spec(), "issuer", json!("https://login.EXAMPLE.com/staff"));
    assert!(check(json!([]), json!([spec(), twice])).unwrap_err().contains("named twice"));
    let people = read(&spec()).unwrap();
    assert!(people.is_person(&format!("{ISSUER}#4711")) && people.is_person(" HTTPS://login.example.com/staff#x"));
    assert!(!people.is_person("olga@example.com") && !people.is_person(ISSUER));
}

#[test]
fn what_would_believe_too_much_is_refused_and_the_field_named() {
    assert!(read(&spec()).is_ok());
    for (field, value, part) in [
        ("issuer", json!("https://login.example.com/#x"), "`issuer`"),
        ("issuer", json!("login.example.com"), "`issuer`"),
        ("issuer", json!("http://login.example.com"), "`issuer`"),
        ("issuer", json!("https://login.example.com/?a=b"), "`issuer`"),
        ("audiences", json!([]), "`audiences`"),
        ("algorithms", json!(["none"]), "none"),
        ("types", json!([]), "`types`"),
        ("maxLifetimeSeconds", json!(86_401), "`maxLifetimeSeconds`"),
        ("leewaySeconds", json!(61), "`leewaySeconds`"),
        ("keys", json!({ "url": "http://login.example.com/keys" }), "`keys.url`"),
        ("keys", json!("emulator"), "`keys`"),
        ("groups", Value::Null, "groups"),
        ("groups", json!(""), "`groups`"),
        ("person", json!("a..b"), "`person`"),
        ("display", json!("/a~2"), "`display`"),
        ("roles", json!({}), "`roles`"),
        ("roles", json!({ "": { "roles": ["admin"] } }), "`roles`"),
        ("roles", json!({ "a": { "roles": [] } }), "`roles`"),
        ("roles", json!({ "a": { "roles": ["root"] } }), "root"),
        ("roles", json!({ "a": { "roles": ["tenant"] } }), "`tenant`"),
        ("roles", json!({ "a": { "roles": ["admin"], "environments": [] } }), "environment"),
        ("roles", json!({ "a": { "roles": ["admin"], "env": ["prod"] } }), "env"),
        ("client", json!({ "id": "" }), "`client.id`"),
        ("client", json!({ "id": "x", "secret": "y" }), "secret"),
        ("client", json!({ "id": "x", "scopes": ["profile"] }), "`client.scopes`"),
        ("client", json!({ "id": "x", "scopes": ["openid", "a b"] }), "`client.scopes`"),
        ("client", json!({ "id": "x", "resource": "a#b" }), "`client.resource`"),
        ("environment", json!("prod"), "environment"),
        ("default", json!("admin"), "default"),
    ] {
        let error = read(&with(spec(), field, value.clone())).expect_err(&format!("{field}: {value}"));
        assert!(error.contains(part), "{field}: {value}: {error}");
    }
    let own = with(with(spec(), "types", json!(["JWT"])), "audiences", json!(["tenantry-cli"]));
    assert!(read(&own).unwrap_err().contains("`audiences`"));
}
