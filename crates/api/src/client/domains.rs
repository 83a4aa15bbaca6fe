//! Calls about domains of a tenant's own.

use reqwest::Method;

use super::send::Call;
use super::{Client, ClientError, segment};
use crate::v1::domain::{Domain, DomainList};

impl Client {
    /// The domains that a tenant's manifest wishes for, with what proves each.
    ///
    /// # Errors
    /// There is no such tenant.
    pub async fn domains(&self, tenant: &str) -> Result<DomainList, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["tenants", segment(tenant)?, "domains"]))).await?.value)
    }

    /// Looks for the record of a domain at once.
    ///
    /// # Errors
    /// There is no such tenant, or its manifest does not wish for the domain.
    pub async fn verify_domain(&self, tenant: &str, domain: &str) -> Result<Domain, ClientError> {
        let verb = format!("{}:verify", segment(domain)?);
        let call = Call::new(Method::POST, self.path(["tenants", segment(tenant)?, "domains", &verb]));
        Ok(self.transport.send(call).await?.value)
    }
}
