//! Streams: servers that every event is published to, and how far they are.
//!
//! A commit that writes events notes, by the same statement ([`note_lines`]), that its subject has something to publish. Whoever
//! publishes reads a subject's events behind what was published: numbers of one subject have no gaps and become visible in their
//! order, so nothing can appear below a number that was passed. A subject costs one row however many of its events wait.
//!
//! INVARIANT: what is written down as published was acknowledged by the server; a number never goes back, unless the sink was
//! forgotten; and a process that does not hold the newest claim writes nothing.

mod events;
mod forget;
mod lines;
mod sinks;

pub use events::{StreamEvents, StuckEvent};
pub use forget::{Forget, Streams};
pub use lines::{LineId, LineRow, LineStep, Recorded, StreamBacklog};
pub use sinks::{NewSink, SinkRow, SinkSay, StreamHold};

/// The part of a commit's statement that notes which subjects have something to publish. It stands behind the common table
/// expression `told`; `$1` is the environment. Without a sink it is one look at an empty table.
macro_rules! note_lines {
    () => {
        "lined AS (
            INSERT INTO tenantry.stream_line (sink, env, subject, newest, since)
            SELECT s.name, $1, told.subject, max(told.sequence), clock_timestamp()
            FROM tenantry.stream_sink AS s CROSS JOIN told GROUP BY s.name, told.subject
            ON CONFLICT ON CONSTRAINT stream_line_pkey DO UPDATE SET newest = excluded.newest
        )"
    };
}
pub(crate) use note_lines;
