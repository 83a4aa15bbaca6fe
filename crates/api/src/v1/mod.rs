//! The shapes of version 1: what goes over the wire, and its schema.
//!
//! Everything is loose on purpose: words are texts, so that a client of this release reads the words of the next one.
//! For the same reason shapes that are answered accept fields that they do not know. What may be *sent* is narrower and
//! checked in [`crate::parse`]; the schema names the words of this release.

pub mod access;
pub mod approval;
pub mod audit;
pub mod catalog;
pub mod change;
pub mod directory;
pub mod domain;
pub mod entitlement;
pub mod event;
pub mod flag;
pub mod guard;
pub mod incident;
pub mod login;
pub mod member;
pub mod operation;
pub mod payload;
pub mod person;
pub mod placement;
pub mod plan;
pub mod pool;
pub mod quota;
pub mod rollout;
pub mod route;
pub mod stream;
pub mod tenant;
pub mod terms;
pub mod token;
pub mod usage;
pub mod version;
pub mod webhook;
pub mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use tenantry_domain::manifest::API_VERSION;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where the next page begins; left out on the last one. Opaque, and good only for the same query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_page_token: Option<String>,
}

/// Which object it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The object's name; a tenant's name is its slug and its subdomain.
    #[schema(min_length = 1, max_length = 50, example = "acme")]
    pub name: String,
    /// The partition of the registry. In a request it may be left out, and must be the route's if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 20, example = "prod")]
    pub environment: Option<String>,
    /// Free labels of a tenant, for selection. At most 64; other kinds have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"segment": "smb"}))]
    pub labels: BTreeMap<String, String>,
}

fn api_version() -> String {
    API_VERSION.to_owned()
}
