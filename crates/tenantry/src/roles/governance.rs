//! The operator's rules: where they come from, and who decides.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tenantry_control::governance::Governance;
use tenantry_policy::source::Credential;
use tenantry_policy::{
    Decider, Opa, OpaSettings, Outcome, Shelf, Source, Stage, Supply, SupplyError, Trust, Way, governance,
};
use tokio_util::sync::CancellationToken;

use super::installation::chain;
use crate::exit::{Failure, Result};

/// Settings of policy.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Policy")]
pub struct Policy {
    /// Bundle of rules: a folder, https://… or oci://host/name:tag; the shipped rules if absent
    #[arg(long, env = "TENANTRY_POLICY_SOURCE", value_name = "SOURCE")]
    policy_source: Option<String>,
    /// File with the public keys that bundles are signed by, PEM; needed for bundles that come over the network
    #[arg(long, env = "TENANTRY_POLICY_KEYS_FILE", value_name = "FILE")]
    policy_keys_file: Option<PathBuf>,
    /// File with what the source's server is shown: a token, or `name:password`
    #[arg(long, env = "TENANTRY_POLICY_CREDENTIAL_FILE", value_name = "FILE")]
    policy_credential_file: Option<PathBuf>,
    /// Folder where bundles that were in force are kept, so that a start needs no source
    #[arg(long, env = "TENANTRY_POLICY_FOLDER", value_name = "FOLDER")]
    policy_folder: Option<PathBuf>,
    /// Time between two looks at the source
    #[arg(long, env = "TENANTRY_POLICY_EVERY", default_value = "1m", value_name = "DURATION", value_parser = humantime::parse_duration)]
    policy_every: Duration,
    /// Whether a new bundle is put in force, or tried beside the one that is: `active` or `shadow`
    #[arg(long, env = "TENANTRY_POLICY_WAY", default_value = "active", value_name = "WAY", value_parser = way)]
    policy_way: Way,
    /// Decision point outside that speaks OPA's data API; it is asked as well
    #[arg(long, env = "TENANTRY_OPA_URL", value_name = "URL")]
    opa_url: Option<String>,
    /// The rule that it is asked
    #[arg(long, env = "TENANTRY_OPA_PATH", default_value = "tenantry/main", value_name = "PATH")]
    opa_path: String,
    /// File with the token that it is shown
    #[arg(long, env = "TENANTRY_OPA_TOKEN_FILE", value_name = "FILE")]
    opa_token_file: Option<PathBuf>,
    /// How long one question may take
    #[arg(long, env = "TENANTRY_OPA_TIMEOUT", default_value = "500ms", value_name = "DURATION", value_parser = humantime::parse_duration)]
    opa_timeout: Duration,
    /// Ask it alone, and not the rules in process
    #[arg(long, env = "TENANTRY_OPA_ALONE", default_value_t = false)]
    opa_alone: bool,
}

fn way(text: &str) -> std::result::Result<Way, String> {
    match text {
        "active" => Ok(Way::Active),
        "shadow" => Ok(Way::Shadow),
        _ => Err("must be `active` or `shadow`".to_owned()),
    }
}

/// More often is a load on the source and on nobody's behalf. As often the folder is looked at for what somebody chose:
/// that is one small file.
const SHORTEST: Duration = Duration::from_secs(1);

/// Rules that are looked for again and again.
pub struct Refresher {
    supply: Supply,
    way: Way,
    every: Duration,
    governance: Governance,
}

impl Policy {
    /// Who decides, and what keeps the rules fresh where there is a source.
    ///
    /// # Errors
    /// A setting cannot be used.
    pub fn set_up(&self) -> Result<(Governance, Option<Refresher>)> {
        let shipped =
            governance::builtin().map_err(|error| Failure::broken("The shipped rules cannot be read", error))?;
        let stage = Arc::new(Stage::new(shipped.engine));
        let decider = match &self.opa_url {
            None if self.opa_alone => {
                return Err(Failure::usage("TENANTRY_OPA_ALONE needs a decision point")
                    .hint("Set TENANTRY_OPA_URL, or leave TENANTRY_OPA_ALONE out."));
            }
            None => Decider::Builtin(Arc::clone(&stage)),
            Some(url) => {
                let token = self.opa_token_file.as_ref().map(secret).transpose()?;
                let settings =
                    OpaSettings { token, timeout: self.opa_timeout, ..OpaSettings::new(url, &self.opa_path) };
                let opa = Opa::new(settings).map_err(|error| Failure::usage(format!("TENANTRY_OPA_URL: {error}")))?;
                let opa = Arc::new(opa);
                if self.opa_alone { Decider::Opa(opa) } else { Decider::Both(Arc::clone(&stage), opa) }
            }
        };
        let governance = Governance::new(decider);
        let Some(text) = &self.policy_source else { return Ok((governance, None)) };
        let supply = self.supply(text, stage)?;
        let governance = if self.policy_way == Way::Active { governance.awaiting() } else { governance };
        let every = self.policy_every.max(SHORTEST);
        Ok((governance.clone(), Some(Refresher { supply, way: self.policy_way, every, governance })))
    }

    fn supply(&self, text: &str, stage: Arc<Stage>) -> Result<Supply> {
        let source = Source::parse(text).map_err(|error| Failure::usage(format!("TENANTRY_POLICY_SOURCE: {error}")))?;
        if self.policy_keys_file.is_none() && !matches!(source, Source::Folder(_)) {
            return Err(Failure::usage("Bundles that come over the network have to be signed")
                .hint("Sign them by `tenantry policy sign` and set TENANTRY_POLICY_KEYS_FILE to the public keys."));
        }
        let trust = trust(self.policy_keys_file.as_ref())?;
        let shelf = self.policy_folder.as_ref().map(Shelf::open).transpose();
        let shelf = shelf.map_err(|error| Failure::usage(format!("TENANTRY_POLICY_FOLDER: {}", chain(&error))))?;
        let supply = Supply::new(Some(source), trust, shelf, stage);
        let Some(file) = &self.policy_credential_file else { return Ok(supply) };
        let text = read(file)?;
        let credential = match text.trim().split_once(':') {
            Some((name, password)) => Credential::Basic(name.to_owned(), SecretString::from(password)),
            None => Credential::Bearer(SecretString::from(text.trim())),
        };
        Ok(supply.with_credential(credential))
    }
}

/// Who has to have signed bundles; without a file of keys no signature is asked for.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub(super) fn trust(file: Option<&PathBuf>) -> Result<Trust> {
    let keys = file.map(read).transpose()?;
    if keys.as_deref().is_some_and(|text| pems(text).is_empty()) {
        return Err(Failure::usage("TENANTRY_POLICY_KEYS_FILE holds no public key")
            .hint("It holds keys as PEM: `openssl pkey -in policy.pem -pubout`."));
    }
    let keys = keys.as_deref().map(pems).unwrap_or_default();
    Trust::new(keys.iter().map(String::as_str))
        .map_err(|error| Failure::usage(format!("TENANTRY_POLICY_KEYS_FILE: {error}")))
}

/// The keys of a file, one after the other.
fn pems(text: &str) -> Vec<String> {
    const END: &str = "-----END PUBLIC KEY-----";
    text.split_inclusive(END).filter(|part| part.contains("BEGIN")).map(|part| part.trim().to_owned()).collect()
}

fn read(path: &PathBuf) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("The file `{}` cannot be read: {error}", path.display())))
}

fn secret(path: &PathBuf) -> Result<SecretString> {
    read(path).map(|text| SecretString::from(text.trim()))
}

impl Refresher {
    /// Takes up what was in force, then looks at the source, once.
    pub async fn begin(&self) {
        if self.way == Way::Active
            && let Err(error) = self.supply.discard().await
        {
            // A trial of earlier settings: nobody compares it any more.
            tracing::warn!(error = chain(&error), "a trial that has ended cannot be noted as ended");
        }
        match self.supply.resume().await {
            Ok(Some(digest)) => {
                tracing::info!(%digest, "the rules that were in force are in force again");
                self.governance.ready();
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(error = chain(&error), "the rules that were in force cannot be taken up");
                // Whatever they are, they are not the shipped ones, which decide until then where new ones are only tried.
                let _ = self.governance.clone().awaiting();
            }
        }
        self.ask().await;
    }

    /// Looks again and again until it is stopped: at the folder every second, at the source as often as was set.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let mut left = self.every;
            let mut is_followed = true;
            while !left.is_zero() {
                let pause = left.min(SHORTEST);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => left -= pause,
                }
                // What cannot be taken up is tried again, and told of, with the next look at the source.
                if is_followed && !left.is_zero() {
                    is_followed = self.follow().await;
                }
            }
            self.follow().await;
            self.ask().await;
        }
    }

    /// Takes up what somebody chose in the folder since. Whether it could be.
    async fn follow(&self) -> bool {
        match self.supply.follow().await {
            Ok(None) => {
                // What decides is what was chosen, or nobody chose. Where the source is waited for, it has the word.
                if self.way == Way::Shadow {
                    self.governance.ready();
                }
                true
            }
            Ok(Some(digest)) => {
                let choice = self.supply.stage().chosen();
                tracing::warn!(%digest, ?choice, "other rules are in force, as the folder of bundles says");
                self.governance.ready();
                true
            }
            Err(error) => {
                self.stay(&error);
                false
            }
        }
    }

    /// Asks the source.
    async fn ask(&self) {
        match self.supply.refresh(self.way).await {
            // Nothing came into force by that.
            Ok(Outcome::Unchanged) if self.way == Way::Shadow => {}
            Ok(Outcome::Unchanged) => self.governance.ready(),
            // Somebody went back from it: what is in force was chosen, if it could be taken up.
            Ok(outcome @ (Outcome::Withdrawn(_) | Outcome::Shadowed(_))) => tracing::info!(?outcome, "policy"),
            Ok(outcome @ Outcome::Activated(_)) => {
                tracing::info!(?outcome, "policy");
                self.governance.ready();
            }
            Err(error) => self.stay(&error),
        }
    }

    fn stay(&self, error: &SupplyError) {
        let complaints = error.complaints();
        tracing::error!(code = %error.code(), error = chain(error), ?complaints, "the rules in force stay");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: &[&str]) -> Policy {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            policy: Policy,
        }
        let args = std::iter::once("test").chain(args.iter().copied());
        <Cli as clap::Parser>::parse_from(args).policy
    }

    #[test]
    fn bundles_from_elsewhere_need_a_key() {
        let why = |args: &[&str]| settings(args).set_up().err().map(|failure| failure.to_string()).unwrap_or_default();
        assert!(why(&["--policy-source", "https://rules.example.com/acme.tar.gz"]).contains("signed"));
        assert!(why(&["--policy-source", "ftp://x"]).contains("TENANTRY_POLICY_SOURCE"));
        assert!(why(&["--opa-alone"]).contains("decision point"));
        assert!(why(&["--opa-url", "http://opa.example.com"]).contains("TENANTRY_OPA_URL"));
        assert!(settings(&["--opa-url", "http://127.0.0.1:8181"]).set_up().is_ok());
        let keys = tempfile::NamedTempFile::new().unwrap();
        let path = keys.path().to_str().unwrap();
        let empty = why(&["--policy-source", "https://rules.example.com/acme.tar.gz", "--policy-keys-file", path]);
        assert!(empty.contains("no public key"), "{empty}");
        assert!(settings(&[]).set_up().unwrap().1.is_none());
    }

    #[test]
    fn a_file_holds_several_keys() {
        let key = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        assert_eq!(pems(&format!("# ours\n{key}\n{key}")).len(), 2);
    }
}
