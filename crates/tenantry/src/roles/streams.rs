//! Settings of the stream that events are published to.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_control::streams::{Credential, Servers, Settings, StreamName, StreamOptions, SubjectPrefix};

use crate::exit::{Failure, Result};

/// Settings of what publishes events.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Streams")]
pub struct Streams {
    /// NATS servers of one cluster that every event is published to by JetStream, nats://… or tls://…, separated by commas
    #[arg(long, env = "TENANTRY_NATS_URL", hide_env_values = true, value_name = "URL")]
    nats_url: Option<SecretString>,
    /// File with a user's credentials for NATS, as `nsc` and `nats` write them (.creds)
    #[arg(
        long,
        env = "TENANTRY_NATS_CREDENTIALS",
        value_name = "FILE",
        requires = "nats_url",
        conflicts_with = "nats_auth_file"
    )]
    nats_credentials: Option<PathBuf>,
    /// File with a token for NATS, or with user:password
    #[arg(long, env = "TENANTRY_NATS_AUTH_FILE", value_name = "FILE", requires = "nats_url")]
    nats_auth_file: Option<PathBuf>,
    /// File with certificate authorities that the NATS servers may have besides the system's, as PEM
    #[arg(long, env = "TENANTRY_NATS_CA_FILE", value_name = "FILE", requires = "nats_url")]
    nats_ca_file: Option<PathBuf>,
    /// The stream; it is made if it is missing
    #[arg(long, env = "TENANTRY_NATS_STREAM", value_name = "NAME", default_value = "TENANTRY")]
    nats_stream: StreamName,
    /// What the subjects of its messages begin with
    #[arg(long, env = "TENANTRY_NATS_PREFIX", value_name = "PREFIX", default_value = "tenantry")]
    nats_prefix: SubjectPrefix,
    /// Copies that the servers keep of a stream that is made: 1, 3 or 5
    #[arg(long, env = "TENANTRY_NATS_REPLICAS", value_name = "COUNT", default_value = "1", value_parser = ["1", "3", "5"])]
    nats_replicas: String,
    /// For how long the servers know a message by its id, at least; 2m unless given, and 10s with more than one copy
    #[arg(long, env = "TENANTRY_NATS_DUPLICATES", value_name = "DURATION", value_parser = window)]
    nats_duplicates: Option<Duration>,
    /// Whether a stream that is new gets all events that there are, or those that are committed from now on
    #[arg(long, env = "TENANTRY_NATS_FROM", value_name = "WHERE", default_value = "beginning", value_parser = ["beginning", "now"])]
    nats_from: String,
}

/// How long a connection or an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// For how long a stream of one copy knows ids, unless somebody says otherwise: as JetStream itself has it.
const WINDOW: Duration = Duration::from_secs(120);
/// A leader of copies can know the id of a message that came to nothing, and refuses to take it for that long. Nothing is repeated
/// without the window either.
const WINDOW_OF_COPIES: Duration = Duration::from_secs(10);

/// The least that JetStream takes, and what nobody means to have in memory.
fn window(text: &str) -> std::result::Result<Duration, String> {
    let window = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_millis(100)..=Duration::from_secs(24 * 3600)).contains(&window) {
        Ok(window)
    } else {
        Err("must be between 100ms and 24h".to_owned())
    }
}

impl Streams {
    /// The settings as the brain takes them; nothing without a server.
    ///
    /// # Errors
    /// The URL cannot be used. It is read here and not with the arguments, for then it would be printed, and it may hold a password.
    pub fn options(&self) -> Result<Option<StreamOptions>> {
        let Some(url) = &self.nats_url else { return Ok(None) };
        let servers: Servers = url.expose_secret().parse().map_err(|error| {
            Failure::usage(format!("TENANTRY_NATS_URL (--nats-url) {error}"))
                .hint("Such as `tls://nats-1.internal:4222,tls://nats-2.internal:4222`; see docs/streams.md.")
        })?;
        let credential = match (&self.nats_credentials, &self.nats_auth_file) {
            (Some(path), _) => Credential::Creds(path.clone()),
            (None, Some(path)) => Credential::File(path.clone()),
            (None, None) => Credential::None,
        };
        let replicas = match self.nats_replicas.as_str() {
            "3" => 3,
            "5" => 5,
            _ => 1,
        };
        let settings = Settings {
            servers,
            credential,
            authorities: self.nats_ca_file.clone(),
            stream: self.nats_stream.clone(),
            prefix: self.nats_prefix.clone(),
            window: self.nats_duplicates.unwrap_or(if replicas > 1 { WINDOW_OF_COPIES } else { WINDOW }),
            replicas,
            patience: PATIENCE,
        };
        Ok(Some(StreamOptions { is_whole: self.nats_from == "beginning", ..StreamOptions::new(settings) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_one_that_the_server_takes() {
        assert_eq!(window("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(window("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["99ms", "25h", "often", "0s"] {
            assert!(window(bad).is_err(), "{bad}");
        }
    }
}
