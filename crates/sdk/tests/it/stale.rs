//! What is remembered, for how long, and how it is corrected.

use std::time::{Duration, Instant};

use tenantry_api::client::Expected;
use tenantry_sdk::{Error, Look, Sources, Tenantry};

use crate::world::{World, until};

#[tokio::test]
async fn ids_slugs_and_hosts_name_the_same_tenant() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    tenantry.check().await.unwrap();
    let acme = world.named(&tenantry, "acme", "shared", "active").await.tenant;
    let host = Sources::host("acme.app.example.com");
    for sources in [Sources::id(acme.id()), Sources::name("acme").unwrap(), host.clone()] {
        assert_eq!(tenantry.resolve(&sources, Look::Cached).await.unwrap(), acme, "{sources:?}");
    }
    let both = Sources { header: Some("globex".into()), ..host };
    world.named(&tenantry, "globex", "shared", "active").await;
    assert!(matches!(tenantry.resolve(&both, Look::Cached).await, Err(Error::TenantMismatch(_))));
    for missing in ["initech", "no-such", "ten_01jd8x3v9mfk2t5h7q0w4z6y8c"] {
        assert!(matches!(tenantry.find(missing).await, Err(Error::TenantNotFound(_))), "{missing}");
    }
    assert!(matches!(tenantry.find("'; DROP TABLE x").await, Err(Error::TenantNotFound(_))));
    let stranger = Tenantry::connect(&world.url, "tnt_wrong", world.environment.as_str()).unwrap();
    assert!(matches!(stranger.check().await, Err(Error::ControlPlaneRefused(_))));
    world.end().await;
}

#[tokio::test]
async fn those_who_are_known_are_served_while_the_control_plane_is_away() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let acme = world.named(&tenantry, "acme", "shared", "active").await.tenant;
    world.named(&tenantry, "globex", "shared", "active").await;
    tenantry.begin(&acme).await.unwrap().commit().await.unwrap();
    world.set_line(false);
    tokio::time::sleep(Duration::from_millis(700)).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..200 {
        let began = Instant::now();
        let known = tenantry.find("acme").await.unwrap();
        tenantry.begin(&known).await.unwrap().commit().await.unwrap();
        slowest = slowest.max(began.elapsed());
    }
    assert!(!tenantry.status().control_plane);
    let unknown = tenantry.find("initech").await.unwrap_err();
    assert_eq!((unknown.reason(), unknown.status()), ("ControlPlaneUnavailable", 503));
    world.set_line(true);
    until("it is asked again", || async { tenantry.find("initech").await.err().filter(|error| error.status() == 404) })
        .await;
    assert!(tenantry.status().control_plane);
    eprintln!("stale: 200 transactions without a control plane, the slowest took {slowest:?}");
    world.end().await;
}

#[tokio::test]
async fn a_suspension_is_seen_within_a_second_by_those_who_do_not_ask_for_it() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let factory = world.factory(&tenantry);
    let made = world.named(&tenantry, "acme", "shared", "active").await;
    let host = Sources::host("acme.app.example.com");
    assert!(tenantry.resolve(&host, Look::Cached).await.unwrap().is_open());
    // Another instance, so that its looks do not help the first one.
    let other = world.tenantry();
    let watching = async {
        until("it is seen", || async {
            let seen = tenantry.resolve(&host, Look::Cached).await.unwrap();
            (!seen.is_open()).then(Instant::now)
        })
        .await
    };
    let suspending = async {
        world.factory(&other).suspend(&made).await.unwrap();
        Instant::now()
    };
    let (seen, done) = tokio::join!(watching, suspending);
    let late = seen.saturating_duration_since(done);
    eprintln!("stale: a suspension was seen {late:?} after it had been seen by its author");
    assert!(late < Duration::from_millis(1_000), "{late:?}");
    factory.remove(&made).await.unwrap();
    world.end().await;
}

/// A move as an application sees it: the cell refuses the old generation, the control plane knows the new one.
#[tokio::test]
async fn an_old_generation_is_corrected_by_asking_again() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let acme = world.named(&tenantry, "acme", "shared", "active").await.tenant;
    tenantry.begin(&acme).await.unwrap().commit().await.unwrap();
    let on_cell =
        |epoch: i64| format!("UPDATE tenantry.tenant SET epoch = {epoch} WHERE tenant_id = '{}'", acme.uuid());
    world.on_cell(&tenantry, &acme, &on_cell(2)).await;
    let error = tenantry.begin(&acme).await.unwrap_err();
    assert_eq!((error.reason(), error.retry_after()), ("TenantMoved", Some(1)), "{error}");

    // Remembered with the old generation, while the line is cut.
    world.on_cell(&tenantry, &acme, &on_cell(1)).await;
    tenantry.begin(&acme).await.unwrap().commit().await.unwrap();
    world
        .on_control(&format!("UPDATE tenantry.tenant SET placement_generation = 2 WHERE id = '{}'", acme.uuid()))
        .await;
    let patch = serde_json::json!({ "metadata": { "labels": { "moved": "yes" } } });
    world.client().patch_tenant("acme", Expected::Any, &patch, Some(Duration::from_secs(30))).await.unwrap();
    let other = world.tenantry();
    until("the control plane knows", || async {
        let route = other.route(&acme).await.unwrap();
        (route.generation == 2).then_some(())
    })
    .await;
    let home = other.route(&acme).await.unwrap().database;
    world.set_line(false);
    tokio::time::sleep(Duration::from_millis(600)).await;
    tenantry.find("acme").await.unwrap();
    world.set_line(true);
    World::sql(&home, &on_cell(2)).await;
    let tx = tenantry.begin(&acme).await.unwrap();
    let own: uuid::Uuid = tx.query_one("SELECT tenantry.current_tenant()", &[]).await.unwrap().get(0);
    assert_eq!(own, acme.uuid());
    tx.commit().await.unwrap();
    assert_eq!(tenantry.route(&acme).await.unwrap().generation, 2);
    world.end().await;
}

#[tokio::test]
async fn a_login_that_is_refused_is_an_error_with_a_hint() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let acme = world.named(&tenantry, "acme", "schema", "active").await.tenant;
    let role = tenantry.route(&acme).await.unwrap().role;
    world.on_cell(&tenantry, &acme, &format!("ALTER ROLE \"{role}\" PASSWORD 'another'")).await;
    let error = tenantry.begin(&acme).await.unwrap_err();
    assert_eq!((error.reason(), error.status()), ("CredentialRefused", 503), "{error}");
    assert!(!error.hint().is_empty() && !error.to_string().contains("another"));
    world.end().await;
}
