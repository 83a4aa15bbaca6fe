//! Bundles that were in force, kept on disk: what a process starts with when the source is away, and what is rolled
//! back to.
//!
//! A folder with one archive per bundle, named by its digest, and `state.json`: which one is in force and who chose it,
//! which were before, which one is tried, which were withdrawn. INVARIANT: a file is written beside, synced and renamed,
//! so that a kill at any moment leaves the old or the new one; what is read back is hashed again before it is used.
//! INVARIANT: who changes the state holds the lock (a [`Held`]) and begins from what it reads meanwhile, so that a process
//! which takes a new bundle and a person who goes back from one do not undo each other's work.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tenantry_domain::Timestamp;
use tenantry_domain::code::Code;

use crate::bundle::{self, Bundle, BundleError, Digest, MAX_BYTES};

/// Most bundles that are kept.
pub const KEPT: usize = 10;

/// What the state is written to.
const STATE: &str = "state.json";

/// What is locked; there is nothing in it.
const LOCK: &str = "lock";

/// A folder of bundles.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
}

/// A shelf that nobody else changes: [`Shelf::hold`] makes it, and the system lets go when it is dropped or its process
/// ends, in whatever way.
#[derive(Debug)]
pub struct Held {
    shelf: Shelf,
    /// Kept, not used: the lock goes with it.
    _lock: File,
}

/// What is in force, and what was. Fields that a later release wrote are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The one in force; absent means the shipped rules.
    pub active: Option<Digest>,
    /// Those before, the newest first.
    #[serde(default)]
    pub earlier: Vec<Digest>,
    /// Those that were rolled back from: they are not taken again from the source. At most [`KEPT`] of them, the last one first.
    #[serde(default, deserialize_with = "one_or_more")]
    pub withdrawn: Vec<Digest>,
    /// The one that is tried beside the one in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Digest>,
    /// How the one in force came into force; absent when it was taken as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Choice>,
}

/// Somebody's word that a bundle is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// In which way.
    pub how: How,
    /// By whom, when and why.
    pub word: Word,
}

/// How a bundle comes into force by somebody's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// It was in force earlier.
    RolledBack,
    /// It was tried before.
    Promoted,
}

/// Who chose, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Word {
    /// When.
    pub at: Timestamp,
    /// Who, as far as the caller knows; nobody proved it here.
    pub by: String,
    /// Why; absent when nobody said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl State {
    /// Those whose archives are kept: the one in force, the ones before, the one that is tried. One may be there twice.
    pub fn kept(&self) -> impl Iterator<Item = Digest> + '_ {
        self.active.into_iter().chain(self.earlier.iter().copied()).chain(self.tried)
    }
}

/// Reads what earlier releases wrote as well, who knew of one.
fn one_or_more<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Digest>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        More(Vec<Digest>),
        One(Option<Digest>),
    }
    Ok(match Written::deserialize(from)? {
        Written::More(all) => all,
        Written::One(one) => one.into_iter().collect(),
    })
}

/// Why bundles cannot be kept or read back.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// A file or the folder cannot be read or written.
    #[error("`{path}` cannot be used")]
    Files {
        /// Which one.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// `state.json` is not what was written.
    #[error("`{0}` cannot be read; remove it to begin anew")]
    State(String),
    /// Somebody else changes it, and has not ended.
    #[error("another process holds `{0}`")]
    Busy(String),
    /// It was never here, or was removed for newer ones.
    #[error("no bundle {0} is kept")]
    NotKept(Digest),
    /// It is not what was written.
    #[error("the file of bundle {0} was changed on disk")]
    Changed(Digest),
    /// It cannot be read back.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl ShelfError {
    /// The code that callers see.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NotKept(_) => Code::PolicyBundleNotKept,
            Self::Bundle(error) => error.code(),
            Self::Files { .. } | Self::State(_) | Self::Busy(_) | Self::Changed(_) => Code::Internal,
        }
    }
}

impl Shelf {
    /// Uses a folder, and makes it when it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, ShelfError> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|source| unusable(&folder, source))?;
        Ok(Self { folder })
    }

    /// What is in force, and what was.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn state(&self) -> Result<State, ShelfError> {
        let path = self.folder.join(STATE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| ShelfError::State(path.display().to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(State::default()),
            Err(source) => Err(unusable(&path, source)),
        }
    }

    /// Keeps everybody else from changing it; `None` while somebody else does. It does not wait.
    ///
    /// # Errors
    /// The lock cannot be used.
    pub fn hold(&self) -> Result<Option<Held>, ShelfError> {
        let path = self.lock();
        let opened = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let lock = opened.map_err(|source| unusable(&path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Held { shelf: self.clone(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(unusable(&path, source)),
        }
    }

    /// A bundle that is kept.
    ///
    /// # Errors
    /// It is not, or not as it was written.
    pub fn load(&self, digest: Digest) -> Result<Bundle, ShelfError> {
        let path = self.folder.join(name(digest));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(ShelfError::NotKept(digest)),
            Err(source) => return Err(unusable(&path, source)),
        };
        let mut bytes = Vec::new();
        // Packing makes bundles smaller, apart from a few bytes for each file.
        file.take(2 * MAX_BYTES as u64).read_to_end(&mut bytes).map_err(|source| unusable(&path, source))?;
        let bundle = Bundle::read_archive(&bytes).map_err(|_| ShelfError::Changed(digest))?;
        if bundle.digest() == digest { Ok(bundle) } else { Err(ShelfError::Changed(digest)) }
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.folder.join(LOCK)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ShelfError> {
        let path = self.folder.join(name);
        let beside = self.folder.join(format!(".{name}.{}", std::process::id()));
        let written = File::create(&beside)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&beside, &path))
            .and_then(|()| File::open(&self.folder).and_then(|folder| folder.sync_all()));
        written.map_err(|source| {
            let _ = fs::remove_file(&beside);
            unusable(&path, source)
        })
    }
}

impl Held {
    /// As of [`Shelf::state`]; it stays so until this one changes it or is dropped.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn state(&self) -> Result<State, ShelfError> {
        self.shelf.state()
    }

    /// As of [`Shelf::load`]; nobody removes it meanwhile.
    ///
    /// # Errors
    /// It is not kept, or not as it was written.
    pub fn load(&self, digest: Digest) -> Result<Bundle, ShelfError> {
        self.shelf.load(digest)
    }

    /// Keeps a bundle and writes down that it is in force.
    ///
    /// # Errors
    /// It cannot be written; what was in force still is.
    pub fn activate(&self, bundle: &Bundle) -> Result<State, ShelfError> {
        let digest = bundle.digest();
        self.keep(bundle)?;
        let state = self.state()?;
        let withdrawn = state.withdrawn.iter().copied().filter(|withdrawn| *withdrawn != digest).collect();
        self.put(&state, State { withdrawn, ..in_front(&state, digest) })
    }

    /// Keeps a bundle and writes down that it is tried, in the place of another one that was.
    ///
    /// # Errors
    /// It cannot be written; what was tried still is.
    pub fn try_out(&self, bundle: &Bundle) -> Result<State, ShelfError> {
        self.keep(bundle)?;
        let state = self.state()?;
        self.put(&state, State { tried: Some(bundle.digest()), ..state.clone() })
    }

    /// Writes down that nothing is tried.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end_trial(&self) -> Result<State, ShelfError> {
        let state = self.state()?;
        if state.tried.is_none() {
            return Ok(state);
        }
        self.put(&state, State { tried: None, ..state.clone() })
    }

    /// Writes down that somebody chose a bundle that is kept. Who goes back withdraws the present one.
    ///
    /// # Errors
    /// It is not kept, or nothing can be written; what was in force still is.
    pub fn choose(&self, digest: Digest, choice: Choice) -> Result<State, ShelfError> {
        let state = self.state()?;
        if !state.kept().any(|kept| kept == digest) {
            return Err(ShelfError::NotKept(digest));
        }
        let left = state.active.filter(|_| choice.how == How::RolledBack);
        let withdrawn = left.into_iter().chain(state.withdrawn.iter().copied().filter(|other| Some(*other) != left));
        let withdrawn = withdrawn.filter(|withdrawn| *withdrawn != digest).take(KEPT).collect();
        self.put(&state, State { withdrawn, chosen: Some(choice), ..in_front(&state, digest) })
    }

    fn keep(&self, bundle: &Bundle) -> Result<(), ShelfError> {
        let packed = bundle::pack(bundle).map_err(|source| unusable(&self.shelf.folder, source))?;
        self.shelf.write(&name(bundle.digest()), &packed)
    }

    /// Writes a state down, and removes files that nobody can go back to any more.
    fn put(&self, before: &State, next: State) -> Result<State, ShelfError> {
        let text = serde_json::to_vec_pretty(&next).map_err(|_| ShelfError::State(STATE.to_owned()))?;
        self.shelf.write(STATE, &text)?;
        for old in before.kept().filter(|old| !next.kept().any(|kept| kept == *old)) {
            // What stays costs a file, nothing else.
            let _ = fs::remove_file(self.shelf.folder.join(name(old)));
        }
        Ok(next)
    }
}

/// The state with a digest in force, as it came, and what was in force before it.
fn in_front(state: &State, digest: Digest) -> State {
    let before = state.active.into_iter().chain(state.earlier.iter().copied());
    State {
        active: Some(digest),
        earlier: before.filter(|other| *other != digest).take(KEPT - 1).collect(),
        withdrawn: state.withdrawn.clone(),
        tried: state.tried.filter(|tried| *tried != digest),
        chosen: None,
    }
}

fn name(digest: Digest) -> String {
    format!("{}.tar.gz", digest.hex())
}

fn unusable(path: &Path, source: std::io::Error) -> ShelfError {
    ShelfError::Files { path: path.display().to_string(), source }
}
