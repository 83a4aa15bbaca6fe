//! A whole installation on the host's server: control database, catalog, one cell, one app.
//!
//! The cell is the same server as the control database, as in the smallest installation there is; so both share its
//! disk, and its fsync.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use secrecy::SecretString;
use tenantry_control::deps::{SecretError, Secrets, SystemClock, mint};
use tenantry_control::view::{Accepted, Operation};
use tenantry_control::{Ctx, Deps, Options, PoolWants, Runtime, manifests, operations, tenants};
use tenantry_dataplane::{AppTarget, Cell, CellTarget, Claim, Dataplane, RootKey, Space};
use tenantry_domain::cell::{Capacity, CellKind, CellSpec, RegionSpec, SecretRef};
use tenantry_domain::id::{OperationId, TenantId};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::{AppName, CellName, EnvironmentName, PlanCode, RegionName};
use tenantry_domain::plan::PlanSpec;
use tenantry_domain::policy::{Actor, ActorKind, Rights};
use tenantry_domain::tenant::profile::{Business, Commercial, Residency};
use tenantry_domain::tenant::{Slug, Spec, lifecycle::Phase};
use tenantry_pg::{Pool, PoolOptions};
use tenantry_store::{CursorKey, Store, StoreOptions};

use crate::host::Host;
use crate::product;

/// The levels that a pooled cell offers.
pub const LEVELS: [Isolation; 3] = [Isolation::Shared, Isolation::Schema, Isolation::Database];

/// The environment variable in which the cell's URL is found by servers of an installation.
pub const CELL_VARIABLE: &str = "BENCH_CELL";

/// Every cell's URL.
struct Fixed(SecretString);

impl Secrets for Fixed {
    fn read(&self, _: &SecretRef) -> Result<SecretString, SecretError> {
        Ok(self.0.clone())
    }
}

/// An installation.
pub struct Bed {
    /// The brain's handles.
    pub deps: Deps,
    /// The only cell.
    pub cell: Arc<Cell>,
    /// The only app.
    pub app: Arc<AppTarget>,
    /// The name of the control database.
    pub control: String,
    /// The root key, as its file holds it.
    pub root_hex: SecretString,
    region: RegionName,
}

impl Bed {
    /// Installs one. `name` tells several on one host apart: it names the control database and the app.
    pub async fn install(host: &Host, name: &str, connections: usize) -> Result<Self> {
        Self::install_with(host, name, connections, Options::default()).await
    }

    /// Installs one whose brain is set otherwise.
    pub async fn install_with(host: &Host, name: &str, connections: usize, options: Options) -> Result<Self> {
        let bed = Self::bare(host, name, connections, options).await?;
        bed.apply(&bed.catalog()).await?;
        bed.cell.prepare(&bed.app).await?;
        Ok(bed)
    }

    /// An installation in which nothing was declared yet.
    pub async fn empty(host: &Host, name: &str, connections: usize) -> Result<Self> {
        Self::bare(host, name, connections, Options::default()).await
    }

    async fn bare(host: &Host, name: &str, connections: usize, options: Options) -> Result<Self> {
        let control = format!("control_{name}").replace('-', "_");
        host.database(&control).await?;
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret)?;
        let root = RootKey::from_bytes(secret)?;
        let pool = PoolOptions { max: connections, application: "tenantry control", ..PoolOptions::default() };
        let cursor_key = CursorKey::new(&root.derive("cursor", &[]));
        let store = Store::new(StoreOptions { target: host.target(&control)?, pool, cursor_key });
        store.migrate().await?;
        let installation = store.installation().await?;
        let dataplane = Dataplane::new(installation, root.clone(), tenantry_dataplane::Options::default());
        let url = host.url("postgres");
        let options = Options { pool: PoolWants { schema: 0, database: 0 }, ..options };
        let (clock, secrets) = (Arc::new(SystemClock), Arc::new(Fixed(url.clone())));
        let deps = Deps::with_ports(store, dataplane.clone(), &root, options, clock, secrets);
        let environment = EnvironmentName::parse("prod")?;
        let app = AppTarget {
            environment: environment.clone(),
            app: AppName::parse(name)?,
            version: 1,
            spec: Arc::new(product::spec()?),
        };
        let region = RegionName::parse("eu-central")?;
        let target = CellTarget { environment, name: CellName::parse("eu-central-1")?, url };
        let cell = dataplane.cell(&target).await?;
        let root_hex = secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        Ok(Self { deps, cell, app: Arc::new(app), control, root_hex, region })
    }

    fn catalog(&self) -> Vec<Manifest> {
        let region = Manifest::Region { name: self.region.clone(), spec: RegionSpec::default() };
        let plans = LEVELS.map(|level| Manifest::Plan { name: plan_of(level), spec: plan(level) });
        let app = Manifest::App { name: self.app.app.clone(), spec: (*self.app.spec).clone() };
        let spec = CellSpec {
            region: self.region.clone(),
            kind: CellKind::Pooled,
            database: SecretRef::Env(CELL_VARIABLE.to_owned()),
            capacity: Capacity { shared: 1_000_000, schema: 100_000, database: 100_000 },
            draining: false,
            standbys: Vec::new(),
            encryption: None,
            promises: Default::default(),
        };
        let mut all = vec![region, app, Manifest::Cell { name: self.cell.name().clone(), spec }];
        all.extend(plans);
        all
    }

    /// Starts controllers and executor, as one `serve` process would.
    pub fn start(&self) -> Runtime {
        Runtime::start(&self.deps)
    }

    /// A caller's circumstances, now.
    pub fn cx(&self) -> Ctx {
        let id = mint::request();
        Ctx {
            actor: Actor { kind: ActorKind::Operator, id: "bench".to_owned() },
            person: None,
            rights: Rights::all(),
            environment: self.app.environment.clone(),
            request_id: id,
            correlation_id: id.to_string(),
            now: self.deps.now(),
            idempotency: None,
        }
    }

    /// A tenant's manifest.
    pub fn spec(&self, display_name: &str, level: Isolation, state: Phase) -> Spec {
        Spec {
            display_name: display_name.to_owned(),
            app: self.app.app.clone(),
            plan: plan_of(level),
            state,
            suspension: None,
            deletion: None,
            residency: Residency {
                allowed_regions: vec![self.region.clone()],
                preferred_region: None,
                flags: Vec::new(),
            },
            contacts: Default::default(),
            external_ids: Default::default(),
            aliases: Vec::new(),
            domains: Vec::new(),
            labels: Default::default(),
            settings: Default::default(),
            commercial: Commercial::default(),
            business: Business::default(),
            overrides: Default::default(),
        }
    }

    /// A new tenant's manifest, wanted active.
    pub fn manifest(&self, slug: &str, level: Isolation) -> Result<Manifest> {
        let spec = self.spec(slug, level, Phase::Active);
        Ok(Manifest::Tenant { slug: Slug::parse(slug)?, spec })
    }

    /// Applies manifests and gives the operation to wait for, if any.
    pub async fn apply(&self, manifests: &[Manifest]) -> Result<Option<OperationId>> {
        Ok(manifests::apply(&self.cx(), &self.deps, manifests).await?.operation)
    }

    /// Creates a tenant that is to be active.
    pub async fn create(&self, slug: &str, level: Isolation) -> Result<Accepted> {
        let spec = self.spec(slug, level, Phase::Active);
        Ok(tenants::create(&self.cx(), &self.deps, Slug::parse(slug)?, spec).await?)
    }

    /// Onboards one shared tenant for real, after which a crowd can be made to look like it.
    pub async fn onboard_one(&self) -> Result<()> {
        let runtime = self.start();
        if let Some(operation) = self.create("really-there", Isolation::Shared).await?.operation {
            self.settled(operation, Duration::ZERO).await?;
        }
        Ok(runtime.shutdown(&self.deps).await?)
    }

    /// Waits until an operation has ended, as a caller who waits at the API does.
    pub async fn settled(&self, operation: OperationId, poll: Duration) -> Result<()> {
        let mut changes = self.deps.changes();
        loop {
            changes.mark_unchanged();
            let found: Operation = operations::get(&self.cx(), &self.deps, operation).await?;
            if found.status.is_final() {
                if found.done == found.total {
                    return Ok(());
                }
                let causes = found.workflows.iter().filter_map(|workflow| workflow.cause.as_ref());
                let causes: Vec<_> = causes.take(3).map(|cause| &cause.message).collect();
                bail!("operation {operation} ended {:?}: {causes:?}", found.status);
            }
            if poll.is_zero() {
                let _ = tokio::time::timeout(Duration::from_millis(200), changes.changed()).await;
            } else {
                tokio::time::sleep(poll).await;
            }
        }
    }

    /// A place that the control plane knows nothing of.
    pub fn space(&self, level: Isolation) -> Space {
        Space { tenant: mint::tenant(), app: Arc::clone(&self.app), isolation: level, epoch: 1, connections: None }
    }

    /// The right to change a place, for one who is alone.
    pub fn claim() -> Claim {
        Claim { fence: 1, workflow: mint::workflow() }
    }

    /// Superuser connections to the app's home database.
    pub fn home(&self, host: &Host, max: usize) -> Result<Pool> {
        let route = self.cell.route(&self.space(Isolation::Shared))?;
        host.pool(&route.database, max)
    }

    /// Superuser connections to the control database.
    pub fn control(&self, host: &Host, max: usize) -> Result<Pool> {
        host.pool(&self.control, max)
    }

    /// Where all tenants are.
    pub fn region(&self) -> &RegionName {
        &self.region
    }
}

/// The plan of a level; they have the same name.
pub fn plan_of(level: Isolation) -> PlanCode {
    PlanCode::parse(level.as_str()).unwrap_or_else(|_| unreachable!("levels are names"))
}

fn plan(level: Isolation) -> PlanSpec {
    PlanSpec {
        isolation: level,
        default: level == Isolation::Shared,
        quotas: Default::default(),
        rate_limits: Default::default(),
        features: Default::default(),
        backup: Default::default(),
        slo: Default::default(),
        support: None,
        archive_retention_days: 90,
        tenants: tenantry_domain::plan::Tenants::Follow,
        terms: Default::default(),
    }
}

/// A tenant's id and its own number, for names.
pub fn numbered(prefix: &str, number: usize) -> String {
    format!("{prefix}-{number:06}x")
}

/// Fresh ids, in order.
pub fn fresh_ids(count: usize) -> Vec<TenantId> {
    (0..count).map(|_| mint::tenant()).collect()
}
