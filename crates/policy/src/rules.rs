//! Rules as they were written: read, named and validated, with every complaint at once.
//!
//! A rule is one Cedar policy with `@id("…")`, unique in the bundle. One that forbids says by `@remedy("…")` what the
//! caller can do. Templates are refused: there is nobody who would link them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use tenantry_domain::Timestamp;
use tenantry_domain::code::FieldError;

use crate::action::ACTIONS;
use crate::depth;
use crate::facts::Ground;
use crate::question::{
    Circumstances, EnvironmentFacts, ObjectFacts, Principal, PrincipalKind, Question, Resource, TenantFacts, Wanted,
};

/// Most rules of a bundle, those that are shipped included.
pub const MAX_RULES: usize = 10_000;

/// Most complaints that are told at once.
const MAX_COMPLAINTS: usize = 50;

/// Rules of a bundle, in the order of their names.
#[derive(Debug, Clone)]
pub struct Rules {
    policies: Vec<Policy>,
    schema: Arc<Schema>,
}

impl Rules {
    /// Reads and validates the rules of several files, `(name, text)`.
    ///
    /// # Errors
    /// Every complaint, up to a bound.
    pub fn read(files: &[(String, &str)], schema: Schema) -> Result<Self, Vec<FieldError>> {
        let mut complaints = Vec::new();
        let mut named: BTreeMap<String, (Policy, &str)> = BTreeMap::new();
        for (file, text) in files {
            if let Err(error) = depth::check(text) {
                complaints.push(FieldError::new(file, error));
                continue;
            }
            match text.parse::<PolicySet>() {
                Ok(set) => take(file, &set, &mut named, &mut complaints),
                Err(error) => complaints.push(FieldError::new(file, explained(&error))),
            }
        }
        if named.len() > MAX_RULES {
            complaints.push(FieldError::new("*.cedar", format!("more than {MAX_RULES} rules")));
        }
        if complaints.is_empty() {
            complaints.extend(validate(&named, &schema));
        }
        if complaints.is_empty() && named.is_empty() {
            complaints.push(FieldError::new("*.cedar", "a bundle without a rule would refuse everything"));
        }
        if !complaints.is_empty() {
            complaints.truncate(MAX_COMPLAINTS);
            return Err(complaints);
        }
        let policies = named.into_values().map(|(policy, _)| policy).collect();
        Ok(Self { policies, schema: Arc::new(schema) })
    }

    /// All of them.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Policy> {
        let id_of = |policy: &Policy| AsRef::<str>::as_ref(policy.id()).cmp(name);
        let place = self.policies.binary_search_by(id_of).ok()?;
        self.policies.get(place)
    }

    /// Whether what will be put to the rules conforms to their schema, by the widest and the barest question about each
    /// sort of thing. Rules were validated against the schema, so a question that conforms cannot surprise them.
    pub fn conforms(&self, ground: &Ground) -> Result<(), FieldError> {
        // All actions of the product have one type, and a bundle cannot give them another one.
        let action = ACTIONS.first().map_or("", |(name, _)| *name);
        let fits = |question: &Question| ground.put(question, Some(&self.schema)).is_ok();
        if shapes(action).iter().all(fits) {
            return Ok(());
        }
        Err(FieldError::new("settings.own", "the values do not have the type `Own` of schema.cedarschema"))
    }
}

fn take<'f>(
    file: &'f str,
    set: &PolicySet,
    named: &mut BTreeMap<String, (Policy, &'f str)>,
    complaints: &mut Vec<FieldError>,
) {
    if set.num_of_templates() > 0 {
        complaints.push(FieldError::new(file, "holds a template; write the rule out for each case"));
    }
    let mut without: u32 = 0;
    for policy in set.policies() {
        let Some(name) = policy.annotation("id") else {
            without += 1;
            continue;
        };
        if !is_name(name) {
            let shown: String = name.chars().take(64).collect();
            let wanted = "a name has lower-case letters, digits, `-` and `.`, begins with a letter, has 64 at most";
            complaints.push(FieldError::new(file, format!("`{shown}`: {wanted}")));
            continue;
        }
        let forbids = policy.effect() == cedar_policy::Effect::Forbid;
        if forbids && policy.annotation("remedy").is_none_or(|text| text.trim().is_empty()) {
            complaints.push(FieldError::new(file, format!("`{name}` forbids and has no @remedy(\"…\")")));
        }
        let policy = policy.new_id(PolicyId::new(name));
        if let Some((_, other)) = named.insert(name.to_owned(), (policy, file)) {
            complaints.push(FieldError::new(file, format!("`{name}` is the name of a rule in {other} already")));
        }
    }
    if without > 0 {
        complaints.push(FieldError::new(file, format!("{without} of its rules have no @id(\"…\")")));
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    name.len() <= 64 && name.bytes().all(allowed) && name.starts_with(|first: char| first.is_ascii_lowercase())
}

fn validate(named: &BTreeMap<String, (Policy, &str)>, schema: &Schema) -> Vec<FieldError> {
    let set = match PolicySet::from_policies(named.values().map(|(policy, _)| policy.clone())) {
        Ok(set) => set,
        Err(error) => return vec![FieldError::new("*.cedar", error)],
    };
    let file_of = |id: &PolicyId| named.get(AsRef::<str>::as_ref(id)).map_or("*.cedar", |(_, file)| file);
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    let errors = result.validation_errors().map(|error| FieldError::new(file_of(error.policy_id()), error));
    let mut complaints: BTreeSet<_> = errors.map(|complaint| (complaint.field, complaint.message)).collect();
    // A rule that can never hold is a mistake, and letters that look like others may be an attack.
    for warning in result.validation_warnings() {
        complaints.insert((file_of(warning.policy_id()).to_owned(), warning.to_string()));
    }
    complaints.into_iter().map(|(field, message)| FieldError { field, message }).collect()
}

/// A parser's error with what it points at.
fn explained(error: &cedar_policy::ParseErrors) -> String {
    error.to_string().chars().take(2_000).collect()
}

/// The widest and the barest question of an action, about each sort of thing.
fn shapes(action: &str) -> Vec<Question> {
    let word = || "x".to_owned();
    let some = || Some(word());
    let many = || BTreeSet::from([word()]);
    let labels = || BTreeMap::from([(word(), word())]);
    let bare = TenantFacts { id: word(), environment: word(), ..TenantFacts::default() };
    let wide = TenantFacts {
        region: some(),
        allowed_regions: many(),
        residency_flags: many(),
        labels: labels(),
        profile: some(),
        ..bare.clone()
    };
    let object = ObjectFacts { kind: word(), id: word(), environment: word(), ..ObjectFacts::default() };
    let resources = [
        Resource::Tenant(bare),
        Resource::Environment(EnvironmentFacts { name: word(), labels: BTreeMap::new() }),
        Resource::Object(object.clone()),
    ];
    let widest = [
        Resource::Tenant(wide.clone()),
        Resource::Environment(EnvironmentFacts { name: word(), labels: labels() }),
        Resource::Object(ObjectFacts { tenant: Some(wide), labels: labels(), ..object }),
    ];
    let everything = Circumstances {
        granted: true,
        now: Timestamp::UNIX_EPOCH,
        reason: some(),
        approvals: many(),
        regions: many(),
        encryption: some(),
        retention_days: Some(1),
        wanted: Wanted {
            plan: some(),
            isolation: some(),
            phase: some(),
            profile: some(),
            allowed_regions: Some(many()),
        },
    };
    let ask = |resource, context, roles: BTreeSet<String>, environment| Question {
        principal: Principal { kind: PrincipalKind::Operator, id: word(), roles, environment },
        action: action.to_owned(),
        resource,
        context,
    };
    let bare = resources.into_iter().map(|one| ask(one, Circumstances::default(), BTreeSet::new(), None));
    let wide = widest.into_iter().map(|one| ask(one, everything.clone(), many(), some()));
    bare.chain(wide).collect()
}

#[cfg(test)]
mod tests {
    use cedar_policy::Entities;

    use super::*;
    use crate::settings::{Settings, Windows};

    /// A question's entities are added to those that are kept for its action; what comes of it is what all of them together are.
    #[test]
    fn entities_that_are_added_know_their_ancestors() {
        let ground = Ground::new(&Settings::default(), &Windows::default()).unwrap();
        for (action, groups) in ACTIONS {
            for question in shapes(action) {
                let facts = ground.put(&question, None).unwrap();
                let (resource, around) = (&facts.named[1], &facts.named[2..]);
                for above in around {
                    assert!(facts.entities.is_ancestor_of(above, resource), "{action}: {resource} in {above}");
                }
                let own = ground.names().action(action);
                for group in *groups {
                    assert!(facts.entities.is_ancestor_of(&ground.names().action(group), &own), "{action} in {group}");
                }
                let whole = Entities::from_entities(facts.entities.iter().cloned(), None).unwrap();
                assert_eq!((facts.entities, 2 + facts.named.len()), (whole.clone(), whole.iter().count()), "{action}");
            }
        }
    }
}
