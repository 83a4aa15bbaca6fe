//! The feed against a real control database: what it reads, how soon it sees changes, and what it does without one.

use std::path::Path;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tenantry_dataplane::Gate;
use tenantry_domain::Timestamp;
use tenantry_domain::audit::{Category, Draft, Outcome};
use tenantry_domain::event;
use tenantry_domain::gateway::{Access, Allowed, Login, LoginName, Mode, Proof, Server, Whose};
use tenantry_domain::id::{InstallationId, TenantId};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName, PlanCode, RegionName};
use tenantry_domain::placement::Placement;
use tenantry_domain::policy::{Actor, ActorKind, Scope, carried};
use tenantry_domain::tenant::lifecycle::{Phase, State};
use tenantry_domain::tenant::profile::Residency;
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_gateway::feed::{self, Feed, File, FileError, LookError, Options, Source, StartError};
use tenantry_gateway::table::{News, Table};
use tenantry_store::{
    CatalogKind, CatalogPut, Entry, LoginRow, NewLogin, NewTenant, StateChange, Store, Verifier, WriteTx,
};
use tenantry_testkit::pg::{private_server, server};
use uuid::Uuid;
use zeroize::Zeroizing;

/// What is promised.
const SOON: Duration = Duration::from_secs(1);
/// How long tests wait for what must happen at some time.
const PATIENCE: Duration = Duration::from_secs(60);

fn environment(name: &str) -> EnvironmentName {
    EnvironmentName::parse(name).unwrap()
}

fn prod() -> EnvironmentName {
    environment("prod")
}

fn login_name(text: &str) -> LoginName {
    LoginName::parse(text).unwrap()
}

/// The control plane as far as the feed sees it: what is written, with its entries.
#[derive(Clone)]
struct Control {
    store: Store,
    environment: EnvironmentName,
}

impl Control {
    async fn new(url: &str) -> Self {
        let store = feed::store(&SecretString::from(url)).unwrap();
        store.migrate().await.unwrap();
        Self { store, environment: prod() }
    }

    fn draft(&self, action: &str, category: Category, version: Option<i64>) -> Draft {
        Draft {
            action: action.to_owned(),
            category,
            outcome: Outcome::Success,
            actor: Actor { kind: ActorKind::Operator, id: "olga".into() },
            target: "x".into(),
            version,
            reason: None,
            request_id: "req".into(),
            correlation_id: "c".into(),
            policy: "builtin/v1".into(),
            changes: serde_json::Value::Null,
        }
    }

    async fn write(&self) -> WriteTx {
        let actor = Actor { kind: ActorKind::Operator, id: "olga".into() };
        let permit = carried(actor, "tenant.update", Scope::environment(self.environment.clone()));
        self.store.write(&permit, Timestamp::now()).await.unwrap()
    }

    async fn tenant(&self, slug: &str, aliases: &[&str]) -> TenantId {
        let id = TenantId::from_uuid(Uuid::new_v4());
        let spec = Spec {
            display_name: slug.to_owned(),
            app: AppName::parse("chat").unwrap(),
            plan: PlanCode::parse("standard").unwrap(),
            state: Phase::Active,
            suspension: None,
            deletion: None,
            residency: Residency {
                allowed_regions: vec![RegionName::parse("eu-west").unwrap()],
                preferred_region: None,
                flags: vec![],
            },
            contacts: Default::default(),
            external_ids: Default::default(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            domains: vec![],
            labels: Default::default(),
            settings: Default::default(),
            commercial: Default::default(),
            business: Default::default(),
            overrides: Default::default(),
        };
        let new = NewTenant {
            id,
            slug: Slug::parse(slug).unwrap(),
            spec,
            observed_version: 0,
            conditions: vec![],
            action: "tenant.create".into(),
            correlation_id: "c".into(),
        };
        let mut tx = self.write().await;
        tx.tenants().create_many(&[new]).await.unwrap();
        let event = event::Draft::new(event::Type::TenantCreated, json!({}));
        let audit = self.draft("tenant.create", Category::Mutation, Some(1));
        tx.commit(vec![Entry::tenant(id, audit, vec![event])]).await.unwrap();
        id
    }

    async fn state(&self, id: TenantId, state: State) {
        let mut tx = self.write().await;
        let row = tx.tenants().lock(id).await.unwrap();
        let is_gone = matches!(state, State::Deleted { .. });
        let change = StateChange { id, state, observed_version: row.version, app_version: 1, conditions: vec![] };
        tx.tenants().set_state(&change).unwrap();
        if is_gone {
            tx.tenants().release(id, Timestamp::now()).unwrap();
        }
        tx.commit(vec![Entry::tenant(id, self.draft("tenant.moved", Category::Transition, None), vec![])])
            .await
            .unwrap();
    }

    async fn put(&self, kind: CatalogKind, name: &str, spec: serde_json::Value) {
        let mut tx = self.write().await;
        let from_version = tx.catalog().lock(kind, name).await.unwrap().map_or(0, |row| row.version);
        let (action, correlation_id) = ("manifests.apply".to_owned(), "c".to_owned());
        let put = CatalogPut { kind, name: name.into(), from_version, spec, action, correlation_id };
        tx.catalog().put(&put).await.unwrap();
        tx.commit(vec![Entry::environment(self.draft("manifests.apply", Category::Mutation, Some(1)), vec![])])
            .await
            .unwrap();
    }

    fn entry(&self, whose: &Whose, verb: &str) -> Entry {
        let audit = self.draft(&format!("gateway.login.{verb}"), Category::Access, None);
        match whose {
            Whose::Tenant(tenant) => Entry::tenant(*tenant, audit, vec![]),
            Whose::Service { .. } => Entry::environment(audit, vec![]),
        }
    }

    async fn login(&self, name: &str, whose: Whose) {
        let login = Login {
            whose: whose.clone(),
            mode: Mode::Transaction,
            access: Access::ReadOnly,
            server: Server::PreferStandby,
            proof: Proof::Password,
            connections: Some(3),
            expires: None,
        };
        let new = NewLogin { name: login_name(name), login, verifier: Some(verifier("first")) };
        let mut tx = self.write().await;
        tx.logins().create(&new).await.unwrap();
        tx.commit(vec![self.entry(&whose, "create")]).await.unwrap();
    }

    async fn change(&self, name: &str, verb: &str, change: impl AsyncFnOnce(&mut WriteTx, &LoginRow)) {
        let mut tx = self.write().await;
        let row = tx.logins().lock(&login_name(name)).await.unwrap().unwrap();
        change(&mut tx, &row).await;
        tx.commit(vec![self.entry(&row.login.whose, verb)]).await.unwrap();
    }

    async fn revoke(&self, name: &str) {
        self.change(name, "revoke", async |tx, row| drop(tx.logins().revoke(row).await.unwrap())).await;
    }
}

fn verifier(password: &str) -> Verifier {
    Verifier::of(&SecretString::from(password))
}

fn service() -> Whose {
    Whose::Service { app: AppName::parse("chat").unwrap(), tenants: Allowed::All }
}

fn active(isolation: Isolation) -> State {
    let placement = Placement {
        region: RegionName::parse("eu-west").unwrap(),
        cell: CellName::parse("eu-1").unwrap(),
        isolation,
        generation: 4,
    };
    State::Active { since: Timestamp::now(), placement }
}

/// A feed of its own, on the database behind a URL.
async fn start(url: &str, options: Options) -> Result<(Feed, Table), StartError> {
    let table = Table::default();
    let feed = Feed::start(feed::store(&SecretString::from(url)).unwrap(), table.clone(), options).await?;
    Ok((feed, table))
}

/// Waits until something holds; gives how long that took.
#[track_caller]
fn until<'a>(what: &'a str, patience: Duration, holds: impl Fn() -> bool + 'a) -> impl Future<Output = Duration> + 'a {
    let began = Instant::now();
    async move {
        while !holds() {
            assert!(began.elapsed() < patience, "{what}: not after {patience:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        began.elapsed()
    }
}

fn file(folder: &Path) -> File {
    File::new(folder.join("table"), Zeroizing::new([9; 32]))
}

#[tokio::test]
async fn every_kind_of_change_is_seen_within_a_second() {
    let database = server().database();
    let control = Control::new(&database.url()).await;
    control
        .put(CatalogKind::Plan, "standard", json!({ "isolation": "shared", "quotas": { "connections": "8" } }))
        .await;
    let (feed, table) = start(&database.url(), Options::default()).await.unwrap();
    assert_eq!(feed.installation(), control.store.installation().await.unwrap());
    let mut news = table.news();
    let mut worst = Duration::ZERO;
    let mut seen = |took: Duration| worst = worst.max(took);

    let acme = control.tenant("acme", &["legacy-7", "No Slug"]).await;
    seen(until("a tenant", SOON, || table.tenant(acme).is_some()).await);
    assert!(matches!(news.recv().await.unwrap(), News::Tenant(id) if id == acme));
    let slot = table.named(&prod(), "legacy-7").unwrap();
    let route = slot.route().unwrap();
    assert_eq!((route.gate, &route.place, route.connections), (Gate::Preparing, &None, Some(8)));
    assert!(table.named(&prod(), "No Slug").is_none());

    control.state(acme, active(Isolation::Schema)).await;
    let gate = || slot.route().map(|route| route.gate);
    seen(until("its place", SOON, || gate() == Some(Gate::Open)).await);
    let place = slot.route().unwrap().place.clone().unwrap();
    assert_eq!((place.cell.as_str(), place.isolation, place.epoch), ("eu-1", Isolation::Schema, 4));

    control.login("acme-app", Whose::Tenant(acme)).await;
    seen(until("a login", SOON, || table.login("acme-app").is_some()).await);
    let login = table.login("acme-app").unwrap();
    assert_eq!((&login.whose, login.access, login.connections), (&Whose::Tenant(acme), Access::ReadOnly, Some(3)));
    assert!(login.verifiers[0].text.expose_secret().starts_with("SCRAM-SHA-256$") && login.verifiers.len() == 1);
    let first = login.verifiers[0].text.expose_secret().to_owned();
    let end = Timestamp::now() + Duration::from_secs(3600);
    let second = verifier("second");
    control
        .change("acme-app", "rotate", async |tx, row| drop(tx.logins().rotate(row, &second, end, None).await.unwrap()))
        .await;
    let verifiers = || table.login("acme-app").map_or(0, |login| login.verifiers.len());
    seen(until("a rotation", SOON, || verifiers() == 2).await);
    let login = table.login("acme-app").unwrap();
    assert!(login.verifiers[0].until.is_none() && login.verifiers[1].until.is_some());
    assert_eq!(login.verifiers[1].text.expose_secret(), first, "the newest is first");
    control.revoke("acme-app").await;
    seen(until("a revocation", SOON, || table.login("acme-app").is_none()).await);

    control.login("chat", service()).await;
    seen(until("a service's login", SOON, || table.login("chat").is_some()).await);
    let cell = CellName::parse("eu-1").unwrap();
    let spec = json!({ "region": "eu-west", "database": { "env": "EU_1" }, "capacity": {} });
    control.put(CatalogKind::Cell, "eu-1", spec).await;
    seen(until("a cell", SOON, || table.cell(&prod(), &cell).is_some()).await);
    control
        .put(CatalogKind::Plan, "standard", json!({ "isolation": "shared", "quotas": { "connections": "5" } }))
        .await;
    seen(until("a plan", SOON, || slot.route().unwrap().connections == Some(5)).await);

    let staging = Control { environment: environment("staging"), ..control.clone() };
    staging.store.ensure_environment(&staging.environment).await.unwrap();
    let there = staging.tenant("acme", &[]).await;
    seen(until("another environment", SOON, || table.named(&staging.environment, "acme").is_some()).await);
    assert_eq!(table.named(&prod(), "acme").unwrap().tenant(), acme);
    assert_eq!(table.named(&staging.environment, "acme").unwrap().tenant(), there);

    // A name that moves on to another owner.
    control.revoke("chat").await;
    staging.login("chat", Whose::Tenant(there)).await;
    let owner = || table.login("chat").map(|login| login.whose.clone());
    seen(until("a login's new owner", SOON, || owner() == Some(Whose::Tenant(there))).await);
    staging.state(there, State::Deleted { at: Timestamp::now() }).await;
    seen(until("a deletion", SOON, || table.tenant(there).is_none() && table.login("chat").is_none()).await);

    let status = feed.status();
    assert_eq!((status.source, status.failures, status.away, status.missed), (Source::Database, 0, None, 0));
    assert_eq!((status.tenants, status.logins, status.cells), (1, 0, 1));
    println!("the slowest change was seen after {worst:?}");
    feed.stop().await;
}

/// Many writers at once: at the end the table is what a fresh reading gives, and nothing had to be found by rereading.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_in_a_storm() {
    let database = server().database();
    let control = Control::new(&database.url()).await;
    let options = Options { refresh: Duration::from_millis(100), ..Options::default() };
    let (feed, table) = start(&database.url(), options).await.unwrap();
    let writers = (0..4).map(|writer| {
        let control = control.clone();
        tokio::spawn(async move {
            for number in 0..15 {
                let id = control.tenant(&format!("storm-{writer}-{number}"), &[]).await;
                let name = format!("app-{writer}-{number}");
                control.login(&name, if number % 5 == 0 { service() } else { Whose::Tenant(id) }).await;
                control.state(id, active(Isolation::Shared)).await;
                match number % 3 {
                    0 => control.revoke(&name).await,
                    1 => control.state(id, State::Deleted { at: Timestamp::now() }).await,
                    _ => {}
                }
            }
        })
    });
    for written in futures_util::future::join_all(writers).await {
        written.unwrap();
    }
    let shape = |table: &Table| {
        let full = table.full();
        let mut routes: Vec<_> =
            full.routes.iter().map(|route| (route.slug.to_string(), route.gate.as_str())).collect();
        let mut logins: Vec<_> = full.logins.iter().map(|login| login.name.to_string()).collect();
        routes.sort_unstable();
        logins.sort_unstable();
        (routes, logins)
    };
    let (fresh, wanted) = start(&database.url(), Options::default()).await.unwrap();
    let wanted = shape(&wanted);
    assert_eq!((wanted.0.len(), wanted.1.len()), (40, 24), "{wanted:?}");
    until("the table is as the registry", SOON, || shape(&table) == wanted).await;
    let reads = feed.status().full_reads;
    until("everything was read again", PATIENCE, || feed.status().full_reads > reads + 1).await;
    let status = feed.status();
    assert_eq!(status.missed, 0, "{status:?}");
    assert_eq!((status.tenants, status.logins), (40, 24));
    fresh.stop().await;
    feed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_it_goes_on_and_catches_up() {
    let server = private_server();
    server.sql("postgres", "CREATE DATABASE control TEMPLATE template0");
    let url = server.url("control");
    let control = Control::new(&url).await;
    let acme = control.tenant("acme", &[]).await;
    control.login("acme-app", Whose::Tenant(acme)).await;
    let folder = tempfile::tempdir().unwrap();
    let kept = || Options { file: Some(file(folder.path())), patience: Duration::from_secs(3), ..Options::default() };
    let (feed, table) = start(&url, kept()).await.unwrap();
    until("the file", PATIENCE, || file(folder.path()).path.exists()).await;

    server.stop();
    until("it notices", PATIENCE, || feed.status().away.is_some()).await;
    assert!(table.tenant(acme).is_some() && table.login("acme-app").is_some());
    let status = feed.status();
    assert!(status.error.is_some() && status.source == Source::Database && status.last_success.is_some(), "{status:?}");

    // Another gateway starts meanwhile: from the file, or not at all.
    let (second, from_file) = start(&url, kept()).await.unwrap();
    assert_eq!((second.status().source, second.installation()), (Source::File, feed.installation()));
    assert!(from_file.tenant(acme).is_some() && from_file.login("acme-app").unwrap().verifiers.len() == 1);
    let bare = start(&url, Options { file: None, ..kept() }).await;
    assert!(matches!(bare, Err(StartError::Away(_))), "{bare:?}");
    let path = file(folder.path()).path;
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replace("acme-app", "evil-app")).unwrap();
    let altered = start(&url, kept()).await;
    assert!(matches!(altered, Err(StartError::File { file: FileError::Altered, .. })), "{altered:?}");
    std::fs::write(&path, &good).unwrap();
    let stranger = Some(InstallationId::from_uuid(Uuid::from_u128(1)));
    let other = Options { file: Some(File { installation: stranger, ..file(folder.path()) }), ..kept() };
    let foreign = start(&url, other).await;
    assert!(matches!(foreign, Err(StartError::File { file: FileError::Foreign { .. }, .. })), "{foreign:?}");

    server.start();
    for (feed, table) in [(&feed, &table), (&second, &from_file)] {
        until("it is back", PATIENCE, || feed.status().away.is_none()).await;
        assert_eq!((feed.status().source, feed.status().failures), (Source::Database, 0));
        assert!(table.tenant(acme).is_some());
    }
    let globex = control.tenant("globex", &[]).await;
    for table in [&table, &from_file] {
        until("a change after the return", PATIENCE, || table.tenant(globex).is_some()).await;
    }
    feed.stop().await;
    second.stop().await;
    // What the last one wrote has the change.
    let kept = feed::disk::read(&file(folder.path()), Timestamp::now()).unwrap();
    assert_eq!(kept.full.routes.len(), 2);
}

/// A gateway that was started from its file does not take over the table of another installation's database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_installation_is_not_followed() {
    let server = private_server();
    for name in ["first", "second"] {
        server.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
    }
    let first = Control::new(&server.url("first")).await;
    let acme = first.tenant("acme", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let kept = || Options { file: Some(file(folder.path())), patience: Duration::from_secs(2), ..Options::default() };
    let (feed, _) = start(&server.url("first"), kept()).await.unwrap();
    feed.stop().await;
    let second = Control::new(&server.url("second")).await;
    second.tenant("globex", &[]).await;
    second.store.pool().close();
    server.stop();
    let (feed, table) = start(&server.url("second"), kept()).await.unwrap();
    server.start();
    let foreign = || feed.status().error.is_some_and(|error| error.contains("belongs to installation"));
    until("it refuses", PATIENCE, foreign).await;
    assert!(table.tenant(acme).is_some() && table.named(&prod(), "globex").is_none());
    assert_eq!(feed.status().source, Source::File);
    feed.stop().await;
    let error = LookError::Slow(Duration::from_secs(3));
    assert_eq!(error.to_string(), "no answer came within 3 s");
}

/// A database that is there and is none of ours is told at once, not waited for.
#[tokio::test]
async fn a_database_that_is_not_migrated_is_an_error() {
    let database = server().database();
    let folder = tempfile::tempdir().unwrap();
    let options = Options { file: Some(file(folder.path())), ..Options::default() };
    let began = Instant::now();
    let refused = start(&database.url(), options).await;
    assert!(matches!(refused, Err(StartError::Database(_))), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
}
