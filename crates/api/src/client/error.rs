//! What can go wrong with a call.

use std::time::Duration;

use tenantry_domain::code::Kind;

use crate::problem::{Problem, Rejection};

/// Why a call gave no value.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused, and said why.
    #[error(transparent)]
    Problem(Box<Problem>),
    /// The call was refused before it was sent.
    #[error(transparent)]
    Rejected(Box<Rejection>),
    /// The address is not one.
    #[error("`{0}` is not the address of a server; expected one such as http://127.0.0.1:7070")]
    Address(String),
    /// No answer came.
    #[error("the server at {url} does not answer")]
    Transport {
        /// The server, without path and credentials.
        url: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// An answer came that is not one of this API.
    #[error("the server answered {status} with something that cannot be read")]
    Decode {
        /// The answer's status.
        status: u16,
        /// Where it departs from the contract; absent when it was not even JSON.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// A stream of events left out a number; nothing behind it is given.
    #[error("the event {expected} is missing: {found} came instead")]
    Gap {
        /// The number that had to come.
        expected: i64,
        /// The number that came.
        found: i64,
    },
    /// The operation did not end in time. It goes on.
    #[error("the operation {operation} did not end within {} s; it goes on", .waited.as_secs())]
    Patience {
        /// The operation.
        operation: String,
        /// How long was waited.
        waited: Duration,
    },
}

impl ClientError {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Problem(problem) => problem.kind(),
            Self::Rejected(rejection) => rejection.code.kind(),
            Self::Address(_) => Kind::Invalid,
            Self::Transport { .. } | Self::Patience { .. } => Kind::Unavailable,
            Self::Decode { .. } | Self::Gap { .. } => Kind::Internal,
        }
    }

    /// The command line's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.kind().exit()
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Problem(problem) => problem.hint.clone(),
            Self::Rejected(rejection) => rejection.hint.clone(),
            Self::Address(_) => "Give the server's address with --url or TENANTRY_URL.".to_owned(),
            Self::Transport { .. } => "Check that the server runs and that the address is right.".to_owned(),
            Self::Decode { .. } => "Check that the address is that of a Tenantry server of this release.".to_owned(),
            Self::Gap { expected, .. } => {
                format!("Read again behind {}; if it is missing still, tell whoever runs the server.", expected - 1)
            }
            Self::Patience { operation, .. } => format!("Follow it with `tenantry operations watch {operation}`."),
        }
    }
}

impl From<Rejection> for ClientError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(Box::new(rejection))
    }
}
