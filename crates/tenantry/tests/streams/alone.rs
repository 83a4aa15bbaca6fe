//! One replica, and a server that is away, wrong, or knows more than we do.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::Config;
use futures_util::StreamExt as _;
use tenantry_domain::id::TenantId;
use tenantry_testkit::nats::Nats;
use tenantry_testkit::process::{Ending, steady_port};

use crate::flood::{flood, store};
use crate::judge::{STREAM, committed, count, each_once_in_order, settled, standing, stands};
use crate::replicas::{settings, tenants};
use crate::world::{CONTROL, Serve, Tuning, World};

const SOON: Duration = Duration::from_secs(40);

async fn commit(world: &World, ids: &[TenantId], events: usize) {
    flood(store(&world.pg.url(CONTROL)), ids.to_vec(), events, 100_000.0, Arc::new(AtomicUsize::new(0))).await;
}

async fn serve(world: &World, nats: &Nats, more: &[(&'static str, String)]) -> Serve {
    let mut all = settings(nats);
    all.extend_from_slice(more);
    let mut serve = world.launch(steady_port(), "serve.log", &all);
    serve.ready().await;
    serve
}

/// A crash between the server's answer and our writing it down, with the server's memory of ids long gone when somebody comes back:
/// what is in the stream is more than what is written down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_that_lasts_longer_than_the_server_remembers_repeats_nothing() {
    let world = World::new(Tuning::default()).await;
    let nats = Nats::start().await;
    let running = serve(&world, &nats, &[]).await;
    let ids = tenants(&world, &running, 5).await;
    commit(&world, &ids, 600).await;
    settled(&world, &nats, SOON).await;
    running.stop().await;
    let before = nats.count(STREAM).await;
    // As if the process had died before it wrote down its last answers: of some subjects a few, of one all.
    let sql = "WITH undone AS (
            UPDATE tenantry.stream_cursor AS c SET published = CASE WHEN c.subject = $1 THEN 0 ELSE greatest(c.published - 7, 0) END
            RETURNING c.sink, c.env, c.subject
        )
        INSERT INTO tenantry.stream_line (sink, env, subject, newest, since)
        SELECT u.sink, u.env, u.subject, (SELECT max(o.sequence) FROM tenantry.outbox AS o WHERE o.env = u.env AND o.subject = u.subject),
            clock_timestamp() FROM undone AS u";
    let undone = world.control.execute(sql, &[&ids[0].uuid()]).await.unwrap();
    assert!(undone >= 6, "{undone}");
    // Far longer than the tenth of a second for which ids are known.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let running = serve(&world, &nats, &[]).await;
    settled(&world, &nats, SOON).await;
    // Not the same number as before: a start commits events of its own now and then.
    let after = each_once_in_order(&world, &nats).await;
    assert!(after as u64 >= before, "{after} of {before} messages are left");
    commit(&world, &ids, 300).await;
    settled(&world, &nats, SOON).await;
    each_once_in_order(&world, &nats).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_harms_nobody_and_gets_everything_later() {
    let world = World::new(Tuning::default()).await;
    let mut nats = Nats::absent();
    let running = serve(&world, &nats, &[]).await;
    let ids = tenants(&world, &running, 3).await;
    commit(&world, &ids, 300).await;
    let found = stands(&running, "the error is told", |stream| stream.error.is_some()).await;
    assert_eq!((&found["state"], &found["error"]["code"]), (&"failing".into(), &"TEN-0097".into()), "{found}");
    assert!(found["behind"].as_i64().unwrap() >= 300 && found["behindTenants"].as_i64().unwrap() >= 3, "{found}");
    assert!(found["oldestSeconds"].as_f64().unwrap() > 0.0, "{found}");
    assert!(running.client.ready().await.is_ok(), "the control plane is ready without it");
    let lines: i64 = world.control.query_one("SELECT count(*) FROM tenantry.stream_line", &[]).await.unwrap().get(0);
    assert!(lines <= 5, "{lines} rows wait for {} events", count(&world).await);
    nats.again().await;
    settled(&world, &nats, SOON).await;
    each_once_in_order(&world, &nats).await;
    let found = stands(&running, "nothing waits", |stream| stream.behind == 0 && stream.error.is_none()).await;
    assert_eq!(found["state"], "publishing", "{found}");
    assert!(found["publisher"].as_str().is_some() && found["publishedAt"].as_str().is_some(), "{found}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_will_not_do_is_told_and_events_wait_until_it_does() {
    let world = World::new(Tuning::default()).await;
    let nats = Nats::start().await;
    let config = Config {
        name: STREAM.into(),
        subjects: vec!["orders.*".into()],
        duplicate_window: Duration::from_secs(2),
        ..Config::default()
    };
    nats.make(config.clone()).await;
    let running = serve(&world, &nats, &[]).await;
    tenants(&world, &running, 2).await;
    let found = stands(&running, "the error is told", |stream| stream.error.is_some()).await;
    let error = &found["error"];
    assert_eq!(error["code"], "TEN-0096", "{found}");
    assert!(
        error["message"].as_str().unwrap().contains("nats stream edit TENANTRY --subjects 'tenantry.>'"),
        "{found}"
    );
    assert_eq!(nats.count(STREAM).await, 0);
    let wanted = Config { subjects: vec!["orders.*".into(), "tenantry.>".into()], ..config };
    nats.jetstream().await.update_stream(wanted).await.unwrap();
    settled(&world, &nats, SOON).await;
    each_once_in_order(&world, &nats).await;
    running.stop().await;
}

/// What was there before the stream was configured is published as well, unless somebody asks for what comes alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_published_unless_somebody_wants_to_begin_now() {
    let world = World::new(Tuning::default()).await;
    let nats = Nats::start().await;
    let mut silent = world.launch(steady_port(), "serve.log", &[]);
    silent.ready().await;
    let ids = tenants(&world, &silent, 3).await;
    commit(&world, &ids, 150).await;
    assert!(silent.client.streams().await.unwrap().items.is_empty());
    silent.stop().await;

    let now = [
        ("TENANTRY_NATS_STREAM", "LATE".to_owned()),
        ("TENANTRY_NATS_PREFIX", "late".to_owned()),
        ("TENANTRY_NATS_FROM", "now".to_owned()),
    ];
    let late = serve(&world, &nats, &now).await;
    stands(&late, "it publishes", |stream| stream.state == "publishing").await;
    assert_eq!(standing(&late).await.behind, 0);
    commit(&world, &ids, 150).await;
    stands(&late, "nothing waits", |stream| stream.behind == 0 && stream.published_at.is_some()).await;
    late.stop().await;
    assert_eq!(nats.count("LATE").await, 150);
    // Nobody publishes to it any more.
    let whole = serve(&world, &nats, &[]).await;
    stands(&whole, "the new one publishes", |stream| stream.name == STREAM && stream.state == "publishing").await;
    let own = whole.client.forget_stream(STREAM).await.unwrap_err();
    assert!(own.to_string().contains("TEN-0036") || format!("{own:?}").contains("TEN-0036"), "{own:?}");
    assert_eq!(whole.client.forget_stream("LATE").await.unwrap().name, "LATE");
    assert_eq!(whole.client.streams().await.unwrap().items.len(), 1);
    settled(&world, &nats, SOON).await;
    let found = each_once_in_order(&world, &nats).await;
    assert!(found > 300, "{found}");
    whole.stop().await;
}

/// What billing or a CRM asks the server for: some types of everybody, all of one tenant; and a place that outlives the consumer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_choose_by_tenant_and_type_and_keep_their_place() {
    let world = World::new(Tuning::default()).await;
    let nats = Nats::start().await;
    let running = serve(&world, &nats, &[]).await;
    let ids = tenants(&world, &running, 3).await;
    commit(&world, &ids, 300).await;
    settled(&world, &nats, SOON).await;
    let all = committed(&world).await;
    let own: Vec<String> =
        all[&("prod".to_owned(), ids[1].to_string())].iter().map(|event| event.id.to_string()).collect();
    // Half of them before the consumer goes away, half when it is back.
    let half = own.len() / 2;
    let filter = format!("tenantry.prod.{}.>", ids[1]);
    let mut got = take(&nats, "acme", &filter, half).await;
    got.extend(take(&nats, "acme", &filter, own.len() - half).await);
    assert_eq!(got, own);
    let changed = |event: &&tenantry_store::EventRow| event.kind.as_str() == "plan.changed";
    let mut wanted: Vec<String> = all.values().flatten().filter(changed).map(|event| event.id.to_string()).collect();
    let mut got = take(&nats, "billing", "tenantry.prod.*.plan.changed", wanted.len()).await;
    wanted.sort();
    got.sort();
    assert!(!wanted.is_empty() && got == wanted, "{} of {}", got.len(), wanted.len());
    running.stop().await;
}

/// The ids of the next messages of a durable consumer.
async fn take(nats: &Nats, name: &str, filter: &str, count: usize) -> Vec<String> {
    let stream = nats.jetstream().await.get_stream(STREAM).await.unwrap();
    let config =
        pull::Config { durable_name: Some(name.into()), filter_subject: filter.into(), ..pull::Config::default() };
    let consumer = stream.get_or_create_consumer(name, config).await.unwrap();
    let mut messages = consumer.fetch().max_messages(count).expires(Duration::from_secs(5)).messages().await.unwrap();
    let mut ids = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message.unwrap();
        ids.push(message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().as_str().to_owned());
        message.double_ack().await.unwrap();
    }
    ids
}

/// What is wrong with the settings is said at the start, and a password that was put into the address is not repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_with_a_password_is_refused_and_not_printed() {
    let world = World::new(Tuning::default()).await;
    for (url, hint) in
        [("nats://tenantry:hunter2@127.0.0.1", "TENANTRY_NATS_AUTH_FILE"), ("http://127.0.0.1", "nats://HOST:PORT")]
    {
        let mut refused = world.launch(steady_port(), "refused.log", &[("TENANTRY_NATS_URL", url.to_owned())]);
        assert_eq!(refused.process.ended(Duration::from_secs(20)).await, Some(Ending::Exit(2)));
        let log = refused.process.log();
        assert!(log.contains(hint) && !log.contains("hunter2"), "{log}");
    }
}
