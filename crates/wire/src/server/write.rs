//! A server's messages. Texts end at their first zero.

use bytes::{BufMut as _, BytesMut};

use super::{
    AUTH, BIND_COMPLETE, CLOSE_COMPLETE, COLUMNS, COMMAND, EMPTY, ERROR, KEY, NEGOTIATE, NO_DATA, NOTICE, PARAMETER,
    PARAMETER_DESCRIPTION, PARSE_COMPLETE, READY, ROW, Status,
};
use crate::write::{counted_items, frame, text, value};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session ends.
    Fatal,
    /// Something is wrong, and nothing stopped.
    Warning,
    /// Good to know.
    Notice,
}

impl Severity {
    /// PostgreSQL's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
        }
    }
}

/// What ErrorResponse and NoticeResponse say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// The SQLSTATE.
    pub code: &'a str,
    /// What happened, in one line.
    pub message: &'a str,
    /// More of it.
    pub detail: Option<&'a str>,
    /// What to do next.
    pub hint: Option<&'a str>,
}

/// Says that something failed.
pub fn put_error(out: &mut BytesMut, report: &Report<'_>) {
    put_report(out, ERROR, report);
}

/// Says something that stops nothing.
pub fn put_notice(out: &mut BytesMut, report: &Report<'_>) {
    put_report(out, NOTICE, report);
}

fn put_report(out: &mut BytesMut, tag: u8, report: &Report<'_>) {
    let severity = report.severity.as_str();
    let fields = [
        // For people, in their language, and for programs.
        (b'S', Some(severity)),
        (b'V', Some(severity)),
        (b'C', Some(report.code)),
        (b'M', Some(report.message)),
        (b'D', report.detail),
        (b'H', report.hint),
    ];
    frame(out, tag, |out| {
        for (letter, said) in fields {
            if let Some(said) = said {
                out.put_u8(letter);
                text(out, said.as_bytes());
            }
        }
        out.put_u8(0);
    });
}

fn put_auth(out: &mut BytesMut, number: i32, more: impl FnOnce(&mut BytesMut)) {
    frame(out, AUTH, |out| {
        out.put_i32(number);
        more(out);
    });
}

/// Lets the client in.
pub fn put_auth_ok(out: &mut BytesMut) {
    put_auth(out, 0, |_| ());
}

/// Asks for the password as it is.
pub fn put_auth_cleartext(out: &mut BytesMut) {
    put_auth(out, 3, |_| ());
}

/// Offers SASL mechanisms, the best first. An empty name would end the list and is left out.
pub fn put_auth_sasl(out: &mut BytesMut, mechanisms: &[&str]) {
    put_auth(out, 10, |out| {
        for mechanism in mechanisms.iter().filter(|mechanism| !mechanism.is_empty()) {
            text(out, mechanism.as_bytes());
        }
        out.put_u8(0);
    });
}

/// Goes on with SASL.
pub fn put_auth_sasl_continue(out: &mut BytesMut, data: &[u8]) {
    put_auth(out, 11, |out| out.put_slice(data));
}

/// Ends SASL with the mechanism's last message.
pub fn put_auth_sasl_final(out: &mut BytesMut, data: &[u8]) {
    put_auth(out, 12, |out| out.put_slice(data));
}

/// Says which value a setting has.
pub fn put_parameter(out: &mut BytesMut, name: &[u8], setting: &[u8]) {
    frame(out, PARAMETER, |out| {
        text(out, name);
        text(out, setting);
    });
}

/// Says what to cancel with. Before protocol 3.2 the secret has exactly four bytes.
pub fn put_key(out: &mut BytesMut, pid: i32, secret: &[u8]) {
    frame(out, KEY, |out| {
        out.put_i32(pid);
        out.put_slice(secret);
    });
}

/// Waits for the next query.
pub fn put_ready(out: &mut BytesMut, status: Status) {
    frame(out, READY, |out| {
        out.put_u8(match status {
            Status::Idle => b'I',
            Status::Open => b'T',
            Status::Failed => b'E',
        });
    });
}

/// Says which minor version of protocol 3 will be spoken, and which of the wanted options nobody knows.
pub fn put_negotiate(out: &mut BytesMut, minor: u16, unknown: &[String]) {
    frame(out, NEGOTIATE, |out| {
        // Named a minor version in the documentation, and sent as a whole one: clients compare it with theirs.
        out.put_u16(3);
        out.put_u16(minor);
        let count = i32::try_from(unknown.len()).unwrap_or(i32::MAX);
        out.put_i32(count);
        for name in unknown {
            text(out, name.as_bytes());
        }
    });
}

/// Columns of type `text`, sent as text.
pub fn put_columns(out: &mut BytesMut, names: &[&str]) {
    const TEXT: i32 = 25;
    frame(out, COLUMNS, |out| {
        counted_items(out, names, |out, name| {
            text(out, name.as_bytes());
            // No table and no column of one.
            out.put_i32(0);
            out.put_i16(0);
            out.put_i32(TEXT);
            // Of any length, without a modifier.
            out.put_i16(-1);
            out.put_i32(-1);
            out.put_i16(0);
        });
    });
}

/// A row.
pub fn put_row(out: &mut BytesMut, values: &[Option<&[u8]>]) {
    frame(out, ROW, |out| counted_items(out, values, |out, one| value(out, *one)));
}

/// A statement is done.
pub fn put_command(out: &mut BytesMut, tag: &[u8]) {
    frame(out, COMMAND, |out| text(out, tag));
}

/// The text held no statement.
pub fn put_empty(out: &mut BytesMut) {
    frame(out, EMPTY, |_| ());
}

/// Parse is done.
pub fn put_parse_complete(out: &mut BytesMut) {
    frame(out, PARSE_COMPLETE, |_| ());
}

/// Bind is done.
pub fn put_bind_complete(out: &mut BytesMut) {
    frame(out, BIND_COMPLETE, |_| ());
}

/// Close is done.
pub fn put_close_complete(out: &mut BytesMut) {
    frame(out, CLOSE_COMPLETE, |_| ());
}

/// There are no columns.
pub fn put_no_data(out: &mut BytesMut) {
    frame(out, NO_DATA, |_| ());
}

/// The statement takes no parameters.
pub fn put_parameter_description(out: &mut BytesMut) {
    frame(out, PARAMETER_DESCRIPTION, |out| out.put_u16(0));
}
