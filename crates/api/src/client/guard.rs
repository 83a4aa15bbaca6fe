//! Calls about what the guard found.

use std::time::Duration;

use reqwest::Method;

use super::send::Call;
use super::{Client, ClientError, segment};
use crate::v1::guard::{CellIsolation, PlaceIsolation};

impl Client {
    /// A cell as it was found last.
    ///
    /// # Errors
    /// There is no such cell, or nobody has looked at it yet.
    pub async fn cell_isolation(&self, cell: &str) -> Result<CellIsolation, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["cells", segment(cell)?, "isolation"]))).await?.value)
    }

    /// Asks for a look at a cell. With `wait` the server answers when it has ended, or with what is there after that time.
    ///
    /// # Errors
    /// There is no such cell.
    pub async fn run_cell_isolation(&self, cell: &str, wait: Option<Duration>) -> Result<CellIsolation, ClientError> {
        let call = Call::keyed(Method::POST, self.path(["cells", segment(cell)?, "isolation:run"])).waiting(wait);
        Ok(self.transport.send(call).await?.value)
    }

    /// The signed report of one place of a cell, to the byte.
    ///
    /// # Errors
    /// There is no such cell, or nobody has looked at such a place yet.
    pub async fn cell_isolation_report(&self, cell: &str, place: &str) -> Result<String, ClientError> {
        let call = Call::get(self.path(["cells", segment(cell)?, "isolation", "report"])).parameter("place", place);
        self.transport.text(call).await
    }

    /// The database that a tenant's data is in, as it was found last.
    ///
    /// # Errors
    /// There is no such tenant, it has no place, or nobody has looked at it yet.
    pub async fn tenant_isolation(&self, tenant: &str) -> Result<PlaceIsolation, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["tenants", segment(tenant)?, "isolation"]))).await?.value)
    }

    /// Looks at the database that a tenant's data is in, now.
    ///
    /// # Errors
    /// There is no such tenant, it has no place, or its cell does not answer.
    pub async fn run_tenant_isolation(&self, tenant: &str) -> Result<PlaceIsolation, ClientError> {
        let call = Call::new(Method::POST, self.path(["tenants", segment(tenant)?, "isolation:run"]));
        Ok(self.transport.send(call).await?.value)
    }

    /// The signed report of the database that a tenant's data is in, to the byte.
    ///
    /// # Errors
    /// There is no such tenant, it has no place, or nobody has looked at it yet.
    pub async fn tenant_isolation_report(&self, tenant: &str) -> Result<String, ClientError> {
        self.transport.text(Call::get(self.path(["tenants", segment(tenant)?, "isolation", "report"]))).await
    }
}
