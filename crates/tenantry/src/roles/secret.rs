//! `tenantry secret`: fresh random secrets for an installation. Nothing is asked of a server and nothing is kept.
//!
//! INVARIANT: a file that is there is never replaced: what it holds may be the only copy of a key in use.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::installation::mint_token;
use crate::exit::{Failure, Result};
use crate::output::Output;

/// Make the secrets that a new installation needs
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  tenantry secret root-key --output-file root.key
  tenantry secret token --output-file admin.token
  TENANTRY_ROOT_KEY_FILE=root.key TENANTRY_BOOTSTRAP_TOKEN_FILE=admin.token tenantry serve --migrate")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The key that all other keys and passwords of an installation come from
    RootKey(To),
    /// An administrator's token, to be registered by the first `serve`
    Token(To),
}

#[derive(Debug, clap::Args)]
struct To {
    /// Write to this new file, readable by its owner alone, instead of printing
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
}

/// Makes one and prints or stores it.
///
/// # Errors
/// The system has no randomness to give, or the file exists or cannot be written.
pub fn run(args: &Args, output: Output) -> Result<()> {
    let broken = |error| Failure::broken("No randomness", error);
    let (secret, to) = match &args.what {
        What::RootKey(to) => (SecretString::from(crate::random::hex::<32>().map_err(broken)?), to),
        What::Token(to) => (SecretString::from(mint_token().map_err(broken)?), to),
    };
    match &to.output_file {
        Some(path) => store(path, &secret),
        None => output.line(secret.expose_secret()),
    }
}

fn store(path: &Path, secret: &SecretString) -> Result<()> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| {
        writeln!(file, "{}", secret.expose_secret())?;
        file.sync_all()
    });
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!("`{}` is there already", path.display()))
            .hint("A secret in use must not be lost: name another file, or move that one away."),
        _ => Failure::usage(format!("`{}` cannot be written: {error}", path.display())),
    })
}
