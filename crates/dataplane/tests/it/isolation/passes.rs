//! Tokens, keys and gates: who gets in, where, and until when.

use secrecy::ExposeSecret as _;
use tenantry_dataplane::seal::{Backend, SealKey, SealMode};
use tenantry_dataplane::tx::TenantTxError;
use tenantry_pg::{Conn, PgError, Pool, PoolOptions, TxMode};
use zeroize::Zeroizing;

use crate::isolation::attack::enter;
use crate::isolation::world::{DATABASE, Party, SCHEMA, SHARED, SHARED_SIGNED, Setting, World, run};

/// A connection as the login of a tenant, without the router.
async fn raw(party: &Party) -> Conn {
    Pool::new(party.door.target.clone(), PoolOptions::default()).get().await.unwrap()
}

async fn hello(conn: &Conn) -> Backend {
    let row = conn.query_one("SELECT pid, started FROM seal.hello()", &[]).await.unwrap();
    Backend { pid: row.get(0), started: row.get(1) }
}

async fn arm(conn: &Conn, key: &SealKey) -> Result<Backend, PgError> {
    let backend = hello(conn).await;
    conn.execute("SELECT seal.arm($1, $2)", &[&key.kid(), &key.arm(backend).as_slice()]).await?;
    Ok(backend)
}

/// Tries a token in a transaction of its own; gives what the messages table shows then.
async fn try_token(conn: Conn, party: &Party, epoch: i64, token: &[u8]) -> (Conn, Result<i64, String>) {
    let tx = conn.begin(TxMode::ReadCommitted).await.unwrap();
    let entered = tx.execute("SELECT seal.enter($1, $2, $3)", &[&party.tenant, &epoch, &token]).await;
    let seen = match entered {
        Ok(_) => Ok(tx.query_one("SELECT count(*) FROM messages", &[]).await.unwrap().get(0)),
        Err(error) => Err(error.sqlstate().unwrap_or_default().to_owned()),
    };
    (tx.rollback_keeping().await.unwrap(), seen)
}

async fn tokens(setting: Setting) {
    let world = World::new(setting).await;
    let (one, two) = (raw(&world.a).await, raw(&world.a).await);
    // Before it is armed a backend lets nobody in.
    let foreign = world.key.capability(hello(&one).await).token(world.a.tenant, 3);
    let (one, seen) = try_token(one, &world.a, 3, &foreign).await;
    assert_eq!(seen, Err("55000".to_owned()));
    let (here, there) = (arm(&one, &world.key).await.unwrap(), arm(&two, &world.key).await.unwrap());
    let token = world.key.capability(here).token(world.a.tenant, 3);
    let (one, seen) = try_token(one, &world.a, 3, &token).await;
    assert_eq!(seen, Ok(240));
    // On another backend, for another tenant, at another epoch, shortened, lengthened, of another key.
    let (two, seen) = try_token(two, &world.a, 3, &token).await;
    assert_eq!(seen, Err("28000".to_owned()));
    let other_key = SealKey::new(1, Zeroizing::new([9; 32]));
    let of_there = world.key.capability(there).token(world.a.tenant, 3);
    let guess = other_key.capability(here).token(world.a.tenant, 3);
    let long = [token.as_slice(), &[0]].concat();
    let mut one = one;
    for (party, epoch, token) in [
        (&world.b, 3, token.as_slice()),
        (&world.a, 4, &token),
        (&world.a, 3, &token[..31]),
        (&world.a, 3, &long),
        (&world.a, 3, &of_there),
        (&world.a, 3, &guess),
        (&world.a, 3, world.key.arm(here).as_slice()),
    ] {
        let (conn, seen) = try_token(one, party, epoch, token).await;
        assert_eq!(seen, Err("28000".to_owned()));
        one = conn;
    }
    // A genuine token for an epoch that is over, or not yet there.
    for epoch in [2, 4] {
        let stale = world.key.capability(here).token(world.a.tenant, epoch);
        let (conn, seen) = try_token(one, &world.a, epoch, &stale).await;
        assert_eq!(seen, Err("TN001".to_owned()));
        one = conn;
    }
    // A new session has nothing of what the old one was armed with.
    one.discard().await.unwrap();
    let (one, seen) = try_token(one, &world.a, 3, &token).await;
    assert_eq!(seen, Err("55000".to_owned()));
    // The proof of one backend does not arm another, and another key's proof arms none.
    let state = |error: PgError| error.sqlstate().unwrap_or_default().to_owned();
    let proof = world.key.arm(here);
    let replayed = two.execute("SELECT seal.arm($1, $2)", &[&1, &proof.as_slice()]).await;
    assert_eq!(replayed.map_err(state), Err("28000".to_owned()));
    assert_eq!(arm(&one, &other_key).await.map_err(state), Err("28000".to_owned()));
}

#[tokio::test]
async fn tokens_hold_for_one_backend_one_tenant_and_one_epoch() {
    tokens(SHARED).await;
}

#[tokio::test]
async fn tokens_hold_for_one_backend_one_tenant_and_one_epoch_signed() {
    tokens(SHARED_SIGNED).await;
}

#[tokio::test]
async fn a_gate_is_seen_by_the_next_transaction() {
    for setting in [SHARED, SHARED_SIGNED, SCHEMA, DATABASE] {
        let world = World::new(setting).await;
        enter(&world, &world.a).await.commit().await.unwrap();
        for (change, expected) in [
            ("state = 's'", "Suspended"),
            ("state = 'p'", "Suspended"),
            ("state = 'r'", "Suspended"),
            ("state = 'a', epoch = 4", "Stale"),
        ] {
            run(
                &world.a.database,
                &format!("UPDATE tenantry.tenant SET {change} WHERE tenant_id = '{}'", world.a.tenant),
            )
            .await;
            let refused = world.router.enter(&world.a.door).await.err().unwrap();
            assert_eq!(format!("{refused:?}"), expected);
            // The other one is not concerned, on the same connection.
            enter(&world, &world.b).await.commit().await.unwrap();
        }
        let mut moved = world.a.door.clone();
        moved.epoch = 4;
        world.router.enter(&moved).await.unwrap().commit().await.unwrap();
        run(&world.a.database, "TRUNCATE tenantry.tenant CASCADE").await;
        assert!(matches!(world.router.enter(&moved).await.err(), Some(TenantTxError::Unknown)));
    }
}

#[tokio::test]
async fn whoever_came_through_the_gate_is_found() {
    for setting in [SHARED, SHARED_SIGNED] {
        let world = World::new(setting).await;
        let tenant = world.a.door.tenant;
        let admin = world.a.admin.get().await.unwrap();
        assert!(tenantry_dataplane::seal::sessions(&admin, tenant).await.unwrap().is_empty());
        let tx = enter(&world, &world.a).await;
        let pid: i32 = tx.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        assert_eq!(tenantry_dataplane::seal::sessions(&admin, tenant).await.unwrap(), [pid]);
        assert!(tenantry_dataplane::seal::sessions(&admin, world.b.door.tenant).await.unwrap().is_empty());
        tx.rollback().await.unwrap();
        assert!(tenantry_dataplane::seal::sessions(&admin, tenant).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_login_reaches_no_other_database_and_no_other_schema() {
    let world = World::new(DATABASE).await;
    let other = world.a.door.target.clone().with_database(&world.b.database);
    let refused = Pool::new(other, PoolOptions::default()).get().await.err().unwrap();
    assert_eq!(refused.sqlstate(), Some("42501"));
    let world = World::new(SCHEMA).await;
    let conn = raw(&world.a).await;
    // Even with the key: the rights are on the schema.
    let here = arm(&conn, &world.key).await.unwrap();
    let token = world.key.capability(here).token(world.b.tenant, 3);
    let tx = conn.begin(TxMode::ReadCommitted).await.unwrap();
    tx.execute("SELECT seal.enter($1, 3, $2)", &[&world.b.tenant, &token.as_slice()]).await.unwrap();
    assert_eq!(tx.query("SELECT * FROM t_b.messages", &[]).await.unwrap_err().sqlstate(), Some("42501"));
}

#[tokio::test]
async fn nobody_starts_a_connection_with_a_context() {
    let world = World::new(SHARED).await;
    let url = format!(
        "postgres://{}:pw@127.0.0.1:{}/{}?sslmode=disable&options=",
        world.a.login,
        world.a.door.target.port(),
        world.a.database
    );
    let hex = world.b.tenant.simple();
    for (options, refused) in [
        (format!("-c%20backtrace_functions%3D{hex}"), Some("42501")),
        (format!("-c%20session_authorization%3D{}", world.a.owner), None),
        (format!("-c%20role%3D{}", world.a.owner), Some("42501")),
        (format!("-c%20tenantry.context%3D1.{}.00", world.b.tenant), None),
        ("-c%20row_security%3Doff".to_owned(), None),
    ] {
        let target = tenantry_pg::Target::parse(&format!("{url}{options}").into()).unwrap();
        match Pool::new(target, PoolOptions::default()).get().await {
            Err(error) => assert!(refused.is_none_or(|state| error.sqlstate() == Some(state)), "{options}: {error:?}"),
            Ok(conn) => {
                assert!(refused.is_none(), "{options}");
                // With row_security off the question is refused, otherwise there is nothing to see.
                let seen = conn.query_one("SELECT count(*) FROM app.messages", &[]).await;
                assert_eq!(seen.map_or(0, |row| row.get::<_, i64>(0)), 0, "{options}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_is_replaced_without_a_pause() {
    let world = World::new(SHARED).await;
    enter(&world, &world.a).await.commit().await.unwrap();
    let newer = SealKey::new(2, Zeroizing::new([7; 32]));
    let admin = world.a.admin.get().await.unwrap();
    let admit = crate::isolation::world::ident(&format!("{}_in", world.a.database));
    let install = tenantry_dataplane::seal::Install { key: &newer, admit: &admit, mode: None };
    tenantry_dataplane::seal::install(&admin, &install).await.unwrap();
    // Both work while both are known.
    enter(&world, &world.a).await.commit().await.unwrap();
    let mut door = world.a.door.clone();
    door.seal = newer;
    world.router.enter(&door).await.unwrap().commit().await.unwrap();
    assert_eq!(tenantry_dataplane::seal::retire_keys_below(&admin, 2).await.unwrap(), 1);
    world.router.enter(&door).await.unwrap().commit().await.unwrap();
    assert!(matches!(world.router.enter(&world.b.door).await.err(), Some(TenantTxError::Refused(_))));
    world.router.enter(&door).await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn the_key_and_the_passwords_are_in_no_log() {
    let world = World::new(SHARED).await;
    enter(&world, &world.a).await.commit().await.unwrap();
    let log = tenantry_testkit::pg::server().log();
    let hex: String = world.key_bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!log.contains(&hex));
    let root = tenantry_dataplane::secret::RootKey::from_bytes(*b"0123456789abcdef0123456789abcdef").unwrap();
    let password = root.password("role", &["x"]);
    assert!(!format!("{root:?} {:?} {password:?}", world.key).contains(password.expose_secret()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installers_do_not_disturb_each_other() {
    let world = World::new(SHARED).await;
    let admit = crate::isolation::world::ident(&format!("{}_in", world.a.database));
    let pool = Pool::new(world.a.admin.target().clone(), PoolOptions { max: 6, ..PoolOptions::default() });
    let one = async || {
        let conn = pool.get().await.unwrap();
        let install = tenantry_dataplane::seal::Install { key: &world.key, admit: &admit, mode: None };
        tenantry_dataplane::seal::install(&conn, &install).await.unwrap().mode
    };
    let modes = futures_util::future::join_all((0..12).map(|_| one())).await;
    assert!(modes.into_iter().all(|mode| mode == SealMode::Register));
    enter(&world, &world.a).await.commit().await.unwrap();
}
