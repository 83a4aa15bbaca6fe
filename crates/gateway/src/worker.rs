//! A worker: the sessions and pools of the tenants that are its own, on one thread.
//!
//! INVARIANT: whatever belongs to a tenant is on the worker that [`owner`] names, and nowhere else. Long because it holds
//! what others ask of a worker and the answers to it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tenantry_dataplane::Gate;
use tenantry_domain::Timestamp;
use tenantry_domain::gateway::Server;
use tenantry_domain::id::TenantId;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, LocalSet};

use crate::counts::{Counted, Counters};
use crate::doors::Doors;
use crate::guests::{Digest, Guests};
use crate::hold::Holds;
use crate::pool::{Counts, Lease, Pools};
use crate::rates::Rates;
use crate::server::{self, Key};
use crate::session::{AllUnfinished, Arrival, Doing, End, Kick, Refused, Session, Shared, Way};
use crate::settings::Settings;
use crate::standby::{AGAIN, StandbyView, Standbys};
use crate::table::{Login, Slot, Table};

/// How often a worker looks over its sessions and pools.
const SWEEP: Duration = Duration::from_millis(250);
/// How long a statement may go on after it was cancelled for the first time.
const STUCK: Duration = Duration::from_secs(10);
/// How long a cancel request may take.
const CANCEL: Duration = Duration::from_secs(5);

/// Which worker a tenant lives on.
#[must_use]
pub fn owner(tenant: TenantId, workers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    tenant.hash(&mut hasher);
    usize::try_from(hasher.finish() % u64::try_from(workers.max(1)).unwrap_or(1)).unwrap_or(0)
}

/// What a worker is told.
pub enum Order {
    /// A client that has logged in.
    Arrive(Box<Arrival>),
    /// End what the session with this key runs.
    Cancel {
        /// The number in the key.
        pid: i32,
        /// The secret.
        secret: Vec<u8>,
    },
    /// Begin no transaction of a tenant, for at most so long; answered when none is in hand any more.
    Hold(TenantId, Duration, oneshot::Sender<()>),
    /// Go on with a tenant.
    Release(TenantId),
    /// Say what there is.
    Look(oneshot::Sender<View>),
    /// End a session by its number; answered whether there was one.
    Kill(u64, oneshot::Sender<bool>),
    /// Leave, whoever may still give orders.
    End,
    /// End all sessions, those in a transaction after so long.
    Stop(Duration, oneshot::Sender<()>),
}

/// One session, as others see it.
#[derive(Debug, Clone)]
pub struct SessionView {
    /// Its number.
    pub id: u64,
    /// Whose it is.
    pub tenant: TenantId,
    /// By which login.
    pub login: String,
    /// From where.
    pub peer: String,
    /// Whether it is encrypted.
    pub is_encrypted: bool,
    /// What it does.
    pub doing: Doing,
    /// For how long.
    pub for_how_long: Duration,
    /// How old it is.
    pub age: Duration,
    /// Transactions so far.
    pub transactions: u64,
}

/// One pool, as others see it.
#[derive(Debug, Clone)]
pub struct PoolView {
    /// Which worker's.
    pub worker: usize,
    /// The server.
    pub address: String,
    /// The database.
    pub database: String,
    /// The login.
    pub user: String,
    /// Its numbers.
    pub counts: Counts,
}

/// What a worker has.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Its sessions.
    pub sessions: Vec<SessionView>,
    /// Its pools.
    pub pools: Vec<PoolView>,
    /// Tenants that are held.
    pub held: Vec<TenantId>,
    /// Its standbys.
    pub standbys: Vec<StandbyView>,
    /// What was counted.
    pub counted: Counted,
}

/// Bounds that were in force until a moment: what began before it keeps them where they gave it more.
#[derive(Debug, Clone, Copy)]
struct Before {
    until: Instant,
    statement: Duration,
    idle_in_transaction: Duration,
}

/// See the module.
pub struct Worker {
    index: usize,
    /// Bounds and choices for one worker, as they are for all.
    live: Arc<ArcSwap<Settings>>,
    /// Those that were taken over last, and a copy that no other thread counts.
    taken: RefCell<(Arc<Settings>, Rc<Settings>)>,
    /// What began before others were taken over.
    before: Cell<Option<Before>>,
    /// Pools by login.
    pub pools: Pools,
    /// Tenants that wait.
    pub holds: Holds,
    /// Standbys that are read from.
    pub standbys: Standbys,
    /// How often tenants may begin a transaction.
    pub rates: Rates,
    /// Messages of idle clients of which not everything has come.
    pub unfinished: AllUnfinished,
    /// Counters.
    pub counters: Counters,
    doors: Doors,
    table: Table,
    ask: Arc<dyn Fn() + Send + Sync>,
    sessions: RefCell<HashMap<i32, Rc<Shared>>>,
    guests: Guests,
    is_stopping: Cell<bool>,
}

/// What a worker is made of.
pub struct Parts {
    /// Its number.
    pub index: usize,
    /// Bounds and choices, with the pools' sizes for one worker, now and later.
    pub settings: Arc<ArcSwap<Settings>>,
    /// How tenants are reached.
    pub doors: Doors,
    /// What is known of tenants.
    pub table: Table,
    /// Asks the feed to look at once.
    pub ask: Arc<dyn Fn() + Send + Sync>,
}

impl Worker {
    /// Runs until all orders are gone.
    pub async fn run(parts: Parts, mut orders: mpsc::Receiver<Order>) {
        let mut news = parts.table.news();
        let Parts { index, settings: live, doors, table, ask } = parts;
        let settings = live.load_full();
        let counters = Counters::new(settings.tenants_counted);
        let worker = Rc::new(Self {
            index,
            live,
            before: Cell::new(None),
            taken: RefCell::new((Arc::clone(&settings), Rc::new((*settings).clone()))),
            pools: Pools::default(),
            holds: Holds::default(),
            standbys: Standbys::default(),
            rates: Rates::default(),
            unfinished: AllUnfinished::default(),
            counters,
            doors,
            table,
            ask,
            sessions: RefCell::default(),
            guests: Guests::default(),
            is_stopping: Cell::new(false),
        });
        let local = LocalSet::new();
        local
            .run_until(async move {
                let mut tasks = JoinSet::new();
                let mut sweep = tokio::time::interval(SWEEP);
                sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        order = orders.recv() => match order {
                            Some(Order::End) => break,
                            Some(order) => worker.obey(order, &mut tasks),
                            None => break,
                        },
                        first = news.recv() => if let Some(digest) = Digest::of(first, &mut news) {
                            worker.hear(&digest);
                        },
                        Some(_) = tasks.join_next() => {}
                        _ = sweep.tick() => worker.sweep(),
                    }
                }
                for shared in worker.sessions.borrow().values() {
                    shared.kick(Kick::Stopping);
                }
                worker.standbys.end();
                while tasks.join_next().await.is_some() {}
            })
            .await;
    }

    /// Bounds and choices as they are now.
    #[must_use]
    pub fn settings(&self) -> Rc<Settings> {
        Rc::clone(&self.taken.borrow().1)
    }

    fn obey(self: &Rc<Self>, order: Order, tasks: &mut JoinSet<()>) {
        match order {
            Order::Arrive(arrival) => {
                let (worker, shared) = (Rc::clone(self), self.admit(&arrival));
                if self.is_stopping.get() {
                    shared.kick(Kick::Stopping);
                }
                // Boxed, so that a session that waits takes no more than it needs.
                tasks.spawn_local(async move {
                    let ended = Box::pin(Session::serve(Rc::clone(&worker), *arrival, Rc::clone(&shared))).await;
                    worker.leave(&shared, &ended);
                });
            }
            Order::Cancel { pid, secret } => self.cancel_by_key(pid, &secret),
            Order::Hold(tenant, limit, done) => {
                self.holds.hold(tenant, limit);
                let worker = Rc::clone(self);
                tasks.spawn_local(async move {
                    while worker.is_busy(tenant) && !done.is_closed() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    let _ = done.send(());
                });
            }
            Order::Release(tenant) => self.holds.release(tenant),
            Order::End => {}
            Order::Look(answer) => {
                let _ = answer.send(self.view());
            }
            Order::Kill(id, answer) => {
                let sessions = self.sessions.borrow();
                let found = sessions.values().find(|shared| shared.id == id);
                found.inspect(|shared| shared.kick(Kick::Killed));
                let _ = answer.send(found.is_some());
            }
            Order::Stop(grace, done) => {
                self.is_stopping.set(true);
                let worker = Rc::clone(self);
                tasks.spawn_local(async move {
                    let until = Instant::now() + grace;
                    loop {
                        let is_late = Instant::now() >= until;
                        for shared in worker.sessions.borrow().values() {
                            if is_late || shared.doing().0 == Doing::Idle {
                                shared.kick(Kick::Stopping);
                            }
                        }
                        if worker.sessions.borrow().is_empty() || is_late {
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    let _ = done.send(());
                });
            }
        }
    }

    /// Gives a session a number, and a key by which its statements are cancelled.
    fn admit(&self, arrival: &Arrival) -> Rc<Shared> {
        self.counters.arrivals.set(self.counters.arrivals.get() + 1);
        let mut sessions = self.sessions.borrow_mut();
        // The worker is in the number, so that a cancel request finds it.
        let pid = loop {
            let random = i32::from_be_bytes(server::random()) & 0x00ff_ffff;
            let pid = random | (i32::try_from(self.index & 0x7f).unwrap_or(0) << 24);
            if pid != 0 && !sessions.contains_key(&pid) {
                break pid;
            }
        };
        let secret: [u8; 32] = server::random();
        let secret = bytes::Bytes::copy_from_slice(&secret[..arrival.secret.min(32)]);
        let id = crate::next_id();
        let from = (arrival.peer, arrival.stream.is_encrypted());
        let login = arrival.login.name.clone();
        let tenant = arrival.slot.tenant();
        let tally = self.counters.tally(tenant, Instant::now());
        let shared = Shared::new(id, tenant, login, from, Key { pid, secret }, arrival.expires, tally);
        sessions.insert(pid, Rc::clone(&shared));
        // It may have changed since the client gave it; whoever was here by then heard of it.
        let known = self.table.login(shared.login.as_str()).filter(|known| arrival.login.is_still(known));
        self.guests.enter(&shared, known.as_ref().unwrap_or(&arrival.login));
        shared
    }

    fn leave(&self, shared: &Rc<Shared>, ended: &End) {
        self.sessions.borrow_mut().remove(&shared.key.pid);
        self.guests.leave(shared);
        self.counters.ended(shared.tenant, ended.reason(), Instant::now());
        let (tenant, login, session) = (shared.tenant, shared.login.as_str(), shared.id);
        match ended {
            End::Bye => tracing::debug!(%tenant, login, session, "client gone"),
            ended => {
                tracing::info!(%tenant, login, session, reason = ended.reason(), error = %ended, "session ended");
            }
        }
    }

    /// The tenant's door and pool, as its route is now.
    ///
    /// # Errors
    /// It is not open, or cannot be reached from here.
    pub async fn way(&self, slot: &Slot) -> Result<Way, Refused> {
        let route = slot.route().ok_or_else(Refused::gone)?;
        if route.gate != Gate::Open {
            return Err(Refused::of_gate(route.gate));
        }
        let door = Rc::new(self.doors.door(&self.table, &route).await?);
        let pool = self.pools.get(&door, &self.settings().pool);
        Ok(Way { route, door, pool, standby: None, until: None })
    }

    /// The way to the server that a login wants: to a standby of the tenant's cell if it may be one. Clients begin with different
    /// ones. Until `avoids` none is looked for.
    ///
    /// # Errors
    /// As [`Self::way`], or there is no standby that is near enough and the login wants nothing else.
    pub async fn way_for(
        &self,
        slot: &Slot,
        server: Server,
        client: u64,
        avoids: Option<Instant>,
    ) -> Result<Way, Refused> {
        let way = self.way(slot).await?;
        if !server.may_be_standby() {
            return Ok(way);
        }
        let is_avoiding = avoids.is_some_and(|until| Instant::now() < until);
        let mut doors = match is_avoiding && server == Server::PreferStandby {
            true => Vec::new(),
            false => self.doors.standbys(&self.table, &way.route, &way.door),
        };
        let first = usize::try_from(client).unwrap_or(0) % doors.len().max(1);
        doors.rotate_left(first);
        let settings = self.settings();
        let (limits, bound) = (&settings.pool, settings.staleness);
        let had_any = !doors.is_empty();
        for door in doors {
            let watch = self.standbys.watch(&way.door, &door, limits.connect);
            watch.first(limits.connect).await;
            if watch.is_fit(Instant::now(), bound) {
                let pool = self.pools.get(&door, limits);
                return Ok(Way { door: Rc::new(door), pool, standby: Some(watch), ..way });
            }
        }
        match server {
            Server::Standby if had_any => {
                Err(Refused::new("57P03", "no standby of the tenant's cell is near enough to its primary").hint(
                    "Try again in a moment; `SHOW STANDBYS` in the gateway's console says how far each is behind.",
                ))
            }
            Server::Standby => Err(Refused::new("57P03", "the tenant's cell has no standby")
                .hint("Declare `standbys` in the cell's manifest, or make a login with `--server prefer-standby`.")),
            Server::PreferStandby | Server::Primary => Ok(Way { until: Some(Instant::now() + AGAIN), ..way }),
        }
    }

    /// Whether a login is still what it was when a client gave it.
    #[must_use]
    pub fn knows(&self, login: &Login) -> bool {
        self.table.login(login.name.as_str()).is_some_and(|known| login.is_still(&known))
    }

    /// Asks for a look at what has changed.
    pub fn ask_for_news(&self) {
        (self.ask)();
    }

    /// Ends what a server session runs whose client is gone, without waiting. The session's place stays taken until the
    /// server is done with it, so that nobody has more statements under way than places.
    pub fn see_off(&self, lease: Lease) {
        tokio::task::spawn_local(lease.see_off(CANCEL));
    }

    fn cancel_by_key(&self, pid: i32, secret: &[u8]) {
        let shared = self.sessions.borrow().get(&pid).filter(|shared| shared.is_key(secret)).cloned();
        let Some(shared) = shared else { return };
        Self::cancel(&shared);
    }

    /// Cancels what a session runs, without waiting. While it waits for a server session there is nothing to cancel but the
    /// waiting.
    fn cancel(shared: &Rc<Shared>) {
        let mut server = shared.cancel();
        let shared = Rc::clone(shared);
        if server.is_some() {
            tokio::task::spawn_local(async move {
                while let Some((target, key)) = server {
                    let outcome = server::cancel(&target, &key, CANCEL).await;
                    server = shared.cancelled(&outcome);
                }
            });
        }
    }

    fn is_busy(&self, tenant: TenantId) -> bool {
        let sessions = self.sessions.borrow();
        sessions
            .values()
            .any(|shared| shared.tenant == tenant && matches!(shared.doing().0, Doing::Running | Doing::InTransaction))
    }

    /// Ends sessions whose tenant is shut or whose login is another one.
    fn hear(&self, digest: &Digest) {
        let mut shut = HashSet::new();
        if digest.is_everything || !digest.tenants.is_empty() {
            for shared in self.sessions.borrow().values() {
                if !digest.is_everything && !digest.tenants.contains(&shared.tenant) {
                    continue;
                }
                let slot = self.table.tenant(shared.tenant);
                if slot.and_then(|slot| slot.route()).is_none_or(|route| route.gate != Gate::Open) {
                    shared.kick(Kick::Closed);
                    shut.insert(shared.tenant);
                }
            }
        }
        for tenant in &shut {
            self.pools.forget(*tenant);
            self.standbys.forget(*tenant);
        }
        if digest.is_everything {
            self.guests.look_at_all(&self.table);
        } else {
            for login in &digest.logins {
                self.guests.look_at(login, &self.table);
            }
        }
    }

    /// Takes over other bounds, if there are. What is in hand goes on under those that it began with.
    fn take_over(&self, now: Instant) {
        let live = self.live.load_full();
        let old = self.settings();
        if Arc::ptr_eq(&live, &self.taken.borrow().0) {
            return;
        }
        let known = self
            .before
            .get()
            .filter(|known| now.duration_since(known.until) < known.statement.max(known.idle_in_transaction));
        let longest = |old: Duration, known: Option<Duration>| known.map_or(old, |known| known.max(old));
        self.before.set(Some(Before {
            until: now,
            statement: longest(old.statement, known.map(|known| known.statement)),
            idle_in_transaction: longest(old.idle_in_transaction, known.map(|known| known.idle_in_transaction)),
        }));
        self.taken.replace((Arc::clone(&live), Rc::new((*live).clone())));
    }

    /// Bounds what takes too long, and closes what nobody uses.
    fn sweep(&self) {
        let (now, clock) = (Instant::now(), Timestamp::now());
        self.take_over(now);
        let (settings, before) = (self.settings(), self.before.get());
        for shared in self.sessions.borrow().values() {
            if shared.expires.is_some_and(|expires| expires <= clock) {
                shared.kick(Kick::Expired);
            }
            let (doing, since) = shared.doing();
            let age = now.duration_since(since);
            let before = before.filter(|before| since < before.until);
            let most = before.map_or(settings.statement, |before| before.statement.max(settings.statement));
            let statement = shared.statement().map_or(most, |own| own.min(most));
            let idle = settings.idle_in_transaction;
            let idle = before.map_or(idle, |before| before.idle_in_transaction.max(idle));
            match doing {
                Doing::InTransaction if age >= idle => shared.kick(Kick::IdleInTransaction),
                Doing::Running if age >= statement + STUCK => shared.kick(Kick::Stuck),
                Doing::Running if age >= statement && !shared.is_cancelling() => Self::cancel(shared),
                _ => {}
            }
        }
        self.guests.sweep(clock);
        self.rates.sweep(now);
        self.pools.sweep(&settings.pool, now);
    }

    fn view(&self) -> View {
        let now = Instant::now();
        let sessions = self.sessions.borrow();
        let sessions = sessions.values().map(|shared| {
            let (doing, since) = shared.doing();
            SessionView {
                id: shared.id,
                tenant: shared.tenant,
                login: shared.login.to_string(),
                peer: shared.peer.to_string(),
                is_encrypted: shared.is_encrypted,
                doing,
                for_how_long: now.duration_since(since),
                age: now.duration_since(shared.since),
                transactions: shared.transactions(),
            }
        });
        let sessions = sessions.collect();
        let pools = self.pools.counts().into_iter().map(|(key, counts)| PoolView {
            worker: self.index,
            address: key.address(),
            database: key.database().to_owned(),
            user: key.user().to_owned(),
            counts,
        });
        let standbys = self.standbys.view(self.index, now);
        View { sessions, pools: pools.collect(), held: self.holds.held(), standbys, counted: self.counters.get() }
    }
}
