//! A stream with another history than ours is not gone on with.

use tenantry_control::Subject;
use tenantry_control::streams::forget;
use tenantry_domain::event::Type;
use tenantry_streams::{Behind, Link, Message};
use tenantry_testkit::nats::Nats;

use super::{Process, STREAM, execute, fails, lab, settings, settled, standing};
use crate::webhooks::{draft, emit, number};
use crate::world::World;

/// What another installation published, or this one before its database was restored to an earlier time.
async fn publish(world: &World, nats: &Nats, tenant: &str, sequence: i64) {
    let link = Link::open(&settings(&nats.url()), None).await.unwrap();
    let message = Message {
        id: "evt_01jd8x3v9mfk2t5h7q0w4z6y8c".into(),
        environment: world.environment.to_string(),
        tenant: Some(tenant.into()),
        sequence,
        kind: "tenant.updated".into(),
        correlation: "c".into(),
        body: "{}".into(),
    };
    let behind = Behind { number: link.last().await.unwrap(), id: None };
    link.send(message, &behind).await.unwrap().placed().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_with_events_that_we_do_not_have_is_not_gone_on_with() {
    // One that is further than we are, and one whose event of the same number is another one.
    for sequence in [100, 1] {
        let nats = Nats::start().await;
        let world = World::with(lab(&nats.url())).await;
        let tenant = draft(&world, "acme").await;
        publish(&world, &nats, &tenant.to_string(), sequence).await;
        emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 3).await;
        let process = Process::start(&world.deps);
        fails(&world, "TEN-0096", "of an event that this installation does not have").await;
        emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 3).await;
        fails(&world, "TEN-0096", "TENANTRY_NATS_STREAM").await;
        assert_eq!(nats.count(STREAM).await, 1, "nothing was published");
        let waiting = standing(&world).await.unwrap().waiting;
        assert!(waiting.events >= 7, "{waiting:?}");
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_lost_is_not_gone_on_with_in_another_one_of_its_name() {
    let nats = Nats::start().await;
    let world = World::with(lab(&nats.url())).await;
    let tenant = draft(&world, "acme").await;
    let process = Process::start(&world.deps);
    settled(&world).await;
    let jetstream = nats.jetstream().await;
    let config = jetstream.get_stream(STREAM).await.unwrap().cached_info().config.clone();
    jetstream.delete_stream(STREAM).await.unwrap();
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 3).await;
    fails(&world, "TEN-0096", "is gone").await;
    assert!(jetstream.get_stream(STREAM).await.is_err(), "it is not made a second time");
    // Somebody makes it anew: it has the name, and not what was in it.
    nats.make(config).await;
    fails(&world, "TEN-0096", "tenantry events streams forget TENANTRY").await;
    fails(&world, "TEN-0096", "it was made at").await;
    assert_eq!(nats.count(STREAM).await, 0);
    // That is how somebody says that it is to begin anew.
    assert_eq!(forget(&world.cx(), &world.deps, STREAM).await.unwrap().behind, 3);
    settled(&world).await;
    let all = number(&world, "SELECT count(*) FROM tenantry.outbox").await;
    assert_eq!(i64::try_from(nats.count(STREAM).await).unwrap(), all);
    process.stop().await;
}

/// The server lost its last messages: that cannot be made good here, and is not passed over in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_were_acknowledged_and_are_gone_are_counted() {
    let nats = Nats::start().await;
    let world = World::with(lab(&nats.url())).await;
    let tenant = draft(&world, "acme").await;
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 5).await;
    let process = Process::start(&world.deps);
    settled(&world).await;
    process.stop().await;
    // As if it had acknowledged two more and lost them.
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 3).await;
    let acknowledged = "UPDATE tenantry.stream_cursor AS c SET published = published + 2
        FROM tenantry.stream_line AS l WHERE l.env = c.env AND l.subject = c.subject AND l.newest = c.published + 3";
    execute(&world, acknowledged).await;
    let process = Process::start(&world.deps);
    settled(&world).await;
    assert_eq!(world.deps.streams().stats().counted().missing, 2);
    process.stop().await;
}
