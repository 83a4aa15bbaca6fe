//! Each protection, taken away: the short lane finds a foreign value within its budget, and says after how many
//! statements.

use tenantry_domain::isolation::Isolation;

use crate::duel::{Lane, router_options};
use crate::world::World;

/// What the short lane may spend.
const BUDGET: u64 = 20_000;

async fn lane(level: Isolation) -> Lane {
    Lane::new(World::new(&[(level, 6)], router_options()).await).await
}

async fn turns_red(what: &str, mut lane: Lane, sabotage: &str) {
    lane.world.by_hand(sabotage).await;
    lane.look_around().await;
    let outcome = lane.run(1, 0, BUDGET, 3).await;
    let Some(found) = &outcome.found else {
        panic!("{what}: nothing was found by {} statements ({:.1} % carried out)", outcome.statements, outcome.share())
    };
    println!("{what}: found after {} statements: {} by {}", outcome.statements, found.what, found.sql);
}

async fn shared(what: &str, sabotage: &str) {
    turns_red(what, lane(Isolation::Shared).await, sabotage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_dropped() {
    shared("policy dropped", "DROP POLICY tenantry_tenant ON notes; ALTER TABLE notes DISABLE ROW LEVEL SECURITY")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn force_off_with_the_login_as_owner() {
    shared(
        "FORCE off, login owns",
        "GRANT CREATE ON SCHEMA app TO {login}; ALTER TABLE counters OWNER TO {login}; ALTER TABLE counters NO FORCE ROW LEVEL SECURITY",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_policy_that_is_true() {
    shared("policy true", "CREATE POLICY support ON people FOR SELECT USING (true)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_that_lets_others_rows_be_deleted() {
    shared("delete policy true", "CREATE POLICY tidy ON counters FOR DELETE USING (true)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_for_others_may_be_inserted() {
    shared(
        "check true",
        "ALTER POLICY tenantry_tenant ON events USING (tenant_id = (SELECT tenantry.current_tenant())) WITH CHECK (true)",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn context_in_a_plain_setting() {
    shared(
        "context in a plain setting",
        "CREATE OR REPLACE FUNCTION tenantry.current_tenant() RETURNS uuid LANGUAGE sql STABLE AS
         $$SELECT coalesce(nullif(current_setting('app.tenant_id', true), ''), nullif(current_setting('backtrace_functions'), ''))::uuid$$",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enter_without_a_look_at_the_token() {
    shared(
        "enter without token check",
        "CREATE OR REPLACE FUNCTION seal.enter(p_tenant uuid, p_epoch bigint, p_token bytea) RETURNS void LANGUAGE sql SECURITY DEFINER AS
         $$SELECT set_config('search_path', 'app, pg_temp', true), set_config('backtrace_functions', encode(uuid_send(p_tenant), 'hex'), true)$$;
         ALTER FUNCTION seal.enter(uuid, bigint, bytea) OWNER TO tenantry_ctx",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_nobody_cleans() {
    let lane = lane(Isolation::Shared).await;
    let access = lane.naive();
    turns_red("no clean-up between tenants", lane.with(access), "SELECT 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn view_with_its_owners_rights() {
    shared("owner's view", "CREATE VIEW all_notes AS SELECT * FROM notes; GRANT SELECT ON all_notes TO {login}").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn materialized_view() {
    shared(
        "materialized view",
        "CREATE MATERIALIZED VIEW stored AS SELECT * FROM people; GRANT SELECT ON stored TO {login}",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn function_with_its_owners_rights() {
    shared(
        "definer function",
        "CREATE FUNCTION search(p text) RETURNS SETOF notes LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM app.notes WHERE body ~~ p';
         GRANT EXECUTE ON FUNCTION search(text) TO {login}",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_across_schemas() {
    turns_red(
        "grants across schemas",
        lane(Isolation::Schema).await,
        "GRANT USAGE ON SCHEMA {b_schema} TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA {b_schema} TO PUBLIC;
         ALTER TABLE {b_schema}.notes DISABLE ROW LEVEL SECURITY; ALTER TABLE {b_schema}.people DISABLE ROW LEVEL SECURITY",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn path_that_leads_to_the_other_schema() {
    turns_red(
        "search_path to the other schema",
        lane(Isolation::Schema).await,
        "UPDATE tenantry.tenant SET path = '{b_schema}, pg_temp' WHERE path LIKE '{schema},%'; GRANT {b_login} TO {login};
         ALTER TABLE {b_schema}.notes DISABLE ROW LEVEL SECURITY",
    )
    .await;
}
