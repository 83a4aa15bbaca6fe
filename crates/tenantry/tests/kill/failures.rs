//! Failures injected into steps: for good before the point of no return, for good behind it, in an undo, and passing.

use std::time::{Duration, Instant};

use tenantry_domain::isolation::Isolation;
use tenantry_domain::workflow::definition::DEFINITIONS;
use tenantry_domain::workflow::{Direction, Kind, StepName};

use crate::digest::Digest;
use crate::sweep::{is_full, is_wanted, last_step, undisturbed};
use crate::verdict::{Allowed, End, check, check_all, judge};
use crate::world::drive::state_before;
use crate::world::manifests::LEVELS;
use crate::world::{PATIENCE, Serve, Tuning, World};

/// A step that fails at one level.
struct Case {
    kind: Kind,
    step: StepName,
    direction: Direction,
    level: Isolation,
    slug: String,
}

/// Each step (or undo) of each definition, at one level or at all.
fn cases(direction: Direction) -> Vec<Case> {
    let mut cases = Vec::new();
    for definition in DEFINITIONS {
        for (index, step) in
            definition.steps.iter().enumerate().filter(|(_, step)| direction == Direction::Do || step.has_undo)
        {
            let is_everywhere = matches!(definition.kind, Kind::Onboard | Kind::Delete) || is_full();
            let turn = index + definition.kind as usize;
            for (place, level) in LEVELS.into_iter().enumerate() {
                if (is_everywhere || turn % LEVELS.len() == place) && is_wanted(definition.kind, level) {
                    let slug = format!("{}-{level}-{index}", definition.kind);
                    cases.push(Case { kind: definition.kind, step: step.name, direction, level, slug });
                }
            }
        }
    }
    cases
}

/// The steps at which all of these tenants' runs fail.
fn faults(cases: &[Case], how: &str) -> Vec<(&'static str, String)> {
    let mut list = Vec::new();
    for Case { kind, step, direction, slug, .. } in cases {
        list.push(format!("{kind}/{step}/{direction}:{how}@{slug}"));
        if *direction == Direction::Undo {
            list.push(format!("{}:permanent@{slug}", last_step(*kind)));
        }
    }
    vec![("TENANTRY_FAIL", list.join(","))]
}

fn slugs(cases: &[Case]) -> Vec<String> {
    cases.iter().map(|case| case.slug.clone()).collect()
}

struct Bench {
    world: World,
    allowed: Vec<(Kind, Isolation, Allowed)>,
    before: Vec<Digest>,
}

impl Bench {
    /// Brings each case's tenant to where it begins, and sees what undisturbed runs of the same kinds leave.
    async fn prepare(cases: &[Case]) -> Self {
        let world = World::new(Tuning { sweep: Duration::from_millis(500), ..Tuning::default() }).await;
        let serve = world.serve(&[]).await;
        world.lay_foundation(&serve).await;
        let mut pairs: Vec<(Kind, Isolation)> = cases.iter().map(|case| (case.kind, case.level)).collect();
        pairs.sort_by_key(|(kind, level)| (*kind, LEVELS.iter().position(|other| other == level)));
        pairs.dedup();
        for state in ["draft", "active", "suspended", "archived"] {
            let is_here = |kind: Kind| state_before(kind) == state;
            let mut tenants: Vec<_> = pairs
                .iter()
                .filter(|(kind, _)| is_here(*kind))
                .map(|(kind, level)| (format!("reference-{kind}-{level}"), *level))
                .collect();
            tenants.extend(cases.iter().filter(|case| is_here(case.kind)).map(|case| (case.slug.clone(), case.level)));
            if !tenants.is_empty() {
                world.bring(&serve, &tenants, state).await;
            }
        }
        let mut allowed = Vec::new();
        for (kind, level) in pairs {
            let slug = format!("reference-{kind}-{level}");
            allowed.push((kind, level, undisturbed(&world, &serve, kind, &slug, level).await));
        }
        let mut before = Vec::new();
        for case in cases {
            before.push(world.digest(&case.slug, case.level).await);
        }
        serve.stop().await;
        Self { world, allowed, before }
    }

    async fn ask(&self, serve: &Serve, cases: &[Case]) -> Vec<Option<String>> {
        let mut operations = Vec::new();
        for case in cases {
            operations.push(self.world.ask(serve, case.kind, &case.slug, case.level).await);
        }
        operations
    }

    /// Waits until the newest run of each case's kind is one of these.
    async fn runs(&self, cases: &[Case], statuses: &[&str]) {
        let until = Instant::now() + PATIENCE * 2;
        for case in cases {
            let tenant = self.world.tenant(&case.slug).await.id;
            while !self
                .world
                .run(tenant, case.kind.as_str())
                .await
                .is_some_and(|run| statuses.contains(&run.status.as_str()))
            {
                assert!(
                    Instant::now() < until,
                    "{} is not {statuses:?}\n{}",
                    case.slug,
                    self.world.dump(std::slice::from_ref(&case.slug)).await
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    async fn judge(&self, cases: &[Case], end: impl Fn(&Case) -> End) -> Vec<String> {
        let mut wrong = Vec::new();
        for (case, before) in cases.iter().zip(&self.before) {
            let known =
                self.allowed.iter().find(|(kind, level, _)| (*kind, *level) == (case.kind, case.level)).unwrap();
            let allowed = Allowed { before: before.clone(), after: known.2.after.clone() };
            let found = judge(&self.world, &case.slug, case.level, case.kind, end(case), &allowed).await;
            if !found.is_empty() {
                let dump = self.world.dump(std::slice::from_ref(&case.slug)).await;
                wrong.push(format!("{} {}/{}: {}\n{dump}", case.slug, case.step, case.direction, found.join("\n")));
            }
        }
        wrong
    }
}

fn is_past_return(case: &Case) -> bool {
    case.kind == Kind::Delete
}

/// A step that fails for good unwinds the run to the world before, or behind the point of no return is stuck, tells
/// so, and completes once a human lets it try again.
#[tokio::test]
async fn permanent_failures_unwind_or_wait_for_a_human() {
    let cases = cases(Direction::Do);
    if cases.is_empty() {
        return;
    }
    let bench = Bench::prepare(&cases).await;
    let serve = bench.world.serve(&faults(&cases, "permanent")).await;
    let operations = bench.ask(&serve, &cases).await;
    bench.runs(&cases, &["unwound", "stuck"]).await;
    let mut wrong = Vec::new();
    for case in cases.iter().filter(|case| is_past_return(case)) {
        // Its place is half gone, which is what being past the point of no return means.
        let is_excused = |what: &String| what.starts_with("I4:") || what.starts_with("I34:");
        wrong.extend(check(&bench.world, &case.slug).await.into_iter().filter(|what| !is_excused(what)));
        let tenant = bench.world.tenant(&case.slug).await.id;
        if bench.world.run(tenant, case.kind.as_str()).await.unwrap().status != "stuck" {
            wrong.push(format!("{} is not stuck", case.slug));
        }
    }
    serve.stop().await;
    let serve = bench.world.serve(&[]).await;
    for (case, operation) in cases.iter().zip(&operations).filter(|(case, _)| is_past_return(case)) {
        serve
            .client
            .retry(operation.as_ref().unwrap())
            .await
            .unwrap_or_else(|error| panic!("{}: {error:?}", case.slug));
    }
    bench.world.quiet(&slugs(&cases)).await.unwrap();
    wrong.extend(bench.judge(&cases, |case| if is_past_return(case) { End::Completed } else { End::Unwound }).await);
    wrong.extend(check_all(&bench.world).await);
    serve.stop().await;
    assert!(wrong.is_empty(), "{} wrong:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

/// An undo that fails for good is stuck; let to try again, it goes on with the way back to its end.
#[tokio::test]
async fn failed_undos_are_stuck_and_go_on_when_told() {
    let cases = cases(Direction::Undo);
    if cases.is_empty() {
        return;
    }
    let bench = Bench::prepare(&cases).await;
    let serve = bench.world.serve(&faults(&cases, "permanent")).await;
    let operations = bench.ask(&serve, &cases).await;
    bench.runs(&cases, &["stuck"]).await;
    serve.stop().await;
    let serve = bench.world.serve(&[]).await;
    for (case, operation) in cases.iter().zip(&operations) {
        serve
            .client
            .retry(operation.as_ref().unwrap())
            .await
            .unwrap_or_else(|error| panic!("{}: {error:?}", case.slug));
    }
    bench.world.quiet(&slugs(&cases)).await.unwrap();
    let mut wrong = bench.judge(&cases, |_| End::Unwound).await;
    wrong.extend(check_all(&bench.world).await);
    serve.stop().await;
    assert!(wrong.is_empty(), "{} wrong:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

/// A failure that may pass is tried again, and the run completes as if nothing had been.
#[tokio::test]
async fn passing_failures_are_tried_again() {
    let cases = cases(Direction::Do);
    if cases.is_empty() {
        return;
    }
    let bench = Bench::prepare(&cases).await;
    let serve = bench.world.serve(&faults(&cases, "retryable")).await;
    bench.ask(&serve, &cases).await;
    let until = Instant::now() + PATIENCE;
    for case in &cases {
        let tenant = bench.world.tenant(&case.slug).await.id;
        while !bench.world.has_fact(tenant, case.kind.as_str(), "failed").await {
            assert!(
                Instant::now() < until,
                "{} does not fail\n{}",
                case.slug,
                bench.world.dump(std::slice::from_ref(&case.slug)).await
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    serve.stop().await;
    let serve = bench.world.serve(&[]).await;
    bench.world.quiet(&slugs(&cases)).await.unwrap();
    let mut wrong = bench.judge(&cases, |_| End::Completed).await;
    wrong.extend(check_all(&bench.world).await);
    serve.stop().await;
    assert!(wrong.is_empty(), "{} wrong:\n\n{}", wrong.len(), wrong.join("\n\n"));
}
