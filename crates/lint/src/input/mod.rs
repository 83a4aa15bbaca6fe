//! Files and logs: what to read, and what is in it. The only part of this crate that touches the file system.
//!
//! INVARIANT: a file is read up to a bound and no further; folders are walked in the order of their names.

mod csv;
mod log;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use log::{Format, LogError, records};

use crate::source::Source;

/// Bytes an input may have: 64 MiB, more than any migration and a day's worth of `pg_stat_statements`.
pub const INPUT_MAX: u64 = 64 << 20;

/// How deep folders may lie in each other; a link to a parent ends here.
const FOLDERS_MAX: usize = 32;

/// Why an input cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The system says no.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is too much of it.
    #[error("`{path}` has more than {INPUT_MAX} bytes")]
    TooLarge {
        /// The path.
        path: String,
    },
    /// It is no text.
    #[error("`{path}` is not UTF-8 from byte {at} on")]
    NotText {
        /// The path.
        path: String,
        /// The first byte that is none.
        at: usize,
    },
    /// A folder holds nothing to read.
    #[error("the folder `{path}` holds no .sql file")]
    Empty {
        /// The path.
        path: String,
    },
    /// A log is not what it should be.
    #[error("`{path}` is no such log")]
    Log {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: LogError,
    },
}

/// The files of a path: itself, or all `*.sql` below a folder, in order. Hidden ones are left out.
///
/// # Errors
/// The path cannot be read, or a folder holds no SQL.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, InputError> {
    let data = fs::metadata(path).map_err(|source| unreadable(path, source))?;
    if !data.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    walk(path, 0, &mut found)?;
    if found.is_empty() {
        return Err(InputError::Empty { path: path.display().to_string() });
    }
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), InputError> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut paths: Vec<PathBuf> =
        entries.map_err(|source| unreadable(folder, source))?.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        if path.is_dir() {
            if depth < FOLDERS_MAX {
                walk(&path, depth + 1, found)?;
            }
        } else if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("sql")) {
            found.push(path);
        }
    }
    Ok(())
}

/// Reads one file as SQL, or as a log when a format says so or its name does (`.csv`, `.json`, `.jsonl`).
///
/// # Errors
/// The file cannot be read, is too large, no text, or no such log.
pub fn file(path: &Path, format: Option<Format>) -> Result<Source, InputError> {
    let reader = fs::File::open(path).map_err(|source| unreadable(path, source))?;
    let end = path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
    let format = format.or_else(|| matches!(end.as_str(), "csv" | "json" | "jsonl" | "ndjson").then_some(Format::Auto));
    read(reader, &path.display().to_string(), format)
}

/// Reads an open input.
///
/// # Errors
/// As [`file`].
pub fn read(reader: impl std::io::Read, name: &str, format: Option<Format>) -> Result<Source, InputError> {
    let mut bytes = Vec::new();
    let path = || name.to_owned();
    reader
        .take(INPUT_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| InputError::Unreadable { path: path(), source })?;
    if bytes.len() as u64 > INPUT_MAX {
        return Err(InputError::TooLarge { path: path() });
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| InputError::NotText { path: path(), at: error.utf8_error().valid_up_to() })?;
    // A mark of byte order is no SQL.
    let text = text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned);
    match format {
        None => Ok(Source::sql(name, text)),
        Some(format) => {
            let records = records(&text, format).map_err(|source| InputError::Log { path: path(), source })?;
            Ok(Source::log(name, records))
        }
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> InputError {
    InputError::Unreadable { path: path.display().to_string(), source }
}
