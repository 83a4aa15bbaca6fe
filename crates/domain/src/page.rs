//! Bounds of lists.

use serde::{Deserialize, Serialize};

/// How many items a page holds: 1 to 200, 50 when not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageSize(u16);

impl PageSize {
    /// Most items of one page.
    pub const MAX: u16 = 200;

    /// Takes a wanted size.
    ///
    /// # Errors
    /// The bounds, when the size is outside of them.
    pub fn new(size: u16) -> Result<Self, PageSizeError> {
        if (1..=Self::MAX).contains(&size) { Ok(Self(size)) } else { Err(PageSizeError { size }) }
    }

    /// The number of items.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(50)
    }
}

/// A page size outside of 1 to 200.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be between 1 and {}, this is {size}", PageSize::MAX)]
pub struct PageSizeError {
    /// What was asked for.
    pub size: u16,
}
