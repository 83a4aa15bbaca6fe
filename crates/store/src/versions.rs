//! The history of desired states: every version, whole, with its author. Two of them are compared by
//! [`tenantry_domain::diff`]; going back is a new version with an old content.

use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::name::PlanCode;
use tenantry_domain::tenant::{Slug, Spec};

use tenantry_pg::Row;

use crate::columns::{get, json, parse, slug};
use crate::cursor::Binding;
use crate::line::Statement;
use crate::tenants::Tenants;
use crate::{Page, PageRequest, Reader, StoreError};

/// One version.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionRow {
    /// Whose.
    pub tenant: TenantId,
    /// Its number, from 1.
    pub version: i64,
    /// The name at that time.
    pub slug: Slug,
    /// The whole desired state.
    pub spec: Spec,
    /// Who made it, `operator:…`.
    pub author: String,
    /// By what, `tenant.update`.
    pub action: String,
    /// When.
    pub at: Timestamp,
    /// The chain of requests.
    pub correlation_id: String,
}

fn read(row: &Row) -> Result<VersionRow, StoreError> {
    Ok(VersionRow {
        tenant: TenantId::from_uuid(get(row, "tenant")?),
        version: get(row, "version")?,
        slug: slug(row)?,
        spec: json(row, "spec")?,
        author: get(row, "author")?,
        action: get(row, "action")?,
        at: get(row, "at")?,
        correlation_id: get(row, "correlation_id")?,
    })
}

impl Tenants<'_> {
    /// The plan that a version of a tenant was bound to, if there is such a version.
    ///
    /// # Errors
    /// The database's.
    pub async fn plan_at(&mut self, tenant: TenantId, version: i64) -> Result<Option<PlanCode>, StoreError> {
        let sql = "
            SELECT spec ->> 'plan' AS plan FROM tenantry.tenant_version WHERE env = $1 AND tenant = $2 AND version = $3";
        let statement = Statement::new(sql).bind(self.tx.env()).bind(tenant.uuid()).bind(version);
        self.tx.rows(statement).await?.first().map(|row| parse(row, "plan")).transpose()
    }
}

impl Reader {
    /// The versions of a tenant, newest first.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn versions(&self, tenant: TenantId, page: &PageRequest<'_>) -> Result<Page<VersionRow>, StoreError> {
        let binding = Binding::new(&self.store, "versions", &self.environment, &tenant, page);
        let before = binding.open(page)?.map_or(i64::MAX, i64::from_be_bytes);
        let sql = "
            SELECT tenant, version, slug, spec, author, action, at, correlation_id FROM tenantry.tenant_version
            WHERE env = $1 AND tenant = $2 AND version < $3 ORDER BY version DESC LIMIT $4";
        let limit = i64::from(page.size.get()) + 1;
        let rows = self.store.query(sql, &[&self.environment.as_str(), &tenant.uuid(), &before, &limit]).await?;
        let found: Vec<VersionRow> = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row| row.version.to_be_bytes()))
    }

    /// One version, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn version(&self, tenant: TenantId, version: i64) -> Result<Option<VersionRow>, StoreError> {
        let sql = "
            SELECT tenant, version, slug, spec, author, action, at, correlation_id FROM tenantry.tenant_version
            WHERE env = $1 AND tenant = $2 AND version = $3";
        let row = self.store.query_opt(sql, &[&self.environment.as_str(), &tenant.uuid(), &version]).await?;
        row.as_ref().map(read).transpose()
    }

    /// The version that was the newest at a moment; nothing when the tenant is younger.
    ///
    /// # Errors
    /// The database's.
    pub async fn as_of(&self, tenant: TenantId, at: Timestamp) -> Result<Option<VersionRow>, StoreError> {
        let sql = "
            SELECT tenant, version, slug, spec, author, action, at, correlation_id FROM tenantry.tenant_version
            WHERE env = $1 AND tenant = $2 AND at <= $3 ORDER BY version DESC LIMIT 1";
        let row = self.store.query_opt(sql, &[&self.environment.as_str(), &tenant.uuid(), &at]).await?;
        row.as_ref().map(read).transpose()
    }
}
