//! Tests of the tests: each invariant's checker sees what it is there for.
//!
//! A healthy world is damaged inside a transaction that is rolled back again, one damage at a time. A checker that
//! stays green is worthless, so each invariant has at least one damage here.

use tenantry_domain::isolation::Isolation;
use tenantry_domain::workflow::Kind;

use crate::invariants::{ALL, View, check_one};
use crate::verdict::check_all;
use crate::world::drive::state_before;
use crate::world::manifests::LEVELS;
use crate::world::probe::Met;
use crate::world::{Tuning, World};

/// Where a damage is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Control,
    Home,
}

/// The invariant that must turn red, and what is done. `{active}`, `{gone}` and `{shut}` are ids of an active, a
/// deleted and a suspended tenant, `{shut_name}` is the latter's login.
const DAMAGES: &[(&str, At, &str)] = &[
    (
        "I1",
        At::Control,
        "UPDATE tenantry.audit SET entry = jsonb_set(entry::jsonb, '{changes,to}', '\"archived\"')::text WHERE action = 'tenant.activate' AND subject = '{active}'",
    ),
    ("I1", At::Control, "UPDATE tenantry.tenant SET phase = 'archived' WHERE id = '{active}'"),
    (
        "I2",
        At::Control,
        "DROP INDEX tenantry.workflow_open_key; UPDATE tenantry.workflow SET status = 'running', ended_at = NULL WHERE tenant = '{active}'",
    ),
    (
        "I2",
        At::Control,
        "UPDATE tenantry.workflow SET created_at = created_at - interval '1 hour' WHERE tenant = '{active}' AND kind = 'update'",
    ),
    ("I3", At::Control, "UPDATE tenantry.tenant SET version = version + 1 WHERE id = '{active}'"),
    ("I3", At::Control, "DELETE FROM tenantry.tenant_version WHERE tenant = '{active}' AND version = 1"),
    ("I3", At::Control, "DELETE FROM tenantry.audit WHERE subject = '{active}' AND category = 'mutation' AND seq = 1"),
    ("I4", At::Home, "INSERT INTO ledger.space (tenant_id, isolation) VALUES ('{gone}', 'shared')"),
    (
        "I4",
        At::Home,
        "INSERT INTO tenantry.tenant (tenant_id, epoch, state, path) VALUES ('{gone}', 1, 'a', 'app'); INSERT INTO app.books VALUES ('{gone}', 1, 'left')",
    ),
    ("I4", At::Home, "ALTER ROLE {shut_name} LOGIN"),
    ("I4", At::Home, "UPDATE tenantry.tenant SET state = 'a' WHERE tenant_id = '{shut}'"),
    ("I4", At::Control, "INSERT INTO tenantry.tenant_alias (env, alias, tenant) VALUES ('prod', 'left', '{gone}')"),
    ("I5", At::Control, "UPDATE tenantry.tenant SET requested = 'suspended' WHERE id = '{active}'"),
    ("I5", At::Control, "UPDATE tenantry.tenant SET repairable = 1 WHERE id = '{active}'"),
    ("I6", At::Control, "UPDATE tenantry.tenant SET observed_version = observed_version - 1 WHERE id = '{active}'"),
    (
        "I13",
        At::Home,
        "INSERT INTO tenantry.tenant (tenant_id, epoch, state, path) VALUES (gen_random_uuid(), 1, 'p', 'app')",
    ),
    ("I13", At::Home, "CREATE ROLE t_00000000000070008000000000000bad"),
    ("I13", At::Home, "CREATE SCHEMA tn_pre_00000000_0000000000000bad"),
    ("I13", At::Home, "CREATE PUBLICATION left_over"),
    ("I13", At::Home, "DELETE FROM ledger.template"),
    (
        "I15",
        At::Control,
        "INSERT INTO tenantry.journal SELECT env, workflow, seq + 100, at, fact, fence FROM tenantry.journal WHERE fact ->> 'fact' = 'done' LIMIT 1",
    ),
    (
        "I15",
        At::Control,
        "INSERT INTO tenantry.outbox SELECT env, subject, sequence + 100, gen_random_uuid(), type, at, version, correlation_id, causation_id, data FROM tenantry.outbox WHERE type = 'tenant.activated' LIMIT 1",
    ),
    (
        "I16",
        At::Control,
        "DELETE FROM tenantry.journal WHERE fact ->> 'fact' = 'intent' AND fact ->> 'step' = 'create'",
    ),
    (
        "I16",
        At::Control,
        "UPDATE tenantry.journal SET fact = jsonb_set(fact, '{attempt}', '2') WHERE fact ->> 'fact' = 'intent' AND fact ->> 'step' = 'open'",
    ),
    (
        "I18",
        At::Control,
        "UPDATE tenantry.workflow SET status = 'running', ended_at = NULL, wake_at = now() - interval '1 hour' WHERE tenant = '{active}' AND kind = 'update'",
    ),
    (
        "I18",
        At::Control,
        "UPDATE tenantry.workflow SET status = 'stuck', ended_at = NULL WHERE tenant = '{active}' AND kind = 'update'",
    ),
    ("I18", At::Control, "UPDATE tenantry.workflow SET owner = gen_random_uuid() WHERE tenant = '{active}'"),
    ("I19", At::Control, "UPDATE tenantry.journal SET fence = 0 WHERE seq > 2"),
    ("I19", At::Control, "UPDATE tenantry.workflow SET fence = 0 WHERE tenant = '{active}'"),
    (
        "I19",
        At::Control,
        "UPDATE tenantry.journal AS j SET fence = 1 FROM tenantry.workflow AS w WHERE w.id = j.workflow",
    ),
    ("I19", At::Home, "UPDATE tenantry.tenant SET fence = 0 WHERE tenant_id = '{active}'"),
    ("I19", At::Home, "UPDATE tenantry.tenant SET fence = 1000000 WHERE tenant_id = '{active}'"),
    ("I19", At::Home, "DELETE FROM ledger.tombstone"),
    (
        "I20",
        At::Control,
        "INSERT INTO tenantry.journal SELECT env, id, journal_seq + 1, now(), '{\"fact\": \"done\", \"step\": \"place\", \"direction\": \"undo\", \"output\": null}', fence FROM tenantry.workflow WHERE tenant = '{active}' AND kind = 'onboard'",
    ),
    (
        "I20",
        At::Control,
        "UPDATE tenantry.workflow SET status = 'unwound' WHERE tenant = '{active}' AND kind = 'onboard'",
    ),
    (
        "I20",
        At::Control,
        "INSERT INTO tenantry.journal SELECT env, id, journal_seq + 1, now(), '{\"fact\": \"failed\", \"step\": \"open\", \"direction\": \"undo\", \"cause\": {\"code\": \"x\", \"message\": \"x\", \"retryable\": false}}', fence FROM tenantry.workflow WHERE tenant = '{active}' AND kind = 'onboard'",
    ),
    (
        "I25",
        At::Control,
        "UPDATE tenantry.audit SET action = action WHERE subject = '{active}' AND category = 'mutation'",
    ),
    (
        "I25",
        At::Control,
        "UPDATE tenantry.audit SET action = action WHERE subject = '{active}' AND action = 'tenant.activate'",
    ),
    ("I25", At::Control, "DELETE FROM tenantry.audit WHERE subject = '{active}' AND action = 'workflow.start'"),
    ("I25", At::Control, "DELETE FROM tenantry.outbox WHERE subject = '{active}' AND type = 'tenant.created'"),
    ("I25", At::Control, "DELETE FROM tenantry.audit WHERE subject = '{active}' AND seq = 1"),
    ("I26", At::Control, "DELETE FROM tenantry.outbox WHERE subject = '{active}' AND sequence = 2"),
    ("I26", At::Control, "UPDATE tenantry.tenant SET event_seq = event_seq + 1 WHERE id = '{active}'"),
    (
        "I30",
        At::Control,
        "UPDATE tenantry.audit SET entry = replace(entry, 'controller', 'nobody') WHERE subject = '{active}'",
    ),
    (
        "I30",
        At::Control,
        "DELETE FROM tenantry.audit AS a USING tenantry.tenant AS t WHERE t.id = '{active}' AND a.subject = t.id AND a.seq = t.audit_seq",
    ),
    ("I30", At::Control, "UPDATE tenantry.tenant SET audit_head = sha256('x') WHERE id = '{active}'"),
    ("I30", At::Control, "UPDATE tenantry.audit SET action = 'nothing' WHERE subject = '{active}' AND seq = 1"),
    ("I34", At::Home, "ALTER TABLE app.books NO FORCE ROW LEVEL SECURITY"),
    ("I34", At::Home, "ALTER TABLE app.books DISABLE ROW LEVEL SECURITY"),
    ("I34", At::Home, "DROP POLICY tenantry_tenant ON app.books"),
    ("I34", At::Home, "CREATE POLICY another ON app.books USING (true)"),
    (
        "I34",
        At::Home,
        "ALTER TABLE app.pages DROP CONSTRAINT pages_pkey; ALTER TABLE app.pages ALTER tenant_id DROP NOT NULL",
    ),
    ("I34", At::Home, "ALTER ROLE {shut_name} LOGIN BYPASSRLS"),
    ("I34", At::Home, "ALTER TABLE {shut_name}.books OWNER TO {shut_name}; ALTER ROLE {shut_name} LOGIN"),
    ("I40", At::Control, "UPDATE tenantry.cell_load SET used = used + 1 WHERE isolation = 'shared'"),
];

struct Cast {
    active: String,
    gone: String,
    shut: String,
}

/// One tenant of each state; the active one was changed once.
async fn healthy() -> (World, Cast) {
    let world = World::new(Tuning::default()).await;
    let serve = world.serve(&[]).await;
    world.lay_foundation(&serve).await;
    let name = |who: &str, level: Isolation| format!("{who}-{level}");
    for (who, state) in
        [("active", "active"), ("shut", "suspended"), ("gone", state_before(Kind::Delete)), ("draft", "draft")]
    {
        let tenants: Vec<_> = LEVELS.into_iter().map(|level| (name(who, level), level)).collect();
        world.bring(&serve, &tenants, state).await;
    }
    for level in LEVELS {
        for (kind, who) in [(Kind::Update, "active"), (Kind::Delete, "gone")] {
            world.ask(&serve, kind, &name(who, level), level).await;
            world.quiet(&[name(who, level)]).await.unwrap();
        }
    }
    serve.stop().await;
    let cast = Cast {
        active: name("active", Isolation::Shared),
        gone: name("gone", Isolation::Shared),
        shut: name("shut", Isolation::Schema),
    };
    (world, cast)
}

#[tokio::test]
async fn every_checker_turns_red() {
    let (world, cast) = healthy().await;
    assert_eq!(check_all(&world).await, Vec::<String>::new(), "the world is healthy");
    let view = View::of_all(&world).await;
    let (active, gone, shut) =
        (world.tenant(&cast.active).await, world.tenant(&cast.gone).await, world.tenant(&cast.shut).await);
    let mut blind = Vec::new();
    for (id, at, damage) in DAMAGES {
        let session = if *at == At::Control { view.control } else { &view.home };
        let damage = damage
            .replace("{active}", &active.id.to_string())
            .replace("{gone}", &gone.id.to_string())
            .replace("{shut_name}", &shut.name())
            .replace("{shut}", &shut.id.to_string());
        // Neither triggers nor foreign keys stand in the way of somebody who has the disk.
        let script = format!("BEGIN; SET LOCAL session_replication_role = replica; {damage}");
        session.batch_execute(&script).await.unwrap_or_else(|error| panic!("{damage}: {error:?}"));
        if check_one(&view, id).await.is_empty() {
            blind.push(format!("{id} does not see: {damage}"));
        }
        session.batch_execute("ROLLBACK").await.unwrap();
    }
    assert!(blind.is_empty(), "{}", blind.join("\n"));
    let unproven: Vec<_> = ALL.iter().filter(|(id, _)| !DAMAGES.iter().any(|(damaged, ..)| damaged == id)).collect();
    assert!(unproven.is_empty(), "no damage is known for {unproven:?}");
    assert_eq!(check_all(&world).await, Vec::<String>::new(), "all damage was undone");
}

/// The prober works with connections of its own, so here the damage is done for good.
#[tokio::test]
async fn knocking_tells_who_is_let_in() {
    let (world, cast) = healthy().await;
    let view = View::of_all(&world).await;
    let active = world.tenant(&cast.active).await;
    assert_eq!(view.prober.knock(&active, Isolation::Shared).await, Met::Books(2));
    let close = format!("UPDATE tenantry.tenant SET state = 's' WHERE tenant_id = '{}'", active.id);
    view.home.batch_execute(&close).await.unwrap();
    assert!(!check_one(&view, "I4").await.is_empty(), "an active tenant that is refused is seen");
    let shut = world.tenant(&cast.shut).await;
    assert_eq!(view.prober.knock(&shut, Isolation::Schema).await, Met::Refused);
    let open = format!("UPDATE tenantry.tenant SET state = 'a'; ALTER ROLE {} LOGIN", shut.name());
    view.home.batch_execute(&open).await.unwrap();
    let found = check_one(&view, "I4").await;
    assert!(
        found.iter().any(|violation| violation.what.contains("Books")),
        "a suspended tenant that is let in is seen: {found:?}"
    );
}

/// Digests of two tenants with the same past are the same; any difference in their worlds is a difference of the
/// digests.
#[tokio::test]
async fn digests_see_differences_and_nothing_else() {
    let world = World::new(Tuning::default()).await;
    let serve = world.serve(&[]).await;
    world.lay_foundation(&serve).await;
    let twins: Vec<_> =
        LEVELS.into_iter().flat_map(|level| ["one", "two"].map(|who| (format!("{who}-{level}"), level))).collect();
    world.bring(&serve, &twins, "active").await;
    for level in LEVELS {
        let (one, two) = (format!("one-{level}"), format!("two-{level}"));
        let digest = world.digest(&one, level).await;
        assert_eq!(digest.difference(&world.digest(&two, level).await), None, "{level}");
        assert!(digest.len() > 20, "{level}: {digest:?}");
        let tenant = world.tenant(&one).await;
        let (database, schema) = tenant.place(level);
        let login = tenant.name();
        let damages = match level {
            Isolation::Shared => vec![
                format!("DELETE FROM app.pages WHERE tenant_id = '{}' AND book = 1", tenant.id),
                format!("UPDATE tenantry.tenant SET epoch = 2 WHERE tenant_id = '{}'", tenant.id),
                format!("DELETE FROM ledger.space WHERE tenant_id = '{}'", tenant.id),
            ],
            _ => vec![
                format!("ALTER ROLE {login} CONNECTION LIMIT 3"),
                format!("ALTER ROLE {login} CREATEDB"),
                format!("GRANT TRUNCATE ON {schema}.books TO {login}"),
                format!("DROP INDEX {schema}.pages_book"),
                format!("ALTER TABLE {schema}.books NO FORCE ROW LEVEL SECURITY"),
                format!("COMMENT ON ROLE {login} IS NULL"),
                format!("UPDATE {schema}.books SET title = 'other' WHERE id = 1"),
            ],
        };
        let session = crate::world::connect(&world.pg.url(&database)).await;
        let mut last = digest;
        for damage in damages {
            session.batch_execute(&damage).await.unwrap();
            let now = world.digest(&one, level).await;
            assert!(now.difference(&last).is_some(), "{level}: not seen: {damage}");
            last = now;
        }
    }
    serve.stop().await;
}
