//! The shipped set: valid, tested both ways, and of no effect for whoever did not ask for it.

use std::collections::BTreeSet;

use tenantry_policy::{Resource, action, cases, governance};

use crate::sample::{acme, question, set};

#[test]
fn every_shipped_rule_allows_and_refuses_in_its_own_tests() {
    let compiled = governance::builtin().unwrap();
    let outcomes = cases::run(&compiled);
    cases::passed(&outcomes).unwrap();
    assert!(outcomes.len() >= 60, "{}", outcomes.len());
    // Every rule decides at least one of them, and every file has tests of both kinds.
    let decided: BTreeSet<_> = outcomes.iter().flat_map(|one| one.answer.as_ref().unwrap().rules.clone()).collect();
    assert_eq!(compiled.engine.len(), 18);
    assert_eq!(decided.len(), 18 + 2, "deny-by-default and known-actions beside the rules: {decided:?}");
    let files: BTreeSet<_> = outcomes.iter().map(|one| one.file.clone()).collect();
    for file in files {
        let of =
            |allowed| outcomes.iter().any(|one| one.file == file && one.answer.as_ref().unwrap().allowed == allowed);
        assert!(of(true) && of(false), "{file}");
    }
}

/// The shipped set with another text of one of its files.
fn changed(path: &str, text: String) -> Result<(), tenantry_policy::BundleError> {
    let bundle = governance::bundle().unwrap();
    let mut files: std::collections::BTreeMap<_, _> =
        bundle.files().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    files.insert(path.to_owned(), text.into_bytes());
    cases::passed(&cases::run(&tenantry_policy::Bundle::new(files).unwrap().compile()?))
}

#[test]
fn a_rule_or_an_exception_that_is_left_out_turns_a_test_red() {
    let (mut rules, mut exceptions) = (0, 0);
    for (path, bytes) in governance::bundle().unwrap().files().filter(|(path, _)| path.ends_with(".cedar")) {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(changed(path, text.clone()).is_ok());
        let parts: Vec<_> = text.split("@id(").collect();
        for (place, part) in parts.iter().enumerate().skip(1) {
            let without = |other: usize| (other != place).then_some(parts[other]);
            let rest: Vec<_> = (0..parts.len()).filter_map(without).collect();
            assert!(changed(path, rest.join("@id(")).is_err(), "{path}: {part}");
            rules += 1;
            if let Some((before, _)) = part.split_once("unless {") {
                let changed_part = format!("{};\n", before.trim_end());
                let with: Vec<_> = (0..parts.len())
                    .map(|other| if other == place { changed_part.as_str() } else { parts[other] })
                    .collect();
                assert!(changed(path, with.join("@id(")).is_err(), "{path}: without its exception: {part}");
                exceptions += 1;
            }
        }
    }
    assert_eq!((rules, exceptions), (18, 13));
}

#[test]
fn without_settings_every_granted_action_on_a_tenant_in_its_place_is_allowed() {
    let engine = governance::builtin().unwrap().engine;
    for (action, groups) in action::ACTIONS {
        let mut question = question(action);
        // Data that goes somewhere goes where it may.
        if groups.contains(&action::EGRESS) {
            question.context.regions = set(&["eu-west"]);
        }
        let answer = engine.ask(&question);
        assert!(answer.allowed, "{action}: {answer:?}");
        assert!(answer.fingerprint.starts_with("governance/1+sha256:"), "{}", answer.fingerprint);
        question.context.granted = false;
        assert_eq!(engine.ask(&question).rule(), "deny-by-default", "{action}");
    }
}

#[test]
fn every_action_that_places_or_sends_data_is_refused_out_of_region_by_name() {
    let engine = governance::builtin().unwrap().engine;
    for (action, groups) in action::ACTIONS {
        if groups.contains(&action::PLACEMENT) || groups.contains(&action::EGRESS) {
            let mut question = question(action);
            question.context.regions = set(&["us-east"]);
            let answer = engine.ask(&question);
            assert_eq!((answer.allowed, answer.rule()), (false, "residency"), "{action}");
            let mut facts = acme();
            facts.allowed_regions.insert("us-east".to_owned());
            question.resource = Resource::Tenant(facts);
            assert!(engine.ask(&question).allowed, "{action}");
        }
    }
}
