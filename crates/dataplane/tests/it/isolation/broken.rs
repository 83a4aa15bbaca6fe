//! Each protection, taken away: the same attack that got nothing before now gets the other tenant's rows, and the
//! machinery of [`attack`](super::attack) sees it.

use tenantry_dataplane::seal::Backend;
use tenantry_pg::{Conn, Listener, Notification, Pool, PoolOptions, Sql, TxMode};

use crate::isolation::attack::{attack, fill};
use crate::isolation::world::{Party, SCHEMA, SHARED, SHARED_SIGNED, Setting, World, run};

/// The attack, before and after the flaw is made. In the flaw, `{login}` and `{owner}` are roles.
async fn turns_red(setting: Setting, flaw: &str, messages: &[&str]) {
    let world = World::new(setting).await;
    let mut filled = Vec::new();
    for message in messages {
        filled.push(fill(&world, message).await);
    }
    let safe = attack(&world, &filled).await;
    assert!(safe.leaks.is_empty(), "before the flaw: {:?}", safe.leaks);
    break_it(&world, flaw).await;
    let red = attack(&world, &filled).await;
    let seen = red.leaks.iter().any(|leak| leak.starts_with("a value of the other tenant came back"));
    assert!(seen, "the leak is there and was not seen: {:?} {:?}", red.ends, red.leaks);
}

async fn break_it(world: &World, flaw: &str) {
    let schema = &world.a.schema;
    let flaw = flaw.replace("{login}", &world.a.login).replace("{owner}", &world.a.owner);
    run(&world.a.database, &format!("SET search_path = {schema}; {flaw}")).await;
}

#[tokio::test]
async fn without_row_security() {
    turns_red(SHARED, "ALTER TABLE messages DISABLE ROW LEVEL SECURITY", &["SELECT * FROM messages"]).await;
}

#[tokio::test]
async fn without_force() {
    // The owner's view reads with the owner's rights; FORCE is what keeps it within the policies.
    let view = "SELECT * FROM owners_view";
    let world = World::new(SHARED).await;
    break_it(&world, "CREATE VIEW owners_view AS SELECT * FROM messages; ALTER VIEW owners_view OWNER TO {owner}; GRANT SELECT ON owners_view TO {login}").await;
    assert!(attack(&world, &[view.to_owned()]).await.leaks.is_empty());
    break_it(&world, "ALTER TABLE messages NO FORCE ROW LEVEL SECURITY").await;
    assert!(!attack(&world, &[view.to_owned()]).await.leaks.is_empty());
}

#[tokio::test]
async fn with_tables_owned_by_the_login() {
    let messages = ["ALTER TABLE messages DISABLE ROW LEVEL SECURITY", "SELECT * FROM messages"];
    turns_red(SHARED, "ALTER TABLE messages OWNER TO {login}", &messages).await;
}

#[tokio::test]
async fn with_a_policy_on_a_plain_setting() {
    let flaw = "DROP POLICY tenantry_tenant ON messages; CREATE POLICY tenantry_tenant ON messages
        USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)";
    turns_red(SHARED, flaw, &["SELECT set_config('app.tenant_id', '{victim_id}', true)", "SELECT * FROM messages"])
        .await;
}

#[tokio::test]
async fn with_a_second_policy() {
    turns_red(SHARED, "CREATE POLICY support ON messages FOR SELECT USING (true)", &["SELECT * FROM messages"]).await;
}

#[tokio::test]
async fn with_the_register_granted() {
    let messages = ["SET LOCAL backtrace_functions = '{victim_hex}'", "SELECT * FROM messages"];
    turns_red(SHARED, "GRANT SET ON PARAMETER backtrace_functions TO {login}", &messages).await;
}

#[tokio::test]
async fn with_bypassrls() {
    turns_red(SHARED, "ALTER ROLE {login} BYPASSRLS", &["SET row_security = off", "SELECT * FROM messages"]).await;
}

#[tokio::test]
async fn with_membership_in_the_owner() {
    let messages =
        ["SET LOCAL ROLE {owner_role}; ALTER TABLE messages NO FORCE ROW LEVEL SECURITY; SELECT * FROM messages"];
    turns_red(SHARED, "GRANT {owner} TO {login}", &messages).await;
}

#[tokio::test]
async fn with_a_superusers_function() {
    let flaw =
        "CREATE FUNCTION peek() RETURNS SETOF messages LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM messages'";
    turns_red(SHARED, flaw, &["SELECT * FROM peek()"]).await;
}

#[tokio::test]
async fn with_a_materialized_view() {
    let flaw = "CREATE MATERIALIZED VIEW stored AS SELECT * FROM messages; GRANT SELECT ON stored TO {login}";
    turns_red(SHARED, flaw, &["SELECT * FROM stored"]).await;
}

#[tokio::test]
async fn with_an_unsigned_context() {
    let flaw = "CREATE OR REPLACE FUNCTION tenantry.current_tenant() RETURNS uuid LANGUAGE sql STABLE
        AS $$SELECT split_part(current_setting('tenantry.context', true), '.', 2)::uuid$$";
    let messages = ["SET LOCAL tenantry.context = '1.{victim_id}.x'", "SELECT * FROM messages"];
    turns_red(SHARED_SIGNED, flaw, &messages).await;
}

#[tokio::test]
async fn with_a_readable_key() {
    let flaw = "GRANT SELECT ON seal.key TO {login}; GRANT EXECUTE ON FUNCTION seal.signature(bytea, uuid) TO {login}";
    let forge = "SELECT set_config('tenantry.context', '1.{victim_id}.' || encode(seal.signature(k, '{victim_id}'), 'hex'), true) FROM seal.key";
    turns_red(SHARED_SIGNED, flaw, &[forge, "SELECT * FROM messages"]).await;
}

#[tokio::test]
async fn with_rights_on_the_other_schema() {
    let flaw = "GRANT USAGE ON SCHEMA t_b TO {login}; GRANT SELECT ON t_b.messages TO {login};
        ALTER TABLE t_b.messages DISABLE ROW LEVEL SECURITY";
    turns_red(SCHEMA, flaw, &["SELECT * FROM {victim_schema}.messages"]).await;
}

#[tokio::test]
async fn with_a_unique_index_across_tenants() {
    let world = World::new(SHARED).await;
    let taken =
        format!("INSERT INTO users (email, display_name) VALUES ('{}ben@chat.example', 'Probe')", world.b.canary);
    assert_eq!(attack(&world, std::slice::from_ref(&taken)).await.ends, [None]);
    world.restore(&world.a).await;
    run(
        &world.a.database,
        "DELETE FROM app.users WHERE email LIKE '%anna@%'; CREATE UNIQUE INDEX ON app.users (email)",
    )
    .await;
    // The answer tells that somebody else has it.
    assert_eq!(attack(&world, &[taken]).await.last(), Some("23505"));
}

/// A pooler that trusts its clients: a connection with a context, and nothing cleaned in between.
async fn naive(world: &World) -> (Conn, Backend) {
    let pool = Pool::new(world.a.door.target.clone(), PoolOptions { max: 1, ..PoolOptions::default() });
    let conn = pool.get().await.unwrap();
    let row = conn.query_one("SELECT pid, started FROM seal.hello()", &[]).await.unwrap();
    let backend = Backend { pid: row.get(0), started: row.get(1) };
    conn.execute("SELECT seal.arm(1, $1)", &[&world.key.arm(backend).as_slice()]).await.unwrap();
    (conn, backend)
}

async fn in_context(conn: Conn, world: &World, backend: Backend, party: &Party, statement: &str) -> (Conn, bool) {
    let tx = conn.begin(TxMode::ReadCommitted).await.unwrap();
    let token = world.key.capability(backend).token(party.tenant, 3);
    tx.execute("SELECT seal.enter($1, 3, $2)", &[&party.tenant, &token.as_slice()]).await.unwrap();
    let ran = tx.batch(&Sql::script(statement)).await.is_ok();
    let conn = if ran { tx.commit_keeping().await.ok().unwrap() } else { tx.rollback_keeping().await.unwrap() };
    (conn, ran)
}

#[tokio::test]
async fn with_a_context_of_the_session() {
    let world = World::new(SHARED).await;
    let count = "SELECT count(*) FROM app.messages";
    let (conn, backend) = naive(&world).await;
    let (conn, _) = in_context(conn, &world, backend, &world.b, "SELECT 1").await;
    assert_eq!(conn.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 0);
    break_it(
        &world,
        "CREATE OR REPLACE FUNCTION seal.enter(p_tenant uuid, p_epoch bigint, p_token bytea) RETURNS void LANGUAGE sql
         SECURITY DEFINER AS $$SELECT set_config('backtrace_functions', encode(uuid_send(p_tenant), 'hex'), false)$$;
         ALTER FUNCTION seal.enter(uuid, bigint, bytea) OWNER TO tenantry_ctx",
    )
    .await;
    let (conn, _) = in_context(conn, &world, backend, &world.b, "SELECT 1").await;
    assert_eq!(conn.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 240, "the leak is there and was not seen");
}

#[tokio::test]
async fn with_sessions_that_nobody_cleans() {
    let world = World::new(SHARED).await;
    let trap = "PREPARE report AS SELECT pg_notify('gossip', min(body)) FROM messages";
    let mut gossip = Listener::connect(world.a.door.target.clone(), &["gossip"]).await.unwrap();
    let (conn, backend) = naive(&world).await;
    let (conn, _) = in_context(conn, &world, backend, &world.a, trap).await;
    let (conn, ran) = in_context(conn, &world, backend, &world.b, "EXECUTE report").await;
    assert!(ran);
    let Notification::Sent { payload, .. } = gossip.next().await else { panic!("nothing was heard") };
    assert!(payload.contains(&world.b.canary), "the leak is there and was not seen");
    // What the router does in between ends it.
    conn.discard().await.unwrap();
    conn.execute("SELECT seal.arm(1, $1)", &[&world.key.arm(backend).as_slice()]).await.unwrap();
    assert!(!in_context(conn, &world, backend, &world.b, "EXECUTE report").await.1);
}
