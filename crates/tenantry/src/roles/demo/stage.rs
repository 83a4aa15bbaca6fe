//! Who plays in the demo: the installation, its customers, and the ways to reach their data.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tenantry_api::{Client, manifest};
use tenantry_dataplane::{AppTarget, Cell, CellTarget, Door, Router, RouterOptions, Space, TenantTx};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::{CellName, EnvironmentName};
use tenantry_pg::{Pool, PoolOptions, Target};

use super::super::installation::chain;
use super::super::local::Local;
use super::super::samples;
use crate::exit::{Failure, Result};
use crate::globals::DEFAULT_ENVIRONMENT;

/// How long anything in the demo may take before it counts as broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The installation and everything that reaches into it.
pub struct Stage {
    local: Local,
    /// The API, as the administrator.
    pub client: Client,
    /// The way of an application into its tenants' transactions.
    pub router: Router,
    /// The example's documents.
    pub documents: Vec<Value>,
    app: Arc<AppTarget>,
    environment: EnvironmentName,
}

/// One customer.
#[derive(Debug, Clone)]
pub struct Customer {
    /// The readable name.
    pub slug: String,
    /// The id.
    pub id: TenantId,
    /// The way in.
    pub door: Door,
    /// Where the tables are.
    pub place: String,
    /// Messages that it has.
    pub rows: i64,
    /// How long it took from the request to being served; absent when it was there before.
    pub onboarding: Option<Duration>,
}

/// The environment that the story plays in.
///
/// # Errors
/// Never; the name is ours.
pub fn environment() -> Result<EnvironmentName> {
    EnvironmentName::parse(DEFAULT_ENVIRONMENT).map_err(|error| Failure::broken("No environment", error))
}

impl Stage {
    /// Makes everything ready that does not need a customer.
    ///
    /// # Errors
    /// The example cannot be read.
    pub async fn open(local: Local, environment: EnvironmentName) -> Result<Self> {
        let documents = samples::chat(&local.folder().path().join("examples/chat"))?;
        let parsed = manifest::parse(&documents, Some(&environment))?;
        let app = parsed.into_iter().find_map(|document| match document.manifest {
            Manifest::App { name, spec } => {
                Some(AppTarget { environment: environment.clone(), app: name, version: 1, spec: Arc::new(spec) })
            }
            _ => None,
        });
        let app = Arc::new(app.ok_or_else(|| Failure::broken("The example has no app", ""))?);
        let client = local.client(environment.clone())?;
        let router = Router::new(RouterOptions::default());
        Ok(Self { local, client, router, documents, app, environment })
    }

    /// The example's documents of one kind.
    pub fn of_kind(&self, is_tenant: bool) -> Vec<Value> {
        self.documents.iter().filter(|document| (document["kind"] == "Tenant") == is_tenant).cloned().collect()
    }

    /// The document of a tenant.
    ///
    /// # Errors
    /// The example has none of that name.
    pub fn manifest_of(&self, slug: &str) -> Result<Value> {
        let found =
            self.documents.iter().find(|document| document["kind"] == "Tenant" && document["metadata"]["name"] == slug);
        found.cloned().ok_or_else(|| Failure::broken(format!("The example has no tenant {slug}"), ""))
    }

    /// A served tenant as a customer.
    ///
    /// # Errors
    /// It has no place.
    pub async fn customer(&self, slug: &str, onboarding: Option<Duration>) -> Result<Customer> {
        let tenant = self.client.tenant(slug).await?.value;
        let view = self.client.tenant_placement(slug).await?;
        let broken = |why: &dyn std::fmt::Display| Failure::broken(format!("Tenant {slug} cannot be reached"), why);
        let placement = view.placement.ok_or_else(|| broken(&"it has no place"))?;
        let id: TenantId = tenant.status.id.parse().map_err(|error| broken(&error))?;
        let isolation: Isolation = placement.isolation.parse().map_err(|error| broken(&error))?;
        let cell = self.cell(&placement.cell).await?;
        let space =
            Space { tenant: id, app: Arc::clone(&self.app), isolation, epoch: placement.generation, connections: None };
        let door = cell.door(&space).map_err(|error| broken(&chain(&error)))?;
        let route = cell.route(&space).map_err(|error| broken(&chain(&error)))?;
        let place = match isolation {
            Isolation::Shared => format!("tables of {}", route.database),
            Isolation::Schema => format!("schema {}", route.schema),
            Isolation::Database | Isolation::Cluster => format!("database {}", route.database),
        };
        Ok(Customer { slug: slug.to_owned(), id, door, place, rows: 0, onboarding })
    }

    async fn cell(&self, name: &str) -> Result<Arc<Cell>> {
        let broken = |why: String| Failure::broken(format!("Cell {name} cannot be reached"), why);
        let name = CellName::parse(name).map_err(|error| broken(error.to_string()))?;
        let target =
            CellTarget { environment: self.environment.clone(), name, url: self.local.database_url("postgres") };
        self.local.installation().deps().dataplane().cell(&target).await.map_err(|error| broken(chain(&error)))
    }

    /// A transaction of a customer, as its application gets it.
    ///
    /// # Errors
    /// The customer is not let in.
    pub async fn enter(&self, customer: &Customer) -> Result<TenantTx> {
        self.router.enter(&customer.door).await.map_err(|error| {
            Failure::ended(format!("No transaction of tenant {} can be begun", customer.slug), chain(&error))
        })
    }

    /// A superuser's connections to a database; to the control plane's own by the name `tenantry`.
    ///
    /// # Errors
    /// Never, as long as the installation runs.
    pub fn superuser(&self, database: &str) -> Result<Pool> {
        let target = Target::parse(&self.local.database_url(database))
            .map_err(|error| Failure::broken("The private server's address is of no use", error))?;
        Ok(Pool::new(target, PoolOptions { max: 2, application: "tenantry demo", ..PoolOptions::default() }))
    }

    /// Waits until an operation has succeeded; with how long that took.
    ///
    /// # Errors
    /// It did not succeed.
    pub async fn completed(&self, operation: Option<String>) -> Result<Duration> {
        let began = Instant::now();
        if let Some(operation) = operation {
            samples::completed(self.client.wait(&operation, PATIENCE).await?)?;
        }
        Ok(began.elapsed())
    }

    /// How to look around after the story.
    pub fn invitation(&self) -> String {
        format!(
            "\nIt is still up. In another terminal:\n  export TENANTRY_URL={} TENANTRY_TOKEN=$(cat {})\n  tenantry get tenants -o wide\nCtrl-C ends it.",
            self.local.installation().url(),
            self.local.folder().path().join("admin.token").display()
        )
    }

    /// Stops everything.
    ///
    /// # Errors
    /// Something did not end in an orderly way.
    pub async fn stop(self) -> Result<()> {
        self.router.close();
        self.local.stop().await
    }
}

/// A database's refusal as a demo shows it.
pub fn refusal(error: &tenantry_pg::PgError) -> String {
    match error.db() {
        Some(db) => format!("{} {}", db.code().code(), db.message()),
        None => error.to_string(),
    }
}

/// A failed statement of ours, which no story foresees.
pub fn unforeseen(what: &'static str) -> impl Fn(tenantry_pg::PgError) -> Failure {
    move |error| Failure::broken(what, refusal(&error))
}

/// The id as the database knows it.
pub fn uuid(customer: &Customer) -> String {
    customer.id.uuid().to_string()
}
