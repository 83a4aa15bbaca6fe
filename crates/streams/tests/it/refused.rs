//! What is refused, and how that is said.

use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use tenantry_domain::code::Code;
use tenantry_streams::{Credential, Link, Settings, Trouble};
use tenantry_testkit::nats::Nats;

use crate::link::{at, message, settings};

/// Why a link cannot be opened.
async fn trouble(settings: &Settings) -> Trouble {
    Link::open(settings, None).await.err().expect("it is refused")
}

fn stream(subjects: &[&str]) -> Config {
    Config {
        name: "TENANTRY".into(),
        subjects: subjects.iter().map(ToString::to_string).collect(),
        duplicate_window: Duration::from_secs(120),
        ..Config::default()
    }
}

#[tokio::test]
async fn a_stream_that_will_not_do_is_refused_with_the_way_out() {
    let cases = [
        (stream(&["orders.*"]), "nats stream edit TENANTRY --subjects 'tenantry.>'"),
        (Config { retention: RetentionPolicy::WorkQueue, ..stream(&["tenantry.>"]) }, "limits retention"),
        (Config { no_ack: true, ..stream(&["tenantry.>"]) }, "--ack"),
        (Config { max_message_size: 1024, ..stream(&["tenantry.>"]) }, "--max-msg-size"),
        (Config { duplicate_window: Duration::from_secs(5), ..stream(&["tenantry.>"]) }, "--dupe-window 120s"),
        (Config { name: "OTHER".into(), ..stream(&["tenantry.prod.>"]) }, "another stream takes `tenantry.>` already"),
    ];
    for (config, hint) in cases {
        let server = Nats::start().await;
        server.make(config).await;
        let trouble = trouble(&settings(&server.url())).await;
        assert_eq!((trouble.word(), trouble.code()), ("unfit", Code::StreamUnfit), "{trouble:?}");
        assert!(trouble.to_string().contains(hint), "{trouble} lacks {hint}");
    }
    let server = Nats::start().await;
    server.make(stream(&[">"])).await;
    // Whatever the server itself says on its own subjects is not ours to look at; a stream for all subjects will do.
    Link::open(&settings(&server.url()), None).await.unwrap();
}

#[tokio::test]
async fn messages_of_strangers_and_a_full_stream_are_told_apart() {
    let server = Nats::start().await;
    let small = Config { max_messages: 1, discard: DiscardPolicy::New, ..stream(&["tenantry.>"]) };
    server.make(small).await;
    let link = Link::open(&settings(&server.url()), None).await.unwrap();
    server.jetstream().await.publish("tenantry.prod.ten_a.hello", "hi".into()).await.unwrap().await.unwrap();
    let foreign = link.newest("prod", Some("ten_a")).await.unwrap_err();
    assert!(foreign.to_string().contains("`tenantry.prod.ten_a.hello` that is not ours"), "{foreign}");
    let full = link.send(message("ten_b", 1), &at(1)).await.unwrap().placed().await.unwrap_err();
    assert_eq!((full.word(), full.code()), ("full", Code::StreamUnavailable), "{full:?}");
    server.jetstream().await.delete_stream("TENANTRY").await.unwrap();
    let gone = link.send(message("ten_b", 1), &at(1)).await.unwrap().placed().await.unwrap_err();
    assert_eq!(gone.word(), "unfit", "{gone:?}");
}

/// It may have been lost with everything in it, and made anew; or it is another server's.
#[tokio::test]
async fn only_the_stream_that_was_published_to_will_do() {
    let server = Nats::start().await;
    let made = Link::open(&settings(&server.url()), None).await.unwrap().made();
    let again = Link::open(&settings(&server.url()), Some(made)).await.unwrap().made();
    assert_eq!(again, made);
    let jetstream = server.jetstream().await;
    let config = jetstream.get_stream("TENANTRY").await.unwrap().cached_info().config.clone();
    jetstream.delete_stream("TENANTRY").await.unwrap();
    let gone = Link::open(&settings(&server.url()), Some(made)).await.err().expect("it is gone");
    assert!(gone.word() == "unfit" && gone.to_string().contains("is gone"), "{gone}");
    assert!(jetstream.get_stream("TENANTRY").await.is_err(), "it was made a second time");
    server.make(config).await;
    let other = Link::open(&settings(&server.url()), Some(made)).await.err().expect("it is another one");
    assert!(other.to_string().contains(&format!("published to at {made}")), "{other}");
    assert_eq!(other.code(), Code::StreamUnfit);
    assert!(Link::open(&settings(&server.url()), None).await.unwrap().made() > made);
}

#[tokio::test]
async fn a_server_that_takes_small_messages_only_says_so() {
    let mut server = Nats::absent().with("max_payload: 8192");
    server.again().await;
    let small = trouble(&settings(&server.url())).await;
    assert!(small.word() == "unfit" && small.to_string().contains("above 8192 bytes"), "{small}");
    assert!(server.jetstream().await.get_stream("TENANTRY").await.is_err(), "nothing was made");
    server.make(stream(&["tenantry.>"])).await;
    let small = trouble(&settings(&server.url())).await;
    assert!(small.to_string().contains("max_payload"), "{small}");
}

#[tokio::test]
async fn a_server_without_jetstream_says_so() {
    // The last word counts in the server's file.
    let mut server = Nats::absent().with("jetstream: disabled");
    server.again().await;
    assert!(matches!(trouble(&settings(&server.url())).await, Trouble::NoJetStream));
}

#[tokio::test]
async fn credentials_come_from_files_that_are_read_each_time() {
    let mut server = Nats::absent().with("authorization { user: tenantry, password: \"pass:word\" }");
    server.again().await;
    let file = server.path("nats.auth");
    let by_file = Settings { credential: Credential::File(file.clone()), ..settings(&server.url()) };
    assert_eq!(trouble(&settings(&server.url())).await.word(), "denied");
    assert_eq!(trouble(&by_file).await.word(), "credential", "there is no such file");
    std::fs::write(&file, "tenantry:hunter2\n").unwrap();
    let denied = trouble(&by_file).await;
    assert_eq!(denied.word(), "denied");
    assert!(!format!("{denied:?} {denied} {by_file:?}").contains("hunter2"));
    std::fs::write(&file, "tenantry:pass:word\n").unwrap();
    Link::open(&by_file, None).await.unwrap();
    std::fs::write(&file, " \n").unwrap();
    assert_eq!(trouble(&by_file).await.word(), "credential");
    let creds = Settings { credential: Credential::Creds(file.clone()), ..by_file };
    std::fs::write(&file, "no credentials").unwrap();
    assert_eq!(trouble(&creds).await.word(), "credential");

    let mut server = Nats::absent().with("authorization { token: \"s3cret\" }");
    server.again().await;
    std::fs::write(&file, "s3cret\n").unwrap();
    let by_file = Settings { credential: Credential::File(file), ..settings(&server.url()) };
    Link::open(&by_file, None).await.unwrap();
}

#[tokio::test]
async fn tls_is_by_authorities_that_are_believed() {
    let mut server = Nats::absent();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args([
            "-subj",
            "/CN=nats",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(server.path("key.pem"))
        .arg("-out")
        .arg(server.path("cert.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (cert, key) = (server.path("cert.pem"), server.path("key.pem"));
    server = server.with(&format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", cert.display(), key.display()));
    server.again().await;
    let unknown = trouble(&settings(&server.url())).await;
    assert_eq!(unknown.word(), "tls", "{unknown:?}");
    for url in [server.url(), server.url().replace("nats://", "tls://")] {
        Link::open(&Settings { authorities: Some(cert.clone()), ..settings(&url) }, None).await.unwrap();
    }
    let none = Settings { authorities: Some(key), ..settings(&server.url()) };
    assert_eq!(trouble(&none).await.word(), "tls");

    // Who asks for TLS is not connected without it.
    let plain = Nats::start().await;
    let asked = Settings { authorities: Some(cert), ..settings(&plain.url().replace("nats://", "tls://")) };
    let refused = trouble(&asked).await;
    assert!(matches!(refused.word(), "tls" | "away"), "{refused:?}");
}
