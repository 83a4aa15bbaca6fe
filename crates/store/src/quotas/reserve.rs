//! Setting a part of a quota aside, for what takes longer than a transaction.

use tenantry_domain::Timestamp;
use tenantry_domain::id::{ReservationId, TenantId};
use tenantry_domain::limit::{Bound, Mode, QuotaName};
use tenantry_pg::Row;

use super::{Quotas, Taken};
use crate::StoreError;
use crate::columns::{count, get, parse};
use crate::line::Statement;

/// A part of a quota that is to be set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewReservation {
    /// Its id.
    pub id: ReservationId,
    /// How much; at least one.
    pub amount: u64,
    /// Until when.
    pub expires: Timestamp,
}

/// A part of a quota that is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationRow {
    /// Its id.
    pub id: ReservationId,
    /// The quota.
    pub quota: QuotaName,
    /// How much.
    pub amount: u64,
    /// Until when.
    pub expires: Timestamp,
}

const MAKE: &str = "
    INSERT INTO tenantry.quota_reservation (env, id, tenant, name, amount, created_at, created_by, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const FIND: &str = "
    SELECT id, name, amount, expires_at FROM tenantry.quota_reservation
    WHERE env = $1 AND tenant = $2 AND id = $3 AND expires_at > $4";

/// What is set aside becomes used ($5), or free again (0).
const END: &str = "
    WITH gone AS (DELETE FROM tenantry.quota_reservation WHERE env = $1 AND tenant = $2 AND id = $4 RETURNING amount)
    UPDATE tenantry.quota AS q SET reserved = greatest(q.reserved - gone.amount, 0),
        used = least(CASE WHEN q.since < $6::timestamptz THEN 0 ELSE q.used END + $5::bigint, 1152921504606846976),
        since = CASE WHEN $6::timestamptz IS NULL THEN NULL ELSE greatest(q.since, $6::timestamptz) END, updated_at = $7
    FROM gone WHERE q.env = $1 AND q.tenant = $2 AND q.name = $3
    RETURNING q.used, q.reserved, q.warned, q.exceeded";

fn read(row: &Row) -> Result<ReservationRow, StoreError> {
    Ok(ReservationRow {
        id: ReservationId::from_uuid(get(row, "id")?),
        quota: parse(row, "name")?,
        amount: count(row, "amount")?,
        expires: get(row, "expires_at")?,
    })
}

impl Quotas<'_> {
    /// Sets an amount aside until it is committed, released, or has expired. Of a quota that is off it can be ended like any
    /// other, and counts for nothing.
    ///
    /// # Errors
    /// As [`Quotas::take`].
    pub async fn reserve(
        &mut self,
        tenant: TenantId,
        quota: &QuotaName,
        new: &NewReservation,
        limit: &Bound,
    ) -> Result<Taken, StoreError> {
        let taken = self.add(tenant, quota, 0, new.amount, limit).await?;
        let make = Statement::new(MAKE)
            .bind(self.tx.env())
            .bind(new.id.uuid())
            .bind(tenant.uuid())
            .bind(quota.as_str().to_owned())
            .bind(super::number(new.amount))
            .bind(self.tx.now)
            .bind(self.tx.actor.to_string())
            .bind(new.expires);
        self.tx.queue(make);
        Ok(taken)
    }

    /// One reservation that holds, if there is such a one; its tenant is locked.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such tenant, or the database's.
    pub async fn reservation(
        &mut self,
        tenant: TenantId,
        id: ReservationId,
    ) -> Result<Option<ReservationRow>, StoreError> {
        self.tx.tenants().lock(tenant).await?;
        let find = Statement::new(FIND).bind(self.tx.env()).bind(tenant.uuid()).bind(id.uuid()).bind(self.tx.now);
        self.tx.rows(find).await?.first().map(read).transpose()
    }

    /// What was set aside is used now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is gone, or the database's.
    pub async fn commit(
        &mut self,
        tenant: TenantId,
        reservation: &ReservationRow,
        limit: &Bound,
    ) -> Result<Taken, StoreError> {
        self.end(tenant, reservation, reservation.amount, limit).await
    }

    /// What was set aside is free again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is gone, or the database's.
    pub async fn release(
        &mut self,
        tenant: TenantId,
        reservation: &ReservationRow,
        limit: &Bound,
    ) -> Result<Taken, StoreError> {
        self.end(tenant, reservation, 0, limit).await
    }

    async fn end(
        &mut self,
        tenant: TenantId,
        reservation: &ReservationRow,
        used: u64,
        limit: &Bound,
    ) -> Result<Taken, StoreError> {
        let now = self.tx.now;
        let used = if limit.mode == Mode::Off { 0 } else { used };
        let end = self
            .of(END, tenant, &reservation.quota)
            .bind(reservation.id.uuid())
            .bind(super::number(used))
            .bind(limit.since(now))
            .bind(now);
        let rows = self.tx.rows(end).await?;
        self.tx.wrote = true;
        let row = rows.first().ok_or(StoreError::NotFound)?;
        self.settle(tenant, &reservation.quota, limit, row)
    }
}
