//! The benchmarks, one file each, and what they have in common.

mod apply;
mod audit;
mod context;
mod fleet;
pub mod gateway;
mod guard;
mod limits;
mod members;
mod memory;
mod mutations;
mod noisy;
mod onboarding;
mod policy;
mod resolve;
mod search;
mod sweep;
mod tenant_tx;
mod tokens;
mod usage;
mod webhooks;

use anyhow::Result;
use clap::ValueEnum;

use crate::host::Host;
use crate::measure::Size;
use crate::report::Figure;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Time from a request to an open tenant, at each level.
    Onboarding,
    /// A thousand manifests, from the request until all are converged.
    Apply,
    /// What it costs to find that nothing is to be done.
    Sweep,
    /// Changes a second with audit and outbox.
    Mutations,
    /// Verifying the audit chains.
    Audit,
    /// Memory of an idle server.
    Memory,
    /// Lists over a large registry.
    Search,
    /// A tenant's transaction through the sealed context.
    TenantTx,
    /// The server's processor time for the tenant context, beside other ways to have one.
    Context,
    /// Whose request it is, out of memory.
    Resolve,
    /// What a proxy asks before each request.
    ForwardAuth,
    /// A new version of an app for a thousand tenants.
    Fleet,
    /// What others notice of a tenant that asks for all it can get.
    Noisy,
    /// The gateway for PostgreSQL's protocol, beside PgBouncer.
    Gateway,
    /// The guard's look at a hundred thousand relations.
    Guard,
    /// What may come how often, alone and with other replicas.
    Limits,
    /// One decision of policy, with a thousand rules.
    Policy,
    /// Authorising and listing people, with a million memberships.
    Members,
    /// Who a request is from.
    Tokens,
    /// Counting usage events.
    Usage,
    /// From the commit of an event to its receiver.
    Webhooks,
}

impl Name {
    /// The word on the command line and in the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Onboarding => "onboarding",
            Self::Apply => "apply",
            Self::Sweep => "sweep",
            Self::Mutations => "mutations",
            Self::Audit => "audit",
            Self::Memory => "memory",
            Self::Search => "search",
            Self::TenantTx => "tenant-tx",
            Self::Context => "context",
            Self::Resolve => "resolve",
            Self::ForwardAuth => "forward-auth",
            Self::Fleet => "fleet",
            Self::Noisy => "noisy",
            Self::Gateway => "gateway",
            Self::Guard => "guard",
            Self::Limits => "limits",
            Self::Policy => "policy",
            Self::Members => "members",
            Self::Tokens => "tokens",
            Self::Usage => "usage",
            Self::Webhooks => "webhooks",
        }
    }

    /// What a benchmark is about, by its word.
    pub fn about(word: &str) -> &'static str {
        let found = Self::value_variants().iter().find(|name| name.word() == word);
        match found {
            Some(Self::Onboarding) => "one tenant after the other, milliseconds",
            Some(Self::Apply) => "from the request until every tenant is open, seconds",
            Some(Self::Sweep) => "all tenants are as they should be, milliseconds",
            Some(Self::Mutations) => "changed tenants a second, medians of rounds",
            Some(Self::Audit) => "entries a second on one core, medians of rounds",
            Some(Self::Memory) => "MiB of one `tenantry serve` that has nothing to do",
            Some(Self::Search) => "one page, milliseconds",
            Some(Self::TenantTx) => "one indexed row read in a transaction of the tenant",
            Some(Self::Context) => "the backend's processor time per transaction, medians of rounds",
            Some(Self::Resolve) => "which tenant a request is for, milliseconds",
            Some(Self::ForwardAuth) => "the endpoint that proxies ask, milliseconds",
            Some(Self::Fleet) => "a rollout to schemas of twenty tables each, seconds",
            Some(Self::Noisy) => "nine tenants' transactions beside a tenth with 64 clients, milliseconds",
            Some(Self::Gateway) => "beside PgBouncer and no pooler; µs are processor time of one transaction",
            Some(Self::Members) => "people of ten thousand organisations, milliseconds",
            Some(Self::Tokens) => "who a request is from, milliseconds",
            Some(Self::Usage) => "on one PostgreSQL with the control database's settings; milliseconds",
            Some(Self::Webhooks) => "events of twenty tenants, each with an endpoint; receivers on this machine",
            Some(Self::Guard) => "one look as the controller has it, milliseconds",
            Some(Self::Limits) => "one decision, milliseconds; and what three replicas let through beyond the limit",
            Some(Self::Policy) => "one decision in the process, milliseconds",
            None => "",
        }
    }

    /// Runs it.
    pub async fn run(self, bench: &mut Bench<'_>) -> Result<()> {
        match self {
            Self::Onboarding => onboarding::run(bench).await,
            Self::Apply => apply::run(bench).await,
            Self::Sweep => sweep::run(bench).await,
            Self::Mutations => mutations::run(bench).await,
            Self::Audit => audit::run(bench).await,
            Self::Memory => memory::run(bench).await,
            Self::Search => search::run(bench).await,
            Self::TenantTx => tenant_tx::run(bench).await,
            Self::Context => context::run(bench).await,
            Self::Resolve => resolve::run(bench).await,
            Self::ForwardAuth => resolve::forward_auth(bench).await,
            Self::Fleet => fleet::run(bench).await,
            Self::Noisy => noisy::run(bench).await,
            Self::Gateway => gateway::run(bench).await,
            Self::Guard => guard::run(bench).await,
            Self::Limits => limits::run(bench).await,
            Self::Policy => policy::run(bench).await,
            Self::Members => members::run(bench).await,
            Self::Tokens => tokens::run(bench).await,
            Self::Usage => usage::run(bench).await,
            Self::Webhooks => webhooks::run(bench).await,
        }
    }
}

/// One benchmark at work.
pub struct Bench<'a> {
    name: Name,
    /// How much is measured.
    pub size: Size,
    /// The common server.
    pub host: &'a Host,
    /// Whether other products that take long are left out.
    pub alone: bool,
    figures: Vec<Figure>,
    notes: Vec<String>,
}

impl<'a> Bench<'a> {
    /// Begins one.
    pub const fn new(name: Name, size: Size, host: &'a Host) -> Self {
        Self { name, size, host, alone: false, figures: Vec::new(), notes: Vec::new() }
    }

    /// Which one it is.
    pub const fn name(&self) -> Name {
        self.name
    }

    /// Adds a figure.
    pub fn say(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Adds a remark that the reader of the figures needs.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// What was found.
    pub fn into_findings(self) -> (Vec<Figure>, Vec<String>) {
        (self.figures, self.notes)
    }
}
