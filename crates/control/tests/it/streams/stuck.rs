//! Events that this release cannot read are in nobody's way but their own tenant's.

use std::time::{Duration, Instant};

use tenantry_control::Subject;
use tenantry_domain::event::Type;
use tenantry_testkit::nats::Nats;

use super::{Process, STREAM, execute, fails, lab, settled};
use crate::webhooks::{draft, emit, number};
use crate::world::World;

/// More subjects than a publisher looks at, each with an event that it knows and one of a newer release behind it. They wait longest.
const NEWER: &str = "
    ALTER TABLE tenantry.outbox DISABLE TRIGGER append_only;
    WITH told AS (
        INSERT INTO tenantry.outbox (env, subject, sequence, id, type, at, correlation_id, causation_id, data)
        SELECT s.name, lpad(to_hex(n), 32, '0')::uuid, m, gen_random_uuid(),
            CASE m WHEN 1 THEN 'tenant.updated' ELSE 'tenant.teleported' END, clock_timestamp(), 'c', 'c', '{}'
        FROM tenantry.environment AS s, generate_series(1, 100) AS n, generate_series(1, 3) AS m
        WHERE s.event_seq > 0
        RETURNING env, subject, sequence
    )
    INSERT INTO tenantry.stream_line (sink, env, subject, newest, since)
    SELECT 'TENANTRY', env, subject, 3, clock_timestamp() - interval '1 hour' FROM told WHERE sequence = 3";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_newer_release_hold_up_nobody_else() {
    let nats = Nats::start().await;
    let world = World::with(lab(&nats.url())).await;
    let tenant = draft(&world, "acme").await;
    let process = Process::start(&world.deps);
    settled(&world).await;
    let before = nats.count(STREAM).await;
    execute(&world, NEWER).await;
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 5).await;
    fails(&world, "TEN-0099", "`tenant.teleported`").await;
    let until = Instant::now() + Duration::from_secs(20);
    while nats.count(STREAM).await < before + 105 {
        assert!(Instant::now() < until, "{} of {} messages", nats.count(STREAM).await - before, 105);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // While it waits the lane is nobody's, so that a process of the newer release gets it.
    let free = "SELECT count(*) FROM tenantry.stream_lane WHERE owner IS NULL AND state = 'failing'";
    while number(&world, free).await == 0 {
        assert!(Instant::now() < until, "the lane is given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 5).await;
    while nats.count(STREAM).await < before + 110 {
        assert!(Instant::now() < until, "others go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(world.deps.streams().stats().counted().errors.iter().sum::<u64>() > 0);
    // The newer release is there.
    execute(&world, "UPDATE tenantry.outbox SET type = 'tenant.updated' WHERE type = 'tenant.teleported'").await;
    settled(&world).await;
    assert_eq!(nats.count(STREAM).await, before + 310);
    process.stop().await;
}
