//! `cargo xtask ci`: what a change must pass, in the order in which it fails fastest.
//!
//! The checks run first and all of them, so that one run names every problem; tests follow only when the checks
//! are clean. Optional tools that are absent are named loudly and skipped. With `CI` set the lock file may not
//! change.

use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

/// What to run.
#[derive(clap::Args)]
pub struct Args {
    /// Only unit tests, which need no database.
    #[arg(long)]
    fast: bool,
    /// Passed on to nextest.
    #[arg(last = true)]
    nextest: Vec<String>,
}

/// Unit tests live beside the code they test; everything that starts a server lives under `tests/`.
const UNIT_TESTS: &str = "kind(lib) | kind(bin)";

/// Runs the checks, then the tests.
pub fn run(args: Args) -> Result<ExitCode> {
    let root = crate::root()?;
    let mut failed = Vec::new();
    let checks: [(&str, &[&str]); 2] = [
        ("format", &["fmt", "--all", "--check"]),
        ("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    ];
    for (name, step) in checks {
        if !cargo_step(name, &locked(step))? {
            failed.push(name);
        }
    }
    println!("\n==> tidy");
    if !crate::tidy::check(&root)? {
        failed.push("tidy");
    }
    if installed("deny") {
        if !cargo_step("licences", &strings(&["deny", "check", "bans", "licenses", "sources"]))? {
            failed.push("licences");
        }
    } else {
        println!("\n==> licences SKIPPED: cargo-deny is not installed (cargo install cargo-deny --locked)");
    }
    if failed.is_empty() {
        for (name, step) in tests(&args) {
            if !cargo_step(name, &step)? {
                failed.push(name);
                break;
            }
        }
    }
    if failed.is_empty() {
        println!("\nci: all passed");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nci: FAILED: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// The cargo that runs this program, or the one on the path.
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn tests(args: &Args) -> Vec<(&'static str, Vec<String>)> {
    let scope = if names_packages(&args.nextest) { None } else { Some("--workspace") };
    let mut step: Vec<&str> = if installed("nextest") {
        vec!["nextest", "run", "--profile", "ci"]
    } else {
        println!("\n==> cargo-nextest is not installed: falling back to cargo test");
        vec!["test"]
    };
    let nextest = step[0] == "nextest";
    step.extend(scope);
    match (args.fast, nextest) {
        (true, true) => step.extend(["-E", UNIT_TESTS]),
        (true, false) => step.extend(["--lib", "--bins"]),
        (false, _) => {}
    }
    step.extend(args.nextest.iter().map(String::as_str));
    let mut steps = vec![("tests", locked(&step))];
    // nextest leaves out the examples in doc comments; plain cargo test has run them already.
    if nextest && !args.fast && args.nextest.is_empty() {
        steps.push(("doc examples", locked(&["test", "--doc", "--workspace", "--quiet"])));
    }
    steps
}

fn names_packages(args: &[String]) -> bool {
    args.iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
}

/// The step's arguments, with the lock file fixed when a machine runs them.
fn locked(step: &[&str]) -> Vec<String> {
    let mut step = strings(step);
    let knows_locked = step[0] != "fmt";
    if knows_locked && std::env::var_os("CI").is_some_and(|value| value != "false") {
        step.insert(if step[0] == "nextest" { 2 } else { 1 }, "--locked".to_owned());
    }
    step
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Whether cargo has this subcommand.
fn installed(subcommand: &str) -> bool {
    Command::new(cargo())
        .args([subcommand, "--version"])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success())
}

fn cargo_step(name: &str, args: &[String]) -> Result<bool> {
    println!("\n==> {name}: cargo {}", args.join(" "));
    let started = Instant::now();
    let mut command = Command::new(cargo());
    // What cargo told this program about its own package must not reach the builds it starts.
    for (key, _) in std::env::vars_os() {
        let key = key.to_string_lossy();
        if key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_") {
            command.env_remove(key.as_ref());
        }
    }
    let status = command
        .args(args)
        .current_dir(crate::root()?)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("starting cargo for {name}"))?;
    let outcome = if status.success() { "passed" } else { "FAILED" };
    println!("==> {name}: {outcome} in {:.1} s", started.elapsed().as_secs_f32());
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(fast: bool, nextest: &[&str]) -> Args {
        Args { fast, nextest: strings(nextest) }
    }

    #[test]
    fn the_whole_workspace_is_the_default() {
        let steps = super::tests(&args(false, &[]));
        assert!(steps[0].1.contains(&"--workspace".to_owned()));
    }

    #[test]
    fn named_packages_narrow_the_run() {
        let steps = super::tests(&args(false, &["-p", "tenantry-store"]));
        assert_eq!(steps.len(), 1);
        assert!(!steps[0].1.contains(&"--workspace".to_owned()));
        assert!(steps[0].1.ends_with(&strings(&["-p", "tenantry-store"])));
    }
}
