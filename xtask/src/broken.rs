//! `cargo xtask broken`: takes one check at a time out of a copy of the product, and wants the tests to notice.
//!
//! A test of an attack that stays green on a product without the check shows nothing. `xtask/broken.toml` lists the checks,
//! each as a text that is replaced by another, and the tests that have to turn red. A change that does not compile counts
//! for nothing, and neither does a test that is red without it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// What to break.
#[derive(clap::Args)]
pub struct Args {
    /// Only breaks whose name contains this.
    only: Option<String>,
    /// Only checks that each text to replace is there exactly once; takes no time.
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(rename = "break")]
    breaks: Vec<Break>,
}

/// One check that is taken out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Break {
    /// What it is called.
    name: String,
    /// Attacks of the red-team list that the check stops.
    #[serde(default)]
    attacks: Vec<u8>,
    file: PathBuf,
    /// The text that is there exactly once.
    find: String,
    /// What stands there instead.
    put: String,
    package: String,
    /// nextest's expression for the tests that have to notice.
    tests: String,
}

const LIST: &str = "xtask/broken.toml";

/// Runs the lane.
pub fn run(args: Args) -> Result<ExitCode> {
    let root = crate::root()?;
    let list: List = toml::from_str(&fs::read_to_string(root.join(LIST)).context(LIST)?).context(LIST)?;
    for one in &list.breaks {
        one.text(&root)?;
    }
    if args.check {
        println!("broken: {} texts are each there once", list.breaks.len());
        return Ok(ExitCode::SUCCESS);
    }
    let only = args.only.unwrap_or_default();
    let mut breaks: Vec<_> = list.breaks.into_iter().filter(|one| one.name.contains(&only)).collect();
    // Those of one package and file in a row: what the last one touched is built again with the next one.
    breaks.sort_by(|a, b| (&a.package, &a.file).cmp(&(&b.package, &b.file)));
    ensure!(!breaks.is_empty(), "no break is called like `{only}`");
    let copy = root.join("target/broken/tree");
    sync(&root, &copy)?;
    // First without any break: what is red anyway notices nothing. Each set of tests once, for the breaks take turns on one copy.
    let mut green = BTreeSet::new();
    for one in &breaks {
        if green.insert((&one.package, &one.tests)) {
            ensure!(one.is_green(&copy)?, "`{}`: the tests are red on the whole product", one.name);
        }
    }
    println!("broken: {} sets of tests are green on the whole product", green.len());
    let mut unnoticed = Vec::new();
    for one in &breaks {
        let began = Instant::now();
        let whole = one.text(&copy)?;
        let place = copy.join(&one.file);
        fs::write(&place, whole.replacen(&one.find, &one.put, 1)).with_context(|| place.display().to_string())?;
        let builds = one.builds(&copy)?;
        let noticed = builds && !one.is_green(&copy)?;
        fs::write(&place, whole).with_context(|| place.display().to_string())?;
        let verdict = match (builds, noticed) {
            (false, _) => "DOES NOT BUILD",
            (true, false) => "NOT NOTICED",
            (true, true) => "noticed",
        };
        println!("{verdict:<15} {:<34} {:>4.0} s  attacks {:?}", one.name, began.elapsed().as_secs_f32(), one.attacks);
        if !noticed {
            unnoticed.push(one.name.clone());
        }
    }
    println!("broken: {} of {} noticed", breaks.len() - unnoticed.len(), breaks.len());
    Ok(if unnoticed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Break {
    /// The whole text of its file.
    fn text(&self, root: &Path) -> Result<String> {
        let text = fs::read_to_string(root.join(&self.file)).with_context(|| self.file.display().to_string())?;
        let times = text.matches(&self.find).count();
        ensure!(times == 1, "`{}`: the text is {times} times in {}: {}", self.name, self.file.display(), self.find);
        ensure!(self.find != self.put, "`{}` changes nothing", self.name);
        Ok(text)
    }

    fn nextest(&self, copy: &Path, more: &[&str]) -> Result<bool> {
        let mut command = Command::new(crate::ci::cargo());
        // What cargo told this program about its own package must not reach the builds it starts.
        for (key, _) in std::env::vars_os() {
            let key = key.to_string_lossy();
            if key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_") {
                command.env_remove(key.as_ref());
            }
        }
        command.args(["nextest", "run", "--profile", "ci", "-p", &self.package, "-E", &self.tests]).args(more);
        command.current_dir(copy).env("CARGO_TARGET_DIR", copy.with_file_name("target"));
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(quiet.status().context("starting cargo nextest")?.success())
    }

    fn builds(&self, copy: &Path) -> Result<bool> {
        self.nextest(copy, &["--no-run"])
    }

    fn is_green(&self, copy: &Path) -> Result<bool> {
        self.nextest(copy, &["--no-tests", "fail"])
    }
}

/// Makes the copy what the tree is. Files that did not change keep their time, so that cargo builds little.
fn sync(root: &Path, copy: &Path) -> Result<()> {
    let list = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git ls-files")?;
    ensure!(list.status.success(), "git ls-files: {}", String::from_utf8_lossy(&list.stderr));
    let names = String::from_utf8(list.stdout).context("a file's name is not UTF-8")?;
    let names: Vec<&str> = names.split('\0').filter(|name| !name.is_empty()).collect();
    for name in &names {
        let (from, to) = (root.join(name), copy.join(name));
        let Ok(text) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|there| there == text) {
            continue;
        }
        let Some(folder) = to.parent() else { bail!("{name} is in no folder") };
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        fs::copy(&from, &to).with_context(|| to.display().to_string())?;
    }
    remove_others(copy, copy, &names)
}

fn remove_others(copy: &Path, folder: &Path, names: &[&str]) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(copy, &path, names)?;
        } else if path.strip_prefix(copy).ok().and_then(Path::to_str).is_none_or(|name| !names.contains(&name)) {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_fits_the_tree() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let list: List = toml::from_str(&fs::read_to_string(root.join(LIST)).unwrap()).unwrap();
        assert!(list.breaks.len() >= 20, "{} breaks", list.breaks.len());
        for one in &list.breaks {
            one.text(root).unwrap();
        }
    }

    #[test]
    fn a_copy_follows_the_tree() {
        let tree = tempfile::tempdir().unwrap();
        let git = |args: &[&str]| Command::new("git").args(args).current_dir(tree.path()).output().unwrap();
        git(&["init", "-q"]);
        fs::create_dir(tree.path().join("src")).unwrap();
        fs::write(tree.path().join("src/one.rs"), "1").unwrap();
        fs::write(tree.path().join(".gitignore"), "copy\n").unwrap();
        let copy = tree.path().join("copy");
        sync(tree.path(), &copy).unwrap();
        assert_eq!(fs::read_to_string(copy.join("src/one.rs")).unwrap(), "1");
        fs::remove_file(tree.path().join("src/one.rs")).unwrap();
        fs::write(tree.path().join("src/two.rs"), "2").unwrap();
        sync(tree.path(), &copy).unwrap();
        assert!(!copy.join("src/one.rs").exists() && copy.join("src/two.rs").exists());
    }
}
