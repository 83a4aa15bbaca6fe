//! Reports: what a tenant used, and how an environment's usage is spread.

use tenantry_domain::Timestamp;
use tenantry_domain::code::FieldError;
use tenantry_domain::name::MeterName;
use tenantry_domain::tenant::Slug;
use tenantry_domain::usage::{Field, MeterSpec, Window};
use tenantry_store::{UsageQuery, UsageRow, UsageShare};

use super::meter;
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};

/// What somebody wants to know of a meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Which.
    pub meter: MeterName,
    /// From when on; thirty days, or thirty windows, before the end unless given.
    pub from: Option<Timestamp>,
    /// Until when; now unless given.
    pub to: Option<Timestamp>,
    /// What the span is cut into.
    pub window: Window,
    /// Dimensions that figures are kept apart by.
    pub group: Vec<Field>,
}

/// What a tenant used. Beginning and end are those of windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose.
    pub tenant: Slug,
    /// What was asked, complete.
    pub query: UsageQuery,
    /// The meter.
    pub meter: MeterSpec,
    /// By time, then by dimensions.
    pub rows: Vec<UsageRow>,
    /// Whether there is more.
    pub is_cut: bool,
}

/// What tenants used. Beginning and end are those of windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranking {
    /// What was asked, complete.
    pub query: UsageQuery,
    /// The meter.
    pub meter: MeterSpec,
    /// Those with most first.
    pub shares: Vec<UsageShare>,
}

/// Most rows of one answer.
const MOST: i64 = 10_000;

/// Windows that are shown unless somebody says from when on.
const USUAL: i64 = 30;

/// What a tenant used of a meter, everything counted included that was answered before.
///
/// # Errors
/// There is no such tenant or meter, or the span is not one.
pub async fn report(cx: &Ctx, deps: &Deps, tenant: &TenantRef, asked: &Asked) -> Result<Report, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("usage.read", row.id)?;
    let (query, meter) = complete(cx, deps, asked, MOST + 1).await?;
    let mut rows = deps.store().read(&cx.environment).usage(row.id, &query).await.map_err(refuse_store)?;
    let is_cut = i64::try_from(rows.len()).is_ok_and(|count| count > MOST);
    rows.truncate(usize::try_from(MOST).unwrap_or(usize::MAX));
    Ok(Report { tenant: row.slug, query, meter, rows, is_cut })
}

/// What the tenants of the environment used of a meter, at most `limit` of them.
///
/// # Errors
/// There is no such meter, or the span is not one.
pub async fn ranking(cx: &Ctx, deps: &Deps, asked: &Asked, limit: u32) -> Result<Ranking, Refusal> {
    cx.permit_environment("usage.read")?;
    let (query, meter) = complete(cx, deps, asked, i64::from(limit)).await?;
    let shares = deps.store().read(&cx.environment).usage_shares(&query).await.map_err(refuse_store)?;
    Ok(Ranking { query, meter, shares })
}

async fn complete(cx: &Ctx, deps: &Deps, asked: &Asked, limit: i64) -> Result<(UsageQuery, MeterSpec), Refusal> {
    let meter = meter(cx, deps, &asked.meter).await?;
    let wrong = |field: &str, message: String| Refusal::Request(vec![FieldError::new(field, message)]);
    if let Some(unknown) = asked.group.iter().find(|field| !meter.dimensions.contains(field)) {
        return Err(wrong("groupBy", format!("`{unknown}` is not a dimension of the meter `{}`", asked.meter)));
    }
    let window = asked.window;
    let end = asked.to.unwrap_or(cx.now);
    // A time that begins a window ends the one before it.
    let to = if window.begin(end) == end { end } else { window.end(end) };
    let from = match asked.from {
        Some(from) => window.begin(from),
        None => (0..USUAL).fold(to, |at, _| window.begin(at.saturating_sub(SECOND).unwrap_or(at))),
    };
    if from >= to {
        return Err(wrong("from", "must be before `to`".to_owned()));
    }
    if to.duration_since(from) > window.most() {
        let days = window.most().as_hours() / 24;
        return Err(wrong("from", format!("is more than {days} days before `to`; ask for larger windows or less")));
    }
    let query = UsageQuery {
        meter: asked.meter.clone(),
        aggregation: meter.aggregation,
        from,
        to,
        window,
        group: asked.group.clone(),
        limit,
    };
    Ok((query, meter))
}

/// The last moment of the window before a beginning is in that window.
const SECOND: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);
