//! A tenant is suspended and resumed while it and its neighbours are at work.

use std::time::{Duration, Instant};

use crate::load::{Load, Pace, Said};
use crate::world::{LEVELS, World, wait};

/// How soon a suspension holds, and how soon clients of a tenant that was resumed write again.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_of_a_suspended_tenant_notice_nothing() {
    let world = World::new(1, 2).await;
    let gates = [world.gate("one", &[]).await, world.gate("two", &[]).await];
    let load = Load::start(&world, &gates.each_ref().map(|gate| gate.port), Pace::default()).await;
    for level in LEVELS {
        let slug = format!("{level}-0-0");
        let one = |tenant: &crate::world::Tenant| tenant.slug == slug;
        let began = Instant::now();
        world.done(&["suspend", &slug, "--reason", "commercial", "--yes"]).await;
        let suspended = Instant::now();
        wait("its clients are told", SOON, async || (!load.errors(one).is_empty()).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        load.times(one);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(load.times(one).count, 0, "nothing is written to a suspended tenant");
        let resumed = Instant::now();
        world.done(&["resume", &slug]).await;
        let done = Instant::now();
        load.all_write_since(done, SOON, one).await;
        let said = load.errors(one);
        eprintln!(
            "gateway: suspended at {level} in {} ms; after it was resumed (in {} ms) its clients wrote again within {} ms; they \
             were told {said:?}",
            (suspended - began).as_millis(),
            (done - resumed).as_millis(),
            done.elapsed().as_millis()
        );
        // What a connection ends by after its client was told is of no concern. A statement whose server session is ended
        // under it while it arrives has an outcome that nobody knows.
        for word in said
            .keys()
            .filter(|word| !["idle: closed", "idle: lost: Connection reset"].iter().any(|end| word.starts_with(end)))
        {
            let word = word.trim_start_matches("idle: ").trim_start_matches("login: ");
            assert!(["57P01", "57P03", "TN002", "08006", "closed"].iter().any(|code| word.starts_with(code)), "{word}");
        }
    }
    let neighbours = load.errors(|tenant| tenant.slug.ends_with("-1"));
    assert_eq!(neighbours, Said::new(), "neighbours notice nothing");
    let verdict = load.end(&world).await;
    eprintln!("gateway: a tenant suspended and resumed at each level: {verdict}");
}
