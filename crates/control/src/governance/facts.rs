//! What rules are told: tenants, callers and wishes in the words of the manifest.

use std::collections::BTreeSet;

use tenantry_domain::Timestamp;
use tenantry_domain::cell::{CellSpec, Encryption};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::policy::ActorKind;
use tenantry_domain::tenant::Spec;
use tenantry_policy::{Circumstances, Principal, PrincipalKind, Question, Resource, TenantFacts, Wanted};
use tenantry_store::TenantRow;

use crate::ctx::Ctx;

/// A label that stands for a legal hold, with the value `true`.
const LEGAL_HOLD: &str = "legal-hold";
/// A label that names the hardening profile.
const PROFILE: &str = "profile";

/// What is known of a wish beside who, what and which.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    /// Why.
    pub(crate) reason: Option<String>,
    /// Regions that data would lie in or go to.
    pub(crate) regions: BTreeSet<String>,
    /// How it would be encrypted there.
    pub(crate) encryption: Option<Encryption>,
    /// For how many days it would be kept.
    pub(crate) retention_days: Option<i64>,
    /// What of the tenant would be different.
    pub(crate) wanted: Wanted,
    /// The level that it would have, where it has no place yet.
    pub(crate) level: Option<Isolation>,
}

impl About {
    /// A place that data would lie in.
    pub(crate) fn at(mut self, cell: &CellSpec) -> Self {
        self.regions.insert(cell.region.to_string());
        self.encryption = cell.encryption;
        self
    }

    /// The level that the tenant would have.
    pub(crate) const fn level(mut self, level: Isolation) -> Self {
        self.level = Some(level);
        self
    }

    /// A change of a tenant's desired state.
    pub(crate) fn change(old: &Spec, new: &Spec, now: Timestamp) -> Self {
        let regions = |spec: &Spec| spec.residency.allowed_regions.iter().map(ToString::to_string).collect();
        let changed = |is: bool, text: String| is.then_some(text);
        let level = |spec: &Spec| spec.overrides.isolation.as_ref().map(|level| level.value.to_string());
        let wanted = Wanted {
            plan: changed(old.plan != new.plan, new.plan.to_string()),
            phase: changed(old.state != new.state, word(&new.state)),
            profile: new.labels.get(PROFILE).filter(|profile| old.labels.get(PROFILE) != Some(profile)).cloned(),
            isolation: level(new).filter(|_| level(old) != level(new)),
            allowed_regions: (old.residency.allowed_regions != new.residency.allowed_regions).then(|| regions(new)),
        };
        // What was said before is no reason of today's.
        let deletion = new.deletion.as_ref().filter(|_| old.deletion != new.deletion);
        let suspension = new.suspension.as_ref().filter(|_| old.suspension != new.suspension);
        let reason = match (deletion, suspension) {
            (Some(deletion), _) => Some(deletion.reason.clone()),
            (None, Some(suspension)) => suspension.note.clone().or_else(|| Some(word(&suspension.reason))),
            (None, None) => None,
        };
        let kept = deletion.map(|deletion| deletion.not_before.duration_since(now).as_hours() / 24);
        Self { reason, wanted, retention_days: kept, ..Self::default() }
    }
}

/// A value's word, as manifests write it.
fn word<T: serde::Serialize>(value: &T) -> String {
    let text = serde_json::to_value(value).ok();
    text.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

/// What rules know of a tenant.
pub(super) fn tenant(row: &TenantRow, level: Option<Isolation>) -> TenantFacts {
    let spec = &row.spec;
    let place = row.placement.as_ref();
    let isolation = place.map(|place| place.isolation).or(level).map(|level| level.to_string());
    TenantFacts {
        id: row.id.to_string(),
        slug: row.slug.to_string(),
        environment: row.environment.to_string(),
        plan: spec.plan.to_string(),
        phase: word(&row.state.phase()),
        isolation: isolation.unwrap_or_default(),
        region: place.map(|place| place.region.to_string()),
        allowed_regions: spec.residency.allowed_regions.iter().map(ToString::to_string).collect(),
        residency_flags: spec.residency.flags.iter().cloned().collect(),
        labels: spec.labels.clone(),
        commercial: Some(word(&spec.commercial.status)),
        importance: Some(word(&spec.business.importance)),
        profile: spec.labels.get(PROFILE).cloned(),
        regulated: spec.business.regulated,
        synthetic: spec.business.synthetic,
        legal_hold: spec.labels.get(LEGAL_HOLD).is_some_and(|value| value == "true"),
    }
}

pub(super) fn question(cx: &Ctx, action: &str, resource: Resource, about: About) -> Question {
    let kind = match cx.actor.kind {
        ActorKind::Operator => PrincipalKind::Operator,
        ActorKind::Controller => PrincipalKind::Controller,
        ActorKind::User => PrincipalKind::User,
        ActorKind::Service | ActorKind::Anonymous => PrincipalKind::Service,
    };
    let roles = cx.rights.roles.iter().map(|role| role.as_str().to_owned()).collect();
    let principal = Principal { kind, id: cx.actor.id.clone(), roles, environment: None };
    ask(principal, action, resource, about, cx.now)
}

pub(super) fn question_of_ours(action: &str, resource: Resource, about: About, now: Timestamp) -> Question {
    let id = "executor".to_owned();
    let principal = Principal { kind: PrincipalKind::Controller, id, roles: BTreeSet::new(), environment: None };
    ask(principal, action, resource, about, now)
}

fn ask(principal: Principal, action: &str, resource: Resource, about: About, now: Timestamp) -> Question {
    let context = Circumstances {
        // Whoever comes here has a permit.
        granted: true,
        now,
        reason: about.reason,
        approvals: BTreeSet::new(),
        regions: about.regions,
        encryption: about.encryption.map(|kind| kind.as_str().to_owned()),
        retention_days: about.retention_days,
        wanted: about.wanted,
    };
    Question { principal, action: action.to_owned(), resource, context }
}
