//! Standbys of cells: which of them are near enough to their primary to be read from.
//!
//! A worker watches each standby that its clients ask for: four times a second it asks both servers where they are
//! ([`trail`]). INVARIANT: a client is sent to a standby only while everything that was committed longer ago than the bound is
//! known to be shown there; not knowing counts as behind.

mod trail;
mod watch;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tenantry_dataplane::Door;
use tenantry_domain::id::TenantId;

pub use watch::Watch;

/// For how long a client that found no standby goes without looking again.
pub const AGAIN: Duration = Duration::from_secs(1);

/// One standby, as others see it.
#[derive(Debug, Clone)]
pub struct StandbyView {
    /// Which worker's.
    pub worker: usize,
    /// Host and port.
    pub address: String,
    /// Its primary's.
    pub primary: String,
    /// Everything that was committed so long ago is shown; absent while it is not known.
    pub staleness: Option<Duration>,
    /// Why it is not known.
    pub error: Option<String>,
}

/// The standbys that a worker watches, by their primary's and their own address.
#[derive(Debug, Default)]
pub struct Standbys {
    watches: RefCell<HashMap<(String, String), Rc<Watch>>>,
}

impl Standbys {
    /// The watch of a standby. It begins with the first that asks for it, and ends when nobody has for a while.
    pub fn watch(&self, primary: &Door, standby: &Door, limit: Duration) -> Rc<Watch> {
        let address = |door: &Door| format!("{}:{}", door.target.host(), door.target.port());
        let key = (address(primary), address(standby));
        let mut watches = self.watches.borrow_mut();
        watches.retain(|known, watch| *known == key || !watch.is_over());
        if let Some(watch) = watches.get(&key).filter(|watch| !watch.is_over()) {
            watch.by(primary, standby);
            return Rc::clone(watch);
        }
        let watch = Watch::begin(primary, standby, limit);
        watches.insert(key, Rc::clone(&watch));
        watch
    }

    /// Leaves the sessions that are open by this tenant's logins.
    pub fn forget(&self, tenant: TenantId) {
        self.watches.borrow().values().for_each(|watch| watch.forget(tenant));
    }

    /// Ends all watches.
    pub fn end(&self) {
        self.watches.borrow_mut().drain().for_each(|(_, watch)| watch.end());
    }

    /// What is known of each.
    pub fn view(&self, worker: usize, now: Instant) -> Vec<StandbyView> {
        let watches = self.watches.borrow();
        let live = watches.iter().filter(|(_, watch)| !watch.is_over());
        let view = live.map(|((primary, address), watch)| StandbyView {
            worker,
            address: address.clone(),
            primary: primary.clone(),
            staleness: watch.staleness(now),
            error: watch.error(),
        });
        view.collect()
    }
}
