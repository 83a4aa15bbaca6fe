//! One new version of an app for a thousand tenants with a schema each: a column more, and nothing to do.
//!
//! Beside it django-tenants on the same server, with as many schemas of twenty tables, the same column, and its own
//! command. It is installed from PyPI into `target/bench-django`; where that is not possible, a note says so.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tenantry_control::rollouts;
use tenantry_domain::app::{MigrationFile, Migrations, Spec};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::page::PageSize;
use tenantry_domain::rollout::{Status, TargetStatus};
use tokio::process::Command;

use super::Bench;
use crate::bed::{Bed, numbered};
use crate::host::Host;
use crate::measure::Size;
use crate::report::Figure;

/// Tenants that one request of the set-up brings.
const AT_ONCE: usize = 200;
/// Where the rival's virtual environment is.
const VENV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/bench-django");
const WANTS: [&str; 3] = ["django==5.2.*", "django-tenants==3.*", "psycopg[binary]==3.*"];

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let count = bench.size.pick(1_000, 50, 3);
    let rounds = bench.size.pick(3, 2, 1);
    let own = Host::start()?;
    let bed = Bed::install(&own, "fleet", 10).await?;
    let runtime = bed.start();
    for first in (0..count).step_by(AT_ONCE) {
        let slugs = (first..count.min(first + AT_ONCE)).map(|number| numbered("fleet", number));
        let manifests = slugs.map(|slug| bed.manifest(&slug, Isolation::Schema)).collect::<Result<Vec<_>>>()?;
        if let Some(operation) = bed.apply(&manifests).await? {
            bed.settled(operation, Duration::from_millis(200)).await?;
        }
    }
    let (mut adds, mut idle) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let began = Instant::now();
        bed.apply(&[with_columns(&bed, round + 1)?]).await?;
        let done = completed(&bed).await?;
        adds.push(began.elapsed().as_secs_f64());
        // The shared tables of the cell are a target as well.
        let ran = done.count(TargetStatus::Done);
        ensure!(
            ran == u64::try_from(count)? + 1,
            "{ran} targets were migrated, {count} schemas and one home were expected"
        );
        let began = Instant::now();
        rollouts::run(&bed.cx(), &bed.deps, &bed.app.app).await?;
        let done = completed(&bed).await?;
        idle.push(began.elapsed().as_secs_f64());
        ensure!(done.count(TargetStatus::Done) == 0, "something ran although nothing was to be done");
    }
    runtime.shutdown(&bed.deps).await?;
    let mut add = Figure::rounds(format!("a column for {count} schemas"), "s", &adds).at_most(30.0);
    let mut noop = Figure::rounds(format!("nothing to do for {count} schemas"), "s", &idle).at_most(2.0);
    let found = match bench.size {
        _ if bench.alone => Err(anyhow::anyhow!("left out by --alone")),
        Size::Tiny => Err(anyhow::anyhow!("not at this size")),
        _ => rival(&own, count).await,
    };
    match found {
        Ok(found) => {
            add = add.against("django-tenants", found.add_standard).against("its processes", found.add_multiprocessing);
            noop = noop
                .against("django-tenants", found.noop_standard)
                .against("its processes", found.noop_multiprocessing);
            bench.note(format!(
                "Django {} with {} schemas of 20 tables on the same server",
                found.django, found.schemas
            ));
        }
        Err(error) => bench.note(format!("django-tenants was not measured: {error:#}")),
    }
    bench.say(add);
    bench.say(noop);
    Ok(())
}

/// The app with a column more in each version.
fn with_columns(bed: &Bed, columns: usize) -> Result<Manifest> {
    let Spec { migrations: Migrations::Files { mut files }, tenant_key, reference_tables, rollout } =
        (*bed.app.spec).clone()
    else {
        bail!("the product has files");
    };
    for number in 1..=columns {
        let sql = format!("ALTER TABLE item_00 ADD COLUMN note_{number} text NOT NULL DEFAULT '';");
        files.push(MigrationFile { name: format!("{:04}_note.sql", 100 + number), sql });
    }
    let spec = Spec { migrations: Migrations::Files { files }, tenant_key, reference_tables, rollout };
    Ok(Manifest::App { name: bed.app.app.clone(), spec })
}

/// Waits for the newest rollout's end.
async fn completed(bed: &Bed) -> Result<rollouts::Rollout> {
    let mut changes = bed.deps.changes();
    loop {
        changes.mark_unchanged();
        let page = rollouts::list(&bed.cx(), &bed.deps, None, PageSize::default(), None).await?;
        let newest = page.items.into_iter().next().context("there is no rollout")?;
        match newest.row.status {
            Status::Completed => return Ok(newest),
            Status::Halted => bail!("the rollout halted: {:?}", newest.row.reason),
            _ => {}
        }
        let _ = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
    }
}

/// What the rival's program prints, in seconds.
#[derive(Deserialize)]
struct Found {
    schemas: usize,
    django: String,
    add_standard: f64,
    noop_standard: f64,
    add_multiprocessing: f64,
    noop_multiprocessing: f64,
}

async fn rival(host: &Host, count: usize) -> Result<Found> {
    let python = installed().await?;
    host.database("rival").await?;
    let url = host.url("rival");
    let url = url.expose_secret();
    let parts = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")).context("a URL")?;
    let (who, place) = parts.split_once('@').context("a URL with a user")?;
    let (user, password) = who.split_once(':').unwrap_or((who, ""));
    let (address, _) = place.split_once('/').context("a URL with a database")?;
    let (address, port) = address.rsplit_once(':').context("a URL with a port")?;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("rival/measure.py");
    let output = Command::new(python)
        .arg(program)
        .arg(count.to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PGHOST", address)
        .env("PGPORT", port)
        .env("PGUSER", user)
        .env("PGPASSWORD", password)
        .env("PGDATABASE", "rival")
        .env("PG_DUMP", host.program("pg_dump"))
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(output.status.success(), "it failed: {}", last_line(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(text.lines().last().context("it printed nothing")?)?)
}

/// The rival's Python, installed if it is not there yet.
async fn installed() -> Result<PathBuf> {
    let python = Path::new(VENV).join("bin/python");
    if !python.exists() {
        step(Command::new("python3").args(["-m", "venv", VENV])).await?;
    }
    step(Command::new(&python).args(["-m", "pip", "--quiet", "install"]).args(WANTS)).await?;
    Ok(python)
}

async fn step(command: &mut Command) -> Result<()> {
    let output = command.output().await?;
    ensure!(output.status.success(), "cannot install it: {}", last_line(&output.stderr));
    Ok(())
}

fn last_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
}
