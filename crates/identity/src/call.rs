//! The one door to the provider: bounded, repeated where that is safe, read with care.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::rand;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::IdentityError;
use crate::options::{Access, Bounds, Options};

/// The largest answer that is read, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// The longest pause between two attempts, whatever the provider asks for: whoever waits longer comes back by himself.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether a call may be sent again when it is not known what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Doing it twice is the same as doing it once.
    Safe,
    /// It could make something twice: only when it surely did nothing.
    Once,
}

/// An HTTP client with its bounds.
pub(crate) struct Door {
    client: Client,
    bounds: Bounds,
}

impl Door {
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Sends, and gives the body of an answer of 200 to 299.
    pub(crate) async fn send(
        &self,
        repeat: Repeat,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Vec<u8>, IdentityError> {
        let mut attempt = 1;
        loop {
            let (error, may_repeat, asked) = match request().send().await {
                Ok(response) => match self.judge(response).await {
                    Ok(bytes) => return Ok(bytes),
                    Err((error, asked)) => {
                        let did_nothing = matches!(error, IdentityError::Busy { status: 429 });
                        let may_repeat = error.is_transient() && (did_nothing || repeat == Repeat::Safe);
                        (error, may_repeat, asked)
                    }
                },
                // Whoever could not connect has sent nothing.
                Err(error) => {
                    let may_repeat = error.is_connect() || repeat == Repeat::Safe;
                    (lost(error), may_repeat, None)
                }
            };
            if !may_repeat || attempt >= self.bounds.attempts {
                return Err(error);
            }
            tokio::time::sleep(asked.unwrap_or(self.jitter(attempt)?).min(LONGEST_PAUSE)).await;
            attempt += 1;
        }
    }

    /// A random part of a pause that doubles, so that those who failed together do not come back together.
    fn jitter(&self, attempt: u32) -> Result<Duration, IdentityError> {
        let mut bytes = [0; 4];
        rand::fill(&mut bytes).map_err(|_| IdentityError::NoRandomness)?;
        let whole = self.bounds.pause.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
        Ok(whole.min(LONGEST_PAUSE).mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)))
    }

    /// The body; or what is wrong, and how long the provider asks to wait.
    async fn judge(&self, response: Response) -> Result<Vec<u8>, (IdentityError, Option<Duration>)> {
        let status = response.status();
        let asked = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let asked = asked.map(Duration::from_secs);
        let bytes = body(response).await;
        if status.is_success() {
            return bytes.map_err(|error| (error, None));
        }
        let code = status.as_u16();
        if code == 429 || (status.is_server_error() && code != 501) {
            return Err((IdentityError::Busy { status: code }, asked));
        }
        let word = word(bytes.as_deref().unwrap_or_default(), status);
        Err((
            match code {
                501 => IdentityError::NotEmulated,
                401 | 403 => IdentityError::Credential { word },
                404 => IdentityError::Absent { word },
                _ if word == "USER_NOT_FOUND" || word == "TENANT_NOT_FOUND" => IdentityError::Absent { word },
                _ => IdentityError::Refused { status: code, word },
            },
            None,
        ))
    }
}

/// A provider, as its administrator.
pub struct Provider {
    door: Door,
    options: Options,
    base: String,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({}, {:?})", self.options.project, self.options.access)
    }
}

impl Provider {
    /// Opens the door. Nothing is sent yet.
    ///
    /// # Errors
    /// The machine's certificates cannot be read.
    pub fn new(options: Options) -> Result<Self, IdentityError> {
        let base = options.base();
        let client = Client::builder()
            // A redirect would take the credential elsewhere.
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(options.bounds.within)
            .timeout(options.bounds.within)
            .build()
            .map_err(IdentityError::Away)?;
        Ok(Self { door: Door { client, bounds: options.bounds }, options, base })
    }

    /// The issuer of its tokens, as they name it in `iss`.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("https://securetoken.google.com/{}", self.options.project)
    }

    /// Whether it is an emulator, whose tokens nobody signs.
    #[must_use]
    pub const fn is_emulator(&self) -> bool {
        matches!(self.options.access, Access::Emulator(_))
    }

    /// How long calls may take.
    #[must_use]
    pub const fn bounds(&self) -> &Bounds {
        &self.options.bounds
    }

    /// A path below the project.
    pub(crate) fn path(&self, version: &str, rest: &str) -> String {
        format!("{}/{version}/projects/{}/{rest}", self.base, self.options.project)
    }

    /// Asks, as the administrator, with a token that holds.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        (method, repeat): (Method, Repeat),
        url: String,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<T, IdentityError> {
        let mut spent = None;
        loop {
            let token = match &self.options.access {
                Access::Account(account) => account.token(&self.door, spent.as_ref()).await?,
                // What the emulator's documentation calls the owner of the project.
                Access::Emulator(_) => SecretString::from("owner"),
            };
            let send = || {
                let request = self.door.client.request(method.clone(), &url).query(query);
                let request = request.bearer_auth(token.expose_secret()).header("accept", "application/json");
                match body {
                    Some(body) => request.json(body),
                    None => request,
                }
            };
            match self.door.send(repeat, send).await {
                // A token can be taken back before its end; once, and only once, another one is tried.
                Err(IdentityError::Credential { .. }) if spent.is_none() && !self.is_emulator() => spent = Some(token),
                Err(error) => return Err(error),
                Ok(bytes) => return read(&bytes, "it is not of the documented form"),
            }
        }
    }
}

/// Reads an answer.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, IdentityError> {
    serde_json::from_slice(bytes).map_err(|_| IdentityError::Form(what))
}

async fn body(mut response: Response) -> Result<Vec<u8>, IdentityError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if bytes.len() + chunk.len() > MAX_BYTES {
            return Err(IdentityError::Large);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn lost(error: reqwest::Error) -> IdentityError {
    if error.is_timeout() { IdentityError::Slow } else { IdentityError::Away(error.without_url()) }
}

/// The provider's word for what is wrong: capitals and underscores at the beginning of its message, or its status. What
/// follows may repeat what was sent, so it is left out.
fn word(bytes: &[u8], status: StatusCode) -> String {
    #[derive(Deserialize)]
    struct Answer {
        error: Told,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Told {
        Api {
            #[serde(default)]
            message: String,
            #[serde(default)]
            status: String,
        },
        /// A token endpoint's (RFC 6749, section 5.2).
        Token(String),
    }
    let head = |text: &str| {
        let is_word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        let word: String = text.chars().take_while(is_word).take(64).collect();
        let is_told = word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        is_told.then_some(word)
    };
    let told = match serde_json::from_slice(bytes) {
        Ok(Answer { error: Told::Api { message, status } }) => head(&message).or_else(|| head(&status)),
        Ok(Answer { error: Told::Token(word) }) => head(&word.to_ascii_uppercase()),
        Err(_) => None,
    };
    told.unwrap_or_else(|| format!("status {}", status.as_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_providers_word_is_told_and_nothing_that_was_sent() {
        for (text, expected) in [
            (r#"{"error":{"code":400,"message":"EMAIL_EXISTS"}}"#, "EMAIL_EXISTS"),
            (
                r#"{"error":{"message":"INVALID_CONFIG : secret is s3cret","status":"INVALID_ARGUMENT"}}"#,
                "INVALID_CONFIG",
            ),
            (
                r#"{"error":{"message":"The caller anna@example.com may not","status":"PERMISSION_DENIED"}}"#,
                "PERMISSION_DENIED",
            ),
            (r#"{"error":"invalid_grant","error_description":"anna@example.com"}"#, "INVALID_GRANT"),
            (r#"{"error":{"message":"anna@example.com"}}"#, "status 400"),
            ("<html>", "status 400"),
            ("", "status 400"),
        ] {
            assert_eq!(word(text.as_bytes(), StatusCode::BAD_REQUEST), expected, "{text}");
        }
    }
}
