//! Recording places anew whose records an earlier release wrote, which looked at less.
//!
//! Such a record says nothing about what is looked at since: conditions of triggers, bodies of functions that are kept as a
//! tree. It holds as long as all that it says does, so that a new release finds no drift; and the first sweep that sees it
//! hold takes the rest as it is.
//!
//! INVARIANT: a record is replaced only by one that says the same and more.

use std::collections::BTreeMap;

use tenantry_pg::Session;

use crate::catalog::{self, Fingerprint};
use crate::error::DataError;
use crate::ledger;
use crate::names::Place;

/// Structures read by one call: what is left has its turn at the next sweep, and holds until then as it is.
const READ: usize = 64;

/// A place whose record holds and is outdated, see [`Fingerprint::is_outdated`].
#[derive(Debug)]
pub(crate) struct Outdated {
    pub place: Place,
    pub fingerprint: Fingerprint,
}

/// Records places as they are. Call it last in a transaction: whoever migrates one of them then waits only for its end.
pub(crate) async fn renew(session: &Session, outdated: &[Outdated]) -> Result<(), DataError> {
    if outdated.is_empty() {
        return Ok(());
    }
    let mut unread: BTreeMap<&str, &Place> =
        outdated.iter().map(|one| (one.fingerprint.whole.as_str(), &one.place)).collect();
    let wanted: Vec<&str> = unread.keys().copied().collect();
    let stored = ledger::stored(session, &wanted).await?;
    unread.retain(|whole, _| !stored.contains(*whole));
    for place in unread.into_values().take(READ) {
        // If it changed since its fingerprint was taken, this is stored under another one, which no place gets here.
        ledger::store(session, &catalog::read(session, place).await?).await?;
    }
    let names: Vec<&str> = outdated.iter().map(|one| one.place.schema.as_str()).collect();
    let recorded: Vec<&str> = outdated.iter().map(|one| one.fingerprint.unnoted.as_str()).collect();
    let instead: Vec<&str> = outdated.iter().map(|one| one.fingerprint.whole.as_str()).collect();
    ledger::replace(session, &names, &recorded, &instead).await
}
