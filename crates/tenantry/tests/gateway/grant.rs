//! Emergency access, from the request to the end of the session.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{World, wait};

/// How soon a session ends once the access does.
const SOON: Duration = Duration::from_secs(1);

/// Somebody with a token that names the person.
struct Person<'w> {
    world: &'w World,
    token: String,
}

impl<'w> Person<'w> {
    async fn new(world: &'w World, name: &str, role: &str) -> Self {
        let made = ["tokens", "create", name, "--kind", "operator", "--person", name, "--role", role];
        let token = world.json(&made).await["text"].as_str().unwrap().to_owned();
        Self { world, token }
    }

    /// What a command prints, or the code that it ends with.
    async fn does(&self, arguments: &[&str]) -> Result<Value, i32> {
        let ended = self.world.tenantry_as(&self.token, &[arguments, &["-o", "json"]].concat()).await;
        match ended.code {
            0 => Ok(serde_json::from_str(&ended.out).unwrap()),
            code => Err(code),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_lets_one_person_in_until_it_ends() {
    let world = World::new(1, 2).await;
    let gate = world.gate("one", &[]).await;
    let (olga, petra) = (Person::new(&world, "olga", "support").await, Person::new(&world, "petra", "admin").await);
    let reason = "Invoice 4711 shows a wrong total";
    for slug in ["shared-0-0", "database-0-0"] {
        let asked = olga.does(&["access", "request", slug, "--reason", reason, "--minutes", "5"]).await.unwrap();
        let id = asked["id"].as_str().unwrap();
        assert_eq!(olga.does(&["access", "open", id]).await, Err(5), "nobody agreed");
        assert_eq!(olga.does(&["access", "approve", id]).await, Err(4), "not by oneself");
        petra.does(&["access", "approve", id]).await.unwrap();
        assert_eq!(petra.does(&["access", "open", id]).await, Err(4), "only who asked");
        let opened = olga.does(&["access", "open", id]).await.unwrap();
        let mut config = gate.config(world.tenant(slug));
        config.user(opened["request"]["login"].as_str().unwrap()).password(opened["password"].as_str().unwrap());
        let client = wait("the gateway knows the login", Duration::from_secs(8), async || {
            // Whoever fails too often is not heard for a while.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.ok()?;
            tokio::spawn(connection);
            Some(client)
        });
        let (client, _) = client.await;
        let count = async || client.query_one("SELECT count(*) FROM note", &[]).await.map(|row| row.get::<_, i64>(0));
        assert_eq!(count().await.unwrap(), 0);
        let write = format!("INSERT INTO note (owner, client, n, part) VALUES ('{slug}', 1, 1, 0)");
        let refused = client.batch_execute(&write).await.unwrap_err();
        assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("25006"), "{refused:?}");
        // The neighbour of the same level is as far away as ever.
        let mut next_door = config.clone();
        next_door.dbname(slug.replace("-0-0", "-0-1"));
        assert!(next_door.connect(tokio_postgres::NoTls).await.is_err());
        let ended = Instant::now();
        olga.does(&["access", "end", id]).await.unwrap();
        wait("the session is over", SOON, async || count().await.is_err().then_some(())).await;
        assert!(config.connect(tokio_postgres::NoTls).await.is_err(), "nobody is let in by it any more");
        eprintln!("gateway: a session of {slug} ended {} ms after its access was ended", ended.elapsed().as_millis());
        let events = world.json(&["audit", "list", "--tenant", slug]).await.to_string();
        assert!(events.contains("access.approve") && events.contains(reason), "the tenant can read it: {events}");
    }
}
