//! Signed deliveries over HTTP: signatures, addresses that may be connected to, the schedule of attempts.
//!
//! Everything that is known about the outside of a webhook is here, and no database: [`keys`] sign and [`verify`] checks
//! (Standard Webhooks 1.0), [`schedule`] says when to try again, [`answer`] what an answer means, [`target`] which URLs are
//! acceptable, [`address`] which addresses, and [`send`] is the only code that opens a connection to a receiver.
//!
//! INVARIANT: a connection is opened to a [`PublicAddr`] and to nothing else, and that is made after the name was resolved, so
//! what was looked at is what is connected to. No redirect, proxy or alternative service is followed; time and bytes are bounded.

pub mod address;
pub mod answer;
mod connect;
pub mod keys;
pub mod names;
pub mod schedule;
pub mod scrub;
pub mod send;
pub mod target;
pub mod verify;

pub use address::{Egress, PublicAddr};
pub use answer::{Answer, Fault, Verdict, judge};
pub use keys::{Key, KeyError, Signer};
pub use names::{Names, SystemNames};
pub use schedule::Schedule;
pub use send::{Limits, Message, Sender, SenderError, authorities};
pub use target::{Rules, Target, TargetError};
