//! How a command ends: what it tells about a failure, and which exit code it leaves.
//!
//! INVARIANT: the exit code follows from the error's [`Kind`] alone (`docs/cli.md` has the table), so that a script
//! can tell "try again" from "give up" without reading texts. Nothing here prints to stdout.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use tenantry_api::{ClientError, Rejection};
use tenantry_domain::code::{Code, FieldError, Kind};

use crate::output::Format;

/// What commands return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// `plan` and `diff` found changes.
pub const CHANGES: u8 = 10;

/// The operation was accepted and ended without success, and its cause has no code of its own.
pub const FAILED: u8 = 1;

/// Ended by Ctrl-C, as shells count it.
pub const INTERRUPTED: u8 = 130;

/// Why a command did not do what it was asked for.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    #[serde(skip)]
    exit: u8,
    #[serde(serialize_with = "code_text", skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
}

fn code_text<S: serde::Serializer>(code: &Option<Code>, serializer: S) -> Result<S::Ok, S::Error> {
    match code {
        Some(code) => serializer.collect_str(code),
        None => serializer.serialize_none(),
    }
}

impl Failure {
    /// A registered error.
    pub fn new(code: Code, detail: impl std::fmt::Display) -> Self {
        Self {
            exit: code.kind().exit(),
            code: Some(code),
            title: code.title().to_owned(),
            detail: detail.to_string(),
            errors: Vec::new(),
            hint: Some(code.hint().to_owned()),
            correlation_id: None,
        }
    }

    /// An error of this machine or this command line, which the API's registry does not know.
    pub fn local(kind: Kind, title: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self {
            exit: kind.exit(),
            code: None,
            title: title.into(),
            detail: detail.to_string(),
            errors: Vec::new(),
            hint: None,
            correlation_id: None,
        }
    }

    /// A command line that cannot be carried out as it is.
    pub fn usage(title: impl Into<String>) -> Self {
        Self::local(Kind::Invalid, title, "")
    }

    /// Something that should work here and does not.
    pub fn broken(title: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::local(Kind::Internal, title, detail)
    }

    /// Ended without success, for a reason that has no code.
    pub fn ended(title: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self { exit: FAILED, ..Self::local(Kind::Internal, title, detail) }
    }

    /// Another exit code than the kind's.
    #[must_use]
    pub const fn exit(mut self, code: u8) -> Self {
        self.exit = code;
        self
    }

    /// What to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What is known of its cause, behind what it says already.
    #[must_use]
    pub fn because(mut self, cause: impl std::fmt::Display) -> Self {
        let cause = cause.to_string();
        if !cause.is_empty() {
            self.detail = if self.detail.is_empty() { cause } else { format!("{}; {cause}", self.detail) };
        }
        self
    }

    /// The server's own words for a registered title.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// The fields that are wrong.
    #[must_use]
    pub fn fields(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The id under which the server's logs know the call.
    #[must_use]
    pub fn correlation(mut self, id: Option<String>) -> Self {
        self.correlation_id = id;
        self
    }

    /// Tells the user, on stderr: as text, or as one JSON document where the output is for machines.
    pub fn report(&self, format: Format) -> ExitCode {
        let text = match format {
            Format::Json | Format::Yaml => serde_json::to_string(self).unwrap_or_else(|_| self.to_string()),
            Format::Table | Format::Wide => self.to_string(),
        };
        // A closed stderr is nothing that could still be reported.
        let _ = writeln!(std::io::stderr(), "{text}");
        ExitCode::from(self.exit)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => write!(f, "error[{code}]: {}", self.title)?,
            None => write!(f, "error: {}", self.title)?,
        }
        // A server repeats the first field in its sentence; the list below has it already.
        let repeats = |first: &FieldError| self.detail.starts_with(&format!("{}: {}", first.field, first.message));
        if !self.detail.is_empty() && !self.errors.first().is_some_and(repeats) {
            write!(f, ": {}", self.detail)?;
        }
        for error in &self.errors {
            write!(f, "\n  {}: {}", error.field, error.message)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        if let Some(id) = &self.correlation_id {
            write!(f, "\ncorrelation id: {id}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::new(rejection.code, rejection.detail).hint(rejection.hint).fields(rejection.errors)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (kind, hint) = (error.kind(), error.hint());
        match error {
            ClientError::Rejected(rejection) => (*rejection).into(),
            ClientError::Problem(problem) => {
                let fields = problem.errors.iter().map(|error| FieldError::new(&error.field, &error.message)).collect();
                let mut failure = match problem.code() {
                    Some(code) => Self::new(code, &problem.detail),
                    // A newer server's code: all that is known of it is what the answer says.
                    None => Self::local(kind, format!("{}: {}", problem.code, problem.title), &problem.detail),
                };
                if let Some(operation) = &problem.operation {
                    failure.detail = format!("{} (operation {operation})", failure.detail);
                }
                failure.hint(problem.hint).fields(fields).correlation(problem.correlation_id)
            }
            ClientError::Transport { ref source, .. } => {
                Self::local(kind, error.to_string(), innermost(source)).hint(hint)
            }
            other => Self::local(kind, other.to_string(), "").hint(hint),
        }
    }
}

/// The cause that says something: what lies above it only names layers.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_show_code_fields_hint_and_correlation() {
        let failure = Failure::new(Code::StaleVersion, "the tenant is at version 8")
            .fields(vec![FieldError::new("If-Match", "is version 7")])
            .correlation(Some("c-1".to_owned()));
        let text = failure.to_string();
        assert!(
            text.starts_with("error[TEN-0009]: The version given is not the current one: the tenant is at"),
            "{text}"
        );
        assert!(text.contains("\n  If-Match: is version 7\nhint: Read the object again"), "{text}");
        assert!(text.ends_with("\ncorrelation id: c-1"), "{text}");
        assert_eq!(failure.exit, 5);
        let json: serde_json::Value = serde_json::to_value(&failure).unwrap();
        assert_eq!(json["code"], "TEN-0009");
        assert_eq!(json["errors"][0]["field"], "If-Match");
    }

    #[test]
    fn local_failures_have_no_code() {
        assert_eq!(Failure::usage("no file given").to_string(), "error: no file given");
        assert_eq!(Failure::usage("x").exit, 2);
        assert_eq!(Failure::broken("x", "y").exit, 70);
        assert_eq!(Failure::ended("x", "y").exit, 1);
    }
}
