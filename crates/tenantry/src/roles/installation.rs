//! A control plane in this process: database, hands, brain and door wired together, started and stopped as one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_control::deps::{Secrets, SystemClock, mint};
use tenantry_control::{Ctx, Deps, Options, Runtime, tokens};
use tenantry_dataplane::{Dataplane, RootKey};
use tenantry_domain::code::{Code, Kind};
use tenantry_domain::id::InstallationId;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::{Actor, ActorKind, Rights};
use tenantry_pg::migrate::Applied;
use tenantry_pg::{PoolOptions, Target};
use tenantry_store::{CursorKey, SchemaFit, Store, StoreError, StoreOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::governance::Refresher;
use super::pools;
use crate::exit::{Failure, Result};

/// What an installation is made of.
pub struct Parts {
    /// PostgreSQL of the control plane.
    pub database_url: SecretString,
    /// Everything secret is derived from it.
    pub root: RootKey,
    /// Where the cells' URLs come from.
    pub secrets: Arc<dyn Secrets>,
    /// Settings of the brain.
    pub options: Options,
    /// What keeps the operator's rules fresh.
    pub rules: Option<Refresher>,
    /// The most connections to the control database.
    pub connections: usize,
    /// Bounds of the door.
    pub door: tenantry_server::Options,
    /// A token that is known before the door opens.
    pub token: Option<Bootstrap>,
    /// What the root key is to the installation.
    pub key: KeyIs,
}

/// What a root key is to the installation that it is used on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyIs {
    /// The one that the installation was begun with, or the first one.
    Known,
    /// The one that it has from now on.
    New,
}

/// An administrator's token that was made beforehand.
pub struct Bootstrap {
    /// Its text.
    pub text: SecretString,
    /// What the record calls it.
    pub name: &'static str,
    /// On whose record its registration goes.
    pub environment: EnvironmentName,
}

/// A control plane that is at work.
pub struct Installation {
    deps: Deps,
    runtime: Runtime,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    address: SocketAddr,
    drain: Duration,
}

/// The door closes by itself in time; this much later it is not waited for any more.
const SLACK: Duration = Duration::from_secs(3);

/// The control database's handle, and the key it was opened with.
///
/// # Errors
/// The URL cannot be read.
pub fn store(database_url: &SecretString, root: &RootKey, connections: usize) -> Result<Store> {
    let target = Target::parse(database_url).map_err(|error| {
        Failure::local(Kind::Invalid, "The control database's URL cannot be used", error)
            .hint("Set TENANTRY_DATABASE_URL to `postgres://user:password@host:port/database`.")
    })?;
    let cursor_key = CursorKey::new(&root.derive("page-token", &[]));
    let pool = PoolOptions { max: connections, application: "tenantry", ..PoolOptions::default() };
    Ok(Store::new(StoreOptions { target, pool, cursor_key }))
}

/// Brings the control database up to date.
///
/// # Errors
/// It does not answer, or a migration does not fit.
pub async fn migrate(store: &Store) -> Result<Applied> {
    store.migrate().await.map_err(|error| {
        let hint = match error.sqlstate() {
            Some("3D000") => {
                "The database does not exist: create it with `createdb`, or correct the name in TENANTRY_DATABASE_URL."
            }
            Some("28P01" | "28000") => {
                "The server does not take this user with this password: correct TENANTRY_DATABASE_URL."
            }
            _ => "Check that the server answers and that the login may create a schema.",
        };
        Failure::local(Kind::Unavailable, "The control database cannot be migrated", chain(&error)).hint(hint)
    })
}

/// Reads a root key's file.
///
/// # Errors
/// It holds none.
pub fn root_key(path: &Path) -> Result<RootKey> {
    RootKey::from_file(path).map_err(|error| {
        Failure::local(Kind::Invalid, format!("The root key `{}` cannot be used", path.display()), chain(&error))
            .hint("Make one with `openssl rand -hex 32` and keep it: nothing can be read without it.")
    })
}

/// Makes sure that this release can work with the tables.
async fn fit(store: &Store) -> Result<InstallationId> {
    let unusable = |error: StoreError| {
        Failure::new(Code::DatabaseUnavailable, chain(&error)).hint(
            "Check TENANTRY_DATABASE_URL; an empty database needs `tenantry migrate` (or `serve --migrate`) first.",
        )
    };
    let installation = store.installation().await.map_err(unusable)?;
    match store.schema_fit().await.map_err(unusable)? {
        SchemaFit::Fits => Ok(installation),
        SchemaFit::Older { version, known } => Err(Failure::new(
            Code::SchemaUnfit,
            format_args!("the tables are at version {version}, this release needs {known}"),
        )
        .hint("Run `tenantry migrate` of this release first, or start with `serve --migrate`.")),
        SchemaFit::Newer { least, known } => Err(Failure::new(
            Code::SchemaUnfit,
            format_args!("the tables need a release that knows version {least}; this one knows {known}"),
        )
        .hint("Run a newer release: what this one needs of the tables was taken away.")),
    }
}

/// Refuses a root key that is not the installation's before anything is written with it. Where nothing is known yet, as before
/// the first migration, there is nothing to refuse.
///
/// # Errors
/// The key is another installation's, or was made anew by mistake.
pub async fn refuse_foreign_key(store: &Store, root: &RootKey) -> Result<()> {
    let (Ok(installation), Ok(Some(print))) = (store.installation().await, store.root_print().await) else {
        return Ok(());
    };
    if print == root.print(installation) { Ok(()) } else { Err(foreign_key()) }
}

fn foreign_key() -> Failure {
    Failure::new(Code::RootKeyForeign, "the control database was begun with another one").hint(
        "Give every process the same file, TENANTRY_ROOT_KEY_FILE; to change the key, read docs/runbooks/root-key.md.",
    )
}

async fn hold_key(store: &Store, installation: InstallationId, root: &RootKey, key: KeyIs) -> Result<()> {
    let print = root.print(installation);
    let unusable = |error: StoreError| Failure::new(Code::DatabaseUnavailable, chain(&error));
    if key == KeyIs::New {
        store.replace_root_print(&print).await.map_err(unusable)?;
        tracing::warn!(
            "this root key is the installation's from now on; cells get passwords and seals that follow from it"
        );
    }
    if store.hold_root_print(&print).await.map_err(unusable)? { Ok(()) } else { Err(foreign_key()) }
}

impl Installation {
    /// Starts on a migrated database.
    ///
    /// # Errors
    /// The database does not answer, its tables do not fit this release, the root key is not the installation's, or the token has not the form of one.
    pub async fn start(parts: Parts, listener: TcpListener) -> Result<Self> {
        let address = listener.local_addr().map_err(|error| Failure::broken("The listener is of no use", error))?;
        pools::must_be_local(&parts.options, address)?;
        let store = store(&parts.database_url, &parts.root, parts.connections)?;
        let installation = fit(&store).await?;
        hold_key(&store, installation, &parts.root, parts.key).await?;
        let dataplane = Dataplane::new(installation, parts.root.clone(), tenantry_dataplane::Options::default());
        let deps = Deps::with_ports(store, dataplane, &parts.root, parts.options, Arc::new(SystemClock), parts.secrets);
        // Before anything is written: what is written is put to the rules.
        if let Some(rules) = &parts.rules {
            rules.begin().await;
        }
        if let Some(token) = &parts.token {
            adopt(&deps, token).await?;
        }
        let stop = CancellationToken::new();
        let runtime = Runtime::start(&deps);
        if let Some(rules) = parts.rules {
            tokio::spawn(rules.run(stop.child_token()));
        }
        let drain = parts.door.drain_delay + parts.door.drain + SLACK;
        let state = tenantry_server::State::new(deps.clone(), parts.door);
        let server = tokio::spawn(tenantry_server::serve(listener, state, stop.clone()));
        Ok(Self { deps, runtime, stop, server, address, drain })
    }

    /// Where the API is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The brain's handles, for roles that look behind the API.
    pub const fn deps(&self) -> &Deps {
        &self.deps
    }

    /// Returns when the door has closed by itself, which it never should.
    pub async fn failed(&mut self) -> Failure {
        let why = match (&mut self.server).await {
            Ok(Ok(())) => "it ended".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Failure::broken("The API is not served any more", why)
    }

    /// Stops: the door lets requests in hand end while the brain takes no new work and gives its leases back.
    ///
    /// # Errors
    /// Something did not end in an orderly way; it is stopped nevertheless.
    pub async fn stop(self) -> Result<()> {
        let Self { deps, mut runtime, stop, mut server, drain, .. } = self;
        stop.cancel();
        // Side by side: whoever ends processes does not wait for one after the other.
        runtime.cease();
        let door = async {
            if tokio::time::timeout(drain, &mut server).await.is_err() {
                tracing::warn!("requests in hand did not end in time and are cut off");
                server.abort();
            }
        };
        tokio::join!(door, runtime.ended());
        let left = runtime.shutdown(&deps).await;
        deps.store().pool().close();
        left.map_err(|error| {
            Failure::new(Code::DatabaseUnavailable, chain(&error)).title("The leases could not be given back")
        })
    }
}

/// Makes sure that a token is known.
async fn adopt(deps: &Deps, token: &Bootstrap) -> Result<()> {
    let request_id = mint::request();
    let cx = Ctx {
        actor: Actor { kind: ActorKind::Service, id: "bootstrap".to_owned() },
        person: None,
        rights: Rights::all(),
        environment: token.environment.clone(),
        request_id,
        correlation_id: request_id.to_string(),
        now: deps.now(),
        idempotency: None,
    };
    tokens::adopt(&cx, deps, &token.text, token.name).await.map_err(|refusal| {
        Failure::new(refusal.code(), &refusal)
            .title("The administrator's token cannot be registered")
            .hint(refusal.hint())
    })
}

/// Mints a token's text.
///
/// # Errors
/// The system gives no randomness.
pub fn mint_token() -> std::io::Result<String> {
    tokens::mint_text()
        .map(|text| text.expose_secret().to_owned())
        .map_err(|error| std::io::Error::other(error.to_string()))
}

/// An error with its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        // Some errors say what their source says.
        let said = source.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = source.source();
    }
    text
}
