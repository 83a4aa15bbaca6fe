//! Tenants in manifest shape.

use serde_json::{Value, json};
use tenantry_api::v1::tenant::{Condition, Deletion, Tenant, TenantSpec, TenantStatus};
use tenantry_api::v1::{API_VERSION, Metadata};
use tenantry_control::view;
use tenantry_domain::tenant::Spec;
use tenantry_domain::tenant::lifecycle::{Phase, State};

use super::failure;
use super::placement::place;

/// A tenant with its status.
#[must_use]
pub fn tenant(view: &view::Tenant) -> Tenant {
    let (since, purge_after) = match &view.state {
        State::Draft => (None, None),
        State::Active { since, .. } | State::Suspended { since, .. } => (Some(*since), None),
        State::Archived { at, purge_after, .. } => (Some(*at), Some(*purge_after)),
        State::Deleted { at } => (Some(*at), None),
    };
    let deletion = view.spec.deletion.as_ref();
    Tenant {
        api_version: API_VERSION.to_owned(),
        kind: "Tenant".to_owned(),
        metadata: Metadata {
            name: view.slug.to_string(),
            environment: Some(view.environment.to_string()),
            labels: view.spec.labels.clone(),
        },
        spec: TenantSpec::from(&view.spec),
        status: TenantStatus {
            id: view.id.to_string(),
            version: view.version,
            observed_version: view.observed_version,
            state: view.state.phase().to_string(),
            requested_state: view.requested.to_string(),
            placement: view.state.placement().map(place),
            since,
            purge_after,
            deletion: deletion.map(|wanted| Deletion { reason: wanted.reason.clone(), not_before: wanted.not_before }),
            conditions: view.conditions.iter().map(condition).collect(),
            failure: view.failure.as_ref().map(failure),
            created_at: view.created_at,
            updated_at: view.updated_at,
            created_by: Some(view.created_by.clone()).filter(|by| !by.is_empty()),
        },
    }
}

fn condition(condition: &view::Condition) -> Condition {
    Condition {
        kind: condition.kind.clone(),
        status: condition.status.to_string(),
        reason: condition.reason.clone(),
        message: condition.message.clone().unwrap_or_default(),
        since: condition.since,
    }
}

/// The manifest that a patch is merged into: labels and spec, in the shape that people see. A tenant that waits for
/// its deletion is shown as active here, since no manifest may ask for a deletion; the use case keeps the deletion.
#[must_use]
pub fn patchable(spec: &Spec) -> Value {
    let mut shown = TenantSpec::from(spec);
    if spec.state == Phase::Deleted {
        shown.state = Phase::Active.to_string();
    }
    json!({ "metadata": { "labels": spec.labels }, "spec": shown })
}
