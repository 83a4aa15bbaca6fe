//! Where the logs of a role go: stderr, as text for people or as JSON lines for machines.
//!
//! INVARIANT: stdout stays free for results. What may be logged is decided where it is logged; nothing is filtered
//! here but by level.

use tracing_subscriber::EnvFilter;

use crate::config::File;
use crate::exit::{Failure, Result};

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// How much is logged, and in which form.
#[derive(Debug, Clone, clap::Args)]
pub struct LogArgs {
    /// What to log: a level, or `target=level` pairs
    #[arg(long = "log", env = "TENANTRY_LOG", value_name = "FILTER")]
    pub filter: Option<String>,
    /// The form of log lines
    #[arg(long, env = "TENANTRY_LOG_FORMAT", value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
}

impl LogArgs {
    /// Starts logging; `default` holds where neither flag, environment nor file asks for something.
    ///
    /// # Errors
    /// The filter cannot be read.
    pub fn start(&self, file: &File, default: &str) -> Result<()> {
        let text = self.filter.as_deref().or(file.log.as_deref()).unwrap_or(default);
        let format = match (self.log_format, file.log_format.as_deref()) {
            (Some(format), _) => format,
            (None, Some(text)) => <LogFormat as clap::ValueEnum>::from_str(text, true)
                .map_err(|_| Failure::usage(format!("`{text}` is not a form of log lines: use text or json")))?,
            (None, None) => LogFormat::default(),
        };
        let filter = EnvFilter::try_new(text).map_err(|error| {
            Failure::usage(format!("`{text}` is not a log filter: {error}"))
                .hint("Use a level (error, warn, info, debug, trace) or pairs such as `info,tenantry_control=debug`.")
        })?;
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
        let started = match format {
            LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
            LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).try_init(),
        };
        started.map_err(|error| Failure::broken("Logging cannot be started", error))
    }
}
