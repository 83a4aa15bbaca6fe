//! How a refusal looks: RFC 9457 problem details with a stable code, a hint and the fields at fault.

use std::fmt;

use serde::{Deserialize, Serialize};
use tenantry_domain::code::{Code, FieldError as Complaint, Kind};
use utoipa::ToSchema;

/// Where the pages of the codes are; `type` is this with the code behind it.
pub const TYPE_BASE: &str = "https://docs.tenantry.dev/errors/";

/// The media type of problems.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A refusal or failure. Every answer outside of 2xx has this shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "type": "https://docs.tenantry.dev/errors/TEN-0001",
    "code": "TEN-0001",
    "title": "The manifest is not valid",
    "status": 422,
    "detail": "spec.residency.preferredRegion: `us-east` is not one of the allowed regions",
    "hint": "Correct the fields that `errors` names and send it again.",
    "errors": [{"field": "spec.residency.preferredRegion", "message": "`us-east` is not one of the allowed regions"}],
    "correlationId": "req_01jd8x3v9mfk2t5h7q0w4z6y8c"
}))]
pub struct Problem {
    /// The page that explains the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The stable code, `TEN-0042`.
    pub code: String,
    /// What the code means; the same text for every problem of the code.
    pub title: String,
    /// The HTTP status, repeated for readers of logs.
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// What to do next.
    pub hint: String,
    /// The fields at fault; left out when no field is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The request's chain, as in `X-Correlation-Id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The operation that is in the way or that failed, `op_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Path from the document's root, `spec.contacts.billing[0].email`; a parameter's or header's name as it is.
    #[schema(example = "spec.contacts.billing[0].email")]
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl From<Complaint> for FieldError {
    fn from(complaint: Complaint) -> Self {
        Self { field: complaint.field, message: complaint.message }
    }
}

impl Problem {
    /// A problem with the code's own title and hint.
    pub fn new(code: Code, detail: impl fmt::Display) -> Self {
        Self {
            kind: format!("{TYPE_BASE}{code}"),
            code: code.to_string(),
            title: code.title().to_owned(),
            status: code.kind().status(),
            detail: detail.to_string(),
            hint: code.hint().to_owned(),
            errors: Vec::new(),
            correlation_id: None,
            operation: None,
        }
    }

    /// The registered code, or nothing when the server is newer than this release.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.to_string() == self.code)
    }

    /// What a caller can do about it; from the status when the code is not known.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.code().map_or_else(|| kind_of_status(self.status), Code::kind)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

/// The kind that a bare status stands for.
#[must_use]
pub fn kind_of_status(status: u16) -> Kind {
    match status {
        401 => Kind::Unauthenticated,
        403 => Kind::Forbidden,
        404 => Kind::NotFound,
        410 => Kind::Gone,
        405 => Kind::Method,
        409 => Kind::Conflict,
        412 => Kind::Precondition,
        413 => Kind::TooLarge,
        415 => Kind::Unsupported,
        428 => Kind::PreconditionRequired,
        429 => Kind::Throttled,
        502..=504 => Kind::Unavailable,
        400..=499 => Kind::Invalid,
        _ => Kind::Internal,
    }
}

/// Why a request could not be turned into values: what a door answers, and what the command line prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The code.
    pub code: Code,
    /// What is wrong, in one sentence.
    pub detail: String,
    /// What to do next.
    pub hint: String,
    /// Everything that is wrong, field by field.
    pub errors: Vec<Complaint>,
}

/// How many complaints one answer carries at most; a file of nonsense shall not become a longer answer.
pub const MAX_ERRORS: usize = 100;

impl Rejection {
    /// A rejection that names no field.
    pub fn new(code: Code, detail: impl fmt::Display) -> Self {
        Self { code, detail: detail.to_string(), hint: code.hint().to_owned(), errors: Vec::new() }
    }

    /// A rejection for one field.
    pub fn field(code: Code, field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::fields(code, vec![Complaint::new(field, message)])
    }

    /// A rejection for several fields; the first one is told in the detail.
    #[must_use]
    pub fn fields(code: Code, mut errors: Vec<Complaint>) -> Self {
        let more = errors.len().saturating_sub(1);
        let first = errors.first().map_or_else(String::new, |error| format!("{}: {}", error.field, error.message));
        let detail = match more {
            0 => first,
            1 => format!("{first}, and 1 more"),
            more => format!("{first}, and {more} more"),
        };
        errors.truncate(MAX_ERRORS);
        Self { code, detail, hint: code.hint().to_owned(), errors }
    }

    /// With another hint than the code's.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Rejection {}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let mut problem = Self::new(rejection.code, rejection.detail);
        problem.hint = rejection.hint;
        problem.errors = rejection.errors.into_iter().map(FieldError::from).collect();
        problem
    }
}
