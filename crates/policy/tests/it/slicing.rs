//! The index never changes an answer: what it leaves out could not have decided.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::select;
use tenantry_policy::{Engine, EnvironmentFacts, ObjectFacts, PrincipalKind, Question, Resource, TenantFacts, action};

use crate::sample::{self, acme, bundle};

const TENANTS: [&str; 3] = ["ten_1", "ten_2", "ten_3"];
const ENVIRONMENTS: [&str; 2] = ["prod", "test"];
const ASKED: [&str; 5] = ["tenant.suspend", "tenant.move", "tenant.read", "webhook.update", "catalog.delete"];

fn principal() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("principal".to_owned()),
        1 => Just("principal is Tenantry::Principal".to_owned()),
        1 => select(vec!["==", "in", "is Tenantry::Principal in"]).prop_map(|how| format!("principal {how} Tenantry::Principal::\"operator:tok_1\"")),
    ]
}

fn action_scope() -> impl Strategy<Value = String> {
    let named = |name: &str| format!("Tenantry::Action::\"{name}\"");
    prop_oneof![
        2 => Just("action".to_owned()),
        3 => select(ASKED.to_vec()).prop_map(move |name| format!("action == {}", named(name))),
        3 => select(action::GROUPS.to_vec()).prop_map(move |name| format!("action in {}", named(name))),
        1 => proptest::collection::vec(select(ASKED.to_vec()), 1..3).prop_map(move |names| {
            let names: Vec<_> = names.iter().map(|name| named(name)).collect();
            format!("action in [{}]", names.join(", "))
        }),
    ]
}

fn resource() -> impl Strategy<Value = String> {
    let tenant = || select(TENANTS.to_vec()).prop_map(|id| format!("Tenantry::Tenant::\"{id}\""));
    let environment = || select(ENVIRONMENTS.to_vec()).prop_map(|id| format!("Tenantry::Environment::\"{id}\""));
    prop_oneof![
        3 => Just("resource".to_owned()),
        1 => select(vec!["Tenant", "Environment", "Object"]).prop_map(|kind| format!("resource is Tenantry::{kind}")),
        1 => tenant().prop_map(|uid| format!("resource == {uid}")),
        1 => tenant().prop_map(|uid| format!("resource in {uid}")),
        1 => environment().prop_map(|uid| format!("resource == {uid}")),
        1 => environment().prop_map(|uid| format!("resource in {uid}")),
        1 => environment().prop_map(|uid| format!("resource is Tenantry::Tenant in {uid}")),
        1 => tenant().prop_map(|uid| format!("resource is Tenantry::Object in {uid}")),
    ]
}

fn condition() -> impl Strategy<Value = &'static str> {
    select(vec![
        "true",
        "context.granted",
        "!context.granted",
        "context.approvalCount > 0",
        "context.regions.contains(\"eu-west\")",
        "context.environment == \"prod\"",
        "principal.roles.contains(\"admin\")",
        // Overflows.
        "context.approvalCount + 9223372036854775807 + 1 > 0",
        "context.granted && context.approvalCount + 9223372036854775807 + 1 > 0",
        "context.approvalCount + 9223372036854775807 + 1 > 0 && context.environment == \"prod\"",
        "context.environment == \"prod\" && context.approvalCount + 9223372036854775807 + 1 > 0",
        "context.regions.contains(\"eu-west\") && principal.kind == \"operator\"",
        "context.regions.contains(\"us-east\")",
        "context.approvalCount == 1",
        "!context.approvals.isEmpty()",
        // Known before any question.
        "context.settings.residency.enabled",
        "context.settings.fourEyes.enabled",
        "!context.settings.fourEyes.enabled && context.granted",
        "context.settings.residency.enabled && principal.kind == \"service\"",
        "context.settings.fourEyes.enabled && context.approvalCount + 9223372036854775807 + 1 > 0",
        "principal has environment && principal.environment == \"prod\"",
        "context.granted && !context.regions.isEmpty() && context.environment == \"prod\" && context.approvalCount == 1",
        "context.approvalCount < 1 && context.approvalCount + 9223372036854775807 + 1 > 0 && context.environment == \"prod\"",
        "context.settings.fourEyes.needed > 0 && principal.roles.containsAny([\"admin\", \"none\"]) && context.granted",
        // Nothing that may be turned around.
        "context.granted || context.environment == \"prod\"",
        "if context.granted then context.environment == \"prod\" else true",
        "!(context.granted && context.environment == \"prod\")",
        "context.environment != \"prod\"",
    ])
}

fn rules() -> impl Strategy<Value = Vec<(bool, String, String, String, &'static str)>> {
    proptest::collection::vec((any::<bool>(), principal(), action_scope(), resource(), condition()), 1..24)
}

fn thing() -> impl Strategy<Value = Resource> {
    let facts = || {
        let plans = select(vec!["standard", "enterprise"]);
        let what = (plans, any::<bool>(), select(vec!["eu-west", "us-east"]), select(vec!["gold", "tin", ""]));
        (select(TENANTS.to_vec()), select(ENVIRONMENTS.to_vec()), what).prop_map(
            |(id, environment, (plan, regulated, region, tier))| TenantFacts {
                id: id.to_owned(),
                environment: environment.to_owned(),
                plan: plan.to_owned(),
                regulated,
                allowed_regions: sample::set(&[region]),
                labels: (!tier.is_empty()).then(|| ("tier".to_owned(), tier.to_owned())).into_iter().collect(),
                ..acme()
            },
        )
    };
    prop_oneof![
        facts().prop_map(Resource::Tenant),
        select(ENVIRONMENTS.to_vec()).prop_map(|name| Resource::Environment(EnvironmentFacts {
            name: name.to_owned(),
            labels: std::collections::BTreeMap::new()
        })),
        (proptest::option::of(facts()), select(ENVIRONMENTS.to_vec())).prop_map(|(tenant, environment)| {
            Resource::Object(ObjectFacts {
                kind: "thing".to_owned(),
                id: "1".to_owned(),
                environment: environment.to_owned(),
                tenant,
                ..ObjectFacts::default()
            })
        }),
    ]
}

fn asked() -> impl Strategy<Value = Question> {
    let who = (select(vec!["tok_1", "tok_2"]), select(vec![PrincipalKind::Operator, PrincipalKind::Service]));
    let extra = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (who, select(ASKED.to_vec()), thing(), extra).prop_map(|((id, kind), action, resource, (granted, a, b, c))| {
        let mut question = sample::question(action);
        (question.principal.id, question.principal.kind) = (id.to_owned(), kind);
        question.resource = resource;
        question.context.granted = granted;
        if a {
            question.principal.roles.clear();
        }
        if b {
            question.context.approvals = sample::set(&["operator:other"]);
        }
        if c {
            question.context.regions = sample::set(&["eu-west"]);
        }
        question
    })
}

/// What a rule about tenants asks before its condition.
const FIRST: [&str; 9] = [
    "",
    "resource.plan == \"standard\" && ",
    "resource.allowedRegions.contains(\"eu-west\") && ",
    "!resource.regulated && ",
    "resource.hasTag(\"tier\") && resource.getTag(\"tier\") == \"gold\" && ",
    "resource.hasTag(\"tier\") && resource.getTag(\"tier\") == \"tin\" && resource.plan == \"standard\" && ",
    "resource.regulated && resource.phase like \"act*\" && resource.plan == \"standard\" && ",
    "resource.regulated && ",
    "context.settings.fourEyes.enabled && resource.plan == \"enterprise\" && ",
];

fn engine(rules: &[(bool, String, String, String, &'static str)], four_eyes: bool) -> Engine {
    let mut text = String::new();
    for (number, (forbids, principal, action, resource, condition)) in rules.iter().enumerate() {
        let effect = if *forbids { "forbid" } else { "permit" };
        let is_of_tenants = resource.starts_with("resource is Tenantry::Tenant");
        let first = if is_of_tenants { FIRST[number % FIRST.len()] } else { "" };
        writeln!(
            text,
            "@id(\"r{number}\") @remedy(\"No.\") {effect} ({principal}, {action}, {resource}) when {{ {first}({condition}) }};"
        )
        .unwrap();
    }
    let manifest =
        format!("name = 'made-up'\nversion = '1'\ngovernance = []\n[settings.fourEyes]\nenabled = {four_eyes}\n");
    let compiled = bundle(&[("policy.toml", &manifest), ("made-up.cedar", &text)]).compile();
    compiled.unwrap_or_else(|error| panic!("{:?}\n{text}", error.complaints())).engine
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_those_of_all_rules_together(rules in rules(), four_eyes in any::<bool>(), questions in proptest::collection::vec(asked(), 24)) {
        let engine = engine(&rules, four_eyes);
        let whole = engine.whole();
        for question in &questions {
            prop_assert_eq!(engine.ask(question), engine.ask_whole(question, &whole), "{:?}", question);
        }
    }
}

#[test]
fn the_index_leaves_out_what_cannot_matter() {
    let rules: Vec<_> = (0..100)
        .map(|number| {
            let resource = format!("resource == Tenantry::Tenant::\"ten_{number}\"");
            (false, "principal".to_owned(), "action".to_owned(), resource, "true")
        })
        .collect();
    let considered = engine(&rules, false).explain(&sample::question("tenant.move")).considered;
    assert_eq!(considered.len(), 1);
    assert!(considered[0].decided && considered[0].rule == "r1");
}

/// Who asks why is told of rules too whose first condition does not hold.
#[test]
fn an_explanation_names_what_the_index_leaves_out() {
    let rule = |name: &str, condition: &str| sample::forbid(name, "tenant.move", condition);
    let text = [
        rule("plan", "resource.plan == \"standard\""),
        rule("other-plan", "resource.plan == \"enterprise\""),
        rule("switched-off", "context.settings.fourEyes.enabled && resource.plan == \"standard\""),
    ]
    .concat();
    let manifest = "name = 'made-up'\nversion = '1'\ngovernance = []\n";
    let explained =
        sample::engine(&[("policy.toml", manifest), ("own.cedar", &text)]).explain(&sample::question("tenant.move"));
    assert_eq!(explained.answer.rules.iter().map(String::as_str).collect::<Vec<_>>(), ["plan"]);
    let told: Vec<_> = explained.considered.iter().map(|one| (one.rule.as_str(), one.holds)).collect();
    assert_eq!(told, [("other-plan", false), ("plan", true), ("switched-off", false)]);
}
