//! The kinds of things that commands name, with the spellings that people type.

use tenantry_api::client::Kind as Catalog;

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Customer organisations
    #[value(alias = "tenants", alias = "ten")]
    Tenant,
    /// Entries of the plan catalog
    #[value(alias = "plans")]
    Plan,
    /// Regions
    #[value(alias = "regions")]
    Region,
    /// Cells
    #[value(alias = "cells")]
    Cell,
    /// Apps
    #[value(alias = "apps")]
    App,
    /// Meters of usage
    #[value(alias = "meters")]
    Meter,
    /// Long work
    #[value(alias = "operations", alias = "op")]
    Operation,
}

/// The kinds that manifests declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Declared {
    /// A customer organisation
    #[value(alias = "tenants", alias = "ten")]
    Tenant,
    /// An entry of the plan catalog
    #[value(alias = "plans")]
    Plan,
    /// A region
    #[value(alias = "regions")]
    Region,
    /// A cell
    #[value(alias = "cells")]
    Cell,
    /// An app
    #[value(alias = "apps")]
    App,
    /// A meter of usage
    #[value(alias = "meters")]
    Meter,
}

impl Declared {
    /// The catalog's kind; `None` for tenants, which have routes of their own.
    pub const fn catalog(self) -> Option<Catalog> {
        match self {
            Self::Tenant => None,
            Self::Plan => Some(Catalog::Plan),
            Self::Region => Some(Catalog::Region),
            Self::Cell => Some(Catalog::Cell),
            Self::App => Some(Catalog::App),
            Self::Meter => Some(Catalog::Meter),
        }
    }
}

impl Kind {
    /// The kind that a manifest declares, unless it is long work.
    pub const fn declared(self) -> Option<Declared> {
        match self {
            Self::Tenant => Some(Declared::Tenant),
            Self::Plan => Some(Declared::Plan),
            Self::Region => Some(Declared::Region),
            Self::Cell => Some(Declared::Cell),
            Self::App => Some(Declared::App),
            Self::Meter => Some(Declared::Meter),
            Self::Operation => None,
        }
    }
}
