//! Whether a wanted token makes sense in itself. Nothing is looked up here.

use std::collections::BTreeMap;

use tenantry_domain::policy::rights::SCOPES_MOST;
use tenantry_domain::policy::{ActorKind, Role};

use super::Wanted;

/// The longest name and person, in letters.
const LONGEST_NAME: usize = 100;

/// Whether a wanted token makes sense in itself, all complaints at once.
pub(super) fn check(wanted: &Wanted) -> BTreeMap<&'static str, String> {
    let mut wrong = BTreeMap::new();
    let is_text = |text: &str| {
        (1..=LONGEST_NAME).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
    };
    if !is_text(&wanted.name) {
        wrong.insert("name", format!("must be 1 to {LONGEST_NAME} visible characters"));
    }
    if wanted.person.as_deref().is_some_and(|person| !is_text(person)) {
        wrong.insert("person", format!("must be 1 to {LONGEST_NAME} visible characters"));
    }
    if wanted.roles.is_empty() {
        wrong.insert("roles", "needs at least one role".to_owned());
    }
    if wanted.roles.contains(&Role::Tenant) && wanted.tenant.is_none() {
        wrong.insert("tenant", "the role `tenant` is for one tenant; name it".to_owned());
    }
    if wanted.scopes.as_ref().is_some_and(|scopes| scopes.is_empty() || scopes.len() > SCOPES_MOST) {
        wrong.insert("scopes", format!("must be 1 to {SCOPES_MOST} scopes, or absent"));
    }
    match wanted.kind {
        ActorKind::Operator if wanted.person.is_none() => {
            wrong.insert(
                "person",
                "a person's token names the person; rules that ask for two people need it".to_owned(),
            );
        }
        ActorKind::Operator | ActorKind::Service => {}
        ActorKind::Controller | ActorKind::Anonymous | ActorKind::User => {
            wrong.insert("kind", "must be `operator` or `service`".to_owned());
        }
    }
    wrong
}
