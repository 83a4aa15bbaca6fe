//! Very many messages, very long ones, and messages that leave something behind: what a client may cost.

use std::time::Duration;

use bytes::BytesMut;
use tenantry_wire::client::{self, Kind};
use tenantry_wire::server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Stand;
use crate::raw::{Raw, client_of, code, resident, tags, value};

const MIB: usize = 1024;

/// A client whose two directions are used at once, as libpq does it; otherwise both sides could wait for each other.
async fn flood(stand: &Stand, chunks: impl Iterator<Item = Vec<u8>> + Send + 'static, wanted: &[(u8, usize)]) {
    let raw = client_of(stand.plain_port(), stand.own()).await;
    let (mut read, mut write) = tokio::io::split(raw.stream);
    let writing = tokio::spawn(async move {
        for chunk in chunks {
            write.write_all(&chunk).await.unwrap();
        }
        let mut end = BytesMut::new();
        client::put_query(&mut end, b"SELECT 'the mark'");
        write.write_all(&end).await.unwrap();
        write
    });
    let mut counts = [0_usize; 256];
    let mut inbox = BytesMut::new();
    let mut is_marked = false;
    loop {
        while let Some(frame) = tenantry_wire::frame::whole(&inbox, 1 << 20).unwrap() {
            let (tag, len) = (frame.tag, frame.len);
            is_marked |= tag == b'D' && frame.body.ends_with(b"the mark");
            if !is_marked {
                counts[usize::from(tag)] += 1;
            }
            bytes::Buf::advance(&mut inbox, len);
            if is_marked && tag == server::READY {
                drop(writing.await.unwrap());
                // The description of the mark's row came before it.
                counts[usize::from(b'T')] -= 1;
                for (tag, count) in wanted {
                    assert_eq!(counts[usize::from(*tag)], *count, "{}", char::from(*tag));
                }
                return;
            }
        }
        inbox.reserve(1 << 16);
        assert!(read.read_buf(&mut inbox).await.unwrap() > 0, "it is closed");
    }
}

fn made(make: impl Fn(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    make(&mut out);
    out.to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_messages() {
    let stand = Stand::new().await;
    let times = |count: usize, bytes: Vec<u8>| (0..count / 1000).map(move |_| bytes.repeat(1000));
    flood(&stand, times(100_000, made(client::put_sync)), &[(b'Z', 100_000), (b'E', 0)]).await;
    stand.is_well("100,000 Syncs").await;
    let blank = made(|out| client::put_parse(out, b"", b";", &[]));
    let parses = times(100_000, blank).chain([made(client::put_sync)]);
    flood(&stand, parses, &[(b'1', 100_000), (b'Z', 1), (b'E', 0)]).await;
    stand.is_well("100,000 Parse").await;
    let unknown = made(|out| {
        client::put_describe(out, Kind::Statement, b"none");
        client::put_sync(out);
    });
    flood(&stand, times(10_000, unknown), &[(b'E', 10_000), (b'Z', 10_000)]).await;
    stand.is_well("10,000 Describe").await;
    let begin = made(|out| client::put_parse(out, b"", b"SELECT 1", &[]));
    let flushes = [begin].into_iter().chain(times(100_000, made(client::put_flush))).chain([made(client::put_sync)]);
    flood(&stand, flushes, &[(b'1', 1), (b'Z', 1), (b'E', 0)]).await;
    stand.is_well("100,000 Flushes").await;
    let empty = times(20_000, made(|out| client::put_query(out, b"")));
    flood(&stand, empty, &[(b'I', 20_000), (b'Z', 20_000)]).await;
    stand.is_well("20,000 empty queries").await;
    let failing = made(|out| {
        client::put_parse(out, b"", b"SELECT nothing FROM nowhere", &[]);
        client::put_sync(out);
    });
    flood(&stand, times(20_000, failing), &[(b'E', 20_000), (b'Z', 20_000)]).await;
    stand.ends_well(32 * MIB).await;
}

/// Statements that the server session has already are prepared and closed without asking it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_answers_that_the_server_is_not_asked_for() {
    let stand = Stand::new().await;
    let sleep = |seconds: &str| {
        let sql = format!("SELECT pg_sleep({seconds})");
        made(move |out| {
            client::put_parse(out, b"", sql.as_bytes(), &[]);
            client::put_bind(out, b"", b"");
            client::put_execute(out, b"");
        })
    };
    let pair = made(|out| {
        client::put_parse(out, b"x", b"SELECT 1", &[]);
        client::put_close(out, Kind::Statement, b"x");
    });
    // All of it is answered, although nothing but the last message asks for answers.
    let all = [sleep("0.3")].into_iter().chain((0..20).map(|_| pair.repeat(1000))).chain([made(client::put_sync)]);
    let all: Vec<_> = all.collect();
    flood(&stand, all.into_iter(), &[(b'1', 20_001), (b'2', 1), (b'3', 20_000), (b'Z', 1), (b'E', 0)]).await;
    stand.is_well("20,000 pairs").await;
    // And they wait for the first answer, and the client for them.
    let mut raw = client_of(stand.plain_port(), stand.own()).await;
    raw.send(&[sleep("5"), made(client::put_flush)].concat()).await;
    let (many, before) = (pair.repeat(10_000), resident());
    for _ in 0..100 {
        if tokio::time::timeout(Duration::from_secs(1), raw.send(&many)).await.is_err() {
            break;
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} KiB are kept for a client that does not wait");
    drop(raw);
    stand.ends_well(24 * MIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_long_messages() {
    let stand = Stand::new().await;
    let mut raw = client_of(stand.plain_port(), stand.own()).await;
    for length in [(1 << 20) - 100, (1 << 20) + 1, 3 << 20] {
        let rows = raw.query(&format!("SELECT length('{}')", "x".repeat(length))).await;
        assert_eq!(value(&rows).unwrap(), length.to_string());
    }
    stand.is_well("long statements").await;
    // A name that is too long to be looked at as a whole ends the connection.
    let mut other = client_of(stand.plain_port(), stand.own()).await;
    other.say(|out| client::put_parse(out, b"name", "x".repeat(2 << 20).as_bytes(), &[])).await;
    assert_eq!(code(&other.until(server::ERROR).await), "08P01");
    stand.is_well("a long named statement").await;
}

/// 300 MB in one parameter, in pieces that are never together anywhere but at the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parameter_of_300_megabytes() {
    const LENGTH: usize = 300 << 20;
    let stand = Stand::new().await;
    let mut raw = client_of(stand.plain_port(), stand.own()).await;
    let mut head = BytesMut::new();
    client::put_parse(&mut head, b"", b"SELECT length($1::text)", &[]);
    raw.send(&head).await;
    let names = b"\0\0\0\0\0\x01";
    let length = u32::try_from(LENGTH).unwrap();
    let total = 4 + u32::try_from(names.len()).unwrap() + 4 + length + 2;
    raw.send(&[b"B", &total.to_be_bytes()[..], names, &length.to_be_bytes()].concat()).await;
    let chunk = vec![b'x'; 1 << 20];
    let mut most = 0;
    for _ in 0..LENGTH / chunk.len() {
        assert!(raw.send(&chunk).await);
        most = most.max(resident());
    }
    raw.say(|out| {
        bytes::BufMut::put_slice(out, b"\0\0");
        client::put_execute(out, b"");
        client::put_sync(out);
    })
    .await;
    let heard = raw.until(server::READY).await;
    assert_eq!((tags(&heard).as_str(), value(&heard)), ("12DCZ", Some(LENGTH.to_string())));
    println!("at most {} KiB more while it was passed on", most - stand.before.min(most));
    assert!(most < stand.before + 16 * MIB);
    stand.ends_well(16 * MIB).await;
}

/// Messages on a connection whose client never reads: what is answered is not kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads() {
    let stand = Stand::new().await;
    let mut deaf = Vec::new();
    for _ in 0..8 {
        let socket = TcpStream::connect(("127.0.0.1", stand.plain_port())).await.unwrap();
        socket2::SockRef::from(&socket).set_recv_buffer_size(4096).unwrap();
        let mut raw = Raw::over(socket).log_in(0, "shared_0", "shared-0").await;
        let sync = made(client::put_sync).repeat(100_000);
        let sending = tokio::spawn(async move {
            let _ = tokio::time::timeout(Duration::from_millis(500), raw.send(&sync)).await;
            raw
        });
        deaf.push(sending.await.unwrap());
    }
    stand.is_well("clients that do not read").await;
    stand.ends_well(16 * MIB).await;
    drop(deaf);
}
