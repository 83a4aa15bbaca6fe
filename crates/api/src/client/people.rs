//! Calls about who calls, and where people sign in.

use secrecy::SecretString;

use super::send::{Call, Transport};
use super::{Client, ClientError};
use crate::v1::person::{SignIn, Whoami};

impl Client {
    /// Who this client is to the server.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn whoami(&self) -> Result<Whoami, ClientError> {
        Ok(self.transport.send(Call::get(["v1", "whoami"])).await?.value)
    }

    /// Where people of an installation sign in; for whoever has no token yet.
    ///
    /// # Errors
    /// The URL is not one, or the server does not answer.
    pub async fn sign_in(url: &str) -> Result<SignIn, ClientError> {
        // The route is open: nobody looks at the word that stands where a token would.
        let transport = Transport::new(url, SecretString::from("nobody"))?;
        Ok(transport.send(Call::get(["v1", "sign-in"])).await?.value)
    }
}
