//! Before the login: lengths, requests for encryption, versions, parameters, cancel requests.

use std::time::Duration;

use bytes::BytesMut;
use tenantry_wire::{client, frame, server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Stand, leaks};
use crate::raw::{Message, Raw, code, encrypt, tags};

const V3: u32 = 3 << 16;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;
/// Long enough for an answer that would come at once.
const MOMENT: Duration = Duration::from_millis(150);

/// What is answered: first these single letters, then …
#[derive(Clone, Copy, Debug)]
enum Want {
    /// … nothing; the connection is closed.
    Closed(&'static str),
    /// … a fatal error with this code, and the connection is closed.
    Code(&'static str, &'static str),
    /// … the question for a proof, after other messages of these kinds.
    Asked(&'static str, &'static str),
    /// … nothing, until more comes.
    Waits,
    /// … TLS says that this is none, and the connection is closed.
    NoTls(&'static str),
}

use Want::{Asked, Closed, Code, NoTls, Waits};

/// A start with this version, of the right length.
fn start(version: u32, body: &[u8]) -> Vec<u8> {
    claimed(u32::try_from(body.len() + 8).unwrap(), version, body)
}

fn claimed(length: u32, version: u32, body: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], &version.to_be_bytes(), body].concat()
}

fn user(rest: &[u8]) -> Vec<u8> {
    start(V3, &[b"user\0shared_0\0", rest, b"\0"].concat())
}

fn lengths() -> Vec<(String, Vec<u8>, Want)> {
    let mut cases = Vec::new();
    for length in [0, 1, 2, 3, 4, 5, 6, 7, 10_005, 65_536, 1 << 30, i32::MAX as u32, 1 << 31, u32::MAX] {
        cases.push((format!("length {length}"), claimed(length, V3, b"user\0shared_0\0\0"), Closed("")));
    }
    let head = |length: u32| length.to_be_bytes().to_vec();
    cases.push(("a length and nothing more".to_owned(), head(100), Waits));
    cases.push(("half a length".to_owned(), vec![0, 0], Waits));
    cases.push(("nothing at all".to_owned(), Vec::new(), Waits));
    cases.push(("one byte less than it says".to_owned(), claimed(30, V3, b"user\0shared_0\0\0"), Waits));
    cases.push(("a request of the web".to_owned(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), Closed("")));
    cases.push(("zeros".to_owned(), vec![0; 4096], Closed("")));
    cases
}

fn versions_and_parameters() -> Vec<(&'static str, Vec<u8>, Want)> {
    let distinct = |count: usize| (0..count).flat_map(|n| format!("{n:04}\0x\0").into_bytes()).collect::<Vec<u8>>();
    vec![
        ("protocol 2.0", start(2 << 16, b"user\0shared_0\0\0"), Code("", "0A000")),
        ("protocol 4.0", start(4 << 16, b"user\0shared_0\0\0"), Code("", "0A000")),
        ("protocol 0.0", start(0, b"user\0shared_0\0\0"), Code("", "0A000")),
        ("protocol 65535.65535", start(u32::MAX, b"user\0shared_0\0\0"), Code("", "0A000")),
        ("a request nobody knows", start(1234 << 16 | 5677, b""), Code("", "0A000")),
        ("protocol 3.99", start(V3 + 99, b"user\0shared_0\0\0"), Asked("", "v")),
        ("options of the protocol", user(b"_pq_.a\x001\0_pq_.b\x002\0"), Asked("", "v")),
        ("options of the protocol, given twice", user(b"_pq_.a\x001\0_pq_.a\x002\0"), Asked("", "v")),
        ("a version and nothing more", start(V3, b""), Code("", "08P01")),
        ("no user", start(V3, b"\0"), Code("", "28000")),
        ("an empty user", start(V3, b"user\0\0\0"), Code("", "28000")),
        ("a user with a different name of its key", start(V3, b"USER\0shared_0\0\0"), Code("", "28000")),
        ("two users", user(b"user\0shared_1\0"), Code("", "08P01")),
        ("two databases", user(b"database\0shared-0\0database\0shared-1\0"), Code("", "08P01")),
        ("a name without a value", start(V3, b"user\0shared_0\0database\0"), Code("", "08P01")),
        ("no end", start(V3, b"user\0shared_0"), Code("", "08P01")),
        ("more behind the end", start(V3, b"user\0shared_0\0\0database\0shared-1\0\0"), Code("", "08P01")),
        ("zeros behind the end", start(V3, b"user\0shared_0\0\0\0\0\0"), Code("", "08P01")),
        ("a name that is not UTF-8", start(V3, b"user\0\xff\xfe\0\0"), Code("", "22021")),
        ("a value that is not UTF-8", user(b"database\0\xc0\xaf\0"), Code("", "22021")),
        ("1,200 parameters", user(&distinct(1200)), Code("", "42501")),
        ("10,000 parameters", user(&distinct(10_000)), Closed("")),
        ("replication", user(b"replication\0true\0"), Code("", "0A000")),
        ("replication of a database", user(b"replication\0database\0"), Code("", "0A000")),
        ("no replication", user(b"replication\0off\0"), Asked("", "")),
        ("a search path", user(b"search_path\0public\0"), Code("", "42501")),
        ("a role in the options", user(b"options\0-c role=postgres\0"), Code("", "42501")),
        ("a switch of the server", user(b"options\0-d 5\0"), Code("", "42601")),
        ("options of dashes", user(&[b"options\0".as_slice(), &[b'-'; 9000], b"\0"].concat()), Code("", "42601")),
        ("a user of 9,000 letters", start(V3, &[b"user\0".as_slice(), &[b'x'; 9000], b"\0\0"].concat()), Asked("", "")),
        ("a user of many lines", start(V3, b"user\0a\nFATAL: b\r\x1b[2J'; DROP\0\0"), Asked("", "")),
        ("a database like a statement", user(b"database\0x\"; SELECT 1; --\0"), Asked("", "")),
    ]
}

fn requests(has_tls: bool) -> Vec<(&'static str, Vec<u8>, Want)> {
    let (ssl, gss) = (start(SSL, b""), start(GSS, b""));
    let cancel = |secret: &[u8]| start(CANCEL, &[&[1, 2, 3, 4][..], secret].concat());
    let mut cases = vec![
        ("encryption by Kerberos, again and again", gss.repeat(100), Code("N", "08P01")),
        ("encryption by Kerberos, then a start", [gss.clone(), user(b"")].concat(), Asked("N", "")),
        ("a request for TLS with a byte too much", start(SSL, b"x"), Code("", "08P01")),
        ("a cancel request without a secret", cancel(b""), Code("", "08P01")),
        ("a cancel request with half a secret", cancel(b"abc"), Code("", "08P01")),
        ("a cancel request with a secret of 257 bytes", cancel(&[7; 257]), Code("", "08P01")),
        ("a cancel request without anything", start(CANCEL, b""), Code("", "08P01")),
        ("a cancel request of nobody", cancel(b"abcd"), Closed("")),
        ("a cancel request of nobody, long", cancel(&[7; 256]), Closed("")),
        ("a cancel request with a start behind it", [cancel(b"abcd"), user(b"")].concat(), Closed("")),
        (
            "a cancel request with a query behind it",
            [cancel(b"abcd"), b"Q\0\0\0\x0dSELECT 1\0".to_vec()].concat(),
            Closed(""),
        ),
        ("a start inside of a cancel request", cancel(&user(b"")), Closed("")),
        ("cancel requests, one behind the other", cancel(b"abcd").repeat(1000), Closed("")),
    ];
    if has_tls {
        cases.extend([
            ("a start behind the request for TLS", [ssl.clone(), user(b"")].concat(), NoTls("S")),
            ("a request for TLS behind another", ssl.repeat(2), NoTls("S")),
            ("a cancel request behind the request for TLS", [ssl.clone(), cancel(b"abcd")].concat(), NoTls("S")),
            ("Kerberos, TLS, and a start in the clear", [gss, ssl, user(b"")].concat(), NoTls("NS")),
            ("a handshake that is none", [b"\x16\x03\x01\x02\x00".as_slice(), &[0x41; 512]].concat(), NoTls("")),
            ("a handshake of 64 KiB", [b"\x16\x03\x01\xff\xff".as_slice(), &[0; 65_535]].concat(), NoTls("")),
            ("half a handshake", b"\x16\x03\x01\x02\x00\x01".to_vec(), Waits),
        ]);
    } else {
        cases.extend([
            ("TLS, again and again", ssl.repeat(100), Code("N", "08P01")),
            ("TLS, Kerberos, then a start", [ssl.clone(), gss.clone(), user(b"")].concat(), Asked("NN", "")),
            ("TLS, Kerberos, TLS", [ssl.clone(), gss.clone(), ssl].concat(), Code("NN", "08P01")),
            ("a handshake that nobody offered", [b"\x16\x03\x01\x02\x00".as_slice(), &[1; 512]].concat(), Closed("")),
        ]);
    }
    cases
}

/// What comes before the first message, and the messages.
fn read(mut bytes: &[u8]) -> (String, Vec<Message>) {
    let single = bytes.iter().take_while(|byte| matches!(byte, b'N' | b'S')).count();
    let letters = String::from_utf8(bytes[..single].to_vec()).unwrap();
    bytes = &bytes[single..];
    let mut messages = Vec::new();
    while let Ok(Some(frame)) = frame::whole(bytes, 1 << 20) {
        messages.push(Message { tag: frame.tag, body: frame.body.to_vec().into() });
        bytes = &bytes[frame.len..];
    }
    (letters, messages)
}

async fn check(name: &str, port: u16, bytes: &[u8], want: Want) {
    let mut raw = Raw::connect(port).await;
    raw.send(bytes).await;
    if let Waits | Asked(..) = want {
        let mut said = Vec::new();
        let heard = timeout(MOMENT, raw.stream.read_buf(&mut said)).await;
        assert!(!matches!(heard, Ok(Ok(0))), "{name}: it hung up");
        // It is closed as soon as nothing more can come.
        raw.stream.shutdown().await.unwrap();
        said.extend(raw.rest(Duration::from_secs(5)).await.unwrap_or_else(|| panic!("{name}: it stays open")));
        let (letters, messages) = read(&said);
        match want {
            Asked(single, others) => {
                assert_eq!((letters.as_str(), tags(&messages)), (single, format!("{others}R")), "{name}")
            }
            _ => assert!(said.is_empty(), "{name}: {said:?}"),
        }
        return;
    }
    let said = raw.rest(Duration::from_secs(2)).await.unwrap_or_else(|| panic!("{name}: it stays open"));
    assert!(!leaks(&said), "{name}");
    let single = match want {
        Closed(single) | Code(single, _) | NoTls(single) => single,
        Asked(..) | Waits => "",
    };
    assert!(said.starts_with(single.as_bytes()), "{name}: {said:?}");
    let (_, messages) = read(&said);
    match want {
        Code(_, wanted) => {
            assert_eq!((messages.len(), code(&messages).as_str()), (1, wanted), "{name}: {messages:?}");
            assert_eq!(messages[0].field(b'V'), "FATAL", "{name}");
        }
        // An alert, or nothing.
        NoTls(_) => assert!(matches!(said.get(single.len()), None | Some(0x15)), "{name}: {said:?}"),
        _ => assert_eq!(said.len(), single.len(), "{name}: {said:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_beginnings() {
    let stand = Stand::new().await;
    let mut count = 0;
    for (port, has_tls) in [(stand.port(), true), (stand.plain_port(), false)] {
        let mut cases = lengths();
        let more = versions_and_parameters().into_iter().chain(requests(has_tls));
        cases.extend(more.map(|(name, bytes, want)| (name.to_owned(), bytes, want)));
        for (name, bytes, want) in cases {
            check(&name, port, &bytes, want).await;
            stand.is_well(&name).await;
            count += 1;
        }
    }
    println!("{count} beginnings");
    assert!(count >= 120, "{count}");
    stand.ends_well(24 * 1024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_and_outside_of_tls() {
    let stand = Stand::new().await;
    let folder = stand.folder.path();
    let dial = async || TcpStream::connect(("127.0.0.1", stand.port())).await.unwrap();
    // From the first byte: only by its name.
    for alpn in [&[][..], &[&b"http/1.1"[..]], &[b"postgresq"], &[b"POSTGRESQL"]] {
        if let Ok(stream) = encrypt(dial().await, folder, alpn).await {
            let mut raw = Raw::over(stream);
            raw.send(&user(b"")).await;
            assert_eq!(raw.rest(Duration::from_secs(2)).await, Some(Vec::new()), "{alpn:?}");
        }
        stand.is_well("TLS of another protocol").await;
    }
    let mut direct = Raw::over(encrypt(dial().await, folder, &[b"h2", b"postgresql"]).await.unwrap());
    direct.send(&user(b"")).await;
    assert_eq!(direct.until(server::AUTH).await.len(), 1);
    // Asked for: the name may be left out, and must be right if it is there.
    for (alpn, is_right) in [(&[][..], true), (&[&b"postgresql"[..]], true), (&[b"http/1.1"], false)] {
        let mut socket = dial().await;
        socket.write_all(&start(SSL, b"")).await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), b'S');
        assert_eq!(encrypt(socket, folder, alpn).await.is_ok(), is_right, "{alpn:?}");
    }
    // Inside, nothing is asked for once more.
    for again in [SSL, GSS] {
        let mut raw = Raw::over(encrypt(dial().await, folder, &[b"postgresql"]).await.unwrap());
        raw.send(&start(again, b"")).await;
        assert_eq!(code(&raw.until(server::ERROR).await), "08P01");
    }
    // A cancel request, and what is behind it.
    let mut raw = Raw::over(encrypt(dial().await, folder, &[b"postgresql"]).await.unwrap());
    let mut bytes = BytesMut::new();
    client::put_cancel(&mut bytes, 7, b"abcd");
    raw.send(&[&bytes[..], &user(b"")].concat()).await;
    assert_eq!(raw.rest(Duration::from_secs(2)).await, Some(Vec::new()));
    stand.ends_well(24 * 1024).await;
}
