//! Every way in which a use case can say no, and the code, hint and fields that go with it.
//!
//! Long because the ways of all use cases are one closed list.

use std::sync::Arc;

use tenantry_domain::access::{Disagreement, NamedError};
use tenantry_domain::app::Unfit;
use tenantry_domain::code::{Code, FieldError};
use tenantry_domain::flag::{Feature, FlagName};
use tenantry_domain::id::OperationId;
use tenantry_domain::name::{CellName, PlanCode, RegionName};
use tenantry_domain::placement::{PlacementError, RESIDENCY};
use tenantry_domain::plan::promise::Short;
use tenantry_domain::plan::version::Excess;
use tenantry_domain::policy::Denial;
use tenantry_domain::policy::grant::GrantStanding;
use tenantry_domain::rollout::Status;
use tenantry_domain::tenant::change::WouldMove;
use tenantry_domain::tenant::lifecycle::TransitionError;
use tenantry_domain::workflow::Kind;
use tenantry_store::{StoreError, UsedUp};

use crate::flags::told;
use crate::pools::PoolError;
use crate::routes::token::TokenError;

/// Why a use case did nothing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Policy says no.
    #[error(transparent)]
    Denied(Denial),
    /// Nobody can say whether the rules allow an action.
    #[error("policy cannot decide about `{0}`")]
    NoPolicy(String),
    /// What people of a tenant are told no about.
    #[error(transparent)]
    Member(#[from] tenantry_domain::member::Refused),
    /// What is told no about pools of users at an identity provider.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// What a customer's directory is told no about.
    #[error(transparent)]
    Scim(#[from] tenantry_domain::member::scim::ScimError),
    /// An access request stands otherwise.
    #[error("the access request is {}", .0.as_str())]
    GrantStanding(GrantStanding),
    /// The lifecycle graph has no such edge.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// One document of a set is refused.
    #[error("{refusal}")]
    Document {
        /// Its place in the set, from 0.
        place: usize,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// What several callers who asked for the same at once got.
    #[error("{0}")]
    Shared(Arc<Refusal>),
    /// Sources of a request name different tenants.
    #[error(transparent)]
    Mismatch(#[from] Disagreement),
    /// A source of a request names no tenant that could exist.
    #[error(transparent)]
    Unnamed(#[from] NamedError),
    /// An access token does not name a tenant in a way that is believed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A request has no source that names a tenant.
    #[error("nothing in the request names a tenant")]
    Nameless,
    /// The reference of a secret leads nowhere.
    #[error("`{0}` is not the reference of a credential here")]
    SecretRef(String),
    /// Values that contradict each other or the registry.
    #[error("{} field(s) are not valid", .0.len())]
    Fields(Vec<FieldError>),
    /// Values of a request, other than a manifest, that contradict each other or the registry.
    #[error("{} field(s) are not valid", .0.len())]
    Request(Vec<FieldError>),
    /// Migration files that have run somewhere are not as they ran.
    #[error("{} migration file(s) that have run are not as they ran", .0.len())]
    Ran(Vec<FieldError>),
    /// The address of an endpoint of webhooks is not acceptable.
    #[error("the address {0}")]
    WebhookTarget(#[source] tenantry_webhooks::TargetError),
    /// The endpoint is disabled.
    #[error("webhook endpoint `{0}` is disabled")]
    WebhookDisabled(String),
    /// There are as many endpoints as there may be.
    #[error("there are {0} webhook endpoints already")]
    WebhooksExceeded(i64),
    /// Enough replays of the endpoint are under way.
    #[error("enough replays of the endpoint are under way")]
    WebhookReplays,
    /// This process cannot send webhooks.
    #[error("this process cannot send webhooks")]
    NoWebhooks,
    /// A login in use has the name.
    #[error("a login `{0}` exists already")]
    LoginTaken(String),
    /// The login was taken back.
    #[error("the login `{0}` is revoked")]
    LoginRevoked(String),
    /// The manifest names something that is not there.
    #[error("{kind} `{name}` does not exist in this environment")]
    Reference {
        /// The kind of thing.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The field that names it.
        field: String,
    },
    /// No such tenant.
    #[error("tenant `{0}` does not exist in this environment")]
    NoTenant(String),
    /// The tenant has no data anywhere.
    #[error("tenant `{0}` has no place")]
    NoPlace(String),
    /// No such catalog object.
    #[error("{kind} `{name}` does not exist in this environment")]
    NoObject {
        /// The kind of thing.
        kind: String,
        /// Its name.
        name: String,
    },
    /// No such environment.
    #[error("the environment does not exist")]
    NoEnvironment,
    /// No such operation.
    #[error("operation `{0}` does not exist")]
    NoOperation(String),
    /// No such rollout.
    #[error("rollout `{0}` does not exist")]
    NoRollout(String),
    /// No such incident, or none that concerns the caller.
    #[error("incident `{0}` does not exist")]
    NoIncident(String),
    /// Nothing follows.
    #[error("incident `{0}` is resolved")]
    IncidentOver(String),
    /// What people are told cannot be written.
    #[error("the template is broken")]
    Template(#[source] crate::notify::TemplateError),
    /// A rollout of the app is under way.
    #[error("rollout `{0}` of this app is under way")]
    RolloutOpen(String),
    /// The rollout stands somewhere else.
    #[error("rollout `{id}` is {status}")]
    RolloutStanding {
        /// Which.
        id: String,
        /// How it stands.
        status: Status,
    },
    /// No such version.
    #[error("version {0} does not exist")]
    NoVersion(i64),
    /// The caller saw another version.
    #[error("the current version is {current}")]
    Stale {
        /// The version that is current.
        current: i64,
    },
    /// The caller named no version.
    #[error("the change names no version")]
    VersionRequired,
    /// A living tenant has the slug, or one that the eye takes for it.
    #[error("the name `{0}` is not available")]
    SlugTaken(String),
    /// Another tenant has the external id or alias.
    #[error("`{id}` belongs to another tenant")]
    ExternalIdTaken {
        /// The field that names it.
        field: String,
        /// The id or alias.
        id: String,
    },
    /// A workflow is at the tenant.
    #[error("workflow `{kind}` is at work on the tenant")]
    Busy {
        /// What it does.
        kind: Kind,
        /// The operation to wait for, when one is known.
        operation: Option<OperationId>,
    },
    /// The typed confirmation is not the slug.
    #[error("`confirm` must be the tenant's slug")]
    Confirmation,
    /// Neither synthetic nor a removal request.
    #[error("a tenant that is not synthetic is deleted only on a removal request")]
    NoRemovalReason,
    /// The grace asked for is shorter than the installation allows.
    #[error("the grace period must be at least {minimum}")]
    Grace {
        /// The least allowed.
        minimum: String,
    },
    /// No cell fits.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The app and the level do not go together.
    #[error("app `{app}` at level {level}: {unfit}")]
    Unfit {
        /// The app.
        app: String,
        /// The level.
        level: String,
        /// Why.
        unfit: Unfit,
    },
    /// The change would move the tenant.
    #[error("the change of `{field}` would move the tenant from {from} to {to}")]
    Moves {
        /// The field that changes.
        field: &'static str,
        /// What holds.
        from: String,
        /// What was asked for.
        to: String,
    },
    /// The change would leave the tenant's data where its residency does not allow it.
    #[error(
        "rule `{RESIDENCY}`: the tenant's data is in {region}, which is not allowed any more; allowed are {allowed}"
    )]
    Residency {
        /// Where the data is.
        region: String,
        /// What was asked for.
        allowed: String,
    },
    /// The cell holds tenants' data, which would stand in another region than they allowed.
    #[error(
        "rule `{RESIDENCY}`: cell `{cell}` stands in {region} with the data of {tenants} tenant(s), and cannot stand in {wanted}"
    )]
    CellStays {
        /// The cell.
        cell: CellName,
        /// Where it stands.
        region: String,
        /// What was asked for.
        wanted: RegionName,
        /// How many tenants it holds.
        tenants: i64,
    },
    /// The tenant does not have the feature.
    #[error("{}", told::off(.feature, .plan, .found.as_ref(), .plans))]
    FeatureOff {
        /// The feature.
        feature: FlagName,
        /// The tenant's plan.
        plan: PlanCode,
        /// What it is to the tenant; absent when nobody says anything about it.
        found: Option<Feature>,
        /// The plans that have it, cheapest first.
        plans: Vec<PlanCode>,
    },
    /// The plan lets its tenants set less.
    #[error("plan `{plan}` does not allow this{}", told::would(.plans))]
    PlanForbids {
        /// The tenant's plan.
        plan: PlanCode,
        /// What it does not allow.
        fields: Vec<FieldError>,
        /// The plans that would allow all of it, cheapest first.
        plans: Vec<PlanCode>,
    },
    /// The tenant uses more than it would be entitled to.
    #[error("the tenant uses more than plan `{plan}` would allow: {}", told::excess(.excess))]
    TooMuchUsed {
        /// The plan that it would have.
        plan: PlanCode,
        /// What it uses too much of.
        excess: Vec<Excess>,
    },
    /// Another plan is the default one.
    #[error("plan `{plan}` cannot be the default one: {} is", .other.as_deref().map_or_else(|| "another plan".to_owned(), |name| format!("`{name}`")))]
    SecondDefault {
        /// The plan that wants to be it.
        plan: String,
        /// The plan that is it; absent when it was written at the same time.
        other: Option<String>,
    },
    /// A hard quota of the tenant does not allow it.
    #[error("{used_up}")]
    QuotaUsedUp {
        /// How much there is.
        used_up: UsedUp,
        /// The plan that would allow it, and its limit; absent when none does.
        plan: Option<(String, String)>,
    },
    /// The tenant's cell cannot promise what is wanted.
    #[error("cell `{cell}` has promised {} of {} of `{}` to others and cannot promise {}", short.promised, short.capacity, short.quota, short.needed)]
    CellPromised {
        /// The cell.
        cell: CellName,
        /// What is not enough.
        short: Short,
    },
    /// The tenant's plan names no such quota.
    #[error("plan `{plan}` has no quota `{quota}`")]
    NoQuota {
        /// The quota.
        quota: String,
        /// The plan.
        plan: String,
    },
    /// No such meter.
    #[error("meter `{0}` does not exist in this environment")]
    NoMeter(String),
    /// A meter has counted already, in another way.
    #[error("meter `{0}` has counted already, by another aggregation")]
    MeterFixed(String),
    /// No such reservation, or not any more.
    #[error("reservation `{0}` does not exist")]
    NoReservation(String),
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used for a different request")]
    KeyReused,
    /// The first request with this key is still at work.
    #[error("a request with this idempotency key is still running")]
    KeyInFlight,
    /// The operation cannot be cancelled any more.
    #[error("the operation has passed its point of no return")]
    NotCancellable,
    /// The operation has ended.
    #[error("the operation has ended")]
    Ended,
    /// Tenants or objects still need it.
    #[error("{kind} `{name}` is used by {by}")]
    InUse {
        /// The kind of thing.
        kind: String,
        /// Its name.
        name: String,
        /// Who needs it.
        by: String,
    },
    /// The page token does not belong to this query.
    #[error("the page token does not belong to this query or has expired")]
    Cursor,
    /// The control database did not do what was asked.
    #[error("the control database does not answer")]
    Unavailable(#[source] StoreError),
    /// COMMIT was sent and its answer lost.
    #[error("the outcome of the request is not known")]
    UnknownOutcome(#[source] StoreError),
    /// A preview took longer than it may.
    #[error("the preview took longer than {0} seconds")]
    Overdue(u64),
    /// The operating system gives no randomness.
    #[error("no secure randomness is to be had")]
    NoRandomness,
    /// What is to begin at a moment, or to wait for one, is begun nowhere by a wrong clock.
    #[error("the clock of this process differs from the control database's")]
    ClockApart,
    /// The text given as a token is none.
    #[error("the text is not of the form ten_live_<id>_<secret>_<crc>")]
    TokenForm,
    /// A cell did not answer.
    #[error("cell `{0}` does not answer")]
    Cell(String),
    /// A defect of ours.
    #[error("an internal error")]
    Internal(#[source] StoreError),
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Document { refusal, .. } => refusal.code(),
            Self::Shared(refusal) => refusal.code(),
            Self::Mismatch(_) => Code::TenantMismatch,
            Self::Unnamed(_) | Self::Nameless => Code::TenantUnnamed,
            Self::Token(TokenError::Refused(_)) => Code::TokenRefused,
            Self::Token(TokenError::Away(_)) => Code::IssuerUnavailable,
            Self::SecretRef(_) => Code::ObjectNotFound,
            Self::Denied(_) => Code::PolicyDenied,
            Self::NoPolicy(_) => Code::PolicyUnavailable,
            Self::Member(refused) => refused.code(),
            Self::Scim(error) => error.code(),
            Self::Pool(error) => error.code(),
            Self::GrantStanding(_) => Code::AccessStanding,
            Self::Transition(_) => Code::IllegalTransition,
            Self::Fields(_) => Code::InvalidManifest,
            Self::Ran(_) => Code::MigrationRan,
            Self::Request(_) => Code::InvalidParameter,
            Self::WebhookTarget(_) => Code::WebhookTarget,
            Self::WebhookDisabled(_) => Code::WebhookDisabled,
            Self::WebhooksExceeded(_) => Code::WebhooksExceeded,
            Self::WebhookReplays => Code::WebhookReplays,
            Self::LoginTaken(_) => Code::LoginTaken,
            Self::LoginRevoked(_) => Code::LoginRevoked,
            Self::Reference { .. } => Code::InvalidReference,
            Self::NoTenant(_) | Self::NoPlace(_) => Code::TenantNotFound,
            Self::NoObject { .. } => Code::ObjectNotFound,
            Self::NoEnvironment => Code::EnvironmentNotFound,
            Self::NoOperation(_) => Code::OperationNotFound,
            Self::NoRollout(_) => Code::RolloutNotFound,
            Self::NoIncident(_) => Code::IncidentNotFound,
            Self::IncidentOver(_) => Code::IncidentOver,
            Self::Template(_) => Code::Internal,
            Self::RolloutOpen(_) => Code::RolloutUnderWay,
            Self::RolloutStanding { .. } => Code::RolloutStanding,
            Self::NoVersion(_) => Code::VersionNotFound,
            Self::Stale { .. } => Code::StaleVersion,
            Self::VersionRequired => Code::VersionRequired,
            Self::SlugTaken(_) => Code::SlugTaken,
            Self::ExternalIdTaken { .. } => Code::ExternalIdTaken,
            Self::Busy { .. } => Code::TransitionRunning,
            Self::Confirmation => Code::ConfirmationMismatch,
            Self::NoRemovalReason | Self::Grace { .. } => Code::DeletionRefused,
            Self::Placement(_) => Code::NoCapacity,
            Self::Unfit { .. } => Code::AppUnfit,
            Self::Moves { .. } => Code::LevelChange,
            Self::Residency { .. } | Self::CellStays { .. } => Code::ResidencyRefused,
            Self::FeatureOff { .. } => Code::FeatureOff,
            Self::PlanForbids { .. } => Code::PlanForbids,
            Self::TooMuchUsed { .. } => Code::TooMuchUsed,
            Self::SecondDefault { .. } => Code::SecondDefault,
            Self::QuotaUsedUp { .. } => Code::QuotaUsedUp,
            Self::CellPromised { .. } => Code::CellPromised,
            Self::NoQuota { .. } => Code::QuotaNotFound,
            Self::NoMeter(_) => Code::MeterNotFound,
            Self::MeterFixed(_) => Code::MeterFixed,
            Self::NoReservation(_) => Code::ReservationNotFound,
            Self::KeyReused => Code::KeyReused,
            Self::KeyInFlight => Code::KeyInFlight,
            Self::NotCancellable => Code::NotCancellable,
            Self::Ended => Code::OperationEnded,
            Self::InUse { .. } => Code::InUse,
            Self::Cursor => Code::InvalidCursor,
            Self::Unavailable(_) | Self::UnknownOutcome(_) => Code::DatabaseUnavailable,
            Self::Overdue(_) => Code::Timeout,
            Self::Cell(_) => Code::CellUnavailable,
            Self::Internal(_) | Self::NoRandomness | Self::NoWebhooks => Code::Internal,
            Self::TokenForm => Code::InvalidParameter,
            Self::ClockApart => Code::ClockApart,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Document { refusal, .. } => refusal.hint(),
            Self::Shared(refusal) => refusal.hint(),
            Self::Transition(error) => error.hint(),
            Self::Placement(error) => error.hint(),
            Self::Pool(PoolError::Provider(error)) => error.remedy().to_owned(),
            Self::Denied(denial) => denial.remedy.clone(),
            Self::Stale { current } => {
                format!(
                    "Read the tenant again, repeat the change on version {current}, send `If-Match: \"v{current}\"`."
                )
            }
            Self::QuotaUsedUp { plan: Some((plan, limit)), .. } => {
                format!("Free something, or bind the plan `{plan}`, which allows {limit}.")
            }
            Self::QuotaUsedUp { plan: None, .. } => {
                "Free something, or ask the operator for more; no plan of the catalog allows it.".to_owned()
            }
            Self::Grace { minimum } => format!("Ask for {minimum} or longer, or leave the grace period out."),
            Self::UnknownOutcome(_) => {
                "Repeat the request with the same Idempotency-Key; it takes effect at most once.".to_owned()
            }
            Self::Overdue(_) => "Send the documents in smaller parts.".to_owned(),
            other => other.code().hint().to_owned(),
        }
    }

    /// The fields that are to blame.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Document { place, refusal } => in_document(*place, refusal),
            Self::Shared(refusal) => refusal.fields(),
            Self::Unnamed(error) => vec![FieldError::new(error.source_of().as_str(), self)],
            Self::Fields(fields) | Self::Request(fields) | Self::Ran(fields) => fields.clone(),
            Self::LoginTaken(_) => vec![FieldError::new("name", self)],
            Self::WebhookTarget(error) => vec![FieldError::new("url", error)],
            Self::Reference { field, .. } => vec![FieldError::new(field.clone(), self)],
            Self::Moves { field, .. } => vec![FieldError::new(*field, self)],
            Self::Residency { .. } => vec![FieldError::new("spec.residency.allowedRegions", self)],
            Self::CellStays { .. } => vec![FieldError::new("spec.region", self)],
            Self::PlanForbids { fields, .. } => fields.clone(),
            Self::TooMuchUsed { excess, .. } => {
                excess.iter().map(|one| FieldError::new("spec.plan", told::excess(std::slice::from_ref(one)))).collect()
            }
            Self::Unfit { .. } | Self::CellPromised { .. } => vec![FieldError::new("spec.plan", self)],
            Self::SecondDefault { .. } => vec![FieldError::new("spec.default", self)],
            Self::SlugTaken(_) => vec![FieldError::new("metadata.name", self)],
            Self::ExternalIdTaken { field, .. } => vec![FieldError::new(field.clone(), self)],
            Self::Confirmation => vec![FieldError::new("confirm", self)],
            Self::NoMeter(_) => vec![FieldError::new("meter", self)],
            Self::MeterFixed(_) => vec![FieldError::new("spec.aggregation", self)],
            Self::NoRemovalReason => vec![FieldError::new("reason", "say who asked for the removal")],
            Self::Grace { .. } => vec![FieldError::new("grace", self)],
            _ => Vec::new(),
        }
    }

    /// Says which document of a set this is about.
    #[must_use]
    pub fn of_document(self, place: usize) -> Self {
        Self::Document { place, refusal: Box::new(self) }
    }

    /// Whether its message is that of its fields.
    #[must_use]
    pub fn is_fields(&self) -> bool {
        match self {
            Self::Document { refusal, .. } => refusal.is_fields(),
            other => matches!(other, Self::Fields(_) | Self::Request(_) | Self::Ran(_)),
        }
    }

    /// The operation that stands in the way, if one does.
    #[must_use]
    pub fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Document { refusal, .. } => refusal.operation(),
            Self::Busy { operation, .. } => *operation,
            _ => None,
        }
    }
}

impl From<WouldMove> for Refusal {
    fn from(error: WouldMove) -> Self {
        let WouldMove { field, from, to } = error;
        if field.starts_with("spec.residency") {
            return Self::Residency { region: from, allowed: to };
        }
        Self::Moves { field, from, to }
    }
}

/// The fields at fault by the set's paths, `documents[3].spec.plan`. What blames no field blames the document's name.
fn in_document(place: usize, refusal: &Refusal) -> Vec<FieldError> {
    let mut fields = refusal.fields();
    if fields.is_empty() {
        fields.push(FieldError::new("metadata.name", refusal));
    }
    let path = |field: FieldError| FieldError::new(format!("documents[{place}].{}", field.field), field.message);
    fields.into_iter().map(path).collect()
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial.hidden {
            // In the words of one that does not exist.
            Some(tenant) => Self::NoTenant(tenant.to_string()),
            None => Self::Denied(denial),
        }
    }
}
