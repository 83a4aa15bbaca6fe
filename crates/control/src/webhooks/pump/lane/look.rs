//! What a lane has to do: the endpoint as it is now, and what is due.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tenantry_domain::webhook::Why;
use tenantry_store::{DueRow, Lane, LaneId, Order, StoreError, Subject, TURNS};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Key, LINGER, Run, STALE, TURN};
use crate::webhooks::keys;
use crate::webhooks::pump::pace::{self, Pace, Window};
use crate::webhooks::pump::{Found, Pump};

/// Rows of a look, the fewest and the most.
pub(super) const FEWEST: usize = 32;
const MOST: usize = 512;
/// A look whose rows were sent within this time is followed by one for more of them.
const QUICK: Duration = Duration::from_millis(200);
/// Events of a replay that are put into the queue at a time.
const PAGE: u32 = 1000;
/// Rows that are given up at a time.
const BURIED: u32 = 1000;

/// What a look at the lane found.
pub(super) struct Look {
    /// When it began.
    began: Instant,
    /// The lane; absent when another process holds it, or the endpoint is gone.
    lane: Option<Lane>,
    found: Vec<DueRow>,
    /// Whether all that is due was found.
    is_short: bool,
    /// Whether more was due than a look may bring; for lanes in order.
    is_cut: bool,
    /// The replay that a page was taken of.
    replay: Option<Uuid>,
    /// Whether a replay may not begin yet.
    is_early: bool,
    /// Whether there is nothing but what a later release knows.
    is_unread: bool,
}

/// What is to be looked for.
struct Ask {
    /// Rows that are wanted, and those of them that are known already.
    wanted: usize,
    known: usize,
    turn: Option<Subject>,
    /// The replay of which a page was taken last.
    replay: Option<Uuid>,
}

/// Looks at the lane and fetches what is due.
async fn look(pump: Arc<Pump>, id: LaneId, ask: Ask) -> Result<Look, StoreError> {
    let _turn = pump.statements.acquire().await;
    let (store, replica) = (pump.store(), pump.deps.replica());
    // What it says is as old as its first statement, however long the others take.
    let began = Instant::now();
    let nothing = |lane| Look {
        began,
        lane,
        found: Vec::new(),
        is_short: true,
        is_cut: false,
        replay: None,
        is_early: false,
        is_unread: false,
    };
    let Some(lane) = store.webhook_lane(replica, &id).await? else { return Ok(nothing(None)) };
    if is_closed(&lane) {
        return Ok(nothing(Some(lane)));
    }
    let is_fifo = lane.endpoint.terms.fifo;
    let limit = u32::try_from(ask.wanted + ask.known).unwrap_or(u32::MAX);
    let order = if is_fifo { Order::Turns(ask.turn) } else { Order::Longest };
    let mut found = store.webhook_due(&id, order, limit).await?;
    let is_all = found.len() < limit as usize;
    let mut is_cut = is_fifo && (!is_all || has_cut(&found));
    // With a replay there is more than what is in the queue.
    let mut is_short = is_all && !lane.has_replay;
    let (mut replay, mut is_early) = (None, false);
    // In order, no more than what is sent soon: whose turn it is follows from what is in the queue.
    let has_room = if is_fifo { found.len() < ask.wanted && !is_cut } else { is_all };
    if has_room && lane.has_replay {
        // What is in hand still stands in the queue, and would not be sent again. So a replay begins when nothing is; its later
        // pages are of other events.
        let begins = ask.known == 0;
        let page = store.webhook_refill(&id, PAGE, begins, ask.replay).await?;
        (replay, is_early) = (page.map(|(replay, _)| replay), page.is_none() && !begins);
        found = store.webhook_due(&id, order, limit).await?;
        // A page without a match is followed by the next one at once; one whose events have to wait, for the one before them,
        // is not.
        is_short = page.is_some_and(|(_, count)| count > 0) && found.is_empty();
        is_cut = is_fifo && has_cut(&found);
    }
    let is_unread = found.is_empty() && ask.known == 0 && !lane.has_replay && store.webhook_unread(&id).await?;
    Ok(Look { began, lane: Some(lane), found, is_short, is_cut, replay, is_early, is_unread })
}

const fn is_closed(lane: &Lane) -> bool {
    lane.endpoint.disabled.is_some() || !lane.is_served || lane.paused.is_some()
}

impl Run<'_> {
    /// Lets go of what was fetched too long ago: it is looked for anew.
    pub(super) fn let_go(&mut self) {
        if self.buffer.is_empty() || self.looked.elapsed() <= STALE {
            return;
        }
        for row in self.buffer.drain(..) {
            self.known.remove(&(row.event.subject, row.event.sequence));
        }
        self.is_drained = false;
        self.batch = FEWEST;
    }

    pub(super) fn wants_more(&self) -> bool {
        if self.is_drained || self.pause.is_some() || self.gone.is_some() {
            return false;
        }
        if !self.is_fifo() {
            // Before the last ones are on their way, since sending goes on meanwhile.
            return self.buffer.len() < self.window.size().max(self.batch / 2);
        }
        let is_free = |row: &DueRow| !self.busy.contains(&row.event.subject);
        self.flights.len() < self.window.size()
            && !self.buffer.iter().any(is_free)
            && (self.buffer.is_empty() || self.fetched.elapsed() > TURN)
    }

    /// Begins a look. The first one is waited for, and so are those of a lane that keeps the order.
    pub(super) async fn look(&mut self, stop: &CancellationToken) {
        if !self.pump.is_fresh() {
            self.is_ending = true;
            return;
        }
        self.is_woken = false;
        let wanted = (self.window.size() * 4).clamp(self.batch, MOST);
        let ask = Ask { wanted, known: self.known.len(), turn: self.turn, replay: self.replay };
        let look = look(Arc::clone(self.pump), self.id.clone(), ask);
        if self.endpoint.is_some() && !self.is_fifo() {
            self.looking = Some(look.boxed());
        } else {
            let found = look.await;
            self.has_looked(found, stop).await;
        }
    }

    /// Takes what a look found.
    pub(super) async fn has_looked(&mut self, found: Result<Look, StoreError>, stop: &CancellationToken) {
        let taken = match found {
            Ok(look) => self.take(look).await,
            Err(error) => Err(error),
        };
        let retired = std::mem::take(&mut self.retired);
        self.forget(retired);
        if let Err(error) = taken {
            tracing::warn!(%error, endpoint = %self.id.endpoint, "webhooks: a lane cannot be looked at");
            // Not at once again, by whoever takes it next.
            let _ = tokio::time::timeout(LINGER, stop.cancelled()).await;
            self.is_ending = true;
        }
    }

    /// Forgets what is through. A replay that waited for it may begin.
    pub(super) fn forget(&mut self, through: Vec<Key>) {
        for key in through {
            self.known.remove(&key);
        }
        if self.is_early && self.known.is_empty() {
            self.is_early = false;
            self.is_drained = false;
        }
    }

    async fn take(&mut self, look: Look) -> Result<(), StoreError> {
        let Some(lane) = look.lane else {
            self.is_ending = true;
            return Ok(());
        };
        if let Some((_, why)) = lane.endpoint.disabled {
            self.bury(why).await?;
        }
        if is_closed(&lane) {
            self.is_ending = true;
            return Ok(());
        }
        if look.is_unread {
            // Whoever knows it may have the lane.
            self.ends_with = Found::Unread;
            self.is_ending = true;
            return Ok(());
        }
        self.adopt(&lane)?;
        self.is_cut = look.is_cut;
        self.replay = look.replay.or(self.replay);
        self.is_early = look.is_early;
        self.turn = last_of_the_first_turn(&look.found);
        let is_quick = self.fetched.elapsed() < QUICK && !look.is_short;
        self.batch = if is_quick { (self.batch * 2).min(MOST) } else { self.batch };
        self.looked = look.began;
        self.fetched = Instant::now();
        let before = self.buffer.len();
        for row in look.found {
            if self.known.insert((row.event.subject, row.event.sequence)) {
                self.buffer.push_back(row);
            }
        }
        // What was cut off is looked at when something of what is known already is through.
        let is_known = self.is_cut && self.buffer.len() == before;
        if is_known || look.is_early || look.is_short && !self.is_cut {
            self.is_drained = !self.is_woken;
        }
        Ok(())
    }

    /// Gives up what waits at an endpoint that is disabled: a page at a time, as others want to look as well, and not while something
    /// of it is in hand.
    async fn bury(&mut self, why: Why) -> Result<(), StoreError> {
        if self.flights.is_empty() && self.outcomes.is_empty() && self.writing.is_none() {
            let _turn = self.pump.statements.acquire().await;
            self.pump.store().webhook_bury(self.id, why, BURIED).await?;
        }
        Ok(())
    }

    /// Takes the endpoint as it is now.
    fn adopt(&mut self, lane: &Lane) -> Result<(), StoreError> {
        let terms = &lane.endpoint.terms;
        match &self.endpoint {
            None => {
                self.failures = lane.failures;
                self.window = Window::new(terms.concurrency, lane.failures);
                self.pace = Pace::new(terms.rate, Instant::now());
                self.share = Some(self.pump.shares.of(&self.id.environment, lane.endpoint.subject));
            }
            // Of what is in hand several may be of one subject, or none is known by its own: the order begins with another run.
            Some((before, _)) if before.terms.fifo != terms.fifo => {
                self.is_ending = true;
                return Ok(());
            }
            Some((before, _)) => {
                self.window.bound(terms.concurrency);
                if before.terms.rate != terms.rate {
                    self.pace = Pace::new(terms.rate, Instant::now());
                }
            }
        }
        // Whoever repaired it gets an attempt before it is judged by what was.
        // What this process saw last counts as well: the look may have been before it was written down.
        self.is_overdue = lane.failures.min(self.failures) >= pace::FAILING
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
