//! Authorising somebody and listing people, with a million memberships: 10,000 organisations, one of which has 10,000
//! members, and one person who belongs to 10,000 organisations.
//!
//! Measured through the use cases, as the API goes: the caller's right, the tenant, the acting member's role, the page.

use anyhow::{Context as _, Result, ensure};
use tenantry_control::members;
use tenantry_control::tenants::TenantRef;
use tenantry_domain::id::UserId;
use tenantry_domain::member::Permission;
use tenantry_domain::page::PageSize;
use uuid::Uuid;

use super::Bench;
use crate::bed::Bed;
use crate::crowd;
use crate::measure::{Samples, timed};
use crate::report::Figure;

/// Users, with ids that are made of their numbers.
const USERS: &str = "
    INSERT INTO tenantry.user_account (env, id, issuer, pool, subject, created_at)
    SELECT 'prod', lpad(to_hex(n), 32, '0')::uuid, 'https://login.example', '', n::text, now()
    FROM generate_series(1, $1::bigint) AS n";

/// Tenant number 0 has everybody, user 1 is everywhere, the others spread evenly.
const MEMBERS: &str = "
    WITH t AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM tenantry.tenant WHERE env = 'prod')
    INSERT INTO tenantry.member (env, tenant, user_id, role, version, created_at, created_by, updated_at, email, email_key)
    SELECT 'prod', t.id, lpad(to_hex(n), 32, '0')::uuid, CASE WHEN n = 1 THEN 'owner' ELSE 'member' END, 1, now(), 'bench', now(),
        'u' || n || '@example.com', 'u' || n || '@example.com'
    FROM t CROSS JOIN LATERAL (
        SELECT 1 AS n
        UNION SELECT g FROM generate_series(1, CASE WHEN t.place = 0 THEN $1::bigint ELSE 0 END) AS g
        UNION SELECT 1 + (t.place * 131 + g * 97) % $1::bigint FROM generate_series(1, $2::bigint) AS g
    ) AS people";

/// Runs it.
pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let bed = Bed::install(bench.host, "members", 10).await?;
    let count = bench.size.pick(10_000_usize, 10_000, 20);
    let each = bench.size.pick(100_i64, 100, 5);
    let crowd = crowd::make(&bed, "org", count, |_, _| {})?;
    crowd::register(&bed, bench.host, &crowd).await?;
    let pool = bench.host.pool(&bed.control, 1)?;
    let conn = pool.get().await?;
    let people = i64::try_from(count)?;
    conn.execute(USERS, &[&people]).await?;
    let memberships = conn.execute(MEMBERS, &[&people, &each]).await?;
    conn.execute("ANALYZE tenantry.member, tenantry.user_account", &[]).await?;
    let large: Uuid =
        conn.query_one("SELECT id FROM tenantry.tenant WHERE env = 'prod' ORDER BY id LIMIT 1", &[]).await?.get(0);
    conn.release();
    bench.note(format!("{count} organisations, {memberships} memberships, one organisation of {people}"));

    let owner = UserId::from_uuid(Uuid::from_u128(1));
    let of = |place: usize| TenantRef::Slug(crowd[place % crowd.len()].slug.clone());
    let large = TenantRef::Id(tenantry_domain::id::TenantId::from_uuid(large));
    let write = Permission::parse(Permission::WRITE)?;
    let times = bench.size.pick(5_000_usize, 2_000, 20);
    let size = PageSize::new(50)?;

    let mut asked = Samples::default();
    for step in 0..times {
        let checked = timed(&mut asked, async {
            Ok(members::check(&bed.cx(), &bed.deps, &of(step * 7919), owner, std::slice::from_ref(&write)).await?)
        });
        ensure!(checked.await?.missing.is_empty(), "the owner may write");
    }
    bench.say(Figure::latency("may a member do it", &asked).p99_at_most(20.0));

    let mut listed = Samples::default();
    for step in 0..times {
        let tenant = of(step * 7919);
        let page = timed(&mut listed, async {
            Ok(members::list(&bed.cx(), &bed.deps, &tenant, Some(owner), None, (size, None)).await?)
        });
        ensure!(!page.await?.items.is_empty(), "it has members");
    }
    bench.say(Figure::latency("authorise, list a page of any organisation", &listed).p99_at_most(20.0));

    let (mut paged, mut token) = (Samples::default(), None::<String>);
    for _ in 0..times {
        let page = timed(&mut paged, async {
            let page = (size, token.as_deref());
            Ok(members::list(&bed.cx(), &bed.deps, &large, Some(owner), None, page).await?)
        });
        token = page.await?.next;
    }
    bench.say(Figure::latency("the same, page by page through the largest", &paged).p99_at_most(20.0));

    let (mut mine, mut token) = (Samples::default(), None::<String>);
    for _ in 0..times {
        let page = timed(&mut mine, async {
            Ok(members::tenants_of(&bed.cx(), &bed.deps, owner, size, token.as_deref()).await?)
        });
        token = page.await.context("tenants of a user")?.next;
    }
    bench.say(Figure::latency("tenants of somebody who is in all", &mine).p99_at_most(20.0));
    Ok(())
}
