//! Quotas and rates of a tenant.

use reqwest::Method;

use super::error::ClientError;
use super::send::{Answer, Call};
use super::{Client, segment};
use crate::v1::quota::{
    Admission, LimitRequest, Quota, QuotaRequest, Quotas, RecountRequest, Reservation, ReservationRequest,
};

impl Client {
    /// Lists the quotas of a tenant.
    ///
    /// # Errors
    /// There is no such tenant, or the server does not answer.
    pub async fn quotas(&self, tenant: &str) -> Result<Quotas, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["tenants", segment(tenant)?, "quotas"]))).await?.value)
    }

    /// Takes an amount of a quota, or nothing.
    ///
    /// # Errors
    /// There is no such tenant or quota, or a hard limit does not allow it.
    pub async fn take_quota(
        &self,
        tenant: &str,
        quota: &str,
        request: &QuotaRequest,
    ) -> Result<Answer<Quota>, ClientError> {
        let last = format!("{}:take", segment(quota)?);
        let path = self.path(["tenants", segment(tenant)?, "quotas", &last]);
        self.transport.send(Call::keyed(Method::POST, path).body(request)).await
    }

    /// Gives an amount of a quota back.
    ///
    /// # Errors
    /// There is no such tenant or quota.
    pub async fn release_quota(
        &self,
        tenant: &str,
        quota: &str,
        request: &QuotaRequest,
    ) -> Result<Answer<Quota>, ClientError> {
        let last = format!("{}:release", segment(quota)?);
        let path = self.path(["tenants", segment(tenant)?, "quotas", &last]);
        self.transport.send(Call::keyed(Method::POST, path).body(request)).await
    }

    /// Sets what is used of a quota to what was counted.
    ///
    /// # Errors
    /// There is no such tenant or quota.
    pub async fn recount_quota(
        &self,
        tenant: &str,
        quota: &str,
        request: &RecountRequest,
    ) -> Result<Answer<Quota>, ClientError> {
        let last = format!("{}:recount", segment(quota)?);
        let path = self.path(["tenants", segment(tenant)?, "quotas", &last]);
        self.transport.send(Call::keyed(Method::POST, path).body(request)).await
    }

    /// Sets an amount of a quota aside.
    ///
    /// # Errors
    /// There is no such tenant or quota, or a hard limit does not allow it.
    pub async fn reserve_quota(
        &self,
        tenant: &str,
        quota: &str,
        request: &ReservationRequest,
    ) -> Result<Answer<Reservation>, ClientError> {
        let last = format!("{}:reserve", segment(quota)?);
        let path = self.path(["tenants", segment(tenant)?, "quotas", &last]);
        self.transport.send(Call::keyed(Method::POST, path).body(request)).await
    }

    /// Uses what was set aside.
    ///
    /// # Errors
    /// There is no such reservation any more.
    pub async fn commit_reservation(&self, tenant: &str, id: &str) -> Result<Answer<Quota>, ClientError> {
        self.end_reservation(tenant, id, "commit").await
    }

    /// Frees what was set aside.
    ///
    /// # Errors
    /// There is no such reservation any more.
    pub async fn release_reservation(&self, tenant: &str, id: &str) -> Result<Answer<Quota>, ClientError> {
        self.end_reservation(tenant, id, "release").await
    }

    async fn end_reservation(&self, tenant: &str, id: &str, verb: &str) -> Result<Answer<Quota>, ClientError> {
        let last = format!("{}:{verb}", segment(id)?);
        let path = self.path(["tenants", segment(tenant)?, "reservations", &last]);
        self.transport.send(Call::keyed(Method::POST, path)).await
    }

    /// Asks whether a tenant's rate allows something, and takes it.
    ///
    /// # Errors
    /// There is no such tenant.
    pub async fn take_limit(
        &self,
        tenant: &str,
        class: &str,
        request: &LimitRequest,
    ) -> Result<Admission, ClientError> {
        let last = format!("{}:take", segment(class)?);
        let path = self.path(["tenants", segment(tenant)?, "limits", &last]);
        Ok(self.transport.send(Call::new(Method::POST, path).body(request)).await?.value)
    }
}
