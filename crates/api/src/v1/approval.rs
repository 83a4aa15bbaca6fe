//! Approvals, and how policy stands.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// Somebody's word that somebody else may do one thing, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Its id.
    #[schema(example = "apv_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// How it stands.
    #[schema(schema_with = words::approval_status)]
    pub status: String,
    /// What may be done.
    #[schema(example = "tenant.delete")]
    pub action: String,
    /// The id of the tenant that it may be done to. Left out for what is done to the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: Option<String>,
    /// The version of the tenant that was looked at. Once the tenant has another one, the approval is of no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    pub tenant_version: Option<i64>,
    /// The principal who may do it.
    #[schema(example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub holder: String,
    /// The principal who agreed.
    #[schema(example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8d")]
    pub given_by: String,
    /// The person behind it.
    #[schema(example = "petra@example.com")]
    pub person: String,
    /// Why.
    pub reason: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub given_at: Timestamp,
    /// Until when it can be used.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// When it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub used_at: Option<Timestamp>,
}

/// What is to be approved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalRequest {
    /// What may be done: an action that changes something, by its name.
    #[schema(min_length = 1, max_length = 100, example = "tenant.delete")]
    pub action: String,
    /// The tenant that it may be done to, by name or id. Left out for what is done to the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 1, max_length = 40, example = "acme")]
    pub tenant: Option<String>,
    /// The version of the tenant that was looked at. Refused if the tenant has another one by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    pub tenant_version: Option<i64>,
    /// The principal who may do it, by kind and id.
    #[schema(min_length = 1, max_length = 200, example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub holder: String,
    /// Why.
    #[schema(
        min_length = 10,
        max_length = 1000,
        example = "Contract ended; ticket 815 has the customer's removal request."
    )]
    pub reason: String,
    /// For how long, up to a day; an hour unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "1h", pattern = "^[0-9]{1,9}[smhd]$")]
    pub expires_in: Option<String>,
}

/// How policy stands in the process that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// Who decides.
    #[schema(schema_with = words::policy_decider)]
    pub decider: String,
    /// Name, version and digest of the rules in force. Left out where a decision point outside decides alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "acme/3+sha256:1f0c9b")]
    pub active: Option<String>,
    /// When somebody went back to them, or put them in force after a trial. Left out when they were taken from their source as
    /// they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub chosen_at: Option<Timestamp>,
    /// Who did, as the machine that it was done on knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "petra (uid 1000)")]
    pub chosen_by: Option<String>,
    /// Why, if it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub chosen_reason: Option<String>,
    /// Those of the rules that are tried beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub shadow: Option<String>,
    /// How many rules are in force.
    pub rules: u64,
    /// Changes that the rules allowed since the process began.
    pub allowed: u64,
    /// Changes that they refused.
    pub refused: u64,
    /// Changes that were refused because nobody could decide.
    pub unavailable: u64,
    /// Of the allowed: those that somebody's approval was needed for.
    pub approved: u64,
    /// Questions that the tried rules would have answered otherwise.
    pub shadow_different: u64,
    /// The newest of them.
    pub differences: Vec<PolicyDifference>,
}

/// A question that the tried rules would have answered otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDifference {
    /// What was wanted.
    pub action: String,
    /// By whom.
    pub principal: String,
    /// Whether it was allowed.
    pub was_allowed: bool,
    /// By which rules.
    pub active_rules: Vec<String>,
    /// By which rules it would have been decided otherwise.
    pub shadow_rules: Vec<String>,
}
