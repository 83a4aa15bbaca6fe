//! The identity provider in which tenants have pools of users of their own.
//!
//! INVARIANT: an emulator, whose tokens anybody can write, is spoken to and believed only where somebody said so by its
//! address on this machine, and only by a process that nobody else's machine can reach.

use std::net::SocketAddr;
use std::sync::Arc;

use secrecy::SecretString;
use tenantry_control::Options;
use tenantry_domain::access::Issuer;
use tenantry_domain::code::Kind;
use tenantry_identity::{Access, Emulator, Project, Provider, ServiceAccount};

use crate::exit::{Failure, Result};

/// The largest key file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Settings of pools of users.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Identity")]
pub struct Identity {
    /// Project of Google's Identity Platform in which tenants have pools of users
    #[arg(long, env = "TENANTRY_IDENTITY_PROJECT", value_name = "ID", requires = "identity_access")]
    identity_project: Option<Project>,
    /// File with the JSON key of a service account of that project
    #[arg(
        long = "identity-credentials",
        env = "TENANTRY_IDENTITY_CREDENTIALS_FILE",
        value_name = "FILE",
        value_parser = account,
        requires = "identity_project",
        group = "identity_access"
    )]
    identity_credentials: Option<ServiceAccount>,
    /// Firebase Auth emulator on this machine, for development: its tokens are not signed
    #[arg(
        long,
        env = "TENANTRY_IDENTITY_EMULATOR",
        value_name = "ADDRESS",
        requires = "identity_project",
        group = "identity_access"
    )]
    identity_emulator: Option<Emulator>,
}

fn account(path: &str) -> Result<ServiceAccount, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("it is larger than {MAX_BYTES} bytes"));
    }
    let text = SecretString::from(std::fs::read_to_string(path).map_err(|error| error.to_string())?);
    ServiceAccount::parse(&text).map_err(|error| error.to_string())
}

impl Identity {
    /// The provider, where one is configured.
    ///
    /// # Errors
    /// The issuers believe an emulator that is not the one which is spoken to, or this machine's certificates cannot be read.
    pub fn provider(&self, issuers: &[Issuer]) -> Result<Option<Arc<Provider>>> {
        let access = match (&self.identity_credentials, self.identity_emulator) {
            (Some(account), _) => Some(Access::Account(account.clone())),
            (None, Some(emulator)) => Some(Access::Emulator(emulator)),
            (None, None) => None,
        };
        let provider = match (&self.identity_project, access) {
            (Some(project), Some(access)) => {
                let options = tenantry_identity::Options::new(project.clone(), access);
                let made = Provider::new(options).map_err(|error| {
                    Failure::local(Kind::Unavailable, "The identity provider cannot be spoken to", error)
                })?;
                Some(Arc::new(made))
            }
            _ => None,
        };
        let emulated = provider.as_ref().filter(|provider| provider.is_emulator()).map(|provider| provider.issuer());
        for issuer in issuers.iter().filter(|issuer| issuer.is_unsigned()) {
            if emulated.as_deref() != Some(issuer.name()) {
                return Err(Failure::usage(format!(
                    "Issuer `{}` has `keys: emulator`, and no emulator of it is configured",
                    issuer.name()
                ))
                .hint(
                    "Anybody can write tokens of an emulator. Name the provider's keys by `keys.url`; on a developer's machine, \
                     set TENANTRY_IDENTITY_EMULATOR and TENANTRY_IDENTITY_PROJECT.",
                ));
            }
        }
        if emulated.is_some() {
            tracing::warn!("tokens of an identity emulator are believed, which nobody signs: for development only");
        }
        Ok(provider)
    }
}

/// Refuses to serve other machines beside an emulator.
///
/// # Errors
/// The address can be reached from elsewhere, and tokens that nobody signs would be believed.
pub fn must_be_local(options: &Options, address: SocketAddr) -> Result<()> {
    let is_emulator = options.identity.as_ref().is_some_and(|provider| provider.is_emulator());
    if !is_emulator || address.ip().is_loopback() {
        return Ok(());
    }
    let title = format!("The API cannot be served on {address} beside an identity emulator");
    Err(Failure::usage(title)
        .hint("Listen on 127.0.0.1, or give the credentials of the provider in the emulator's place."))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;
    use tenantry_domain::access::IssuerFile;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        identity: Identity,
    }

    fn parse(args: &[&str]) -> Result<Identity, String> {
        let line = std::iter::once("tenantry").chain(args.iter().copied());
        Line::try_parse_from(line).map(|line| line.identity).map_err(|error| error.to_string())
    }

    fn issuers(name: &str) -> Vec<Issuer> {
        let file = json!({ "issuers": [{
            "issuer": name, "environment": "prod", "audiences": ["demo-tenancy"], "keys": "emulator",
            "claim": "firebase.tenant", "names": "pool", "membersOnly": true,
        }] });
        Issuer::check(serde_json::from_value::<IssuerFile>(file).unwrap()).unwrap()
    }

    const ISSUER: &str = "https://securetoken.google.com/demo-tenancy";
    const EMULATED: [&str; 4] = ["--identity-project", "demo-tenancy", "--identity-emulator", "127.0.0.1:9099"];

    #[test]
    fn unsigned_tokens_are_believed_beside_their_emulator_alone() {
        // Nothing configured, and production: refused before anything is served.
        let none = parse(&[]).unwrap();
        assert!(none.provider(&[]).unwrap().is_none());
        assert!(none.provider(&issuers(ISSUER)).unwrap_err().to_string().contains("keys: emulator"));
        let emulated = parse(&EMULATED).unwrap();
        assert!(emulated.provider(&issuers(ISSUER)).unwrap().unwrap().is_emulator());
        assert!(emulated.provider(&issuers("https://securetoken.google.com/another-one")).is_err());
    }

    #[test]
    fn an_emulator_is_on_this_machine_and_so_is_the_api() {
        for address in ["0.0.0.0:9099", "10.0.0.1:9099", "emulator.example.com:9099"] {
            let error = parse(&["--identity-project", "demo-tenancy", "--identity-emulator", address]).unwrap_err();
            assert!(error.contains("this machine"), "{error}");
        }
        let provider = parse(&EMULATED).unwrap().provider(&[]).unwrap();
        let options = Options { identity: provider, ..Options::default() };
        assert!(must_be_local(&options, "127.0.0.1:7070".parse().unwrap()).is_ok());
        assert!(must_be_local(&options, "0.0.0.0:7070".parse().unwrap()).is_err());
        assert!(must_be_local(&Options::default(), "0.0.0.0:7070".parse().unwrap()).is_ok());
    }

    #[test]
    fn settings_go_together() {
        assert!(parse(&["--identity-project", "demo-tenancy"]).is_err());
        assert!(parse(&["--identity-emulator", "127.0.0.1:9099"]).is_err());
        assert!(parse(&["--identity-project", "demo-tenancy", "--identity-credentials", "/nowhere/key.json"]).is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret-text").unwrap();
        let error =
            parse(&["--identity-project", "demo-tenancy", "--identity-credentials", file.path().to_str().unwrap()]);
        let error = error.unwrap_err();
        assert!(error.contains("service account") && !error.contains("secret-text"), "{error}");
    }
}
