//! Bounds of a gateway, on the command line and in `[gateway]` of the file. Each holds for one process.
//!
//! INVARIANT: a flag or variable beats the file, also when the file is read again; and a value out of the file is checked as
//! the same one on the command line is.

use std::time::Duration;

use tenantry_gateway::Settings;
use tenantry_gateway::reload::{Entry, Origin};

use crate::config::{GatewayFile, Span};
use crate::exit::{Failure, Result};

/// The most worker threads.
const WORKERS: u32 = 64;

/// See the module.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Bounds")]
pub struct Bounds {
    /// Threads; a tenant lives on one of them [default: 2]
    #[arg(long, env = "TENANTRY_GATEWAY_WORKERS", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=i64::from(WORKERS)))]
    workers: Option<u32>,
    /// Most client connections [default: 10000]
    #[arg(long, env = "TENANTRY_GATEWAY_CLIENTS", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    clients: Option<u32>,
    /// Most sessions on one PostgreSQL server, by this gateway [default: 80]
    #[arg(long, env = "TENANTRY_GATEWAY_SERVER_SESSIONS", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    server_sessions: Option<u32>,
    /// Most sessions with a login that tenants share [default: 20]
    #[arg(long, env = "TENANTRY_GATEWAY_SHARED_SESSIONS", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    shared_sessions: Option<u32>,
    /// Most of them for one tenant at a time, unless its plan says less [default: 8]
    #[arg(long, env = "TENANTRY_GATEWAY_TENANT_SESSIONS", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    tenant_sessions: Option<u32>,
    /// Most sessions with a tenant's own login, unless its plan says less [default: 10]
    #[arg(long, env = "TENANTRY_GATEWAY_OWN_SESSIONS", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    own_sessions: Option<u32>,
    /// Longest time a statement may run, unless its tenant's plan says less [default: 5m]
    #[arg(long, env = "TENANTRY_GATEWAY_STATEMENT", value_name = "DURATION", value_parser = humantime::parse_duration)]
    statement: Option<Duration>,
    /// Longest time a transaction may be idle [default: 1m]
    #[arg(long, env = "TENANTRY_GATEWAY_IDLE_IN_TRANSACTION", value_name = "DURATION", value_parser = humantime::parse_duration)]
    idle_in_transaction: Option<Duration>,
    /// How long a client waits for a session, and for a tenant that is on its way [default: 10s]
    #[arg(long, env = "TENANTRY_GATEWAY_CLIENT_WAIT", value_name = "DURATION", value_parser = humantime::parse_duration)]
    client_wait: Option<Duration>,
    /// How far a standby may be behind its primary to be read from; not knowing how far counts as too far [default: 10s]
    #[arg(long, env = "TENANTRY_GATEWAY_STALENESS", value_name = "DURATION", value_parser = humantime::parse_duration)]
    staleness: Option<Duration>,
    /// How long a login may take [default: 10s]
    #[arg(long, env = "TENANTRY_GATEWAY_LOGIN", value_name = "DURATION", value_parser = humantime::parse_duration)]
    login: Option<Duration>,
    /// Failed logins that an address may have in a minute before it is turned away unheard [default: 20]
    #[arg(long, env = "TENANTRY_GATEWAY_FAILURES", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    failures: Option<u32>,
    /// Tenants that metrics name; the others are counted together [default: 500]
    #[arg(long, env = "TENANTRY_GATEWAY_TENANTS_COUNTED", value_name = "COUNT")]
    tenants_counted: Option<u32>,
}

impl Bounds {
    /// As the gateway wants them, and one by one.
    ///
    /// # Errors
    /// One is none that a gateway can work with.
    pub fn over(&self, file: &GatewayFile, domains: Vec<String>, allow_plain: bool) -> Result<(Settings, Vec<Entry>)> {
        let mut found = Found(Vec::new());
        let mut settings = Settings { domains, allow_plain, ..Settings::default() };
        settings.workers = found.count("gateway.workers", (self.workers, file.workers, 2), (1, WORKERS), false)?;
        settings.clients = found.live("gateway.clients", (self.clients, file.clients, 10_000))?;
        let pool = &mut settings.pool;
        pool.server = found.live("gateway.server_sessions", (self.server_sessions, file.server_sessions, 80))?;
        pool.shared = found.live("gateway.shared_sessions", (self.shared_sessions, file.shared_sessions, 20))?;
        pool.per_tenant = found.live("gateway.tenant_sessions", (self.tenant_sessions, file.tenant_sessions, 8))?;
        pool.own = found.live("gateway.own_sessions", (self.own_sessions, file.own_sessions, 10))?;
        settings.statement = found.time("gateway.statement", (self.statement, file.statement, 300))?;
        let idle = (self.idle_in_transaction, file.idle_in_transaction, 60);
        settings.idle_in_transaction = found.time("gateway.idle_in_transaction", idle)?;
        settings.hold = found.time("gateway.client_wait", (self.client_wait, file.client_wait, 10))?;
        settings.pool.wait = settings.hold;
        settings.staleness = found.time("gateway.staleness", (self.staleness, file.staleness, 10))?;
        settings.login = found.time("gateway.login", (self.login, file.login, 10))?;
        let failures = found.live("gateway.failures", (self.failures, file.failures, 20))?;
        settings.failures = u32::try_from(failures).unwrap_or(u32::MAX);
        let counted = (self.tenants_counted, file.tenants_counted, 500);
        settings.tenants_counted = found.count("gateway.tenants_counted", counted, (0, u32::MAX), false)?;
        Ok((settings, found.0))
    }
}

/// What was found, in the order in which it was looked for.
struct Found(Vec<Entry>);

impl Found {
    /// A number of at least one that can change while the gateway runs.
    fn live(&mut self, name: &'static str, given: (Option<u32>, Option<u32>, u32)) -> Result<usize> {
        self.count(name, given, (1, u32::MAX), true)
    }

    fn count(
        &mut self,
        name: &'static str,
        (start, file, default): (Option<u32>, Option<u32>, u32),
        (least, most): (u32, u32),
        is_live: bool,
    ) -> Result<usize> {
        let (number, origin) = pick(start, file, default);
        if !(least..=most).contains(&number) {
            let text = if most == u32::MAX { format!("at least {least}") } else { format!("{least} to {most}") };
            return Err(Failure::usage(format!("`{name}` is {number}; it has to be {text}")));
        }
        self.0.push(Entry { name, value: number.to_string(), origin, is_live });
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// A time that can change while the gateway runs.
    fn time(
        &mut self,
        name: &'static str,
        (start, file, default): (Option<Duration>, Option<Span>, u64),
    ) -> Result<Duration> {
        let (time, origin) = pick(start, file.map(|span| span.0), Duration::from_secs(default));
        if time.is_zero() {
            return Err(Failure::usage(format!("`{name}` is 0; it has to be more than nothing")));
        }
        self.0.push(Entry { name, value: humantime::format_duration(time).to_string(), origin, is_live: true });
        Ok(time)
    }
}

/// A value and where it is from.
fn pick<T>(start: Option<T>, file: Option<T>, default: T) -> (T, Origin) {
    match (start, file) {
        (Some(value), _) => (value, Origin::Start),
        (None, Some(value)) => (value, Origin::File),
        (None, None) => (default, Origin::Default),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn read(arguments: &[&str], file: &str) -> Result<(Settings, Vec<Entry>)> {
        let command = Bounds::augment_args(clap::Command::new("gateway").no_binary_name(true));
        let bounds = Bounds::from_arg_matches(&command.get_matches_from(arguments)).unwrap();
        bounds.over(&toml::from_str(file).unwrap(), Vec::new(), false)
    }

    #[test]
    fn what_nobody_set_is_the_librarys_default() {
        let (settings, entries) = read(&[], "").unwrap();
        let known = Settings { workers: 2, ..Settings::default() };
        assert_eq!(format!("{settings:?}"), format!("{known:?}"));
        assert!(entries.iter().all(|entry| entry.origin == Origin::Default));
        let still: Vec<_> = entries.iter().filter(|entry| !entry.is_live).map(|entry| entry.name).collect();
        assert_eq!(still, ["gateway.workers", "gateway.tenants_counted"]);
    }

    #[test]
    fn a_flag_beats_the_file_and_both_are_checked() {
        let (settings, entries) =
            read(&["--clients", "7"], "clients = 9\nstatement = \"90s\"\nown_sessions = 3").unwrap();
        assert_eq!((settings.clients, settings.statement.as_secs(), settings.pool.own), (7, 90, 3));
        let shown = |name: &str| {
            let entry = entries.iter().find(|entry| entry.name == name).unwrap();
            (entry.value.clone(), entry.origin)
        };
        assert_eq!(shown("gateway.clients"), ("7".to_owned(), Origin::Start));
        assert_eq!(shown("gateway.statement"), ("1m 30s".to_owned(), Origin::File));
        for (file, name) in [
            ("clients = 0", "gateway.clients"),
            ("workers = 65", "gateway.workers"),
            ("login = \"0s\"", "gateway.login"),
        ] {
            let error = read(&[], file).unwrap_err().to_string();
            assert!(error.contains(name), "{file}: {error}");
        }
    }
}
