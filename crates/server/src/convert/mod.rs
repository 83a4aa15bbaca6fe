//! From what use cases give to what the contract shows. Nothing is decided here.

pub mod access;
pub mod approval;
pub mod audit;
pub mod catalog;
pub mod change;
pub mod directory;
pub mod domain;
pub mod event;
pub mod flag;
pub mod guard;
pub mod incident;
pub mod login;
pub mod member;
pub mod operation;
pub mod placement;
pub mod plan;
pub mod pool;
pub mod quota;
pub mod rollout;
pub mod route;
pub mod stream;
pub mod tenant;
pub mod token;
pub mod usage;
pub mod version;
pub mod webhook;

use serde::Serialize;
use serde_json::Value;
use tenantry_api::v1::Page;
use tenantry_api::v1::tenant::Failure;
use tenantry_domain::workflow::Cause;

/// The word of a unit variant, as its own serialisation has it.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

fn value<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn failure(cause: &Cause) -> Failure {
    Failure { code: cause.code.clone(), message: cause.message.clone(), retryable: cause.retryable }
}

/// A page of shown items.
pub fn page<T, U>(page: tenantry_control::Page<T>, show: impl Fn(T) -> U) -> Page<U> {
    Page { items: page.items.into_iter().map(show).collect(), next_page_token: page.next }
}
