//! Why a question is answered as it is, rule by rule.

use cedar_policy::Authorizer;
use serde::Serialize;

use crate::answer::Answer;
use crate::engine::Engine;
use crate::facts::Sort;
use crate::index::{self, Share};
use crate::question::Question;

/// A decision with everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The decision.
    pub answer: Answer,
    /// Rules of the bundle.
    pub rules: usize,
    /// Rules whose scope fits the question, in the order of their names.
    pub considered: Vec<Applied>,
}

/// What one rule says to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// Its name.
    pub rule: String,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// Whether its scope and conditions hold.
    pub holds: bool,
    /// Whether it decided the answer.
    pub decided: bool,
    /// What is wrong with it, when it could not be evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it is about, in its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What would satisfy it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// What a rule does when it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Allows, unless another one forbids.
    Permit,
    /// Refuses, whatever others permit.
    Forbid,
}

impl Engine {
    /// Decides, and says of each rule that can matter what it says by itself.
    #[must_use]
    pub fn explain(&self, question: &Question) -> Explanation {
        let answer = self.ask(question);
        let mut considered = Vec::new();
        if let Ok(facts) = self.ground().put(question, None)
            && let Some(sets) = self.index().fitting(&question.action, Sort::of(&question.resource), &facts)
        {
            let authorizer = Authorizer::new();
            for policy in sets.iter().flat_map(|set| set.policies()) {
                let mut share = Share::default();
                share.add(&authorizer, &index::set(std::iter::once(policy)), &facts);
                let rule = policy.id().to_string();
                let own = |key: &str| policy.annotation(key).map(str::to_owned);
                considered.push(Applied {
                    decided: answer.rules.contains(&rule),
                    rule,
                    effect: match policy.effect() {
                        cedar_policy::Effect::Permit => Effect::Permit,
                        cedar_policy::Effect::Forbid => Effect::Forbid,
                    },
                    holds: !share.permits.is_empty() || !share.forbids.is_empty(),
                    problem: share.faults.pop().map(|fault| fault.problem),
                    about: own("about"),
                    remedy: own("remedy"),
                });
            }
        }
        considered.sort_by(|one, other| one.rule.cmp(&other.rule));
        Explanation { answer, rules: self.len(), considered }
    }
}
