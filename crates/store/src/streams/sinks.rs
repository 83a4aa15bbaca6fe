//! Sinks, and which process publishes to each.

use std::time::Duration;

use tenantry_domain::Timestamp;
use tenantry_domain::id::ReplicaId;
use tenantry_pg::{Row, ToSql};

use crate::columns::get;
use crate::{Store, StoreError};

/// A sink as a process is configured for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSink {
    /// The stream's name.
    pub name: String,
    /// Its servers, without anything secret.
    pub servers: String,
    /// What subjects begin with.
    pub prefix: String,
    /// Whether what was committed before the sink was known is published, too. Decided once, when the sink is new.
    pub is_whole: bool,
}

/// The lane of a sink as its holder shows it with every write.
///
/// The claim alone would not do: in a database that was restored to an earlier time claims are given a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHold {
    /// The stream's name.
    pub sink: String,
    /// Who holds it.
    pub owner: ReplicaId,
    /// How often somebody took over, this time included.
    pub claim: i64,
}

/// What a publisher says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkSay {
    /// How it stands, in a word.
    pub state: &'static str,
    /// The error's code; absent for none.
    pub code: Option<String>,
    /// The error's text; absent for none.
    pub error: Option<String>,
}

/// A sink and its publisher.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkRow {
    /// The stream's name.
    pub name: String,
    /// Its servers.
    pub servers: String,
    /// What subjects begin with.
    pub prefix: String,
    /// Whether the past before the sink is published, too.
    pub is_whole: bool,
    /// Since when events are kept for it.
    pub created_at: Timestamp,
    /// Who publishes; absent for nobody.
    pub owner: Option<ReplicaId>,
    /// How often somebody took over.
    pub claim: i64,
    /// When the publisher was heard of last.
    pub seen_at: Option<Timestamp>,
    /// How it stands, as it said last.
    pub state: String,
    /// The error's code.
    pub code: Option<String>,
    /// The error's text.
    pub error: Option<String>,
    /// When something was published last.
    pub published_at: Option<Timestamp>,
}

/// The sink is not to be seen by any commit before this one is, so nobody else has rows of it and nobody is waited for; but for the
/// rows of one that was forgotten just now. Its cursors would hide events, so there is no sink while there are any.
const REGISTER: &str = "
    WITH made AS (
        INSERT INTO tenantry.stream_sink (name, servers, prefix, is_whole, created_at)
        SELECT $1, $2, $3, $4, clock_timestamp() WHERE NOT EXISTS (SELECT FROM tenantry.stream_cursor WHERE sink = $1)
        ON CONFLICT ON CONSTRAINT stream_sink_pkey DO NOTHING RETURNING name
    ), known AS (
        SELECT made.name, s.env, s.subject, s.newest FROM made, (
            SELECT env, id AS subject, event_seq AS newest FROM tenantry.tenant WHERE event_seq > 0
            UNION ALL
            SELECT name, '00000000-0000-0000-0000-000000000000', event_seq FROM tenantry.environment WHERE event_seq > 0
        ) AS s
    ), lane AS (
        INSERT INTO tenantry.stream_lane (sink) SELECT name FROM made
    ), passed AS (
        INSERT INTO tenantry.stream_cursor (sink, env, subject, published)
        SELECT name, env, subject, newest FROM known WHERE NOT $4
    ), waiting AS (
        INSERT INTO tenantry.stream_line AS l (sink, env, subject, newest, since)
        SELECT name, env, subject, newest, clock_timestamp() FROM known WHERE $4
        ON CONFLICT ON CONSTRAINT stream_line_pkey DO UPDATE SET newest = greatest(l.newest, excluded.newest)
    ), moved AS (
        UPDATE tenantry.stream_sink SET servers = $2, prefix = $3 WHERE name = $1 AND (servers <> $2 OR prefix <> $3)
    )
    SELECT EXISTS (SELECT FROM made) AS is_new";

const CLAIM: &str = "
    WITH free AS (
        SELECT sink FROM tenantry.stream_lane
        WHERE sink = $1 AND (owner IS NULL OR owner = $2 OR seen_at IS NULL OR seen_at < clock_timestamp() - $3 * interval '1 second')
        FOR NO KEY UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tenantry.stream_lane AS l
        SET owner = $2, claim = l.claim + 1, seen_at = clock_timestamp(), state = 'connecting', code = NULL, error = NULL
        FROM free WHERE l.sink = free.sink RETURNING l.claim
    )
    SELECT (SELECT claim FROM taken) AS claim FROM tenantry.stream_lane WHERE sink = $1";

const BEAT: &str = "
    UPDATE tenantry.stream_lane SET seen_at = clock_timestamp(), state = $4, code = $5, error = $6
    WHERE sink = $1 AND claim = $2 AND owner = $3 RETURNING 1 AS one";

const RELEASE: &str = "
    UPDATE tenantry.stream_lane SET owner = NULL, seen_at = clock_timestamp(), state = $4, code = $5, error = $6
    WHERE sink = $1 AND claim = $2 AND owner = $3";

const IDENTITY: &str = "SELECT stream_made_at FROM tenantry.stream_sink WHERE name = $1";

const IDENTIFY: &str = "
    UPDATE tenantry.stream_sink SET stream_made_at = $4 WHERE name = $1 AND stream_made_at IS NULL
        AND EXISTS (SELECT FROM tenantry.stream_lane WHERE sink = $1 AND claim = $2 AND owner = $3)
    RETURNING 1 AS one";

const SINKS: &str = "
    SELECT s.name, s.servers, s.prefix, s.is_whole, s.created_at, l.owner, l.claim, l.seen_at, l.state, l.code, l.error, l.published_at
    FROM tenantry.stream_sink AS s JOIN tenantry.stream_lane AS l ON l.sink = s.name ORDER BY s.name";

fn read(row: &Row) -> Result<SinkRow, StoreError> {
    let owner: Option<uuid::Uuid> = get(row, "owner")?;
    Ok(SinkRow {
        name: get(row, "name")?,
        servers: get(row, "servers")?,
        prefix: get(row, "prefix")?,
        is_whole: get(row, "is_whole")?,
        created_at: get(row, "created_at")?,
        owner: owner.map(ReplicaId::from_uuid),
        claim: get(row, "claim")?,
        seen_at: get(row, "seen_at")?,
        state: get(row, "state")?,
        code: get(row, "code")?,
        error: get(row, "error")?,
        published_at: get(row, "published_at")?,
    })
}

impl Store {
    /// Makes a sink known: from now on commits note what there is to publish. Says whether it is new. What a commit that is
    /// under way just now does not note is found by [`Store::stream_missed`]. What is left of one of the same name that was
    /// forgotten has to be gone: see [`Store::stream_clear`].
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_register(&self, sink: &NewSink) -> Result<bool, StoreError> {
        let params: [&(dyn ToSql + Sync); 4] = [&sink.name, &sink.servers, &sink.prefix, &sink.is_whole];
        let row = self.query_opt(REGISTER, &params).await?.ok_or(StoreError::NotFound)?;
        get(&row, "is_new")
    }

    /// Takes the lane of a sink, unless somebody who was heard of within the patience has it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such sink (any more); the database's.
    pub async fn stream_claim(
        &self,
        sink: &str,
        owner: ReplicaId,
        patience: Duration,
    ) -> Result<Option<StreamHold>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&sink, &owner.uuid(), &patience.as_secs_f64()];
        let row = self.query_opt(CLAIM, &params).await?.ok_or(StoreError::NotFound)?;
        let claim: Option<i64> = get(&row, "claim")?;
        Ok(claim.map(|claim| StreamHold { sink: sink.to_owned(), owner, claim }))
    }

    /// Reports that the holder publishes, and how it stands. Says whether the claim still holds.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_beat(&self, hold: &StreamHold, say: &SinkSay) -> Result<bool, StoreError> {
        let owner = hold.owner.uuid();
        let params: [&(dyn ToSql + Sync); 6] = [&hold.sink, &hold.claim, &owner, &say.state, &say.code, &say.error];
        Ok(self.query_opt(BEAT, &params).await?.is_some())
    }

    /// Gives a lane back, if the claim still holds. What is said stays until somebody else takes it.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_release(&self, hold: &StreamHold, say: &SinkSay) -> Result<(), StoreError> {
        let owner = hold.owner.uuid();
        let params: [&(dyn ToSql + Sync); 6] = [&hold.sink, &hold.claim, &owner, &say.state, &say.code, &say.error];
        self.query(RELEASE, &params).await.map(|_| ())
    }

    /// When the stream that is published to was made, by its server's clock; nothing before anybody has seen it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such sink (any more); the database's.
    pub async fn stream_identity(&self, sink: &str) -> Result<Option<Timestamp>, StoreError> {
        get(&self.query_opt(IDENTITY, &[&sink]).await?.ok_or(StoreError::NotFound)?, "stream_made_at")
    }

    /// Writes down which stream is published to, once, if the claim still holds. Says whether it was written down.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_identify(&self, hold: &StreamHold, made: Timestamp) -> Result<bool, StoreError> {
        let params: [&(dyn ToSql + Sync); 4] = [&hold.sink, &hold.claim, &hold.owner.uuid(), &made];
        Ok(self.query_opt(IDENTIFY, &params).await?.is_some())
    }

    /// All sinks, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_sinks(&self) -> Result<Vec<SinkRow>, StoreError> {
        self.query(SINKS, &[]).await?.iter().map(read).collect()
    }
}
