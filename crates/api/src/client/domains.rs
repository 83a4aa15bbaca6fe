//! Calls about domains of a tenant's own.

use reqwest::Method;
use tenantry_domain::access::domain;
use tenantry_domain::code::Code;

use super::send::Call;
use super::{Client, ClientError, Rejection, segment};
use crate::parse::read::shorten;
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
    /// There is no such tenant, its manifest does not wish for the domain, or the text is no domain.
    pub async fn verify_domain(&self, tenant: &str, domain: &str) -> Result<Domain, ClientError> {
        // Names have no dots, domains have; what is one holds nothing that a path gives a meaning to.
        domain::check(domain).map_err(|error| {
            let message = format!("`{}` {error}", shorten(domain));
            ClientError::Rejected(Box::new(Rejection::field(Code::InvalidParameter, "domain", message)))
        })?;
        let verb = format!("{domain}:verify");
        let call = Call::new(Method::POST, self.path(["tenants", segment(tenant)?, "domains", &verb]));
        Ok(self.transport.send(call).await?.value)
    }
}
