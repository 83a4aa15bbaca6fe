//! A leader of copies that knows ids of messages which came to nothing, as servers 2.10.14 and later do: it notes the id before
//! the message is agreed upon, and does not take it back when the message is refused then.
//!
//! Tests have a server of one copy, which never does that; so a client of a real server answers in its place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tenantry_control::Subject;
use tenantry_control::streams::stats::WORDS;
use tenantry_domain::event::Type;
use tenantry_testkit::nats::Nats;

use super::{Process, STREAM, lab, settled};
use crate::webhooks::{draft, emit, number};
use crate::world::World;

/// For how long it knows an id.
const WINDOW: Duration = Duration::from_millis(1500);
/// This message is lost with the leader before, and those behind it come to nothing at this one.
const LOST: usize = 2;

/// What it has.
#[derive(Default)]
struct Leader {
    /// Subject, headers and body, in order.
    kept: Vec<(String, String, Vec<u8>)>,
    /// Ids of messages that came to nothing.
    noted: HashMap<String, Instant>,
    seen: usize,
    repeated: usize,
}

impl Leader {
    fn info(&self) -> Value {
        json!({
            "type": "io.nats.jetstream.api.v1.stream_info_response",
            "config": {
                "name": STREAM, "subjects": ["tenantry.>"], "retention": "limits", "max_consumers": -1, "max_msgs": -1,
                "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": -1, "max_msg_size": -1, "discard": "old", "storage": "file",
                "num_replicas": 3, "duplicate_window": 120_000_000_000_i64, "allow_direct": false, "mirror_direct": false,
                "sealed": false, "deny_delete": false, "deny_purge": false, "allow_rollup_hdrs": false,
            },
            "created": "2026-11-22T10:00:00.123456789Z",
            "state": {
                "messages": self.kept.len(), "bytes": 0, "first_seq": 1, "first_ts": "2026-11-22T10:00:00Z",
                "last_seq": self.kept.len(), "last_ts": "2026-11-22T10:00:00Z", "consumer_count": 0,
            },
        })
    }

    fn newest(&self, wanted: &Value) -> Value {
        let prefix = wanted["last_by_subj"].as_str().unwrap().trim_end_matches('>').to_owned();
        let Some(place) = self.kept.iter().rposition(|(subject, ..)| subject.starts_with(&prefix)) else {
            return json!({ "error": { "code": 404, "err_code": 10037, "description": "no message found" } });
        };
        let (subject, headers, body) = &self.kept[place];
        json!({ "message": {
            "subject": subject, "seq": place + 1, "hdrs": STANDARD.encode(headers), "data": STANDARD.encode(body),
            "time": "2026-11-22T10:00:00Z",
        }})
    }

    fn publish(&mut self, message: &async_nats::Message) -> Value {
        let headers = message.headers.as_ref().unwrap();
        let get = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        let id = get("Nats-Msg-Id").unwrap();
        self.seen += 1;
        if self.noted.get(&id).is_some_and(|since| since.elapsed() < WINDOW) {
            self.repeated += 1;
            if self.repeated.is_multiple_of(2) {
                // As servers from 2.11 on have it.
                let text = "duplicate message id is in process";
                return json!({ "error": { "code": 400, "err_code": 10158, "description": text }, "stream": STREAM, "seq": 0 });
            }
            return json!({ "stream": STREAM, "seq": 0, "duplicate": true });
        }
        let last = self.kept.len();
        if self.seen == LOST + 1 || get("Nats-Expected-Last-Sequence").unwrap() != last.to_string() {
            if self.seen > LOST + 1 {
                self.noted.insert(id, Instant::now());
            }
            let text = format!("wrong last sequence: {last}");
            return json!({ "error": { "code": 400, "err_code": 10071, "description": text }, "stream": STREAM, "seq": 0 });
        }
        let sequence = get("Tenantry-Sequence").unwrap();
        let text = format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\nTenantry-Sequence: {sequence}\r\n\r\n");
        self.kept.push((message.subject.to_string(), text, message.payload.to_vec()));
        json!({ "stream": STREAM, "seq": last + 1 })
    }
}

/// Answers in the place of JetStream.
async fn serve(nats: &Nats, leader: Arc<Mutex<Leader>>) -> tokio::task::JoinHandle<()> {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let api = client.subscribe("$JS.API.STREAM.>").await.unwrap();
    let events = client.subscribe("tenantry.>").await.unwrap();
    client.flush().await.unwrap();
    let mut all = futures_util::stream::select(api, events);
    tokio::spawn(async move {
        while let Some(message) = all.next().await {
            let answer = {
                let mut leader = leader.lock().unwrap();
                match message.subject.as_str() {
                    subject if subject.contains(".INFO.") => leader.info(),
                    subject if subject.contains(".MSG.GET.") => {
                        leader.newest(&serde_json::from_slice(&message.payload).unwrap())
                    }
                    _ => leader.publish(&message),
                }
            };
            client.publish(message.reply.unwrap(), serde_json::to_vec(&answer).unwrap().into()).await.unwrap();
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_id_is_known_and_that_is_not_there_is_not_taken_for_published() {
    let mut nats = Nats::absent().with("jetstream: disabled");
    nats.again().await;
    let leader = Arc::new(Mutex::new(Leader::default()));
    let answers = serve(&nats, Arc::clone(&leader)).await;
    let world = World::with(lab(&nats.url())).await;
    let tenant = draft(&world, "acme").await;
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 20).await;
    let process = Process::start(&world.deps);
    settled(&world).await;
    process.stop().await;
    answers.abort();
    let errors = world.deps.streams().stats().counted().errors;
    let others: Vec<_> = WORDS.iter().zip(errors).filter(|(word, count)| **word != "overtaken" && *count > 0).collect();
    assert!(others.is_empty(), "a look is all that is needed: {others:?}");
    let all = number(&world, "SELECT count(*) FROM tenantry.outbox").await;
    let leader = leader.lock().unwrap();
    assert!(leader.repeated > 1, "ids were known of messages that were not there");
    assert_eq!(i64::try_from(leader.kept.len()).unwrap(), all, "nothing is lost, and nothing is there twice");
    let mut next: HashMap<&str, i64> = HashMap::new();
    for (subject, headers, _) in &leader.kept {
        let line = subject.split('.').nth(2).unwrap();
        let number = next.entry(line).or_insert(1);
        assert!(headers.contains(&format!("Tenantry-Sequence: {number}\r\n")), "{subject}: {headers} and not {number}");
        *number += 1;
    }
}
