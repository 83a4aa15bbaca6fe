//! Benchmarks: what Tenantry costs on top of plain SQL, measured in the same run on the same server.
//!
//! INVARIANT: a figure is never judged against a number from another day or machine. Whatever is compared ran
//! interleaved with it, on one private PostgreSQL with `fsync` on, and an aim that is missed is printed as MISS.
//! Run it by `cargo xtask bench`; `docs/benchmarks.md` says what each figure means.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod bed;
mod benches;
mod crowd;
mod host;
mod machine;
mod measure;
mod processor;
mod product;
mod report;
mod served;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum as _};

use benches::gateway::stand;
use benches::{Bench, Name};
use measure::Size;
use report::Report;

/// Measures Tenantry against plain SQL and prints a table.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Cli {
    /// Which benchmarks; all of them when none is named.
    names: Vec<Name>,
    /// Also writes the figures, with machine and settings, to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Smaller sizes: a look, not a verdict. At most two minutes.
    #[arg(long)]
    quick: bool,
    /// The smallest sizes there are; shows only that everything runs.
    #[arg(long, requires = "quick")]
    tiny: bool,
    /// Without other products that take long to measure beside ours.
    #[arg(long)]
    alone: bool,
}

impl Cli {
    fn size(&self) -> Size {
        match (self.quick, self.tiny) {
            (_, true) => Size::Tiny,
            (true, false) => Size::Quick,
            (false, false) => Size::Full,
        }
    }
}

fn main() -> Result<ExitCode> {
    // What is measured there runs in a process of its own, made of this program.
    if std::env::args().nth(1).as_deref() == Some(stand::WORD) {
        stand::run()?;
        return Ok(ExitCode::SUCCESS);
    }
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(run(&cli))?;
    print!("{report}");
    if let Some(path) = &cli.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
        println!("\nwritten to {}", path.display());
    }
    // A missed aim is a figure, not a failure of the run.
    Ok(ExitCode::SUCCESS)
}

async fn run(cli: &Cli) -> Result<Report> {
    let size = cli.size();
    let host = host::Host::start()?;
    let mut report = Report::new(size, machine::Machine::look(&host).await?);
    let names = if cli.names.is_empty() { Name::value_variants() } else { &cli.names };
    for name in names {
        eprintln!("{} …", name.word());
        let began = std::time::Instant::now();
        let mut bench = Bench::new(*name, size, &host);
        bench.alone = cli.alone;
        // One benchmark that cannot run must not hide the figures of the others.
        let outcome = name.run(&mut bench).await;
        report.add(bench, outcome.err());
        eprintln!("{} took {:.1} s", name.word(), began.elapsed().as_secs_f64());
    }
    report.finish();
    Ok(report)
}
