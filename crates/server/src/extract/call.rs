//! Who calls, where, and whether the call is a repetition.

use aws_lc_rs::digest;
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use serde_json::Value;
use tenantry_control::tokens::Bearer;
use tenantry_control::{Ctx, IdempotencyKey};
use tenantry_domain::canonical;
use tenantry_domain::code::Code;
use tenantry_domain::name::EnvironmentName;

use super::path::path_value;
use crate::State;
use crate::middleware::ids::Ids;
use crate::problem::{Failure, Result};

/// An identified caller, of no environment yet.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who, and where it may go.
    pub bearer: Bearer,
    ids: Ids,
    repeat: Repeat,
}

/// What tells a repetition from another request.
#[derive(Debug, Clone)]
struct Repeat {
    route: String,
    path: String,
    key: Option<String>,
}

impl Repeat {
    fn of(parts: &Parts) -> Result<Self> {
        let matched = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        Ok(Self {
            route: format!("{} {}", parts.method, matched.replace("/@", ":")),
            path: format!("{} {}", parts.method, parts.uri.path()),
            key: key(parts)?,
        })
    }

    fn key(self, body: &Value) -> Option<IdempotencyKey> {
        let key = self.key?;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.path.as_bytes());
        context.update(b"\n");
        context.update(canonical::to_string(body).as_bytes());
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.finish().as_ref());
        Some(IdempotencyKey { route: self.route, key, fingerprint })
    }
}

impl FromRequestParts<State> for Caller {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self> {
        let extensions = &parts.extensions;
        match (extensions.get::<Bearer>(), extensions.get::<Ids>()) {
            (Some(bearer), Some(ids)) => {
                Ok(Self { bearer: bearer.clone(), ids: ids.clone(), repeat: Repeat::of(parts)? })
            }
            // The guard lets nobody pass without; a route that is open must not ask.
            _ => Err(Failure::new(Code::Unauthenticated, "the caller is not known")),
        }
    }
}

impl Caller {
    /// The circumstances for the use cases.
    ///
    /// # Errors
    /// There is none, or the token does not reach it, which is the same to its bearer.
    pub async fn enter(&self, state: &State, environment: EnvironmentName) -> Result<Ctx> {
        let bearer = self.bearer.clone().within(&environment);
        if !self.bearer.reaches(&environment) || !state.knows(&environment).await? {
            return Err(Failure::new(
                Code::EnvironmentNotFound,
                format_args!("environment `{environment}` does not exist"),
            ));
        }
        Ok(Ctx {
            actor: bearer.actor,
            person: bearer.person,
            rights: bearer.rights,
            environment,
            request_id: self.ids.request,
            correlation_id: self.ids.correlation.clone(),
            now: state.deps().now(),
            idempotency: None,
        })
    }

    /// The environments that it reaches.
    ///
    /// # Errors
    /// They cannot be had.
    pub async fn reached(&self, state: &State) -> Result<Vec<EnvironmentName>> {
        let all = state.environments().await?;
        Ok(all.into_iter().filter(|environment| self.bearer.reaches(environment)).collect())
    }

    /// The circumstances for a mutation that has no body: repetitions under the same key get the first answer.
    #[must_use]
    pub fn write(&self, mut cx: Ctx) -> Ctx {
        cx.idempotency = self.repeat.clone().key(&Value::Null);
        cx
    }
}

/// A call to a route of an environment.
#[derive(Debug)]
pub struct Call {
    cx: Ctx,
    repeat: Repeat,
}

impl FromRequestParts<State> for Call {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let environment = path_value(parts, state, "environment").await?;
        let environment = EnvironmentName::parse(&environment)
            .map_err(|error| Failure::field(Code::InvalidParameter, "environment", error))?;
        Ok(Self { cx: caller.enter(state, environment).await?, repeat: caller.repeat })
    }
}

impl Call {
    /// For reads: a key would have nothing to protect.
    pub fn read(self) -> Ctx {
        self.cx
    }

    /// For mutations: repetitions of the same body under the same key get the first answer.
    pub fn write(mut self, body: &Value) -> Ctx {
        self.cx.idempotency = self.repeat.key(body);
        self.cx
    }

    /// The environment.
    #[must_use]
    pub const fn environment(&self) -> &EnvironmentName {
        &self.cx.environment
    }

    /// Insists on a key: who makes things must be able to ask again.
    ///
    /// # Errors
    /// There is none.
    pub fn require_key(&self) -> Result<()> {
        match self.repeat.key {
            Some(_) => Ok(()),
            None => Err(Failure::field(Code::KeyRequired, "Idempotency-Key", "is required")),
        }
    }
}

fn key(parts: &Parts) -> Result<Option<String>> {
    let mut given = parts.headers.get_all("idempotency-key").iter();
    let Some(header) = given.next() else { return Ok(None) };
    // A quoted text (RFC 9651) and its bare content are the same key.
    let text = header.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if given.next().is_none()
        && (16..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"')
    {
        return Ok(Some(text.to_owned()));
    }
    let message = "must be one text of 16 to 128 visible ASCII characters, without quotes inside";
    Err(Failure::field(Code::InvalidParameter, "Idempotency-Key", message))
}
