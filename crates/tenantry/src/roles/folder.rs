//! The data folder of a development installation: one owner at a time, and the secrets it keeps.
//!
//! INVARIANT: whoever holds a [`DataFolder`] is alone in it; the system frees the lock when the process ends, in
//! whatever way. Secrets are files that only their owner may read, made once and never changed.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use tenantry_domain::code::Kind;

use crate::config::write_private;
use crate::exit::{Failure, Result};

/// A locked data folder.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    is_new: bool,
    /// Held, not used: the lock goes with it.
    _lock: fs::File,
}

impl DataFolder {
    /// Makes the folder if needed, and locks it.
    ///
    /// # Errors
    /// Another process has it, or it cannot be made.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |error: std::io::Error| {
            Failure::local(Kind::Invalid, format!("The data folder `{}` cannot be used", path.display()), error)
        };
        let is_new = !path.join("root.key").exists();
        fs::create_dir_all(path).map_err(wrong)?;
        let path = fs::canonicalize(path).map_err(wrong)?;
        // Others may pass through to the database's own folder (which root runs as another user), and see nothing.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o711)).map_err(wrong)?;
        let mut lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path.join("lock"))
            .map_err(wrong)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = lock.read_to_string(&mut owner);
                return Err(taken(&path, owner.trim()));
            }
            Err(fs::TryLockError::Error(error)) => return Err(wrong(error)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .map_err(wrong)?;
        // A folder inside a checkout must not be committed: it holds keys.
        fs::write(path.join(".gitignore"), "*\n").map_err(wrong)?;
        Ok(Self { path, is_new, _lock: lock })
    }

    /// The folder itself, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing was installed here before.
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// A secret of the folder; `make` gives its text the first time.
    ///
    /// # Errors
    /// The file cannot be read or made.
    pub fn secret(&self, name: &str, make: impl FnOnce() -> std::io::Result<String>) -> Result<SecretString> {
        let path = self.path.join(name);
        let wrong = |error: std::io::Error| {
            Failure::local(Kind::Invalid, format!("The file `{}` cannot be used", path.display()), error)
        };
        match fs::read_to_string(&path) {
            Ok(text) => return Ok(text.trim().to_owned().into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(error)),
        }
        let text = make().map_err(wrong)?;
        write_private(&path, &format!("{text}\n")).map_err(wrong)?;
        Ok(text.into())
    }
}

fn taken(path: &Path, owner: &str) -> Failure {
    let who = if owner.is_empty() { String::new() } else { format!(" (process {owner})") };
    Failure::local(
        Kind::Conflict,
        format!("The data folder `{}` is in use", path.display()),
        format!("another tenantry{who} runs on it"),
    )
    .hint("Use the running one, stop it, or give this one another folder with --data-dir.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_folder_has_one_owner_and_keeps_its_secrets() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let folder = DataFolder::open(&path).unwrap();
        assert!(folder.is_new());
        let error = DataFolder::open(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");

        let first = folder.secret("root.key", || Ok("abc".to_owned())).unwrap();
        let second = folder.secret("root.key", || Ok("other".to_owned())).unwrap();
        assert_eq!((first.expose_secret(), second.expose_secret()), ("abc", "abc"));
        let mode = fs::metadata(folder.path().join("root.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(folder);
        assert!(!DataFolder::open(&path).unwrap().is_new());
    }
}
