//! The settings of the brain.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tenantry_domain::access::{BaseDomain, Issuer, Operators};
use tenantry_domain::gateway::Address;
use tenantry_domain::workflow::Retry;
use tenantry_identity::Provider;

use crate::domains::DnsOptions;
use crate::governance::Governance;
use crate::guard::GuardOptions;
use crate::members::MemberOptions;
use crate::notify::NotifyOptions;
use crate::quotas::rates::RateOptions;
use crate::streams::StreamOptions;
use crate::webhooks::WebhookOptions;

/// Settings of the brain. All have defaults that suit production.
#[derive(Debug, Clone)]
pub struct Options {
    /// Shortest time between a deletion request and the erasure; synthetic tenants are exempt.
    pub deletion_grace: SignedDuration,
    /// How long the name of a deleted tenant stays blocked.
    pub slug_quarantine: SignedDuration,
    /// How steps are retried.
    pub retry: Retry,
    /// How long a claim holds without renewal.
    pub lease: Duration,
    /// Workflows that one replica runs at a time.
    pub workers: usize,
    /// Pre-made spaces that are kept per cell and app.
    pub pool: PoolWants,
    /// Longest time between two looks of a controller, when no nudge comes.
    pub tick: Duration,
    /// Time between two drift sweeps.
    pub sweep: Duration,
    /// Time between two measurements of what tenants' data takes on a cell; absent for none.
    pub storage: Option<Duration>,
    /// How far this process's clock may be from the control database's before nothing is begun here any more. No setting: only
    /// tests that put the clock ahead need another one.
    pub clock_slack: Duration,
    /// How cells are looked at for ways from one tenant to another.
    pub guard: GuardOptions,
    /// Domains below which every tenant has a subdomain.
    pub base_domains: Vec<BaseDomain>,
    /// Whom the proofs of tenants' own domains are asked of.
    pub dns: DnsOptions,
    /// Whose access tokens are believed.
    pub issuers: Vec<Issuer>,
    /// Whose access tokens name people of the operator.
    pub operators: Vec<Operators>,
    /// Where clients find the gateway, for the connection URLs of its logins.
    pub gateway: Option<Address>,
    /// How often principals, tenants and strangers may call.
    pub rates: RateOptions,
    /// How people of tenants are treated.
    pub members: MemberOptions,
    /// Where tenants have pools of users of their own; absent where they have none.
    pub identity: Option<Arc<Provider>>,
    /// The operator's rules.
    pub governance: Governance,
    /// How webhooks are sent.
    pub webhooks: WebhookOptions,
    /// The stream that events are published to; absent for none.
    pub streams: Option<StreamOptions>,
    /// What people are told of, and how.
    pub notify: NotifyOptions,
}

/// How many pre-made spaces are kept ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolWants {
    /// Schemas per cell and app.
    pub schema: usize,
    /// Databases per cell and app.
    pub database: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deletion_grace: SignedDuration::from_hours(7 * 24),
            slug_quarantine: SignedDuration::from_hours(90 * 24),
            retry: Retry::default(),
            lease: Duration::from_secs(2),
            workers: 8,
            pool: PoolWants { schema: 2, database: 1 },
            tick: Duration::from_secs(1),
            sweep: Duration::from_secs(30),
            storage: Some(Duration::from_secs(300)),
            clock_slack: Duration::from_secs(5),
            guard: GuardOptions::default(),
            base_domains: Vec::new(),
            dns: DnsOptions::default(),
            issuers: Vec::new(),
            operators: Vec::new(),
            gateway: None,
            members: MemberOptions::default(),
            identity: None,
            governance: Governance::default(),
            webhooks: WebhookOptions::default(),
            streams: None,
            notify: NotifyOptions::default(),
            rates: RateOptions::default(),
        }
    }
}
