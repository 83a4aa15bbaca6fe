//! Incidents: something is wrong with the service, and those whom it concerns are told, update by update. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event::Type;
use crate::id::TenantId;
use crate::name::CellName;

/// Most characters of a title: one line, the subject of a mail.
pub const TITLE: usize = 150;

/// Most characters of a message.
pub const MESSAGE: usize = 4000;

/// Most updates of an incident; more than anybody reads.
pub const UPDATES: i32 = 200;

/// A word that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a known word")]
pub struct WordError;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something does not work as it should; work goes on.
    Minor,
    /// Something that is needed does not work.
    Major,
    /// Nothing works, or data is in danger.
    Critical,
}

impl Severity {
    /// All of them, the mildest first.
    pub const ALL: [Self; 3] = [Self::Minor, Self::Major, Self::Critical];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }
}

/// How far it is understood and mended. An update may go back, but nothing follows `resolved`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It is looked into.
    Investigating,
    /// The cause is known.
    Identified,
    /// It is mended, and watched.
    Monitoring,
    /// It is over.
    Resolved,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Investigating, Self::Identified, Self::Monitoring, Self::Resolved];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Investigating => "investigating",
            Self::Identified => "identified",
            Self::Monitoring => "monitoring",
            Self::Resolved => "resolved",
        }
    }

    /// The event of an update that is not the first.
    #[must_use]
    pub const fn event(self) -> Type {
        match self {
            Self::Resolved => Type::IncidentResolved,
            Self::Investigating | Self::Identified | Self::Monitoring => Type::IncidentUpdated,
        }
    }
}

macro_rules! word {
    ($($type:ident),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = WordError;
            fn from_str(text: &str) -> Result<Self, WordError> {
                Self::ALL.into_iter().find(|word| word.as_str() == text).ok_or(WordError)
            }
        }
    )*};
}

word!(Severity, Phase);

/// Whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One tenant, in whatever state it is.
    Tenant(TenantId),
    /// The tenants that are served from a cell, or would be if they were not suspended.
    Cell(CellName),
    /// All tenants of the environment that are served, or would be.
    All,
}

impl Scope {
    /// Its sort in a word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenant",
            Self::Cell(_) => "cell",
            Self::All => "all",
        }
    }

    /// Whether it concerns a tenant that is in a cell.
    #[must_use]
    pub fn concerns(&self, tenant: TenantId, cell: Option<&CellName>) -> bool {
        match self {
            Self::Tenant(own) => *own == tenant,
            Self::Cell(name) => cell == Some(name),
            Self::All => true,
        }
    }
}

/// Whether a text is fit to be a title.
///
/// # Errors
/// What would be right.
pub fn check_title(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > TITLE {
        return Err(format!("must have 1 to {TITLE} characters"));
    }
    if text.chars().any(char::is_control) { Err("must be one line".to_owned()) } else { Ok(()) }
}

/// Whether a text is fit to be a message: lines of text.
///
/// # Errors
/// What would be right.
pub fn check_message(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > MESSAGE {
        return Err(format!("must have 1 to {MESSAGE} characters"));
    }
    let is_odd = |letter: char| letter.is_control() && letter != '\n';
    if text.chars().any(is_odd) { Err("must not hold control characters besides line ends".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_cell_concerns_its_tenants_alone() {
        let (one, other) = (TenantId::from_uuid(Uuid::from_u128(1)), TenantId::from_uuid(Uuid::from_u128(2)));
        let (here, there) = (CellName::parse("eu-1").unwrap(), CellName::parse("eu-2").unwrap());
        let scope = Scope::Cell(here.clone());
        assert!(scope.concerns(one, Some(&here)) && !scope.concerns(one, Some(&there)) && !scope.concerns(one, None));
        assert!(Scope::Tenant(one).concerns(one, None) && !Scope::Tenant(one).concerns(other, Some(&here)));
        assert!(Scope::All.concerns(other, None));
    }

    #[test]
    fn words_and_events_follow_the_phase() {
        for phase in Phase::ALL {
            assert_eq!(phase.as_str().parse(), Ok(phase));
            assert_eq!(phase.event() == Type::IncidentResolved, phase == Phase::Resolved);
        }
        assert_eq!("worse".parse::<Severity>(), Err(WordError));
    }

    #[test]
    fn titles_are_lines_and_messages_are_bounded() {
        assert!(check_title("Logins fail").is_ok() && check_message("One.\nTwo.").is_ok());
        for wrong in ["", "  ", "a\nb", "a\r\nBcc: x@y.example", "a\0", &"x".repeat(TITLE + 1)] {
            assert!(check_title(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["", "\n", "a\rb", "a\u{1b}[2J", &"x".repeat(MESSAGE + 1)] {
            assert!(check_message(wrong).is_err(), "{wrong:?}");
        }
    }
}
