//! The words of this release, as schemas of texts. Fields stay texts, so that later words do not break readers.

use tenantry_domain::access::domain::{Problem, Standing};
use tenantry_domain::event;
use tenantry_domain::flag;
use tenantry_domain::gateway;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::plan::{Tenants, terms};
use tenantry_domain::policy::Role;
use tenantry_domain::policy::grant::GrantStanding;
use tenantry_domain::rollout;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::webhook;
use tenantry_domain::workflow::{Kind, StepName};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

fn words<'w>(description: &str, words: impl IntoIterator<Item = &'w str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).enum_values(Some(words)).build()
}

/// States of a tenant.
pub fn state() -> Object {
    words("A state of the lifecycle.", Phase::ALL.map(Phase::as_str))
}

/// States that a manifest may ask for.
pub fn wanted_state() -> Object {
    words(
        "Where the lifecycle shall be.",
        Phase::ALL.into_iter().filter(|phase| *phase != Phase::Deleted).map(Phase::as_str),
    )
}

/// Whether a tenant's users are let in.
pub fn openness() -> Object {
    words("Whether the tenant's users are let in.", ["preparing", "open", "suspended", "archived"])
}

/// Isolation levels.
pub fn isolation() -> Object {
    words("How a tenant's data is kept apart from other tenants' data.", Isolation::ALL.map(Isolation::as_str))
}

/// Kinds of cells.
pub fn cell_kind() -> Object {
    words("`pooled` takes any tenant, `dedicated` one tenant of level `cluster`.", ["pooled", "dedicated"])
}

/// How approvals stand.
pub fn approval_status() -> Object {
    words("Of use, used up, taken back, or too late.", ["open", "used", "withdrawn", "expired"])
}

/// Who decides about policy.
pub fn policy_decider() -> Object {
    words("Rules in process, a decision point outside, or both.", ["builtin", "opa", "both"])
}

/// Kinds of encryption.
pub fn encryption() -> Object {
    let kinds = tenantry_domain::cell::Encryption::ALL.map(tenantry_domain::cell::Encryption::as_str);
    words("Not at all, by disks or server, or with a key of each tenant's own.", kinds)
}

/// Reasons of a suspension.
pub fn suspension_reason() -> Object {
    words("Unpaid or over limits, or abuse and orders.", ["commercial", "compliance"])
}

/// Commercial standings.
pub fn commercial_status() -> Object {
    words("Where the customer stands commercially.", ["trial", "paying", "pastDue"])
}

/// Weights in a cell.
pub fn size() -> Object {
    words("Weight in a cell: 1, 4 or 16 places.", ["small", "medium", "large"])
}

/// Importance.
pub fn importance() -> Object {
    words("Weight in alerting and trace sampling.", ["normal", "high", "critical"])
}

/// Workflows.
pub fn workflow() -> Object {
    words("What a workflow does to a tenant.", Kind::ALL.iter().map(|kind| kind.as_str()))
}

/// Steps of workflows.
pub fn step() -> Object {
    words("A step of a workflow.", StepName::ALL.iter().map(|step| step.as_str()))
}

/// Where rollouts are.
pub fn rollout() -> Object {
    words("Where a rollout is.", rollout::Status::ALL.map(rollout::Status::as_str))
}

/// How targets of rollouts stand.
pub fn rollout_target() -> Object {
    words("How a target stands.", rollout::TargetStatus::ALL.map(rollout::TargetStatus::as_str))
}

/// What applying would do to an object.
pub fn prospect() -> Object {
    words("What applying would do to the object.", ["create", "change", "unchanged"])
}

/// What applying did to an object.
pub fn outcome() -> Object {
    words("What applying did to the object.", ["created", "changed", "unchanged"])
}

/// Where an operation is.
pub fn progress() -> Object {
    words(
        "`waiting` has not begun, `running` is at it, `completed` did everything, `failed` was undone for at least one tenant, `stuck` needs a human.",
        ["waiting", "running", "completed", "failed", "stuck"],
    )
}

/// Where a workflow is.
pub fn run() -> Object {
    words(
        "`running` is at it, `completed` did everything, `unwound` undid everything, `stuck` needs a human.",
        ["running", "completed", "unwound", "stuck"],
    )
}

/// Where a step is.
pub fn step_status() -> Object {
    words("Where a step is.", ["pending", "running", "done", "failed", "undone"])
}

/// Severities of findings.
pub fn severity() -> Object {
    words("How much harm a finding can do.", ["critical", "high", "medium", "low"])
}

/// How bad incidents are.
pub fn incident_severity() -> Object {
    words("How bad it is.", tenantry_domain::incident::Severity::ALL.map(tenantry_domain::incident::Severity::as_str))
}

/// How far incidents are.
pub fn incident_phase() -> Object {
    let text = "Looked into, understood, mended and watched, or over. Nothing follows `resolved`.";
    words(text, tenantry_domain::incident::Phase::ALL.map(tenantry_domain::incident::Phase::as_str))
}

/// Kinds of notifications.
pub fn notification_kind() -> Object {
    words("What somebody is told of.", tenantry_domain::notice::Kind::ALL.iter().map(|kind| kind.as_str()))
}

/// How notifications stand.
pub fn notification_state() -> Object {
    words("On its way, taken by a server, or given up.", ["waiting", "sent", "dropped"])
}

/// Forms of the seal.
pub fn seal() -> Object {
    words("How the seal keeps the tenant of a transaction.", ["register", "signed"])
}

/// Types of events.
pub fn event_type() -> Object {
    words("What happened.", event::Type::ALL.iter().map(|kind| kind.as_str()))
}

/// Where an entitlement comes from.
pub fn origin() -> Object {
    words("The plan, or an override of the tenant.", ["plan", "override"])
}

/// Who decides about a feature.
pub fn feature_source() -> Object {
    let text = "Who decided: the first of these that says something.";
    words(text, flag::Source::ALL.map(flag::Source::as_str))
}

/// Under which host tenants of a plan are found.
pub fn plan_host() -> Object {
    let text = "Under which host its tenants are found: one for all, a subdomain each, or also domains of their own.";
    words(text, terms::Host::ALL.iter().map(|word| word.as_str()))
}

/// What a new version of a plan means to tenants that have an older one.
pub fn plan_tenants() -> Object {
    let text =
        "What this version means to tenants that have an older one: they have it at once, or keep what they have.";
    words(text, Tenants::ALL.iter().map(|word| word.as_str()))
}

/// Where tenants' users are kept.
pub fn plan_identity() -> Object {
    let text =
        "Where its tenants' users are kept: in no pool, in the installation's one, or in one of each tenant's own.";
    words(text, terms::Identity::ALL.iter().map(|word| word.as_str()))
}

/// Whether people show something besides.
pub fn second_factor() -> Object {
    let text = "Whether people show something besides when they sign in to a pool of the tenant's own.";
    words(text, terms::SecondFactor::ALL.iter().map(|word| word.as_str()))
}

/// How a pool stands.
pub fn pool_standing() -> Object {
    let text = "People sign in to an `enabled` pool only; a `wanted` one is not made yet.";
    words(text, tenantry_domain::pool::Standing::ALL.iter().map(|word| word.as_str()))
}

/// How much a tenant may change.
pub fn customization() -> Object {
    let text = "How much its tenants may change: nothing, the keys that `settings` lists, or everything.";
    words(text, terms::CustomizationClass::ALL.iter().map(|word| word.as_str()))
}

/// Truth values of conditions, as Kubernetes writes them.
pub fn truth() -> Object {
    words("Whether the condition holds.", ["true", "false", "unknown"])
}

/// An RFC 3339 time or a date.
pub fn time() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("RFC 3339 time, or a date, which means its first second in UTC."))
        .examples(["2027-03-31"])
        .build()
}

/// How a domain stands.
pub fn domain_standing() -> Object {
    words("Whether the domain names its tenant: only when verified.", Standing::ALL.iter().map(|word| word.as_str()))
}

/// Why a domain is not proven.
pub fn domain_problem() -> Object {
    words("Why the domain is not proven, or may lose its proof.", Problem::ALL.iter().map(|word| word.as_str()))
}

/// How a request for emergency access stands.
pub fn access_status() -> Object {
    words("Only an `open` one lets in.", GrantStanding::ALL.iter().map(|word| word.as_str()))
}

/// As what a token's bearer acts.
pub fn token_kind() -> Object {
    words("A machine, or a person of the operator.", ["service", "operator"])
}

/// What a token is.
pub fn roles() -> utoipa::openapi::schema::Array {
    let role = words("A bundle of rights.", Role::ALL.iter().map(|role| role.as_str()));
    utoipa::openapi::schema::ArrayBuilder::new().items(role).min_items(Some(1)).max_items(Some(Role::ALL.len())).build()
}

/// Roles, or none.
pub fn roles_or_none() -> utoipa::openapi::schema::Array {
    let role = words("A bundle of rights.", Role::ALL.iter().map(|role| role.as_str()));
    utoipa::openapi::schema::ArrayBuilder::new().items(role).max_items(Some(Role::ALL.len())).build()
}

/// How long clients of a login keep a server session.
pub fn login_mode() -> Object {
    let text = "`transaction` lends a server session for each transaction, `session` keeps one for as long as a client is connected.";
    words(text, gateway::Mode::ALL.iter().map(|word| word.as_str()))
}

/// Whether a login may write.
pub fn login_access() -> Object {
    words("Whether the login may write.", gateway::Access::ALL.iter().map(|word| word.as_str()))
}

/// Which server serves a login.
pub fn login_server() -> Object {
    let text =
        "The one that takes writes; a standby that is not too far behind, else the primary; or a standby, else none.";
    words(text, gateway::Server::ALL.iter().map(|word| word.as_str()))
}

/// How a login proves itself.
pub fn login_proof() -> Object {
    let text = "By a password, or by an access token of a configured issuer in its place, over TLS only.";
    words(text, gateway::Proof::ALL.iter().map(|word| word.as_str()))
}

/// How a login stands.
pub fn login_standing() -> Object {
    words("Whether the login is let in.", gateway::Standing::ALL.map(gateway::Standing::as_str))
}

/// How webhooks are signed.
pub fn webhook_scheme() -> Object {
    words("How deliveries are signed.", webhook::Scheme::ALL.iter().map(|word| word.as_str()))
}

/// How an endpoint of webhooks stands.
pub fn webhook_standing() -> Object {
    words("Whether events are sent to it.", webhook::Standing::ALL.iter().map(|word| word.as_str()))
}

/// Why an endpoint of webhooks is disabled.
pub fn webhook_why() -> Object {
    words(
        "Somebody asked for it, it is gone (410), or it failed for days.",
        webhook::Why::ALL.iter().map(|word| word.as_str()),
    )
}

/// Why a delivery was given up.
pub fn webhook_cause() -> Object {
    words("Why a delivery was given up.", webhook::Cause::ALL.iter().map(|word| word.as_str()))
}

/// What came of an attempt.
pub fn webhook_outcome() -> Object {
    words("What came of an attempt.", ["delivered", "failed", "throttled", "gone", "refused"])
}

/// Why an attempt had no answer.
pub fn webhook_fault() -> Object {
    words(
        "Why there was no answer.",
        ["target", "name", "forbidden", "connect", "tls", "timeout", "broken", "malformed", "message"],
    )
}
