//! The conditions that a tenant's status shows, derived from where it is. A status that does not change keeps its
//! `since`.

use tenantry_domain::Timestamp;
use tenantry_domain::tenant::lifecycle::State;
use tenantry_store::{Condition, ConditionStatus, Finding, TenantRow};

fn condition(
    row: &TenantRow,
    kind: &str,
    holds: bool,
    reason: &str,
    message: Option<String>,
    now: Timestamp,
) -> Condition {
    let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
    let same = row.conditions.iter().find(|old| old.kind == kind && old.status == status);
    let since = same.map_or(now, |old| old.since);
    Condition { kind: kind.to_owned(), status, reason: reason.to_owned(), message, since }
}

/// After a run that reached its end.
pub(crate) fn reached(row: &TenantRow, state: &State, now: Timestamp) -> Vec<Condition> {
    let reason = match state {
        State::Draft => "Draft",
        State::Active { .. } => "Converged",
        State::Suspended { .. } => "Suspended",
        State::Archived { .. } => "Archived",
        State::Deleted { .. } => "Deleted",
    };
    let ready = condition(row, "Ready", matches!(state, State::Active { .. }), reason, None, now);
    if state.placement().is_none() {
        return vec![ready];
    }
    vec![ready, condition(row, "Drifted", false, "AsDeclared", None, now)]
}

/// After a run that could not reach its end: what was true stays, and why it is not more is added.
pub(crate) fn failing(row: &TenantRow, reason: &str, message: &str, now: Timestamp) -> Vec<Condition> {
    let mut conditions: Vec<Condition> =
        row.conditions.iter().filter(|old| old.kind != "Progressing").cloned().collect();
    let message = Some(message.chars().take(500).collect());
    conditions.push(condition(row, "Progressing", false, reason, message, now));
    conditions
}

/// After a drift check.
pub(crate) fn drifted(row: &TenantRow, findings: &[Finding], now: Timestamp) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = row.conditions.iter().filter(|old| old.kind != "Drifted").cloned().collect();
    let reason = if findings.is_empty() { "AsDeclared" } else { "Deviates" };
    let listed: Vec<String> =
        findings.iter().take(5).map(|finding| format!("{}: {}", finding.kind, finding.object)).collect();
    let message = (!listed.is_empty()).then(|| listed.join("; "));
    conditions.push(condition(row, "Drifted", !findings.is_empty(), reason, message, now));
    conditions
}
