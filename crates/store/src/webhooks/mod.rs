//! Webhooks: endpoints, the queue of what is to be delivered, what was given up, and a log of attempts.
//!
//! A commit that writes events puts a row into the queue for each endpoint that wants them, by the same statement
//! ([`fan_out`]): so an event is on its way if and only if it was committed, and who was subscribed is decided at that moment.
//! Whoever sends holds the *lane* of the endpoint, one process at a time; a row leaves the queue with the answer. Nothing has a
//! global order, nobody reads behind a moving number, and a process that dies leaves rows, not gaps.
//!
//! INVARIANT: a pair of event and endpoint is in the queue, among the dead, or delivered; never in two of these.

mod endpoints;
mod fifo;
mod lanes;
mod log;
mod queue;
mod replays;

pub use endpoints::{EndpointFilter, EndpointRow, NewEndpoint, WebhookKeys, Webhooks};
pub use fifo::TURNS;
pub use lanes::{Lane, LaneId, LaneWork};
pub use log::{AttemptFilter, AttemptRow, DeadFilter, DeadRow, Forgotten};
pub use queue::{DueRow, Fate, LaneChange, Order, Outcome};
pub use replays::{NewReplay, ReplayRow};

/// The part of a commit's statement that puts new events into the queues of those who want them, and a note of those that
/// people may have to be told of. It stands behind a common table expression `told` with subject, sequence, id, type and data
/// of what was written; `$1` is the environment, `$2` the moment. The types are [`tenantry_domain::notice::TYPES`]; of the
/// changes of a record only its deletion is news.
macro_rules! fan_out {
    () => {
        "fanned AS (
            INSERT INTO tenantry.webhook_queue (env, endpoint, subject, sequence, due_at, queued_at)
            SELECT $1, e.id, told.subject, told.sequence, clock_timestamp(), clock_timestamp()
            FROM told JOIN tenantry.webhook_endpoint AS e
                ON e.env = $1 AND e.subject IN (told.subject, '00000000-0000-0000-0000-000000000000'::uuid) AND e.is_listening
            WHERE (e.only_tenants IS NULL OR told.subject = ANY (e.only_tenants))
                AND (e.types = '{}' OR told.type = ANY (e.types) OR split_part(told.type, '.', 1) || '.*' = ANY (e.types))
        ), noted AS (
            INSERT INTO tenantry.notice (env, id, at)
            SELECT $1, told.id, $2 FROM told WHERE told.type IN ('tenant.activated', 'plan.applied', 'quota.warning',
                'quota.exceeded', 'tenant.suspended', 'tenant.resumed', 'tenant.restored', 'access.opened',
                'webhook.endpoint.disabled', 'incident.opened', 'incident.updated', 'incident.resolved')
                OR told.type = 'tenant.updated' AND told.data ->> 'action' = 'delete'
        )"
    };
}
pub(crate) use fan_out;

#[cfg(test)]
mod tests {
    use tenantry_domain::notice::TYPES;

    #[test]
    fn a_commit_notes_what_people_may_have_to_be_told_of() {
        let sql = fan_out!();
        let noted = sql.split_once("noted AS").map_or("", |(_, noted)| noted);
        for kind in TYPES {
            assert!(noted.contains(&format!("'{kind}'")), "{kind}");
        }
        // Quoted words besides the types: the key of the payload and its value.
        assert_eq!(noted.matches('\'').count(), 2 * (TYPES.len() + 2));
    }
}
