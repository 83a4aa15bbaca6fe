//! One decision of policy, with a thousand rules and a hundred thousand tenants, in the process.
//!
//! The rules are spread as operators write them: most name one action, some a group of actions, some a tenant or an
//! environment, a few nothing. The same questions are put to all rules together, without the index; and to rules that
//! all name the group that every change is in, of which the index can leave out none.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tenantry_policy::{
    Bundle, Circumstances, Engine, Principal, PrincipalKind, Question, Resource, TenantFacts, action,
};

use super::Bench;
use crate::measure::Samples;
use crate::report::Figure;

const RULES: usize = 1_000;
const REGIONS: [&str; 4] = ["eu-central", "eu-west", "us-east", "ap-south"];
const PLANS: [&str; 3] = ["basic", "standard", "enterprise"];

/// The decisions, by the index and without it.
pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let tenants = bench.size.pick(100_000, 20_000, 200);
    let few = bench.size.pick(5_000, 1_000, 50);

    let spread = engine(&spread_rules())?;
    let whole = spread.whole();
    let (mut index, mut all, mut allowed) = (Samples::default(), Samples::default(), 0_usize);
    for number in 0..tenants {
        let question = question(number);
        let began = Instant::now();
        let answer = black_box(spread.ask(black_box(&question)));
        index.push(began.elapsed());
        allowed += usize::from(answer.allowed);
        // In turns, so that a slow moment of the machine hits both.
        if number % (tenants / few) == 0 {
            let began = Instant::now();
            let other = black_box(spread.ask_whole(black_box(&question), &whole));
            all.push(began.elapsed());
            ensure!(answer == other, "the index changed an answer: {question:?}");
        }
    }
    ensure!(allowed > 0 && allowed < tenants, "made-up rules that decide nothing");
    bench.say(Figure::latency("1,000 rules", &index).against("without the index", all.at(0.5)).p99_at_most(0.1));
    bench.say(Figure::latency("1,000 rules, without the index", &all));
    bench.note(format!("{allowed} of {tenants} questions were allowed; each was about another tenant"));

    let dense = engine(&dense_rules())?;
    let mut samples = Samples::default();
    for number in 0..few {
        let question = question(number);
        let began = Instant::now();
        black_box(dense.ask(black_box(&question)));
        samples.push(began.elapsed());
    }
    bench.say(Figure::latency("1,000 rules about every change", &samples));

    let shipped = tenantry_policy::governance::builtin()?.engine;
    let mut samples = Samples::default();
    for number in 0..tenants {
        let question = question(number);
        let began = Instant::now();
        black_box(shipped.ask(black_box(&question)));
        samples.push(began.elapsed());
    }
    bench.say(Figure::latency("the shipped rules alone", &samples).p99_at_most(0.1));
    Ok(())
}

fn engine(rules: &str) -> Result<Engine> {
    let files = BTreeMap::from([
        ("policy.toml".to_owned(), b"name = \"bench\"\nversion = \"1\"\n".to_vec()),
        ("made-up.cedar".to_owned(), rules.as_bytes().to_vec()),
    ]);
    let compiled = Bundle::new(files)?.compile().context("made-up rules")?;
    ensure!(compiled.engine.len() >= RULES, "too few rules");
    Ok(compiled.engine)
}

fn changes() -> Vec<&'static str> {
    let writes = |(_, groups): &&(&str, &[&str])| groups.contains(&action::WRITE);
    action::ACTIONS.iter().filter(writes).map(|(name, _)| *name).collect()
}

/// A condition that holds for about one tenant of a hundred.
fn condition(number: usize) -> String {
    let plan = PLANS[number % PLANS.len()];
    let account = number % 97;
    match number % 3 {
        0 => format!(
            "resource.plan == \"{plan}\" && resource.hasTag(\"account\") && resource.getTag(\"account\") == \"a{account}\""
        ),
        1 => format!("resource.residencyFlags.contains(\"f{account}\") && !resource.synthetic"),
        _ => format!(
            "resource.regulated && resource.plan == \"{plan}\" && context.approvals.isEmpty() && resource.phase == \"x{account}\""
        ),
    }
}

fn spread_rules() -> String {
    let (changes, groups) = (changes(), [action::DESTRUCTIVE, action::EGRESS, action::MAINTENANCE, action::ACCESS]);
    let mut text = String::new();
    for number in 0..RULES {
        let (action, resource) = match number % 100 {
            0..70 => (named("==", changes[number % changes.len()]), "resource is Tenantry::Tenant".to_owned()),
            70..85 => (named("in", groups[number % groups.len()]), "resource is Tenantry::Tenant".to_owned()),
            85..93 => ("action".to_owned(), format!("resource == Tenantry::Tenant::\"ten_{}\"", number * 7)),
            93..98 => (
                "action".to_owned(),
                format!("resource is Tenantry::Tenant in Tenantry::Environment::\"env-{number}\""),
            ),
            _ => ("action".to_owned(), "resource is Tenantry::Tenant".to_owned()),
        };
        rule(&mut text, number, &action, &resource);
    }
    text
}

fn dense_rules() -> String {
    let mut text = String::new();
    for number in 0..RULES {
        rule(&mut text, number, &named("in", action::WRITE), "resource is Tenantry::Tenant");
    }
    text
}

fn named(how: &str, name: &str) -> String {
    format!("action {how} Tenantry::Action::\"{name}\"")
}

fn rule(text: &mut String, number: usize, action: &str, resource: &str) {
    let condition = condition(number);
    // Writing to a text cannot fail.
    let _ = writeln!(
        text,
        "@id(\"rule-{number}\") @remedy(\"Ask.\") forbid (principal, {action}, {resource}) when {{ {condition} }};"
    );
}

/// A question about the tenant of a number.
fn question(number: usize) -> Question {
    let changes = changes();
    let home = REGIONS[number % REGIONS.len()].to_owned();
    let set = |words: &[String]| words.iter().cloned().collect();
    Question {
        principal: Principal {
            kind: PrincipalKind::Operator,
            id: format!("tok_{}", number % 50),
            roles: set(&["admin".to_owned(), "support".to_owned()]),
            environment: None,
        },
        action: changes[number * 13 % changes.len()].to_owned(),
        resource: Resource::Tenant(TenantFacts {
            id: format!("ten_{number}"),
            slug: format!("tenant-{number}"),
            environment: "prod".to_owned(),
            plan: PLANS[number / 3 % PLANS.len()].to_owned(),
            phase: "active".to_owned(),
            isolation: "shared".to_owned(),
            region: Some(home.clone()),
            allowed_regions: set(&[home.clone(), "eu-north".to_owned()]),
            residency_flags: set(&["gdpr".to_owned()]),
            labels: BTreeMap::from([
                ("account".to_owned(), format!("a{}", number % 97)),
                ("team".to_owned(), "blue".to_owned()),
            ]),
            regulated: number.is_multiple_of(5),
            ..TenantFacts::default()
        }),
        context: Circumstances {
            granted: true,
            now: tenantry_domain::Timestamp::now(),
            reason: Some("asked for by the customer".to_owned()),
            regions: set(&[home]),
            ..Circumstances::default()
        },
    }
}
