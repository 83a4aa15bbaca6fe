//! An installation behind a real listener, and a caller who says exactly what goes over the wire.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tenantry_api::Client;
use tenantry_control::deps::{SecretError, Secrets, SystemClock, mint};
use tenantry_control::governance::Governance;
use tenantry_control::guard::GuardOptions;
use tenantry_control::quotas::rates::RateOptions;
use tenantry_control::{Ctx, Deps, Options, PoolWants, Runtime, tokens};
use tenantry_dataplane::{Dataplane, Options as PlaneOptions, RootKey};
use tenantry_domain::access::{Issuer, Operators};
use tenantry_domain::cell::SecretRef;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::{Actor, ActorKind, Rights};
use tenantry_pg::{PoolOptions, Target};
use tenantry_policy::{Bundle, Decider, Stage};
use tenantry_server::{Options as DoorOptions, State, serve};
use tenantry_store::{CursorKey, Store, StoreOptions};
use tenantry_testkit::pg;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Everything that the tests refer to.
pub const CATALOG: &str = "
apiVersion: tenantry.dev/v1
kind: App
metadata: { name: chat }
spec:
  migrations: { files: [{ name: 0001_init.sql, sql: \"create table notes (tenant_id uuid not null, id bigint not null, body text, primary key (tenant_id, id))\" }] }
  tenantKey: tenant_id
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: standard }
spec: { isolation: schema, quotas: { users: 100 }, backup: { retention: 30d } }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: starter }
spec: { isolation: shared }
---
apiVersion: tenantry.dev/v1
kind: Region
metadata: { name: eu-west }
---
apiVersion: tenantry.dev/v1
kind: Cell
metadata: { name: eu-west-1 }
spec:
  region: eu-west
  database: { urlFrom: { env: CELL_URL } }
  capacity: { shared: 1000, schema: 100, database: 50 }
";

struct OneUrl(SecretString);

impl Secrets for OneUrl {
    fn read(&self, place: &SecretRef) -> Result<SecretString, SecretError> {
        let other = match place {
            SecretRef::Env(name) => SERVERS.lock().unwrap().get(name).cloned(),
            SecretRef::File(_) => None,
        };
        Ok(other.unwrap_or_else(|| self.0.clone()))
    }
}

/// Servers of cells other than the shared one, by the variable that their manifests name. Each test is a process of its own.
static SERVERS: Mutex<BTreeMap<String, SecretString>> = Mutex::new(BTreeMap::new());

/// A cell whose manifest names this variable is on this server.
pub fn cell_on(variable: &str, url: &str) {
    SERVERS.lock().unwrap().insert(variable.to_owned(), url.to_owned().into());
}

pub struct World {
    pub deps: Deps,
    pub state: State,
    pub url: String,
    pub token: String,
    pub environment: EnvironmentName,
    pub stop: CancellationToken,
    pub served: Option<JoinHandle<std::io::Result<()>>>,
    runtime: Option<Runtime>,
    http: reqwest::Client,
    _database: pg::TestDatabase,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is a complete problem of a code, and gives it.
    #[track_caller]
    pub fn problem(&self, code: &str) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{}", self.text);
        assert_eq!(problem["status"], self.status.as_u16(), "{}", self.text);
        assert_eq!(problem["type"], format!("https://docs.tenantry.dev/errors/{code}"));
        for field in ["title", "detail", "hint"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {}", self.text);
        }
        assert_eq!(problem["correlationId"], self.header("x-correlation-id"), "{self:?}");
        assert!(self.header("x-request-id").starts_with("req_"), "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store");
        problem
    }
}

/// A request before it is sent.
pub struct Ask<'w> {
    world: &'w World,
    builder: reqwest::RequestBuilder,
}

impl Ask<'_> {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub fn bearer(self) -> Self {
        let token = self.world.token.clone();
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn keyed(self) -> Self {
        self.header("idempotency-key", &uuid::Uuid::new_v4().simple().to_string())
    }

    pub fn json(self, body: &Value) -> Self {
        self.text("application/json", &body.to_string())
    }

    pub fn yaml(self, body: &str) -> Self {
        self.text("application/yaml", body)
    }

    pub fn text(mut self, media: &str, body: &str) -> Self {
        self.builder = self.builder.header("content-type", media).body(body.to_owned());
        self
    }

    pub async fn send(self) -> Reply {
        let response = self.builder.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Reply { status, headers, text: response.text().await.unwrap() }
    }
}

/// The shipped rules with settings.
pub fn rules(settings: &str) -> Governance {
    let manifest = format!("name = \"acme\"\nversion = \"7\"\n{settings}");
    let bundle = Bundle::new([("policy.toml".to_owned(), manifest.into_bytes())].into()).unwrap();
    Governance::new(Decider::Builtin(Arc::new(Stage::new(bundle.compile().unwrap().engine))))
}

impl World {
    /// Without controllers: records change, the world does not.
    pub async fn quiet() -> Self {
        Self::with(DoorOptions { drain_delay: Duration::ZERO, ..DoorOptions::default() }).await
    }

    /// With controllers.
    pub async fn running() -> Self {
        let mut world = Self::quiet().await;
        world.runtime = Some(Runtime::start(&world.deps));
        world
    }

    /// With controllers, and a guard that looks as told.
    pub async fn running_with(guard: GuardOptions) -> Self {
        let door = DoorOptions { drain_delay: Duration::ZERO, ..DoorOptions::default() };
        let mut world = Self::made(door, guard, |_| Vec::new()).await;
        world.runtime = Some(Runtime::start(&world.deps));
        world
    }

    pub async fn with(door: DoorOptions) -> Self {
        // What the shared test server is like must not end up in tests of something else.
        Self::made(door, GuardOptions { every: None, ..GuardOptions::default() }, |_| Vec::new()).await
    }

    /// With controllers, and with issuers of access tokens for the environment that it gets.
    pub async fn running_believing(issuers: impl FnOnce(&EnvironmentName) -> Vec<Issuer>) -> Self {
        let door = DoorOptions { drain_delay: Duration::ZERO, ..DoorOptions::default() };
        let mut world = Self::made(door, GuardOptions { every: None, ..GuardOptions::default() }, issuers).await;
        world.runtime = Some(Runtime::start(&world.deps));
        world
    }

    /// Where strangers may fail as often as they like.
    pub async fn forgiving() -> Self {
        let door = DoorOptions { drain_delay: Duration::ZERO, ..DoorOptions::default() };
        let rates = RateOptions { failures: None, ..RateOptions::default() };
        let guard = GuardOptions { every: None, ..GuardOptions::default() };
        Self::made_with(door, guard, |_| Vec::new(), rates, Governance::default(), |_| Vec::new()).await
    }

    /// With rules of the operator's own: the shipped set with settings, as `policy.toml` has them.
    pub async fn ruled(settings: &str) -> Self {
        Self::governed(rules(settings)).await
    }

    /// The same with controllers.
    pub async fn running_ruled(settings: &str) -> Self {
        let mut world = Self::ruled(settings).await;
        world.runtime = Some(Runtime::start(&world.deps));
        world
    }

    /// With somebody else who decides.
    pub async fn governed(governance: Governance) -> Self {
        let door = DoorOptions { drain_delay: Duration::ZERO, ..DoorOptions::default() };
        let guard = GuardOptions { every: None, ..GuardOptions::default() };
        Self::made_with(door, guard, |_| Vec::new(), RateOptions::default(), governance, |_| Vec::new()).await
    }

    /// Where people of the operator sign in, and strangers may fail as often as they like.
    pub async fn staffed(
        issuers: impl FnOnce(&EnvironmentName) -> Vec<Issuer>,
        operators: impl FnOnce(&EnvironmentName) -> Vec<Operators>,
    ) -> Self {
        let door = DoorOptions { drain_delay: Duration::ZERO, ..DoorOptions::default() };
        let rates = RateOptions { failures: None, ..RateOptions::default() };
        let guard = GuardOptions { every: None, ..GuardOptions::default() };
        Self::made_with(door, guard, issuers, rates, Governance::default(), operators).await
    }

    async fn made(
        door: DoorOptions,
        guard: GuardOptions,
        issuers: impl FnOnce(&EnvironmentName) -> Vec<Issuer>,
    ) -> Self {
        Self::made_with(door, guard, issuers, RateOptions::default(), Governance::default(), |_| Vec::new()).await
    }

    async fn made_with(
        door: DoorOptions,
        guard: GuardOptions,
        issuers: impl FnOnce(&EnvironmentName) -> Vec<Issuer>,
        rates: RateOptions,
        governance: Governance,
        operators: impl FnOnce(&EnvironmentName) -> Vec<Operators>,
    ) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::ERROR)
            .with_test_writer()
            .try_init();
        let server = pg::server();
        let database = server.database();
        let target = Target::parse(&SecretString::from(database.url())).unwrap();
        let store =
            Store::new(StoreOptions { target, pool: PoolOptions::default(), cursor_key: CursorKey::new(&[7; 32]) });
        store.migrate().await.unwrap();
        // Roles and databases on the shared server carry the environment's name, so it is the test's own.
        let tail = uuid::Uuid::new_v4().simple().to_string();
        let environment = EnvironmentName::parse(&format!("t{}", &tail[16..])).unwrap();
        store.ensure_environment(&environment).await.unwrap();
        let root = RootKey::from_bytes(std::array::from_fn(|place| u8::try_from(place * 5 + 1).unwrap())).unwrap();
        let plane = Dataplane::new(store.installation().await.unwrap(), root.clone(), PlaneOptions::default());
        let secrets = Arc::new(OneUrl(SecretString::from(server.url("postgres"))));
        let options = Options {
            tick: Duration::from_millis(100),
            pool: PoolWants { schema: 0, database: 0 },
            storage: None,
            guard,
            base_domains: vec!["app.example.com".parse().unwrap()],
            issuers: issuers(&environment),
            rates,
            governance,
            operators: operators(&environment),
            ..Options::default()
        };
        let deps = Deps::with_ports(store, plane, &root, options, Arc::new(SystemClock), secrets);
        let cx = context(&deps, &environment);
        let token = tokens::issue(&cx, &deps, "tests", None).await.unwrap().expose_secret().to_owned();
        let state = State::new(deps.clone(), door);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let served = Some(tokio::spawn(serve(listener, state.clone(), stop.clone())));
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let world =
            Self { deps, state, url, token, environment, stop, served, runtime: None, http, _database: database };
        let reply = world.post("manifests:apply").keyed().yaml(CATALOG).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        world
    }

    /// A token that reaches one environment only.
    pub async fn token_for(&self, environment: &EnvironmentName) -> String {
        let cx = context(&self.deps, &self.environment);
        tokens::issue(&cx, &self.deps, "narrow", Some(environment.clone())).await.unwrap().expose_secret().to_owned()
    }

    /// A request to a path from the root, without any header.
    pub fn bare(&self, method: &str, path: &str) -> Ask<'_> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Ask { world: self, builder: self.http.request(method, format!("{}{path}", self.url)) }
    }

    /// A request to a path of the environment, with the token.
    pub fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        self.bare(method, &format!("/v1/environments/{}/{path}", self.environment)).bearer()
    }

    pub fn get(&self, path: &str) -> Ask<'_> {
        self.ask("GET", path)
    }

    pub fn post(&self, path: &str) -> Ask<'_> {
        self.ask("POST", path)
    }

    pub fn client(&self) -> Client {
        Client::new(&self.url, SecretString::from(self.token.clone()), self.environment.clone()).unwrap()
    }

    /// A draft tenant.
    pub async fn draft(&self, slug: &str) -> Value {
        let reply = self.post("tenants").keyed().json(&manifest(slug)).send().await;
        assert_eq!(reply.status, 202, "{reply:?}");
        reply.json()
    }

    /// How many rows each of our tables has; apart from the list of running processes, and the audit, which tells of
    /// attempts, too.
    pub async fn rows(&self) -> String {
        let sql = "SELECT string_agg(relname || '=' || (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM tenantry.%I', relname), false, true, '')))[1]::text, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'tenantry'::regnamespace AND relkind = 'r' AND relname NOT IN ('replica', 'webhook_pump', 'audit')";
        let conn = self.deps.store().pool().get().await.unwrap();
        let row = conn.query_one(sql, &[]).await.unwrap();
        let text: String = row.get(0);
        conn.release();
        text
    }

    pub async fn end(mut self) {
        self.stop.cancel();
        if let Some(served) = self.served.take() {
            served.await.unwrap().unwrap();
        }
        if let Some(runtime) = self.runtime.take() {
            let _ = runtime.shutdown(&self.deps).await;
        }
    }
}

fn context(deps: &Deps, environment: &EnvironmentName) -> Ctx {
    Ctx {
        actor: Actor { kind: ActorKind::Operator, id: "tests".into() },
        person: None,
        rights: Rights::all(),
        environment: environment.clone(),
        request_id: mint::request(),
        correlation_id: "tests".into(),
        now: deps.now(),
        idempotency: None,
    }
}

/// A good tenant, as a draft.
pub fn manifest(slug: &str) -> Value {
    json!({
        "metadata": { "name": slug, "labels": { "segment": "smb" } },
        "spec": {
            "displayName": "Acme GmbH", "app": "chat", "plan": "standard", "state": "draft",
            "residency": { "allowedRegions": ["eu-west"] },
            "contacts": { "billing": [{ "name": "Finance", "email": "fin@acme.example" }] },
            "settings": { "locale": "de-DE" }
        }
    })
}
