//! Reading from standbys: who is served there, what can be done there, and what happens when they are behind or gone.

use std::time::{Duration, Instant};

use tenantry_dataplane::Options;
use tenantry_dataplane::seal::SealMode;
use tenantry_domain::gateway::{Access, Mode, Server, Whose};
use tenantry_domain::isolation::Isolation;
use tenantry_gateway::Settings;
use tenantry_testkit::pg::{PrivateServer, private_server};

use crate::world::{Tenant, WAIT, World, connect};

const LEVELS: [(Isolation, usize); 3] = [(Isolation::Shared, 2), (Isolation::Schema, 1), (Isolation::Database, 1)];

struct Pair {
    world: World,
    standby: PrivateServer,
    primary: PrivateServer,
}

impl Pair {
    async fn new(levels: &[(Isolation, usize)], mode: SealMode, staleness: Duration) -> Self {
        let primary = private_server();
        let standby = primary.standby();
        let mut settings = Settings { staleness, ..Settings::default() };
        // One session for both tenants of the shared level: whatever one leaves, the other would find.
        settings.pool.shared = 1;
        let options = Options { seal: Some(mode), ..Options::default() };
        let urls = (primary.url("postgres"), standby.url("postgres"));
        let world = World::with((&urls.0, Some(&urls.1)), levels, options, settings, None).await;
        for tenant in &world.tenants {
            for (name, server) in [("near", Server::PreferStandby), ("only", Server::Standby)] {
                let name = format!("{name}_{}", tenant.slug.replace('-', "_"));
                world.login_on(&name, Whose::Tenant(tenant.id), Mode::Transaction, Access::ReadOnly, server);
            }
        }
        Self { world, standby, primary }
    }

    fn dsn(&self, kind: &str, tenant: &Tenant) -> String {
        self.world.dsn_as(&format!("{kind}_{}", tenant.slug.replace('-', "_")), &tenant.slug)
    }

    async fn reader(&self, kind: &str, tenant: &Tenant) -> tokio_postgres::Client {
        let began = Instant::now();
        loop {
            // A place that was made a moment ago may be on its way.
            match connect(&self.dsn(kind, tenant)).await {
                Ok(client) => return client,
                Err(error) => assert!(began.elapsed() < WAIT, "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Until the standby shows what was done on the primary by now.
    async fn caught_up(&self) {
        let lsn = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint";
        let wanted = self.world.number("postgres", lsn).await;
        let began = Instant::now();
        loop {
            let (client, connection) =
                tokio_postgres::connect(&self.standby.url("postgres"), tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let sql = "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint";
            if client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) >= wanted {
                return;
            }
            assert!(began.elapsed() < WAIT, "the standby does not follow");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn is_standby(client: &tokio_postgres::Client) -> bool {
    client.query_one("SELECT pg_is_in_recovery(), count(*) FROM note", &[]).await.unwrap().get(0)
}

/// Until a client is served by the server that it should be served by.
async fn until(client: &tokio_postgres::Client, wanted: bool) {
    let began = Instant::now();
    while is_standby(client).await != wanted {
        assert!(began.elapsed() < WAIT, "still on the other server");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn code(client: &tokio_postgres::Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.expect_err(sql);
    error.code().map(|code| code.code().to_owned()).unwrap_or_else(|| format!("{error:?}"))
}

async fn served_and_sealed(mode: SealMode) {
    let pair = Pair::new(&LEVELS, mode, Duration::from_secs(10)).await;
    let world = &pair.world;
    for tenant in &world.tenants {
        let body = format!("INSERT INTO note (body) VALUES ('of {}')", tenant.slug);
        world.client(tenant).await.batch_execute(&body).await.unwrap();
    }
    pair.caught_up().await;
    let mut clients = Vec::new();
    for tenant in &world.tenants {
        for kind in ["near", "only"] {
            clients.push((tenant, pair.reader(kind, tenant).await));
        }
    }
    // Turn by turn on the same server sessions.
    for _ in 0..3 {
        for (tenant, client) in &clients {
            assert!(is_standby(client).await, "{}", tenant.slug);
            let rows = client.query("SELECT body FROM note", &[]).await.unwrap();
            let bodies: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            assert_eq!(bodies, [format!("of {}", tenant.slug)], "{}", tenant.slug);
        }
    }
    let (other, last) = (world.tenants[1].id.uuid(), world.tenants.len() * 2 - 1);
    for (tenant, client) in [&clients[0], &clients[last]] {
        assert_eq!(code(client, "INSERT INTO note (body) VALUES ('x')").await, "25006");
        assert_eq!(code(client, "BEGIN READ WRITE; INSERT INTO note (body) VALUES ('x')").await, "0A000");
        client.batch_execute("ROLLBACK").await.unwrap();
        let zero = "0".repeat(64);
        let forged = format!("SELECT seal.enter_standby(1, '{other}', 1, '\\x{zero}')");
        assert_eq!(code(client, &forged).await, "28000");
        assert_eq!(code(client, &format!("SELECT seal.check_standby(1, '{other}', 1, '\\x{zero}')")).await, "42501");
        assert_eq!(code(client, "SELECT * FROM seal.key").await, "42501");
        match mode {
            SealMode::Register => {
                let register = format!("SELECT set_config('backtrace_functions', '{}', true)", other.simple());
                assert_eq!(code(client, &register).await, "42501");
            }
            SealMode::Signed => {
                let forged = format!("SELECT set_config('tenantry.context', '1.{other}.{zero}', true)");
                let both = format!("BEGIN; {forged}; SELECT tenantry.current_tenant()");
                assert_eq!(code(client, &both).await, "28000");
                client.batch_execute("ROLLBACK").await.unwrap();
            }
        }
        // What is said of the session's own proof is of no use: it is a parameter, and holds on this backend.
        let said = "SELECT query FROM pg_stat_activity WHERE query LIKE '%enter_standby%'";
        let seen = client.query(said, &[]).await;
        assert!(
            seen.is_err() || seen.unwrap().iter().all(|row| !row.get::<_, String>(0).contains("\\x")),
            "{}",
            tenant.slug
        );
        assert_eq!(client.query("SELECT body FROM note", &[]).await.unwrap().len(), 1);
    }
    // A prepared statement, a pipeline, and a transaction over several messages.
    let (tenant, _) = &clients[0];
    let mut client = pair.reader("only", tenant).await;
    let statement = client.prepare("SELECT body FROM note WHERE body = $1").await.unwrap();
    let wanted = format!("of {}", tenant.slug);
    let (own, none): ([&(dyn tokio_postgres::types::ToSql + Sync); 1], [_; 1]) = ([&wanted], [&"else" as _]);
    let (one, two) = tokio::join!(client.query(&statement, &own), client.query(&statement, &none));
    assert_eq!((one.unwrap().len(), two.unwrap().len()), (1, 0));
    let tx = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
    let tx = tx.start().await.unwrap();
    assert_eq!(tx.query(&statement, &[&wanted]).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn those_who_only_read_are_served_by_a_standby_and_see_their_own() {
    served_and_sealed(SealMode::Register).await;
}

#[tokio::test]
async fn the_same_holds_where_the_context_is_signed() {
    served_and_sealed(SealMode::Signed).await;
}

#[tokio::test]
async fn a_standby_that_is_behind_gone_or_promoted_is_left() {
    let pair = Pair::new(&[(Isolation::Shared, 1)], SealMode::Register, Duration::from_secs(2)).await;
    let tenant = &pair.world.tenants[0];
    pair.caught_up().await;
    let (near, only) = (pair.reader("near", tenant).await, pair.reader("only", tenant).await);
    until(&near, true).await;
    let told = async || pair.world.gateway().view().await.standbys.remove(0);
    let near_enough = told().await;
    assert!(
        near_enough.staleness.is_some_and(|old| old <= Duration::from_secs(2)) && near_enough.error.is_none(),
        "{near_enough:?}"
    );
    // Behind.
    pair.standby.sql("postgres", "SELECT pg_wal_replay_pause()");
    let writer = pair.world.client(tenant).await;
    writer.batch_execute("INSERT INTO note (body) VALUES ('new')").await.unwrap();
    until(&near, false).await;
    assert_eq!(near.query("SELECT 1 FROM note", &[]).await.unwrap().len(), 1, "the primary shows it");
    assert_eq!(code(&only, "SELECT count(*) FROM note").await, "57P03");
    let behind = told().await;
    assert!(behind.staleness.is_some_and(|old| old > Duration::from_secs(2)) && behind.error.is_none(), "{behind:?}");
    pair.standby.sql("postgres", "SELECT pg_wal_replay_resume()");
    until(&near, true).await;
    assert_eq!(only.query("SELECT 1 FROM note", &[]).await.unwrap().len(), 1);
    // Gone. The statement in hand may end with the session; what comes next is served elsewhere.
    pair.standby.kill();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let near = pair.reader("near", tenant).await;
    until(&near, false).await;
    let only = connect(&pair.dsn("only", tenant)).await.map(drop).unwrap_err();
    assert_eq!(only.code().unwrap().code(), "57P03");
    pair.standby.start();
    until(&near, true).await;
    // No standby any more: it follows nobody.
    pair.standby.sql("postgres", "SELECT pg_promote()");
    until(&near, false).await;
    // A session notices by itself, maybe before the one who watches.
    let began = std::time::Instant::now();
    loop {
        let promoted = told().await;
        if promoted.staleness.is_none() && promoted.error.as_deref().is_some_and(|why| why.contains("no standby")) {
            break;
        }
        assert!(began.elapsed().as_secs() < 10, "{promoted:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    writer.batch_execute("INSERT INTO note (body) VALUES ('newer')").await.unwrap();
    assert_eq!(near.query("SELECT 1 FROM note", &[]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_not_replayed_is_looked_for_on_the_primary() {
    let pair = Pair::new(&[(Isolation::Shared, 1)], SealMode::Register, Duration::from_secs(600)).await;
    let tenant = &pair.world.tenants[0];
    pair.caught_up().await;
    let (near, only) = (pair.reader("near", tenant).await, pair.reader("only", tenant).await);
    until(&near, true).await;
    pair.standby.sql("postgres", "SELECT pg_wal_replay_pause()");
    let table = format!("UPDATE tenantry.tenant SET epoch = 2 WHERE tenant_id = '{}'", tenant.id.uuid());
    pair.world.by_hand(&tenant.database, &table).await;
    pair.world.set_route(tenant, |route| route.place.as_mut().unwrap().epoch = 2);
    assert!(!is_standby(&near).await, "the standby knows the generation before only");
    let waiting = tokio::spawn(async move { is_standby(&only).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "whoever wants standbys only waits for this one");
    pair.standby.sql("postgres", "SELECT pg_wal_replay_resume()");
    assert!(waiting.await.unwrap());
    until(&near, true).await;
}

#[tokio::test]
async fn a_standby_serves_without_its_primary_for_as_long_as_the_bound_says() {
    let pair = Pair::new(&[(Isolation::Schema, 1)], SealMode::Register, Duration::from_secs(4)).await;
    let tenant = &pair.world.tenants[0];
    pair.caught_up().await;
    let only = pair.reader("only", tenant).await;
    assert!(is_standby(&only).await);
    pair.primary.freeze();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        assert!(is_standby(&only).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while only.batch_execute("SELECT count(*) FROM note").await.is_ok() {
        assert!(began.elapsed() < WAIT, "nobody knows how old it is, and it is still read from");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    pair.primary.thaw();
    let began = Instant::now();
    while only.batch_execute("SELECT count(*) FROM note").await.is_err() {
        assert!(began.elapsed() < WAIT, "it is not read from again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
