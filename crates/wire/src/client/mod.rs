//! What clients send.
//!
//! Reading is in `read`, for a relay that looks only at names and at the text of statements; writing is in `write`, for a
//! relay that is a client itself.

mod read;
mod write;

pub use read::{Bind, Named, Parse, SaslInitial, bind, execute, named, parse, password, query, sasl_initial};
pub use write::{
    Format, put_bind, put_bind_params, put_close, put_describe, put_execute, put_flush, put_parse, put_password,
    put_query, put_sasl_initial, put_sasl_response, put_sync, put_terminate,
};

pub use crate::start::{put_cancel, put_gss, put_ssl, put_start};

/// Bind.
pub const BIND: u8 = b'B';
/// Close.
pub const CLOSE: u8 = b'C';
/// A piece of a COPY.
pub const COPY_DATA: u8 = b'd';
/// The end of a COPY.
pub const COPY_DONE: u8 = b'c';
/// The end of a COPY that went wrong.
pub const COPY_FAIL: u8 = b'f';
/// Describe.
pub const DESCRIBE: u8 = b'D';
/// Execute.
pub const EXECUTE: u8 = b'E';
/// Flush.
pub const FLUSH: u8 = b'H';
/// A call of a function by its number, which nobody should use any more.
pub const FUNCTION: u8 = b'F';
/// Parse.
pub const PARSE: u8 = b'P';
/// A password, or what a SASL mechanism says.
pub const PASSWORD: u8 = b'p';
/// A simple query.
pub const QUERY: u8 = b'Q';
/// Sync.
pub const SYNC: u8 = b'S';
/// The client leaves.
pub const TERMINATE: u8 = b'X';

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}
