//! What an answer means for its event and for the endpoint.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tenantry_domain::Timestamp;
use tenantry_domain::webhook::{Cause, Why};
use tenantry_store::{DueRow, Fate, Outcome};
use tenantry_webhooks::{Verdict, judge};
use uuid::Uuid;

use super::{Run, luck};
use crate::webhooks::again::word;
use crate::webhooks::pump::flight::Flight;
use crate::webhooks::pump::pace;

/// From which time on an answer is slow.
const SLOW: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// Judges an answer.
    pub(super) fn land(&mut self, flight: Flight) {
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
}
