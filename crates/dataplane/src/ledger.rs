//! What was done to which place: applied files, versions, structures, things made in advance.
//!
//! Schema `ledger` in each database that we manage. It is written in the same transaction as the thing it speaks of.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_pg::migrate::Migration;
use tenantry_pg::{Ident, Pool, Session};

use crate::catalog::{self, Catalog, get};
use crate::error::DataError;
use crate::migrate;
use crate::names::Place;
use crate::space::AppTarget;

const FILES: &[Migration] = &[
    Migration { version: 1, name: "ledger", sql: include_str!("ledger.sql") },
    Migration { version: 2, name: "stream", sql: include_str!("ledger_stream.sql") },
];

/// Brings the ledger of a database up to date.
pub(crate) async fn install(pool: &Pool) -> Result<(), DataError> {
    tenantry_pg::migrate::run(pool, &Ident::new("ledger")?, FILES).await?;
    Ok(())
}

/// What is known of a place.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Checksums by file.
    pub applied: BTreeMap<String, Vec<u8>>,
    /// The app's version that it was migrated to; absent before the first end.
    pub version: Option<i64>,
}

pub(crate) async fn progress(session: &Session, place: &Place) -> Result<Progress, DataError> {
    let name = place.schema.as_str();
    let rows = session.query("SELECT name, checksum FROM ledger.applied WHERE place = $1", &[&name]).await?;
    let applied = rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect::<Result<_, DataError>>()?;
    Ok(Progress { applied, version: version(session, place).await? })
}

/// The app's version that a place was migrated to.
pub(crate) async fn version(session: &Session, place: &Place) -> Result<Option<i64>, DataError> {
    let row = session.query_opt("SELECT version FROM ledger.place WHERE place = $1", &[&place.schema.as_str()]).await?;
    row.as_ref().map(|row| get(row, 0)).transpose()
}

pub(crate) async fn applied(session: &Session, place: &Place, name: &str, checksum: &[u8]) -> Result<(), DataError> {
    session
        .execute(
            "INSERT INTO ledger.applied (place, name, checksum) VALUES ($1, $2, $3)",
            &[&place.schema.as_str(), &name, &checksum],
        )
        .await?;
    Ok(())
}

/// Remembers how a place was left. Without a version the recorded one stays.
pub(crate) async fn left_as(
    session: &Session,
    place: &Place,
    version: Option<i64>,
    catalog: &Catalog,
) -> Result<(), DataError> {
    let fingerprint = store(session, catalog).await?;
    let name = place.schema.as_str();
    match version {
        Some(version) => {
            let sql = "INSERT INTO ledger.place AS known (place, version, fingerprint) VALUES ($1, $2, $3)
                ON CONFLICT (place) DO UPDATE SET version = greatest(known.version, EXCLUDED.version),
                    fingerprint = EXCLUDED.fingerprint, protected_at = now()";
            session.execute(sql, &[&name, &version, &fingerprint]).await?;
        }
        None => {
            let sql = "UPDATE ledger.place SET fingerprint = $2, protected_at = now() WHERE place = $1";
            session.execute(sql, &[&name, &fingerprint]).await?;
        }
    }
    Ok(())
}

/// Stores a structure, each once, and gives its fingerprint.
pub(crate) async fn store(session: &Session, catalog: &Catalog) -> Result<String, DataError> {
    let fingerprint = catalog::fingerprint(session, catalog).await?;
    session
        .execute(
            "INSERT INTO ledger.shape (fingerprint, lines) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[&fingerprint, &catalog.lines],
        )
        .await?;
    Ok(fingerprint)
}

/// Those of the fingerprints whose structure is stored.
pub(crate) async fn stored(session: &Session, fingerprints: &[&str]) -> Result<BTreeSet<String>, DataError> {
    let sql = "SELECT fingerprint FROM ledger.shape WHERE fingerprint = ANY ($1)";
    session.query(sql, &[&fingerprints]).await?.iter().map(|row| get(row, 0)).collect()
}

/// Gives places another fingerprint for the one that is recorded, if its structure is stored; the lists have the same
/// positions. A place that has another one by now, or that somebody else is recording, is left as it is.
pub(crate) async fn replace(
    session: &Session,
    places: &[&str],
    recorded: &[&str],
    instead: &[&str],
) -> Result<(), DataError> {
    let sql = "WITH free AS (
            SELECT p.place, n.instead FROM unnest($1::text[], $2::text[], $3::text[]) AS n(place, recorded, instead)
              JOIN ledger.place p ON p.place = n.place AND p.fingerprint = n.recorded
              JOIN ledger.shape s ON s.fingerprint = n.instead
             ORDER BY p.place FOR NO KEY UPDATE OF p SKIP LOCKED FOR KEY SHARE OF s SKIP LOCKED)
        UPDATE ledger.place p SET fingerprint = f.instead FROM free f WHERE p.place = f.place";
    session.execute(sql, &[&places, &recorded, &instead]).await?;
    Ok(())
}

/// The recorded structure of a place, as lines.
pub(crate) async fn shape(session: &Session, place: &Place) -> Result<Option<Vec<String>>, DataError> {
    let sql = "SELECT s.lines FROM ledger.place p JOIN ledger.shape s USING (fingerprint) WHERE p.place = $1";
    session.query_opt(sql, &[&place.schema.as_str()]).await?.as_ref().map(|row| get(row, 0)).transpose()
}

/// Recorded versions and fingerprints by place.
pub(crate) async fn fingerprints(session: &Session) -> Result<BTreeMap<String, (i64, String)>, DataError> {
    let rows = session.query("SELECT place, version, fingerprint FROM ledger.place", &[]).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, (get(row, 1)?, get(row, 2)?)))).collect()
}

/// The recorded fingerprint of one place.
pub(crate) async fn fingerprint_of(session: &Session, place: &Place) -> Result<Option<String>, DataError> {
    let sql = "SELECT fingerprint FROM ledger.place WHERE place = $1";
    session.query_opt(sql, &[&place.schema.as_str()]).await?.as_ref().map(|row| get(row, 0)).transpose()
}

/// Follows a renamed schema.
pub(crate) async fn renamed(session: &Session, from: &Ident, to: &Ident) -> Result<(), DataError> {
    for sql in
        ["UPDATE ledger.applied SET place = $2 WHERE place = $1", "UPDATE ledger.place SET place = $2 WHERE place = $1"]
    {
        session.execute(sql, &[&from.as_str(), &to.as_str()]).await?;
    }
    Ok(())
}

/// Forgets a place.
pub(crate) async fn forget(session: &Session, schema: &Ident) -> Result<(), DataError> {
    for sql in [
        "DELETE FROM ledger.applied WHERE place = $1",
        "DELETE FROM ledger.place WHERE place = $1",
        "DELETE FROM ledger.overlay WHERE place = $1",
    ] {
        session.execute(sql, &[&schema.as_str()]).await?;
    }
    Ok(())
}

/// Puts something on the shelf that a later tenant may take.
pub(crate) async fn shelve(
    session: &Session,
    name: &Ident,
    isolation: Isolation,
    app: &AppTarget,
) -> Result<(), DataError> {
    session
        .execute(
            "INSERT INTO ledger.premade (name, isolation, version, files) VALUES ($1, $2, $3, $4)",
            &[&name.as_str(), &isolation.as_str(), &app.version, &migrate::stream(app)],
        )
        .await?;
    Ok(())
}

/// Takes the newest thing off the shelf that the app's files can bring up, if there is one. It is gone from there when
/// the transaction commits. What ran other files stays until the shelf is renewed.
pub(crate) async fn unshelve(
    session: &Session,
    isolation: Isolation,
    app: &AppTarget,
) -> Result<Option<Ident>, DataError> {
    let sql = "DELETE FROM ledger.premade WHERE name = (SELECT name FROM ledger.premade WHERE isolation = $1
                   AND coalesce(files = ($2::text[])[1:cardinality(files)], true)
               ORDER BY version DESC, made_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING name";
    let row = session.query_opt(sql, &[&isolation.as_str(), &migrate::stream(app)]).await?;
    row.map(|row| Ok(Ident::new(get::<&str>(&row, 0)?)?)).transpose()
}

/// What was seen in a place that no file made.
pub(crate) async fn overlay(session: &Session, place: &Place) -> Result<BTreeSet<String>, DataError> {
    let rows = session.query("SELECT item FROM ledger.overlay WHERE place = $1", &[&place.schema.as_str()]).await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

/// The places in which something was seen that no file made. None where an older release made the ledger.
pub(crate) async fn all_overlaid(session: &Session) -> Result<BTreeSet<String>, DataError> {
    if !get::<bool>(&session.query_one("SELECT to_regclass('ledger.overlay') IS NOT NULL", &[]).await?, 0)? {
        return Ok(BTreeSet::new());
    }
    let rows = session.query("SELECT DISTINCT place FROM ledger.overlay", &[]).await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

/// Remembers what is in a place that no file made, and forgets what is not there any more.
pub(crate) async fn overlaid(session: &Session, place: &Place, items: &[&str]) -> Result<(), DataError> {
    let name = place.schema.as_str();
    session.execute("DELETE FROM ledger.overlay WHERE place = $1 AND item <> ALL ($2)", &[&name, &items]).await?;
    let sql = "INSERT INTO ledger.overlay (place, item) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING";
    session.execute(sql, &[&name, &items]).await?;
    Ok(())
}

/// Whether the tenant's users were ever let in.
pub(crate) async fn was_opened(session: &Session, tenant: TenantId) -> Result<bool, DataError> {
    let sql = "SELECT EXISTS (SELECT FROM ledger.space WHERE tenant_id = $1 AND opened_at IS NOT NULL)";
    get(&session.query_one(sql, &[&tenant.uuid()]).await?, 0)
}
