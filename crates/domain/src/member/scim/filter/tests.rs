//! What the parser reads and what it refuses, with the place.

use proptest::prelude::*;

use super::*;

#[test]
fn the_examples_of_the_standard_are_read() {
    for text in [
        "userName eq \"bjensen\"",
        "name.familyName co \"O'Malley\"",
        "userName sw \"J\"",
        "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"J\"",
        "title pr",
        "meta.lastModified gt \"2011-05-13T04:42:34Z\"",
        "title pr and userType eq \"Employee\"",
        "title pr or userType eq \"Intern\"",
        "userType eq \"Employee\" and (emails co \"example.com\" or emails.value co \"example.org\")",
        "userType ne \"Employee\" and not (emails co \"example.com\" or emails.value co \"example.org\")",
        "userType eq \"Employee\" and (emails.type eq \"work\")",
        "userType eq \"Employee\" and emails[type eq \"work\" and value co \"@example.com\"]",
        "emails[type eq \"work\" and value co \"@example.com\"] or ims[type eq \"xmpp\" and value co \"@foo.com\"]",
        // Entra and Okta.
        "externalId eq \"5f7c8ec7\"",
        "active eq true",
        "Active EQ True AND Not(userName PR)",
        "emails[type eq \"work\"].value eq \"anna@acme.example\"",
        "  userName   eq\t\"a \\\" b \\u00e9\"  ",
    ] {
        Filter::parse(text, Kind::User).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let group = Filter::parse("id eq \"g\" and members eq \"u\"", Kind::Group).unwrap();
    assert_eq!(group.anchor(Kind::Group), Some(Anchor::Id("g".to_owned())));
    let member = Filter::parse("members[value eq \"u\"]", Kind::Group).unwrap();
    assert_eq!(member.anchor(Kind::Group), Some(Anchor::Member("u".to_owned())));
    let either = Filter::parse("userName eq \"A\" or userName eq \"B\"", Kind::User).unwrap();
    assert_eq!(either.anchor(Kind::User), None);
    assert!(either.names("username") && !either.names("emails"));
}

#[test]
fn and_binds_closer_than_or() {
    let filter = Filter::parse("active eq true or userName pr and displayName pr", Kind::User).unwrap();
    let Filter::Or(any) = filter else { panic!("{filter:?}") };
    assert!(matches!(any.as_slice(), [Filter::Is(..), Filter::And(all)] if all.len() == 2));
}

#[test]
fn what_is_no_filter_says_where() {
    let deep = format!("{}userName pr{}", "(".repeat(20), ")".repeat(20));
    let wide = vec!["userName pr"; 65].join(" or ");
    let long = format!("userName eq \"{}\"", "x".repeat(3000));
    for (text, place) in [
        ("", 1),
        ("userName", 9),
        ("userName eq", 12),
        ("userName eq anna", 13),
        ("userName is \"x\"", 10),
        ("userName eq \"x", 13),
        ("userName eq \"x\" and", 20),
        ("userName eq \"x\" xor userName pr", 17),
        ("(userName pr", 13),
        ("userName pr)", 12),
        ("emails[type eq \"work\"", 22),
        ("emails[emails[value pr]]", 15),
        ("é pr", 1),
        (&deep, 10),
        (&long, 2048),
    ] {
        match Filter::parse(text, Kind::User) {
            Err(ScimError::Grammar { at, .. }) => assert_eq!(at, place, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(matches!(Filter::parse(&wide, Kind::User), Err(ScimError::Grammar { .. })));
    for text in ["wage eq 1", "active gt true", "userName eq true", "meta.created gt \"yesterday\"", "name[x pr]"] {
        let found = Filter::parse(text, Kind::User);
        assert!(matches!(found, Err(ScimError::Comparison(_))), "{text}: {found:?}");
    }
}

#[test]
fn paths_of_operations() {
    let read = |text: &str| Target::parse(text).unwrap();
    assert_eq!(read("name.familyName").path.part.as_deref(), Some("familyName"));
    let work = read("emails[type eq \"work\"].value");
    assert!(work.inner.is_some() && work.part.as_deref() == Some("value"));
    assert!(read("members[value eq \"2819c223-7f76-453a-919d-413861904646\"]").part.is_none());
    for wrong in ["", "emails[", "emails[]", "a b", "emails[type eq \"work\"]value", "name..x", "1x", "urn:x:"] {
        assert!(matches!(Target::parse(wrong), Err(ScimError::Path(_))), "{wrong}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// No text makes the parser fall over, and what it reads is as small as promised.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = Filter::parse(&text, Kind::User);
        let _ = Target::parse(&text);
    }

    /// The same, of the grammar's own words.
    #[test]
    fn any_words_are_read_or_refused(words in proptest::collection::vec(proptest::sample::select(vec![
        "userName", "emails", "[", "]", "(", ")", "not", "and", "or", "eq", "pr", "co", "\"x\"", "\"", "\\", ".", "true",
        "null", "-1e9", "type", " ", "urn:a:b:", "é",
    ]), 0..60), space in any::<bool>()) {
        let text = words.join(if space { " " } else { "" });
        if let Ok(filter) = Filter::parse(&text, Kind::User) {
            prop_assert!(depth(&filter) <= 2 * DEEPEST + 4, "{text}");
        }
        let _ = Target::parse(&text);
    }
}

fn depth(filter: &Filter) -> usize {
    match filter {
        Filter::And(all) | Filter::Or(all) => 1 + all.iter().map(depth).max().unwrap_or(0),
        Filter::Not(inner) | Filter::Within { inner, .. } => 1 + depth(inner),
        Filter::Is(..) => 0,
    }
}
