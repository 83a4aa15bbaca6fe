//! A client's messages. Texts end at their first zero.

use bytes::{BufMut as _, BytesMut};

use super::{BIND, CLOSE, DESCRIBE, EXECUTE, FLUSH, Kind, PARSE, PASSWORD, QUERY, SYNC, TERMINATE};
use crate::write::{counted_items, frame, text, value};

/// How a value is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// As PostgreSQL would print it.
    #[default]
    Text,
    /// As the type's `send` function writes it.
    Binary,
}

/// Prepares a statement. `types` are as in [`super::Parse`]; empty says that the server finds them.
pub fn put_parse(out: &mut BytesMut, name: &[u8], query: &[u8], types: &[u8]) {
    frame(out, PARSE, |out| {
        text(out, name);
        text(out, query);
        if types.is_empty() {
            out.put_u16(0);
        } else {
            out.put_slice(types);
        }
    });
}

/// Makes a portal of a statement without parameters; results come as text.
pub fn put_bind(out: &mut BytesMut, portal: &[u8], statement: &[u8]) {
    put_bind_params(out, portal, statement, &[], &[]);
}

/// Makes a portal of a statement; results come as text. `formats` are those of the parameters in their order: none for
/// all as text, one for all alike. At most 65,535 parameters can be told; more are left out, which the server refuses.
pub fn put_bind_params(
    out: &mut BytesMut,
    portal: &[u8],
    statement: &[u8],
    params: &[Option<&[u8]>],
    formats: &[Format],
) {
    frame(out, BIND, |out| {
        text(out, portal);
        text(out, statement);
        counted_items(out, formats, |out, format| {
            out.put_u16(match format {
                Format::Text => 0,
                Format::Binary => 1,
            });
        });
        counted_items(out, params, |out, param| value(out, *param));
        out.put_u16(0);
    });
}

/// Runs a portal to its end.
pub fn put_execute(out: &mut BytesMut, portal: &[u8]) {
    frame(out, EXECUTE, |out| {
        text(out, portal);
        out.put_i32(0);
    });
}

/// Asks what a statement takes and gives, or what a portal gives.
pub fn put_describe(out: &mut BytesMut, kind: Kind, name: &[u8]) {
    put_named(out, DESCRIBE, kind, name);
}

/// Gives a statement or portal up.
pub fn put_close(out: &mut BytesMut, kind: Kind, name: &[u8]) {
    put_named(out, CLOSE, kind, name);
}

fn put_named(out: &mut BytesMut, tag: u8, kind: Kind, name: &[u8]) {
    frame(out, tag, |out| {
        out.put_u8(match kind {
            Kind::Statement => b'S',
            Kind::Portal => b'P',
        });
        text(out, name);
    });
}

/// Ends a pipeline and its implicit transaction.
pub fn put_sync(out: &mut BytesMut) {
    frame(out, SYNC, |_| ());
}

/// Asks for the answers so far.
pub fn put_flush(out: &mut BytesMut) {
    frame(out, FLUSH, |_| ());
}

/// A simple query.
pub fn put_query(out: &mut BytesMut, query: &[u8]) {
    frame(out, QUERY, |out| text(out, query));
}

/// Says goodbye.
pub fn put_terminate(out: &mut BytesMut) {
    frame(out, TERMINATE, |_| ());
}

/// A password as it is.
pub fn put_password(out: &mut BytesMut, password: &[u8]) {
    frame(out, PASSWORD, |out| text(out, password));
}

/// Begins SASL.
pub fn put_sasl_initial(out: &mut BytesMut, mechanism: &[u8], data: &[u8]) {
    frame(out, PASSWORD, |out| {
        text(out, mechanism);
        value(out, Some(data));
    });
}

/// Goes on with SASL.
pub fn put_sasl_response(out: &mut BytesMut, data: &[u8]) {
    frame(out, PASSWORD, |out| out.put_slice(data));
}
