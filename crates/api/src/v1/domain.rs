//! Domains of a tenant's own, and what proves them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// The DNS record that proves a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainRecord {
    /// `TXT`.
    #[serde(rename = "type")]
    #[schema(example = "TXT")]
    pub kind: String,
    /// Its name. An alias (CNAME) in its place does not count.
    #[schema(example = "_tenantry-challenge.chat.acme.example")]
    pub name: String,
    /// Its value, for this tenant and domain only. Other TXT records of the name do no harm.
    #[schema(example = "5f0c1c4e86d54d0fb0d5a4f3f7c1a9d22b3e6a1c9f7d4f5e8a0b1c2d3e4f5061")]
    pub value: String,
}

/// Why a domain is not proven, or may lose its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainProblem {
    /// One word.
    #[schema(schema_with = words::domain_problem)]
    pub reason: String,
    /// For people.
    #[schema(example = "there is no TXT record of this name")]
    pub message: String,
}

/// A domain that a tenant's manifest wishes for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Domain {
    /// The domain.
    #[schema(example = "chat.acme.example")]
    pub domain: String,
    /// How it stands.
    #[schema(schema_with = words::domain_standing)]
    pub status: String,
    /// Since when it stands so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The record to set. It must stay: a proof is lost when its record is missing for a day.
    pub record: DomainRecord,
    /// When the record was looked for last; left out before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = String, format = DateTime)]
    pub looked_at: Option<Timestamp>,
    /// When the next look is due.
    #[schema(value_type = String, format = DateTime)]
    pub next_look_at: Timestamp,
    /// Since when the record of a verified domain is missing; left out while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = String, format = DateTime)]
    pub missing_since: Option<Timestamp>,
    /// What is wrong; left out when nothing is, and before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<DomainProblem>,
}

/// All domains of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainList {
    /// By name; a tenant has at most 20.
    pub items: Vec<Domain>,
}
