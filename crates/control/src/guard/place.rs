//! What is looked at on a cell, by name.

use std::fmt;
use std::str::FromStr;

use tenantry_domain::id::TenantId;
use tenantry_domain::name::AppName;

/// One thing that is looked at by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// What all databases of the server have in common.
    Server,
    /// An app's home: the shared tables and the schemas of single tenants.
    Home(AppName),
    /// A tenant's own database.
    Own(TenantId),
}

impl Place {
    /// Whose database it is; nothing for what tenants have in common.
    #[must_use]
    pub const fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::Own(id) => Some(*id),
            Self::Server | Self::Home(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Home(app) => write!(f, "home/{app}"),
            Self::Own(id) => write!(f, "tenant/{id}"),
        }
    }
}

/// The text names no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `server`, `home/<app>` or `tenant/<id>`")]
pub struct PlaceError;

impl FromStr for Place {
    type Err = PlaceError;
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        match text.split_once('/') {
            None if text == "server" => Ok(Self::Server),
            Some(("home", app)) => AppName::parse(app).map(Self::Home).map_err(|_| PlaceError),
            Some(("tenant", id)) => id.parse().map(Self::Own).map_err(|_| PlaceError),
            _ => Err(PlaceError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let id = TenantId::from_uuid(uuid::Uuid::from_u128(7));
        for place in [Place::Server, Place::Home(AppName::parse("chat").unwrap()), Place::Own(id)] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "home", "home/", "home/A B", "tenant/acme", "server/", "cell/x"] {
            assert_eq!(text.parse::<Place>(), Err(PlaceError), "{text}");
        }
    }
}
