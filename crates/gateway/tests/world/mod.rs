//! A gateway in front of a server with tenants at every level, all of it made by the product itself.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tenantry_dataplane::secret::RootKey;
use tenantry_dataplane::{AppTarget, Cell, CellTarget, Claim, Dataplane, Gate, Options, Space};
use tenantry_domain::app::{MigrationFile, Migrations, Spec};
use tenantry_domain::cell::SecretRef;
use tenantry_domain::gateway::{Access, Allowed, LoginName, Mode, Proof, Server, Whose};
use tenantry_domain::id::{InstallationId, TenantId, WorkflowId};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_domain::tenant::Slug;
use tenantry_gateway::admin::{self, Admin};
use tenantry_gateway::feed::Handle;
use tenantry_gateway::table::{self, Change, Full, Login, Place, Route, Table, Verifier};
use tenantry_gateway::{Doors, Gateway, Ports, Settings, Tls};
use tenantry_pg::{Conn, Pool, PoolOptions, Sql, Target};
use uuid::Uuid;

const FILE: &str = include_str!("0001_note.sql");
/// The password of a login.
pub fn password(login: &str) -> String {
    format!("correct horse of {login}")
}

/// One tenant and its place.
#[derive(Clone)]
pub struct Tenant {
    pub id: TenantId,
    pub slug: String,
    pub level: Isolation,
    pub space: Space,
    pub database: String,
    pub schema: String,
    pub role: String,
}

/// See the module.
pub struct World {
    pub tenants: Vec<Tenant>,
    pub table: Table,
    pub gateway: Option<Gateway>,
    pub cell: Arc<Cell>,
    pub environment: EnvironmentName,
    pub url: String,
    doors: Doors,
    installation: InstallationId,
}

impl World {
    /// Tenants on a server whose superuser has this URL, and a gateway.
    pub async fn new(url: &str, levels: &[(Isolation, usize)], settings: Settings, tls: Option<Tls>) -> Self {
        Self::with((url, None), levels, Options::default(), settings, tls).await
    }

    /// The same with a standby of that server.
    pub async fn with(
        (url, standby): (&str, Option<&str>),
        levels: &[(Isolation, usize)],
        options: Options,
        settings: Settings,
        tls: Option<Tls>,
    ) -> Self {
        let installation = InstallationId::from_uuid(unique());
        let environment = EnvironmentName::parse(&format!("e{:016x}", unique().as_u128() as u64)).unwrap();
        let root = RootKey::from_bytes(*b"0123456789abcdef0123456789abcdef").unwrap();
        let plane = Dataplane::new(installation, root, options);
        let name = CellName::parse("one").unwrap();
        let target = CellTarget { environment: environment.clone(), name: name.clone(), url: url.to_owned().into() };
        let cell = plane.cell(&target).await.unwrap();
        let spec = Spec {
            migrations: Migrations::Files {
                files: vec![MigrationFile { name: "0001_note.sql".to_owned(), sql: FILE.to_owned() }],
            },
            tenant_key: Some("tenant_id".to_owned()),
            reference_tables: Vec::new(),
            rollout: tenantry_domain::rollout::Strategy::default(),
        };
        let app = AppName::parse("notes").unwrap();
        let app = Arc::new(AppTarget { environment: environment.clone(), app, version: 1, spec: Arc::new(spec) });
        let mut tenants = Vec::new();
        for (level, count) in levels {
            for number in 0..*count {
                let slug = format!("{}-{number}", level.as_str());
                tenants.push(make(&cell, &app, *level, slug).await);
            }
        }
        let (database, replica) = (SecretRef::Env("CELL".to_owned()), SecretRef::Env("STANDBY".to_owned()));
        let standbys = standby.map(|_| replica.clone()).into_iter().collect();
        let full = Full {
            routes: tenants.iter().map(|tenant| route(tenant, &environment)).collect(),
            logins: Vec::new(),
            cells: vec![table::Cell { environment: environment.clone(), name, database, standbys }],
        };
        let table = Table::default();
        table.replace(full);
        let secret: SecretString = url.to_owned().into();
        let other: SecretString = standby.unwrap_or(url).to_owned().into();
        let secrets = move |place: &SecretRef| Some(if *place == replica { other.clone() } else { secret.clone() });
        let doors = Doors::new(plane, Arc::new(secrets));
        let mut world =
            Self { tenants, table, gateway: None, cell, environment, url: url.to_owned(), doors, installation };
        for tenant in world.tenants.clone() {
            world.login(&tenant.slug.replace('-', "_"), Whose::Tenant(tenant.id), Mode::Transaction);
        }
        let all = Whose::Service { app: AppName::parse("notes").unwrap(), tenants: Allowed::All };
        world.login("service", all, Mode::Transaction);
        world.gateway = Some(world.another(settings, tls).await);
        world
    }

    /// One more gateway over the same table.
    pub async fn another(&self, settings: Settings, tls: Option<Tls>) -> Gateway {
        let ports = Ports {
            table: self.table.clone(),
            doors: self.doors.clone(),
            tokens: None,
            tls,
            ask: Arc::new(|| {}),
            admin: Some(Admin::new(&password(admin::NAME).into(), Handle::default())),
            config: None,
            mock: [7; 32].into(),
        };
        let settings = Settings { allow_plain: true, ..settings };
        Gateway::start("127.0.0.1:0".parse().unwrap(), settings, ports).await.unwrap()
    }

    /// Makes a login.
    pub fn login(&self, name: &str, whose: Whose, mode: Mode) {
        self.login_with(name, whose, mode, Access::ReadWrite);
    }

    /// Makes a login with an access.
    pub fn login_with(&self, name: &str, whose: Whose, mode: Mode, access: Access) {
        self.login_on(name, whose, mode, access, Server::Primary);
    }

    /// Makes a login for a server.
    pub fn login_on(&self, name: &str, whose: Whose, mode: Mode, access: Access, server: Server) {
        let name = LoginName::parse(name).unwrap();
        let text = tenantry_pg::scram::verifier(&password(name.as_str()).into()).into();
        let login = Login {
            name: name.clone(),
            environment: self.environment.clone(),
            whose,
            mode,
            access,
            server,
            proof: Proof::Password,
            verifiers: vec![Verifier { text, until: None }],
            connections: None,
            expires: None,
            version: Some(1),
        };
        self.table.apply(vec![Change::Login(name, Some(login))]);
    }

    /// Tells the gateway of a tenant's new state.
    pub fn set_route(&self, tenant: &Tenant, change: impl FnOnce(&mut Route)) {
        let mut route = route(tenant, &self.environment);
        change(&mut route);
        self.table.apply(vec![Change::Tenant(tenant.id, Some(route))]);
    }

    pub fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().unwrap()
    }

    /// The connection string of a tenant's own login.
    pub fn dsn(&self, tenant: &Tenant) -> String {
        self.dsn_as(&tenant.slug.replace('-', "_"), &tenant.slug)
    }

    /// The connection string of a login.
    pub fn dsn_as(&self, login: &str, database: &str) -> String {
        let port = self.gateway().address().port();
        let password = password(login).replace(' ', "%20");
        format!("postgres://{login}:{password}@127.0.0.1:{port}/{database}")
    }

    /// A client of a tenant.
    pub async fn client(&self, tenant: &Tenant) -> tokio_postgres::Client {
        connect(&self.dsn(tenant)).await.unwrap()
    }

    /// A number that a superuser finds in a database.
    pub async fn number(&self, database: &str, query: &str) -> i64 {
        let target = Target::parse(&self.url.clone().into()).unwrap().with_database(database);
        let conn = Pool::new(target, PoolOptions { max: 1, ..PoolOptions::default() }).get().await.unwrap();
        let rows = conn.client().simple_query(query).await.unwrap();
        let found = rows.iter().find_map(|row| match row {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        found.unwrap()
    }

    /// Runs statements as superuser in a database.
    pub async fn by_hand(&self, database: &str, statements: &str) {
        let conn = admin(&self.url, database).await;
        conn.batch(&Sql::script(statements)).await.unwrap_or_else(|error| panic!("{statements}: {:?}", error.db()));
    }

    /// Sets a tenant's gate in the database, as the control plane does it.
    pub async fn gate(&self, tenant: &Tenant, gate: Gate) {
        let claim = Claim { fence: 2, workflow: WorkflowId::from_uuid(unique()) };
        self.cell.set_gate(&tenant.space, &claim, gate).await.unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let mark = format!("tenantry:{}:%", self.installation);
        let url = self.url.clone();
        let clean = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let conn = admin(&url, "postgres").await;
                let sql = "SELECT datname::text FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE $1";
                for row in conn.query(sql, &[&mark]).await.unwrap() {
                    let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", row.get::<_, String>(0));
                    let _ = conn.batch(&Sql::script(&drop)).await;
                }
                let sql = "SELECT rolname::text FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE $1";
                for row in conn.query(sql, &[&mark]).await.unwrap() {
                    let role = row.get::<_, String>(0);
                    let _ =
                        conn.batch(&Sql::script(&format!("DROP OWNED BY {role}; DROP ROLE IF EXISTS {role}"))).await;
                }
            });
        };
        let _ = std::thread::spawn(clean).join();
    }
}

fn route(tenant: &Tenant, environment: &EnvironmentName) -> Route {
    Route {
        tenant: tenant.id,
        environment: environment.clone(),
        slug: Slug::parse(&tenant.slug).unwrap(),
        aliases: Vec::new(),
        app: AppName::parse("notes").unwrap(),
        gate: Gate::Open,
        place: Some(Place {
            cell: CellName::parse("one").unwrap(),
            isolation: tenant.level,
            epoch: tenant.space.epoch,
        }),
        connections: None,
        rate: None,
        statement: None,
    }
}

async fn make(cell: &Cell, app: &Arc<AppTarget>, level: Isolation, slug: String) -> Tenant {
    let id = TenantId::from_uuid(unique());
    let space = Space { tenant: id, app: Arc::clone(app), isolation: level, epoch: 1, connections: None };
    let claim = Claim { fence: 1, workflow: WorkflowId::from_uuid(unique()) };
    // Tests that start at once may collide in what the server keeps for all its databases; verbs may be repeated.
    if cell.create(&space, &claim).await.is_err() {
        cell.create(&space, &claim).await.unwrap_or_else(|error| panic!("{error:?}"));
    }
    cell.migrate(&space, &claim).await.unwrap_or_else(|error| panic!("{error:?}"));
    cell.set_gate(&space, &claim, Gate::Open).await.unwrap();
    let route = cell.route(&space).unwrap();
    Tenant { id, slug, level, space, database: route.database, schema: route.schema, role: route.role }
}

/// A client, its connection driven in the background.
pub async fn connect(dsn: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(dsn, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A connection of a superuser.
pub async fn admin(url: &str, database: &str) -> Conn {
    let target = Target::parse(&url.to_owned().into()).unwrap().with_database(database);
    Pool::new(target, PoolOptions { max: 1, idle_close: None, ..PoolOptions::default() }).get().await.unwrap()
}

pub fn unique() -> Uuid {
    let half = || u128::from(RandomState::new().hash_one(std::time::Instant::now()));
    Uuid::from_u128(half() << 64 | half())
}

pub const WAIT: Duration = Duration::from_secs(20);
