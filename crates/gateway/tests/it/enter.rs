//! The statement that lets a tenant in stays on its server session between transactions, and nothing but the protocol replaces
//! it: whatever a client does in between, its next transaction is entered, as itself.

use tenantry_domain::isolation::Isolation;
use tenantry_gateway::Settings;
use tenantry_testkit::pg::server as postgres;
use tenantry_wire::client::{self, Kind};

use crate::raw::{Raw, client_of, code, tags, value};
use crate::world::{Tenant, World};

const WHOSE: &[u8] = b"SELECT count(*) || ' of ' || min(body) FROM note";

/// Has a statement prepared, so that nothing of it takes the unnamed place later.
async fn prepared(world: &World, tenant: &Tenant) -> Raw {
    let mut raw = client_of(world.gateway().address().port(), tenant).await;
    raw.say(|out| {
        client::put_parse(out, b"whose", WHOSE, &[]);
        client::put_sync(out);
    })
    .await;
    assert_eq!(tags(&raw.until(b'Z').await), "1Z");
    raw
}

async fn whose(raw: &mut Raw) -> Option<String> {
    raw.say(|out| {
        client::put_bind(out, b"", b"whose");
        client::put_execute(out, b"");
        client::put_sync(out);
    })
    .await;
    let answer = raw.until(b'Z').await;
    assert_eq!(tags(&answer), "2DCZ", "{}", code(&answer));
    value(&answer)
}

#[tokio::test]
async fn whatever_comes_in_between_the_next_transaction_is_entered() {
    let mut settings = Settings::default();
    // One server session for everybody.
    (settings.pool.shared, settings.pool.own) = (1, 1);
    let world = World::new(&postgres().url("postgres"), &[(Isolation::Shared, 2)], settings, None).await;
    let (one, other) = (&world.tenants[0], &world.tenants[1]);
    let (mut raw, mut neighbour) = (prepared(&world, one).await, prepared(&world, other).await);
    raw.query("INSERT INTO note (body) VALUES ('mine')").await;
    neighbour.query("INSERT INTO note (body) VALUES ('theirs'), ('theirs')").await;
    let own = Some("1 of mine".to_owned());
    // What a client may do between two transactions that need no statement of their own.
    let by_sql = "DO $$BEGIN EXECUTE 'PREPARE enter AS SELECT 1'; EXECUTE 'EXECUTE enter'; END$$";
    for between in
        ["SELECT 1", "DISCARD ALL", "DEALLOCATE ALL", by_sql, "SELECT 1/0", "BEGIN; ROLLBACK", "SELECT nonsense"]
    {
        for _ in 0..3 {
            assert_eq!(whose(&mut raw).await, own, "before {between}");
        }
        raw.query(between).await;
        if between.starts_with("D") && between != by_sql {
            // Its own statement went with that.
            raw = prepared(&world, one).await;
        }
        assert_eq!(whose(&mut raw).await, own, "after {between}");
        assert_eq!(whose(&mut neighbour).await.as_deref(), Some("2 of theirs"), "after {between}");
    }
    assert_eq!(whose(&mut raw).await, own);
    // By the protocol: the unnamed place is taken, emptied, or taken by what cannot be parsed.
    type Take = (&'static str, fn(&mut bytes::BytesMut));
    let takes: [Take; 4] = [
        ("a statement", |out| client::put_parse(out, b"", b"SELECT 'not entered'", &[])),
        ("a statement that is none", |out| client::put_parse(out, b"", b"nonsense", &[])),
        ("nothing", |out| client::put_close(out, Kind::Statement, b"")),
        ("our own, by hand", |out| client::put_bind(out, b"", b"")),
    ];
    for (what, take) in takes {
        assert_eq!(whose(&mut raw).await, own, "before {what}");
        raw.say(|out| {
            take(out);
            client::put_sync(out);
        })
        .await;
        raw.until(b'Z').await;
        assert_eq!(whose(&mut raw).await, own, "after {what}");
        assert_eq!(whose(&mut neighbour).await.as_deref(), Some("2 of theirs"), "after {what}");
    }
    // In one pipeline: a transaction that fails, of which the rest is not read, and then the next one.
    raw.say(|out| {
        client::put_bind(out, b"", b"whose");
        client::put_execute(out, b"");
        client::put_parse(out, b"", b"COMMIT", &[]);
        client::put_bind(out, b"", b"");
        client::put_execute(out, b"");
        client::put_parse(out, b"", b"SELECT 1/0", &[]);
        client::put_bind(out, b"", b"");
        client::put_execute(out, b"");
        client::put_sync(out);
    })
    .await;
    assert_eq!(code(&raw.until(b'Z').await), "22012");
    assert_eq!(whose(&mut raw).await, own);
}
