//! An installation on this machine alone: a data folder, a private PostgreSQL (or one that was named), keys, a
//! token, and the control plane on top. `dev` keeps it running, `demo` tells a story on it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_api::Client;
use tenantry_control::Options;
use tenantry_control::deps::{ProcessSecrets, SecretError, Secrets};
use tenantry_dataplane::RootKey;
use tenantry_domain::cell::SecretRef;
use tenantry_domain::code::Kind;
use tenantry_domain::gateway::Address;
use tenantry_domain::name::EnvironmentName;
use tenantry_pg::{PgKind, Pool, PoolOptions, Target};

use super::folder::DataFolder;
use super::gateway::{self, Served};
use super::governance::Refresher;
use super::installation::{self, Bootstrap, Installation, KeyIs, Parts, chain};
use super::listen;
use super::postgres::{Server, Settings};
use crate::exit::{Failure, Result};
use crate::random;

/// The variable that the example's cell names.
const CELL_URL: &str = "TENANTRY_CELL_URL";

/// How long requests in hand may take to end.
const DRAIN: Duration = Duration::from_secs(5);

/// How to set it up.
pub struct Wanted {
    /// The data folder.
    pub data_dir: PathBuf,
    /// A running server instead of a private one; control database and cell both.
    pub database_url: Option<SecretString>,
    /// Programs of the private server.
    pub pg_bin: Option<PathBuf>,
    /// Port of the private server.
    pub pg_port: Option<u16>,
    /// Address of the API.
    pub listen: Option<SocketAddr>,
    /// Whether a gateway runs beside it, on the usual port of this machine or the next that is free.
    pub has_gateway: bool,
    /// Whether data must survive a crash of the machine.
    pub is_durable: bool,
    /// The cell is this server, even if the environment names another one.
    pub keeps_cell: bool,
    /// Settings of the brain.
    pub options: Options,
    /// What keeps the operator's rules fresh.
    pub rules: Option<Refresher>,
}

/// A local installation at work.
pub struct Local {
    folder: DataFolder,
    server: Option<Server>,
    gateway: Option<Served>,
    installation: Installation,
    token: SecretString,
    /// The superuser's URL of the control database.
    database_url: SecretString,
    is_moved: bool,
}

/// The cell of a local installation is the server that it runs on, unless the environment names another one.
#[derive(Debug)]
struct LocalSecrets {
    cell_url: SecretString,
    keeps_cell: bool,
}

impl Secrets for LocalSecrets {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let is_cell = matches!(reference, SecretRef::Env(name) if name == CELL_URL);
        match ProcessSecrets.read(reference) {
            Ok(url) if !(is_cell && self.keeps_cell) => Ok(url),
            Err(error) if !is_cell => Err(error),
            _ => Ok(self.cell_url.clone()),
        }
    }
}

impl Local {
    /// Starts on a new folder or on one that was used before.
    ///
    /// # Errors
    /// The folder is in use, or something that is needed is missing.
    pub async fn start(wanted: Wanted, environment: &EnvironmentName) -> Result<Self> {
        let folder = DataFolder::open(&wanted.data_dir)?;
        let listener = listen::bind(wanted.listen, listen::API).await?;
        let is_moved = wanted.listen.is_none()
            && listener.local_addr().is_ok_and(|address| address.port() != listen::DEFAULT.port());
        let (server, database_url, cell_url) = match wanted.database_url {
            Some(url) => (None, url.clone(), url),
            None => {
                let settings = Settings {
                    folder: folder.path().to_owned(),
                    binaries: wanted.pg_bin,
                    port: wanted.pg_port,
                    is_durable: wanted.is_durable,
                };
                let server = Server::start(&settings).await?;
                let cell = server.url("postgres");
                create_database(&cell).await?;
                let url = server.url("tenantry");
                (Some(server), url, cell)
            }
        };
        // The key is the last thing that a fresh folder gets before work begins: it marks the folder as used.
        let root = RootKey::from_hex(&folder.secret("root.key", random::hex::<32>)?)
            .map_err(|error| Failure::local(Kind::Invalid, "The data folder's root key cannot be used", error))?;
        let token = folder.secret("admin.token", installation::mint_token)?;
        installation::migrate(&installation::store(&database_url, &root, 2)?).await?;
        let bootstrap = Bootstrap { text: token.clone(), name: "dev", environment: environment.clone() };
        let secrets = Arc::new(LocalSecrets { cell_url, keeps_cell: wanted.keeps_cell });
        let mut options = wanted.options;
        let mut gateway = None;
        if wanted.has_gateway {
            let served = start_gateway(&database_url, &root, &secrets, &options).await?;
            options.gateway = Some(gateway_address(&served)?);
            gateway = Some(served);
        }
        let parts = Parts {
            database_url: database_url.clone(),
            root,
            secrets,
            options,
            rules: wanted.rules,
            connections: 16,
            // Nobody balances load before it, so nobody has to notice that it goes.
            door: tenantry_server::Options { drain_delay: Duration::ZERO, drain: DRAIN, ..Default::default() },
            token: Some(bootstrap),
            key: KeyIs::Known,
        };
        let installation = Installation::start(parts, listener).await?;
        Ok(Self { folder, server, gateway, installation, token, database_url, is_moved })
    }

    /// The data folder.
    pub const fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// The private server, if it is ours.
    pub const fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Where PostgreSQL clients of tenants connect.
    pub fn gateway(&self) -> Option<SocketAddr> {
        self.gateway.as_ref().map(|served| served.gateway.address())
    }

    /// The control plane.
    pub const fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Whether the API is at another port because the usual one was taken.
    pub const fn is_moved(&self) -> bool {
        self.is_moved
    }

    /// The administrator's token.
    pub const fn token(&self) -> &SecretString {
        &self.token
    }

    /// The superuser's URL of a database of the server; of the control database by the name `tenantry`.
    pub fn database_url(&self, database: &str) -> SecretString {
        self.server.as_ref().map_or_else(|| self.database_url.clone(), |server| server.url(database))
    }

    /// A client with the administrator's token.
    ///
    /// # Errors
    /// The machine's certificates cannot be read.
    pub fn client(&self, environment: EnvironmentName) -> Result<Client> {
        Ok(Client::new(&self.installation.url(), SecretString::from(self.token.expose_secret()), environment)?)
    }

    /// Returns when something has ended that should not have.
    pub async fn failed(&mut self) -> Failure {
        let Some(server) = &mut self.server else { return self.installation.failed().await };
        let log = server.log();
        tokio::select! {
            failure = self.installation.failed() => failure,
            () = server.ended() => Failure::broken("The private PostgreSQL server has ended", format!("see {}", log.display())),
        }
    }

    /// Stops everything in the order of need.
    ///
    /// # Errors
    /// Something did not end in an orderly way.
    pub async fn stop(self) -> Result<()> {
        if let Some(gateway) = self.gateway {
            gateway.stop(DRAIN).await;
        }
        let stopped = self.installation.stop().await;
        if let Some(server) = self.server {
            server.stop().await?;
        }
        stopped
    }
}

/// A gateway for clients on this machine, who need no encryption to reach it.
async fn start_gateway(
    database_url: &SecretString,
    root: &RootKey,
    secrets: &Arc<LocalSecrets>,
    options: &Options,
) -> Result<Served> {
    let settings = tenantry_gateway::Settings { allow_plain: true, ..tenantry_gateway::Settings::default() };
    let secrets = Arc::clone(secrets);
    Served::start(gateway::Wanted {
        database_url: database_url.clone(),
        root: root.clone(),
        secrets,
        issuers: options.issuers.clone(),
        listener: listen::bind(None, listen::GATEWAY).await?,
        settings,
        tls: None,
        routes_file: None,
        admin: None,
        config: None,
    })
    .await
}

/// What connection strings of logins begin with.
fn gateway_address(served: &Served) -> Result<Address> {
    let text = format!("postgres://{}?sslmode=disable", served.gateway.address());
    Address::parse(&text).map_err(|error| Failure::broken("The gateway's address is of no use", error))
}

/// The control plane gets a database of its own on the private server.
async fn create_database(url: &SecretString) -> Result<()> {
    let failed = |why: String| Failure::local(Kind::Unavailable, "The control database cannot be made", why);
    let target = Target::parse(url).map_err(|error| failed(chain(&error)))?;
    let pool = Pool::new(target, PoolOptions { max: 1, ..PoolOptions::default() });
    let conn = pool.get().await.map_err(|error| failed(chain(&error)))?;
    match conn.batch_static("CREATE DATABASE tenantry").await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == PgKind::Duplicate => Ok(()),
        Err(error) => Err(failed(chain(&error))),
    }
}
