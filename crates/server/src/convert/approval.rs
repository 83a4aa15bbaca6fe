//! Approvals, and how policy stands.

use tenantry_api::v1::approval::{Approval, PolicyDifference, PolicyStatus};
use tenantry_control::governance::{self, approvals};

/// One approval.
#[must_use]
pub fn approval(view: approvals::Approval) -> Approval {
    Approval {
        id: view.id.to_string(),
        status: view.standing.as_str().to_owned(),
        action: view.action,
        tenant: view.tenant.map(|tenant| tenant.to_string()),
        tenant_version: view.tenant_version,
        holder: view.holder,
        given_by: view.given_by,
        person: view.person,
        reason: view.reason,
        given_at: view.given_at,
        expires_at: view.expires_at,
        used_at: view.used_at,
    }
}

/// How policy stands.
#[must_use]
pub fn policy(status: governance::Status) -> PolicyStatus {
    let (different, differences) = status.differences;
    let word = status.chosen.map(|choice| choice.word);
    let difference = |one: governance::Difference| PolicyDifference {
        action: one.action,
        principal: one.principal,
        was_allowed: one.active.allowed,
        active_rules: one.active.rules,
        shadow_rules: one.shadow.rules,
    };
    PolicyStatus {
        decider: status.decider.to_owned(),
        active: status.active,
        chosen_at: word.as_ref().map(|word| word.at),
        chosen_by: word.as_ref().map(|word| word.by.clone()),
        chosen_reason: word.and_then(|word| word.reason),
        shadow: status.shadow,
        rules: status.rules as u64,
        allowed: status.tally.allowed,
        refused: status.tally.refused,
        unavailable: status.tally.away,
        approved: status.tally.approved,
        shadow_different: different,
        differences: differences.into_iter().map(difference).collect(),
    }
}
