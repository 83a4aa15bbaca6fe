//! Taking events in: each is judged by itself, and those that are right are counted together, each once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::digest;
use jiff::tz::TimeZone;
use tenantry_api::parse::usage::{UsageEvent, UsageFault};
use tenantry_domain::Timestamp;
use tenantry_domain::code::Code;
use tenantry_domain::id::TenantId;
use tenantry_domain::name::MeterName;
use tenantry_domain::usage::{self, Measured, MeterSpec, TimeError};
use tenantry_store::{CatalogKind, NewUsage, UsageKey};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store};

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Events that were counted now.
    pub accepted: usize,
    /// Events that had been counted before, in another call or earlier in this one.
    pub duplicates: usize,
    /// Why the others were not counted, in their order.
    pub faults: Vec<UsageFault>,
}

/// The day for which this process has made sure that its events have a place; a number of days since 1970.
#[derive(Debug, Default)]
pub struct Days(AtomicI64);

/// Days behind today that are kept: the window of repetitions, and one for clocks that differ.
const BEHIND: i64 = 36;
/// Days ahead of today that are made.
const AHEAD: i64 = 2;

impl Days {
    /// Makes sure again at the next call.
    fn forget(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Makes the days of events around a moment, once a day and process.
    async fn keep(&self, deps: &Deps, now: Timestamp) -> Result<(), Refusal> {
        let today = now.as_second().div_euclid(86_400);
        if self.0.load(Ordering::Acquire) == today {
            return Ok(());
        }
        let day = |number: i64| {
            let at = Timestamp::from_second(number.saturating_mul(86_400)).unwrap_or(now);
            at.to_zoned(TimeZone::UTC).date().to_string()
        };
        deps.store().usage_days(&day(today - BEHIND), &day(today + AHEAD)).await.map_err(refuse_store)?;
        self.0.store(today, Ordering::Release);
        Ok(())
    }
}

/// Counts events. Those that are wrong are told, the others are counted in one commit, which is visible to reports when this
/// returns.
///
/// # Errors
/// The caller may send no usage, or our database does not answer: nothing is known to be counted then, and all of it is to be
/// sent again.
pub async fn ingest(cx: &Ctx, deps: &Deps, events: Vec<Result<UsageEvent, UsageFault>>) -> Result<Counted, Refusal> {
    cx.may("usage.write")?;
    let mut faults = Vec::new();
    let mut read = Vec::with_capacity(events.len());
    for event in events {
        match event {
            Ok(event) => read.push(event),
            Err(fault) => faults.push(fault),
        }
    }
    let meters = meters(cx, deps).await?;
    let subjects = Subjects::find(cx, deps, &read).await?;
    let mut wanted = Vec::with_capacity(read.len());
    for event in &read {
        match judge(cx, &meters, &subjects, event) {
            Ok(new) => wanted.push(new),
            Err(fault) => faults.push(*fault),
        }
    }
    faults.sort_by_key(|fault| fault.index);
    let fresh = if wanted.is_empty() {
        0
    } else {
        deps.usage_days().keep(deps, cx.now).await?;
        let counted = deps.store().count_usage(&cx.environment, &wanted, cx.now).await;
        // A database that was put back from a copy may lack days that this process has made.
        counted.inspect_err(|_| deps.usage_days().forget()).map_err(refuse_store)?.len()
    };
    Ok(Counted { accepted: fresh, duplicates: wanted.len().saturating_sub(fresh), faults })
}

async fn meters(cx: &Ctx, deps: &Deps) -> Result<BTreeMap<MeterName, MeterSpec>, Refusal> {
    let rows = deps.store().read(&cx.environment).catalog_list(CatalogKind::Meter).await.map_err(refuse_store)?;
    let read = |row: tenantry_store::CatalogRow| Some((row.name.parse().ok()?, serde_json::from_value(row.spec).ok()?));
    Ok(rows.into_iter().filter_map(read).collect())
}

/// The tenants that events name.
struct Subjects {
    by_slug: BTreeMap<String, TenantId>,
}

impl Subjects {
    async fn find(cx: &Ctx, deps: &Deps, events: &[UsageEvent]) -> Result<Self, Refusal> {
        let mut texts: Vec<&str> = events.iter().map(|event| event.subject.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        let mut ids = Vec::new();
        let mut slugs = Vec::new();
        for text in texts {
            match text.parse::<TenantRef>() {
                Ok(TenantRef::Id(id)) => ids.push(id),
                Ok(TenantRef::Slug(_)) => slugs.push(text),
                Err(_) => {}
            }
        }
        let found = deps.store().read(&cx.environment).usage_subjects(&ids, &slugs).await.map_err(refuse_store)?;
        // By both names, for one event may say the one and the next one the other.
        let by_slug = found
            .into_iter()
            .filter(|(id, _)| cx.permit("usage.write", *id).is_ok())
            .flat_map(|(id, slug)| [(slug.to_string(), id), (id.to_string(), id)])
            .collect();
        Ok(Self { by_slug })
    }
}

fn judge(
    cx: &Ctx,
    meters: &BTreeMap<MeterName, MeterSpec>,
    subjects: &Subjects,
    event: &UsageEvent,
) -> Result<NewUsage, Box<UsageFault>> {
    let fault = |code, field: String, message: String| {
        Box::new(UsageFault { index: event.index, id: Some(event.id.clone()), code, field, message })
    };
    if let Err(error) = usage::check_time(event.at, cx.now) {
        let code = match error {
            TimeError::Late | TimeError::Early => Code::UsageTime,
        };
        return Err(fault(code, "time".to_owned(), error.to_string()));
    }
    let meter = meters.get(&event.meter).ok_or_else(|| {
        let message = format!("`{}` is not a meter of this environment", event.meter);
        fault(Code::MeterNotFound, "type".to_owned(), message)
    })?;
    // One that the caller may not count for is told in the words of one that is not there.
    let tenant = subjects.by_slug.get(&event.subject).ok_or_else(|| {
        let message = "names no tenant of this environment".to_owned();
        fault(Code::TenantNotFound, "subject".to_owned(), message)
    })?;
    let Measured { amount, member, dimensions } = meter
        .measure(&event.data)
        .map_err(|error| fault(Code::UsageEvent, format!("data.{}", error.field()), error.to_string()))?;
    Ok(NewUsage {
        // The tenant is part of it: who may count for one can take no event of another one away.
        key: key(&[&tenant.to_string(), &event.source, &event.id]),
        at: event.at,
        tenant: *tenant,
        meter: event.meter.clone(),
        aggregation: meter.aggregation,
        amount,
        dimensions,
        member: member.map(|member| key(&[&member])),
    })
}

/// A digest of texts, with their lengths, so that no two lists of texts are one.
fn key(texts: &[&str]) -> UsageKey {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in texts {
        context.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(text.as_bytes());
    }
    let mut key = UsageKey::default();
    for (place, byte) in key.iter_mut().zip(context.finish().as_ref()) {
        *place = *byte;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_text_ends_is_part_of_the_key() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["ab", "c"]), key(&["ab", "c"]));
    }
}
