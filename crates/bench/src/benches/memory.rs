//! How much memory an idle `tenantry serve` takes.
//!
//! The release binary beside this one, as a user runs it, on an installation of its own: first as it was installed,
//! then with a cell and a thousand tenants, after its first drift check.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Bench;
use crate::bed::Bed;
use crate::crowd;
use crate::measure::Size;
use crate::report::Figure;
use crate::served::{MISSING, Served, binary};

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let Some(binary) = binary() else {
        bench.note(MISSING);
        return Ok(());
    };
    let idle = Duration::from_secs(bench.size.pick(10, 10, 1));
    let bare = Bed::empty(bench.host, "memory-bare", 2).await?;
    let found = observe(bench, &binary, &bare, idle).await?;
    bench.say(
        Figure::rounds(format!("fresh installation, idle for {} s: RSS", idle.as_secs()), "MiB", &[found.rss])
            .at_most(64.0),
    );
    bench.say(Figure::rounds("of it: PSS", "MiB", &[found.pss]));
    if bench.size == Size::Tiny {
        return Ok(());
    }
    let full = Bed::install(bench.host, "memory-full", 10).await?;
    let count = bench.size.pick(1_000, 200, 10);
    let members = crowd::make(&full, "idle", count, |_, _| {})?;
    crowd::register(&full, bench.host, &members).await?;
    full.onboard_one().await?;
    crowd::admit(&full, bench.host, &members).await?;
    // The first drift check comes with the start, the second after thirty seconds.
    let idle = Duration::from_secs(bench.size.pick(45, 10, 1));
    let found = observe(bench, &binary, &full, idle).await?;
    let title = format!("{count} tenants on one cell, idle for {} s: RSS", idle.as_secs());
    bench.say(Figure::rounds(title, "MiB", &[found.rss]).at_most(64.0));
    bench.say(Figure::rounds("of it: PSS", "MiB", &[found.pss]));
    Ok(())
}

struct Found {
    rss: f64,
    pss: f64,
}

async fn observe(bench: &Bench<'_>, binary: &Path, bed: &Bed, idle: Duration) -> Result<Found> {
    let served = Served::start(bench.host, bed, binary).await?;
    tokio::time::sleep(idle).await;
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", served.pid()?))?;
    let mib = |name: &str| -> Result<f64> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next()).context("no such line in smaps_rollup")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    };
    let found = Found { rss: mib("Rss:")?, pss: mib("Pss:")? };
    served.stop().await?;
    Ok(found)
}
