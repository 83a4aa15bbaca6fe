//! Addresses of a host. What comes back is not believed: every address is vetted by whoever connects.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, TokioResolver};

/// The name has no address, or nobody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host's name has no address")]
pub struct NoAddress;

/// Says which addresses a host has.
pub trait Names: Send + Sync {
    /// The addresses of a name, in any order.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, NoAddress>>;
}

/// DNS.
#[derive(Clone)]
pub struct SystemNames {
    resolver: TokioResolver,
}

impl std::fmt::Debug for SystemNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SystemNames")
    }
}

/// Answers that are remembered; a name's time to live ends each.
const CACHE: u64 = 4096;

/// The longest that an answer is remembered, whatever its time to live.
const LONGEST_LIFE: Duration = Duration::from_secs(300);

impl SystemNames {
    /// Asks these servers; the system's when there are none. The file of hosts is not read: it names what is near.
    ///
    /// # Errors
    /// The system's settings cannot be read.
    pub fn new(servers: &[SocketAddr], timeout: Duration) -> Result<Self, String> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = if servers.is_empty() {
            Resolver::builder(provider).map_err(|error| error.to_string())?
        } else {
            let servers = servers.iter().map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.into())
            });
            Resolver::builder_with_config(ResolverConfig::from_name_servers(servers.collect()), provider)
        };
        let settings = builder.options_mut();
        settings.timeout = timeout;
        settings.attempts = 1;
        settings.cache_size = CACHE;
        settings.positive_max_ttl = Some(LONGEST_LIFE);
        settings.use_hosts_file = ResolveHosts::Never;
        settings.case_randomization = true;
        // The name is taken as it is; a search list would lead to machines nearby.
        settings.ndots = 0;
        Ok(Self { resolver: builder.build().map_err(|error| error.to_string())? })
    }
}

impl Names for SystemNames {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, NoAddress>> {
        Box::pin(async move {
            // With the dot at the end it is complete, and no search list is tried.
            let found = self.resolver.lookup_ip(format!("{host}.")).await.map_err(|_| NoAddress)?;
            let addresses: Vec<IpAddr> = found.iter().collect();
            if addresses.is_empty() { Err(NoAddress) } else { Ok(addresses) }
        })
    }
}
