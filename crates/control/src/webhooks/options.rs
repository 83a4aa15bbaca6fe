//! Settings of webhooks, and what is made of them once per process.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tenantry_webhooks::names::NoAddress;
use tenantry_webhooks::{Egress, Limits, Names, Rules, Schedule, Sender, SystemNames};
use zeroize::Zeroizing;

use super::pump::stats::Stats;
use crate::deps::Options;

/// How webhooks are sent.
#[derive(Clone)]
pub struct WebhookOptions {
    /// Whether this process sends; others may do it.
    pub sends: bool,
    /// Which part of the world may be reached.
    pub egress: Egress,
    /// Ports that may be called.
    pub ports: Vec<u16>,
    /// Hosts of ours, besides the base domains, and all below them: nothing is sent there.
    pub own: Vec<String>,
    /// When a failed delivery is tried again.
    pub schedule: Schedule,
    /// Bounds of one attempt.
    pub limits: Limits,
    /// How long nothing is sent to an endpoint that fails again and again: at first, and at most.
    pub rest: (Duration, Duration),
    /// How long an endpoint may do nothing but fail before it is disabled.
    pub give_up: Duration,
    /// Requests in hand at a time, to endpoints that work and to those that do not.
    pub in_hand: (usize, usize),
    /// After which silence a process has lost its lanes.
    pub patience: Duration,
    /// The longest time between two looks for work, when no nudge comes.
    pub tick: Duration,
    /// How long attempts are kept in the log, and dead letters.
    pub kept: (Duration, Duration),
    /// Whom addresses of hosts are asked of; DNS when absent.
    pub names: Option<Arc<dyn Names>>,
    /// Certificate authorities that are believed besides the system's, in DER.
    pub authorities: Vec<Vec<u8>>,
}

const DAY: u64 = 24 * 3600;

impl Default for WebhookOptions {
    fn default() -> Self {
        let rules = Rules::default();
        Self {
            sends: true,
            egress: rules.egress,
            ports: rules.ports,
            own: Vec::new(),
            schedule: Schedule::default(),
            limits: Limits::default(),
            rest: (Duration::from_secs(1), Duration::from_secs(60)),
            give_up: Duration::from_secs(5 * DAY),
            in_hand: (512, 64),
            patience: Duration::from_secs(5),
            tick: Duration::from_millis(500),
            kept: (Duration::from_secs(14 * DAY), Duration::from_secs(90 * DAY)),
            names: None,
            authorities: Vec::new(),
        }
    }
}

impl fmt::Debug for WebhookOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookOptions")
            .field("sends", &self.sends)
            .field("egress", &self.egress)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// What a process has for webhooks.
pub struct Outbound {
    key: Zeroizing<[u8; 32]>,
    sender: OnceLock<Option<Sender>>,
    stats: Stats,
}

/// Where DNS cannot be asked, no name has an address.
struct Nobody;

impl Names for Nobody {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<std::net::IpAddr>, NoAddress>> {
        Box::pin(async { Err(NoAddress) })
    }
}

impl Outbound {
    /// With the key that all secrets are derived from.
    #[must_use]
    pub const fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self { key, sender: OnceLock::new(), stats: Stats::new() }
    }

    pub(super) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// What was counted since the process started.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What sends. Made at the first use, for it reads the system's certificate authorities.
    pub(crate) fn sender(&self, options: &Options) -> Option<&Sender> {
        self.sender.get_or_init(|| sender(options)).as_ref()
    }
}

/// The rules that the settings make.
fn rules(options: &Options) -> Rules {
    let wanted = &options.webhooks;
    let mut own: Vec<String> = wanted.own.iter().map(|host| host.trim_matches('.').to_ascii_lowercase()).collect();
    own.extend(options.base_domains.iter().map(ToString::to_string));
    own.retain(|host| !host.is_empty());
    Rules { egress: wanted.egress, ports: wanted.ports.clone(), own }
}

fn sender(options: &Options) -> Option<Sender> {
    let wanted = &options.webhooks;
    let names =
        wanted.names.clone().unwrap_or_else(|| match SystemNames::new(&options.dns.servers, wanted.limits.connect) {
            Ok(names) => Arc::new(names),
            Err(error) => {
                tracing::warn!(error, "the system's DNS servers are not known; no webhook can be sent to a name");
                Arc::new(Nobody)
            }
        });
    let authorities = wanted.authorities.iter().map(|der| der.clone().into()).collect();
    match Sender::new(names, rules(options), wanted.limits, authorities) {
        Ok(sender) => Some(sender),
        Err(error) => {
            tracing::error!(%error, "webhooks cannot be sent");
            None
        }
    }
}
