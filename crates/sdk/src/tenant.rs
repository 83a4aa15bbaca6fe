//! A tenant as those who serve its requests know it, and how its data is reached. Values; read from the control plane's
//! answers, and made by nothing else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenantry_api::v1::route::{Resolution, TenantRoute};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use uuid::Uuid;

use crate::error::Error;

/// No answer is believed for longer, whatever it says of itself.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(60);

/// Whether a tenant's users are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not yet.
    Preparing,
    /// Yes.
    Open,
    /// Not at present. Also a state that this version does not know: it lets nobody in.
    Suspended,
    /// No more, the data is kept.
    Archived,
}

impl State {
    fn of(word: &str) -> Self {
        match word {
            "open" => Self::Open,
            "preparing" => Self::Preparing,
            "archived" => Self::Archived,
            _ => Self::Suspended,
        }
    }

    /// The word used in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Open => "open",
            Self::Suspended => "suspended",
            Self::Archived => "archived",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A tenant. Cheap to clone. It says who it is, not that it may be served: that is decided when a transaction begins.
#[derive(Clone)]
pub struct Tenant(Arc<Facts>);

struct Facts {
    id: TenantId,
    slug: String,
    state: State,
    generation: i64,
    isolation: Option<Isolation>,
    cell: Option<String>,
    plan: String,
    max_age: Duration,
}

impl Tenant {
    pub(crate) fn read(answer: Resolution) -> Result<Self, Error> {
        let id = same_id(&answer.tenant, &answer.uuid)?;
        let isolation = answer.isolation.map(|level| level.parse()).transpose();
        Ok(Self(Arc::new(Facts {
            id,
            slug: answer.slug,
            state: State::of(&answer.state),
            generation: answer.generation,
            isolation: isolation.map_err(|_| not_understood("isolation"))?,
            cell: answer.cell,
            plan: answer.plan,
            max_age: Duration::from_millis(answer.max_age_ms).min(MAX_AGE),
        })))
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> TenantId {
        self.0.id
    }

    /// Its id as the database knows it: `tenant_id` of its rows.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.0.id.uuid()
    }

    /// Its readable name.
    #[must_use]
    pub fn slug(&self) -> &str {
        &self.0.slug
    }

    /// Whether its users were let in when it was looked up.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.state
    }

    /// Whether its users were let in when it was looked up.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.state == State::Open
    }

    /// The placement's generation; 0 before there is a place.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.0.generation
    }

    /// The level; absent before there is a place.
    #[must_use]
    pub fn isolation(&self) -> Option<Isolation> {
        self.0.isolation
    }

    /// The cell; absent before there is a place.
    #[must_use]
    pub fn cell(&self) -> Option<&str> {
        self.0.cell.as_deref()
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &str {
        &self.0.plan
    }

    pub(crate) fn max_age(&self) -> Duration {
        self.0.max_age
    }

    /// The tenant, if it is open.
    ///
    /// # Errors
    /// [`Error::TenantPreparing`], [`Error::TenantSuspended`] or [`Error::TenantGone`].
    pub fn admitted(self) -> Result<Self, Error> {
        if self.is_open() { Ok(self) } else { Err(Error::not_open(self.slug(), self.state())) }
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({} {} {} generation {})", self.0.id, self.0.slug, self.0.state, self.0.generation)
    }
}

impl PartialEq for Tenant {
    /// The same tenant, whatever is known of it.
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Tenant {}

/// How a tenant's data is reached. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Whose it is.
    pub tenant: TenantId,
    /// Whether its users are let in.
    pub state: State,
    /// The placement's generation that the address belongs to.
    pub generation: i64,
    /// The level.
    pub isolation: Isolation,
    /// The cell.
    pub cell: String,
    /// The server's host, or the folder of its socket.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The schema of the tables.
    pub schema: String,
    /// The login.
    pub role: String,
    /// The most connections that the plan gives the tenant; absent for no bound of its own.
    pub connections: Option<u32>,
    /// The credential that goes with the login.
    pub secret_ref: String,
    pub(crate) max_age: Duration,
}

impl Route {
    pub(crate) fn read(answer: TenantRoute) -> Result<Self, Error> {
        Ok(Self {
            tenant: same_id(&answer.tenant, &answer.uuid)?,
            state: State::of(&answer.state),
            generation: answer.generation,
            isolation: answer.isolation.parse().map_err(|_| not_understood("isolation"))?,
            cell: answer.cell,
            host: answer.host,
            port: answer.port,
            database: answer.database,
            schema: answer.schema,
            role: answer.role,
            connections: answer.connections,
            secret_ref: answer.secret_ref,
            max_age: Duration::from_millis(answer.max_age_ms).min(MAX_AGE),
        })
    }
}

fn same_id(id: &str, uuid: &str) -> Result<TenantId, Error> {
    let read: Option<TenantId> = id.parse().ok();
    let id = read.ok_or_else(|| not_understood("tenant"))?;
    if uuid.parse() == Ok(id.uuid()) { Ok(id) } else { Err(not_understood("uuid")) }
}

pub(crate) fn not_understood(field: &str) -> Error {
    Error::ControlPlaneRefused(format!("its answer is not understood: `{field}`"))
}
