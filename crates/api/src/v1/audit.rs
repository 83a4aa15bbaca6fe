//! The audit trail: entries, receipts and what a verification found.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One entry of a chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// 1 for the first entry of the subject.
    pub seq: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The partition.
    #[schema(example = "prod")]
    pub environment: String,
    /// The tenant's id; left out for entries of the environment itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant: Option<String>,
    /// `tenant.suspend`, `plan.apply`, …
    #[schema(example = "tenant.suspend")]
    pub action: String,
    /// `mutation`, `transition`, `workflow`, `drift`, `refusal` or `access`.
    #[schema(example = "mutation")]
    pub category: String,
    /// `success`, `denied` or `failed`.
    #[schema(example = "success")]
    pub outcome: String,
    /// Who did it.
    #[schema(example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub actor: String,
    /// What it was done to.
    #[schema(example = "tenant/acme")]
    pub target: String,
    /// The version that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub version: Option<i64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// The request.
    pub request_id: String,
    /// The chain of requests.
    pub correlation_id: String,
    /// The rules that allowed or refused it.
    #[schema(example = "builtin/v1")]
    pub policy: String,
    /// What changed, by path.
    pub changes: Value,
    /// The hash of this entry and everything before it, in hex.
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub hash: String,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    /// Whether nothing is wrong.
    pub is_intact: bool,
    /// Entries that were checked.
    pub entries: u64,
    /// Chains that were checked.
    pub subjects: u64,
    /// What does not verify; empty when everything does.
    pub findings: Vec<AuditFinding>,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// One chain that does not verify.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditFinding {
    /// The tenant's id; left out for the environment's own chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant: Option<String>,
    /// The tenant's name, when its record still exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub slug: Option<String>,
    /// What is wrong, in a sentence.
    #[schema(example = "entry 3 does not match its hash")]
    pub message: String,
    /// The same for machines, `kind` first.
    #[schema(value_type = Object, example = json!({"kind": "hash", "seq": 3}))]
    pub tampering: Value,
}

/// Proof that a mutation was recorded: place and hash of its entry. Also in the header `Audit-Receipt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The entry's number in its chain.
    pub seq: i64,
    /// The entry's hash, in hex.
    pub hash: String,
}
