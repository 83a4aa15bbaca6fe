//! The configuration of a gateway, at its start and when it is asked to read it again.
//!
//! Flags and variables are those of the start, for as long as the process lives. The file is read each time.

use std::path::PathBuf;

use secrecy::SecretString;
use tenantry_gateway::Settings;
use tenantry_gateway::reload::{Configured, Entry, Origin, Source, Unusable};
use tenantry_pg::Target;

use super::bounds::Bounds;
use super::{Args, open_files};
use crate::exit::{Failure, Result};
use crate::globals::Globals;

/// See the module.
#[derive(Debug)]
pub struct Configuration {
    globals: Globals,
    bounds: Bounds,
    domains: Vec<String>,
    allow_plain: bool,
    database_url: Option<SecretString>,
    root_key_file: Option<PathBuf>,
}

impl Configuration {
    /// What was given at the start.
    pub fn new(args: &Args, globals: &Globals) -> Self {
        Self {
            globals: globals.clone(),
            bounds: args.bounds.clone(),
            domains: args.domains.clone(),
            allow_plain: args.allow_plain,
            database_url: args.database_url.clone(),
            root_key_file: args.root_key_file.clone(),
        }
    }

    /// The file under what was given, all of it checked.
    ///
    /// # Errors
    /// The file cannot be read, or something in it cannot be used.
    pub fn found(&self) -> Result<Configured> {
        let file = self.globals.file()?;
        let (settings, mut entries): (Settings, Vec<Entry>) =
            self.bounds.over(&file.gateway, self.domains.clone(), self.allow_plain)?;
        let still = |name, is_given, value: Option<String>| {
            let origin = if is_given { Origin::Start } else { Origin::File };
            Entry { name, value: value.unwrap_or_default(), origin, is_live: false }
        };
        let url = self.database_url.as_ref().or(file.database_url.as_ref()).map(place).transpose()?;
        entries.push(still("database_url", self.database_url.is_some(), url));
        let key = self.root_key_file.as_ref().or(file.root_key_file.as_ref());
        entries.push(still("root_key_file", self.root_key_file.is_some(), key.map(|path| path.display().to_string())));
        open_files(&settings);
        Ok(Configured { settings, entries })
    }
}

impl Source for Configuration {
    fn read(&self) -> Result<Configured, Unusable> {
        self.found().map_err(|failure| Unusable(failure.to_string().trim_start_matches("error: ").replace('\n', " ")))
    }
}

/// Where a URL leads, without what is secret in it.
fn place(url: &SecretString) -> Result<String> {
    let target =
        Target::parse(url).map_err(|error| Failure::usage(format!("`database_url` cannot be used: {error}")))?;
    Ok(format!("{}@{}:{}/{}", target.user(), target.host(), target.port(), target.database()))
}
