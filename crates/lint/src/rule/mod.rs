//! The rules as data: id, severity, tiers, what is wrong and why, and an example of each kind.
//!
//! INVARIANT: a rule's own examples are tested: the bad one is found by exactly this rule, the good one is not. Ids are
//! never given to another rule, so that allowances keep their meaning.

mod input;
mod online;
mod session;
mod statement;
mod structure;

use serde::Serialize;

use crate::options::Tier;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Can hurt under load, or needs a second look.
    Warning,
    /// Crosses tenants, or can.
    Error,
}

impl Severity {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What an example needs besides the default options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Example {
    /// Nothing.
    Plain,
    /// `require_guard`.
    RequireGuard,
    /// Without `allow_default`.
    NoDefault,
    /// Small bounds, so that the example stays readable.
    Shallow,
    /// This allow-list.
    Allow(&'static str),
}

/// A rule.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// `TL101`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is looked for.
    pub tiers: &'static [Tier],
    /// What is wrong, in half a sentence.
    pub title: &'static str,
    /// Why, and what to do.
    pub explanation: &'static str,
    /// SQL that is found.
    pub bad: &'static str,
    /// SQL that does the same and is not.
    pub good: &'static str,
    /// What the examples need.
    #[serde(skip)]
    pub example: Example,
}

/// Everywhere.
const ALL: &[Tier] = &Tier::ALL;
/// Where tenants share tables.
const SHARED: &[Tier] = &[Tier::Shared];
/// Where tenants share a database.
const COMMON: &[Tier] = &[Tier::Shared, Tier::Schema];

/// All rules in the order of their ids.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [input::RULES, statement::RULES, structure::RULES, session::RULES, online::RULES].into_iter().flatten()
}

/// The rule of an id, in any case.
pub fn find(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_and_texts_are_sentences() {
        let ids: Vec<_> = all().map(|rule| rule.id).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(ids, sorted);
        for rule in all() {
            assert!(rule.explanation.ends_with('.'), "{}: {}", rule.id, rule.explanation);
            assert!(!rule.title.ends_with('.') && !rule.title.is_empty(), "{}", rule.id);
        }
    }
}
