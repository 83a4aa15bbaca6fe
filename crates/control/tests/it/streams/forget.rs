//! The end of a stream: nothing is kept for it, and nothing of it is in the way of a new one.

use tenantry_control::Subject;
use tenantry_control::streams::forget;
use tenantry_domain::code::Code;
use tenantry_domain::event::Type;
use tenantry_testkit::nats::Nats;

use super::{Process, STREAM, execute, lab, settled, standing};
use crate::webhooks::{draft, emit, number};
use crate::world::World;

async fn rows(world: &World) -> i64 {
    let sql = "SELECT (SELECT count(*) FROM tenantry.stream_sink) + (SELECT count(*) FROM tenantry.stream_lane)
        + (SELECT count(*) FROM tenantry.stream_cursor) + (SELECT count(*) FROM tenantry.stream_line)";
    number(world, sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_stream_leaves_nothing_and_can_begin_anew() {
    let nats = Nats::start().await;
    let world = World::with(lab(&nats.url())).await;
    let tenant = draft(&world, "acme").await;
    let process = Process::start(&world.deps);
    settled(&world).await;
    let refused = forget(&world.cx(), &world.deps, STREAM).await.unwrap_err();
    assert_eq!(refused.code(), Code::InUse, "{refused}");
    assert!(refused.to_string().contains(&world.deps.replica().to_string()), "{refused}");
    process.stop().await;
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 2).await;
    assert_eq!(forget(&world.cx(), &world.deps, STREAM).await.unwrap().behind, 2);
    assert_eq!(rows(&world).await, 0);
    assert!(standing(&world).await.is_none());
    let audited = "SELECT count(*) FROM tenantry.audit WHERE action = 'stream.forget' AND outcome = 'success'";
    assert_eq!(number(&world, audited).await, 1);
    let again = forget(&world.cx(), &world.deps, STREAM).await.unwrap_err();
    assert_eq!(again.code(), Code::ObjectNotFound, "{again}");
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 2).await;
    assert_eq!(rows(&world).await, 0, "commits note nothing for it");

    // Whoever forgot it died before all of it was cleared, and a commit that was under way had still seen it.
    execute(
        &world,
        "INSERT INTO tenantry.stream_cursor (sink, env, subject, published) SELECT 'TENANTRY', env, id, 1000 FROM tenantry.tenant;
        INSERT INTO tenantry.stream_line (sink, env, subject, newest, since)
            SELECT 'TENANTRY', env, id, 1, clock_timestamp() FROM tenantry.tenant",
    )
    .await;
    let process = Process::start(&world.deps);
    settled(&world).await;
    process.stop().await;
    // The stream is the same, so what is in it is found there, and only the rest is published.
    let all = number(&world, "SELECT count(*) FROM tenantry.outbox").await;
    assert_eq!(i64::try_from(nats.count(STREAM).await).unwrap(), all);
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.stream_cursor WHERE published >= 1000").await, 0);
}
