//! Calls about rollouts.

use reqwest::Method;
use serde::Serialize;

use super::send::Call;
use super::{Client, ClientError, PageQuery, segment};
use crate::v1::Page;
use crate::v1::rollout::{Rollout, RolloutPlan, Target};

/// Which rollouts to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutQuery {
    /// Of this app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

/// Which targets of a rollout to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetQuery {
    /// That stand like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

/// What is done with targets that failed.
#[derive(Debug, Clone, Copy, Serialize)]
struct Failed {
    failed: &'static str,
}

impl Client {
    /// What a rollout of an app's newest version would do now.
    ///
    /// # Errors
    /// There is no such app.
    pub async fn rollout_plan(&self, app: &str) -> Result<RolloutPlan, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["apps", segment(app)?, "rollout-plan"]))).await?.value)
    }

    /// Begins a rollout of an app's newest version.
    ///
    /// # Errors
    /// There is no such app, or a rollout of it is under way.
    pub async fn run_rollout(&self, app: &str) -> Result<Rollout, ClientError> {
        let last = format!("{}:rollout", segment(app)?);
        Ok(self.transport.send(Call::keyed(Method::POST, self.path(["apps", &last]))).await?.value)
    }

    /// Lists rollouts, newest first.
    ///
    /// # Errors
    /// A parameter is wrong, or the server does not answer.
    pub async fn rollouts(&self, query: &RolloutQuery) -> Result<Page<Rollout>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["rollouts"])).query(query)).await?.value)
    }

    /// Reads a rollout.
    ///
    /// # Errors
    /// There is none.
    pub async fn rollout(&self, id: &str) -> Result<Rollout, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["rollouts", segment(id)?]))).await?.value)
    }

    /// Lists the targets of a rollout.
    ///
    /// # Errors
    /// There is none, or a parameter is wrong.
    pub async fn rollout_targets(&self, id: &str, query: &TargetQuery) -> Result<Page<Target>, ClientError> {
        let call = Call::get(self.path(["rollouts", segment(id)?, "targets"]));
        Ok(self.transport.send(call.query(query)).await?.value)
    }

    /// Stops a rollout for a while.
    ///
    /// # Errors
    /// There is none, or it is over.
    pub async fn pause_rollout(&self, id: &str) -> Result<Rollout, ClientError> {
        Ok(self.transport.send(self.steer_rollout(id, "pause")?).await?.value)
    }

    /// Lets a rollout go on; failed targets are tried again, or left out.
    ///
    /// # Errors
    /// There is none, or it does not stand still.
    pub async fn continue_rollout(&self, id: &str, skip_failed: bool) -> Result<Rollout, ClientError> {
        let failed = Failed { failed: if skip_failed { "skip" } else { "retry" } };
        Ok(self.transport.send(self.steer_rollout(id, "continue")?.query(&failed)).await?.value)
    }

    /// Gives a rollout up.
    ///
    /// # Errors
    /// There is none, or it is over.
    pub async fn cancel_rollout(&self, id: &str) -> Result<Rollout, ClientError> {
        Ok(self.transport.send(self.steer_rollout(id, "cancel")?).await?.value)
    }

    fn steer_rollout(&self, id: &str, verb: &str) -> Result<Call, ClientError> {
        let last = format!("{}:{verb}", segment(id)?);
        Ok(Call::keyed(Method::POST, self.path(["rollouts", &last])))
    }
}
