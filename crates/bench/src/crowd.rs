//! Many tenants at once, written straight into the tables: scenery, never what is measured.
//!
//! The rows are those that the product would have written for tenants that were onboarded long ago. They have no audit
//! entries, so an installation with a crowd is of no use for anything but the benchmark that made it.

use std::collections::BTreeSet;

use anyhow::Result;
use jiff::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::placement::Placement;
use tenantry_domain::tenant::lifecycle::{Phase, State, SuspensionReason};
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_pg::Pool;

use crate::bed::{Bed, fresh_ids, numbered};
use crate::host::Host;

/// Rows per statement.
const CHUNK: usize = 5_000;

/// One of them.
pub struct Member {
    /// Its id; in the order of the crowd.
    pub id: TenantId,
    /// Its name.
    pub slug: Slug,
    /// What is wanted of it, and is so.
    pub spec: Spec,
    state: State,
}

/// Converged tenants at the shared level, whom `dress` may change.
pub fn make(bed: &Bed, prefix: &str, count: usize, dress: impl Fn(usize, &mut Spec)) -> Result<Vec<Member>> {
    let since = bed.deps.now();
    let ids = fresh_ids(count);
    let member = |(number, id)| {
        let slug = Slug::parse(&numbered(prefix, number))?;
        let mut spec = bed.spec(slug.as_str(), Isolation::Shared, Phase::Active);
        dress(number, &mut spec);
        let state = state(bed, spec.state, since);
        Ok(Member { id, slug, spec, state })
    };
    ids.into_iter().enumerate().map(member).collect()
}

fn state(bed: &Bed, phase: Phase, since: Timestamp) -> State {
    let placement = Placement {
        region: bed.region().clone(),
        cell: bed.cell.name().clone(),
        isolation: Isolation::Shared,
        generation: 1,
    };
    match phase {
        Phase::Suspended => State::Suspended { since, reason: SuspensionReason::Commercial, placement },
        Phase::Archived => State::Archived { at: since, purge_after: since, placement },
        Phase::Active => State::Active { since, placement },
        Phase::Draft | Phase::Deleted => State::Draft,
    }
}

/// Of everybody the newest app version, so that nobody is due.
const TENANTS: &str = "
    INSERT INTO tenantry.tenant (env, id, slug, slug_skeleton, display_name, words, app, plan, region, cell, isolation,
        placement_generation, version, observed_version, app_version, requested, phase, state, spec, weight,
        is_unsettled, created_at, updated_at, activated_at, created_by)
    SELECT $1, n.id, n.slug, n.skeleton, n.name, n.words, n.app, n.plan,
        CASE WHEN n.phase <> 'draft' THEN $2 END, CASE WHEN n.phase <> 'draft' THEN $3 END,
        CASE WHEN n.phase <> 'draft' THEN 'shared' END, 1, 1, 1, 1, n.phase, n.phase, n.state::jsonb, n.spec::jsonb, 1,
        false, now(), now(), now(), 'operator:bench'
    FROM unnest($4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
        $12::text[], $13::text[]) AS n (id, slug, skeleton, name, words, app, plan, phase, state, spec)";

const LABELS: &str = "
    INSERT INTO tenantry.tenant_label (env, tenant, key, value)
    SELECT $1, n.* FROM unnest($2::uuid[], $3::text[], $4::text[]) AS n";

const EXTERNAL_IDS: &str = "
    INSERT INTO tenantry.tenant_external_id (env, tenant, system, external_id)
    SELECT $1, n.* FROM unnest($2::uuid[], $3::text[], $4::text[]) AS n";

const WORDS: &str = "
    INSERT INTO tenantry.tenant_word (env, tenant, word)
    SELECT $1, n.* FROM unnest($2::uuid[], $3::text[]) AS n";

/// Writes them into the registry.
pub async fn register(bed: &Bed, host: &Host, members: &[Member]) -> Result<()> {
    let pool = bed.control(host, 1)?;
    for chunk in members.chunks(CHUNK) {
        register_chunk(bed, &pool, chunk).await?;
    }
    settle(&pool).await
}

async fn register_chunk(bed: &Bed, pool: &Pool, members: &[Member]) -> Result<()> {
    fn all<T>(members: &[Member], column: impl Fn(&Member) -> T) -> Vec<T> {
        members.iter().map(column).collect()
    }
    let env = bed.app.environment.as_str();
    let tx = pool.begin().await?;
    tx.execute(
        TENANTS,
        &[
            &env,
            &bed.region().as_str(),
            &bed.cell.name().as_str(),
            &all(members, |one| one.id.uuid()),
            &all(members, |one| one.slug.as_str().to_owned()),
            &all(members, |one| one.slug.skeleton()),
            &all(members, |one| one.spec.display_name.clone()),
            &all(members, |one| words(one).iter().map(|word| format!(" {word}")).collect::<String>()),
            &all(members, |one| one.spec.app.to_string()),
            &all(members, |one| one.spec.plan.to_string()),
            &all(members, |one| one.spec.state.as_str()),
            &all(members, |one| json(&one.state)),
            &all(members, |one| json(&one.spec)),
        ],
    )
    .await?;
    let labels: Vec<_> =
        members.iter().flat_map(|one| one.spec.labels.iter().map(|label| (one.id.uuid(), label))).collect();
    let (ids, keys, values) = columns(&labels);
    tx.execute(LABELS, &[&env, &ids, &keys, &values]).await?;
    let external: Vec<_> =
        members.iter().flat_map(|one| one.spec.external_ids.iter().map(|pair| (one.id.uuid(), pair))).collect();
    let (ids, systems, names) = columns(&external);
    tx.execute(EXTERNAL_IDS, &[&env, &ids, &systems, &names]).await?;
    let words: Vec<_> =
        members.iter().flat_map(|one| words(one).into_iter().map(|word| (one.id.uuid(), word))).collect();
    let (ids, words): (Vec<_>, Vec<_>) = words.into_iter().unzip();
    tx.execute(WORDS, &[&env, &ids, &words]).await?;
    Ok(tx.commit().await?)
}

type Pair<'a> = (uuid::Uuid, (&'a String, &'a String));

fn columns<'a>(pairs: &[Pair<'a>]) -> (Vec<uuid::Uuid>, Vec<&'a String>, Vec<&'a String>) {
    let ids = pairs.iter().map(|(id, _)| *id).collect();
    let first = pairs.iter().map(|(_, (first, _))| *first).collect();
    (ids, first, pairs.iter().map(|(_, (_, second))| *second).collect())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The words by which the registry finds a tenant.
fn words(member: &Member) -> BTreeSet<String> {
    let text = format!("{} {}", member.slug, member.spec.display_name);
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// Lets the members in on the cell, as entries of the app's home.
pub async fn admit(bed: &Bed, host: &Host, members: &[Member]) -> Result<()> {
    let pool = bed.home(host, 1)?;
    let ids: Vec<uuid::Uuid> = members.iter().map(|one| one.id.uuid()).collect();
    let tx = pool.begin().await?;
    // The path is the app's, which a real tenant of the same app knows.
    let sql = "
        INSERT INTO tenantry.tenant (tenant_id, epoch, state, path, fence, created_by)
        SELECT id, 1, 'a', (SELECT path FROM tenantry.tenant LIMIT 1), 1, 'bench' FROM unnest($1::uuid[]) AS n (id)";
    tx.execute(sql, &[&ids]).await?;
    let sql = "
        INSERT INTO ledger.space (tenant_id, isolation, opened_at)
        SELECT id, 'shared', now() FROM unnest($1::uuid[]) AS n (id)";
    tx.execute(sql, &[&ids]).await?;
    tx.commit().await?;
    settle(&pool).await
}

/// What the autovacuum would have done long ago.
pub async fn settle(pool: &Pool) -> Result<()> {
    let conn = pool.get().await?;
    conn.batch_static("VACUUM (ANALYZE)").await?;
    conn.batch_static("CHECKPOINT").await?;
    conn.release();
    Ok(())
}
