//! Keeps the rules in force up to date with a source: fetches, checks, tries out, puts in force, rolls back.
//!
//! INVARIANT: whatever goes wrong on the way (the source is away, a bundle is too large, not valid, not signed, fails
//! its own tests, cannot be kept on disk), the rules in force stay. A bundle that was rolled back from is not put in
//! force again unless somebody asks for it. What is in force is what the shelf says, where there is one: it is written
//! there first, and what somebody else wrote there is followed ([`Supply::follow`]).

mod error;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::bundle::{Bundle, Compiled, Digest};
use crate::cases;
use crate::shelf::{Choice, Held, How, Shelf, ShelfError, State, Word};
use crate::signature::Trust;
use crate::source::{Credential, Fetched, Source};
use crate::stage::Stage;

pub use error::SupplyError;

/// How long a change of the shelf waits for somebody else's. Those take milliseconds, and seconds where a large bundle is
/// looked at meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two tries for the lock.
const PAUSE: Duration = Duration::from_millis(20);

/// What is done with a new bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is put in force.
    Active,
    /// It is tried beside the rules in force.
    Shadow,
}

/// What a look at the source led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The source has what it had.
    Unchanged,
    /// A new bundle is in force.
    Activated(Digest),
    /// A new bundle is tried.
    Shadowed(Digest),
    /// The source still has the bundle that was rolled back from.
    Withdrawn(Digest),
}

/// What somebody's choice led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// What was in force; absent means the shipped rules.
    pub before: Option<Digest>,
    /// What is in force.
    pub now: Digest,
}

impl Turn {
    /// Whether anything is different from before.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.before != Some(self.now)
    }
}

/// By whose wish a bundle comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// It is what the source has.
    Source,
    /// Somebody handed it over.
    Somebody,
}

/// A source with everything that a bundle has to pass on its way.
#[derive(Debug)]
pub struct Supply {
    source: Option<Source>,
    credential: Option<Credential>,
    trust: Trust,
    shelf: Option<Shelf>,
    stage: Arc<Stage>,
    /// One look, change of mind or roll back at a time.
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    tag: Option<String>,
    active: Option<Digest>,
    shadow: Option<Box<Bundle>>,
}

impl Memory {
    fn tried(&self) -> Option<Digest> {
        self.shadow.as_ref().map(|tried| tried.digest())
    }
}

impl Supply {
    /// Prepares it; nothing is fetched yet. Without a source, bundles come by [`Supply::take`] alone; without a shelf,
    /// a new process begins with the shipped rules.
    #[must_use]
    pub fn new(source: Option<Source>, trust: Trust, shelf: Option<Shelf>, stage: Arc<Stage>) -> Self {
        Self { source, credential: None, trust, shelf, stage, memory: Mutex::default() }
    }

    /// Shows something to the source's server.
    #[must_use]
    pub fn with_credential(self, credential: Credential) -> Self {
        Self { credential: Some(credential), ..self }
    }

    /// The rules in force.
    #[must_use]
    pub const fn stage(&self) -> &Arc<Stage> {
        &self.stage
    }

    /// Puts in force what was in force when the last process ended; nothing when there was nothing.
    ///
    /// # Errors
    /// It cannot be read back, or does not hold any more; the caller goes on with the shipped rules or not at all.
    pub async fn resume(&self) -> Result<Option<Digest>, SupplyError> {
        self.follow().await
    }

    /// Puts in force what was chosen on the shelf since: by a person, or by another process that uses the same folder.
    /// Gives it when it was not in force here. Neither asks the source nor waits for whoever changes the shelf.
    ///
    /// # Errors
    /// The shelf cannot be read, or what was chosen does not hold here; the rules in force stay.
    pub async fn follow(&self) -> Result<Option<Digest>, SupplyError> {
        let mut memory = self.memory.lock().await;
        let Some(shelf) = self.shelf.clone() else {
            return Ok(None);
        };
        let reader = shelf.clone();
        let state = blocking(move || reader.state()).await??;
        // A shelf that was emptied says nothing about what is to be in force.
        let Some(digest) = state.active.filter(|digest| memory.active != Some(*digest)) else {
            return Ok(None);
        };
        let bundle = blocking(move || shelf.load(digest)).await??;
        let (_, compiled) = self.vet(bundle).await?;
        self.stage.activate_by(compiled.engine, state.chosen);
        self.settle(&mut memory, digest);
        // What the source has is looked at anew.
        memory.tag = None;
        Ok(Some(digest))
    }

    /// Looks at the source.
    ///
    /// # Errors
    /// Why the rules in force stayed.
    pub async fn refresh(&self, way: Way) -> Result<Outcome, SupplyError> {
        let Some(source) = &self.source else {
            return Ok(Outcome::Unchanged);
        };
        let mut memory = self.memory.lock().await;
        let (bundle, tag) = match source.fetch(self.credential.as_ref(), memory.tag.as_deref()).await? {
            Fetched::Unchanged => return Ok(Outcome::Unchanged),
            Fetched::Bundle(bundle, tag) => (*bundle, tag),
        };
        let digest = bundle.digest();
        if memory.active == Some(digest) || (memory.tried() == Some(digest) && way == Way::Shadow) {
            memory.tag = tag;
            return Ok(Outcome::Unchanged);
        }
        if self.state()?.withdrawn.contains(&digest) {
            return Ok(Outcome::Withdrawn(digest));
        }
        let outcome = self.put(bundle, way, Wish::Source, &mut memory).await?;
        // Only now: a bundle that was refused is fetched and complained about again, and so is one that is withdrawn.
        if !matches!(outcome, Outcome::Withdrawn(_)) {
            memory.tag = tag;
        }
        Ok(outcome)
    }

    /// Takes a bundle that somebody handed over.
    ///
    /// # Errors
    /// Why the rules in force stayed.
    pub async fn take(&self, bundle: Bundle, way: Way) -> Result<Outcome, SupplyError> {
        self.put(bundle, way, Wish::Somebody, &mut *self.memory.lock().await).await
    }

    /// Puts in force what is tried: here, or by a process that uses the same shelf. Whoever looked at one bundle names it,
    /// so that it is not another one that came meanwhile. Done already, it changes nothing.
    ///
    /// # Errors
    /// Nothing is tried or something else, or it does not hold any more or cannot be kept.
    pub async fn promote(&self, expected: Option<Digest>, word: Word) -> Result<Turn, SupplyError> {
        let mut memory = self.memory.lock().await;
        let held = match &self.shelf {
            Some(shelf) => Some(hold(shelf).await?),
            None => None,
        };
        let state = match &held {
            Some(held) => held.state()?,
            None => State { active: memory.active, tried: memory.tried(), ..State::default() },
        };
        let was_promoted = state.chosen.as_ref().is_some_and(|choice| choice.how == How::Promoted);
        if let Some(now) = state.active
            && (expected == Some(now) || (expected.is_none() && state.tried.is_none() && was_promoted))
        {
            return Ok(Turn { before: Some(now), now });
        }
        let digest = state.tried.ok_or(SupplyError::NothingTried)?;
        if expected.is_some_and(|expected| expected != digest) {
            return Err(SupplyError::OtherTried(digest));
        }
        let choice = Choice { how: How::Promoted, word };
        if let Some(held) = held {
            return self.choose(held, digest, choice, &mut memory).await;
        }
        let bundle = memory.shadow.clone().ok_or(SupplyError::NothingTried)?;
        let (_, compiled) = self.vet(*bundle).await?;
        self.stage.activate_by(compiled.engine, Some(choice));
        self.settle(&mut memory, digest);
        Ok(Turn { before: state.active, now: digest })
    }

    /// Ends a trial, also on the shelf.
    ///
    /// # Errors
    /// It cannot be written down; it has ended here.
    pub async fn discard(&self) -> Result<(), SupplyError> {
        let mut memory = self.memory.lock().await;
        memory.shadow = None;
        self.stage.try_out(None);
        if let Some(shelf) = &self.shelf
            && shelf.state()?.tried.is_some()
        {
            let held = hold(shelf).await?;
            blocking(move || held.end_trial()).await??;
        }
        Ok(())
    }

    /// Puts an earlier bundle in force again: the one named, or the one before. The one named may be in force already,
    /// which changes nothing; without a name each call goes one further back.
    ///
    /// # Errors
    /// There is none, it is not kept any more, or does not hold any more.
    pub async fn roll_back(&self, to: Option<Digest>, word: Word) -> Result<Turn, SupplyError> {
        let mut memory = self.memory.lock().await;
        let held = hold(self.shelf.as_ref().ok_or(SupplyError::NoEarlier)?).await?;
        let state = held.state()?;
        let digest = to
            // One that was gone back from is not what anybody means by the one before.
            .or_else(|| state.earlier.iter().copied().find(|digest| !state.withdrawn.contains(digest)))
            .ok_or(SupplyError::NoEarlier)?;
        if state.active == Some(digest) {
            return Ok(Turn { before: state.active, now: digest });
        }
        // What is only tried was never in force.
        if !state.earlier.contains(&digest) {
            return Err(ShelfError::NotKept(digest).into());
        }
        self.choose(held, digest, Choice { how: How::RolledBack, word }, &mut memory).await
    }

    /// What is in force, and what was; nothing is known without a shelf.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn state(&self) -> Result<State, SupplyError> {
        Ok(self.shelf.as_ref().map_or_else(|| Ok(State::default()), Shelf::state)?)
    }

    async fn put(&self, bundle: Bundle, way: Way, wish: Wish, memory: &mut Memory) -> Result<Outcome, SupplyError> {
        let (bundle, compiled) = self.vet(bundle).await?;
        let digest = bundle.digest();
        let bundle = match &self.shelf {
            None => bundle,
            Some(shelf) => {
                let held = hold(shelf).await?;
                // Asked under the lock: somebody may have gone back from it since it was fetched.
                if wish == Wish::Source && held.state()?.withdrawn.contains(&digest) {
                    return Ok(Outcome::Withdrawn(digest));
                }
                // On disk first: what is in force outlives the process.
                let keep = move || {
                    let kept = match way {
                        Way::Active => held.activate(&bundle),
                        Way::Shadow => held.try_out(&bundle),
                    };
                    kept.map(|_| bundle)
                };
                blocking(keep).await??
            }
        };
        match way {
            Way::Shadow => {
                self.stage.try_out(Some(compiled.engine));
                memory.shadow = Some(Box::new(bundle));
                Ok(Outcome::Shadowed(digest))
            }
            Way::Active => {
                self.stage.activate(compiled.engine);
                self.settle(memory, digest);
                Ok(Outcome::Activated(digest))
            }
        }
    }

    /// Puts in force what the shelf has, if it still passes.
    async fn choose(
        &self,
        held: Held,
        digest: Digest,
        choice: Choice,
        memory: &mut Memory,
    ) -> Result<Turn, SupplyError> {
        let (held, state, bundle) = blocking(move || {
            let (state, bundle) = (held.state(), held.load(digest));
            (held, state, bundle)
        })
        .await?;
        let before = state?.active;
        let (_, compiled) = self.vet(bundle?).await?;
        let state = blocking(move || held.choose(digest, choice)).await??;
        self.stage.activate_by(compiled.engine, state.chosen);
        self.settle(memory, digest);
        // What the source has is looked at anew.
        memory.tag = None;
        Ok(Turn { before, now: digest })
    }

    /// Remembers what is in force. If that was tried, there is nothing left to compare.
    fn settle(&self, memory: &mut Memory, digest: Digest) {
        memory.active = Some(digest);
        if memory.tried() == Some(digest) {
            memory.shadow = None;
            self.stage.try_out(None);
        }
    }

    /// Everything that a bundle has to pass: its maker, its form, its own tests.
    async fn vet(&self, bundle: Bundle) -> Result<(Bundle, Compiled), SupplyError> {
        self.trust.check(&bundle)?;
        // Reading and validating thousands of rules takes a processor for a while.
        blocking(move || {
            let compiled = bundle.compile()?;
            cases::passed(&cases::run(&compiled))?;
            Ok((bundle, compiled))
        })
        .await?
    }
}

/// Waits a while for whoever changes the shelf at the moment.
async fn hold(shelf: &Shelf) -> Result<Held, ShelfError> {
    let tries = async {
        loop {
            match shelf.hold() {
                Ok(Some(held)) => return Ok(held),
                Ok(None) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    };
    let held = tokio::time::timeout(PATIENCE, tries).await;
    held.unwrap_or_else(|_| Err(ShelfError::Busy(shelf.lock().display().to_string())))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SupplyError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        let source = std::io::Error::other(error);
        SupplyError::Shelf(ShelfError::Files { path: "worker".to_owned(), source })
    })
}
