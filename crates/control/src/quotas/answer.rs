//! How a tenant's quotas are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenantry_domain::Timestamp;
use tenantry_domain::id::ReservationId;
use tenantry_domain::limit::{Bound, Counted, Mode, QuotaName};
use tenantry_domain::plan::entitlement::{Derived, Entitlements, Origin};
use tenantry_store::QuotaRow;

/// How use stands to the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Below the warning mark, or nothing is limited.
    Within,
    /// At or above the warning mark.
    Warning,
    /// Above the limit.
    Exceeded,
}

/// A quota of a tenant, and what is used of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Its name.
    pub name: QuotaName,
    /// What holds.
    pub bound: Bound,
    /// Why; absent for a quota that the plan does not name.
    pub origin: Option<Origin>,
    /// When an override ends.
    pub until: Option<Timestamp>,
    /// What is used; of the current period, for a limit with one.
    pub used: u64,
    /// What is set aside.
    pub reserved: u64,
    /// When the period ends.
    pub renews_at: Option<Timestamp>,
    /// How use stands.
    pub standing: Standing,
}

/// A part of a quota that is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Its id.
    pub id: ReservationId,
    /// How much.
    pub amount: u64,
    /// When it is free again by itself.
    pub expires_at: Timestamp,
    /// The quota with it.
    pub quota: Quota,
}

impl Quota {
    pub(super) fn of(name: &QuotaName, derived: &Derived<Bound>, used: u64, reserved: u64, now: Timestamp) -> Self {
        let bound = derived.value;
        let total = used.saturating_add(reserved);
        let standing = match bound.limit.amount {
            Some(limit) if total > limit => Standing::Exceeded,
            Some(limit) if total >= bound.warn_at.of(limit).max(1) => Standing::Warning,
            _ => Standing::Within,
        };
        Self {
            name: name.clone(),
            bound,
            origin: Some(derived.origin),
            until: derived.until,
            used,
            reserved,
            renews_at: bound.renews_in(now).and_then(|left| now.checked_add(left).ok()),
            standing,
        }
    }

    /// How much more there may be; absent where nothing is refused.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        Some(self.bound.most()?.saturating_sub(self.used).saturating_sub(self.reserved))
    }
}

/// What holds of a quota that the plan does not name.
pub(super) const fn observed() -> Derived<Bound> {
    Derived { value: Bound::OBSERVED, origin: Origin::Plan, until: None }
}

/// Puts what there is in place of the counters: an invitation or a token whose time is over counts no more, though nobody
/// has changed anything since.
pub(super) fn live(
    used: &mut Vec<QuotaRow>,
    entitlements: &Entitlements,
    counts: &BTreeMap<Counted, u64>,
    now: Timestamp,
) {
    for (kind, count) in counts {
        let (name, bound) = (kind.quota(), super::bound_of(entitlements, kind.as_str()));
        let row = used.iter_mut().find(|row| row.name == name);
        match row {
            _ if bound.mode == Mode::Off => {}
            Some(row) => row.used = *count,
            None if *count == 0 => {}
            None => used.push(QuotaRow { name, used: *count, reserved: 0, since: bound.since(now), updated_at: now }),
        }
    }
}

/// Everything that the plan names or that is counted, by name.
pub(super) fn all(entitlements: &Entitlements, used: Vec<QuotaRow>, now: Timestamp) -> Vec<Quota> {
    let mut rows: BTreeMap<_, _> = used.into_iter().map(|row| (row.name.clone(), row)).collect();
    let mut found: Vec<Quota> = Vec::with_capacity(entitlements.quotas.len() + rows.len());
    for (name, derived) in &entitlements.quotas {
        let Ok(name) = QuotaName::parse(name) else { continue };
        let row = rows.remove(&name);
        // What was used in a period that has ended is shown no more, though nobody has counted since.
        let is_current = |row: &QuotaRow| row.since >= derived.value.since(now);
        let used = row.as_ref().filter(|row| is_current(row)).map_or(0, |row| row.used);
        let reserved = row.as_ref().map_or(0, |row| row.reserved);
        found.push(Quota::of(&name, derived, used, reserved, now));
    }
    found.extend(rows.into_values().map(|row| {
        let quota = Quota::of(&row.name, &observed(), row.used, row.reserved, now);
        Quota { origin: None, ..quota }
    }));
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
