//! What one side writes, the other reads.

use bytes::BytesMut;
use proptest::prelude::*;
use tenantry_wire::client::{self, Bind, Format, Kind, Named, Parse, SaslInitial};
use tenantry_wire::server::{self, Auth, Report, Severity, Status};
use tenantry_wire::{BodyError, frame};

/// The one message that was put, taken apart.
fn made(put: impl FnOnce(&mut BytesMut)) -> (u8, Vec<u8>) {
    let mut out = BytesMut::from(&b"before"[..]);
    put(&mut out);
    let bytes = &out[6..];
    let found = frame::whole(bytes, usize::MAX).unwrap().unwrap();
    assert_eq!(found.len, bytes.len());
    (found.tag, found.body.to_vec())
}

#[test]
fn bytes_as_the_documentation_has_them() {
    let mut out = BytesMut::new();
    client::put_sync(&mut out);
    client::put_flush(&mut out);
    client::put_terminate(&mut out);
    client::put_query(&mut out, b"x");
    client::put_parse(&mut out, b"a", b"b", b"");
    client::put_parse(&mut out, b"", b"b", b"\0\x01\0\0\0\x17");
    client::put_bind(&mut out, b"p", b"s");
    client::put_execute(&mut out, b"");
    client::put_describe(&mut out, Kind::Portal, b"");
    client::put_close(&mut out, Kind::Statement, b"s");
    client::put_password(&mut out, b"pw");
    client::put_sasl_initial(&mut out, b"M", b"d");
    client::put_sasl_response(&mut out, b"d");
    client::put_bind_params(&mut out, b"", b"", &[Some(b"1"), None], &[Format::Binary, Format::Text]);
    let wanted: &[&[u8]] = &[
        b"S\0\0\0\x04",
        b"H\0\0\0\x04",
        b"X\0\0\0\x04",
        b"Q\0\0\0\x06x\0",
        b"P\0\0\0\x0aa\0b\0\0\0",
        b"P\0\0\0\x0d\0b\0\0\x01\0\0\0\x17",
        b"B\0\0\0\x0ep\0s\0\0\0\0\0\0\0",
        b"E\0\0\0\x09\0\0\0\0\0",
        b"D\0\0\0\x06P\0",
        b"C\0\0\0\x07Ss\0",
        b"p\0\0\0\x07pw\0",
        b"p\0\0\0\x0bM\0\0\0\0\x01d",
        b"p\0\0\0\x05d",
        b"B\0\0\0\x19\0\0\0\x02\0\x01\0\0\0\x02\0\0\0\x011\xff\xff\xff\xff\0\0",
    ];
    assert_eq!(&out[..], wanted.concat());
    let mut out = BytesMut::new();
    server::put_auth_ok(&mut out);
    server::put_auth_sasl(&mut out, &["A", "", "B"]);
    server::put_ready(&mut out, Status::Idle);
    server::put_negotiate(&mut out, 2, &["_pq_.x".to_owned()]);
    server::put_columns(&mut out, &["a"]);
    server::put_row(&mut out, &[Some(b"x"), None]);
    server::put_empty(&mut out);
    server::put_parse_complete(&mut out);
    server::put_bind_complete(&mut out);
    server::put_close_complete(&mut out);
    server::put_no_data(&mut out);
    server::put_parameter_description(&mut out);
    let report = Report { severity: Severity::Fatal, code: "28000", message: "no", detail: None, hint: Some("go") };
    server::put_error(&mut out, &report);
    let wanted: &[&[u8]] = &[
        b"R\0\0\0\x08\0\0\0\0",
        b"R\0\0\0\x0d\0\0\0\x0aA\0B\0\0",
        b"Z\0\0\0\x05I",
        b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.x\0",
        b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
        b"D\0\0\0\x0f\0\x02\0\0\0\x01x\xff\xff\xff\xff",
        b"I\0\0\0\x04",
        b"1\0\0\0\x04",
        b"2\0\0\0\x04",
        b"3\0\0\0\x04",
        b"n\0\0\0\x04",
        b"t\0\0\0\x06\0\0",
        b"E\0\0\0\x22SFATAL\0VFATAL\0C28000\0Mno\0Hgo\0\0",
    ];
    assert_eq!(&out[..], wanted.concat());
}

#[test]
fn a_zero_ends_a_text_and_makes_no_message() {
    let (_, body) = made(|out| client::put_query(out, b"select 1\0X\0\0\0\x04"));
    assert_eq!(client::query(&body), Ok(&b"select 1"[..]));
    let (_, body) = made(|out| client::put_parse(out, b"a\0b", b"c\0d", b""));
    assert_eq!(client::parse(&body), Ok(Parse { name: b"a", query: b"c", types: b"\0\0" }));
    let report = Report { severity: Severity::Error, code: "00\u{0}000", message: "a\0Zb", detail: None, hint: None };
    let (_, body) = made(|out| server::put_error(out, &report));
    assert_eq!(server::fields(&body).last(), Some((b'M', &b"a"[..])));
}

#[test]
fn what_is_malformed_is_refused() {
    use BodyError::{Count, Kind as Letter, Short, Trailing, Unterminated};
    assert_eq!(client::query(b""), Err(Unterminated));
    assert_eq!(client::query(b"select 1"), Err(Unterminated));
    assert_eq!(client::query(b"select 1\0 drop\0"), Err(Trailing));
    assert_eq!(client::password(b"a\0b"), Err(Trailing));
    assert_eq!(client::parse(b"a\0b\0"), Err(Short));
    assert_eq!(client::parse(b"a\0b\0\0\x01\0\0"), Err(Short));
    assert_eq!(client::parse(b"a\0b\0\xff\xff"), Err(Short));
    assert_eq!(client::parse(b"a\0b\0\0\0x"), Err(Trailing));
    assert_eq!(client::parse(b"a\0b"), Err(Unterminated));
    assert_eq!(client::bind(b"a\0b"), Err(Unterminated));
    assert_eq!(client::named(b""), Err(Short));
    assert_eq!(client::named(b"Xa\0"), Err(Letter(b'X')));
    assert_eq!(client::named(b"Sa"), Err(Unterminated));
    assert_eq!(client::named(b"Sa\0b"), Err(Trailing));
    assert_eq!(client::execute(b"a\0\0\0\0"), Err(Short));
    assert_eq!(client::execute(b"a\0\0\0\0\0\0"), Err(Trailing));
    assert_eq!(client::sasl_initial(b"M\0\x7f\xff\xff\xffx"), Err(Short));
    assert_eq!(client::sasl_initial(b"M\0\xff\xff\xff\xfex"), Err(Count));
    assert_eq!(client::sasl_initial(b"M\0\0\0\0\0x"), Err(Trailing));
    assert_eq!(client::sasl_initial(b"M\0\xff\xff\xff\xff"), Ok(SaslInitial { mechanism: b"M", data: None }));
    assert_eq!(server::ready(b"X"), Err(Letter(b'X')));
    assert_eq!(server::ready(b"II"), Err(Trailing));
    assert_eq!(server::ready(b""), Err(Short));
    assert_eq!(server::key(b"\0\0\0\x01abc"), Err(Count));
    assert_eq!(server::key(&[0; 4 + 257]), Err(Count));
    assert_eq!(server::auth(b"\0\0\0\0x"), Err(Trailing));
    assert_eq!(server::auth(b"\0\0\0\x05abc"), Err(Short));
    assert_eq!(server::auth(b"\0\0\0\x0aA\0B\0"), Err(Unterminated));
    assert_eq!(server::auth(&[b"\0\0\0\x0a".as_slice(), &b"A\0".repeat(17), b"\0"].concat()), Err(Count));
    assert_eq!(server::auth(b"\0\0\0\x07\x01"), Ok(Auth::Other(7)));
    assert_eq!(server::row(b"\0\x01\0\0\0\x02x").map(Iterator::count), Err(Short));
    assert_eq!(server::row(b"\0\x01\xff\xff\xff\xfe").map(Iterator::count), Err(Count));
    assert_eq!(server::row(b"\0\0x").map(Iterator::count), Err(Trailing));
    assert_eq!(server::row(b"\xff\xff").map(Iterator::count), Err(Short));
    // What is left of a broken report is read up to the break.
    assert_eq!(server::fields(b"SERROR\0C42P01\0Mhalf").count(), 2);
    assert_eq!(server::sqlstate(b"SERROR\0C42P01\0Mhalf"), Some(&b"42P01"[..]));
    assert_eq!(server::fields(b"\0SERROR\0").count(), 0);
    assert_eq!(server::fields(&b"Sx\0".repeat(1000)).count(), 64);
}

/// A text without zeros.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1u8..=255, 0..40)
}

fn blob() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..60)
}

proptest! {
    #[test]
    fn clients_round_trip(a in text(), b in text(), numbers in prop::collection::vec(any::<u32>(), 0..9), data in blob()) {
        let count = u16::try_from(numbers.len()).unwrap().to_be_bytes();
        let types: Vec<u8> = count.into_iter().chain(numbers.iter().flat_map(|number| number.to_be_bytes())).collect();
        let (tag, body) = made(|out| client::put_parse(out, &a, &b, &types));
        prop_assert_eq!((tag, client::parse(&body)), (client::PARSE, Ok(Parse { name: &a, query: &b, types: &types })));
        let (tag, body) = made(|out| client::put_query(out, &a));
        prop_assert_eq!((tag, client::query(&body)), (client::QUERY, Ok(&a[..])));
        let (tag, body) = made(|out| client::put_execute(out, &a));
        prop_assert_eq!((tag, client::execute(&body)), (client::EXECUTE, Ok(&a[..])));
        let (tag, body) = made(|out| client::put_describe(out, Kind::Statement, &a));
        prop_assert_eq!((tag, client::named(&body)), (client::DESCRIBE, Ok(Named { kind: Kind::Statement, name: &a })));
        let (tag, body) = made(|out| client::put_close(out, Kind::Portal, &a));
        prop_assert_eq!((tag, client::named(&body)), (client::CLOSE, Ok(Named { kind: Kind::Portal, name: &a })));
        let (tag, body) = made(|out| client::put_password(out, &a));
        prop_assert_eq!((tag, client::password(&body)), (client::PASSWORD, Ok(&a[..])));
        let (tag, body) = made(|out| client::put_sasl_initial(out, &a, &data));
        prop_assert_eq!((tag, client::sasl_initial(&body)), (client::PASSWORD, Ok(SaslInitial { mechanism: &a, data: Some(&data) })));
        let (tag, body) = made(|out| client::put_bind_params(out, &a, &b, &[Some(&data)], &[Format::Binary]));
        // Any beginning that holds both names says the same.
        let names = a.len() + b.len() + 2;
        for end in 0..=body.len() {
            match client::bind(&body[..end]) {
                Ok(bind) => {
                    prop_assert!(end >= names);
                    prop_assert_eq!(bind, Bind { portal: &a, statement: &b, rest: &body[names..end] });
                }
                Err(error) => prop_assert_eq!((error, end < names), (BodyError::Unterminated, true)),
            }
        }
        prop_assert_eq!(tag, client::BIND);
    }

    #[test]
    fn servers_round_trip(a in text(), b in text(), pid: i32, secret in prop::collection::vec(any::<u8>(), 4..=256), data in blob(),
                          values in prop::collection::vec(prop::option::of(blob()), 0..9), said in "[^\0]{1,30}") {
        for status in [Status::Idle, Status::Open, Status::Failed] {
            let (tag, body) = made(|out| server::put_ready(out, status));
            prop_assert_eq!((tag, server::ready(&body)), (server::READY, Ok(status)));
        }
        let (tag, body) = made(|out| server::put_command(out, &a));
        prop_assert_eq!((tag, server::command(&body)), (server::COMMAND, Ok(&a[..])));
        let (tag, body) = made(|out| server::put_parameter(out, &a, &b));
        prop_assert_eq!((tag, server::parameter(&body)), (server::PARAMETER, Ok((&a[..], &b[..]))));
        let (tag, body) = made(|out| server::put_key(out, pid, &secret));
        prop_assert_eq!((tag, server::key(&body)), (server::KEY, Ok((pid, &secret[..]))));
        let (_, body) = made(|out| server::put_auth_sasl_continue(out, &data));
        prop_assert_eq!(server::auth(&body), Ok(Auth::SaslContinue(&data)));
        let (_, body) = made(|out| server::put_auth_sasl_final(out, &data));
        prop_assert_eq!(server::auth(&body), Ok(Auth::SaslFinal(&data)));
        let (_, body) = made(server::put_auth_cleartext);
        prop_assert_eq!(server::auth(&body), Ok(Auth::Cleartext));
        let (tag, body) = made(|out| server::put_auth_sasl(out, &[&said, "x"]));
        prop_assert_eq!((tag, server::auth(&body)), (server::AUTH, Ok(Auth::Sasl(vec![said.as_bytes(), b"x"]))));
        let given: Vec<_> = values.iter().map(Option::as_deref).collect();
        let (tag, body) = made(|out| server::put_row(out, &given));
        prop_assert_eq!((tag, server::row(&body).map(Iterator::collect::<Vec<_>>)), (server::ROW, Ok(given)));
        let report = Report { severity: Severity::Warning, code: "01000", message: &said, detail: Some(&said), hint: None };
        let (tag, body) = made(|out| server::put_notice(out, &report));
        prop_assert_eq!((tag, server::sqlstate(&body)), (server::NOTICE, Some(&b"01000"[..])));
        let letters: Vec<_> = server::fields(&body).map(|(letter, _)| letter).collect();
        prop_assert_eq!(letters, b"SVCMD");
    }

    #[test]
    fn any_body_is_read_or_refused(body in blob(), number in 0i32..14) {
        crate::mutants::read_all(&body);
        crate::mutants::read_all(&[&number.to_be_bytes()[..], &body].concat());
    }
}
