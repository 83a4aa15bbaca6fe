//! `cargo xtask bench`: builds for release and runs the benchmarks.
//!
//! The server's binary is built as well, since its memory is one of the figures. Everything else is in
//! `crates/bench`; `docs/benchmarks.md` says how to read the table.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

/// What to measure. Everything is passed on.
#[derive(clap::Args)]
pub struct Args {
    /// Which benchmarks; all of them when none is named.
    names: Vec<String>,
    /// Also writes the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Smaller sizes: a look of two minutes, not a verdict.
    #[arg(long)]
    quick: bool,
    /// Without other products that take long to measure beside ours.
    #[arg(long)]
    alone: bool,
}

/// Builds and runs.
pub fn run(args: Args) -> Result<ExitCode> {
    let root = crate::root()?;
    let built = Command::new(crate::ci::cargo())
        .args(["build", "--release", "--package", "tenantry"])
        .args(["--package", "tenantry-bench"])
        .current_dir(&root)
        .status()
        .context("running cargo build")?;
    if !built.success() {
        return Ok(ExitCode::FAILURE);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut bench = Command::new(target.join("release/tenantry-bench"));
    bench.args(&args.names);
    if args.quick {
        bench.arg("--quick");
    }
    if args.alone {
        bench.arg("--alone");
    }
    if let Some(json) = &args.json {
        bench.arg("--json").arg(json);
    }
    let ended = bench.status().context("running the benchmarks")?;
    Ok(if ended.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
