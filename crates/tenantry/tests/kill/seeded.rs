//! Tests of the tests: with a bug put into the engine on purpose the lane turns red, and says where.

use tenantry_domain::isolation::Isolation;
use tenantry_domain::workflow::Kind;

use crate::sweep::{last_step, undisturbed};
use crate::verdict::{End, judge};
use crate::world::{Tuning, World};

/// Onboards a tenant with a bug in the engine, forward or back, and gives what is found wrong.
async fn found(bug: &str, end: End) -> Vec<String> {
    let (level, kind) = (Isolation::Schema, Kind::Onboard);
    let world = World::new(Tuning::default()).await;
    let serve = world.serve(&[]).await;
    world.lay_foundation(&serve).await;
    world.bring(&serve, &[("reference".to_owned(), level), ("bugged".to_owned(), level)], "draft").await;
    let allowed = undisturbed(&world, &serve, kind, "reference", level).await;
    serve.stop().await;
    let mut faults = vec![("TENANTRY_BUG", bug.to_owned())];
    if end == End::Unwound {
        faults.push(("TENANTRY_FAIL", format!("{}:permanent", last_step(kind))));
    }
    let serve = world.serve(&faults).await;
    world.ask(&serve, kind, "bugged", level).await;
    world.quiet(&["bugged".to_owned()]).await.unwrap();
    let found = judge(&world, "bugged", level, kind, end, &allowed).await;
    serve.stop().await;
    found
}

fn assert_seen(found: &[String], by: &[&str]) {
    for start in by {
        assert!(found.iter().any(|what| what.starts_with(start)), "{start} does not see it: {found:#?}");
    }
}

#[tokio::test]
async fn without_a_bug_nothing_is_found() {
    assert_eq!(found("none", End::Completed).await, Vec::<String>::new());
    assert_eq!(found("none", End::Unwound).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_result_without_intent_is_seen() {
    assert_seen(&found("no-intent", End::Completed).await, &["I16"]);
}

#[tokio::test]
async fn a_result_without_effect_is_seen() {
    assert_seen(&found("skip-effect", End::Completed).await, &["the world", "I4"]);
}

#[tokio::test]
async fn an_undo_without_effect_is_seen() {
    assert_seen(&found("skip-undo", End::Unwound).await, &["the world", "I4", "I13"]);
}

#[tokio::test]
async fn a_fence_that_nobody_was_given_is_seen() {
    assert_seen(&found("high-fence", End::Completed).await, &["I19"]);
}
