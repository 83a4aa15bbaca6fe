//! Offers to hand the ownership of a tenant on. They go with either membership.

use tenantry_domain::Timestamp;
use tenantry_domain::id::{TenantId, UserId};
use tenantry_pg::{Row, ToSql};

use super::Members;
use crate::columns::get;
use crate::line::Statement;
use crate::{Reader, StoreError};

/// An offer as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferRow {
    /// The owner who offers.
    pub from: UserId,
    /// The member who is asked.
    pub to: UserId,
    /// When.
    pub created_at: Timestamp,
    /// Until when it can be taken.
    pub expires_at: Timestamp,
}

const GET: &str = "
    SELECT from_user, to_user, created_at, expires_at FROM tenantry.ownership_offer WHERE env = $1 AND tenant = $2";

const PUT: &str = "
    INSERT INTO tenantry.ownership_offer (env, tenant, from_user, to_user, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (env, tenant) DO UPDATE SET from_user = EXCLUDED.from_user, to_user = EXCLUDED.to_user,
        created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at";

const DELETE: &str = "DELETE FROM tenantry.ownership_offer WHERE env = $1 AND tenant = $2";

fn read(row: &Row) -> Result<OfferRow, StoreError> {
    Ok(OfferRow {
        from: UserId::from_uuid(get(row, "from_user")?),
        to: UserId::from_uuid(get(row, "to_user")?),
        created_at: get(row, "created_at")?,
        expires_at: get(row, "expires_at")?,
    })
}

impl Members<'_> {
    /// The offer of a tenant's ownership, if there is one; also when its time is over.
    ///
    /// # Errors
    /// The database's.
    pub async fn offer(&mut self, tenant: TenantId) -> Result<Option<OfferRow>, StoreError> {
        let statement = Statement::new(GET).bind(self.tx.env()).bind(tenant.uuid());
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// Makes an offer, in place of the one before. It leaves with the commit.
    pub fn put_offer(&mut self, tenant: TenantId, offer: &OfferRow) {
        let put = Statement::new(PUT)
            .bind(self.tx.env())
            .bind(tenant.uuid())
            .bind(offer.from.uuid())
            .bind(offer.to.uuid())
            .bind(offer.created_at)
            .bind(offer.expires_at);
        self.tx.queue(put);
    }

    /// Ends the offer. It leaves with the commit.
    pub fn end_offer(&mut self, tenant: TenantId) {
        let delete = Statement::new(DELETE).bind(self.tx.env()).bind(tenant.uuid());
        self.tx.queue(delete);
    }
}

impl Reader {
    /// The offer of a tenant's ownership, if there is one; also when its time is over.
    ///
    /// # Errors
    /// The database's.
    pub async fn offer(&self, tenant: TenantId) -> Result<Option<OfferRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &tenant.uuid()];
        self.store.query_opt(GET, &params).await?.as_ref().map(read).transpose()
    }
}
