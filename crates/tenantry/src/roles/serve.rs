//! `tenantry serve`: the control plane in production, any number of them over one database.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tenantry_control::deps::ProcessSecrets;
use tenantry_domain::name::EnvironmentName;

use super::installation::{self, Bootstrap, Installation, KeyIs, Parts};
use super::{listen, migrate, signals};
use crate::exit::{Failure, INTERRUPTED, Result};
use crate::globals::{DEFAULT_ENVIRONMENT, Globals};
use crate::roles::tuning::Tuning;
use crate::telemetry::LogArgs;

/// Run the control plane on your own PostgreSQL
#[derive(Debug, clap::Args)]
#[command(
    after_help = "SIGTERM lets requests and steps in hand end, gives leases back and exits; a second one exits at once.

Example:
  export TENANTRY_DATABASE_URL=postgres://tenantry:…@db.internal/tenantry?sslmode=verify-full
  export TENANTRY_ROOT_KEY_FILE=/run/secrets/root-key
  tenantry serve --migrate --listen 0.0.0.0:7070"
)]
pub struct Args {
    /// PostgreSQL of the control plane
    #[arg(long, env = "TENANTRY_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<SecretString>,
    /// File with the root key of the installation
    #[arg(long, env = "TENANTRY_ROOT_KEY_FILE", value_name = "FILE")]
    root_key_file: Option<PathBuf>,
    /// File with the first administrator's token
    #[arg(long, env = "TENANTRY_BOOTSTRAP_TOKEN_FILE", value_name = "FILE")]
    bootstrap_token_file: Option<PathBuf>,
    /// Address to serve the API on [default: 127.0.0.1:7070]
    #[arg(long, env = "TENANTRY_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Bring the control database up to date first
    #[arg(long)]
    migrate: bool,
    /// The installation's root key was changed: go on with the one that is given
    #[arg(long)]
    new_root_key: bool,
    /// Time between "not ready" and the end of accepting, for balancers to notice
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    drain_delay: Duration,
    /// How long requests in hand may take to end after that
    #[arg(long, default_value = "20s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    drain: Duration,
    /// Most connections to the control database
    #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(2..))]
    connections: u16,
    #[command(flatten)]
    tuning: Tuning,
    #[command(flatten)]
    log: LogArgs,
}

/// Serves until a signal comes.
///
/// # Errors
/// Something that it needs is missing or went away.
pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let file = globals.file()?;
    args.log.start(&file, "info")?;
    let end = signals::end()?;
    let database_url = args.database_url.or(file.database_url).ok_or_else(migrate::no_database)?;
    let key_file = args.root_key_file.or(file.root_key_file).ok_or_else(|| {
        Failure::usage("No root key is given")
            .hint("Set TENANTRY_ROOT_KEY_FILE to a file with 64 hex digits, made once by `openssl rand -hex 32`.")
    })?;
    let root = installation::root_key(&key_file)?;
    let connections = usize::from(args.connections);
    let key = if args.new_root_key { KeyIs::New } else { KeyIs::Known };
    if args.migrate {
        let store = installation::store(&database_url, &root, 2)?;
        if key == KeyIs::Known {
            installation::refuse_foreign_key(&store, &root).await?;
        }
        installation::migrate(&store).await?;
    }
    let token = args.bootstrap_token_file.or(file.bootstrap_token_file).map(|path| bootstrap(&path)).transpose()?;
    let listener = listen::bind(Some(args.listen.or(file.listen).unwrap_or(listen::DEFAULT)), listen::API).await?;
    let door = tenantry_server::Options {
        drain: args.drain,
        drain_delay: args.drain_delay,
        ..tenantry_server::Options::default()
    };
    let secrets = Arc::new(ProcessSecrets);
    let (options, rules) = args.tuning.options()?;
    let parts = Parts { database_url, root, secrets, options, rules, connections, door, token, key };
    let mut installation = Installation::start(parts, listener).await?;
    tracing::info!(url = installation.url(), version = env!("CARGO_PKG_VERSION"), "serving");
    let failure = tokio::select! {
        signal = end => {
            tracing::info!(signal, "stopping");
            None
        }
        failure = installation.failed() => Some(failure),
    };
    let again = signals::end()?;
    let stopped = tokio::select! {
        stopped = installation.stop() => stopped,
        // Leases run out by themselves.
        signal = again => {
            return Err(Failure::ended(format!("Stopped by {signal} while stopping"), "").exit(INTERRUPTED));
        }
    };
    match failure {
        Some(failure) => Err(failure),
        None => stopped,
    }
}

fn bootstrap(path: &Path) -> Result<Bootstrap> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("The bootstrap token's file `{}` cannot be read: {error}", path.display()))
    })?;
    let environment =
        EnvironmentName::parse(DEFAULT_ENVIRONMENT).map_err(|error| Failure::broken("No environment", error))?;
    Ok(Bootstrap { text: SecretString::from(text.trim()), name: "bootstrap", environment })
}
