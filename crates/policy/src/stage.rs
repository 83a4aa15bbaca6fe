//! The rules in force, and beside them, if wanted, rules that are only tried: both are asked, one decides, and where
//! they differ is counted.
//!
//! INVARIANT: both are swapped as a whole. A question is answered by one engine from beginning to end, and no answer
//! waits for a swap.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::Serialize;

use crate::answer::Answer;
use crate::engine::Engine;
use crate::question::Question;
use crate::shelf::Choice;

/// Most differences that are kept to be looked at.
const MAX_DIFFERENCES: usize = 32;

/// What is called with every decision, for logs and metrics. It must not wait.
pub type Hook = Arc<dyn Fn(&Question, &Answer) + Send + Sync>;

/// The rules in force, and those that are tried.
pub struct Stage {
    active: ArcSwap<Engine>,
    shadow: ArcSwapOption<Engine>,
    /// How those in force came into force.
    chosen: ArcSwapOption<Choice>,
    counts: Counts,
    differences: Mutex<VecDeque<Difference>>,
    hook: Option<Hook>,
}

#[derive(Debug, Default)]
struct Counts {
    allowed: AtomicU64,
    refused: AtomicU64,
    faulted: AtomicU64,
    same: AtomicU64,
    different: AtomicU64,
}

/// Numbers since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Questions that were allowed.
    pub allowed: u64,
    /// Questions that were refused.
    pub refused: u64,
    /// Of both: those with a rule that could not be evaluated.
    pub faulted: u64,
    /// Questions that the tried rules answered in the same way.
    pub shadow_same: u64,
    /// Questions that they would have answered in another way.
    pub shadow_different: u64,
}

/// A question that the tried rules would have answered in another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What was wanted.
    pub action: String,
    /// By whom.
    pub principal: String,
    /// The answer that was given.
    pub active: Answer,
    /// The answer that would have been given.
    pub shadow: Answer,
}

impl Stage {
    /// Begins with rules that are in force at once.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self {
            active: ArcSwap::from_pointee(engine),
            shadow: ArcSwapOption::empty(),
            chosen: ArcSwapOption::empty(),
            counts: Counts::default(),
            differences: Mutex::default(),
            hook: None,
        }
    }

    /// Calls something with every decision.
    #[must_use]
    pub fn with_hook(self, hook: Hook) -> Self {
        Self { hook: Some(hook), ..self }
    }

    /// Decides by the rules in force.
    #[must_use]
    pub fn ask(&self, question: &Question) -> Answer {
        let answer = self.active.load().ask(question);
        let count = if answer.allowed { &self.counts.allowed } else { &self.counts.refused };
        count.fetch_add(1, Ordering::Relaxed);
        if !answer.faults.is_empty() {
            self.counts.faulted.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(shadow) = &*self.shadow.load() {
            self.compare(question, &answer, shadow.ask(question));
        }
        if let Some(hook) = &self.hook {
            hook(question, &answer);
        }
        answer
    }

    /// The rules in force.
    #[must_use]
    pub fn active(&self) -> Arc<Engine> {
        self.active.load_full()
    }

    /// The rules that are tried.
    #[must_use]
    pub fn shadow(&self) -> Option<Arc<Engine>> {
        self.shadow.load_full()
    }

    /// Puts rules in force; gives those that were. Rules that are tried go on being tried.
    pub fn activate(&self, engine: Engine) -> Arc<Engine> {
        self.activate_by(engine, None)
    }

    /// The same, and by whose word: nobody's when they were taken as they came.
    pub fn activate_by(&self, engine: Engine, choice: Option<Choice>) -> Arc<Engine> {
        self.chosen.store(choice.map(Arc::new));
        self.active.swap(Arc::new(engine))
    }

    /// By whose word the rules in force came into force; `None` when they were taken as they came.
    #[must_use]
    pub fn chosen(&self) -> Option<Arc<Choice>> {
        self.chosen.load_full()
    }

    /// Tries rules beside those in force, or stops it. What was counted about others begins at nothing.
    pub fn try_out(&self, engine: Option<Engine>) {
        self.counts.same.store(0, Ordering::Relaxed);
        self.counts.different.store(0, Ordering::Relaxed);
        self.lock().clear();
        self.shadow.store(engine.map(Arc::new));
    }

    /// The numbers.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            allowed: read(&self.counts.allowed),
            refused: read(&self.counts.refused),
            faulted: read(&self.counts.faulted),
            shadow_same: read(&self.counts.same),
            shadow_different: read(&self.counts.different),
        }
    }

    /// The newest questions that the tried rules would have answered in another way, oldest first.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        self.lock().iter().cloned().collect()
    }

    fn compare(&self, question: &Question, active: &Answer, shadow: Answer) {
        // Two refusals by other rules tell the caller other things to do.
        if active.allowed == shadow.allowed && (active.allowed || active.rules == shadow.rules) {
            self.counts.same.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.counts.different.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.lock();
        if kept.len() == MAX_DIFFERENCES {
            kept.pop_front();
        }
        let (action, principal) = (question.action.clone(), question.principal.name());
        kept.push_back(Difference { action, principal, active: active.clone(), shadow });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Difference>> {
        self.differences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("active", &self.active().fingerprint()).field("tally", &self.tally()).finish()
    }
}
