//! Calls about tokens of the API.

use reqwest::Method;
use serde::Serialize;

use super::send::{Answer, Call};
use super::{Client, ClientError, Expected, PageQuery, segment};
use crate::v1::Page;
use crate::v1::token::{IssuedToken, Token, TokenRequest, TokenRotation};

/// Which tokens to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenQuery {
    /// Of this tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// `true` for revoked ones, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<bool>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

impl Client {
    /// Makes a token. The answer has its text, once: when this very answer is lost, a repetition finds the token without it,
    /// and [`Client::rotate_token`] makes another secret.
    ///
    /// # Errors
    /// It would do more than the caller may, or makes no sense.
    pub async fn create_token(&self, token: &TokenRequest) -> Result<Answer<IssuedToken>, ClientError> {
        self.transport.send(Call::keyed(Method::POST, self.path(["tokens"])).body(token)).await
    }

    /// Lists tokens of the environment, in the order of their making.
    ///
    /// # Errors
    /// A parameter is wrong, or the server does not answer.
    pub async fn tokens(&self, query: &TokenQuery) -> Result<Page<Token>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["tokens"])).query(query)).await?.value)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// There is none.
    pub async fn token(&self, id: &str) -> Result<Answer<Token>, ClientError> {
        self.transport.send(Call::get(self.path(["tokens", segment(id)?]))).await
    }

    /// Gives a token another secret, which the answer has, once.
    ///
    /// # Errors
    /// There is none, it is revoked, or another version is current.
    pub async fn rotate_token(
        &self,
        id: &str,
        expected: Expected,
        rotation: &TokenRotation,
    ) -> Result<Answer<IssuedToken>, ClientError> {
        let last = format!("{}:rotate", segment(id)?);
        let call = Call::keyed(Method::POST, self.path(["tokens", &last]));
        self.transport.send(call.expecting(expected).body(rotation)).await
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// There is none, or another version is current.
    pub async fn revoke_token(&self, id: &str, expected: Expected) -> Result<Answer<Token>, ClientError> {
        let call = Call::keyed(Method::DELETE, self.path(["tokens", segment(id)?]));
        self.transport.send(call.expecting(expected)).await
    }
}
