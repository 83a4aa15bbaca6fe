//! Changes a second: the product's, each with history, audit entry and event, against bare updates.
//!
//! All variants change the same column of the same table, each its own tenants. No controller runs, so nothing but
//! the change itself is measured. The bare update knows the version beforehand; a real caller has to read it first,
//! which is a variant of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use tenantry_control::{Ctx, tenants};
use tenantry_domain::audit::Category;
use tenantry_domain::event;
use tenantry_domain::id::TenantId;
use tenantry_domain::tenant::Spec;
use tenantry_pg::{Json, Pool, ToSql};
use tenantry_store::{Entry, TenantChange};

use super::Bench;
use crate::bed::Bed;
use crate::crowd;
use crate::measure::{median, rate};
use crate::processor::Processor;
use crate::report::Figure;

const CONNECTIONS: [usize; 3] = [1, 8, 32];
/// Tenants of each variant; a multiple of all connection counts, so that no two tasks meet at one tenant.
const EACH: usize = 320;

/// The ways to change a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    UseCase,
    WriteTx,
    Bare,
    BareHistory,
    BareRead,
    ByHand,
}

impl Way {
    const ALL: [Self; 6] = [Self::UseCase, Self::WriteTx, Self::Bare, Self::BareHistory, Self::BareRead, Self::ByHand];
}

const BARE: &str = "
    UPDATE tenantry.tenant SET version = version + 1, spec = $4, updated_at = now()
     WHERE env = $1 AND id = $2 AND version = $3";

const BARE_HISTORY: &str = "
    WITH changed AS (
        UPDATE tenantry.tenant SET version = version + 1, spec = $4, updated_at = now()
         WHERE env = $1 AND id = $2 AND version = $3 RETURNING env, id, version, slug, spec
    )
    INSERT INTO tenantry.tenant_version (env, tenant, version, slug, spec, author, action, at, correlation_id)
    SELECT env, id, version, slug, spec, 'operator:bench', 'tenant.update', now(), 'bench' FROM changed";

/// The same rows as ours, in one statement, without looking, numbering or hashing: what any system that keeps history,
/// audit and outbox in the same transaction pays at the least.
const BY_HAND: &str = "
    WITH changed AS (
        UPDATE tenantry.tenant SET version = version + 1, spec = $4, updated_at = now(), audit_seq = audit_seq + 1,
            event_seq = event_seq + 1
         WHERE env = $1 AND id = $2 AND version = $3 RETURNING env, id, version, slug, spec
    ), history AS (
        INSERT INTO tenantry.tenant_version (env, tenant, version, slug, spec, author, action, at, correlation_id)
        SELECT env, id, version, slug, spec, 'operator:bench', 'tenant.update', now(), 'bench' FROM changed
    ), audit AS (
        INSERT INTO tenantry.audit (env, at, subject, seq, entry, hash, action, category, outcome, actor, correlation_id)
        SELECT env, now(), id, version, $5, $6, 'tenant.update', 'mutation', 'success', 'operator:bench', 'bench' FROM changed
    )
    INSERT INTO tenantry.outbox (env, subject, sequence, id, type, at, version, correlation_id, causation_id, data)
    SELECT env, id, version, gen_random_uuid(), 'tenant.updated', now(), version, 'bench', 'bench', $7 FROM changed";

const READ: &str = "SELECT version, spec FROM tenantry.tenant WHERE env = $1 AND id = $2";

struct World {
    bed: Bed,
    plain: Pool,
    members: Vec<(TenantId, Spec, AtomicI64)>,
}

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let most = CONNECTIONS[CONNECTIONS.len() - 1];
    let bed = Bed::install(bench.host, "mutations", most).await?;
    let members = crowd::make(&bed, "busy", EACH * Way::ALL.len(), |_, _| {})?;
    crowd::register(&bed, bench.host, &members).await?;
    let plain = bed.control(bench.host, most)?;
    let members = members.into_iter().map(|one| (one.id, one.spec, AtomicI64::new(1))).collect();
    let world = Arc::new(World { bed, plain, members });
    let span = Duration::from_millis(bench.size.pick(2_000, 500, 50));
    for connections in CONNECTIONS {
        measure(bench, &world, connections, span).await?;
    }
    Ok(())
}

async fn measure(bench: &mut Bench<'_>, world: &Arc<World>, connections: usize, span: Duration) -> Result<()> {
    let mut rounds: [Vec<f64>; Way::ALL.len()] = Default::default();
    let mut spent: [(Vec<f64>, Vec<f64>); Way::ALL.len()] = Default::default();
    let processor = Processor::of(bench.host).await?;
    // Connections are opened and statements prepared before it counts.
    for way in Way::ALL {
        one_round(world, way, connections, span / 4).await?;
    }
    for turn in 0..bench.size.pick(7, 3, 1) {
        for step in 0..Way::ALL.len() {
            let index = (turn + step) % Way::ALL.len();
            let before = processor.spent()?;
            let began = Instant::now();
            let rate = one_round(world, Way::ALL[index], connections, span).await?;
            let each = processor.spent()?.since(before).per(rate * began.elapsed().as_secs_f64());
            rounds[index].push(rate);
            spent[index].0.push(each.server);
            spent[index].1.push(each.ours);
        }
    }
    let [use_case, write_tx, bare, history, read, by_hand] = rounds;
    let title = |what: &str| format!("{connections} connections: {what}");
    let compared = |what: &str, rounds: &[f64]| {
        Figure::rounds(title(what), "/s", rounds)
            .against("bare update", median(&bare))
            .ratio_at_least(0.75)
            .against("update and history", median(&history))
            .against("read, then update", median(&read))
            .against("the same rows by hand", median(&by_hand))
    };
    bench.say(compared("WriteTx with audit and outbox", &write_tx));
    bench.say(compared("whole use case", &use_case));
    let [use_case, write_tx, bare, _, _, by_hand] = spent;
    for (way, spent) in [("WriteTx", write_tx), ("use case", use_case)] {
        let server = Figure::rounds(title(&format!("{way}, server's processor time")), "µs", &spent.0);
        bench.say(server.against("bare update", median(&bare.0)).against("the same rows by hand", median(&by_hand.0)));
        let ours = Figure::rounds(title(&format!("{way}, our processor time")), "µs", &spent.1);
        bench.say(ours.against("bare update", median(&bare.1)));
    }
    Ok(())
}

async fn one_round(world: &Arc<World>, way: Way, connections: usize, span: Duration) -> Result<f64> {
    let world = Arc::clone(world);
    let first = EACH * Way::ALL.iter().position(|other| *other == way).unwrap_or_default();
    rate(connections, span, move |task, done| {
        let world = Arc::clone(&world);
        async move {
            let step = usize::try_from(done)? * connections + task;
            change(&world, way, first + step % EACH, step).await
        }
    })
    .await
}

async fn change(world: &World, way: Way, index: usize, step: usize) -> Result<()> {
    let (id, spec, version) = &world.members[index];
    let mut spec = spec.clone();
    // Never the value from before, in any round.
    let value = version.fetch_add(1, Ordering::Relaxed);
    spec.settings.insert("bench".to_owned(), json!({ "step": step, "value": value }));
    let cx = world.bed.cx();
    match way {
        Way::UseCase => use_case(world, &cx, *id, spec).await,
        Way::WriteTx => write_tx(world, &cx, *id, spec).await,
        Way::Bare => bare(world, BARE, *id, value, spec).await,
        Way::BareHistory => bare(world, BARE_HISTORY, *id, value, spec).await,
        Way::BareRead => bare_read(world, *id, spec).await,
        Way::ByHand => by_hand(world, *id, value, spec).await,
    }
}

async fn use_case(world: &World, cx: &Ctx, id: TenantId, spec: Spec) -> Result<()> {
    let reference = tenants::TenantRef::Id(id);
    let deps = &world.bed.deps;
    let accepted = tenants::update(cx, deps, &reference, tenants::Expected::Any, spec).await?;
    ensure!(accepted.operation.is_some(), "nothing changed");
    Ok(())
}

async fn write_tx(world: &World, cx: &Ctx, id: TenantId, spec: Spec) -> Result<()> {
    let permit = cx.permit("tenant.update", id)?;
    let mut tx = world.bed.deps.store().write(&permit, cx.now).await?;
    tx.allow("not asked here".to_owned());
    let row = tx.tenants().lock(id).await?;
    let version = row.version + 1;
    let change = TenantChange {
        id,
        from_version: row.version,
        spec,
        rename: None,
        action: permit.action().to_owned(),
        correlation_id: cx.correlation_id.clone(),
    };
    tx.tenants().apply(&change).await?;
    let mut audit = cx.audit(&permit, Category::Mutation, format!("tenant/{}", row.slug));
    audit.version = Some(version);
    audit.changes = json!([{ "path": "settings.bench", "from": "…", "to": "…" }]);
    let data = json!({ "slug": row.slug, "version": version, "action": "update", "changed": ["settings.bench"], "plan": row.spec.plan });
    let event = event::Draft::new(event::Type::TenantUpdated, data);
    tx.commit(vec![Entry::tenant(id, audit, vec![event])]).await?;
    Ok(())
}

async fn bare(world: &World, sql: &'static str, id: TenantId, version: i64, spec: Spec) -> Result<()> {
    let env = world.bed.app.environment.as_str();
    let conn = world.plain.get().await?;
    let changed = conn.execute(sql, &[&env, &id.uuid(), &version, &Json(spec)]).await?;
    conn.release();
    ensure!(changed == 1, "the version was another one");
    Ok(())
}

async fn bare_read(world: &World, id: TenantId, spec: Spec) -> Result<()> {
    let env = world.bed.app.environment.as_str();
    let conn = world.plain.get().await?;
    let row = conn.query_one(READ, &[&env, &id.uuid()]).await?;
    let (version, _): (i64, Json<Spec>) = (row.try_get(0)?, row.try_get(1)?);
    let changed = conn.execute(BARE, &[&env, &id.uuid(), &version, &Json(spec)]).await?;
    conn.release();
    ensure!(changed == 1, "the version was another one");
    Ok(())
}

/// As long as a real entry.
const ENTRY: &str = concat!(
    r#"{"action":"tenant.update","actor":{"id":"bench","kind":"operator"},"at":"2026-01-01T00:00:00.000000Z","#,
    r#""category":"mutation","changes":[{"from":"Customer 100","path":"displayName","to":"Customer"}],"#,
    r#""correlationId":"req_01h455vb4pex5vsknk084sn02q","environment":"prod","outcome":"success","policy":"default","#,
    r#""requestId":"req_01h455vb4pex5vsknk084sn02q","seq":100,"target":"tenant/some-customer","#,
    r#""tenant":"ten_01h455vb4pex5vsknk084sn02q","version":100}"#
);

async fn by_hand(world: &World, id: TenantId, version: i64, spec: Spec) -> Result<()> {
    let env = world.bed.app.environment.as_str();
    let data =
        Json(json!({ "slug": "some-customer", "version": version, "action": "update", "changed": ["settings.bench"] }));
    let conn = world.plain.get().await?;
    let params: [&(dyn ToSql + Sync); 7] =
        [&env, &id.uuid(), &version, &Json(spec), &ENTRY, &[0_u8; 32].as_slice(), &data];
    conn.execute(BY_HAND, &params).await?;
    conn.release();
    Ok(())
}
