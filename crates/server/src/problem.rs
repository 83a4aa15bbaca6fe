//! Everything that goes wrong, as a problem document.
//!
//! A handler answers with a [`Failure`]; it is written out by [`crate::middleware::render`], which knows the
//! request's ids and also catches what the router says by itself.

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tenantry_api::problem::{FieldError, Problem, Rejection};
use tenantry_control::Refusal;
use tenantry_domain::code::{Code, Kind};

/// A refusal on its way out.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What is told.
    pub problem: Box<Problem>,
    kind: Kind,
}

/// Marks an error that is told in another protocol's words, and is not to be written as a problem.
#[derive(Debug, Clone, Copy)]
pub struct Foreign;

/// What handlers give.
pub type Result<T = Response> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with a detail of its own.
    pub fn new(code: Code, detail: impl std::fmt::Display) -> Self {
        Self { problem: Box::new(Problem::new(code, detail)), kind: code.kind() }
    }

    /// A failure for one field or parameter.
    pub fn field(code: Code, field: &str, message: impl std::fmt::Display) -> Self {
        Rejection::field(code, field, message).into()
    }

    /// What a caller can do about it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// With another status than the code's, where a protocol knows only some.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.problem.status = status.as_u16();
        self
    }

    /// With another hint than the code's.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = hint.into();
        self
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        let kind = rejection.code.kind();
        Self { problem: Box::new(rejection.into()), kind }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code();
        log(&refusal, code);
        let fields = refusal.fields();
        let mut problem = match fields.len() {
            0 => Problem::new(code, &refusal),
            _ => Problem::from(Rejection::fields(code, fields)),
        };
        // A refusal with values of its own says more than the field's path.
        if !refusal.is_fields() {
            problem.detail = refusal.to_string();
        }
        problem.hint = refusal.hint();
        problem.operation = refusal.operation().map(|id| id.to_string());
        Self { problem: Box::new(problem), kind: code.kind() }
    }
}

/// Logged once, here, with the chain that the caller does not get.
fn log(refusal: &Refusal, code: Code) {
    let cause = causes(refusal);
    match code.kind() {
        Kind::Internal => tracing::error!(%code, %refusal, cause, "request failed"),
        Kind::Unavailable => tracing::warn!(%code, %refusal, cause, "request failed"),
        Kind::Unauthenticated | Kind::Forbidden | Kind::Quota | Kind::Throttled => {
            tracing::info!(%code, %refusal, "request refused")
        }
        _ => tracing::debug!(%code, %refusal, "request refused"),
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        let headers = response.headers_mut();
        match self.kind {
            Kind::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tenantry\""));
            }
            Kind::Throttled | Kind::Unavailable => {
                headers.insert(RETRY_AFTER, retry_after());
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// One to three seconds, so that callers which were turned away together do not come back together.
fn retry_after() -> HeaderValue {
    HeaderValue::from(1 + u64::from(uuid::Uuid::new_v4().as_bytes()[0]) % 3)
}

/// What a bare status of the framework stands for.
pub(crate) fn of_status(status: StatusCode, is_routed: bool) -> Failure {
    match status.as_u16() {
        404 if !is_routed => Failure::new(Code::RouteNotFound, "there is no such route"),
        404 => Failure::new(Code::ObjectNotFound, "there is no such object"),
        405 => Failure::new(Code::MethodNotAllowed, "the route does not know this method"),
        413 => Failure::new(Code::BodyTooLarge, "the body is too large"),
        415 => Failure::new(Code::MediaType, "the media type is not supported"),
        400..=499 => Failure::new(Code::MalformedRequest, "the request cannot be read"),
        _ => Failure::new(Code::Internal, "an internal error"),
    }
}

/// A problem's fields as the parser of manifests would name them: control speaks of `documents[3].spec.plan`, a
/// reader of `spec.plan` in the document that kind and name tell.
pub(crate) fn name_documents(mut failure: Failure, titles: &[String]) -> Failure {
    let rename = |error: FieldError| {
        let found = error.field.strip_prefix("documents[").and_then(|rest| {
            let (index, field) = rest.split_once("].")?;
            Some((titles.get(index.parse::<usize>().ok()?)?, field.to_owned()))
        });
        match found {
            Some((_, field)) if titles.len() == 1 => FieldError { field, message: error.message },
            Some((title, field)) => FieldError { field, message: format!("{} ({title})", error.message) },
            None => error,
        }
    };
    let problem = &mut failure.problem;
    problem.errors = std::mem::take(&mut problem.errors).into_iter().map(rename).collect();
    if let Some(first) = problem.errors.first()
        && problem.detail.starts_with("documents[")
    {
        let more = problem.errors.len() - 1;
        let tail = if more > 0 { format!(", and {more} more") } else { String::new() };
        problem.detail = format!("{}: {}{tail}", first.field, first.message);
    }
    failure
}

/// Everything behind an error, outermost first. The driver's errors show no stored value.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
