//! After the login: lengths, tags and bodies of every message that a client may send, and of those that it may not.

use std::time::Duration;

use bytes::BytesMut;
use tenantry_wire::{client, server};
use tokio::time::timeout;

use super::{Stand, leaks};
use crate::raw::{Raw, client_of, code, eventually, framed, message, sessions, value};

/// What becomes of the connection.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// A fatal error with this code, and it is closed.
    Fatal(&'static str),
    /// An error with this code (any, if it is left to the server), and it goes on.
    Error(&'static str),
    /// No error, and it goes on.
    Fine,
    /// It is closed without a word.
    Closed,
    /// More of the message is waited for.
    Waits,
}

use Want::{Closed, Error, Fatal, Fine, Waits};

const TAGS: &[u8; 13] = b"QPBDECFHSdcfX";

fn lengths() -> Vec<(String, Vec<u8>, Want)> {
    let mut cases = Vec::new();
    for tag in *TAGS {
        let name = |what: &str| format!("{} with {what}", char::from(tag));
        for (what, length) in [
            ("length 0", 0),
            ("length 3", 3),
            ("a negative length", 1 << 31),
            ("the greatest", u32::MAX),
            ("2^31-1", 0x7fff_ffff),
            ("1 GB", 1 << 30),
        ] {
            cases.push((name(what), framed(tag, length, b"x\0\0\0\0"), Fatal("08P01")));
        }
        let want = match tag {
            b'X' => Closed,
            // PostgreSQL takes 10,000 bytes of these.
            b'D' | b'E' | b'C' | b'S' | b'H' | b'c' | b'f' => Fatal("08P01"),
            _ => Waits,
        };
        cases.push((name("the longest length, and nothing of it"), framed(tag, 0x3fff_fff0, b""), want));
        let want = match tag {
            b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' => Fatal("08P01"),
            b'F' => Error("08P01"),
            b'X' => Closed,
            _ => Fine,
        };
        cases.push((name("an empty body"), message(tag, b""), want));
    }
    for tag in (0..=255).filter(|tag| !TAGS.contains(tag)) {
        cases.push((format!("tag {tag:#04x}"), message(tag, b"\0\0\0\0"), Fatal("08P01")));
    }
    cases
}

fn bind(body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    client::put_parse(&mut out, b"", b"SELECT $1::text", &[]);
    [&out[..], &message(b'B', body), &message(b'E', b"\0\0\0\0\0")].concat()
}

fn bodies() -> Vec<(&'static str, Vec<u8>, Want)> {
    let many = |count: usize, item: &[u8]| [b"\0\0\xff\xff".as_slice(), &item.repeat(count)].concat();
    vec![
        ("Query without an end", message(b'Q', b"SELECT 1"), Fatal("08P01")),
        ("Query with a zero inside", message(b'Q', b"SELECT 1\0; SELECT body FROM note\0"), Fatal("08P01")),
        ("Query that is not UTF-8", message(b'Q', b"SELECT '\xff\xfe'\0"), Error("22021")),
        ("Query of blanks", message(b'Q', b"   \0"), Fine),
        ("Parse without texts", message(b'P', b"x"), Fatal("08P01")),
        ("Parse without types", message(b'P', b"\0SELECT 1\0"), Fatal("08P01")),
        ("Parse of 65,535 types that are not there", message(b'P', b"\0SELECT 1\0\xff\xff\0\0"), Fatal("08P01")),
        ("Parse with more behind it", message(b'P', b"\0SELECT 1\0\0\0more"), Fatal("08P01")),
        ("Parse of types nobody has", message(b'P', b"\0SELECT $1\0\0\x01\xff\xff\xff\xff"), Error("")),
        ("Parse of two statements", message(b'P', b"\0SELECT 1; SELECT 2\0\0\0"), Error("42601")),
        ("Parse of our own enter", message(b'P', b"\0SELECT seal.enter('x')\0\0\0"), Error("42883")),
        ("Bind without an end of its names", bind(b"abc"), Fatal("08P01")),
        ("Bind with nothing behind its names", bind(b"\0\0"), Error("08P01")),
        ("Bind of 65,535 formats", bind(&many(65_535, b"\0\x01")), Error("08P01")),
        ("Bind of 65,535 formats that are not there", bind(b"\0\0\xff\xff"), Error("08P01")),
        ("Bind of formats nobody has", bind(b"\0\0\0\x01\x00\x07\0\x01\0\0\0\x01x\0\0"), Error("22023")),
        ("Bind of 65,535 parameters that are not there", bind(b"\0\0\0\0\xff\xff"), Error("08P01")),
        ("Bind of a parameter of -2 bytes", bind(b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"), Error("08P01")),
        ("Bind of a parameter of 2 GB", bind(b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0"), Error("08P01")),
        ("Bind of a parameter that is too long by one", bind(b"\0\0\0\0\0\x01\0\0\0\x04x\0\0"), Error("08P01")),
        ("Bind of no parameters", bind(b"\0\0\0\0\0\0\0\0"), Error("08P01")),
        ("Bind with more behind it", bind(b"\0\0\0\0\0\x01\0\0\0\x01x\0\0more"), Error("08P01")),
        ("Bind of a statement nobody has", message(b'B', b"\0none\0\0\0\0\0\0\0"), Error("26000")),
        ("Bind of a statement of ours", message(b'B', b"\0tn_none\0\0\0\0\0\0\0"), Error("26000")),
        ("Execute of a portal nobody has", message(b'E', b"none\0\0\0\0\0"), Error("34000")),
        ("Execute without a count", message(b'E', b"\0"), Fatal("08P01")),
        ("Execute with more behind it", message(b'E', b"\0\0\0\0\0more"), Fatal("08P01")),
        ("Describe of neither", message(b'D', b"X\0"), Fatal("08P01")),
        ("Describe of a statement nobody has", message(b'D', b"Snone\0"), Error("26000")),
        ("Describe of a portal nobody has", message(b'D', b"Pnone\0"), Error("34000")),
        ("Describe without an end", message(b'D', b"Snone"), Fatal("08P01")),
        (
            "Describe of a name of 60 KB",
            message(b'D', &[b"S".as_slice(), &[b'x'; 60_000], b"\0"].concat()),
            Fatal("08P01"),
        ),
        ("Close of neither", message(b'C', b"X\0"), Fatal("08P01")),
        ("Close of what nobody has", message(b'C', b"Snone\0"), Fine),
        ("a function nobody has", message(b'F', b"\0\0\0\0\0\0\0\0\0\0"), Error("42883")),
        (
            "a function with arguments that are not there",
            message(b'F', b"\0\0\x05\x13\0\0\xff\xff\0\0"),
            Error("08P01"),
        ),
        ("Sync with a body", message(b'S', b"body"), Fine),
        ("Flush with a body", message(b'H', b"body"), Fine),
        ("data outside of a COPY", message(b'd', &[b'x'; 100_000]), Fine),
        ("the end of a COPY that was not begun", message(b'c', b""), Fine),
        ("the failure of a COPY that was not begun", message(b'f', b"no reason\0"), Fine),
        ("the failure of a COPY without an end", message(b'f', b"no reason"), Fine),
        (
            "data in the middle of a pipeline",
            [bind(b"\0\0\0\0\0\x01\0\0\0\x01x\0\0"), message(b'd', b"x")].concat(),
            Fine,
        ),
        ("a COPY that fails", copy(&message(b'f', b"no more\0")), Error("57014")),
        ("a COPY given a Query", copy(&message(b'Q', b"SELECT 1\0")), Fatal("08P01")),
        ("a COPY given a Parse", copy(&message(b'P', b"\0SELECT 1\0\0\0")), Fatal("08P01")),
        ("a COPY given a goodbye", copy(&message(b'X', b"")), Closed),
        ("a COPY of garbage", copy(&[message(b'd', &[0xff; 1000]), message(b'c', b"")].concat()), Error("22021")),
        ("Terminate with more behind it", [message(b'X', b""), message(b'Q', b"SELECT 1\0")].concat(), Closed),
        (
            "Terminate in the middle of a pipeline",
            [bind(b"\0\0\0\0\0\x01\0\0\0\x01x\0\0"), message(b'X', b"")].concat(),
            Closed,
        ),
        ("half a message", framed(b'Q', 100, b"SELECT 1"), Waits),
        ("half a header", b"Q\0\0".to_vec(), Waits),
        (
            "half a message behind a whole one",
            [message(b'P', b"\0SELECT 1\0\0\0"), framed(b'B', 100, b"\0")].concat(),
            Waits,
        ),
    ]
}

/// Into a table without row-level security, because into others PostgreSQL takes no COPY.
fn copy(behind: &[u8]) -> Vec<u8> {
    [&message(b'Q', b"COPY heap FROM STDIN\0"), behind].concat()
}

/// What came up to a mark, or to the end; whether the mark came.
async fn up_to_mark(raw: &mut Raw) -> (Vec<crate::raw::Message>, bool) {
    let (mut all, mut is_marked) = (Vec::new(), false);
    while let Some(one) = raw.hear().await {
        is_marked |= one.tag == b'D' && one.body.ends_with(b"the mark");
        let is_last = is_marked && one.tag == server::READY;
        all.push(one);
        if is_last {
            return (all, true);
        }
    }
    (all, false)
}

async fn check(stand: &Stand, name: &str, bytes: &[u8], want: Want) {
    let mut raw = client_of(stand.plain_port(), stand.own()).await;
    raw.send(bytes).await;
    if let Waits = want {
        // A Sync is answered before the rest of it is left out.
        let said = timeout(Duration::from_millis(60), raw.hear()).await;
        assert!(
            said.as_ref().map_or(true, |said| said.as_ref().is_some_and(|one| one.tag == server::READY)),
            "{name}: {said:?}"
        );
        return;
    }
    raw.say(|out| {
        client::put_sync(out);
        client::put_query(out, b"SELECT 'the mark'");
    })
    .await;
    let heard = timeout(Duration::from_secs(5), up_to_mark(&mut raw)).await;
    let (heard, is_marked) = heard.unwrap_or_else(|_| panic!("{name}: nothing more comes"));
    assert!(!heard.iter().any(|one| leaks(&one.body)), "{name}");
    let error = heard.iter().find(|one| one.tag == server::ERROR);
    let severity = error.map(|error| error.field(b'V')).unwrap_or_default();
    let found = (code(&heard), severity, is_marked);
    assert!(!matches!(want, Fatal(_) | Error(_)) || !found.0.is_empty(), "{name}: {heard:?}");
    let wanted = match want {
        Fatal(code) => (code, "FATAL", false),
        Error("") => (found.0.as_str(), "ERROR", true),
        Error(code) => (code, "ERROR", true),
        Fine => ("", "", true),
        Closed | Waits => ("", "", false),
    };
    assert_eq!((found.0.as_str(), found.1.as_str(), found.2), wanted, "{name}: {heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_messages() {
    let stand = Stand::new().await;
    let heap = format!("CREATE TABLE app.heap (body text); GRANT SELECT, INSERT ON app.heap TO {}", stand.own().role);
    stand.world.by_hand(&stand.own().database, &heap).await;
    let cases: Vec<_> = lengths()
        .into_iter()
        .chain(bodies().into_iter().map(|(name, bytes, want)| (name.to_owned(), bytes, want)))
        .collect();
    let mut failures = Vec::new();
    for (name, bytes, want) in &cases {
        check(&stand, name, bytes, *want).await;
        if !matches!(want, Fatal(_)) || name.len() % 8 == 0 {
            stand.is_well(name).await;
        }
        if sessions(&stand.world, stand.own(), "state LIKE 'idle in transaction%'").await > 0 {
            failures.push(name);
        }
    }
    assert!(failures.is_empty(), "a transaction is left open: {failures:?}");
    println!("{} messages", cases.len());
    assert!(cases.len() >= 380, "{}", cases.len());
    stand.ends_well(24 * 1024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_half_sent_holds_no_server_session() {
    let stand = Stand::new().await;
    let mut halves = Vec::new();
    for tag in *b"QPBDECF" {
        let mut raw = client_of(stand.plain_port(), stand.own()).await;
        raw.send(&framed(tag, 1000, &[b'x'; 500])).await;
        halves.push(raw);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let used: usize = stand.plain.view().await.pools.iter().map(|pool| pool.counts.used).sum();
    assert_eq!(used, 0);
    // The rest comes late, and is served.
    let mut late = client_of(stand.plain_port(), stand.own()).await;
    let query = message(b'Q', b"SELECT 'here at last'\0");
    for piece in query.chunks(3) {
        assert!(late.send(piece).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(value(&late.until(server::READY).await).as_deref(), Some("here at last"));
    drop(halves);
    stand.ends_well(24 * 1024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_that_is_half_said_holds_no_transaction() {
    let stand = Stand::new().await;
    for bytes in [framed(b'X', 1000, &[b'x'; 500]), vec![b'X'], framed(b'X', 4, b"")] {
        let mut raw = client_of(stand.plain_port(), stand.own()).await;
        raw.query("BEGIN").await;
        raw.send(&bytes).await;
        drop(raw);
        eventually("its transaction is over", Duration::from_secs(5), async || {
            sessions(&stand.world, stand.own(), "state LIKE 'idle in transaction%'").await == 0
        })
        .await;
    }
    stand.ends_well(24 * 1024).await;
}
