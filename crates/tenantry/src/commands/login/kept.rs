//! What stays on this machine of a sign-in: one file per server, which only its owner may read.
//!
//! INVARIANT: a refresh token is used by one process at a time. Who needs a new access token takes the lock, looks whether
//! somebody else has one already, and writes what it got before it gives the lock back: an issuer that takes a refresh token
//! once sees each of them once.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tenantry_api::v1::person::SignInIssuer;
use tenantry_domain::code::{Code, Kind};

use super::issuer::{Fault, Issuer, Tokens};
use crate::config::{default_path, write_private};
use crate::exit::{Failure, Result};

/// A sign-in, as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kept {
    /// The server that it is for. Its token goes nowhere else.
    pub server: String,
    /// Where it was made.
    pub issuer: String,
    /// With which client.
    pub client_id: String,
    /// For whom the access token is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The access token.
    pub access_token: String,
    /// When that ends; absent where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// For the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

/// So much before its end an access token is not used any more: it has to arrive, too.
const SPARE: SignedDuration = SignedDuration::from_secs(30);

/// How long to wait for another process.
const PATIENCE: Duration = Duration::from_secs(30);

impl Kept {
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| end.duration_since(now) > SPARE)
    }

    /// The issuer, as the server would name it.
    pub fn door(&self) -> SignInIssuer {
        SignInIssuer {
            issuer: self.issuer.clone(),
            discovery: String::new(),
            client_id: self.client_id.clone(),
            scopes: Vec::new(),
            resource: self.resource.clone(),
        }
    }
}

/// The file of one server.
#[derive(Debug, Clone)]
pub struct Place {
    path: PathBuf,
    server: String,
}

/// The file, while no other process may use it.
pub struct Locked<'p> {
    place: &'p Place,
    // Given back when it is closed.
    _lock: File,
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::local(Kind::Invalid, format!("The sign-in `{}` cannot be used", path.display()), why)
}

impl Place {
    /// Where the sign-in of a server is kept: beside the file with settings.
    ///
    /// # Errors
    /// There is no home.
    pub fn of(config: Option<&Path>, server: &str) -> Result<Self> {
        let settings = config.map(Path::to_owned).or_else(default_path).ok_or_else(|| {
            Failure::usage("There is no folder for the sign-in").hint("Set HOME, XDG_CONFIG_HOME, or TENANTRY_CONFIG.")
        })?;
        let hash: String =
            digest(&SHA256, server.as_bytes()).as_ref()[..8].iter().map(|b| format!("{b:02x}")).collect();
        let path = settings.with_file_name("sign-ins").join(format!("{hash}.json"));
        Ok(Self { path, server: server.to_owned() })
    }

    /// What is kept; nothing where nobody signed in.
    ///
    /// # Errors
    /// The file cannot be read, others may read it, or it is another server's.
    pub fn read(&self) -> Result<Option<Kept>> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&self.path, error)),
        };
        let mode = fs::metadata(&self.path).map_err(|error| unusable(&self.path, error))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(unusable(&self.path, "it holds secrets and others may read it")
                .hint("Sign out and in again; somebody may have read it."));
        }
        let kept: Kept = serde_json::from_str(&text)
            .map_err(|_| unusable(&self.path, "it is not as it was written").hint("Run `tenantry login`."))?;
        if kept.server != self.server {
            return Err(unusable(&self.path, "it is another server's"));
        }
        Ok(Some(kept))
    }

    /// Waits for the turn of this process.
    ///
    /// # Errors
    /// Another process has it for too long, or the folder cannot be written.
    pub async fn lock(&self) -> Result<Locked<'_>> {
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| unusable(&self.path, error))?;
        let path = self.path.with_extension("lock");
        let opened = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(|error| unusable(&path, error))?;
        let end = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Locked { place: self, _lock: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Failure::local(Kind::Unavailable, "Another process is at the sign-in", "for 30 s"));
                }
                Err(TryLockError::Error(error)) => return Err(unusable(&path, error)),
            }
        }
    }

    /// The access token of whoever signed in, a fresh one if need be; nothing where nobody did.
    ///
    /// # Errors
    /// The sign-in has ended, or the issuer does not answer.
    pub async fn token(&self) -> Result<Option<SecretString>> {
        let Some(kept) = self.read()? else { return Ok(None) };
        if kept.is_fresh(Timestamp::now()) {
            return Ok(Some(SecretString::from(kept.access_token)));
        }
        let locked = self.lock().await?;
        // Somebody else may have done it meanwhile, or signed out.
        let Some(kept) = self.read()? else { return Ok(None) };
        if kept.is_fresh(Timestamp::now()) {
            return Ok(Some(SecretString::from(kept.access_token)));
        }
        let fresh = renew(&kept).await.map_err(|fault| match fault {
            Fault::Refused(_) => ended(),
            Fault::Failed(failure) => failure,
        })?;
        locked.write(&fresh)?;
        Ok(Some(SecretString::from(fresh.access_token)))
    }
}

impl Locked<'_> {
    /// Keeps a sign-in.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, kept: &Kept) -> Result<()> {
        let path = &self.place.path;
        let text = serde_json::to_string_pretty(kept).map_err(|error| unusable(path, error))?;
        write_private(path, &text).map_err(|error| unusable(path, error))
    }

    /// Forgets it.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.place.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unusable(&self.place.path, error)),
            _ => Ok(()),
        }
    }
}

fn ended() -> Failure {
    Failure::new(Code::Unauthenticated, "the sign-in has ended").hint("Run `tenantry login`.")
}

/// Another access token (RFC 6749, section 6). What is not given anew stays as it was.
async fn renew(kept: &Kept) -> std::result::Result<Kept, Fault> {
    let Some(refresh) = &kept.refresh_token else { return Err(ended().into()) };
    let issuer = Issuer::discover(&kept.door()).await?;
    let mut fields = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
        ("client_id", kept.client_id.as_str()),
    ];
    fields.extend(kept.resource.as_deref().map(|resource| ("resource", resource)));
    let Tokens { access, expires, refresh, subject } = issuer.tokens(&kept.client_id, &fields, None).await?;
    // OpenID Connect Core 1.0, section 12.2: nobody turns into somebody else.
    if subject.is_some() && kept.subject.is_some() && subject != kept.subject {
        return Err(super::issuer::broken("its new tokens are somebody else's").into());
    }
    Ok(Kept {
        access_token: access,
        expires_at: expires,
        refresh_token: refresh.or_else(|| kept.refresh_token.clone()),
        subject: subject.or_else(|| kept.subject.clone()),
        ..kept.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(server: &str, life: i64) -> Kept {
        Kept {
            server: server.to_owned(),
            issuer: "https://login.example.com".to_owned(),
            client_id: "cli".to_owned(),
            resource: None,
            subject: Some("4711".to_owned()),
            access_token: "a.b.c".to_owned(),
            expires_at: Timestamp::now().checked_add(SignedDuration::from_secs(life)).ok(),
            refresh_token: None,
        }
    }

    #[tokio::test]
    async fn a_sign_in_is_private_of_one_server_and_ends() {
        use secrecy::ExposeSecret as _;
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("context.toml");
        let place = Place::of(Some(&config), "https://one.example").unwrap();
        assert!(place.token().await.unwrap().is_none());
        place.lock().await.unwrap().write(&kept("https://one.example", 600)).unwrap();
        assert_eq!(fs::metadata(&place.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(place.path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(place.token().await.unwrap().unwrap().expose_secret(), "a.b.c");
        let other = Place::of(Some(&config), "https://two.example").unwrap();
        assert!(other.token().await.unwrap().is_none(), "its token goes nowhere else");
        fs::copy(&place.path, &other.path).unwrap();
        assert!(other.read().is_err());
        // Over, and nothing to renew it with.
        place.lock().await.unwrap().write(&kept("https://one.example", 29)).unwrap();
        assert!(place.token().await.unwrap_err().to_string().contains("tenantry login"));
        fs::set_permissions(&place.path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(place.read().is_err_and(|failure| failure.to_string().contains("others may read")));
        place.lock().await.unwrap().remove().unwrap();
        assert!(place.read().unwrap().is_none());
    }

    #[tokio::test]
    async fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of(Some(&folder.path().join("context.toml")), "https://one.example").unwrap();
        let first = place.lock().await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(300), place.lock()).await;
        assert!(second.is_err(), "it waits");
        drop(first);
        assert!(place.lock().await.is_ok());
    }
}
