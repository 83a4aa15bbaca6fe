//! Bounds and choices of a gateway.

use std::time::Duration;

use crate::pool::Limits;

/// See the module.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Worker threads.
    pub workers: usize,
    /// Bounds of pools, over all workers.
    pub pool: Limits,
    /// The most client connections.
    pub clients: usize,
    /// How long a login may take.
    pub login: Duration,
    /// How many failed logins an address may have in a minute before it is turned away unheard.
    pub failures: u32,
    /// How long a statement waits for a tenant that is on its way.
    pub hold: Duration,
    /// How long a transaction may be idle.
    pub idle_in_transaction: Duration,
    /// How long a statement may run.
    pub statement: Duration,
    /// How far a standby may be behind its primary to be read from.
    pub staleness: Duration,
    /// Domains under which a TLS server name's first label is a tenant.
    pub domains: Vec<String>,
    /// How many tenants metrics name; the others are counted together.
    pub tenants_counted: usize,
    /// Whether clients without encryption are let in.
    pub allow_plain: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 1,
            pool: Limits::default(),
            clients: 10_000,
            login: Duration::from_secs(10),
            failures: 20,
            hold: Duration::from_secs(10),
            idle_in_transaction: Duration::from_secs(60),
            statement: Duration::from_secs(300),
            staleness: Duration::from_secs(10),
            domains: Vec::new(),
            tenants_counted: 500,
            allow_plain: false,
        }
    }
}

impl Settings {
    /// With the bounds of others that can change while a gateway runs: the number of its workers, of the tenants that they
    /// count apart, and whom it lets in how, are those of its start.
    #[must_use]
    pub fn with_bounds_of(&self, others: &Self) -> Self {
        Self {
            workers: self.workers,
            tenants_counted: self.tenants_counted,
            domains: self.domains.clone(),
            allow_plain: self.allow_plain,
            ..others.clone()
        }
    }

    /// The share of one worker: pools of shared logins are divided, a tenant's own is on one worker anyway.
    #[must_use]
    pub fn share(&self) -> Self {
        let mut share = self.clone();
        let workers = self.workers.max(1);
        share.pool.shared = self.pool.shared.div_ceil(workers);
        share.tenants_counted = self.tenants_counted.div_ceil(workers);
        // Rounded down: together they never have more.
        share.pool.server = (self.pool.server / workers).max(1);
        share
    }
}
