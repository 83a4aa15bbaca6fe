//! What the controllers spend on ten thousand tenants that need nothing.
//!
//! One look of the activation controller ("who is due?") and one drift check of the cell, as they run all the time.
//! The comparison reads the same rows of both databases and does nothing with them.

use anyhow::{Result, ensure};
use tenantry_control::controllers::drift;
use tenantry_pg::Pool;

use super::Bench;
use crate::bed::Bed;
use crate::crowd;
use crate::measure::{Samples, timed};
use crate::report::Figure;

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let bed = Bed::install(bench.host, "sweep", 10).await?;
    let count = bench.size.pick(10_000, 10_000, 50);
    scenery(bench, &bed, count).await?;
    let control = bed.control(bench.host, 1)?;
    let home = bed.home(bench.host, 1)?;
    let (mut due, mut check) = (Samples::default(), Samples::default());
    let (mut both, mut plain) = (Samples::default(), Samples::default());
    // The first look of a process prepares statements and opens connections.
    ensure!(drift::sweep(&bed.deps).await? == 0, "the crowd has drifted");
    for _ in 0..bench.size.pick(100, 20, 2) {
        timed(&mut both, async {
            let found =
                timed(&mut due, async { Ok(bed.deps.store().due(None, bed.deps.now(), &[], 64).await?) }).await?;
            ensure!(found.is_empty(), "somebody is due");
            timed(&mut check, async { Ok(drift::sweep(&bed.deps).await?) }).await
        })
        .await?;
        timed(&mut plain, read(&control, &home)).await?;
    }
    let title = format!("{count} tenants: due and drift");
    bench.say(Figure::latency(title, &both).against("reading the rows", plain.at(0.5)).p99_at_most(100.0));
    bench.say(Figure::latency("of it: who is due", &due));
    bench.say(Figure::latency("of it: drift sweep", &check));
    Ok(())
}

/// One tenant that was really onboarded, and many that look like it.
async fn scenery(bench: &Bench<'_>, bed: &Bed, count: usize) -> Result<()> {
    bed.onboard_one().await?;
    let members = crowd::make(bed, "calm", count, |_, _| {})?;
    crowd::register(bed, bench.host, &members).await?;
    crowd::admit(bed, bench.host, &members).await
}

async fn read(control: &Pool, home: &Pool) -> Result<()> {
    let conn = control.get().await?;
    let sql =
        "SELECT id, isolation, placement_generation, state, findings FROM tenantry.tenant WHERE cell = $1 ORDER BY id";
    conn.query(sql, &[&"eu-central-1"]).await?;
    conn.release();
    let conn = home.get().await?;
    conn.query("SELECT tenant_id, state::text, epoch, path FROM tenantry.tenant", &[]).await?;
    conn.release();
    Ok(())
}
