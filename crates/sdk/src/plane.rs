//! The questions to the control plane: bounded in time, and their refusals as our errors. Remembers nothing but the
//! token in use.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use secrecy::ExposeSecret as _;
use tenantry_api::client::Retry;
use tenantry_api::v1::route::{CredentialView, Key, Resolution, TenantRoute};
use tenantry_api::{Client, ClientError};
use tenantry_domain::code::{Code, Kind};
use tenantry_domain::name::EnvironmentName;

use crate::error::{Absent, Error, Mismatch, SettingsFault, Silence};
use crate::settings::Settings;
use crate::sources::Sources;
use crate::tenant::{State, Tenant, not_understood};

/// The longest context that is read, in bytes.
pub(crate) const CONTEXT_MAX: usize = 4096;

/// What the control plane says when it can answer nobody.
const SHUT: [Code; 3] = [Code::DatabaseUnavailable, Code::Overloaded, Code::Timeout];

pub(crate) struct Plane {
    settings: Settings,
    environment: EnvironmentName,
    client: Mutex<Client>,
    http: reqwest::Client,
}

impl Plane {
    pub(crate) fn new(settings: Settings) -> Result<Self, Error> {
        let environment = settings.check()?;
        let client = client(&settings, &environment)?;
        let fault = SettingsFault::Unreadable("the machine's certificates");
        let http = reqwest::Client::builder()
            .timeout(settings.request_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| Error::SettingsInvalid { name: "url", fault })?;
        Ok(Self { settings, environment, client: Mutex::new(client), http })
    }

    pub(crate) const fn environment(&self) -> &EnvironmentName {
        &self.environment
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) async fn resolve(&self, sources: &Sources) -> Result<Tenant, Error> {
        let query = &sources.query();
        let answer: Resolution = self.ask(|client| async move { client.resolve(query).await }).await?;
        if !sources.are_in(&answer.sources) {
            return Err(Error::TenantNotFound(Absent::Unknown));
        }
        Tenant::read(answer)
    }

    pub(crate) async fn route(&self, tenant: &str) -> Result<TenantRoute, Error> {
        self.ask(|client| async move { client.tenant_route(tenant).await }).await
    }

    pub(crate) async fn credential(&self, secret_ref: &str) -> Result<CredentialView, Error> {
        self.ask(|client| async move { client.credential(secret_ref).await }).await
    }

    pub(crate) async fn keys(&self) -> Result<Vec<Key>, Error> {
        Ok(self.ask(|client| async move { client.context_keys().await }).await?.keys)
    }

    /// Has a context signed, by the way on which proxies get theirs.
    pub(crate) async fn sign(&self, slug: &str) -> Result<String, Error> {
        let missing = Error::SettingsInvalid { name: "base_domain", fault: SettingsFault::Missing };
        let base = self.settings.base_domain.as_deref().ok_or(missing)?;
        let root = self.settings.url.trim_end_matches('/');
        let url = format!("{root}/v1/environments/{}/forward-auth/haproxy", self.environment);
        let request = self
            .http
            .get(url)
            .bearer_auth(self.settings.read_token()?.expose_secret())
            .header("x-original-host", base)
            .header("x-original-uri", format!("/t/{slug}"));
        let answer = request.send().await.map_err(|error| away(short(&error)))?;
        let status = answer.status().as_u16();
        let word = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        match (status, word("tenantry-context")) {
            (200, Some(token)) if token.len() <= CONTEXT_MAX => Ok(token),
            (200, _) => Err(not_understood("tenantry-context")),
            _ => {
                let code = word("x-tenant-error").unwrap_or_default();
                let shut = [
                    (Code::TenantSuspended, State::Suspended),
                    (Code::TenantPreparing, State::Preparing),
                    (Code::TenantArchived, State::Archived),
                ];
                let state = shut.iter().find(|(known, _)| code == known.to_string());
                Err(state.map_or_else(|| refusal(status, &code), |(_, state)| Error::not_open(slug, *state)))
            }
        }
    }

    /// A client that repeats what may be repeated and waits for operations: for test kits.
    #[cfg(feature = "testkit")]
    pub(crate) fn administrator(&self) -> Result<Client, Error> {
        Ok(client(&self.settings, &self.environment)?.with_retry(Retry::default()))
    }

    pub(crate) async fn ask<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let answer = self.once(call(self.current())).await;
        if !matches!(&answer, Err(ClientError::Problem(problem)) if problem.kind() == Kind::Unauthenticated) {
            return answer.map_err(judge);
        }
        if self.settings.token.is_some() {
            return answer.map_err(judge);
        }
        // The file may hold a newer token by now.
        let client = client(&self.settings, &self.environment)?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client.clone();
        self.once(call(client)).await.map_err(judge)
    }

    async fn once<T>(&self, call: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        let waited = self.settings.request_timeout;
        let late = |_| ClientError::Patience { operation: String::new(), waited };
        tokio::time::timeout(waited, call).await.map_err(late)?
    }

    fn current(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Plane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plane({} {})", self.settings.url, self.environment)
    }
}

fn client(settings: &Settings, environment: &EnvironmentName) -> Result<Client, Error> {
    let fault = SettingsFault::Unreadable("the address of a server, such as http://127.0.0.1:7070");
    let made = Client::new(&settings.url, settings.read_token()?, environment.clone());
    // Whoever waits for an answer here serves a request; it is not asked twice.
    let retry = Retry { tries: 1, ..Retry::default() };
    Ok(made.map_err(|_| Error::SettingsInvalid { name: "url", fault })?.with_retry(retry))
}

/// What a refusal means.
fn judge(error: ClientError) -> Error {
    match error {
        ClientError::Problem(problem) => refusal(problem.status, &problem.code),
        ClientError::Decode { status: 404, .. } => Error::ControlPlaneRefused("HTTP 404".to_owned()),
        ClientError::Decode { status: 200, .. } => not_understood("JSON"),
        ClientError::Decode { status, .. } => refusal(status, ""),
        ClientError::Transport { source, .. } => away(short(&source)),
        ClientError::Patience { waited, .. } => away(format!("no answer within {} ms", waited.as_millis())),
        ClientError::Gap { .. } => not_understood("a sequence without gaps"),
        ClientError::Rejected(rejection) => Error::ControlPlaneRefused(rejection.code.to_string()),
        ClientError::Address(_) => Error::ControlPlaneRefused("its address is not one".to_owned()),
    }
}

fn refusal(status: u16, code: &str) -> Error {
    let is = |known: Code| code == known.to_string();
    let shown = if code.is_empty() { format!("HTTP {status}") } else { code.to_owned() };
    match status {
        404 if !is(Code::RouteNotFound) && !is(Code::EnvironmentNotFound) => Error::TenantNotFound(Absent::Unknown),
        410 => Error::TenantNotFound(Absent::Unknown),
        _ if is(Code::TenantMismatch) => Error::TenantMismatch(Mismatch::Disagree),
        400 => Error::TenantMismatch(Mismatch::Disagree),
        // What is malformed was refused here; the rest cannot name a tenant there.
        422 => Error::TenantNotFound(Absent::Unknown),
        429 => Error::ControlPlaneUnavailable(Silence::NotNow(shown)),
        // Without a code of ours it is somebody between us who answers; with one of these, nobody is served.
        408 | 425 | 500.. if code.is_empty() || SHUT.into_iter().any(is) => away(shown),
        408 | 425 | 500.. => Error::ControlPlaneUnavailable(Silence::NotNow(shown)),
        _ => Error::ControlPlaneRefused(shown),
    }
}

const fn away(why: String) -> Error {
    Error::ControlPlaneUnavailable(Silence::Away(why))
}

fn short(error: &reqwest::Error) -> String {
    if error.is_timeout() { "no answer in time".to_owned() } else { "it cannot be reached".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rate of one tenant's plan, or a cell that cannot be reached, is no sign that nobody answers.
    #[test]
    fn what_is_said_of_one_tenant_is_an_answer() {
        let is_away = |status, code: &str| match refusal(status, code) {
            Error::ControlPlaneUnavailable(silence) => matches!(silence, Silence::Away(_)),
            other => panic!("{status} {code}: {other}"),
        };
        for (status, code) in [(429, Code::TooManyRequests), (503, Code::CellUnavailable), (500, Code::Internal)] {
            assert!(!is_away(status, &code.to_string()), "{code}");
        }
        assert!(!is_away(429, ""));
        for code in [Code::DatabaseUnavailable, Code::Overloaded] {
            assert!(is_away(503, &code.to_string()), "{code}");
        }
        for status in [502, 503, 504] {
            assert!(is_away(status, ""), "somebody between us");
        }
    }
}
