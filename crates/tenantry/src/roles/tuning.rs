//! How the brain of a process is tuned. The defaults suit production.

use std::net::SocketAddr;
use std::time::Duration;

use tenantry_control::domains::DnsOptions;
use tenantry_control::guard::{GuardOptions, Terms};
use tenantry_control::{Options, PoolWants};
use tenantry_domain::access::BaseDomain;
use tenantry_domain::gateway::Address;

use crate::exit::{Failure, Result};
use crate::roles::governance::{Policy, Refresher};
use crate::roles::issuers::{self, Issuers};
use crate::roles::mail::Mail;
use crate::roles::notify::Notify;
use crate::roles::pools::Identity;
use crate::roles::rates::Rates;
use crate::roles::streams::Streams;
use crate::roles::webhooks::Webhooks;

/// Settings of controllers and workflows.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Tuning")]
pub struct Tuning {
    /// How long a replica that died keeps a workflow from the others
    #[arg(long, env = "TENANTRY_LEASE", default_value = "2s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    lease: Duration,
    /// Time between two looks for drift
    #[arg(long, env = "TENANTRY_SWEEP", default_value = "30s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    sweep: Duration,
    /// Time between two looks of the guard at a cell; `off` looks on request only
    #[arg(long, env = "TENANTRY_GUARD_EVERY", default_value = "10m", value_name = "DURATION", value_parser = period)]
    guard_every: Period,
    /// Time between two runs of the leak probe at a cell; it makes two canary tenants per app and level there
    #[arg(long, env = "TENANTRY_PROBE_EVERY", default_value = "off", value_name = "DURATION", value_parser = period)]
    probe_every: Period,
    /// File with findings that the guard accepts, logins of backups and trusted contexts, as JSON
    #[arg(long, env = "TENANTRY_GUARD_TERMS", value_name = "FILE", value_parser = terms)]
    guard_terms: Option<Terms>,
    /// Time between two measurements of what tenants' data takes on a cell; `off` measures nothing
    #[arg(long, env = "TENANTRY_STORAGE_EVERY", default_value = "5m", value_name = "DURATION", value_parser = period)]
    storage_every: Period,
    /// Schemas kept ready for new tenants, per cell and app
    #[arg(long, env = "TENANTRY_READY_SCHEMAS", default_value_t = 2, value_name = "COUNT")]
    ready_schemas: usize,
    /// Databases kept ready for new tenants, per cell and app
    #[arg(long, env = "TENANTRY_READY_DATABASES", default_value_t = 1, value_name = "COUNT")]
    ready_databases: usize,
    /// Domain below which every tenant has a subdomain; several, separated by commas
    #[arg(long = "base-domain", env = "TENANTRY_BASE_DOMAINS", value_delimiter = ',', value_name = "DOMAIN")]
    base_domains: Vec<BaseDomain>,
    /// DNS server that the proofs of tenants' own domains are asked of, address:port; several, separated by commas; the system's if absent
    #[arg(long = "dns-server", env = "TENANTRY_DNS_SERVERS", value_delimiter = ',', value_name = "ADDRESS")]
    dns_servers: Vec<SocketAddr>,
    /// File with the issuers whose access tokens name tenants, as YAML or JSON
    #[arg(long, env = "TENANTRY_ISSUERS_FILE", value_name = "FILE", value_parser = issuers::read)]
    issuers: Option<Issuers>,
    /// Where clients find the gateway, for the connection URLs of its logins
    #[arg(long, env = "TENANTRY_GATEWAY_URL", value_name = "URL")]
    gateway_url: Option<Address>,
    #[command(flatten)]
    rates: Rates,
    #[command(flatten)]
    mail: Mail,
    #[command(flatten)]
    notify: Notify,
    #[command(flatten)]
    webhooks: Webhooks,
    #[command(flatten)]
    streams: Streams,
    /// Says that this installation serves nobody: settings that suit tests alone, such as --webhooks-lab, are refused without it
    #[arg(long, env = "TENANTRY_LABORATORY")]
    laboratory: bool,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    policy: Policy,
}

/// A time between looks, or none.
#[derive(Debug, Clone, Copy)]
struct Period(Option<Duration>);

/// A shorter time leaves a large cell no rest.
const SHORTEST_PERIOD: Duration = Duration::from_secs(1);

fn period(text: &str) -> std::result::Result<Period, String> {
    if text == "off" {
        return Ok(Period(None));
    }
    let every = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    Ok(Period((!every.is_zero()).then(|| every.max(SHORTEST_PERIOD))))
}

fn terms(path: &str) -> std::result::Result<Terms, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| format!("{error}; see docs/guard.md for its form"))
}

/// A shorter lease is lost to every hiccup of the network.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

impl Tuning {
    /// The settings as the brain takes them, and what keeps the rules fresh.
    ///
    /// # Errors
    /// A setting of policy, of rates, of mail, of webhooks, of streams, of notifications or of the identity provider cannot be used.
    pub fn options(&self) -> Result<(Options, Option<Refresher>)> {
        if self.webhooks.is_lab() && !self.laboratory {
            return Err(Failure::usage("`--webhooks-lab` lets whoever can make an endpoint reach what listens on this machine").hint(
                "Leave TENANTRY_WEBHOOKS_LAB out. In a laboratory that serves nobody say so by TENANTRY_LABORATORY=true; on a \
                 developer's machine use `tenantry dev --webhooks-lab`.",
            ));
        }
        let (governance, refresher) = self.policy.set_up()?;
        let options = Options {
            governance,
            lease: self.lease.max(SHORTEST_LEASE),
            sweep: self.sweep.max(SHORTEST_LEASE),
            storage: self.storage_every.0,
            guard: GuardOptions {
                every: self.guard_every.0,
                probe: self.probe_every.0,
                terms: self.guard_terms.clone().unwrap_or_default(),
            },
            pool: PoolWants { schema: self.ready_schemas, database: self.ready_databases },
            base_domains: self.base_domains.clone(),
            dns: DnsOptions { servers: self.dns_servers.clone(), ..DnsOptions::default() },
            issuers: self.issuers.clone().unwrap_or_default().0,
            operators: self.issuers.clone().unwrap_or_default().1,
            gateway: self.gateway_url.clone(),
            rates: self.rates.options()?,
            members: self.mail.options()?,
            webhooks: self.webhooks.options(),
            streams: self.streams.options()?,
            notify: self.notify.options()?,
            identity: self.identity.provider(&self.issuers.clone().unwrap_or_default().0)?,
            ..Options::default()
        };
        Ok((options, refresher))
    }
}
