//! The bound form of the seal: who may bind a session, what a bound session lets in, and what becomes of it.

use tenantry_dataplane::router::{Router, RouterOptions};
use tenantry_dataplane::seal::{self, Backend, Install, SealKey};
use tenantry_dataplane::tx::TenantTxError;
use tenantry_pg::{Conn, PgError, Pool, PoolOptions, Sql, TxMode};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::isolation::attack::enter;
use crate::isolation::world::{DATABASE, Party, SCHEMA, SHARED, SHARED_SIGNED, Setting, World, ident, run};

const LEVELS: [Setting; 4] = [SHARED, SHARED_SIGNED, SCHEMA, DATABASE];

/// A connection as the login of a tenant, without the router.
async fn raw(party: &Party) -> Conn {
    Pool::new(party.door.target.clone(), PoolOptions::default()).get().await.unwrap()
}

async fn hello(conn: &Conn) -> Backend {
    let row = conn.query_one("SELECT pid, started FROM seal.hello()", &[]).await.unwrap();
    Backend { pid: row.get(0), started: row.get(1) }
}

async fn bind(conn: &Conn, tenant: Uuid, epoch: i64, proof: &[u8]) -> Result<(), String> {
    let bound = conn.execute("SELECT seal.bind(1, $1, $2, $3)", &[&tenant, &epoch, &proof]).await;
    bound.map(drop).map_err(|error| state(&error))
}

fn state(error: &PgError) -> String {
    error.sqlstate().unwrap_or_default().to_owned()
}

/// What a transaction sees after `seal.enter()`: the tenant it says, and the rows of the messages table.
async fn try_enter(conn: Conn) -> (Conn, Result<(Uuid, i64), String>) {
    let tx = conn.begin(TxMode::ReadCommitted).await.unwrap();
    let seen = match tx.query_one("SELECT seal.enter()", &[]).await {
        Ok(row) => {
            let count = tx.query_one("SELECT count(*) FROM messages", &[]).await.unwrap().get(0);
            Ok((row.get(0), count))
        }
        Err(error) => Err(state(&error)),
    };
    (tx.rollback_keeping().await.unwrap(), seen)
}

#[tokio::test]
async fn a_session_is_bound_to_one_tenant_at_one_generation() {
    for setting in LEVELS {
        let world = World::new(setting).await;
        let (one, two) = (raw(&world.a).await, raw(&world.a).await);
        let (here, there) = (hello(&one).await, hello(&two).await);
        let (one, seen) = try_enter(one).await;
        assert_eq!(seen, Err("55000".to_owned()), "before it is bound it lets nobody in");
        let proof = world.key.bind(here, world.a.tenant, 3);
        // On another backend, for another tenant, at another generation, shortened, lengthened, of another key or kind.
        let guess = SealKey::new(1, Zeroizing::new([9; 32])).bind(here, world.a.tenant, 3);
        let long = [proof.as_slice(), &[0]].concat();
        assert_eq!(bind(&two, world.a.tenant, 3, &proof).await, Err("28000".to_owned()));
        for (tenant, epoch, proof) in [
            (world.b.tenant, 3, proof.as_slice()),
            (world.a.tenant, 4, &proof),
            (world.a.tenant, 3, &proof[..31]),
            (world.a.tenant, 3, &long),
            (world.a.tenant, 3, &guess),
            (world.a.tenant, 3, &world.key.bind(there, world.a.tenant, 3)),
            (world.a.tenant, 3, &world.key.arm(here)),
            (world.a.tenant, 3, &world.key.capability(here).token(world.a.tenant, 3)),
        ] {
            assert_eq!(bind(&one, tenant, epoch, proof).await, Err("28000".to_owned()), "{setting:?}");
        }
        // A proof for arming arms nothing else, and the other way round.
        let armed = one.execute("SELECT seal.arm(1, $1)", &[&proof.as_slice()]).await;
        assert_eq!(armed.map_err(|error| state(&error)), Err("28000".to_owned()));
        let nobody = Uuid::from_u128(77);
        let unknown = world.key.bind(here, nobody, 3);
        assert_eq!(bind(&one, nobody, 3, &unknown).await, Err("TN003".to_owned()));
        let (one, seen) = try_enter(one).await;
        assert_eq!(seen, Err("55000".to_owned()), "none of it bound the session");
        bind(&one, world.a.tenant, 3, &proof).await.unwrap();
        let (one, seen) = try_enter(one).await;
        assert_eq!(seen, Ok((world.a.tenant, 240)));
        // Bound is not armed: no token is of use here.
        let tx = one.begin(TxMode::ReadCommitted).await.unwrap();
        let token = world.key.capability(here).token(world.b.tenant, 3);
        let entered = tx.execute("SELECT seal.enter($1, 3, $2)", &[&world.b.tenant, &token.as_slice()]).await;
        assert_eq!(entered.map_err(|error| state(&error)), Err("55000".to_owned()));
        let one = tx.rollback_keeping().await.unwrap();
        // Nothing of the context outlives the transaction.
        let after =
            one.query_one("SELECT tenantry.current_tenant(), current_setting('search_path')", &[]).await.unwrap();
        assert_eq!(after.get::<_, Option<Uuid>>(0), None);
        assert!(!after.get::<_, String>(1).contains(&world.a.schema), "the path outlived the transaction");
        for epoch in [2, 4] {
            bind(&one, world.a.tenant, epoch, &world.key.bind(here, world.a.tenant, epoch)).await.unwrap();
        }
        let (one, seen) = try_enter(one).await;
        assert_eq!(seen, Err("TN001".to_owned()), "a generation that is not there yet");
        one.discard().await.unwrap();
        let (_, seen) = try_enter(one).await;
        assert_eq!(seen, Err("55000".to_owned()), "a cleaned session is bound to nobody");
    }
}

/// What an application without a router does: armed, each transaction entered with a token. From inside of one, no guess
/// lets in another tenant.
#[tokio::test]
async fn an_armed_session_refuses_guesses() {
    for setting in LEVELS {
        let world = World::new(setting).await;
        let conn = raw(&world.a).await;
        let here = hello(&conn).await;
        conn.execute("SELECT seal.arm(1, $1)", &[&world.key.arm(here).as_slice()]).await.unwrap();
        let token = world.key.capability(here).token(world.a.tenant, 3);
        let mut conn = conn;
        for path in ["", "SET LOCAL search_path = pg_temp, {schema}, pg_catalog;"] {
            for guess in [
                "seal.enter('{victim}', 3, sha256('guess'))",
                "seal.enter('{victim}', 3, '')",
                "seal.enter('{own}', 3, sha256('guess'))",
                "seal.enter('{victim}', NULL, NULL)",
            ] {
                let tx = conn.begin(TxMode::ReadCommitted).await.unwrap();
                tx.execute("SELECT seal.enter($1, 3, $2)", &[&world.a.tenant, &token.as_slice()]).await.unwrap();
                let guess = format!("{path} SELECT {guess}").replace("{schema}", &world.a.schema);
                let guess = guess.replace("{victim}", &world.b.tenant.to_string());
                let guess = guess.replace("{own}", &world.a.tenant.to_string());
                let refused = tx.batch(&Sql::script(&guess)).await.map_err(|error| state(&error));
                assert_eq!(refused, Err("28000".to_owned()), "{guess}");
                conn = tx.rollback_keeping().await.unwrap();
            }
        }
        // Armed is not bound.
        let (_, seen) = try_enter(conn).await;
        assert_eq!(seen, Err("55000".to_owned()));
    }
}

/// As A, on the connection that B gets next: everything that might make `seal.enter()` let in somebody else, or do
/// something else.
#[tokio::test]
async fn no_statement_binds_or_unbinds_for_others() {
    let tries = [
        "SELECT seal.bind(1, '{victim}', 3, '\\x00')",
        "SELECT seal.bind(1, '{victim}', 3, NULL)",
        "SELECT setval('seal.bound', 1)",
        "SELECT currval('seal.bound')",
        "SELECT last_value FROM seal.bound",
        "SELECT pg_sequence_last_value('seal.bound')",
        "SELECT nextval('seal.generation')",
        "SELECT mark FROM tenantry.tenant",
        "SELECT seal.enter(), seal.bind(1, '{victim}', 3, sha256('x'))",
        "CREATE OR REPLACE FUNCTION seal.enter() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
        "CREATE FUNCTION pg_temp.enter() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
        "ALTER SEQUENCE seal.bound RESTART",
        "COPY seal.bound TO STDOUT",
    ];
    for setting in [SHARED, SHARED_SIGNED] {
        let world = World::new(setting).await;
        for statement in tries {
            let statement = statement.replace("{victim}", &world.b.tenant.to_string());
            let tx = enter(&world, &world.a).await;
            assert!(tx.batch(&Sql::script(&statement)).await.is_err(), "{statement} was not refused");
            let _ = tx.rollback().await;
        }
        // Entering once more is entering the same tenant.
        let tx = enter(&world, &world.a).await;
        let again = "SELECT seal.enter()";
        assert_eq!(tx.query_one(again, &[]).await.unwrap().get::<_, Uuid>(0), world.a.tenant);
        tx.batch(&Sql::new("PREPARE s0 AS SELECT 1; SET search_path = nowhere; DISCARD SEQUENCES")).await.unwrap();
        assert!(tx.query_one(again, &[]).await.is_err(), "unbound by itself");
        let _ = tx.rollback().await;
        for party in [&world.b, &world.a, &world.b] {
            let tx = enter(&world, party).await;
            let whose = tx.query_one("SELECT tenantry.current_tenant()", &[]).await.unwrap();
            assert_eq!(whose.get::<_, Uuid>(0), party.tenant);
            tx.commit().await.unwrap();
        }
    }
}

/// A function of the app that runs what it is told is not seen by the driver, so the connection counts as clean.
#[tokio::test]
async fn a_session_that_was_unbound_unseen_is_replaced() {
    for setting in [SHARED, SHARED_SIGNED] {
        let world = World::new(setting).await;
        run(
            &world.a.database,
            "CREATE FUNCTION app.careless(what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE what; END $$",
        )
        .await;
        for what in ["DISCARD SEQUENCES", "DISCARD PLANS", "RESET ALL"] {
            let tx = enter(&world, &world.a).await;
            tx.execute("SELECT careless($1)", &[&what]).await.unwrap();
            tx.commit().await.unwrap();
            for party in [&world.a, &world.b, &world.a] {
                let tx = enter(&world, party).await;
                let row = tx.query_one("SELECT tenantry.current_tenant(), count(*) FROM messages", &[]).await.unwrap();
                assert_eq!((row.get::<_, Uuid>(0), row.get::<_, i64>(1)), (party.tenant, 240), "{what}");
                tx.commit().await.unwrap();
            }
        }
    }
}

/// A tenant that was taken out of a place and came back has another row, with another mark.
#[tokio::test]
async fn a_tenant_that_came_back_is_bound_anew() {
    for setting in LEVELS {
        let world = World::new(setting).await;
        enter(&world, &world.a).await.commit().await.unwrap();
        let anew = format!("UPDATE tenantry.tenant SET mark = mark + 1 WHERE tenant_id = '{}'", world.a.tenant);
        run(&world.a.database, &anew).await;
        let tx = enter(&world, &world.a).await;
        let found = world.a.admin.get().await.unwrap();
        assert_eq!(seal::sessions(&found, world.a.door.tenant).await.unwrap().len(), 1, "found by its new lock");
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn no_two_tenants_have_one_mark() {
    let world = World::new(SHARED).await;
    let same = "UPDATE tenantry.tenant SET mark = 7";
    let conn = world.a.admin.get().await.unwrap();
    assert_eq!(conn.batch_static(same).await.unwrap_err().sqlstate(), Some("23505"));
}

/// What an older version has installed.
const OLDER: &str = "DROP FUNCTION seal.enter(), seal.bind(integer, uuid, bigint, bytea);
    DROP INDEX tenantry.tenant_mark; DROP SEQUENCE seal.bound, seal.generation";

#[tokio::test]
async fn a_seal_of_an_older_version_is_entered_and_brought_up_to_date() {
    for setting in LEVELS {
        let world = World::new(setting).await;
        run(&world.a.database, OLDER).await;
        let router = Router::new(RouterOptions { shared: 1, own: 1, ..RouterOptions::default() });
        for party in [&world.a, &world.a, &world.b, &world.a] {
            if setting == DATABASE && party.tenant == world.b.tenant {
                continue;
            }
            let tx = router.enter(&party.door).await.unwrap();
            let row = tx.query_one("SELECT tenantry.current_tenant(), count(*) FROM messages", &[]).await.unwrap();
            assert_eq!((row.get::<_, Uuid>(0), row.get::<_, i64>(1)), (party.tenant, 240), "{setting:?}");
            tx.commit().await.unwrap();
        }
        let mut elsewhere = world.a.door.clone();
        elsewhere.epoch = 9;
        assert!(matches!(router.enter(&elsewhere).await.err(), Some(TenantTxError::Stale)));
        let admit = ident(&format!("{}_in", world.a.database.trim_end_matches("_a")));
        let admin = world.a.admin.get().await.unwrap();
        let mode = Some(setting.mode);
        seal::install(&admin, &Install { key: &world.key, admit: &admit, mode }).await.unwrap();
        // Connections that know the older form go on with it; new ones take the newer one.
        router.enter(&world.a.door).await.unwrap().commit().await.unwrap();
        let tx = Router::new(RouterOptions::default()).enter(&world.a.door).await.unwrap();
        assert_eq!(tx.query_one("SELECT seal.enter()", &[]).await.unwrap().get::<_, Uuid>(0), world.a.tenant);
        tx.commit().await.unwrap();
    }
}
