//! How events are published: from a look at the stream to the first thing that goes wrong.
//!
//! A stretch knows the stream's last message, and sends each message on the condition that it comes right behind the one before. So
//! the messages of a stretch are in the stream in the order in which they were sent and without a gap, or not at all: behind one that fails all others are refused, and a message of a publisher that was thought dead finds the stream
//! further on than it knows.
//!
//! What was published before by somebody who could not write it down is found by a look at the newest message of the subject, once
//! in a stretch for each subject that has something to publish, and behind the first look at the stream's last message: whatever
//! comes in between is noticed by the first message that is sent. Only the look is believed: that a server knows a message's id says
//! nothing about where the message is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tenantry_domain::Timestamp;
use tenantry_store::{EventRow, LineId, LineRow, LineStep, SinkSay, StuckEvent};
use tenantry_streams::{Behind, Link, Newest, Sent, Trouble, Unfit};

use super::lane::{End, Lane, PUBLISHING};
use super::message::message;

/// Subjects of one look.
const LINES: usize = 64;
/// Events of one look: at 16 KiB each at most, that many are in memory.
const EVENTS: u32 = 1024;
/// Looks at subjects' newest messages at a time.
const LOOKS: usize = 32;
/// Time between two looks for what commits did not note.
const SWEEP: Duration = Duration::from_secs(60);
/// Subjects that are remembered as looked at; looking once more costs a round trip.
const REMEMBERED: usize = 100_000;

/// How far a subject came in this round.
struct Step {
    published: i64,
    at: Option<Timestamp>,
}

/// See the module.
struct Stretch<'a> {
    lane: &'a Lane,
    link: &'a Link,
    /// The stream's last message, as far as everything that was sent gets there.
    last: Behind,
    /// Subjects whose newest message is known.
    looked: HashSet<LineId>,
    /// Subjects that wait for another release.
    stuck: HashMap<LineId, StuckEvent>,
}

/// Publishes until something goes wrong.
pub(super) async fn run(lane: &Lane) -> Result<(), End> {
    let known = lane.store().stream_identity(lane.sink()).await?;
    let link = Link::open(&lane.options.settings, known).await?;
    lane.identify(known, link.made()).await?;
    let last = Behind { number: link.last().await?, id: None };
    let mut stretch = Stretch { lane, link: &link, last, looked: HashSet::new(), stuck: HashMap::new() };
    lane.tell(SinkSay { state: PUBLISHING, ..SinkSay::default() }).await?;
    let mut nudges = lane.deps.nudges();
    loop {
        nudges.mark_unchanged();
        let lines = stretch.lines().await?;
        if !lines.is_empty() && stretch.round(&lines).await? {
            continue;
        }
        if let Some((_, stuck)) = stretch.stuck.drain().next() {
            return Err(End::Stuck(stuck));
        }
        tokio::select! {
            () = link.gone() => return Err(Trouble::Silent.into()),
            () = tokio::time::sleep(lane.options.tick) => {}
            Ok(()) = nudges.changed() => {}
        }
    }
}

impl Stretch<'_> {
    /// Subjects with something to publish.
    async fn lines(&self) -> Result<Vec<LineRow>, End> {
        // Those that wait for another release wait longest, and would be all that is seen.
        let limit = u32::try_from(LINES + self.stuck.len()).unwrap_or(u32::MAX);
        let store = self.lane.store();
        let mut lines = store.stream_work(self.lane.sink(), limit).await?;
        if self.lane.has_to_sweep() {
            let mut missed = store.stream_missed(self.lane.sink(), limit).await?;
            missed.retain(|line| !self.stuck.contains_key(&line.id));
            // There may be more than fit one look.
            self.lane.swept(if missed.is_empty() { SWEEP } else { Duration::ZERO });
            lines.extend(missed);
        }
        lines.retain(|line| !self.stuck.contains_key(&line.id));
        Ok(lines)
    }

    /// Publishes some events of some subjects, and writes down what was acknowledged, also when something went wrong behind it.
    /// Says whether it came any further.
    async fn round(&mut self, lines: &[LineRow]) -> Result<bool, End> {
        let (lane, store) = (self.lane, self.lane.store());
        let mut steps = self.start(lines).await?;
        let mut behind = Vec::with_capacity(lines.len());
        for line in lines {
            let published = steps.get(&line.id).map_or(line.published, |step| step.published);
            if published < line.newest {
                behind.push((line.id.clone(), published));
            }
        }
        let each = EVENTS / u32::try_from(behind.len().max(1)).unwrap_or(EVENTS);
        let (mut events, before) = (Vec::new(), self.stuck.len());
        if !behind.is_empty() {
            let found = store.stream_events(&behind, each.max(1)).await?;
            events = found.rows;
            self.stuck.extend(found.stuck.into_iter().map(|stuck| (stuck.id.clone(), stuck)));
        }
        let sent = self.send(&mut steps, events).await;
        // Subjects of which nothing is left to publish are among the steps, so that their lines go.
        let steps: Vec<LineStep> =
            steps.into_iter().map(|(id, step)| LineStep { id, published: step.published, at: step.at }).collect();
        let recorded = store.stream_record(&lane.hold, &steps).await?;
        if !recorded.is_mine {
            return Err(End::Lost);
        }
        let has_sent = steps.iter().any(|step| step.at.is_some());
        if has_sent {
            store.stream_published(&lane.hold).await?;
        }
        // A line that a commit holds just now stays although nothing is left to publish: that is no reason to look again at once.
        // Those that turned out to be stuck make room for others.
        sent.map(|()| has_sent || recorded.gone > 0 || self.stuck.len() > before)
    }

    /// Where each subject begins: behind what is written down as published, or behind what is found in the stream.
    async fn start(&mut self, lines: &[LineRow]) -> Result<HashMap<LineId, Step>, End> {
        if self.looked.len() > REMEMBERED {
            self.looked.clear();
        }
        let unknown = lines.iter().filter(|line| !self.looked.contains(&line.id));
        let looks: Vec<_> = unknown.map(|line| look(self.link, line)).collect();
        let found: Vec<(&LineRow, Option<Newest>)> = stream::iter(looks).buffer_unordered(LOOKS).try_collect().await?;
        self.compare(&found).await?;
        let mut steps: HashMap<LineId, Step> =
            lines.iter().map(|line| (line.id.clone(), Step { published: line.published, at: None })).collect();
        for (line, newest) in found {
            self.looked.insert(line.id.clone());
            let Some(newest) = newest else { continue };
            let more = newest.sequence - line.published;
            if more < 0 {
                // Bounds of the stream take the oldest messages of a subject first, so it was not one of them.
                self.lane.stats().missing(-more);
                tracing::warn!(
                    stream = self.lane.sink(),
                    subject = newest.subject,
                    published = line.published,
                    newest = newest.sequence,
                    "streams: messages that the server had acknowledged are not in the stream"
                );
            }
            if more > 0
                && let Some(step) = steps.get_mut(&line.id)
            {
                self.lane.stats().found(more);
                step.published = newest.sequence;
            }
        }
        Ok(steps)
    }

    /// Compares what is in the stream with what was committed. What was published before by another installation, or by this one
    /// before its database was restored to an earlier time, has numbers that say nothing about ours.
    async fn compare(&self, found: &[(&LineRow, Option<Newest>)]) -> Result<(), End> {
        let there: Vec<&(&LineRow, Option<Newest>)> = found.iter().filter(|(_, newest)| newest.is_some()).collect();
        if there.is_empty() {
            return Ok(());
        }
        let newest = || there.iter().filter_map(|(line, newest)| Some((line, newest.as_ref()?)));
        let numbers: Vec<(LineId, i64)> = newest().map(|(line, newest)| (line.id.clone(), newest.sequence)).collect();
        // Behind the look: what is in the stream by then was committed by then.
        let ids = self.lane.store().stream_ids(&numbers).await?;
        for ((_, newest), id) in newest().zip(ids) {
            if id.is_none_or(|id| id.to_string() != newest.id) {
                let why = Unfit::OtherHistory { subject: newest.subject.clone() };
                return Err(self.link.unfit(why).into());
            }
        }
        Ok(())
    }

    /// Sends events one behind the other, with many on their way.
    async fn send(&mut self, steps: &mut HashMap<LineId, Step>, events: Vec<EventRow>) -> Result<(), End> {
        let (lane, link) = (self.lane, self.link);
        let mut flying: VecDeque<(Sent<'_>, LineId, i64, Timestamp)> = VecDeque::with_capacity(lane.options.in_hand);
        let mut events = events.into_iter();
        loop {
            let next = if flying.len() < lane.options.in_hand { events.next() } else { None };
            if let Some(event) = next {
                if !lane.is_fresh() {
                    return Err(End::Lost);
                }
                let next = message(&event);
                let id = next.id.clone();
                let sent = link.send(next, &self.last).await?;
                // As if it were there already: if it does not get there, nothing that is sent for the place behind it does.
                self.last = Behind { number: self.last.number + 1, id: Some(id) };
                let id = LineId { environment: event.environment, subject: event.subject };
                flying.push_back((sent, id, event.sequence, event.at));
                continue;
            }
            let Some((sent, id, sequence, at)) = flying.pop_front() else { return Ok(()) };
            if sent.placed().await?.is_repeated {
                // The server knows its id. It may be in the stream, or have come to nothing at a leader that died since: what is
                // found there counts. Until the server has forgotten the id of one that is not there, each stretch ends here.
                return Err(Trouble::Overtaken.into());
            }
            if let Some(step) = steps.get_mut(&id) {
                *step = Step { published: sequence, at: Some(at) };
            }
            lane.stats().published();
        }
    }
}

/// A line's newest message.
async fn look<'a>(link: &Link, line: &'a LineRow) -> Result<(&'a LineRow, Option<Newest>), Trouble> {
    let tenant = line.id.subject.tenant().map(|id| id.to_string());
    let newest = link.newest(line.id.environment.as_str(), tenant.as_deref()).await?;
    Ok((line, newest))
}
