//! Streams that events are published to.

use super::Client;
use super::error::ClientError;
use super::send::Call;
use crate::v1::stream::Streams;

impl Client {
    /// How publishing to streams stands.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn streams(&self) -> Result<Streams, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["streams"]))).await?.value)
    }
}
