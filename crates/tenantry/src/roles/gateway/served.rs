//! A gateway in this process: feed, doors and listener wired together, started and stopped as one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tenantry_control::deps::Secrets;
use tenantry_dataplane::{Dataplane, RootKey};
use tenantry_domain::access::Issuer;
use tenantry_domain::code::{Code, Kind};
use tenantry_gateway::feed::{self, Feed};
use tenantry_gateway::reload::{Entry, Source};
use tenantry_gateway::{Admin, Doors, Gateway, Ports, Settings, Table, Tls};
use tokio::net::TcpListener;

use super::tokens::Issued;
use crate::exit::{Failure, Result};
use crate::roles::installation::{chain, refuse_foreign_key};

/// What a gateway is started with.
pub struct Wanted {
    /// PostgreSQL of the control plane.
    pub database_url: SecretString,
    /// Everything secret is derived from it.
    pub root: RootKey,
    /// Where the cells' URLs come from.
    pub secrets: Arc<dyn Secrets>,
    /// Whose access tokens are believed.
    pub issuers: Vec<Issuer>,
    /// Where PostgreSQL clients connect.
    pub listener: TcpListener,
    /// Bounds and choices.
    pub settings: Settings,
    /// Certificate and key, if there are.
    pub tls: Option<Tls>,
    /// Where the table is kept; nowhere if absent.
    pub routes_file: Option<PathBuf>,
    /// The password of the administrator's console; closed if absent.
    pub admin: Option<SecretString>,
    /// What the settings are made of, and where they are read again; absent if they stay as they are.
    pub config: Option<(Vec<Entry>, Arc<dyn Source>)>,
}

/// A gateway at work.
pub struct Served {
    /// The listener and its workers.
    pub gateway: Gateway,
    /// What fills its table.
    pub feed: Feed,
}

impl Served {
    /// Starts once the table is filled.
    ///
    /// # Errors
    /// Nothing fills it, or the address cannot be used.
    pub async fn start(wanted: Wanted) -> Result<Self> {
        let Wanted { database_url, root, secrets, issuers, listener, settings, tls, routes_file, admin, config } =
            wanted;
        let store = feed::store(&database_url).map_err(|error| {
            Failure::local(Kind::Invalid, "The control database's URL cannot be used", error)
                .hint("Set TENANTRY_DATABASE_URL to `postgres://user:password@host:port/database`.")
        })?;
        // With a routes' file a gateway starts without the database; the key of the file is derived from the right root key.
        let looked = tokio::time::timeout(Duration::from_secs(2), refuse_foreign_key(&store, &root)).await;
        looked.unwrap_or(Ok(()))?;
        let table = Table::default();
        let file = routes_file.map(|path| feed::File::new(path, root.derive("gateway-table", &[])));
        let options = feed::Options { file, ..feed::Options::default() };
        let feed = Feed::start(store, table.clone(), options).await.map_err(|error| {
            let hint = match &error {
                feed::StartError::Database(_) => {
                    "The login needs the role `tenantry_gateway`, and the database to be migrated by `tenantry migrate`."
                }
                feed::StartError::Away(_) => "Check TENANTRY_DATABASE_URL. With --routes-file a gateway starts without it.",
                feed::StartError::File { .. } => "Check TENANTRY_DATABASE_URL, or give the file of another gateway.",
            };
            Failure::new(Code::DatabaseUnavailable, chain(&error)).title("The gateway knows no tenants").hint(hint)
        })?;
        let dataplane = Dataplane::new(feed.installation(), root.clone(), tenantry_dataplane::Options::default());
        let read = move |reference: &_| match secrets.read(reference) {
            Ok(url) => Some(url),
            Err(error) => {
                tracing::error!(%error, "the URL of a cell cannot be read");
                None
            }
        };
        let (asked, seen) = (feed.handle(), feed.handle());
        let ports = Ports {
            table,
            doors: Doors::new(dataplane, Arc::new(read)),
            tokens: Issued::of(&issuers),
            tls,
            ask: Arc::new(move || asked.look()),
            mock: root.derive("gateway-mock", &[]),
            admin: admin.as_ref().map(|password| Admin::new(password, seen)),
            config,
        };
        let broken = |error: &dyn std::error::Error| Failure::broken("The gateway cannot be started", chain(error));
        let address = listener.local_addr().map_err(|error| broken(&error))?;
        let gateway = Gateway::on(listener, address, settings, ports).map_err(|error| broken(&error))?;
        Ok(Self { gateway, feed })
    }

    /// Stops: sessions end when their transaction does, or after `grace`; the table goes to its file.
    pub async fn stop(self, grace: Duration) {
        self.gateway.stop(grace).await;
        self.feed.stop().await;
    }
}
