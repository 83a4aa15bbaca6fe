//! Why the provider did not do what it was asked.

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be reached, or broke off.
    #[error("the identity provider cannot be reached")]
    Away(#[source] reqwest::Error),
    /// It took too long.
    #[error("the identity provider does not answer in time")]
    Slow,
    /// It is busy or out of order, also after repetitions.
    #[error("the identity provider answers with status {status}")]
    Busy {
        /// 429, or one of 500 to 599.
        status: u16,
    },
    /// More bytes than an answer has.
    #[error("the identity provider's answer is larger than 1 MiB")]
    Large,
    /// Not what the provider's documentation promises.
    #[error("the identity provider's answer cannot be read: {0}")]
    Form(&'static str),
    /// It does not know us, or we may not do this.
    #[error("the identity provider does not accept the credential: {word}")]
    Credential {
        /// Its word, such as `PERMISSION_DENIED`.
        word: String,
    },
    /// There is no such thing.
    #[error("the identity provider does not have it: {word}")]
    Absent {
        /// Its word, such as `USER_NOT_FOUND`.
        word: String,
    },
    /// It says no.
    #[error("the identity provider refuses: {word}")]
    Refused {
        /// The status.
        status: u16,
        /// Its word, such as `EMAIL_EXISTS`.
        word: String,
    },
    /// The emulator does not have this.
    #[error("the emulator cannot do this")]
    NotEmulated,
    /// The operating system gives no randomness.
    #[error("no secure randomness is to be had")]
    NoRandomness,
}

impl IdentityError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Slow | Self::Busy { .. } | Self::NoRandomness)
    }

    /// What an operator can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Away(_) | Self::Slow | Self::Busy { .. } | Self::NoRandomness => "It is tried again by itself.",
            Self::Large | Self::Form(_) => "Look whether something else answers in the provider's place.",
            Self::Credential { .. } => {
                "Give the service account the role Identity Platform Admin in the project, and check that the key is not revoked."
            }
            Self::Absent { .. } => "Check the project's name, and that multi-tenancy is enabled in it.",
            Self::Refused { .. } => "Correct what the provider's word names, or raise the project's limits.",
            Self::NotEmulated => "Use a project of the provider itself for this.",
        }
    }

    /// One word for a column, a condition or a metric.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Away(_) | Self::Slow | Self::Busy { .. } | Self::NoRandomness => "ProviderAway",
            Self::Large | Self::Form(_) => "ProviderUnreadable",
            Self::Credential { .. } => "CredentialRefused",
            Self::Absent { .. } | Self::Refused { .. } | Self::NotEmulated => "ProviderRefused",
        }
    }
}
