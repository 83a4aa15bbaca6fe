//! Plans, regions, cells, apps and meters: versioned documents by kind and name.

use std::str::FromStr;

use serde_json::Value;
use tenantry_domain::Timestamp;
use tenantry_pg::{Json, Row};
use uuid::Uuid;

use crate::chain::event_id;
use crate::columns::{get, json, json_opt, parse};
use crate::line::Statement;
use crate::{Reader, StoreError, WriteTx};

/// What a document of the catalog is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CatalogKind {
    /// A plan.
    Plan,
    /// A region.
    Region,
    /// A cell.
    Cell,
    /// An app.
    App,
    /// A meter of usage.
    Meter,
}

impl CatalogKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Plan, Self::Region, Self::Cell, Self::App, Self::Meter];

    /// The word in columns and audit targets.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Region => "region",
            Self::Cell => "cell",
            Self::App => "app",
            Self::Meter => "meter",
        }
    }
}

/// The text is none of the kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of the catalog")]
pub struct UnknownKind;

impl FromStr for CatalogKind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

/// A document of the catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogRow {
    /// What it is.
    pub kind: CatalogKind,
    /// Its name.
    pub name: String,
    /// Its id; another one when it is made again after a removal.
    pub id: Uuid,
    /// Its newest version.
    pub version: i64,
    /// The document.
    pub spec: Value,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// Since when it is what it is.
    pub updated_at: Timestamp,
}

/// One version of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogVersionRow {
    /// Its number, from 1; a document that is made again after a removal goes on counting.
    pub version: i64,
    /// The whole document; absent in the version that removed it.
    pub spec: Option<Value>,
    /// Who made it, `operator:…`.
    pub author: String,
    /// By what, `manifests.apply`.
    pub action: String,
    /// When.
    pub at: Timestamp,
}

/// A new version of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogPut {
    /// What it is.
    pub kind: CatalogKind,
    /// Its name.
    pub name: String,
    /// The version that the change was made from; 0 for a new document.
    pub from_version: i64,
    /// The whole document.
    pub spec: Value,
    /// Kept with the version.
    pub action: String,
    /// The chain of requests, kept with the version.
    pub correlation_id: String,
}

fn read(row: &Row) -> Result<CatalogRow, StoreError> {
    Ok(CatalogRow {
        kind: parse(row, "kind")?,
        name: get(row, "name")?,
        id: get(row, "id")?,
        version: get(row, "version")?,
        spec: json(row, "spec")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}

fn read_version(row: &Row) -> Result<CatalogVersionRow, StoreError> {
    Ok(CatalogVersionRow {
        version: get(row, "version")?,
        spec: json_opt(row, "spec")?,
        author: get(row, "author")?,
        action: get(row, "action")?,
        at: get(row, "at")?,
    })
}

const GET: &str = "
    SELECT kind, name, id, version, spec, created_at, updated_at FROM tenantry.catalog
    WHERE env = $1 AND kind = $2 AND name = $3";

const LIST: &str = "
    SELECT kind, name, id, version, spec, created_at, updated_at FROM tenantry.catalog
    WHERE env = $1 AND kind = $2 ORDER BY name";

/// A document that is made again after a removal goes on counting, so that a version names one text for ever.
const PUT: &str = "
    WITH newest AS (
        SELECT coalesce(max(version), 0) AS version FROM tenantry.catalog_version
        WHERE env = $1 AND kind = $2 AND name = $3
    ), put AS (
        INSERT INTO tenantry.catalog AS c (env, kind, name, id, version, spec, created_at, updated_at)
        SELECT $1, $2, $3, $4, version + 1, $5, $6, $6 FROM newest WHERE $7::bigint = 0 OR EXISTS (
            SELECT FROM tenantry.catalog WHERE env = $1 AND kind = $2 AND name = $3
        )
        ON CONFLICT ON CONSTRAINT catalog_pkey DO UPDATE
        SET version = c.version + 1, spec = excluded.spec, updated_at = excluded.updated_at WHERE c.version = $7
        RETURNING kind, name, id, version, spec, created_at, updated_at
    ), history AS (
        INSERT INTO tenantry.catalog_version (env, kind, name, version, id, spec, author, action, at, correlation_id)
        SELECT $1, kind, name, version, id, spec, $8, $9, $6, $10 FROM put
    )
    SELECT * FROM put";

const DELETE: &str = "
    WITH gone AS (
        DELETE FROM tenantry.catalog WHERE env = $1 AND kind = $2 AND name = $3 AND version = $4
        RETURNING kind, name, id, version
    )
    INSERT INTO tenantry.catalog_version (env, kind, name, version, id, spec, author, action, at, correlation_id)
    SELECT $1, kind, name, version + 1, id, NULL, $5, $2 || '.delete', $6, '' FROM gone RETURNING version";

/// The catalog inside a transaction.
pub struct Catalog<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Catalog<'_> {
    /// Locks a document, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn lock(&mut self, kind: CatalogKind, name: &str) -> Result<Option<CatalogRow>, StoreError> {
        let sql = "
            SELECT kind, name, id, version, spec, created_at, updated_at FROM tenantry.catalog
            WHERE env = $1 AND kind = $2 AND name = $3 FOR NO KEY UPDATE";
        self.found(sql, kind, name).await
    }

    /// Reads a document and keeps it from being removed until the end of the transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn get(&mut self, kind: CatalogKind, name: &str) -> Result<Option<CatalogRow>, StoreError> {
        let sql = "
            SELECT kind, name, id, version, spec, created_at, updated_at FROM tenantry.catalog
            WHERE env = $1 AND kind = $2 AND name = $3 FOR KEY SHARE";
        self.found(sql, kind, name).await
    }

    /// All documents of a kind, by name, as this transaction sees them.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&mut self, kind: CatalogKind) -> Result<Vec<CatalogRow>, StoreError> {
        let statement = Statement::new(LIST).bind(self.tx.env()).bind(kind.as_str());
        let rows = self.tx.rows(statement).await?.iter().map(read).collect::<Result<_, _>>()?;
        Ok(match &self.tx.ahead {
            Some(ahead) => ahead.documents(kind, rows),
            None => rows,
        })
    }

    /// Writes a new version.
    ///
    /// # Errors
    /// [`StoreError::StaleVersion`], or the database's.
    pub async fn put(&mut self, put: &CatalogPut) -> Result<CatalogRow, StoreError> {
        if self.tx.looks_ahead() {
            return self.put_ahead(put).await;
        }
        let statement = Statement::new(PUT)
            .bind(self.tx.env())
            .bind(put.kind.as_str())
            .bind(put.name.clone())
            .bind(event_id(self.tx.now))
            .bind(Json(put.spec.clone()))
            .bind(self.tx.now)
            .bind(put.from_version)
            .bind(self.tx.actor.to_string())
            .bind(put.action.clone())
            .bind(put.correlation_id.clone());
        let rows = self.tx.rows(statement).await?;
        match rows.first() {
            Some(row) => {
                self.tx.wrote = true;
                read(row)
            }
            None => Err(self.stale(put.kind, &put.name).await),
        }
    }

    /// Removes a document; its history stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::StaleVersion`], or the database's.
    pub async fn delete(&mut self, kind: CatalogKind, name: &str, from_version: i64) -> Result<(), StoreError> {
        let statement = Statement::new(DELETE)
            .bind(self.tx.env())
            .bind(kind.as_str())
            .bind(name.to_owned())
            .bind(from_version)
            .bind(self.tx.actor.to_string())
            .bind(self.tx.now);
        if self.tx.rows(statement).await?.is_empty() {
            return Err(match self.stale(kind, name).await {
                StoreError::StaleVersion { current: 0 } => StoreError::NotFound,
                stale => stale,
            });
        }
        self.tx.wrote = true;
        Ok(())
    }

    /// How many living tenants use a document.
    ///
    /// # Errors
    /// The database's.
    pub async fn users(&mut self, kind: CatalogKind, name: &str) -> Result<i64, StoreError> {
        let sql = match kind {
            CatalogKind::Plan => {
                "SELECT count(*) AS n FROM tenantry.tenant WHERE env = $1 AND plan = $2 AND phase <> 'deleted'"
            }
            CatalogKind::App => {
                "SELECT count(*) AS n FROM tenantry.tenant WHERE env = $1 AND app = $2 AND phase <> 'deleted'"
            }
            CatalogKind::Cell => {
                "SELECT count(*) AS n FROM tenantry.tenant WHERE env = $1 AND cell = $2 AND phase <> 'deleted'"
            }
            CatalogKind::Region => {
                "SELECT count(*) AS n FROM tenantry.tenant WHERE env = $1 AND phase <> 'deleted'
                 AND (region = $2 OR spec->'residency'->'allowedRegions' ? $2)"
            }
            // What is not told yet needs the meter's word for it.
            CatalogKind::Meter => {
                "SELECT count(DISTINCT tenant) AS n FROM tenantry.usage_hour
                 WHERE env = $1 AND meter = $2 AND NOT is_told"
            }
        };
        let rows = self.tx.rows(Statement::new(sql).bind(self.tx.env()).bind(name.to_owned())).await?;
        get(rows.first().ok_or(StoreError::NotFound)?, "n")
    }

    /// The versions of an app that places have, with their texts, as this transaction sees them: tenants' places by their
    /// own record, what the tenants of a cell share by the rollouts that brought it there.
    ///
    /// # Errors
    /// The database's.
    pub async fn lived(&mut self, app: &str) -> Result<Vec<(i64, Value)>, StoreError> {
        let sql = "
            SELECT v.version, v.spec FROM tenantry.catalog_version AS v
            WHERE v.env = $1 AND v.kind = 'app' AND v.name = $2 AND v.spec IS NOT NULL AND v.version IN (
                SELECT t.app_version FROM tenantry.tenant AS t
                WHERE t.env = $1 AND t.app = $2 AND t.cell IS NOT NULL AND t.phase <> 'deleted'
                UNION
                SELECT r.version FROM tenantry.rollout AS r
                JOIN tenantry.catalog AS c ON c.env = r.env AND c.kind = 'cell'
                JOIN tenantry.rollout_target AS g
                    ON g.env = r.env AND g.rollout = r.id AND g.cell = c.name AND g.tenant = $3
                WHERE r.env = $1 AND r.app = $2 AND g.status IN ('done', 'current')
            ) ORDER BY v.version";
        let statement = Statement::new(sql).bind(self.tx.env()).bind(app.to_owned()).bind(Uuid::nil());
        let rows = self.tx.rows(statement).await?;
        rows.iter().map(|row| Ok((get(row, "version")?, json(row, "spec")?))).collect()
    }

    /// A document as the transaction would have it, by a text that locks its row.
    async fn found(
        &mut self,
        locks: &'static str,
        kind: CatalogKind,
        name: &str,
    ) -> Result<Option<CatalogRow>, StoreError> {
        if let Some(row) = self.tx.ahead.as_ref().and_then(|ahead| ahead.document(kind, name)) {
            return Ok(Some(row.clone()));
        }
        self.one(self.tx.text(locks, GET), kind, name).await
    }

    async fn one(
        &mut self,
        sql: &'static str,
        kind: CatalogKind,
        name: &str,
    ) -> Result<Option<CatalogRow>, StoreError> {
        let statement = Statement::new(sql).bind(self.tx.env()).bind(kind.as_str()).bind(name.to_owned());
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    async fn stale(&mut self, kind: CatalogKind, name: &str) -> StoreError {
        match self.one(GET, kind, name).await {
            Ok(row) => StoreError::StaleVersion { current: row.map_or(0, |row| row.version) },
            Err(error) => error,
        }
    }
}

impl Reader {
    /// One document, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn catalog(&self, kind: CatalogKind, name: &str) -> Result<Option<CatalogRow>, StoreError> {
        let params: [&(dyn tenantry_pg::ToSql + Sync); 3] = [&self.environment.as_str(), &kind.as_str(), &name];
        self.store.query_opt(GET, &params).await?.as_ref().map(read).transpose()
    }

    /// All documents of a kind, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn catalog_list(&self, kind: CatalogKind) -> Result<Vec<CatalogRow>, StoreError> {
        let rows = self.store.query(LIST, &[&self.environment.as_str(), &kind.as_str()]).await?;
        rows.iter().map(read).collect()
    }

    /// One version of a document, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn catalog_version(
        &self,
        kind: CatalogKind,
        name: &str,
        version: i64,
    ) -> Result<Option<CatalogVersionRow>, StoreError> {
        let sql = "
            SELECT version, spec, author, action, at FROM tenantry.catalog_version
            WHERE env = $1 AND kind = $2 AND name = $3 AND version = $4";
        let params: [&(dyn tenantry_pg::ToSql + Sync); 4] =
            [&self.environment.as_str(), &kind.as_str(), &name, &version];
        self.store.query_opt(sql, &params).await?.as_ref().map(read_version).transpose()
    }

    /// At most `limit` versions below a number, newest first; also of a document that was removed.
    ///
    /// # Errors
    /// The database's.
    pub async fn catalog_versions(
        &self,
        kind: CatalogKind,
        name: &str,
        below: i64,
        limit: i64,
    ) -> Result<Vec<CatalogVersionRow>, StoreError> {
        let sql = "
            SELECT version, spec, author, action, at FROM tenantry.catalog_version
            WHERE env = $1 AND kind = $2 AND name = $3 AND version < $4 ORDER BY version DESC LIMIT $5";
        let params: [&(dyn tenantry_pg::ToSql + Sync); 5] =
            [&self.environment.as_str(), &kind.as_str(), &name, &below, &limit];
        self.store.query(sql, &params).await?.iter().map(read_version).collect()
    }
}
