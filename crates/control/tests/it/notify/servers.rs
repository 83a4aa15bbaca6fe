//! Mail servers as they are: slow, silent, closed to us. What one of them does to a mail is not done to the others.

use tenantry_control::Runtime;
use tenantry_testkit::mail::Sink;
use tenantry_testkit::receivers::{Mood, Receiver};
use tokio::io::AsyncWriteExt as _;

use super::{DROPPED, SENT, Tellers, active, contact, eventually, log, settled, standing, telling, wanted};
use crate::members::mail::TMP;
use crate::world::{World, options};

/// A tenant of which `first@`, `tech@` and `last@` are to be told, and nobody is yet.
async fn waiting(first: &str, last: &str) -> World {
    let mut world = World::with(options()).await;
    world.runtime = Some(Runtime::start(&world.deps));
    let mut spec = wanted("Acme", "acme.example");
    spec.contacts.technical.insert(0, contact(&format!("{first}@acme.example")));
    spec.contacts.technical.push(contact(&format!("{last}@acme.example")));
    active(&world, "acme", spec).await;
    world.pause().await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_was_taken_is_sent_once_and_one_without_an_answer_three_times() {
    let sink = Sink::start(TMP).await;
    let world = waiting("cling", "lost").await;
    let deps = world.twin(telling(sink.port)).await;
    let tellers = Tellers::start(&deps);
    settled(&world.deps).await;
    let copies = sink.mails_to("lost@acme.example");
    assert_eq!((sink.mails_to("cling@acme.example").len(), copies.len()), (1, 3));
    let id = |mail: &String| mail.lines().find(|line| line.starts_with("Message-ID: ")).map(str::to_owned);
    assert!(copies.iter().all(|copy| id(copy).is_some() && id(copy) == id(&copies[0])), "{copies:?}");
    let (taken, lost) = (standing(&world, "c…@acme.example").await, standing(&world, "l…@acme.example").await);
    assert_eq!((taken.state, taken.attempts, lost.state, lost.attempts), (SENT, 1, DROPPED, 3));
    assert!(lost.cause.clone().unwrap().contains("may have come"), "{lost:?}");
    tellers.kill().await;
    world.stop().await;
}

/// The answer to a mail can take minutes. It is waited for, and nothing else waits with it; nor does it when the process stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_takes_long_holds_up_nothing() {
    let sink = Sink::start(TMP).await;
    let world = waiting("slow", "late").await;
    let deps = world.twin(telling(sink.port)).await;
    let tellers = Tellers::start(&deps);
    eventually("the slow one has it", async || sink.mails_to("slow@acme.example").len() == 1).await;
    let sent = async || log(&world).await.iter().filter(|one| one.state == SENT).count();
    eventually("the others are told", async || sent().await == 2).await;
    let runtime = Runtime::start(&world.deps);
    active(&world, "globex", wanted("Globex", "globex.example")).await;
    eventually("what comes later as well", async || sent().await == 3).await;
    let slow = standing(&world, "s…@acme.example").await;
    assert_eq!((slow.attempts, slow.ended_at, sink.mails_to("slow@acme.example").len()), (1, None, 1));
    runtime.shutdown(&world.deps).await.unwrap();
    tellers.kill().await;
    world.stop().await;
}

/// A server on whose blocklist we are says so before it is told anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_nothing_of_us_loses_nothing() {
    let sink = Sink::start(TMP).await;
    let world = waiting("first", "last").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let blocking = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client.write_all(b"554 5.7.1 Client host blocked, ask Post@Block.example\r\n").await;
        }
    });
    let tellers = Tellers::start(&world.twin(telling(port)).await);
    eventually("all are tried twice", async || log(&world).await.iter().filter(|one| one.attempts > 1).count() == 3)
        .await;
    tellers.kill().await;
    blocking.abort();
    for one in log(&world).await {
        let cause = one.cause.unwrap_or_default();
        assert!(one.ended_at.is_none() && cause.contains("554") && cause.contains("P…@Block.example"), "{cause}");
    }
    world.skip_ahead(super::LEASE);
    let tellers = Tellers::start(&world.twin(telling(sink.port)).await);
    settled(&world.deps).await;
    assert_eq!(sink.mails().len(), 3);
    tellers.kill().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_hangs_holds_up_no_mail() {
    let (sink, receiver) = (Sink::start(TMP).await, Receiver::start(Mood::Hang).await);
    let mut both = super::chat::chatting(&receiver.url(), true);
    both.members = telling(sink.port).members;
    // It would be waited for, for longer than this test takes.
    both.webhooks.limits.total = std::time::Duration::from_secs(60);
    let mut world = World::with(options()).await;
    world.runtime = Some(Runtime::start(&world.deps));
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "z", "m", "n", "o", "p", "q", "r"];
    for name in names {
        active(&world, &format!("firm-{name}"), wanted(name, &format!("{name}.example"))).await;
    }
    let deps = world.twin(both).await;
    let tellers = Tellers::start(&deps);
    eventually("all mails are sent", async || sink.mails().len() == names.len()).await;
    assert!(
        receiver.count() > 0 && log(&world).await.iter().all(|one| one.channel == "mail" || one.ended_at.is_none())
    );
    tellers.kill().await;
    world.stop().await;
}
