//! A tenant's stream as the source of a program of one's own: read it from any place on, keep what it says of the tenant.
//!
//! [`Reader`] takes what is stored by pages and then follows, so that the past of a large tenant costs a request per two hundred
//! events. [`Record`] is what the events say of the tenant: [`Record::fold`] takes one after the other, in order, and refuses a gap,
//! another tenant's event and a version of payloads that it was not made for. A repetition is taken as one.
//!
//! A program keeps its record and [`Record::sequence`] in one transaction of its own, and goes on behind that number.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::{Client, ClientError, EventFeed, EventQuery};
use crate::v1::event::Event;
use crate::v1::payload::{Created, Lifecycle, OperationProgressed, Placed, Updated, version};

/// Events that are asked for at a time while the past is read.
const PAGE: u16 = 200;

/// Reads a tenant's events: the past by pages, then what comes.
pub struct Reader {
    client: Client,
    tenant: String,
    after: i64,
    page: std::vec::IntoIter<Event>,
    feed: Option<EventFeed>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("tenant", &self.tenant).field("after", &self.after).finish_non_exhaustive()
    }
}

impl Reader {
    /// Reads behind a number; 0 means from the beginning. A tenant that may be deleted while it is read is named by its id.
    #[must_use]
    pub fn new(client: Client, tenant: &str, after: i64) -> Self {
        Self { client, tenant: tenant.to_owned(), after, page: Vec::new().into_iter(), feed: None }
    }

    /// The next event of the past; nothing when all that is stored was read.
    ///
    /// # Errors
    /// The server refuses or does not answer, or a number is missing.
    pub async fn stored(&mut self) -> Result<Option<Event>, ClientError> {
        let event = match self.page.next() {
            Some(event) => event,
            None => {
                let query = EventQuery { after: self.after, page_size: Some(PAGE) };
                self.page = self.client.tenant_events(&self.tenant, &query).await?.items.into_iter();
                match self.page.next() {
                    Some(event) => event,
                    None => return Ok(None),
                }
            }
        };
        if event.sequence != self.after + 1 {
            return Err(ClientError::Gap { expected: self.after + 1, found: event.sequence });
        }
        self.after = event.sequence;
        Ok(Some(event))
    }

    /// The next event, waiting for one; nothing after the last one of a tenant that is deleted. Dropping the future between events
    /// loses none.
    ///
    /// # Errors
    /// As [`Reader::stored`]; and a server that stays away for longer than a minute.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(feed) = &mut self.feed {
                return feed.next().await;
            }
            if let Some(event) = self.stored().await? {
                return Ok(Some(event));
            }
            self.feed = Some(self.client.follow_events(Some(&self.tenant), self.after, &[])?);
        }
    }
}

/// What a tenant's events say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The tenant's id.
    pub id: String,
    /// The partition that it is in.
    pub environment: String,
    /// Its name.
    pub slug: String,
    /// The app that serves it.
    pub app: String,
    /// The plan that it is bound to.
    pub plan: String,
    /// Its ids in other systems.
    pub external_ids: BTreeMap<String, String>,
    /// Where its lifecycle shall be; empty where an event of an early release did not say so.
    pub wanted: String,
    /// Where its lifecycle is.
    pub state: String,
    /// Where it is; absent while it has no place.
    pub place: Option<Place>,
    /// How many places were chosen for it.
    pub generation: i64,
    /// The newest version of its manifest.
    pub version: i64,
    /// The number of the last event that was taken.
    pub sequence: i64,
}

/// Where a tenant is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The region.
    pub region: String,
    /// The cell.
    pub cell: String,
    /// The isolation level.
    pub isolation: String,
}

/// Why an event cannot be taken. The record is as it was.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A number is missing, or the stream does not begin at its beginning.
    #[error("the event {expected} has to come next, and {found} came")]
    Gap {
        /// The number that has to come.
        expected: i64,
        /// The number that came.
        found: i64,
    },
    /// It is an event of the environment, or of another tenant.
    #[error("the event {id} is not of this tenant")]
    Foreign {
        /// The event.
        id: String,
    },
    /// Its payload is of a version that this release was not made for.
    #[error("the event {id} has payloads of version {version}, which this release does not know")]
    Version {
        /// The event.
        id: String,
        /// The version.
        version: i16,
    },
    /// Its payload does not have the shape that its type promises.
    #[error("the event {id} does not keep its contract")]
    Payload {
        /// The event.
        id: String,
        /// Where it departs.
        source: serde_json::Error,
    },
}

impl Record {
    /// Takes the next event of a tenant; `before` is absent for the first one. Types that say nothing of the record, and those of
    /// later releases, only move the number. One that was taken already changes nothing.
    ///
    /// # Errors
    /// See [`FoldError`].
    pub fn fold(before: Option<Self>, event: &Event) -> Result<Self, FoldError> {
        let id = || event.id.clone();
        if event.payloadversion != version() {
            return Err(FoldError::Version { id: id(), version: event.payloadversion });
        }
        let subject = event.subject.as_ref().ok_or_else(|| FoldError::Foreign { id: id() })?;
        let Some(mut record) = before else {
            if event.sequence != 1 || event.kind != "tenant.created" {
                return Err(FoldError::Gap { expected: 1, found: event.sequence });
            }
            return Self::begin(subject, event);
        };
        if *subject != record.id || event.tenantryenvironment != record.environment {
            return Err(FoldError::Foreign { id: id() });
        }
        if event.sequence <= record.sequence {
            return Ok(record);
        }
        if event.sequence != record.sequence + 1 {
            return Err(FoldError::Gap { expected: record.sequence + 1, found: event.sequence });
        }
        record.take(event)?;
        record.version = event.version.unwrap_or(record.version);
        record.sequence = event.sequence;
        Ok(record)
    }

    fn begin(subject: &str, event: &Event) -> Result<Self, FoldError> {
        let Created { slug, plan, app, external_ids, wanted } = data(event)?;
        Ok(Self {
            id: subject.to_owned(),
            environment: event.tenantryenvironment.clone(),
            slug,
            app,
            plan,
            external_ids,
            wanted: wanted.unwrap_or_default(),
            state: "draft".to_owned(),
            place: None,
            generation: 0,
            version: event.version.unwrap_or(1),
            sequence: event.sequence,
        })
    }

    fn take(&mut self, event: &Event) -> Result<(), FoldError> {
        match event.kind.as_str() {
            "tenant.updated" | "plan.changed" => {
                let Updated { slug, plan, app, external_ids, wanted, .. } = data(event)?;
                (self.slug, self.plan) = (slug, plan);
                self.app = app.unwrap_or_else(|| std::mem::take(&mut self.app));
                self.external_ids = external_ids.unwrap_or_else(|| std::mem::take(&mut self.external_ids));
                self.wanted = wanted.unwrap_or_default();
            }
            "tenant.activated" | "tenant.suspended" | "tenant.resumed" | "tenant.archived" | "tenant.restored"
            | "tenant.deleted" => {
                let Lifecycle { slug, state, plan, app, external_ids, region, cell, isolation } = data(event)?;
                (self.slug, self.state, self.plan, self.app) = (slug, state, plan, app);
                (self.external_ids, self.place) = (external_ids, place(region, cell, isolation));
            }
            "placement.decided" => self.generation = data::<Placed>(event)?.generation,
            "operation.progressed" => {
                let OperationProgressed { state, region, cell, isolation, .. } = data(event)?;
                // Only what was reached names a state.
                if let Some(state) = state {
                    (self.state, self.place) = (state, place(region, cell, isolation));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn place(region: Option<String>, cell: Option<String>, isolation: Option<String>) -> Option<Place> {
    Some(Place { region: region?, cell: cell?, isolation: isolation? })
}

fn data<T: DeserializeOwned>(event: &Event) -> Result<T, FoldError> {
    T::deserialize(&event.data).map_err(|source| FoldError::Payload { id: event.id.clone(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use serde_json::{Value, json};

    use super::*;

    fn event(sequence: i64, kind: &str, data: &Value) -> Event {
        let event = json!({
            "specversion": "1.0", "id": format!("evt_{sequence}"), "type": kind, "source": "/environments/prod",
            "subject": "ten_1", "time": "2026-11-22T10:00:00Z", "tenantryenvironment": "prod", "sequence": sequence,
            "version": 1, "data": data,
        });
        serde_json::from_value(event).unwrap()
    }

    fn first() -> Event {
        event(
            1,
            "tenant.created",
            &json!({ "slug": "acme", "plan": "p", "app": "a", "externalIds": {}, "wanted": "active" }),
        )
    }

    #[test]
    fn what_is_out_of_order_foreign_or_of_another_version_is_refused() {
        let record = Record::fold(None, &first()).unwrap();
        let fold = |event: &Event| Record::fold(Some(record.clone()), event);
        assert!(matches!(
            Record::fold(None, &event(2, "tenant.updated", &json!({}))),
            Err(FoldError::Gap { expected: 1, .. })
        ));
        assert!(matches!(fold(&event(3, "x.y", &json!({}))), Err(FoldError::Gap { expected: 2, found: 3 })));
        assert!(matches!(fold(&Event { subject: Some("ten_2".into()), ..first() }), Err(FoldError::Foreign { .. })));
        assert!(matches!(fold(&Event { subject: None, ..first() }), Err(FoldError::Foreign { .. })));
        assert!(matches!(fold(&Event { payloadversion: 2, ..first() }), Err(FoldError::Version { version: 2, .. })));
        assert!(matches!(fold(&event(2, "tenant.updated", &json!({ "slug": 1 }))), Err(FoldError::Payload { .. })));
        assert_eq!(fold(&first()).unwrap(), record, "a repetition");
        let later = fold(&event(2, "tenant.applauded", &json!({ "by": "everybody" }))).unwrap();
        assert_eq!(later, Record { sequence: 2, ..record }, "a type of a later release");
    }
}
