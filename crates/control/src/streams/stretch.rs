//! How events are published: from a look at the stream to the first thing that goes wrong.
//!
//! A stretch knows the stream's last message, and sends each message on the condition that it comes right behind the one before. So the messages of a stretch are in the stream in the order in which they were sent and without a gap, or not
//! at all: behind one that fails all others are refused, and a message of a publisher that was thought dead finds the stream
//! further on than it knows.
//!
//! What was published before by somebody who could not write it down is found by a look at the newest message of the subject, once
//! in a stretch for each subject that has something to publish, and behind the first look at the stream's last message: whatever
//! comes in between is noticed by the first message that is sent.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tenantry_domain::Timestamp;
use tenantry_store::{EventRow, LineId, LineRow, LineStep, SinkSay};
use tenantry_streams::{Behind, Link, Sent, Trouble};

use super::message::message;
use super::pump::{End, Lane, PUBLISHING};

/// Subjects of one look.
const LINES: u32 = 64;
/// Events of one look: at 16 KiB each at most, that many are in memory.
const EVENTS: u32 = 1024;
/// Looks at subjects' newest messages at a time.
const LOOKS: usize = 32;
/// Time between two looks for what commits did not note.
const SWEEP: Duration = Duration::from_secs(60);
/// The first of these looks after a start comes sooner: what was under way while the sink was made known is found by it.
const FIRST_SWEEP: Duration = Duration::from_secs(3);
/// Subjects that are remembered as looked at; looking once more costs a round trip.
const REMEMBERED: usize = 100_000;

/// How far a subject came in this round.
struct Step {
    published: i64,
    at: Option<Timestamp>,
}

/// Publishes until something goes wrong.
pub(super) async fn run(lane: &Lane) -> Result<(), End> {
    let link = Link::open(&lane.options.settings).await?;
    let mut last = Behind { number: link.last().await?, id: None };
    let mut looked = HashSet::new();
    lane.tell(SinkSay { state: PUBLISHING, ..SinkSay::default() }).await?;
    let mut nudges = lane.deps.nudges();
    let mut sweep = Instant::now() + FIRST_SWEEP;
    loop {
        nudges.mark_unchanged();
        let mut lines = lane.store().stream_work(lane.sink(), LINES).await?;
        if sweep <= Instant::now() {
            let missed = lane.store().stream_missed(lane.sink(), LINES).await?;
            // There may be more than fit one look.
            sweep = if missed.is_empty() { Instant::now() + SWEEP } else { Instant::now() };
            lines.extend(missed);
        }
        if !lines.is_empty() && round(lane, &link, &mut last, &mut looked, &lines).await? {
            continue;
        }
        tokio::select! {
            () = link.gone() => return Err(Trouble::Silent.into()),
            () = tokio::time::sleep(lane.options.tick) => {}
            Ok(()) = nudges.changed() => {}
        }
    }
}

/// Publishes some events of some subjects, and writes down what was acknowledged, also when something went wrong behind it. Says
/// whether it came any further.
async fn round(
    lane: &Lane,
    link: &Link,
    last: &mut Behind,
    looked: &mut HashSet<LineId>,
    lines: &[LineRow],
) -> Result<bool, End> {
    let mut steps = start(lane, link, looked, lines).await?;
    let mut behind = Vec::with_capacity(lines.len());
    for line in lines {
        let published = steps.get(&line.id).map_or(line.published, |step| step.published);
        if published < line.newest {
            behind.push((line.id.clone(), published));
        }
    }
    let each = EVENTS / u32::try_from(behind.len().max(1)).unwrap_or(EVENTS);
    let events = if behind.is_empty() { Vec::new() } else { lane.store().stream_events(&behind, each).await? };
    let sent = send(lane, link, last, &mut steps, events).await;
    // Subjects of which nothing is left to publish are among the steps, so that their lines go.
    let steps: Vec<LineStep> =
        steps.into_iter().map(|(id, step)| LineStep { id, published: step.published, at: step.at }).collect();
    if !lane.store().stream_record(lane.sink(), lane.claim, &steps).await? {
        return Err(End::Lost);
    }
    let has_sent = steps.iter().any(|step| step.at.is_some());
    if has_sent {
        lane.store().stream_published(lane.sink(), lane.claim).await?;
    }
    // Where nothing was left to publish, only lines went.
    sent.map(|()| has_sent || behind.len() < lines.len())
}

/// Where each subject begins: behind what is written down as published, or behind what is found in the stream.
async fn start(
    lane: &Lane,
    link: &Link,
    looked: &mut HashSet<LineId>,
    lines: &[LineRow],
) -> Result<HashMap<LineId, Step>, End> {
    if looked.len() > REMEMBERED {
        looked.clear();
    }
    let unknown: Vec<LineRow> = lines.iter().filter(|line| !looked.contains(&line.id)).cloned().collect();
    let looks: Vec<_> = unknown.into_iter().map(|line| look(link, line)).collect();
    let found: Vec<(LineId, i64, Option<i64>)> = stream::iter(looks).buffer_unordered(LOOKS).try_collect().await?;
    let mut steps: HashMap<LineId, Step> =
        lines.iter().map(|line| (line.id.clone(), Step { published: line.published, at: None })).collect();
    for (id, published, newest) in found {
        if let Some(newest) = newest
            && newest > published
            && let Some(step) = steps.get_mut(&id)
        {
            lane.stats().found(newest - published);
            step.published = newest;
        }
        looked.insert(id);
    }
    Ok(steps)
}

/// The number of a line's newest message, beside what is written down.
async fn look(link: &Link, line: LineRow) -> Result<(LineId, i64, Option<i64>), Trouble> {
    let tenant = line.id.subject.tenant().map(|id| id.to_string());
    let newest = link.newest(line.id.environment.as_str(), tenant.as_deref()).await?;
    Ok((line.id, line.published, newest.map(|newest| newest.sequence)))
}

/// Sends events one behind the other, with many on their way.
async fn send(
    lane: &Lane,
    link: &Link,
    last: &mut Behind,
    steps: &mut HashMap<LineId, Step>,
    events: Vec<EventRow>,
) -> Result<(), End> {
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
            let sent = link.send(next, last).await?;
            // As if it were there already: if it does not get there, nothing that is sent for the place behind it does.
            *last = Behind { number: last.number + 1, id: Some(id) };
            let id = LineId { environment: event.environment, subject: event.subject };
            flying.push_back((sent, id, event.sequence, event.at));
            continue;
        }
        let Some((sent, id, sequence, at)) = flying.pop_front() else { return Ok(()) };
        let placed = sent.placed().await?;
        if let Some(step) = steps.get_mut(&id) {
            *step = Step { published: sequence, at: Some(at) };
        }
        if placed.is_repeated {
            // It was in the stream, and those behind it were sent for the place that it did not take.
            lane.stats().found(1);
            return Err(Trouble::Overtaken.into());
        }
        lane.stats().published();
    }
}
