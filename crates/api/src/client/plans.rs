//! Calls about versions of plans.

use reqwest::Method;

use super::send::Call;
use super::{Client, ClientError, PageQuery, segment};
use crate::v1::Page;
use crate::v1::plan::{PlanBinding, PlanUpgrade, PlanUpgradeRequest};

impl Client {
    /// Lists the versions of a plan with the tenants that have them, newest first.
    ///
    /// # Errors
    /// There is no such plan.
    pub async fn plan_bindings(&self, plan: &str, page: &PageQuery) -> Result<Page<PlanBinding>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["plans", segment(plan)?, "bindings"])).query(page)).await?.value)
    }

    /// Moves a batch of a plan's tenants to one of its versions. Repeating it does no harm: whoever has the version is left
    /// alone.
    ///
    /// # Errors
    /// There is no such plan, version or tenant.
    pub async fn upgrade_plan(&self, plan: &str, asked: &PlanUpgradeRequest) -> Result<PlanUpgrade, ClientError> {
        let last = format!("{}:upgrade", segment(plan)?);
        Ok(self.transport.send(Call::keyed(Method::POST, self.path(["plans", &last])).body(asked)).await?.value)
    }
}
