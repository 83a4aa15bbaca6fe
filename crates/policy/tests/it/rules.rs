//! What a bundle's author is told, and how rules that cannot be evaluated are taken.

use tenantry_policy::{Effect, Resource, action};

use crate::sample::{MANIFEST, acme, complaints, engine, forbid, question};

#[test]
fn everything_that_is_wrong_with_rules_is_told_at_once() {
    let text = complaints(&[
        ("policy.toml", MANIFEST),
        ("a.cedar", "permit (principal, action, resource);"),
        ("b.cedar", "@id(\"x\") forbid (principal, action, resource);"),
        ("c.cedar", "@id(\"Not A Name\") permit (principal, action, resource);"),
        ("d.cedar", "@id(\"baseline\") permit (principal, action, resource);"),
        ("e.cedar", "permit (principal, action"),
        ("f.cedar", "@id(\"t\") permit (principal == ?principal, action, resource);"),
    ]);
    for part in [
        "a.cedar: 1 of its rules have no @id",
        "b.cedar: `x` forbids and has no @remedy",
        "c.cedar: `Not A Name`",
        "d.cedar: `baseline` is the name of a rule in governance/baseline.cedar",
        "e.cedar: ",
        "f.cedar: holds a template",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn rules_are_validated_strictly_against_the_schema() {
    let rule = |condition: &str| {
        complaints(&[("policy.toml", MANIFEST), ("own.cedar", &forbid("own", "tenant.move", condition))])
    };
    assert!(rule("resource.plna == \"x\"").contains("own.cedar: "), "a misspelt attribute");
    assert!(rule("resource.plan == 1").contains("own.cedar: "), "text compared with a number");
    assert!(rule("resource.region == \"eu\"").contains("own.cedar: "), "optional, and not asked for");
    assert!(rule("resource.plan").contains("own.cedar: "), "text as a condition");
    let unknown = complaints(&[("policy.toml", MANIFEST), ("own.cedar", &forbid("own", "tenant.fly", "true"))]);
    assert!(unknown.contains("tenant.fly"), "{unknown}");
    // A group is not an action: `==` with it holds for nothing.
    let group = complaints(&[("policy.toml", MANIFEST), ("own.cedar", &forbid("own", "write", "true"))]);
    assert!(group.contains("own.cedar: "), "{group}");
}

#[test]
fn settings_are_typed_and_unknown_ones_are_refused() {
    let wrong = complaints(&[("policy.toml", "name = 'a'\nversion = '1'\n[settings.residency]\nenabeld = true\n")]);
    assert!(wrong.contains("settings.residency") && wrong.contains("enabeld"), "{wrong}");
    let wrong = complaints(&[("policy.toml", "name = 'a'\nversion = '1'\n[settings.fourEyes]\nneeded = 'two'\n")]);
    assert!(wrong.contains("settings.fourEyes.needed"), "{wrong}");
    let wrong = complaints(&[("policy.toml", "name = 'a'\nversion = '1'\n[windows]\npatch = ['someday']\n")]);
    assert!(wrong.contains("`patch`") || wrong.contains("someday"), "{wrong}");
    let wrong = complaints(&[("policy.toml", "name = 'a'\nversion = '1'\nminimum-product = '99.0.0'\n")]);
    assert!(wrong.contains("99.0.0 and newer"), "{wrong}");
    let wrong = complaints(&[("policy.toml", "name = 'a'\nversion = '1'\ngovernance = ['residence']\n")]);
    assert!(wrong.contains("`residence` is not in the shipped set"), "{wrong}");
    let wrong = complaints(&[("policy.toml", "name = 'A b'\nversion = '1'\n")]);
    assert!(wrong.contains("policy.toml: name"), "{wrong}");
    assert!(complaints(&[("own.cedar", "")]).contains("policy.toml: is missing"));
    let none = complaints(&[("policy.toml", "name = 'a'\nversion = '1'\ngovernance = []\n")]);
    assert!(none.contains("without a rule"), "{none}");
}

const OWN: &str = "namespace Tenantry { type Own = { bigPlans: Set<String>, most: Long }; }";

#[test]
fn a_bundle_types_its_own_settings() {
    let manifest = format!("{MANIFEST}[settings.own]\nbigPlans = ['standard']\nmost = 3\n");
    let rule = forbid("own", "tenant.move", "context.settings.own.bigPlans.contains(resource.plan)");
    let parts = [("policy.toml", manifest.as_str()), ("schema.cedarschema", OWN), ("own.cedar", rule.as_str())];
    let answer = engine(&parts).ask(&question("tenant.move"));
    assert_eq!((answer.allowed, answer.rule()), (false, "own"));
    // A value of another type, one too few, one too many.
    for settings in ["bigPlans = 'standard'\nmost = 3", "bigPlans = []", "bigPlans = []\nmost = 3\nleast = 1"] {
        let manifest = format!("{MANIFEST}[settings.own]\n{settings}\n");
        let parts = [("policy.toml", manifest.as_str()), ("schema.cedarschema", OWN), ("own.cedar", rule.as_str())];
        assert!(complaints(&parts).contains("`Own`"), "{settings}");
    }
    // The product's part stays the product's.
    let manifest = MANIFEST;
    let schema = "namespace Tenantry { type Own = {}; entity Tenant; }";
    assert!(complaints(&[("policy.toml", manifest), ("schema.cedarschema", schema)]).contains("schema.cedarschema"));
}

/// Overflows, whatever it is asked.
const FAULTY: &str = "context.approvalCount + 9223372036854775807 + 1 > 0";

#[test]
fn a_forbidding_rule_that_cannot_be_evaluated_refuses_and_is_told() {
    let rule = forbid("faulty", "tenant.move", FAULTY);
    let answer = engine(&[("policy.toml", MANIFEST), ("own.cedar", &rule)]).ask(&question("tenant.move"));
    assert!(!answer.allowed);
    assert_eq!(answer.rules, ["faulty"]);
    assert!(answer.faults[0].rule == "faulty" && answer.faults[0].problem.contains("overflow"), "{answer:?}");
}

#[test]
fn a_permitting_rule_that_cannot_be_evaluated_does_not_permit() {
    let rule = format!("@id(\"faulty\") permit (principal, action, resource) when {{ {FAULTY} }};");
    let parts = [("policy.toml", "name = 'a'\nversion = '1'\ngovernance = []\n"), ("own.cedar", rule.as_str())];
    let answer = engine(&parts).ask(&question("tenant.move"));
    assert_eq!((answer.allowed, answer.rule()), (false, "deny-by-default"));
    assert_eq!(answer.faults[0].rule, "faulty");
    // Beside one that permits it is told and does no harm.
    let parts = [("policy.toml", MANIFEST), ("own.cedar", rule.as_str())];
    let answer = engine(&parts).ask(&question("tenant.move"));
    assert!(answer.allowed && answer.rules == ["baseline"] && answer.faults.len() == 1, "{answer:?}");
}

#[test]
fn labels_reasons_moments_and_roles_can_be_ruled_on() {
    let conditions = [
        r#"resource.hasTag("tier") && resource.getTag("tier") == "gold""#,
        r#"context.now > datetime("2026-11-22") && context.now < datetime("2026-11-23")"#,
        r#"principal.roles.contains("admin") && principal.kind == "operator""#,
        r#"!(context has reason)"#,
        r#"resource in Tenantry::Environment::"prod""#,
        r#"principal == Tenantry::Principal::"operator:tok_1""#,
        r#"context.action == "tenant.move" && action in Tenantry::Action::"maintenance""#,
    ];
    for condition in conditions {
        let rule = forbid("own", "tenant.move", condition);
        let engine = engine(&[("policy.toml", MANIFEST), ("own.cedar", &rule)]);
        assert_eq!(engine.ask(&question("tenant.move")).rule(), "own", "{condition}");
        let mut other = question("tenant.move");
        other.principal.id = "tok_2".to_owned();
        other.principal.roles.clear();
        other.context.reason = Some("because".to_owned());
        other.context.now = "2026-11-24T00:00:00Z".parse().unwrap();
        let mut facts = acme();
        facts.labels.clear();
        facts.environment = "test".to_owned();
        other.resource = Resource::Tenant(facts);
        assert_eq!(engine.ask(&other).allowed, !condition.contains("context.action"), "{condition}");
    }
}

#[test]
fn questions_out_of_bounds_are_refused_before_rules_are_asked() {
    let engine = engine(&[("policy.toml", MANIFEST)]);
    let mut long = question("tenant.move");
    long.context.reason = Some("x".repeat(5_000));
    assert_eq!(engine.ask(&long).rule(), "well-formed-question");
    let mut many = question("tenant.move");
    many.context.approvals = (0..2_000).map(|number| format!("operator:{number}")).collect();
    assert_eq!(engine.ask(&many).rule(), "well-formed-question");
    let mut nobody = question("tenant.move");
    nobody.principal.id.clear();
    assert!(!engine.ask(&nobody).allowed);
}

#[test]
fn an_explanation_names_what_was_considered_and_what_decided() {
    let rule =
        forbid("own", "tenant.suspend", "resource.plan == \"standard\"") + &forbid("other", "tenant.move", "true");
    let engine = engine(&[("policy.toml", MANIFEST), ("own.cedar", &rule)]);
    let explanation = engine.explain(&question("tenant.suspend"));
    assert!(!explanation.answer.allowed);
    assert_eq!(explanation.answer.remedy.as_deref(), Some("Do not."));
    let find = |name: &str| explanation.considered.iter().find(|one| one.rule == name);
    let own = find("own").unwrap();
    assert!(own.holds && own.decided && own.effect == Effect::Forbid);
    let baseline = find("baseline").unwrap();
    assert!(baseline.holds && !baseline.decided && baseline.effect == Effect::Permit);
    assert!(!find("four-eyes").unwrap().holds);
    assert!(find("other").is_none(), "its scope names another action");
    assert!(explanation.considered.len() < explanation.rules);
}

#[test]
fn questions_are_written_and_read_as_the_documents_show() {
    let question = question("tenant.move");
    let text = serde_json::to_value(&question).unwrap();
    assert_eq!(text["principal"]["kind"], "operator");
    assert_eq!(text["resource"]["type"], "tenant");
    assert_eq!(text["resource"]["allowedRegions"][0], "eu-central");
    assert_eq!(serde_json::from_value::<tenantry_policy::Question>(text.clone()).unwrap(), question);
    let mut wrong = text;
    wrong["context"]["grnated"] = true.into();
    assert!(serde_json::from_value::<tenantry_policy::Question>(wrong).is_err());
    assert!(action::groups("tenant.move").unwrap().contains(&action::PLACEMENT));
}
