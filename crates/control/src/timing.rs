//! Whether this process's clock may be acted on.
//!
//! Nearly everything that is erased is erased because a moment has passed: tenants whose grace is over, days of usage, old
//! answers. A process whose clock is ahead would find all of them passed. So the clock is held against the control database's,
//! and where the two differ no controller looks, no run is claimed and no change is begun ([`crate::controllers::driver`],
//! [`crate::engine::executor`], the opening of a change in [`crate::tenants::edit`]). Neither clock alone decides about erasing.
//!
//! INVARIANT: between two measurements a jump of the machine's clock is noticed without the database.

use std::time::Duration;

use jiff::SignedDuration;
use tenantry_domain::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::deps::Deps;

/// How long a measurement is good for. A clock that runs wrong by a tenth would be a second off by then.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// How long the database may take to say what time it is.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
struct Measured {
    at: Instant,
    ours: Timestamp,
    apart: SignedDuration,
}

/// For so long a database that did not answer is not asked again: whoever waits in line goes on at once.
const REST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Known {
    measured: Option<Measured>,
    /// When the database did not answer; absent when it did since.
    unheard: Option<Instant>,
}

/// What is known of the two clocks.
#[derive(Debug, Default)]
pub(crate) struct Timing(Mutex<Known>);

/// How far the control database's clock is from ours: nothing when it lies within the time that asking took.
fn apart(asked: Timestamp, theirs: Timestamp, answered: Timestamp) -> SignedDuration {
    if theirs < asked {
        theirs.duration_since(asked).abs()
    } else if theirs > answered {
        theirs.duration_since(answered).abs()
    } else {
        SignedDuration::ZERO
    }
}

/// Asks the control database how far apart the clocks are; nothing when it does not answer.
pub(crate) async fn measure(deps: &Deps) -> Option<SignedDuration> {
    let asked = deps.now();
    match tokio::time::timeout(PATIENCE, deps.store().clock()).await {
        Ok(Ok(theirs)) => Some(apart(asked, theirs, deps.now())),
        _ => None,
    }
}

/// How this process's clock stands to the control database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They agree.
    Sound,
    /// They differ, or this one has jumped and nobody could say where to.
    Apart,
    /// The database has not been heard yet.
    Unknown,
}

/// Whether what has to wait for a moment may be done now; see [`standing`].
pub async fn is_sound(deps: &Deps) -> bool {
    standing(deps).await == Standing::Sound
}

/// How the clocks stand. Asks the database when that was not done for ten seconds or when the machine's clock has jumped; while it
/// does not answer, what was measured last holds.
pub async fn standing(deps: &Deps) -> Standing {
    let slack = SignedDuration::try_from(deps.options().clock_slack).unwrap_or(SignedDuration::MAX);
    let mut known = deps.timing().0.lock().await;
    let has_jumped = |measured: &Measured| {
        let passed = SignedDuration::try_from(measured.at.elapsed()).unwrap_or(SignedDuration::MAX);
        deps.now().duration_since(measured.ours).saturating_sub(passed).abs() >= slack
    };
    let is_good = known.measured.as_ref().is_some_and(|one| one.at.elapsed() < GOOD_FOR && !has_jumped(one));
    let is_resting = known.unheard.is_some_and(|at| at.elapsed() < REST);
    if !is_good && !is_resting {
        match measure(deps).await {
            Some(apart) => {
                let was_sound = known.measured.is_none_or(|one| one.apart < slack);
                if apart >= slack && was_sound {
                    tracing::error!(
                        seconds = apart.as_secs(),
                        "the clock differs from the control database's; nothing is begun here"
                    );
                } else if apart < slack && !was_sound {
                    tracing::info!("the clock agrees with the control database's again");
                }
                *known =
                    Known { measured: Some(Measured { at: Instant::now(), ours: deps.now(), apart }), unheard: None };
            }
            // Behind the wait, so that it counts for those who waited with us.
            None => known.unheard = Some(Instant::now()),
        }
    }
    match &known.measured {
        None => Standing::Unknown,
        // A jump that nobody could confirm is one.
        Some(one) if one.apart >= slack || (known.unheard.is_some() && has_jumped(one)) => Standing::Apart,
        Some(_) => Standing::Sound,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_no_difference_and_a_wrong_clock_is() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(apart(at(10), at(12), at(30)), SignedDuration::ZERO);
        assert_eq!(apart(at(10), at(4), at(11)), SignedDuration::from_secs(6));
        assert_eq!(apart(at(10), at(40), at(11)), SignedDuration::from_secs(29));
    }
}
