//! Roles of a tenant's own.

use std::collections::BTreeSet;

use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::member::{Permission, Role, RoleName};
use tenantry_pg::{Row, ToSql};

use super::{Members, permissions};
use crate::columns::{get, parse};
use crate::line::Statement;
use crate::{Reader, StoreError};

/// A role of a tenant's own as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// Its name.
    pub name: RoleName,
    /// For people.
    pub title: Option<String>,
    /// What it lets its holders do.
    pub permissions: BTreeSet<Permission>,
    /// Rises with every change; begins with 1.
    pub version: i64,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// The last change.
    pub updated_at: Timestamp,
}

impl RoleRow {
    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        Role::Custom { name: self.name.clone(), permissions: self.permissions.clone() }
    }
}

const GET: &str = "
    SELECT name, title, permissions, version, created_at, created_by, updated_at FROM tenantry.member_role
    WHERE env = $1 AND tenant = $2 AND name = $3";

const LIST: &str = "
    SELECT name, title, permissions, version, created_at, created_by, updated_at FROM tenantry.member_role
    WHERE env = $1 AND tenant = $2 ORDER BY name";

const PUT: &str = "
    INSERT INTO tenantry.member_role AS r (env, tenant, name, title, permissions, version, created_at, created_by, updated_at)
    VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $6)
    ON CONFLICT (env, tenant, name) DO UPDATE
        SET title = EXCLUDED.title, permissions = EXCLUDED.permissions, version = r.version + 1, updated_at = EXCLUDED.updated_at
    RETURNING name, title, permissions, version, created_at, created_by, updated_at";

/// No group gives a role that may come back as another one.
const DELETE: &str = "
    WITH unmapped AS (
        UPDATE tenantry.scim_group SET role = NULL, version = version + 1, updated_at = clock_timestamp()
        WHERE env = $1 AND tenant = $2 AND role = $3
    )
    DELETE FROM tenantry.member_role WHERE env = $1 AND tenant = $2 AND name = $3 RETURNING name";

const USES: &str = "
    SELECT (SELECT count(*) FROM tenantry.member WHERE env = $1 AND tenant = $2 AND role = $3) AS members,
        (SELECT count(*) FROM tenantry.invitation
            WHERE env = $1 AND tenant = $2 AND role = $3 AND status = 'pending' AND expires_at > $4) AS invitations,
        (SELECT count(*) FROM tenantry.scim_group WHERE env = $1 AND tenant = $2 AND role = $3) AS groups,
        EXISTS (SELECT FROM tenantry.directory WHERE env = $1 AND tenant = $2 AND default_role = $3) AS is_default,
        (SELECT count(*) FROM tenantry.member_role WHERE env = $1 AND tenant = $2) AS roles";

fn read(row: &Row) -> Result<RoleRow, StoreError> {
    Ok(RoleRow {
        name: parse(row, "name")?,
        title: get(row, "title")?,
        permissions: permissions(row)?,
        version: get(row, "version")?,
        created_at: get(row, "created_at")?,
        created_by: get(row, "created_by")?,
        updated_at: get(row, "updated_at")?,
    })
}

/// How much a role is used, and how many of its own the tenant has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses {
    /// Members that hold it.
    pub members: i64,
    /// Open invitations that name it.
    pub invitations: i64,
    /// Groups of the tenant's directory that give it.
    pub groups: i64,
    /// Whether the directory gives it to whom no group gives one.
    pub is_default: bool,
    /// Roles of the tenant's own.
    pub roles: i64,
}

impl Members<'_> {
    /// A role of the tenant's own, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn role(&mut self, tenant: TenantId, name: &RoleName) -> Result<Option<RoleRow>, StoreError> {
        let statement = self.named(GET, tenant, name);
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// Makes or changes a role of the tenant's own.
    ///
    /// # Errors
    /// The database's.
    pub async fn put_role(
        &mut self,
        tenant: TenantId,
        name: &RoleName,
        title: Option<&str>,
        permissions: &BTreeSet<Permission>,
    ) -> Result<RoleRow, StoreError> {
        let names: Vec<String> = permissions.iter().map(ToString::to_string).collect();
        let put = self.named(PUT, tenant, name).bind(title.map(ToOwned::to_owned)).bind(names);
        let put = put.bind(self.tx.now).bind(self.tx.actor.to_string());
        self.tx.wrote = true;
        self.tx.rows(put).await?.first().map(read).transpose()?.ok_or(StoreError::NotFound)
    }

    /// Deletes a role of the tenant's own.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the database's.
    pub async fn delete_role(&mut self, tenant: TenantId, name: &RoleName) -> Result<(), StoreError> {
        let delete = self.named(DELETE, tenant, name);
        self.tx.wrote = true;
        if self.tx.rows(delete).await?.is_empty() { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// How much a role is used.
    ///
    /// # Errors
    /// The database's.
    pub async fn role_uses(&mut self, tenant: TenantId, name: &RoleName) -> Result<Uses, StoreError> {
        let statement = self.named(USES, tenant, name).bind(self.tx.now);
        let rows = self.tx.rows(statement).await?;
        let row = rows.first().ok_or(StoreError::NotFound)?;
        Ok(Uses {
            members: get(row, "members")?,
            invitations: get(row, "invitations")?,
            groups: get(row, "groups")?,
            is_default: get(row, "is_default")?,
            roles: get(row, "roles")?,
        })
    }

    fn named(&self, sql: &'static str, tenant: TenantId, name: &RoleName) -> Statement {
        Statement::new(sql).bind(self.tx.env()).bind(tenant.uuid()).bind(name.as_str().to_owned())
    }
}

impl Reader {
    /// Roles of a tenant's own, by name; never many.
    ///
    /// # Errors
    /// The database's.
    pub async fn roles(&self, tenant: TenantId) -> Result<Vec<RoleRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &tenant.uuid()];
        self.store.query(LIST, &params).await?.iter().map(read).collect()
    }

    /// One role of a tenant's own.
    ///
    /// # Errors
    /// The database's.
    pub async fn role(&self, tenant: TenantId, name: &RoleName) -> Result<Option<RoleRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &tenant.uuid(), &name.as_str()];
        self.store.query_opt(GET, &params).await?.as_ref().map(read).transpose()
    }
}
