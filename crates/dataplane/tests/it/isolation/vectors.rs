//! Attacks on the seal itself, on what a session keeps, and on what the example's list does not have.

use tenantry_dataplane::seal::SealMode;
use tenantry_domain::isolation::Isolation;

use crate::isolation::attack::{attack, fill};
use crate::isolation::world::{DATABASE, SCHEMA, SHARED, SHARED_SIGNED, Setting, World};

/// How the last message must end. A misspelt attack ends otherwise, and so shows nothing by accident.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// With one of these SQLSTATEs.
    Refused(&'static [&'static str]),
    /// Well, like all before it.
    Runs,
    /// In the register as `Runs`; signed, with this SQLSTATE.
    Forged(&'static str),
}

use End::{Forged, Refused, Runs};

const DENIED: End = Refused(&["42501"]);
/// By a token that is wrong, or because a session that the router bound is not armed. On one that is armed:
/// [`super::bound`].
const SEALED: End = Refused(&["28000", "55000"]);

pub struct Vector {
    pub name: &'static str,
    pub end: End,
    pub messages: &'static [&'static str],
}

const fn v(name: &'static str, end: End, messages: &'static [&'static str]) -> Vector {
    Vector { name, end, messages }
}

/// `{schema}` is the sender's own one; the other placeholders are those of the example's list.
pub const VECTORS: &[Vector] = &[
    // The seal's own objects.
    v("key_read", DENIED, &["SELECT * FROM seal.key"]),
    v("key_copy", DENIED, &["COPY seal.key TO STDOUT"]),
    v("key_replace", DENIED, &["INSERT INTO seal.key VALUES (2, sha256('mine'))"]),
    v("key_lock", DENIED, &["LOCK TABLE seal.key"]),
    v("key_grant", DENIED, &["GRANT SELECT ON seal.key TO PUBLIC"]),
    v("key_file", DENIED, &["SELECT pg_read_binary_file(pg_relation_filepath('seal.key'::regclass))"]),
    v("key_page", Refused(&["42883"]), &["SELECT get_raw_page('seal.key', 0)"]),
    v("tenants_read", DENIED, &["SELECT * FROM tenantry.tenant"]),
    v("tenants_count", DENIED, &["SELECT count(*) FROM tenantry.tenant"]),
    v("tenant_reopen", DENIED, &["UPDATE tenantry.tenant SET state = 'a'"]),
    v("tenant_epoch", DENIED, &["UPDATE tenantry.tenant SET epoch = 99 WHERE tenant_id = '{victim_id}'"]),
    v("tenant_path", DENIED, &["UPDATE tenantry.tenant SET path = '{victim_schema}' WHERE tenant_id = '{own_id}'"]),
    v(
        "tenant_add",
        DENIED,
        &["INSERT INTO tenantry.tenant (tenant_id, epoch, state, path) VALUES (gen_random_uuid(), 1, 'a', 'x')"],
    ),
    v("tenant_truncate", DENIED, &["TRUNCATE tenantry.tenant CASCADE"]),
    v("register_currval", DENIED, &["SELECT currval('seal.high')"]),
    v("register_setval", DENIED, &["SELECT setval('seal.high', 1)"]),
    v("register_nextval", DENIED, &["SELECT nextval('seal.low')"]),
    v("register_read", DENIED, &["SELECT last_value FROM seal.low"]),
    v("register_lastval", Refused(&["55000", "42501"]), &["SELECT lastval()"]),
    v(
        "register_view",
        Runs,
        &["SELECT last_value FROM pg_sequences WHERE schemaname = 'seal' AND last_value IS NOT NULL"],
    ),
    v("register_alter", DENIED, &["ALTER SEQUENCE seal.high RESTART 1"]),
    v("sessions_oracle", DENIED, &["SELECT count(*) FROM seal.sessions(NULL)"]),
    v("sign_oracle", Refused(&["42501", "42883"]), &["SELECT seal.signature('\\x00', '{victim_id}')"]),
    v("sessions_of_others", DENIED, &["SELECT seal.sessions('{victim_id}')"]),
    v("hello", Runs, &["SELECT * FROM seal.hello()"]),
    v(
        "enter_replace",
        DENIED,
        &["CREATE OR REPLACE FUNCTION seal.enter(uuid, bigint, bytea) RETURNS void LANGUAGE sql AS ''"],
    ),
    v(
        "current_tenant_replace",
        DENIED,
        &["CREATE OR REPLACE FUNCTION tenantry.current_tenant() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'"],
    ),
    v(
        "current_tenant_alter",
        DENIED,
        &["ALTER FUNCTION tenantry.current_tenant() SET backtrace_functions = '{victim_hex}'"],
    ),
    v("current_tenant_beside", DENIED, &["CREATE FUNCTION tenantry.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'"]),
    v("seal_drop", DENIED, &["DROP SCHEMA seal CASCADE"]),
    v("seal_comment", DENIED, &["COMMENT ON SCHEMA seal IS 'mine'"]),
    v("seal_close", Runs, &["REVOKE EXECUTE ON FUNCTION seal.enter(uuid, bigint, bytea) FROM PUBLIC"]),
    // Getting in without the key.
    v("arm_forged", SEALED, &["SELECT seal.arm(1, sha256('guess'))"]),
    v("arm_null", SEALED, &["SELECT seal.arm(1, NULL)"]),
    v("arm_all_null", SEALED, &["SELECT seal.arm(NULL, NULL)"]),
    v("arm_unknown_key", SEALED, &["SELECT seal.arm(77, sha256('guess'))"]),
    v("enter_guess", SEALED, &["SELECT seal.enter('{victim_id}', 3, sha256('guess'))"]),
    v("enter_empty", SEALED, &["SELECT seal.enter('{victim_id}', 3, '')"]),
    v("enter_null_token", SEALED, &["SELECT seal.enter('{victim_id}', 3, NULL)"]),
    v("enter_null_epoch", SEALED, &["SELECT seal.enter('{victim_id}', NULL, NULL)"]),
    v("enter_all_null", SEALED, &["SELECT seal.enter(NULL, NULL, NULL)"]),
    v("enter_own_again", SEALED, &["SELECT seal.enter('{own_id}', 3, sha256('guess'))"]),
    v(
        "enter_with_shadowed_operators",
        SEALED,
        &[
            "SET LOCAL search_path = pg_temp, {schema}, pg_catalog",
            "SELECT seal.enter('{victim_id}', 3, sha256('guess'))",
        ],
    ),
    v(
        "enter_in_do",
        Runs,
        &[
            "DO $$ BEGIN PERFORM seal.enter('{victim_id}', 3, sha256('x')); EXCEPTION WHEN OTHERS THEN NULL; END $$",
            "SELECT * FROM messages",
        ],
    ),
    // Forging the signed context.
    v(
        "context_forge",
        Forged("28000"),
        &[
            "SELECT set_config('tenantry.context', '1.{victim_id}.' || repeat('0', 64), true)",
            "SELECT * FROM {schema}.messages",
        ],
    ),
    v(
        "context_swap",
        Forged("28000"),
        &[
            "SELECT set_config('tenantry.context', replace(current_setting('tenantry.context', true), '{own_id}', '{victim_id}'), true)",
            "SELECT * FROM {schema}.messages",
        ],
    ),
    v(
        "context_other_key",
        Forged("28000"),
        &["SET LOCAL tenantry.context = '2.{victim_id}.00'", "SELECT * FROM {schema}.messages"],
    ),
    v(
        "context_no_key",
        Forged("22P02"),
        &["SET LOCAL tenantry.context = '.{victim_id}.'", "SELECT * FROM {schema}.messages"],
    ),
    v(
        "context_no_signature",
        Forged("28000"),
        &["SET LOCAL tenantry.context = '1.{victim_id}'", "SELECT * FROM {schema}.messages"],
    ),
    v("context_garbage", Forged("22P02"), &["SET LOCAL tenantry.context = 'x.y.z'", "SELECT * FROM {schema}.messages"]),
    v(
        "context_megabyte",
        Forged("22P02"),
        &[
            "SELECT length(set_config('tenantry.context', repeat('x', 1000000), true))",
            "SELECT * FROM {schema}.messages",
        ],
    ),
    v("context_cleared", Runs, &["SET LOCAL tenantry.context = ''", "SELECT * FROM {schema}.messages"]),
    v(
        "context_replayed_later",
        Forged("28000"),
        &["SELECT set_config('my.keep', current_setting('tenantry.context', true), false); COMMIT; BEGIN; \
           SELECT set_config('tenantry.context', current_setting('my.keep'), true); SELECT count(*) FROM {schema}.messages"],
    ),
    v(
        "context_for_the_session",
        Runs,
        &[
            "SELECT set_config('tenantry.context', current_setting('tenantry.context', true), false)",
            "SELECT count(*) FROM messages",
        ],
    ),
    v("context_after_commit", Runs, &["COMMIT; SELECT count(*), tenantry.current_tenant() FROM {schema}.messages"]),
    v(
        "context_after_chain",
        Runs,
        &["COMMIT AND CHAIN; SELECT count(*), tenantry.current_tenant() FROM {schema}.messages"],
    ),
    v(
        "write_after_commit",
        DENIED,
        &["COMMIT; INSERT INTO {schema}.channels (tenant_id, name) VALUES ('{victim_id}', 'planted')"],
    ),
    v(
        "write_after_rollback",
        Refused(&["42501", "23502"]),
        &["ROLLBACK; INSERT INTO {schema}.channels (name) VALUES ('planted')"],
    ),
    v(
        "context_after_caught_error",
        Runs,
        &[
            "DO $$ BEGIN PERFORM 1/0; EXCEPTION WHEN OTHERS THEN NULL; END $$",
            "SELECT count(*) FROM messages WHERE tenant_id <> '{own_id}'",
        ],
    ),
    // Rows of others by key, constraint and reference.
    v(
        "read_by_foreign_id",
        Runs,
        &["SELECT * FROM messages WHERE id = {victim_message_id} AND tenant_id <> '{own_id}'"],
    ),
    v(
        "update_by_foreign_id",
        Runs,
        &[
            "UPDATE messages SET body = 'overwritten' WHERE id = {victim_message_id} AND tenant_id = '{victim_id}' RETURNING *",
        ],
    ),
    v("lock_by_foreign_id", Runs, &["SELECT * FROM messages WHERE tenant_id = '{victim_id}' FOR UPDATE"]),
    v(
        "take_a_foreign_id",
        Runs,
        &["INSERT INTO messages (id, channel_id, body) SELECT {victim_message_id}, min(id), 'mine' FROM channels \
           ON CONFLICT (tenant_id, id) DO UPDATE SET body = 'mine' RETURNING tenant_id"],
    ),
    v("parent_of_another", Refused(&["23503"]), &["INSERT INTO messages (channel_id, body) VALUES (-1, 'x')"]),
    v("move_child_to_another", DENIED, &["UPDATE messages SET tenant_id = '{victim_id}', channel_id = 1"]),
    v(
        "upsert_excluded_tenant",
        DENIED,
        &[
            "INSERT INTO channels (tenant_id, name) VALUES ('{victim_id}', 'general') ON CONFLICT (tenant_id, name) DO UPDATE SET topic = channels.topic || 'x' RETURNING *",
        ],
    ),
    v("copy_in_another", Refused(&["0A000"]), &["COPY messages FROM STDIN"]),
    v("schema_of_another", Refused(&["42501", "42P01"]), &["SELECT * FROM {victim_schema}.messages"]),
    v("path_to_another", Refused(&["42P01"]), &["SET LOCAL search_path = {victim_schema}", "SELECT * FROM messages"]),
    v("references_right", DENIED, &["CREATE TABLE {schema}.probe (t uuid REFERENCES tenantry.tenant)"]),
    v("reindex", DENIED, &["REINDEX TABLE messages"]),
    v("cluster", DENIED, &["CLUSTER messages USING messages_pkey"]),
    v("extended_statistics", DENIED, &["SELECT * FROM pg_statistic_ext_data"]),
    v("foreign_table", Refused(&["42501", "42704"]), &["CREATE FOREIGN TABLE {schema}.f (a int) SERVER s"]),
    v(
        "xml_entity",
        Runs,
        &["SELECT xmlparse(DOCUMENT '<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><x>&f;</x>')"],
    ),
    // What belongs to the login, which tenants may share.
    v("drop_owned", Runs, &["DROP OWNED BY CURRENT_USER"]),
    v("reassign_owned", DENIED, &["REASSIGN OWNED BY {owner_role} TO CURRENT_USER"]),
    v("revoke_from_self", Runs, &["REVOKE SELECT ON messages FROM CURRENT_USER"]),
    v("activity_function", DENIED, &["SELECT * FROM pg_stat_get_activity(NULL)"]),
    v("activity_of_backends", DENIED, &["SELECT pg_stat_get_backend_activity(i) FROM pg_stat_get_backend_idset() i"]),
    v("locks_function", DENIED, &["SELECT * FROM pg_lock_status()"]),
    v("terminate", DENIED, &["SELECT pg_terminate_backend(pg_backend_pid())"]),
    v("large_object_make", DENIED, &["SELECT lo_create(0)"]),
    v("large_object_list", DENIED, &["SELECT oid FROM pg_largeobject_metadata"]),
    v("large_object_read", DENIED, &["SELECT lo_get(1)"]),
    v("large_object_table", DENIED, &["SELECT * FROM pg_largeobject"]),
    v("log_message", DENIED, &["SELECT pg_logical_emit_message(false, 'mv', 'cut')"]),
    v("guess_the_mark", Runs, &["SELECT pg_advisory_lock(hashtextextended('{victim_id}', 0)), pg_advisory_lock(0)"]),
    // What a session keeps.
    v("cursor_for_the_next", Runs, &["DECLARE loot CURSOR WITH HOLD FOR SELECT * FROM messages"]),
    v("prepared_for_the_next", Runs, &["PREPARE loot AS SELECT * FROM messages"]),
    v("temporary_for_the_next", DENIED, &["CREATE TEMP TABLE messages (tenant_id uuid, id bigint, body text)"]),
    v("temporary_by_select", DENIED, &["SELECT 1 AS id INTO TEMP messages"]),
    v("listen_for_the_next", Runs, &["LISTEN gossip", "SELECT pg_notify('gossip', 'x')"]),
    v("path_for_the_next", Runs, &["SET search_path = nowhere"]),
    v("read_only_for_the_next", Runs, &["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"]),
    v(
        "isolation_for_the_next",
        Runs,
        &["SET default_transaction_isolation = 'serializable'; SET default_transaction_deferrable = on"],
    ),
    v(
        "strings_for_the_next",
        Runs,
        &["SET standard_conforming_strings = off; SET backslash_quote = on; SET transform_null_equals = on"],
    ),
    v(
        "timeouts_for_the_next",
        Runs,
        &["SET statement_timeout = 1; SET lock_timeout = 1; SET idle_in_transaction_session_timeout = 1"],
    ),
    v(
        "debug_for_the_next",
        Runs,
        &["SET client_min_messages = debug5; SET debug_print_plan = on; SET log_parameter_max_length_on_error = -1"],
    ),
    v(
        "encoding_for_the_next",
        Runs,
        &[
            "SET client_encoding = 'LATIN1'; SET bytea_output = 'escape'; SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'",
        ],
    ),
    v("locks_for_the_next", Runs, &["SELECT pg_advisory_lock(n) FROM generate_series(1, 50) n"]),
    v("random_for_the_next", Runs, &["SELECT setseed(0.1)", "SELECT random()"]),
    v(
        "planner_for_the_next",
        Runs,
        &["SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; SET row_security = on"],
    ),
    // Shapes.
    v("deep", Refused(&["42601", "54001"]), &["SELECT {deep}"]),
    v("long_name", Refused(&["42P01", "42703"]), &["SELECT {long} FROM messages"]),
    v("long_value", Runs, &["SELECT count(*) FROM messages WHERE body = '{long}'"]),
];

/// Fills in what only this list has.
pub async fn messages_of(world: &World, vector: &Vector) -> Vec<String> {
    let mut filled = Vec::new();
    for message in vector.messages {
        let message = message
            .replace("{schema}", &world.a.schema)
            .replace("{deep}", &format!("{}1{}", "(".repeat(60_000), ")".repeat(60_000)))
            .replace("{long}", &"x".repeat(1_000_000));
        filled.push(fill(world, &message).await);
    }
    filled
}

async fn all(setting: Setting) {
    let world = World::driven(setting).await;
    let own = world.fingerprint(&world.a).await;
    let mut wrong = Vec::new();
    for vector in VECTORS {
        let transcript = attack(&world, &messages_of(&world, vector).await).await;
        wrong.extend(transcript.leaks.iter().map(|leak| format!("{}: {leak}", vector.name)));
        let expected = match vector.end {
            Forged("28000") if setting.mode == SealMode::Signed => SEALED,
            Forged(_) if setting.mode == SealMode::Signed => Refused(&["22P02"]),
            Forged(_) => Runs,
            end => end,
        };
        // A schema of one's own is not foreign.
        let alone = vector.name == "path_to_another" && setting.isolation == Isolation::Database;
        if !alone && !expected.fits(&transcript.ends) {
            let text: String = transcript.text.chars().take(200).collect();
            wrong.push(format!("{}: ended {:?} instead of {expected:?}: {text}", vector.name, transcript.ends));
        }
        if world.fingerprint(&world.a).await != own {
            world.restore(&world.a).await;
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), VECTORS.len(), wrong.join("\n"));
}

impl End {
    fn fits(self, ends: &[Option<String>]) -> bool {
        let last = ends.last().and_then(Option::as_deref);
        match self {
            Refused(states) => last.is_some_and(|state| states.contains(&state)),
            Runs => ends.iter().all(Option::is_none),
            Forged(_) => false,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_shared() {
    all(SHARED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_shared_signed() {
    all(SHARED_SIGNED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_schema() {
    all(SCHEMA).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_database() {
    all(DATABASE).await;
}
