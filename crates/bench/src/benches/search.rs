//! Lists over a registry of a hundred thousand tenants: each filter, first page and far in.
//!
//! Measured through the use case, as every list of the API goes. Each filter is asked with many values in turn, so
//! that a figure is not one lucky page; deep pages are reached as callers reach them, token by token.

use anyhow::{Context as _, Result, ensure};
use tenantry_control::{Label, TenantFilter, tenants};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::page::PageSize;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::profile::Business;

use super::Bench;
use crate::bed::{Bed, plan_of};
use crate::crowd;
use crate::measure::{Samples, timed};
use crate::report::Figure;

const FIRST: [&str; 24] = [
    "amber", "arctic", "birch", "bright", "cedar", "clear", "copper", "crimson", "distant", "eager", "golden", "grand",
    "hollow", "ivory", "jade", "lunar", "maple", "northern", "olive", "prime", "quiet", "rapid", "silver", "velvet",
];
const SECOND: [&str; 20] = [
    "river",
    "harbor",
    "works",
    "systems",
    "labs",
    "foods",
    "motors",
    "energy",
    "press",
    "studio",
    "garden",
    "bridge",
    "field",
    "tower",
    "market",
    "trade",
    "clinic",
    "school",
    "bakery",
    "logistics",
];
const SEGMENTS: usize = 100;
const TIERS: [&str; 3] = ["gold", "silver", "bronze"];

/// A filter with its name; the number varies the values.
struct Query {
    name: &'static str,
    filter: fn(usize, usize) -> TenantFilter,
    /// Whether it has enough matches for a page far in.
    deep: bool,
}

const QUERIES: &[Query] = &[
    Query { name: "no filter", filter: |_, _| TenantFilter::default(), deep: true },
    Query {
        name: "plan and state, most tenants",
        filter: |_, _| planned(Isolation::Shared, Phase::Active),
        deep: true,
    },
    Query {
        name: "plan and state, few tenants",
        filter: |_, _| planned(Isolation::Database, Phase::Archived),
        deep: false,
    },
    Query { name: "label, 1 in 100", filter: |i, _| labelled("segment", segment(i)), deep: true },
    Query { name: "label 1 in 3 and plan 1 in 11", filter: |i, _| tiered(i), deep: true },
    Query { name: "label that 10 have", filter: |_, _| labelled("pilot", "yes".to_owned()), deep: false },
    Query { name: "external id", filter: |i, all| external(i * 7_919 % all), deep: false },
    Query { name: "q: whole slug", filter: |i, all| asked(slug(i * 7_919 % all)), deep: false },
    Query {
        name: "q: slug prefix",
        filter: |i, _| asked(format!("{}-{}", FIRST[i % 24], &SECOND[i % 20][..3])),
        deep: true,
    },
    Query { name: "q: one word", filter: |i, _| asked(SECOND[i % 20].to_owned()), deep: true },
    Query { name: "q: one letter, many tenants", filter: |i, _| asked(FIRST[i % 24][..1].to_owned()), deep: true },
    Query { name: "q: two words and state", filter: |i, _| suspended(i), deep: false },
    Query { name: "q: nobody", filter: |i, _| asked(format!("zebra{i}")), deep: false },
];

fn planned(level: Isolation, phase: Phase) -> TenantFilter {
    TenantFilter { plan: Some(plan_of(level)), phase: Some(phase), ..TenantFilter::default() }
}

fn labelled(key: &str, value: String) -> TenantFilter {
    TenantFilter { labels: vec![Label { key: key.to_owned(), value: Some(value) }], ..TenantFilter::default() }
}

fn tiered(number: usize) -> TenantFilter {
    TenantFilter { plan: Some(plan_of(Isolation::Schema)), ..labelled("tier", TIERS[number % 3].to_owned()) }
}

fn external(number: usize) -> TenantFilter {
    TenantFilter { external_id: Some(("crm".to_owned(), format!("crm-{number}"))), ..TenantFilter::default() }
}

fn asked(q: String) -> TenantFilter {
    TenantFilter { q: Some(q), ..TenantFilter::default() }
}

fn suspended(number: usize) -> TenantFilter {
    let q = format!("{} {}", FIRST[number % 24], SECOND[number * 3 % 20]);
    TenantFilter { phase: Some(Phase::Suspended), ..asked(q) }
}

fn segment(number: usize) -> String {
    format!("s{:02}", number % SEGMENTS)
}

fn slug(number: usize) -> String {
    // 480 pairs, then the number: every pair of words has about as many tenants.
    format!("{}-{}-{number:06}x", FIRST[number % 24], SECOND[number / 24 % 20])
}

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let bed = Bed::install(bench.host, "search", 10).await?;
    let count = bench.size.pick(100_000, 20_000, 2_000);
    scenery(bench, &bed, count).await?;
    let times = bench.size.pick(300, 60, 2);
    let mut worst = 0.0_f64;
    for query in QUERIES {
        let mut first = Samples::default();
        for turn in 0..times {
            let filter = (query.filter)(turn, count);
            timed(&mut first, page(&bed, &filter, PageSize::default(), None)).await?;
        }
        worst = worst.max(first.at(0.99));
        bench.say(Figure::latency(query.name, &first).p99_at_most(20.0));
        if query.deep {
            let deep = deep(&bed, query, times, count).await?;
            if deep.len() > 0 {
                worst = worst.max(deep.at(0.99));
                bench.say(Figure::latency(format!("{}, far in", query.name), &deep).p99_at_most(20.0));
            }
        }
    }
    bench.say(plain(bench, &bed, times).await?);
    bench.say(Figure::rounds(format!("worst p99 of all, {count} tenants"), "ms", &[worst]).at_most(20.0));
    Ok(())
}

async fn scenery(bench: &Bench<'_>, bed: &Bed, count: usize) -> Result<()> {
    let mut members = crowd::make(bed, "plain", count, |number, spec| {
        spec.display_name = slug(number).replace('-', " ");
        spec.business = Business { arr: Some(1_000 + number as u64), ..Business::default() };
        spec.plan = plan_of(match number % 100 {
            0 => Isolation::Database,
            1..10 => Isolation::Schema,
            _ => Isolation::Shared,
        });
        // Not in step with the plans.
        spec.state = match number / 100 % 50 {
            0 => Phase::Archived,
            1..6 => Phase::Suspended,
            _ => Phase::Active,
        };
        spec.labels.insert("segment".to_owned(), segment(number / 3));
        spec.labels.insert("tier".to_owned(), TIERS[number % 3].to_owned());
        if number % (count / 10).max(1) == 7 {
            spec.labels.insert("pilot".to_owned(), "yes".to_owned());
        }
        spec.external_ids.insert("crm".to_owned(), format!("crm-{number}"));
    })?;
    for (number, member) in members.iter_mut().enumerate() {
        member.slug = slug(number).parse()?;
    }
    crowd::register(bed, bench.host, &members).await
}

/// A page, with how many were on it.
async fn page(
    bed: &Bed,
    filter: &TenantFilter,
    size: PageSize,
    token: Option<&str>,
) -> Result<(usize, Option<String>)> {
    let page = tenants::list(&bed.cx(), &bed.deps, filter, size, token).await?;
    Ok((page.items.len(), page.next))
}

/// Pages behind nine tenths of the matches, for a few values of the filter.
async fn deep(bed: &Bed, query: &Query, times: usize, count: usize) -> Result<Samples> {
    const VALUES: usize = 5;
    let mut samples = Samples::default();
    for value in 0..VALUES.min(times) {
        let filter = (query.filter)(value, count);
        let mut tokens = Vec::new();
        let mut token = None;
        loop {
            let (_, next) = page(bed, &filter, PageSize::new(PageSize::MAX)?, token.as_deref()).await?;
            let Some(next) = next else { break };
            tokens.push(next.clone());
            token = Some(next);
        }
        // A filter with less than a page of matches has no second one.
        let Some(far) = tokens.get(tokens.len() * 9 / 10) else { continue };
        for _ in 0..(times / VALUES).max(1) {
            let (found, _) = timed(&mut samples, page(bed, &filter, PageSize::default(), Some(far))).await?;
            ensure!(found > 0, "nothing behind the token");
        }
    }
    Ok(samples)
}

/// The same page by hand, without reading more of the rows than their columns.
async fn plain(bench: &Bench<'_>, bed: &Bed, times: usize) -> Result<Figure> {
    let pool = bed.control(bench.host, 1)?;
    let conn = pool.get().await.context("a connection of our own")?;
    let sql = "
        SELECT id, slug, version, spec, state, conditions, created_at, updated_at FROM tenantry.tenant
         WHERE env = $1 AND plan = $2 AND phase = $3 ORDER BY id LIMIT 51";
    let mut samples = Samples::default();
    for _ in 0..times {
        timed(&mut samples, async { Ok(conn.query(sql, &[&"prod", &"shared", &"active"]).await?) }).await?;
    }
    conn.release();
    Ok(Figure::latency("for comparison: plan and state by hand", &samples))
}
