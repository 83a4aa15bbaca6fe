//! The workspace's own tools, run as `cargo xtask <command>`.
//!
//! A command is a module with `Args` and `run(Args)`, and one line in `commands!` below. Tools are Rust and not
//! shell, so that they run where the product builds and have tests of their own. They know the repository, never
//! the product: nothing here depends on another crate of the workspace.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod bench;
mod broken;
mod ci;
mod kill;
mod ledger;
mod source;
mod tidy;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};

/// Declares the enum of commands and its dispatch, so that a command is listed once.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident => $module:ident),+ $(,)?) => {
        #[derive(Subcommand)]
        enum Command {
            $($(#[$doc])* $name($module::Args),)+
        }

        impl Command {
            fn run(self) -> Result<ExitCode> {
                match self {
                    $(Command::$name(args) => $module::run(args),)+
                }
            }
        }
    };
}

commands! {
    /// Checks what compilers do not: layers, rooms, sizes, docs, error pages, links, the ledger.
    Tidy => tidy,
    /// Prints the requirement ledger: counts, then rows by status.
    Ledger => ledger,
    /// Runs what a change must pass: format, clippy, tidy, licences, tests.
    Ci => ci,
    /// Kills the server at every point of every workflow and inspects what it left.
    Kill => kill,
    /// Takes checks out of the product, one at a time, and wants the tests to notice.
    Broken => broken,
    /// Measures the product against plain SQL; docs/benchmarks.md says how to read it.
    Bench => bench,
}

/// Tools of the Tenantry workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> Result<ExitCode> {
    Cli::parse().command.run()
}

/// The names of all commands, as they are typed.
fn command_names() -> Vec<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// The repository's root: the nearest folder upwards that holds this package.
fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("the current directory is gone")?;
    here.ancestors()
        .find(|dir| dir.join("xtask/Cargo.toml").is_file())
        .map(PathBuf::from)
        .context("run this inside the repository")
}
