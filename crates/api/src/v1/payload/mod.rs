//! The contract of events: the shape of `data` for each type, in this version of the payloads.
//!
//! One table says which struct a type's `data` has ([`shape`]); JSON Schemas, the AsyncAPI document and the check of what is
//! written come from it. A type without a shape does not compile.
//!
//! INVARIANT: within a version a shape only grows. The schemas of each version lie in `docs/events/v<version>/`, and a test
//! refuses one that takes away, renames, retypes or newly requires a field. Readers ignore fields that they do not know, so
//! nothing here refuses them; only [`check`], for writers, does.

mod asyncapi;
mod catalog;
mod people;
mod schema;
mod tenant;
mod work;

pub use asyncapi::asyncapi;
pub use catalog::{CatalogUpdated, Endpoint, Flag, Quota, UsagePart, UsageReported};
pub use people::{Access, DomainFact, Login, MemberInvited, MemberJoined, MemberRemoved, MemberRoleChanged, PoolFact};
pub use schema::{admits, grows};
pub use tenant::{Created, IncidentTold, Lifecycle, Placed, PlanApplied, Updated};
pub use work::{
    Deviation, Drifted, IsolationFinding, IsolationFindings, OperationEnded, OperationProgressed, OperationStarted,
    Repaired, Rollout,
};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tenantry_domain::event::Type;
use tenantry_domain::webhook::PAYLOAD;
use utoipa::ToSchema;

/// The shape of one type's `data`.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Its name in documents.
    pub name: fn() -> String,
    /// Its JSON Schema (2020-12), complete in itself.
    pub schema: fn() -> Value,
    /// Reads `data` as the struct and writes it again, so that what the struct does not know is gone.
    again: fn(&Value) -> Result<Value, serde_json::Error>,
}

impl Shape {
    const fn of<P: ToSchema + Serialize + DeserializeOwned>() -> Self {
        Self {
            name: || P::name().into_owned(),
            schema: schema::of::<P>,
            again: |data| P::deserialize(data).and_then(|read| serde_json::to_value(read)),
        }
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Shape").field(&(self.name)()).finish()
    }
}

/// Which shape a type's `data` has.
#[must_use]
pub const fn shape(kind: Type) -> Shape {
    match kind {
        Type::TenantCreated => Shape::of::<Created>(),
        Type::TenantUpdated | Type::PlanChanged => Shape::of::<Updated>(),
        Type::TenantActivated
        | Type::TenantSuspended
        | Type::TenantResumed
        | Type::TenantArchived
        | Type::TenantRestored
        | Type::TenantDeleted => Shape::of::<Lifecycle>(),
        Type::PlanApplied => Shape::of::<PlanApplied>(),
        Type::IncidentOpened | Type::IncidentUpdated | Type::IncidentResolved => Shape::of::<IncidentTold>(),
        Type::PlacementDecided => Shape::of::<Placed>(),
        Type::OperationStarted => Shape::of::<OperationStarted>(),
        Type::OperationProgressed => Shape::of::<OperationProgressed>(),
        Type::OperationCompleted | Type::OperationFailed | Type::OperationStuck => Shape::of::<OperationEnded>(),
        Type::DriftDetected => Shape::of::<Drifted>(),
        Type::DriftRepaired => Shape::of::<Repaired>(),
        Type::RolloutStarted
        | Type::RolloutProgressed
        | Type::RolloutWaveCompleted
        | Type::RolloutHalted
        | Type::RolloutContinued
        | Type::RolloutCompleted => Shape::of::<Rollout>(),
        Type::IsolationFindingOpened | Type::IsolationFindingClosed => Shape::of::<IsolationFindings>(),
        Type::DomainVerified | Type::DomainLost => Shape::of::<DomainFact>(),
        Type::GatewayLoginCreated | Type::GatewayLoginRotated | Type::GatewayLoginRevoked => Shape::of::<Login>(),
        Type::AccessRequested
        | Type::AccessGranted
        | Type::AccessRefused
        | Type::AccessOpened
        | Type::AccessEnded
        | Type::AccessReviewed => Shape::of::<Access>(),
        Type::UsageReported => Shape::of::<UsageReported>(),
        Type::FlagUpdated | Type::FlagSwitched => Shape::of::<Flag>(),
        Type::QuotaWarning | Type::QuotaExceeded => Shape::of::<Quota>(),
        Type::MemberInvited => Shape::of::<MemberInvited>(),
        Type::MemberJoined => Shape::of::<MemberJoined>(),
        Type::MemberRemoved => Shape::of::<MemberRemoved>(),
        Type::MemberRoleChanged => Shape::of::<MemberRoleChanged>(),
        Type::IdentityPoolCreated
        | Type::IdentityPoolDisabled
        | Type::IdentityPoolEnabled
        | Type::IdentityPoolDeleted => Shape::of::<PoolFact>(),
        Type::WebhookEndpointCreated
        | Type::WebhookEndpointUpdated
        | Type::WebhookEndpointRotated
        | Type::WebhookEndpointEnabled
        | Type::WebhookEndpointDisabled
        | Type::WebhookEndpointDeleted => Shape::of::<Endpoint>(),
        Type::CatalogUpdated => Shape::of::<CatalogUpdated>(),
    }
}

/// Why `data` is not what its type promises.
#[derive(Debug, thiserror::Error)]
pub enum Breach {
    /// A field is missing or has another type.
    #[error("the payload of `{kind}` does not have its shape")]
    Shape {
        /// The event's type.
        kind: &'static str,
        /// What serde says.
        source: serde_json::Error,
    },
    /// A field is there that the shape does not name.
    #[error("the payload of `{kind}` holds `{field}`, which its shape does not name")]
    Undeclared {
        /// The event's type.
        kind: &'static str,
        /// The field.
        field: String,
    },
    /// The published schema does not admit it.
    #[error("the schema of `{kind}` does not admit its payload: {why}")]
    Schema {
        /// The event's type.
        kind: &'static str,
        /// Where, and what was expected.
        why: String,
    },
}

impl Breach {
    /// The whole story in one line.
    #[must_use]
    pub fn explain(&self) -> String {
        match self {
            Self::Shape { source, .. } => format!("{self}: {source}"),
            Self::Undeclared { .. } | Self::Schema { .. } => self.to_string(),
        }
    }
}

/// The version of the payloads that this release writes.
#[must_use]
pub const fn version() -> i16 {
    PAYLOAD
}

/// Whether a writer keeps the contract: `data` has all that its type requires, of the right types, and nothing that the
/// shape does not name; and the published schema admits it.
///
/// # Errors
/// See [`Breach`].
pub fn check(kind: Type, data: &Value) -> Result<(), Breach> {
    let (shape, name) = (shape(kind), kind.as_str());
    let known = (shape.again)(data).map_err(|source| Breach::Shape { kind: name, source })?;
    if let Some(field) = lost("", data, &known) {
        return Err(Breach::Undeclared { kind: name, field });
    }
    admits(&(shape.schema)(), data).map_err(|why| Breach::Schema { kind: name, why })
}

/// The first member of `data` that is not in `known`. `null` says the same as a member that is left out.
fn lost(at: &str, data: &Value, known: &Value) -> Option<String> {
    match (data, known) {
        (Value::Object(data), Value::Object(known)) => data.iter().find_map(|(name, value)| {
            let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            match known.get(name) {
                Some(known) => lost(&at, value, known),
                None => (!value.is_null()).then_some(at),
            }
        }),
        (Value::Array(data), Value::Array(known)) => data
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(place, (data, known))| lost(&format!("{at}[{place}]"), data, known)),
        _ => None,
    }
}
