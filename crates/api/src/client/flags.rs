//! Calls about flags, features of tenants, and placements that are asked for.

use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use super::send::{Answer, Call};
use super::{Client, ClientError, Expected, PageQuery, segment};
use crate::v1::Page;
use crate::v1::flag::{
    Feature, FeatureFlag, FeatureUsage, FeatureUseRequest, Features, FlagOffRequest, FlagSpec, LevelDeviation,
};
use crate::v1::placement::{PlacementAnswer, PlacementRequest};

/// Which days of a tenant's use of features.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageQuery {
    /// The first day, `2027-03-01`; 30 days before the last one unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last day; today unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl Client {
    /// Lists flags, by name.
    ///
    /// # Errors
    /// The page token is of no use here, or the server does not answer.
    pub async fn flags(&self, page: &PageQuery) -> Result<Page<FeatureFlag>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["flags"])).query(page)).await?.value)
    }

    /// Reads a flag.
    ///
    /// # Errors
    /// There is none.
    pub async fn flag(&self, name: &str) -> Result<Answer<FeatureFlag>, ClientError> {
        self.transport.send(Call::get(self.path(["flags", segment(name)?]))).await
    }

    /// Says what a flag is from now on, be it there or not.
    ///
    /// # Errors
    /// Its values contradict each other, or another version is current.
    pub async fn put_flag(
        &self,
        name: &str,
        expected: Expected,
        spec: &FlagSpec,
    ) -> Result<Answer<FeatureFlag>, ClientError> {
        let call = Call::keyed(Method::PUT, self.path(["flags", segment(name)?]));
        self.transport.send(call.expecting(expected).body(spec)).await
    }

    /// Removes a flag; plans and overrides decide then.
    ///
    /// # Errors
    /// There is none, or another version is current.
    pub async fn delete_flag(&self, name: &str, expected: Expected) -> Result<Answer<FeatureFlag>, ClientError> {
        let call = Call::keyed(Method::DELETE, self.path(["flags", segment(name)?]));
        self.transport.send(call.expecting(expected)).await
    }

    /// Switches a feature off for everybody, also one without a flag. A feature whose values are not `true` and `false` needs
    /// a value that everybody gets, unless its flag has one.
    ///
    /// # Errors
    /// The value is owed or does not fit, or the server does not answer.
    pub async fn switch_flag_off(
        &self,
        name: &str,
        reason: &str,
        value: Option<&Value>,
    ) -> Result<Answer<FeatureFlag>, ClientError> {
        let last = format!("{}:off", segment(name)?);
        let body = FlagOffRequest { reason: reason.to_owned(), off_value: value.cloned() };
        self.transport.send(Call::keyed(Method::POST, self.path(["flags", &last])).body(&body)).await
    }

    /// Takes the emergency switch back.
    ///
    /// # Errors
    /// There is no such flag.
    pub async fn switch_flag_on(&self, name: &str) -> Result<Answer<FeatureFlag>, ClientError> {
        let last = format!("{}:on", segment(name)?);
        self.transport.send(Call::keyed(Method::POST, self.path(["flags", &last]))).await
    }

    /// All features of a tenant.
    ///
    /// # Errors
    /// There is no such tenant.
    pub async fn features(&self, tenant: &str) -> Result<Features, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["tenants", segment(tenant)?, "features"]))).await?.value)
    }

    /// Uses a feature: it is counted, or refused.
    ///
    /// # Errors
    /// The tenant does not have it; the problem names the plans that do.
    pub async fn use_feature(&self, tenant: &str, name: &str, count: u32) -> Result<Feature, ClientError> {
        let last = format!("{}:use", segment(name)?);
        let body = FeatureUseRequest { count: Some(count) };
        // Without a key: counting twice after a lost answer is less bad than keeping an answer for each use.
        let call = Call::new(Method::POST, self.path(["tenants", segment(tenant)?, "features", &last]));
        Ok(self.transport.send(call.body(&body)).await?.value)
    }

    /// How often a tenant used its features.
    ///
    /// # Errors
    /// There is no such tenant, or a day is none.
    pub async fn feature_usage(&self, tenant: &str, query: &UsageQuery) -> Result<FeatureUsage, ClientError> {
        let call = Call::get(self.path(["tenants", segment(tenant)?, "feature-usage"]));
        Ok(self.transport.send(call.query(query)).await?.value)
    }

    /// Tenants at another level than their plan's.
    ///
    /// # Errors
    /// The page token is of no use here, or the server does not answer.
    pub async fn level_deviations(&self, page: &PageQuery) -> Result<Page<LevelDeviation>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["level-deviations"])).query(page)).await?.value)
    }

    /// Asks where a tenant would be placed. Places nobody.
    ///
    /// # Errors
    /// What it names does not exist.
    pub async fn explain_placement(&self, asked: &PlacementRequest) -> Result<PlacementAnswer, ClientError> {
        Ok(self.transport.send(Call::new(Method::POST, self.path(["placements:explain"])).body(asked)).await?.value)
    }
}
