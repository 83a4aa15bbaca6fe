//! Streams of events, over real connections that are cut, and with tokens that end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::json;
use tenantry_api::Client;
use tenantry_api::client::{ClientError, Deleted, Deletion, EventQuery, Expected};
use tenantry_api::events::{Place, Reader, Record};
use tenantry_api::v1::event::Event;
use tenantry_server::Options;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{World, manifest};

async fn rename(world: &World, place: usize) {
    let body = json!({ "spec": { "displayName": format!("Acme {place}") } });
    let reply = world
        .ask("PATCH", "tenants/acme")
        .keyed()
        .header("if-match", "*")
        .text("application/merge-patch+json", &body.to_string())
        .send()
        .await;
    assert!(reply.status.is_success(), "{reply:?}");
}

/// A relay that cuts every connection after some bytes, wherever in an event that is.
async fn scissors(to: String, cuts: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let (to, cuts) = (to.clone(), Arc::clone(&cuts));
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                let (mut ask, mut answer) = (vec![0; 4096], vec![0; 256]);
                // The head of the answer, and then as much of the stream as the turn allows.
                let mut left = 700 + 431 * (cuts.fetch_add(1, Ordering::Relaxed) % 7);
                loop {
                    tokio::select! {
                        read = near.read(&mut ask) => match read {
                            Ok(count) if count > 0 => far.write_all(&ask[..count]).await.unwrap(),
                            _ => return,
                        },
                        read = far.read(&mut answer) => match read {
                            Ok(count) if count > 0 => {
                                let count = count.min(left);
                                left -= count;
                                if near.write_all(&answer[..count]).await.is_err() || left == 0 {
                                    return;
                                }
                            }
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_reader_who_is_cut_off_again_and_again_gets_every_event_once_and_in_order() {
    const CHANGES: usize = 30;
    let world = World::quiet().await;
    world.draft("acme").await;
    let cuts = Arc::new(AtomicUsize::new(0));
    let url = scissors(world.url.replace("http://", ""), Arc::clone(&cuts)).await;
    let client = Client::new(&url, SecretString::from(world.token.clone()), world.environment.clone()).unwrap();
    let mut feed = client.follow_events(Some("acme"), 0, &[]).unwrap();
    let read = async {
        let mut got: Vec<Event> = Vec::new();
        while got.len() < CHANGES + 1 {
            got.push(feed.next().await.unwrap().unwrap());
        }
        got
    };
    let write = async {
        for place in 0..CHANGES {
            rename(&world, place).await;
        }
    };
    let (got, ()) = tokio::time::timeout(Duration::from_secs(90), async { tokio::join!(read, write) }).await.unwrap();
    assert!(cuts.load(Ordering::Relaxed) > 5, "the connection was cut: {cuts:?}");
    let query = EventQuery { after: 0, page_size: Some(200) };
    let stored = world.client().tenant_events("acme", &query).await.unwrap().items;
    assert_eq!(got, stored, "what was streamed is what is stored, each once");
    assert_eq!(got[0].kind, "tenant.created");
    assert_eq!((got[0].payloadversion, got[0].tenantryid.as_deref()), (1, got[0].subject.as_deref()));
    let numbers: Vec<i64> = got.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, (1..=i64::try_from(CHANGES).unwrap() + 1).collect::<Vec<_>>());
    world.end().await;
}

#[tokio::test]
async fn a_stream_says_what_was_asked_for_and_refuses_nonsense() {
    let world = World::quiet().await;
    world.draft("acme").await;
    rename(&world, 1).await;
    let path = format!("{}/v1/environments/{}/tenants/acme/events/stream", world.url, world.environment);
    let http = reqwest::Client::new();
    let open = |query: &str, last: &'static str| {
        let ask = http.get(format!("{path}{query}")).bearer_auth(&world.token);
        if last.is_empty() { ask } else { ask.header("last-event-id", last) }.send()
    };
    let first = async |query: &str, last: &'static str| {
        let mut response = open(query, last).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let mut text = String::new();
        while !text.contains("\n\n") {
            text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
        }
        text
    };
    let begin = |text: &str, number: i64, kind: &str| {
        assert!(text.starts_with(&format!("id: {number}\nevent: {kind}\ndata: {{")), "{text}");
    };
    begin(&first("", "").await, 1, "tenant.created");
    begin(&first("?after=1", "").await, 2, "tenant.updated");
    begin(&first("?after=0", "1").await, 2, "tenant.updated");
    begin(&first("?types=plan.changed,tenant.updated", "").await, 2, "tenant.updated");
    begin(&first("?types=tenant.*", "").await, 1, "tenant.created");
    for (query, last, field) in [
        ("?after=-1", "", "after"),
        ("?after=x", "", "after"),
        ("", "op_1", "Last-Event-ID"),
        ("?types=tenant.exploded", "", "types"),
        ("?types=", "", "types"),
        ("?since=1", "", "since"),
    ] {
        let refused = open(query, last).await.unwrap();
        assert_eq!(refused.status(), 422, "{query} {last}");
        let problem: serde_json::Value = refused.json().await.unwrap();
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    world.get("tenants/globex/events/stream").send().await.problem("TEN-0005");
    let document = world.bare("GET", "/v1/asyncapi.json").send().await.json();
    assert_eq!(document, tenantry_api::v1::payload::asyncapi(), "without a token, as it was reviewed");
    world.end().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let world = World::quiet().await;
    let draft = world.draft("acme").await;
    let mut wanted = manifest("initech");
    wanted["spec"]["state"] = json!("active");
    // Nothing works on it, so the operation is watched for ever.
    let waiting = world.post("tenants").keyed().json(&wanted).send().await.header("operation-id").to_owned();
    assert!(draft["status"].is_object());
    let body = json!({ "name": "reader", "roles": ["auditor", "operator"] });
    let made = world.post("tokens").keyed().json(&body).send().await;
    assert_eq!(made.status, 201, "{made:?}");
    let (id, text) = (made.json()["token"]["id"].clone(), made.json()["text"].as_str().unwrap().to_owned());
    let reader = Client::new(&world.url, SecretString::from(text), world.environment.clone()).unwrap();
    let mut feed = reader.follow_events(Some("acme"), 0, &[]).unwrap();
    let mut own = reader.follow_events(None, 0, &["rollout.*".to_owned()]).unwrap();
    let mut watch = reader.watch(&waiting).unwrap();
    assert_eq!(feed.next().await.unwrap().unwrap().sequence, 1);
    assert!(!watch.next().await.unwrap().unwrap().has_ended());
    let revoked =
        world.ask("DELETE", &format!("tokens/{}", id.as_str().unwrap())).keyed().header("if-match", "*").send().await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let began = Instant::now();
    let refused = |error: ClientError| matches!(error, ClientError::Problem(problem) if problem.code == "TEN-0021");
    let ends = async {
        let (feed, own, watch) = tokio::join!(feed.next(), own.next(), watch.next());
        (feed.unwrap_err(), own.unwrap_err(), watch.unwrap_err())
    };
    let (first, second, third) = tokio::time::timeout(Duration::from_secs(15), ends).await.expect("within 15 s");
    println!("streams of a revoked token ended after {:?}", began.elapsed());
    assert!(refused(first) && refused(second) && refused(third));
    world.end().await;
}

#[tokio::test]
async fn a_stream_of_a_tenant_that_is_deleted_ends_when_all_is_told() {
    let world = World::running().await;
    world.draft("acme").await;
    let client = world.client();
    let mut feed = client.follow_events(Some("acme"), 0, &[]).unwrap();
    assert_eq!(feed.next().await.unwrap().unwrap().kind, "tenant.created");
    let deletion = Deletion { confirm: "acme".into(), reason: Some("over".into()), ..Deletion::default() };
    let patience = Some(Duration::from_secs(20));
    let deleted = client.delete_tenant("acme", Expected::Any, &deletion, patience).await.unwrap();
    assert!(matches!(deleted, Deleted::Accepted(_)));
    let rest = async {
        let mut kinds = Vec::new();
        while let Some(event) = feed.next().await.unwrap() {
            kinds.push(event.kind);
        }
        kinds
    };
    let kinds = tokio::time::timeout(Duration::from_secs(40), rest).await.expect("it ends");
    assert!(kinds.contains(&"tenant.deleted".to_owned()), "{kinds:?}");
    world.end().await;
}

#[tokio::test]
async fn each_caller_has_a_bound_of_streams() {
    let door = Options { drain_delay: Duration::ZERO, streams_each: 2, ..Options::default() };
    let world = World::with(door).await;
    world.draft("acme").await;
    let path = format!("{}/v1/environments/{}/tenants/acme/events/stream", world.url, world.environment);
    let http = reqwest::Client::new();
    let open = |token: String| http.get(&path).bearer_auth(token).send();
    let first = open(world.token.clone()).await.unwrap();
    let _second = open(world.token.clone()).await.unwrap();
    let third = open(world.token.clone()).await.unwrap();
    assert_eq!(third.status(), 429);
    assert!(third.text().await.unwrap().contains("2 streams"));
    let other = world.token_for(&world.environment).await;
    assert_eq!(open(other).await.unwrap().status(), 200, "others have their own");
    drop(first);
    let began = Instant::now();
    while open(world.token.clone()).await.unwrap().status() != 200 {
        assert!(began.elapsed() < Duration::from_secs(20), "a place is given back when its reader is gone");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_stream_of_one_tenant_has_no_event_of_another() {
    let world = World::quiet().await;
    let id = world.draft("acme").await["status"]["id"].clone();
    world.draft("globex").await;
    for place in 0..3 {
        rename(&world, place).await;
        let patch = json!({ "spec": { "displayName": format!("Globex {place}") } });
        world.client().patch_tenant("globex", Expected::Any, &patch, None).await.unwrap();
    }
    let body = json!({ "name": "acme's", "roles": ["tenant"], "tenant": "acme" });
    let made = world.post("tokens").keyed().json(&body).send().await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = SecretString::from(made.json()["text"].as_str().unwrap().to_owned());
    let own = Client::new(&world.url, token, world.environment.clone()).unwrap();
    let mut feed = own.follow_events(Some("acme"), 0, &[]).unwrap();
    for number in 1..=4 {
        let event = feed.next().await.unwrap().unwrap();
        assert_eq!((event.sequence, json!(event.subject)), (number, id.clone()));
    }
    let denied =
        |error: ClientError, code: &str| matches!(error, ClientError::Problem(problem) if problem.code == code);
    let foreign = own.follow_events(Some("globex"), 0, &[]).unwrap().next().await.unwrap_err();
    assert!(denied(foreign, "TEN-0005"), "what is not seen does not exist");
    assert!(denied(own.follow_events(None, 0, &[]).unwrap().next().await.unwrap_err(), "TEN-0022"));
    world.end().await;
}

/// The part of a tenant that its events tell of, as the API shows it.
async fn shown(world: &World, id: &str, sequence: i64) -> Record {
    let tenant = world.client().tenant(id).await.unwrap().value;
    let (status, spec) = (tenant.status, tenant.spec);
    let place = status.placement.as_ref();
    Record {
        id: status.id,
        environment: tenant.metadata.environment.unwrap(),
        slug: tenant.metadata.name,
        app: spec.app,
        plan: spec.plan,
        external_ids: spec.external_ids,
        wanted: spec.state,
        state: status.state,
        place: place.map(|at| Place {
            region: at.region.clone(),
            cell: at.cell.clone(),
            isolation: at.isolation.clone(),
        }),
        generation: place.map_or(0, |at| at.generation),
        version: status.version,
        sequence,
    }
}

#[tokio::test]
async fn a_record_made_of_the_stream_alone_is_the_record_after_any_life() {
    let world = World::running().await;
    let mut chance = random(0x7e4a_11f0);
    let mut wanted = manifest("acme");
    wanted["spec"]["externalIds"] = json!({ "stripe": "cus_1" });
    let made = world.post("tenants").keyed().json(&wanted).send().await;
    let id = made.json()["status"]["id"].as_str().unwrap().to_owned();
    let (client, patience) = (world.client(), Some(Duration::from_secs(30)));
    let mut reader = Reader::new(client.clone(), &id, 0);
    let mut record = None;
    let mut verbs = 0;
    for turn in 0..14 {
        let state = client.tenant(&id).await.unwrap().value.status.state;
        let verb = match (state.as_str(), chance() % 3) {
            ("draft", 1 | 2) => "activate",
            ("active", 1) => "suspend",
            ("suspended", 1) => "resume",
            ("suspended", 2) => "archive",
            ("archived", 1 | 2) => "restore",
            _ => "patch",
        };
        let outcome = match verb {
            "patch" if state == "archived" => continue,
            "patch" => {
                let patch = json!({ "spec": { "externalIds": { "stripe": format!("cus_{turn}"), "crm": "c" } } });
                client.patch_tenant(&id, Expected::Any, &patch, patience).await
            }
            "suspend" => {
                let why = tenantry_api::v1::tenant::Suspension { reason: "compliance".into(), note: None };
                client.suspend_tenant(&id, Expected::Any, &why, patience).await
            }
            verb => client.tenant_verb(&id, verb, Expected::Any, patience).await,
        };
        outcome.unwrap_or_else(|error| panic!("{turn} {state} {verb}: {error}"));
        verbs += 1;
        while let Some(event) = reader.stored().await.unwrap() {
            record = Some(Record::fold(record, &event).unwrap());
        }
        let made = record.clone().unwrap();
        assert_eq!(made, shown(&world, &id, made.sequence).await, "after {turn} {verb}");
    }
    assert!(verbs > 8);
    // Another one, from the beginning and by the stream itself, comes to the same.
    let mut again = Reader::new(client.clone(), &id, 0);
    let mut other = None;
    while other.as_ref().is_none_or(|other: &Record| other.sequence < record.as_ref().unwrap().sequence) {
        other = Some(Record::fold(other, &again.next().await.unwrap().unwrap()).unwrap());
    }
    assert_eq!(other, record);
    world.end().await;
}

/// Numbers that are the same in every run.
fn random(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    }
}
