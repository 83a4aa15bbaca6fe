//! Rules ready to be asked, with their settings: one value that never changes and is swapped as a whole.

use std::sync::Arc;

use cedar_policy::{Authorizer, PolicySet};
use tenantry_domain::code::FieldError;

use crate::answer::{Answer, DENY_BY_DEFAULT, KNOWN_ACTIONS};
use crate::facts::{Facts, Ground, Sort};
use crate::index::{self, Index, Share};
use crate::question::Question;
use crate::rules::Rules;
use crate::settings::{Settings, Windows};

/// The rule that is named when a question is out of bounds.
const WELL_FORMED: &str = "well-formed-question";

/// Rules that can be asked.
#[derive(Debug, Clone)]
pub struct Engine {
    rules: Arc<Rules>,
    index: Arc<Index>,
    ground: Ground,
    fingerprint: Arc<str>,
}

impl Engine {
    /// Makes one of rules that were read.
    ///
    /// # Errors
    /// The settings do not fit the rules' schema, or a window is none.
    pub(crate) fn new(
        rules: Rules,
        settings: &Settings,
        windows: &Windows,
        fingerprint: &str,
    ) -> Result<Self, FieldError> {
        let ground = ground(&rules, settings, windows)?;
        let index = Index::new(rules.policies(), ground.names(), ground.values());
        Ok(Self { rules: Arc::new(rules), index: Arc::new(index), ground, fingerprint: fingerprint.into() })
    }

    /// The same rules with other settings.
    ///
    /// # Errors
    /// As of [`Engine::new`].
    pub(crate) fn with(&self, settings: &Settings, windows: &Windows) -> Result<Self, FieldError> {
        let ground = ground(&self.rules, settings, windows)?;
        let index = Index::new(self.rules.policies(), ground.names(), ground.values());
        Ok(Self { ground, index: Arc::new(index), ..self.clone() })
    }

    /// Name, version and digest of the rules: `acme/3+sha256:1f0c9b…`.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.policies().len()
    }

    /// Whether there is none; there always is one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decides. Takes microseconds and never waits.
    #[must_use]
    pub fn ask(&self, question: &Question) -> Answer {
        self.decide(question, |facts| self.index.ask(&question.action, Sort::of(&question.resource), facts))
    }

    /// Decides by evaluating every rule. Slow; what [`Engine::ask`] is compared with.
    #[must_use]
    pub fn ask_all(&self, question: &Question) -> Answer {
        let whole = self.whole();
        self.ask_whole(question, &whole)
    }

    /// All rules as one set, for [`Engine::ask_whole`].
    #[must_use]
    pub fn whole(&self) -> PolicySet {
        index::set(self.rules.policies().iter())
    }

    /// Decides by a set of rules that was made before.
    #[must_use]
    pub fn ask_whole(&self, question: &Question, whole: &PolicySet) -> Answer {
        self.decide(question, |facts| {
            crate::action::groups(&question.action)?;
            let mut share = Share::default();
            share.add(&Authorizer::new(), whole, facts);
            Some(share)
        })
    }

    fn decide(&self, question: &Question, judge: impl FnOnce(&Facts) -> Option<Share>) -> Answer {
        let facts = match self.ground.put(question, None) {
            Ok(facts) => facts,
            Err(error) => {
                return Answer::refused(WELL_FORMED, format!("Correct the request: {error}."), &self.fingerprint);
            }
        };
        match judge(&facts) {
            Some(share) => self.answer(question, share),
            None => Answer::refused(
                KNOWN_ACTIONS,
                "This version of the product does not list the action for policy; report it.",
                &self.fingerprint,
            ),
        }
    }

    fn answer(&self, question: &Question, share: Share) -> Answer {
        let Share { permits, mut forbids, mut faults } = share;
        faults.sort_by(|one, other| one.rule.cmp(&other.rule));
        // Nobody knows what a rule that failed would have said; one that forbids is taken at its word.
        let forbidding =
            |rule: &str| self.rules.get(rule).is_none_or(|policy| policy.effect() == cedar_policy::Effect::Forbid);
        forbids.extend(faults.iter().filter(|fault| forbidding(&fault.rule)).map(|fault| fault.rule.clone()));
        let fingerprint = self.fingerprint.to_string();
        if !forbids.is_empty() {
            let remedy = Some(self.remedies(forbids.iter()));
            return Answer { allowed: false, rules: forbids.into_iter().collect(), remedy, faults, fingerprint };
        }
        if permits.is_empty() {
            let remedy = if question.context.granted {
                format!("No rule permits `{}` here; add one that does.", question.action)
            } else {
                format!("Ask for a role that grants `{}`.", question.action)
            };
            return Answer { faults, ..Answer::refused(DENY_BY_DEFAULT, remedy, &self.fingerprint) };
        }
        Answer { allowed: true, rules: permits.into_iter().collect(), remedy: None, faults, fingerprint }
    }

    /// What the rules advise, each advice once.
    fn remedies<'r>(&self, names: impl Iterator<Item = &'r String>) -> String {
        let mut told: Vec<&str> = Vec::new();
        for remedy in names.filter_map(|name| self.rules.get(name)?.annotation("remedy")) {
            if !told.contains(&remedy) && told.len() < 3 {
                told.push(remedy);
            }
        }
        if told.is_empty() { "Have the rule corrected.".to_owned() } else { told.join(" ") }
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) const fn ground(&self) -> &Ground {
        &self.ground
    }
}

fn ground(rules: &Rules, settings: &Settings, windows: &Windows) -> Result<Ground, FieldError> {
    let ground = Ground::new(settings, windows).map_err(|error| FieldError::new("policy.toml", error))?;
    rules.conforms(&ground).map_err(|complaint| FieldError { field: "policy.toml".to_owned(), ..complaint })?;
    Ok(ground)
}
