//! Why a bundle did not come into force.

use tenantry_domain::code::{Code, FieldError};

use crate::bundle::{BundleError, Digest};
use crate::shelf::ShelfError;
use crate::signature::TrustError;
use crate::source::SourceError;

/// Why the rules in force stayed.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// The source has no bundle for us.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nobody known made it.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It is not valid, or fails its own tests.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It cannot be kept or read back.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// Nothing is tried, so nothing can be put in force.
    #[error("no bundle is being tried")]
    NothingTried,
    /// Another one is tried than the one that was looked at.
    #[error("bundle {0} is being tried, and not the one that was named")]
    OtherTried(Digest),
    /// There is no earlier bundle, or no folder that keeps them.
    #[error("there is no earlier bundle to go back to")]
    NoEarlier,
}

impl SupplyError {
    /// The code that callers see.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Source(error) => error.code(),
            Self::Trust(error) => error.code(),
            Self::Bundle(error) => error.code(),
            Self::Shelf(error) => error.code(),
            Self::NothingTried | Self::OtherTried(_) | Self::NoEarlier => Code::PolicyBundleNotKept,
        }
    }

    /// Everything that is wrong with the bundle, file by file; empty when it is something else.
    #[must_use]
    pub fn complaints(&self) -> Vec<FieldError> {
        match self {
            Self::Bundle(error) | Self::Source(SourceError::Bundle(error)) => error.complaints(),
            _ => Vec::new(),
        }
    }
}
