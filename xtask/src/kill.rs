//! `cargo xtask kill`: the server dies at every point of every workflow, and what it left is inspected.
//!
//! Builds the binary with feature `fault`, runs the kill tests, and holds the list of points against the hits: a point
//! that was never hit fails the run, since nothing is known about it. `docs/fault-points.md` says how to read it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// What to run.
#[derive(clap::Args)]
pub struct Args {
    /// Only workflows of this kind: onboard, update, suspend, resume, archive, restore, delete, repair.
    #[arg(long, value_name = "KIND")]
    only: Option<String>,
    /// Only tenants at this level: shared, schema, database.
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    /// Every point at every level, instead of going round the levels.
    #[arg(long)]
    full: bool,
    /// Passed on to nextest.
    #[arg(last = true)]
    nextest: Vec<String>,
}

impl Args {
    /// Whether all points were to be hit.
    fn is_whole(&self) -> bool {
        self.only.is_none() && self.level.is_none() && self.nextest.is_empty()
    }
}

const SNAPSHOT: &str = "crates/tenantry/tests/kill/points.snap";

/// Runs the lane.
pub fn run(args: Args) -> Result<ExitCode> {
    let root = crate::root()?;
    let points = points(&fs::read_to_string(root.join(SNAPSHOT)).context(SNAPSHOT)?);
    if let Some(only) = &args.only {
        let kinds: BTreeSet<_> = points.iter().map(|point| kind(point).to_owned()).collect();
        ensure!(kinds.contains(only), "no workflow is called `{only}`; there are {}", join(&kinds));
    }
    if let Some(level) = &args.level {
        ensure!(
            ["shared", "schema", "database"].contains(&level.as_str()),
            "`{level}` is not one of shared, schema, database"
        );
    }
    let out = root.join("target/kill");
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| out.display().to_string())?;
    }
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let began = Instant::now();
    let is_green = tests(&args, &root, &out)?;
    let hits = hits(&out)?;
    let unhit: Vec<_> = points.iter().filter(|point| !hits.contains_key(*point)).collect();
    println!();
    for line in told(&out, "figures-")? {
        println!("{line}");
    }
    print!("{}", table(&points, &hits));
    println!("{} kills in {:.0} s", hits.values().sum::<usize>(), began.elapsed().as_secs_f32());
    if args.is_whole() && !unhit.is_empty() {
        println!("kill: FAILED: {} points were never hit:", unhit.len());
        for point in unhit {
            println!("  {point}");
        }
        return Ok(ExitCode::FAILURE);
    }
    println!("kill: {}", if is_green { "passed" } else { "FAILED" });
    Ok(if is_green { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tests(args: &Args, root: &Path, out: &Path) -> Result<bool> {
    let mut command = Command::new(crate::ci::cargo());
    command.args([
        "nextest",
        "run",
        "--profile",
        "kill",
        // All of it, and not the package alone: what the default lane built is good for this one then.
        "--workspace",
        "--features",
        "tenantry/fault",
        "--test",
        "kill",
        "--success-output",
        "never",
    ]);
    // What cargo told this program about its own package must not reach the builds it starts.
    for (key, _) in std::env::vars_os() {
        let key = key.to_string_lossy();
        if key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_") {
            command.env_remove(key.as_ref());
        }
    }
    let status = command
        .args(&args.nextest)
        .env("TENANTRY_KILL_OUT", out)
        .env("TENANTRY_KILL_ONLY", args.only.as_deref().unwrap_or_default())
        .env("TENANTRY_KILL_LEVEL", args.level.as_deref().unwrap_or_default())
        .env("TENANTRY_KILL_FULL", if args.full { "1" } else { "0" })
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .context("starting cargo nextest; install it with `cargo install cargo-nextest --locked`")?;
    Ok(status.success())
}

/// The points of the snapshot, without what is expected of them.
fn points(snapshot: &str) -> Vec<String> {
    let lines = snapshot.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.filter_map(|line| line.split(" | ").next()).map(ToOwned::to_owned).collect()
}

/// How often each point was hit, by all test processes.
fn hits(out: &Path) -> Result<BTreeMap<String, usize>> {
    let mut hits = BTreeMap::new();
    for line in told(out, "hits-")? {
        *hits.entry(line).or_insert(0) += 1;
    }
    Ok(hits)
}

/// The lines of one sort that the tests left, in a stable order.
fn told(out: &Path, sort: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(sort) {
            lines.extend(fs::read_to_string(entry.path())?.lines().map(ToOwned::to_owned));
        }
    }
    lines.sort();
    Ok(lines)
}

fn kind(point: &str) -> &str {
    point.split('/').next().unwrap_or_default()
}

/// One line per workflow: points, those hit, kills.
fn table(points: &[String], hits: &BTreeMap<String, usize>) -> String {
    let mut kinds: Vec<&str> = points.iter().map(|point| kind(point)).collect();
    kinds.dedup();
    let mut text = String::from("\nworkflow    points   hit  kills\n");
    for name in kinds {
        let of_kind: Vec<_> = points.iter().filter(|point| kind(point) == name).collect();
        let hit = of_kind.iter().filter(|point| hits.contains_key(**point)).count();
        let kills: usize = of_kind.iter().filter_map(|point| hits.get(*point)).sum();
        text.push_str(&format!("{name:<10} {:>7} {hit:>5} {kills:>6}\n", of_kind.len()));
    }
    text
}

fn join(words: &BTreeSet<String>) -> String {
    words.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_and_counted() {
        let points =
            points("# head\nsuspend/close/do/claimed | forward | back\nresume/open/do/claimed | forward | back\n");
        assert_eq!(points, ["suspend/close/do/claimed", "resume/open/do/claimed"]);
        let hits = BTreeMap::from([(points[0].clone(), 2)]);
        let table = table(&points, &hits);
        assert!(table.contains("suspend          1     1      2"), "{table}");
        assert!(table.contains("resume           1     0      0"), "{table}");
    }
}
