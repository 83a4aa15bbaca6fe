//! The routes, one file per noun. A handler reads, calls one use case, shows the result.

pub mod access;
pub mod approvals;
pub mod audit;
pub mod catalog;
pub mod domains;
pub mod events;
pub mod feed;
pub mod flags;
pub mod forward;
pub mod guard;
pub mod health;
pub mod history;
pub mod incidents;
pub mod insight;
pub mod lifecycle;
pub mod logins;
pub mod manifests;
pub mod members;
pub mod operations;
pub mod people;
pub mod plans;
pub mod pools;
pub mod quotas;
pub mod rollouts;
pub mod routes;
pub mod scim;
pub mod streams;
pub mod tenants;
pub mod tokens;
pub mod usage;
pub mod webhooks;

mod answer;

use serde::Deserialize;
use utoipa::IntoParams;

/// `{environment}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct InEnvironment {
    /// The partition of the registry.
    #[param(example = "prod", max_length = 20, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    environment: String,
}

/// `{tenant}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct OfTenant {
    /// The tenant's slug or id.
    #[param(
        example = "acme",
        max_length = 40,
        pattern = "^([a-z0-9]([a-z0-9-]*[a-z0-9])?|ten_[0-9a-hjkmnp-tv-z]{26})$"
    )]
    tenant: String,
}

/// `{name}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct OfName {
    /// The object's name.
    #[param(example = "standard", max_length = 50, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    name: String,
}

/// `{domain}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct OfDomain {
    /// The domain as the manifest has it.
    #[param(example = "chat.acme.example", max_length = 233, pattern = "^[a-z0-9-]+([.][a-z0-9-]+)+$")]
    domain: String,
}

/// `{name}` of a login in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct OfLogin {
    /// The login's name.
    #[param(example = "acme-reports", min_length = 3, max_length = 63, pattern = "^[a-z][a-z0-9_-]{2,62}$")]
    name: String,
}

/// `{grant}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct OfGrant {
    /// The access request's id.
    #[param(example = "bg_01jd8x3v9mfk2t5h7q0w4z6y8c", pattern = "^bg_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    grant: String,
}

/// `{approval}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct OfApproval {
    /// The approval's id.
    #[param(example = "apv_01jd8x3v9mfk2t5h7q0w4z6y8c", pattern = "^apv_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    approval: String,
}

/// `{token}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct OfToken {
    /// The token's public part.
    #[param(example = "tok_01jd8x3v9mfk2t5h7q0w4z6y8c", pattern = "^tok_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    token: String,
}

/// `{webhook}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct OfWebhook {
    /// The endpoint's id.
    #[param(example = "whe_01jd8x3v9mfk2t5h7q0w4z6y8c", pattern = "^whe_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    webhook: String,
}

/// `{incident}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct OfIncident {
    /// The incident's id.
    #[param(example = "inc_01jd8x3v9mfk2t5h7q0w4z6y8c", pattern = "^inc_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    incident: String,
}

/// `{version}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct OfVersion {
    /// The version's number.
    #[param(example = 3, minimum = 1)]
    version: i64,
}

/// `{operation}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct OfOperation {
    /// The operation's id.
    #[param(example = "op_01jd8x3v9mfk2t5h7q0w4z6y8c", pattern = "^op_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    operation: String,
}

/// `{rollout}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
pub struct OfRollout {
    /// The rollout's id.
    #[param(example = "rol_01jd8x3v9mfk2t5h7q0w4z6y8c", pattern = "^rol_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    rollout: String,
}

/// The header that says which version a change builds on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "for the documentation; extractors read the header")]
pub struct Precondition {
    /// The ETag of the version that was read, or `*` to overwrite whatever is there.
    #[serde(rename = "If-Match")]
    #[param(example = "*", pattern = "^(\\*|\"v[0-9]{1,18}\")$")]
    if_match: String,
}

/// The header that makes a request repeatable.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "for the documentation; extractors read the header")]
pub struct OptionalKey {
    /// A fresh random text per intended change; a repetition with the same key gets the first answer, for seven days.
    #[serde(rename = "Idempotency-Key")]
    #[param(nullable = false, min_length = 16, max_length = 130, pattern = "^([!#-~]{16,128}|\"[!#-~]{16,128}\")$")]
    idempotency_key: Option<String>,
}

/// The same, where it must be given.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "for the documentation; extractors read the header")]
pub struct RequiredKey {
    /// A fresh random text per intended change; a repetition with the same key gets the first answer, for seven days.
    #[serde(rename = "Idempotency-Key")]
    #[param(min_length = 16, max_length = 130, pattern = "^([!#-~]{16,128}|\"[!#-~]{16,128}\")$")]
    idempotency_key: String,
}
