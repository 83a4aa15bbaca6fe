//! Which rules can matter for a question, by what their scopes and conditions say, so that a thousand rules cost as
//! much as the few that are about the action and its circumstances.
//!
//! INVARIANT: a rule that is left out could not have been satisfied, nor have failed: its scope names another action, another sort
//! of resource, or an entity that the question does not mention, or one of its conditions does not hold, in front of which nothing can fail. A property test compares the answers with those of all
//! rules together. The shares of an answer that come from several sets are put together in [`Share`], which is what
//! Cedar does inside of one set: any refusal wins, then any permission.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Decision, EntityUid, Policy, PolicySet, PrincipalConstraint,
    ResourceConstraint,
};

use crate::action::ACTIONS;
use crate::answer::Fault;
use crate::facts::{Facts, Names, Sort};
use crate::gate::{self, Gate, Key, Word};

/// Rules by action and sort of resource.
#[derive(Debug, Clone)]
pub struct Index {
    slots: HashMap<&'static str, [Slot; 3]>,
    authorizer: Authorizer,
}

/// Rules about one action on one sort of resource.
#[derive(Debug, Clone, Default)]
struct Slot {
    /// Whatever else the question mentions.
    general: Option<Arc<PolicySet>>,
    /// Only if an attribute is what the rule asks for.
    gated: Vec<Gated>,
    /// Never, under the settings as they are.
    shut: Option<Arc<PolicySet>>,
    /// Only if the question mentions this entity.
    named: HashMap<EntityUid, Arc<PolicySet>>,
}

/// Rules that ask for one attribute.
#[derive(Debug, Clone)]
struct Gated {
    key: Key,
    by_word: HashMap<Word, Arc<PolicySet>>,
    /// All of them: for a question that does not say what the attribute is.
    all: Arc<PolicySet>,
}

/// What some rules say to a question.
#[derive(Debug, Default)]
pub struct Share {
    /// Rules that permit and hold.
    pub permits: BTreeSet<String>,
    /// Rules that forbid and hold.
    pub forbids: BTreeSet<String>,
    /// Rules that could not be evaluated.
    pub faults: Vec<Fault>,
}

/// Where a rule's scope puts it.
enum Place {
    /// Its scope holds for every question of the slot.
    General,
    /// Only for those that mention the entity.
    Named(EntityUid),
    /// For none.
    Nowhere,
}

impl Index {
    /// Sorts rules in, as they are under these settings.
    pub fn new(policies: &[Policy], names: &Names, settings: &serde_json::Value) -> Self {
        let lean: Vec<_> = policies.iter().map(without_scope).collect();
        let gates = gate::gates(policies, settings);
        // Most actions share their rules: equal sets are kept once.
        let mut kept: HashMap<(bool, Vec<usize>), Arc<PolicySet>> = HashMap::new();
        let mut keep = |is_lean: bool, members: Vec<usize>| {
            let from = if is_lean { lean.as_slice() } else { policies };
            let made = || Arc::new(set(members.iter().filter_map(|place| from.get(*place))));
            Arc::clone(kept.entry((is_lean, members.clone())).or_insert_with(made))
        };
        let mut slots = HashMap::new();
        for (action, groups) in ACTIONS {
            let uids: Vec<_> = std::iter::once(action).chain(*groups).map(|name| names.action(name)).collect();
            let about: Vec<_> = policies
                .iter()
                .zip(&gates)
                .enumerate()
                .filter(|(_, (policy, _))| covers(&policy.action_constraint(), &uids))
                .collect();
            let slot = |sort: Sort| {
                let mut sorted = Sorted::default();
                for (place, (policy, gate)) in &about {
                    match (place_of(policy, sort, names), gate) {
                        (Place::General, Gate::On(key, word)) => sorted.gate(key, word, *place),
                        (Place::General, Gate::Shut) => sorted.shut.push(*place),
                        (Place::General, Gate::Open) => sorted.general.push(*place),
                        (Place::Named(uid), _) => sorted.named.entry(uid).or_default().push(*place),
                        (Place::Nowhere, _) => {}
                    }
                }
                sorted
            };
            let slot = Sort::ALL.map(slot).map(|sorted| sorted.kept(&mut keep));
            slots.insert(*action, slot);
        }
        Self { slots, authorizer: Authorizer::new() }
    }

    /// The sets of rules that can matter; nothing for an action that is not known.
    pub fn sets(&self, action: &str, sort: Sort, facts: &Facts) -> Option<Vec<&PolicySet>> {
        let slot = &self.slots.get(action)?[sort as usize];
        let named = facts.named.iter().filter_map(|uid| slot.named.get(uid));
        let mut sets: Vec<_> = slot.general.iter().chain(named).map(Arc::as_ref).collect();
        for gated in &slot.gated {
            match gated.key.words(facts) {
                Some(words) => sets.extend(words.iter().filter_map(|word| gated.by_word.get(word)).map(Arc::as_ref)),
                None => sets.push(&gated.all),
            }
        }
        Some(sets)
    }

    /// The sets of rules whose scope fits, also of those that ask for something else; nothing for an action that is not
    /// known.
    pub fn fitting(&self, action: &str, sort: Sort, facts: &Facts) -> Option<Vec<&PolicySet>> {
        let slot = &self.slots.get(action)?[sort as usize];
        let named = facts.named.iter().filter_map(|uid| slot.named.get(uid));
        let gated = slot.gated.iter().map(|gated| &gated.all);
        Some(slot.general.iter().chain(&slot.shut).chain(named).chain(gated).map(Arc::as_ref).collect())
    }

    /// What the rules say that can matter.
    pub fn ask(&self, action: &str, sort: Sort, facts: &Facts) -> Option<Share> {
        let mut share = Share::default();
        for set in self.sets(action, sort, facts)? {
            share.add(&self.authorizer, set, facts);
        }
        Some(share)
    }
}

/// Places of a slot's rules.
#[derive(Default)]
struct Sorted {
    general: Vec<usize>,
    shut: Vec<usize>,
    gated: HashMap<Key, HashMap<Word, Vec<usize>>>,
    named: HashMap<EntityUid, Vec<usize>>,
}

impl Sorted {
    fn gate(&mut self, key: &Key, word: &Word, place: usize) {
        self.gated.entry(key.clone()).or_default().entry(word.clone()).or_default().push(place);
    }

    fn kept(self, keep: &mut impl FnMut(bool, Vec<usize>) -> Arc<PolicySet>) -> Slot {
        let gated = self.gated.into_iter().map(|(key, words)| {
            let mut all: Vec<_> = words.values().flatten().copied().collect();
            all.sort_unstable();
            let by_word = words.into_iter().map(|(word, members)| (word, keep(true, members))).collect();
            Gated { key, by_word, all: keep(true, all) }
        });
        let gated = gated.collect();
        Slot {
            general: (!self.general.is_empty()).then(|| keep(true, self.general)),
            gated,
            shut: (!self.shut.is_empty()).then(|| keep(true, self.shut)),
            named: self.named.into_iter().map(|(uid, members)| (uid, keep(false, members))).collect(),
        }
    }
}

impl Share {
    /// Adds what a set of rules says.
    pub fn add(&mut self, authorizer: &Authorizer, set: &PolicySet, facts: &Facts) {
        let response = authorizer.is_authorized(&facts.request, set, &facts.entities);
        let reasons = response.diagnostics().reason().map(ToString::to_string);
        match response.decision() {
            Decision::Allow => self.permits.extend(reasons),
            // Without a reason it is a refusal because nothing permits.
            Decision::Deny => self.forbids.extend(reasons),
        }
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            self.faults.push(Fault { rule: error.policy_id().to_string(), problem: error.inner().to_string() });
        }
    }
}

/// Policies as a set; their names are unique, so none is lost.
pub fn set<'p>(policies: impl Iterator<Item = &'p Policy>) -> PolicySet {
    PolicySet::from_policies(policies.cloned()).unwrap_or_default()
}

/// The same rule without its scope. Evaluating a scope takes as long as a short condition; where a rule is general, the
/// index has made sure of all that its scope asks for.
fn without_scope(policy: &Policy) -> Policy {
    let lean = policy.to_json().ok().and_then(|mut form| {
        for part in ["principal", "action", "resource"] {
            *form.get_mut(part)? = serde_json::json!({ "op": "All" });
        }
        Policy::from_json(Some(policy.id().clone()), form).ok()
    });
    lean.unwrap_or_else(|| policy.clone())
}

fn covers(constraint: &ActionConstraint, uids: &[EntityUid]) -> bool {
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uids.first() == Some(uid),
        ActionConstraint::In(all) => all.iter().any(|uid| uids.contains(uid)),
    }
}

fn place_of(policy: &Policy, sort: Sort, names: &Names) -> Place {
    let fits = match policy.principal_constraint() {
        PrincipalConstraint::Any => None,
        PrincipalConstraint::Is(kind) => {
            if kind != *names.principal() {
                return Place::Nowhere;
            }
            None
        }
        // Principals lie in nothing, so `in` means the same as `==`.
        PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) => Some(uid),
        PrincipalConstraint::IsIn(kind, uid) => {
            if kind != *names.principal() {
                return Place::Nowhere;
            }
            Some(uid)
        }
    };
    let about = match policy.resource_constraint() {
        ResourceConstraint::Any => None,
        ResourceConstraint::Is(kind) => {
            if kind != *names.of(sort) {
                return Place::Nowhere;
            }
            None
        }
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => Some(uid),
        ResourceConstraint::IsIn(kind, uid) => {
            if kind != *names.of(sort) {
                return Place::Nowhere;
            }
            Some(uid)
        }
    };
    // Of two names the resource's is the rarer one.
    about.or(fits).map_or(Place::General, Place::Named)
}
