//! What is in a stream, and what never gets into it.

use std::time::Duration;

use bytes::Bytes;
use tenantry_streams::{Behind, Credential, Link, Message, Newest, Settings, Trouble};
use tenantry_testkit::nats::Nats;

/// Settings for a server of a test.
pub fn settings(url: &str) -> Settings {
    Settings {
        servers: url.parse().unwrap(),
        credential: Credential::None,
        authorities: None,
        stream: "TENANTRY".parse().unwrap(),
        prefix: "tenantry".parse().unwrap(),
        window: Duration::from_secs(120),
        replicas: 1,
        patience: Duration::from_secs(5),
    }
}

/// An event of a tenant.
pub fn message(tenant: &str, sequence: i64) -> Message {
    Message {
        id: format!("evt_{tenant}_{sequence}"),
        environment: "prod".into(),
        tenant: Some(tenant.into()),
        sequence,
        kind: "tenant.updated".into(),
        correlation: "req_1".into(),
        body: Bytes::from(format!("{{\"sequence\":{sequence}}}")),
    }
}

/// Behind the stream's message of this number, whatever it is.
pub fn at(number: u64) -> Behind {
    Behind { number, id: None }
}

/// Behind an event of a tenant.
fn behind(number: u64, tenant: &str, sequence: i64) -> Behind {
    Behind { number, id: Some(message(tenant, sequence).id) }
}

async fn put(link: &Link, message: Message, number: u64) -> Result<(u64, bool), Trouble> {
    let placed = link.send(message, &at(number)).await?.placed().await?;
    Ok((placed.at, placed.is_repeated))
}

#[tokio::test]
async fn messages_are_in_the_stream_as_they_were_sent() {
    let server = Nats::start().await;
    let link = Link::open(&settings(&server.url()), None).await.unwrap();
    assert_eq!(link.last().await.unwrap(), 0);
    assert_eq!(link.newest("prod", Some("ten_a")).await.unwrap(), None);
    let mut sent = Vec::new();
    let conditions = [at(0), behind(1, "ten_a", 1), behind(2, "ten_b", 1)];
    for ((tenant, sequence), condition) in [("ten_a", 1), ("ten_b", 1), ("ten_a", 2)].into_iter().zip(conditions) {
        sent.push(link.send(message(tenant, sequence), &condition).await.unwrap());
    }
    for (place, sent) in sent.into_iter().enumerate() {
        let placed = sent.placed().await.unwrap();
        assert_eq!((placed.at, placed.is_repeated), (place as u64 + 1, false));
    }
    put(&link, Message { tenant: None, kind: "catalog.updated".into(), ..message("own", 1) }, 3).await.unwrap();
    assert_eq!(link.last().await.unwrap(), 4);
    let newest = link.newest("prod", Some("ten_a")).await.unwrap();
    assert_eq!(
        newest,
        Some(Newest { sequence: 2, id: "evt_ten_a_2".into(), subject: "tenantry.prod.ten_a.tenant.updated".into() })
    );
    assert_eq!(link.newest("prod", None).await.unwrap().unwrap().sequence, 1);
    assert_eq!(link.newest("prod", Some("ten_c")).await.unwrap(), None);
    let kept = server.messages("TENANTRY").await;
    let subjects: Vec<_> = kept.iter().map(|message| message.subject.as_str()).collect();
    let updated = |tenant: &str| format!("tenantry.prod.{tenant}.tenant.updated");
    assert_eq!(subjects, [&updated("ten_a"), &updated("ten_b"), &updated("ten_a"), "tenantry.prod._.catalog.updated"]);
    let header = |name: &str| kept[0].headers.get(name).unwrap().as_str();
    assert_eq!(header("Nats-Msg-Id"), "evt_ten_a_1");
    assert_eq!(header("Content-Type"), "application/cloudevents+json; charset=utf-8");
    assert_eq!((header("Tenantry-Tenant"), header("Tenantry-Sequence")), ("ten_a", "1"));
    assert_eq!(kept[0].payload, "{\"sequence\":1}");
    let made = server.jetstream().await.get_stream("TENANTRY").await.unwrap().cached_info().config.clone();
    assert_eq!((made.subjects, made.duplicate_window), (vec!["tenantry.>".to_owned()], Duration::from_secs(120)));
}

/// Whoever knows less than all of the stream adds nothing to it, however long ago its message was first there.
#[tokio::test]
async fn whoever_was_overtaken_adds_nothing() {
    let server = Nats::start().await;
    let short = Settings { window: Duration::from_secs(2), ..settings(&server.url()) };
    let (first, second) = (Link::open(&short, None).await.unwrap(), Link::open(&short, None).await.unwrap());
    assert_eq!(put(&first, message("ten_a", 1), 0).await.unwrap(), (1, false));
    assert_eq!(put(&first, message("ten_a", 1), 1).await.unwrap(), (1, true), "the server knows the id still");
    tokio::time::sleep(Duration::from_secs(5)).await;
    // The id is forgotten by now, for the server sees to that by a timer: only the condition is in the way.
    assert!(matches!(put(&second, message("ten_a", 1), 0).await, Err(Trouble::Overtaken)));
    // One that is refused takes all behind it along: not even the second, whose number is right, leaves a gap.
    let flying = [
        second.send(message("ten_a", 2), &at(0)).await.unwrap(),
        second.send(message("ten_a", 3), &behind(1, "ten_a", 2)).await.unwrap(),
        second.send(message("ten_a", 4), &behind(2, "ten_a", 3)).await.unwrap(),
    ];
    for sent in flying {
        assert!(matches!(sent.placed().await, Err(Trouble::Overtaken)));
    }
    assert_eq!(server.count("TENANTRY").await, 1);
    // Who has looked goes on, also at a server that was started since and has forgotten all ids.
    assert_eq!(put(&second, message("ten_a", 2), second.last().await.unwrap()).await.unwrap(), (2, false));
}

#[tokio::test]
async fn a_server_that_dies_is_noticed_and_keeps_what_it_took() {
    let mut server = Nats::start().await;
    let link = Link::open(&settings(&server.url()), None).await.unwrap();
    put(&link, message("ten_a", 1), 0).await.unwrap();
    server.freeze();
    let sent = link.send(message("ten_a", 2), &at(1)).await.unwrap();
    server.kill().await;
    tokio::time::timeout(Duration::from_secs(5), link.gone()).await.expect("the connection is gone");
    assert!(matches!(sent.placed().await, Err(Trouble::Silent)));
    let gone = Link::open(&settings(&server.url()), None).await.err().expect("nobody is there");
    assert_eq!(gone.word(), "away", "{gone:?}");
    server.again().await;
    let link = Link::open(&settings(&server.url()), None).await.unwrap();
    assert_eq!(link.newest("prod", Some("ten_a")).await.unwrap().unwrap().sequence, 1);
    assert_eq!(put(&link, message("ten_a", 2), link.last().await.unwrap()).await.unwrap().0, 2);
}
