//! The table as a file, for a gateway that starts while the control database is away.
//!
//! Two lines: a head with form and authentication code, and the table as JSON. The code (HMAC-SHA-256 over form and table)
//! is made with a key that the caller derives from the root key, so that only this installation's gateways can write a file
//! that they believe. The file holds verifiers of passwords and is readable by its owner only.
//! INVARIANT: a reader finds the file before or the file after a writing, whole and on disk; one that was altered, is
//! another installation's, or too old is refused.

mod saved;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::hmac;
use tenantry_domain::Timestamp;
use tenantry_domain::id::InstallationId;
use zeroize::Zeroizing;

use crate::table::Full;
use saved::{Body, Head};

/// The form that this release writes, and the only one that it reads.
const FORM: u32 = 1;
/// What the authentication code covers before the table, so that a code of ours never stands for anything else.
const PURPOSE: &[u8] = b"tenantry gateway table 1\n";
/// A larger file is none of ours: a hundred thousand tenants take some 40 MiB.
const LARGEST: u64 = 512 << 20;

/// Where the table is kept.
#[derive(Clone)]
pub struct File {
    /// The file; its folder must exist.
    pub path: PathBuf,
    /// What the file is authenticated with: 32 bytes that are derived from the root key.
    pub key: Zeroizing<[u8; 32]>,
    /// An older table is refused.
    pub max_age: Duration,
    /// The installation that it must belong to, where the caller knows that.
    pub installation: Option<InstallationId>,
}

impl File {
    /// A week: long enough for any outage of the control database that people sleep through, short enough that logins that
    /// were revoked long ago do not come back.
    pub const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

    /// A file with the usual bound on its age.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, key: Zeroizing<[u8; 32]>) -> Self {
        Self { path: path.into(), key, max_age: Self::MAX_AGE, installation: None }
    }

    fn code(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.key.as_slice())
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("path", &self.path).field("max_age", &self.max_age).finish_non_exhaustive()
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none.
    #[error("there is no file `{}`", .0.display())]
    Missing(PathBuf),
    /// The operating system refuses.
    #[error("the file `{}` cannot be read or written", .path.display())]
    System {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is being written for longer than any volume should take.
    #[error("the file `{}` is still being written after a long time; its volume is slow or hangs", .0.display())]
    Slow(PathBuf),
    /// It is far larger than any table.
    #[error("the file has {0} bytes, more than any table")]
    Large(u64),
    /// It is no file of ours, or was cut off.
    #[error("the file is not one that a gateway has written")]
    Malformed,
    /// Another release wrote it.
    #[error("the file has form {found}, this release reads form {FORM}")]
    Form {
        /// Its form.
        found: u32,
    },
    /// It was changed, or written under another root key.
    #[error("the file was altered, or belongs to an installation with another root key")]
    Altered,
    /// It belongs to another installation.
    #[error("the file belongs to installation {found}, this is {wanted}")]
    Foreign {
        /// Whose it is.
        found: InstallationId,
        /// Whose it should be.
        wanted: InstallationId,
    },
    /// It is older than allowed.
    #[error("the file is as of {taken_at}, which is too long ago")]
    Old {
        /// As of when it is.
        taken_at: Timestamp,
    },
}

/// What a file holds.
#[derive(Debug)]
pub struct Kept {
    /// Whose table it is.
    pub installation: InstallationId,
    /// As of when, by the clock of the control database.
    pub taken_at: Timestamp,
    /// The table.
    pub full: Full,
}

/// Reads a file that may be used at `now`.
///
/// # Errors
/// See [`FileError`]; what is in it is not looked at before its code is known to be right.
pub fn read(file: &File, now: Timestamp) -> Result<Kept, FileError> {
    let bytes = load(&file.path)?;
    let split = bytes.iter().position(|byte| *byte == b'\n').ok_or(FileError::Malformed)?;
    let (head, body) = (&bytes[..split], &bytes[split + 1..]);
    let head: Head = serde_json::from_slice(head).map_err(|_| FileError::Malformed)?;
    if head.version != FORM {
        return Err(FileError::Form { found: head.version });
    }
    let mac = unhex(&head.mac).ok_or(FileError::Malformed)?;
    let signed = signed(body);
    hmac::verify(&file.code(), &signed, &mac).map_err(|_| FileError::Altered)?;
    let body: Body = serde_json::from_slice(body).map_err(|_| FileError::Malformed)?;
    if let Some(wanted) = file.installation.filter(|wanted| *wanted != body.installation) {
        return Err(FileError::Foreign { found: body.installation, wanted });
    }
    let age = Duration::try_from(now.duration_since(body.taken_at)).unwrap_or_default();
    if age > file.max_age {
        return Err(FileError::Old { taken_at: body.taken_at });
    }
    Ok(body.into())
}

/// Writes the file in one piece: whoever reads meanwhile finds the one before.
///
/// # Errors
/// The operating system refuses; the file before stays.
pub fn write(file: &File, kept: Kept) -> Result<(), FileError> {
    let body = Body::from(kept);
    let failed = |source: io::Error| FileError::System { path: file.path.clone(), source };
    let body = Zeroizing::new(serde_json::to_vec(&body).map_err(|error| failed(error.into()))?);
    let mac = hex(hmac::sign(&file.code(), &signed(&body)).as_ref());
    let mut head = serde_json::to_vec(&Head { version: FORM, mac }).map_err(|error| failed(error.into()))?;
    head.push(b'\n');
    store(&file.path, &[&head, &body]).map_err(failed)
}

fn signed(body: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut signed = Zeroizing::new(Vec::with_capacity(PURPOSE.len() + body.len()));
    signed.extend_from_slice(PURPOSE);
    signed.extend_from_slice(body);
    signed
}

fn load(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing(path.to_owned()),
        _ => FileError::System { path: path.to_owned(), source },
    };
    let file = fs::File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > LARGEST {
        return Err(FileError::Large(length));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default()));
    file.take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn store(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let fresh = path.with_file_name(name);
    // A process of this number that was killed may have left one.
    let _ = fs::remove_file(&fresh);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part));
    let written = written.and_then(|()| file.sync_all()).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
        return written;
    }
    // The new name itself must survive a crash.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use secrecy::{ExposeSecret as _, SecretString};
    use tenantry_domain::cell::SecretRef;
    use tenantry_domain::gateway::{Access, LoginName, Mode, Proof, Server, Whose};
    use tenantry_domain::id::TenantId;
    use tenantry_domain::name::{AppName, CellName, EnvironmentName};
    use tenantry_domain::tenant::Slug;
    use uuid::Uuid;

    use super::*;
    use crate::table::{Cell, Login, Route, Verifier};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn kept() -> Kept {
        let (prod, tenant) = (EnvironmentName::parse("prod").unwrap(), TenantId::from_uuid(Uuid::from_u128(5)));
        let route = Route {
            tenant,
            environment: prod.clone(),
            slug: Slug::parse("acme").unwrap(),
            aliases: vec![Slug::parse("acme-old").unwrap()],
            app: AppName::parse("chat").unwrap(),
            gate: tenantry_dataplane::Gate::Suspended,
            place: None,
            connections: Some(8),
            rate: None,
            statement: None,
        };
        let verifier = |text: &str, until| Verifier { text: SecretString::from(text), until };
        let login = Login {
            name: LoginName::parse("acme-app").unwrap(),
            environment: prod.clone(),
            whose: Whose::Tenant(tenant),
            mode: Mode::Session,
            access: Access::ReadOnly,
            server: Server::PreferStandby,
            proof: Proof::Password,
            verifiers: vec![verifier("SCRAM-SHA-256$new", None), verifier("SCRAM-SHA-256$old", Some(at(9)))],
            connections: None,
            expires: Some(at(99)),
            version: Some(4),
        };
        let cell = Cell {
            environment: prod,
            name: CellName::parse("eu-1").unwrap(),
            database: SecretRef::Env("CELL_URL".into()),
            standbys: vec![SecretRef::File("/run/standby".into())],
        };
        let full = Full { routes: vec![route], logins: vec![login], cells: vec![cell] };
        Kept { installation: InstallationId::from_uuid(Uuid::from_u128(7)), taken_at: at(0), full }
    }

    fn file() -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        let file = File::new(folder.path().join("table"), Zeroizing::new([3; 32]));
        (folder, file)
    }

    #[test]
    fn what_is_written_is_read_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, file) = file();
        assert!(matches!(read(&file, at(0)), Err(FileError::Missing(_))));
        for _ in 0..2 {
            write(&file, kept()).unwrap();
        }
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        let (found, wanted) = (read(&file, at(1)).unwrap(), kept());
        assert_eq!((found.installation, found.taken_at), (wanted.installation, wanted.taken_at));
        assert_eq!((&found.full.routes, &found.full.cells), (&wanted.full.routes, &wanted.full.cells));
        let (found, wanted) = (&found.full.logins[0], &wanted.full.logins[0]);
        assert_eq!(
            (&found.name, &found.whose, found.mode, found.access, found.server),
            (&wanted.name, &wanted.whose, wanted.mode, wanted.access, wanted.server)
        );
        assert_eq!((found.proof, found.connections, found.expires), (wanted.proof, wanted.connections, wanted.expires));
        assert_eq!(found.version, wanted.version);
        let plain = |login: &Login| -> Vec<_> {
            login.verifiers.iter().map(|one| (one.text.expose_secret().to_owned(), one.until)).collect()
        };
        assert_eq!(plain(found), plain(wanted));
    }

    /// Each byte of the file counts: no change of one is let through.
    #[test]
    fn an_altered_file_is_refused() {
        let (_folder, file) = file();
        write(&file, kept()).unwrap();
        let bytes = fs::read(&file.path).unwrap();
        let head = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        for place in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[place] ^= 1;
            fs::write(&file.path, &altered).unwrap();
            let error = read(&file, at(1)).unwrap_err();
            if place > head {
                assert!(matches!(error, FileError::Altered), "{place}: {error:?}");
            }
        }
        for cut in [0, 1, head, head + 1, bytes.len() - 1] {
            fs::write(&file.path, &bytes[..cut]).unwrap();
            assert!(read(&file, at(1)).is_err(), "{cut}");
        }
        fs::write(&file.path, &bytes).unwrap();
        assert!(read(&file, at(1)).is_ok());
        let other = File { key: Zeroizing::new([4; 32]), ..file };
        assert!(matches!(read(&other, at(1)), Err(FileError::Altered)));
    }

    #[test]
    fn a_file_of_another_installation_form_or_time_is_refused() {
        let (_folder, file) = file();
        write(&file, kept()).unwrap();
        let stranger = InstallationId::from_uuid(Uuid::from_u128(8));
        let other = File { installation: Some(stranger), ..file.clone() };
        assert!(matches!(read(&other, at(1)), Err(FileError::Foreign { wanted, .. }) if wanted == stranger));
        let own = File { installation: Some(kept().installation), ..file.clone() };
        let week = 7 * 24 * 3600;
        assert!(read(&own, at(week)).is_ok());
        assert!(matches!(read(&own, at(week + 1)), Err(FileError::Old { .. })));
        // A clock that is behind makes nothing old.
        assert!(read(&own, at(-3600)).is_ok());
        let text = fs::read_to_string(&file.path).unwrap();
        fs::write(&file.path, text.replacen("\"version\":1", "\"version\":2", 1)).unwrap();
        assert!(matches!(read(&file, at(1)), Err(FileError::Form { found: 2 })));
    }
}
