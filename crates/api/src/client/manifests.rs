//! Planning and applying.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::send::{Answer, Call};
use super::{Client, ClientError};
use crate::v1::change::{Applied, Plan};

impl Client {
    /// What applying the documents would do. Changes nothing.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub async fn plan(&self, documents: &[Value]) -> Result<Plan, ClientError> {
        // Keyed although it changes nothing: that makes it safe to repeat.
        let call = Call::keyed(Method::POST, self.path(["manifests:plan"])).body(&json!({ "documents": documents }));
        Ok(self.transport.send(call).await?.value)
    }

    /// Applies the documents, all or none.
    ///
    /// # Errors
    /// Everything that is wrong with them, or why they cannot be applied now.
    pub async fn apply(&self, documents: &[Value], wait: Option<Duration>) -> Result<Answer<Applied>, ClientError> {
        let call = Call::keyed(Method::POST, self.path(["manifests:apply"]))
            .body(&json!({ "documents": documents }))
            .waiting(wait);
        self.transport.send(call).await
    }
}
