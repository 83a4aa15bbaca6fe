//! Keeps the rules in force up to date with a source: fetches, checks, tries out, puts in force, rolls back.
//!
//! INVARIANT: whatever goes wrong on the way (the source is away, a bundle is too large, not valid, not signed, fails
//! its own tests, cannot be kept on disk), the rules in force stay. A bundle that was rolled back from is not put in
//! force again until the source has another one, or somebody asks for it.

use std::sync::Arc;

use tenantry_domain::code::{Code, FieldError};
use tokio::sync::Mutex;

use crate::bundle::{Bundle, BundleError, Compiled, Digest};
use crate::cases;
use crate::shelf::{Shelf, ShelfError, State};
use crate::signature::{Trust, TrustError};
use crate::source::{Credential, Fetched, Source, SourceError};
use crate::stage::Stage;

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

/// Why the rules in force stayed.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// The source has no bundle for us.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nobody known made it.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It is not valid, or fails its own tests.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It cannot be kept or read back.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// Nothing is tried, so nothing can be put in force.
    #[error("no bundle is being tried")]
    NothingTried,
    /// There is no earlier bundle, or no folder that keeps them.
    #[error("there is no earlier bundle to go back to")]
    NoEarlier,
}

impl SupplyError {
    /// The code that callers see.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Source(error) => error.code(),
            Self::Trust(error) => error.code(),
            Self::Bundle(error) => error.code(),
            Self::Shelf(error) => error.code(),
            Self::NothingTried | Self::NoEarlier => Code::PolicyBundleNotKept,
        }
    }

    /// Everything that is wrong with the bundle, file by file; empty when it is something else.
    #[must_use]
    pub fn complaints(&self) -> Vec<FieldError> {
        match self {
            Self::Bundle(error) | Self::Source(SourceError::Bundle(error)) => error.complaints(),
            _ => Vec::new(),
        }
    }
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
    withdrawn: Vec<Digest>,
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
        let mut memory = self.memory.lock().await;
        let Some(shelf) = self.shelf.clone() else {
            return Ok(None);
        };
        let state = shelf.state()?;
        memory.withdrawn = state.withdrawn;
        let Some(digest) = state.active else {
            return Ok(None);
        };
        let bundle = blocking(move || shelf.load(digest)).await??;
        let (_, compiled) = self.vet(bundle).await?;
        self.stage.activate(compiled.engine);
        memory.active = Some(digest);
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
        let is_tried = memory.shadow.as_ref().is_some_and(|tried| tried.digest() == digest);
        if memory.active == Some(digest) || (is_tried && way == Way::Shadow) {
            memory.tag = tag;
            return Ok(Outcome::Unchanged);
        }
        if memory.withdrawn.contains(&digest) {
            return Ok(Outcome::Withdrawn(digest));
        }
        let outcome = self.put(bundle, way, &mut memory).await?;
        // Only now: a bundle that was refused is fetched and complained about again.
        memory.tag = tag;
        Ok(outcome)
    }

    /// Takes a bundle that somebody handed over.
    ///
    /// # Errors
    /// Why the rules in force stayed.
    pub async fn take(&self, bundle: Bundle, way: Way) -> Result<Outcome, SupplyError> {
        self.put(bundle, way, &mut *self.memory.lock().await).await
    }

    /// Puts in force what was tried.
    ///
    /// # Errors
    /// Nothing is tried, or it cannot be kept.
    pub async fn promote(&self) -> Result<Outcome, SupplyError> {
        let mut memory = self.memory.lock().await;
        let bundle = memory.shadow.take().ok_or(SupplyError::NothingTried)?;
        let again = bundle.clone();
        let put = self.put(*bundle, Way::Active, &mut memory).await;
        match &put {
            Ok(_) => self.stage.try_out(None),
            Err(_) => memory.shadow = Some(again),
        }
        put
    }

    /// Ends a trial.
    pub async fn discard(&self) {
        self.memory.lock().await.shadow = None;
        self.stage.try_out(None);
    }

    /// Puts an earlier bundle in force again: the one named, or the one before.
    ///
    /// # Errors
    /// There is none, it is not kept any more, or does not hold any more.
    pub async fn roll_back(&self, to: Option<Digest>) -> Result<Digest, SupplyError> {
        let mut memory = self.memory.lock().await;
        let shelf = self.shelf.clone().ok_or(SupplyError::NoEarlier)?;
        let state = shelf.state()?;
        let digest = to
            // One that was gone back from is not what anybody means by the one before.
            .or_else(|| state.earlier.iter().copied().find(|digest| !state.withdrawn.contains(digest)))
            .ok_or(SupplyError::NoEarlier)?;
        let (reader, writer) = (shelf.clone(), shelf);
        let bundle = blocking(move || reader.load(digest)).await??;
        let (_, compiled) = self.vet(bundle).await?;
        let state = blocking(move || writer.roll_back(digest)).await??;
        self.stage.activate(compiled.engine);
        (memory.active, memory.withdrawn) = (state.active, state.withdrawn);
        // What the source has is looked at anew.
        memory.tag = None;
        Ok(digest)
    }

    /// What is in force, and what was; nothing is known without a shelf.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn state(&self) -> Result<State, SupplyError> {
        Ok(self.shelf.as_ref().map_or_else(|| Ok(State::default()), Shelf::state)?)
    }

    async fn put(&self, bundle: Bundle, way: Way, memory: &mut Memory) -> Result<Outcome, SupplyError> {
        let (bundle, compiled) = self.vet(bundle).await?;
        let digest = bundle.digest();
        match way {
            Way::Shadow => {
                self.stage.try_out(Some(compiled.engine));
                memory.shadow = Some(Box::new(bundle));
                Ok(Outcome::Shadowed(digest))
            }
            Way::Active => {
                if let Some(shelf) = self.shelf.clone() {
                    // On disk first: what is in force outlives the process.
                    let state = blocking(move || shelf.activate(&bundle)).await??;
                    memory.withdrawn = state.withdrawn;
                }
                self.stage.activate(compiled.engine);
                memory.active = Some(digest);
                // There is nothing left to compare.
                if memory.shadow.as_ref().is_some_and(|tried| tried.digest() == digest) {
                    memory.shadow = None;
                    self.stage.try_out(None);
                }
                Ok(Outcome::Activated(digest))
            }
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

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SupplyError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        let source = std::io::Error::other(error);
        SupplyError::Shelf(ShelfError::Files { path: "worker".to_owned(), source })
    })
}
