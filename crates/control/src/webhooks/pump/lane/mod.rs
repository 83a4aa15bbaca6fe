//! One lane at work: look what is due, send it, write down what came of it, until there is nothing left.
//!
//! Looking and writing down go on beside the sending, one of each at a time; a lane that keeps the order waits for them instead,
//! as what may be sent next follows from what was written down.
//!
//! INVARIANT: an attempt is written down after its answer, never before, so that a process that dies sends again and loses
//! nothing; nothing is sent by what a look of more than two seconds ago said, so that an endpoint that was disabled, or whose tenant
//! was suspended, gets nothing later than that. In a lane that keeps the order, an event is sent once the one before is through,
//! and subjects take turns. Whoever learns that the lane has another holder stops: only the log keeps what it had in hand.

mod land;
mod look;
mod record;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tenantry_domain::webhook::Why;
use tenantry_store::{DueRow, EndpointRow, LaneId, Outcome, StoreError, Subject};
use tenantry_webhooks::Signer;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::flight::{self, Flight, Leave};
use super::pace::{self, Pace, Window};
use super::share::Share;
use super::{Found, Pump};
use look::Look;
use record::Written;

/// How long an empty lane is kept for what may come.
const LINGER: Duration = Duration::from_secs(1);
/// How old the last look may become, counted from its beginning.
pub(super) const STALE: Duration = Duration::from_secs(2);
/// How often a lane that keeps the order looks for subjects whose turn it could be, while those that it knows are in hand.
const TURN: Duration = Duration::from_millis(50);
/// How long outcomes wait for others, how many wait at most, and how many while others are being written down.
const GATHER: Duration = Duration::from_millis(10);
const GATHERED: usize = 128;
const UNWRITTEN: usize = 512;

/// An event of an endpoint's queue.
type Key = (Subject, i64);

/// What a lane knows while it runs.
struct Run<'p> {
    pump: &'p Arc<Pump>,
    id: &'p LaneId,
    /// As it was at the last look.
    endpoint: Option<(Arc<EndpointRow>, Arc<Signer>)>,
    /// Places of the endpoint's owner; present once the endpoint is.
    share: Option<Arc<Share>>,
    buffer: VecDeque<DueRow>,
    /// When the last look began: what it said was so then at the earliest.
    looked: Instant,
    /// When it was through.
    fetched: Instant,
    /// Rows that the next look is to bring; grows while they are sent quickly.
    batch: usize,
    /// In the buffer, in hand, or not written down yet.
    known: HashSet<Key>,
    /// Written down since the look that is under way began, which may still see them as due.
    retired: Vec<Key>,
    /// Subjects of which something is in hand; for lanes in order.
    busy: HashSet<Subject>,
    /// Subjects of which something failed that is not written down yet.
    held: HashSet<Subject>,
    flights: FuturesUnordered<BoxFuture<'static, Flight>>,
    looking: Option<BoxFuture<'static, Result<Look, StoreError>>>,
    writing: Option<BoxFuture<'static, Written>>,
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
    /// Whether there was a call to look since the last look began.
    is_woken: bool,
    /// The subject that had the last turn of the last look; for lanes in order.
    turn: Option<Subject>,
    /// Whether more was due than a look may bring; for lanes in order.
    is_cut: bool,
    /// The replay of which a page was taken last, and whether another one waits for what is in hand.
    replay: Option<Uuid>,
    is_early: bool,
    /// Whether another process holds the lane.
    is_lost: bool,
    /// Whether nothing new is begun.
    is_ending: bool,
    /// What the lane ends with.
    ends_with: Found,
}

/// What happened first.
enum Step {
    Landed(Flight),
    Looked(Result<Look, StoreError>),
    Written(Written),
    Woken,
    Rested,
}

/// Runs a lane until it is empty, paused, lost, or the process stops.
pub(super) async fn run(pump: &Arc<Pump>, id: &LaneId, wake: &Notify, stop: &CancellationToken) -> Found {
    let mut run = Run::new(pump, id);
    loop {
        run.is_ending |= stop.is_cancelled() || run.is_lost;
        run.let_go();
        if !run.is_ending && run.looking.is_none() && run.wants_more() {
            run.look(stop).await;
        }
        let wait = if run.is_stopping() { None } else { run.start() };
        if run.flights.is_empty() && run.outcomes.is_empty() && run.writing.is_none() {
            if run.is_stopping() {
                break;
            }
            let is_empty = run.buffer.is_empty() && run.looking.is_none();
            if is_empty && !run.wants_more() && !run.idle(wake, stop).await {
                break;
            }
        }
        run.step(wake, stop, wait).await;
    }
    run.end().await
}

impl<'p> Run<'p> {
    fn new(pump: &'p Arc<Pump>, id: &'p LaneId) -> Self {
        let now = Instant::now();
        Self {
            pump,
            id,
            endpoint: None,
            share: None,
            buffer: VecDeque::new(),
            looked: now,
            fetched: now,
            batch: look::FEWEST,
            known: HashSet::new(),
            retired: Vec::new(),
            busy: HashSet::new(),
            held: HashSet::new(),
            flights: FuturesUnordered::new(),
            looking: None,
            writing: None,
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
            is_woken: false,
            turn: None,
            is_cut: false,
            replay: None,
            is_early: false,
            is_lost: false,
            is_ending: false,
            ends_with: Found::Nothing,
        }
    }

    fn is_fifo(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|(endpoint, _)| endpoint.terms.fifo)
    }

    /// Whether what is in hand is the last.
    const fn is_stopping(&self) -> bool {
        self.is_ending || self.pause.is_some() || self.gone.is_some()
    }

    /// Starts as much as may be started; says how long to wait with the rest, for the pace, or for this process to report itself.
    fn start(&mut self) -> Option<Duration> {
        let ((endpoint, signer), share) = self.endpoint.clone().zip(self.share.clone())?;
        let is_fifo = endpoint.terms.fifo;
        let is_failing = self.failures >= pace::FAILING || self.is_slow;
        let leave = Leave { endpoint, signer, share, looked: self.looked, is_failing };
        while self.flights.len() < self.window.size() && self.outcomes.len() < UNWRITTEN {
            if !self.pump.is_fresh() {
                return (!self.buffer.is_empty()).then_some(TURN);
            }
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
            self.flights.push(Box::pin(flight::start(Arc::clone(self.pump), leave.clone(), row)));
        }
        None
    }

    /// Waits for the next thing to happen and does what follows.
    async fn step(&mut self, wake: &Notify, stop: &CancellationToken, wait: Option<Duration>) {
        let gather = GATHER.saturating_sub(self.since.elapsed());
        let is_full = self.outcomes.len() >= GATHERED || self.flights.is_empty() && self.buffer.is_empty();
        let may_write = !self.outcomes.is_empty() && self.writing.is_none();
        if may_write && (is_full || gather.is_zero()) {
            self.write().await;
            return;
        }
        // Somebody else's turn may have come while those that are known are in hand.
        let is_open = self.is_fifo() && !self.is_drained && self.flights.len() < self.window.size();
        let pauses = [wait, may_write.then_some(gather), is_open.then_some(TURN)];
        let nap = pauses.into_iter().flatten().min();
        if self.flights.is_empty() && nap.is_none() && self.looking.is_none() && self.writing.is_none() {
            return;
        }
        let Self { flights, looking, writing, .. } = self;
        let step = tokio::select! {
            Some(flight) = flights.next(), if !flights.is_empty() => Step::Landed(flight),
            written = done(writing) => Step::Written(written),
            look = done(looking) => Step::Looked(look),
            () = tokio::time::sleep(nap.unwrap_or(LINGER)), if nap.is_some() => Step::Rested,
            () = wake.notified() => Step::Woken,
        };
        match step {
            Step::Landed(flight) => self.land(flight),
            Step::Written(written) => self.written(written),
            Step::Looked(look) => self.has_looked(look, stop).await,
            Step::Woken => self.wake(),
            Step::Rested => {}
        }
    }

    /// Waits for new work; `false` when none came.
    async fn idle(&mut self, wake: &Notify, stop: &CancellationToken) -> bool {
        tokio::select! {
            () = wake.notified() => {
                self.wake();
                true
            }
            () = tokio::time::sleep(LINGER) => false,
            () = stop.cancelled() => false,
        }
    }

    const fn wake(&mut self) {
        self.is_drained = false;
        self.is_woken = true;
    }
}

/// The end of what is under way, if something is.
async fn done<T>(task: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(future) = task else { return std::future::pending().await };
    let value = future.await;
    *task = None;
    value
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
