//! How fast audit chains are verified: the verifier alone, and a whole environment from the database.
//!
//! The verifier's figure is one thread over entries in memory, each as long as a real one. The database's chains are
//! made here, correctly linked, since a hundred thousand real changes would take longer than all other benchmarks.

use std::time::Instant;

use anyhow::{Result, ensure};
use aws_lc_rs::digest::{Context, SHA256};
use serde_json::json;
use tenantry_control::Ctx;
use tenantry_domain::audit::{Category, Entry, GENESIS, Hash, Link, Verifier, link};
use tenantry_domain::id::TenantId;

use super::Bench;
use crate::bed::{Bed, fresh_ids};
use crate::crowd;
use crate::report::Figure;

/// A link as it is stored.
struct Stored {
    seq: i64,
    canonical: String,
    hash: Hash,
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let bed = Bed::install(bench.host, "audit", 10).await?;
    in_memory(bench, &bed)?;
    from_database(bench, &bed).await
}

/// A chain of changes of one tenant.
fn chain(cx: &Ctx, tenant: TenantId, count: i64) -> Result<Vec<Stored>> {
    let permit = cx.permit("tenant.update", tenant)?;
    let mut previous = GENESIS;
    let entry = |seq| {
        let mut draft = cx.audit(&permit, Category::Mutation, "tenant/some-customer".to_owned());
        draft.version = Some(seq);
        draft.changes = json!([{ "path": "displayName", "from": format!("Customer {seq}"), "to": "Customer" }]);
        Entry { seq, at: cx.now, environment: cx.environment.clone(), tenant: Some(tenant), draft }
    };
    let chain = (1..=count).map(|seq| {
        let canonical = entry(seq).canonical();
        previous = link(&previous, &canonical, sha256);
        Stored { seq, canonical, hash: previous }
    });
    Ok(chain.collect())
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn in_memory(bench: &mut Bench<'_>, bed: &Bed) -> Result<()> {
    let cx = bed.cx();
    let tenant = fresh_ids(1)[0];
    let chain = chain(&cx, tenant, bench.size.pick(200_000, 50_000, 500))?;
    let head = chain.last().map_or(GENESIS, |stored| stored.hash);
    let count = chain.len() as f64;
    let (mut ours, mut digests) = (Vec::new(), Vec::new());
    for _ in 0..bench.size.pick(9, 5, 1) {
        let began = Instant::now();
        let mut verifier = Verifier::new(&cx.environment, Some(tenant));
        for stored in &chain {
            let link = Link { seq: stored.seq, canonical: &stored.canonical, hash: &stored.hash };
            verifier.step(&link, sha256)?;
        }
        verifier.finish(i64::try_from(chain.len())?, &head)?;
        ours.push(count / began.elapsed().as_secs_f64());
        let began = Instant::now();
        let mut previous = GENESIS;
        for stored in &chain {
            previous = link(&previous, &stored.canonical, sha256);
        }
        ensure!(previous == head, "the digests differ");
        digests.push(count / began.elapsed().as_secs_f64());
    }
    let bytes: usize = chain.iter().map(|stored| stored.canonical.len()).sum();
    let title = format!("verifier, entries of {} bytes", bytes / chain.len().max(1));
    let figure = Figure::rounds(title, "/s", &ours);
    bench.say(figure.against("SHA-256 alone", crate::measure::median(&digests)).at_least(1_000_000.0));
    Ok(())
}

const ENTRIES: &str = "
    INSERT INTO tenantry.audit (env, at, subject, seq, entry, hash, action, category, outcome, actor, correlation_id)
    SELECT $1, $2, $3, n.seq, n.entry, n.hash, 'tenant.update', 'mutation', 'success', $4, $5
    FROM unnest($6::bigint[], $7::text[], $8::bytea[]) AS n (seq, entry, hash)";

const VERSIONS: &str = "
    INSERT INTO tenantry.tenant_version (env, tenant, version, slug, spec, author, action, at, correlation_id)
    SELECT t.env, t.id, n.version, t.slug, t.spec, $3, 'tenant.update', $4, $5
    FROM tenantry.tenant AS t, generate_series(1, $6::bigint) AS n (version) WHERE t.env = $1 AND t.id = $2";

const HEAD: &str = "
    UPDATE tenantry.tenant SET version = $3, observed_version = $3, audit_seq = $3, audit_head = $4
     WHERE env = $1 AND id = $2";

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn from_database(bench: &mut Bench<'_>, bed: &Bed) -> Result<()> {
    let (subjects, length) = bench.size.pick((1_000, 200), (200, 200), (3, 5));
    let members = crowd::make(bed, "watched", subjects, |_, _| {})?;
    crowd::register(bed, bench.host, &members).await?;
    let pool = bed.control(bench.host, 1)?;
    let cx = bed.cx();
    let (env, actor) = (cx.environment.as_str(), cx.actor.to_string());
    for member in &members {
        let (id, chain) = (member.id.uuid(), chain(&cx, member.id, length)?);
        let seqs: Vec<i64> = chain.iter().map(|stored| stored.seq).collect();
        let texts: Vec<&str> = chain.iter().map(|stored| stored.canonical.as_str()).collect();
        let hashes: Vec<&[u8]> = chain.iter().map(|stored| stored.hash.as_slice()).collect();
        let head = hashes.last().copied().unwrap_or_default();
        let tx = pool.begin().await?;
        tx.execute(ENTRIES, &[&env, &cx.now, &id, &actor, &cx.correlation_id, &seqs, &texts, &hashes]).await?;
        tx.execute(VERSIONS, &[&env, &id, &actor, &cx.now, &cx.correlation_id, &length]).await?;
        tx.execute(HEAD, &[&env, &id, &length, &head]).await?;
        tx.commit().await?;
    }
    crowd::settle(&pool).await?;
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..bench.size.pick(5, 3, 1) {
        let began = Instant::now();
        let found = bed.deps.store().verify_audit(Some(&cx.environment), None).await?;
        ensure!(found.findings.is_empty(), "the chains do not verify: {:?}", found.findings.first());
        ours.push(found.entries as f64 / began.elapsed().as_secs_f64());
        let began = Instant::now();
        let conn = pool.get().await?;
        let rows = conn.query("SELECT subject, seq, entry, hash FROM tenantry.audit WHERE env = $1", &[&env]).await?;
        conn.release();
        plain.push(rows.len() as f64 / began.elapsed().as_secs_f64());
    }
    let title = format!("from the database, {subjects} chains of {length}");
    bench.say(Figure::rounds(title, "/s", &ours).against("reading the rows", crate::measure::median(&plain)));
    Ok(())
}
