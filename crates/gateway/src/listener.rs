//! Takes connections, and is by what a running gateway is looked at, told and stopped.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tenantry_domain::id::TenantId;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::admin::Admin;
use crate::counts::Refusals;
use crate::doors::Doors;
use crate::front::Front;
use crate::login::{Desk, Limits, Mock, Tokens};
use crate::metrics::Meter;
use crate::orders::Workers;
use crate::reload::{Config, Difference, Entry, ReloadError, Source};
use crate::seats::{Clients, Seats};
use crate::settings::Settings;
use crate::table::Table;
use crate::tls::Tls;
use crate::worker::{Parts, View, Worker};

/// Orders that may wait for a worker; connections that find no room wait, which is what they would do anyway.
const ORDERS: usize = 4096;

/// How long threads are waited for that have nothing to do any more.
const FAREWELL: Duration = Duration::from_secs(2);
/// Administrators at a time.
const CONSOLES: usize = 8;

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The address cannot be used.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No thread can be started.
    #[error("cannot start a worker: {0}")]
    Thread(#[from] io::Error),
}

/// What a gateway is made of, beside its settings.
pub struct Ports {
    /// What is known of tenants and logins.
    pub table: Table,
    /// How tenants are reached.
    pub doors: Doors,
    /// Who verifies access tokens, if anybody.
    pub tokens: Option<Arc<dyn Tokens>>,
    /// Certificate and key, if there are.
    pub tls: Option<Tls>,
    /// Asks the feed to look at once.
    pub ask: Arc<dyn Fn() + Send + Sync>,
    /// The administrator's console, if there is one.
    pub admin: Option<Admin>,
    /// What the settings are made of, and where they are read again; without it they stay for as long as the gateway runs.
    pub config: Option<(Vec<Entry>, Arc<dyn Source>)>,
    /// From which unknown logins get a salt. The same on all gateways of an installation, so that they look like known ones.
    pub mock: Zeroizing<[u8; 32]>,
}

/// A running gateway.
pub struct Gateway {
    address: SocketAddr,
    front: Arc<Front>,
    accepting: JoinHandle<()>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Gateway {
    /// Listens and serves. Must be called inside of a tokio runtime, which takes the logins.
    ///
    /// # Errors
    /// See [`GatewayError`].
    pub async fn start(address: SocketAddr, settings: Settings, ports: Ports) -> Result<Self, GatewayError> {
        let listen = |source| GatewayError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Self::on(listener, address, settings, ports)
    }

    /// Serves on a listener that is there already.
    ///
    /// # Errors
    /// See [`GatewayError`].
    pub fn on(
        listener: TcpListener,
        address: SocketAddr,
        settings: Settings,
        ports: Ports,
    ) -> Result<Self, GatewayError> {
        let config = Config::new(settings, ports.config);
        let settings = config.settings();
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for index in 0..settings.workers.max(1) {
            let (sender, orders) = mpsc::channel(ORDERS);
            let parts = Parts {
                index,
                settings: config.share(),
                doors: ports.doors.clone(),
                table: ports.table.clone(),
                ask: Arc::clone(&ports.ask),
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let work = move || runtime.block_on(Worker::run(parts, orders));
            threads.push(thread::Builder::new().name(format!("gateway-{index}")).spawn(work)?);
            workers.push(sender);
        }
        let limits = Limits {
            deadline: settings.login,
            failures: settings.failures,
            base_domains: settings.domains.clone(),
            ..Limits::default()
        };
        let mock = Mock::new(&ports.mock);
        let table = ports.table.clone();
        let desk = Desk::new(ports.table, ports.tokens, limits, mock);
        let front = Arc::new(Front {
            desk,
            config,
            tls: ports.tls,
            workers: Workers::new(workers),
            clients: Clients::default(),
            seats: Seats::default(),
            admin: ports.admin,
            consoles: Semaphore::new(CONSOLES),
            refused: Refusals::default(),
            table,
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&front)));
        Ok(Self { address, front, accepting, threads })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads configuration, certificate and key again. What differs is given, and logged.
    ///
    /// # Errors
    /// They cannot be used; everything is as it was.
    pub async fn reload(&self) -> Result<Vec<Difference>, ReloadError> {
        self.front.reload().await
    }

    /// Begins no transaction of a tenant for at most so long, and waits until none is in hand. Whether that came true
    /// within the time.
    pub async fn hold(&self, tenant: TenantId, limit: Duration) -> bool {
        self.front.workers.hold(tenant, limit).await
    }

    /// Goes on with a tenant.
    pub async fn release(&self, tenant: TenantId) {
        self.front.workers.release(tenant).await;
    }

    /// What all workers have.
    pub async fn view(&self) -> View {
        self.front.workers.view().await
    }

    /// For whoever reads metrics, also while the gateway stops.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter::new(Arc::clone(&self.front))
    }

    /// Ends a session by its number. Whether there was one.
    pub async fn kill(&self, session: u64) -> bool {
        self.front.workers.kill(session).await
    }

    /// Takes no more connections, ends idle sessions at once, and the others when their transaction is over or after `grace`.
    pub async fn stop(self, grace: Duration) {
        self.accepting.abort();
        self.front.workers.stop(grace).await;
        drop(self.front);
        let threads = self.threads;
        // Connections that are logging in hold a way to the workers for a moment more.
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        // A console that is open holds it as well, and nothing is lost by leaving its workers to the end of the process.
        let _ = timeout(FAREWELL, joined).await;
    }
}

async fn accept(listener: TcpListener, front: Arc<Front>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let front = Arc::clone(&front);
                tokio::spawn(async move { front.greet(socket, peer).await });
            }
            Err(error) => {
                // Out of file descriptors: those who are here go on, and some of them will leave.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
