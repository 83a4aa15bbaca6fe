//! An installation for one test: a control database and a cell on the shared test server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tenantry_control::deps::{ProcessSecrets, SecretError, Secrets, mint};
use tenantry_control::tenants::edit::TenantRef;
use tenantry_control::view::{Operation, OperationStatus, Tenant};
use tenantry_control::{Ctx, Deps, Options, Runtime, manifests, operations, tenants};
use tenantry_dataplane::{Dataplane, Options as PlaneOptions, RootKey, Router, RouterOptions, TenantTx, TenantTxError};
use tenantry_domain::app::{self, MigrationFile, Migrations};
use tenantry_domain::cell::{Capacity, CellKind, CellSpec, RegionSpec, SecretRef};
use tenantry_domain::id::OperationId;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::{AppName, CellName, EnvironmentName, PlanCode, RegionName};
use tenantry_domain::plan::PlanSpec;
use tenantry_domain::policy::{Actor, ActorKind, Rights};
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::profile::Residency;
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_pg::{PoolOptions, Target};
use tenantry_store::{CursorKey, Store, StoreOptions};
use tenantry_testkit::pg;

/// The machine's clock, which a test may put ahead.
#[derive(Default)]
pub struct Ahead(std::sync::atomic::AtomicI64);

impl tenantry_control::deps::Clock for Ahead {
    fn now(&self) -> jiff::Timestamp {
        let ahead = jiff::SignedDuration::from_secs(self.0.load(std::sync::atomic::Ordering::Relaxed));
        jiff::Timestamp::now().checked_add(ahead).unwrap()
    }
}

/// Hands out one URL, whatever is asked for.
struct OneUrl(SecretString);

impl Secrets for OneUrl {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        match reference {
            SecretRef::Env(name) if name == "CELL_URL" => Ok(self.0.clone()),
            other => ProcessSecrets.read(other),
        }
    }
}

pub struct World {
    pub deps: Deps,
    pub router: Router,
    pub runtime: Option<Runtime>,
    _database: pg::TestDatabase,
    pub environment: EnvironmentName,
    clock: Arc<Ahead>,
}

pub fn options() -> Options {
    Options {
        tick: Duration::from_millis(100),
        sweep: Duration::from_millis(300),
        // Tests put the clock ahead instead of waiting.
        clock_slack: Duration::from_secs(3650 * 86_400),
        pool: tenantry_control::PoolWants { schema: 0, database: 0 },
        deletion_grace: jiff::SignedDuration::from_hours(1),
        // What the shared test server is like must not end up in tests of something else.
        guard: tenantry_control::guard::GuardOptions { every: None, ..Default::default() },
        ..Options::default()
    }
}

impl World {
    /// A migrated installation with the example's catalog; its environment's name is unique, because roles and
    /// databases on the shared server carry it.
    pub async fn new() -> Self {
        Self::with(options()).await
    }

    /// The same with other settings of the brain.
    pub async fn with(options: Options) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .with_test_writer()
            .try_init();
        let server = pg::server();
        let database = server.database();
        let target = Target::parse(&SecretString::from(database.url())).unwrap();
        let cursor_key = CursorKey::new(&[7; 32]);
        let store = Store::new(StoreOptions { target, pool: PoolOptions::default(), cursor_key });
        store.migrate().await.unwrap();
        let tail = uuid::Uuid::now_v7().simple().to_string();
        let environment = EnvironmentName::parse(&format!("t{}", &tail[16..])).unwrap();
        store.ensure_environment(&environment).await.unwrap();
        let root = root();
        let installation = store.installation().await.unwrap();
        let plane = Dataplane::new(installation, root.clone(), PlaneOptions::default());
        let secrets = Arc::new(OneUrl(SecretString::from(server.url("postgres"))));
        let clock = Arc::new(Ahead::default());
        let deps = Deps::with_ports(store, plane, &root, options, clock.clone(), secrets);
        let router = Router::new(RouterOptions::default());
        let world = Self { deps, router, runtime: None, _database: database, environment, clock };
        let cx = world.cx();
        manifests::apply(&cx, &world.deps, &catalog()).await.unwrap();
        world
    }

    /// Starts controllers and executor.
    pub async fn running() -> Self {
        let mut world = Self::new().await;
        world.runtime = Some(Runtime::start(&world.deps));
        world
    }

    /// Another replica of the same installation.
    pub async fn twin(&self, options: Options) -> Deps {
        let store = self.deps.store().clone();
        let plane = Dataplane::new(store.installation().await.unwrap(), root(), PlaneOptions::default());
        let secrets = Arc::new(OneUrl(SecretString::from(pg::server().url("postgres"))));
        Deps::with_ports(store, plane, &root(), options, self.clock.clone(), secrets)
    }

    /// The handles of another process: with connections of its own, so that it can be killed by itself.
    pub async fn process(&self, options: Options) -> Deps {
        let target = Target::parse(&SecretString::from(self._database.url())).unwrap();
        let pool = PoolOptions { max: 8, ..PoolOptions::default() };
        let store = Store::new(StoreOptions { target, pool, cursor_key: CursorKey::new(&[7; 32]) });
        let plane = Dataplane::new(store.installation().await.unwrap(), root(), PlaneOptions::default());
        let secrets = Arc::new(OneUrl(SecretString::from(pg::server().url("postgres"))));
        Deps::with_ports(store, plane, &root(), options, self.clock.clone(), secrets)
    }

    /// Runs statements on the control database.
    pub fn sql(&self, statements: &str) {
        pg::server().sql(self._database.name(), statements);
    }

    /// Stops controllers and executor.
    pub async fn pause(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown(&self.deps).await.unwrap();
        }
    }

    pub fn cx(&self) -> Ctx {
        Ctx {
            actor: Actor { kind: ActorKind::Operator, id: "tester".into() },
            person: None,
            rights: Rights::all(),
            environment: self.environment.clone(),
            request_id: mint::request(),
            correlation_id: "test".into(),
            now: self.deps.now(),
            idempotency: None,
        }
    }

    pub async fn tenant(&self, slug: &str) -> Tenant {
        tenants::get(&self.cx(), &self.deps, &name(slug)).await.unwrap()
    }

    /// The control database's name.
    pub fn database(&self) -> &str {
        self._database.name()
    }

    /// Puts the clock ahead.
    pub fn skip_ahead(&self, by: jiff::SignedDuration) {
        self.clock.0.fetch_add(by.as_secs(), std::sync::atomic::Ordering::Relaxed);
        self.deps.nudge();
    }

    /// Waits until an operation has ended.
    pub async fn ended(&self, id: OperationId) -> Operation {
        let began = Instant::now();
        loop {
            let operation = operations::get(&self.cx(), &self.deps, id).await.unwrap();
            if operation.status.is_final() {
                return operation;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "no end: {operation:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn done(&self, id: Option<OperationId>) {
        let operation = self.ended(id.expect("an operation")).await;
        assert_eq!(operation.status, OperationStatus::Completed, "{operation:#?}");
    }

    /// A new active tenant on a plan.
    pub async fn active(&self, slug: &str, plan: &str) -> Tenant {
        let new = tenants::create(&self.cx(), &self.deps, Slug::parse(slug).unwrap(), spec(plan, Phase::Active))
            .await
            .unwrap();
        self.done(new.operation).await;
        self.tenant(slug).await
    }

    /// A transaction of a tenant, the way an application gets one.
    pub async fn enter(&self, slug: &str) -> Result<TenantTx, TenantTxError> {
        let (cell, space) = tenants::read::space(&self.cx(), &self.deps, &name(slug)).await.unwrap();
        self.router.enter(&cell.door(&space).unwrap()).await
    }

    pub async fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown(&self.deps).await.unwrap();
        }
    }
}

fn root() -> RootKey {
    RootKey::from_bytes(std::array::from_fn(|place| u8::try_from(place * 7 + 3).unwrap())).unwrap()
}

pub fn name(slug: &str) -> TenantRef {
    slug.parse().unwrap()
}

pub fn spec(plan: &str, state: Phase) -> Spec {
    Spec {
        display_name: "Acme GmbH".into(),
        app: AppName::parse("notes").unwrap(),
        plan: PlanCode::parse(plan).unwrap(),
        state,
        suspension: None,
        deletion: None,
        residency: Residency {
            allowed_regions: vec![RegionName::parse("eu-west").unwrap()],
            preferred_region: None,
            flags: vec![],
        },
        contacts: Default::default(),
        external_ids: Default::default(),
        aliases: vec![],
        domains: vec![],
        labels: Default::default(),
        settings: Default::default(),
        commercial: Default::default(),
        business: Default::default(),
        overrides: Default::default(),
    }
}

pub fn plan(isolation: &str) -> PlanSpec {
    serde_json::from_value(
        serde_json::json!({ "isolation": isolation, "quotas": { "users": "100", "connections": "20" } }),
    )
    .unwrap()
}

pub fn catalog() -> Vec<Manifest> {
    let files = vec![MigrationFile {
        name: "0001_init.sql".into(),
        sql: "CREATE TABLE notes (tenant_id uuid NOT NULL, id bigint GENERATED BY DEFAULT AS IDENTITY, body text NOT NULL, \
              PRIMARY KEY (tenant_id, id));\n\
              CREATE TABLE tags (tenant_id uuid NOT NULL, note bigint NOT NULL, tag text NOT NULL, \
              PRIMARY KEY (tenant_id, note, tag), FOREIGN KEY (tenant_id, note) REFERENCES notes (tenant_id, id));"
            .into(),
    }];
    let app = app::Spec {
        migrations: Migrations::Files { files },
        tenant_key: Some("tenant_id".into()),
        reference_tables: vec![],
        rollout: tenantry_domain::rollout::Strategy::default(),
    };
    let cell = CellSpec {
        region: RegionName::parse("eu-west").unwrap(),
        kind: CellKind::Pooled,
        database: SecretRef::Env("CELL_URL".into()),
        capacity: Capacity { shared: 1000, schema: 100, database: 50 },
        draining: false,
        standbys: Vec::new(),
        encryption: None,
        promises: Default::default(),
    };
    let plan_of = |code: &str, level: &str| Manifest::Plan { name: PlanCode::parse(code).unwrap(), spec: plan(level) };
    vec![
        Manifest::Cell { name: CellName::parse("eu-west-1").unwrap(), spec: cell },
        plan_of("starter", "shared"),
        plan_of("standard", "schema"),
        plan_of("enterprise", "database"),
        Manifest::Region { name: RegionName::parse("eu-west").unwrap(), spec: RegionSpec::default() },
        Manifest::App { name: AppName::parse("notes").unwrap(), spec: app },
    ]
}
