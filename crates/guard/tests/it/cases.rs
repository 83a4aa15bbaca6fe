//! Each check with a leak that is really there: the guard finds it, an attacker uses it, the check's own statements close
//! it, the attacker gets nothing any more, and the guard is silent.
//!
//! The leaks are data (`cases/*.toml`). A check without a leak there must be in [`WITHOUT`], with the test that shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tenantry_dataplane::SealMode;
use tenantry_guard::{Catalog, Finding, Guard, Report, Scope};
use tenantry_testkit::pg::{PrivateServer, private_server, server};

use crate::world::{Case, World, admin};

/// Checks that have no case, and why. The test that shows each of them is named.
const WITHOUT: &[(&str, &str)] = &[
    ("G1", "no leak but a blind guard: limits::a_run_that_sees_nobody_says_so"),
    ("G2", "no leak but a blind guard: limits::a_run_that_sees_no_table_says_so"),
    ("G3", "no leak but a stale exception: limits::an_accepted_finding_that_is_gone_is_told"),
    ("S9", "is in the pool, not in the server: probe::a_pool_that_keeps_sessions_is_told_from_one_that_cleans_them"),
    ("S10b", "is told after five minutes only: limits::a_prepared_transaction_that_is_old_is_told"),
    ("S13", "needs servers of old versions: minors::tests, and limits::the_servers_own_minor_release_is_judged"),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Leak {
    check: String,
    /// The object that the finding names.
    object: String,
    /// Statements of the superuser that make the leak; `{…}` are placeholders, see `Case::fill`.
    seed: Vec<String>,
    /// Other checks that the same leak sets off.
    #[serde(default)]
    also: Vec<String>,
    /// See `Case::exploit`. Absent where it cannot be run here, with the reason in `unproven`.
    #[serde(default)]
    exploit: Vec<String>,
    /// What the attacker must see; another tenant's canary if absent.
    #[serde(default)]
    needle: Option<String>,
    #[serde(default)]
    unproven: Option<String>,
    /// Statements that close it, where the check proposes none or not all that this leak needs.
    #[serde(default)]
    fix: Vec<String>,
    /// Nothing in SQL closes it.
    #[serde(default)]
    unfixable: Option<String>,
    /// Only the extra statements of `fix`, not the check's own.
    #[serde(default)]
    only_fix: bool,
    /// Statements that put the server back, for things that are no part of the database.
    #[serde(default)]
    undo: Vec<String>,
    #[serde(default)]
    backup_roles: Vec<String>,
    /// The application's roles; guessed if absent.
    #[serde(default)]
    roles: Option<Vec<String>>,
    /// Restart the server after seed and fix.
    #[serde(default)]
    restart: bool,
    /// Needs a server of its own.
    #[serde(default)]
    private: bool,
}

#[derive(Deserialize)]
struct File {
    case: Vec<Leak>,
}

fn load() -> Vec<Leak> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/cases");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        toml::from_str::<File>(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())).case
    };
    files.iter().flat_map(read).collect()
}

/// Every check is shown by a leak or excused by name.
#[test]
fn every_check_has_a_leak() {
    let cases = load();
    let shown: BTreeSet<&str> = cases.iter().map(|case| case.check.as_str()).collect();
    let excused: BTreeMap<&str, &str> = WITHOUT.iter().copied().collect();
    for check in Catalog::get().unwrap().checks() {
        let id = check.id.as_str();
        assert_ne!(shown.contains(id), excused.contains_key(id), "{id} needs a case or an excuse, and not both");
    }
    for id in shown.iter().chain(excused.keys()) {
        assert!(Catalog::get().unwrap().check(id).is_some(), "{id} is no check");
    }
    for case in &cases {
        assert_eq!(case.exploit.is_empty(), case.unproven.is_some(), "{}: an exploit or a reason", case.check);
    }
    let proven: BTreeSet<&str> =
        cases.iter().filter(|case| !case.exploit.is_empty()).map(|case| case.check.as_str()).collect();
    println!(
        "{} checks, {} leaks, {} checks with an exploit",
        Catalog::get().unwrap().checks().len(),
        cases.len(),
        proven.len()
    );
}

async fn guard(case: &Case<'_>, leak: &Leak, scope: Scope) -> Report {
    let mut input = case.input(&leak.check);
    input.backup_roles = leak.backup_roles.iter().map(|role| case.fill(role)).collect();
    input.roles = leak.roles.as_ref().map(|roles| roles.iter().map(|role| case.fill(role)).collect());
    let conn = case.admin().await;
    if scope == Scope::Server {
        input.databases = Some(vec![case.database.clone(), case.fill("{E:database}")]);
        Guard::server(&conn, &input).await.unwrap()
    } else {
        Guard::run(&conn, &input).await.unwrap()
    }
}

/// What the check found, and what others found that the leak does not explain.
fn sort<'a>(report: &'a Report, leak: &Leak) -> (Vec<&'a Finding>, Vec<&'a Finding>) {
    let background = ["S13", "S3c"];
    let mut own = Vec::new();
    let mut other = Vec::new();
    for finding in &report.section.findings {
        if finding.check == leak.check {
            own.push(finding);
        } else if !leak.also.contains(&finding.check) && !background.contains(&finding.check.as_str()) {
            other.push(finding);
        }
    }
    (own, other)
}

async fn show(world: &World<'_>, leak: &Leak, private: Option<&PrivateServer>) -> Result<(), String> {
    let id = &leak.check;
    let name: String = format!("{id}_{}", crate::world::unique().simple()).chars().take(12).collect();
    let mut case = world.copy(&name).await;
    let scope = Catalog::get().unwrap().check(id).ok_or(format!("{id} is no check"))?.scope;
    case.restore().await;
    case.run(&leak.seed).await;
    settle(&case, leak, private).await;

    let report = guard(&case, leak, scope).await;
    let (own, other) = sort(&report, leak);
    let object = case.fill(&leak.object);
    if !own.iter().any(|finding| finding.object == object) {
        return Err(format!(
            "{id}: not found at {object}: {own:?}; others: {other:?}; skipped: {:?}",
            report.section.skipped
        ));
    }
    if !other.is_empty() {
        return Err(format!("{id}: others fire: {other:#?}"));
    }
    let needle = leak.needle.clone().unwrap_or_else(|| "canary-b".to_owned());
    let needle = case.fill(&needle);
    if !leak.exploit.is_empty() {
        let seen = case.exploit(&leak.exploit).await;
        if !seen.contains(&needle) {
            return Err(format!("{id}: the leak is there and gave nothing: {seen}"));
        }
    }
    if leak.unfixable.is_none() {
        let own_fix: BTreeSet<String> = own.iter().filter_map(|finding| finding.fix_sql.clone()).collect();
        let mut script: Vec<String> = if leak.only_fix { Vec::new() } else { own_fix.into_iter().collect() };
        script.extend(leak.fix.iter().cloned());
        if script.is_empty() {
            return Err(format!("{id}: neither the check nor the case says how to close it"));
        }
        case.restore().await;
        case.run(&script).await;
        settle(&case, leak, private).await;
        if !leak.exploit.is_empty() {
            let seen = case.exploit(&leak.exploit).await;
            if seen.contains(&needle) {
                return Err(format!("{id}: still there after {script:?}: {seen}"));
            }
        }
        let report = guard(&case, leak, scope).await;
        let (own, _) = sort(&report, leak);
        if !own.is_empty() {
            return Err(format!("{id}: closed and still found: {own:?}"));
        }
    }
    case.run(&leak.undo).await;
    if !leak.undo.is_empty() {
        settle(&case, leak, private).await;
    }
    Ok(())
}

/// Settings take effect after a reload, some after a restart.
async fn settle(case: &Case<'_>, leak: &Leak, private: Option<&PrivateServer>) {
    if !leak.private {
        return;
    }
    if leak.restart {
        let server = private.unwrap();
        server.stop();
        server.start();
    } else {
        case.run(&["SELECT pg_reload_conf()".to_owned()]).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

/// Runs the cases of the checks whose ids start with one of these letters, in one world.
async fn run(chosen: impl Fn(&Leak) -> bool) {
    let only = std::env::var("GUARD_CASE").ok();
    let cases: Vec<Leak> = load()
        .into_iter()
        .filter(|case| !case.private && chosen(case) && only.as_ref().is_none_or(|only| *only == case.check))
        .collect();
    assert!(only.is_some() || !cases.is_empty());
    let began = Instant::now();
    let mut world = World::new(server()).await;
    let mut failed = Vec::new();
    for case in &cases {
        if let Err(error) = show(&world, case, None).await {
            failed.push(error);
            // Its roles are not as they were.
            world = World::new(server()).await;
        }
    }
    println!("{} leaks in {:.1} s", cases.len(), began.elapsed().as_secs_f64());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn roles_are_shown() {
    run(|case| case.check.starts_with('R')).await;
}

#[tokio::test]
async fn policies_are_shown() {
    run(|case| case.check.starts_with("T4")).await;
}

#[tokio::test]
async fn tables_are_shown() {
    run(|case| case.check.starts_with('T') && !case.check.starts_with("T4")).await;
}

#[tokio::test]
async fn functions_are_shown() {
    run(|case| case.check.starts_with('F')).await;
}

#[tokio::test]
async fn schemas_are_shown() {
    run(|case| case.check.starts_with('S') && !case.check.starts_with("S12")).await;
}

#[tokio::test]
async fn the_seal_is_shown() {
    run(|case| case.check.starts_with("S12")).await;
}

/// Settings, files and slots belong to the server, so these cases have one of their own.
#[tokio::test]
async fn a_server_is_shown() {
    let only = std::env::var("GUARD_CASE").ok();
    let private = private_server();
    for setting in ["wal_level = 'logical'", "shared_preload_libraries = 'pg_stat_statements'"] {
        private.sql("postgres", &format!("ALTER SYSTEM SET {setting}"));
    }
    private.stop();
    private.start();
    let world = World::with(&private, SealMode::Register, true).await;
    let _ = admin(&private, "postgres");
    let mut failed = Vec::new();
    let cases: Vec<Leak> = load()
        .into_iter()
        .filter(|case| case.private && only.as_ref().is_none_or(|only| *only == case.check))
        .collect();
    for case in &cases {
        failed.extend(show(&world, case, Some(&private)).await.err());
    }
    println!("{} leaks", cases.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
