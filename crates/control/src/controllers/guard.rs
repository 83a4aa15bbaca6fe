//! Looks at cells when they are due: one replica at a time takes the turn of a cell, goes from place to place, and gives
//! the turn back.
//!
//! It works for any kind of look ([`Inspect`]). A turn is cut into short steps, so that the end of the process waits for
//! one of them at most. A replica that dies is followed by another one when its lease ends; what it wrote is whole.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tenantry_dataplane::Cell;
use tenantry_store::{StoreError, Turn};

use crate::controllers::driver::{Controller, Look};
use crate::deps::Deps;
use crate::guard::inspect::Route;
use crate::guard::{Inspect, Place, forget_all, record};
use crate::workflows::site;

/// Places that are looked at side by side: each costs the cell one connection.
const SIDE_BY_SIDE: usize = 4;

/// How long others wait for a replica that died. One step takes a minute at most.
const LEASE: Duration = Duration::from_secs(120);

/// The latest first look at a cell: alerts about cells that nobody looks at wait for longer than that.
const FIRST_MAX: Duration = Duration::from_secs(120);

/// After a turn that did not reach every place, unless the schedule is tighter.
const AGAIN: Duration = Duration::from_secs(60);

/// The controller.
#[derive(Debug)]
pub struct Watch<K: Inspect> {
    current: Option<Current<K>>,
}

impl<K: Inspect> Default for Watch<K> {
    fn default() -> Self {
        Self { current: None }
    }
}

/// The turn in hand.
struct Current<K: Inspect> {
    turn: Turn,
    cell: Arc<Cell>,
    left: VecDeque<(Place, K::Ward)>,
    there: Vec<String>,
    failed: usize,
}

impl<K: Inspect> std::fmt::Debug for Current<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").field("turn", &self.turn).field("left", &self.left.len()).finish_non_exhaustive()
    }
}

impl<K: Inspect> Controller for Watch<K> {
    const NAME: &'static str = K::NAME;
    const IS_NUDGED: bool = false;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().tick
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        match self.current.take() {
            None => {
                self.current = begin::<K>(deps).await?;
                Ok(if self.current.is_some() { Look::Again } else { Look::Done })
            }
            Some(current) if current.left.is_empty() => end(deps, current).await.map(|()| Look::Again),
            Some(current) => {
                self.current = step(deps, current).await?;
                Ok(Look::Again)
            }
        }
    }
}

/// Takes a turn that is due.
async fn begin<K: Inspect>(deps: &Deps) -> Result<Option<Current<K>>, StoreError> {
    let every = K::every(deps);
    // A cell that has just been registered gets its first tenants before the first look.
    let first = (every.unwrap_or_default() / 10).min(FIRST_MAX);
    let claimed = deps.store().isolation_claim(deps.replica(), K::KIND, LEASE, first, every.is_some()).await?;
    let Some(turn) = claimed else { return Ok(None) };
    let Route { places, busy } = K::route(deps, &turn.environment, &turn.cell).await?;
    match site::cell(deps, &turn.environment, &turn.cell).await {
        Ok(cell) => {
            let there = places.iter().map(|(place, _)| place).chain(&busy).map(ToString::to_string).collect();
            Ok(Some(Current { turn, cell, left: places.into(), there, failed: 0 }))
        }
        Err(cause) => {
            tracing::warn!(cell = %turn.cell, code = cause.code, kind = K::NAME, "the cell cannot be looked at");
            let pause = pause::<K>(deps, true);
            deps.store().isolation_end(&turn, Some("the cell cannot be opened"), pause).await?;
            Ok(None)
        }
    }
}

/// Looks at the next few places.
async fn step<K: Inspect>(deps: &Deps, mut current: Current<K>) -> Result<Option<Current<K>>, StoreError> {
    if !deps.store().isolation_renew(&current.turn, LEASE).await? {
        tracing::warn!(cell = %current.turn.cell, kind = K::NAME, "another replica took the turn over");
        return Ok(None);
    }
    let count = current.left.len().min(SIDE_BY_SIDE);
    let places: Vec<(Place, K::Ward)> = current.left.drain(..count).collect();
    let looks = places.iter().map(|(_, ward)| K::look(deps, &current.cell, ward));
    let found = join_all(looks).await;
    for ((place, _), found) in places.iter().zip(found) {
        let (cell, kind) = (&current.turn.cell, K::NAME);
        match found {
            Ok(None) => current.there.retain(|there| *there != place.to_string()),
            Ok(Some(report)) => {
                let spot = crate::guard::Spot { environment: &current.turn.environment, cell, kind: K::KIND, place };
                if let Err(error) = record(deps, spot, &report).await {
                    tracing::warn!(%cell, %place, kind, %error, "what was found could not be kept");
                    current.failed += 1;
                }
            }
            Err(error) => {
                tracing::warn!(%cell, %place, kind, %error, "the place cannot be looked at");
                current.failed += 1;
            }
        }
    }
    Ok(Some(current))
}

/// Gives the turn back.
async fn end<K: Inspect>(deps: &Deps, current: Current<K>) -> Result<(), StoreError> {
    let Current { turn, there, failed, .. } = current;
    forget_all(deps, &turn, &there).await?;
    let failure = (failed > 0).then(|| format!("{failed} place(s) could not be looked at"));
    deps.store().isolation_end(&turn, failure.as_deref(), pause::<K>(deps, failed > 0)).await
}

fn pause<K: Inspect>(deps: &Deps, has_failed: bool) -> Duration {
    let every = K::every(deps).unwrap_or(AGAIN);
    if has_failed { every.min(AGAIN) } else { every }
}
