//! Rules that are swapped and tried while questions are asked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tenantry_policy::{Decider, Stage, governance};

use crate::sample::{question, strict};

#[test]
fn tried_rules_are_asked_and_do_not_decide() {
    let stage = Stage::new(governance::builtin().unwrap().engine);
    stage.try_out(Some(strict("2").compile().unwrap().engine));
    assert!(stage.ask(&question("tenant.suspend")).allowed);
    assert!(stage.ask(&question("tenant.resume")).allowed);
    let tally = stage.tally();
    assert_eq!((tally.allowed, tally.refused, tally.shadow_same, tally.shadow_different), (2, 0, 1, 1));
    let difference = &stage.differences()[0];
    assert_eq!((difference.action.as_str(), difference.principal.as_str()), ("tenant.suspend", "operator:tok_1"));
    assert!(difference.active.allowed && !difference.shadow.allowed && difference.shadow.rules == ["no-suspend"]);
    // Only so many are kept, and a new trial begins at nothing.
    for _ in 0..100 {
        let _ = stage.ask(&question("tenant.suspend"));
    }
    assert_eq!((stage.differences().len(), stage.tally().shadow_different), (32, 101));
    stage.try_out(None);
    assert_eq!((stage.differences().len(), stage.tally().shadow_different), (0, 0));
}

#[test]
fn every_answer_is_of_one_set_of_rules_while_they_are_swapped() {
    let (open, shut) = (governance::builtin().unwrap().engine, strict("2").compile().unwrap().engine);
    let stage = Stage::new(open.clone());
    let (ended, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let answer = stage.ask(&question("tenant.suspend"));
                    let expected = if answer.allowed { open.fingerprint() } else { shut.fingerprint() };
                    assert_eq!(answer.fingerprint, expected);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while asked.load(Ordering::Relaxed) < 400 {
            stage.activate(shut.clone());
            stage.activate(open.clone());
        }
        ended.store(true, Ordering::Relaxed);
    });
    let tally = stage.tally();
    assert_eq!(tally.allowed + tally.refused, asked.load(Ordering::Relaxed));
}

#[tokio::test]
async fn the_hook_sees_every_decision() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    let stage = Stage::new(strict("1").compile().unwrap().engine).with_hook(Arc::new(move |question, answer| {
        into.lock().unwrap().push((question.action.clone(), answer.allowed));
    }));
    let decider = Decider::Builtin(Arc::new(stage));
    for action in ["tenant.suspend", "tenant.resume", "no.such"] {
        decider.decide(&question(action)).await.unwrap();
    }
    let expected = [("tenant.suspend", false), ("tenant.resume", true), ("no.such", false)];
    assert_eq!(*seen.lock().unwrap(), expected.map(|(action, allowed)| (action.to_owned(), allowed)));
    assert_eq!(decider.stage().unwrap().tally().refused, 2);
}
