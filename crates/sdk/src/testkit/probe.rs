//! What the examples ask a tenant's database: its tables, their keys, and how many rows a statement touches.

use tenantry_pg::{Ident, PgError, Sql};

use crate::error::Error;
use crate::tx::TenantTx;

/// A table of the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub name: String,
    pub has_key: bool,
}

/// A foreign key between tables of the tenant, without the column of the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub child: String,
    pub columns: Vec<String>,
    pub parent: String,
    pub parent_columns: Vec<String>,
}

const TABLES: &str = "SELECT c.relname::text, EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid \
     AND a.attname = $1 AND NOT a.attisdropped) \
     FROM pg_catalog.pg_class c WHERE c.relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(current_schema())) \
     AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1";

const REFERENCES: &str = "SELECT child.relname::text, \
     array_agg(a.attname::text ORDER BY k.place), parent.relname::text, array_agg(b.attname::text ORDER BY k.place) \
     FROM pg_catalog.pg_constraint f \
     JOIN pg_catalog.pg_class child ON child.oid = f.conrelid AND NOT child.relispartition \
     JOIN pg_catalog.pg_class parent ON parent.oid = f.confrelid AND parent.relnamespace = child.relnamespace \
     CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey)) \
     WITH ORDINALITY AS k(own, other, place) \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.own \
     JOIN pg_catalog.pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = k.other \
     WHERE f.contype = 'f' AND a.attname <> $1 \
     AND child.relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(current_schema())) \
     GROUP BY f.oid, child.relname, parent.relname ORDER BY 1, 3";

pub(super) async fn tables(tx: &TenantTx, key: &str) -> Result<Vec<Table>, Error> {
    let rows = tx.query(TABLES, &[&key]).await?;
    Ok(rows.iter().map(|row| Table { name: row.get(0), has_key: row.get(1) }).collect())
}

pub(super) async fn references(tx: &TenantTx, key: &str) -> Result<Vec<Reference>, Error> {
    let rows = tx.query(REFERENCES, &[&key]).await?;
    let read = |row: &tenantry_pg::Row| Reference {
        child: row.get(0),
        columns: row.get(1),
        parent: row.get(2),
        parent_columns: row.get(3),
    };
    Ok(rows.iter().map(read).collect())
}

/// Names that came out of the catalog are names.
pub(super) fn ident(name: &str) -> Result<Ident, Error> {
    let fault = crate::error::SettingsFault::Unreadable("a name of the database");
    Ident::new(name).map_err(|_| Error::SettingsInvalid { name: "table", fault })
}

/// How many rows there are.
pub(super) async fn count(tx: &TenantTx, table: &str) -> Result<i64, Error> {
    number(tx, &Sql::new("SELECT count(*) FROM ").ident(&ident(table)?)).await
}

/// How many rows there are with these values, given as text.
pub(super) async fn count_with(tx: &TenantTx, table: &str, values: &[(String, String)]) -> Result<i64, Error> {
    let sql = Sql::new("SELECT count(*) FROM ").ident(&ident(table)?).push(" WHERE ");
    number(tx, &sql.join(&equals(values)?, " AND ")).await
}

/// The values of some columns in any one row, as text; nothing without a row.
pub(super) async fn any_row(tx: &TenantTx, table: &str, columns: &[String]) -> Result<Option<Vec<String>>, Error> {
    let mut shown = Vec::new();
    for column in columns {
        shown.push(Sql::new("").ident(&ident(column)?).push("::text"));
    }
    let sql = Sql::new("SELECT ").join(&shown, ", ").push(" FROM ").ident(&ident(table)?).push(" LIMIT 1");
    let rows = tx.query_sql(&sql, &[]).await?;
    Ok(rows.first().map(|row| (0..columns.len()).map(|place| row.get(place)).collect()))
}

/// Sets columns in every row that can be reached; gives how many that were.
pub(super) async fn set(tx: &TenantTx, table: &str, values: &[(String, String)]) -> Result<u64, PgErrorOr> {
    let sql = Sql::new("UPDATE ").ident(&ident(table)?).push(" SET ").join(&equals(values)?, ", ");
    tx.execute_sql(&sql, &[]).await.map_err(PgErrorOr::Refused)
}

/// Sets a column to itself, wherever that reaches.
pub(super) async fn touch(tx: &TenantTx, table: &str, column: &str) -> Result<u64, PgErrorOr> {
    let (table, column) = (ident(table)?, ident(column)?);
    let sql = Sql::new("UPDATE ").ident(&table).push(" SET ").ident(&column).push(" = ").ident(&column);
    tx.execute_sql(&sql, &[]).await.map_err(PgErrorOr::Refused)
}

/// The server's refusal, which may be what is wanted, or a failure of ours.
pub(super) enum PgErrorOr {
    Refused(PgError),
    Failed(Error),
}

impl From<Error> for PgErrorOr {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<PgErrorOr> for Error {
    fn from(error: PgErrorOr) -> Self {
        match error {
            PgErrorOr::Refused(error) => Self::Statement(error),
            PgErrorOr::Failed(error) => error,
        }
    }
}

async fn number(tx: &TenantTx, sql: &Sql) -> Result<i64, Error> {
    let rows = tx.query_sql(sql, &[]).await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

fn equals(values: &[(String, String)]) -> Result<Vec<Sql>, Error> {
    values.iter().map(|(column, value)| Ok(Sql::new("").ident(&ident(column)?).push(" = ").literal(value))).collect()
}
