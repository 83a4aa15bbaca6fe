//! Usage of tenants.

use reqwest::Method;
use serde::Serialize;

use super::error::ClientError;
use super::send::Call;
use super::{Client, segment};
use crate::v1::usage::{UsageAnswer, UsageEvent, UsageRanking, UsageReport};

/// What is asked of a meter; what is absent is the server's choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageParams {
    /// Which meter.
    pub meter: String,
    /// From when on: a time or a day.
    pub from: Option<String>,
    /// Until when: a time or a day.
    pub to: Option<String>,
    /// `hour`, `day` or `month`.
    pub window: Option<String>,
    /// Dimensions, separated by commas.
    pub group_by: Option<String>,
    /// Most tenants of a ranking.
    pub limit: Option<u32>,
}

impl Client {
    /// Sends events, at most a thousand. Sending the same again counts nothing twice, so it is repeated like a reading.
    ///
    /// # Errors
    /// The server does not answer, or refuses all of it.
    pub async fn ingest_usage(&self, events: &[UsageEvent]) -> Result<UsageAnswer, ClientError> {
        let call = Call::keyed(Method::POST, self.path(["usage"]));
        let call = call.body(&events).content_type("application/cloudevents-batch+json");
        Ok(self.transport.send(call).await?.value)
    }

    /// What a tenant used.
    ///
    /// # Errors
    /// There is no such tenant or meter.
    pub async fn usage(&self, tenant: &str, params: &UsageParams) -> Result<UsageReport, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "usage"]);
        Ok(self.transport.send(Call::get(path).query(params)).await?.value)
    }

    /// What the tenants of the environment used, those with most first.
    ///
    /// # Errors
    /// There is no such meter.
    pub async fn usage_ranking(&self, params: &UsageParams) -> Result<UsageRanking, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["usage"])).query(params)).await?.value)
    }
}
