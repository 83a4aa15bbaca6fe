//! What is due in a lane that keeps the order of each subject.

use super::queue::due_columns;

/// Subjects that are looked at, at a time; the longest due first, so that none is forgotten.
///
/// A subject's first row decides: while it waits for another attempt, nothing of the subject is due.
pub(super) const DUE_IN_ORDER: &str = concat!(
    "WITH RECURSIVE head AS (
        (SELECT subject, due_at FROM tenantry.webhook_queue WHERE env = $1 AND endpoint = $2 ORDER BY subject, sequence LIMIT 1)
        UNION ALL
        SELECT n.subject, n.due_at FROM head, LATERAL (
            SELECT q.subject, q.due_at FROM tenantry.webhook_queue AS q
            WHERE q.env = $1 AND q.endpoint = $2 AND q.subject > head.subject ORDER BY q.subject, q.sequence LIMIT 1
        ) AS n
    ), ready AS (SELECT subject, due_at FROM head WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT 64)
    SELECT ",
    due_columns!(),
    "FROM ready, LATERAL (
        SELECT * FROM tenantry.webhook_queue AS w WHERE w.env = $1 AND w.endpoint = $2 AND w.subject = ready.subject
        ORDER BY w.sequence LIMIT $3
    ) AS q JOIN tenantry.outbox AS o ON o.env = q.env AND o.subject = q.subject AND o.sequence = q.sequence
    ORDER BY ready.due_at, q.subject, q.sequence LIMIT $3"
);
