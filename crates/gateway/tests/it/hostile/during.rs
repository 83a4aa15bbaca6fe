//! During the login: everything that is not the next message of SCRAM.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use tenantry_wire::{client, server};
use tokio::net::TcpStream;

use super::{Stand, leaks};
use crate::raw::{Message, Raw, code, encrypt, framed, message};
use crate::world::password;

const PLAIN: &[u8] = b"SCRAM-SHA-256";
const PLUS: &[u8] = b"SCRAM-SHA-256-PLUS";

fn initial(mechanism: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    client::put_sasl_initial(&mut out, mechanism, data);
    out.to_vec()
}

fn response(data: &[u8]) -> Vec<u8> {
    message(b'p', data)
}

/// Messages in the place of the first one, and the code that answers them; empty: the connection is closed.
fn firsts() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let hello = b"n,,n=,r=abcdefgh";
    vec![
        ("nothing in it", message(b'p', b""), "08P01"),
        ("a mechanism without an end", message(b'p', b"SCRAM-SHA-256"), "08P01"),
        ("a mechanism nobody offered", initial(b"SCRAM-SHA-512", hello), "08P01"),
        ("the mechanism that binds, without TLS", initial(PLUS, b"p=tls-server-end-point,,n=,r=abcdefgh"), "08P01"),
        ("an empty mechanism", initial(b"", hello), "08P01"),
        ("a password in place of SASL", message(b'p', b"correct horse of shared_0\0"), "08P01"),
        ("no data", message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xff"), "08P01"),
        ("data of a length of 1 GB", message(b'p', b"SCRAM-SHA-256\0\x40\0\0\0n,,"), "08P01"),
        ("data of a negative length", message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xfen,,"), "08P01"),
        ("more behind the data", message(b'p', b"SCRAM-SHA-256\0\0\0\0\x03n,,more"), "08P01"),
        ("garbage", initial(PLAIN, &[0xff; 100]), "08P01"),
        ("zeros", initial(PLAIN, &[0; 100]), "08P01"),
        ("commas", initial(PLAIN, &[b','; 1000]), "08P01"),
        ("empty data", initial(PLAIN, b""), "08P01"),
        ("no nonce", initial(PLAIN, b"n,,n=,r="), "08P01"),
        ("a nonce that cannot be printed", initial(PLAIN, b"n,,n=,r=\x01\x02"), "08P01"),
        ("an extension that must be known", initial(PLAIN, b"n,,m=x,n=,r=abc"), "0A000"),
        ("somebody to act for", initial(PLAIN, b"n,a=shared_1,n=,r=abc"), "0A000"),
        ("a binding without TLS", initial(PLAIN, b"p=tls-server-end-point,,n=,r=abc"), "08P01"),
        ("2,049 bytes", initial(PLAIN, &[b"n,,n=,r=".as_slice(), &[b'x'; 2041]].concat()), "08P01"),
        ("1 MB", initial(PLAIN, &vec![b'x'; 1 << 20]), "08P01"),
        ("a length of 1 GB", framed(b'p', 1 << 30, b"SCRAM-SHA-256\0"), "08P01"),
        ("a length of 0", framed(b'p', 0, b"SCRAM-SHA-256\0"), "08P01"),
        ("a length of 3", framed(b'p', 3, b"SCRAM-SHA-256\0"), "08P01"),
        ("a negative length", framed(b'p', u32::MAX, b"SCRAM-SHA-256\0"), "08P01"),
        ("a query", message(b'Q', b"SELECT body FROM note\0"), "08P01"),
        ("a Parse", message(b'P', b"\0SELECT body FROM note\0\0\0"), "08P01"),
        ("a Sync", message(b'S', b""), "08P01"),
        ("what a server says", message(b'R', b"\0\0\0\0"), "08P01"),
        ("another start", b"\0\0\0\x10\0\x03\0\0user\0a\0\0".to_vec(), "08P01"),
        ("Terminate", message(b'X', b""), ""),
    ]
}

type Answer = Box<dyn Fn(&str, &mut ScramSha256) -> Vec<u8> + Send>;

/// Messages in the place of the last one, made from our challenge.
fn lasts() -> Vec<(&'static str, Answer, &'static str)> {
    fn of(make: impl Fn(&str) -> String + Send + 'static) -> Answer {
        Box::new(move |challenge, _| response(make(challenge).as_bytes()))
    }
    /// What a driver would say, changed.
    fn changed(change: impl Fn(String) -> String + Send + 'static) -> Answer {
        Box::new(move |challenge, scram| {
            scram.update(challenge.as_bytes()).unwrap();
            response(change(String::from_utf8(scram.message().to_vec()).unwrap()).as_bytes())
        })
    }
    fn nonce(challenge: &str) -> &str {
        &challenge.split(',').next().unwrap()[2..]
    }
    let proof = STANDARD.encode([7; 32]);
    let wrong = proof.clone();
    vec![
        ("nothing in it", of(|_| String::new()), "08P01"),
        ("no proof", of(|challenge| format!("c=biws,r={}", nonce(challenge))), "08P01"),
        ("a proof of something else", of(move |challenge| format!("c=biws,r={},p={wrong}", nonce(challenge))), "28P01"),
        ("a proof that is too short", of(|challenge| format!("c=biws,r={},p=AAAA", nonce(challenge))), "08P01"),
        ("a proof that is not base 64", changed(|last| format!("{last}!")), "08P01"),
        ("a nonce that is not ours", changed(|last| last.replace(",r=", ",r=x")), "08P01"),
        ("a nonce with a letter more", changed(|last| last.replacen(",p=", "\u{8},p=", 1)), "08P01"),
        ("another head", changed(|last| last.replace("c=biws", "c=eSws")), "08P01"),
        ("a binding that was not begun", changed(|last| last.replace("c=biws", "c=cD10bHM")), "08P01"),
        ("two proofs", changed(move |last| format!("{last},p={proof}")), "08P01"),
        ("a proof in the middle", changed(|last| last.replacen(",r=", ",p=AAAA,r=", 1)), "08P01"),
        ("one bit of the proof is another", changed(|last| flip(&last)), "28P01"),
        ("zeros", Box::new(|_, _| response(&[0; 64])), "08P01"),
        ("1 MB", Box::new(|_, _| response(&vec![b'x'; 1 << 20])), "08P01"),
        ("the first message again", Box::new(|_, _| initial(PLAIN, b"n,,n=,r=abcdefgh")), "08P01"),
        ("our challenge", of(str::to_owned), "08P01"),
        ("a query", Box::new(|_, _| message(b'Q', b"SELECT body FROM note\0")), "08P01"),
        ("AuthenticationOk", Box::new(|_, _| message(b'R', b"\0\0\0\0")), "08P01"),
        ("Terminate", Box::new(|_, _| message(b'X', b"")), ""),
    ]
}

/// Another proof of the same length.
fn flip(last: &str) -> String {
    let (head, proof) = last.rsplit_once(",p=").unwrap();
    let mut bytes = STANDARD.decode(proof).unwrap();
    bytes[31] ^= 1;
    format!("{head},p={}", STANDARD.encode(bytes))
}

fn is_refused(name: &str, said: &[Message], wanted: &str) {
    assert_eq!(code(said), wanted, "{name}: {said:?}");
    let is_in = said.iter().any(|one| one.tag == server::AUTH && one.body[..] == [0; 4] || one.tag == server::READY);
    assert!(!is_in, "{name}");
    assert!(!said.iter().any(|one| leaks(&one.body)), "{name}");
}

async fn begun(port: u16, user: &str) -> Raw {
    let mut raw = Raw::connect(port).await;
    assert!(raw.say(|out| client::put_start(out, 0, &[("user", user), ("database", "shared-0")])).await);
    assert_eq!(raw.until(server::AUTH).await.len(), 1);
    raw
}

/// Everything up to the end of the connection, which comes soon.
async fn rest(raw: &mut Raw) -> Vec<Message> {
    // No message has this tag.
    raw.until(0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_logins() {
    let stand = Stand::new().await;
    let mut count = 0;
    // A login that nobody has is refused in the same way, message by message.
    for user in ["shared_0", "nobody"] {
        for (name, bytes, wanted) in firsts() {
            let mut raw = begun(stand.plain_port(), user).await;
            raw.send(&bytes).await;
            is_refused(name, &rest(&mut raw).await, wanted);
            stand.is_well(name).await;
            count += 1;
        }
        for (name, make, wanted) in lasts() {
            let mut raw = begun(stand.plain_port(), user).await;
            let mut scram = ScramSha256::new(password("shared_0").as_bytes(), ChannelBinding::unsupported());
            raw.send(&initial(PLAIN, scram.message())).await;
            let heard = raw.until(server::AUTH).await;
            let challenge = String::from_utf8(heard[0].body[4..].to_vec()).unwrap();
            raw.send(&make(&challenge, &mut scram)).await;
            is_refused(name, &rest(&mut raw).await, wanted);
            stand.is_well(name).await;
            count += 1;
        }
    }
    println!("{count} logins");
    assert!(count >= 100, "{count}");
    stand.ends_well(24 * 1024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_downgrade_is_noticed() {
    let stand = Stand::new().await;
    let said = async |mechanism: &'static [u8], first: &'static [u8]| {
        let socket = TcpStream::connect(("127.0.0.1", stand.port())).await.unwrap();
        let mut raw = Raw::over(encrypt(socket, stand.folder.path(), &[b"postgresql"]).await.unwrap());
        assert!(raw.say(|out| client::put_start(out, 0, &[("user", "shared_0"), ("database", "shared-0")])).await);
        let offered = raw.until(server::AUTH).await;
        assert!(offered[0].body.windows(PLUS.len()).any(|window| window == PLUS), "binding is offered");
        raw.send(&initial(mechanism, first)).await;
        raw
    };
    // The client could bind, and somebody took the offer away on its way.
    let mut raw = said(PLAIN, b"y,,n=,r=abcdefgh").await;
    is_refused("a downgrade", &rest(&mut raw).await, "28000");
    for first in [&b"n,,n=,r=abc"[..], b"y,,n=,r=abc", b"p=tls-unique,,n=,r=abc", b"p=,,n=,r=abc"] {
        let mut raw = said(PLUS, first).await;
        is_refused("a mechanism that is not kept to", &rest(&mut raw).await, "08P01");
    }
    // Bound to the certificate of somebody in between.
    let other = ChannelBinding::tls_server_end_point(vec![9; 32]);
    let mut scram = ScramSha256::new(password("shared_0").as_bytes(), other);
    let first = String::from_utf8(scram.message().to_vec()).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", stand.port())).await.unwrap();
    let mut raw = Raw::over(encrypt(socket, stand.folder.path(), &[b"postgresql"]).await.unwrap());
    assert!(raw.say(|out| client::put_start(out, 0, &[("user", "shared_0"), ("database", "shared-0")])).await);
    raw.until(server::AUTH).await;
    raw.send(&initial(PLUS, first.as_bytes())).await;
    let heard = raw.until(server::AUTH).await;
    scram.update(&heard[0].body[4..]).unwrap();
    raw.send(&response(scram.message())).await;
    is_refused("another certificate", &rest(&mut raw).await, "28000");
    assert!(raw.rest(Duration::from_secs(1)).await.is_some());
    stand.ends_well(24 * 1024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_as_long_as_somebody() {
    const PAIRS: usize = 400;
    let stand = Stand::new().await;
    let take = async |user: &str| {
        let mut raw = begun(stand.plain_port(), user).await;
        let began = Instant::now();
        raw.send(&initial(PLAIN, b"n,,n=,r=abcdefgh")).await;
        let heard = raw.until(server::AUTH).await;
        let challenge = String::from_utf8(heard[0].body[4..].to_vec()).unwrap();
        let nonce = challenge.split(',').next().unwrap();
        raw.send(&response(format!("c=biws,{nonce},p={}", STANDARD.encode([7; 32])).as_bytes())).await;
        assert_eq!(code(&rest(&mut raw).await), "28P01");
        began.elapsed()
    };
    let (mut somebody, mut nobody) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        somebody.push(take("shared_0").await);
        nobody.push(take("shared_9").await);
    }
    somebody.sort();
    nobody.sort();
    let (somebody, nobody) = (somebody[PAIRS / 2], nobody[PAIRS / 2]);
    println!("a wrong password of somebody {somebody:?}, of nobody {nobody:?}");
    assert!(somebody.abs_diff(nobody) < Duration::from_millis(1), "{somebody:?} {nobody:?}");
}
