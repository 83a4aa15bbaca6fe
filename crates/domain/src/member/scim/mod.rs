//! SCIM 2.0 (RFC 7643, RFC 7644): how a customer's directory describes its users and groups, as far as no table is needed.
//!
//! [`schema`] says which attributes are kept and [`describe`] tells it to clients, [`filter`] reads what is asked for and
//! [`matching`] answers it, [`resource`] brings what a client sends into the kept form, [`patch`] changes it, [`show`] and
//! [`project`] write the answer.
//! INVARIANT: everything here is bounded in length, depth and number before it is worked on; what is not in the schema is
//! never kept, so that no password and no right can come in by a field that nobody reads.

pub mod describe;
pub mod filter;
pub mod matching;
pub mod patch;
pub mod project;
pub mod resource;
pub mod rights;
pub mod schema;
pub mod show;

use crate::code::Code;

pub use filter::Filter;
pub use patch::{MemberChange, Patch};
pub use project::Projection;
pub use resource::{Person, Team};
pub use rights::strongest;
pub use schema::Kind;

/// Most resources of one page.
pub const MOST_PER_PAGE: usize = 500;
/// Resources of a page that names no number.
pub const PER_PAGE: usize = 100;
/// Most members that one request adds to groups or takes from them.
pub const MOST_MEMBERS: usize = 2000;
/// Most members of a group.
pub const GROUP_SIZE: i64 = 20_000;
/// Most groups that a user is in.
pub const GROUPS_OF_USER: i64 = 200;
/// Most users that a tenant's directory keeps here, the inactive ones counted.
pub const MOST_USERS: i64 = 100_000;
/// Most groups that a tenant's directory keeps here.
pub const MOST_GROUPS: i64 = 2000;
/// Most resources that are looked at for a filter that no index answers.
pub const MOST_LOOKED_AT: usize = 20_000;
/// Bytes of a request's body.
pub const BODY: usize = 1024 * 1024;

/// Why a directory's request is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScimError {
    /// The filter or the path of an operation is not of the grammar.
    #[error("the expression cannot be read at character {at}: {problem}")]
    Grammar {
        /// The place, from 1.
        at: usize,
        /// What is expected, or too much.
        problem: &'static str,
    },
    /// An attribute that nobody knows, or a comparison that it does not have.
    #[error("`{0}` cannot be compared like this")]
    Comparison(String),
    /// The body is not of the form that the protocol wants.
    #[error("the body {0}")]
    Syntax(&'static str),
    /// A value that the attribute cannot have.
    #[error("`{field}` {problem}")]
    Value {
        /// The attribute.
        field: String,
        /// Why.
        problem: &'static str,
    },
    /// The path of an operation names no attribute.
    #[error("`{0}` is no path to an attribute")]
    Path(String),
    /// The path of an operation leads to nothing that is there.
    #[error("`{0}` leads to nothing")]
    NoTarget(String),
    /// The attribute is not the client's to change.
    #[error("`{0}` cannot be changed like this")]
    Mutability(String),
    /// The filter takes looking at too many resources.
    #[error("the filter takes looking at more than {0} resources")]
    TooMany(usize),
    /// Another resource of the tenant has it.
    #[error("another {kind} has this `{field}`")]
    Taken {
        /// `User` or `Group`.
        kind: &'static str,
        /// The attribute.
        field: &'static str,
    },
    /// A bound of this installation.
    #[error("the directory has {most} {what}, which is the most")]
    Full {
        /// Users, groups, members of a group, groups of a user.
        what: &'static str,
        /// How many there may be.
        most: i64,
    },
    /// There is no such user or group.
    #[error("there is no {kind} `{id}`")]
    Absent {
        /// `User`, `Group`, `Schema`, `ResourceType`.
        kind: &'static str,
        /// What was asked for.
        id: String,
    },
    /// Nobody of the directory can be claimed with the address.
    #[error("the directory has nobody to be claimed with this address")]
    Unclaimed,
    /// The role is not one that groups can give.
    #[error("`owner` is not given by a group")]
    OwnerByGroup,
}

impl ScimError {
    /// The protocol's word for it (RFC 7644, table 9); absent where it has none.
    #[must_use]
    pub const fn word(&self) -> Option<&'static str> {
        match self {
            Self::Comparison(_) => Some("invalidFilter"),
            Self::Grammar { .. } => Some("invalidFilter"),
            Self::Syntax(_) => Some("invalidSyntax"),
            Self::Value { .. } | Self::OwnerByGroup => Some("invalidValue"),
            Self::Path(_) => Some("invalidPath"),
            Self::NoTarget(_) => Some("noTarget"),
            Self::Mutability(_) => Some("mutability"),
            Self::TooMany(_) => Some("tooMany"),
            Self::Taken { .. } => Some("uniqueness"),
            Self::Full { .. } | Self::Absent { .. } | Self::Unclaimed => None,
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Taken { .. } => Code::DirectoryTaken,
            Self::Full { .. } => Code::DirectoryFull,
            Self::Absent { .. } => Code::ObjectNotFound,
            Self::Unclaimed => Code::MemberNotFound,
            Self::OwnerByGroup => Code::InvalidParameter,
            _ => Code::DirectoryRequest,
        }
    }
}

/// A value for a message: short, and nothing that is not to be seen.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
