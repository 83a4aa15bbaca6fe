//! Bundles that were in force, kept on disk: what a process starts with when the source is away, and what is rolled
//! back to.
//!
//! A folder with one archive per bundle, named by its digest, and `state.json`: which one is in force, which were
//! before, which one was withdrawn. INVARIANT: a file is written beside, synced and renamed, so that a kill at any
//! moment leaves the old or the new one; what is read back is hashed again before it is used.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tenantry_domain::code::Code;

use crate::bundle::{self, Bundle, BundleError, Digest, MAX_BYTES};

/// Most bundles that are kept.
pub const KEPT: usize = 10;

/// A folder of bundles.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
}

/// What is in force, and what was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// The one in force; absent means the shipped rules.
    pub active: Option<Digest>,
    /// Those before, the newest first.
    #[serde(default)]
    pub earlier: Vec<Digest>,
    /// Those that were rolled back from: they are not taken again from the source. At most [`KEPT`] of them, the last one first.
    #[serde(default, deserialize_with = "one_or_more")]
    pub withdrawn: Vec<Digest>,
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
            Self::Files { .. } | Self::State(_) | Self::Changed(_) => Code::Internal,
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
        let path = self.folder.join("state.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| ShelfError::State(path.display().to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(State::default()),
            Err(source) => Err(unusable(&path, source)),
        }
    }

    /// Keeps a bundle and writes down that it is in force.
    ///
    /// # Errors
    /// It cannot be written; what was in force still is.
    pub fn activate(&self, bundle: &Bundle) -> Result<State, ShelfError> {
        let digest = bundle.digest();
        let packed = bundle::pack(bundle).map_err(|source| unusable(&self.folder, source))?;
        self.write(&name(digest), &packed)?;
        let state = self.state()?;
        let withdrawn = state.withdrawn.iter().copied().filter(|withdrawn| *withdrawn != digest).collect();
        self.advance(State { withdrawn, ..state }, digest)
    }

    /// Writes down that an earlier bundle is in force again, and that the present one is withdrawn.
    ///
    /// # Errors
    /// It is not kept, or nothing can be written.
    pub fn roll_back(&self, digest: Digest) -> Result<State, ShelfError> {
        let state = self.state()?;
        let left = state.active.into_iter().chain(state.withdrawn.iter().copied());
        let withdrawn = left.filter(|withdrawn| *withdrawn != digest).take(KEPT).collect();
        self.advance(State { withdrawn, ..state }, digest)
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

    /// Puts a digest in front, and removes files that nobody can roll back to any more.
    fn advance(&self, state: State, digest: Digest) -> Result<State, ShelfError> {
        let mut earlier: Vec<_> =
            state.active.into_iter().chain(state.earlier).filter(|other| *other != digest).collect();
        earlier.dedup();
        let dropped = earlier.split_off(earlier.len().min(KEPT - 1));
        let next = State { active: Some(digest), earlier, withdrawn: state.withdrawn };
        let text = serde_json::to_vec_pretty(&next).map_err(|_| ShelfError::State("state.json".to_owned()))?;
        self.write("state.json", &text)?;
        for old in dropped {
            // What stays costs a file, nothing else.
            let _ = fs::remove_file(self.folder.join(name(old)));
        }
        Ok(next)
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

fn name(digest: Digest) -> String {
    format!("{}.tar.gz", digest.hex())
}

fn unusable(path: &Path, source: std::io::Error) -> ShelfError {
    ShelfError::Files { path: path.display().to_string(), source }
}
