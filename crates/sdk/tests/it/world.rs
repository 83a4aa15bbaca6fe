//! An installation behind a real listener, with a line to it that can be cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tenantry_api::Client;
use tenantry_control::deps::{SecretError, Secrets, SystemClock, mint};
use tenantry_control::{Ctx, Deps, Options, PoolWants, Runtime, tokens};
use tenantry_dataplane::{Dataplane, Options as PlaneOptions, RootKey};
use tenantry_domain::cell::SecretRef;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::{Actor, ActorKind, Rights};
use tenantry_pg::{Pool, PoolOptions, Sql, Target};
use tenantry_sdk::testkit::{MadeTenant, TenantFactory};
use tenantry_sdk::{Settings, Tenant, Tenantry};
use tenantry_server::{Options as DoorOptions, State, serve};
use tenantry_store::{CursorKey, Store, StoreOptions};
use tenantry_testkit::pg;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A plan per level.
pub const LEVELS: [&str; 3] = ["shared", "schema", "database"];

const NOTES: &str = "create table notes (tenant_id uuid not null, id uuid not null default gen_random_uuid(), body text not null, primary key (tenant_id, id))";
const TAGS: &str = "create table tags (tenant_id uuid not null, note uuid not null, word text not null, primary key (tenant_id, note, word), foreign key (tenant_id, note) references notes (tenant_id, id))";

const MARKS: &str = "create table marks (tenant_id uuid not null, id uuid not null default gen_random_uuid(), primary key (tenant_id, id))";

fn catalog() -> Value {
    let object = |kind: &str, name: &str, spec: Value| json!({ "apiVersion": "tenantry.dev/v1", "kind": kind, "metadata": { "name": name }, "spec": spec });
    let files = json!([{ "name": "0001_init.sql", "sql": format!("{NOTES}; {TAGS}; {MARKS};") }]);
    json!([
        object("App", "notes", json!({ "migrations": { "files": files }, "tenantKey": "tenant_id" })),
        object("Plan", "shared", json!({ "isolation": "shared" })),
        object("Plan", "schema", json!({ "isolation": "schema" })),
        object("Plan", "database", json!({ "isolation": "database" })),
        object("Plan", "narrow", json!({ "isolation": "shared", "quotas": { "connections": 1 } })),
        object("Region", "eu-west", json!({})),
        object(
            "Cell",
            "eu-west-1",
            json!({
                "region": "eu-west",
                "database": { "urlFrom": { "env": "CELL_URL" } },
                "capacity": { "shared": 1000, "schema": 100, "database": 50 },
            })
        ),
    ])
}

struct OneUrl(SecretString);

impl Secrets for OneUrl {
    fn read(&self, _: &SecretRef) -> Result<SecretString, SecretError> {
        Ok(self.0.clone())
    }
}

pub struct World {
    pub url: String,
    pub token: String,
    pub environment: EnvironmentName,
    store: Store,
    line: Arc<AtomicBool>,
    application: &'static str,
    stop: CancellationToken,
    deps: Deps,
    runtime: Runtime,
    _database: pg::TestDatabase,
}

impl World {
    pub async fn new() -> Self {
        let server = pg::server();
        let database = server.database();
        let target = Target::parse(&SecretString::from(database.url())).unwrap();
        let store =
            Store::new(StoreOptions { target, pool: PoolOptions::default(), cursor_key: CursorKey::new(&[7; 32]) });
        store.migrate().await.unwrap();
        // Roles and databases on the shared server carry the environment's name, so it is the test's own.
        let tail = Uuid::new_v4().simple().to_string();
        let environment = EnvironmentName::parse(&format!("t{}", &tail[16..])).unwrap();
        store.ensure_environment(&environment).await.unwrap();
        let root = RootKey::from_bytes(std::array::from_fn(|place| u8::try_from(place * 3 + 2).unwrap())).unwrap();
        let plane = Dataplane::new(store.installation().await.unwrap(), root.clone(), PlaneOptions::default());
        let secrets = Arc::new(OneUrl(SecretString::from(server.url("postgres"))));
        let options = Options {
            tick: Duration::from_millis(100),
            pool: PoolWants { schema: 0, database: 0 },
            base_domains: vec!["app.example.com".parse().unwrap()],
            ..Options::default()
        };
        let deps = Deps::with_ports(store.clone(), plane, &root, options, Arc::new(SystemClock), secrets);
        let cx = Ctx {
            actor: Actor { kind: ActorKind::Operator, id: "tests".into() },
            person: None,
            rights: Rights::all(),
            environment: environment.clone(),
            request_id: mint::request(),
            correlation_id: "tests".into(),
            now: deps.now(),
            idempotency: None,
        };
        let token = tokens::issue(&cx, &deps, "tests", None).await.unwrap().expose_secret().to_owned();
        let door = DoorOptions { drain_delay: Duration::ZERO, ..DoorOptions::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let behind = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, State::new(deps.clone(), door), stop.clone()));
        let line = Arc::new(AtomicBool::new(true));
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", front.local_addr().unwrap());
        tokio::spawn(carry(front, behind, Arc::clone(&line)));
        let application = Box::leak(format!("sdk {tail}").into_boxed_str());
        let runtime = Runtime::start(&deps);
        let world =
            Self { url, token, environment, store, line, application, stop, deps, runtime, _database: database };
        let documents = catalog();
        world.client().apply(documents.as_array().unwrap(), None).await.unwrap();
        world
    }

    pub fn client(&self) -> Client {
        Client::new(&self.url, SecretString::from(self.token.clone()), self.environment.clone()).unwrap()
    }

    pub fn settings(&self) -> Settings {
        Settings {
            base_domain: Some("app.example.com".into()),
            application_name: self.application,
            ..Settings::new(&self.url, self.token.clone(), self.environment.as_str())
        }
    }

    pub fn tenantry(&self) -> Tenantry {
        self.tenantry_with(|_| {})
    }

    pub fn tenantry_with(&self, change: impl FnOnce(&mut Settings)) -> Tenantry {
        let mut settings = self.settings();
        change(&mut settings);
        Tenantry::with_settings(settings).unwrap()
    }

    pub fn factory(&self, tenantry: &Tenantry) -> TenantFactory {
        TenantFactory::new(tenantry, "notes", "eu-west").unwrap()
    }

    /// A tenant with a slug of its own choice.
    pub async fn named(&self, tenantry: &Tenantry, slug: &str, plan: &str, state: &str) -> MadeTenant {
        let contact = json!([{ "name": "Test", "email": "test@tenant.example" }]);
        let manifest = json!({
            "metadata": { "name": slug },
            "spec": {
                "displayName": slug, "app": "notes", "plan": plan, "state": state,
                "residency": { "allowedRegions": ["eu-west"] },
                "contacts": { "technical": contact, "billing": contact, "incident": contact },
                "business": { "synthetic": true },
            },
        });
        self.client().create_tenant(&manifest, Some(Duration::from_secs(30))).await.unwrap();
        let wanted = if state == "draft" { tenantry_sdk::State::Preparing } else { tenantry_sdk::State::Open };
        until("the tenant is seen", || async {
            let found = tenantry.resolve(&tenantry_sdk::Sources::name(slug).unwrap(), tenantry_sdk::Look::Fresh).await;
            found.ok().filter(|tenant| tenant.state() == wanted)
        })
        .await
        .into_made()
    }

    /// Cuts the line to the control plane, or mends it.
    pub fn set_line(&self, is_up: bool) {
        self.line.store(is_up, Ordering::SeqCst);
    }

    /// Runs statements as superuser in the database where a tenant's register is.
    pub async fn on_cell(&self, tenantry: &Tenantry, tenant: &Tenant, sql: &str) {
        let database = tenantry.route(tenant).await.unwrap().database;
        Self::sql(&database, sql).await;
    }

    pub async fn sql(database: &str, sql: &str) -> Vec<tenantry_pg::Row> {
        let target = Target::parse(&SecretString::from(pg::server().url(database))).unwrap();
        let pool = Pool::new(target, PoolOptions { max: 1, ..PoolOptions::default() });
        let conn = pool.get().await.unwrap();
        conn.query_sql(&Sql::script(sql), &[]).await.unwrap_or_else(|error| panic!("{sql}: {:?}", error.db()))
    }

    /// Runs a statement in the control database.
    pub async fn on_control(&self, sql: &str) {
        let conn = self.store.pool().get().await.unwrap();
        conn.batch(&Sql::script(sql)).await.unwrap();
        conn.release();
    }

    /// How many connections this world's applications have open, and how many of them are inside of a transaction.
    pub async fn connections(&self) -> (i64, i64) {
        let sql = format!(
            "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%') FROM pg_stat_activity \
             WHERE application_name = '{}'",
            self.application
        );
        let rows = Self::sql("postgres", &sql).await;
        (rows[0].get(0), rows[0].get(1))
    }

    pub async fn end(self) {
        self.stop.cancel();
        let _ = self.runtime.shutdown(&self.deps).await;
    }
}

/// Carries connections while the line is up; drops them and refuses new ones while it is not.
async fn carry(front: TcpListener, behind: std::net::SocketAddr, line: Arc<AtomicBool>) {
    while let Ok((mut client, _)) = front.accept().await {
        let line = Arc::clone(&line);
        tokio::spawn(async move {
            if !line.load(Ordering::SeqCst) {
                return;
            }
            let Ok(mut server) = TcpStream::connect(behind).await else { return };
            let cut = async {
                while line.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                () = cut => {}
            }
        });
    }
}

trait IntoMade {
    fn into_made(self) -> MadeTenant;
}

impl IntoMade for Tenant {
    fn into_made(self) -> MadeTenant {
        MadeTenant { tenant: self }
    }
}

/// Asks until there is an answer.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Numbers that look random and are the same each time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A counter that closures share.
#[derive(Clone, Default)]
pub struct Count(Arc<AtomicU32>);

impl Count {
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}
