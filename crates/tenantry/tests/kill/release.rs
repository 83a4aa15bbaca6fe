//! SIGKILL while a new version of the app is brought to every tenant.
//!
//! Unlike a tenant's own change, a release has work for the step that migrates, and many tenants take it at once. At
//! each point the process dies in the run of one tenant; in the end that tenant's world is that of its twin.

use std::time::Instant;

use tenantry_api::client::ClientError;
use tenantry_control::engine::fault::all;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::workflow::Kind;

use crate::report::report_figures;
use crate::sweep::{Case, died_at, is_wanted};
use crate::verdict::{check, check_all};
use crate::world::manifests::{LEVELS, app};
use crate::world::{Tuning, World};

fn twin(level: Isolation) -> String {
    format!("twin-{level}")
}

/// Everything that is wrong once a release has reached everybody.
async fn judge(world: &World, case: &Case) -> Vec<String> {
    if let Err(what) = world.released().await {
        return vec![what];
    }
    let digest = world.digest(&case.slug, case.level).await;
    let mut wrong = check(world, &case.slug).await;
    if let Some(difference) = digest.difference(&world.digest(&twin(case.level), case.level).await) {
        wrong.push(format!("the world is not that of the twin:\n{difference}"));
    }
    wrong.into_iter().map(|what| format!("{} {}: {what}", case.point, case.level)).collect()
}

#[tokio::test]
async fn a_release_that_is_killed_reaches_everybody() {
    // Shared tables are migrated once for all their tenants, by no tenant's workflow.
    let has_place = |level: &Isolation| *level != Isolation::Shared;
    let levels: Vec<Isolation> =
        LEVELS.into_iter().filter(has_place).filter(|level| is_wanted(Kind::Update, *level)).collect();
    if levels.is_empty() {
        return;
    }
    let world = World::new(Tuning::default()).await;
    let serve = world.serve(&[]).await;
    world.lay_foundation(&serve).await;
    let killed = |level: Isolation| format!("killed-{level}");
    let tenants: Vec<_> = levels.iter().flat_map(|level| [(killed(*level), *level), (twin(*level), *level)]).collect();
    world.bring(&serve, &tenants, "active").await;
    serve.stop().await;
    let began = Instant::now();
    let mut wrong = Vec::new();
    let points: Vec<_> = all().into_iter().filter(|point| point.kind == Kind::Update).collect();
    let count = points.len();
    for (index, point) in points.into_iter().enumerate() {
        let level = levels[index % levels.len()];
        let case = Case { point, level, slug: killed(level) };
        for (number, death) in case.deaths().into_iter().enumerate() {
            let mut serve = world.start(&case.faults(death));
            if number == 0 {
                serve.ready().await;
                match serve.client.apply(&[app(index + 1)], None).await {
                    Ok(_) | Err(ClientError::Transport { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            if let Err(what) = died_at(&world, &mut serve, &death).await {
                let dump = world.dump(std::slice::from_ref(&case.slug)).await;
                wrong.push(format!("{point} {level}: {death} was not hit: {what}\n{dump}"));
            }
        }
        // The others were on their way as well, so a process that is armed for one of them would die of this release.
        let serve = world.serve(&[]).await;
        wrong.extend(judge(&world, &case).await);
        serve.stop().await;
    }
    let serve = world.serve(&[]).await;
    wrong.extend(check_all(&world).await);
    serve.stop().await;
    let each = began.elapsed().as_secs_f64() / f64::from(u32::try_from(count).unwrap());
    report_figures(&format!("release: {count} cases, {each:.2} s each, {} wrong", wrong.len()));
    assert!(wrong.is_empty(), "{} of {count} cases:\n\n{}", wrong.len(), wrong.join("\n\n"));
}
