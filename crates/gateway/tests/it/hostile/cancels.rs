//! Cancel requests of others: guessed, cut, made longer, for another worker, and with something behind them.

use std::time::Duration;

use tenantry_wire::{client, server};
use tokio::time::timeout;

use super::Stand;
use crate::raw::{Raw, client_of, code, value};
use crate::world::WAIT;

async fn request(port: u16, pid: i32, secret: &[u8]) {
    let mut raw = Raw::connect(port).await;
    raw.say(|out| client::put_cancel(out, pid, secret)).await;
    let said = raw.rest(Duration::from_secs(2)).await.expect("it is closed");
    assert!(said.is_empty(), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_key_cancels() {
    let stand = Stand::new().await;
    let port = stand.plain_port();
    for minor in [0, 2] {
        let own = Raw::connect(port).await.log_in(minor, "shared_0", "shared-0").await;
        let mut victim = client_of(port, &stand.world.tenants[1]).await;
        if minor == 2 {
            victim = Raw::connect(port).await.log_in(2, "shared_1", "shared-1").await;
        }
        let (pid, secret) = victim.key.clone().unwrap();
        assert_eq!(secret.len(), if minor == 2 { 32 } else { 4 });
        assert!(victim.say(|out| client::put_query(out, b"SELECT pg_sleep(2), 'slept'")).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut guesses: Vec<Vec<u8>> =
            (0..100_u32).map(|guess| guess.to_be_bytes().repeat(secret.len() / 4)).collect();
        guesses.extend([
            [&secret[..], &[0]].concat(),
            [&secret[..], &secret].concat(),
            [&[0; 4][..], &secret].concat(),
            own.key.clone().unwrap().1,
            secret.iter().rev().copied().collect(),
        ]);
        if minor == 2 {
            guesses.extend([4, 16, 31].map(|length| secret[..length].to_vec()));
        }
        for guess in guesses.iter().filter(|guess| **guess != secret) {
            request(port, pid, guess).await;
        }
        // The right secret, and the number of another worker, of nobody, or out of range.
        for other in [pid ^ (1 << 24), pid ^ 1, pid | i32::MIN, pid | 0x7f00_0000, -1, 0] {
            request(port, other, &secret).await;
        }
        // On the other gateway nobody has this key.
        request(stand.port(), pid, &secret).await;
        let heard = timeout(WAIT, victim.until(server::READY)).await.unwrap();
        assert_eq!(code(&heard), "", "somebody else cancelled it");
        assert_eq!(heard.iter().filter(|message| message.tag == b'D').count(), 1);
        // The right one does, whatever is behind it; and only what runs.
        assert!(victim.say(|out| client::put_query(out, b"SELECT pg_sleep(30)")).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut raw = Raw::connect(port).await;
        let smuggled = |out: &mut bytes::BytesMut| {
            client::put_cancel(out, pid, &secret);
            client::put_start(out, 0, &[("user", "shared_1"), ("database", "shared-1")]);
        };
        raw.say(smuggled).await;
        assert_eq!(raw.rest(Duration::from_secs(2)).await, Some(Vec::new()));
        assert_eq!(code(&victim.until(server::READY).await), "57014");
        for _ in 0..20 {
            request(port, pid, &secret).await;
        }
        for _ in 0..20 {
            let rows = victim.query("SELECT 'still ' || pg_sleep(0.01)::text || 'here'").await;
            assert_eq!(value(&rows).as_deref(), Some("still here"));
        }
    }
    stand.ends_well(24 * 1024).await;
}
