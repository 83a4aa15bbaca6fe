//! Which tenant a request is for: what hosts, paths, headers and tokens name, and whether they agree.

pub mod host;
pub mod identify;

pub use host::{BaseDomain, Host, HostError};
pub use identify::{Claims, Disagreement, Named, NamedError, Source, agree};
