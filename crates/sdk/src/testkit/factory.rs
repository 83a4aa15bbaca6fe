//! Makes tenants for tests through the control plane's API, and removes them. They are marked as synthetic, so they may
//! be deleted at once.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::json;
use tenantry_api::client::{Deleted, Deletion, Expected};
use tenantry_api::v1::tenant::Suspension;
use tenantry_api::{Client, ClientError};

use crate::error::{Error, Silence};
use crate::known::Look;
use crate::sources::Sources;
use crate::tenant::Tenant;
use crate::tenantry::Tenantry;

/// How long one request waits for its operation; the most that the API allows.
const WAIT: Duration = Duration::from_secs(30);
/// How long one change of a tenant may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a change may take to be seen; ten times what is promised.
const SEEN: Duration = Duration::from_secs(5);

/// Makes a user, or whatever every test needs, in a new tenant.
type Hook = Box<dyn Fn(Tenantry, Tenant) -> BoxFuture<'static, Result<(), Error>> + Send + Sync>;

/// A tenant of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeTenant {
    /// The tenant as it was when it was made.
    pub tenant: Tenant,
}

/// Makes tenants of one app.
pub struct TenantFactory {
    tenantry: Tenantry,
    client: Client,
    app: String,
    region: String,
    user: Option<Hook>,
    made: Mutex<Vec<String>>,
}

impl TenantFactory {
    /// A factory beside a [`Tenantry`], for tenants of an app in a region.
    ///
    /// # Errors
    /// [`Error::SettingsInvalid`].
    pub fn new(tenantry: &Tenantry, app: &str, region: &str) -> Result<Self, Error> {
        let client = tenantry.0.plane.administrator()?;
        let (app, region) = (app.to_owned(), region.to_owned());
        Ok(Self { tenantry: tenantry.clone(), client, app, region, user: None, made: Mutex::default() })
    }

    /// The same factory with a hook that makes a user in every new tenant.
    #[must_use]
    pub fn with_user<F>(mut self, make: impl Fn(Tenantry, Tenant) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.user = Some(Box::new(move |tenantry, tenant| make(tenantry, tenant).boxed()));
        self
    }

    /// Makes a tenant that is open. The plan decides about the level.
    ///
    /// # Errors
    /// The control plane refuses, or the tenant does not become open in time.
    pub async fn make(&self, plan: &str) -> Result<MadeTenant, Error> {
        let slug = format!("test-{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
        let contact = json!([{ "name": "Test", "email": "test@tenant.example" }]);
        let manifest = json!({
            "metadata": { "name": slug },
            "spec": {
                "displayName": slug, "app": self.app, "plan": plan, "state": "active",
                "residency": { "allowedRegions": [self.region] },
                "contacts": { "technical": contact, "billing": contact, "incident": contact },
                "business": { "synthetic": true },
            },
        });
        self.lock().push(slug.clone());
        let answer = self.client.create_tenant(&manifest, Some(WAIT)).await.map_err(refused)?;
        self.follow(answer.operation).await?;
        let tenant = self.until(&slug, Tenant::is_open).await?;
        if let Some(make) = &self.user {
            make(self.tenantry.clone(), tenant.clone()).await?;
        }
        Ok(MadeTenant { tenant })
    }

    /// Runs a test in a tenant of its own, and removes that afterwards, also if the test panics.
    ///
    /// # Errors
    /// As for [`Self::make`] and [`Self::remove`].
    pub async fn own<F: Future<Output = R>, R>(&self, plan: &str, test: impl FnOnce(Tenant) -> F) -> Result<R, Error> {
        let made = self.make(plan).await?;
        let ended = AssertUnwindSafe(test(made.tenant.clone())).catch_unwind().await;
        let removed = self.remove(&made).await;
        match ended {
            Ok(value) => removed.map(|()| value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Suspends a tenant; it is seen as such afterwards.
    ///
    /// # Errors
    /// The control plane refuses.
    pub async fn suspend(&self, made: &MadeTenant) -> Result<(), Error> {
        self.shut(made.tenant.slug()).await?;
        self.until(made.tenant.slug(), |tenant| !tenant.is_open()).await.map(drop)
    }

    /// Lets its users in again; it is seen as open afterwards.
    ///
    /// # Errors
    /// The control plane refuses.
    pub async fn resume(&self, made: &MadeTenant) -> Result<(), Error> {
        self.verb(made.tenant.slug(), "resume").await?;
        self.until(made.tenant.slug(), Tenant::is_open).await.map(drop)
    }

    /// Archives a suspended tenant.
    ///
    /// # Errors
    /// The control plane refuses.
    pub async fn archive(&self, made: &MadeTenant) -> Result<(), Error> {
        self.verb(made.tenant.slug(), "archive").await
    }

    /// Deletes a tenant with all its data, whatever state it is in.
    ///
    /// # Errors
    /// The control plane refuses.
    pub async fn remove(&self, made: &MadeTenant) -> Result<(), Error> {
        let slug = made.tenant.slug().to_owned();
        self.delete(&slug).await?;
        self.lock().retain(|known| *known != slug);
        Ok(())
    }

    /// Removes everything that was made and is still there.
    ///
    /// # Errors
    /// The first refusal; the rest is tried all the same.
    pub async fn close(&self) -> Result<(), Error> {
        let left = std::mem::take(&mut *self.lock());
        let mut first = Ok(());
        for slug in left.iter().rev() {
            let removed = self.delete(slug).await;
            if first.is_ok() {
                first = removed;
            }
        }
        first
    }

    async fn delete(&self, slug: &str) -> Result<(), Error> {
        let state = match self.client.tenant(slug).await {
            Ok(answer) => answer.value.status.state,
            Err(ClientError::Problem(problem)) if matches!(problem.status, 404 | 410) => return Ok(()),
            Err(error) => return Err(refused(error)),
        };
        if state == "deleted" {
            return Ok(());
        }
        if state == "active" {
            self.shut(slug).await?;
        }
        if state == "active" || state == "suspended" {
            self.verb(slug, "archive").await?;
        }
        let deletion = Deletion { confirm: slug.to_owned(), grace: Some("0s".to_owned()), ..Deletion::default() };
        let deleted = self.client.delete_tenant(slug, Expected::Any, &deletion, Some(WAIT)).await.map_err(refused)?;
        match deleted {
            Deleted::Accepted(answer) => self.follow(answer.operation).await,
            Deleted::Planned(_) => Ok(()),
        }
    }

    async fn shut(&self, slug: &str) -> Result<(), Error> {
        let reason = Suspension { reason: "commercial".to_owned(), note: None };
        let answer = self.client.suspend_tenant(slug, Expected::Any, &reason, Some(WAIT)).await.map_err(refused)?;
        self.follow(answer.operation).await
    }

    async fn verb(&self, slug: &str, verb: &str) -> Result<(), Error> {
        let answer = self.client.tenant_verb(slug, verb, Expected::Any, Some(WAIT)).await.map_err(refused)?;
        self.follow(answer.operation).await
    }

    /// Waits for the end of an operation that outlasted its request.
    async fn follow(&self, operation: Option<String>) -> Result<(), Error> {
        let Some(operation) = operation else { return Ok(()) };
        let ended = self.client.wait(&operation, PATIENCE).await.map_err(refused)?;
        if ended.status == "completed" {
            return Ok(());
        }
        Err(Error::ControlPlaneRefused(format!("operation {operation} is {}", ended.status)))
    }

    async fn until(&self, slug: &str, wanted: impl Fn(&Tenant) -> bool) -> Result<Tenant, Error> {
        let (began, sources) = (std::time::Instant::now(), Sources::name(slug)?);
        loop {
            let tenant = self.tenantry.resolve(&sources, Look::Fresh).await;
            match tenant {
                Ok(tenant) if wanted(&tenant) => return Ok(tenant),
                Ok(_) | Err(Error::TenantNotFound(_)) if began.elapsed() < SEEN => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(tenant) => return Err(Error::not_open(slug, tenant.state())),
                Err(error) => return Err(error),
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn refused(error: ClientError) -> Error {
    match error {
        ClientError::Transport { .. } => Error::ControlPlaneUnavailable(Silence::Away(error.to_string())),
        other => Error::ControlPlaneRefused(other.to_string()),
    }
}
