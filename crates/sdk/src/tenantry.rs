//! The facade: who a tenant is, how its data is reached, and transactions of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::future::Cache;
use secrecy::SecretString;
use tenantry_dataplane::{Router, RouterOptions};
use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_pg::{PoolOptions, Target, TxMode};

use crate::admission::{Admission, Login};
use crate::enter::{self, Credential};
use crate::error::{Absent, Error, Mismatch, SettingsFault};
use crate::fair::Bounds;
use crate::known::{Line, Look, Memory};
use crate::plane::Plane;
use crate::settings::{Settings, SslMode};
use crate::signed::{Context, Keys, Signed};
use crate::sources::Sources;
use crate::tenant::{MAX_AGE, Route, Tenant};
use crate::tx::TenantTx;
use crate::watch::Watchers;

/// The most credentials that are kept: one per login, so far more than a process has connections.
const CREDENTIALS: u64 = 4096;

/// After so many doubts the old ones are dropped.
const DOUBTS: usize = 1_000;

/// Tenants of one environment, and their transactions. Cheap to clone; one per process is enough.
#[derive(Clone)]
pub struct Tenantry(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) plane: Plane,
    pub(crate) router: Arc<Router>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) watchers: Watchers,
    line: Line,
    tenants: Memory<Sources, Tenant>,
    routes: Memory<TenantId, Route>,
    credentials: Memory<String, Credential>,
    signed: Memory<String, Signed>,
    missing: Cache<Sources, Refused>,
    /// Tenants of which remembered answers are doubted, and since when.
    doubted: Mutex<HashMap<TenantId, Instant>>,
    keys: Arc<Keys>,
    target: Target,
    local_target: Target,
    /// How often connections of a login were closed by us.
    closed: Arc<AtomicU64>,
}

/// A refusal that is believed for a while.
#[derive(Clone, Copy)]
enum Refused {
    NotFound(Absent),
    Mismatch(Mismatch),
}

/// The load at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Connections in use.
    pub in_use: usize,
    /// Callers that wait for one.
    pub waiting: usize,
    /// Tenants that are remembered, about.
    pub known: u64,
    /// Whether the control plane answered when it was last asked.
    pub control_plane: bool,
}

impl Tenantry {
    /// Prepares for the tenants of an environment. Nothing is sent: an application can start while the control plane is
    /// away. [`Self::check`] asks it.
    ///
    /// # Errors
    /// [`Error::SettingsInvalid`].
    pub fn connect(url: &str, token: impl Into<SecretString>, environment: &str) -> Result<Self, Error> {
        Self::with_settings(Settings::new(url, token, environment))
    }

    /// [`Self::connect`] with variables of this process, see [`Settings::from_env`].
    ///
    /// # Errors
    /// [`Error::SettingsInvalid`].
    pub fn from_env() -> Result<Self, Error> {
        Self::with_settings(Settings::from_env()?)
    }

    /// [`Self::connect`] with settings.
    ///
    /// # Errors
    /// [`Error::SettingsInvalid`].
    pub fn with_settings(settings: Settings) -> Result<Self, Error> {
        let plane = Plane::new(settings)?;
        let settings = plane.settings();
        let router = Arc::new(Router::new(router_options(settings)));
        let target = bare(settings, settings.ssl("example.com"))?;
        let local_target = bare(settings, settings.ssl("localhost"))?;
        let bounds = Bounds { connections: settings.cell_connections, waiting: settings.waiting };
        let closed = Arc::new(AtomicU64::new(0));
        let close = {
            let (router, closed, bare) = (Arc::clone(&router), Arc::clone(&closed), local_target.clone());
            Box::new(move |login: &Login| {
                closed.fetch_add(1, Ordering::AcqRel);
                router.forget(&login.target(&bare));
            })
        };
        let admission = Admission::new(bounds, settings.wait, close);
        let (entries, stale) = (settings.cache_entries, settings.stale);
        let short = settings.missing_max_age.max(Duration::from_millis(1));
        Ok(Self(Arc::new(Inner {
            tenants: Memory::new(entries, stale),
            routes: Memory::new(entries, stale),
            credentials: Memory::new(CREDENTIALS, Duration::from_secs(30 * 86_400)),
            signed: Memory::new(entries, Duration::from_secs(50)),
            missing: Cache::builder().max_capacity(entries).time_to_live(short).build(),
            doubted: Mutex::default(),
            keys: Arc::default(),
            line: Line::default(),
            watchers: Watchers::default(),
            plane,
            router,
            admission,
            target,
            local_target,
            closed,
        })))
    }

    /// Asks the control plane whether it is there and accepts this application.
    ///
    /// # Errors
    /// [`Error::ControlPlaneUnavailable`] or [`Error::ControlPlaneRefused`].
    pub async fn check(&self) -> Result<(), Error> {
        match self.0.plane.resolve(&Sources { header: Some("no-such-tenant".to_owned()), ..Sources::default() }).await {
            Ok(_) | Err(Error::TenantNotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The tenant that the sources of a request name, in whatever state.
    ///
    /// # Errors
    /// [`Error::TenantMismatch`], [`Error::TenantNotFound`], [`Error::ControlPlaneUnavailable`],
    /// [`Error::ControlPlaneRefused`].
    pub async fn resolve(&self, sources: &Sources, look: Look) -> Result<Tenant, Error> {
        let inner = &self.0;
        if sources.is_empty() {
            return Err(Error::TenantMismatch(Mismatch::Nameless));
        }
        if look == Look::Cached
            && let Some(refused) = inner.missing.get(sources).await
        {
            return Err(match refused {
                Refused::NotFound(absent) => Error::TenantNotFound(absent),
                Refused::Mismatch(mismatch) => Error::TenantMismatch(mismatch),
            });
        }
        let ask = async {
            let tenant = inner.plane.resolve(sources).await?;
            let age = tenant.max_age();
            Ok((tenant, age))
        };
        let found = inner.tenants.get(&inner.line, sources, look, |tenant| inner.doubted(tenant.id()), ask).await;
        let refused = match &found {
            Ok(_) => {
                inner.missing.invalidate(sources).await;
                return found;
            }
            Err(Error::TenantNotFound(absent)) => Refused::NotFound(*absent),
            Err(Error::TenantMismatch(mismatch)) => Refused::Mismatch(*mismatch),
            Err(_) => return found,
        };
        inner.missing.insert(sources.clone(), refused).await;
        found
    }

    /// The tenant of this slug or id, in whatever state.
    ///
    /// # Errors
    /// As for [`Self::resolve`].
    pub async fn find(&self, name: &str) -> Result<Tenant, Error> {
        self.resolve(&Sources::name(name)?, Look::Cached).await
    }

    /// How a tenant's data is reached.
    ///
    /// # Errors
    /// As for [`Self::resolve`]; a tenant that has no place yet is not found.
    pub async fn route(&self, tenant: &Tenant) -> Result<Route, Error> {
        self.0.route(tenant.id(), Look::Cached).await
    }

    /// Begins a transaction of the tenant.
    ///
    /// # Errors
    /// [`Error::TenantSuspended`] and the like where the tenant is not open, [`Error::TenantMoved`],
    /// [`Error::TenantBusy`], [`Error::CredentialRefused`], [`Error::DatabaseUnavailable`], and those of
    /// [`Self::resolve`]. Nothing was run.
    pub async fn begin(&self, tenant: &Tenant) -> Result<TenantTx, Error> {
        self.begin_with(tenant, TxMode::ReadCommitted).await
    }

    /// Begins a transaction that cannot write, and that sees one moment: for reports and exports.
    ///
    /// # Errors
    /// As for [`Self::begin`].
    pub async fn begin_read(&self, tenant: &Tenant) -> Result<TenantTx, Error> {
        self.begin_with(tenant, TxMode::RepeatableReadReadOnly).await
    }

    /// Begins a transaction with a view on the data of one's choice.
    ///
    /// # Errors
    /// As for [`Self::begin`].
    pub async fn begin_with(&self, tenant: &Tenant, mode: TxMode) -> Result<TenantTx, Error> {
        enter::enter(&self.0, tenant, mode).await
    }

    /// Verifies a `Tenantry-Context` that came with a request. It says who the tenant is; whether it is open says
    /// [`Self::resolve`].
    ///
    /// # Errors
    /// [`Error::TenantMismatch`] for a context that does not verify, [`Error::ControlPlaneUnavailable`] when its key is
    /// not known and cannot be asked for.
    pub async fn verify(&self, token: &str) -> Result<Context, Error> {
        let inner = Arc::clone(&self.0);
        let ask = async move { inner.plane.keys().await };
        self.0.keys.verify(token, self.0.plane.environment().as_str(), Timestamp::now(), ask).await
    }

    /// A `Tenantry-Context` for a call to another service. It is signed by the control plane and kept for half of its
    /// minute. Needs [`Settings::base_domain`].
    ///
    /// # Errors
    /// The tenant is not open, or the control plane does not answer.
    pub async fn sign(&self, tenant: &Tenant) -> Result<String, Error> {
        let inner = &self.0;
        let key = tenant.id().to_string();
        let ask = async {
            let token = inner.plane.sign(tenant.slug()).await?;
            let signed = Signed::new(token, self).await?;
            if signed.tenant() == tenant.id() {
                return Ok((signed, Signed::AGE));
            }
            Err(Error::TenantNotFound(Absent::Place))
        };
        let expired = |signed: &Signed| inner.doubted(signed.tenant());
        let signed = inner.signed.get(&inner.line, &key, Look::Cached, expired, ask).await?;
        // While the control plane is away an old one may be found, which nobody would believe any more.
        signed.into_token()
    }

    /// The load at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        let (in_use, waiting) = self.0.admission.load();
        Status { in_use, waiting, known: self.0.tenants.count(), control_plane: !self.0.line.was_down() }
    }

    /// Closes unused connections; those in use are closed when they come back.
    pub fn close(&self) {
        self.0.router.close();
    }
}

impl Inner {
    pub(crate) async fn route(&self, tenant: TenantId, look: Look) -> Result<Route, Error> {
        let ask = async {
            let route = Route::read(self.plane.route(&tenant.to_string()).await?)?;
            let age = route.max_age;
            Ok((route, age))
        };
        self.routes.get(&self.line, &tenant, look, |route| self.doubted(route.tenant), ask).await
    }

    /// The credential of a route, another one than the one that was refused.
    pub(crate) async fn credential(&self, route: &Route, refused: Option<&Credential>) -> Result<Credential, Error> {
        let ask = async {
            let asked = Instant::now();
            let credential = Credential::read(self.plane.credential(&route.secret_ref).await?, asked)?;
            Ok((credential, Duration::from_secs(30 * 86_400)))
        };
        let expired = |known: &Credential| {
            let is_refused = refused.is_some_and(|refused| refused.asked >= known.asked);
            is_refused.then(Instant::now)
        };
        self.credentials.get(&self.line, &route.secret_ref, Look::Cached, expired, ask).await
    }

    /// Asks anew who and where a tenant is before that is used again.
    pub(crate) fn doubt(&self, tenant: TenantId) {
        {
            let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
            if doubted.len() >= DOUBTS {
                // No answer is good for longer, so older doubts say nothing.
                doubted.retain(|_, since| since.elapsed() < MAX_AGE);
            }
            doubted.insert(tenant, Instant::now());
        }
        self.missing.invalidate_all();
    }

    /// Forgets an address that is known to be wrong.
    pub(crate) async fn forget_route(&self, tenant: TenantId) {
        self.routes.forget(&tenant).await;
    }

    fn doubted(&self, tenant: TenantId) -> Option<Instant> {
        self.doubted.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).copied()
    }

    pub(crate) fn bare_target(&self, host: &str) -> Target {
        let is_local = self.plane.settings().ssl(host) == self.plane.settings().ssl("localhost");
        if is_local { self.local_target.clone() } else { self.target.clone() }
    }

    pub(crate) fn close_login(&self, target: &Target) {
        self.closed.fetch_add(1, Ordering::AcqRel);
        self.router.forget(target);
    }

    pub(crate) fn closed(&self) -> u64 {
        self.closed.load(Ordering::Acquire)
    }
}

fn router_options(settings: &Settings) -> RouterOptions {
    RouterOptions {
        shared: settings.login_connections,
        // The fair queue in front decides; here is only room.
        per_tenant: settings.login_connections,
        own: settings.login_connections,
        pools: settings.cell_connections.saturating_mul(4).max(1_000),
        pool: PoolOptions {
            wait: settings.wait.max(Duration::from_secs(5)),
            connect: settings.connect_timeout,
            statement: settings.statement_timeout,
            idle_in_tx: settings.idle_transaction_timeout,
            lock: settings.lock_timeout,
            application: settings.application_name,
            idle_close: Some(settings.idle),
            ..PoolOptions::default()
        },
    }
}

/// A target without a place.
fn bare(settings: &Settings, mode: SslMode) -> Result<Target, Error> {
    let mut url = format!("postgres://tenant@localhost/postgres?sslmode={}", mode.word());
    if let Some(file) = &settings.sslrootcert {
        url.push_str("&sslrootcert=");
        for byte in file.as_os_str().as_encoded_bytes() {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    let fault = SettingsFault::Unreadable("a path");
    Target::parse(&SecretString::from(url)).map_err(|_| Error::SettingsInvalid { name: "sslrootcert", fault })
}

impl fmt::Debug for Tenantry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenantry({:?})", self.0.plane)
    }
}
