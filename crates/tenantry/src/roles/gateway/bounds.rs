//! Bounds of a gateway on the command line. Each holds for one process.

use std::time::Duration;

use tenantry_gateway::Settings;

/// See the module.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Bounds")]
pub struct Bounds {
    /// Threads; a tenant lives on one of them
    #[arg(long, env = "TENANTRY_GATEWAY_WORKERS", default_value_t = 2, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Most client connections
    #[arg(long, env = "TENANTRY_GATEWAY_CLIENTS", default_value_t = 10_000, value_name = "COUNT")]
    clients: usize,
    /// Most sessions on one PostgreSQL server, by this gateway
    #[arg(long, env = "TENANTRY_GATEWAY_SERVER_SESSIONS", default_value_t = 80, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    server_sessions: u32,
    /// Most sessions with a login that tenants share
    #[arg(long, env = "TENANTRY_GATEWAY_SHARED_SESSIONS", default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    shared_sessions: u32,
    /// Most of them for one tenant at a time, unless its plan says less
    #[arg(long, env = "TENANTRY_GATEWAY_TENANT_SESSIONS", default_value_t = 8, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    tenant_sessions: u32,
    /// Most sessions with a tenant's own login, unless its plan says less
    #[arg(long, env = "TENANTRY_GATEWAY_OWN_SESSIONS", default_value_t = 10, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    own_sessions: u32,
    /// Longest time a statement may run, unless its tenant's plan says less
    #[arg(long, env = "TENANTRY_GATEWAY_STATEMENT", default_value = "5m", value_name = "DURATION", value_parser = humantime::parse_duration)]
    statement: Duration,
    /// Longest time a transaction may be idle
    #[arg(long, env = "TENANTRY_GATEWAY_IDLE_IN_TRANSACTION", default_value = "1m", value_name = "DURATION", value_parser = humantime::parse_duration)]
    idle_in_transaction: Duration,
    /// How long a client waits for a session, and for a tenant that is on its way
    #[arg(long, env = "TENANTRY_GATEWAY_CLIENT_WAIT", default_value = "10s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    client_wait: Duration,
    /// How far a standby may be behind its primary to be read from; not knowing how far counts as too far
    #[arg(long, env = "TENANTRY_GATEWAY_STALENESS", default_value = "10s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    staleness: Duration,
    /// How long a login may take
    #[arg(long, env = "TENANTRY_GATEWAY_LOGIN", default_value = "10s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    login: Duration,
    /// Tenants that metrics name; the others are counted together
    #[arg(long, env = "TENANTRY_GATEWAY_TENANTS_COUNTED", default_value_t = 500, value_name = "COUNT")]
    tenants_counted: usize,
}

impl Bounds {
    /// As the gateway wants them.
    pub fn settings(&self, domains: Vec<String>, allow_plain: bool) -> Settings {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let mut settings = Settings {
            workers: usize::from(self.workers),
            clients: self.clients,
            login: self.login,
            hold: self.client_wait,
            statement: self.statement,
            idle_in_transaction: self.idle_in_transaction,
            staleness: self.staleness,
            tenants_counted: self.tenants_counted,
            domains,
            allow_plain,
            ..Settings::default()
        };
        settings.pool.server = count(self.server_sessions);
        settings.pool.shared = count(self.shared_sessions);
        settings.pool.per_tenant = count(self.tenant_sessions);
        settings.pool.own = count(self.own_sessions);
        settings.pool.wait = self.client_wait;
        settings
    }
}
