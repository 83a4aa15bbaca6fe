//! Conversations as clients and servers have them, damaged in every way: nothing panics, nothing grows, and what is read
//! of a message never reaches behind it.

use bytes::BytesMut;
use tenantry_wire::client::{self, Format, Kind};
use tenantry_wire::server::{self, Report, Severity, Status};
use tenantry_wire::{frame, start, words};

const MAX: usize = 1 << 16;

/// Reads a body as each message that it could be.
pub fn read_all(body: &[u8]) {
    let _ = client::parse(body).map(|parse| {
        assert!(parse.name.len() + parse.query.len() + parse.types.len() <= body.len());
        words::lead(parse.query) == words::Lead::Empty
    });
    let _ = client::bind(body).map(|bind| assert!(bind.rest.len() < body.len()));
    let _ = client::named(body);
    let _ = client::execute(body);
    let _ = client::password(body);
    let _ = client::sasl_initial(body);
    if let Ok(query) = client::query(body) {
        let length: usize = words::statements(query).map(<[u8]>::len).sum();
        assert!(length <= query.len());
    }
    let _ = server::ready(body);
    let _ = server::command(body);
    let _ = server::parameter(body);
    let _ = server::key(body);
    let _ = server::auth(body);
    let _ = server::sqlstate(body);
    assert!(server::fields(body).map(|(_, text)| text.len() + 2).sum::<usize>() <= body.len());
    if let Ok(row) = server::row(body) {
        assert!(row.flatten().map(<[u8]>::len).sum::<usize>() <= body.len());
    }
}

/// What psql, drivers and a server say to each other, one stream for each side.
fn conversations() -> Vec<BytesMut> {
    let mut simple = BytesMut::new();
    start::put_ssl(&mut simple);
    start::put_start(&mut simple, 2, &[("user", "ann"), ("database", "acme"), ("options", "-c tenantry.tenant=acme")]);
    client::put_sasl_initial(&mut simple, b"SCRAM-SHA-256", b"n,,n=,r=fyko+d2lbbFgONRv9qkxdawL");
    client::put_sasl_response(
        &mut simple,
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    );
    client::put_query(
        &mut simple,
        b"BEGIN; SET LOCAL search_path TO x; SELECT 'a;b', $q$ ; $q$, E'\\'' /* ; */; COMMIT AND CHAIN",
    );
    client::put_terminate(&mut simple);
    let mut extended = BytesMut::new();
    start::put_start(&mut extended, 0, &[("user", "ann")]);
    client::put_password(&mut extended, b"secret");
    client::put_parse(&mut extended, b"s1", b"insert into t values ($1, $2)", b"\0\x02\0\0\0\x17\0\0\0\x19");
    client::put_describe(&mut extended, Kind::Statement, b"s1");
    client::put_bind_params(&mut extended, b"", b"s1", &[Some(b"\0\0\0\x01"), None], &[Format::Binary]);
    client::put_execute(&mut extended, b"");
    client::put_close(&mut extended, Kind::Statement, b"s1");
    client::put_parse(&mut extended, b"", b"deallocate \"s\"\"1\"", b"");
    client::put_flush(&mut extended);
    client::put_sync(&mut extended);
    let mut answers = BytesMut::new();
    server::put_auth_sasl(&mut answers, &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
    server::put_auth_sasl_continue(
        &mut answers,
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    );
    server::put_auth_sasl_final(&mut answers, b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    server::put_auth_ok(&mut answers);
    server::put_negotiate(&mut answers, 2, &["_pq_.more".to_owned()]);
    server::put_parameter(&mut answers, b"TimeZone", b"UTC");
    server::put_key(&mut answers, 4711, &[9; 32]);
    server::put_ready(&mut answers, Status::Idle);
    server::put_columns(&mut answers, &["a", "b"]);
    server::put_row(&mut answers, &[Some(b"x"), None]);
    server::put_command(&mut answers, b"SELECT 1");
    let report =
        Report { severity: Severity::Error, code: "TN001", message: "stale", detail: Some("d"), hint: Some("h") };
    server::put_error(&mut answers, &report);
    server::put_ready(&mut answers, Status::Failed);
    vec![simple, extended, answers]
}

/// A stream is read to its end, or to the first thing that nobody would take.
fn converse(mut bytes: &[u8]) -> usize {
    let mut messages = 0;
    for _ in 0..3 {
        let Ok(Some((first, used))) = start::first(bytes) else { break };
        assert!((8..=start::LONGEST_START + 4).contains(&used));
        if let start::First::Start(start) = &first {
            let _ = start.get("options").map(start::options);
        }
        bytes = &bytes[used..];
        messages += 1;
    }
    while let Ok(Some(message)) = frame::whole(bytes, MAX) {
        read_all(message.body);
        bytes = &bytes[message.len..];
        messages += 1;
    }
    messages
}

/// Numbers without a source of chance, so that a failure can be repeated.
pub struct Dice(pub u64);

/// How often something is tried: so often, or as `GATEWAY_FUZZ` says.
pub fn rounds(usual: usize) -> usize {
    std::env::var("GATEWAY_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

impl Dice {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len());
    let spans = [0, 1, 2, 4, 7, 0xff];
    match dice.below(7) {
        _ if bytes.is_empty() => bytes.push(0),
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = [0, 1, 4, 0x7f, 0x80, 0xff, b'\'', b'"', b'$', b';', b'\\'][dice.below(11)],
        2 => bytes.truncate(at),
        3 => {
            bytes.remove(at);
        }
        4 => {
            let end = (at + spans[dice.below(6)]).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        5 => {
            let length = u32::try_from([0, 3, 4, 5, 1 << 16, 1 << 30, 0x7fff_ffff, 0xffff_ffff_usize][dice.below(8)]);
            let end = (at + 4).min(bytes.len());
            bytes.splice(at..end, length.unwrap().to_be_bytes());
        }
        _ => bytes.insert(at, u8::try_from(dice.below(256)).unwrap()),
    }
}

#[test]
fn damaged_conversations() {
    let sound = conversations();
    let counts: Vec<_> = sound.iter().map(|bytes| converse(bytes)).collect();
    assert_eq!(counts, [6, 10, 13]);
    let mut dice = Dice(7);
    let mut different = 0;
    for round in 0..rounds(40_000) {
        let mut bytes = sound[round % sound.len()].to_vec();
        if dice.below(4) == 0 {
            // The beginning of one and the end of another.
            let other = &sound[dice.below(sound.len())];
            bytes.truncate(dice.below(bytes.len()));
            bytes.extend_from_slice(&other[dice.below(other.len())..]);
        }
        for _ in 0..=dice.below(6) {
            damage(&mut bytes, &mut dice);
        }
        different += usize::from(converse(&bytes) != counts[round % sound.len()]);
    }
    // Otherwise nothing was damaged.
    assert!(different > 10_000, "{different}");
}

#[test]
fn every_beginning_of_a_conversation() {
    for bytes in conversations() {
        for end in 0..bytes.len() {
            converse(&bytes[..end]);
        }
        for begin in 0..bytes.len() {
            converse(&bytes[begin..]);
        }
    }
}
