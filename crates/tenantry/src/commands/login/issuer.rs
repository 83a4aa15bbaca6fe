//! What an issuer says of itself, and its token endpoint.
//!
//! INVARIANT: nothing is sent but over https, no redirect is followed, and an answer is 1 MiB long at most. The metadata is
//! that of the issuer that was asked, letter by letter (RFC 8414, section 3.3), or it is not used.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use serde::Deserialize;
use tenantry_api::v1::person::SignInIssuer;
use tenantry_domain::code::Kind;

use super::idtoken;
use crate::exit::{Failure, Result};
use crate::output::clean;

/// How long one question may take.
const WITHIN: Duration = Duration::from_secs(15);

/// The largest answer, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// Metadata (RFC 8414, section 2; OpenID Connect Discovery 1.0, section 3). Unknown members are left alone.
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// An issuer that was asked for its addresses.
#[derive(Debug, Clone)]
pub struct Issuer {
    http: reqwest::Client,
    metadata: Metadata,
}

/// What the token endpoint gave (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Given {
    access_token: String,
    token_type: String,
    expires_in: Option<u32>,
    refresh_token: Option<String>,
    id_token: Option<String>,
}

/// Why the token endpoint gave nothing (RFC 6749, section 5.2).
#[derive(Debug, Deserialize)]
pub struct Refused {
    /// The word of the standard.
    pub error: String,
    /// For people.
    pub error_description: Option<String>,
}

/// Tokens of somebody who signed in.
pub struct Tokens {
    /// For the server.
    pub access: String,
    /// When that ends; absent where the issuer does not say.
    pub expires: Option<Timestamp>,
    /// For the next one; absent where the issuer gives none.
    pub refresh: Option<String>,
    /// The subject of the ID token; absent where there was none.
    pub subject: Option<String>,
}

/// What went wrong at the issuer.
#[derive(Debug)]
pub enum Fault {
    /// It said no.
    Refused(Refused),
    /// It did not answer, or not in the way of the standard.
    Failed(Failure),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Failed(failure) => failure,
            Fault::Refused(refused) => refusal(&refused),
        }
    }
}

/// A refusal in the issuer's words.
pub fn refusal(refused: &Refused) -> Failure {
    let described = refused.error_description.as_deref().unwrap_or_default();
    let text: String = clean(&format!("{} {described}", refused.error)).chars().take(300).collect();
    Failure::local(Kind::Unauthenticated, "The issuer refuses the sign-in", text.trim_end())
}

/// An answer that is not what the standard says.
pub fn broken(what: &str) -> Failure {
    Failure::local(Kind::Unavailable, "The issuer does not answer as it should", what)
}

impl Issuer {
    /// Asks an issuer for its addresses.
    ///
    /// # Errors
    /// It does not answer, answers for somebody else, or cannot do what is needed.
    pub async fn discover(chosen: &SignInIssuer) -> Result<Self> {
        let http = reqwest::Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tenantry/", env!("CARGO_PKG_VERSION")))
            .timeout(WITHIN)
            .build()
            .map_err(|error| Failure::broken("No connection can be made", error))?;
        // Made of the issuer's name, whatever the server says: whom one signs in with is decided by the name alone.
        let address = format!("{}/.well-known/openid-configuration", chosen.issuer.trim_end_matches('/'));
        let address = https("issuer", &address)?;
        let response = http.get(address).send().await.map_err(|error| away(&error))?;
        let status = response.status().as_u16();
        let bytes = bounded(response).await?;
        if status != 200 {
            return Err(broken(&format!("its metadata has status {status}")));
        }
        let metadata: Metadata = serde_json::from_slice(&bytes).map_err(|_| broken("its metadata cannot be read"))?;
        if metadata.issuer != chosen.issuer {
            return Err(broken(&format!("it calls itself `{}`", clean(&metadata.issuer))));
        }
        // Left out, nothing is said (RFC 8414, section 2); many who can do it do not say so.
        let methods = metadata.code_challenge_methods_supported.as_deref();
        if methods.is_some_and(|methods| !methods.iter().any(|method| method == "S256")) {
            return Err(broken("it does not know PKCE by S256"));
        }
        Ok(Self { http, metadata })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.metadata.issuer
    }

    /// Whether it says who answers (RFC 9207, section 3).
    pub const fn says_who(&self) -> bool {
        self.metadata.authorization_response_iss_parameter_supported
    }

    /// Where people are sent.
    ///
    /// # Errors
    /// It has no such address.
    pub fn authorization(&self) -> Result<Url> {
        endpoint("authorization_endpoint", self.metadata.authorization_endpoint.as_deref())
    }

    /// Where devices ask for a code.
    ///
    /// # Errors
    /// It has no such address.
    pub fn device(&self) -> Result<Url> {
        endpoint("device_authorization_endpoint", self.metadata.device_authorization_endpoint.as_deref())
            .map_err(|failure| failure.hint("This issuer may not know the device flow; try without --device."))
    }

    /// Where tokens are taken back; absent where it does not do that.
    ///
    /// # Errors
    /// The address is none.
    pub fn revocation(&self) -> Result<Option<Url>> {
        let address = self.metadata.revocation_endpoint.as_deref();
        address.map(|address| https("revocation_endpoint", address)).transpose()
    }

    /// Sends a form, and gives status and answer.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn post(&self, url: Url, fields: &[(&str, &str)]) -> Result<(u16, Vec<u8>)> {
        let request = self
            .http
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(form(fields));
        let response = request.send().await.map_err(|error| away(&error))?;
        Ok((response.status().as_u16(), bounded(response).await?))
    }

    /// Asks for tokens. With a nonce, there has to be an ID token that repeats it.
    ///
    /// # Errors
    /// It refuses, or does not answer as it should.
    pub async fn tokens(
        &self,
        client: &str,
        fields: &[(&str, &str)],
        nonce: Option<&str>,
    ) -> std::result::Result<Tokens, Fault> {
        let url = endpoint("token_endpoint", self.metadata.token_endpoint.as_deref())?;
        let (status, bytes) = self.post(url, fields).await?;
        if status != 200 {
            return Err(match serde_json::from_slice(&bytes) {
                Ok(refused) if (400..500).contains(&status) => Fault::Refused(refused),
                _ => Fault::Failed(broken(&format!("its token endpoint has status {status}"))),
            });
        }
        let given: Given = serde_json::from_slice(&bytes).map_err(|_| broken("its tokens cannot be read"))?;
        if !given.token_type.eq_ignore_ascii_case("bearer") {
            return Err(broken("its access token is not a bearer token").into());
        }
        let subject = match (&given.id_token, nonce) {
            (Some(text), _) => Some(idtoken::subject(text, self.name(), client, nonce, Timestamp::now())?),
            (None, Some(_)) => return Err(broken("it gave no ID token, which `openid` asks for").into()),
            (None, None) => None,
        };
        let life = given.expires_in.map(|seconds| SignedDuration::from_secs(i64::from(seconds)));
        let expires = life.and_then(|life| Timestamp::now().checked_add(life).ok());
        Ok(Tokens { access: given.access_token, expires, refresh: given.refresh_token, subject })
    }
}

/// `a=1&b=2`, encoded as forms are.
fn form(fields: &[(&str, &str)]) -> String {
    // The parser of addresses is the encoder that is at hand.
    let Ok(mut url) = Url::parse("https://form.invalid/") else { return String::new() };
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

fn endpoint(name: &str, address: Option<&str>) -> Result<Url> {
    https(name, address.ok_or_else(|| broken(&format!("its metadata has no `{name}`")))?)
}

fn https(name: &str, address: &str) -> Result<Url> {
    let url = Url::parse(address).ok().filter(|url| url.scheme() == "https" && url.username().is_empty());
    url.ok_or_else(|| broken(&format!("`{name}` is no https address")))
}

fn away(error: &reqwest::Error) -> Failure {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Failure::local(Kind::Unavailable, "The issuer does not answer", cause).hint("Try again in a moment.")
}

async fn bounded(mut response: reqwest::Response) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| away(&error))? {
        if bytes.len() + chunk.len() > MAX_BYTES {
            return Err(broken("its answer is larger than 1 MiB"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_addresses() {
        assert_eq!(form(&[("a", "x y"), ("b", "&=ä")]), "a=x+y&b=%26%3D%C3%A4");
        assert!(https("x", "https://login.example.com/token").is_ok());
        for wrong in ["http://login.example.com/", "login.example.com", "https://me@login.example.com/", "file:///x"] {
            assert!(https("x", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_an_issuer_says_does_not_reach_the_terminal_raw() {
        let refused = Refused { error: "access_denied\u{1b}[2J".into(), error_description: Some("x".repeat(5000)) };
        let text = refusal(&refused).to_string();
        assert!(!text.contains('\u{1b}') && text.len() < 500, "{text}");
    }
}
