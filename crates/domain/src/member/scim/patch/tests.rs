//! Bodies as directories send them, and what they change.

use serde_json::json;

use super::*;

fn anna() -> Map<String, Value> {
    let doc = json!({
        "userName": "anna@acme.example", "externalId": "A1", "active": true, "displayName": "Anna Arendt",
        "name": { "givenName": "Anna", "familyName": "Arendt" },
        "emails": [
            { "value": "anna@acme.example", "type": "work", "primary": true },
            { "value": "a@home.example", "type": "home" },
        ],
    });
    doc.as_object().unwrap().clone()
}

fn try_it(operations: Value) -> Result<Value, ScimError> {
    let mut doc = anna();
    let patch = Patch::parse(&json!({ "schemas": [SCHEMA], "Operations": operations }))?;
    assert_eq!(patch.apply(Kind::User, &mut doc)?, []);
    Ok(Value::Object(doc))
}

/// What changed, as pointer and value.
#[track_caller]
fn gives(operations: Value, expected: &[(&str, Value)]) {
    let found = try_it(operations.clone()).unwrap_or_else(|error| panic!("{operations}: {error}"));
    for (pointer, value) in expected {
        assert_eq!(found.pointer(pointer).unwrap_or(&Value::Null), value, "{operations}\n{found}");
    }
}

#[test]
fn bodies_of_entra_id() {
    gives(json!([{ "op": "Replace", "path": "active", "value": "False" }]), &[("/active", json!(false))]);
    gives(json!([{ "op": "replace", "value": { "active": "True" } }]), &[("/active", json!(true))]);
    gives(
        json!([{ "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "new@acme.example" }]),
        &[("/emails/0/value", json!("new@acme.example")), ("/emails/0/primary", json!(true))],
    );
    gives(
        json!([{ "op": "Add", "path": "emails[type eq \"other\"].value", "value": "o@acme.example" }]),
        &[("/emails/2", json!({ "type": "other", "value": "o@acme.example" }))],
    );
    gives(
        json!([{ "op": "add", "value": {
            "name.givenName": "Hannah", "name.familyName": "A.", "displayName": "Hannah A.", "title": "Head",
            "emails[type eq \"home\"].value": "h@home.example",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": "IT",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "manager": { "value": "7" } },
        } }]),
        &[
            ("/name", json!({ "givenName": "Hannah", "familyName": "A." })),
            ("/displayName", json!("Hannah A.")),
            ("/emails/1/value", json!("h@home.example")),
            ("/title", Value::Null),
        ],
    );
    gives(
        json!([
            { "op": "Add", "path": "phoneNumbers[type eq \"work\"].value", "value": "+1 201 555" },
            { "op": "Replace", "path": "addresses[type eq \"work\"].country", "value": "NZ" },
            { "op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", "value": "9" },
            { "op": "Replace", "path": "userName", "value": "anna.arendt@acme.example" },
        ]),
        &[("/userName", json!("anna.arendt@acme.example")), ("/phoneNumbers", Value::Null)],
    );
}

#[test]
fn bodies_of_okta() {
    gives(json!([{ "op": "replace", "value": { "active": false } }]), &[("/active", json!(false))]);
    // A group that is renamed: the id comes along and is passed over.
    let mut group = Map::from_iter([("displayName".to_owned(), json!("Staff"))]);
    let body = json!({ "schemas": [SCHEMA], "Operations": [
        { "op": "replace", "value": { "id": "abf4dd94-a4c0-4f67-89c9-76b03340cb9b", "displayName": "Everybody" } },
        { "op": "remove", "path": "members[value eq \"2819c223-7f76-453a-919d-413861904646\"]" },
        { "op": "add", "path": "members", "value": [{ "value": "902c246b-6245-4190-8e05-00816be7344a", "display": "x" }] },
    ] });
    let changes = Patch::parse(&body).unwrap().apply(Kind::Group, &mut group).unwrap();
    assert_eq!(group["displayName"], "Everybody");
    let id = |text: &str| Uuid::parse_str(text).unwrap();
    let expected = [
        MemberChange::Remove(vec![id("2819c223-7f76-453a-919d-413861904646")]),
        MemberChange::Add(vec![id("902c246b-6245-4190-8e05-00816be7344a")]),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn members_come_and_go_in_every_form() {
    let one = "2819c223-7f76-453a-919d-413861904646";
    let id = Uuid::parse_str(one).unwrap();
    for (operation, expected) in [
        (json!({ "op": "Add", "path": "members", "value": [{ "value": one }] }), MemberChange::Add(vec![id])),
        (json!({ "op": "add", "path": "members", "value": { "value": one } }), MemberChange::Add(vec![id])),
        (json!({ "op": "add", "value": { "members": [{ "value": one }] } }), MemberChange::Add(vec![id])),
        (json!({ "op": "Remove", "path": "members", "value": [{ "value": one }] }), MemberChange::Remove(vec![id])),
        (json!({ "op": "remove", "path": "members" }), MemberChange::Set(vec![])),
        (json!({ "op": "replace", "path": "members", "value": [] }), MemberChange::Set(vec![])),
        (json!({ "op": "replace", "value": { "members": [{ "value": one }] } }), MemberChange::Set(vec![id])),
        (
            json!({ "op": "remove", "path": format!("members[value eq \"{one}\" or value eq \"{one}\"]") }),
            MemberChange::Remove(vec![id]),
        ),
    ] {
        let mut group = Map::from_iter([("displayName".to_owned(), json!("Staff"))]);
        let patch = Patch::parse(&json!({ "schemas": [SCHEMA], "Operations": [operation] })).unwrap();
        assert_eq!(patch.apply(Kind::Group, &mut group).unwrap(), [expected], "{operation}");
    }
    let many: Vec<_> = (0..2001).map(|number| json!({ "value": Uuid::from_u128(number) })).collect();
    for (operation, word) in [
        (json!({ "op": "add", "path": "members", "value": many }), "invalidValue"),
        (json!({ "op": "add", "path": "members", "value": [{ "value": one, "type": "Group" }] }), "invalidValue"),
        (json!({ "op": "replace", "path": format!("members[value eq \"{one}\"].value"), "value": one }), "mutability"),
        (json!({ "op": "remove", "path": "members[display sw \"a\"]" }), "invalidPath"),
        (json!({ "op": "remove", "path": "displayName" }), "mutability"),
    ] {
        let mut group = Map::from_iter([("displayName".to_owned(), json!("Staff"))]);
        let patch = Patch::parse(&json!({ "schemas": [SCHEMA], "Operations": [operation] })).unwrap();
        let error = patch.apply(Kind::Group, &mut group).unwrap_err();
        assert_eq!(error.word(), Some(word), "{error}");
    }
}

#[test]
fn the_standards_own_forms() {
    gives(
        json!([{ "op": "add", "path": "emails", "value": [{ "value": "n@acme.example", "primary": true }] }]),
        &[("/emails/2/primary", json!(true)), ("/emails/0/primary", json!(false))],
    );
    gives(json!([{ "op": "remove", "path": "emails[type eq \"work\"]" }]), &[("/emails/0/type", json!("home"))]);
    gives(json!([{ "op": "remove", "path": "emails[type eq \"work\"].value" }]), &[("/emails/0/type", json!("home"))]);
    gives(json!([{ "op": "remove", "path": "emails" }]), &[("/emails", Value::Null)]);
    gives(json!([{ "op": "remove", "path": "name.givenName" }]), &[("/name", json!({ "familyName": "Arendt" }))]);
    gives(
        json!([{ "op": "replace", "path": "name", "value": { "givenName": "H" } }]),
        &[("/name", json!({ "givenName": "H", "familyName": "Arendt" }))],
    );
    gives(json!([{ "op": "replace", "path": "displayName", "value": null }]), &[("/displayName", Value::Null)]);
    // The same once more changes nothing.
    let again = json!([{ "op": "add", "path": "emails", "value": { "value": "a@home.example", "type": "home" } }]);
    assert_eq!(try_it(again).unwrap(), Value::Object(anna()));
}

#[test]
fn what_is_refused_and_with_which_word() {
    for (operation, word) in [
        (json!({ "op": "replace", "path": "roles", "value": [{ "value": "owner" }] }), "mutability"),
        (json!({ "op": "add", "path": "groups", "value": [{ "value": "x" }] }), "mutability"),
        (json!({ "op": "replace", "path": "id", "value": "x" }), "mutability"),
        (json!({ "op": "replace", "path": "meta.version", "value": "x" }), "mutability"),
        (json!({ "op": "remove", "path": "userName" }), "mutability"),
        (json!({ "op": "replace", "path": "userName", "value": "" }), "mutability"),
        (json!({ "op": "replace", "path": "tenant", "value": "globex" }), "invalidPath"),
        (json!({ "op": "replace", "path": "name.tenant", "value": "globex" }), "invalidPath"),
        (json!({ "op": "replace", "path": "emails[", "value": "x" }), "invalidPath"),
        (json!({ "op": "replace", "path": "userName[a eq \"b\"]", "value": "x" }), "invalidPath"),
        (json!({ "op": "replace", "path": "emails[value sw \"zz\"].value", "value": "x@y.example" }), "noTarget"),
        (json!({ "op": "remove" }), "noTarget"),
        (json!({ "op": "replace", "path": "active", "value": "perhaps" }), "invalidValue"),
        (json!({ "op": "replace", "value": "x" }), "invalidValue"),
        (json!({ "op": "add", "path": "userName" }), "invalidValue"),
        (json!({ "op": "replace", "path": "emails", "value": [{ "value": "no address" }] }), "invalidValue"),
        (json!({ "op": "move", "path": "userName", "value": "x" }), "invalidSyntax"),
    ] {
        let found = try_it(json!([operation])).unwrap_err();
        assert_eq!(found.word(), Some(word), "{operation}: {found}");
    }
    assert!(Patch::parse(&json!({ "Operations": [] })).is_err() && Patch::parse(&json!([])).is_err());
    assert!(Patch::parse(&json!({ "schemas": [SCHEMA], "Operations": [] })).is_err());
}
