//! What can be in the way, as those who publish and those who operate need to tell it apart.

use async_nats::ConnectError;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamError, PublishError, RequestErrorKind};
use async_nats::jetstream::stream::{InfoError, LastRawMessageError};
use tenantry_domain::code::Code;

use crate::fit::Unfit;

/// Words that troubles are counted by.
pub const WORDS: [&str; 8] = ["away", "denied", "credential", "tls", "unfit", "full", "refused", "overtaken"];

/// Why nothing was published, or it is not known whether.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody can be connected to.
    #[error("no server can be connected to")]
    Away(#[source] ConnectError),
    /// The connection broke, or no answer came in time. What was sent may be in the stream.
    #[error("the server does not answer any more")]
    Silent,
    /// The server does not let us in.
    #[error("the server refuses the credentials")]
    Denied(#[source] ConnectError),
    /// A file with credentials cannot be read, or does not hold any.
    #[error("the file with the credentials cannot be used")]
    Credential(#[source] std::io::Error),
    /// The file of certificate authorities cannot be used.
    #[error("the file of certificate authorities cannot be used")]
    Authorities(#[source] std::io::Error),
    /// The server's certificate is not believed, or TLS is not spoken.
    #[error("no encrypted connection can be made")]
    Tls(#[source] ConnectError),
    /// The stream will not do.
    #[error("the stream `{stream}` cannot be used: {why}")]
    Unfit {
        /// The stream.
        stream: String,
        /// What is wrong with it.
        why: Unfit,
    },
    /// The server has no JetStream, or not for our account.
    #[error("the server has no JetStream for this account")]
    NoJetStream,
    /// The stream, the account or the disk is full.
    #[error("the stream takes no more: {0}")]
    Full(async_nats::jetstream::Error),
    /// The server refused for another reason.
    #[error("the server refuses: {0}")]
    Refused(async_nats::jetstream::Error),
    /// Something is in the stream that we did not know of: somebody took over, or an answer was lost. A look is needed.
    #[error("the stream went on without this publisher")]
    Overtaken,
    /// An answer could not be understood.
    #[error("an answer of the server cannot be read")]
    Unreadable,
}

impl Trouble {
    /// The word that it is counted by, one of [`WORDS`].
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Away(_) | Self::Silent => "away",
            Self::Denied(_) => "denied",
            Self::Credential(_) => "credential",
            Self::Authorities(_) | Self::Tls(_) => "tls",
            Self::Unfit { .. } | Self::NoJetStream => "unfit",
            Self::Full(_) => "full",
            Self::Refused(_) | Self::Unreadable => "refused",
            Self::Overtaken => "overtaken",
        }
    }

    /// The code that operators look up.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unfit { .. } | Self::NoJetStream => Code::StreamUnfit,
            _ => Code::StreamUnavailable,
        }
    }

    /// What a connection's failure means.
    pub(crate) fn connecting(error: ConnectError) -> Self {
        use async_nats::ConnectErrorKind::{Authentication, AuthorizationViolation, Tls};
        match error.kind() {
            AuthorizationViolation | Authentication => Self::Denied(error),
            Tls => Self::Tls(error),
            _ if speaks_of_tls(&error) => Self::Tls(error),
            _ => Self::Away(error),
        }
    }

    pub(crate) fn creating(error: &CreateStreamError) -> Self {
        use async_nats::jetstream::context::CreateStreamErrorKind::{JetStream, JetStreamUnavailable};
        match error.kind() {
            JetStream(error) => Self::of(error),
            JetStreamUnavailable => Self::NoJetStream,
            _ => Self::Silent,
        }
    }

    pub(crate) fn asking(error: &InfoError) -> Self {
        match error.kind() {
            RequestErrorKind::NoResponders => Self::NoJetStream,
            _ => Self::caused(error),
        }
    }

    pub(crate) fn reading(error: &LastRawMessageError) -> Self {
        use async_nats::jetstream::stream::LastRawMessageErrorKind::JetStream;
        match error.kind() {
            JetStream(error) => Self::of(error),
            _ => Self::Silent,
        }
    }

    pub(crate) fn publishing(error: &PublishError, stream: &str, wanted: &str) -> Self {
        use async_nats::jetstream::context::PublishErrorKind::{StreamNotFound, WrongLastMessageId, WrongLastSequence};
        match error.kind() {
            WrongLastSequence | WrongLastMessageId => Self::Overtaken,
            // Nobody takes our subject: the stream is gone, or has other subjects.
            StreamNotFound => {
                let (stream, wanted) = (stream.to_owned(), wanted.to_owned());
                let why = Unfit::Subjects { stream: stream.clone(), found: Vec::new(), wanted };
                Self::Unfit { stream, why }
            }
            _ => Self::caused(error),
        }
    }

    /// By what the server said, if it said something.
    fn caused(error: &(dyn std::error::Error + 'static)) -> Self {
        let said = error.source().and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
        said.map_or(Self::Silent, |error| Self::of(error.clone()))
    }

    fn of(error: async_nats::jetstream::Error) -> Self {
        // Out of memory, storage, messages, bytes; of the server, the account or the stream.
        const FULL: [u64; 7] = [10_002, 10_023, 10_028, 10_047, 10_063, 10_077, 10_122];
        // JetStream is not enabled, or not for the account.
        const NONE: [u64; 3] = [10_035, 10_039, 10_076];
        // Another message with its id is on its way, or was and came to nothing; or the stream's last message is another one, in the
        // words of newer servers. What became of it is to be seen in the stream.
        const DOUBTFUL: [ErrorCode; 2] =
            [ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT, ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT];
        let code = error.error_code().0;
        if DOUBTFUL.contains(&error.error_code()) {
            Self::Overtaken
        } else if FULL.contains(&code) {
            Self::Full(error)
        } else if NONE.contains(&code) {
            Self::NoJetStream
        } else {
            Self::Refused(error)
        }
    }
}

/// The driver says "input or output" of a handshake that failed.
fn speaks_of_tls(error: &ConnectError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        if source.downcast_ref::<rustls::Error>().is_some() {
            return true;
        }
        if let Some(io) = source.downcast_ref::<std::io::Error>()
            && io.get_ref().is_some_and(|inner| inner.downcast_ref::<rustls::Error>().is_some())
        {
            return true;
        }
        cause = source.source();
    }
    false
}
