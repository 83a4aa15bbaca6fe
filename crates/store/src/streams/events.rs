//! Events on their way to a sink, and what the outbox knows of those that are there.

use std::collections::HashSet;

use tenantry_domain::id::EventId;
use tenantry_pg::ToSql;
use uuid::Uuid;

use super::lines::LineId;
use crate::columns::{get, parse};
use crate::outbox::{self, EventRow};
use crate::scope::Subject;
use crate::{Store, StoreError};

/// Events that are to be published.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamEvents {
    /// In the order of the lines that were asked for, and of each line's numbers.
    pub rows: Vec<EventRow>,
    /// Where a line does not go on, one of each line that does not.
    pub stuck: Vec<StuckEvent>,
}

/// An event that this release cannot read: one of a newer release made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckEvent {
    /// Whose. None of its events behind this one is given.
    pub id: LineId,
    /// Its number.
    pub sequence: i64,
    /// Its type, as it is stored.
    pub kind: String,
}

const EVENTS: &str = "
    SELECT o.env, o.subject, o.sequence, o.id, o.type, o.at, o.version, o.correlation_id, o.causation_id, o.data
    FROM unnest($1::text[], $2::uuid[], $3::bigint[]) WITH ORDINALITY AS w (env, subject, after, place), LATERAL (
        SELECT * FROM tenantry.outbox AS o WHERE o.env = w.env AND o.subject = w.subject AND o.sequence > w.after
        ORDER BY o.sequence LIMIT $4
    ) AS o ORDER BY w.place, o.sequence";

const IDS: &str = "
    SELECT (
        SELECT o.id FROM tenantry.outbox AS o WHERE o.env = w.env AND o.subject = w.subject AND o.sequence = w.sequence
    ) AS id
    FROM unnest($1::text[], $2::uuid[], $3::bigint[]) WITH ORDINALITY AS w (env, subject, sequence, place) ORDER BY w.place";

/// Numbers of lines, as arrays.
fn arrays(numbers: &[(LineId, i64)]) -> (Vec<&str>, Vec<Uuid>, Vec<i64>) {
    let envs = numbers.iter().map(|(id, _)| id.environment.as_str()).collect();
    let subjects = numbers.iter().map(|(id, _)| id.subject.uuid()).collect();
    (envs, subjects, numbers.iter().map(|(_, number)| *number).collect())
}

impl Store {
    /// Events of lines behind a number each, at most `each` of one. Those that this release cannot read end their line, and no
    /// other one.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_events(&self, behind: &[(LineId, i64)], each: u32) -> Result<StreamEvents, StoreError> {
        let (envs, subjects, after) = arrays(behind);
        let params: [&(dyn ToSql + Sync); 4] = [&envs, &subjects, &after, &i64::from(each)];
        let (mut found, mut over) = (StreamEvents::default(), HashSet::new());
        for row in &self.queue_query(EVENTS, &params).await? {
            let id = LineId { environment: parse(row, "env")?, subject: Subject::from_uuid(get(row, "subject")?) };
            if over.contains(&id) {
                continue;
            }
            match outbox::read(row) {
                Ok(event) => found.rows.push(event),
                Err(StoreError::Unreadable { .. }) => {
                    let (sequence, kind) = (get(row, "sequence")?, get(row, "type")?);
                    found.stuck.push(StuckEvent { id: id.clone(), sequence, kind });
                    over.insert(id);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// The ids of the events that have these numbers, in the same order; nothing for a number that no event has.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_ids(&self, numbers: &[(LineId, i64)]) -> Result<Vec<Option<EventId>>, StoreError> {
        let (envs, subjects, sequences) = arrays(numbers);
        let rows = self.queue_query(IDS, &[&envs, &subjects, &sequences]).await?;
        rows.iter().map(|row| Ok(get::<Option<Uuid>>(row, "id")?.map(EventId::from_uuid))).collect()
    }
}
