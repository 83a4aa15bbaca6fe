//! A store on a database of its own, and short ways to write things through its doors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::audit::{Category, Draft, Outcome};
use tenantry_domain::event;
use tenantry_domain::id::{OperationId, ReplicaId, TenantId, WorkflowId};
use tenantry_domain::name::{AppName, EnvironmentName, PlanCode, RegionName};
use tenantry_domain::page::PageSize;
use tenantry_domain::policy::{self, Actor, ActorKind, Permit, Rights, Scope, judge};
use tenantry_domain::tenant::contact::Contacts;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::profile::{Business, Commercial, Residency};
use tenantry_domain::tenant::spec::Overrides;
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_domain::workflow::Kind;
use tenantry_pg::{PoolOptions, Target};
use tenantry_store::{
    CursorKey, Entry, NewTenant, NewWorkflow, PageRequest, Receipt, Store, StoreError, StoreOptions, TenantChange,
    TenantRow, WriteTx,
};
use tenantry_testkit::pg::{TestDatabase, server};
use uuid::Uuid;

static COUNT: AtomicU64 = AtomicU64::new(1);

/// Rising, like those that are minted from a clock.
pub fn fresh() -> Uuid {
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Uuid::from_u128((0x0193_5a00_0000_7000_8000_u128 << 48) | u128::from(count))
}

pub fn tenant_id() -> TenantId {
    TenantId::from_uuid(fresh())
}

pub fn operation_id() -> OperationId {
    OperationId::from_uuid(fresh())
}

pub fn replica_id() -> ReplicaId {
    ReplicaId::from_uuid(fresh())
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

pub fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

pub fn prod() -> EnvironmentName {
    EnvironmentName::parse("prod").unwrap()
}

pub fn spec(name: &str) -> Spec {
    let region = RegionName::parse("eu-west").unwrap();
    Spec {
        display_name: name.to_owned(),
        app: AppName::parse("chat").unwrap(),
        plan: PlanCode::parse("standard").unwrap(),
        state: Phase::Active,
        suspension: None,
        deletion: None,
        residency: Residency { allowed_regions: vec![region], preferred_region: None, flags: vec![] },
        contacts: Contacts::default(),
        external_ids: [].into(),
        aliases: vec![],
        domains: vec![],
        labels: [].into(),
        settings: serde_json::Map::new(),
        commercial: Commercial::default(),
        business: Business::default(),
        overrides: Overrides::default(),
    }
}

pub fn new_tenant(name: &str) -> NewTenant {
    NewTenant {
        id: tenant_id(),
        slug: slug(name),
        spec: spec(name),
        observed_version: 0,
        conditions: vec![],
        action: "tenant.create".into(),
        correlation_id: "c-create".into(),
    }
}

pub fn change(row: &TenantRow, spec: Spec) -> TenantChange {
    TenantChange {
        id: row.id,
        from_version: row.version,
        spec,
        rename: None,
        action: "tenant.update".into(),
        correlation_id: "c-update".into(),
    }
}

pub fn draft(action: &str, category: Category, version: Option<i64>) -> Draft {
    Draft {
        action: action.to_owned(),
        category,
        outcome: Outcome::Success,
        actor: operator(),
        target: "tenant/x".into(),
        version,
        reason: None,
        request_id: "req-1".into(),
        correlation_id: "c-1".into(),
        policy: "builtin/v1".into(),
        changes: json!({ "plan": "standard", "tenant": "not the owner", "seq": 0 }),
    }
}

/// The entry that a version owes, with an event.
pub fn mutation(id: TenantId, version: i64) -> Entry {
    let event = event::Draft::new(event::Type::TenantUpdated, json!({ "version": version }));
    Entry::tenant(id, draft("tenant.update", Category::Mutation, Some(version)), vec![event])
}

/// An entry for a change of state.
pub fn transition(id: TenantId) -> Entry {
    let event = event::Draft::new(event::Type::TenantActivated, json!({}));
    Entry::tenant(id, draft("tenant.activate", Category::Transition, None), vec![event])
}

pub fn operator() -> Actor {
    Actor { kind: ActorKind::Operator, id: "olga".into() }
}

/// Nobody has to ask the operator's rules about it.
pub fn permit() -> Permit {
    permit_in(prod())
}

pub fn permit_in(environment: EnvironmentName) -> Permit {
    policy::carried(operator(), "tenant.update", Scope::environment(environment))
}

pub fn permit_for(id: TenantId) -> Permit {
    policy::carried(operator(), "tenant.update", Scope::tenant(prod(), id))
}

/// A caller's, which is put to the rules as well.
pub fn callers_permit() -> Permit {
    judge(&operator(), &Rights::all(), "tenant.update", Scope::environment(prod())).unwrap()
}

pub fn first_page(size: u16) -> PageRequest<'static> {
    PageRequest { principal: "operator:olga", token: None, size: PageSize::new(size).unwrap(), now: at(0) }
}

pub struct World {
    pub store: Store,
    pub database: Arc<TestDatabase>,
}

pub fn options(url: &str, max: usize) -> StoreOptions {
    StoreOptions {
        target: Target::parse(&SecretString::from(url)).unwrap(),
        pool: PoolOptions { max, wait: Duration::from_secs(60), ..PoolOptions::default() },
        cursor_key: CursorKey::new(&[7; 32]),
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with_connections(16).await
    }

    pub async fn with_connections(max: usize) -> Self {
        let database = server().database();
        let store = Store::new(options(&database.url(), max));
        store.migrate().await.unwrap();
        Self { store, database: Arc::new(database) }
    }

    /// Another replica's handle.
    pub fn again(&self, max: usize) -> Store {
        Store::new(options(&self.database.url(), max))
    }

    /// Runs statements past the store, as somebody with the database's password would.
    pub fn sql(&self, statements: &str) {
        server().sql(self.database.name(), statements);
    }

    /// The same, without the triggers that keep evidence from being changed.
    pub fn tamper(&self, statements: &str) {
        self.sql(&format!("SET session_replication_role = replica; {statements}"));
    }

    pub async fn write(&self) -> WriteTx {
        self.store.write(&permit(), at(0)).await.unwrap()
    }

    pub async fn create(&self, name: &str) -> TenantRow {
        self.create_from(new_tenant(name), 0).await.unwrap()
    }

    pub async fn create_from(&self, new: NewTenant, second: i64) -> Result<TenantRow, StoreError> {
        let mut tx = self.store.write(&permit(), at(second)).await.unwrap();
        let row = tx.tenants().create_many(std::slice::from_ref(&new)).await?.remove(0);
        tx.commit(vec![mutation(row.id, 1)]).await?;
        Ok(row)
    }

    /// One more version of a tenant.
    pub async fn bump(&self, id: TenantId, second: i64) -> Result<Receipt, StoreError> {
        let mut tx = self.store.write(&permit(), at(second)).await?;
        let row = tx.tenants().lock(id).await?;
        let mut spec = row.spec.clone();
        spec.settings.insert("n".into(), json!(row.version));
        let row = tx.tenants().apply(&change(&row, spec)).await?;
        tx.commit(vec![mutation(id, row.version)]).await
    }

    pub async fn row(&self, id: TenantId) -> TenantRow {
        self.store.read(&prod()).tenant(id).await.unwrap().unwrap()
    }

    pub async fn start(&self, tenant: TenantId, kind: Kind) -> WorkflowId {
        let id = WorkflowId::from_uuid(fresh());
        let mut tx = self.write().await;
        let new = NewWorkflow { id, tenant, kind, definition_version: 1, target_version: 1, input: json!({ "a": 1 }) };
        tx.workflows().start(&new).await.unwrap();
        tx.commit(vec![transition(tenant)]).await.unwrap();
        id
    }

    /// Waits until every connection was given back: none leaks, whatever happened to its transaction.
    pub async fn quiet(&self) {
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while self.store.pool().status().in_use > 0 {
            assert!(std::time::Instant::now() < until, "a connection was not given back");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// One number out of the database.
    pub async fn number(&self, sql: &'static str) -> i64 {
        let conn = self.store.pool().get().await.unwrap();
        let number = conn.query_one(sql, &[]).await.unwrap().get(0);
        conn.release();
        number
    }
}
