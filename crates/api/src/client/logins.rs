//! Calls about logins of the gateway.

use reqwest::Method;
use serde::Serialize;

use super::send::{Answer, Call};
use super::{Client, ClientError, Expected, PageQuery, segment};
use crate::v1::Page;
use crate::v1::login::{GatewayLogin, GatewayLoginRequest, GatewayLoginRotation, IssuedGatewayLogin};

/// Which logins to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginQuery {
    /// Of this tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Of services of this app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// `true` for revoked ones, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<bool>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

impl Client {
    /// Makes a login of the gateway. The answer has its password, once: when this very answer is lost, a repetition finds the
    /// login without it, and [`Client::rotate_login`] makes another one.
    ///
    /// # Errors
    /// The name is taken, what it names does not exist, or its parts do not go together.
    pub async fn create_login(&self, login: &GatewayLoginRequest) -> Result<Answer<IssuedGatewayLogin>, ClientError> {
        self.transport.send(Call::keyed(Method::POST, self.path(["gateway-logins"])).body(login)).await
    }

    /// Lists logins, by name.
    ///
    /// # Errors
    /// A parameter is wrong, or the server does not answer.
    pub async fn logins(&self, query: &LoginQuery) -> Result<Page<GatewayLogin>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["gateway-logins"])).query(query)).await?.value)
    }

    /// Reads a login.
    ///
    /// # Errors
    /// There is none.
    pub async fn login(&self, name: &str) -> Result<Answer<GatewayLogin>, ClientError> {
        self.transport.send(Call::get(self.path(["gateway-logins", segment(name)?]))).await
    }

    /// Gives a login another password, which the answer has, once.
    ///
    /// # Errors
    /// There is none, it is revoked, has no password, or another version is current.
    pub async fn rotate_login(
        &self,
        name: &str,
        expected: Expected,
        rotation: &GatewayLoginRotation,
    ) -> Result<Answer<IssuedGatewayLogin>, ClientError> {
        let last = format!("{}:rotate", segment(name)?);
        let call = Call::keyed(Method::POST, self.path(["gateway-logins", &last]));
        self.transport.send(call.expecting(expected).body(rotation)).await
    }

    /// Takes a login back.
    ///
    /// # Errors
    /// There is none, or another version is current.
    pub async fn revoke_login(&self, name: &str, expected: Expected) -> Result<Answer<GatewayLogin>, ClientError> {
        let call = Call::keyed(Method::DELETE, self.path(["gateway-logins", segment(name)?]));
        self.transport.send(call.expecting(expected)).await
    }
}
