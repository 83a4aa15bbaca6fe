//! From definition and journal to the next command.
//!
//! Rules, in order: a step that fails retryably is tried again after a pause; one that fails for good (or too
//! often) turns the run round, unless the point of no return was passed, then it is stuck; undos run in reverse
//! order of completion and each must succeed; a failed undo is stuck, never forgotten. A beginning without an
//! end is a crash: the step begins again at once, because only its effect's key can tell how far it came.

use crate::Timestamp;
use crate::id::WorkflowId;
use crate::workflow::definition::{Definition, Retry, Step, StepName};
use crate::workflow::journal::{Cause, Direction, Entry, Fact};

/// The command for the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Begin this step, forward or back.
    Begin {
        /// The step.
        step: Step,
        /// Forward or back.
        direction: Direction,
        /// Number of this beginning, from 1.
        attempt: u32,
    },
    /// Nothing to do before this moment.
    Wait {
        /// When to ask again.
        until: Timestamp,
    },
    /// All steps are done.
    Completed,
    /// All that was done is undone.
    Unwound {
        /// Why the run was turned round.
        cause: Cause,
    },
    /// A human must look; the run keeps its place.
    Stuck {
        /// Where.
        step: StepName,
        /// Why.
        cause: Cause,
    },
}

#[derive(Default)]
struct Tries {
    begun: u32,
    begun_since_result: u32,
    failures: u32,
    last_failure: Option<(Timestamp, Cause)>,
    is_done: bool,
}

/// What to do next in a run.
#[must_use]
pub fn next(id: WorkflowId, definition: &Definition, retry: &Retry, journal: &[Entry], now: Timestamp) -> Next {
    let mut done = Vec::with_capacity(definition.steps.len());
    let mut turned = turned_before(journal);
    for (position, step) in definition.steps.iter().enumerate() {
        let tries = tries(journal, step.name, Direction::Do);
        if tries.is_done {
            done.push(*step);
            continue;
        }
        let past_return = definition.no_return.is_some_and(|point| position >= point) && tries.begun > 0;
        if turned.is_none() && !past_return && is_cancelled(journal) {
            turned = Some(cancelled());
        } else if turned.is_none()
            && let Some((_, cause)) = tries.last_failure.as_ref().filter(|(_, cause)| is_final(cause, &tries, retry))
        {
            if past_return {
                return Next::Stuck { step: step.name, cause: cause.clone() };
            }
            turned = Some(cause.clone());
        }
        if turned.is_some() {
            // The failing step may have had its effect, so its undo runs too.
            if tries.begun > 0 {
                done.push(*step);
            }
            break;
        }
        return attempt(id, *step, Direction::Do, &tries, retry, now);
    }
    let Some(cause) = turned else { return Next::Completed };
    for step in done.into_iter().rev().filter(|step| step.has_undo) {
        let tries = tries(journal, step.name, Direction::Undo);
        if tries.is_done {
            continue;
        }
        if let Some((_, cause)) = tries.last_failure.as_ref().filter(|(_, cause)| is_final(cause, &tries, retry)) {
            return Next::Stuck { step: step.name, cause: cause.clone() };
        }
        return attempt(id, step, Direction::Undo, &tries, retry, now);
    }
    Next::Unwound { cause }
}

/// Why the run is on its way back, once an undo was begun. From then on only the way back is left: what was undone
/// is gone, so a human's "try again" must not lead forward over it.
fn turned_before(journal: &[Entry]) -> Option<Cause> {
    let mut cause = None;
    for entry in journal {
        match &entry.fact {
            Fact::Failed { direction: Direction::Do, cause: why, .. } => cause = Some(why.clone()),
            Fact::CancelRequested => cause = Some(cancelled()),
            Fact::Intent { direction: Direction::Undo, .. } | Fact::Done { direction: Direction::Undo, .. } => {
                return Some(cause.unwrap_or_else(cancelled));
            }
            _ => {}
        }
    }
    None
}

fn cancelled() -> Cause {
    Cause { code: "cancelled".into(), message: "cancelled on request".into(), retryable: false }
}

fn is_cancelled(journal: &[Entry]) -> bool {
    journal.iter().any(|entry| entry.fact == Fact::CancelRequested)
}

fn is_final(cause: &Cause, tries: &Tries, retry: &Retry) -> bool {
    !cause.retryable || tries.failures >= retry.max_failures
}

fn tries(journal: &[Entry], name: StepName, wanted: Direction) -> Tries {
    let mut tries = Tries::default();
    for entry in journal {
        match &entry.fact {
            Fact::Intent { step, direction, .. } if *step == name && *direction == wanted => {
                tries.begun += 1;
                tries.begun_since_result += 1;
            }
            Fact::Done { step, direction, .. } if *step == name && *direction == wanted => tries.is_done = true,
            Fact::Failed { step, direction, cause } if *step == name && *direction == wanted => {
                tries.failures += 1;
                tries.begun_since_result = 0;
                tries.last_failure = Some((entry.at, cause.clone()));
            }
            Fact::RetryRequested => {
                tries.failures = 0;
                tries.begun_since_result = 0;
                tries.last_failure = None;
            }
            _ => {}
        }
    }
    tries
}

fn attempt(id: WorkflowId, step: Step, direction: Direction, tries: &Tries, retry: &Retry, now: Timestamp) -> Next {
    if tries.begun_since_result >= retry.max_crashes {
        let message = format!("begun {} times without an end", tries.begun_since_result);
        return Next::Stuck { step: step.name, cause: Cause { code: "crash_loop".into(), message, retryable: false } };
    }
    if let Some((at, _)) = tries.last_failure.as_ref().filter(|_| tries.begun_since_result == 0) {
        let until = at.saturating_add(pause(id, step.name, tries.failures, retry)).unwrap_or(*at);
        if until > now {
            return Next::Wait { until };
        }
    }
    Next::Begin { step, direction, attempt: tries.begun + 1 }
}

/// Exponential pause with a jitter of ±50 %. The jitter is a function of run, step and failure count, so that a
/// replay of the journal gives the same answer while many runs still spread out.
fn pause(id: WorkflowId, step: StepName, failures: u32, retry: &Retry) -> jiff::SignedDuration {
    let doubled = retry.base_ms.saturating_mul(1_u64 << failures.saturating_sub(1).min(32)).min(retry.cap_ms);
    let mut seed = id.uuid().as_u128() as u64 ^ (u64::from(failures) << 32) ^ step as u64;
    // SplitMix64's finaliser: enough to spread, and needs no state.
    seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let jitter = (seed ^ (seed >> 31)) % (doubled + 1);
    let millis = (doubled / 2).saturating_add(jitter).min(retry.cap_ms);
    jiff::SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::definition::{DEFINITIONS, Effect};
    use proptest::prelude::*;

    fn entry(at: i64, fact: Fact) -> Entry {
        Entry { at: Timestamp::from_second(at).unwrap(), fact }
    }

    fn id() -> WorkflowId {
        WorkflowId::from_uuid(uuid::Uuid::from_u128(42))
    }

    proptest! {
        /// Any sequence of outcomes ends, in one of the three ways, and undos mirror what was done.
        #[test]
        fn every_run_ends(which in 0..DEFINITIONS.len(), outcomes in prop::collection::vec(0u8..5, 0..80)) {
            let definition = &DEFINITIONS[which];
            let retry = Retry { base_ms: 1, cap_ms: 10, max_failures: 3, max_crashes: 4 };
            let mut journal = Vec::new();
            let mut outcomes = outcomes.into_iter();
            let mut clock = 0;
            let mut steps = 0;
            let mut retries = 0;
            let end = loop {
                clock += 1;
                steps += 1;
                prop_assert!(steps < 400, "no end");
                match next(id(), definition, &retry, &journal, Timestamp::from_second(clock).unwrap()) {
                    Next::Begin { step, direction, attempt } => {
                        journal.push(entry(clock, Fact::Intent { step: step.name, direction, attempt }));
                        let fact = match outcomes.next().unwrap_or(0) {
                            0 | 1 => Fact::Done { step: step.name, direction, output: serde_json::Value::Null },
                            2 => Fact::Failed { step: step.name, direction, cause: Cause { code: "x".into(), message: String::new(), retryable: true } },
                            3 => Fact::Failed { step: step.name, direction, cause: Cause { code: "x".into(), message: String::new(), retryable: false } },
                            _ => continue, // crash
                        };
                        journal.push(entry(clock, fact));
                    }
                    Next::Wait { until } => prop_assert!(until <= Timestamp::from_second(clock + 1).unwrap()),
                    Next::Stuck { .. } if retries < 3 => {
                        retries += 1;
                        journal.push(entry(clock, Fact::RetryRequested));
                    }
                    end => break end,
                }
            };
            let done = |wanted: Direction| journal.iter().filter_map(|e| match &e.fact {
                Fact::Done { step, direction, .. } if *direction == wanted => Some(*step), _ => None,
            }).collect::<Vec<_>>();
            let names: Vec<_> = definition.steps.iter().map(|s| s.name).collect();
            prop_assert!(names.starts_with(&done(Direction::Do)));
            match end {
                Next::Completed => {
                    prop_assert_eq!(done(Direction::Do), names);
                    prop_assert!(done(Direction::Undo).is_empty());
                }
                Next::Unwound { .. } => {
                    let begun: Vec<_> = definition.steps.iter().rev().filter(|s| s.has_undo)
                        .filter(|s| journal.iter().any(|e| matches!(&e.fact, Fact::Intent { step, direction: Direction::Do, .. } if *step == s.name)))
                        .map(|s| s.name).collect();
                    prop_assert_eq!(done(Direction::Undo), begun);
                }
                Next::Stuck { .. } => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn pauses_stay_in_the_band(failures in 1u32..40, bits: u128) {
            let retry = Retry::default();
            let pause = pause(WorkflowId::from_uuid(uuid::Uuid::from_u128(bits)), StepName::Create, failures, &retry).as_millis() as u64;
            let doubled = (1_000u64 << (failures - 1).min(32)).min(100_000);
            prop_assert!(pause >= doubled / 2 && pause <= (doubled / 2 + doubled).min(100_000));
        }
    }

    /// The way back was begun, so what was done is partly gone: trying again must not complete over the gap.
    #[test]
    fn trying_again_on_the_way_back_goes_on_with_the_way_back() {
        let retry = Retry::default();
        let onboard = Definition::newest(crate::workflow::Kind::Onboard);
        let no = |step, direction| {
            let cause = Cause { code: "x".into(), message: String::new(), retryable: false };
            entry(1, Fact::Failed { step, direction, cause })
        };
        let begun = |step, direction| entry(1, Fact::Intent { step, direction, attempt: 1 });
        let done = |step, direction| entry(1, Fact::Done { step, direction, output: serde_json::Value::Null });
        let mut journal = Vec::new();
        for step in [StepName::Place, StepName::Create, StepName::Migrate, StepName::Open] {
            journal.extend([begun(step, Direction::Do), done(step, Direction::Do)]);
        }
        journal.extend([begun(StepName::MarkActive, Direction::Do), no(StepName::MarkActive, Direction::Do)]);
        journal.extend([begun(StepName::Open, Direction::Undo), done(StepName::Open, Direction::Undo)]);
        journal.extend([begun(StepName::Create, Direction::Undo), no(StepName::Create, Direction::Undo)]);
        let now = Timestamp::from_second(3).unwrap();
        assert!(matches!(next(id(), onboard, &retry, &journal, now), Next::Stuck { step: StepName::Create, .. }));
        journal.push(entry(2, Fact::RetryRequested));
        assert!(matches!(
            next(id(), onboard, &retry, &journal, now),
            Next::Begin { step: Step { name: StepName::Create, .. }, direction: Direction::Undo, attempt: 2 }
        ));
    }

    #[test]
    fn cancel_unwinds_before_and_not_after_the_point_of_no_return() {
        let retry = Retry::default();
        let onboard = Definition::newest(crate::workflow::Kind::Onboard);
        let begun = |step| entry(1, Fact::Intent { step, direction: Direction::Do, attempt: 1 });
        let journal = [begun(StepName::Place), entry(2, Fact::CancelRequested)];
        let now = Timestamp::from_second(3).unwrap();
        assert!(matches!(
            next(id(), onboard, &retry, &journal, now),
            Next::Begin { step: Step { name: StepName::Place, .. }, direction: Direction::Undo, attempt: 1 }
        ));
        let delete = Definition::newest(crate::workflow::Kind::Delete);
        let journal = [begun(StepName::Erase), entry(2, Fact::CancelRequested)];
        assert!(matches!(
            next(id(), delete, &retry, &journal, now),
            Next::Begin {
                step: Step { name: StepName::Erase, effect: Effect::External, .. },
                direction: Direction::Do,
                attempt: 2
            }
        ));
    }
}
