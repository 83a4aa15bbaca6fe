//! A bundle: a few files that make the policy of an installation, under one digest.
//!
//! `policy.toml` names it and holds the settings, `*.cedar` are the rules, `schema.cedarschema` types the settings of
//! its own, `tests/*.yaml|json` are questions with their answers, `bundle.sig` is the signature. INVARIANT: a
//! [`Bundle`] is within its bounds and its paths name files inside of it; nothing is known of what they say. Whether
//! it may be used is decided by [`Bundle::compile`] (is it valid), [`crate::signature::Trust`] (who made it) and
//! [`crate::cases`] (does it do what it promises), in that order in [`crate::Supply`].

mod archive;
mod compile;
mod digest;
mod folder;
mod manifest;

use std::collections::BTreeMap;

use tenantry_domain::code::{Code, FieldError};

pub use archive::pack;
pub use compile::Compiled;
pub use digest::Digest;
pub use manifest::Manifest;

/// Most bytes of all files together, and of an archive as it comes.
pub const MAX_BYTES: usize = 8 << 20;

/// Most files.
pub const MAX_FILES: usize = 2_000;

/// Longest path of a file, in bytes.
pub const MAX_PATH: usize = 200;

/// The file that holds the signature; it is not part of the digest.
pub const SIGNATURE: &str = "bundle.sig";

/// The file that every bundle has.
pub const MANIFEST: &str = "policy.toml";

/// The type of its own settings.
pub const SCHEMA: &str = "schema.cedarschema";

/// Files of a policy, by their path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
    digest: Digest,
}

/// Why files are no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Something in it is wrong; everything that is, up to a bound.
    #[error("{}: {}{}", .0.first().map_or("", |first| &first.field), .0.first().map_or("", |first| &first.message), more(.0.len()))]
    Invalid(Vec<FieldError>),
    /// More than [`MAX_BYTES`].
    #[error("the bundle has more than {} MiB", MAX_BYTES >> 20)]
    Large,
    /// More than [`MAX_FILES`].
    #[error("the bundle has more than {MAX_FILES} files")]
    Many,
    /// A path that leads outside, is hidden, or has letters that file systems disagree on.
    #[error("`{0}` is no path of a bundle: letters, digits, `.`, `_`, `-`, folders by `/`, 200 characters at most")]
    Path(String),
    /// A link, a device or the like.
    #[error("`{0}` is neither a file nor a folder")]
    Sort(String),
    /// Two files of one path.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// It is no archive of the kind that is read.
    #[error("the archive cannot be read as tar with gzip")]
    Archive(#[source] std::io::Error),
    /// A file or folder cannot be read.
    #[error("`{path}` cannot be read")]
    Read {
        /// Which one.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

fn more(count: usize) -> String {
    if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() }
}

impl BundleError {
    /// The code that callers see.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::PolicyBundleInvalid
    }

    /// Everything that is wrong, file by file.
    #[must_use]
    pub fn complaints(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(all) => all.clone(),
            Self::Read { path, source } => vec![FieldError::new(path, source)],
            other => vec![FieldError::new("bundle", other)],
        }
    }
}

impl Bundle {
    /// Makes one of files that were read.
    ///
    /// # Errors
    /// They are out of bounds, or a path is not one of a bundle.
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Result<Self, BundleError> {
        let mut gathering = Gathering::default();
        for (path, bytes) in files {
            gathering.add(path, bytes)?;
        }
        gathering.end()
    }

    /// What its files are together, the signature apart.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// A file.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// All files, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// Files that end so, as text.
    pub(crate) fn texts(&self, ends: &[&str]) -> Result<Vec<(String, &str)>, FieldError> {
        let chosen = self.files.iter().filter(|(path, _)| ends.iter().any(|end| path.ends_with(end)));
        chosen.map(|(path, bytes)| Ok((path.clone(), text(path, bytes)?))).collect()
    }
}

/// The bytes of a file as text.
fn text<'b>(path: &str, bytes: &'b [u8]) -> Result<&'b str, FieldError> {
    std::str::from_utf8(bytes).map_err(|error| FieldError::new(path, format!("is no UTF-8 text: {error}")))
}

/// Files that are being gathered into a bundle, within its bounds at every moment.
#[derive(Debug, Default)]
struct Gathering {
    files: BTreeMap<String, Vec<u8>>,
    bytes: usize,
}

impl Gathering {
    /// How many bytes there is room for.
    const fn room(&self) -> usize {
        MAX_BYTES - self.bytes
    }

    fn add(&mut self, path: String, bytes: Vec<u8>) -> Result<(), BundleError> {
        if !is_path(&path) {
            return Err(BundleError::Path(path.chars().take(MAX_PATH).collect()));
        }
        if bytes.len() > self.room() {
            return Err(BundleError::Large);
        }
        if self.files.len() == MAX_FILES {
            return Err(BundleError::Many);
        }
        self.bytes += bytes.len();
        match self.files.insert(path.clone(), bytes) {
            Some(_) => Err(BundleError::Twice(path)),
            None => Ok(()),
        }
    }

    fn end(self) -> Result<Bundle, BundleError> {
        let digest = Digest::of(&self.files);
        Ok(Bundle { files: self.files, digest })
    }
}

/// Whether a path stays inside, is not hidden, and is the same on every file system.
fn is_path(path: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(letter);
    path.len() <= MAX_PATH && path.split('/').count() <= 5 && path.split('/').all(part)
}

/// Whether a path, or a folder above it, is hidden: such files belong to tools and are left out.
fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.') && part != "." && part != "..")
}
