//! What comes before the first tagged message.

use bytes::BytesMut;
use proptest::prelude::*;
use tenantry_wire::start::{
    Cancel, First, LONGEST_START, Start, StartError, first, options, put_cancel, put_gss, put_ssl, put_start,
};

fn made(put: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    put(&mut out);
    out
}

/// A length word that fits, a version, and a body.
fn raw(version: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes()[..], &version.to_be_bytes(), body].concat()
}

const V3: u32 = 3 << 16;

#[test]
fn requests() {
    assert_eq!(first(&made(put_ssl)), Ok(Some((First::Ssl, 8))));
    assert_eq!(first(&made(put_gss)), Ok(Some((First::Gss, 8))));
    let secret = vec![7; 256];
    let cancel = made(|out| put_cancel(out, -5, &secret));
    assert_eq!(first(&cancel), Ok(Some((First::Cancel(Cancel { pid: -5, secret: secret.into() }), 268))));
    // The bytes of PostgreSQL's documentation.
    assert_eq!(&*made(put_ssl), 80_877_103_u64.wrapping_add(8 << 32).to_be_bytes());
    assert_eq!(&made(|out| put_cancel(out, 1, b"abcd"))[..8], 80_877_102_u64.wrapping_add(16 << 32).to_be_bytes());
    assert_eq!(&*made(put_gss), 80_877_104_u64.wrapping_add(8 << 32).to_be_bytes());
}

#[test]
fn a_session() {
    let bytes = raw(V3 + 2, b"user\0ann\0_pq_.a\0b\0database\0\0\0");
    let Some((First::Start(start), used)) = first(&bytes).unwrap() else { panic!("no start") };
    assert_eq!(used, bytes.len());
    assert_eq!((start.get("user"), start.get("database"), start.get("options")), (Some("ann"), Some(""), None));
    assert_eq!((start.minor, start.spoken(), start.unknown.as_slice()), (2, 2, &["_pq_.a".to_owned()][..]));
    assert!(start.wants_more() && start.takes_long_secrets());
    let newer = Start { minor: 9999, params: Vec::new(), unknown: Vec::new() };
    assert!(newer.wants_more() && newer.spoken() == 2);
    let old = Start { minor: 0, ..newer };
    assert!(!old.wants_more() && !old.takes_long_secrets() && old.spoken() == 0);
}

#[test]
fn what_is_no_start() {
    let cases: [(Vec<u8>, StartError); 19] = [
        (vec![0, 0, 0, 0], StartError::Length(0)),
        (vec![0, 0, 0, 7], StartError::Length(7)),
        (vec![0, 0, 0x27, 0x15], StartError::Length(10_005)),
        (vec![0xff; 4], StartError::Length(u32::MAX)),
        (vec![0x3f, 0xff, 0xff, 0xff], StartError::Length(0x3fff_ffff)),
        (b"GET / HTTP/1.1\r\n".to_vec(), StartError::Length(0x4745_5420)),
        (b"\x16\x03\x01\x02\x00".to_vec(), StartError::Length(0x1603_0102)),
        (raw(2 << 16, b""), StartError::Version { major: 2, minor: 0 }),
        (raw(4 << 16, b"user\0a\0\0"), StartError::Version { major: 4, minor: 0 }),
        (raw(1234 << 16 | 5677, b""), StartError::Version { major: 1234, minor: 5677 }),
        (raw(80_877_103, b"x"), StartError::Length(9)),
        (raw(80_877_102, b"\0\0\0\x01abc"), StartError::Length(15)),
        (raw(80_877_102, &[0; 4 + 257]), StartError::Length(269)),
        (raw(V3, b""), StartError::Layout),
        (raw(V3, b"user\0ann"), StartError::Layout),
        (raw(V3, b"user\0ann\0"), StartError::Layout),
        (raw(V3, b"user\0ann\0\0database\0x\0\0"), StartError::Layout),
        (raw(V3, b"user\0\xff\xfe\0\0"), StartError::NotUtf8),
        (raw(V3, b"user\0ann\0database\0a\0user\0bob\0\0"), StartError::Twice("user".into())),
    ];
    for (bytes, wanted) in cases {
        assert_eq!(first(&bytes), Err(wanted.clone()), "{bytes:?}");
        assert!(!wanted.to_string().is_empty() && wanted.sqlstate().len() == 5);
    }
    // The longest there may be, and one byte more.
    let of = |length: usize| raw(V3, &[b"user\0".as_slice(), &vec![b'x'; length - 11], b"\0\0"].concat());
    let longest = of(LONGEST_START);
    assert!(matches!(first(&longest), Ok(Some((First::Start(_), used))) if used == LONGEST_START + 4));
    assert_eq!(first(&of(LONGEST_START + 1)), Err(StartError::Length(10_005)));
}

#[test]
fn options_as_the_server_reads_them() {
    let cases: [(&str, &[(&str, &str)]); 11] = [
        ("", &[]),
        ("  \t ", &[]),
        ("-c a=b", &[("a", "b")]),
        ("-ca=b", &[("a", "b")]),
        ("--a=b", &[("a", "b")]),
        (
            "--tenantry.tenant=acme  -c  statement-timeout=5s",
            &[("tenantry.tenant", "acme"), ("statement_timeout", "5s")],
        ),
        ("-c a=b\\ c\\\\d", &[("a", "b c\\d")]),
        ("-c a=", &[("a", "")]),
        ("-c a=b=c", &[("a", "b=c")]),
        ("-c a=ä\u{a0}ö", &[("a", "ä\u{a0}ö")]),
        ("\\-c a=b\\", &[("a", "b")]),
    ];
    for (text, wanted) in cases {
        let found = options(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, wanted, "{text}");
    }
    for text in
        ["a=b", "-c", "-c a", "-c =b", "--", "--=b", "--a b", "-e", "-d 5", "-c a=b c", "-C a=b", "- c a=b", "-\\"]
    {
        assert!(matches!(options(text), Err(StartError::Option(_))), "{text}");
    }
    assert_eq!(options(&format!("-c {}", "x".repeat(500))), Err(StartError::Option("x".repeat(64))));
}

fn name() -> impl Strategy<Value = String> {
    "[^\0]{1,20}".prop_filter("not of the protocol", |name| !name.starts_with("_pq_."))
}

proptest! {
    #[test]
    fn starts_round_trip(minor: u16, params in prop::collection::btree_map(name(), "[^\0]{0,30}", 0..20), rest: Vec<u8>) {
        let pairs: Vec<_> = params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut bytes = made(|out| put_start(out, minor, &pairs));
        let whole = bytes.len();
        bytes.extend_from_slice(&rest);
        let wanted = Start { minor, params: params.clone().into_iter().collect(), unknown: Vec::new() };
        prop_assert_eq!(first(&bytes), Ok(Some((First::Start(wanted), whole))));
    }

    #[test]
    fn cancels_round_trip(pid: i32, secret in prop::collection::vec(any::<u8>(), 4..=256)) {
        let bytes = made(|out| put_cancel(out, pid, &secret));
        prop_assert_eq!(first(&bytes), Ok(Some((First::Cancel(Cancel { pid, secret: secret.into() }), bytes.len()))));
    }

    #[test]
    fn a_part_is_never_another_answer(length in 0u32..60, version in prop::sample::select(vec![V3, V3 + 2, 80_877_102, 80_877_103, 2 << 16]), body in prop::collection::vec(prop::sample::select(b"ab\0_pq.\xff".to_vec()), 0..60)) {
        let bytes = [&length.to_be_bytes()[..], &version.to_be_bytes(), &body].concat();
        let all = first(&bytes);
        for end in 0..bytes.len() {
            match first(&bytes[..end]) {
                Ok(None) => {}
                said => prop_assert_eq!(&said, &all),
            }
        }
    }

    #[test]
    fn anything_is_a_start_or_not(bytes: Vec<u8>, text in "\\PC{0,60}") {
        let _ = first(&bytes);
        let _ = first(&raw(V3, &bytes));
        let _ = options(&text);
    }

    #[test]
    fn options_round_trip(settings in prop::collection::vec(("[a-z_]{1,9}(\\.[a-z]{1,5})?", "[^\0]{0,20}"), 0..6)) {
        let escape = |value: &str| value.chars().flat_map(|c| ['\\', c]).collect::<String>();
        let text: Vec<_> = settings.iter().map(|(name, value)| format!("-c {name}={}", escape(value))).collect();
        prop_assert_eq!(options(&text.join(" ")), Ok(settings));
    }
}
