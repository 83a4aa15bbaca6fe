//! One look: what has moved since the last one, read and applied.
//!
//! An entry of the audit becomes visible together with the change that it tells of. So whatever is read after an entry was
//! seen holds its change, and an entry that was seen before need not be followed again. Entries become visible in another
//! order than their times; each look goes back by [`OVERLAP`] before the last one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tenantry_domain::Timestamp;
use tenantry_domain::gateway::LoginName;
use tenantry_domain::id::{InstallationId, TenantId};
use tenantry_domain::name::{CellName, EnvironmentName};
use tenantry_store::{GatewayWatch, LoginsOf, Movement, Store, StoreError, Subject};

use super::LookError;
use super::read::{self, Found, Owner, Versions};
use crate::table::{Change, Full, Route, Table};

/// How far each look goes back: longer than any transaction of the control plane may stand still, and than clocks of its
/// replicas may differ.
const OVERLAP: Duration = Duration::from_secs(10);
/// More entries than this at once, and everything is read again.
const MANY: u32 = 20_000;
/// Reading everything takes at most a tenth of the time, however often something calls for it.
const SHARE: u32 = 10;
/// And it is not called for more often than this.
const REST: Duration = Duration::from_millis(300);

/// What a look led to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looked {
    /// The database's clock before anything was read.
    pub(super) at: Timestamp,
    /// Whose database it is.
    pub(super) installation: InstallationId,
    /// Whether everything was read.
    pub(super) is_full: bool,
    /// Changes that were applied.
    pub(super) changes: usize,
    /// Those of them that nothing had announced.
    pub(super) missed: usize,
    /// What the table has now.
    pub(super) counts: Counts,
}

/// What a table has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) tenants: usize,
    pub(super) logins: usize,
    pub(super) cells: usize,
}

type Seen = BTreeMap<EnvironmentName, BTreeMap<Subject, Movement>>;

/// Follows the registry of one installation.
pub(super) struct Follower {
    store: Store,
    table: Table,
    refresh: Duration,
    /// Whose the table is, once that is known.
    expected: Option<InstallationId>,
    /// Whose the database is, once it has said so.
    installation: Option<InstallationId>,
    /// The database's clock at the last look.
    looked: Option<Timestamp>,
    seen: Seen,
    tenants: BTreeSet<TenantId>,
    logins: Versions,
    cells: BTreeSet<(EnvironmentName, CellName)>,
    /// When everything was read last, and how long that took.
    read: Option<(Instant, Duration)>,
    /// Something calls for reading everything again.
    owes: bool,
    /// Changes that a reading of everything found and nothing had announced. Those that were committed between the look and
    /// the reading are announced to the next look.
    suspected: usize,
}

impl Follower {
    pub(super) fn new(store: Store, table: Table, refresh: Duration) -> Self {
        Self {
            store,
            table,
            refresh,
            expected: None,
            installation: None,
            looked: None,
            seen: Seen::new(),
            tenants: BTreeSet::new(),
            logins: Versions::new(),
            cells: BTreeSet::new(),
            read: None,
            owes: false,
            suspected: 0,
        }
    }

    /// The table is of this installation already.
    pub(super) const fn belongs_to(&mut self, installation: InstallationId) {
        self.expected = Some(installation);
    }

    /// Whether the database was ever read.
    pub(super) const fn has_read(&self) -> bool {
        self.read.is_some()
    }

    /// Looks once. After an error the table is as before, and the next look finds what this one missed.
    pub(super) async fn look(&mut self) -> Result<Looked, LookError> {
        let installation = self.installation().await?;
        let since = match self.looked {
            Some(looked) => looked,
            None => self.store.clock().await?,
        };
        let since = since.checked_sub(OVERLAP).unwrap_or(since);
        let watch = self.store.gateway_watch(since, MANY).await?;
        let news = news(&self.seen, &watch);
        self.owes |= news.is_everything;
        let is_full = match self.read {
            None => true,
            Some((at, took)) => {
                let age = at.elapsed();
                age >= self.refresh.max(took * SHARE) || (self.owes && age >= REST.max(took * SHARE))
            }
        };
        let is_announced = self.owes || news.announces_something();
        let changes = if is_full { self.everything(&watch).await? } else { self.some(&news, watch.now).await? };
        self.looked = Some(watch.now);
        self.seen = watch.changes;
        let missed = if news.announces_something() { 0 } else { self.suspected };
        self.suspected = if is_full && !is_announced { changes } else { 0 };
        if missed > 0 {
            tracing::debug!(missed, "a reading of everything found changes that no entry had announced");
        }
        Ok(Looked { at: watch.now, installation, is_full, changes, missed, counts: self.counts() })
    }

    fn counts(&self) -> Counts {
        Counts {
            tenants: self.tenants.len(),
            logins: self.logins.values().map(BTreeMap::len).sum(),
            cells: self.cells.len(),
        }
    }

    /// Whose database it is; another one's is never followed.
    async fn installation(&mut self) -> Result<InstallationId, LookError> {
        if let Some(installation) = self.installation {
            return Ok(installation);
        }
        let found = self.store.installation().await?;
        match self.expected {
            Some(known) if known != found => Err(LookError::Foreign { found, known }),
            _ => Ok(*self.installation.insert(found)),
        }
    }

    /// Reads everything, and applies what differs. Gives how many changes that were.
    async fn everything(&mut self, watch: &GatewayWatch) -> Result<usize, StoreError> {
        let began = Instant::now();
        let (full, versions) = read::everything(&self.store, watch.changes.keys(), watch.now).await?;
        let tenants = full.routes.iter().map(|route| route.tenant).collect();
        let cells = full.cells.iter().map(|cell| (cell.environment.clone(), cell.name.clone())).collect();
        let changes = if self.read.is_none() {
            let count = full.routes.len() + full.logins.len() + full.cells.len();
            self.table.replace(full);
            count
        } else {
            let changes = self.differences(full, &tenants, &versions, &cells);
            let count = changes.len();
            self.apply(changes);
            count
        };
        (self.tenants, self.logins, self.cells) = (tenants, versions, cells);
        self.read = Some((Instant::now(), began.elapsed()));
        self.owes = false;
        Ok(changes)
    }

    /// What the table lacks of what was read, and what it has too much. Removals come first: a name may have moved on.
    fn differences(
        &self,
        full: Full,
        tenants: &BTreeSet<TenantId>,
        versions: &Versions,
        cells: &BTreeSet<(EnvironmentName, CellName)>,
    ) -> Vec<Change> {
        let (known, found) = (flat(&self.logins), flat(versions));
        let mut changes: Vec<Change> = Vec::new();
        changes.extend(known.keys().filter(|name| !found.contains_key(*name)).map(|name| gone_login(name)));
        changes.extend(self.tenants.difference(tenants).map(|tenant| Change::Tenant(*tenant, None)));
        let gone = self.cells.difference(cells);
        changes.extend(gone.map(|(environment, name)| Change::Cell(environment.clone(), name.clone(), None)));
        for cell in full.cells {
            if self.table.cell(&cell.environment, &cell.name).is_none_or(|known| *known != cell) {
                changes.push(Change::Cell(cell.environment.clone(), cell.name.clone(), Some(cell)));
            }
        }
        changes.extend(full.routes.into_iter().filter_map(|route| self.changed(route)));
        for login in full.logins {
            if known.get(&login.name) != found.get(&login.name) {
                changes.push(Change::Login(login.name.clone(), Some(login)));
            }
        }
        changes
    }

    /// Reads and applies what has moved.
    async fn some(&mut self, news: &News, now: Timestamp) -> Result<usize, StoreError> {
        let (mut gone, mut changes, mut tenants, mut versions) = (Vec::new(), Vec::new(), Vec::new(), Versions::new());
        for (environment, moved) in &news.tenants {
            let found = read::routes(&self.store, environment, moved, now).await?;
            let is_found: BTreeSet<TenantId> = found.iter().map(|route| route.tenant).collect();
            for tenant in moved {
                tenants.push((*tenant, is_found.contains(tenant)));
                if !is_found.contains(tenant) && self.tenants.contains(tenant) {
                    gone.push(Change::Tenant(*tenant, None));
                }
                versions.entry(Owner::Tenant(*tenant)).or_default();
            }
            changes.extend(found.into_iter().filter_map(|route| self.changed(route)));
            let logins = read::logins(&self.store, environment, LoginsOf::Tenants(moved)).await?;
            changes.extend(self.changed_logins(logins, &mut versions));
        }
        for environment in &news.services {
            versions.entry(Owner::Services(environment.clone())).or_default();
            let logins = read::logins(&self.store, environment, LoginsOf::Services).await?;
            changes.extend(self.changed_logins(logins, &mut versions));
        }
        let found = flat(&versions);
        for owner in versions.keys() {
            let known = self.logins.get(owner).into_iter().flatten();
            gone.extend(known.filter(|(name, _)| !found.contains_key(*name)).map(|(name, _)| gone_login(name)));
        }
        gone.append(&mut changes);
        let count = gone.len();
        self.apply(gone);
        for (tenant, is_there) in tenants {
            if is_there {
                self.tenants.insert(tenant)
            } else {
                self.tenants.remove(&tenant)
            };
        }
        for (owner, logins) in versions {
            if logins.is_empty() {
                self.logins.remove(&owner)
            } else {
                self.logins.insert(owner, logins)
            };
        }
        Ok(count)
    }

    fn apply(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.table.apply(changes);
        }
    }

    /// The change to a route, if the table has another one. Most entries of a tenant leave its route as it is.
    fn changed(&self, route: Route) -> Option<Change> {
        let known = self.table.tenant(route.tenant).and_then(|slot| slot.route());
        (known.as_deref() != Some(&route)).then(|| Change::Tenant(route.tenant, Some(route)))
    }

    /// The changes to logins of which the table has another version; notes the versions of all.
    fn changed_logins(&self, logins: Vec<Found>, versions: &mut Versions) -> Vec<Change> {
        let mut changes = Vec::new();
        for Found { owner, version, login } in logins {
            let known = self.logins.get(&owner).and_then(|logins| logins.get(&login.name));
            if known != Some(&version) {
                changes.push(Change::Login(login.name.clone(), Some(login.clone())));
            }
            versions.entry(owner).or_default().insert(login.name, version);
        }
        changes
    }
}

fn gone_login(name: &LoginName) -> Change {
    Change::Login(name.clone(), None)
}

/// Owner and version by name. A name in use is one login of the installation.
fn flat(versions: &Versions) -> BTreeMap<&LoginName, (&Owner, i64)> {
    let all =
        versions.iter().flat_map(|(owner, logins)| logins.iter().map(move |(name, version)| (owner, name, *version)));
    all.map(|(owner, name, version)| (name, (owner, version))).collect()
}

/// What a look has to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct News {
    /// Tenants whose route or logins have moved.
    tenants: BTreeMap<EnvironmentName, Vec<TenantId>>,
    /// Environments of which logins of services have moved.
    services: Vec<EnvironmentName>,
    /// More has moved than can be told one by one: plans or cells, a whole environment, or too much.
    is_everything: bool,
}

impl News {
    fn announces_something(&self) -> bool {
        self.is_everything || !self.tenants.is_empty() || !self.services.is_empty()
    }
}

/// Compares what is seen with what was seen.
fn news(seen: &Seen, watch: &GatewayWatch) -> News {
    let mut news = News { is_everything: watch.is_cut, ..News::default() };
    for (environment, subjects) in &watch.changes {
        let Some(before) = seen.get(environment) else {
            news.is_everything = true;
            continue;
        };
        for (subject, movement) in subjects {
            let known = before.get(subject).copied().unwrap_or_default();
            let (is_moved, has_logins) = (movement.route > known.route, movement.logins > known.logins);
            match subject {
                Subject::Tenant(tenant) if is_moved || has_logins => {
                    news.tenants.entry(environment.clone()).or_default().push(*tenant);
                }
                Subject::Tenant(_) => {}
                Subject::Environment => {
                    news.is_everything |= is_moved;
                    if has_logins {
                        news.services.push(environment.clone());
                    }
                }
            }
        }
    }
    news
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn prod() -> EnvironmentName {
        EnvironmentName::parse("prod").unwrap()
    }

    fn acme() -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(1))
    }

    fn seen(subjects: &[(Subject, Option<i64>, Option<i64>)]) -> Seen {
        let subjects =
            subjects.iter().map(|(subject, route, logins)| (*subject, Movement { route: *route, logins: *logins }));
        Seen::from([(prod(), subjects.collect())])
    }

    fn watch(changes: Seen, is_cut: bool) -> GatewayWatch {
        GatewayWatch { now: Timestamp::from_second(1_790_000_000).unwrap(), changes, is_cut }
    }

    #[test]
    fn an_entry_is_followed_once() {
        let tenant = Subject::Tenant(acme());
        let first = seen(&[(tenant, Some(3), None)]);
        let told = news(&seen(&[]), &watch(first.clone(), false));
        assert_eq!(told, News { tenants: BTreeMap::from([(prod(), vec![acme()])]), ..News::default() });
        assert_eq!(news(&first, &watch(first.clone(), false)), News::default());
        let second = seen(&[(tenant, Some(3), Some(4))]);
        assert!(news(&first, &watch(second.clone(), false)).tenants.contains_key(&prod()));
        // An entry that has left the stretch of time is nothing new.
        assert_eq!(news(&second, &watch(seen(&[(tenant, None, Some(4))]), false)), News::default());
        assert_eq!(news(&second, &watch(seen(&[]), false)), News::default());
    }

    #[test]
    fn what_many_depend_on_makes_everything_be_read() {
        let environment = Subject::Environment;
        assert!(news(&seen(&[]), &watch(seen(&[(environment, Some(1), None)]), false)).is_everything);
        let services = news(&seen(&[]), &watch(seen(&[(environment, None, Some(1))]), false));
        assert_eq!(services, News { services: vec![prod()], ..News::default() });
        assert!(news(&seen(&[]), &watch(seen(&[]), true)).is_everything);
        assert!(news(&Seen::new(), &watch(seen(&[]), false)).is_everything, "a new environment");
        assert_eq!(news(&seen(&[]), &watch(seen(&[]), false)), News::default());
    }
}
