//! Which tenant a request is for: what hosts, paths, headers and tokens name, and whether they agree.

pub mod domain;
pub mod host;
pub mod identify;
pub mod people;
pub mod token;

pub use host::{BaseDomain, Host, HostError};
pub use identify::{Claims, Disagreement, Named, NamedError, Source, agree};
pub use people::{Operators, Person, Reach};
pub use token::{Issuer, IssuerError, IssuerFile, TokenFault};
