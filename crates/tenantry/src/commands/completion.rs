//! `tenantry completion`: the script that makes a shell complete commands and options.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::Result;
use crate::output::Output;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry completion bash > /etc/bash_completion.d/tenantry
  tenantry completion zsh > ~/.zfunc/_tenantry
  tenantry completion fish > ~/.config/fish/completions/tenantry.fish")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// It cannot be written.
pub fn run(args: &Args, output: Output) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "tenantry", &mut script);
    output.line(String::from_utf8_lossy(&script).trim_end())
}
