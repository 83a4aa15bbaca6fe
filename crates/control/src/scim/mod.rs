//! SCIM 2.0: a customer's directory keeps its users and groups here, and by them the tenant's members.
//!
//! A user of the directory is a member while they are active and it is known who signs in as them: by the issuer that an
//! admin of the tenant named for the directory ([`directory`]), or by the address that the person proved at their first
//! log-in, in a domain that the tenant proved to be its own ([`claim`]). Groups that an admin mapped give roles.
//! INVARIANT: what a directory says gives nobody ownership, takes the last owner from nobody, and reaches one tenant alone;
//! whatever it changes of members is in the commit of what it said.

mod claim;
mod directory;
mod groups;
mod standing;
mod users;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_domain::member::scim::{Filter, Kind, MOST_LOOKED_AT, ScimError, matching};
use uuid::Uuid;

pub use claim::claim;
pub use directory::{Directory, Group, Wanted, directory, groups as directory_groups, map, set};
pub use groups::{create as create_group, delete as delete_group, get as group, list as groups};
pub use groups::{patch as patch_group, replace as replace_group};
pub use users::{create as create_user, delete as delete_user, get as user, list as users};
pub use users::{patch as patch_user, replace as replace_user};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::members::look;
use crate::refusal::Refusal;
use crate::tenants::edit::TenantRef;

/// A resource as a client sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// The document, complete.
    pub document: Value,
    /// Its version.
    pub version: i64,
}

/// Where a request came in: what the addresses of resources begin with, without a slash at the end.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The tenant.
    pub tenant: &'a TenantRef,
    /// `/scim/v2/environments/prod/tenants/acme`.
    pub base: &'a str,
}

/// Which resources of a kind.
#[derive(Debug, Clone)]
pub struct Query {
    /// Only those.
    pub filter: Option<Filter>,
    /// The first one, from 1.
    pub start: u64,
    /// How many at most.
    pub count: usize,
    /// Whether groups are shown with their members.
    pub with_members: bool,
    /// Whether users are shown with their groups.
    pub with_groups: bool,
}

/// A page of resources.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// How many there are in all.
    pub total: u64,
    /// These, complete documents.
    pub resources: Vec<Value>,
}

/// Whether the caller may ask about the tenant's directory at all.
///
/// # Errors
/// There is no such tenant, or the caller lacks the right.
pub async fn enter(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<(), Refusal> {
    look(cx, deps, tenant, "scim.read", None).await.map(|_| ())
}

/// Those of some documents that a filter asks for, and of them a page.
fn page(query: &Query, filter: &Filter, kind: Kind, shown: Vec<Value>) -> Listed {
    let mut sieve = Sieve::new(query, filter, kind);
    shown.into_iter().for_each(|one| sieve.take(one));
    sieve.end()
}

/// Tries documents one by one. Keeps those of the page, and of the others how many the filter asks for.
struct Sieve<'a> {
    filter: &'a Filter,
    kind: Kind,
    skip: u64,
    count: usize,
    found: Listed,
}

impl<'a> Sieve<'a> {
    const fn new(query: &Query, filter: &'a Filter, kind: Kind) -> Self {
        let found = Listed { total: 0, resources: Vec::new() };
        Self { filter, kind, skip: query.start.saturating_sub(1), count: query.count, found }
    }

    fn take(&mut self, one: Value) {
        if !matching::matches(self.filter, &one, self.kind) {
            return;
        }
        self.found.total += 1;
        if self.found.total > self.skip && self.found.resources.len() < self.count {
            self.found.resources.push(one);
        }
    }

    fn end(self) -> Listed {
        self.found
    }
}

/// Refuses a filter that would take looking at more than is bearable.
fn must_be_bearable(total: u64) -> Result<(), Refusal> {
    let is_too_many = usize::try_from(total).is_ok_and(|total| total > MOST_LOOKED_AT);
    if is_too_many { Err(ScimError::TooMany(MOST_LOOKED_AT).into()) } else { Ok(()) }
}

fn absent(kind: Kind, id: Uuid) -> Refusal {
    ScimError::Absent { kind: kind.as_str(), id: id.to_string() }.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_is_kept_and_the_rest_counted() {
        let filter = Filter::parse("userName sw \"a\"", Kind::User).unwrap();
        for (start, count, kept) in [(1, 2, 0..2), (3, 2, 2..4), (5, 9, 4..5), (6, 9, 5..5), (1, 0, 0..0)] {
            let query = Query { filter: None, start, count, with_members: false, with_groups: false };
            let mut sieve = Sieve::new(&query, &filter, Kind::User);
            for place in 0..5 {
                sieve.take(json!({ "userName": format!("a{place}") }));
                sieve.take(json!({ "userName": format!("b{place}") }));
            }
            let wanted: Vec<Value> = kept.map(|place| json!({ "userName": format!("a{place}") })).collect();
            assert_eq!(sieve.end(), Listed { total: 5, resources: wanted }, "{start} {count}");
        }
    }
}
