//! `tenantry usage`, and servers that are killed while events come in: whatever was sent until it was answered counts exactly once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Child;

use crate::program::{Ended, Home, PATIENCE, eventually, finish};

const OBJECTS: &str = "apiVersion: tenantry.dev/v1
kind: App
metadata: { name: chat }
spec:
  migrations: { files: [{ name: 0001_init.sql, sql: \"create table notes (tenant_id uuid not null, id bigint not null, primary key (tenant_id, id))\" }] }
  tenantKey: tenant_id
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: starter }
spec: { isolation: shared }
---
apiVersion: tenantry.dev/v1
kind: Region
metadata: { name: here }
---
apiVersion: tenantry.dev/v1
kind: Meter
metadata: { name: egress }
spec: { unit: byte, aggregation: sum, value: bytes, dimensions: [region] }
---
apiVersion: tenantry.dev/v1
kind: Meter
metadata: { name: people }
spec: { unit: person, aggregation: unique, value: person }
---
apiVersion: tenantry.dev/v1
kind: Tenant
metadata: { name: acme }
spec: { displayName: Acme, app: chat, plan: starter, state: draft, residency: { allowedRegions: [here] } }
---
apiVersion: tenantry.dev/v1
kind: Tenant
metadata: { name: globex }
spec: { displayName: Globex, app: chat, plan: starter, state: draft, residency: { allowedRegions: [here] } }
";

/// A server's installation, which outlives its processes.
struct Place {
    home: Home,
    database: tenantry_testkit::pg::TestDatabase,
    address: String,
    token: String,
}

impl Place {
    async fn new() -> Self {
        let home = Home::new();
        for (what, file) in [("root-key", "root.key"), ("token", "admin.token")] {
            assert_eq!(home.run(&["secret", what, "--output-file", file]).await.code, 0);
        }
        let token = std::fs::read_to_string(home.path("admin.token")).unwrap().trim().to_owned();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let database = tenantry_testkit::pg::server().database();
        Self { home, database, address: format!("127.0.0.1:{port}"), token }
    }

    async fn serve(&self) -> Child {
        let mut serve = self.home.command(&["serve", "--migrate", "--listen", &self.address, "--drain-delay", "0s"]);
        serve
            .env("TENANTRY_DATABASE_URL", self.database.url())
            .env("TENANTRY_ROOT_KEY_FILE", self.home.path("root.key"))
            .env("TENANTRY_BOOTSTRAP_TOKEN_FILE", self.home.path("admin.token"));
        let server = serve.spawn().unwrap();
        // It listens before it can serve.
        let url = format!("http://{}/readyz", self.address);
        eventually("it is ready", || async { reqwest::get(&url).await.is_ok_and(|answer| answer.status() == 200) })
            .await;
        server
    }

    async fn tenantry(&self, arguments: &[&str]) -> Ended {
        let mut command = self.home.command(arguments);
        command.env("TENANTRY_URL", format!("http://{}", self.address)).env("TENANTRY_TOKEN", &self.token);
        finish(command).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.tenantry(&[arguments, &["-o", "json"]].concat()).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    }

    async fn apply(&self) {
        std::fs::write(self.home.path("all.yaml"), OBJECTS).unwrap();
        let applied = self.tenantry(&["apply", "-f", "all.yaml"]).await;
        assert_eq!(applied.code, 0, "{applied:?}");
    }
}

async fn end(mut server: Child, signal: Signal) {
    let pid = i32::try_from(server.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    tokio::time::timeout(PATIENCE, server.wait()).await.expect("it ends").unwrap();
}

fn event(time: Timestamp, number: usize, meter: &str, subject: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": format!("e-{number}"), "source": "/e2e", "type": meter, "subject": subject,
        "time": time.to_string(), "data": data,
    })
}

#[tokio::test]
async fn a_file_of_events_is_sent_reported_and_sent_again() {
    let place = Place::new().await;
    let server = place.serve().await;
    place.apply().await;
    let time = Timestamp::now();
    let mut lines = String::new();
    for number in 0..2_500 {
        let data = json!({ "bytes": 2, "region": if number % 2 == 0 { "eu" } else { "us" } });
        writeln!(lines, "{}", event(time, number, "egress", "acme", &data)).unwrap();
    }
    writeln!(lines, "{}", event(time, 2_500, "egress", "nobody", &json!({ "bytes": 1 }))).unwrap();
    std::fs::write(place.home.path("events.jsonl"), lines).unwrap();
    let sent = place.tenantry(&["usage", "ingest", "-f", "events.jsonl"]).await;
    assert_eq!(sent.out.trim(), "2500 counted, 0 counted before, 1 refused", "{sent:?}");
    assert!(sent.err.contains("event 2500 (e-2500): subject:"), "places are those of the file: {sent:?}");
    let again = place.json(&["usage", "ingest", "-f", "events.jsonl"]).await;
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(2_500)), "{again}");
    let report = place.tenantry(&["usage", "report", "acme", "--meter", "egress", "--group-by", "region"]).await;
    for part in ["VALUE", "2500", "byte", "region=eu", "region=us"] {
        assert!(report.out.contains(part), "{part}: {report:?}");
    }
    let ranking = place.json(&["usage", "report", "--meter", "egress"]).await;
    assert_eq!((&ranking["items"][0]["tenant"], &ranking["items"][0]["value"]), (&json!("acme"), &json!("5000")));
    let meters = place.tenantry(&["usage", "meters"]).await;
    assert!(meters.out.contains("egress") && meters.out.contains("unique"), "{meters:?}");
    let missing = place.tenantry(&["usage", "report", "acme", "--meter", "nothing"]).await;
    assert!(missing.code == 2 && missing.err.contains("TEN-0094"), "{missing:?}");
    end(server, Signal::TERM).await;
}

/// Batches that several senders send at once, over and over, while the server is killed again and again. A sender goes on
/// to its next batch when one was answered, and sends it again when it was not.
#[tokio::test]
async fn a_killed_server_loses_nothing_and_counts_nothing_twice() {
    const SENDERS: usize = 4;
    const BATCHES: usize = 60;
    const EVENTS: usize = 100;
    let place = Place::new().await;
    let mut server = place.serve().await;
    place.apply().await;
    let mut expected: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut of_senders = Vec::new();
    let time = Timestamp::now();
    for sender in 0..SENDERS {
        let mut batches = Vec::new();
        for batch in 0..BATCHES {
            // Neighbours overlap: a tenth of each batch was in the batch of the sender before as well.
            let first = (sender * BATCHES + batch) * EVENTS;
            let numbers =
                (first..first + EVENTS).chain(first.saturating_sub(EVENTS)..first.saturating_sub(EVENTS * 9 / 10));
            let events = numbers.map(|number| {
                let subject = if number % 3 == 0 { "acme" } else { "globex" };
                match number % 4 {
                    0 => event(time, number, "people", subject, &json!({ "person": number % 40 })),
                    _ => event(
                        time,
                        number,
                        "egress",
                        subject,
                        &json!({ "bytes": 1, "region": (number % 2).to_string() }),
                    ),
                }
            });
            batches.push(Value::Array(events.collect()).to_string());
        }
        of_senders.push(batches);
    }
    for number in 0..SENDERS * BATCHES * EVENTS {
        let subject = if number % 3 == 0 { "acme" } else { "globex" };
        *expected.entry((subject, if number % 4 == 0 { "people" } else { "egress" })).or_default() += 1;
    }
    let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let url = format!("http://{}/v1/environments/prod/usage", place.address);
    let senders = of_senders.into_iter().map(|batches| {
        let (http, url, token) = (http.clone(), url.clone(), place.token.clone());
        tokio::spawn(async move {
            let mut unanswered = 0_usize;
            for batch in batches {
                loop {
                    let call = http.post(&url).bearer_auth(&token).body(batch.clone());
                    let call = call.header("content-type", "application/cloudevents-batch+json").send().await;
                    match call {
                        Ok(answer) if answer.status() == 200 => break,
                        Ok(answer) => {
                            let status = answer.status();
                            assert!(status == 429 || status.is_server_error(), "{status}: {:?}", answer.text().await);
                        }
                        Err(_) => unanswered += 1,
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                // Slower than it could be, so that every kill finds calls in hand.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            unanswered
        })
    });
    let senders: Vec<_> = senders.collect();
    let mut kills = 0;
    while !senders.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(500 + 137 * (kills % 5))).await;
        if senders.iter().all(tokio::task::JoinHandle::is_finished) {
            break;
        }
        end(server, Signal::KILL).await;
        server = place.serve().await;
        kills += 1;
    }
    let mut unanswered = 0;
    for sender in senders {
        unanswered += sender.await.unwrap();
    }
    assert!(
        kills >= 3 && unanswered > 0,
        "{kills} kills, {unanswered} calls without an answer: the test has to disturb"
    );
    for tenant in ["acme", "globex"] {
        for meter in ["egress", "people"] {
            let report = place.json(&["usage", "report", tenant, "--meter", meter, "--window", "month"]).await;
            let items = report["items"].as_array().unwrap().iter();
            let events: i64 = items.clone().map(|item| item["events"].as_i64().unwrap()).sum();
            assert_eq!(usize::try_from(events).unwrap(), expected[&(tenant, meter)], "{tenant} {meter}: {report}");
            let value: u64 = items.map(|item| item["value"].as_str().unwrap().parse::<u64>().unwrap()).sum();
            let people = (0..SENDERS * BATCHES * EVENTS)
                .filter(|number| number % 4 == 0 && (number % 3 == 0) == (tenant == "acme"))
                .map(|number| number % 40)
                .collect::<std::collections::BTreeSet<_>>();
            let wanted = if meter == "people" { people.len() } else { expected[&(tenant, meter)] };
            assert_eq!(usize::try_from(value).unwrap(), wanted, "{tenant} {meter}: {report}");
        }
    }
    end(server, Signal::TERM).await;
}
