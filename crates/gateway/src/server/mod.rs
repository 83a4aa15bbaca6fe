//! Sessions on a cell's server.

mod backend;
mod connect;
mod statements;

pub(crate) use backend::random;
pub use backend::{Backend, ReadyError};
pub use connect::{ConnectError, Key, cancel, open};
pub use statements::{Effect, Facts, Parsed, Setting};
