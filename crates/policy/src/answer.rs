//! What comes back from a decision: yes or no, the rules that decided it, and what to do about a no.

use serde::{Deserialize, Serialize};

/// The rule that is named when nothing permits.
pub const DENY_BY_DEFAULT: &str = "deny-by-default";

/// The rule that refuses an action that the product does not list.
pub const KNOWN_ACTIONS: &str = "known-actions";

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Whether it may be done.
    pub allowed: bool,
    /// The rules that determined it, sorted; never empty. Of a refusal: those that refuse.
    pub rules: Vec<String>,
    /// What would satisfy the rules; absent when it is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Rules that could not be evaluated. One that forbids counts as refusing, one that permits as not permitting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// Name, version and digest of the rules that were asked, for the audit.
    pub fingerprint: String,
}

/// A rule that could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The rule's name.
    pub rule: String,
    /// What went wrong in it.
    pub problem: String,
}

impl Answer {
    /// A refusal of our own, outside of any bundle.
    pub(crate) fn refused(rule: &str, remedy: impl Into<String>, fingerprint: &str) -> Self {
        Self {
            allowed: false,
            rules: vec![rule.to_owned()],
            remedy: Some(remedy.into()),
            faults: Vec::new(),
            fingerprint: fingerprint.to_owned(),
        }
    }

    /// The first of the rules, for a message with room for one.
    #[must_use]
    pub fn rule(&self) -> &str {
        self.rules.first().map_or(DENY_BY_DEFAULT, String::as_str)
    }
}
