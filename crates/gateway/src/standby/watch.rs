//! The watch of one standby: asks it and its primary where they are, as long as somebody reads there.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tenantry_dataplane::Door;
use tenantry_dataplane::router::SETTINGS;
use tenantry_domain::id::TenantId;
use tenantry_pg::Target;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::trail::Trail;
use crate::server::{Backend, ConnectError, open};

/// How often both are asked.
const EACH: Duration = Duration::from_millis(250);
/// How long one may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// For how long a watch goes on after the last that asked.
const KEPT: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub struct Watch {
    trail: RefCell<Trail>,
    /// By which logins the two are asked: those of the tenant that came last, because any of them may be gone.
    ends: RefCell<Ends>,
    error: RefCell<Option<String>>,
    used: Cell<Instant>,
    is_over: Cell<bool>,
    /// Whether both were asked once.
    has_looked: Cell<bool>,
    looked: Notify,
}

#[derive(Debug, Clone)]
struct Ends {
    tenant: TenantId,
    primary: Target,
    standby: Target,
    /// Whether sessions that are open by other logins are to be left.
    is_new: bool,
}

impl Ends {
    fn of(primary: &Door, standby: &Door) -> Self {
        let (primary, tenant) = (primary.target.clone(), primary.tenant);
        Self { tenant, primary, standby: standby.target.clone(), is_new: false }
    }
}

impl Watch {
    /// Begins one, on the present worker. Opening a session may take as long as `limit`.
    pub(super) fn begin(primary: &Door, standby: &Door, limit: Duration) -> Rc<Self> {
        let watch = Rc::new(Self {
            trail: RefCell::default(),
            ends: RefCell::new(Ends::of(primary, standby)),
            error: RefCell::default(),
            used: Cell::new(Instant::now()),
            is_over: Cell::new(false),
            has_looked: Cell::new(false),
            looked: Notify::new(),
        });
        tokio::task::spawn_local(Rc::clone(&watch).run(limit));
        watch
    }

    /// Somebody reads there, by these logins.
    pub(super) fn by(&self, primary: &Door, standby: &Door) {
        self.used.set(Instant::now());
        let mut ends = self.ends.borrow_mut();
        let is_new = ends.is_new;
        *ends = Ends { is_new, ..Ends::of(primary, standby) };
    }

    /// The tenant is shut: the sessions of its logins are left.
    pub(super) fn forget(&self, tenant: TenantId) {
        let mut ends = self.ends.borrow_mut();
        ends.is_new |= ends.tenant == tenant;
    }

    pub(super) fn end(&self) {
        self.is_over.set(true);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Why the standby's position is not known.
    pub(super) fn error(&self) -> Option<String> {
        self.error.borrow().clone()
    }

    /// Everything that was committed so long ago is shown there; absent while that is not known.
    pub fn staleness(&self, now: Instant) -> Option<Duration> {
        self.trail.borrow().staleness(now)
    }

    /// Whether a client may be sent there.
    #[must_use]
    pub fn is_fit(&self, now: Instant, bound: Duration) -> bool {
        self.used.set(now);
        self.staleness(now).is_some_and(|staleness| staleness <= bound)
    }

    /// Waits until both were asked once, successfully or not.
    pub async fn first(&self, limit: Duration) {
        let told = self.looked.notified();
        if !self.has_looked.get() {
            let _ = timeout(limit, told).await;
        }
    }

    async fn run(self: Rc<Self>, limit: Duration) {
        let (mut primary, mut standby) = (None, None);
        while !self.is_over() && self.used.get().elapsed() < KEPT {
            let ends = self.ends.borrow().clone();
            if ends.is_new {
                (primary, standby) = (None, None);
                self.ends.borrow_mut().is_new = false;
            }
            let at = Instant::now();
            let (of_primary, of_standby) = tokio::join!(
                position(&mut primary, &ends.primary, limit),
                position(&mut standby, &ends.standby, limit)
            );
            self.note(at, of_primary, of_standby);
            self.has_looked.set(true);
            self.looked.notify_waiters();
            tokio::time::sleep(EACH).await;
        }
        self.is_over.set(true);
    }

    fn note(&self, at: Instant, primary: Result<Place, ConnectError>, standby: Result<Place, ConnectError>) {
        let mut trail = self.trail.borrow_mut();
        let mut errors = Vec::new();
        match primary {
            Ok(Place { position, is_standby: false }) => trail.primary(at, position),
            Ok(_) => errors.push("the primary is a standby".to_owned()),
            Err(error) => errors.push(format!("primary: {error}")),
        }
        match standby {
            Ok(Place { position, is_standby: true }) => trail.standby(position),
            Ok(_) => {
                trail.lost();
                errors.push("the server is no standby".to_owned());
            }
            Err(error) => {
                trail.lost();
                errors.push(format!("standby: {error}"));
            }
        }
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        let mut known = self.error.borrow_mut();
        if *known != error {
            let standby = self.ends.borrow().standby.host();
            match &error {
                Some(error) => tracing::warn!(standby, error, "a standby cannot be watched"),
                None => tracing::info!(standby, "a standby is watched again"),
            }
            *known = error;
        }
    }
}

/// Where a server is in the write-ahead log.
#[derive(Debug, Clone, Copy)]
struct Place {
    position: u64,
    is_standby: bool,
}

/// What is durable on a primary, and what is shown on a standby. A commit is answered when it is durable.
const POSITION: &[u8] = b"SELECT pg_catalog.pg_is_in_recovery(), (CASE WHEN pg_catalog.pg_is_in_recovery() \
    THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_flush_lsn() END - '0/0'::pg_catalog.pg_lsn)::text";

async fn position(session: &mut Option<Backend>, target: &Target, limit: Duration) -> Result<Place, ConnectError> {
    let mut open = match session.take() {
        Some(open) => open,
        None => open(target, SETTINGS, limit).await?,
    };
    let row = timeout(ANSWER, open.ask(POSITION)).await.map_err(|_| ConnectError::Slow)??;
    let unreadable = ConnectError::Protocol("a bad answer about the write-ahead log");
    let [Some(is_standby), Some(position)] = row.as_slice() else { return Err(unreadable) };
    let place = position.parse().map(|position| Place { position, is_standby: is_standby == "t" });
    let place = place.map_err(|_| unreadable)?;
    *session = Some(open);
    Ok(place)
}
