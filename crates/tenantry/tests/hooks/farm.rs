//! Receivers, each with an endpoint, and what they wrote down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use serde_json::Value;
use tenantry_api::client::Client;
use tenantry_api::v1::webhook::WebhookRequest;
use tenantry_testkit::receivers::{Got, Mood, Receiver};
use tenantry_webhooks::verify::{TOLERANCE, Verifier};

/// Of whose events an endpoint hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hears {
    /// All of one tenant's, by its id.
    Tenant(String),
    /// This type of everybody's, each tenant's in their order.
    InOrder(&'static str),
}

/// What a receiver remembers of an event.
struct One {
    /// Of id and body.
    digest: [u8; 32],
    is_taken: bool,
}

/// What a receiver wrote down.
#[derive(Default)]
pub struct Seen {
    events: HashMap<(String, i64), One>,
    newest: HashMap<String, i64>,
    /// Requests that were answered by 2xx, and those of them that had been answered so before.
    pub taken: u64,
    pub repeated: u64,
    /// Requests.
    pub arrived: u64,
    /// What must not be.
    pub wrong: Vec<String>,
}

impl Seen {
    /// Whether an event was taken.
    pub fn has(&self, tenant: &str, sequence: i64) -> bool {
        self.events.get(&(tenant.to_owned(), sequence)).is_some_and(|one| one.is_taken)
    }

    fn complain(&mut self, what: String) {
        if self.wrong.len() < 20 {
            self.wrong.push(what);
        }
    }

    fn note(&mut self, got: &Got, verifier: &Verifier, in_order: bool) {
        self.arrived += 1;
        let now = jiff::Timestamp::try_from(got.at).unwrap().as_second();
        let parts = (got.id.as_str(), got.timestamp.as_str(), got.signature.as_str());
        if let Err(error) = verifier.verify(parts, &got.body, now, TOLERANCE) {
            self.complain(format!("{}: {error}", got.id));
        }
        let Ok(body) = serde_json::from_slice::<Value>(&got.body) else {
            return self.complain(format!("{}: no JSON", got.id));
        };
        let (Some(tenant), Some(sequence)) = (body["tenantryid"].as_str(), body["sequence"].as_i64()) else {
            return self.complain(format!("{}: neither tenant nor sequence", got.id));
        };
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(got.id.as_bytes());
        context.update(&got.body);
        let digest: [u8; 32] = context.finish().as_ref().try_into().unwrap();
        let before = self.events.get(&(tenant.to_owned(), sequence)).map(|one| (one.digest == digest, one.is_taken));
        if before.is_some_and(|(is_same, _)| !is_same) {
            self.complain(format!("{tenant} {sequence}: other bytes or another id than before"));
        }
        let was_taken = before.is_some_and(|(_, was_taken)| was_taken);
        if in_order && got.is_taken && !was_taken {
            let newest = self.newest.insert(tenant.to_owned(), sequence).unwrap_or(0);
            if newest > sequence {
                self.complain(format!("{tenant}: {sequence} came behind {newest}"));
            }
        }
        self.taken += u64::from(got.is_taken);
        self.repeated += u64::from(got.is_taken && was_taken);
        self.events.insert((tenant.to_owned(), sequence), One { digest, is_taken: got.is_taken || was_taken });
    }
}

/// A receiver and its endpoint.
pub struct Post {
    pub mood: Mood,
    pub receiver: Receiver,
    pub id: String,
    pub hears: Hears,
    seen: Arc<Mutex<Seen>>,
}

impl Post {
    /// Opens one.
    pub async fn open(client: &Client, mood: Mood, hears: Hears, scheme: &str) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let key: Arc<OnceLock<Verifier>> = Arc::default();
        let in_order = matches!(hears, Hears::InOrder(_));
        let (into, with) = (Arc::clone(&seen), Arc::clone(&key));
        let sink = move |got: Got| {
            // The endpoint's own birth may be here before its secret is. It is not of those that count.
            let Some(verifier) = with.get() else { return };
            into.lock().unwrap_or_else(PoisonError::into_inner).note(&got, verifier, in_order);
        };
        let receiver = Receiver::start_with(mood.clone(), Box::new(sink)).await;
        let request = WebhookRequest {
            url: receiver.url(),
            tenant: if let Hears::Tenant(tenant) = &hears { Some(tenant.clone()) } else { None },
            types: if let Hears::InOrder(kind) = &hears { Some(vec![(*kind).to_owned()]) } else { None },
            fifo: Some(in_order),
            scheme: Some(scheme.to_owned()),
            ..WebhookRequest::default()
        };
        let made = client.create_webhook(&request).await.unwrap_or_else(|error| panic!("{mood:?}: {error:?}")).value;
        let text = made.secret.or(made.endpoint.public_key).expect("something to verify with");
        assert!(key.set(Verifier::parse([text.as_str()]).unwrap()).is_ok());
        Self { mood, receiver, id: made.endpoint.id, hears, seen }
    }

    /// Looks at what it wrote down.
    pub fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The moods, and how many of so many events each of their tenants has.
pub fn moods() -> Vec<(Mood, &'static str, usize)> {
    vec![
        (Mood::Ok, "hmac", 6),
        (Mood::Ok, "ed25519", 4),
        (Mood::Slow(Duration::from_millis(5)), "hmac", 3),
        (Mood::Status(500), "hmac", 1),
        (Mood::Hang, "hmac", 1),
        (Mood::Reset, "hmac", 1),
        (Mood::Status(410), "hmac", 1),
        (Mood::Wait(429, 1), "hmac", 1),
        (Mood::Redirect("http://127.0.0.1:9/".to_owned()), "hmac", 1),
        (Mood::Bomb, "hmac", 2),
        (Mood::Flap, "hmac", 2),
    ]
}
