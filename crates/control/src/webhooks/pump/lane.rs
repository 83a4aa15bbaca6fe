//! One lane at work: fetch what is due, send it, write down what came of it, until there is nothing left.
//!
//! INVARIANT: an attempt is written down after its answer, never before, so that a process that dies sends again and loses
//! nothing; what was fetched more than two seconds ago is fetched anew, so that an endpoint that was disabled, or whose tenant
//! was suspended, gets nothing later than that. In a lane that keeps the order, an event is sent once the one before is through,
//! and subjects take turns. Whoever learns that the lane has another holder stops: only the log keeps what it had in hand.
//!
//! Long because fetching, sending and writing down share one state that nobody else may see.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tenantry_domain::Timestamp;
use tenantry_domain::policy::{self, Actor, Rights, Scope};
use tenantry_domain::webhook::{Cause, Why};
use tenantry_store::{DueRow, EndpointRow, Fate, LaneChange, LaneId, Order, Outcome, StoreError, Subject, TURNS};
use tenantry_webhooks::{Signer, Verdict, judge};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::flight::{self, Flight};
use super::pace::{self, Pace, Window};
use super::{NEWEST, Pump, TRIMMED};
use crate::ctx::Ctx;
use crate::deps::mint;
use crate::webhooks::again::word;
use crate::webhooks::{endpoint, keys};

/// How long an empty lane is kept for what may come.
const LINGER: Duration = Duration::from_secs(1);
/// From which time on an answer is slow.
const SLOW: Duration = Duration::from_secs(2);
/// How old what was fetched may become.
pub(super) const STALE: Duration = Duration::from_secs(2);
/// How often a lane that keeps the order looks for subjects whose turn it could be, while those that it knows are in hand.
const TURN: Duration = Duration::from_millis(50);
/// How long outcomes wait for others, and how many wait at most.
const GATHER: Duration = Duration::from_millis(10);
const GATHERED: usize = 128;
/// Rows of a fetch, the fewest and the most.
const FEWEST: usize = 32;
const MOST: usize = 256;
/// Events of a replay that are put into the queue at a time.
const PAGE: u32 = 1000;
/// Rows that are given up at a time.
const BURIED: u32 = 1000;
/// Between two tries to write down, when the database is away.
const PATIENCE: Duration = Duration::from_millis(250);

/// An event of an endpoint's queue.
type Key = (Subject, i64);

/// What a lane knows while it runs.
struct Run<'p> {
    pump: &'p Arc<Pump>,
    id: &'p LaneId,
    /// As it was when the buffer was filled.
    endpoint: Option<(Arc<EndpointRow>, Arc<Signer>)>,
    buffer: VecDeque<DueRow>,
    filled: Instant,
    /// In the buffer, in hand, or not written down yet.
    known: HashSet<Key>,
    /// Subjects of which something is in hand; for lanes in order.
    busy: HashSet<Subject>,
    /// Subjects of which something failed that is not written down yet.
    held: HashSet<Subject>,
    flights: FuturesUnordered<BoxFuture<'static, Flight>>,
    outcomes: Vec<Outcome>,
    since: Instant,
    window: Window,
    pace: Pace,
    failures: u32,
    /// Whether the last answer took long: who answers slowly has no claim to the places of those who do not.
    is_slow: bool,
    /// Whether the endpoint has failed for so long that the next failure ends it.
    is_overdue: bool,
    pause: Option<Duration>,
    has_success: bool,
    /// Attempts that the log grew by since it was cut.
    untrimmed: usize,
    gone: Option<Why>,
    is_drained: bool,
    /// The subject that had the last turn of the last fetch; for lanes in order.
    turn: Option<Subject>,
    /// Whether more was due than a fetch may have; for lanes in order.
    is_cut: bool,
    /// Whether another process holds the lane.
    is_lost: bool,
}

/// What follows a look at the lane.
enum Next {
    /// There is something to send, or may be.
    Go,
    /// Nothing for now.
    Rest,
    /// The lane is not to be held any longer.
    End,
}

/// Runs a lane until it is empty, paused, lost, or the process stops.
pub(super) async fn run(pump: &Arc<Pump>, id: &LaneId, wake: &Notify, stop: &CancellationToken) {
    let mut run = Run::new(pump, id);
    let mut is_ending = false;
    loop {
        is_ending |= stop.is_cancelled() || run.is_lost;
        if !is_ending && run.wants_more() {
            match run.fill().await {
                Ok(Next::Go) => {}
                Ok(Next::Rest) => run.is_drained = true,
                Ok(Next::End) => is_ending = true,
                Err(error) => {
                    tracing::warn!(%error, endpoint = %id.endpoint, "webhooks: a lane cannot be looked at");
                    // Not at once again, by whoever takes it next.
                    let _ = tokio::time::timeout(LINGER, stop.cancelled()).await;
                    is_ending = true;
                }
            }
        }
        let wait = if is_ending || run.pause.is_some() || run.gone.is_some() { None } else { run.start() };
        if run.flights.is_empty() && run.outcomes.is_empty() {
            if is_ending || run.pause.is_some() || run.gone.is_some() {
                break;
            }
            if run.buffer.is_empty() && !run.wants_more() && !run.idle(wake, stop).await {
                break;
            }
        }
        run.step(wake, wait).await;
    }
    run.end().await;
}

impl<'p> Run<'p> {
    fn new(pump: &'p Arc<Pump>, id: &'p LaneId) -> Self {
        let now = Instant::now();
        Self {
            pump,
            id,
            endpoint: None,
            buffer: VecDeque::new(),
            filled: now,
            known: HashSet::new(),
            busy: HashSet::new(),
            held: HashSet::new(),
            flights: FuturesUnordered::new(),
            outcomes: Vec::new(),
            since: now,
            window: Window::new(1, 0),
            pace: Pace::new(None, now),
            failures: 0,
            is_slow: false,
            is_overdue: false,
            pause: None,
            has_success: false,
            untrimmed: 0,
            gone: None,
            is_drained: false,
            turn: None,
            is_cut: false,
            is_lost: false,
        }
    }

    fn is_fifo(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|(endpoint, _)| endpoint.terms.fifo)
    }

    fn wants_more(&mut self) -> bool {
        if !self.buffer.is_empty() && self.filled.elapsed() > STALE {
            for row in self.buffer.drain(..) {
                self.known.remove(&(row.event.subject, row.event.sequence));
            }
            self.is_drained = false;
        }
        if self.is_drained || self.pause.is_some() || self.gone.is_some() {
            return false;
        }
        if !self.is_fifo() {
            return self.buffer.len() < self.window.size();
        }
        let is_free = |row: &DueRow| !self.busy.contains(&row.event.subject);
        self.flights.len() < self.window.size()
            && !self.buffer.iter().any(is_free)
            && (self.buffer.is_empty() || self.filled.elapsed() > TURN)
    }

    /// Looks at the lane and fetches what is due.
    async fn fill(&mut self) -> Result<Next, StoreError> {
        if !self.pump.is_fresh() {
            return Ok(Next::End);
        }
        let _turn = self.pump.statements.acquire().await;
        let (store, replica) = (self.pump.store(), self.pump.deps.replica());
        let Some(lane) = store.webhook_lane(replica, self.id).await? else { return Ok(Next::End) };
        if let Some((_, why)) = lane.endpoint.disabled {
            // A page at a time, as others want to look as well; and not while something of it is in hand.
            if self.flights.is_empty() && self.outcomes.is_empty() {
                store.webhook_bury(self.id, why, BURIED).await?;
            }
            return Ok(Next::End);
        }
        if !lane.is_served || lane.paused.is_some() {
            return Ok(Next::End);
        }
        self.adopt(&lane)?;
        let wanted = (self.window.size() * 4).clamp(FEWEST, MOST);
        let limit = u32::try_from(wanted + self.known.len()).unwrap_or(u32::MAX);
        let order = if lane.endpoint.terms.fifo { Order::Turns(self.turn) } else { Order::Longest };
        let mut found = store.webhook_due(self.id, order, limit).await?;
        let mut is_short = found.len() < limit as usize;
        self.is_cut = lane.endpoint.terms.fifo && (!is_short || has_cut(&found));
        if found.len() < wanted && !self.is_cut && lane.has_replay {
            let count = store.webhook_refill(self.id, PAGE).await?;
            found = store.webhook_due(self.id, order, limit).await?;
            // A page without a match is followed by the next one at once; one whose events have to wait, for the one before them,
            // is not.
            is_short = count.is_some_and(|count| count > 0) && found.is_empty();
            self.is_cut = lane.endpoint.terms.fifo && has_cut(&found);
        }
        self.filled = Instant::now();
        self.turn = last_of_the_first_turn(&found);
        let before = self.buffer.len();
        for row in found {
            if self.known.insert((row.event.subject, row.event.sequence)) {
                self.buffer.push_back(row);
            }
        }
        // What was cut off is looked at when something of what is known already is through.
        let is_known = self.is_cut && self.buffer.len() == before;
        Ok(if is_known || is_short && !self.is_cut { Next::Rest } else { Next::Go })
    }

    /// Takes the endpoint as it is now.
    fn adopt(&mut self, lane: &tenantry_store::Lane) -> Result<(), StoreError> {
        let terms = &lane.endpoint.terms;
        match &self.endpoint {
            None => {
                self.failures = lane.failures;
                self.window = Window::new(terms.concurrency, lane.failures);
                self.pace = Pace::new(terms.rate, Instant::now());
            }
            Some((before, _)) => {
                self.window.bound(terms.concurrency);
                if before.terms.rate != terms.rate {
                    self.pace = Pace::new(terms.rate, Instant::now());
                }
            }
        }
        // Whoever repaired it gets an attempt before it is judged by what was.
        self.is_overdue = lane.failures >= pace::FAILING
            && lane.failing.is_some_and(|failing| failing >= self.pump.options().give_up);
        let is_same = self
            .endpoint
            .as_ref()
            .is_some_and(|(before, _)| before.version == lane.endpoint.version && before.keys.old.is_none());
        if !is_same {
            let key = self.pump.deps.outbound().key();
            let signer = keys::signer(key, &lane.endpoint, self.pump.deps.now())
                .map_err(|_| StoreError::Unreadable { what: "nonce" })?;
            self.endpoint = Some((Arc::new(lane.endpoint.clone()), Arc::new(signer)));
        }
        Ok(())
    }

    /// Starts as much as may be started; says how long the pace wants to wait.
    fn start(&mut self) -> Option<Duration> {
        let (endpoint, signer) = self.endpoint.clone()?;
        let is_fifo = endpoint.terms.fifo;
        while self.flights.len() < self.window.size() && self.pump.is_fresh() {
            let place =
                if is_fifo { self.buffer.iter().position(|row| !self.busy.contains(&row.event.subject))? } else { 0 };
            self.buffer.get(place)?;
            if let Err(wait) = self.pace.take(Instant::now()) {
                return Some(wait);
            }
            let row = self.buffer.remove(place)?;
            if is_fifo {
                self.busy.insert(row.event.subject);
            }
            let is_failing = self.failures >= pace::FAILING || self.is_slow;
            let pump = Arc::clone(self.pump);
            self.flights.push(Box::pin(flight::start(pump, endpoint.clone(), signer.clone(), row, is_failing)));
        }
        None
    }

    /// Waits for the next thing to happen and does what follows.
    async fn step(&mut self, wake: &Notify, wait: Option<Duration>) {
        let gather = GATHER.saturating_sub(self.since.elapsed());
        let is_full = self.outcomes.len() >= GATHERED || self.flights.is_empty() && self.buffer.is_empty();
        if !self.outcomes.is_empty() && (is_full || gather.is_zero()) {
            self.write().await;
            return;
        }
        // Somebody else's turn may have come while those that are known are in hand.
        let is_open = self.is_fifo() && !self.is_drained && self.flights.len() < self.window.size();
        let pauses = [wait, (!self.outcomes.is_empty()).then_some(gather), is_open.then_some(TURN)];
        let nap = pauses.into_iter().flatten().min();
        if self.flights.is_empty() && nap.is_none() {
            return;
        }
        tokio::select! {
            Some(flight) = self.flights.next(), if !self.flights.is_empty() => self.land(flight),
            () = tokio::time::sleep(nap.unwrap_or(LINGER)), if nap.is_some() => {}
            () = wake.notified() => self.is_drained = false,
        }
    }

    /// Waits for new work; `false` when none came.
    async fn idle(&mut self, wake: &Notify, stop: &CancellationToken) -> bool {
        tokio::select! {
            () = wake.notified() => {
                self.is_drained = false;
                true
            }
            () = tokio::time::sleep(LINGER) => false,
            () = stop.cancelled() => false,
        }
    }

    /// Judges an answer.
    fn land(&mut self, flight: Flight) {
        let Flight { row, at, answer } = flight;
        let Some(answer) = answer else {
            // It is still due, and fetched anew, and so is what follows it in the order.
            self.known.remove(&(row.event.subject, row.event.sequence));
            self.put_back(&HashSet::from([row.event.subject]));
            self.busy.remove(&row.event.subject);
            self.is_drained = false;
            return;
        };
        self.is_slow = answer.took > SLOW;
        let options = self.pump.options();
        let verdict = judge(&answer);
        let attempt = row.attempts + 1;
        let subject = row.event.subject;
        if verdict == Verdict::Delivered {
            self.failures = 0;
            self.is_overdue = false;
            if self.gone == Some(Why::Failing) {
                self.gone = None;
            }
            self.has_success = true;
            self.window.succeeded();
        } else {
            self.failures = self.failures.saturating_add(1);
            if self.is_overdue {
                self.gone = Some(Why::Failing);
            }
            self.window.failed();
            self.pause = match verdict {
                Verdict::Throttled(wish) => Some(wish.unwrap_or(options.rest.0).max(options.rest.0)),
                _ => pace::rest(options.rest, self.failures, luck()),
            }
            .max(self.pause);
        }
        let wish = if let Verdict::Throttled(wish) = verdict { wish } else { None };
        let fate = match verdict {
            Verdict::Delivered => Fate::Delivered,
            Verdict::Gone => {
                self.gone = Some(Why::Gone);
                Fate::Dead(Cause::Disabled)
            }
            _ => match options.schedule.pause(attempt, luck(), wish) {
                Some(pause) => Fate::Again(pause),
                None if verdict == Verdict::Refused => Fate::Dead(Cause::Refused),
                None => Fate::Dead(Cause::Attempts),
            },
        };
        if fate == Fate::Delivered {
            self.busy.remove(&subject);
        } else {
            // Until it is written down the queue still calls it due, and what follows it in the order as well.
            self.held.insert(subject);
        }
        self.count(&row, at, verdict, fate);
        if self.outcomes.is_empty() {
            self.since = Instant::now();
        }
        self.outcomes.push(Outcome {
            id: Uuid::now_v7(),
            event: row.event.id,
            kind: row.event.kind,
            subject,
            sequence: row.event.sequence,
            attempt,
            at,
            took: answer.took,
            fate,
            word: word(verdict),
            status: answer.status.ok(),
            fault: answer.status.err().map(|fault| fault.as_str()),
            answer: Some(answer.excerpt).filter(|text| !text.is_empty()),
            is_replay: row.is_replay,
        });
    }

    fn count(&self, row: &DueRow, at: Timestamp, verdict: Verdict, fate: Fate) {
        let stats = self.pump.deps.outbound().stats();
        stats.attempted(word(verdict));
        if row.attempts == 0 && !row.is_replay {
            stats.began(Duration::try_from(at.duration_since(row.event.at)).unwrap_or_default());
        }
        if let Fate::Dead(cause) = fate {
            stats.died();
            tracing::warn!(endpoint = %self.id.endpoint, event = %row.event.id, cause = %cause, "a webhook was given up");
        }
    }

    /// Writes down what came of attempts; tries again as long as the database is away.
    async fn write(&mut self) {
        let replica = self.pump.deps.replica();
        let change = LaneChange { failures: self.failures, has_success: self.has_success, pause: self.pause };
        let _turn = self.pump.statements.acquire().await;
        loop {
            match self.pump.store().webhook_record(replica, self.id, &self.outcomes, Some(change)).await {
                Ok(true) => break,
                Ok(false) => {
                    tracing::warn!(endpoint = %self.id.endpoint, "webhooks: another process sends to the endpoint by now");
                    self.is_lost = true;
                    break;
                }
                Err(error) if self.pump.is_fresh() || error.is_unavailable() => {
                    tracing::debug!(%error, "webhooks: what was sent cannot be written down yet");
                    tokio::time::sleep(PATIENCE).await;
                }
                Err(error) => {
                    // The next one who has the lane sends it once more.
                    tracing::warn!(%error, endpoint = %self.id.endpoint, "webhooks: what was sent was not written down");
                    break;
                }
            }
        }
        self.untrimmed += self.outcomes.len();
        if self.untrimmed >= TRIMMED {
            self.trim().await;
        }
        for outcome in self.outcomes.drain(..) {
            self.known.remove(&(outcome.subject, outcome.sequence));
        }
        self.is_drained &= !self.is_cut;
        let held = std::mem::take(&mut self.held);
        self.put_back(&held);
        for subject in held {
            self.busy.remove(&subject);
        }
        self.has_success = false;
    }

    /// What follows in the order waits in the queue until the one in front of it is through.
    fn put_back(&mut self, held: &HashSet<Subject>) {
        if !self.is_fifo() || held.is_empty() {
            return;
        }
        let known = &mut self.known;
        self.buffer.retain(|later| {
            let is_free = !held.contains(&later.event.subject);
            if !is_free {
                known.remove(&(later.event.subject, later.event.sequence));
            }
            is_free
        });
    }

    /// Forgets all but the newest attempts.
    async fn trim(&mut self) {
        self.untrimmed = 0;
        if let Err(error) = self.pump.store().webhook_trim(self.id, NEWEST).await {
            tracing::debug!(%error, "webhooks: a log could not be cut");
        }
    }

    /// Gives the lane back; ends the endpoint if that is what came out.
    async fn end(mut self) {
        if let (Some(why), Some((endpoint, _)), false) = (self.gone, &self.endpoint, self.is_lost) {
            give_up(self.pump, endpoint, why).await;
        }
        let _turn = self.pump.statements.acquire().await;
        // Short lanes come often: each cuts the log as seldom as a long one would.
        if luck() * f64::from(u32::try_from(TRIMMED).unwrap_or(1))
            < f64::from(u32::try_from(self.untrimmed).unwrap_or(0))
        {
            self.trim().await;
        }
        if let Err(error) = self.pump.store().webhook_release(self.pump.deps.replica(), self.id).await {
            tracing::debug!(%error, "webhooks: a lane could not be given back");
        }
    }
}

/// Whether a fetch in turns left something out because a subject had its share.
fn has_cut(found: &[DueRow]) -> bool {
    let mut counts: HashMap<Subject, usize> = HashMap::new();
    found.iter().any(|row| {
        let count = counts.entry(row.event.subject).or_default();
        *count += 1;
        *count >= TURNS
    })
}

/// Behind whom the next fetch in turns begins: rows come turn by turn, so the first turn ends where a subject comes again.
fn last_of_the_first_turn(found: &[DueRow]) -> Option<Subject> {
    let mut seen = HashSet::new();
    found.iter().map(|row| row.event.subject).take_while(|subject| seen.insert(*subject)).last()
}

/// Disables an endpoint.
async fn give_up(pump: &Pump, row: &EndpointRow, why: Why) {
    let deps = &pump.deps;
    let request_id = mint::request();
    let cx = Ctx {
        actor: Actor::controller("webhooks"),
        person: None,
        rights: Rights::all(),
        environment: row.environment.clone(),
        request_id,
        correlation_id: request_id.to_string(),
        now: deps.now(),
        idempotency: None,
    };
    let scope = match row.subject {
        Subject::Tenant(tenant) => Scope::tenant(row.environment.clone(), tenant),
        Subject::Environment => Scope::environment(row.environment.clone()),
    };
    let permit = policy::controller("webhook.disable", scope);
    match endpoint::give_up(&cx, deps, &permit, row, why).await {
        Ok(()) => {
            deps.outbound().stats().gave_up();
            tracing::warn!(endpoint = %row.id, why = %why, "a webhook endpoint was disabled");
        }
        Err(refusal) => tracing::warn!(endpoint = %row.id, %refusal, "a webhook endpoint could not be disabled"),
    }
}

/// Between 0 and 1.
fn luck() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness everything is tried in the middle of its span.
    if rand::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}
