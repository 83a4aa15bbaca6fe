//! A customer's directory: users and groups as it keeps them here by SCIM, and what they mean for members.
//!
//! Whoever changes them locks the tenant first, as whoever changes its people does; a change of both is one commit.
//! INVARIANT: a row here gives nobody a right by itself. What somebody may do is their membership, which is written beside
//! it and looked up alone.

mod groups;
mod users;

use serde_json::{Map, Value};
use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::member::scim::filter::Anchor;
use tenantry_domain::member::{RoleName, Standard};
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

pub use groups::{GroupPut, GroupRow};
pub use users::{GradeRow, ScimUserPut, ScimUserRow};

use crate::columns::{get, parse};
use crate::line::Statement;
use crate::{Reader, StoreError, WriteTx};

/// A tenant's directory as it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryRow {
    /// Whose subjects the external ids are; absent when people are claimed by a verified address.
    pub issuer: Option<String>,
    /// The pool inside the issuer; empty where it has one only.
    pub pool: String,
    /// What somebody holds whom no group gives a role.
    pub default_role: RoleName,
    /// Rises with every change; 0 when nobody has set anything up.
    pub version: i64,
}

impl Default for DirectoryRow {
    fn default() -> Self {
        Self { issuer: None, pool: String::new(), default_role: Standard::Readonly.into(), version: 0 }
    }
}

/// How much a tenant's directory has here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DirectoryCounts {
    /// Users, the inactive ones counted.
    pub users: i64,
    /// Users that are members.
    pub members: i64,
    /// Groups.
    pub groups: i64,
}

/// Which resources, and from where.
#[derive(Debug, Clone, Copy)]
pub enum Choice<'a> {
    /// What an index finds. Never many, apart from a user's groups.
    Found(&'a Anchor),
    /// All of them by id: so many, behind so many.
    All {
        /// How many come before.
        skip: i64,
        /// How many at most.
        limit: i64,
    },
    /// All of them by id: so many, behind one. Going on so takes the same time for each page, however far it is.
    After {
        /// The one before; nil for the first ones.
        id: Uuid,
        /// How many at most.
        limit: i64,
    },
}

const DIRECTORY: &str =
    "SELECT issuer, pool, default_role, version FROM tenantry.directory WHERE env = $1 AND tenant = $2";

const PUT_DIRECTORY: &str = "
    INSERT INTO tenantry.directory AS d (env, tenant, issuer, pool, default_role, version, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, 1, $6, $6)
    ON CONFLICT (env, tenant) DO UPDATE
        SET issuer = EXCLUDED.issuer, pool = EXCLUDED.pool, default_role = EXCLUDED.default_role, version = d.version + 1,
            updated_at = EXCLUDED.updated_at
    RETURNING issuer, pool, default_role, version";

const COUNTS: &str = "
    SELECT (SELECT count(*) FROM tenantry.scim_user WHERE env = $1 AND tenant = $2) AS users,
        (SELECT count(*) FROM tenantry.scim_user AS s JOIN tenantry.member AS m
            ON m.env = s.env AND m.tenant = s.tenant AND m.user_id = s.user_id
            WHERE s.env = $1 AND s.tenant = $2) AS members,
        (SELECT count(*) FROM tenantry.scim_group WHERE env = $1 AND tenant = $2) AS groups";

fn directory(row: &Row) -> Result<DirectoryRow, StoreError> {
    Ok(DirectoryRow {
        issuer: get(row, "issuer")?,
        pool: get(row, "pool")?,
        default_role: parse(row, "default_role")?,
        version: get(row, "version")?,
    })
}

fn counts(row: &Row) -> Result<DirectoryCounts, StoreError> {
    Ok(DirectoryCounts { users: get(row, "users")?, members: get(row, "members")?, groups: get(row, "groups")? })
}

/// An object of JSON; anything else is none.
fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(object) = value { object } else { Map::new() }
}

impl WriteTx {
    /// A tenant's directory. Lock the tenant first.
    pub fn scim(&mut self) -> Scim<'_> {
        Scim { tx: self }
    }
}

/// Directories inside a transaction.
pub struct Scim<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Scim<'_> {
    /// How a tenant's directory is set up.
    ///
    /// # Errors
    /// The database's.
    pub async fn directory(&mut self, tenant: TenantId) -> Result<DirectoryRow, StoreError> {
        let statement = self.of(DIRECTORY, tenant);
        self.tx.rows(statement).await?.first().map_or_else(|| Ok(DirectoryRow::default()), directory)
    }

    /// Sets a tenant's directory up.
    ///
    /// # Errors
    /// The database's.
    pub async fn put_directory(&mut self, tenant: TenantId, row: &DirectoryRow) -> Result<DirectoryRow, StoreError> {
        let put = self.of(PUT_DIRECTORY, tenant).bind(row.issuer.clone()).bind(row.pool.clone());
        let put = put.bind(row.default_role.as_str().to_owned()).bind(self.tx.now);
        self.tx.wrote = true;
        self.tx.rows(put).await?.first().map(directory).transpose()?.ok_or(StoreError::NotFound)
    }

    /// How much a tenant's directory has here.
    ///
    /// # Errors
    /// The database's.
    pub async fn counts(&mut self, tenant: TenantId) -> Result<DirectoryCounts, StoreError> {
        let statement = self.of(COUNTS, tenant);
        self.tx.rows(statement).await?.first().map(counts).transpose()?.ok_or(StoreError::NotFound)
    }

    fn of(&self, sql: &'static str, tenant: TenantId) -> Statement {
        Statement::new(sql).bind(self.tx.env()).bind(tenant.uuid())
    }
}

impl Reader {
    /// How a tenant's directory is set up, and how much it has here.
    ///
    /// # Errors
    /// The database's.
    pub async fn directory(&self, tenant: TenantId) -> Result<(DirectoryRow, DirectoryCounts), StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &tenant.uuid()];
        let row = self.store.query_opt(DIRECTORY, &params).await?;
        let row = row.as_ref().map_or_else(|| Ok(DirectoryRow::default()), directory)?;
        let found = self.store.query_opt(COUNTS, &params).await?;
        Ok((row, found.as_ref().map_or_else(|| Ok(DirectoryCounts::default()), counts)?))
    }
}

/// An id that a client sent; what is none finds nothing.
fn uuid(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or(Uuid::max())
}

/// When a row was made and changed.
fn times(row: &Row) -> Result<(Timestamp, Timestamp), StoreError> {
    Ok((get(row, "created_at")?, get(row, "updated_at")?))
}
