//! One server, one app, two tenants.
//!
//! [`World::driven`] is what the product makes. [`World::new`] builds the same by hand, so that a test can leave
//! something out, and can hold the key.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tenantry_dataplane::router::{Door, Router, RouterOptions};
use tenantry_dataplane::seal::{self, Install, SealKey, SealMode};
use tenantry_dataplane::secret::RootKey;
use tenantry_dataplane::{AppTarget, CellTarget, Claim, Dataplane, Gate, Options, Space};
use tenantry_domain::app::{MigrationFile, Migrations, Spec};
use tenantry_domain::id::{InstallationId, TenantId, WorkflowId};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_pg::{Ident, Pool, PoolOptions, Sql, Target};
use tenantry_testkit::pg::{TestDatabase, server};
use uuid::Uuid;

const MIGRATIONS: [&str; 3] = ["0001_init.sql", "0002_messages_and_files.sql", "0003_pins_and_reactions.sql"];

/// The tables of the example app that hold tenants' rows, parents first.
pub const TABLES: [&str; 6] = ["users", "channels", "channel_members", "messages", "files", "reactions"];

/// Where and how the tenants live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    pub isolation: Isolation,
    pub mode: SealMode,
}

pub const SHARED: Setting = Setting { isolation: Isolation::Shared, mode: SealMode::Register };
pub const SHARED_SIGNED: Setting = Setting { isolation: Isolation::Shared, mode: SealMode::Signed };
pub const SCHEMA: Setting = Setting { isolation: Isolation::Schema, mode: SealMode::Register };
pub const DATABASE: Setting = Setting { isolation: Isolation::Database, mode: SealMode::Register };

pub struct Party {
    pub tenant: Uuid,
    pub schema: String,
    pub database: String,
    pub owner: String,
    pub login: String,
    /// Is in every row of this tenant and nowhere else.
    pub canary: String,
    pub door: Door,
    /// Superuser in the tenant's database.
    pub admin: Pool,
}

pub struct World {
    pub a: Party,
    pub b: Party,
    pub router: Router,
    pub key: SealKey,
    pub key_bytes: zeroize::Zeroizing<[u8; 32]>,
    roles: Vec<String>,
    databases: Vec<String>,
    /// Keeps a hand-made home database.
    _home: Option<TestDatabase>,
}

impl World {
    pub async fn new(setting: Setting) -> Self {
        let home = server().database();
        let name = home.name().to_owned();
        let admit = format!("{name}_in");
        let key_bytes = RootKey::from_bytes(*b"0123456789abcdef0123456789abcdef").unwrap().derive("seal", &[&name]);
        let key = SealKey::new(1, key_bytes.clone());
        let mut roles = vec![admit.clone()];
        run("postgres", &format!("CREATE ROLE {admit} NOLOGIN")).await;
        let mut databases = vec![name.clone()];
        let mut parties = Vec::new();
        for (index, letter) in ["a", "b"].into_iter().enumerate() {
            let own = format!("{name}_{letter}");
            let (schema, database, login) = match setting.isolation {
                Isolation::Shared => ("app".to_owned(), name.clone(), format!("{name}_app")),
                Isolation::Schema => (format!("t_{letter}"), name.clone(), own.clone()),
                _ => ("app".to_owned(), own.clone(), own.clone()),
            };
            let party = Party {
                tenant: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + 0xa0 + index as u128),
                owner: format!("{login}_own"),
                canary: format!("canary-{letter}-feed{index}"),
                door: door(&database, &login, &key, setting),
                admin: admin(&database),
                schema,
                database,
                login,
            };
            let first = setting.isolation != Isolation::Shared || letter == "a";
            if setting.isolation == Isolation::Database {
                run("postgres", &format!("CREATE DATABASE {} TEMPLATE template0", party.database)).await;
                databases.push(party.database.clone());
            }
            if first {
                roles.extend([party.owner.clone(), party.login.clone()]);
                build(&party, &admit, &key, setting).await;
            }
            register(&party, setting).await;
            parties.push(party);
        }
        let [mut a, mut b] = <[Party; 2]>::try_from(parties).ok().unwrap();
        for party in [&mut a, &mut b] {
            party.door.tenant = TenantId::from_uuid(party.tenant);
        }
        let world = Self { a, b, router: router(), key, key_bytes, roles, databases, _home: Some(home) };
        world.seed_both().await;
        world
    }

    /// The same, made by the product itself.
    pub async fn driven(setting: Setting) -> Self {
        let installation = InstallationId::from_uuid(unique());
        let environment = EnvironmentName::parse(&format!("e{:016x}", unique().as_u128() as u64)).unwrap();
        let root = RootKey::from_bytes(*b"0123456789abcdef0123456789abcdef").unwrap();
        let seal = Some(setting.mode).filter(|mode| *mode == SealMode::Signed);
        let plane = Dataplane::new(installation, root, Options { seal, ..Options::default() });
        let name = CellName::parse("one").unwrap();
        let target = CellTarget { environment: environment.clone(), name, url: server().url("postgres").into() };
        let cell = plane.cell(&target).await.unwrap();
        let file = |name: &str| MigrationFile { name: name.to_owned(), sql: example(&format!("migrations/{name}")) };
        let spec = Spec {
            migrations: Migrations::Files { files: MIGRATIONS.map(file).into() },
            tenant_key: Some("tenant_id".to_owned()),
            reference_tables: vec!["countries".to_owned()],
            rollout: tenantry_domain::rollout::Strategy::default(),
        };
        let app = AppTarget { environment, app: AppName::parse("chat").unwrap(), version: 3, spec: Arc::new(spec) };
        let (app, mut parties) = (Arc::new(app), Vec::new());
        for (index, letter) in ["a", "b"].into_iter().enumerate() {
            let tenant = unique();
            let space = Space {
                tenant: TenantId::from_uuid(tenant),
                app: Arc::clone(&app),
                isolation: setting.isolation,
                epoch: 3,
                connections: None,
            };
            let claim = Claim { fence: 1, workflow: WorkflowId::from_uuid(unique()) };
            cell.create(&space, &claim).await.unwrap();
            cell.migrate(&space, &claim).await.unwrap();
            cell.set_gate(&space, &claim, Gate::Open).await.unwrap();
            let (route, door) = (cell.route(&space).unwrap(), cell.door(&space).unwrap());
            let admin = admin(&route.database);
            let owner = "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = $1";
            let owner = admin.get().await.unwrap().query_one(owner, &[&route.schema]).await.unwrap().get(0);
            parties.push(Party {
                tenant,
                schema: route.schema,
                database: route.database,
                owner,
                login: route.role,
                canary: format!("canary-{letter}-feed{index}"),
                door,
                admin,
            });
        }
        let [a, b] = <[Party; 2]>::try_from(parties).ok().unwrap();
        let bytes: Vec<u8> =
            a.admin.get().await.unwrap().query_one("SELECT k FROM seal.key", &[]).await.unwrap().get(0);
        let key_bytes = zeroize::Zeroizing::new(<[u8; 32]>::try_from(bytes).unwrap());
        let mode = "SELECT prosecdef FROM pg_proc WHERE oid = 'tenantry.current_tenant()'::regprocedure";
        let signed: bool = a.admin.get().await.unwrap().query_one(mode, &[]).await.unwrap().get(0);
        assert_eq!(signed, setting.mode == SealMode::Signed);
        let mark = format!("tenantry:{installation}:%");
        let roles =
            marked("SELECT rolname::text FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE $1", &mark).await;
        let databases =
            marked("SELECT datname::text FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE $1", &mark)
                .await;
        assert!(roles.len() > 2 && !databases.is_empty());
        let world = Self { key: a.door.seal.clone(), a, b, router: router(), key_bytes, roles, databases, _home: None };
        world.seed_both().await;
        world
    }

    async fn seed_both(&self) {
        for party in [&self.a, &self.b] {
            seed(self, party).await;
        }
    }

    /// All of a tenant's rows as one value.
    pub async fn fingerprint(&self, party: &Party) -> String {
        let mut select = Sql::new("SELECT md5(concat(");
        for table in TABLES {
            select = select.push("(SELECT string_agg(t::text, ',' ORDER BY t::text) FROM ");
            select = select.ident(&ident(&party.schema)).push(".").ident(&ident(table)).push(" t WHERE tenant_id = ");
            select = select.literal(&party.tenant.to_string()).push("), '|',");
        }
        let row = party.admin.get().await.unwrap().query_sql(&select.push("''))"), &[]).await.unwrap();
        row[0].get(0)
    }

    /// Gives a tenant its first rows again.
    pub async fn restore(&self, party: &Party) {
        let tables: Vec<String> = TABLES.iter().map(|table| format!("{}.{table}", party.schema)).collect();
        let mut statements = String::new();
        for table in tables.iter().rev() {
            statements.push_str(&format!("DELETE FROM {table} WHERE tenant_id = '{}';", party.tenant));
        }
        run(&party.database, &statements).await;
        seed(self, party).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let databases =
            self.databases.iter().map(|database| format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"));
        let roles =
            self.roles.iter().flat_map(|role| [format!("DROP OWNED BY {role}"), format!("DROP ROLE IF EXISTS {role}")]);
        server().clean_up(&databases.chain(roles).collect::<Vec<_>>());
    }
}

pub fn ident(name: &str) -> Ident {
    Ident::new(name).unwrap()
}

/// One connection per login: whatever A leaves behind, B gets.
fn router() -> Router {
    let pool =
        PoolOptions { statement: Duration::from_secs(20), lock: Duration::from_secs(2), ..PoolOptions::default() };
    Router::new(RouterOptions { shared: 1, own: 1, pool, ..RouterOptions::default() })
}

fn unique() -> Uuid {
    let half = || u128::from(RandomState::new().hash_one(std::time::Instant::now()));
    Uuid::from_u128(half() << 64 | half())
}

async fn marked(question: &'static str, mark: &str) -> Vec<String> {
    let rows = admin("postgres").get().await.unwrap().query(question, &[&mark]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

pub async fn run(database: &str, statements: &str) {
    let conn = admin(database).get().await.unwrap();
    conn.batch(&Sql::script(statements)).await.unwrap_or_else(|error| panic!("{statements}: {:?}", error.db()));
}

fn admin(database: &str) -> Pool {
    let target = Target::parse(&server().url(database).into()).unwrap();
    Pool::new(target, PoolOptions { max: 2, ..PoolOptions::default() })
}

fn door(database: &str, login: &str, key: &SealKey, setting: Setting) -> Door {
    let target = Target::parse(&server().url(database).into()).unwrap().with_user(login, &"pw".into());
    let tenant = TenantId::from_uuid(Uuid::nil());
    Door {
        tenant,
        epoch: 3,
        isolation: setting.isolation,
        target,
        seal: key.clone(),
        connections: None,
        is_standby: false,
    }
}

/// Roles, seal, tables, policies and rights, as the drivers make them.
async fn build(party: &Party, admit: &str, key: &SealKey, setting: Setting) {
    let Party { schema, database, owner, login, .. } = party;
    run(
        database,
        &format!(
            "CREATE ROLE {owner} NOLOGIN; CREATE ROLE {login} LOGIN PASSWORD 'pw' IN ROLE {admit};
             REVOKE ALL ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO {login};
             REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE SCHEMA {schema} AUTHORIZATION {owner}"
        ),
    )
    .await;
    let session = party.admin.get().await.unwrap();
    let admit = ident(admit);
    let install = Install { key, admit: &admit, mode: Some(setting.mode).filter(|mode| *mode == SealMode::Signed) };
    let installed = seal::install(&session, &install).await.unwrap();
    assert_eq!((installed.mode, installed.ajar.len()), (setting.mode, 0));
    let mut script = format!("SET ROLE {owner}; SET search_path = {schema};");
    for file in MIGRATIONS {
        script.push_str(&example(&format!("migrations/{file}")));
    }
    script.push_str(&format!(
        "RESET ROLE; GRANT REFERENCES (tenant_id) ON tenantry.tenant TO {owner}; SET ROLE {owner};"
    ));
    for table in TABLES {
        script.push_str(&protect(table, login));
        if setting.isolation == Isolation::Shared {
            script.push_str(&format!(
                "ALTER TABLE {table} ADD FOREIGN KEY (tenant_id) REFERENCES tenantry.tenant (tenant_id);"
            ));
        }
    }
    script.push_str(&format!(
        "GRANT USAGE ON SCHEMA {schema} TO {login}; GRANT SELECT ON countries TO {login};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {login}; RESET ROLE"
    ));
    run(database, &script).await;
}

/// What makes one table a tenant table.
pub fn protect(table: &str, login: &str) -> String {
    format!(
        "ALTER TABLE {table} ALTER tenant_id SET DEFAULT tenantry.current_tenant();
         ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
         CREATE POLICY tenantry_tenant ON {table} USING (tenant_id = (SELECT tenantry.current_tenant()));
         GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {login};"
    )
}

async fn register(party: &Party, setting: Setting) {
    let Party { tenant, schema, database, .. } = party;
    let insert = format!(
        "INSERT INTO tenantry.tenant (tenant_id, epoch, state, path) VALUES ('{tenant}', 3, 'a', '{schema}, pg_temp')"
    );
    run(database, &insert).await;
    if setting.isolation == Isolation::Database {
        return;
    }
    // A third tenant that is not open.
    run(
        database,
        "INSERT INTO tenantry.tenant (tenant_id, epoch, state, path)
         VALUES ('00000000-0000-7000-8000-00000000dead', 1, 's', 'app, pg_temp') ON CONFLICT DO NOTHING",
    )
    .await;
}

/// The example's rows through the tenant's own transaction, each marked with the canary; except one user, whose
/// address the other tenant knows.
async fn seed(world: &World, party: &Party) {
    let tx = world.router.enter(&party.door).await.unwrap();
    let canary = &party.canary;
    let script = format!(
        "{}; UPDATE users SET display_name = display_name || '{canary}', email = '{canary}' || email WHERE email NOT LIKE 'anna@%';
         UPDATE users SET display_name = '{canary}' WHERE email LIKE 'anna@%';
         UPDATE channels SET topic = topic || '{canary}';
         UPDATE messages SET body = body || '{canary}';
         UPDATE files SET name = name || '{canary}', storage_key = '{canary}' || storage_key;
         UPDATE reactions SET emoji = '{canary}'",
        example("seed.sql"),
    );
    tx.batch(&Sql::script(&script)).await.unwrap_or_else(|error| panic!("{:?}", error.db()));
    tx.commit().await.unwrap();
}

/// A file of the example app.
pub fn example(path: &str) -> String {
    let path = format!("{}/../../examples/chat/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
