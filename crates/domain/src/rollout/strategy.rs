//! How a rollout shall go, as an app's manifest says.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// What a failed target means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nobody else begins.
    #[default]
    Stop,
    /// The others go on; the failed ones are listed.
    Continue,
}

/// Who goes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Canary {
    /// At least so many targets; 0 for no first wave of its own.
    pub count: u32,
    /// Tenants with all of these labels; none when empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Default for Canary {
    fn default() -> Self {
        Self { count: 1, labels: BTreeMap::new() }
    }
}

/// How a rollout shall go. The default suits most: one target first, then the rest, stop at the first failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    /// Who goes first.
    pub canary: Canary,
    /// The waves behind the canaries, as rising shares of the rest in percent; the last one is 100.
    pub waves: Vec<u8>,
    /// Seconds between the end of a wave and the beginning of the next.
    pub pause_seconds: u32,
    /// Whether a person has to let each wave behind the first begin.
    pub approval: bool,
    /// What a failed target means for the others.
    pub on_failure: OnFailure,
    /// Most targets of one cell at work at a time; how many are is found out by looking at the server.
    pub parallel: u32,
    /// How long one try waits for a lock that transactions of tenants hold, in milliseconds. All that come later
    /// queue behind a waiting migration, so a try is short, and there are several.
    pub lock_timeout_ms: u32,
    /// A query that has to give `true` in the migrated target, inside the transaction of the last file: else the file
    /// is undone. Absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            canary: Canary::default(),
            waves: vec![100],
            pause_seconds: 0,
            approval: false,
            on_failure: OnFailure::Stop,
            parallel: 16,
            lock_timeout_ms: 2_000,
            check: None,
        }
    }
}

/// What is wrong with a strategy; the field first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct StrategyError {
    /// The field, `waves`.
    pub field: &'static str,
    /// What it has to be.
    pub message: &'static str,
}

/// Most waves behind the canaries.
const WAVES_MAX: usize = 20;
/// Longest pause between two waves: a week.
const PAUSE_MAX: u32 = 7 * 24 * 3600;
/// Longest check.
const CHECK_MAX: usize = 10_000;

impl Strategy {
    /// Whether nothing differs from the default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The pause between two waves.
    #[must_use]
    pub fn pause(&self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.pause_seconds))
    }

    /// All that is wrong with it.
    #[must_use]
    pub fn complaints(&self) -> Vec<StrategyError> {
        let mut found = Vec::new();
        let mut say = |is_wrong: bool, field, message| {
            if is_wrong {
                found.push(StrategyError { field, message });
            }
        };
        let rises = self.waves.is_sorted_by(|a, b| a < b) && self.waves.first().is_none_or(|first| *first > 0);
        say(!rises || self.waves.last() != Some(&100), "waves", "must be rising percentages that end with 100");
        say(self.waves.len() > WAVES_MAX, "waves", "must be at most 20");
        say(self.canary.count > 1_000, "canary.count", "must be at most 1000");
        say(self.pause_seconds > PAUSE_MAX, "pause", "must be at most 7d");
        say(!(1..=64).contains(&self.parallel), "parallel", "must be between 1 and 64");
        say(!(10..=60_000).contains(&self.lock_timeout_ms), "lockTimeout", "must be between 10ms and 60s");
        let check = self.check.as_deref().map(str::trim);
        say(check.is_some_and(|check| check.is_empty() || check.len() > CHECK_MAX), "check", "must be one query");
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_name_the_field() {
        assert!(Strategy::default().complaints().is_empty());
        let fields = |strategy: Strategy| strategy.complaints().into_iter().map(|one| one.field).collect::<Vec<_>>();
        assert_eq!(fields(Strategy { waves: vec![50, 10, 100], ..Strategy::default() }), ["waves"]);
        assert_eq!(fields(Strategy { waves: vec![50], ..Strategy::default() }), ["waves"]);
        assert_eq!(fields(Strategy { waves: vec![], ..Strategy::default() }), ["waves"]);
        assert_eq!(
            fields(Strategy { parallel: 0, lock_timeout_ms: 1, ..Strategy::default() }),
            ["parallel", "lockTimeout"]
        );
        assert_eq!(fields(Strategy { check: Some(" ".to_owned()), ..Strategy::default() }), ["check"]);
    }
}
