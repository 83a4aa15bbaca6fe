//! Taking times: samples, percentiles, rounds.
//!
//! Percentiles are nearest ranks of what was measured, never interpolated; with fewer than a hundred samples p99 is
//! the slowest one. Variants that are compared take turns, one call each, in an order that rotates, so that a slow
//! minute of the machine hits all of them.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// What the documentation quotes.
    Full,
    /// Two minutes.
    Quick,
    /// Seconds.
    Tiny,
}

impl Size {
    /// The value for this size.
    pub fn pick<T>(self, full: T, quick: T, tiny: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
            Self::Tiny => tiny,
        }
    }
}

/// Durations of one thing, in milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, duration: Duration) {
        self.0.push(duration.as_secs_f64() * 1000.0);
    }

    /// Adds those of another one.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The nearest rank of a share of them, 0 when there is none.
    pub fn at(&self, share: f64) -> f64 {
        rank(&self.0, share)
    }
}

/// The nearest rank of a share of values, 0 when there is none.
pub fn rank(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank in a list that fits memory"
    )]
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted[index.saturating_sub(1).min(last)]
}

/// The middle one of values.
pub fn median(values: &[f64]) -> f64 {
    rank(values, 0.5)
}

/// Runs something and keeps its time.
pub async fn timed<T>(samples: &mut Samples, work: impl Future<Output = Result<T>>) -> Result<T> {
    let began = Instant::now();
    let value = work.await?;
    samples.push(began.elapsed());
    Ok(value)
}

/// Repeats something on several tasks for a while and gives how often a second it was done.
///
/// The tasks get their numbers; each call gets the number of calls before it on its task.
pub async fn rate<F, W>(tasks: usize, span: Duration, work: F) -> Result<f64>
where
    F: Fn(usize, u64) -> W + Clone + Send + 'static,
    W: Future<Output = Result<()>> + Send,
{
    let began = Instant::now();
    let until = began + span;
    let mut hands = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let work = work.clone();
        hands.spawn(async move {
            let mut done: u64 = 0;
            while Instant::now() < until {
                work(task, done).await?;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    let mut total: u64 = 0;
    while let Some(done) = hands.join_next().await {
        total += done??;
    }
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(total as f64 / began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(median(&values), 100.0);
        assert_eq!(rank(&values, 0.99), 198.0);
        assert_eq!(rank(&[3.0, 1.0], 0.99), 3.0);
        assert_eq!(rank(&[], 0.5), 0.0);
    }
}
