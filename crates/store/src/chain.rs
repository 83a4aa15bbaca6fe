//! Numbering, chaining and writing of audit entries and events.
//!
//! The counters and the newest hash stand in the subject's row, which the transaction has locked: numbers have no
//! gaps because a transaction that fails gives them back, and they follow the order of the commits because the next
//! writer waits for the lock.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand;
use tenantry_domain::Timestamp;
use tenantry_domain::audit::{self, Hash, link};
use tenantry_domain::name::EnvironmentName;
use uuid::Uuid;

use crate::entry::{Entry, Stamp};
use crate::line::Statement;
use crate::row::document;
use crate::scope::Subject;

/// What a subject's row keeps of its chain and sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) audit_seq: i64,
    pub(crate) hash: Hash,
    pub(crate) event_seq: i64,
}

/// The digest of the chain.
pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Entries and events with their numbers, as columns.
#[derive(Default)]
pub(crate) struct Numbered {
    pub(crate) stamps: Vec<Stamp>,
    audit: AuditColumns,
    events: EventColumns,
}

#[derive(Default)]
struct AuditColumns {
    subject: Vec<Uuid>,
    seq: Vec<i64>,
    entry: Vec<String>,
    hash: Vec<Vec<u8>>,
    action: Vec<String>,
    category: Vec<String>,
    outcome: Vec<String>,
    actor: Vec<String>,
    correlation_id: Vec<String>,
}

#[derive(Default)]
struct EventColumns {
    subject: Vec<Uuid>,
    sequence: Vec<i64>,
    id: Vec<Uuid>,
    kind: Vec<&'static str>,
    version: Vec<Option<i64>>,
    correlation_id: Vec<String>,
    causation_id: Vec<String>,
    data: Vec<tenantry_pg::Json<Box<serde_json::value::RawValue>>>,
}

/// The word of an enumeration that is stored in camel case.
pub(crate) fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(ToOwned::to_owned)).unwrap_or_default()
}

/// Numbers the entries and their events, in the order given, and moves the heads on. A subject without a head is
/// left out by the caller's promise: all are locked.
pub(crate) fn number(
    environment: &EnvironmentName,
    now: Timestamp,
    entries: Vec<Entry>,
    heads: &mut BTreeMap<Subject, Head>,
    version_of: impl Fn(Subject) -> Option<i64>,
) -> Numbered {
    let mut numbered = Numbered::default();
    for Entry { subject, audit, events } in entries {
        let Some(head) = heads.get_mut(&subject) else { continue };
        head.audit_seq += 1;
        for event in events {
            head.event_seq += 1;
            let columns = &mut numbered.events;
            columns.subject.push(subject.uuid());
            columns.sequence.push(head.event_seq);
            columns.id.push(event_id(now));
            columns.kind.push(event.kind.as_str());
            columns.version.push(version_of(subject));
            columns.correlation_id.push(audit.correlation_id.clone());
            columns.causation_id.push(audit.request_id.clone());
            columns.data.push(document(&event.data));
        }
        let entry = audit::Entry {
            seq: head.audit_seq,
            at: now,
            environment: environment.clone(),
            tenant: subject.tenant(),
            draft: audit,
        };
        let canonical = entry.canonical();
        head.hash = link(&head.hash, &canonical, sha256);
        numbered.stamps.push(Stamp { subject, seq: entry.seq, hash: head.hash });
        let columns = &mut numbered.audit;
        columns.subject.push(subject.uuid());
        columns.seq.push(entry.seq);
        columns.entry.push(canonical);
        columns.hash.push(head.hash.to_vec());
        columns.action.push(entry.draft.action);
        columns.category.push(word(&entry.draft.category));
        columns.outcome.push(word(&entry.draft.outcome));
        columns.actor.push(entry.draft.actor.to_string());
        columns.correlation_id.push(entry.draft.correlation_id);
    }
    numbered
}

impl Numbered {
    /// Whether there are events.
    pub(crate) fn has_events(&self) -> bool {
        !self.events.subject.is_empty()
    }

    /// Whether there is one entry.
    pub(crate) fn is_one(&self) -> bool {
        self.audit.subject.len() == 1
    }

    /// Adds the columns of the only entry to a statement, without subject and hash, which the subject's row has too.
    pub(crate) fn bind_one(&mut self, statement: Statement) -> Statement {
        let columns = std::mem::take(&mut self.audit);
        let statement = statement.bind(columns.seq.first().copied());
        [columns.entry, columns.action, columns.category, columns.outcome, columns.actor, columns.correlation_id]
            .into_iter()
            .fold(statement, |statement, mut column| statement.bind(column.pop()))
    }

    /// Adds the entries' columns to a statement, as nine arrays.
    pub(crate) fn bind_audit(&mut self, statement: Statement) -> Statement {
        let columns = std::mem::take(&mut self.audit);
        statement
            .bind(columns.subject)
            .bind(columns.seq)
            .bind(columns.entry)
            .bind(columns.hash)
            .bind(columns.action)
            .bind(columns.category)
            .bind(columns.outcome)
            .bind(columns.actor)
            .bind(columns.correlation_id)
    }

    /// Adds the events' columns to a statement, as eight arrays.
    pub(crate) fn bind_events(&mut self, statement: Statement) -> Statement {
        let columns = std::mem::take(&mut self.events);
        statement
            .bind(columns.subject)
            .bind(columns.sequence)
            .bind(columns.id)
            .bind(columns.kind)
            .bind(columns.version)
            .bind(columns.correlation_id)
            .bind(columns.causation_id)
            .bind(columns.data)
    }
}

/// A time-ordered id (UUID version 7).
pub(crate) fn event_id(now: Timestamp) -> Uuid {
    let mut random = [0; 10];
    // A system without randomness has refused its TLS keys long before; a collision would be refused by the index.
    let _ = rand::fill(&mut random);
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
