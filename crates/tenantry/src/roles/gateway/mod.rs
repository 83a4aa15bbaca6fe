//! `tenantry gateway`: PostgreSQL's protocol for the tenants of an installation. Any number of them beside each other.
//!
//! It reads routes and logins from the control database, keeps them in a file, and goes on without that database. Of a
//! cell's URL it uses address and encryption; the administrator's login in it is not needed here.

mod bounds;
mod configuration;
mod served;
mod status;
mod tokens;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secrecy::SecretString;
use tenantry_control::deps::ProcessSecrets;
use tenantry_domain::code::Kind;
use tenantry_gateway::reload::Source;
use tenantry_gateway::{Settings, Tls};
use tokio::signal::unix::SignalKind;

pub use served::{Served, Wanted};

use super::issuers::{self, Issuers};
use super::{installation, listen, migrate, signals};
use crate::exit::{Failure, Result};
use crate::globals::Globals;
use crate::telemetry::LogArgs;
use bounds::Bounds;
use configuration::Configuration;
use status::{Asked, Endpoint};

/// Serve PostgreSQL clients: one connection string, its own tenant
#[derive(Debug, clap::Args)]
#[command(
    after_help = "SIGTERM ends idle sessions at once and the others after their transaction. SIGHUP reads certificate, key
and the bounds in the file again. With --admin-password-file, `psql -U tenantry tenantry` at the gateway's address opens a console: SHOW HELP.

Example:
  export TENANTRY_DATABASE_URL=postgres://gateway:…@db.internal/tenantry?sslmode=verify-full
  export TENANTRY_ROOT_KEY_FILE=/run/secrets/root-key
  tenantry gateway --listen 0.0.0.0:6432 --tls-cert gateway.crt --tls-key gateway.key --routes-file /var/lib/tenantry/routes
  psql 'postgres://acme-app:…@db.example.com:6432/acme?sslmode=verify-full'"
)]
pub struct Args {
    /// PostgreSQL of the control plane; a login with the role `tenantry_gateway` is enough
    #[arg(long, env = "TENANTRY_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<SecretString>,
    /// File with the root key of the installation
    #[arg(long, env = "TENANTRY_ROOT_KEY_FILE", value_name = "FILE")]
    root_key_file: Option<PathBuf>,
    /// Address for PostgreSQL clients
    #[arg(long, env = "TENANTRY_GATEWAY_LISTEN", default_value = "127.0.0.1:6432", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Address of /livez, /readyz and /metrics; not for clients of tenants
    #[arg(long, env = "TENANTRY_GATEWAY_STATUS_LISTEN", default_value = "127.0.0.1:7072", value_name = "ADDRESS")]
    status_listen: SocketAddr,
    /// Chain of certificates, as PEM
    #[arg(long, env = "TENANTRY_GATEWAY_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate, as PEM
    #[arg(long, env = "TENANTRY_GATEWAY_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Let clients in that do not encrypt; for one machine or a private network only
    #[arg(long, env = "TENANTRY_GATEWAY_ALLOW_PLAIN")]
    allow_plain: bool,
    /// Where routes and logins are kept for a start without the control database
    #[arg(long, env = "TENANTRY_GATEWAY_ROUTES_FILE", value_name = "FILE")]
    routes_file: Option<PathBuf>,
    /// Domain below which a TLS server name names a tenant; several, separated by commas
    #[arg(long = "domain", env = "TENANTRY_GATEWAY_DOMAINS", value_delimiter = ',', value_name = "DOMAIN")]
    domains: Vec<String>,
    /// File with the issuers whose access tokens logins may take, as YAML or JSON
    #[arg(long, env = "TENANTRY_ISSUERS_FILE", value_name = "FILE", value_parser = issuers::read)]
    issuers: Option<Issuers>,
    /// File with the password of the console, user and database `tenantry`; no console without it
    #[arg(long, env = "TENANTRY_GATEWAY_ADMIN_PASSWORD_FILE", value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
    /// Time between "not ready" and the end of accepting, for balancers to notice
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    drain_delay: Duration,
    /// How long transactions in hand may take to end after that
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    drain: Duration,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    log: LogArgs,
}

/// The shortest password of the console.
const SHORTEST: usize = 16;

/// Serves until a signal comes.
///
/// # Errors
/// Something that it needs is missing.
pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let file = globals.file()?;
    args.log.start(&file, "info")?;
    let end = signals::end_but_hangup()?;
    let mut reload = signals::listen(SignalKind::hangup())?;
    let database_url = args.database_url.clone().or(file.database_url).ok_or_else(migrate::no_database)?;
    let key_file = args.root_key_file.clone().or(file.root_key_file).ok_or_else(|| {
        Failure::usage("No root key is given").hint("Set TENANTRY_ROOT_KEY_FILE to the file that `tenantry serve` has.")
    })?;
    let configuration = Arc::new(Configuration::new(&args, globals));
    let found = configuration.found()?;
    let wanted = Wanted {
        database_url,
        root: installation::root_key(&key_file)?,
        secrets: Arc::new(ProcessSecrets),
        issuers: args.issuers.clone().unwrap_or_default().0,
        listener: listen::bind(Some(args.listen), listen::GATEWAY).await?,
        settings: found.settings,
        tls: tls(&args)?,
        routes_file: args.routes_file.clone(),
        admin: args.admin_password_file.as_deref().map(password).transpose()?,
        config: Some((found.entries, configuration as Arc<dyn Source>)),
    };
    let served = Served::start(wanted).await?;
    let is_leaving = Arc::new(AtomicBool::new(false));
    let asked =
        Asked { meter: served.gateway.meter(), feed: served.feed.handle(), is_leaving: Arc::clone(&is_leaving) };
    let status = Endpoint::start(args.status_listen, asked).await?;
    tracing::info!(address = %served.gateway.address(), status = %status.address(), version = env!("CARGO_PKG_VERSION"),
        "serving");
    tokio::pin!(end);
    let signal = loop {
        tokio::select! {
            signal = &mut end => break signal,
            // It logs what came of it. A file system that hangs does not keep the process from its end.
            _ = reload.recv() => tokio::select! {
                signal = &mut end => break signal,
                _ = served.gateway.reload() => {}
            },
        }
    };
    tracing::info!(signal, "stopping");
    is_leaving.store(true, Ordering::Relaxed);
    tokio::time::sleep(args.drain_delay).await;
    served.stop(args.drain).await;
    Ok(())
}

/// Takes as many open files as the system gives, and says so when they are fewer than what is asked for.
fn open_files(settings: &Settings) {
    /// Connections that log in, and everything that is no connection.
    const OTHERS: usize = 1_100;
    let wanted = u64::try_from(settings.clients + settings.pool.server + OTHERS).unwrap_or(u64::MAX);
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if current < wanted {
        tracing::warn!(current, wanted, "too few open files for --clients; raise the limit (LimitNOFILE, ulimit -n)");
    }
}

fn tls(args: &Args) -> Result<Option<Tls>> {
    match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Tls::read(cert, key).map(Some).map_err(|error| {
            Failure::local(Kind::Invalid, "TLS cannot be offered", installation::chain(&error))
                .hint("Give a chain of certificates and its key as PEM.")
        }),
        _ if args.allow_plain => Ok(None),
        _ => Err(Failure::usage("Neither a certificate nor --allow-plain is given")
            .hint("Give --tls-cert and --tls-key; on one machine alone --allow-plain will do.")),
    }
}

fn password(path: &Path) -> Result<SecretString> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("The console's password in `{}` cannot be read: {error}", path.display()))
    })?;
    let text = zeroize::Zeroizing::new(text);
    if text.trim().len() < SHORTEST {
        return Err(Failure::usage(format!("The console's password has fewer than {SHORTEST} characters"))
            .hint("Make one with `openssl rand -hex 24`."));
    }
    Ok(SecretString::from(text.trim()))
}
