//! Clients that do it wrong, each in a way of its own. Every one is refused with the code that PostgreSQL has for it,
//! none is let in, and the gateway is as it was.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use tenantry_wire::client;
use tenantry_wire::server::Auth;

use super::super::{Accepted, Desk, Refused};
use super::world::{Heard, Key, PASSWORD, Reply, attempt, desk, hold, plain, start_of, tls};

const PLAIN: &[u8] = b"SCRAM-SHA-256";
const PLUS: &[u8] = b"SCRAM-SHA-256-PLUS";
const GOOD: &[u8] = b"n,,n=,r=abc";

/// A message of SASL's beginning.
fn initial(mechanism: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    client::put_sasl_initial(&mut out, mechanism, data);
    out.to_vec()
}

/// A message with any tag, length and body.
fn raw(tag: u8, length: u32, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn framed(body: &[u8]) -> Vec<u8> {
    raw(b'p', u32::try_from(body.len() + 4).unwrap(), body)
}

/// The first message, once; then, or at once if `is_last`, the client hangs up.
async fn first(desk: &Desk, has_tls: bool, bytes: &[u8], is_last: bool) -> (Result<Accepted, Refused>, Heard) {
    let facts = if has_tls { tls(None) } else { plain() };
    let mut bytes = Some(bytes.to_vec());
    hold(desk, &facts, start_of(0, &[("user", "acme-app")]), 4096, |_| match bytes.take() {
        Some(bytes) if !is_last => Reply::Send(bytes),
        bytes => Reply::Last(bytes.unwrap_or_default()),
    })
    .await
}

/// The second message, made from the nonce that the challenge has.
async fn second(desk: &Desk, make: impl Fn(&str) -> Vec<u8>) -> (Result<Accepted, Refused>, Heard) {
    hold(desk, &plain(), start_of(0, &[("user", "acme-app")]), 4096, |question| match question {
        Auth::Sasl(_) => Some(initial(PLAIN, GOOD)),
        Auth::SaslContinue(challenge) => {
            let challenge = std::str::from_utf8(challenge).unwrap();
            let nonce = challenge.split(',').next().unwrap().strip_prefix("r=").unwrap();
            assert!(nonce.starts_with("abc") && nonce.len() == 27);
            Some(make(nonce)).filter(|bytes| !bytes.is_empty())
        }
        _ => None,
    })
    .await
}

fn check(name: &str, code: &str, (said, heard): (Result<Accepted, Refused>, Heard)) {
    let refused = said.err().unwrap_or_else(|| panic!("{name}: let in"));
    assert!(!heard.is_in(), "{name}");
    assert_eq!(heard.code(), code, "{name}: {refused}");
    assert_eq!(refused == Refused::Gone, code.is_empty(), "{name}: {refused}");
    // One line, and nothing of a secret in it.
    let shown = refused.to_string();
    assert!(shown.len() < 200 && !shown.contains('\n') && !shown.contains("staple"), "{name}: {shown}");
}

#[tokio::test]
async fn bad_beginnings() {
    let desk = desk();
    let long = [b"n,,n=,r=".as_slice(), &[b'a'; 2041]].concat();
    let longer = [b"n,,n=,r=".as_slice(), &[b'a'; 5000]].concat();
    let with_tls = true;
    let cases: Vec<(&str, &str, bool, Vec<u8>)> = vec![
        ("hangs up", "", false, Vec::new()),
        ("half a head", "", false, b"p\0".to_vec()),
        ("half a body", "", false, raw(b'p', 100, b"SCRAM")),
        ("goodbye", "", false, raw(b'X', 4, b"")),
        ("a gigabyte", "08P01", false, raw(b'p', 1 << 30, b"x")),
        ("a negative length", "08P01", false, raw(b'p', u32::MAX, b"x")),
        ("a length of three", "08P01", false, raw(b'p', 3, b"")),
        ("a length of zero", "08P01", false, raw(b'p', 0, b"")),
        ("a query", "08P01", false, raw(b'Q', 13, b"select 1\0")),
        ("parse", "08P01", false, raw(b'P', 8, b"\0\0\0\0")),
        ("a start again", "08P01", false, b"\0\0\0\x08\0\x03\0\0".to_vec()),
        ("tls too late", "08P01", false, b"\x16\x03\x01\x02\0\x01\0\x01\xfc".to_vec()),
        ("nothing in it", "08P01", false, framed(b"")),
        ("a password as it is", "08P01", false, framed(b"correct horse battery staple\0")),
        ("no end of the mechanism", "08P01", false, framed(b"SCRAM-SHA-256")),
        ("no data", "08P01", false, framed(b"SCRAM-SHA-256\0\xff\xff\xff\xff")),
        ("empty data", "08P01", false, initial(PLAIN, b"")),
        ("data shorter than said", "08P01", false, framed(b"SCRAM-SHA-256\0\0\0\0\x40n,,n=,r=abc")),
        ("data longer than said", "08P01", false, framed(b"SCRAM-SHA-256\0\0\0\0\x02n,,n=,r=abc")),
        ("a negative length of data", "08P01", false, framed(b"SCRAM-SHA-256\0\xff\xff\xff\xfen,,")),
        ("an unknown mechanism", "08P01", false, initial(b"SCRAM-SHA-1", GOOD)),
        ("no mechanism", "08P01", false, initial(b"", GOOD)),
        ("binding without TLS", "08P01", false, initial(PLUS, b"p=tls-server-end-point,,n=,r=abc")),
        ("too long by one", "08P01", false, initial(PLAIN, &long)),
        ("far too long", "08P01", false, initial(PLAIN, &longer)),
        ("a zero", "08P01", false, initial(PLAIN, b"n,,n=,r=abc\0")),
        ("not utf-8", "08P01", false, initial(PLAIN, b"n,,n=\xff,r=abc")),
        ("an unknown flag", "08P01", false, initial(PLAIN, b"z,,n=,r=abc")),
        ("no flag", "08P01", false, initial(PLAIN, b",,n=,r=abc")),
        ("only a flag", "08P01", false, initial(PLAIN, b"n")),
        ("only a head", "08P01", false, initial(PLAIN, b"n,,")),
        ("another identity", "0A000", false, initial(PLAIN, b"n,a=globex-app,n=,r=abc")),
        ("an identity without its letter", "08P01", false, initial(PLAIN, b"n,globex,n=,r=abc")),
        ("an extension that must be known", "0A000", false, initial(PLAIN, b"n,,m=x,n=,r=abc")),
        ("no name", "08P01", false, initial(PLAIN, b"n,,r=abc")),
        ("no nonce", "08P01", false, initial(PLAIN, b"n,,n=")),
        ("an empty nonce", "08P01", false, initial(PLAIN, b"n,,n=,r=")),
        ("a nonce that cannot be printed", "08P01", false, initial(PLAIN, b"n,,n=,r=a\x01b")),
        ("a nonce with a blank", "08P01", false, initial(PLAIN, b"n,,n=,r=a b")),
        ("a nonce beyond ascii", "08P01", false, initial(PLAIN, "n,,n=,r=ä".as_bytes())),
        ("no attribute", "08P01", false, initial(PLAIN, b"n,,n=,r=abc,garbage")),
        ("a proof too early", "08P01", false, initial(PLAIN, b"n,,n=,r=abc,p=AAAA")),
        ("binding by another mechanism", "08P01", with_tls, initial(PLAIN, b"p=tls-server-end-point,,n=,r=abc")),
        ("no binding by this mechanism", "08P01", with_tls, initial(PLUS, GOOD)),
        ("maybe binding by this mechanism", "08P01", with_tls, initial(PLUS, b"y,,n=,r=abc")),
        ("another kind of binding", "08P01", with_tls, initial(PLUS, b"p=tls-unique,,n=,r=abc")),
        ("a client that was told there is no binding", "28000", with_tls, initial(PLAIN, b"y,,n=,r=abc")),
    ];
    assert!(cases.len() >= 40);
    for (name, code, has_tls, bytes) in &cases {
        check(name, code, first(&desk, *has_tls, bytes, code.is_empty()).await);
    }
    // And the next one is served.
    assert!(attempt(&desk, &plain(), &[("user", "acme-app")], Key::Password(PASSWORD)).await.0.is_ok());
}

#[tokio::test]
async fn what_is_unusual_and_right() {
    let desk = desk();
    // Without TLS, a client that could bind may say so; unknown extensions are skipped; a name is ignored.
    for data in [&b"y,,n=,r=abc"[..], b"n,,n=somebody,r=abc", b"n,,n=,r=abc,z=new"] {
        let (said, heard) = first(&desk, false, &initial(PLAIN, data), false).await;
        // It got its challenge and left.
        assert_eq!(heard.tags(), "RR", "{data:?}");
        assert_eq!(said.unwrap_err(), Refused::Gone);
    }
}

#[tokio::test]
async fn bad_ends() {
    let desk = desk();
    let zeros = STANDARD.encode([0; 32]);
    type Make = Box<dyn Fn(&str) -> Vec<u8>>;
    let text = |make: fn(&str, &str) -> String| -> Make {
        let zeros = zeros.clone();
        Box::new(move |nonce| framed(make(nonce, &zeros).as_bytes()))
    };
    let cases: Vec<(&str, &str, Make)> = vec![
        ("hangs up", "", Box::new(|_| Vec::new())),
        ("goodbye", "", Box::new(|_| raw(b'X', 4, b""))),
        ("a gigabyte", "08P01", Box::new(|_| raw(b'p', 1 << 30, b"c="))),
        ("empty", "08P01", Box::new(|_| framed(b""))),
        ("a query", "08P01", Box::new(|_| raw(b'Q', 13, b"select 1\0"))),
        ("the beginning again", "08P01", Box::new(|_| initial(PLAIN, GOOD))),
        ("not utf-8", "08P01", Box::new(|_| framed(b"c=biws,r=\xff,p=AAAA"))),
        ("no proof", "08P01", text(|nonce, _| format!("c=biws,r={nonce}"))),
        ("an empty proof", "08P01", text(|nonce, _| format!("c=biws,r={nonce},p="))),
        ("a proof in no base 64", "08P01", text(|nonce, _| format!("c=biws,r={nonce},p=!!!!"))),
        ("half a proof", "08P01", text(|nonce, _| format!("c=biws,r={nonce},p=AAAA"))),
        ("two proofs in one", "08P01", text(|nonce, zeros| format!("c=biws,r={nonce},p={zeros}{zeros}"))),
        ("two proofs", "08P01", text(|nonce, zeros| format!("c=biws,r={nonce},p={zeros},p={zeros}"))),
        ("a proof that is not last", "08P01", text(|nonce, zeros| format!("c=biws,r={nonce},p={zeros},z=1"))),
        ("no nonce", "08P01", text(|_, zeros| format!("c=biws,p={zeros}"))),
        ("only its own nonce", "08P01", text(|_, zeros| format!("c=biws,r=abc,p={zeros}"))),
        ("a longer nonce", "08P01", text(|nonce, zeros| format!("c=biws,r={nonce}x,p={zeros}"))),
        ("another nonce", "08P01", text(|nonce, zeros| format!("c=biws,r={},p={zeros}", nonce.replace("abc", "abd")))),
        ("another order", "08P01", text(|nonce, zeros| format!("r={nonce},c=biws,p={zeros}"))),
        ("no binding", "08P01", text(|nonce, zeros| format!("r={nonce},p={zeros}"))),
        ("another flag", "08P01", text(|nonce, zeros| format!("c=eSws,r={nonce},p={zeros}"))),
        (
            "a binding nobody asked for",
            "08P01",
            text(|nonce, zeros| format!("c={},r={nonce},p={zeros}", STANDARD.encode(b"n,,\x07\x07"))),
        ),
        ("no attribute", "08P01", text(|nonce, zeros| format!("c=biws,r={nonce},garbage,p={zeros}"))),
        ("a zero", "08P01", text(|nonce, zeros| format!("c=biws,r={nonce}\0,p={zeros}"))),
        ("too long", "08P01", text(|nonce, zeros| format!("c=biws,r={nonce},z={},p={zeros}", "x".repeat(2040)))),
        ("a proof of zeros", "28P01", text(|nonce, zeros| format!("c=biws,r={nonce},p={zeros}"))),
        ("with an extension", "28P01", text(|nonce, zeros| format!("c=biws,r={nonce},z=1,p={zeros}"))),
        ("a proof of ones", "28P01", text(|nonce, _| format!("c=biws,r={nonce},p={}", STANDARD.encode([0xff; 32])))),
    ];
    for (name, code, make) in &cases {
        check(name, code, second(&desk, make).await);
    }
}

#[tokio::test]
async fn a_proof_is_good_once() {
    let desk = desk();
    let mut recorded = Vec::new();
    let mut scram = ScramSha256::new(PASSWORD.as_bytes(), ChannelBinding::unsupported());
    let start = || start_of(0, &[("user", "acme-app")]);
    let (said, _) = hold(&desk, &plain(), start(), 4096, |question| {
        let mut out = BytesMut::new();
        match question {
            Auth::Sasl(_) => client::put_sasl_initial(&mut out, PLAIN, scram.message()),
            Auth::SaslContinue(data) => {
                scram.update(data).unwrap();
                client::put_sasl_response(&mut out, scram.message());
            }
            _ => return None,
        }
        recorded.push(out.to_vec());
        Some(out.to_vec())
    })
    .await;
    assert!(said.is_ok());
    let mut replay = recorded.into_iter();
    check("a replay", "08P01", hold(&desk, &plain(), start(), 4096, |_| replay.next()).await);
}

#[tokio::test]
async fn who_knows_the_verifier_does_not_know_the_password() {
    let desk = desk();
    let login = desk.table.login("acme-app").unwrap();
    let text = secrecy::ExposeSecret::expose_secret(&login.verifiers[0].text).to_owned();
    let keys = text.rsplit('$').next().unwrap().to_owned();
    let (stored, server) = keys.split_once(':').unwrap();
    for key in [stored, server] {
        let key = key.to_owned();
        let answer = second(&desk, |nonce| framed(format!("c=biws,r={nonce},p={key}").as_bytes())).await;
        check("a key of the verifier", "28P01", answer);
    }
    // Nor does the verifier as a password help.
    let (said, _) = attempt(&desk, &plain(), &[("user", "acme-app")], Key::Password(&text)).await;
    assert!(matches!(said, Err(Refused::Credential { .. })));
}

#[tokio::test]
async fn bad_starts() {
    let desk = desk();
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("28000", &[]),
        ("28000", &[("database", "acme")]),
        ("0A000", &[("user", "acme-app"), ("replication", "true")]),
        ("0A000", &[("user", "acme-app"), ("replication", "database")]),
        ("42501", &[("user", "acme-app"), ("search_path", "t_globex")]),
        ("42501", &[("user", "acme-app"), ("options", "-c search_path=t_globex")]),
        ("42501", &[("user", "acme-app"), ("options", "--search-path=t_globex")]),
        ("42501", &[("user", "acme-app"), ("options", "-c role=tenantry_ctx")]),
        ("42501", &[("user", "acme-app"), ("options", "-c session_authorization=postgres")]),
        ("42501", &[("user", "acme-app"), ("options", "-c row_security=off")]),
        ("42501", &[("user", "acme-app"), ("options", "-c backtrace_functions=0000")]),
        ("42501", &[("user", "acme-app"), ("options", "-c tenantry.context=x")]),
        ("42501", &[("user", "acme-app"), ("options", "-c session_preload_libraries=x")]),
        ("42501", &[("user", "acme-app"), ("options", "-c\\ role=x")]),
        ("42601", &[("user", "acme-app"), ("options", "-d 5")]),
        ("42601", &[("user", "acme-app"), ("options", "-c")]),
        ("42601", &[("user", "acme-app"), ("options", "search_path=x")]),
        ("42601", &[("user", "acme-app"), ("options", "-c jit=off; -D /")]),
    ];
    for (code, params) in cases {
        let (said, heard) = attempt(&desk, &plain(), params, Key::Password(PASSWORD)).await;
        // Before any question is asked, since nothing secret is in the answer.
        assert_eq!((heard.tags().as_str(), heard.code().as_str()), ("E", *code), "{params:?}");
        assert!(said.is_err());
    }
}
