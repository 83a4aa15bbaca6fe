//! Calls about webhooks.

use reqwest::Method;
use serde::Serialize;
use serde_json::json;

use super::send::{Answer, Call};
use super::{Client, ClientError, Expected, PageQuery, segment};
use crate::v1::Page;
use crate::v1::webhook::{
    DeadLetter, IssuedWebhook, RedriveRequest, Redriven, ReplayRequest, WebhookAttempt, WebhookChange, WebhookEndpoint,
    WebhookReplay, WebhookReplays, WebhookRequest, WebhookRotation,
};

/// Which endpoints to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookQuery {
    /// Of this tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

/// Which attempts to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptQuery {
    /// Of this event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// `true` for those that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<bool>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

/// Which dead letters to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadQuery {
    /// Of this type, or all of a noun.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Given up for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

/// Whether events are sent to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookSwitch {
    /// They are, from now on.
    Enable,
    /// They are not, and what waits becomes dead letters.
    Disable,
}

impl Client {
    /// Makes an endpoint. The answer has its secret, once: when this very answer is lost, a repetition finds the endpoint without it,
    /// and [`Client::rotate_webhook`] makes another one.
    ///
    /// # Errors
    /// The URL or the rest is not acceptable, or there are too many endpoints.
    pub async fn create_webhook(&self, webhook: &WebhookRequest) -> Result<Answer<IssuedWebhook>, ClientError> {
        self.transport.send(Call::keyed(Method::POST, self.path(["webhooks"])).body(webhook)).await
    }

    /// Lists endpoints, in the order of their making.
    ///
    /// # Errors
    /// A parameter is wrong, or the server does not answer.
    pub async fn webhooks(&self, query: &WebhookQuery) -> Result<Page<WebhookEndpoint>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["webhooks"])).query(query)).await?.value)
    }

    /// Reads an endpoint.
    ///
    /// # Errors
    /// There is none.
    pub async fn webhook(&self, id: &str) -> Result<Answer<WebhookEndpoint>, ClientError> {
        self.transport.send(Call::get(self.path(["webhooks", segment(id)?]))).await
    }

    /// Changes an endpoint.
    ///
    /// # Errors
    /// There is none, another version is current, or what is wanted is not acceptable.
    pub async fn change_webhook(
        &self,
        id: &str,
        expected: Expected,
        change: &WebhookChange,
    ) -> Result<Answer<WebhookEndpoint>, ClientError> {
        let call = Call::keyed(Method::PATCH, self.path(["webhooks", segment(id)?]));
        self.transport.send(call.expecting(expected).body(change)).await
    }

    /// Gives an endpoint another secret, which the answer has, once.
    ///
    /// # Errors
    /// There is none, or another version is current.
    pub async fn rotate_webhook(
        &self,
        id: &str,
        expected: Expected,
        rotation: &WebhookRotation,
    ) -> Result<Answer<IssuedWebhook>, ClientError> {
        self.transport.send(self.webhook_verb(id, "rotate")?.expecting(expected).body(rotation)).await
    }

    /// Enables or disables an endpoint.
    ///
    /// # Errors
    /// There is none, or another version is current.
    pub async fn switch_webhook(
        &self,
        id: &str,
        expected: Expected,
        switch: WebhookSwitch,
    ) -> Result<Answer<WebhookEndpoint>, ClientError> {
        let verb = match switch {
            WebhookSwitch::Enable => "enable",
            WebhookSwitch::Disable => "disable",
        };
        self.transport.send(self.webhook_verb(id, verb)?.expecting(expected).body(&json!({}))).await
    }

    /// Removes an endpoint.
    ///
    /// # Errors
    /// There is none, or another version is current.
    pub async fn delete_webhook(&self, id: &str, expected: Expected) -> Result<Answer<WebhookEndpoint>, ClientError> {
        let call = Call::keyed(Method::DELETE, self.path(["webhooks", segment(id)?]));
        self.transport.send(call.expecting(expected)).await
    }

    /// Sends a test event and tells what came back.
    ///
    /// # Errors
    /// There is no such endpoint, or it is disabled.
    pub async fn test_webhook(&self, id: &str) -> Result<WebhookAttempt, ClientError> {
        Ok(self.transport.send(self.webhook_verb(id, "test")?.body(&json!({}))).await?.value)
    }

    /// Sends events of the past again.
    ///
    /// # Errors
    /// There is no such endpoint, it is disabled, or the range makes no sense.
    pub async fn replay_webhook(&self, id: &str, replay: &ReplayRequest) -> Result<WebhookReplay, ClientError> {
        Ok(self.transport.send(self.webhook_verb(id, "replay")?.body(replay)).await?.value)
    }

    /// Sends dead letters again.
    ///
    /// # Errors
    /// There is no such endpoint, or it is disabled.
    pub async fn redrive_webhook(&self, id: &str, redrive: &RedriveRequest) -> Result<Redriven, ClientError> {
        Ok(self.transport.send(self.webhook_verb(id, "redrive")?.body(redrive)).await?.value)
    }

    /// Lists attempts of an endpoint, the newest first.
    ///
    /// # Errors
    /// There is no such endpoint, or a parameter is wrong.
    pub async fn webhook_attempts(&self, id: &str, query: &AttemptQuery) -> Result<Page<WebhookAttempt>, ClientError> {
        let path = self.path(["webhooks", segment(id)?, "attempts"]);
        Ok(self.transport.send(Call::get(path).query(query)).await?.value)
    }

    /// Lists dead letters of an endpoint.
    ///
    /// # Errors
    /// There is no such endpoint, or a parameter is wrong.
    pub async fn webhook_dead_letters(&self, id: &str, query: &DeadQuery) -> Result<Page<DeadLetter>, ClientError> {
        let path = self.path(["webhooks", segment(id)?, "dead-letters"]);
        Ok(self.transport.send(Call::get(path).query(query)).await?.value)
    }

    /// Lists replays of an endpoint.
    ///
    /// # Errors
    /// There is no such endpoint.
    pub async fn webhook_replays(&self, id: &str) -> Result<WebhookReplays, ClientError> {
        let path = self.path(["webhooks", segment(id)?, "replays"]);
        Ok(self.transport.send(Call::get(path)).await?.value)
    }

    fn webhook_verb(&self, id: &str, verb: &str) -> Result<Call, ClientError> {
        let last = format!("{}:{verb}", segment(id)?);
        Ok(Call::keyed(Method::POST, self.path(["webhooks", &last])))
    }
}
