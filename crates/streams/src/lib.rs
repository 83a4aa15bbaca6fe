//! Events for streams: a NATS JetStream server, its stream, and publishing that repeats nothing.
//!
//! Everything that is known about the server is here, and no database: [`settings`] say where it is and who we are, [`fit`] which
//! streams will do, [`message`] what a message looks like, [`trouble`] what can be in the way, and [`link`] is the only code that
//! opens a connection.
//!
//! INVARIANT: every message names the one that it comes right behind, and the server refuses it when another one is the
//! stream's last. Whoever was overtaken, asleep, cut off or resent by a network therefore adds nothing; it looks again.

pub mod fit;
pub mod link;
pub mod message;
pub mod settings;
pub mod trouble;

pub use fit::{Shape, Unfit};
pub use link::{Link, Newest, Placed, Sent};
pub use message::{Behind, Message, line_subjects, subject};
pub use settings::{Credential, Servers, SettingError, Settings, StreamName, SubjectPrefix};
pub use trouble::Trouble;
