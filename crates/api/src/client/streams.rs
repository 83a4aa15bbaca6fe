//! Streams that events are published to.

use reqwest::Method;

use super::error::ClientError;
use super::send::Call;
use super::{Client, segment};
use crate::v1::stream::{ForgottenStream, Streams};

impl Client {
    /// How publishing to streams stands.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn streams(&self) -> Result<Streams, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["streams"]))).await?.value)
    }

    /// Forgets a stream.
    ///
    /// # Errors
    /// There is none, or a process publishes to it.
    pub async fn forget_stream(&self, name: &str) -> Result<ForgottenStream, ClientError> {
        let call = Call::keyed(Method::DELETE, self.path(["streams", segment(name)?]));
        Ok(self.transport.send(call).await?.value)
    }
}
