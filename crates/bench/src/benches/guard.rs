//! The guard's look at a home with a hundred thousand relations: a schema of twenty tables for each of 720 tenants.
//!
//! What is measured is the whole look as the controller has it, from opening its connection to the report. The
//! comparison reads the same catalogs once and does nothing with them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tenantry_dataplane::guard::{Terms, Ward};
use tenantry_domain::isolation::Isolation;

use super::Bench;
use crate::bed::{Bed, numbered};
use crate::host::Host;
use crate::measure::{Samples, timed};
use crate::report::Figure;

/// Tenants that one request of the set-up brings.
const AT_ONCE: usize = 100;
/// Rows that are read, hashed so that the server really has to look at them.
const CATALOGS: &str = "SELECT
    (SELECT sum(hashtext(relname::text || coalesce(relacl::text, ''))) FROM pg_class),
    (SELECT sum(hashtext(attname::text)) FROM pg_attribute),
    (SELECT sum(hashtext(polqual::text)) FROM pg_policy),
    (SELECT sum(hashtext(conname::text)) FROM pg_constraint)";

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let count = bench.size.pick(720, 100, 2);
    // A server of its own: the guard looks at what all databases have in common as well.
    let own = Host::start()?;
    let bed = Bed::install(&own, "guard", 10).await?;
    let runtime = bed.start();
    for first in (0..count).step_by(AT_ONCE) {
        let slugs = (first..count.min(first + AT_ONCE)).map(|number| numbered("guard", number));
        let manifests = slugs.map(|slug| bed.manifest(&slug, Isolation::Schema)).collect::<Result<Vec<_>>>()?;
        if let Some(operation) = bed.apply(&manifests).await? {
            bed.settled(operation, Duration::from_millis(200)).await?;
        }
    }
    runtime.shutdown(&bed.deps).await?;
    let home = bed.home(&own, 1)?;
    let conn = home.get().await?;
    conn.batch_static("VACUUM ANALYZE").await?;
    let relations: i64 = conn.query_one("SELECT count(*) FROM pg_class", &[]).await?.get(0);
    let (ward, terms) = (Ward::Home(bed.app.clone()), Terms::default());
    let (mut looks, mut reads) = (Samples::default(), Samples::default());
    for round in 0..=bench.size.pick(20, 5, 1) {
        let (mut look, mut read) = (Samples::default(), Samples::default());
        let report = timed(&mut look, async { Ok(bed.cell.guard(&ward, &terms).await?) }).await?;
        let report = report.context("there is no home")?;
        ensure!(report.is_clean(), "the guard found something: {:?}", report.section.findings.first());
        timed(&mut read, async { Ok(conn.query(CATALOGS, &[]).await?) }).await?;
        // The first one reads from disk what later ones have in memory.
        if round > 0 {
            looks.extend(&look);
            reads.extend(&read);
        } else {
            bench.note(format!("the first look took {:.2} s", look.at(0.5) / 1000.0));
        }
    }
    conn.release();
    let title = format!("a home of {relations} relations, {count} logins");
    bench.say(Figure::latency(title, &looks).against("reading the catalogs", reads.at(0.5)).p99_at_most(1_000.0));
    Ok(())
}
