//! The operator's chat.

use serde_json::{Value, json};
use tenantry_control::notify::NotifyOptions;
use tenantry_control::{Options, Runtime};
use tenantry_testkit::receivers::{Mood, Receiver};

use super::{DROPPED, SENT, Tellers, active, eventually, log, settled, wanted};
use crate::webhooks::lab;
use crate::world::World;

pub fn chatting(url: &str, is_lab: bool) -> Options {
    let lab = lab(3);
    let mut webhooks = lab.webhooks.clone();
    if !is_lab {
        webhooks.egress = tenantry_control::webhooks::Egress::Public;
    }
    let notify = NotifyOptions {
        chat: Some(url.parse().unwrap()),
        pause: std::time::Duration::from_millis(100),
        ..NotifyOptions::default()
    };
    Options { notify, webhooks, ..lab }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chat_is_told_once_of_each_event_and_asked_again_while_it_is_broken() {
    let receiver = Receiver::start(Mood::Status(500)).await;
    let url = format!("{}/hush", receiver.url());
    let mut world = World::with(chatting(&url, true)).await;
    world.runtime = Some(Runtime::start(&world.deps));
    active(&world, "acme", wanted("Acme <!channel> & Co", "acme.example")).await;
    eventually("it is asked again", async || receiver.count() >= 2).await;
    let failed = log(&world).await;
    assert_eq!(failed.len(), 1, "mail is not configured: {failed:?}");
    let cause = failed[0].cause.clone().unwrap();
    assert!(cause.contains("500") && !cause.contains("hush"), "{cause}");
    receiver.set(Mood::Ok);
    settled(&world.deps).await;
    let got = receiver.got();
    let taken: Vec<_> = got.iter().filter(|one| one.is_taken).collect();
    assert_eq!(taken.len(), 1);
    assert!(got.iter().all(|one| one.id == got[0].id && one.body == got[0].body), "the same at each attempt");
    assert_eq!((taken[0].path.as_str(), taken[0].signature.as_str()), ("/in/hush", ""));
    assert!(taken[0].media.starts_with("application/json"), "{}", taken[0].media);
    let body: Value = serde_json::from_slice(&taken[0].body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.starts_with("Acme &lt;!channel&gt; &amp; Co is ready\n"), "{text}");
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["text"]);
    let shown = log(&world).await.remove(0);
    assert_eq!((shown.state, shown.channel, shown.to), (SENT, "chat", None));
    world.stop().await;
}

/// The guard of webhooks holds for the chat, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_on_a_private_address_is_called_in_a_laboratory_only() {
    let receiver = Receiver::start(Mood::Ok).await;
    let mut world = World::with(chatting(&receiver.url(), true)).await;
    world.runtime = Some(Runtime::start(&world.deps));
    let strict = world.twin(chatting(&receiver.url(), false)).await;
    world.pause().await;
    world.runtime = Some(Runtime::start(&strict));
    active(&world, "acme", wanted("Acme", "acme.example")).await;
    settled(&world.deps).await;
    let shown = log(&world).await.remove(0);
    assert!(shown.state == DROPPED && shown.cause.clone().unwrap().contains("do not allow"), "{shown:?}");
    assert_eq!((receiver.connections(), receiver.count()), (0, 0));
    if let Some(runtime) = world.runtime.take() {
        runtime.shutdown(&strict).await.unwrap();
    }
    world.stop().await;
}

/// What belongs to no tenant is told to the chat: nobody else would hear of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_of_the_environment_that_gives_up_is_told_to_the_chat() {
    use tenantry_domain::audit::Category;
    use tenantry_domain::event::{self, Type};
    use tenantry_domain::policy::{self, Scope};
    use tenantry_store::Entry;

    let receiver = Receiver::start(Mood::Ok).await;
    let world = World::with(chatting(&receiver.url(), true)).await;
    let cx = world.cx();
    let disabled = async |why: &str| {
        let permit = policy::controller("webhook.disable", Scope::environment(world.environment.clone()));
        let tx = world.deps.store().write(&permit, cx.now).await.unwrap();
        let data = json!({
            "endpoint": "whe_01jd8x3v9mfk2t5h7q0w4z6y8c", "host": "hooks.example.com", "types": [], "fifo": false,
            "concurrency": 4, "scheme": "hmac", "disabled": why,
        });
        let events = vec![event::Draft::new(Type::WebhookEndpointDisabled, data)];
        tx.commit(vec![Entry::environment(cx.audit(&permit, Category::Access, "webhook/x".into()), events)])
            .await
            .unwrap();
    };
    disabled("asked").await;
    disabled("failing").await;
    let tellers = Tellers::start(&world.deps);
    settled(&world.deps).await;
    assert_eq!(receiver.count(), 1, "whoever asked for it knows");
    let body: Value = serde_json::from_slice(&receiver.got()[0].body).unwrap();
    assert!(body["text"].as_str().unwrap().contains("hooks.example.com"), "{body}");
    tellers.kill().await;
    world.stop().await;
}
