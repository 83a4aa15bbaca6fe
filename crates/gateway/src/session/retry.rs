//! Finds a server session for a tenant, and another one when the tenant was not where it was looked for.
//!
//! INVARIANT: only what came with an `enter` that the server refused is said again, and of that the server has run nothing.
//! Long because finding a place, waiting for it and giving it up are one conversation with the pool.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantry_dataplane::Gate;
use tenantry_domain::gateway::Server;
use tenantry_wire::server::Status;

use super::refuse::Refused;
use super::shared::Doing;
use super::turn::{Entry, Refusal, Turn};
use super::{End, Session, Way};
use crate::pool::{AcquireError, Lease};
use crate::standby::AGAIN;
use crate::table::Slot;
use crate::worker::Worker;

/// How often the route is looked at while a tenant is on its way.
const LOOK: Duration = Duration::from_millis(5);
/// How often one statement is said again. A gate that is shut is asked twenty times a second.
const TRIES: u32 = 250;

/// Where a transaction is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the server session that it had.
    Here,
    /// In another one, perhaps of another server.
    Elsewhere,
}

impl Session {
    /// Tells a client that has logged in that it may begin.
    pub(super) async fn welcome(&mut self) -> Result<(), End> {
        let params = match self.way().await {
            Ok(()) => self.params().await,
            Err(refused) => Err(refused),
        };
        let params = params.map_err(End::Refused)?;
        let out = self.answers.fill();
        for (name, value) in &params {
            let own = self.client.profile.get(name).unwrap_or(value);
            tenantry_wire::server::put_parameter(out, name.as_bytes(), own.as_bytes());
        }
        tenantry_wire::server::put_key(out, self.shared.key.pid, &self.shared.key.secret);
        tenantry_wire::server::put_ready(out, Status::Idle);
        Ok(())
    }

    /// What the server says of itself; asked once per pool.
    async fn params(&mut self) -> Result<Vec<(String, String)>, Refused> {
        let Some(way) = &self.way else { return Err(Refused::gone()) };
        let known = way.pool.borrow().params().to_vec();
        if !known.is_empty() {
            return Ok(known);
        }
        let settings = self.worker.settings();
        let limits = &settings.pool;
        let profile = &self.client.profile;
        let lease = Lease::acquire(&way.pool, &way.door, profile, self.shared.id, limits).await;
        lease.map_err(Refused::of_acquire)?.release();
        let params = way.pool.borrow().params().to_vec();
        Ok(params)
    }

    /// Takes a server session for the client's next statement; none if it was answered with a refusal.
    pub(super) async fn begin(&mut self) -> Result<Option<Turn>, End> {
        let delay = match self.due() {
            Ok(delay) => delay,
            Err(refused) => {
                self.refuse(&refused, Status::Idle)?;
                return Ok(None);
            }
        };
        // By far the most turns begin here: the session that served this client last is free.
        if delay.is_zero()
            && let Some(lease) = self.lease_at_once()
        {
            return Ok(Some(self.turn(lease)));
        }
        let since = Instant::now();
        self.shared.does(Doing::Waiting, since);
        let found = Box::pin(self.lease(delay)).await?;
        self.waited(since.elapsed());
        match found {
            Ok(lease) => Ok(Some(self.turn(lease))),
            Err(refused) => {
                self.shared.does(Doing::Idle, Instant::now());
                self.refuse(&refused, Status::Idle)?;
                Ok(None)
            }
        }
    }

    /// How long the tenant's rate makes the client wait, or that it is used up.
    fn due(&self) -> Result<Duration, Refused> {
        let Some(rate) = self.way.as_ref().and_then(|way| way.route.rate) else { return Ok(Duration::ZERO) };
        let most = self.worker.settings().pool.wait;
        let delay = self.worker.rates.take(self.shared.tenant, rate, Instant::now(), most);
        if delay != Ok(Duration::ZERO) {
            self.shared.tally.add(|counts| counts.throttled += 1);
        }
        delay.map_err(|_| {
            Refused::new("53400", "the tenant has used up its rate of transactions")
                .hint("Try again later, or raise `rateLimits.transactions` of its plan.")
        })
    }

    /// A pipeline may hold several transactions, of which one was paid for when the turn began.
    pub(super) fn charge(&self, turn: &Turn) {
        let unpaid = turn.entered.saturating_sub(1 + turn.paid);
        if unpaid > 0
            && let Some(rate) = self.way.as_ref().and_then(|way| way.route.rate)
        {
            self.worker.rates.charge(self.shared.tenant, rate, unpaid, Instant::now());
        }
    }

    /// Whether the next transaction of a turn may begin now: nobody holds the tenant, and its rate allows it, which does not
    /// count in session mode. Refused is whoever would wait for longer than for its first: it has a server session, which
    /// others wait for.
    pub(super) fn may_go_on(&self, turn: &mut Turn) -> Result<bool, Refused> {
        if self.worker.holds.is_held(self.shared.tenant) {
            return Ok(false);
        }
        let has_rate = self.way.as_ref().is_some_and(|way| way.route.rate.is_some());
        if !has_rate || turn.is_session {
            return Ok(true);
        }
        let due = match turn.due {
            Some(due) => due,
            None => match self.due() {
                Ok(delay) => {
                    turn.paid = turn.paid.saturating_add(1);
                    *turn.due.insert(Instant::now() + delay)
                }
                // The client hears first what became of those before.
                Err(_) if !turn.owed.is_empty() => return Ok(false),
                Err(refused) => return Err(refused),
            },
        };
        Ok(Instant::now() >= due)
    }

    /// Waits for the moment when [`Self::may_go_on`] had better be asked again.
    pub(super) fn may_soon(&self, turn: &Turn) -> impl Future<Output = ()> + use<> {
        let (worker, tenant, due) = (Rc::clone(&self.worker), self.shared.tenant, turn.due);
        // Then its rate is used up, and it waits for nothing but these answers.
        let is_answered_first = due.is_none() && !turn.owed.is_empty() && !worker.holds.is_held(tenant);
        async move {
            // Whoever waits longest ends a hold whose time is over.
            let _ = worker.holds.pass(tenant).await;
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None if is_answered_first => std::future::pending().await,
                None => {}
            }
        }
    }

    fn waited(&self, took: Duration) {
        self.worker.counters.waited(took);
        self.shared.tally.add(|counts| {
            counts.waits += 1;
            counts.waited += u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        });
    }

    fn turn(&self, mut lease: Lease) -> Turn {
        self.serves(&mut lease);
        let mut turn = Turn::new(lease);
        turn.is_session = self.keeps_session();
        turn
    }

    /// From now on a cancel request of the client is for this session.
    fn serves(&self, lease: &mut Lease) {
        if let Some(backend) = lease.backend() {
            self.shared.served_by(Some((backend.target.clone(), backend.key.clone())));
        }
    }

    fn lease_at_once(&self) -> Option<Lease> {
        let way = self.way.as_ref()?;
        let route = self.slot.route()?;
        let is_good = Arc::ptr_eq(&route, &way.route) && way.holds(self.worker.settings().staleness);
        if !is_good || self.worker.holds.is_held(self.slot.tenant()) {
            return None;
        }
        Lease::at_once(&way.pool, &way.door, &self.client.profile, self.shared.id)
    }

    /// Waits for a server session, while the client is still there.
    async fn lease(&mut self, delay: Duration) -> Result<Result<Lease, Refused>, End> {
        let found = {
            let wanted = self.wanted();
            let wanted = async move {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                wanted.await
            };
            tokio::pin!(wanted);
            let shared = Rc::clone(&self.shared);
            poll_fn(|cx| {
                if let Some(kick) = shared.kicked(cx) {
                    return std::task::Poll::Ready(Err(End::Kicked(kick)));
                }
                wanted.as_mut().poll(cx).map(Ok)
            })
            .await?
        };
        match found {
            Ok((way, lease)) => {
                self.shared.bound_statement(way.route.statement);
                self.way = Some(way);
                Ok(Ok(lease))
            }
            Err(refused) => Ok(Err(refused)),
        }
    }

    fn wanted(&self) -> impl Future<Output = Result<(Way, Lease), Refused>> + use<> {
        let (worker, slot) = (Rc::clone(&self.worker), Arc::clone(&self.slot));
        let (profile, client) = (Rc::clone(&self.client.profile), self.shared.id);
        let mut known = self.way.clone();
        let (server, mut avoids) = (self.login.server, self.avoids);
        async move {
            loop {
                worker.holds.pass(slot.tenant()).await.map_err(|()| {
                    Refused::new("57P03", "the tenant is held for longer than a client waits")
                        .hint("Try again in a moment.")
                })?;
                let way = way(&worker, &slot, known.take(), (server, client, avoids)).await?;
                let lease = Lease::acquire(&way.pool, &way.door, &profile, client, &worker.settings().pool).await;
                let mut lease = match lease {
                    Ok(lease) => lease,
                    Err(AcquireError::Server(error)) if way.standby.is_some() && server == Server::PreferStandby => {
                        tracing::warn!(%error, "no session of a standby");
                        avoids = Some(Instant::now() + AGAIN);
                        continue;
                    }
                    Err(error @ AcquireError::Server(_)) => {
                        // The cell may have another address by now, of which its tenants' routes say nothing.
                        let fresh = worker.way_for(&slot, server, client, avoids).await?;
                        if Rc::ptr_eq(&fresh.pool, &way.pool) {
                            return Err(Refused::of_acquire(error));
                        }
                        known = Some(fresh);
                        continue;
                    }
                    Err(error) => return Err(Refused::of_acquire(error)),
                };
                if !worker.holds.is_held(slot.tenant()) {
                    return Ok((way, lease));
                }
                // The hold began while this client waited for its session.
                lease.release();
                known = Some(way);
            }
        }
    }

    async fn way(&mut self) -> Result<(), Refused> {
        let wanted = (self.login.server, self.shared.id, self.avoids);
        let way = way(&self.worker, &self.slot, self.way.take(), wanted).await?;
        self.shared.bound_statement(way.route.statement);
        self.way = Some(way);
        Ok(())
    }

    /// Goes on after `enter` was refused: somewhere else, or not at all.
    pub(super) async fn again(&mut self, mut turn: Turn, refusal: Refusal) -> Result<Option<Turn>, End> {
        self.client.take_back();
        self.worker.counters.retries.set(self.worker.counters.retries.get() + 1);
        let tried = turn.tries + 1;
        let refused =
            if tried > TRIES { Err(Refused::of_refusal(refusal)) } else { self.judge(&mut turn, refusal).await };
        let refused = match refused {
            Ok(place) => match self.take_up(&mut turn, place).await? {
                Ok(mut next) => {
                    next.tries = tried;
                    return Ok(Some(next));
                }
                Err(refused) => refused,
            },
            Err(refused) => refused,
        };
        self.give_up(turn, &refused).await
    }

    /// What a refusal means: where it makes sense to try again, once it does.
    async fn judge(&mut self, turn: &mut Turn, refusal: Refusal) -> Result<Place, Refused> {
        if self.way.as_ref().is_some_and(|way| way.standby.is_some()) {
            return self.left_behind(&refusal).await.map(|()| Place::Elsewhere);
        }
        match refusal.code.as_str() {
            // The session lost its binding, which a DISCARD inside of a function does.
            "28000" | "55000" => {
                if let Some(backend) = turn.lease.backend() {
                    backend.bound = None;
                }
                if turn.tries > 2 { Err(Refused::of_refusal(refusal)) } else { Ok(Place::Here) }
            }
            // The server had no statement of ours any more, which is parsed again.
            "26000" if turn.tries <= 2 => Ok(Place::Here),
            "TN001" | "TN002" | "TN003" => self.moved(refusal).await,
            _ => Err(Refused::of_refusal(refusal)),
        }
    }

    /// A standby does not let the tenant in: it has not replayed that it may, is none any more, or has an older seal. The primary
    /// knows better; whoever wants standbys only waits for this one.
    async fn left_behind(&mut self, refusal: &Refusal) -> Result<(), Refused> {
        tracing::debug!(code = refusal.code, message = refusal.message, "a standby refuses a tenant");
        let route = self.slot.route().ok_or_else(Refused::gone)?;
        if route.gate != Gate::Open {
            return Err(Refused::of_gate(route.gate));
        }
        if self.login.server == Server::PreferStandby {
            self.avoids = Some(Instant::now() + AGAIN);
            return Ok(());
        }
        if !matches!(refusal.code.as_str(), "TN001" | "TN002" | "TN003") {
            return Err(Refused::of_refusal(refusal.clone()));
        }
        self.worker.ask_for_news();
        tokio::time::sleep(LOOK * 10).await;
        Ok(())
    }

    /// Waits until the tenant's route is another one, or says that it is shut.
    async fn moved(&mut self, refusal: Refusal) -> Result<Place, Refused> {
        let asked = self.way.as_ref().map(|way| way.route.clone());
        let began = Instant::now();
        loop {
            let route = self.slot.route().ok_or_else(Refused::gone)?;
            if route.gate != Gate::Open {
                return Err(Refused::of_gate(route.gate));
            }
            if asked.as_ref().and_then(|asked| asked.place.as_ref()) != route.place.as_ref() {
                return Ok(Place::Elsewhere);
            }
            if began.elapsed() >= self.worker.settings().hold {
                return Err(Refused::of_refusal(refusal));
            }
            // The database may know first. Asking it again costs little, and finds a gate that was shut for a moment.
            if refusal.code == "TN002" && began.elapsed() >= Duration::from_millis(50) {
                // Others may have the session meanwhile, unless it is the client's own.
                return Ok(if self.keeps_session() { Place::Here } else { Place::Elsewhere });
            }
            self.worker.ask_for_news();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes the server session once more, or another one, and says there what the client has said of this transaction.
    async fn take_up(&mut self, turn: &mut Turn, place: Place) -> Result<Result<Turn, Refused>, End> {
        let is_sound = self.settle(turn).await;
        let preamble = std::mem::take(&mut turn.preamble);
        let is_here = place == Place::Here && is_sound;
        let found = if is_here && turn.status == Status::Idle {
            self.here(turn).await
        } else if is_here && self.keeps_session() {
            // The transaction failed before it did anything: it begins anew where it was.
            let is_back = match turn.lease.backend() {
                Some(backend) => backend.roll_back().await,
                None => false,
            };
            if !is_back {
                let lost = Refused::new("08006", "the connection to the tenant's database was lost");
                return Err(End::Lost(lost));
            }
            // Never given up: the client was told of a failed transaction in which the server is no more.
            Ok(self.here(turn).await.map_err(End::Lost)?)
        } else if self.keeps_session() && turn.has_run {
            // Cursors, locks, channels and whatever else it has cannot be taken along.
            let gone = Refused::new("57P01", "the tenant has moved, and the session with all that it had is over");
            return Err(End::Lost(gone.hint("Connect again.")));
        } else {
            match (turn.status, is_sound) {
                // Nothing of the client's is in it, and the tenant may have this one place only.
                (Status::Idle, true) => turn.lease.leave(),
                (Status::Idle, false) => turn.lease.close(),
                _ => {}
            }
            self.lease(Duration::ZERO).await?
        };
        let mut lease = match found {
            Ok(lease) => lease,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut status = Status::Idle;
        if let Some(backend) = lease.backend() {
            match tokio::time::timeout(self.worker.settings().pool.connect, backend.say_all(&preamble)).await {
                Ok(Ok(found)) => status = found,
                _ => return Ok(Err(Refused::new("08006", "the connection to the tenant's database was lost"))),
            }
        }
        // The old session is sound. It is left in a transaction that failed before it did anything.
        if is_sound
            && let Some(backend) = turn.lease.backend()
            && backend.roll_back().await
        {
            turn.lease.release();
        }
        let mut next = self.turn(lease);
        next.status = status;
        next.may_begin = status != Status::Idle;
        if next.is_session {
            next.entered = turn.entered;
            next.has_run = turn.has_run;
        }
        next.hidden = turn.hidden;
        next.preamble = preamble;
        Ok(Ok(next))
    }

    /// The same server session, bound again if it lost that.
    async fn here(&self, turn: &mut Turn) -> Result<Lease, Refused> {
        let Some(way) = &self.way else { return Err(Refused::gone()) };
        let (profile, limits) = (&self.client.profile, &self.worker.settings().pool);
        let bound = turn.lease.rebind(&way.door, profile, self.shared.id, limits).await;
        bound.map(|()| turn.lease.hand_over()).map_err(Refused::of_acquire)
    }

    /// Tells the client that its statement was not run.
    async fn give_up(&mut self, mut turn: Turn, refused: &Refused) -> Result<Option<Turn>, End> {
        let status = turn.status;
        if self.keeps_session() && turn.has_run && turn.lease.backend().is_none() {
            return Err(End::Lost(refused.clone()));
        }
        if status == Status::Idle {
            self.client.settle(false);
        }
        turn.sent = 0;
        for _ in 1..=turn.hidden {
            // The other pieces of a query that was split follow its first.
            let Ok(Some(header)) = tenantry_wire::frame::header(self.inbox.bytes(), super::refuse::LONGEST) else {
                break;
            };
            self.drop_frame(header.len);
        }
        self.refuse(refused, status)?;
        if status == Status::Idle && (!self.keeps_session() || turn.lease.backend().is_none()) {
            if self.settle(&mut turn).await {
                turn.lease.release();
            }
            return Ok(None);
        }
        // Inside a transaction the session stays the client's, until it rolls back; in session mode anyway.
        self.serves(&mut turn.lease);
        turn.entry = Entry::Fine;
        turn.tries = 0;
        turn.needs_enter = status == Status::Idle;
        turn.is_entering = false;
        turn.has_flushed = false;
        turn.known_sets = 0;
        turn.is_bounded = false;
        turn.is_unsynced = false;
        turn.hidden = 0;
        turn.preamble.clear();
        Ok(Some(turn))
    }
}

/// The way to a tenant as its route is now. The known one's door is good as long as the route is the same, and it takes a dozen
/// hashes to make another one; its pool may have been forgotten meanwhile.
async fn way(
    worker: &Worker,
    slot: &Slot,
    known: Option<Way>,
    (server, client, avoids): (Server, u64, Option<Instant>),
) -> Result<Way, Refused> {
    let route = slot.route();
    let is_good = |known: &Way| {
        let leads_there = route.is_some_and(|route| Arc::ptr_eq(&route, &known.route));
        let is_avoided = known.standby.is_some() && avoids.is_some_and(|until| Instant::now() < until);
        leads_there && !is_avoided && known.holds(worker.settings().staleness)
    };
    match known.filter(is_good) {
        Some(known) => {
            let pool = worker.pools.get(&known.door, &worker.settings().pool);
            Ok(Way { pool, ..known })
        }
        None => worker.way_for(slot, server, client, avoids).await,
    }
}
