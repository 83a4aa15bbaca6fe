//! What is due in a lane that keeps the order of each subject.
//!
//! INVARIANT: subjects take turns. The first row of each comes before the second of any, and a fetch that cannot hold one row of
//! each begins behind the last subject of the one before: a tenant with a million waiting events costs the others of its
//! endpoint one place, not the queue.

use super::queue::due_columns;

/// Rows of one subject that a fetch has at most. Only one of a subject is in hand at a time, so more would be looked at in vain.
pub const TURNS: usize = 32;

/// `$3` rows at most, subjects behind `$4` first, `$5` rows of each at most.
///
/// A subject's first row decides: while it waits for another attempt, or for a release that knows its type (`$6` are ours), nothing
/// of the subject is due. First rows are looked up in their turn, so that no more of them are than a fetch holds.
pub(super) const DUE_IN_ORDER: &str = concat!(
    "WITH RECURSIVE head AS (
        (SELECT subject, sequence, due_at FROM tenantry.webhook_queue WHERE env = $1 AND endpoint = $2
        ORDER BY subject, sequence LIMIT 1)
        UNION ALL
        SELECT n.subject, n.sequence, n.due_at FROM head, LATERAL (
            SELECT q.subject, q.sequence, q.due_at FROM tenantry.webhook_queue AS q
            WHERE q.env = $1 AND q.endpoint = $2 AND q.subject > head.subject ORDER BY q.subject, q.sequence LIMIT 1
        ) AS n
    ), ready AS (
        SELECT first.subject FROM (
            SELECT subject, sequence FROM head WHERE due_at <= clock_timestamp() ORDER BY subject <= $4, subject OFFSET 0
        ) AS first CROSS JOIN LATERAL (
            SELECT FROM tenantry.outbox AS o
            WHERE o.env = $1 AND o.subject = first.subject AND o.sequence = first.sequence AND o.type = ANY ($6) LIMIT 1
        ) AS known LIMIT $3
    )
    SELECT ",
    due_columns!(),
    "FROM ready, LATERAL (
        SELECT w.*, row_number() OVER (ORDER BY w.sequence) AS turn FROM (
            SELECT * FROM tenantry.webhook_queue AS w WHERE w.env = $1 AND w.endpoint = $2 AND w.subject = ready.subject
            ORDER BY w.sequence LIMIT $5
        ) AS w
    ) AS q JOIN tenantry.outbox AS o ON o.env = q.env AND o.subject = q.subject AND o.sequence = q.sequence
    ORDER BY q.turn, q.subject <= $4, q.subject LIMIT $3"
);
