//! Holds what was committed against what is in the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use async_nats::jetstream::message::StreamMessage;
use serde_json::Value;
use tenantry_control::webhooks::payload;
use tenantry_domain::id::TenantId;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::webhook::PAYLOAD;
use tenantry_store::{EventRow, Store, Subject};
use tenantry_testkit::nats::Nats;
use uuid::Uuid;

use crate::flood::store;
use crate::world::{CONTROL, Serve, World, tail};

/// The name of the stream unless a test says otherwise.
pub const STREAM: &str = "TENANTRY";

/// All events of a subject, by the store's own reading.
async fn events(store: &Store, environment: &EnvironmentName, subject: Subject) -> Vec<EventRow> {
    let mut all: Vec<EventRow> = Vec::new();
    loop {
        let after = all.last().map_or(0, |event| event.sequence);
        let page = store.read(environment).events(subject, after, 1000).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Everything that was committed, by environment and tenant (`_` for the environment itself).
pub async fn committed(world: &World) -> BTreeMap<(String, String), Vec<EventRow>> {
    let store = store(&world.pg.url(CONTROL));
    let rows = world.control.query("SELECT DISTINCT env, subject FROM tenantry.outbox", &[]).await.unwrap();
    let mut all = BTreeMap::new();
    for row in rows {
        let environment = EnvironmentName::parse(row.get(0)).unwrap();
        let subject: Uuid = row.get(1);
        let name = if subject.is_nil() { "_".to_owned() } else { TenantId::from_uuid(subject).to_string() };
        let found = events(&store, &environment, Subject::from_uuid(subject)).await;
        all.insert((environment.to_string(), name), found);
    }
    all
}

/// How many events were committed.
pub async fn count(world: &World) -> i64 {
    world.control.query_one("SELECT count(*) FROM tenantry.outbox", &[]).await.unwrap().get(0)
}

/// Waits until everything that is committed is in the stream and is written down as such.
pub async fn settled(world: &World, nats: &Nats, within: Duration) {
    let until = Instant::now() + within;
    let sql = "SELECT EXISTS (SELECT FROM tenantry.stream_line AS l LEFT JOIN tenantry.stream_cursor AS c USING (sink, env, subject)
        WHERE l.newest > coalesce(c.published, 0))
        OR EXISTS (SELECT FROM (SELECT env, subject, max(sequence) AS newest FROM tenantry.outbox GROUP BY env, subject) AS o
            LEFT JOIN tenantry.stream_cursor AS c ON c.env = o.env AND c.subject = o.subject WHERE coalesce(c.published, 0) < o.newest)";
    while world.control.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
        let (in_stream, committed) = (nats.count(STREAM).await, count(world).await);
        assert!(
            Instant::now() < until,
            "{in_stream} of {committed} events are in the stream\n{}\n{}",
            tail(&world.log(), 40),
            tail(&nats.log(), 10)
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The stream has each committed event once, in the order of its subject, in the bytes that webhooks send. Gives their number.
pub async fn each_once_in_order(world: &World, nats: &Nats) -> usize {
    let (mut expected, messages) = at_rest(world, nats).await;
    let mut ids = BTreeSet::new();
    let mut next: BTreeMap<(String, String), usize> = BTreeMap::new();
    for message in &messages {
        let words: Vec<&str> = message.subject.splitn(4, '.').collect();
        let key = (words[1].to_owned(), words[2].to_owned());
        let place = next.entry(key.clone()).or_default();
        let all = expected.get(&key).unwrap_or_else(|| panic!("{} is of nobody", message.subject));
        let event = all.get(*place).unwrap_or_else(|| panic!("{} has more than was committed", message.subject));
        let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
        assert_eq!(
            header("Tenantry-Sequence"),
            Some(event.sequence.to_string()),
            "message {} of {key:?}: the order, or something twice",
            message.sequence
        );
        assert_eq!(event.sequence, i64::try_from(*place).unwrap() + 1, "numbers of {key:?} have a gap");
        assert_eq!(header("Nats-Msg-Id"), Some(event.id.to_string()));
        assert_eq!(message.subject.as_str(), format!("tenantry.{}.{}.{}", key.0, key.1, event.kind.as_str()));
        assert_eq!(message.payload, payload::body(event, PAYLOAD), "{}", event.id);
        assert!(ids.insert(event.id), "{} is there twice", event.id);
        *place += 1;
    }
    for (key, place) in next {
        let all = expected.remove(&key).unwrap();
        assert_eq!(place, all.len(), "{key:?} lacks events");
    }
    assert!(expected.is_empty(), "nothing arrived of {:?}", expected.keys());
    messages.len()
}

/// What was committed and what is in the stream, at a moment in which nothing was committed: controllers have things to tell, too.
async fn at_rest(world: &World, nats: &Nats) -> (BTreeMap<(String, String), Vec<EventRow>>, Vec<StreamMessage>) {
    for _ in 0..20 {
        let before = count(world).await;
        settled(world, nats, Duration::from_secs(30)).await;
        let found = (committed(world).await, nats.messages(STREAM).await);
        if count(world).await == before {
            return found;
        }
    }
    panic!("events are committed all the time");
}

/// What the API says of the streams.
pub async fn standing(serve: &Serve) -> tenantry_api::v1::stream::Stream {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        // Just after a start the sink may not be known yet.
        if let Ok(mut streams) = serve.client.streams().await
            && let Some(stream) = streams.items.pop()
        {
            return stream;
        }
        assert!(Instant::now() < until, "no stream is known:\n{}", tail(&serve.process.log(), 30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the API says of the stream what is wanted.
pub async fn stands(serve: &Serve, what: &str, holds: impl Fn(&tenantry_api::v1::stream::Stream) -> bool) -> Value {
    let until = Instant::now() + Duration::from_secs(40);
    loop {
        let found = standing(serve).await;
        if holds(&found) {
            return serde_json::to_value(&found).unwrap();
        }
        assert!(Instant::now() < until, "{what}: {found:?}\n{}", tail(&serve.process.log(), 30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
