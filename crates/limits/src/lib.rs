//! Rates that hold in one process, or across replicas through Redis.
//!
//! A [`Limiter`] judges a request by all of its rates at once: either every one of them allows it, or none is charged.
//! Alone it decides in memory ([`local`]). With a Redis or Valkey server it asks that one ([`shared`]), and while it is
//! away each replica goes on with its share of every rate. INVARIANT: no failure of that server refuses a request, and
//! none lets more through than the rates allow, give or take one burst at the moment of the change.
//!
//! *Absent:* who is limited to what; that is told with each question.

pub mod local;
pub mod shared;

mod counts;
mod limiter;

pub use counts::Counts;
pub use limiter::{Ask, Limiter, Options};
pub use local::Local;
pub use shared::{Shared, SharedError};
