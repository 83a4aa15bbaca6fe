//! A server with one app and tenants in it, made by the product itself, and ways to break it by hand.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tenantry_dataplane::secret::RootKey;
use tenantry_dataplane::{
    AppTarget, Cell, CellTarget, Claim, Dataplane, Door, Gate, Options, Router, RouterOptions, SealMode, Space,
    TenantTx,
};
use tenantry_domain::app::{MigrationFile, Migrations, Spec};
use tenantry_domain::id::{InstallationId, TenantId, WorkflowId};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_pg::{Conn, Ident, PgError, Pool, PoolOptions, Session, Sql, Target};
use tenantry_probe::{CanaryKey, Entered, Entry, EntryError, Limits, Party, Probe, ProbeReport};
use tenantry_testkit::pg::server;
use uuid::Uuid;

const FILES: [(&str, &str); 2] =
    [("0001_people.sql", include_str!("app/0001_people.sql")), ("0002_work.sql", include_str!("app/0002_work.sql"))];

/// One tenant and its place.
pub struct Tenant {
    pub id: Uuid,
    pub level: Isolation,
    pub schema: String,
    pub database: String,
    pub login: String,
    pub owner: String,
    pub door: Door,
}

/// An installation of its own on the tests' server.
pub struct World {
    pub tenants: Vec<Tenant>,
    pub router: Arc<Router>,
    pub tenant_key: Option<Ident>,
    mark: String,
}

impl World {
    /// As many tenants at each level as asked for.
    pub async fn new(levels: &[(Isolation, usize)], options: RouterOptions) -> Self {
        Self::of_app(levels, options, Some("tenant_id"), Options::default()).await
    }

    /// Two tenants whose app knows no tenants: their schema, or their database, is all that keeps them apart.
    pub async fn pair_without_key(level: Isolation) -> Self {
        Self::of_app(&[(level, 2)], RouterOptions::default(), None, Options::default()).await
    }

    /// Two tenants whose context is a signed setting instead of a register that no session may write.
    pub async fn pair_signed(level: Isolation) -> Self {
        let signed = Options { seal: Some(SealMode::Signed), ..Options::default() };
        let world = Self::of_app(&[(level, 2)], RouterOptions::default(), Some("tenant_id"), signed).await;
        let sql = "SELECT to_regprocedure('seal.signature(bytea, uuid)') IS NOT NULL";
        for tenant in &world.tenants {
            let row = admin(&tenant.database).await.query_one(sql, &[]).await.unwrap();
            assert!(row.get::<_, bool>(0), "{} is not signed", tenant.database);
        }
        world
    }

    async fn of_app(
        levels: &[(Isolation, usize)],
        options: RouterOptions,
        tenant_key: Option<&str>,
        plane: Options,
    ) -> Self {
        let installation = InstallationId::from_uuid(unique());
        let environment = EnvironmentName::parse(&format!("e{:016x}", unique().as_u128() as u64)).unwrap();
        let root = RootKey::from_bytes(*b"0123456789abcdef0123456789abcdef").unwrap();
        let plane = Dataplane::new(installation, root, plane);
        let name = CellName::parse("one").unwrap();
        let target = CellTarget { environment: environment.clone(), name, url: server().url("postgres").into() };
        let cell = plane.cell(&target).await.unwrap();
        let file = |(name, sql): (&str, &str)| MigrationFile { name: name.to_owned(), sql: sql.to_owned() };
        let spec = Spec {
            migrations: Migrations::Files { files: FILES.map(file).into() },
            tenant_key: tenant_key.map(ToOwned::to_owned),
            reference_tables: vec!["countries".to_owned()],
            rollout: tenantry_domain::rollout::Strategy::default(),
        };
        let app = AppTarget { environment, app: AppName::parse("work").unwrap(), version: 1, spec: Arc::new(spec) };
        let app = Arc::new(app);
        let mut tenants = Vec::new();
        for (level, count) in levels {
            for _ in 0..*count {
                tenants.push(make(&cell, &app, *level).await);
            }
        }
        let (router, tenant_key) = (Arc::new(Router::new(options)), tenant_key.map(ident));
        Self { tenants, router, tenant_key, mark: format!("tenantry:{installation}:%") }
    }

    /// Two tenants at one level.
    pub async fn pair(level: Isolation) -> Self {
        Self::new(&[(level, 2)], RouterOptions::default()).await
    }

    pub fn a(&self) -> &Tenant {
        &self.tenants[0]
    }

    pub fn b(&self) -> &Tenant {
        &self.tenants[1]
    }

    /// Runs statements as superuser in A's database, with `{…}` filled in and A's schema first in the path.
    pub async fn by_hand(&self, statements: &str) {
        let (a, b) = (self.a(), self.b());
        let statements = statements
            .replace("{login}", &a.login)
            .replace("{owner}", &a.owner)
            .replace("{schema}", &a.schema)
            .replace("{b_schema}", &b.schema)
            .replace("{b_login}", &b.login)
            .replace("{b_database}", &b.database);
        run(&a.database, &format!("SET search_path = {}, pg_catalog; {statements}", a.schema)).await;
    }

    pub async fn probe(&self) -> ProbeReport {
        with_probe(self, async |probe| sends(probe.run()).await.unwrap_or_else(|error| panic!("{error:?}"))).await
    }
}

/// A controller may run it on any thread.
fn sends<T: Send>(work: T) -> T {
    work
}

/// Runs something with a probe of the first two tenants.
pub async fn with_probe<T>(world: &World, work: impl AsyncFnOnce(&Probe<'_, Way>) -> T) -> T {
    let (a, b) = (world.a(), world.b());
    let ways = [a, b].map(|tenant| Way { router: Arc::clone(&world.router), door: tenant.door.clone() });
    let (a_admin, b_admin) = (admin(&a.database).await, admin(&b.database).await);
    let probe = Probe {
        level: a.level,
        tenant_column: world.tenant_key.clone(),
        key: CanaryKey::new([42; 32]),
        a: Party {
            tenant: TenantId::from_uuid(a.id),
            entry: &ways[0],
            admin: &a_admin,
            login: &a.login,
            schema: ident(&a.schema),
            target: &a.door.target,
        },
        b: Party {
            tenant: TenantId::from_uuid(b.id),
            entry: &ways[1],
            admin: &b_admin,
            login: &b.login,
            schema: ident(&b.schema),
            target: &b.door.target,
        },
        limits: Limits { statement: Duration::from_secs(10), ..Limits::default() },
    };
    work(&probe).await
}

impl Drop for World {
    fn drop(&mut self) {
        let names = |sql: &'static str| {
            let mark = self.mark.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    let conn = admin("postgres").await;
                    let rows = conn.query(sql, &[&mark]).await.unwrap();
                    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
                })
            })
            .join()
            .unwrap_or_default()
        };
        self.router.close();
        let databases =
            names("SELECT datname::text FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE $1");
        let roles = names("SELECT rolname::text FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE $1");
        let drop_databases = databases.iter().map(|name| format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        let drop_roles =
            roles.iter().flat_map(|role| [format!("DROP OWNED BY {role}"), format!("DROP ROLE IF EXISTS {role}")]);
        server().clean_up(&drop_databases.chain(drop_roles).collect::<Vec<_>>());
    }
}

async fn make(cell: &Cell, app: &Arc<AppTarget>, level: Isolation) -> Tenant {
    let id = unique();
    let tenant = TenantId::from_uuid(id);
    let space = Space { tenant, app: Arc::clone(app), isolation: level, epoch: 1, connections: None };
    let claim = Claim { fence: 1, workflow: WorkflowId::from_uuid(unique()) };
    // Tests that start at once may collide in what the server keeps for all its databases; verbs may be repeated.
    if cell.create(&space, &claim).await.is_err() {
        cell.create(&space, &claim).await.unwrap_or_else(|error| panic!("{error:?}"));
    }
    cell.migrate(&space, &claim).await.unwrap_or_else(|error| panic!("{error:?}"));
    cell.set_gate(&space, &claim, Gate::Open).await.unwrap();
    let (route, door) = (cell.route(&space).unwrap(), cell.door(&space).unwrap());
    let sql = "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = $1";
    let owner = admin(&route.database).await.query_one(sql, &[&route.schema]).await.unwrap().get(0);
    Tenant { id, level, schema: route.schema, database: route.database, login: route.role, owner, door }
}

/// The way that an application has.
pub struct Way {
    pub router: Arc<Router>,
    pub door: Door,
}

pub struct Tx(pub TenantTx);

impl Deref for Tx {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Entered for Tx {
    async fn keep(self) -> Result<(), PgError> {
        self.0.commit().await.map_err(tenantry_pg::CommitError::into_inner)
    }

    async fn undo(self) -> Result<(), PgError> {
        self.0.rollback().await
    }
}

impl Entry for Way {
    type Tx = Tx;
    async fn enter(&self) -> Result<Tx, EntryError> {
        self.router.enter(&self.door).await.map(Tx).map_err(|error| EntryError(Box::new(error)))
    }
}

pub fn unique() -> Uuid {
    let half = || u128::from(RandomState::new().hash_one(std::time::Instant::now()));
    Uuid::from_u128(half() << 64 | half())
}

pub fn ident(name: &str) -> Ident {
    Ident::new(name).unwrap()
}

/// A connection of a superuser.
pub async fn admin(database: &str) -> Conn {
    let target = Target::parse(&server().url(database).into()).unwrap();
    Pool::new(target, PoolOptions { max: 1, idle_close: None, ..PoolOptions::default() }).get().await.unwrap()
}

pub async fn run(database: &str, statements: &str) {
    let conn = admin(database).await;
    conn.batch(&Sql::script(statements)).await.unwrap_or_else(|error| panic!("{statements}: {:?}", error.db()));
}
