//! As whom the server runs: PostgreSQL refuses root, so root lends it the user `postgres` or `nobody`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use super::PostgresError;

/// A user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The user that stands in for root; `None` for everybody else, who run the server themselves.
pub(super) fn stand_in() -> Result<Option<Account>, PostgresError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = lookup(&users, "postgres").or_else(|| lookup(&users, "nobody"));
    found.map(Some).ok_or(PostgresError::NoAccount)
}

fn lookup(users: &str, name: &str) -> Option<Account> {
    let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
    let account = Account { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? };
    (account.uid != 0).then_some(account)
}

impl Account {
    /// Gives a file or folder to this user.
    pub(super) fn own(self, path: &Path) -> Result<(), PostgresError> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(PostgresError::io(format!(
            "giving `{}` to user {}",
            path.display(),
            self.uid
        )))
    }

    /// The first folder above `path` (or itself) that this user may not pass through.
    pub(super) fn blocked_by(self, path: &Path) -> Option<PathBuf> {
        let mut folders: Vec<_> = path.ancestors().collect();
        folders.reverse();
        folders.into_iter().find(|folder| !self.may_enter(folder)).map(Path::to_owned)
    }

    fn may_enter(self, folder: &Path) -> bool {
        let Ok(data) = fs::metadata(folder) else { return true };
        let bit = if data.uid() == self.uid {
            0o100
        } else if data.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        data.mode() & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\nbad:x:0:0\n";

    #[test]
    fn accounts_are_read_and_never_root() {
        assert_eq!(lookup(USERS, "nobody"), Some(Account { uid: 65534, gid: 65533 }));
        assert_eq!(lookup(USERS, "postgres"), None);
        assert_eq!(lookup(USERS, "bad"), None);
    }
}
