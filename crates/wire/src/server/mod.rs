//! What servers send.
//!
//! Reading is in `read`, for a relay that looks at states, tags and codes; writing is in `write`, for a relay that
//! answers itself.

mod read;
mod write;

pub use read::{Auth, auth, command, fields, key, parameter, ready, row, sqlstate};
pub use write::{
    Report, Severity, put_auth_cleartext, put_auth_ok, put_auth_sasl, put_auth_sasl_continue, put_auth_sasl_final,
    put_bind_complete, put_close_complete, put_columns, put_command, put_empty, put_error, put_key, put_negotiate,
    put_no_data, put_notice, put_parameter, put_parameter_description, put_parse_complete, put_ready, put_row,
};

/// A question or answer of the authentication.
pub const AUTH: u8 = b'R';
/// Bind is done.
pub const BIND_COMPLETE: u8 = b'2';
/// Close is done.
pub const CLOSE_COMPLETE: u8 = b'3';
/// A statement is done; its tag says which.
pub const COMMAND: u8 = b'C';
/// Columns of the rows that follow.
pub const COLUMNS: u8 = b'T';
/// Data goes both ways, for replication.
pub const COPY_BOTH: u8 = b'W';
/// A piece of a COPY.
pub const COPY_DATA: u8 = b'd';
/// The end of a COPY.
pub const COPY_DONE: u8 = b'c';
/// The client is to send data.
pub const COPY_IN: u8 = b'G';
/// Data follows.
pub const COPY_OUT: u8 = b'H';
/// The text held no statement.
pub const EMPTY: u8 = b'I';
/// Something failed.
pub const ERROR: u8 = b'E';
/// The answer to a call of a function by its number.
pub const FUNCTION: u8 = b'V';
/// Process id and secret, to cancel with.
pub const KEY: u8 = b'K';
/// Which minor version is spoken, and which options are not known.
pub const NEGOTIATE: u8 = b'v';
/// There are no columns.
pub const NO_DATA: u8 = b'n';
/// Something to be told, which stops nothing.
pub const NOTICE: u8 = b'N';
/// Somebody notified a channel.
pub const NOTIFICATION: u8 = b'A';
/// A setting has this value now.
pub const PARAMETER: u8 = b'S';
/// Types of a statement's parameters.
pub const PARAMETER_DESCRIPTION: u8 = b't';
/// Parse is done.
pub const PARSE_COMPLETE: u8 = b'1';
/// A portal has more rows.
pub const PORTAL_SUSPENDED: u8 = b's';
/// The server waits for the next query.
pub const READY: u8 = b'Z';
/// A row.
pub const ROW: u8 = b'D';

/// In which transaction a session is between two queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// In none.
    Idle,
    /// In one.
    Open,
    /// In one that failed and takes nothing but its end.
    Failed,
}
