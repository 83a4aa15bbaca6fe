//! Every effect twice: a step, or an undo, that runs again after it had its effect changes nothing.

use std::time::{Duration, Instant};

use tenantry_domain::isolation::Isolation;
use tenantry_domain::workflow::{Definition, Kind};

use crate::digest::Digest;
use crate::sweep::last_step;
use crate::verdict::{check, check_all};
use crate::world::manifests::LEVELS;
use crate::world::{PATIENCE, Serve, Tuning, World};

/// A life that meets every definition.
const LIFE: &[Kind] = &[
    Kind::Onboard,
    Kind::Update,
    Kind::Repair,
    Kind::Suspend,
    Kind::Resume,
    Kind::Suspend,
    Kind::Archive,
    Kind::Restore,
    Kind::Suspend,
    Kind::Archive,
    Kind::Delete,
];

/// Runs one kind and waits for its end.
async fn live(world: &World, serve: &Serve, kind: Kind, slug: &str, level: Isolation) {
    let tenant = world.tenant(slug).await.id;
    let last = world.run(tenant, kind.as_str()).await;
    world.ask(serve, kind, slug, level).await;
    let until = Instant::now() + PATIENCE;
    while world.run(tenant, kind.as_str()).await == last {
        assert!(Instant::now() < until, "{kind} does not begin\n{}", world.dump(&[slug.to_owned()]).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.quiet(&[slug.to_owned()]).await.unwrap_or_else(|error| panic!("{kind} of {slug}: {error}"));
    if kind == Kind::Onboard && world.tenant(slug).await.phase == "active" {
        world.fill(&[(slug.to_owned(), level)]).await;
    }
}

async fn life(world: &World, serve: &Serve, slug: &str, level: Isolation) -> Vec<Digest> {
    let mut digests = Vec::new();
    for kind in LIFE {
        live(world, serve, *kind, slug, level).await;
        digests.push(world.digest(slug, level).await);
    }
    digests
}

#[tokio::test]
async fn steps_that_run_twice_leave_the_same_world() {
    let world = World::new(Tuning { sweep: Duration::from_millis(100), ..Tuning::default() }).await;
    let serve = world.serve(&[]).await;
    world.lay_foundation(&serve).await;
    let drafts: Vec<_> =
        LEVELS.into_iter().flat_map(|level| ["once", "twice"].map(|who| (format!("{who}-{level}"), level))).collect();
    world.bring(&serve, &drafts, "draft").await;
    let mut once = Vec::new();
    for level in LEVELS {
        once.push(life(&world, &serve, &format!("once-{level}"), level).await);
    }
    serve.stop().await;
    let serve = world.serve(&[("TENANTRY_REPEAT", "1".to_owned())]).await;
    let mut wrong = Vec::new();
    for (level, once) in LEVELS.into_iter().zip(once) {
        let slug = format!("twice-{level}");
        let twice = life(&world, &serve, &slug, level).await;
        for ((kind, twice), once) in LIFE.iter().zip(twice).zip(once) {
            if let Some(difference) = twice.difference(&once) {
                wrong.push(format!("{kind} at {level}, run twice:\n{difference}"));
            }
        }
        wrong.extend(check(&world, &slug).await);
    }
    wrong.extend(check_all(&world).await);
    serve.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn undos_that_run_twice_leave_the_same_world() {
    let kinds: Vec<Kind> = Kind::ALL
        .iter()
        .copied()
        .filter(|kind| Definition::newest(*kind).steps.iter().any(|step| step.has_undo))
        .collect();
    let world = World::new(Tuning::default()).await;
    let serve = world.serve(&[]).await;
    world.lay_foundation(&serve).await;
    let mut tenants = Vec::new();
    for kind in &kinds {
        let of_kind: Vec<_> = LEVELS.into_iter().map(|level| (format!("{kind}-{level}"), level)).collect();
        world.bring(&serve, &of_kind, crate::world::drive::state_before(*kind)).await;
        tenants.extend(of_kind.into_iter().map(|(slug, level)| (*kind, slug, level)));
    }
    serve.stop().await;
    let fail: Vec<String> = kinds.iter().map(|kind| format!("{}:permanent", last_step(*kind))).collect();
    let serve = world.serve(&[("TENANTRY_REPEAT", "1".to_owned()), ("TENANTRY_FAIL", fail.join(","))]).await;
    let mut wrong = Vec::new();
    for (kind, slug, level) in &tenants {
        let before = world.digest(slug, *level).await;
        live(&world, &serve, *kind, slug, *level).await;
        let tenant = world.tenant(slug).await.id;
        let status = world.run(tenant, kind.as_str()).await.map(|run| run.status);
        if status.as_deref() != Some("unwound") {
            wrong.push(format!("{slug} ended as {status:?}"));
        }
        if let Some(difference) = world.digest(slug, *level).await.difference(&before) {
            wrong.push(format!("{slug}, undone twice:\n{difference}"));
        }
        wrong.extend(check(&world, slug).await);
    }
    wrong.extend(check_all(&world).await);
    serve.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
