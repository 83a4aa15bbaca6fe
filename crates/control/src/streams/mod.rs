//! Streams: every committed event of the installation in a stream of a NATS JetStream server, in the order of its subject, once.
//!
//! What publishes is in [`pump`] (who does), [`lane`](pump) (for how long) and [`stretch`](pump) (how), what people see of it in [`read`],
//! and how it ends in [`forget`]. The connection is the business of `tenantry-streams`.
//!
//! INVARIANT: a subject's number is written down only after the server acknowledged its message; a message is sent only if the
//! stream's newest message is the one that its publisher has seen, and after every doubt the publisher looks there before it goes
//! on. So whoever dies, sleeps or is cut off at any point leaves neither a gap nor a repetition.

mod forget;
mod lane;
mod message;
mod options;
pub mod pump;
mod read;
pub mod stats;
mod stretch;

pub use forget::{Forgotten, forget};
pub use message::message;
pub use options::{StreamOptions, Streams};
pub use read::{Standing, backlog, list};
pub use tenantry_streams::{Credential, Servers, SettingError, Settings, StreamName, SubjectPrefix};
