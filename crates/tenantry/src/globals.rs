//! The options that every command takes, and the session that commands run in.
//!
//! A [`Session`] is what a command needs besides its own arguments: the client, the environment, the output and how
//! long to wait. It knows the public API only.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use tenantry_api::Client;
use tenantry_domain::code::{Code, FieldError};
use tenantry_domain::name::EnvironmentName;

use crate::commands::login::{kept::Place, server};
use crate::config::File;
use crate::exit::{Failure, Result};
use crate::output::{Format, Output};

/// Where commands look for the API when nothing says otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:7070";

/// The environment that the first migration makes.
pub const DEFAULT_ENVIRONMENT: &str = "prod";

/// How long commands wait for an operation.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
pub struct Globals {
    /// Environment to work in [default: prod]
    #[arg(
        short,
        long,
        global = true,
        env = "TENANTRY_ENVIRONMENT",
        value_name = "NAME",
        help_heading = "Global options"
    )]
    environment: Option<String>,
    /// Form of the result [default: table]
    #[arg(short, long, global = true, env = "TENANTRY_OUTPUT", value_enum, help_heading = "Global options")]
    output: Option<Format>,
    /// Address of the API [default: http://127.0.0.1:7070]
    #[arg(long, global = true, env = "TENANTRY_URL", value_name = "URL", help_heading = "Global options")]
    url: Option<String>,
    /// Bearer token; better given by TENANTRY_TOKEN or the file
    #[arg(
        long,
        global = true,
        env = "TENANTRY_TOKEN",
        hide_env_values = true,
        hide_short_help = true,
        value_name = "TOKEN",
        help_heading = "Global options"
    )]
    token: Option<SecretString>,
    /// Wait for the operation that the command starts (this is the default)
    #[arg(long, global = true, overrides_with = "no_wait", help_heading = "Global options")]
    wait: bool,
    /// Return as soon as the request is accepted
    #[arg(long, global = true, overrides_with = "wait", help_heading = "Global options")]
    no_wait: bool,
    /// How long to wait for an operation [default: 5m]
    #[arg(long, global = true, env = "TENANTRY_TIMEOUT", value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Global options")]
    timeout: Option<Duration>,
    /// Answer questions with yes
    #[arg(short, long, global = true, help_heading = "Global options")]
    yes: bool,
    /// Print the result and errors only
    #[arg(short, long, global = true, help_heading = "Global options")]
    quiet: bool,
    /// File with settings [default: <config folder>/tenantry/context.toml]
    #[arg(
        long,
        global = true,
        env = "TENANTRY_CONFIG",
        hide_short_help = true,
        value_name = "FILE",
        help_heading = "Global options"
    )]
    config: Option<PathBuf>,
}

impl Globals {
    /// How to print, as far as it is known before the file was read; errors of the file itself need it.
    pub fn output(&self) -> Output {
        Output::new(self.output.unwrap_or_default(), self.quiet)
    }

    /// The file with settings.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn file(&self) -> Result<File> {
        File::read(self.config.as_deref())
    }

    /// The path that was named for the file with settings.
    pub fn config(&self) -> Option<PathBuf> {
        self.config.clone()
    }

    /// The environment, from flag, variable, file or default.
    ///
    /// # Errors
    /// It is not a name.
    pub fn environment(&self, file: &File) -> Result<EnvironmentName> {
        let text = self.environment.as_deref().or(file.environment.as_deref()).unwrap_or(DEFAULT_ENVIRONMENT);
        EnvironmentName::parse(text).map_err(|error| {
            let field = FieldError::new("environment", error);
            Failure::new(Code::InvalidParameter, format!("`{text}` is not an environment")).fields(vec![field])
        })
    }

    /// The address of the API, from flag, variable, file or default.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn address(&self) -> Result<String> {
        let url = self.url.clone().map_or_else(|| self.file().map(|file| file.url), |url| Ok(Some(url)))?;
        Ok(url.unwrap_or_else(|| DEFAULT_URL.to_owned()).trim_end_matches('/').to_owned())
    }

    /// Whether a token is set beside any sign-in, by flag or variable.
    pub const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The token of whoever signed in at a server. It beats that of the file: a sign-in is newer and somebody's own.
    fn signed_in(&self, url: &str) -> Result<Option<SecretString>> {
        // Without a home nobody can have signed in.
        let Ok(place) = Place::of(self.config.as_deref(), url) else { return Ok(None) };
        if let Err(failure) = server::check(url) {
            return place.read()?.map_or(Ok(None), |_| Err(failure));
        }
        // Sessions are made outside of futures; renewing a token is the one thing of them that waits.
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(place.token()))
    }

    /// Prepares to speak to the API. Nothing is sent there yet; whoever signed in may get a fresh token of the issuer.
    ///
    /// # Errors
    /// A setting cannot be used, the sign-in has ended, or there is no token.
    pub fn session(&self) -> Result<Session> {
        let file = self.file()?;
        let environment = self.environment(&file)?;
        let format = match (self.output, file.output.as_deref()) {
            (Some(format), _) => format,
            (None, Some(text)) => <Format as clap::ValueEnum>::from_str(text, true).map_err(|_| {
                Failure::usage(format!("`{text}` is not a form of output: use table, wide, json or yaml"))
            })?,
            (None, None) => Format::default(),
        };
        let timeout = match (self.timeout, file.timeout.as_deref()) {
            (Some(timeout), _) => timeout,
            (None, Some(text)) => humantime::parse_duration(text)
                .map_err(|error| Failure::usage(format!("`{text}` is not a duration: {error}")))?,
            (None, None) => DEFAULT_TIMEOUT,
        };
        let url = self.address()?;
        let token = match &self.token {
            Some(token) => token.clone(),
            None => self.signed_in(&url)?.or(file.token).ok_or_else(|| {
                Failure::new(Code::Unauthenticated, "no token is set").hint(
                    "Run `tenantry login`, or set TENANTRY_TOKEN. `tenantry dev` writes one to the context file, so that commands find it by themselves.",
                )
            })?,
        };
        let client = Client::new(&url, token, environment)?;
        let output = Output::new(format, self.quiet);
        Ok(Session { client, output, wait: !self.no_wait, timeout, yes: self.yes })
    }
}

/// What a command works with.
#[derive(Debug, Clone)]
pub struct Session {
    /// The API.
    pub client: Client,
    /// The terminal.
    pub output: Output,
    /// Whether to follow operations to their end.
    pub wait: bool,
    /// For how long.
    pub timeout: Duration,
    /// Whether questions are answered already.
    pub yes: bool,
}
