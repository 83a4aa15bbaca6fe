//! What the gateway knows of tenants, logins and cells.
//!
//! Filled by the feed, read at each login and, without a lock, at each transaction. A tenant's [`Slot`] stays the same
//! object for as long as the process lives, so a session keeps it and sees every change of the tenant's route in it.
//! Long because it holds all that is known, its changes, and the tests of both.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tenantry_dataplane::Gate;
use tenantry_domain::Timestamp;
use tenantry_domain::cell::SecretRef;
use tenantry_domain::gateway::{Access, LoginName, Mode, Proof, Server, Whose};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_domain::quantity::Rate;
use tenantry_domain::tenant::Slug;
use tokio::sync::broadcast;

/// Where a tenant is and whether it is let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Whose route it is.
    pub tenant: TenantId,
    /// The partition of the registry.
    pub environment: EnvironmentName,
    /// The tenant's readable name.
    pub slug: Slug,
    /// Names by which it was known before, or is known as well.
    pub aliases: Vec<Slug>,
    /// The app that runs in its place.
    pub app: AppName,
    /// Whether it is let in.
    #[serde(with = "gate")]
    pub gate: Gate,
    /// Its place; absent while it has none.
    pub place: Option<Place>,
    /// The most server connections of it at a time, when its plan says so.
    pub connections: Option<u32>,
    /// How many transactions it may begin in a stretch of time, when its plan says so.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// How long one statement of it may run, when its plan says so.
    #[serde(default)]
    pub statement: Option<Duration>,
}

/// A tenant's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The cell.
    pub cell: CellName,
    /// What separates it from others.
    pub isolation: Isolation,
    /// The placement's generation.
    pub epoch: i64,
}

/// A login of the gateway.
#[derive(Debug, Clone)]
pub struct Login {
    /// What a client gives as its user.
    pub name: LoginName,
    /// The partition whose tenants it can name.
    pub environment: EnvironmentName,
    /// Which tenants it may enter.
    pub whose: Whose,
    /// How long it keeps a server session.
    pub mode: Mode,
    /// Whether it may write.
    pub access: Access,
    /// Which server of a tenant's cell it is served by.
    pub server: Server,
    /// How it proves itself.
    pub proof: Proof,
    /// `SCRAM-SHA-256$…`, the newest first; two while a password is being replaced, none for tokens.
    pub verifiers: Vec<Verifier>,
    /// The most client connections of it on one gateway.
    pub connections: Option<u32>,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
    /// Rises with every change of it, also over its end and a new beginning; absent in files of releases that did not keep it.
    pub version: Option<i64>,
}

impl Login {
    /// Whether another state of this name is the same login at a later time: sessions that this one let in may go on.
    ///
    /// The one change that leaves a login there is a new password, which is one version more, or leaves the verifier before
    /// it for a while. Whoever revokes a login and makes it again adds two and shares no verifier. So does whoever replaces
    /// the password twice between two looks: nothing tells these apart, and then its clients connect again.
    #[must_use]
    pub fn is_still(&self, later: &Self) -> bool {
        let what = |login: &Self| (login.mode, login.access, login.server, login.proof);
        let is_alike = self.environment == later.environment && self.whose == later.whose && what(self) == what(later);
        let is_next = self.version.zip(later.version).is_some_and(|(one, other)| other == one || other == one + 1);
        let has = |text: &SecretString| {
            later.verifiers.iter().any(|verifier| verifier.text.expose_secret() == text.expose_secret())
        };
        // A login without passwords that is told by no version is known by what it may.
        let is_bare = self.version.is_none() && self.verifiers.is_empty();
        is_alike && (is_next || is_bare || self.verifiers.iter().any(|verifier| has(&verifier.text)))
    }
}

/// What a password is compared with.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// In PostgreSQL's own form.
    pub text: SecretString,
    /// From when on it is refused; absent for the newest.
    pub until: Option<Timestamp>,
}

/// A cell: where its URL is found in this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The partition.
    pub environment: EnvironmentName,
    /// Its name.
    pub name: CellName,
    /// Where the URL of its server is.
    pub database: SecretRef,
    /// Where the URLs of its standbys are.
    #[serde(default)]
    pub standbys: Vec<SecretRef>,
}

/// One difference. `None` means that it is gone.
#[derive(Debug, Clone)]
pub enum Change {
    /// Of a tenant.
    Tenant(TenantId, Option<Route>),
    /// Of a login.
    Login(LoginName, Option<Login>),
    /// Of a cell.
    Cell(EnvironmentName, CellName, Option<Cell>),
}

/// Everything at one moment.
#[derive(Debug, Clone, Default)]
pub struct Full {
    /// All tenants that are not deleted.
    pub routes: Vec<Route>,
    /// All logins.
    pub logins: Vec<Login>,
    /// All cells.
    pub cells: Vec<Cell>,
}

/// One tenant's place in the table.
#[derive(Debug)]
pub struct Slot {
    tenant: TenantId,
    route: ArcSwapOption<Route>,
}

impl Slot {
    /// Whose it is.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The route as it is known now; absent once the tenant is gone.
    #[must_use]
    pub fn route(&self) -> Option<Arc<Route>> {
        self.route.load_full()
    }
}

/// Tells the workers what changed.
#[derive(Debug, Clone)]
pub enum News {
    /// This tenant's route is another one.
    Tenant(TenantId),
    /// This login is another one, or gone.
    Login(LoginName),
    /// Look at everything again.
    All,
}

/// How many news may wait for a worker; one that is slower looks at everything again.
const NEWS: usize = 1024;

/// The table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Table {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    maps: RwLock<Maps>,
    news: broadcast::Sender<News>,
}

#[derive(Debug, Default)]
struct Maps {
    slots: HashMap<TenantId, Arc<Slot>>,
    names: HashMap<(EnvironmentName, String), TenantId>,
    logins: HashMap<LoginName, Arc<Login>>,
    cells: HashMap<(EnvironmentName, CellName), Arc<Cell>>,
}

impl Default for Table {
    fn default() -> Self {
        let inner = Inner { maps: RwLock::default(), news: broadcast::Sender::new(NEWS) };
        Self { inner: Arc::new(inner) }
    }
}

impl Table {
    /// Hears what changes from now on.
    #[must_use]
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.inner.news.subscribe()
    }

    /// Takes a whole new state. Whoever reads a slot meanwhile finds the route before or the new one, and none only if the
    /// tenant is gone; a slot whose route is the same keeps the very object, by which sessions know that nothing moved.
    pub fn replace(&self, full: Full) {
        let logins = full.logins.into_iter().map(|login| (login.name.clone(), Arc::new(login))).collect();
        let cells = full.cells.into_iter();
        let cells = cells.map(|cell| ((cell.environment.clone(), cell.name.clone()), Arc::new(cell))).collect();
        let by_name = full.routes.iter().flat_map(|route| names(route).map(|name| (name, route.tenant))).collect();
        let mut slots: HashMap<TenantId, Arc<Slot>> = HashMap::with_capacity(full.routes.len());
        let mut maps = self.write();
        for route in full.routes {
            let slot = slots.entry(route.tenant).or_insert_with(|| {
                let known = maps.slots.remove(&route.tenant);
                known.unwrap_or_else(|| Arc::new(Slot { tenant: route.tenant, route: ArcSwapOption::empty() }))
            });
            if slot.route.load().as_deref() != Some(&route) {
                slot.route.store(Some(Arc::new(route)));
            }
        }
        let gone = std::mem::replace(&mut *maps, Maps { slots, names: by_name, logins, cells });
        drop(maps);
        // Sessions of a tenant that is gone see that in their slot.
        for slot in gone.slots.values() {
            slot.route.store(None);
        }
        // Nobody may be listening yet.
        let _ = self.inner.news.send(News::All);
    }

    /// Takes some differences.
    pub fn apply(&self, changes: Vec<Change>) {
        let mut maps = self.write();
        let mut news = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                Change::Tenant(tenant, route) => {
                    maps.put_route(tenant, route);
                    news.push(News::Tenant(tenant));
                }
                Change::Login(name, login) => {
                    match login {
                        Some(login) => maps.logins.insert(name.clone(), Arc::new(login)),
                        None => maps.logins.remove(&name),
                    };
                    news.push(News::Login(name));
                }
                Change::Cell(environment, name, cell) => {
                    match cell {
                        Some(cell) => maps.cells.insert((environment, name), Arc::new(cell)),
                        None => maps.cells.remove(&(environment, name)),
                    };
                    news.push(News::All);
                }
            }
        }
        drop(maps);
        for one in news {
            let _ = self.inner.news.send(one);
        }
    }

    /// A login by its name.
    #[must_use]
    pub fn login(&self, name: &str) -> Option<Arc<Login>> {
        let name = LoginName::parse(name).ok()?;
        self.read().logins.get(&name).cloned()
    }

    /// A tenant by its id.
    #[must_use]
    pub fn tenant(&self, tenant: TenantId) -> Option<Arc<Slot>> {
        self.read().slots.get(&tenant).cloned()
    }

    /// A tenant by its id, slug or alias.
    #[must_use]
    pub fn named(&self, environment: &EnvironmentName, name: &str) -> Option<Arc<Slot>> {
        let maps = self.read();
        let tenant = match name.parse::<TenantId>() {
            Ok(tenant) => tenant,
            Err(_) => *maps.names.get(&(environment.clone(), name.to_owned()))?,
        };
        let slot = maps.slots.get(&tenant)?;
        slot.route.load().as_ref().filter(|route| route.environment == *environment)?;
        Some(Arc::clone(slot))
    }

    /// The tenants that an administrator may mean by a text: an id, a name in any environment, or `environment/name`.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<TenantId> {
        let maps = self.read();
        if let Ok(tenant) = text.parse::<TenantId>() {
            return maps.slots.contains_key(&tenant).then_some(tenant).into_iter().collect();
        }
        let (environment, name) = match text.split_once('/') {
            Some((environment, name)) => (Some(environment), name),
            None => (None, text),
        };
        let known = maps.names.iter().filter(|((env, known), _)| {
            known == name && environment.is_none_or(|environment| env.as_str() == environment)
        });
        known.map(|(_, tenant)| *tenant).collect()
    }

    /// A cell by its name.
    #[must_use]
    pub fn cell(&self, environment: &EnvironmentName, name: &CellName) -> Option<Arc<Cell>> {
        self.read().cells.get(&(environment.clone(), name.clone())).cloned()
    }

    /// Everything, to be written to a file.
    #[must_use]
    pub fn full(&self) -> Full {
        let maps = self.read();
        Full {
            routes: maps.slots.values().filter_map(|slot| slot.route().map(|route| (*route).clone())).collect(),
            logins: maps.logins.values().map(|login| (**login).clone()).collect(),
            cells: maps.cells.values().map(|cell| (**cell).clone()).collect(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Maps> {
        // Nothing in between panics.
        self.inner.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        self.inner.maps.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maps {
    fn put_route(&mut self, tenant: TenantId, route: Option<Route>) {
        if let Some(old) = self.slots.get(&tenant).and_then(|slot| slot.route()) {
            for name in names(&old) {
                // Somebody else may have the name by now.
                if self.names.get(&name) == Some(&tenant) {
                    self.names.remove(&name);
                }
            }
        }
        match route {
            Some(route) => {
                for name in names(&route) {
                    self.names.insert(name, tenant);
                }
                let slot = self.slots.entry(tenant);
                let slot = slot.or_insert_with(|| Arc::new(Slot { tenant, route: ArcSwapOption::empty() }));
                slot.route.store(Some(Arc::new(route)));
            }
            None => {
                if let Some(slot) = self.slots.remove(&tenant) {
                    slot.route.store(None);
                }
            }
        }
    }
}

fn names(route: &Route) -> impl Iterator<Item = (EnvironmentName, String)> {
    let slugs = std::iter::once(&route.slug).chain(&route.aliases);
    slugs.map(|slug| (route.environment.clone(), slug.as_str().to_owned()))
}

/// A gate as its word.
mod gate {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use tenantry_dataplane::Gate;

    pub(super) fn serialize<S: Serializer>(gate: &Gate, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(gate.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Gate, D::Error> {
        let word = String::deserialize(deserializer)?;
        let found = Gate::ALL.into_iter().find(|gate| gate.as_str() == word);
        found.ok_or_else(|| D::Error::custom("unknown gate"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::sync::atomic::{AtomicBool, Ordering};

    use uuid::Uuid;

    use super::*;

    fn route(number: u128, slug: &str, epoch: i64) -> Route {
        Route {
            tenant: TenantId::from_uuid(Uuid::from_u128(number)),
            environment: EnvironmentName::parse("prod").unwrap(),
            slug: Slug::parse(slug).unwrap(),
            aliases: Vec::new(),
            app: AppName::parse("chat").unwrap(),
            gate: Gate::Open,
            place: Some(Place { cell: CellName::parse("eu-1").unwrap(), isolation: Isolation::Shared, epoch }),
            connections: None,
            rate: None,
            statement: None,
        }
    }

    /// The control database is back: all routes are read again while transactions begin.
    #[test]
    fn a_tenant_that_stays_is_there_all_the_time() {
        let full = |epoch| Full {
            routes: (1..=20_000).map(|number| route(number, &format!("acme-{number}x"), epoch)).collect(),
            ..Full::default()
        };
        let table = Table::default();
        table.replace(full(1));
        let slots: Vec<_> = table.full().routes.iter().map(|route| table.tenant(route.tenant).unwrap()).collect();
        let is_over = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut missing = 0;
                        while !is_over.load(Ordering::Relaxed) {
                            missing += slots.iter().filter(|slot| slot.route().is_none()).count();
                        }
                        missing
                    })
                })
                .collect();
            for epoch in 1..=5 {
                table.replace(full(epoch));
            }
            is_over.store(true, Ordering::Relaxed);
            readers.into_iter().map(|reader| reader.join().unwrap()).sum::<usize>()
        });
        assert_eq!(seen, 0, "a tenant that stays was gone for a moment");
        assert!(slots.iter().all(|slot| slot.route().unwrap().place.as_ref().unwrap().epoch == 5));
    }

    #[test]
    fn what_is_the_same_stays_the_same_object_and_what_is_gone_goes() {
        let table = Table::default();
        table.replace(Full { routes: vec![route(1, "acme", 1), route(2, "globex", 1)], ..Full::default() });
        let (acme, globex) = (table.find("acme")[0], table.find("globex")[0]);
        let (kept, lost) = (table.tenant(acme).unwrap(), table.tenant(globex).unwrap());
        let before = kept.route().unwrap();
        // The name of the one that is gone is somebody else's now.
        table.replace(Full { routes: vec![route(3, "globex", 1), route(1, "acme", 1)], ..Full::default() });
        assert!(Arc::ptr_eq(&before, &kept.route().unwrap()));
        assert!(lost.route().is_none() && table.tenant(globex).is_none());
        assert_eq!(table.find("globex"), [TenantId::from_uuid(Uuid::from_u128(3))]);
        assert!(Arc::ptr_eq(&kept, &table.tenant(acme).unwrap()));
    }
}
