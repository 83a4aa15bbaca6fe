//! A tenant in the shape of its manifest, and the requests about one.
//!
//! Long because a tenant is the widest record of the product and is described field by field.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tenantry_domain::quantity::Quantity;
use tenantry_domain::tenant::contact::Contact as DomainContact;
use tenantry_domain::tenant::spec::{Override as DomainOverride, Spec};
use utoipa::ToSchema;

use super::{Metadata, words};

/// A tenant: what is wanted (`spec`) and what is (`status`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// `tenantry.dev/v1`.
    #[schema(example = "tenantry.dev/v1")]
    pub api_version: String,
    /// `Tenant`.
    #[schema(example = "Tenant")]
    pub kind: String,
    /// Name, environment, labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: TenantSpec,
    /// What is; written by controllers only.
    pub status: TenantStatus,
}

/// A tenant's manifest, as it is sent. `apiVersion` and `kind` may be left out, since the route says them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "metadata": {"name": "acme", "labels": {"segment": "smb"}},
    "spec": {
        "displayName": "Acme GmbH", "app": "chat", "plan": "standard", "state": "active",
        "residency": {"allowedRegions": ["eu-west"], "preferredRegion": "eu-west"},
        "contacts": {"billing": [{"name": "Finance", "email": "fin@acme.example"}]},
        "externalIds": {"stripe": "cus_123"}
    }
}))]
pub struct TenantManifest {
    /// `tenantry.dev/v1`.
    #[serde(default = "super::api_version")]
    #[schema(example = "tenantry.dev/v1")]
    pub api_version: String,
    /// `Tenant`.
    #[serde(default = "kind")]
    #[schema(example = "Tenant")]
    pub kind: String,
    /// Name, environment, labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: TenantSpec,
    /// Ignored, so that what was read can be sent back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    pub status: Option<Map<String, Value>>,
}

fn kind() -> String {
    "Tenant".to_owned()
}

/// A JSON merge patch (RFC 7396) on `metadata.labels` and `spec`: members replace, `null` removes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"spec": {"plan": "enterprise"}}))]
pub struct TenantPatch {
    /// `labels` may be patched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub metadata: Option<MetadataPatch>,
    /// Any part of the spec.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub spec: Map<String, Value>,
}

/// The part of the metadata that may be patched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetadataPatch {
    /// Labels to set; `null` removes one.
    #[serde(default)]
    pub labels: BTreeMap<String, Option<String>>,
}

/// What is wanted of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantSpec {
    /// Name for people.
    #[schema(min_length = 1, max_length = 255, example = "Acme GmbH")]
    pub display_name: String,
    /// The app that serves the tenant.
    #[schema(max_length = 32, example = "chat")]
    pub app: String,
    /// The plan that it is bound to.
    #[schema(max_length = 50, example = "standard")]
    pub plan: String,
    /// Where the lifecycle shall be. In answers also `deleted`, while a deletion is wanted.
    #[schema(schema_with = words::state)]
    pub state: String,
    /// Why; required exactly when the state is `suspended`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub suspension: Option<Suspension>,
    /// Where the data may live.
    pub residency: Residency,
    /// Whom to reach.
    #[serde(default)]
    pub contacts: Contacts,
    /// Ids in other systems, system → id; a pair belongs to one tenant of the environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"stripe": "cus_123"}))]
    pub external_ids: BTreeMap<String, String>,
    /// Ids of an adopted system; the tenant is found by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20)]
    pub aliases: Vec<String>,
    /// Hosts of the tenant's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20, example = json!(["chat.acme.example"]))]
    pub domains: Vec<String>,
    /// Values of the app's own: stored, returned, never interpreted. At most 64 KiB and 16 levels.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
    /// Trial, paying, past due.
    #[serde(default)]
    pub commercial: Commercial,
    /// Size, revenue, importance.
    #[serde(default)]
    pub business: Business,
    /// Deviations from the plan.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

/// Why a tenant is suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Suspension {
    /// The recorded cause.
    #[schema(schema_with = words::suspension_reason)]
    pub reason: String,
    /// Free text for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 1000)]
    pub note: Option<String>,
}

/// Where the data may live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Residency {
    /// The only regions that may hold data of the tenant.
    #[schema(min_items = 1, max_items = 50, example = json!(["eu-west"]))]
    pub allowed_regions: Vec<String>,
    /// The first choice; one of the allowed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "eu-west")]
    pub preferred_region: Option<String>,
    /// Further duties by name, for policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20)]
    pub flags: Vec<String>,
}

/// People by role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Contacts {
    /// Operates the product on the tenant's side.
    #[schema(max_items = 20)]
    pub technical: Vec<Contact>,
    /// Pays.
    #[schema(max_items = 20)]
    pub billing: Vec<Contact>,
    /// Is called when data or service is in danger.
    #[schema(max_items = 20)]
    pub incident: Vec<Contact>,
}

/// One person or mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// How to address them.
    #[schema(min_length = 1, max_length = 255, example = "Finance")]
    pub name: String,
    /// Where to reach them.
    #[schema(max_length = 255, example = "fin@acme.example")]
    pub email: String,
    /// When somebody last confirmed the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::time)]
    pub confirmed_at: Option<String>,
}

/// Commercial standing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Commercial {
    /// Trial, paying, past due.
    #[schema(schema_with = words::commercial_status)]
    pub status: String,
    /// When the trial ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::time)]
    pub trial_ends: Option<String>,
    /// When the subscription ends; left out when it renews by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::time)]
    pub subscription_ends: Option<String>,
}

impl Default for Commercial {
    fn default() -> Self {
        Self { status: "paying".to_owned(), trial_ends: None, subscription_ends: None }
    }
}

/// What rules ask about a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Business {
    /// Weight in a cell.
    #[schema(schema_with = words::size)]
    pub size: String,
    /// Yearly recurring revenue in whole units of the installation's currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub arr: Option<u64>,
    /// Stands under a supervisory regime.
    pub regulated: bool,
    /// Load comes in bursts.
    pub spiky: bool,
    /// Weight in alerting.
    #[schema(schema_with = words::importance)]
    pub importance: String,
    /// Made for tests; deletable without a removal request.
    pub synthetic: bool,
}

impl Default for Business {
    fn default() -> Self {
        Self {
            size: "small".to_owned(),
            arr: None,
            regulated: false,
            spiky: false,
            importance: "normal".to_owned(),
            synthetic: false,
        }
    }
}

/// A deviation from the plan, with its reason and end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// What holds instead of the plan's value: an amount, a rate, a level, or a feature's value.
    #[schema(example = 150)]
    pub value: Value,
    /// Who wanted it and why.
    #[schema(min_length = 1, max_length = 500, example = "pilot in the Rotterdam office")]
    pub reason: String,
    /// When the plan's value comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::time)]
    pub until: Option<String>,
}

/// All deviations from the plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Overrides {
    /// By quota name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub quotas: BTreeMap<String, Override>,
    /// By limit name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rate_limits: BTreeMap<String, Override>,
    /// By feature name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<String, Override>,
    /// Another level than the plan's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub isolation: Option<Override>,
}

impl Overrides {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.quotas.is_empty() && self.rate_limits.is_empty() && self.features.is_empty() && self.isolation.is_none()
    }
}

/// What is true of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Typed, time-ordered, never changes.
    #[schema(example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// The newest version of the manifest.
    #[schema(example = 7)]
    pub version: i64,
    /// The newest version that is in effect; 0 before the first.
    #[schema(example = 7)]
    pub observed_version: i64,
    /// Where the lifecycle is.
    #[schema(schema_with = words::state)]
    pub state: String,
    /// Where it shall be; `deleted` while a deletion is wanted.
    #[schema(schema_with = words::state)]
    pub requested_state: String,
    /// Where the tenant is; left out while it has no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub placement: Option<super::placement::Placement>,
    /// Since when the tenant is in its state; left out for drafts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// From when on the data of an archived tenant may be erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub purge_after: Option<Timestamp>,
    /// A wanted deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub deletion: Option<Deletion>,
    /// What controllers say about the tenant.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Why the newest version is not in effect; left out when nothing failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub failure: Option<Failure>,
    /// When the record was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the record last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Who made the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub created_by: Option<String>,
}

/// A deletion that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// The removal request.
    pub reason: String,
    /// Nothing is erased before; until then it can be taken back.
    #[schema(value_type = String, format = DateTime)]
    pub not_before: Timestamp,
}

/// One statement of a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    #[schema(example = "Ready")]
    pub kind: String,
    /// Whether it holds.
    #[schema(schema_with = words::truth)]
    pub status: String,
    /// One word for machines.
    #[schema(example = "Converged")]
    pub reason: String,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// A stable word or code, for machines.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether another attempt may fare better.
    pub retryable: bool,
}

/// The body of the rollback verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollback {
    /// The version whose content becomes the newest version.
    #[schema(minimum = 1, example = 3)]
    pub to: i64,
}

impl From<&Spec> for TenantSpec {
    fn from(spec: &Spec) -> Self {
        let time = |time: &Timestamp| time.to_string();
        Self {
            display_name: spec.display_name.clone(),
            app: spec.app.to_string(),
            plan: spec.plan.to_string(),
            state: spec.state.to_string(),
            suspension: spec
                .suspension
                .as_ref()
                .map(|suspension| Suspension { reason: text(&suspension.reason), note: suspension.note.clone() }),
            residency: Residency {
                allowed_regions: spec.residency.allowed_regions.iter().map(ToString::to_string).collect(),
                preferred_region: spec.residency.preferred_region.as_ref().map(ToString::to_string),
                flags: spec.residency.flags.clone(),
            },
            contacts: Contacts {
                technical: spec.contacts.technical.iter().map(Contact::from).collect(),
                billing: spec.contacts.billing.iter().map(Contact::from).collect(),
                incident: spec.contacts.incident.iter().map(Contact::from).collect(),
            },
            external_ids: spec.external_ids.clone(),
            aliases: spec.aliases.clone(),
            domains: spec.domains.clone(),
            settings: spec.settings.clone(),
            commercial: Commercial {
                status: text(&spec.commercial.status),
                trial_ends: spec.commercial.trial_ends.as_ref().map(time),
                subscription_ends: spec.commercial.subscription_ends.as_ref().map(time),
            },
            business: Business {
                size: text(&spec.business.size),
                arr: spec.business.arr,
                regulated: spec.business.regulated,
                spiky: spec.business.spiky,
                importance: text(&spec.business.importance),
                synthetic: spec.business.synthetic,
            },
            overrides: Overrides {
                quotas: deviations(&spec.overrides.quotas, amount),
                rate_limits: deviations(&spec.overrides.rate_limits, amount),
                features: deviations(&spec.overrides.features, Value::clone),
                isolation: spec.overrides.isolation.as_ref().map(|held| deviation(held, |level| level.as_str().into())),
            },
        }
    }
}

impl From<&DomainContact> for Contact {
    fn from(contact: &DomainContact) -> Self {
        Self {
            name: contact.name.clone(),
            email: contact.email.as_str().to_owned(),
            confirmed_at: contact.confirmed_at.map(|at| at.to_string()),
        }
    }
}

fn deviations<T>(held: &BTreeMap<String, DomainOverride<T>>, show: impl Fn(&T) -> Value) -> BTreeMap<String, Override> {
    held.iter().map(|(name, held)| (name.clone(), deviation(held, &show))).collect()
}

fn deviation<T>(held: &DomainOverride<T>, show: impl Fn(&T) -> Value) -> Override {
    Override { value: show(&held.value), reason: held.reason.clone(), until: held.until.map(|until| until.to_string()) }
}

/// An amount as people write it: a number where one suffices.
pub(super) fn amount(quantity: &Quantity) -> Value {
    match (quantity.amount, quantity.per) {
        (Some(number), None) if quantity.to_string() == number.to_string() => Value::from(number),
        _ => Value::String(quantity.to_string()),
    }
}

/// The word of a unit variant.
pub(super) fn text<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}
