//! The guard at work: every cell is looked at on a schedule or on request, what was found is kept as signed reports, and
//! each new way from one tenant to another becomes an event, an audit entry and a line in the log.
//!
//! [`inspect`] says what a kind of look is and has the guard's; another kind needs another [`Inspect`] and one more line
//! in the runtime. [`change`] decides what is news; [`record`] writes it. INVARIANT: a look reads the cell and writes our
//! own database only, and a place that could not be looked at keeps its last state.

pub mod change;
pub mod inspect;
mod pairs;
pub mod place;
pub mod probe;
mod read;
mod record;
mod run;

use std::time::Duration;

pub use inspect::{Guard, Inspect};
pub use pairs::{PairView, ProbeView};
pub use place::Place;
pub use read::{
    CellView, Document, Keys, PlaceView, cell, document, gauges, keys, leaks, status, tenant, tenant_document,
};
pub(crate) use record::{Spot, forget_all, record};
pub use run::{is_pending, look, request};
/// Types of the hands that the doors hand through.
pub use tenantry_dataplane::guard::{Report, Severity, Terms};
pub use tenantry_store::{CellGauge, Counts, OpenFinding};

/// How cells are looked at.
#[derive(Debug, Clone)]
pub struct GuardOptions {
    /// The time between two looks at a cell, a tenth of it more or less; absent when nobody looks unasked.
    pub every: Option<Duration>,
    /// The time between two runs of the leak probe; absent when it does not run and makes no canary tenants.
    pub probe: Option<Duration>,
    /// What the operator says about the installation.
    pub terms: Terms,
}

impl Default for GuardOptions {
    fn default() -> Self {
        Self { every: Some(Duration::from_secs(600)), probe: None, terms: Terms::default() }
    }
}
