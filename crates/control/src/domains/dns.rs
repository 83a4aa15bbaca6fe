//! Asks DNS for the record that proves a domain.
//!
//! INVARIANT: bounded in time, in what is read of an answer, and in what it leads to: only a TXT record at the name itself
//! counts, aliases are not followed, and nothing but a plain "there is none" counts as missing.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use tenantry_domain::access::domain::{self, Answer, Problem};
use tenantry_store::DomainRow;

use crate::deps::Deps;

/// Whom we ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsOptions {
    /// The servers, asked in this order; the system's when empty. They resolve for us, so they must be trusted.
    pub servers: Vec<SocketAddr>,
    /// How long one request may take. A look, with the request repeated and sent by TCP, takes at most three times this.
    pub timeout: Duration,
}

impl Default for DnsOptions {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: Duration::from_secs(3) }
    }
}

/// Most records of an answer that are read.
const RECORDS: usize = 200;

/// Looks for the record of a wish.
pub(crate) async fn ask(deps: &Deps, wish: &DomainRow) -> Answer {
    if domain::reserved(&wish.domain, &deps.options().base_domains).is_some() {
        return Answer::Missing(Problem::Reserved);
    }
    // A name that does not fit into DNS has no record there.
    let Ok(name) = Name::from_ascii(format!("{}.", domain::record_name(&wish.domain))) else {
        return Answer::Missing(Problem::NoRecord);
    };
    let options = &deps.options().dns;
    let resolver = match resolver(options) {
        Ok(resolver) => resolver,
        Err(error) => {
            tracing::warn!(%error, "the system's DNS servers are not known");
            return Answer::Silent;
        }
    };
    match tokio::time::timeout(options.timeout * 3, resolver.lookup(name.clone(), RecordType::TXT)).await {
        Ok(Ok(found)) => read(&name, &wish.challenge, found.answers()),
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) if is_denial(&none) => {
            Answer::Missing(Problem::NoRecord)
        }
        Ok(Err(error)) => {
            tracing::debug!(domain = wish.domain, %error, "DNS gave no answer");
            Answer::Silent
        }
        Err(_) => Answer::Silent,
    }
}

/// Made for each look: looks are rare, and must see what the system's settings and DNS say now.
fn resolver(options: &DnsOptions) -> Result<TokioResolver, NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = if options.servers.is_empty() {
        Resolver::builder(provider)?
    } else {
        let servers = options.servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        Resolver::builder_with_config(ResolverConfig::from_name_servers(servers.collect()), provider)
    };
    let settings = builder.options_mut();
    settings.timeout = options.timeout;
    settings.attempts = 1;
    settings.cache_size = 0;
    settings.use_hosts_file = ResolveHosts::Never;
    settings.try_tcp_on_error = true;
    // One more thing that a forged answer has to guess.
    settings.case_randomization = true;
    builder.build()
}

/// Whether an answer without records says that there are none. One that only points at other servers does not.
fn is_denial(none: &NoRecords) -> bool {
    match none.response_code {
        ResponseCode::NXDomain => true,
        ResponseCode::NoError => none.soa.is_some() || none.ns.is_none(),
        _ => false,
    }
}

/// What the records say about a challenge.
fn read(name: &Name, challenge: &str, records: &[Record]) -> Answer {
    let mut problem = Problem::NoRecord;
    for record in records.iter().take(RECORDS).filter(|record| record.name == *name) {
        match &record.data {
            RData::CNAME(_) => return Answer::Missing(Problem::Alias),
            RData::TXT(text) => {
                // One value may come in several strings (RFC 7208, section 3.3, reads them so, too).
                if text.txt_data.concat().trim_ascii() == challenge.as_bytes() {
                    return Answer::Proven;
                }
                problem = Problem::OtherValue;
            }
            _ => {}
        }
    }
    Answer::Missing(problem)
}
