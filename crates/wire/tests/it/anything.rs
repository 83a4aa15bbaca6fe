//! Arbitrary bytes for every reader: nothing panics, what is given back lies inside of what was given, and what is accepted
//! has one meaning, namely the message that is written back byte for byte.
//!
//! `GATEWAY_FUZZ` is how many bodies are tried.

use bytes::BytesMut;
use tenantry_wire::client::{self, Kind};
use tenantry_wire::{frame, server, start, words};

use crate::mutants::{Dice, rounds};

/// A body that is right for some message more often than chance makes one.
fn body(dice: &mut Dice) -> Vec<u8> {
    const PARTS: [&[u8]; 24] = [
        b"\0",
        b"\0",
        b"\0\0",
        b"\0\x01",
        b"\0\x02",
        b"\xff\xff",
        b"\0\0\0\x01",
        b"\0\0\0\x02",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\xfe",
        b"\x7f\xff\xff\xff",
        b"S",
        b"P",
        b"I",
        b"a",
        b"ab",
        b"user",
        b"SELECT 1",
        b"SCRAM-SHA-256",
        b"_pq_.x",
        b"\xc3\xa4",
        b"\xff",
        b"; ",
    ];
    let mut bytes = Vec::new();
    for _ in 0..dice.below(10) {
        if dice.below(8) == 0 {
            bytes.push(u8::try_from(dice.below(256)).unwrap());
        } else {
            bytes.extend_from_slice(PARTS[dice.below(PARTS.len())]);
        }
    }
    bytes
}

/// Whether a part was cut out of the whole, and not made up.
fn inside(whole: &[u8], part: &[u8]) {
    let (whole, range) = (whole.as_ptr_range(), part.as_ptr_range());
    assert!(part.is_empty() || whole.start <= range.start && range.end <= whole.end);
}

/// The body of the message that is written.
fn written(put: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    put(&mut out);
    let message = frame::whole(&out, 1 << 20).unwrap().unwrap();
    assert_eq!(message.len, out.len());
    message.body.to_vec()
}

/// How many readers took it.
fn of_a_client(body: &[u8]) -> usize {
    let mut taken = 0;
    if let Ok(parse) = client::parse(body) {
        [parse.name, parse.query, parse.types].iter().for_each(|part| inside(body, part));
        assert_eq!(written(|out| client::put_parse(out, parse.name, parse.query, parse.types)), body);
        taken += 1;
    }
    if let Ok(bind) = client::bind(body) {
        [bind.portal, bind.statement, bind.rest].iter().for_each(|part| inside(body, part));
        assert_eq!([bind.portal, b"\0", bind.statement, b"\0", bind.rest].concat(), body);
        taken += 1;
    }
    if let Ok(named) = client::named(body) {
        inside(body, named.name);
        assert_eq!(written(|out| client::put_describe(out, named.kind, named.name)), body);
        assert_eq!(body[0] == b'S', named.kind == Kind::Statement);
        taken += 1;
    }
    if let Ok(portal) = client::execute(body) {
        inside(body, portal);
        assert_eq!((&body[..portal.len()], body.len()), (portal, portal.len() + 5));
        taken += 1;
    }
    if let Ok(query) = client::query(body) {
        assert_eq!(written(|out| client::put_query(out, query)), body);
        assert_eq!(client::password(body), Ok(query));
        let mut end = query.as_ptr();
        for statement in words::statements(query) {
            inside(query, statement);
            // One behind the other, none twice.
            assert!(statement.as_ptr() >= end);
            end = statement.as_ptr_range().end;
            let _ = words::lead(statement);
        }
        taken += 1;
    }
    if let Ok(first) = client::sasl_initial(body) {
        inside(body, first.mechanism);
        match first.data {
            Some(data) => assert_eq!(written(|out| client::put_sasl_initial(out, first.mechanism, data)), body),
            None => assert_eq!([first.mechanism, b"\0\xff\xff\xff\xff"].concat(), body),
        }
        taken += 1;
    }
    taken
}

fn of_a_server(body: &[u8]) -> usize {
    let mut taken = 0;
    if let Ok(status) = server::ready(body) {
        assert_eq!(written(|out| server::put_ready(out, status)), body);
        taken += 1;
    }
    if let Ok(tag) = server::command(body) {
        assert_eq!(written(|out| server::put_command(out, tag)), body);
        taken += 1;
    }
    if let Ok((name, value)) = server::parameter(body) {
        assert_eq!(written(|out| server::put_parameter(out, name, value)), body);
        taken += 1;
    }
    if let Ok((pid, secret)) = server::key(body) {
        assert_eq!(written(|out| server::put_key(out, pid, secret)), body);
        taken += 1;
    }
    if let Ok(row) = server::row(body) {
        let values: Vec<_> = row.collect();
        values.iter().flatten().for_each(|value| inside(body, value));
        taken += 1;
    }
    let _ = server::auth(body);
    let _ = server::sqlstate(body);
    server::fields(body).for_each(|(_, text)| inside(body, text));
    taken
}

fn of_a_start(bytes: &[u8]) -> usize {
    let Ok(Some((first, used))) = start::first(bytes) else { return 0 };
    assert!(used <= bytes.len());
    let mut out = BytesMut::new();
    match first {
        start::First::Ssl => start::put_ssl(&mut out),
        start::First::Gss => start::put_gss(&mut out),
        start::First::Cancel(cancel) => start::put_cancel(&mut out, cancel.pid, &cancel.secret),
        start::First::Start(start) => {
            let _ = start.get("options").map(start::options);
            if !start.unknown.is_empty() {
                return 1;
            }
            let params: Vec<_> = start.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            start::put_start(&mut out, start.minor, &params);
        }
    }
    assert_eq!(out, bytes[..used]);
    1
}

#[test]
fn whatever_is_accepted_has_one_meaning() {
    let mut dice = Dice(20_261_122);
    let mut taken = [0; 3];
    let rounds = rounds(60_000);
    for _ in 0..rounds {
        let body = body(&mut dice);
        taken[0] += of_a_client(&body);
        taken[1] += of_a_server(&body);
        let version: u32 = [3 << 16, (3 << 16) + 2, 80_877_102, 80_877_103, 80_877_104, 2 << 16][dice.below(6)];
        let length = u32::try_from(body.len() + 8).unwrap();
        let mut bytes = [&length.to_be_bytes()[..], &version.to_be_bytes(), &body].concat();
        if dice.below(4) == 0 {
            bytes.push(0);
        }
        taken[2] += of_a_start(&bytes);
    }
    println!("of {rounds} bodies {taken:?} were taken");
    // Otherwise nothing was tried but refusals.
    assert!(taken.iter().all(|count| *count > rounds / 20), "{taken:?}");
}
