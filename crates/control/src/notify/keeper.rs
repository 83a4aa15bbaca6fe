//! Gives up what is no news any more, whatever way it was to go by, and forgets what is older than the log.
//!
//! It runs in every process: also where a way was switched off while something waited for it, and where there never was one.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tenantry_store::StoreError;

use super::{KEPT, NEWS, OLD};
use crate::controllers::driver::{Controller, Look};
use crate::deps::Deps;

/// The controller.
#[derive(Debug, Default)]
pub struct Keeper {
    looked: Option<Instant>,
    forgot: Option<Instant>,
}

/// Between two looks for what is too old.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Between two looks for what is kept for no longer.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Notes and notifications that end together.
const TOGETHER: i64 = 1000;

impl Controller for Keeper {
    const NAME: &'static str = "old notifications";
    const IS_NUDGED: bool = true;

    fn every(&self, _: &Deps) -> Duration {
        LOOK_EVERY
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        let is_due = |last: Option<Instant>, every| last.is_none_or(|at| at.elapsed() >= every);
        let (store, stats) = (deps.store(), deps.notified());
        let before = |age: SignedDuration| deps.now().saturating_sub(age).unwrap_or_else(|_| deps.now());
        let mut has_more = false;
        if is_due(self.looked, LOOK_EVERY) {
            let notes = store.forget_notes(before(NEWS), TOGETHER).await?;
            let (mails, chats) = store.drop_notifications(deps.now(), before(NEWS), TOGETHER, OLD).await?;
            stats.count(false, "dropped", u64::try_from(mails).unwrap_or(0));
            stats.count(true, "dropped", u64::try_from(chats).unwrap_or(0));
            has_more = notes >= TOGETHER || mails + chats >= TOGETHER;
            self.looked = (!has_more).then(Instant::now);
        }
        if is_due(self.forgot, FORGET_EVERY) {
            let is_full = store.forget_notifications(before(KEPT), TOGETHER).await? >= TOGETHER;
            self.forgot = (!is_full).then(Instant::now);
            has_more |= is_full;
        }
        Ok(if has_more { Look::Again } else { Look::Done })
    }
}
