//! `tenantry dev`: the whole product on this machine, from one command.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde_json::{Value, json};
use tenantry_control::Options;
use tenantry_control::domains::DnsOptions;
use tenantry_domain::access::BaseDomain;
use tenantry_domain::name::EnvironmentName;

use super::governance::Policy;
use super::issuers::{self, Issuers};
use super::local::{Local, Wanted};
use super::mail::Mail;
use super::notify::Notify;
use super::pools::Identity;
use super::rates::Rates;
use super::webhooks::Webhooks;
use super::{samples, signals};
use crate::config::{self, File};
use crate::exit::{Failure, INTERRUPTED, Result};
use crate::globals::Globals;
use crate::output::{Output, Paint};
use crate::telemetry::LogArgs;

/// Where data are when nothing else is said.
const DATA_DIR: &str = ".tenantry";

/// Present as long as the example has not been applied to the end.
const PENDING: &str = "example.pending";

/// Run everything on this machine: a private PostgreSQL, the control plane, an example
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Ctrl-C stops everything; starting again goes on with the same data. Other commands find the address and
the token by themselves, since `dev` writes them to the context file.

Examples:
  tenantry dev
  tenantry dev --example none --data-dir /srv/tenantry-dev
  TENANTRY_DATABASE_URL=postgres://… tenantry dev"
)]
pub struct Args {
    /// Folder for database, keys and token [default: ./.tenantry]
    #[arg(long, env = "TENANTRY_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Use this PostgreSQL instead of a private one
    #[arg(long, env = "TENANTRY_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<SecretString>,
    /// Address to serve the API on [default: 127.0.0.1:7070 or the next free port]
    #[arg(long, env = "TENANTRY_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Folder of `initdb` and `postgres`
    #[arg(long, env = "TENANTRY_PG_BIN", value_name = "FOLDER")]
    pg_bin: Option<PathBuf>,
    /// Port of the private PostgreSQL [default: a free one]
    #[arg(long, env = "TENANTRY_PG_PORT", value_name = "PORT")]
    pg_port: Option<u16>,
    /// What to load [default: chat, when the data folder is new]
    #[arg(long, value_enum)]
    example: Option<Example>,
    /// Domain below which every tenant has a subdomain; several, separated by commas
    #[arg(
        long = "base-domain",
        env = "TENANTRY_BASE_DOMAINS",
        value_delimiter = ',',
        value_name = "DOMAIN",
        default_value = "localhost"
    )]
    base_domains: Vec<BaseDomain>,
    /// DNS server that the proofs of tenants' own domains are asked of, address:port; several, separated by commas; the system's if absent
    #[arg(long = "dns-server", env = "TENANTRY_DNS_SERVERS", value_delimiter = ',', value_name = "ADDRESS")]
    dns_servers: Vec<SocketAddr>,
    /// File with the issuers whose access tokens name tenants, as YAML or JSON
    #[arg(long, env = "TENANTRY_ISSUERS_FILE", value_name = "FILE", value_parser = issuers::read)]
    issuers: Option<Issuers>,
    #[command(flatten)]
    rates: Rates,
    #[command(flatten)]
    mail: Mail,
    #[command(flatten)]
    notify: Notify,
    #[command(flatten)]
    webhooks: Webhooks,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    policy: Policy,
    /// Leave the context file as it is
    #[arg(long, help_heading = "Options")]
    no_context: bool,
    /// Tell what happens as JSON lines
    #[arg(long, help_heading = "Options")]
    json: bool,
    #[command(flatten)]
    log: LogArgs,
}

/// An example product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Example {
    /// A chat product with three customers, one per isolation level
    Chat,
    /// Nothing
    None,
}

/// Runs until a signal comes.
///
/// # Errors
/// Something that it needs is missing or went away.
pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let file = globals.file()?;
    args.log.start(&file, "warn")?;
    let tell = Tell { output: globals.output(), json: args.json };
    let end = signals::end()?;
    tokio::pin!(end);
    let mut local = tokio::select! {
        local = start(&args, &file, globals, &tell) => local?,
        signal = &mut end => {
            return Err(Failure::ended(format!("Stopped by {signal} while starting"), "").exit(INTERRUPTED));
        }
    };
    let failure = tokio::select! {
        signal = &mut end => {
            tell.say(json!({ "event": "stopping", "signal": signal }), || "stopping".to_owned())?;
            None
        }
        failure = local.failed() => Some(failure),
    };
    let again = signals::end()?;
    tokio::select! {
        stopped = local.stop() => match failure {
            Some(failure) => return Err(failure),
            None => stopped?,
        },
        // The private server stops by itself when this process is gone.
        signal = again => {
            return Err(Failure::ended(format!("Stopped by {signal} while stopping"), "").exit(INTERRUPTED));
        }
    }
    tell.say(json!({ "event": "stopped" }), || "stopped; the data stay".to_owned())
}

async fn start(args: &Args, file: &File, globals: &Globals, tell: &Tell) -> Result<Local> {
    let data_dir = args.data_dir.clone().or_else(|| file.data_dir.clone()).unwrap_or_else(|| DATA_DIR.into());
    let (governance, rules) = args.policy.set_up()?;
    let wanted = Wanted {
        data_dir,
        database_url: args.database_url.clone().or_else(|| file.database_url.clone()),
        pg_bin: args.pg_bin.clone().or_else(|| file.pg_bin.clone()),
        pg_port: args.pg_port.or(file.pg_port),
        listen: args.listen.or(file.listen),
        has_gateway: true,
        is_durable: true,
        keeps_cell: false,
        options: Options {
            base_domains: args.base_domains.clone(),
            dns: DnsOptions { servers: args.dns_servers.clone(), ..DnsOptions::default() },
            issuers: args.issuers.clone().unwrap_or_default().0,
            operators: args.issuers.clone().unwrap_or_default().1,
            rates: args.rates.options()?,
            members: args.mail.options()?,
            webhooks: args.webhooks.options(),
            notify: args.notify.options()?,
            identity: args.identity.provider(&args.issuers.clone().unwrap_or_default().0)?,
            governance,
            ..Options::default()
        },
        rules,
    };
    // Not the file's: that is what an earlier `dev` wrote there.
    let environment = globals.environment(&File::default())?;
    tell.say(json!({ "event": "starting", "dataDir": wanted.data_dir }), || "starting".to_owned())?;
    let local = Local::start(wanted, &environment).await?;
    match welcome(args, &local, globals, environment, tell).await {
        Ok(()) => Ok(local),
        Err(failure) => {
            if let Err(error) = local.stop().await {
                tracing::warn!(%error, "stopping");
            }
            Err(failure)
        }
    }
}

/// What happens between the first answer of the API and the invitation to use it.
async fn welcome(
    args: &Args,
    local: &Local,
    globals: &Globals,
    environment: EnvironmentName,
    tell: &Tell,
) -> Result<()> {
    let context = if args.no_context { None } else { context(local, globals, environment.as_str(), tell)? };
    example(args.example, local, environment, tell).await?;
    let token_file = local.folder().path().join("admin.token");
    let ready = json!({
        "event": "ready",
        "url": local.installation().url(),
        "dataDir": local.folder().path(),
        "tokenFile": token_file,
        "contextFile": context,
        "gateway": local.gateway(),
        "postgresPort": local.server().map(super::postgres::Server::port),
        "pid": std::process::id(),
    });
    tell.say(ready, || summary(local, &token_file, context.as_deref(), tell.output))
}

/// Keeps the address and token for later commands; tells when that would overwrite the user's own file.
fn context(local: &Local, globals: &Globals, environment: &str, tell: &Tell) -> Result<Option<PathBuf>> {
    let Some(path) = globals.config().or_else(config::default_path) else { return Ok(None) };
    let is_written = config::save_context(&path, &local.installation().url(), local.token(), environment)?;
    if is_written {
        return Ok(Some(path));
    }
    tell.say(json!({ "event": "contextKept", "contextFile": path }), || {
        format!("{} is your own file and stays as it is; give --url and TENANTRY_TOKEN to commands", path.display())
    })?;
    Ok(None)
}

async fn example(wanted: Option<Example>, local: &Local, environment: EnvironmentName, tell: &Tell) -> Result<()> {
    let pending = local.folder().path().join(PENDING);
    let wrong = |error: std::io::Error| Failure::broken("The data folder cannot be written", error);
    match wanted {
        Some(Example::Chat) => fs::write(&pending, "chat\n").map_err(wrong)?,
        None if local.folder().is_new() => fs::write(&pending, "chat\n").map_err(wrong)?,
        // What was interrupted is taken up again.
        None => {}
        Some(Example::None) => {
            let _ = fs::remove_file(&pending);
        }
    }
    if !pending.exists() {
        return Ok(());
    }
    tell.say(json!({ "event": "applying", "example": "chat" }), || {
        "applying the example: three customers of a chat product".to_owned()
    })?;
    let client = local.client(environment)?;
    samples::apply(&client, &samples::chat(&local.folder().path().join("examples/chat"))?).await?;
    fs::remove_file(&pending).map_err(wrong)
}

fn summary(local: &Local, token_file: &Path, context: Option<&Path>, output: Output) -> String {
    let url = local.installation().url();
    let mut lines = vec![output.paint(Paint::Good, "tenantry is ready")];
    let mut row = |name: &str, value: String| lines.push(format!("  {name:<12}{value}"));
    row("API", if local.is_moved() { format!("{url} (7070 is taken)") } else { url });
    row("data", local.folder().path().display().to_string());
    if let Some(server) = local.server() {
        row("PostgreSQL", format!("127.0.0.1:{}, log in {}", server.port(), server.log().display()));
    }
    if let Some(gateway) = local.gateway() {
        row("gateway", format!("{gateway}, for PostgreSQL clients of tenants"));
    }
    row("token", token_file.display().to_string());
    if let Some(context) = context {
        row("context", format!("{} (commands need no flags)", context.display()));
    }
    let files = local.folder().path().join("examples/chat/manifests");
    lines.push("\nIn another terminal:".to_owned());
    lines.push("  tenantry get tenants".to_owned());
    lines.push("  tenantry describe tenant acme".to_owned());
    lines.push(format!("  tenantry plan -f {}", files.join("tenants").display()));
    lines.push("  tenantry logins create acme-app --tenant acme   # psql opens the URL that it prints".to_owned());
    lines.push("  tenantry suspend acme --reason commercial".to_owned());
    lines.push(output.paint(Paint::Faint, "\nCtrl-C stops everything; the data stay."));
    lines.join("\n")
}

/// What happens, for people or as JSON lines.
struct Tell {
    output: Output,
    json: bool,
}

impl Tell {
    fn say(&self, event: Value, text: impl FnOnce() -> String) -> Result<()> {
        if self.json { self.output.line(&event.to_string()) } else { self.output.line(&text()) }
    }
}
