//! Appending facts to a journal, with what the workflow's row shows of them.
//!
//! INVARIANT: the statement that appends is the one that compares the fence; nothing is written under an old one.

use tenantry_domain::Timestamp;
use tenantry_domain::workflow::{self, Cause, Direction, Fact};
use tenantry_pg::Json;

use crate::line::Statement;
use crate::row::document;
use crate::workflows::Claim;

/// Gives a row when the claim still held.
pub(crate) const APPEND: &str = "
    WITH held AS (
        UPDATE tenantry.workflow AS w SET
            journal_seq = w.journal_seq + cardinality($4::jsonb[]),
            current_step = coalesce($5, w.current_step),
            attempt = coalesce($6, w.attempt),
            steps_done = w.steps_done + $7,
            last_failure = CASE WHEN $8 THEN $9 ELSE w.last_failure END,
            wake_at = coalesce($10, w.wake_at),
            owner = CASE WHEN $10 IS NULL THEN w.owner END,
            lease_until = CASE WHEN $10 IS NULL THEN w.lease_until END
        WHERE w.id = $1 AND w.fence = $2 AND w.status = 'running'
        RETURNING w.env, w.id, w.journal_seq
    ), told AS (
        INSERT INTO tenantry.journal (env, workflow, seq, at, fact, fence)
        SELECT h.env, h.id, h.journal_seq - cardinality($4::jsonb[]) + n.place, n.at, n.fact, $2
        FROM held AS h, unnest($3::timestamptz[], $4::jsonb[]) WITH ORDINALITY AS n (at, fact, place)
    )
    SELECT id FROM held";

/// What facts change in the workflow's row.
#[derive(Default)]
pub(crate) struct Progress {
    step: Option<String>,
    attempt: Option<i64>,
    done: i64,
    is_failure_known: bool,
    failure: Option<Cause>,
}

impl Progress {
    pub(crate) fn of(facts: &[workflow::Entry]) -> Self {
        let mut progress = Self::default();
        for entry in facts {
            match &entry.fact {
                Fact::Intent { step, attempt, .. } => {
                    progress.step = Some(step.as_str().to_owned());
                    progress.attempt = Some(i64::from(*attempt));
                }
                Fact::Done { direction, .. } => {
                    progress.done += if *direction == Direction::Do { 1 } else { -1 };
                    progress.is_failure_known = true;
                    progress.failure = None;
                }
                Fact::Failed { cause, .. } => {
                    progress.is_failure_known = true;
                    progress.failure = Some(cause.clone());
                }
                Fact::CancelRequested | Fact::RetryRequested => {}
            }
        }
        progress
    }
}

/// The statement that appends; with `wake`, it also gives the workflow back until then.
pub(crate) fn statement(claim: Claim, facts: &[workflow::Entry], wake: Option<Timestamp>) -> Statement {
    let progress = Progress::of(facts);
    Statement::new(APPEND)
        .bind(claim.workflow.uuid())
        .bind(claim.fence)
        .bind(facts.iter().map(|entry| entry.at).collect::<Vec<_>>())
        .bind(facts.iter().map(|entry| document(&entry.fact)).collect::<Vec<_>>())
        .bind(progress.step)
        .bind(progress.attempt)
        .bind(progress.done)
        .bind(progress.is_failure_known)
        .bind(progress.failure.map(Json))
        .bind(wake)
}
