//! Commits events in bulk, as the product does: audit entries, numbers and fan-out included.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::json;
use tenantry_domain::audit::{self, Category, Outcome};
use tenantry_domain::event::{self, Type};
use tenantry_domain::id::TenantId;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::{self, Actor, Scope};
use tenantry_pg::{PoolOptions, Target};
use tenantry_store::{CursorKey, Entry, Store, StoreError, StoreOptions};

/// Events of one commit.
const EACH: usize = 50;

/// One event in so many is of the type that the endpoint in order hears of.
pub const RARE: usize = 10;

/// A writer with connections of its own.
pub fn store(url: &str) -> Store {
    let target = Target::parse(&SecretString::from(url)).unwrap();
    let pool = PoolOptions { max: 4, ..PoolOptions::default() };
    Store::new(StoreOptions { target, pool, cursor_key: CursorKey::new(&[7; 32]) })
}

/// Commits at least `events`, spread over tenants as `turns` says, at `rate` a second at most. What is not acknowledged is committed
/// again: what counts is the outbox.
pub async fn flood(store: Store, turns: Vec<TenantId>, events: usize, rate: f64, done: Arc<AtomicUsize>) {
    let began = Instant::now();
    let mut place = 0;
    while done.load(Ordering::Relaxed) < events {
        // Neighbours in the list are of different tenants, so commits of one tenant do not wait for each other.
        let some = (place..place + 3).map(|place| commit(&store, turns[place % turns.len()], place));
        let committed = futures_util::future::join_all(some).await.into_iter().filter(Result::is_ok).count();
        done.fetch_add(committed * EACH, Ordering::Relaxed);
        place += 3;
        if committed == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let due = Duration::from_secs_f64(done.load(Ordering::Relaxed) as f64 / rate);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
    }
}

async fn commit(store: &Store, tenant: TenantId, number: usize) -> Result<(), StoreError> {
    let scope = Scope::tenant(EnvironmentName::parse("prod").unwrap(), tenant);
    let permit = policy::controller("tenant.update", scope);
    let audit = audit::Draft {
        action: "tenant.update".into(),
        category: Category::Transition,
        outcome: Outcome::Success,
        actor: Actor::controller("tests"),
        target: format!("tenant/{tenant}"),
        version: None,
        reason: None,
        request_id: "req".into(),
        correlation_id: format!("flood-{number}"),
        policy: "builtin/v1".into(),
        changes: json!({}),
    };
    let event = |place: usize| {
        let kind = if place.is_multiple_of(RARE) { Type::PlanChanged } else { Type::TenantUpdated };
        event::Draft::new(kind, json!({ "place": place, "ü": [number, null, "x"] }))
    };
    let entry = Entry::tenant(tenant, audit, (0..EACH).map(event).collect());
    store.write(&permit, jiff::Timestamp::now()).await?.commit(vec![entry]).await.map(|_| ())
}
