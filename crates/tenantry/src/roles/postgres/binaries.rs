//! Finds the programs of an installed PostgreSQL server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PostgresError;

/// The oldest version that the data plane supports.
pub(super) const OLDEST: u32 = 15;

/// A folder with `initdb` and `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    /// The path of a program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Looks in the named folder only, or else in `PATH` and in the folders of the usual packages, newest first. Data
/// that exist decide which major version it has to be.
pub(super) fn find(named: Option<&Path>, data: &Path) -> Result<Binaries, PostgresError> {
    let wanted = fs::read_to_string(data.join("PG_VERSION")).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let fits = |binaries: &Binaries| wanted.map_or(binaries.major >= OLDEST, |major| binaries.major == major);
    let mut found = Vec::new();
    for folder in named.map_or_else(usual_folders, |folder| vec![folder.to_owned()]) {
        let Some(binaries) = inspect(&folder) else { continue };
        if fits(&binaries) {
            return Ok(binaries);
        }
        found.push(format!("{} in {}", binaries.major, folder.display()));
    }
    match (wanted, named) {
        (Some(major), _) => Err(PostgresError::OtherMajor { folder: data.to_owned(), major }),
        (None, Some(folder)) => Err(PostgresError::NotThere(folder.to_owned())),
        (None, None) => Err(PostgresError::NotInstalled { found }),
    }
}

fn usual_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    for (base, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
    ] {
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(base)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
                Some((version, entry.path().join("bin")))
            })
            .collect();
        versions.sort();
        folders.extend(versions.into_iter().rev().map(|(_, folder)| folder));
    }
    folders
}

/// A link in `PATH` may lead to one program only; the others are where it points to.
fn inspect(folder: &Path) -> Option<Binaries> {
    let server = fs::canonicalize(folder.join("postgres")).ok()?;
    let folder = server.parent()?.to_owned();
    if !folder.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(&server).arg("--version").output().ok()?;
    let major = major(&String::from_utf8_lossy(&output.stdout))?;
    Some(Binaries { folder, major })
}

/// From `postgres (PostgreSQL) 15.18 (Debian …)`, `… 18beta1`.
fn major(text: &str) -> Option<u32> {
    let version = text.split(')').nth(1)?.trim_start();
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, expected) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("postgres (EnterpriseDB) 16.2.0\n", Some(16)),
            ("bash: postgres: not found", None),
            ("", None),
        ] {
            assert_eq!(major(text), expected, "{text}");
        }
    }

    #[test]
    fn a_folder_without_a_server_is_named() {
        let error = find(Some(Path::new("/nonexistent")), Path::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("`/nonexistent` does not hold"), "{error}");
    }
}
