//! The operator's own rules: bundles of Cedar policies that are judged in process before anything is changed, or a
//! decision point outside that is asked instead.
//!
//! INVARIANT: nothing here allows by default. What no rule permits is refused; what cannot be evaluated, fetched or
//! answered in time is refused or told as [`Unavailable`]; a bundle that is not valid, not trusted or fails its own
//! tests never replaces the one in force. Tenants are described by values ([`Question`]): nothing here reads our
//! database, a clock or an environment variable. Start with `question.rs`, `engine.rs` and `decider.rs`.

pub mod action;
mod answer;
pub mod breaker;
pub mod bundle;
pub mod cases;
mod decider;
mod depth;
mod engine;
mod explain;
mod facts;
mod gate;
pub mod governance;
mod index;
mod opa;
mod question;
mod rules;
mod schema;
mod settings;
pub mod shelf;
pub mod signature;
pub mod source;
mod stage;
mod supply;
mod window;

pub use answer::{Answer, DENY_BY_DEFAULT, Fault, KNOWN_ACTIONS};
pub use bundle::{Bundle, BundleError, Digest};
pub use decider::{Decider, Unavailable};
pub use engine::Engine;
pub use explain::{Applied, Effect, Explanation};
pub use opa::{Opa, OpaError, OpaSettings};
pub use question::{
    Circumstances, EnvironmentFacts, ObjectFacts, Principal, PrincipalKind, Question, QuestionError, Resource,
    TenantFacts, Wanted,
};
pub use schema::text as schema_text;
pub use settings::Settings;
pub use shelf::{Choice, How, Shelf, ShelfError, Word};
pub use signature::{SigningKey, Trust};
pub use source::{Source, SourceError};
pub use stage::{Difference, Hook, Stage, Tally};
pub use supply::{Outcome, Supply, SupplyError, Turn, Way};
