//! Bytes that no driver sends, on real connections with a real server behind them.
//!
//! After each case: nothing panicked, a normal client is served at once and sees its own row alone, and nothing of the
//! neighbour's was ever said to anybody. Memory is looked at once for all of them.

mod after;
mod before;
mod cancels;
mod during;
mod floods;
mod fuzz;

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tenantry_domain::isolation::Isolation;
use tenantry_gateway::{Gateway, Settings};
use tenantry_testkit::pg::server;

use crate::raw::{certificate, client_of, count_panics, eventually, panics, resident, sessions, value};
use crate::world::{Tenant, World};

/// What a neighbour has and nobody else may see.
const CANARY: &str = "canary-of-the-neighbour-5e1f";

/// Two tenants in the same tables, behind a gateway with TLS and one without.
struct Stand {
    world: World,
    plain: Gateway,
    folder: TempDir,
    before: usize,
}

impl Stand {
    async fn new() -> Self {
        count_panics();
        let folder = tempfile::tempdir().unwrap();
        let tls = certificate(folder.path());
        // Two workers, so that a key can be of another one; and nobody is turned away for failing too often.
        let settings = Settings {
            workers: 2,
            failures: u32::MAX,
            login: Duration::from_secs(3),
            statement: Duration::from_secs(60),
            ..Settings::default()
        };
        let world = World::new(&server().url("postgres"), &[(Isolation::Shared, 2)], settings.clone(), Some(tls)).await;
        let plain = world.another(settings, None).await;
        for (tenant, body) in world.tenants.iter().zip(["mine", CANARY]) {
            let client = world.client(tenant).await;
            client.execute("INSERT INTO note (body) VALUES ($1)", &[&body]).await.unwrap();
        }
        let mut stand = Self { world, plain, folder, before: 0 };
        stand.is_well("the beginning").await;
        stand.before = resident();
        stand
    }

    /// The one who attacks, or whose credential was stolen.
    fn own(&self) -> &Tenant {
        &self.world.tenants[0]
    }

    /// Where TLS is offered.
    fn port(&self) -> u16 {
        self.world.gateway().address().port()
    }

    /// Where it is not.
    fn plain_port(&self) -> u16 {
        self.plain.address().port()
    }

    /// Nothing panicked, and a normal client is served as if nothing had been.
    async fn is_well(&self, after: &str) {
        assert_eq!(panics(), 0, "a panic after {after}");
        let began = Instant::now();
        for port in [self.port(), self.plain_port()] {
            let mut client = client_of(port, self.own()).await;
            let rows = client.query("SELECT string_agg(body, '|') FROM note").await;
            assert_eq!(value(&rows).as_deref(), Some("mine"), "after {after}");
        }
        assert!(began.elapsed() < Duration::from_secs(2), "after {after} a client took {:?}", began.elapsed());
    }

    /// No server session runs anything, nor is in a transaction; and memory grew by no more than so many KiB.
    #[allow(clippy::print_stdout, reason = "a figure that tests show")]
    async fn ends_well(&self, most: usize) {
        self.is_well("the end").await;
        eventually("server sessions are idle", Duration::from_secs(10), async || {
            sessions(&self.world, self.own(), "state <> 'idle'").await == 0
        })
        .await;
        let grown = resident().saturating_sub(self.before);
        println!("resident memory: {} KiB before, {grown} KiB more now", self.before);
        assert!(grown <= most, "resident memory grew by {grown} KiB");
    }
}

/// Whether the neighbour's row is anywhere in what was heard.
fn leaks(heard: &[u8]) -> bool {
    heard.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}
