//! Conversations that were recorded and then damaged: flipped, cut, doubled, put in another order, spliced.
//!
//! `GATEWAY_FUZZ` is how many are held, instead of what fits into a few seconds. Chance comes from the number of the
//! conversation, so a failure can be repeated.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tenantry_testkit::pg::server as postgres;
use tenantry_wire::{client, frame, server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{CANARY, Stand, leaks};
use crate::raw::{Raw, panics};
use crate::world::{WAIT, connect, password};

/// How many are held at a time.
const AT_ONCE: usize = 24;
const USUAL: usize = 3_000;
/// No more are begun after so long, unless a number was asked for: the machine may be busy.
const ENOUGH: Duration = Duration::from_secs(15);
/// The longest that is waited for a conversation in which nothing happens any more.
const SILENCE: Duration = Duration::from_millis(120);

/// What one client sent: its start, and its messages after the login, up to each Sync or query.
#[derive(Debug, Default)]
struct Recording {
    start: Vec<u8>,
    turns: Vec<Vec<Vec<u8>>>,
}

impl Recording {
    fn of(bytes: &[u8]) -> Self {
        let mut bytes = bytes;
        let mut recording = Self::default();
        // Requests for encryption come before the start.
        while let Some((first, used)) = tenantry_wire::start::first(bytes).unwrap() {
            recording.start.extend_from_slice(&bytes[..used]);
            bytes = &bytes[used..];
            if let tenantry_wire::start::First::Start(_) = first {
                break;
            }
        }
        let mut turn = Vec::new();
        while let Some(one) = frame::whole(bytes, 1 << 20).unwrap() {
            let (message, rest) = bytes.split_at(one.len);
            bytes = rest;
            if one.tag == client::PASSWORD {
                recording.start.extend_from_slice(message);
                continue;
            }
            turn.push(message.to_vec());
            if matches!(one.tag, client::SYNC | client::QUERY | client::COPY_DONE | client::TERMINATE) {
                recording.turns.push(std::mem::take(&mut turn));
            }
        }
        assert!(turn.is_empty() && !recording.turns.is_empty());
        recording
    }
}

/// Passes one connection on, and gives what its client sent.
async fn recorder(to: u16) -> (u16, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (said, hear) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = TcpStream::connect(("127.0.0.1", to)).await.unwrap().into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut chunk = [0; 1 << 14];
        while let Ok(count @ 1..) = from_client.read(&mut chunk).await {
            said.send(chunk[..count].to_vec()).unwrap();
            to_server.write_all(&chunk[..count]).await.unwrap();
        }
    });
    (port, hear)
}

async fn recorded(mut hear: mpsc::UnboundedReceiver<Vec<u8>>) -> Recording {
    let mut all = Vec::new();
    while let Some(bytes) = timeout(WAIT, hear.recv()).await.expect("the client leaves") {
        all.extend(bytes);
    }
    Recording::of(&all)
}

/// What psql and tokio-postgres send in ordinary sessions.
async fn recordings(stand: &Stand) -> Vec<Recording> {
    let (port, hear) = recorder(stand.plain_port()).await;
    let psql = postgres().binaries().join("psql");
    let script = "SELECT * FROM note; BEGIN; INSERT INTO note (body) VALUES ('row'); SAVEPOINT a; SELECT 1/0;\n\
        ROLLBACK TO a; COMMIT; \\d note\nCOPY (SELECT * FROM note) TO STDOUT;\nSET TIME ZONE 'Europe/Berlin'; \
        SHOW timezone; DELETE FROM note WHERE body = 'row'; \\set FETCH_COUNT 1\nSELECT * FROM note;\n\
        DO $$ BEGIN RAISE NOTICE 'x'; END $$; VALUES (1), (2); SELECT 'a' \\; SELECT 'b';\n";
    let run = move || {
        let dsn = format!("host=127.0.0.1 port={port} user=shared_0 dbname=shared-0 sslmode=prefer");
        let mut command = Command::new(psql);
        command.args(["-X", "-q", "-d", &dsn, "-c", "SELECT 1"]).env("PGPASSWORD", password("shared_0"));
        for line in script.split('\n') {
            command.args(["-c", line]);
        }
        command.output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("mine"), "{output:?}");
    let mut all = vec![recorded(hear).await];
    let (port, hear) = recorder(stand.plain_port()).await;
    let dsn = stand.world.dsn_as("shared_0", "shared-0");
    let own = stand.port().to_string();
    let mut client = connect(&dsn.replace(&own, &port.to_string())).await.unwrap();
    let insert =
        client.prepare("INSERT INTO note (body, data) VALUES ($1, NULL) RETURNING id, tenant_id").await.unwrap();
    let tx = client.transaction().await.unwrap();
    tx.query(&insert, &[&"row"]).await.unwrap();
    let portal = tx.bind("SELECT body, tenant_id FROM note ORDER BY id", &[]).await.unwrap();
    tx.query_portal(&portal, 1).await.unwrap();
    tx.query_portal(&portal, 0).await.unwrap();
    tx.query("SELECT 1 FROM note WHERE body = $1 OR tenant_id::text <> $2", &[&"x", &"y"]).await.unwrap();
    tx.commit().await.unwrap();
    client.query("SELECT 1/$1::int", &[&0]).await.unwrap_err();
    client.execute("DELETE FROM note WHERE body = $1", &[&"row"]).await.unwrap();
    client.batch_execute("SELECT body FROM note; SET application_name = 'x'; SELECT 2").await.unwrap();
    let _ = client.prepare("SELECT * FROM nowhere").await;
    drop(insert);
    drop(client);
    all.push(recorded(hear).await);
    all
}

struct Dice(u64);

impl Dice {
    fn of(number: usize) -> Self {
        Self(u64::try_from(number).unwrap().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// Some turns, with messages in another order, twice, or not at all, and bytes that are others.
fn damaged(recordings: &[Recording], dice: &mut Dice) -> Vec<u8> {
    let mut messages = Vec::new();
    for _ in 0..=dice.below(4) {
        let turns = &recordings[dice.below(recordings.len())].turns;
        messages.extend_from_slice(&turns[dice.below(turns.len())]);
    }
    for _ in 0..dice.below(4) {
        let (one, other) = (dice.below(messages.len()), dice.below(messages.len()));
        match dice.below(6) {
            _ if messages.is_empty() => {}
            0 => messages.swap(one, other),
            1 => drop(messages.remove(one)),
            2 => messages.insert(other, messages[one].clone()),
            3 => messages.insert(one, vec![b"SHXEcfd"[dice.below(7)], 0, 0, 0, 4]),
            4 => {
                let at = dice.below(messages[one].len());
                let end = messages[other].len().min(at);
                let tail = messages[other][end..].to_vec();
                messages[one].truncate(at);
                messages[one].extend(tail);
            }
            _ => messages[one][0] = b"QPBDECFHSdcfXp?"[dice.below(15)],
        }
    }
    let mut bytes = messages.concat();
    for _ in 0..dice.below(4) {
        let at = dice.below(bytes.len());
        match dice.below(6) {
            _ if bytes.is_empty() => {}
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = [0, 1, 4, 0x7f, 0xff, b'\'', b';', b'$', b'Q', b'S'][dice.below(10)],
            2 => bytes.truncate(at),
            3 => drop(bytes.remove(at)),
            4 => bytes.splice(at..at, [0; 4]).for_each(drop),
            _ => {
                let end = (at + dice.below(40)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy).for_each(drop);
            }
        }
    }
    bytes
}

/// Whether the last message is not all there.
fn ends_inside(mut bytes: &[u8]) -> bool {
    while let Ok(Some(one)) = frame::whole(bytes, 1 << 24) {
        bytes = &bytes[one.len..];
    }
    !bytes.is_empty()
}

/// Everything that is said is whole messages, up to a mark, to the end of the connection, or to a long silence.
/// Whether it was closed.
async fn hears_messages(raw: &mut Raw, number: usize, foreign: &str) -> bool {
    let mut all = BytesMut::new();
    let begun = Instant::now();
    let is_closed = loop {
        match timeout(SILENCE, raw.stream.read_buf(&mut all)).await {
            // On a busy machine a message may take a while to come to its end.
            Err(_) if ends_inside(&all) && begun.elapsed() < WAIT => {}
            Err(_) => break false,
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(_)) if all.ends_with(b"Z\0\0\0\x05I") && all.windows(8).any(|part| part == b"the mark") => {
                break false;
            }
            Ok(Ok(_)) => {}
        }
    };
    assert!(!all.windows(foreign.len()).any(|window| window == foreign.as_bytes()), "conversation {number} leaks");
    let mut rest = &all[..];
    while let Some(one) = frame::whole(rest, 1 << 24).unwrap_or_else(|error| panic!("conversation {number}: {error}")) {
        let known = b"RKSZTDCEN123InstVGHWdcAv".contains(&one.tag);
        assert!(known, "conversation {number}: {}", char::from(one.tag));
        rest = &rest[one.len..];
    }
    assert!(rest.is_empty(), "conversation {number} ends in the middle of a message: {rest:?}");
    is_closed
}

async fn after_login(stand: &Stand, recordings: &[Recording], number: usize) -> bool {
    let mut dice = Dice::of(number);
    let tenant = &stand.world.tenants[number % 2];
    let foreign = [CANARY, "mine"][number % 2];
    let mut raw = crate::raw::client_of(stand.plain_port(), tenant).await;
    let bytes = damaged(recordings, &mut dice);
    for piece in bytes.chunks(1 + dice.below(bytes.len() * 2)) {
        raw.send(piece).await;
    }
    raw.say(|out| {
        client::put_sync(out);
        client::put_query(out, b"ROLLBACK");
        client::put_query(out, b"SELECT body, 'the mark' FROM note");
    })
    .await;
    hears_messages(&mut raw, number, foreign).await
}

async fn before_login(stand: &Stand, recordings: &[Recording], number: usize) -> bool {
    let mut dice = Dice::of(number);
    let mut bytes = recordings[dice.below(recordings.len())].start.clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len());
        match dice.below(4) {
            _ if bytes.is_empty() => {}
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes.truncate(at),
            2 => bytes.splice(at..at, [0, 0, 0, 8, 4, 210, 22, 47]).for_each(drop),
            _ => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
        }
    }
    let mut raw = Raw::connect([stand.port(), stand.plain_port()][dice.below(2)]).await;
    raw.send(&bytes).await;
    let _ = raw.stream.shutdown().await;
    let said = timeout(WAIT, raw.rest(WAIT)).await.unwrap().expect("it is closed");
    assert!(!leaks(&said));
    assert!(!said.windows(9).any(|part| part == b"R\0\0\0\x08\0\0\0\0"), "beginning {number} was let in");
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_conversations() {
    let stand = Arc::new(Stand::new().await);
    let recordings = Arc::new(recordings(&stand).await);
    let turns: usize = recordings.iter().map(|recording| recording.turns.len()).sum();
    assert!(turns > 20, "{turns}");
    let asked = std::env::var("GATEWAY_FUZZ").ok().and_then(|count| count.parse().ok());
    let (count, limit) = asked.map_or((USUAL, ENOUGH), |count| (count, Duration::MAX));
    let (next, closed, began) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Instant::now());
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (stand, recordings) = (Arc::clone(&stand), Arc::clone(&recordings));
            let (next, closed) = (Arc::clone(&next), Arc::clone(&closed));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || began.elapsed() > limit {
                        return;
                    }
                    let is_closed = match number % 5 {
                        0 => before_login(&stand, &recordings, number).await,
                        _ => after_login(&stand, &recordings, number).await,
                    };
                    closed.fetch_add(usize::from(is_closed), Ordering::Relaxed);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let closed = closed.load(Ordering::Relaxed);
    let count = next.load(Ordering::Relaxed).min(count);
    assert!(count >= 200, "{count}");
    println!("{count} conversations in {:?}, {closed} of them ended by the gateway", began.elapsed());
    assert_eq!(panics(), 0);
    // Nothing of one tenant was written to the other.
    for (tenant, own) in stand.world.tenants.iter().zip(["mine", CANARY]) {
        let mut raw = crate::raw::client_of(stand.plain_port(), tenant).await;
        raw.query("DELETE FROM note WHERE body LIKE '%row%'").await;
        let rows = raw.query("SELECT body FROM note WHERE body IN ('mine', 'canary-of-the-neighbour-5e1f')").await;
        assert_eq!(crate::raw::value(&rows).as_deref(), Some(own));
        assert_eq!(rows.iter().filter(|one| one.tag == server::ROW).count(), 1);
    }
    let own = stand.world.tenants[0].id.uuid();
    let strangers = stand.world.number(&stand.own().database, "SELECT count(DISTINCT tenant_id) FROM app.note").await;
    assert_eq!(strangers, 2, "rows of nobody, beside those of {own}");
    stand.world.client(stand.own()).await.execute("DELETE FROM note WHERE body <> 'mine'", &[]).await.unwrap();
    stand.ends_well(64 * 1024).await;
}
