//! Calls about operations.

use std::time::Duration;

use reqwest::Method;
use serde::Serialize;

use super::send::Call;
use super::watch::Watch;
use super::{Client, ClientError, PageQuery, segment};
use crate::v1::Page;
use crate::v1::operation::Operation;

/// Which operations to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationQuery {
    /// At this point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

impl Client {
    /// Lists the environment's operations, newest first.
    ///
    /// # Errors
    /// A parameter is wrong, or the server does not answer.
    pub async fn operations(&self, query: &OperationQuery) -> Result<Page<Operation>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["operations"])).query(query)).await?.value)
    }

    /// Reads an operation; with `wait`, not before it ended or the time is over (thirty seconds at most).
    ///
    /// # Errors
    /// There is none.
    pub async fn operation(&self, id: &str, wait: Option<Duration>) -> Result<Operation, ClientError> {
        let call = Call::get(["v1", "operations", segment(id)?]).waiting(wait);
        Ok(self.transport.send(call).await?.value)
    }

    /// Follows an operation to its end.
    ///
    /// # Errors
    /// There is none, the server does not answer, or the time is over; the operation goes on then.
    pub async fn wait(&self, id: &str, patience: Duration) -> Result<Operation, ClientError> {
        let end = tokio::time::Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return Err(ClientError::Patience { operation: id.to_owned(), waited: patience });
            }
            let step = left.min(Duration::from_secs(20));
            // The server counts whole seconds; the timeout keeps the caller's promise to itself.
            match tokio::time::timeout(left, self.operation(id, Some(step))).await {
                Ok(operation) => {
                    let operation = operation?;
                    if operation.has_ended() {
                        return Ok(operation);
                    }
                }
                Err(_) => return Err(ClientError::Patience { operation: id.to_owned(), waited: patience }),
            }
        }
    }

    /// Opens the operation's stream of states: the present one first, then each change, until it ended.
    ///
    /// # Errors
    /// Nothing yet; the first [`Watch::next`] tells.
    pub fn watch(&self, id: &str) -> Result<Watch, ClientError> {
        let call = Call::get(["v1", "operations", segment(id)?, "events"]);
        Ok(Watch::new(self.transport.clone(), call))
    }

    /// Asks an operation to stop and undo.
    ///
    /// # Errors
    /// It has ended or passed its point of no return.
    pub async fn cancel(&self, id: &str) -> Result<Operation, ClientError> {
        self.steer(id, "cancel").await
    }

    /// Lets a stuck operation try again.
    ///
    /// # Errors
    /// It is not stuck.
    pub async fn retry(&self, id: &str) -> Result<Operation, ClientError> {
        self.steer(id, "retry").await
    }

    async fn steer(&self, id: &str, verb: &str) -> Result<Operation, ClientError> {
        let call = Call::keyed(Method::POST, ["v1", "operations", &format!("{}:{verb}", segment(id)?)]);
        Ok(self.transport.send(call).await?.value)
    }
}
