//! A rollout: one version of an app on its way to all of its targets, wave by wave.
//!
//! A *target* is what one run of a migration changes: the shared tables of a cell, or the place of one tenant. Which
//! wave a target is in is decided once, by [`waves`]; what happens next is decided from counts alone, by [`next`], so
//! any replica can go on where another one was killed.
//!
//! Invariant: no target of a wave is released before every target of the waves before it has ended, and none at all
//! after a failure where the strategy says stop.

mod pace;
mod strategy;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use pace::{Pace, Signals};
pub use strategy::{Canary, OnFailure, Strategy, StrategyError};

use crate::Timestamp;

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its targets are being found.
    Planning,
    /// Targets are being brought to the version.
    Running,
    /// A wave has ended and a person has to let the next one begin.
    Waiting,
    /// A person stopped it.
    Paused,
    /// It stopped itself after a failure.
    Halted,
    /// Every target has ended.
    Completed,
    /// A newer version of the app took its place.
    Superseded,
    /// A person gave it up.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Planning,
        Self::Running,
        Self::Waiting,
        Self::Paused,
        Self::Halted,
        Self::Completed,
        Self::Superseded,
        Self::Cancelled,
    ];

    /// The word in columns and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Halted => "halted",
            Self::Completed => "completed",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing can happen any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Superseded | Self::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a status of a rollout or of its targets")]
pub struct UnknownStatus;

impl FromStr for Status {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownStatus)
    }
}

/// How one target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetStatus {
    /// Its wave has not begun, or it is not its turn yet.
    Waiting,
    /// It is being migrated, or tried again.
    Running,
    /// It has the version.
    Done,
    /// It had the version's structure already; nothing ran.
    Current,
    /// It could not be migrated and is as it was before the file that failed.
    Failed,
    /// It is no longer there, or a person left it out.
    Skipped,
}

impl TargetStatus {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Waiting, Self::Running, Self::Done, Self::Current, Self::Failed, Self::Skipped];

    /// The word in columns and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Current => "current",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl FromStr for TargetStatus {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownStatus)
    }
}

/// What of a target decides its wave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The cell that it is on.
    pub cell: String,
    /// Whether it is the shared tables of that cell.
    pub is_home: bool,
    /// Whether it belongs to nobody: the first to try things on.
    pub is_synthetic: bool,
    /// Whether the strategy names it as a canary.
    pub is_named: bool,
}

/// The wave of each candidate, from 0, in the order given. Shared tables are everybody's of their cell, so they are
/// spread over the waves by cell; the first wave holds the canaries: those that are named, else synthetic tenants,
/// else the first ones.
#[must_use]
pub fn waves(candidates: &[Candidate], strategy: &Strategy) -> Vec<u32> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|place| {
        let candidate = &candidates[*place];
        (!candidate.is_named, !candidate.is_synthetic, *place)
    });
    let named = candidates.iter().filter(|candidate| candidate.is_named).count();
    let canaries = named.max(usize::try_from(strategy.canary.count).unwrap_or(usize::MAX)).min(candidates.len());
    let rest = candidates.len() - canaries;
    // With nothing behind them, canaries are the whole rollout and the first wave.
    let first = u32::from(canaries > 0);
    let mut assigned = vec![0; candidates.len()];
    for (rank, place) in order.into_iter().enumerate() {
        if rank < canaries {
            continue;
        }
        // The smallest wave whose share of the rest reaches this one.
        let upto = (rank - canaries + 1) * 100;
        let wave = strategy.waves.iter().position(|percent| usize::from(*percent) * rest >= upto);
        let last = strategy.waves.len().saturating_sub(1);
        assigned[place] = first + u32::try_from(wave.unwrap_or(last)).unwrap_or(u32::MAX);
    }
    dense(assigned)
}

/// Takes out waves that have nobody, so that no wave ends before it begins.
fn dense(mut assigned: Vec<u32>) -> Vec<u32> {
    let mut used: Vec<u32> = assigned.clone();
    used.sort_unstable();
    used.dedup();
    for wave in &mut assigned {
        *wave = used.binary_search(wave).ok().and_then(|place| u32::try_from(place).ok()).unwrap_or(0);
    }
    assigned
}

/// What is known of a rollout when the next move is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// How it stands.
    pub status: Status,
    /// The present wave.
    pub wave: u32,
    /// How many waves there are.
    pub waves: u32,
    /// Targets of the present wave that wait for their turn.
    pub waiting: u64,
    /// Targets that are at work, of any wave.
    pub running: u64,
    /// Targets of the present wave that failed.
    pub failed: u64,
    /// When the present wave had nobody left; absent while it has.
    pub wave_ended_at: Option<Timestamp>,
}

/// The next move of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Let targets of the present wave begin, as many as the pace allows.
    Release,
    /// Nothing to do until somebody ends.
    Wait,
    /// The present wave has ended just now.
    EndWave,
    /// The next wave may begin only then.
    Pause {
        /// The moment.
        until: Timestamp,
    },
    /// Ask a person before the next wave.
    Ask,
    /// Begin the next wave.
    Advance,
    /// Stop: a target failed.
    Halt,
    /// Every target has ended.
    Complete,
}

/// Decides the next move.
#[must_use]
pub fn next(state: &State, strategy: &Strategy, now: Timestamp) -> Move {
    if state.status != Status::Running {
        return Move::Wait;
    }
    let stops = strategy.on_failure == OnFailure::Stop;
    if state.failed > 0 && stops {
        return if state.running > 0 { Move::Wait } else { Move::Halt };
    }
    if state.waiting > 0 {
        return Move::Release;
    }
    if state.running > 0 {
        return Move::Wait;
    }
    if state.wave + 1 >= state.waves {
        return Move::Complete;
    }
    let Some(ended_at) = state.wave_ended_at else { return Move::EndWave };
    let until = ended_at.saturating_add(strategy.pause()).unwrap_or(Timestamp::MAX);
    if until > now {
        return Move::Pause { until };
    }
    if strategy.approval { Move::Ask } else { Move::Advance }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn candidates(count: usize) -> Vec<Candidate> {
        let one = Candidate { cell: "c".to_owned(), is_home: false, is_synthetic: false, is_named: false };
        vec![one; count]
    }

    fn strategy(canary: u32, waves: &[u8]) -> Strategy {
        Strategy { canary: Canary { count: canary, ..Canary::default() }, waves: waves.to_vec(), ..Strategy::default() }
    }

    #[test]
    fn a_canary_goes_first_and_shares_are_of_the_rest() {
        let found = waves(&candidates(11), &strategy(1, &[10, 50, 100]));
        assert_eq!(found, [0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
    }

    #[test]
    fn named_and_synthetic_targets_are_the_canaries() {
        let mut all = candidates(4);
        all[3].is_named = true;
        assert_eq!(waves(&all, &strategy(1, &[100])), [1, 1, 1, 0]);
        all[3].is_named = false;
        all[2].is_synthetic = true;
        assert_eq!(waves(&all, &strategy(1, &[100])), [1, 1, 0, 1]);
    }

    #[test]
    fn one_target_is_one_wave() {
        assert_eq!(waves(&candidates(1), &strategy(1, &[10, 100])), [0]);
        assert_eq!(waves(&candidates(0), &strategy(1, &[10, 100])), Vec::<u32>::new());
        assert_eq!(waves(&candidates(2), &strategy(0, &[10, 100])), [0, 0]);
    }

    fn state() -> State {
        State { status: Status::Running, wave: 0, waves: 2, waiting: 0, running: 0, failed: 0, wave_ended_at: None }
    }

    #[test]
    fn a_failure_stops_what_waits_but_lets_end_what_runs() {
        let strategy = strategy(1, &[100]);
        let now = Timestamp::UNIX_EPOCH;
        let failed = State { failed: 1, waiting: 3, running: 1, ..state() };
        assert_eq!(next(&failed, &strategy, now), Move::Wait);
        assert_eq!(next(&State { running: 0, ..failed.clone() }, &strategy, now), Move::Halt);
        let patient = Strategy { on_failure: OnFailure::Continue, ..strategy };
        assert_eq!(next(&failed, &patient, now), Move::Release);
    }

    #[test]
    fn between_waves_there_is_a_pause_and_then_a_question() {
        let now = Timestamp::UNIX_EPOCH;
        let strategy = Strategy { pause_seconds: 60, approval: true, ..strategy(1, &[100]) };
        assert_eq!(next(&state(), &strategy, now), Move::EndWave);
        let ended = State { wave_ended_at: Some(now), ..state() };
        let until = now + jiff::SignedDuration::from_secs(60);
        assert_eq!(next(&ended, &strategy, now), Move::Pause { until });
        assert_eq!(next(&ended, &strategy, until), Move::Ask);
        assert_eq!(next(&State { wave: 1, ..state() }, &strategy, now), Move::Complete);
    }

    proptest! {
        #[test]
        fn every_wave_has_somebody_and_later_ones_are_not_smaller_numbers(
            count in 0usize..200, canary in 0u32..5, mut shares in prop::collection::vec(1u8..100, 0..4),
        ) {
            shares.sort_unstable();
            shares.dedup();
            shares.push(100);
            let found = waves(&candidates(count), &strategy(canary, &shares));
            prop_assert_eq!(found.len(), count);
            let most = found.iter().copied().max().map_or(0, |most| most + 1);
            for wave in 0..most {
                prop_assert!(found.contains(&wave));
            }
            prop_assert!(found.is_sorted());
        }
    }
}
