//! Errors in the protocol's words (RFC 7644, section 3.12).
//!
//! A refusal stays one of ours until it is written, so that audit, counters and limits see it as any other.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tenantry_control::Refusal;
use tenantry_domain::code::{Code, Kind};
use tenantry_domain::member::scim::{ScimError, show};

use crate::problem::Failure;

/// What handlers here give.
pub(super) type Result<T = Response> = std::result::Result<T, Refused>;

/// The protocol's word for what is wrong, on its way to where the answer is written.
#[derive(Debug, Clone, Copy)]
struct Word(&'static str);

/// A refusal with its word.
#[derive(Debug)]
pub(super) struct Refused {
    failure: Failure,
    word: Option<&'static str>,
}

impl Refused {
    /// A failure with the protocol's word for it.
    pub(super) const fn with_word(failure: Failure, word: &'static str) -> Self {
        Self { failure, word: Some(word) }
    }

    /// The same, of a change of attributes: what the state of the tenant does not allow is then a matter of the
    /// attribute's mutability (table 9), which is a 400.
    pub(super) fn of_change(refusal: Refusal) -> Self {
        let is_last = refusal.code() == Code::LastOwner;
        let refused = Self::from(refusal);
        if is_last { Self { word: Some("mutability"), ..refused } } else { refused }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, word: None }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let word = match &refusal {
            Refusal::Scim(error) => error.word(),
            other => match other.code() {
                Code::MemberExists | Code::MemberElsewhere => Some("uniqueness"),
                Code::InvalidParameter => Some("invalidValue"),
                _ => None,
            },
        };
        Self { failure: refusal.into(), word }
    }
}

impl From<ScimError> for Refused {
    fn from(error: ScimError) -> Self {
        Refusal::from(error).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.failure.into_response();
        if let Some(word) = self.word {
            response.extensions_mut().insert(Word(word));
        }
        response
    }
}

/// Whether a request speaks the protocol.
pub(crate) fn is_here(path: &str) -> bool {
    path.starts_with("/scim/")
}

/// The body of an error, and the status that goes with it.
pub(crate) fn write(failure: &Failure, response: &Response) -> (StatusCode, Vec<u8>) {
    let word = response.extensions().get::<Word>().map(|word| word.0);
    let status = match (failure.kind(), word) {
        (_, Some("mutability")) => StatusCode::BAD_REQUEST,
        // The protocol does not know 422.
        (Kind::Invalid, _) => StatusCode::BAD_REQUEST,
        (kind, _) => StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let word = word.or_else(|| (failure.kind() == Kind::Invalid).then_some("invalidValue"));
    let problem = &failure.problem;
    let mut detail = format!("{}: {}", problem.code, problem.detail);
    let is_told = problem.errors.iter().all(|error| problem.detail.contains(&error.message));
    if !is_told {
        for error in &problem.errors {
            detail.push_str("; ");
            detail.push_str(&error.field);
            detail.push(' ');
            detail.push_str(&error.message);
        }
    }
    detail.push_str(". ");
    detail.push_str(&problem.hint);
    // Our shape holds nothing that JSON cannot say.
    (status, serde_json::to_vec(&show::error(status.as_u16(), word, &detail)).unwrap_or_default())
}

/// The media type of errors.
pub(crate) const MEDIA: &str = super::MEDIA;
