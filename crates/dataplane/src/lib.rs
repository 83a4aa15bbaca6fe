//! The hands in the tenants' databases: the places of tenants on PostgreSQL servers, at every isolation level.
//!
//! A [`Cell`] is one server. Its verbs ([`Cell::prepare`], [`Cell::create`], [`Cell::migrate`], [`Cell::set_gate`],
//! [`Cell::erase`] …) make a tenant's [`Space`] what it is told to be; each may be killed anywhere and called again,
//! and a caller with an older [`Claim`] changes nothing. [`router`] and [`tx`] are the way into a tenant's
//! transaction, [`seal`] is what keeps it inside.
//!
//! Invariants: no verb decides where a tenant lives or whether it should be open; no statement touches an object
//! that does not bear our mark; no table that tenants reach is ever committed without its guard; our own database is
//! unknown here.

mod blockers;
mod catalog;
mod cell;
mod claim;
mod confined;
mod erase;
mod error;
mod exec;
mod finding;
mod fleet;
mod gate;
pub mod guard;
mod isolation;
mod ledger;
mod migrate;
mod names;
mod observe;
mod overlay;
mod posture;
mod premade;
mod prepare;
mod probe;
mod protect;
mod reap;
mod renew;
mod repair;
mod roles;
pub mod router;
mod script;
pub mod seal;
pub mod secret;
mod shape;
mod sizes;
mod space;
mod sweep;
pub mod tx;

pub use cell::{Cell, Dataplane, Options};
pub use error::{DataError, MigrationFailure, Position, Reason, Refusal, Unguarded};
pub use finding::{Finding, FindingKind};
pub use fleet::{Fleet, Load, Standing};
pub use gate::Gated;
pub use isolation::Created;
pub use migrate::Migrated;
pub use observe::Observed;
pub use overlay::{Added, AddedKind, Overlay};
pub use prepare::{HOME_TAKEN, Prepared};
pub use repair::Repaired;
pub use router::{Door, Router, RouterOptions};
pub use seal::SealMode;
pub use secret::{RootKey, RootKeyError};
pub use space::{AppTarget, CellTarget, Claim, Credential, Gate, Route, Space};
pub use sweep::{Expected, Swept};
pub use tx::{TenantTx, TenantTxError};

/// A number that nobody had before, for names of things that are made aside.
fn nonce() -> Result<u64, DataError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| DataError::Unsupported {
        what: "this machine gives no random numbers".to_owned(),
        hint: "Check the system's random source.",
    })?;
    Ok(u64::from_be_bytes(bytes))
}
