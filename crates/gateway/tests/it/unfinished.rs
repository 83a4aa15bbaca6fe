//! A message of which the rest does not come, from a client that has no transaction.

use std::time::{Duration, Instant};

use tenantry_domain::isolation::Isolation;
use tenantry_gateway::Settings;
use tenantry_testkit::pg::server as postgres;
use tokio::time::sleep;

use crate::raw::{client_of, code, message, value};
use crate::world::World;

#[tokio::test]
async fn whoever_does_not_end_a_message_is_ended() {
    let login = Duration::from_millis(500);
    let settings = Settings { login, ..Settings::default() };
    let world = World::new(&postgres().url("postgres"), &[(Isolation::Shared, 1)], settings, None).await;
    let port = world.gateway().address().port();
    let (mut slow, mut done) = (client_of(port, &world.tenants[0]).await, client_of(port, &world.tenants[0]).await);
    let query = message(b'Q', b"SELECT 'all of it'\0");
    // One byte now and then does not make it longer; whoever is done in time goes on for as long as it likes.
    let began = Instant::now();
    assert!(slow.send(&query[..9]).await && done.send(&query[..9]).await);
    sleep(login).await;
    assert!(slow.send(&query[9..10]).await && done.send(&query[9..]).await);
    assert_eq!(value(&done.until(b'Z').await).as_deref(), Some("all of it"));
    let said = slow.hear().await.map(|said| [said]).unwrap();
    assert_eq!(code(&said), "08P01");
    assert!(slow.hear().await.is_none());
    let took = began.elapsed();
    assert!(took >= login * 3 && took < login * 6, "{took:?}");
    sleep(login).await;
    assert_eq!(value(&done.query("SELECT 'still here'").await).as_deref(), Some("still here"));
}
